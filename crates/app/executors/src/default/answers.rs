//! What the agent answers to what it was asked: that containers were launched, which there are, how they ended; and what
//! that means for tasks and their groups.

use messor_linux::Exit;
use messor_proto::Wire;
use messor_proto::mesos::agent::Response;
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{TaskResourceLimitation, TaskState};

use super::calls;
use super::contract::{Answer, Effect, Question};
use super::machine::{ASK_AGAIN_AFTER, Life, Machine, SIGKILL, Waiting, stop_checks};
use crate::shared::conversation::{completion_of, grace_of, say};
use crate::shared::{Now, check};

/// How a container ended, as far as the agent knows.
#[derive(Debug, Default)]
pub(super) struct End {
    pub exit: Option<Exit>,
    pub state: Option<TaskState>,
    pub reason: Option<Reason>,
    pub message: Option<String>,
    pub limitation: Option<TaskResourceLimitation>,
}

impl Machine {
    pub(super) fn answered(
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
        task.completion = completion_of(&task.info, now);
        let (checks, problems) = check::of_task(now.steady, &task.info);
        task.checks = checks;
        problems.into_iter().for_each(|problem| say(effects, problem));
        let kill = task.kill_at_launch.take();
        self.tell(now, index, TaskState::TaskRunning, End::default(), effects);
        self.wait_for(index, effects);
        if let Some(grace) = kill {
            self.kill(now, index, grace, effects);
        }
    }

    pub(super) fn wait_for(&mut self, index: usize, effects: &mut Vec<Effect>) {
        let subscribed = self.conversation.link.is_subscribed();
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
    pub(super) fn over(
        &mut self,
        now: Now,
        index: usize,
        state: TaskState,
        end: End,
        effects: &mut Vec<Effect>,
    ) {
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
                    let grace = grace_of(&self.tasks[index].info, None);
                    self.kill(now, index, grace, effects);
                }
            }
        }
        if !self.tasks.iter().any(|task| task.group == group) {
            self.ending_groups.retain(|ending| *ending != group);
        }
        if self.tasks.is_empty() {
            if self.conversation.updates.is_empty() || self.conversation.link.is_given_up() {
                return self.exit(true, effects);
            }
            let has_ended = self.has_ended();
            self.conversation.await_acknowledgement(now, has_ended);
        }
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
