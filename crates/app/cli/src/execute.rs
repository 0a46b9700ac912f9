//! `mesos-execute`: one command on a cluster, from the first offer to the task's end.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use messor_flags::{ExecuteFlags, FlagError, Program, Request};
use messor_linux::Signal;
use messor_linux::poll::{PollFd, PollFlags, poll};
use messor_linux::signals::SignalFd;
use messor_proto::mesos::TaskState;
use messor_proto::mesos::command_info::Uri;
use messor_proto::mesos::scheduler::{Event, event};
use messor_proto::{Version, WireEnum};

use crate::master::{Address, AddressError, Master};
use crate::output::{self, OutputError};
use crate::package::{self, PackageError};
use crate::scheduler::{Action, End, Scheduler};
use crate::session::{Api, Session, SessionError};
use crate::task::{self, Group, TaskError};
use crate::waiting::Wanted;

/// How long a master may be away before this program gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// One look for the leader takes so long at most; nobody can interrupt it.
const LOOK: Duration = Duration::from_secs(5);
/// Between two attempts to reach it.
const PAUSE: Duration = Duration::from_secs(1);
/// After so long without an offer it is said why none comes, and then again where the reason is another one.
const TELL_AFTER: Duration = Duration::from_secs(5);
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(20);
/// So many heartbeats may be missed before a stream counts as lost.
const MISSED_HEARTBEATS: u32 = 5;

#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    #[error(transparent)]
    Flag(#[from] FlagError),
    #[error("--master: {0}")]
    Master(#[from] AddressError),
    #[error(transparent)]
    Task(#[from] TaskError),
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("{last}; gave up after {}: is a master running there, and does one lead?", messor_stdx::format_duration(*.patience))]
    GaveUp { last: SessionError, patience: Duration },
    #[error("the master refuses this framework: {0}")]
    Refused(String),
    #[error("the task ended with {0}")]
    Unfinished(&'static str),
    #[error("interrupted")]
    Interrupted,
    #[error("this program cannot wait for events: {0}")]
    Wait(std::io::Error),
}

/// The program; `args` are the words after its name. It succeeds if the task finished.
pub fn execute(args: &[String]) -> ExitCode {
    match run(args, &mut std::io::stdout(), PATIENCE) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", ExecuteFlags::NAME);
            if matches!(error, ExecuteError::Interrupted) { ExitCode::from(130) } else { ExitCode::FAILURE }
        }
    }
}

/// The same with its output and its patience to choose.
pub fn run(args: &[String], out: &mut dyn Write, patience: Duration) -> Result<(), ExecuteError> {
    let parsed = match messor_flags::parse::<ExecuteFlags>(args, &messor_log::Surroundings)? {
        Request::Run(parsed) => parsed,
        Request::Help(text) | Request::Version(text) => {
            print(out, &text);
            return Ok(());
        }
    };
    for warning in &parsed.warnings {
        eprintln!("{}: {warning}", ExecuteFlags::NAME);
    }
    let flags = parsed.flags;
    let master = Master::parse(&flags.master)?;
    let user = messor_linux::users::current_name();
    let framework = task::framework(&flags, &user)?;
    let scheduler = match &flags.task_group {
        Some(json) => {
            let Group { tasks, executor, required } = task::group(json.as_str())?;
            Scheduler::of_group(framework, tasks, executor, required, flags.kill_after)
                .in_container(task::executor_container(&flags))
        }
        None => {
            let (mut task, required) = task::task(&flags)?;
            if let (Some(value), Some(command)) = (package::put(&flags, &user)?, task.command.as_mut()) {
                command.uris.push(Uri { value, ..Uri::default() });
            }
            Scheduler::new(framework, task, required, flags.kill_after)
        }
    };
    let authorization = match (&flags.principal, &flags.secret) {
        (Some(principal), Some(secret)) => {
            Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{principal}:{}", secret.value))))
        }
        _ => None,
    };
    let api = Api { json: flags.content_type.ends_with("json"), authorization };
    let signals = SignalFd::new(&[Signal::INT, Signal::TERM]).map_err(ExecuteError::Wait)?;
    let mut program = Running { api, signals, scheduler, out, patience, reason: Arc::default() };
    let end = program.run(&master)?;
    if flags.show_output.unwrap_or_else(|| std::io::stdout().is_terminal()) {
        program.show_output(end == End::Task(TaskState::TaskFinished));
    }
    match end {
        End::Task(TaskState::TaskFinished) => Ok(()),
        End::Task(state) => Err(ExecuteError::Unfinished(state.wire_name(Version::V1))),
        End::Refused(message) => Err(ExecuteError::Refused(message)),
        End::Interrupted => Err(ExecuteError::Interrupted),
    }
}

fn print(out: &mut dyn Write, line: &str) {
    // Whoever closed the output does not want it; the task is seen to its end all the same.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

struct Running<'a> {
    api: Api,
    signals: SignalFd,
    scheduler: Scheduler,
    out: &'a mut dyn Write,
    patience: Duration,
    /// Why no offer comes, as it was told last; None once it does not matter any more.
    reason: Arc<Mutex<Option<String>>>,
}

impl Running<'_> {
    /// One session after the other, until the end.
    fn run(&mut self, master: &Master) -> Result<End, ExecuteError> {
        let mut away_since = Instant::now();
        let mut told = false;
        loop {
            let result = master
                .find(LOOK)
                .map_err(SessionError::from)
                .and_then(|address| Session::open(&self.api, &address, &self.scheduler.subscribe()));
            let error = match result {
                Ok(session) => {
                    let result = self.attend(session);
                    away_since = Instant::now();
                    told = false;
                    match result {
                        Ok(end) => return Ok(end),
                        Err(error) => error,
                    }
                }
                Err(error) => error.into(),
            };
            let ExecuteError::Session(error) = error else { return Err(error) };
            if !error.may_pass() {
                return Err(error.into());
            }
            if away_since.elapsed() >= self.patience {
                return Err(ExecuteError::GaveUp { last: error, patience: self.patience });
            }
            if !std::mem::replace(&mut told, true) {
                eprintln!("{}: {error}; trying again", ExecuteFlags::NAME);
            }
            // While nobody can be told to end the task, an interruption ends this program.
            if self.wait(None, Some(PAUSE))? {
                return Ok(End::Interrupted);
            }
        }
    }

    fn attend(&mut self, mut session: Session) -> Result<End, ExecuteError> {
        let mut silence_allowed = None;
        let mut heard_at = Instant::now();
        let mut tell_at = Some(Instant::now() + TELL_AFTER);
        self.told().get_or_insert_default();
        loop {
            for event in session.events()? {
                if let Some(interval) = heartbeat_interval(&event) {
                    silence_allowed = Some(interval * MISSED_HEARTBEATS);
                }
                let actions = self.scheduler.event(Instant::now(), event);
                if let Some(end) = self.act(&session, actions)? {
                    return Ok(end);
                }
            }
            let actions = self.scheduler.tick(Instant::now());
            if let Some(end) = self.act(&session, actions)? {
                return Ok(end);
            }
            let waits_for = self.scheduler.waits_for();
            if self.scheduler.has_launched() {
                tell_at = None;
                *self.told() = None;
            }
            if let (Some(wanted), Some(at)) = (waits_for, tell_at)
                && at <= Instant::now()
            {
                tell_at = Some(Instant::now() + TELL_AGAIN_AFTER);
                self.tell_why(wanted, session.master().clone());
            }
            let silent_at = silence_allowed.map(|allowed| heard_at + allowed);
            let wake_at = [silent_at, tell_at, self.scheduler.deadline()].into_iter().flatten().min();
            let timeout = wake_at.map(|at| at.saturating_duration_since(Instant::now()));
            if self.wait(Some(&session), timeout)? {
                let actions = self.scheduler.interrupt(Instant::now());
                if let Some(end) = self.act(&session, actions)? {
                    return Ok(end);
                }
            }
            if self.is_readable(&session)? {
                session.fill()?;
                heard_at = Instant::now();
            } else if silent_at.is_some_and(|at| at <= Instant::now()) {
                return Err(SessionError::Ended(session.master().clone()).into());
            }
        }
    }

    fn told(&self) -> MutexGuard<'_, Option<String>> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the master why no offer comes, beside the waiting for one.
    fn tell_why(&self, wanted: Wanted, master: Address) {
        let reason = Arc::clone(&self.reason);
        let authorization = self.api.authorization.clone();
        std::thread::spawn(move || {
            let what =
                if wanted.was_offered { "no offer was large enough yet" } else { "no offer has come yet" };
            let said = match wanted.reason(&master, authorization) {
                Ok(why) => format!("{what}: {why}"),
                Err(error) => format!("{what}, and the master does not say why: {error}"),
            };
            let mut told = reason.lock().unwrap_or_else(PoisonError::into_inner);
            if told.as_ref().is_some_and(|before| *before != said) {
                eprintln!("{}: {said}", ExecuteFlags::NAME);
                *told = Some(said);
            }
        });
    }

    fn act(&mut self, session: &Session, actions: Vec<Action>) -> Result<Option<End>, ExecuteError> {
        for action in actions {
            match action {
                Action::Print(line) => print(self.out, &line),
                Action::Tell(line) => eprintln!("{}: {line}", ExecuteFlags::NAME),
                Action::Call(call) => session.call(&call)?,
                Action::End(end) => return Ok(Some(end)),
            }
        }
        Ok(None)
    }

    /// Waits for the stream, a signal or the time; says whether a signal came.
    fn wait(&self, session: Option<&Session>, timeout: Option<Duration>) -> Result<bool, ExecuteError> {
        let mut awaited = vec![PollFd::new(&self.signals, PollFlags::IN)];
        awaited.extend(session.map(|session| PollFd::new(session, PollFlags::IN)));
        poll(&mut awaited, timeout).map_err(ExecuteError::Wait)?;
        Ok(self.signals.read().map_err(ExecuteError::Wait)?.is_some())
    }

    fn is_readable(&self, session: &Session) -> Result<bool, ExecuteError> {
        let ready = poll(&mut [PollFd::new(session, PollFlags::IN)], Some(Duration::ZERO));
        Ok(ready.map_err(ExecuteError::Wait)? > 0)
    }

    /// What the tasks wrote; of those that did not finish also what they wrote to standard error.
    fn show_output(&mut self, finished: bool) {
        let Some((framework, all, launched)) = self.scheduler.outcome() else { return };
        let agent = output::agent(&launched.offer);
        let authorization = self.api.authorization.as_deref();
        let several = all.len() > 1;
        for written in all {
            if let (true, Some(task)) = (several, written.below) {
                print(self.out, &format!("Output of task '{task}':"));
            }
            let copy = |name: &str, out: &mut dyn Write| {
                match output::copy(&agent, authorization, framework, written, name, out) {
                    // It never came so far that there is a sandbox: its last update says why.
                    Err(OutputError::Status { status: 404, .. }) if !finished => {}
                    Err(error) => {
                        eprintln!("{}: the task's {name} cannot be shown: {error}", ExecuteFlags::NAME);
                    }
                    Ok(()) => {}
                }
            };
            copy("stdout", self.out);
            if !finished {
                copy("stderr", &mut std::io::stderr());
            }
        }
    }
}

fn heartbeat_interval(event: &Event) -> Option<Duration> {
    if event.r#type() != event::Type::Subscribed {
        return None;
    }
    let seconds = event.subscribed.as_ref()?.heartbeat_interval_seconds?;
    Duration::try_from_secs_f64(seconds).ok().filter(|interval| !interval.is_zero())
}
