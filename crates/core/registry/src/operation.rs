//! The changes that a registry knows, and when each of them is refused.

use messor_proto::mesos::maintenance::Schedule;
use messor_proto::mesos::quota::QuotaConfig;
use messor_proto::mesos::{AgentInfo, DurationInfo, MachineId, WeightInfo};
use messor_stdx::Time;
use messor_types::AgentId;

use crate::State;
use crate::maintenance::MaintenanceError;
use crate::quota::QuotaError;
use crate::weights::WeightError;

/// One change of the registry.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// A new agent.
    AdmitAgent {
        info: Box<AgentInfo>,
    },
    /// An admitted agent came back with another AgentInfo.
    UpdateAgent {
        info: Box<AgentInfo>,
    },
    /// An admitted agent does not answer any more.
    MarkAgentUnreachable {
        id: AgentId,
        time: Time,
    },
    /// An unreachable agent, or one that was forgotten, came back.
    MarkAgentReachable {
        info: Box<AgentInfo>,
    },
    /// An agent left in order.
    RemoveAgent {
        id: AgentId,
    },
    /// An operator says that an agent will never come back.
    MarkAgentGone {
        id: AgentId,
        time: Time,
    },
    /// Forgets old unreachable and gone agents.
    Prune {
        unreachable: Vec<AgentId>,
        gone: Vec<AgentId>,
    },
    /// An agent is to be emptied: its tasks are killed and it gets no more. With `mark_gone` it is gone thereafter.
    DrainAgent {
        id: AgentId,
        max_grace_period: Option<DurationInfo>,
        mark_gone: bool,
    },
    /// A draining agent has no tasks left.
    MarkAgentDrained {
        id: AgentId,
    },
    /// An agent gets no more offers.
    DeactivateAgent {
        id: AgentId,
    },
    /// It gets offers again, and is not drained any more.
    ReactivateAgent {
        id: AgentId,
    },
    /// A new maintenance schedule in place of the one before. Machines that are new in it begin to drain.
    UpdateSchedule {
        schedule: Box<Schedule>,
    },
    /// Draining machines go down.
    StartMaintenance {
        machines: Vec<MachineId>,
    },
    /// Machines that are down are up again, and leave the schedule.
    StopMaintenance {
        machines: Vec<MachineId>,
    },
    /// New quotas of some roles. One with neither guarantees nor limits removes the role's quota.
    UpdateQuota {
        configs: Vec<QuotaConfig>,
    },
    UpdateWeights {
        weights: Vec<WeightInfo>,
    },
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
    #[error("agent {0} is not draining")]
    NotDraining(AgentId),
    #[error("the agent has no id")]
    NoId,
    #[error(transparent)]
    Maintenance(#[from] MaintenanceError),
    #[error(transparent)]
    Quota(#[from] QuotaError),
    #[error(transparent)]
    Weight(#[from] WeightError),
}

impl State {
    /// Applies one operation. `Ok(true)`: the registry changed; `Ok(false)`: the operation holds already.
    pub fn apply(&mut self, operation: &Operation) -> Result<bool, Refusal> {
        let outcome = self.change(operation);
        self.note_wrappers();
        outcome
    }

    fn change(&mut self, operation: &Operation) -> Result<bool, Refusal> {
        match operation {
            Operation::AdmitAgent { info } => self.admit(info),
            Operation::UpdateAgent { info } => self.update(info),
            Operation::MarkAgentUnreachable { id, time } => self.mark_unreachable(id, *time),
            Operation::MarkAgentReachable { info } => self.mark_reachable(info),
            Operation::RemoveAgent { id } => self.remove(id),
            Operation::MarkAgentGone { id, time } => self.mark_gone(id, *time),
            Operation::Prune { unreachable, gone } => Ok(self.prune(unreachable, gone)),
            Operation::DrainAgent { id, max_grace_period, mark_gone } => {
                self.drain(id, *max_grace_period, *mark_gone)
            }
            Operation::MarkAgentDrained { id } => self.mark_drained(id),
            Operation::DeactivateAgent { id } => self.deactivate(id),
            Operation::ReactivateAgent { id } => self.reactivate(id),
            Operation::UpdateSchedule { schedule } => Ok(self.update_schedule(schedule)?),
            Operation::StartMaintenance { machines } => Ok(self.start_maintenance(machines)?),
            Operation::StopMaintenance { machines } => Ok(self.stop_maintenance(machines)?),
            Operation::UpdateQuota { configs } => Ok(self.update_quota(configs)?),
            Operation::UpdateWeights { weights } => Ok(self.update_weights(weights)?),
        }
    }
}
