//! The life of groups of tasks in nested containers: launched, waited for, checked, killed, ended, told and acknowledged.
//! Events in, effects out: it must not know sockets, processes or clocks.
//!
//! The agent runs the containers; this machine asks it to, and is told by WAIT how each of them ended. When the agent
//! is away containers go on, and what was asked meanwhile is asked again when it is back.

use std::time::Duration;

use messor_linux::Exit;
use messor_proto::Wire;
use messor_proto::mesos::agent::Response;
use messor_proto::mesos::executor::{Event as AgentEvent, event};
use messor_proto::mesos::framework_info::capability::Type as FrameworkCapability;
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{
    ContainerId, ExecutorId, FrameworkId, KillPolicy, TaskGroupInfo, TaskInfo, TaskResourceLimitation,
    TaskState, TaskStatus,
};
use messor_stdx::{Time, format_duration};

use super::calls;
use super::contract::{Answer, Effect, Event, Question};
use crate::shared::Now;
use crate::shared::agent::Heard;
use crate::shared::check::{Check, Due, Outcome, Which, name_of};
use crate::shared::link::{Link, Recovery, Step};
use crate::shared::status::{Stamps, uuid_text};
use crate::shared::updates::Updates;

/// The grace a task gets when neither it nor the kill says.
const DEFAULT_KILL_GRACE: Duration = Duration::from_secs(3);

/// What an executor keeps back of its shutdown grace period, so that it can tell of the ends before it is ended itself.
const SHUTDOWN_RESERVE: Duration = Duration::from_secs(2);

/// An agent that is there and does not acknowledge the last updates in this time will not.
const ACKNOWLEDGEMENT_LIMIT: Duration = Duration::from_secs(60);

/// What the agent could not answer is asked again after this.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

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
enum Life {
    /// The agent was asked to launch it.
    Launching,
    /// The agent went away before it answered whether it launched it.
    Unknown,
    Running,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    No,
    Asked,
    Again(Time),
}

#[derive(Clone, Copy, Debug)]
struct Killing {
    /// When to send SIGKILL (again).
    escalate: Time,
    escalated: bool,
    /// SIGTERM reached an agent.
    sent: bool,
}

#[derive(Debug)]
struct Task {
    info: TaskInfo,
    group: u64,
    container: ContainerId,
    life: Life,
    waiting: Waiting,
    /// Some update about it was acknowledged: the agent knows of it for good.
    acknowledged: bool,
    told: Option<TaskStatus>,
    completion: Option<Time>,
    killing: Option<Killing>,
    /// It is to be killed, with this grace, as soon as it is there.
    kill_at_launch: Option<Duration>,
    unhealthy: bool,
    overran: bool,
    checks: Vec<(Which, Check)>,
}

impl Task {
    fn id(&self) -> &str {
        &self.info.task_id.value
    }
}

/// How a container ended, as far as the agent knows.
#[derive(Debug, Default)]
struct End {
    exit: Option<Exit>,
    state: Option<TaskState>,
    reason: Option<Reason>,
    message: Option<String>,
    limitation: Option<TaskResourceLimitation>,
}

#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    stamps: Stamps,
    link: Link,
    updates: Updates,
    /// The latest refusal that was said.
    refused_with: Option<u16>,
    sends_killing: bool,
    /// The executor's own, which the tasks' are nested in.
    container: Option<ContainerId>,
    tasks: Vec<Task>,
    next_group: u64,
    /// Groups of which a task failed or was killed: the rest of them is being killed.
    ending_groups: Vec<u64>,
    containers_again: Option<Time>,
    shutting_down: bool,
    /// When shutting down: the time to end at whatever the tasks do.
    last_moment: Option<Time>,
    acknowledged_by: Option<Time>,
    exited: bool,
}

impl Machine {
    pub fn new(settings: Settings) -> Machine {
        Machine {
            stamps: Stamps::new(settings.seed),
            link: Link::new(settings.recovery),
            updates: Updates::new(settings.framework.clone(), settings.executor.clone()),
            settings,
            refused_with: None,
            sends_killing: false,
            container: None,
            tasks: Vec::new(),
            next_group: 0,
            ending_groups: Vec::new(),
            containers_again: None,
            shutting_down: false,
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
        let subscribed = self.link.is_subscribed();
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
                self.lost(now, effects);
                let dice = self.stamps.dice();
                let step = self.link.lost(now.steady, &reason, dice);
                self.step(now, step, effects);
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
            Heard::Agent(event) => self.agent(now, *event, effects),
        }
    }

    /// The agent is away: what it was asked has no answer.
    fn lost(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.updates.lost();
        self.acknowledged_by = None;
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

    fn agent(&mut self, now: Now, event: AgentEvent, effects: &mut Vec<Effect>) {
        let kind =
            event.r#type.and_then(|kind| event::Type::try_from(kind).ok()).unwrap_or(event::Type::Unknown);
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
            (event::Type::Error, AgentEvent { error: Some(error), .. }) => {
                say(effects, format!("the agent says: {}", error.message));
            }
            // A default executor has nobody to give framework messages to.
            (event::Type::Message | event::Type::Heartbeat, _) => {}
            (kind, _) => {
                let name = kind.as_str_name();
                say(effects, format!("an event {name} that cannot be understood is left out"));
            }
        }
    }

    fn subscribed(&mut self, now: Now, subscribed: event::Subscribed, effects: &mut Vec<Effect>) {
        say(effects, format!("subscribed with the agent on {}", subscribed.agent_info.hostname));
        let Some(container) = subscribed.container_id else {
            say(effects, "the agent does not say which container this is; ending".to_string());
            return self.exit(false, effects);
        };
        let killing = Some(FrameworkCapability::TaskKillingState as i32);
        self.sends_killing = subscribed.framework_info.capabilities.iter().any(|one| one.r#type == killing);
        self.container = Some(container);
        self.refused_with = None;
        self.link.subscribed(now.steady);
        self.send_updates(effects);
        self.await_acknowledgement(now);
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
        self.acknowledged_by = None;
        for info in group.tasks {
            if self.find(&info.task_id.value).is_some() {
                say(effects, format!("task {} is launched already", info.task_id.value));
                continue;
            }
            let container =
                ContainerId { value: uuid_text(&self.stamps.uuid()), parent: Some(Box::new(parent.clone())) };
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

    fn answered(
        &mut self,
        now: Now,
        question: Question,
        answer: Result<Answer, String>,
        effects: &mut Vec<Effect>,
    ) {
        match question {
            Question::Launch(task) => {
                let Some(index) = self.find(&task).filter(|index| self.tasks[*index].life == Life::Launching)
                else {
                    return;
                };
                match answer {
                    Ok(Answer { status: 200 | 202, .. }) => self.launched(now, index, effects),
                    Ok(Answer { status, body }) => {
                        let words = String::from_utf8_lossy(&body).into_owned();
                        say(effects, format!("task {task} is not launched: {words} (HTTP status {status})"));
                        let killed = self.tasks[index].kill_at_launch.is_some();
                        let state = if killed { TaskState::TaskKilled } else { TaskState::TaskFailed };
                        let end = End { message: Some(words), ..End::default() };
                        self.over(now, index, state, end, effects);
                    }
                    Err(problem) => {
                        say(effects, format!("whether task {task} is launched is not known: {problem}"));
                        self.tasks[index].life = Life::Unknown;
                        self.containers_again = Some(now.steady + ASK_AGAIN_AFTER);
                    }
                }
            }
            Question::Containers => self.containers_known(now, answer, effects),
            Question::Wait(task) => {
                let Some(index) = self.find(&task) else { return };
                self.waited(now, index, answer, effects);
            }
            Question::Kill(task, signal) => {
                let Some(index) = self.find(&task) else { return };
                let problem = match answer {
                    Ok(Answer { status: 200, .. }) => return,
                    Ok(Answer { status, body }) => {
                        format!("{} (HTTP status {status})", String::from_utf8_lossy(&body))
                    }
                    Err(problem) => problem,
                };
                say(effects, format!("signal {signal} did not reach task {task}: {problem}"));
                if let Some(killing) = self.tasks[index].killing.as_mut().filter(|_| signal == SIGKILL) {
                    killing.escalate = now.steady + ASK_AGAIN_AFTER;
                }
            }
        }
    }

    /// The containers that there are: those of tasks of which nobody said whether they were launched.
    fn containers_known(&mut self, now: Now, answer: Result<Answer, String>, effects: &mut Vec<Effect>) {
        let response = match &answer {
            Ok(Answer { status: 200, body }) => Response::decode_checked(body).ok(),
            _ => None,
        };
        let Some(response) = response else {
            self.containers_again = Some(now.steady + ASK_AGAIN_AFTER);
            return;
        };
        let found = response.get_containers.unwrap_or_default().containers;
        for index in 0..self.tasks.len() {
            let task = &self.tasks[index];
            if task.life != Life::Unknown {
                continue;
            }
            if found.iter().any(|container| container.container_id.value == task.container.value) {
                self.launched(now, index, effects);
            } else {
                // It is over or never was: WAIT knows.
                self.wait_for(index, effects);
            }
        }
    }

    fn launched(&mut self, now: Now, index: usize, effects: &mut Vec<Effect>) {
        let task = &mut self.tasks[index];
        task.life = Life::Running;
        let id = task.id().to_string();
        say(effects, format!("task {id} runs in container {}", task.container.value));
        effects.push(Effect::Show { task: id, container: task.container.value.clone() });
        let limit =
            task.info.max_completion_time.map_or(Duration::ZERO, |time| nanoseconds(time.nanoseconds));
        task.completion = (!limit.is_zero()).then(|| now.steady + limit);
        let health =
            task.info.health_check.as_ref().map(|info| (Which::Health, Check::health(now.steady, info)));
        let general = task.info.check.as_ref().map(|info| (Which::General, Check::general(now.steady, info)));
        for (which, check) in general.into_iter().chain(health) {
            match check {
                Ok(check) => task.checks.push((which, check)),
                Err(problem) => say(effects, format!("the {} is not carried out: {problem}", name_of(which))),
            }
        }
        let kill = task.kill_at_launch.take();
        self.tell(now, index, TaskState::TaskRunning, End::default(), effects);
        self.wait_for(index, effects);
        if let Some(grace) = kill {
            self.kill(now, index, grace, effects);
        }
    }

    fn wait_for(&mut self, index: usize, effects: &mut Vec<Effect>) {
        let subscribed = self.link.is_subscribed();
        let task = &mut self.tasks[index];
        if subscribed && task.life != Life::Launching && task.waiting != Waiting::Asked {
            task.waiting = Waiting::Asked;
            let question = Question::Wait(task.id().to_string());
            effects.push(Effect::Ask(question, Box::new(calls::wait(&task.container))));
        }
    }

    fn waited(&mut self, now: Now, index: usize, answer: Result<Answer, String>, effects: &mut Vec<Effect>) {
        let task = &mut self.tasks[index];
        let id = task.id().to_string();
        let again = match &answer {
            Err(problem) => Some(problem.clone()),
            Ok(Answer { status: 503, body }) => Some(String::from_utf8_lossy(body).into_owned()),
            Ok(_) => None,
        };
        if let Some(problem) = again {
            say(effects, format!("waiting for task {id} is interrupted: {problem}"));
            task.waiting = Waiting::Again(now.steady + ASK_AGAIN_AFTER);
            return;
        }
        task.waiting = Waiting::No;
        let end = match answer {
            Ok(Answer { status: 404, .. }) => None,
            Ok(Answer { status: 200, body }) => match Response::decode_checked(&body) {
                Ok(response) => Some(end_of(response)),
                Err(error) => {
                    say(effects, format!("the end of task {id} cannot be understood: {error}"));
                    Some(End::default())
                }
            },
            Ok(Answer { status, body }) => {
                let words = String::from_utf8_lossy(&body).into_owned();
                say(effects, format!("the agent does not tell of task {id}: {words} (HTTP status {status})"));
                return self.shutdown(now, effects);
            }
            Err(_) => return,
        };
        let task = &self.tasks[index];
        let killed = task.killing.is_some() || task.kill_at_launch.is_some();
        let Some(mut end) = end else {
            let state = if killed { TaskState::TaskKilled } else { TaskState::TaskFailed };
            let message = "Unable to retrieve command's termination information".to_string();
            let end = End { message: (!killed).then_some(message), ..End::default() };
            return self.over(now, index, state, end, effects);
        };
        let state = match end.exit {
            None => TaskState::TaskFailed,
            Some(_) if task.overran => {
                end.reason.get_or_insert(Reason::MaxCompletionTimeReached);
                TaskState::TaskFailed
            }
            Some(_) if killed => TaskState::TaskKilled,
            Some(exit) if exit.success() => TaskState::TaskFinished,
            Some(_) => TaskState::TaskFailed,
        };
        let state = end.state.unwrap_or(state);
        let message =
            end.exit.map_or("Command terminated with unknown status".into(), |e| format!("Command {e}"));
        end.message = Some(match end.message {
            Some(more) => format!("{message}: {more}"),
            None => message,
        });
        self.over(now, index, state, end, effects);
    }

    /// The task has ended. A group of which a task failed or was killed ends with it.
    fn over(&mut self, now: Now, index: usize, state: TaskState, end: End, effects: &mut Vec<Effect>) {
        stop_checks(&mut self.tasks[index], effects);
        let id = self.tasks[index].id().to_string();
        let words = end.message.as_deref().unwrap_or_default();
        say(effects, format!("task {id} ended: {} {words}", state.as_str_name()));
        self.tell(now, index, state, end, effects);
        let group = self.tasks.remove(index).group;
        let ends_group = matches!(state, TaskState::TaskFailed | TaskState::TaskKilled);
        if ends_group && !self.shutting_down && !self.ending_groups.contains(&group) {
            self.ending_groups.push(group);
            for index in 0..self.tasks.len() {
                if self.tasks[index].group == group {
                    let grace = grace_of(&self.tasks[index], None);
                    self.kill(now, index, grace, effects);
                }
            }
        }
        if !self.tasks.iter().any(|task| task.group == group) {
            self.ending_groups.retain(|ending| *ending != group);
        }
        if self.tasks.is_empty() {
            if self.updates.is_empty() || self.link.is_given_up() {
                return self.exit(true, effects);
            }
            self.await_acknowledgement(now);
        }
    }

    fn kill_asked(&mut self, now: Now, id: &str, policy: Option<KillPolicy>, effects: &mut Vec<Effect>) {
        let Some(index) = self.find(id) else {
            return say(effects, format!("task {id} is to be killed and is not here"));
        };
        if self.shutting_down {
            return say(effects, format!("task {id} is being killed already: this executor shuts down"));
        }
        let grace = grace_of(&self.tasks[index], policy);
        self.kill(now, index, grace, effects);
    }

    /// Begins to kill a task, or shortens the grace it has left.
    fn kill(&mut self, now: Now, index: usize, grace: Duration, effects: &mut Vec<Effect>) {
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
        if self.sends_killing && !overran {
            self.tell(now, index, TaskState::TaskKilling, End::default(), effects);
        }
        self.signal(index, SIGTERM, effects);
    }

    fn signal(&mut self, index: usize, signal: i32, effects: &mut Vec<Effect>) {
        if !self.link.is_subscribed() {
            return;
        }
        let task = &mut self.tasks[index];
        if let Some(killing) = &mut task.killing {
            killing.sent = true;
        }
        let question = Question::Kill(task.id().to_string(), signal);
        effects.push(Effect::Ask(question, Box::new(calls::kill(&task.container, signal))));
    }

    fn shutdown(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.link.is_given_up() {
            // Nobody is there to kill anything; the containers go with this one, whoever sees to that.
            return self.exit(false, effects);
        }
        if self.tasks.is_empty() && self.updates.is_empty() {
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
        let Some(told) = &task.told else { return };
        if verdict.is_unhealthy() {
            let why = match &outcome {
                Ok(measure) => format!("{measure:?}"),
                Err(problem) => problem.clone(),
            };
            say(effects, format!("task {id} is not healthy: {why}"));
        }
        let (status, kill) = self.stamps.after_check(now.wall, told, verdict);
        if self.updates.is_full() {
            say(
                effects,
                "too many updates wait for the agent: this result of a check is not told".to_string(),
            );
        } else {
            self.tasks[index].told = Some(status.clone());
            self.updates.add(status);
            self.send_updates(effects);
        }
        if kill {
            self.tasks[index].unhealthy = true;
            let grace = grace_of(&self.tasks[index], None);
            self.kill(now, index, grace, effects);
        }
    }

    fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while let Some(step) = self.link.due(now.steady) {
            self.step(now, Some(step), effects);
        }
        if self.exited {
            return;
        }
        let subscribed = self.link.is_subscribed();
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
        if come(self.acknowledged_by) {
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

    fn step(&mut self, now: Now, step: Option<Step>, effects: &mut Vec<Effect>) {
        match step {
            None => {}
            Some(Step::Open) => effects.push(Effect::Open),
            Some(Step::Subscribe) => {
                let tasks = self.tasks.iter().filter(|task| !task.acknowledged).map(|task| task.info.clone());
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
            return say(effects, "the agent acknowledged an update that does not wait for it".to_string());
        };
        if let Some(index) = self.find(&status.task_id.value) {
            self.tasks[index].acknowledged = true;
        }
        if self.tasks.is_empty() && self.updates.is_empty() {
            self.exit(true, effects);
        }
    }

    /// Tells a new state of a task, with what is known of its end.
    fn tell(&mut self, now: Now, index: usize, state: TaskState, end: End, effects: &mut Vec<Effect>) {
        let task = &mut self.tasks[index];
        let mut status = self.stamps.status(now.wall, &self.settings.executor, &task.info, state);
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
        self.updates.add(status);
        self.send_updates(effects);
    }

    fn send_updates(&mut self, effects: &mut Vec<Effect>) {
        if self.link.is_subscribed() {
            let calls = self.updates.unsent();
            effects.extend(calls.into_iter().map(|call| Effect::Send(Box::new(call))));
        }
    }

    /// The time in which a present agent has to acknowledge the ends begins.
    fn await_acknowledgement(&mut self, now: Now) {
        let ended = self.tasks.is_empty() && !self.updates.is_empty();
        if ended && self.link.is_subscribed() {
            self.acknowledged_by = Some(now.steady + ACKNOWLEDGEMENT_LIMIT);
        }
    }

    fn find(&self, id: &str) -> Option<usize> {
        self.tasks.iter().position(|task| task.id() == id)
    }

    fn exit(&mut self, success: bool, effects: &mut Vec<Effect>) {
        self.exited = true;
        effects.push(Effect::Exit { success });
    }
}

fn end_of(response: Response) -> End {
    let wait = response.wait_nested_container.unwrap_or_default();
    End {
        exit: wait.exit_status.and_then(Exit::from_wait_status),
        state: wait.state.and_then(|state| TaskState::try_from(state).ok()),
        reason: wait.reason.and_then(|reason| Reason::try_from(reason).ok()),
        message: wait.message,
        limitation: wait.limitation,
    }
}

fn grace_of(task: &Task, policy: Option<KillPolicy>) -> Duration {
    let grace = policy.and_then(|policy| policy.grace_period);
    let own = task.info.kill_policy.and_then(|policy| policy.grace_period);
    grace.or(own).map_or(DEFAULT_KILL_GRACE, |grace| nanoseconds(grace.nanoseconds))
}

fn stop_checks(task: &mut Task, effects: &mut Vec<Effect>) {
    for (which, check) in &mut task.checks {
        if check.stop() {
            effects.push(Effect::StopProbe(task.info.task_id.value.clone(), *which));
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
