//! The warden itself: a loop over its one agent, the processes being started, and those that end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use messor_linux::container::{Forked, Process, Progress, StartError, Status, Step};
use messor_linux::poll::{PollFd, PollFlags, poll};
use messor_linux::signals::{self, SignalFd};
use messor_linux::{Exit, Pid, Signal, inherited, procfs, wait};

use crate::message::{Asked, Number, Told, VERSION};
use crate::socket::{self, Connection};

/// Processes that are started at the same time. More are refused.
const STARTING_LIMIT: usize = 1024;
/// What is said while no agent listens. The oldest is forgotten.
const UNTOLD_LIMIT: usize = 1024;
/// A warden that no agent has come to ends after this time.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// One without containers that its agent has left ends after this time. An agent that is started again may be there by
/// then; a later one starts another.
const IDLE: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
enum WardenError {
    #[error("a warden is started by its agent, with --listen=N and --cgroup=PATH alone; '{0}' is neither")]
    Argument(String),
    #[error("--listen is not the number of an inherited socket: {0}")]
    Listen(io::Error),
    #[error("could not enter the cgroup by '{path}': {source}")]
    Cgroup { path: String, source: io::Error },
    #[error("could not {0}: {1}")]
    Failed(&'static str, io::Error),
}

/// The program; `arguments` are the words after its name. It must be called before any thread is started.
pub fn main(arguments: &[String]) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("warden: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), WardenError> {
    let mut listener = None;
    for argument in arguments {
        if let Some(number) = argument.strip_prefix("--listen=") {
            let number = number.parse().map_err(|_| WardenError::Argument(argument.clone()))?;
            listener = Some(UnixListener::from(inherited::take(number).map_err(WardenError::Listen)?));
        } else if let Some(path) = argument.strip_prefix("--cgroup=") {
            let failed = |source| WardenError::Cgroup { path: path.to_owned(), source };
            fs::write(path, "0").map_err(failed)?;
        } else {
            return Err(WardenError::Argument(argument.clone()));
        }
    }
    let listener = listener.ok_or_else(|| WardenError::Argument("nothing".into()))?;
    listener.set_nonblocking(true).map_err(WardenError::Listen)?;
    let signals = SignalFd::new(&[Signal::CHILD, Signal::TERM, Signal::INT, Signal::HUP]);
    let signals = signals.map_err(|error| WardenError::Failed("watch signals", error))?;
    wait::become_subreaper().map_err(|error| WardenError::Failed("become the reaper of orphans", error))?;
    let _ = rustix::thread::set_name(c"messor-warden");
    Warden {
        agent: None,
        agent_pid: 0,
        greeted: false,
        starting: BTreeMap::new(),
        running: BTreeMap::new(),
        untold: Vec::new(),
        ending: false,
        idle_since: Some(Instant::now()),
    }
    .serve(&listener, &signals)
    .map_err(|error| WardenError::Failed("go on", error))
}

/// A process on its way to its program.
struct Starting {
    pid: Pid,
    container: String,
    status_file: PathBuf,
    forked: Forked,
    state: State,
}

#[derive(Debug)]
enum State {
    Forking,
    Held,
    /// Let go on by the request of this number.
    Going(Number),
    /// It will not come to its program. Once it is gone, this is told as the answer to that request.
    Ending(Option<(Number, Option<StartError>)>),
}

struct Running {
    container: String,
    status_file: PathBuf,
    status: Option<Status>,
}

struct Warden {
    agent: Option<Connection>,
    /// 0: none has come yet.
    agent_pid: i32,
    /// The agent of this connection has said who it is, and may ask.
    greeted: bool,
    starting: BTreeMap<Number, Starting>,
    running: BTreeMap<i32, Running>,
    /// For the next agent.
    untold: Vec<Told>,
    /// It ends as soon as it holds nothing.
    ending: bool,
    idle_since: Option<Instant>,
}

impl Warden {
    fn serve(&mut self, listener: &UnixListener, signals: &SignalFd) -> io::Result<()> {
        loop {
            let timeout = self.idle_left();
            if timeout == Some(Duration::ZERO) || self.ending && self.holds_nothing() {
                return Ok(());
            }
            let numbers: Vec<Number> = self.starting.keys().copied().collect();
            let (accepts, arrived, agent, starting);
            {
                let mut awaited =
                    vec![PollFd::new(listener, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
                if let Some(agent) = &self.agent {
                    let write = if agent.wants_to_write() { PollFlags::OUT } else { PollFlags::empty() };
                    awaited.push(PollFd::new(agent, PollFlags::IN | write));
                }
                let before = awaited.len();
                // There is nothing more to hear from those that end.
                awaited.extend(self.starting.values().map(|one| match one.state {
                    State::Ending(_) => PollFd::new(&one.forked, PollFlags::empty()),
                    _ => PollFd::new(&one.forked, PollFlags::IN),
                }));
                poll(&mut awaited, timeout)?;
                let is_ready = |one: &PollFd<'_>| !one.revents().is_empty();
                accepts = is_ready(&awaited[0]);
                arrived = is_ready(&awaited[1]);
                agent = awaited[2..before].iter().any(is_ready);
                starting = numbers
                    .into_iter()
                    .zip(&awaited[before..])
                    .filter(|(_, one)| is_ready(one))
                    .map(|(number, _)| number)
                    .collect::<Vec<_>>();
            }
            for number in starting {
                self.progress(number);
            }
            if arrived {
                self.signals(signals)?;
            }
            if agent {
                self.hear();
            }
            if accepts {
                self.accept(listener);
            }
        }
    }

    fn holds_nothing(&self) -> bool {
        self.starting.is_empty() && self.running.is_empty()
    }

    /// How long it may go on being idle.
    fn idle_left(&mut self) -> Option<Duration> {
        if self.agent.is_some() || !self.holds_nothing() {
            self.idle_since = None;
            return None;
        }
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        let limit = if self.agent_pid == 0 { FIRST_WAIT } else { IDLE };
        Some(limit.saturating_sub(since.elapsed()))
    }

    fn accept(&mut self, listener: &UnixListener) {
        let Ok((stream, _)) = listener.accept() else { return };
        let connection = socket::check_peer(&stream).and_then(|pid| Ok((pid, Connection::new(stream)?)));
        let Ok((pid, mut connection)) = connection else { return };
        if self.agent.is_some() {
            // One that has ended shows here at the latest.
            self.hear();
        }
        if self.agent.is_some() {
            let _ = connection.send(&Told::Taken { pid: self.agent_pid }.encode());
            return;
        }
        self.agent = Some(connection);
        self.agent_pid = pid;
        self.greeted = false;
    }

    fn tell(&mut self, told: Told) {
        if let Some(agent) = self.agent.as_mut().filter(|_| self.greeted) {
            match agent.send(&told.encode()) {
                Ok(()) => return,
                Err(_) => self.lose_agent(),
            }
        }
        // An answer is of no use to another agent; the rest is.
        if matches!(told, Told::Said { .. }) {
            if self.untold.len() >= UNTOLD_LIMIT {
                self.untold.remove(0);
            }
            self.untold.push(told);
        }
    }

    fn say(&mut self, text: String) {
        self.tell(Told::Said { text });
    }

    /// What was held for it and not let go on is of no use to anybody.
    fn lose_agent(&mut self) {
        self.agent = None;
        for one in self.starting.values_mut() {
            if matches!(one.state, State::Forking | State::Held) {
                end(one, None);
            }
        }
    }

    fn hear(&mut self) {
        let Some(mut agent) = self.agent.take() else { return };
        let answer = agent.flush().and_then(|()| agent.receive());
        // Before anything is answered, so that what is heard last is heard before the end.
        let mut asked = Vec::new();
        let goes_on = answer.and_then(|goes_on| {
            while let Some(mut frame) = agent.next()? {
                asked.push(Asked::decode(frame.decoder()).map_err(io::Error::other)?);
            }
            Ok(goes_on)
        });
        self.agent = Some(agent);
        for one in asked {
            self.answer(one);
        }
        match goes_on {
            Ok(true) => {}
            Ok(false) => self.lose_agent(),
            Err(error) => {
                self.lose_agent();
                self.say(format!("the agent before was cut off: {error}"));
            }
        }
    }

    fn answer(&mut self, asked: Asked) {
        if !self.greeted && !matches!(asked, Asked::Hello { version: VERSION }) {
            return self.lose_agent();
        }
        match asked {
            Asked::Hello { .. } => {
                self.greeted = true;
                let known = self
                    .running
                    .iter()
                    .map(|(pid, one)| (*pid, one.container.clone(), one.status_file.clone()));
                // Those that go already become running ones, whoever waits for them.
                let going = self.starting.values().filter(|one| matches!(one.state, State::Going(_)));
                let going =
                    going.map(|one| (one.pid.as_raw_pid(), one.container.clone(), one.status_file.clone()));
                let known = known.chain(going).collect();
                let pid = rustix::process::getpid().as_raw_pid();
                self.tell(Told::Hello { version: VERSION, pid, known });
                for told in std::mem::take(&mut self.untold) {
                    self.tell(told);
                }
            }
            Asked::Fork { number, container, status_file, process } => {
                self.fork(number, container, status_file, *process);
            }
            Asked::GoOn { number, fork } => self.go_on(number, fork),
            Asked::Abandon { fork } => {
                if let Some(one) = self.starting.get_mut(&fork) {
                    end(one, None);
                }
            }
            Asked::Signal { number, pid, signal } => {
                let told = match self.signal(pid, signal) {
                    Ok(()) => Told::Done { number },
                    Err(error) => Told::Failed { number, error: StartError::Lost(error) },
                };
                self.tell(told);
            }
            Asked::Strays { number } => match self.strays() {
                Ok(pids) => self.tell(Told::Pids { number, pids }),
                Err(error) => self.tell(Told::Failed { number, error: StartError::Lost(error) }),
            },
        }
    }

    fn fork(&mut self, number: Number, container: String, status_file: PathBuf, process: Process) {
        if self.starting.len() >= STARTING_LIMIT {
            let text = format!("{STARTING_LIMIT} containers are being started already");
            return self.tell(Told::Failed { number, error: StartError::Wrong(text) });
        }
        if self.starting.contains_key(&number) {
            let error = StartError::Wrong("the number of the request is in use".into());
            return self.tell(Told::Failed { number, error });
        }
        match process.fork() {
            Ok(forked) => {
                let pid = forked.pid();
                let state = State::Forking;
                self.starting.insert(number, Starting { pid, container, status_file, forked, state });
            }
            Err(error) => self.tell(Told::Failed { number, error }),
        }
    }

    fn go_on(&mut self, number: Number, fork: Number) {
        let error = match self.starting.get_mut(&fork) {
            Some(one) if matches!(one.state, State::Held) => {
                one.state = State::Going(number);
                // One that was killed in the meantime shows by its end.
                let _ = one.forked.let_go();
                return;
            }
            Some(_) => StartError::Wrong("it does not wait to be let go on".into()),
            None => StartError::Wrong("no such process waits to be let go on".into()),
        };
        self.tell(Told::Failed { number, error });
    }

    fn signal(&self, pid: i32, signal: i32) -> io::Result<()> {
        let is_ours =
            self.running.contains_key(&pid) || self.starting.values().any(|one| one.pid.as_raw_pid() == pid);
        match (Pid::from_raw(pid), Signal::from_named_raw(signal)) {
            // It is not reaped in between, so that the number is still its own.
            (Some(pid), Some(signal)) if is_ours => signals::send(pid, signal),
            (_, None) => Err(io::Error::from_raw_os_error(rustix::io::Errno::INVAL.raw_os_error())),
            _ => Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error())),
        }
    }

    /// Children that were not forked here, but adopted.
    fn strays(&self) -> io::Result<Vec<i32>> {
        let me = rustix::process::getpid().as_raw_pid();
        let started: Vec<i32> = self.starting.values().map(|one| one.pid.as_raw_pid()).collect();
        let children = procfs::children(me)?.into_iter();
        let pids = children.filter(|process| !process.is_zombie()).map(|process| process.pid);
        Ok(pids.filter(|pid| !self.running.contains_key(pid) && !started.contains(pid)).collect())
    }

    /// Looks what a process being started has to say.
    fn progress(&mut self, number: Number) {
        loop {
            let Some(one) = self.starting.get_mut(&number) else { return };
            let pid = one.pid.as_raw_pid();
            let request = match one.state {
                State::Forking | State::Held => number,
                State::Going(request) => request,
                State::Ending(_) => return,
            };
            match one.forked.progress() {
                Ok(Progress::Pending) => return,
                Ok(Progress::Ready) => {
                    one.state = State::Held;
                    self.tell(Told::Forked { number, pid });
                }
                Ok(Progress::Closed) if matches!(one.state, State::Going(_)) => {
                    if let Some(one) = self.starting.remove(&number) {
                        let (container, status_file) = (one.container, one.status_file);
                        let status = one.forked.into_status();
                        self.running.insert(pid, Running { container, status_file, status });
                    }
                    return self.tell(Told::Done { number: request });
                }
                Ok(Progress::Closed) => one.state = State::Ending(Some((request, None))),
                // It ends by itself, with the status that is to be noted.
                Ok(Progress::Failed(error)) => one.state = State::Ending(Some((request, Some(error)))),
                Err(error) => {
                    let what = one.container.clone();
                    let error = StartError::Step { step: Step::Prepare, what, source: error };
                    end(one, Some((request, Some(error))));
                }
            }
        }
    }

    fn signals(&mut self, signals: &SignalFd) -> io::Result<()> {
        while let Some(signal) = signals.read()? {
            if signal == Signal::TERM {
                self.ending = true;
            }
        }
        while let Some(reaped) = wait::peek_any()? {
            self.ended(reaped.pid, reaped.exit)?;
        }
        Ok(())
    }

    /// A child has ended. It is noted while its number is its own, so that whoever sees that it is gone finds the note; then it
    /// is reaped, and told.
    fn ended(&mut self, pid: Pid, exit: Exit) -> io::Result<()> {
        if let Some(number) = self.starting.iter().find(|(_, one)| one.pid == pid).map(|(number, _)| *number)
        {
            // What it said last; or its program has run already, and it is one of those now.
            self.progress(number);
            if let Some(one) = self.starting.remove(&number) {
                self.note(&one.status_file, exit, &one.container);
                wait::wait(pid)?;
                if let State::Ending(Some((number, error))) = one.state {
                    let error = error.unwrap_or(StartError::Ended(exit));
                    self.tell(Told::Failed { number, error });
                }
                // For an agent that came since, and does not know of the request.
                self.tell(Told::Ended { pid: pid.as_raw_pid(), container: one.container, exit });
                return Ok(());
            }
        }
        let Some(one) = self.running.remove(&pid.as_raw_pid()) else {
            // All others were adopted.
            wait::wait(pid)?;
            return Ok(());
        };
        let exit = one.status.map_or(exit, |status| status.exit(exit));
        self.note(&one.status_file, exit, &one.container);
        wait::wait(pid)?;
        self.tell(Told::Ended { pid: pid.as_raw_pid(), container: one.container, exit });
        Ok(())
    }

    fn note(&mut self, path: &Path, exit: Exit, container: &str) {
        if let Err(error) = write_aside(path, exit.to_wait_status().to_string().as_bytes()) {
            self.say(format!(
                "that container {container} {exit} is not noted in '{}': {error}",
                path.display()
            ));
        }
    }
}

/// Kills a process that is not to come to its program.
fn end(one: &mut Starting, answer: Option<(Number, Option<StartError>)>) {
    one.state = State::Ending(answer);
    // It may have ended in the meantime; it is not reaped, so its number is its own.
    let _ = signals::send(one.pid, Signal::KILL);
}

/// Whoever reads the file finds all of it or nothing, whenever this process ends. It is not synced: what it tells of does not
/// outlive the host's going down either.
pub(crate) fn write_aside(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut aside = OsString::from(path);
    aside.push(".new");
    let written = fs::File::create(&aside).and_then(|mut file| file.write_all(content));
    match written.and_then(|()| fs::rename(&aside, path)) {
        Err(error) => {
            let _ = fs::remove_file(&aside);
            Err(error)
        }
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_aside_is_there_as_a_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status");
        write_aside(&path, b"768").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"768");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_aside(&folder.path().join("no/such"), b"1").is_err());
    }

    #[test]
    fn arguments_are_for_agents_only() {
        let error = |argument: &str| run(&[argument.to_owned()]).unwrap_err().to_string();
        assert!(error("--help").contains("'--help' is neither"));
        assert!(error("--listen=x").contains("--listen=x"));
        assert!(error("--listen=999").contains("not the number of an inherited socket"));
        assert!(run(&[]).is_err());
    }
}
