//! The life of one task: launched, checked, killed, ended, told and acknowledged. Events in, effects out: it must not
//! know sockets, processes or clocks.
//!
//! What the agent must learn stays in `updates` until it acknowledges it; what it may not have got is sent again with
//! the next subscription.

use std::time::Duration;

use messor_linux::Exit;
use messor_proto::mesos::executor::{Event as AgentEvent, event};
use messor_proto::mesos::framework_info::capability::Type as FrameworkCapability;
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{ExecutorId, FrameworkId, KillPolicy, TaskId, TaskInfo, TaskState, TaskStatus};
use messor_stdx::{Time, format_duration};

use super::contract::{Effect, Event};
use crate::shared::Now;
use crate::shared::agent::Heard;
use crate::shared::check::{Check, Due, Outcome, Which, name_of};
use crate::shared::link::{Link, Recovery, Step};
use crate::shared::status::{Stamps, is_terminal};
use crate::shared::updates::Updates;

/// The grace a task gets when neither it nor the kill says.
const DEFAULT_KILL_GRACE: Duration = Duration::from_secs(3);

/// What an executor keeps back of its shutdown grace period, so that it can tell of the end before it is ended itself.
const SHUTDOWN_RESERVE: Duration = Duration::from_secs(2);

/// An agent that is there and does not acknowledge the last update in this time will not.
const ACKNOWLEDGEMENT_LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct Settings {
    pub framework: FrameworkId,
    pub executor: ExecutorId,
    pub shutdown_grace: Duration,
    pub recovery: Option<Recovery>,
    /// Randomness for the ids of updates and for waiting times.
    pub seed: [u64; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Only until the answer to [`Effect::Start`], before which no other event comes.
    Starting,
    Running,
    Ended,
}

#[derive(Clone, Copy, Debug)]
struct Killing {
    since: Time,
    escalate: Time,
    escalated: bool,
}

#[derive(Debug)]
struct Task {
    info: TaskInfo,
    life: Life,
    /// Some update about it was acknowledged: the agent knows of it for good.
    acknowledged: bool,
    told: Option<TaskStatus>,
    completion: Option<Time>,
    killing: Option<Killing>,
    unhealthy: bool,
    overran: bool,
    checks: Vec<(Which, Check)>,
}

#[derive(Debug)]
pub struct Machine {
    executor: ExecutorId,
    shutdown_grace: Duration,
    stamps: Stamps,
    link: Link,
    /// The latest refusal that was said.
    refused_with: Option<u16>,
    sends_killing: bool,
    task: Option<Task>,
    updates: Updates,
    /// When shutting down: the time to end at whatever the task does.
    last_moment: Option<Time>,
    acknowledged_by: Option<Time>,
    exited: bool,
}

impl Machine {
    pub fn new(settings: Settings) -> Machine {
        Machine {
            stamps: Stamps::new(settings.seed),
            updates: Updates::new(settings.framework, settings.executor.clone()),
            executor: settings.executor,
            shutdown_grace: settings.shutdown_grace,
            link: Link::new(settings.recovery),
            refused_with: None,
            sends_killing: false,
            task: None,
            last_moment: None,
            acknowledged_by: None,
            exited: false,
        }
    }

    /// When the next `Tick` is wanted, on the steady clock.
    pub fn deadline(&self) -> Time {
        let mut deadline = self.link.deadline();
        let mut add = |at: Option<Time>| deadline = deadline.min(at.unwrap_or(Time::NEVER));
        add(self.last_moment);
        add(self.acknowledged_by);
        if let Some(task) = self.task.as_ref().filter(|task| task.life == Life::Running) {
            add(task.completion);
            add(task.killing.filter(|killing| !killing.escalated).map(|killing| killing.escalate));
            task.checks.iter().for_each(|(_, check)| add(Some(check.deadline())));
        }
        deadline
    }

    pub fn handle(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        if self.exited {
            return;
        }
        match event {
            Event::Heard(heard) => self.heard(now, heard, effects),
            Event::Started(pid) => self.started(now, pid, effects),
            Event::NotStarted(problem) => {
                say(effects, problem.clone());
                self.started_at_all(now, effects);
                // As 1.11.0 tells it, whose helper process ends with status 1 then.
                self.ended(now, Exit::Exited(1), Some(problem), effects);
            }
            Event::Ended(exit) => self.ended(now, exit, None, effects),
            Event::Measured(which, outcome) => self.measured(now, which, outcome, effects),
            Event::Terminate => {
                say(effects, "asked to terminate".to_string());
                self.shutdown(now, effects);
            }
            Event::Tick => self.tick(now, effects),
        }
    }

    fn heard(&mut self, now: Now, heard: Heard, effects: &mut Vec<Effect>) {
        match heard {
            Heard::Opened => {
                let step = self.link.opened();
                self.step(now, step, effects);
            }
            Heard::Lost(reason) => {
                // Of all attempts to find it again the first tells enough.
                if !self.link.is_given_up() && !self.link.is_searching() {
                    say(effects, format!("lost the agent: {reason}"));
                }
                self.updates.lost();
                self.acknowledged_by = None;
                let dice = self.stamps.dice();
                let step = self.link.lost(now.steady, &reason, dice);
                self.step(now, step, effects);
            }
            Heard::Refused(status) => {
                if self.refused_with.replace(status) != Some(status) {
                    say(
                        effects,
                        format!("the agent answered SUBSCRIBE with HTTP status {status}; asking again"),
                    );
                }
                self.link.refused(now.steady);
            }
            Heard::CallRefused(status) => {
                say(effects, format!("the agent did not take a call: it answered with HTTP status {status}"));
            }
            Heard::Agent(event) => self.agent(now, *event, effects),
        }
    }

    fn agent(&mut self, now: Now, event: AgentEvent, effects: &mut Vec<Effect>) {
        let kind =
            event.r#type.and_then(|kind| event::Type::try_from(kind).ok()).unwrap_or(event::Type::Unknown);
        match (kind, event) {
            (event::Type::Subscribed, AgentEvent { subscribed: Some(subscribed), .. }) => {
                say(effects, format!("subscribed with the agent on {}", subscribed.agent_info.hostname));
                let killing = Some(FrameworkCapability::TaskKillingState as i32);
                self.sends_killing =
                    subscribed.framework_info.capabilities.iter().any(|one| one.r#type == killing);
                self.refused_with = None;
                self.link.subscribed(now.steady);
                self.send_updates(effects);
                self.await_acknowledgement(now);
            }
            (event::Type::Launch, AgentEvent { launch: Some(launch), .. }) => {
                self.launch(now, launch.task, effects)
            }
            (event::Type::LaunchGroup, _) => {
                say(effects, "a task group cannot be run by a command executor; shutting down".to_string());
                self.shutdown(now, effects);
            }
            (event::Type::Kill, AgentEvent { kill: Some(kill), .. }) => {
                self.kill_asked(now, &kill.task_id, kill.kill_policy, effects);
            }
            (event::Type::Acknowledged, AgentEvent { acknowledged: Some(acknowledged), .. }) => {
                self.acknowledged(&acknowledged.uuid, effects);
            }
            (event::Type::Shutdown, _) => {
                say(effects, "the agent wants this executor to shut down".to_string());
                self.shutdown(now, effects);
            }
            (event::Type::Error, AgentEvent { error: Some(error), .. }) => {
                say(effects, format!("the agent says: {}", error.message));
            }
            // A command executor has nobody to give framework messages to.
            (event::Type::Message | event::Type::Heartbeat, _) => {}
            (kind, _) => {
                say(effects, format!("an event {} that cannot be understood is left out", kind.as_str_name()))
            }
        }
    }

    fn launch(&mut self, now: Now, info: TaskInfo, effects: &mut Vec<Effect>) {
        if let Some(task) = &self.task {
            if task.info.task_id == info.task_id {
                say(effects, format!("task {} is launched already", info.task_id.value));
                return;
            }
            let mut status = self.stamps.status(now.wall, &self.executor, &info, TaskState::TaskFailed);
            status.message = Some("Attempted to run multiple tasks using a \"command\" executor".to_string());
            self.forward(status, effects);
            return;
        }
        let limit = info.max_completion_time.map_or(Duration::ZERO, |time| nanoseconds(time.nanoseconds));
        self.task = Some(Task {
            life: Life::Starting,
            acknowledged: false,
            told: None,
            completion: (!limit.is_zero()).then(|| now.steady + limit),
            killing: None,
            unhealthy: false,
            overran: false,
            checks: Vec::new(),
            info,
        });
        self.tell(now, TaskState::TaskStarting, None, None, effects);
        if let Some(task) = &self.task {
            say(effects, format!("starting task {}", task.info.task_id.value));
            effects.push(Effect::Start(Box::new(task.info.clone())));
        }
    }

    fn started(&mut self, now: Now, pid: i32, effects: &mut Vec<Effect>) {
        if self.task.as_ref().is_none_or(|task| task.life != Life::Starting) {
            return;
        }
        say(effects, format!("started the command as process {pid}"));
        self.started_at_all(now, effects);
        let Some(task) = self.task.as_mut().filter(|task| task.life == Life::Running) else { return };
        let health =
            task.info.health_check.as_ref().map(|info| (Which::Health, Check::health(now.steady, info)));
        let general = task.info.check.as_ref().map(|info| (Which::General, Check::general(now.steady, info)));
        for (which, check) in general.into_iter().chain(health) {
            match check {
                Ok(check) => task.checks.push((which, check)),
                Err(problem) => say(effects, format!("the {} is not carried out: {problem}", name_of(which))),
            }
        }
    }

    fn started_at_all(&mut self, now: Now, effects: &mut Vec<Effect>) {
        match &mut self.task {
            Some(task) if task.life == Life::Starting => task.life = Life::Running,
            _ => return,
        }
        self.tell(now, TaskState::TaskRunning, None, None, effects);
    }

    fn kill_asked(&mut self, now: Now, id: &TaskId, policy: Option<KillPolicy>, effects: &mut Vec<Effect>) {
        let Some(task) = &self.task else {
            // It will not come any more: the agent has forgotten it.
            say(effects, format!("task {} is to be killed and was never launched; ending", id.value));
            return self.exit(false, effects);
        };
        if task.info.task_id != *id {
            say(effects, format!("task {} is to be killed and is not the one running here", id.value));
            return;
        }
        let grace = policy.and_then(|policy| policy.grace_period);
        let own = task.info.kill_policy.and_then(|policy| policy.grace_period);
        let grace = grace.or(own).map_or(DEFAULT_KILL_GRACE, |grace| nanoseconds(grace.nanoseconds));
        self.kill(now, grace, effects);
    }

    /// Begins to kill the task, or shortens the grace it has left.
    fn kill(&mut self, now: Now, grace: Duration, effects: &mut Vec<Effect>) {
        let Some(task) = self.task.as_mut().filter(|task| task.life == Life::Running) else { return };
        task.completion = None;
        let now_steady = now.steady;
        if let Some(killing) = &mut task.killing {
            let escalate = killing.since + grace;
            if !killing.escalated && escalate < killing.escalate {
                killing.escalate = escalate.max(now_steady);
                let left = format_duration(killing.escalate.since(now_steady));
                say(effects, format!("the task is killed for good in {left}"));
            }
            return;
        }
        task.killing = Some(Killing { since: now_steady, escalate: now_steady + grace, escalated: false });
        stop_checks(task, effects);
        if self.sends_killing && !task.overran {
            self.tell(now, TaskState::TaskKilling, None, None, effects);
        }
        say(effects, format!("terminating the task; it is killed for good in {}", format_duration(grace)));
        effects.push(Effect::Terminate);
    }

    fn ended(&mut self, now: Now, exit: Exit, detail: Option<String>, effects: &mut Vec<Effect>) {
        let Some(task) = self.task.as_mut().filter(|task| task.life == Life::Running) else { return };
        task.life = Life::Ended;
        task.completion = None;
        let killed = task.killing.take().is_some();
        stop_checks(task, effects);
        let (state, reason) = match (task.overran, killed, exit.success()) {
            (true, _, _) => (TaskState::TaskFailed, Some(Reason::MaxCompletionTimeReached)),
            (_, true, _) => (TaskState::TaskKilled, None),
            (_, _, true) => (TaskState::TaskFinished, None),
            (_, _, false) => (TaskState::TaskFailed, None),
        };
        let mut message = format!("Command {exit}");
        say(effects, message.clone());
        if let Some(detail) = detail {
            message = format!("{message}: {detail}");
        }
        // What the task left behind goes with it, before anybody takes its resources for free.
        effects.push(Effect::Kill);
        self.tell(now, state, reason, Some(message), effects);
        self.await_acknowledgement(now);
        if self.link.is_given_up() {
            say(effects, "the agent is gone and will not learn how the task ended".to_string());
            self.exit(false, effects);
        }
    }

    /// Shutting down an executor of one task is killing that task.
    fn shutdown(&mut self, now: Now, effects: &mut Vec<Effect>) {
        match self.task.as_ref().map(|task| task.life) {
            None => self.exit(true, effects),
            Some(Life::Ended) if self.link.is_given_up() => self.exit(false, effects),
            Some(_) => {
                self.last_moment.get_or_insert(now.steady + self.shutdown_grace);
                self.kill(now, self.shutdown_grace.saturating_sub(SHUTDOWN_RESERVE), effects);
            }
        }
    }

    fn measured(&mut self, now: Now, which: Which, outcome: Outcome, effects: &mut Vec<Effect>) {
        let Some(task) = self.task.as_mut().filter(|task| task.life == Life::Running) else { return };
        let Some((_, check)) = task.checks.iter_mut().find(|(one, _)| *one == which) else { return };
        let Some(verdict) = check.judge(now.steady, &outcome) else { return };
        let Some(told) = &task.told else { return };
        if verdict.is_unhealthy() {
            let why = match &outcome {
                Ok(measure) => format!("{measure:?}"),
                Err(problem) => problem.clone(),
            };
            say(effects, format!("the task is not healthy: {why}"));
        }
        let (status, kill) = self.stamps.after_check(now.wall, told, verdict);
        if self.updates.is_full() {
            say(
                effects,
                "too many updates wait for the agent: this result of a check is not told".to_string(),
            );
        } else {
            task.told = Some(status.clone());
            self.forward(status, effects);
        }
        if let Some(task) = self.task.as_mut().filter(|_| kill) {
            task.unhealthy = true;
            let policy = task.info.kill_policy;
            let id = task.info.task_id.clone();
            self.kill_asked(now, &id, policy, effects);
        }
    }

    fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while let Some(step) = self.link.due(now.steady) {
            self.step(now, Some(step), effects);
        }
        if self.exited {
            return;
        }
        let come = |at: Option<Time>| at.is_some_and(|at| at <= now.steady);
        if let Some(task) = self.task.as_mut().filter(|task| task.life == Life::Running) {
            let mut late = Vec::new();
            for (which, check) in &mut task.checks {
                match check.due(now.steady) {
                    Some(Due::Start(probe)) => effects.push(Effect::Probe(*which, probe)),
                    Some(Due::TooLong(problem)) => {
                        effects.push(Effect::StopProbe(*which));
                        late.push((*which, problem));
                    }
                    None => {}
                }
            }
            if let Some(killing) = &mut task.killing
                && !killing.escalated
                && killing.escalate <= now.steady
            {
                killing.escalated = true;
                say(effects, "the task did not terminate in time; killing it".to_string());
                effects.push(Effect::Kill);
            }
            if come(task.completion) {
                task.overran = true;
                say(effects, "the task ran longer than its max_completion_time; killing it".to_string());
                self.kill(now, Duration::ZERO, effects);
            }
            for (which, problem) in late {
                self.measured(now, which, Err(problem), effects);
            }
        }
        if come(self.acknowledged_by) {
            say(effects, "the agent did not acknowledge the last update; ending".to_string());
            self.exit(false, effects);
        } else if come(self.last_moment) {
            say(effects, "the time to shut down is over; ending".to_string());
            effects.push(Effect::Kill);
            self.exit(false, effects);
        }
    }

    fn step(&mut self, now: Now, step: Option<Step>, effects: &mut Vec<Effect>) {
        match step {
            None => {}
            Some(Step::Open) => effects.push(Effect::Open),
            Some(Step::Subscribe) => {
                let tasks = self.task.iter().filter(|task| !task.acknowledged).map(|task| task.info.clone());
                let call = self.updates.subscribe(tasks.collect());
                effects.push(Effect::Send(Box::new(call)));
            }
            Some(Step::Heartbeat) => effects.push(Effect::Send(Box::new(self.updates.heartbeat()))),
            Some(Step::GiveUp(reason)) => {
                say(effects, format!("the agent is gone: {reason}; shutting down"));
                self.shutdown(now, effects);
            }
        }
    }

    fn acknowledged(&mut self, uuid: &[u8], effects: &mut Vec<Effect>) {
        let Some(status) = self.updates.acknowledged(uuid) else {
            say(effects, "the agent acknowledged an update that does not wait for it".to_string());
            return;
        };
        let Some(task) = self.task.as_mut().filter(|task| task.info.task_id == status.task_id) else {
            return;
        };
        task.acknowledged = true;
        if is_terminal(&status) {
            self.exit(true, effects);
        }
    }

    /// Tells a new state of the task.
    fn tell(
        &mut self,
        now: Now,
        state: TaskState,
        reason: Option<Reason>,
        message: Option<String>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(task) = &mut self.task else { return };
        let mut status = self.stamps.status(now.wall, &self.executor, &task.info, state);
        status.reason = reason.map(|reason| reason as i32);
        status.message = message;
        if task.unhealthy && state == TaskState::TaskKilled {
            status.healthy = Some(false);
        }
        task.told = Some(status.clone());
        self.forward(status, effects);
    }

    fn forward(&mut self, status: TaskStatus, effects: &mut Vec<Effect>) {
        self.updates.add(status);
        self.send_updates(effects);
    }

    fn send_updates(&mut self, effects: &mut Vec<Effect>) {
        if !self.link.is_subscribed() {
            return;
        }
        for call in self.updates.unsent() {
            effects.push(Effect::Send(Box::new(call)));
        }
    }

    /// The time in which a present agent has to acknowledge the end begins. While it is away its recovery timeout is
    /// the bound: an end must not be lost because the agent restarts.
    fn await_acknowledgement(&mut self, now: Now) {
        let ended = self.task.as_ref().is_some_and(|task| task.life == Life::Ended);
        if ended && self.link.is_subscribed() {
            self.acknowledged_by = Some(now.steady + ACKNOWLEDGEMENT_LIMIT);
        }
    }

    fn exit(&mut self, success: bool, effects: &mut Vec<Effect>) {
        self.exited = true;
        effects.push(Effect::Exit { success });
    }
}

fn stop_checks(task: &mut Task, effects: &mut Vec<Effect>) {
    for (which, check) in &mut task.checks {
        if check.stop() {
            effects.push(Effect::StopProbe(*which));
        }
    }
}

fn nanoseconds(nanoseconds: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

fn say(effects: &mut Vec<Effect>, text: String) {
    effects.push(Effect::Say(text));
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
