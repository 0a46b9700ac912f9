//! An agent begins: with the past that an earlier one left, or with none. Until it is known what of it still runs, nobody
//! is answered; until the executors are back, no master is looked for.
//!
//! What is on disk becomes frameworks, executors and tasks in `rebuild`; executors come back in `reconnection`.

use std::collections::BTreeMap;
use std::sync::Arc;

use messor_proto::mesos::{MasterInfo, executor::call};
use messor_stdx::Duration;
use messor_types::{AgentId, ContainerId, ExecutorId, FrameworkId, Pid};

use crate::agent::{Agent, State, Ticket};
use crate::compatibility;
use crate::config::{ReconfigurationPolicy, Recover};
use crate::effect::{ContainerCommand, Effect, Outcome, Run};
use crate::event::{Event, Timer};
use crate::executor::{End, Executor};
use crate::record::Record;
use crate::recovered::{Recovered, RecoveredAgent, RecoveredOperation};
use crate::turn::Turn;
use crate::view::ExecutorState;

/// Messages that may come before it is known what runs; any more are lost, as if the agent were not there yet.
const MAX_EARLY_MESSAGES: usize = 1_000;

/// How far the recovery is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// `Event::Recovered` is awaited.
    #[default]
    Reading,
    /// The containerizer looks for the containers.
    Containers,
    /// Executors come back.
    Executors,
}

/// What is of interest only until the agent is recovered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recovery {
    stage: Stage,
    rebooted: bool,
    /// What the detector said last.
    leader: Option<Option<Box<MasterInfo>>>,
    /// The operator's order to end.
    shut_down: Option<String>,
    /// At most `MAX_EARLY_MESSAGES`.
    early: Vec<(Pid, String, Vec<u8>)>,
    /// Agents of before, whose directories are to be removed.
    others: Vec<AgentId>,
}

/// Why an agent cannot go on with its past.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum RecoveryError {
    #[error(
        "this agent differs from its last run in what {policy} does not allow: {differences}. Start it with the \
         settings of before; or, if it only has more than before, with --reconfiguration_policy=additive; or make it \
         a new agent, which ends its executors: rm -f {latest}"
    )]
    Changed { policy: &'static str, differences: String, latest: String },
}

impl Agent {
    /// During recovery most events have to wait. Gives an event back that is to be handled now.
    pub(crate) fn unless_recovering(&mut self, turn: &mut Turn<'_>, event: Event) -> Option<Event> {
        if self.state != State::Recovering {
            return Some(event);
        }
        let all_known = self.recovery.stage == Stage::Executors;
        match event {
            Event::Detected { leader } => {
                self.recovery.leader = Some(leader);
                None
            }
            Event::ShutDown { reason } if !all_known => {
                self.recovery.shut_down = Some(reason);
                None
            }
            Event::ShutDown { .. } => {
                self.finish_recovery(turn);
                Some(event)
            }
            Event::Message { from, name, body } if !all_known => {
                if self.recovery.early.len() < MAX_EARLY_MESSAGES {
                    self.recovery.early.push((from, name, body));
                } else {
                    turn.warning(format!("Dropping a {name} from {from}: too many came during recovery"));
                }
                None
            }
            // Heartbeats mean nothing but that somebody is there.
            Event::ExecutorCall { reply, call } if !all_known && call.r#type() == call::Type::Heartbeat => {
                turn.reply(reply, Outcome::Accepted);
                None
            }
            Event::Subscribe { reply, .. } | Event::ExecutorCall { reply, .. } if !all_known => {
                turn.reply(reply, Outcome::Unavailable("Agent has not finished recovery".to_string()));
                None
            }
            event => Some(event),
        }
    }

    pub(crate) fn recover(&mut self, turn: &mut Turn<'_>, recovered: Recovered) {
        if self.state != State::Recovering || self.recovery.stage != Stage::Reading {
            turn.error("What is left of a past comes first and once: ignoring it".to_string());
            return;
        }
        self.recovery.stage = Stage::Containers;
        self.recovery.rebooted = recovered.rebooted;
        self.recovery.others = recovered.other_agents;
        self.recovery_errors = recovered.errors;
        if recovered.rebooted {
            turn.info("The host was started again since the last run of the agent".to_string());
        }
        if recovered.errors > 0 {
            turn.warning(format!("{} errors in what is left of the last run", recovered.errors));
        }
        let kept = match recovered.agent {
            Some(agent) => self.recover_agent(turn, agent),
            None => Ok(None),
        };
        if let (Ok(Some(_)), Some(config)) = (&kept, recovered.drain_config) {
            self.recover_drain(turn, config);
        }
        // Reservations and volumes stay with the host, whatever becomes of the agent's id.
        let mut resources = recovered.resources;
        resources.iter_mut().for_each(messor_types::resource_to_post_refinement);
        let fits = match kept {
            Ok(Some(updates)) => self.recover_operations(turn, &resources, recovered.operations, updates),
            Ok(None) => self.recover_operations(turn, &resources, Vec::new(), Vec::new()),
            Err(error) => {
                turn.effect(Effect::Abort { reason: format!("Failed to recover: {error}") });
                false
            }
        };
        if !fits {
            return;
        }
        let frameworks = self.frameworks.values();
        let executors = frameworks.flat_map(|framework| {
            framework.executors.values().map(|executor| recovered_run(&framework.id, executor))
        });
        let runs = executors.collect();
        turn.effect(Effect::Container(ContainerCommand::Recover { runs }));
    }

    /// Becomes the agent of before, and gives what was said of its operations; or, after a new start of the host, a new
    /// agent.
    fn recover_agent(
        &mut self,
        turn: &mut Turn<'_>,
        agent: RecoveredAgent,
    ) -> Result<Option<Vec<RecoveredOperation>>, RecoveryError> {
        let policy = self.config.reconfiguration_policy;
        let differences = compatibility::differences(policy, &agent.info, &self.info);
        if !differences.is_empty() {
            let policy = match policy {
                ReconfigurationPolicy::Equal => "--reconfiguration_policy=equal",
                ReconfigurationPolicy::Additive => "--reconfiguration_policy=additive",
            };
            let differences = differences.join("; ");
            if !self.recovery.rebooted {
                let latest = format!("{}/meta/slaves/latest", self.config.work_dir);
                return Err(RecoveryError::Changed { policy, differences, latest });
            }
            // The host was serviced: nothing of the old agent runs any more, and a new one may differ.
            turn.warning(format!("Beginning as a new agent, as {policy} does not allow: {differences}"));
            self.persist(turn, Record::Forget, Ticket::Nothing);
            self.recovery.others.push(agent.id);
            return Ok(None);
        }
        let equal = compatibility::differences(ReconfigurationPolicy::Equal, &agent.info, &self.info);
        self.info_changed = !equal.is_empty();
        let mut info = self.info.as_ref().clone();
        info.id = Some((&agent.id).into());
        self.info = Arc::new(info);
        turn.info(format!("Recovering agent {}", agent.id));
        self.id = Some(agent.id);
        for framework in agent.frameworks {
            self.recover_framework(turn, framework, self.recovery.rebooted);
        }
        Ok(Some(agent.operation_updates))
    }

    pub(crate) fn containers_recovered(
        &mut self,
        turn: &mut Turn<'_>,
        running: &BTreeMap<ContainerId, u32>,
        destroyed: usize,
    ) {
        if self.state != State::Recovering || self.recovery.stage != Stage::Containers {
            turn.error("Recovered containers that nobody asked for: ignoring them".to_string());
            return;
        }
        self.recovery.stage = Stage::Executors;
        turn.info(format!("{} containers are back, {destroyed} of no executor are destroyed", running.len()));
        let expected: Vec<(ContainerId, (FrameworkId, ExecutorId))> =
            self.containers.iter().map(|(container, owner)| (container.clone(), owner.clone())).collect();
        for (container, (framework, id)) in expected {
            match running.get(&container) {
                Some(pid) => {
                    if let Some(executor) = self.run_mut(&framework, &id, &container) {
                        executor.process = Some(*pid);
                    }
                }
                None => {
                    let message = if self.recovery.rebooted {
                        "Executor ended with the host's last run"
                    } else {
                        "Executor ended while the agent was away"
                    };
                    let end = End { message: Some(message.to_string()), ..End::default() };
                    self.executor_terminated(turn, &framework, &id, None, end);
                }
            }
        }
        match self.config.recover {
            Recover::Reconnect => self.reconnect_executors(turn),
            Recover::Cleanup => self.clean_up_executors(turn),
        }
        // Where it is on disk, it holds: tasks that were not killed yet, are.
        self.kill_all_tasks(turn);
        for (from, name, body) in std::mem::take(&mut self.recovery.early) {
            self.message(turn, &from, &name, &body);
        }
    }

    /// The recovery is over as soon as every executor is back or on its end, and at the latest when their time is up.
    pub(crate) fn finish_recovery_if_complete(&mut self, turn: &mut Turn<'_>) {
        if self.state != State::Recovering || self.recovery.stage != Stage::Executors {
            return;
        }
        let mut executors = self.frameworks.values().flat_map(|framework| framework.executors.values());
        if !executors.any(|executor| executor.state == ExecutorState::Registering) {
            self.finish_recovery(turn);
        }
    }

    fn finish_recovery(&mut self, turn: &mut Turn<'_>) {
        turn.cancel_timer(Timer::ExecutorReregister);
        turn.cancel_timer(Timer::ExecutorReconnect);
        self.finish_drain_if_idle(turn);
        let recovery = std::mem::take(&mut self.recovery);
        let took = turn.now.since(self.start_time);
        self.recovery_time = Some(took);
        turn.info(format!("Finished recovery after {}", messor_stdx::format_duration(rounded(took))));
        if let Some(id) = self.id.clone().filter(|_| self.info_changed) {
            // Nobody waits for this: records are durable in their order, and what is said with more resources than
            // before has a record of its own that comes later.
            let info = Box::new(self.info.as_ref().clone());
            self.persist(turn, Record::Agent { id, info }, Ticket::Nothing);
        }
        // After everything that follows from the host's new start: until then it starts anew for the next one too.
        self.persist(turn, Record::Boot, Ticket::Nothing);
        for other in recovery.others {
            turn.info(format!("What is left of agent {other} will be removed"));
            turn.effect(Effect::ScheduleGcOfOld { path: format!("slaves/{other}") });
            turn.effect(Effect::ScheduleGcOfOld { path: format!("meta/slaves/{other}") });
        }
        match self.config.recover {
            Recover::Reconnect => {
                self.state = State::Disconnected;
                self.begin_oversubscription(turn);
                if let Some(leader) = recovery.leader {
                    self.detected(turn, leader);
                }
                if let Some(reason) = recovery.shut_down {
                    self.shut_down(turn, &reason);
                }
            }
            Recover::Cleanup => {
                self.state = State::Terminating;
                if self.frameworks.is_empty() {
                    self.end(turn, "cleaned up, as --recover=cleanup asks for".to_string());
                }
            }
        }
    }
}

fn recovered_run(framework: &FrameworkId, executor: &Executor) -> Run {
    Run {
        container: executor.container.clone(),
        framework: framework.clone(),
        executor_id: executor.id.clone(),
        executor: executor.info.as_ref().clone(),
        forked_pid: executor.process,
        directory: executor.directory.clone(),
        resources: executor.allocated(),
    }
}

/// To milliseconds, for people.
fn rounded(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
