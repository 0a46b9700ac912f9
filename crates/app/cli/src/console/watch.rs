//! `mesos agent|task|framework watch`: what the master's stream of events tells. A terminal shows a table that is drawn
//! anew; a file or another program gets a line for each change, or with `--json` each event as the API has it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use messor_proto::mesos::master::{Event, event};
use messor_proto::mesos::{Task, TaskState, TaskStatus};
use messor_types::is_terminal_task;

use super::agents::{self, NO_AGENTS};
use super::away::{self, Away};
use super::frameworks::{self, NO_FRAMEWORKS};
use super::stream::{EventStream, is_heartbeat};
use super::tasks::{Hosts, hosts};
use super::words::{moment, task_state};
use super::{Console, ConsoleError};

/// A table is not drawn more often than this.
const DRAWN_EVERY: Duration = Duration::from_millis(250);
/// What the stream does not tell, such as draining, is asked for so often, and not more often than the first while events come.
const ASKED_EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// Of the tasks that ended meanwhile so many stay in the table.
const ENDED_LIMIT: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    Agents,
    Tasks,
    Frameworks,
}

/// Framework and task.
type Key = (String, String);

/// What is known while this program watches.
#[derive(Default)]
struct Known {
    hosts: Hosts,
    tasks: BTreeMap<Key, Task>,
    ended: VecDeque<Task>,
    /// Of agents or frameworks: how each is doing, and what it is called.
    states: Option<BTreeMap<String, (&'static str, String)>>,
}

impl Console<'_, '_> {
    pub fn watch(&mut self, what: Watched) -> Result<(), ConsoleError> {
        let mut known = Known::default();
        if self.screen.redraws {
            write!(self.screen.out, "\x1b[2J")?;
        }
        let mut away = Away::default();
        loop {
            let result = self.api.subscribe().map_err(ConsoleError::from).and_then(|stream| {
                away.is_back();
                self.follow(what, stream, &mut known)
            });
            let Err(error) = result else { return Ok(()) };
            away.wait(error, |error| self.tell_away(error))?;
            // Where nobody leads yet, the same master is asked again.
            let _ = self.api.find_again();
        }
    }

    pub fn tell_away(&mut self, error: &ConsoleError) -> Result<(), ConsoleError> {
        match self.screen.redraws {
            true => Ok(self.screen.redraw(&[format!("{error}; trying again")])?),
            false => away::tell(error),
        }
    }

    /// Until the stream breaks.
    fn follow(
        &mut self,
        what: Watched,
        mut stream: EventStream,
        known: &mut Known,
    ) -> Result<(), ConsoleError> {
        let mut drawn_at = None;
        let mut asked_at: Option<Instant> = None;
        let mut has_news = true;
        loop {
            if let Some(event) = stream.next(DRAWN_EVERY)? {
                if is_heartbeat(&event) {
                    continue;
                }
                if self.screen.json {
                    if concerns(what, event.r#type()) {
                        self.screen.json(&event)?;
                        self.screen.out.flush()?;
                    }
                    continue;
                }
                has_news = true;
                self.take(what, event, known)?;
                if drawn_at.is_some_and(|at: Instant| at.elapsed() < DRAWN_EVERY) {
                    continue;
                }
            }
            if self.screen.json {
                continue;
            }
            if what != Watched::Tasks {
                let every = if has_news { ASKED_EVERY.0 } else { ASKED_EVERY.1 };
                if asked_at.is_none_or(|at| at.elapsed() >= every) {
                    self.ask(what, known)?;
                    (asked_at, has_news) = (Some(Instant::now()), false);
                }
            } else if self.screen.redraws && std::mem::take(&mut has_news) {
                let tasks = known.tasks.values().chain(&known.ended);
                let rows = self.task_rows(tasks, &known.hosts);
                let lines = self.screen.render(rows, "No tasks.");
                self.draw(lines)?;
            }
            drawn_at = Some(Instant::now());
        }
    }

    pub fn draw(&mut self, mut lines: Vec<String>) -> Result<(), ConsoleError> {
        let now = now_seconds();
        lines.insert(0, format!("{} at {}; Ctrl-C ends", self.api.master(), moment(Some(now))));
        Ok(self.screen.redraw(&lines)?)
    }

    /// Agents and frameworks as they are now.
    fn ask(&mut self, what: Watched, known: &mut Known) -> Result<(), ConsoleError> {
        let (rows, nothing, states) = match what {
            Watched::Agents => {
                let answer = self.agents()?;
                let one = |agent: &_| {
                    let state = agents::state(agent).0;
                    (agents::id(agent).to_owned(), (state, agent.agent_info.hostname.clone()))
                };
                let states: BTreeMap<_, _> = answer.agents.iter().map(one).collect();
                (self.agent_rows(&answer), NO_AGENTS, states)
            }
            _ => {
                let mut answer = self.frameworks()?;
                answer.completed_frameworks.clear();
                let one = |framework: &_| {
                    let state = frameworks::state(framework, false).0;
                    (frameworks::id(framework).to_owned(), (state, framework.framework_info.name.clone()))
                };
                let states: BTreeMap<_, _> = answer.frameworks.iter().map(one).collect();
                (self.framework_rows(&answer), NO_FRAMEWORKS, states)
            }
        };
        if self.screen.redraws {
            let lines = self.screen.render(rows, nothing);
            self.draw(lines)?;
        } else {
            for line in changes(known.states.as_ref(), &states) {
                self.stamped(&line)?;
            }
            self.screen.out.flush()?;
        }
        known.states = Some(states);
        Ok(())
    }

    /// A line with the time in front.
    pub fn stamped(&mut self, text: &str) -> Result<(), ConsoleError> {
        let now = moment(Some(now_seconds()));
        Ok(self.screen.line(&format!("{now}  {text}"))?)
    }

    /// What an event changes of what is known; where nothing is drawn, it is said.
    fn take(&mut self, what: Watched, event: Event, known: &mut Known) -> Result<(), ConsoleError> {
        match event.r#type() {
            event::Type::Subscribed => {
                let state = event.subscribed.and_then(|first| first.get_state).unwrap_or_default();
                known.hosts = hosts(&state.get_agents.unwrap_or_default().agents);
                let all = state.get_tasks.unwrap_or_default();
                let before = std::mem::take(&mut known.tasks);
                let lists = [all.pending_tasks, all.tasks, all.unreachable_tasks];
                for task in lists.into_iter().flatten() {
                    let is_news = before.get(&key(&task)).is_none_or(|old| old.state() != task.state());
                    if is_news && what == Watched::Tasks {
                        self.say_task(&task, task.state(), task.statuses.last(), &known.hosts)?;
                    }
                    known.tasks.insert(key(&task), task);
                }
            }
            event::Type::TaskAdded => {
                let task = event.task_added.unwrap_or_default().task;
                if what == Watched::Tasks {
                    self.say_task(&task, task.state(), None, &known.hosts)?;
                }
                known.tasks.insert(key(&task), task);
            }
            event::Type::TaskUpdated => {
                let update = event.task_updated.unwrap_or_default();
                let state = update.state();
                let key = (update.framework_id.value, update.status.task_id.value.clone());
                let Some(task) = known.tasks.get_mut(&key) else { return Ok(()) };
                let is_news = task.state() != state;
                task.state = state as i32;
                if is_news && what == Watched::Tasks {
                    let task = task.clone();
                    self.say_task(&task, state, Some(&update.status), &known.hosts)?;
                }
                let Some(task) = known.tasks.get_mut(&key) else { return Ok(()) };
                task.statuses.push(update.status);
                if is_terminal_task(state) {
                    known.ended.extend(known.tasks.remove(&key));
                    known.ended.drain(..known.ended.len().saturating_sub(ENDED_LIMIT));
                }
            }
            event::Type::FrameworkRemoved => {
                let id = event.framework_removed.and_then(|event| event.framework_info.id);
                known.tasks.retain(|(framework, _), _| id.as_ref().is_none_or(|id| id.value != *framework));
            }
            event::Type::AgentAdded => {
                let agent = event.agent_added.unwrap_or_default().agent;
                known.hosts.extend(hosts(&[agent]));
            }
            _ => {}
        }
        Ok(())
    }

    fn say_task(
        &mut self,
        task: &Task,
        state: TaskState,
        status: Option<&TaskStatus>,
        hosts: &Hosts,
    ) -> Result<(), ConsoleError> {
        if self.screen.redraws {
            return Ok(());
        }
        let host = hosts.get(&task.agent_id.value).unwrap_or(&task.agent_id.value);
        let message = status.and_then(|status| status.message.as_deref()).unwrap_or_default();
        let line = format!(
            "{:11}  {}  {}  {host}  {message}",
            task_state(state).0,
            task.task_id.value,
            task.framework_id.value
        );
        self.stamped(line.trim_end())?;
        Ok(self.screen.out.flush()?)
    }
}

fn key(task: &Task) -> Key {
    (task.framework_id.value.clone(), task.task_id.value.clone())
}

/// Whether an event is one of what is watched.
fn concerns(what: Watched, kind: event::Type) -> bool {
    use event::Type;
    match what {
        Watched::Agents => matches!(kind, Type::AgentAdded | Type::AgentRemoved),
        Watched::Tasks => matches!(kind, Type::TaskAdded | Type::TaskUpdated),
        Watched::Frameworks => {
            matches!(kind, Type::FrameworkAdded | Type::FrameworkUpdated | Type::FrameworkRemoved)
        }
    }
}

/// A line for each that is new, is doing otherwise, or is gone.
fn changes(
    before: Option<&BTreeMap<String, (&'static str, String)>>,
    now: &BTreeMap<String, (&'static str, String)>,
) -> Vec<String> {
    let line = |state: &str, id: &str, name: &str| format!("{state:12}  {id}  {name}");
    let old = |id: &String| before.and_then(|before| before.get(id)).map(|(state, _)| *state);
    let mut lines: Vec<String> = now
        .iter()
        .filter(|(id, (state, _))| old(id) != Some(*state))
        .map(|(id, (state, name))| line(state, id, name))
        .collect();
    let gone = before.into_iter().flatten().filter(|(id, _)| !now.contains_key(*id));
    lines.extend(gone.map(|(id, (_, name))| line("gone", id, name)));
    lines
}

/// Seconds since the epoch.
fn now_seconds() -> f64 {
    jiff::Timestamp::now().as_duration().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_told_once() {
        let map = |list: &[(&str, &'static str)]| -> BTreeMap<String, (&'static str, String)> {
            list.iter().map(|(id, state)| ((*id).to_owned(), (*state, "host".to_owned()))).collect()
        };
        let first = map(&[("a", "active"), ("b", "active")]);
        assert_eq!(changes(None, &first).len(), 2);
        assert!(changes(Some(&first), &first).is_empty());
        let second = map(&[("b", "draining"), ("c", "active")]);
        let found = changes(Some(&first), &second);
        assert_eq!(found, ["draining      b  host", "active        c  host", "gone          a  host"]);
    }

    #[test]
    fn events_belong_to_what_they_are_of() {
        assert!(concerns(Watched::Tasks, event::Type::TaskAdded));
        assert!(!concerns(Watched::Agents, event::Type::TaskAdded));
        assert!(!concerns(Watched::Frameworks, event::Type::Subscribed));
    }
}
