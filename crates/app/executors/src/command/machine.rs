//! The life of one task: launched, checked, killed, ended, told and acknowledged. Events in, effects out: it must not
//! know sockets, processes or clocks.
//!
//! What the agent must learn stays in `updates` until it acknowledges it; what it may not have got is sent again with
//! the next subscription.

use std::time::Duration;

use messor_linux::Exit;
use messor_proto::mesos::executor::{Event as AgentEvent, event};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{ExecutorId, FrameworkId, KillPolicy, TaskId, TaskInfo, TaskState, TaskStatus};
use messor_stdx::{Time, format_duration};

use super::contract::{Effect, Event};
use crate::shared::Now;
use crate::shared::agent::Heard;
use crate::shared::check::{self, Check, Due, Outcome, Which};
use crate::shared::conversation::{Came, Conversation, SHUTDOWN_RESERVE, completion_of, grace_of, say};
use crate::shared::link::{Recovery, Step};
use crate::shared::status::is_terminal;

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
    shutdown_grace: Duration,
    conversation: Conversation,
    task: Option<Task>,
    /// When shutting down: the time to end at whatever the task does.
    last_moment: Option<Time>,
    exited: bool,
}

impl Machine {
    pub fn new(settings: Settings) -> Machine {
        Machine {
            conversation: Conversation::new(
                settings.framework,
                settings.executor,
                settings.recovery,
                settings.seed,
            ),
            shutdown_grace: settings.shutdown_grace,
            task: None,
            last_moment: None,
            exited: false,
        }
    }

    /// When the next `Tick` is wanted, on the steady clock.
    pub fn deadline(&self) -> Time {
        let mut deadline = self.conversation.deadline();
        let mut add = |at: Option<Time>| deadline = deadline.min(at.unwrap_or(Time::NEVER));
        add(self.last_moment);
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
        match self.conversation.heard(now, heard, effects) {
            Some(Came::Step(step) | Came::Lost(Some(step))) => self.step(now, step, effects),
            Some(Came::Lost(None)) | None => {}
            Some(Came::Agent(kind, event)) => self.agent(now, kind, *event, effects),
        }
    }

    fn agent(&mut self, now: Now, kind: event::Type, event: AgentEvent, effects: &mut Vec<Effect>) {
        match (kind, event) {
            (event::Type::Subscribed, AgentEvent { subscribed: Some(subscribed), .. }) => {
                say(effects, format!("subscribed with the agent on {}", subscribed.agent_info.hostname));
                let has_ended = self.has_ended();
                self.conversation.subscribed(now, &subscribed, has_ended, effects);
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
            (kind, event) => self.conversation.left_out(kind, &event, effects),
        }
    }

    fn launch(&mut self, now: Now, info: TaskInfo, effects: &mut Vec<Effect>) {
        if let Some(task) = &self.task {
            if task.info.task_id == info.task_id {
                say(effects, format!("task {} is launched already", info.task_id.value));
                return;
            }
            let mut status = self.conversation.status(now, &info, TaskState::TaskFailed);
            status.message = Some("Attempted to run multiple tasks using a \"command\" executor".to_string());
            return self.conversation.forward(status, effects);
        }
        self.task = Some(Task {
            life: Life::Starting,
            acknowledged: false,
            told: None,
            completion: completion_of(&info, now),
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
        let (checks, problems) = check::of_task(now.steady, &task.info);
        task.checks = checks;
        problems.into_iter().for_each(|problem| say(effects, problem));
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
        let grace = grace_of(&task.info, policy);
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
        if self.conversation.sends_killing && !task.overran {
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
        let has_ended = self.has_ended();
        self.conversation.await_acknowledgement(now, has_ended);
        if self.conversation.link.is_given_up() {
            say(effects, "the agent is gone and will not learn how the task ended".to_string());
            self.exit(false, effects);
        }
    }

    /// Shutting down an executor of one task is killing that task.
    fn shutdown(&mut self, now: Now, effects: &mut Vec<Effect>) {
        match self.task.as_ref().map(|task| task.life) {
            None => self.exit(true, effects),
            Some(Life::Ended) if self.conversation.link.is_given_up() => self.exit(false, effects),
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
        let kill = self.conversation.checked(now, "the task", &mut task.told, verdict, &outcome, effects);
        if let Some(task) = self.task.as_mut().filter(|_| kill) {
            task.unhealthy = true;
            let policy = task.info.kill_policy;
            let id = task.info.task_id.clone();
            self.kill_asked(now, &id, policy, effects);
        }
    }

    fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while let Some(step) = self.conversation.link.due(now.steady) {
            self.step(now, step, effects);
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
        if self.conversation.is_unacknowledged_too_long(now) {
            say(effects, "the agent did not acknowledge the last update; ending".to_string());
            self.exit(false, effects);
        } else if come(self.last_moment) {
            say(effects, "the time to shut down is over; ending".to_string());
            effects.push(Effect::Kill);
            self.exit(false, effects);
        }
    }

    fn step(&mut self, now: Now, step: Step, effects: &mut Vec<Effect>) {
        let tasks = self.task.iter().filter(|task| !task.acknowledged).map(|task| task.info.clone());
        if self.conversation.step(step, || tasks.collect(), effects) {
            self.shutdown(now, effects);
        }
    }

    fn acknowledged(&mut self, uuid: &[u8], effects: &mut Vec<Effect>) {
        let Some(status) = self.conversation.acknowledged(uuid, effects) else { return };
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
        let mut status = self.conversation.status(now, &task.info, state);
        status.reason = reason.map(|reason| reason as i32);
        status.message = message;
        if task.unhealthy && state == TaskState::TaskKilled {
            status.healthy = Some(false);
        }
        task.told = Some(status.clone());
        self.conversation.forward(status, effects);
    }

    /// Nothing is left to do but to tell how it ended.
    fn has_ended(&self) -> bool {
        self.task.as_ref().is_some_and(|task| task.life == Life::Ended)
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

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
