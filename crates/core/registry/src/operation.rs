//! The changes that a registry knows, and when each of them is refused.

use messor_proto::mesos::internal::registry;
use messor_proto::mesos::{AgentInfo, TimeInfo};
use messor_stdx::Time;
use messor_types::{AgentId, Resource, ResourceFormat};

use crate::State;

/// One change of the registry.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// A new agent.
    AdmitAgent { info: Box<AgentInfo> },
    /// An admitted agent came back with another AgentInfo.
    UpdateAgent { info: Box<AgentInfo> },
    /// An admitted agent does not answer any more.
    MarkAgentUnreachable { id: AgentId, time: Time },
    /// An unreachable agent, or one that was forgotten, came back.
    MarkAgentReachable { info: Box<AgentInfo> },
    /// An agent left in order.
    RemoveAgent { id: AgentId },
    /// An operator says that an agent will never come back.
    MarkAgentGone { id: AgentId, time: Time },
    /// Forgets old unreachable and gone agents.
    Prune { unreachable: Vec<AgentId>, gone: Vec<AgentId> },
}

/// Why an operation does not fit the registry. The registry is then as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("agent {0} is admitted already")]
    Admitted(AgentId),
    #[error("agent {0} is not admitted")]
    NotAdmitted(AgentId),
    #[error("agent {0} is marked gone already")]
    Gone(AgentId),
    #[error("agent {0} is neither admitted nor unreachable")]
    Unknown(AgentId),
    #[error("the agent has no id")]
    NoId,
}

impl State {
    /// Applies one operation. `Ok(true)`: the registry changed and has to be written; `Ok(false)`: the operation holds
    /// already and nothing has to be written.
    pub fn apply(&mut self, operation: &Operation) -> Result<bool, Refusal> {
        match operation {
            Operation::AdmitAgent { info } => self.admit(info),
            Operation::UpdateAgent { info } => self.update(info),
            Operation::MarkAgentUnreachable { id, time } => self.mark_unreachable(id, *time),
            Operation::MarkAgentReachable { info } => self.mark_reachable(info),
            Operation::RemoveAgent { id } => {
                self.agents.shift_remove(id).map(|_| true).ok_or_else(|| Refusal::NotAdmitted(id.clone()))
            }
            Operation::MarkAgentGone { id, time } => self.mark_gone(id, *time),
            Operation::Prune { unreachable, gone } => {
                let before = self.unreachable.len() + self.gone.len();
                self.unreachable.retain(|id, _| !unreachable.contains(id));
                self.gone.retain(|id, _| !gone.contains(id));
                Ok(self.unreachable.len() + self.gone.len() != before)
            }
        }
    }

    fn admit(&mut self, info: &AgentInfo) -> Result<bool, Refusal> {
        let id = id_of(info)?;
        if self.agents.contains_key(&id) {
            return Err(Refusal::Admitted(id));
        }
        let agent = registry::Agent { info: stored_form(info), ..Default::default() };
        self.agents.insert(id, agent);
        Ok(true)
    }

    fn update(&mut self, info: &AgentInfo) -> Result<bool, Refusal> {
        let id = id_of(info)?;
        let agent = self.agents.get_mut(&id).ok_or(Refusal::NotAdmitted(id))?;
        let info = stored_form(info);
        if agent.info == info {
            return Ok(false);
        }
        agent.info = info;
        Ok(true)
    }

    fn mark_unreachable(&mut self, id: &AgentId, time: Time) -> Result<bool, Refusal> {
        let agent = self.agents.shift_remove(id).ok_or_else(|| Refusal::NotAdmitted(id.clone()))?;
        let unreachable = registry::UnreachableAgent {
            id: id.into(),
            timestamp: time_info(time),
            deactivated: Some(agent.deactivated()),
            drain_info: agent.drain_info,
        };
        // Marked again after it came back: it counts as the newest.
        self.unreachable.shift_remove(id);
        self.unreachable.insert(id.clone(), unreachable);
        Ok(true)
    }

    fn mark_reachable(&mut self, info: &AgentInfo) -> Result<bool, Refusal> {
        let id = id_of(info)?;
        if self.agents.contains_key(&id) {
            return Ok(false);
        }
        let mut agent = registry::Agent { info: stored_form(info), ..Default::default() };
        // An agent the registry does not know any more is let in: its record may have been pruned.
        if let Some(unreachable) = self.unreachable.shift_remove(&id) {
            agent.deactivated = Some(unreachable.deactivated());
            agent.drain_info = unreachable.drain_info;
        }
        self.agents.insert(id, agent);
        Ok(true)
    }

    fn mark_gone(&mut self, id: &AgentId, time: Time) -> Result<bool, Refusal> {
        if self.gone.contains_key(id) {
            return Err(Refusal::Gone(id.clone()));
        }
        if self.agents.shift_remove(id).is_none() && self.unreachable.shift_remove(id).is_none() {
            return Err(Refusal::Unknown(id.clone()));
        }
        let gone = registry::GoneAgent { id: id.into(), timestamp: time_info(time) };
        self.gone.insert(id.clone(), gone);
        Ok(true)
    }
}

fn id_of(info: &AgentInfo) -> Result<AgentId, Refusal> {
    info.id.as_ref().map(AgentId::from).ok_or(Refusal::NoId)
}

/// The registry keeps resources in the older form (`role` and `reservation`), so that older masters read them too.
fn stored_form(info: &AgentInfo) -> AgentInfo {
    let mut info = info.clone();
    for resource in &mut info.resources {
        if let Ok(read) = Resource::from_proto(resource) {
            *resource = read.to_proto(ResourceFormat::PreRefinement);
        }
    }
    info
}

fn time_info(time: Time) -> TimeInfo {
    TimeInfo { nanoseconds: i64::try_from(time.as_nanos()).unwrap_or(i64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::internal::Registry;

    fn info(id: &str) -> Box<AgentInfo> {
        Box::new(AgentInfo {
            hostname: format!("host-{id}"),
            id: Some(AgentId::new(id).into()),
            ..Default::default()
        })
    }

    fn admitted(ids: &[&str]) -> State {
        let mut state = State::default();
        for id in ids {
            assert_eq!(state.apply(&Operation::AdmitAgent { info: info(id) }), Ok(true));
        }
        state
    }

    fn ids<'a, T: 'a>(list: impl Iterator<Item = (&'a AgentId, T)>) -> Vec<&'a str> {
        list.map(|(id, _)| id.as_str()).collect()
    }

    #[test]
    fn an_agent_is_admitted_once() {
        let mut state = admitted(&["S0", "S1"]);
        let again = state.apply(&Operation::AdmitAgent { info: info("S0") });
        assert_eq!(again, Err(Refusal::Admitted(AgentId::new("S0"))));
        assert_eq!(ids(state.agents()), ["S0", "S1"]);
        let without_id = Box::new(AgentInfo::default());
        assert_eq!(state.apply(&Operation::AdmitAgent { info: without_id }), Err(Refusal::NoId));
    }

    #[test]
    fn an_update_that_says_nothing_new_is_not_written() {
        let mut state = admitted(&["S0"]);
        assert_eq!(state.apply(&Operation::UpdateAgent { info: info("S0") }), Ok(false));
        let mut changed = info("S0");
        changed.hostname = "other".into();
        assert_eq!(state.apply(&Operation::UpdateAgent { info: changed }), Ok(true));
        assert_eq!(state.agents().next().unwrap().1.info.hostname, "other");
        let unknown = state.apply(&Operation::UpdateAgent { info: info("S9") });
        assert_eq!(unknown, Err(Refusal::NotAdmitted(AgentId::new("S9"))));
    }

    #[test]
    fn an_agent_is_lost_and_comes_back() {
        let mut state = admitted(&["S0", "S1"]);
        let lost = Operation::MarkAgentUnreachable { id: AgentId::new("S0"), time: Time::from_nanos(7) };
        assert_eq!(state.apply(&lost), Ok(true));
        assert_eq!(state.apply(&lost), Err(Refusal::NotAdmitted(AgentId::new("S0"))));
        assert_eq!((ids(state.agents()), ids(state.unreachable())), (vec!["S1"], vec!["S0"]));
        assert_eq!(state.unreachable().next().unwrap().1.timestamp.nanoseconds, 7);
        assert_eq!(state.apply(&Operation::MarkAgentReachable { info: info("S0") }), Ok(true));
        assert_eq!(state.apply(&Operation::MarkAgentReachable { info: info("S0") }), Ok(false));
        assert_eq!((ids(state.agents()), ids(state.unreachable())), (vec!["S1", "S0"], vec![]));
        assert_eq!(state.apply(&Operation::MarkAgentReachable { info: info("forgotten") }), Ok(true));
    }

    #[test]
    fn draining_survives_being_unreachable() {
        let mut registry = admitted(&["S0"]).to_proto();
        let agent = &mut registry.agents.as_mut().unwrap().agents[0];
        agent.deactivated = Some(true);
        agent.drain_info = Some(messor_proto::mesos::DrainInfo { state: 1, ..Default::default() });
        let mut state = State::from_proto(registry);
        let id = AgentId::new("S0");
        state.apply(&Operation::MarkAgentUnreachable { id, time: Time::ZERO }).unwrap();
        state.apply(&Operation::MarkAgentReachable { info: info("S0") }).unwrap();
        let agent = state.agents().next().unwrap().1;
        assert!(agent.deactivated() && agent.drain_info.is_some());
    }

    #[test]
    fn gone_is_for_ever() {
        let mut state = admitted(&["S0", "S1"]);
        let id = AgentId::new("S1");
        state.apply(&Operation::MarkAgentUnreachable { id, time: Time::ZERO }).unwrap();
        for id in ["S0", "S1"] {
            let gone = Operation::MarkAgentGone { id: AgentId::new(id), time: Time::from_nanos(1) };
            assert_eq!(state.apply(&gone), Ok(true));
            assert_eq!(state.apply(&gone), Err(Refusal::Gone(AgentId::new(id))));
        }
        let unknown = Operation::MarkAgentGone { id: AgentId::new("S9"), time: Time::ZERO };
        assert_eq!(state.apply(&unknown), Err(Refusal::Unknown(AgentId::new("S9"))));
        assert_eq!((ids(state.agents()).len(), ids(state.unreachable()).len()), (0, 0));
        assert_eq!(ids(state.gone()), ["S0", "S1"]);
    }

    #[test]
    fn prune_and_remove_forget() {
        let mut state = admitted(&["S0", "S1", "S2"]);
        for id in ["S0", "S1"] {
            let id = AgentId::new(id);
            state.apply(&Operation::MarkAgentUnreachable { id, time: Time::ZERO }).unwrap();
        }
        let prune =
            Operation::Prune { unreachable: vec![AgentId::new("S0")], gone: vec![AgentId::new("S9")] };
        assert_eq!(state.apply(&prune), Ok(true));
        assert_eq!(state.apply(&prune), Ok(false));
        assert_eq!(ids(state.unreachable()), ["S1"]);
        let remove = Operation::RemoveAgent { id: AgentId::new("S2") };
        assert_eq!(state.apply(&remove), Ok(true));
        assert_eq!(state.apply(&remove), Err(Refusal::NotAdmitted(AgentId::new("S2"))));
    }

    /// U112: Apache Mesos reads this registry too.
    #[test]
    #[allow(deprecated)] // `Resource.role` is the older form.
    fn resources_are_stored_in_the_older_form() {
        use messor_types::{Reservation, ReservationKind};
        let reserved =
            Resource::scalar("cpus", 2.0).with_reservation(Reservation::new(ReservationKind::Static, "r"));
        let mut agent = info("S0");
        agent.resources = vec![reserved.to_proto(ResourceFormat::PostRefinement)];
        let mut state = State::default();
        state.apply(&Operation::AdmitAgent { info: agent.clone() }).unwrap();
        let stored = &state.agents().next().unwrap().1.info.resources[0];
        assert_eq!((stored.role.as_deref(), stored.reservations.len()), (Some("r"), 0));
        assert_eq!(state.apply(&Operation::UpdateAgent { info: agent }), Ok(false));
    }

    #[test]
    fn the_message_round_trips_with_what_is_not_ours() {
        let mut registry = admitted(&["S0"]).to_proto();
        registry
            .minimum_capabilities
            .push(registry::MinimumCapability { capability: "AGENT_DRAINING".into() });
        assert_eq!(State::from_proto(registry.clone()).to_proto(), registry);
        assert_eq!(State::from_proto(Registry::default()).to_proto(), Registry::default());
    }
}
