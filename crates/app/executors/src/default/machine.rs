//! The life of groups of tasks in nested containers: launched, waited for, checked, killed, ended, told and acknowledged.
//! Events in, effects out: it must not know sockets, processes or clocks.
//!
//! The agent runs the containers; this machine asks it to, and is told by WAIT how each of them ended. When the agent
//! is away containers go on, and what was asked meanwhile is asked again when it is back.

use std::time::Duration;

use messor_proto::mesos::executor::{Event as AgentEvent, event};
use messor_proto::mesos::{
    ContainerId, ExecutorId, FrameworkId, KillPolicy, TaskGroupInfo, TaskInfo, TaskState, TaskStatus,
};
use messor_stdx::{Time, format_duration};

use super::answers::End;
use super::calls;
use super::contract::{Effect, Event, Question};
use crate::shared::Now;
use crate::shared::agent::Heard;
use crate::shared::check::{Check, Due, Outcome, Which};
use crate::shared::conversation::{Came, Conversation, SHUTDOWN_RESERVE, grace_of, say};
use crate::shared::link::{Recovery, Step};
use crate::shared::status::uuid_text;

/// What the agent could not answer is asked again after this.
pub(super) const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

const SIGTERM: i32 = 15;
pub(super) const SIGKILL: i32 = 9;

#[derive(Clone, Debug)]
pub struct Settings {
    pub framework: FrameworkId,
    pub executor: ExecutorId,
    pub shutdown_grace: Duration,
    pub recovery: Option<Recovery>,
    /// Where this executor and its containers are reached, if that is known.
    pub ip: Option<String>,
    /// Randomness for ids and waiting times.
    pub seed: [u64; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// The agent was asked to launch it.
    Launching,
    /// The agent went away before it answered whether it launched it.
    Unknown,
    Running,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    No,
    Asked,
    Again(Time),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Killing {
    /// When to send SIGKILL (again).
    pub(super) escalate: Time,
    pub(super) escalated: bool,
    /// SIGTERM reached an agent.
    pub(super) sent: bool,
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) info: TaskInfo,
    pub(super) group: u64,
    pub(super) container: ContainerId,
    pub(super) life: Life,
    pub(super) waiting: Waiting,
    /// Some update about it was acknowledged: the agent knows of it for good.
    pub(super) acknowledged: bool,
    pub(super) told: Option<TaskStatus>,
    pub(super) completion: Option<Time>,
    pub(super) killing: Option<Killing>,
    /// It is to be killed, with this grace, as soon as it is there.
    pub(super) kill_at_launch: Option<Duration>,
    pub(super) unhealthy: bool,
    pub(super) overran: bool,
    pub(super) checks: Vec<(Which, Check)>,
}

impl Task {
    pub(super) fn id(&self) -> &str {
        &self.info.task_id.value
    }
}

#[derive(Debug)]
pub struct Machine {
    pub(super) settings: Settings,
    pub(super) conversation: Conversation,
    /// The executor's own, which the tasks' are nested in.
    pub(super) container: Option<ContainerId>,
    pub(super) tasks: Vec<Task>,
    pub(super) next_group: u64,
    /// Groups of which a task failed or was killed: the rest of them is being killed.
    pub(super) ending_groups: Vec<u64>,
    pub(super) containers_again: Option<Time>,
    pub(super) shutting_down: bool,
    /// When shutting down: the time to end at whatever the tasks do.
    pub(super) last_moment: Option<Time>,
    pub(super) exited: bool,
}

impl Machine {
    pub fn new(settings: Settings) -> Machine {
        Machine {
            conversation: Conversation::new(
                settings.framework.clone(),
                settings.executor.clone(),
                settings.recovery,
                settings.seed,
            ),
            settings,
            container: None,
            tasks: Vec::new(),
            next_group: 0,
            ending_groups: Vec::new(),
            containers_again: None,
            shutting_down: false,
            last_moment: None,
            exited: false,
        }
    }

    /// When the next `Tick` is wanted, on the steady clock.
    pub fn deadline(&self) -> Time {
        let mut deadline = self.conversation.deadline();
        let mut add = |at: Option<Time>| deadline = deadline.min(at.unwrap_or(Time::NEVER));
        add(self.last_moment);
        let subscribed = self.conversation.link.is_subscribed();
        if subscribed {
            add(self.containers_again);
        }
        for task in &self.tasks {
            add(task.completion);
            if subscribed {
                add(task.killing.map(|killing| killing.escalate));
                if let Waiting::Again(at) = task.waiting {
                    add(Some(at));
                }
            }
            // A check waits for the agent, too: its result could not be told.
            let checks = task.checks.iter().filter(|(_, check)| subscribed || check.is_running());
            checks.for_each(|(_, check)| add(Some(check.deadline())));
        }
        deadline
    }

    pub fn handle(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        if self.exited {
            return;
        }
        match event {
            Event::Heard(heard) => self.heard(now, heard, effects),
            Event::Answered(question, answer) => self.answered(now, question, answer, effects),
            Event::Measured(task, which, outcome) => self.measured(now, &task, which, outcome, effects),
            Event::Terminate => {
                say(effects, "asked to terminate".to_string());
                self.shutdown(now, effects);
            }
            Event::Tick => self.tick(now, effects),
        }
    }

    fn heard(&mut self, now: Now, heard: Heard, effects: &mut Vec<Effect>) {
        match self.conversation.heard(now, heard, effects) {
            None => {}
            Some(Came::Step(step)) => self.step(now, step, effects),
            Some(Came::Lost(step)) => {
                self.lost(now, effects);
                if let Some(step) = step {
                    self.step(now, step, effects);
                }
            }
            Some(Came::Agent(kind, event)) => self.agent(now, kind, *event, effects),
        }
    }

    /// The agent is away: what it was asked has no answer.
    fn lost(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.containers_again = None;
        effects.push(Effect::ForgetQuestions);
        for task in &mut self.tasks {
            task.waiting = Waiting::No;
            if task.life == Life::Launching {
                task.life = Life::Unknown;
            }
            if let Some(killing) = &mut task.killing {
                killing.sent = false;
            }
            for (which, check) in &mut task.checks {
                if check.is_running() {
                    check.abandon(now.steady);
                    effects.push(Effect::StopProbe(task.info.task_id.value.clone(), *which));
                }
            }
        }
    }

    fn agent(&mut self, now: Now, kind: event::Type, event: AgentEvent, effects: &mut Vec<Effect>) {
        match (kind, event) {
            (event::Type::Subscribed, AgentEvent { subscribed: Some(subscribed), .. }) => {
                self.subscribed(now, subscribed, effects);
            }
            (event::Type::LaunchGroup, AgentEvent { launch_group: Some(launch), .. }) => {
                self.launch_group(now, launch.task_group, effects);
            }
            (event::Type::Launch, _) => {
                let text = "a task of its own cannot be run by a default executor; shutting down".to_string();
                say(effects, text);
                self.shutdown(now, effects);
            }
            (event::Type::Kill, AgentEvent { kill: Some(kill), .. }) => {
                self.kill_asked(now, &kill.task_id.value, kill.kill_policy, effects);
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

    fn subscribed(&mut self, now: Now, subscribed: event::Subscribed, effects: &mut Vec<Effect>) {
        say(effects, format!("subscribed with the agent on {}", subscribed.agent_info.hostname));
        let Some(container) = subscribed.container_id.clone() else {
            say(effects, "the agent does not say which container this is; ending".to_string());
            return self.exit(false, effects);
        };
        self.container = Some(container);
        let has_ended = self.has_ended();
        self.conversation.subscribed(now, &subscribed, has_ended, effects);
        if self.tasks.iter().any(|task| task.life == Life::Unknown) {
            effects.push(Effect::Ask(Question::Containers, Box::new(calls::containers())));
        }
        for index in 0..self.tasks.len() {
            self.wait_for(index, effects);
            if self.tasks[index].killing.is_some_and(|killing| !killing.sent && !killing.escalated) {
                self.signal(index, SIGTERM, effects);
            }
        }
    }

    fn launch_group(&mut self, now: Now, group: TaskGroupInfo, effects: &mut Vec<Effect>) {
        let Some(parent) = self.container.clone() else { return };
        if self.shutting_down {
            say(effects, "a task group comes while this executor shuts down; it is left out".to_string());
            return;
        }
        let names: Vec<&str> = group.tasks.iter().map(|task| task.task_id.value.as_str()).collect();
        say(effects, format!("launching the tasks {}", names.join(", ")));
        let number = self.next_group;
        self.next_group += 1;
        self.conversation.goes_on();
        for info in group.tasks {
            if self.find(&info.task_id.value).is_some() {
                say(effects, format!("task {} is launched already", info.task_id.value));
                continue;
            }
            let container = ContainerId {
                value: uuid_text(&self.conversation.stamps.uuid()),
                parent: Some(Box::new(parent.clone())),
            };
            let call = calls::launch(&container, &info, self.settings.ip.as_deref());
            let question = Question::Launch(info.task_id.value.clone());
            self.tasks.push(Task {
                group: number,
                container,
                life: Life::Launching,
                waiting: Waiting::No,
                acknowledged: false,
                told: None,
                completion: None,
                killing: None,
                kill_at_launch: None,
                unhealthy: false,
                overran: false,
                checks: Vec::new(),
                info,
            });
            self.tell(now, self.tasks.len() - 1, TaskState::TaskStarting, End::default(), effects);
            effects.push(Effect::Ask(question, Box::new(call)));
        }
    }

    fn kill_asked(&mut self, now: Now, id: &str, policy: Option<KillPolicy>, effects: &mut Vec<Effect>) {
        let Some(index) = self.find(id) else {
            return say(effects, format!("task {id} is to be killed and is not here"));
        };
        if self.shutting_down {
            return say(effects, format!("task {id} is being killed already: this executor shuts down"));
        }
        let grace = grace_of(&self.tasks[index].info, policy);
        self.kill(now, index, grace, effects);
    }

    /// Begins to kill a task, or shortens the grace it has left.
    pub(super) fn kill(&mut self, now: Now, index: usize, grace: Duration, effects: &mut Vec<Effect>) {
        let task = &mut self.tasks[index];
        if task.life != Life::Running {
            let least = task.kill_at_launch.map_or(grace, |earlier| earlier.min(grace));
            task.kill_at_launch = Some(least);
            return;
        }
        task.completion = None;
        let escalate = now.steady + grace;
        if let Some(killing) = &mut task.killing {
            if !killing.escalated && escalate < killing.escalate {
                killing.escalate = escalate;
            }
            return;
        }
        task.killing = Some(Killing { escalate, escalated: false, sent: false });
        stop_checks(task, effects);
        let (id, overran) = (task.id().to_string(), task.overran);
        say(effects, format!("terminating task {id}; it is killed for good in {}", format_duration(grace)));
        if self.conversation.sends_killing && !overran {
            self.tell(now, index, TaskState::TaskKilling, End::default(), effects);
        }
        self.signal(index, SIGTERM, effects);
    }

    pub(super) fn signal(&mut self, index: usize, signal: i32, effects: &mut Vec<Effect>) {
        if !self.conversation.link.is_subscribed() {
            return;
        }
        let task = &mut self.tasks[index];
        if let Some(killing) = &mut task.killing {
            killing.sent = true;
        }
        let question = Question::Kill(task.id().to_string(), signal);
        effects.push(Effect::Ask(question, Box::new(calls::kill(&task.container, signal))));
    }

    pub(super) fn shutdown(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.conversation.link.is_given_up() {
            // Nobody is there to kill anything; the containers go with this one, whoever sees to that.
            return self.exit(false, effects);
        }
        if self.tasks.is_empty() && self.conversation.updates.is_empty() {
            return self.exit(true, effects);
        }
        if std::mem::replace(&mut self.shutting_down, true) {
            return;
        }
        self.last_moment = Some(now.steady + self.settings.shutdown_grace);
        let grace = self.settings.shutdown_grace.saturating_sub(SHUTDOWN_RESERVE);
        for index in 0..self.tasks.len() {
            self.kill(now, index, grace, effects);
        }
    }

    fn measured(
        &mut self,
        now: Now,
        id: &str,
        which: Which,
        outcome: Option<Outcome>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(index) = self.find(id) else { return };
        let task = &mut self.tasks[index];
        let Some((_, check)) = task.checks.iter_mut().find(|(one, _)| *one == which) else { return };
        let Some(outcome) = outcome else { return check.abandon(now.steady) };
        let Some(verdict) = check.judge(now.steady, &outcome) else { return };
        let name = format!("task {id}");
        let kill = self.conversation.checked(now, &name, &mut task.told, verdict, &outcome, effects);
        if kill {
            self.tasks[index].unhealthy = true;
            let grace = grace_of(&self.tasks[index].info, None);
            self.kill(now, index, grace, effects);
        }
    }

    fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while let Some(step) = self.conversation.link.due(now.steady) {
            self.step(now, step, effects);
        }
        if self.exited {
            return;
        }
        let subscribed = self.conversation.link.is_subscribed();
        let come = |at: Option<Time>| at.is_some_and(|at| at <= now.steady);
        if subscribed && come(self.containers_again) {
            self.containers_again = None;
            effects.push(Effect::Ask(Question::Containers, Box::new(calls::containers())));
        }
        for index in 0..self.tasks.len() {
            self.check_task(now, index, subscribed, effects);
            let task = &mut self.tasks[index];
            if subscribed && matches!(task.waiting, Waiting::Again(at) if at <= now.steady) {
                self.wait_for(index, effects);
            }
            let task = &mut self.tasks[index];
            if let Some(killing) = task.killing.as_mut().filter(|_| subscribed)
                && killing.escalate <= now.steady
            {
                if !std::mem::replace(&mut killing.escalated, true) {
                    say(effects, format!("task {} did not terminate in time; killing it", task.id()));
                }
                // Set again where the signal does not arrive.
                if let Some(killing) = &mut self.tasks[index].killing {
                    killing.escalate = Time::NEVER;
                }
                self.signal(index, SIGKILL, effects);
            }
            let task = &mut self.tasks[index];
            if come(task.completion) {
                task.overran = true;
                say(effects, format!("task {} ran longer than its max_completion_time", task.id()));
                self.kill(now, index, Duration::ZERO, effects);
            }
        }
        if self.conversation.is_unacknowledged_too_long(now) {
            say(effects, "the agent did not acknowledge the last updates; ending".to_string());
            self.exit(false, effects);
        } else if come(self.last_moment) {
            say(effects, "the time to shut down is over; ending".to_string());
            self.exit(false, effects);
        }
    }

    fn check_task(&mut self, now: Now, index: usize, subscribed: bool, effects: &mut Vec<Effect>) {
        let task = &mut self.tasks[index];
        let (id, container) = (task.info.task_id.value.clone(), task.container.clone());
        let mut late = Vec::new();
        for (which, check) in &mut task.checks {
            if !subscribed && !check.is_running() {
                continue;
            }
            match check.due(now.steady) {
                Some(Due::Start(probe)) => {
                    let container = Box::new(container.clone());
                    effects.push(Effect::Probe { task: id.clone(), container, which: *which, probe });
                }
                Some(Due::TooLong(problem)) => {
                    effects.push(Effect::StopProbe(id.clone(), *which));
                    late.push((*which, problem));
                }
                None => {}
            }
        }
        for (which, problem) in late {
            self.measured(now, &id, which, Some(Err(problem)), effects);
        }
    }

    fn step(&mut self, now: Now, step: Step, effects: &mut Vec<Effect>) {
        let tasks = self.tasks.iter().filter(|task| !task.acknowledged).map(|task| task.info.clone());
        if self.conversation.step(step, || tasks.collect(), effects) {
            self.shutdown(now, effects);
        }
    }

    fn acknowledged(&mut self, uuid: &[u8], effects: &mut Vec<Effect>) {
        let Some(status) = self.conversation.acknowledged(uuid, effects) else { return };
        if let Some(index) = self.find(&status.task_id.value) {
            self.tasks[index].acknowledged = true;
        }
        if self.tasks.is_empty() && self.conversation.updates.is_empty() {
            self.exit(true, effects);
        }
    }

    /// Tells a new state of a task, with what is known of its end.
    pub(super) fn tell(
        &mut self,
        now: Now,
        index: usize,
        state: TaskState,
        end: End,
        effects: &mut Vec<Effect>,
    ) {
        let task = &mut self.tasks[index];
        let mut status = self.conversation.status(now, &task.info, state);
        status.reason = end.reason.map(|reason| reason as i32);
        status.message = end.message;
        status.limitation = end.limitation;
        status.container_status = Some(messor_proto::mesos::ContainerStatus {
            container_id: Some(task.container.clone()),
            ..Default::default()
        });
        if task.unhealthy && matches!(state, TaskState::TaskKilled | TaskState::TaskFailed) {
            status.healthy = Some(false);
        }
        task.told = Some(status.clone());
        self.conversation.forward(status, effects);
    }

    /// Nothing is left to do but to tell how it ended.
    pub(super) fn has_ended(&self) -> bool {
        self.tasks.is_empty() && !self.conversation.updates.is_empty()
    }

    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.tasks.iter().position(|task| task.id() == id)
    }

    pub(super) fn exit(&mut self, success: bool, effects: &mut Vec<Effect>) {
        self.exited = true;
        effects.push(Effect::Exit { success });
    }
}

pub(super) fn stop_checks(task: &mut Task, effects: &mut Vec<Effect>) {
    for (which, check) in &mut task.checks {
        if check.stop() {
            effects.push(Effect::StopProbe(task.info.task_id.value.clone(), *which));
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
