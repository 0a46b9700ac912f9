//! The agent's side.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use messor_linux::container::{Process, StartError};
use messor_linux::{Exit, procfs};

use crate::listening;
use crate::message::{Number, Request, Told, VERSION};
use crate::socket;
use crate::starting;
use crate::watching::Watcher;

/// Forking takes milliseconds. A warden that does not answer for so long is taken for gone.
const FORK_LIMIT: Duration = Duration::from_secs(60);
/// Commands before the program may take their time.
const GO_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Where the warden is found, and how it is started where there is none.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its socket is there.
    pub runtime_dir: PathBuf,
    /// The program that is a warden when called with `arguments` (its name first, such as `mesos-containerizer warden`).
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    /// `cgroup.procs` files that a new warden enters, so that it does not end with the agent's own cgroup.
    pub cgroups: Vec<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum WardenError {
    #[error("could not {what}: {source}")]
    Failed { what: String, source: io::Error },
    #[error("the warden serves another agent, process {0}")]
    Taken(i32),
}

/// A container's first process to be started.
#[derive(Debug, Default)]
pub struct Start {
    /// For messages, and to know it again after a restart of the agent.
    pub container: String,
    /// Where the wait status is noted, as a decimal number, once it ended: written aside and renamed.
    pub status_file: PathBuf,
    /// Files that its pid is written to, synced, before [`Warden::fork`] answers.
    pub pid_files: Vec<PathBuf>,
    pub process: Process,
}

/// How a process ended. Told once its status is noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub pid: i32,
    pub container: String,
    /// None: nobody can know, as the warden that forked it ended before, and did not note it.
    pub exit: Option<Exit>,
}

/// What the warden tells by itself. Told on a thread of the client, which waits for the answer: it must not call the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Ended(Ended),
    /// The warden ended. Its containers go on, and are watched from here; what it held and had not let go on is gone. The next
    /// fork starts another one.
    Lost(String),
    /// Something for the log.
    Said(String),
}

/// A container that the warden had when it was connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub pid: i32,
    pub container: String,
}

/// A connection to the warden. Calls block for as long as the forking and executing takes, and may come from any thread.
#[derive(Clone)]
pub struct Warden(Arc<Shared>);

pub(crate) struct Shared {
    config: Config,
    state: Mutex<State>,
    pub(crate) events: Box<dyn Fn(Event) + Send + Sync>,
    pub(crate) watcher: Watcher,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Ends the threads, which hold nothing of this.
        if let Some(link) = &self.state().link {
            let _ = link.stream.shutdown(std::net::Shutdown::Both);
        }
        self.watcher.wake();
    }
}

/// Somebody waits for an answer.
struct Waiter {
    answer: Sender<Result<Told, StartError>>,
    of: Of,
}

/// What is done about the answer before anything that is told after it.
#[derive(Clone, Debug)]
enum Of {
    /// The process that is forked is watched.
    Fork(Watched),
    /// The process of this number is not held any more, or not there any more.
    GoOn(i32),
    Other,
}

struct State {
    link: Option<Link>,
    last_number: Number,
    waiting: BTreeMap<Number, Waiter>,
    /// All processes whose end is to be told.
    watched: BTreeMap<i32, Watched>,
}

struct Link {
    stream: Arc<UnixStream>,
    /// Told apart from the one after it.
    generation: u64,
    pid: i32,
    known: Vec<Known>,
}

#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub container: String,
    pub status_file: Option<PathBuf>,
    /// With the pid, it names a process for good.
    pub start_ticks: Option<u64>,
    /// It is held: its end is told by who lets it go on.
    pub held: bool,
    pub ended: Option<Exit>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of another thread leaves nothing half done in there.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message of the warden in. The messages of one connection come from one thread, in their order.
    pub(crate) fn take(&self, told: Told) {
        match told {
            Told::Ended { pid, container, exit } => {
                let mut state = self.state();
                match state.watched.get_mut(&pid) {
                    Some(one) if one.held => one.ended = Some(exit),
                    Some(_) => {
                        state.watched.remove(&pid);
                        drop(state);
                        (self.events)(Event::Ended(Ended { pid, container, exit: Some(exit) }));
                    }
                    None => {}
                }
            }
            Told::Said { text } => (self.events)(Event::Said(text)),
            Told::Failed { number, error } => self.answer(number, Err(error)),
            Told::Forked { number, .. } | Told::Done { number } | Told::Pids { number, .. } => {
                self.answer(number, Ok(told));
            }
            Told::Hello { .. } | Told::Taken { .. } => {}
        }
    }

    fn answer(&self, number: Number, mut answer: Result<Told, StartError>) {
        let mut state = self.state();
        let Some(waiter) = state.waiting.remove(&number) else {
            if let (Ok(Told::Forked { .. }), Some(link)) = (&answer, &state.link) {
                // Nobody waits for it any more.
                let _ = socket::send(&link.stream, &Request::Abandon { fork: number }.encode());
            }
            return;
        };
        match (waiter.of, &answer) {
            (Of::Fork(watched), Ok(Told::Forked { pid, .. })) => {
                let watched = Watched { start_ticks: start_ticks(*pid), ..watched };
                state.watched.insert(*pid, watched);
            }
            (Of::GoOn(pid), Ok(_)) => {
                if let Some(one) = state.watched.get_mut(&pid) {
                    one.held = false;
                }
            }
            (Of::GoOn(pid), Err(_)) => {
                // It ended while it was held, and the warden has forgotten it.
                if let Some(exit) = state.watched.remove(&pid).and_then(|one| one.ended) {
                    answer = Err(StartError::Ended(exit));
                }
            }
            _ => {}
        }
        let _ = waiter.answer.send(answer);
    }

    /// The connection of this generation is over: everybody who waits is told. Answers with what has to be watched from here now.
    pub(crate) fn lose(&self, generation: u64, why: &io::Error) -> Vec<(i32, Watched)> {
        let mut state = self.state();
        if state.link.as_ref().is_none_or(|link| link.generation != generation) {
            return Vec::new();
        }
        state.link = None;
        for waiter in std::mem::take(&mut state.waiting).into_values() {
            let _ = waiter.answer.send(Err(StartError::Lost(copy(why))));
        }
        // Held ones end by themselves.
        state.watched.retain(|_, one| !one.held);
        state.watched.iter().map(|(pid, one)| (*pid, one.clone())).collect()
    }

    /// A process that is watched from here has ended.
    pub(crate) fn ended_unseen(&self, pid: i32, watched: Watched) {
        // A warden that was found again may have told of it.
        if self.state().watched.remove(&pid).is_none() {
            return;
        }
        let exit = watched.status_file.as_deref().and_then(read_status);
        (self.events)(Event::Ended(Ended { pid, container: watched.container, exit }));
    }
}

fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => error.kind().into(),
    }
}

fn read_status(path: &Path) -> Option<Exit> {
    Exit::from_wait_status(fs::read_to_string(path).ok()?.trim().parse().ok()?)
}

impl Warden {
    /// Finds the warden of this runtime directory, or starts one. Afterwards it is started anew by itself where that is needed.
    pub fn connect_or_start(
        config: &Config,
        events: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Warden, WardenError> {
        let shared = Shared {
            config: config.clone(),
            state: Mutex::new(State {
                link: None,
                last_number: 0,
                waiting: BTreeMap::new(),
                watched: BTreeMap::new(),
            }),
            events: Box::new(events),
            watcher: Watcher::new()
                .map_err(|source| WardenError::Failed { what: "watch processes".into(), source })?,
        };
        let warden = Warden(Arc::new(shared));
        warden.connect(&mut warden.0.state())?;
        Ok(warden)
    }

    fn connect(&self, state: &mut State) -> Result<(), WardenError> {
        let failed = |source| WardenError::Failed { what: "talk to the warden".into(), source };
        let mut tries = 0;
        let (found, (connection, told)) = loop {
            let found = starting::connect_or_start(&self.0.config)?;
            match listening::greet(&found.stream) {
                Ok(greeted) => break (found, greeted),
                // One that had nothing to do, and ended before it heard of this agent.
                Err(_) if found.started.is_none() && tries < 3 => tries += 1,
                Err(error) => return Err(failed(error)),
            }
        };
        let (pid, known) = match told {
            Told::Hello { version: VERSION, pid, known } => (pid, known),
            Told::Taken { pid } => return Err(WardenError::Taken(pid)),
            _ => return Err(failed(io::Error::other("it speaks something else"))),
        };
        let mut found_known = Vec::with_capacity(known.len());
        for (pid, container, status_file) in known {
            let watched = Watched {
                container: container.clone(),
                status_file: Some(status_file),
                start_ticks: start_ticks(pid),
                held: false,
                ended: None,
            };
            state.watched.insert(pid, watched);
            found_known.push(Known { pid, container });
        }
        state.last_number += 1;
        let generation = state.last_number;
        state.link = Some(Link { stream: Arc::new(found.stream), generation, pid, known: found_known });
        listening::start(&self.0, connection, generation, found.started).map_err(failed)
    }

    /// The process of the warden; None while there is none.
    pub fn pid(&self) -> Option<i32> {
        self.0.state().link.as_ref().map(|link| link.pid)
    }

    /// Ends the connection, as the end of this process would: what is held ends, what runs goes on. The next fork makes another.
    pub fn disconnect(&self) {
        if let Some(link) = &self.0.state().link {
            let _ = link.stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Those that the warden had when it was connected to. Their end is told, as of those that are forked now.
    pub fn known(&self) -> Vec<Known> {
        self.0.state().link.as_ref().map(|link| link.known.clone()).unwrap_or_default()
    }

    /// Watches a process that the warden does not know (see [`Warden::known`]): one of a warden that ended, or of Apache Mesos's
    /// agent. `status_file` is read when it ended. Answers an error where there is no such process; the caller has made sure
    /// that it is the one that is meant.
    pub fn watch(&self, pid: i32, container: &str, status_file: Option<PathBuf>) -> io::Result<()> {
        let watched = Watched {
            container: container.to_owned(),
            status_file,
            start_ticks: start_ticks(pid),
            held: false,
            ended: None,
        };
        if watched.start_ticks.is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.0.state().watched.insert(pid, watched.clone());
        self.0.watcher.add(&self.0, vec![(pid, watched)])
    }

    /// Forks the process, into its cgroups and namespaces, where it waits.
    pub fn fork(&self, start: Start) -> Result<Held, StartError> {
        let watched = Watched {
            container: start.container.clone(),
            status_file: Some(start.status_file.clone()),
            start_ticks: None,
            held: true,
            ended: None,
        };
        let (number, answer) = self.ask(Of::Fork(watched), |number| Request::Fork {
            number,
            container: &start.container,
            status_file: &start.status_file,
            process: &start.process,
        })?;
        let Told::Forked { pid, .. } = self.answer(number, &answer, FORK_LIMIT)? else {
            return Err(StartError::Lost(io::ErrorKind::InvalidData.into()));
        };
        let held = Held { warden: self.clone(), fork: number, pid, gone: false };
        for file in &start.pid_files {
            write_pid(file, pid).map_err(|source| StartError::Step {
                step: messor_linux::container::Step::Note,
                what: file.display().to_string(),
                source,
            })?;
        }
        Ok(held)
    }

    /// Signals a process of the warden; never another one that was given its number since.
    pub fn signal(&self, pid: i32, signal: messor_linux::Signal) -> io::Result<()> {
        let signal = signal.as_raw();
        let asked = self.ask(Of::Other, |number| Request::Signal { number, pid, signal });
        let answer = asked.and_then(|(number, answer)| self.answer(number, &answer, FORK_LIMIT));
        answer.map(drop).map_err(as_io)
    }

    /// Children of the warden that it did not fork: processes of containers whose parents ended. For the killing of trees.
    pub fn strays(&self) -> io::Result<Vec<i32>> {
        let asked = self.ask(Of::Other, |number| Request::Strays { number });
        match asked.and_then(|(number, answer)| self.answer(number, &answer, FORK_LIMIT)) {
            Ok(Told::Pids { pids, .. }) => Ok(pids),
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
            Err(error) => Err(as_io(error)),
        }
    }

    /// Sends a request, over a new connection where there is none and one may be made.
    fn ask<'a>(
        &self,
        of: Of,
        request: impl FnOnce(Number) -> Request<'a>,
    ) -> Result<(Number, Receiver<Result<Told, StartError>>), StartError> {
        let mut state = self.0.state();
        if state.link.is_none() && matches!(of, Of::Fork(_)) {
            self.connect(&mut state).map_err(|error| StartError::Lost(io::Error::other(error)))?;
        }
        let Some(link) = &state.link else {
            return Err(StartError::Lost(io::ErrorKind::NotConnected.into()));
        };
        let stream = Arc::clone(&link.stream);
        state.last_number += 1;
        let number = state.last_number;
        let (waiter, answer) = channel();
        state.waiting.insert(number, Waiter { answer: waiter, of });
        // With the lock, so that messages do not mix.
        let sent = socket::send(&stream, &request(number).encode());
        if let Err(error) = sent {
            state.waiting.remove(&number);
            return Err(StartError::Lost(error));
        }
        Ok((number, answer))
    }

    fn answer(
        &self,
        number: Number,
        answer: &Receiver<Result<Told, StartError>>,
        limit: Duration,
    ) -> Result<Told, StartError> {
        match answer.recv_timeout(limit) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                self.0.state().waiting.remove(&number);
                Err(StartError::Lost(io::ErrorKind::TimedOut.into()))
            }
            Err(RecvTimeoutError::Disconnected) => Err(StartError::Lost(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

fn as_io(error: StartError) -> io::Error {
    match error {
        StartError::Lost(source) => source,
        error => io::Error::other(error),
    }
}

pub(crate) fn start_ticks(pid: i32) -> Option<u64> {
    procfs::process(pid).ok().flatten().map(|process| process.start_ticks)
}

/// Durable before the program runs, so that the next agent finds the process whatever happens.
fn write_pid(path: &Path, pid: i32) -> io::Result<()> {
    use std::io::Write;
    let mut aside = OsString::from(path);
    aside.push(".new");
    let mut file = fs::File::create(&aside)?;
    file.write_all(pid.to_string().as_bytes())?;
    file.sync_data()?;
    fs::rename(&aside, path)
}

/// A process that waits. It is killed when this is dropped.
pub struct Held {
    warden: Warden,
    fork: Number,
    pid: i32,
    gone: bool,
}

impl Held {
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Lets it go on, and answers when its program was executed, or why it was not: then the process is gone, its status is
    /// noted (exit status 1, as of Apache Mesos's launcher), and its end is not told as an event.
    pub fn go_on(mut self) -> Result<(), StartError> {
        self.gone = true;
        let (fork, pid) = (self.fork, self.pid);
        // One that ended while it was held; the warden has forgotten it.
        let ended = |state: &mut State| match state.watched.get(&pid) {
            Some(Watched { ended: Some(exit), .. }) => {
                let exit = *exit;
                state.watched.remove(&pid);
                Some(StartError::Ended(exit))
            }
            _ => None,
        };
        if let Some(error) = ended(&mut self.warden.0.state()) {
            return Err(error);
        }
        let asked = self.warden.ask(Of::GoOn(pid), |number| Request::GoOn { number, fork });
        let answer = asked.and_then(|(number, answer)| self.warden.answer(number, &answer, GO_LIMIT));
        answer.map(drop)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.gone {
            return;
        }
        let mut state = self.warden.0.state();
        state.watched.remove(&self.pid);
        if let Some(link) = &state.link {
            let stream = Arc::clone(&link.stream);
            // A warden that is gone has taken it along.
            let _ = socket::send(&stream, &Request::Abandon { fork: self.fork }.encode());
        }
    }
}
