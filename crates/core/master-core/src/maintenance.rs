//! Maintenance: the schedule, machines that go down and come up again, and what that means to the agents on them.
//!
//! It must not know how frameworks are asked to leave (`inverse_offers`), nor when (the allocator).

use messor_allocator::Event as Allocation;
use messor_registry::Operation;
use messor_types::{AgentId, OfferId, Pid};

use crate::effect::Outcome;
use crate::event::ReplyId;
use crate::master::Master;
use crate::registering::Pending;
use crate::reregistering::shut_down;
use crate::turn::Turn;

/// What agents are told that may not be here.
const DOWN: &str = "the machine is down for maintenance";

impl Master {
    /// A new schedule, or machines that go down or up.
    pub(crate) fn change_maintenance(&mut self, turn: &mut Turn<'_>, reply: ReplyId, operation: Operation) {
        if let Err(refusal) = self.maintenance.after(&operation) {
            return turn.reply(reply, Outcome::Invalid(refusal.to_string()));
        }
        let pending = Pending::Maintenance { operation: Box::new(operation.clone()), reply };
        self.store(turn, operation, pending);
    }

    /// The registry has it.
    pub(crate) fn maintenance_stored(
        &mut self,
        turn: &mut Turn<'_>,
        operation: &Operation,
        reply: ReplyId,
        accepted: bool,
    ) {
        // The registry and this master agree on maintenance, as every change of it comes by here, in the same order.
        let after = match self.maintenance.after(operation) {
            Ok(after) if accepted => after,
            _ => {
                let text = "another change of the maintenance came first: read it and try again".to_string();
                return turn.reply(reply, Outcome::Conflict(text));
            }
        };
        self.maintenance = after;
        let agents: Vec<AgentId> = self.agents.registered.keys().cloned().collect();
        for id in &agents {
            self.take_maintenance(turn, id);
        }
        turn.reply(reply, Outcome::Done);
    }

    /// What is planned now for the machine of a registered agent.
    fn take_maintenance(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        let Some(agent) = self.agents.get(id) else { return };
        if self.maintenance.is_down(&agent.info, &agent.pid) {
            return self.take_down(turn, id);
        }
        let planned = self.maintenance.machine_of(&agent.info, &agent.pid);
        let unavailability = planned.and_then(|machine| machine.unavailability);
        if agent.unavailability == unavailability {
            return;
        }
        turn.info(match &unavailability {
            Some(planned) => {
                format!("agent {id} is to be unavailable from {} ns on", planned.start.nanoseconds)
            }
            None => format!("agent {id} is not to be unavailable any more"),
        });
        // First everything that was offered comes back, so that the allocator begins anew.
        let offers: Vec<OfferId> = agent.offers.iter().cloned().collect();
        for offer in &offers {
            self.rescind(turn, offer);
        }
        self.rescind_inverse_offers_of_agent(turn, id);
        // What was answered was about another time.
        self.inverse_offers.forget_agent(id);
        if let Some(agent) = self.agents.get_mut(id) {
            agent.unavailability = unavailability;
        }
        turn.allocator(Allocation::UpdateUnavailability { agent_id: id.clone(), unavailability });
    }

    /// The agent ends, and its tasks are lost: it may not have heard of it, hence it is not waited for. It is offered to
    /// nobody while the registry forgets it.
    fn take_down(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        let Some(agent) = self.agents.get(id) else { return };
        shut_down(turn, &agent.pid, DOWN);
        self.deactivate_agent(turn, id);
        self.remove_agent(turn, id, DOWN);
    }

    /// True if the agent may not be here: its machine is down. It is told.
    pub(crate) fn refuse_on_machine_down(
        &self,
        turn: &mut Turn<'_>,
        from: &Pid,
        info: &messor_proto::mesos::AgentInfo,
    ) -> bool {
        let down = self.maintenance.is_down(info, from);
        if down {
            turn.warning(format!("refusing the agent at {from} ({}): {DOWN}", info.hostname));
            shut_down(turn, from, DOWN);
        }
        down
    }

    /// An agent was let in while its machine went down.
    pub(crate) fn take_down_if_machine_is(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        let down = self.agents.get(id).is_some_and(|agent| self.maintenance.is_down(&agent.info, &agent.pid));
        if down {
            self.take_down(turn, id);
        }
    }
}
