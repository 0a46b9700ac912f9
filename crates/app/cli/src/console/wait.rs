//! `mesos task wait`: until a task has ended, as the master's stream of events tells.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use messor_proto::mesos::master::{Event, event};
use messor_proto::mesos::{Task, TaskState, TaskStatus};
use messor_types::is_terminal_task;

use super::away::Away;
use super::words::task_state;
use super::{Console, ConsoleError};

/// Between two turns of what shows that this program waits.
const TURN: Duration = Duration::from_millis(100);

impl Console<'_, '_> {
    /// The exit status is 0 if it finished, and 1 if it ended otherwise.
    pub fn wait_for_task(&mut self, task: &Task, timeout: Option<Duration>) -> Result<(), ConsoleError> {
        if is_terminal_task(task.state()) {
            return self.tell_end(task, task.state(), task.statuses.last());
        }
        let begun = Instant::now();
        // It is drawn on a terminal alone.
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        let name = &task.task_id.value;
        bar.set_message(format!("{name} is {}", task_state(task.state()).0));
        let mut away = Away::default();
        loop {
            let error = match self.end_of(task, &bar, begun, timeout) {
                Ok(end) => {
                    bar.finish_and_clear();
                    let Some((state, status)) = end else {
                        let waited = messor_stdx::format_duration(timeout.unwrap_or_default());
                        return Err(ConsoleError::Wrong(format!(
                            "task {name} has not ended within {waited}"
                        )));
                    };
                    return self.tell_end(task, state, status.as_ref());
                }
                Err(error) => error,
            };
            away.wait(error, |error| {
                bar.set_message(format!("{error}; trying again"));
                Ok(())
            })?;
            if self.api.find_again().is_ok() {
                away.is_back();
            }
        }
    }

    /// Looks at one stream until the task has ended, or time is up.
    fn end_of(
        &mut self,
        task: &Task,
        bar: &ProgressBar,
        begun: Instant,
        timeout: Option<Duration>,
    ) -> Result<Option<(TaskState, Option<TaskStatus>)>, ConsoleError> {
        let mut stream = self.api.subscribe()?;
        loop {
            if timeout.is_some_and(|timeout| begun.elapsed() >= timeout) {
                return Ok(None);
            }
            bar.tick();
            let Some(event) = stream.next(TURN)? else { continue };
            if let Some((state, status)) = news_of(task, event)? {
                bar.set_message(format!("{} is {}", task.task_id.value, task_state(state).0));
                if is_terminal_task(state) {
                    return Ok(Some((state, status)));
                }
            }
        }
    }

    fn tell_end(
        &mut self,
        task: &Task,
        state: TaskState,
        status: Option<&TaskStatus>,
    ) -> Result<(), ConsoleError> {
        self.status = u8::from(state != TaskState::TaskFinished);
        if self.screen.json {
            return Ok(status.map_or(Ok(()), |status| self.screen.json(status))?);
        }
        let message = status.and_then(|status| status.message.as_deref()).filter(|text| !text.is_empty());
        let why = message.map_or(String::new(), |text| format!(": {text}"));
        Ok(self.screen.line(&format!("{} is {}{why}", task.task_id.value, task_state(state).0))?)
    }
}

/// What an event says of the task.
fn news_of(task: &Task, event: Event) -> Result<Option<(TaskState, Option<TaskStatus>)>, ConsoleError> {
    match event.r#type() {
        event::Type::Subscribed => {
            let state = event.subscribed.and_then(|first| first.get_state).unwrap_or_default();
            let all = state.get_tasks.unwrap_or_default();
            let mut lists = [all.pending_tasks, all.tasks, all.unreachable_tasks, all.completed_tasks]
                .into_iter()
                .flatten();
            let is_it = |one: &Task| {
                one.task_id == task.task_id
                    && one.framework_id == task.framework_id
                    && one.agent_id == task.agent_id
            };
            let found = lists.find(is_it).ok_or_else(|| {
                let name = &task.task_id.value;
                ConsoleError::Wrong(format!("the master knows task {name} no more, nor how it ended"))
            })?;
            Ok(Some((found.state(), found.statuses.last().cloned())))
        }
        event::Type::TaskUpdated => {
            let update = event.task_updated.unwrap_or_default();
            let is_it = update.framework_id == task.framework_id && update.status.task_id == task.task_id;
            Ok(is_it.then(|| (update.state(), Some(update.status))))
        }
        _ => Ok(None),
    }
}
