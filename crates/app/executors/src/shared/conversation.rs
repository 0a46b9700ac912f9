//! The conversation with the agent that every executor leads: found, subscribed, lost, found again; what is told is told
//! until it is acknowledged. It must not know how tasks run, nor sockets or clocks.

use std::time::Duration;

use messor_proto::mesos::executor::{Call, Event as AgentEvent, event};
use messor_proto::mesos::framework_info::capability::Type as FrameworkCapability;
use messor_proto::mesos::{ExecutorId, FrameworkId, KillPolicy, TaskInfo, TaskState, TaskStatus};
use messor_stdx::Time;

use super::Now;
use super::agent::Heard;
use super::check::{Outcome, Verdict};
use super::link::{Link, Recovery, Step};
use super::status::Stamps;
use super::updates::Updates;

/// The grace a task gets when neither it nor the kill says.
const DEFAULT_KILL_GRACE: Duration = Duration::from_secs(3);

/// What an executor keeps back of its shutdown grace period, so that it can tell of the ends before it is ended itself.
pub const SHUTDOWN_RESERVE: Duration = Duration::from_secs(2);

/// An agent that is there and does not acknowledge the last updates in this time will not.
const ACKNOWLEDGEMENT_LIMIT: Duration = Duration::from_secs(60);

/// What it wants done: each executor has it among its effects.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// Open the connections with the executor API; those that are open are closed.
    Open,
    Send(Box<Call>),
    Say(String),
}

/// What came of what was heard, where it is for the executor to deal with.
#[derive(Debug)]
pub enum Came {
    /// For [`Conversation::step`].
    Step(Step),
    /// The agent is away; then there may be a step.
    Lost(Option<Step>),
    Agent(event::Type, Box<AgentEvent>),
}

#[derive(Debug)]
pub struct Conversation {
    executor: ExecutorId,
    pub stamps: Stamps,
    pub link: Link,
    pub updates: Updates,
    /// The latest refusal that was said.
    refused_with: Option<u16>,
    /// The framework knows TASK_KILLING.
    pub sends_killing: bool,
    acknowledged_by: Option<Time>,
}

impl Conversation {
    pub fn new(
        framework: FrameworkId,
        executor: ExecutorId,
        recovery: Option<Recovery>,
        seed: [u64; 2],
    ) -> Conversation {
        Conversation {
            stamps: Stamps::new(seed),
            link: Link::new(recovery),
            updates: Updates::new(framework, executor.clone()),
            executor,
            refused_with: None,
            sends_killing: false,
            acknowledged_by: None,
        }
    }

    pub fn deadline(&self) -> Time {
        self.link.deadline().min(self.acknowledged_by.unwrap_or(Time::NEVER))
    }

    pub fn heard<E: From<Word>>(&mut self, now: Now, heard: Heard, effects: &mut Vec<E>) -> Option<Came> {
        match heard {
            Heard::Opened => return self.link.opened().map(Came::Step),
            Heard::Lost(reason) => {
                // Of all attempts to find it again the first tells enough.
                if !self.link.is_given_up() && !self.link.is_searching() {
                    say(effects, format!("lost the agent: {reason}"));
                }
                self.updates.lost();
                self.acknowledged_by = None;
                let dice = self.stamps.dice();
                return Some(Came::Lost(self.link.lost(now.steady, &reason, dice)));
            }
            Heard::Refused(status) => {
                if self.refused_with.replace(status) != Some(status) {
                    let text =
                        format!("the agent answered SUBSCRIBE with HTTP status {status}; asking again");
                    say(effects, text);
                }
                self.link.refused(now.steady);
            }
            Heard::CallRefused(status) => {
                say(effects, format!("the agent did not take a call: it answered with HTTP status {status}"));
            }
            Heard::Agent(event) => {
                let kind = event.r#type.and_then(|kind| event::Type::try_from(kind).ok());
                return Some(Came::Agent(kind.unwrap_or(event::Type::Unknown), event));
            }
        }
        None
    }

    /// Events of which an executor has nothing of its own to make.
    pub fn left_out<E: From<Word>>(&self, kind: event::Type, event: &AgentEvent, effects: &mut Vec<E>) {
        match (kind, &event.error) {
            (event::Type::Error, Some(error)) => say(effects, format!("the agent says: {}", error.message)),
            // An executor of Mesos has nobody to give framework messages to.
            (event::Type::Message | event::Type::Heartbeat, _) => {}
            (kind, _) => {
                let name = kind.as_str_name();
                say(effects, format!("an event {name} that cannot be understood is left out"));
            }
        }
    }

    /// `has_ended`: nothing is left to do but to tell how it ended.
    pub fn subscribed<E: From<Word>>(
        &mut self,
        now: Now,
        subscribed: &event::Subscribed,
        has_ended: bool,
        effects: &mut Vec<E>,
    ) {
        let killing = Some(FrameworkCapability::TaskKillingState as i32);
        self.sends_killing = subscribed.framework_info.capabilities.iter().any(|one| one.r#type == killing);
        self.refused_with = None;
        self.link.subscribed(now.steady);
        self.send_updates(effects);
        self.await_acknowledgement(now, has_ended);
    }

    /// `unacknowledged` are the tasks that the agent may not know. Whether the agent is gone for good.
    pub fn step<E: From<Word>>(
        &mut self,
        step: Step,
        unacknowledged: impl FnOnce() -> Vec<TaskInfo>,
        effects: &mut Vec<E>,
    ) -> bool {
        let word = match step {
            Step::Open => Word::Open,
            Step::Subscribe => Word::Send(Box::new(self.updates.subscribe(unacknowledged()))),
            Step::Heartbeat => Word::Send(Box::new(self.updates.heartbeat())),
            Step::GiveUp(reason) => {
                say(effects, format!("the agent is gone: {reason}; shutting down"));
                return true;
            }
        };
        effects.push(word.into());
        false
    }

    /// The update that the agent has for good.
    pub fn acknowledged<E: From<Word>>(&mut self, uuid: &[u8], effects: &mut Vec<E>) -> Option<TaskStatus> {
        let status = self.updates.acknowledged(uuid);
        if status.is_none() {
            say(effects, "the agent acknowledged an update that does not wait for it".to_string());
        }
        status
    }

    /// The time in which a present agent has to acknowledge the ends begins. While it is away its recovery timeout is
    /// the bound: an end must not be lost because the agent restarts.
    pub fn await_acknowledgement(&mut self, now: Now, has_ended: bool) {
        if has_ended && self.link.is_subscribed() {
            self.acknowledged_by = Some(now.steady + ACKNOWLEDGEMENT_LIMIT);
        }
    }

    /// There is more to do than to wait for acknowledgements.
    pub fn goes_on(&mut self) {
        self.acknowledged_by = None;
    }

    pub fn is_unacknowledged_too_long(&self, now: Now) -> bool {
        self.acknowledged_by.is_some_and(|at| at <= now.steady)
    }

    /// The status of a task in a new state.
    pub fn status(&mut self, now: Now, info: &TaskInfo, state: TaskState) -> TaskStatus {
        self.stamps.status(now.wall, &self.executor, info, state)
    }

    pub fn forward<E: From<Word>>(&mut self, status: TaskStatus, effects: &mut Vec<E>) {
        self.updates.add(status);
        self.send_updates(effects);
    }

    fn send_updates<E: From<Word>>(&mut self, effects: &mut Vec<E>) {
        if self.link.is_subscribed() {
            let calls = self.updates.unsent();
            effects.extend(calls.into_iter().map(|call| Word::Send(Box::new(call)).into()));
        }
    }

    /// Tells the result of a check of a task, of which `told` was told last. Whether the task is to be killed for it.
    pub fn checked<E: From<Word>>(
        &mut self,
        now: Now,
        name: &str,
        told: &mut Option<TaskStatus>,
        verdict: Verdict,
        outcome: &Outcome,
        effects: &mut Vec<E>,
    ) -> bool {
        let Some(last) = told else { return false };
        if verdict.is_unhealthy() {
            let why = match outcome {
                Ok(measure) => format!("{measure:?}"),
                Err(problem) => problem.clone(),
            };
            say(effects, format!("{name} is not healthy: {why}"));
        }
        let (status, kill) = self.stamps.after_check(now.wall, last, verdict);
        if self.updates.is_full() {
            let text = "too many updates wait for the agent: this result of a check is not told";
            say(effects, text.to_string());
        } else {
            *told = Some(status.clone());
            self.forward(status, effects);
        }
        kill
    }
}

pub fn say<E: From<Word>>(effects: &mut Vec<E>, text: String) {
    effects.push(Word::Say(text).into());
}

/// The grace that a task gets: by the kill, by itself, or by default.
pub fn grace_of(info: &TaskInfo, policy: Option<KillPolicy>) -> Duration {
    let grace = policy.and_then(|policy| policy.grace_period);
    let own = info.kill_policy.and_then(|policy| policy.grace_period);
    grace.or(own).map_or(DEFAULT_KILL_GRACE, |grace| nanoseconds(grace.nanoseconds))
}

/// When a task that runs from now on has run too long.
pub fn completion_of(info: &TaskInfo, now: Now) -> Option<Time> {
    let limit = info.max_completion_time.map_or(Duration::ZERO, |time| nanoseconds(time.nanoseconds));
    (!limit.is_zero()).then(|| now.steady + limit)
}

fn nanoseconds(nanoseconds: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::DurationInfo;

    #[test]
    fn the_grace_is_of_the_kill_then_of_the_task_then_three_seconds() {
        let policy = |seconds: i64| KillPolicy {
            grace_period: Some(DurationInfo { nanoseconds: seconds * 1_000_000_000 }),
        };
        let plain = TaskInfo::default();
        let own = TaskInfo { kill_policy: Some(policy(7)), ..TaskInfo::default() };
        assert_eq!(grace_of(&plain, None), Duration::from_secs(3));
        assert_eq!(grace_of(&own, None), Duration::from_secs(7));
        assert_eq!(grace_of(&own, Some(policy(1))), Duration::from_secs(1));
        assert_eq!(grace_of(&own, Some(KillPolicy::default())), Duration::from_secs(7));
        assert_eq!(grace_of(&own, Some(policy(-1))), Duration::ZERO);
    }

    #[test]
    fn a_time_to_complete_of_nothing_is_none() {
        let now = Now { steady: Time::from_nanos(5), wall: Time::ZERO };
        let info = |nanoseconds| TaskInfo {
            max_completion_time: Some(DurationInfo { nanoseconds }),
            ..TaskInfo::default()
        };
        assert_eq!(completion_of(&TaskInfo::default(), now), None);
        assert_eq!(completion_of(&info(0), now), None);
        assert_eq!(completion_of(&info(3), now), Some(Time::from_nanos(8)));
    }
}
