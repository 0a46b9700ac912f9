//! Oversubscription: what is promised twice, as revocable resources, and the end of who uses it when it is needed.
//!
//! Who estimates and who controls is not known here: the edge asks them, each again after an interval.

use messor_proto::mesos::internal::UpdateAgentMessage;
use messor_proto::mesos::slave::QoSCorrection;
use messor_proto::mesos::slave::qo_s_correction::{Kill, Type};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{self, TaskState};
use messor_types::{ContainerId, ExecutorId, FrameworkId, ResourceFormat, Resources};

use crate::agent::{Agent, State};
use crate::effect::{ContainerCommand, Effect};
use crate::event::Timer;
use crate::executor::{End, total};
use crate::tasks::unless_lost;
use crate::turn::Turn;
use crate::view::ExecutorState;

/// Why an estimate is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum EstimateError {
    #[error("it cannot be read: {0}")]
    Resources(#[from] messor_types::ResourceError),
    #[error("{0} is not revocable: what is promised twice has to be")]
    NotRevocable(String),
    #[error("{0}")]
    Failed(String),
}

impl Agent {
    /// The agent is recovered: from now on the estimator and the controller are asked.
    pub(crate) fn begin_oversubscription(&mut self, turn: &mut Turn<'_>) {
        if self.config.oversubscribed_resources_interval.is_some() {
            turn.effect(Effect::Estimate);
        }
        if self.config.qos_correction_interval.is_some() {
            turn.effect(Effect::Correct);
        }
    }

    pub(crate) fn estimated(&mut self, turn: &mut Turn<'_>, estimate: Result<Vec<mesos::Resource>, String>) {
        if self.state == State::Terminating {
            return;
        }
        match read_estimate(estimate) {
            Ok(estimate) => {
                // What is in use is promised already, whatever the estimate says of the rest.
                self.oversubscribe(turn, self.used_revocable().unallocated() + &estimate);
            }
            Err(error) => turn.error(format!("No estimate of resources to promise twice: {error}")),
        }
        if let Some(interval) = self.config.oversubscribed_resources_interval {
            turn.set_timer(Timer::Estimate, turn.now + interval);
        }
    }

    fn oversubscribe(&mut self, turn: &mut Turn<'_>, all: Resources) {
        if self.oversubscribed.as_ref() == Some(&all) {
            return;
        }
        if let Some(master) = self.master.clone().filter(|_| self.state == State::Running) {
            turn.info(format!("The agent promises {all} twice"));
            let message = UpdateAgentMessage {
                agent_id: (&self.own_id()).into(),
                update_oversubscribed_resources: Some(true),
                oversubscribed_resources: all.to_proto(ResourceFormat::PostRefinement),
                // Operations, providers and the version of the resources are not spoken of: this changes none.
                operations: None,
                resource_version_uuid: None,
                resource_providers: None,
            };
            turn.send(&master, &message);
        }
        self.oversubscribed = Some(all);
    }

    /// For the message after each registration; None: nothing was ever estimated.
    pub(crate) fn oversubscribed_proto(&self) -> Option<Vec<mesos::Resource>> {
        self.oversubscribed.as_ref().map(|all| all.to_proto(ResourceFormat::PostRefinement))
    }

    /// The revocable resources that executors and their tasks have.
    pub(crate) fn used_revocable(&self) -> Resources {
        let executors = self.frameworks.values().flat_map(|framework| framework.executors.values());
        let used: Vec<mesos::Resource> = executors.flat_map(|executor| executor.allocated()).collect();
        total(&used).revocable()
    }

    pub(crate) fn correct(&mut self, turn: &mut Turn<'_>, corrections: Result<Vec<QoSCorrection>, String>) {
        if self.state == State::Terminating {
            return;
        }
        match corrections {
            Ok(corrections) => {
                for correction in corrections {
                    match (correction.r#type(), correction.kill) {
                        (Type::Kill, Some(kill)) => self.preempt(turn, kill),
                        _ => turn.warning("Ignoring a QoS correction that kills nothing".to_string()),
                    }
                }
            }
            Err(error) => turn.warning(format!("No corrections from the QoS controller: {error}")),
        }
        if let Some(interval) = self.config.qos_correction_interval {
            turn.set_timer(Timer::Correct, turn.now + interval);
        }
    }

    /// Ends an executor whose resources are needed.
    fn preempt(&mut self, turn: &mut Turn<'_>, kill: Kill) {
        let (Some(framework), Some(id)) = (kill.framework_id, kill.executor_id) else {
            return turn.warning("Ignoring a QoS correction without a framework or an executor".to_string());
        };
        let (framework, id) = (FrameworkId::from(framework), ExecutorId::from(id));
        let wanted = kill.container_id.as_ref().map(ContainerId::from);
        let found = self.frameworks.get(&framework).filter(|found| !found.terminating);
        let state = found.map(|found| unless_lost(&found.info, TaskState::TaskGone));
        let executor = self.executor_mut(&framework, &id).filter(|executor| {
            matches!(executor.state, ExecutorState::Registering | ExecutorState::Running)
                && wanted.is_none_or(|container| container == executor.container)
        });
        let (Some(state), Some(executor)) = (state, executor) else {
            return turn.warning(format!(
                "Ignoring a QoS correction of executor '{id}' of framework {framework}: it does not run here"
            ));
        };
        executor.state = ExecutorState::Terminating;
        let message = "Container preempted by a correction of the QoS controller".to_string();
        executor.end = Some(End::new(state, Reason::ContainerPreempted, message));
        let container = executor.container.clone();
        // One that still waits for its record has no container, and ends when the record is there.
        let launched = executor.waiting_launch.is_none();
        turn.info(format!(
            "Killing container {container} of executor '{id}' of framework {framework}, as the QoS controller asks for"
        ));
        self.counters.executors_preempted.increment();
        turn.cancel_timer(Timer::ExecutorRegister(framework, id, container.clone()));
        if launched {
            turn.effect(Effect::Container(ContainerCommand::Destroy { container }));
        }
    }
}

fn read_estimate(estimate: Result<Vec<mesos::Resource>, String>) -> Result<Resources, EstimateError> {
    let estimate = Resources::from_proto(&estimate.map_err(EstimateError::Failed)?)?.unallocated();
    match estimate.iter().find(|resource| !resource.is_revocable()) {
        Some(resource) => Err(EstimateError::NotRevocable(resource.to_string())),
        None => Ok(estimate),
    }
}
