//! Checks of tasks in nested containers: a command as a session in the task's container, HTTP and TCP from here, as the
//! containers of a group share the executor's network. It must not know what a result means.

use messor_linux::Exit;
use messor_linux::poll::{PollFd, PollFlags};
use messor_proto::Wire;
use messor_proto::mesos::agent::Response;
use messor_proto::mesos::{CommandInfo, ContainerId};

use super::asks::Ask;
use super::calls;
use super::contract::Answer;
use crate::shared::check::{Measure, Outcome};
use crate::shared::probe::Running;
use crate::shared::settings::Settings;

/// A check under way.
pub enum Probing {
    Local(Running),
    Session(Session),
}

/// A check's command: its container is launched and its output read to the end, then its exit status is asked for, then
/// it is removed.
pub struct Session {
    container: ContainerId,
    step: Step,
    ask: Ask,
    /// Nobody waits for the result any more.
    abandoned: bool,
    result: Option<Outcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Launch,
    Wait,
    Remove,
}

/// What came of a step.
pub enum Progress {
    Goes(Session),
    /// The result is there, what remains is cleaning up.
    Measured(Option<Outcome>, Option<Session>),
    Over,
}

impl Session {
    pub fn start(
        settings: &Settings,
        container: ContainerId,
        command: &CommandInfo,
    ) -> Result<Session, String> {
        let ask = Ask::start(settings, &calls::session(&container, command), true)?;
        Ok(Session { container, step: Step::Launch, ask, abandoned: false, result: None })
    }

    pub fn interest(&self) -> PollFd<'_> {
        self.ask.interest()
    }

    /// Its result is of no use any more. The agent ends the container when its session's connection closes.
    pub fn abandon(mut self, settings: &Settings) -> Option<Session> {
        self.abandoned = true;
        match self.step {
            Step::Launch => self.go_on(settings, Step::Wait),
            _ => Some(self),
        }
    }

    pub fn ready(mut self, settings: &Settings, ready: PollFlags) -> Progress {
        let Some(answer) = self.ask.ready(ready) else { return Progress::Goes(self) };
        let abandoned = self.abandoned;
        match (self.step, answer) {
            (Step::Launch, Ok(Answer { status: 200, .. })) => match self.go_on(settings, Step::Wait) {
                Some(session) => Progress::Goes(session),
                None => Progress::Measured(None, None),
            },
            // A container that is going away, or an agent that has not what it needs: nothing is known of the task.
            (Step::Launch, Ok(Answer { status: 400 | 404 | 503, .. }) | Err(_)) => {
                Progress::Measured(None, None)
            }
            (Step::Launch, Ok(Answer { status, body })) => {
                let words = String::from_utf8_lossy(&body);
                Progress::Measured(Some(Err(format!("{words} (HTTP status {status})"))), None)
            }
            (Step::Wait, answer) => {
                self.result = result_of(answer);
                let result = self.result.take();
                let cleaning = self.go_on(settings, Step::Remove);
                if abandoned {
                    cleaning.map_or(Progress::Over, Progress::Goes)
                } else {
                    Progress::Measured(result, cleaning)
                }
            }
            (Step::Remove, _) => Progress::Over,
        }
    }

    fn go_on(mut self, settings: &Settings, step: Step) -> Option<Session> {
        let call = match step {
            Step::Launch => return Some(self),
            Step::Wait => calls::wait(&self.container),
            Step::Remove => {
                self.abandoned = true;
                calls::remove(&self.container)
            }
        };
        self.ask = Ask::start(settings, &call, false).ok()?;
        self.step = step;
        Some(self)
    }
}

/// The exit code of the command; None: the agent could not tell.
fn result_of(answer: Result<Answer, String>) -> Option<Outcome> {
    let Ok(Answer { status: 200, body }) = answer else { return None };
    let wait = Response::decode_checked(&body).ok()?.wait_nested_container?;
    Some(match Exit::from_wait_status(wait.exit_status?) {
        Some(Exit::Exited(code)) => Ok(Measure::ExitCode(code)),
        Some(exit) => Err(format!("its command {exit}")),
        None => Err("its command ended in no way that is known".to_string()),
    })
}
