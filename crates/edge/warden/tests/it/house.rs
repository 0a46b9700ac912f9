//! A warden of its own for each test, and what tests ask of it.

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use messor_linux::container::{Process, StartError, Stream};
use messor_linux::spawn::Session;
use messor_linux::{Exit, Pid, Signal, procfs, signals};
use messor_warden::{Config, Ended, Event, Start, Warden, WardenError};

/// Far longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether a test that needs root can run; otherwise it is named among those that were skipped.
pub fn is_root() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    skip("containers in namespaces (not root)");
    false
}

/// Says that a test could not run and why; `./test` prints all of these in its last line.
pub fn skip(why: &str) {
    eprintln!("skipped: {why}");
    if let Some(path) = std::env::var_os("MESSOR_SKIPS")
        && let Ok(mut file) = fs::File::options().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "{why}");
    }
}

pub struct House {
    pub folder: tempfile::TempDir,
    pub config: Config,
    pub warden: Option<Warden>,
    events: Mutex<Receiver<Event>>,
    set_aside: Mutex<Vec<Ended>>,
    pub wardens: Vec<i32>,
}

impl House {
    pub fn new() -> House {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            runtime_dir: folder.path().to_owned(),
            program: env!("CARGO_BIN_EXE_messor-warden").into(),
            arguments: vec!["messor-warden".into()],
            cgroups: Vec::new(),
        };
        let (sender, events) = channel();
        let warden = connect(&config, sender).unwrap();
        let pid = warden.pid().unwrap();
        let events = Mutex::new(events);
        House {
            folder,
            config,
            warden: Some(warden),
            events,
            set_aside: Mutex::default(),
            wardens: vec![pid],
        }
    }

    pub fn warden(&self) -> &Warden {
        self.warden.as_ref().unwrap()
    }

    /// The agent ends, as it were: its connection does.
    pub fn lose_agent(&mut self) {
        self.warden = None;
    }

    /// And another one comes.
    pub fn new_agent(&mut self) {
        self.warden = None;
        // The warden learns of the end of the one before by itself.
        for _ in 0..6000 {
            let (sender, events) = channel();
            match connect(&self.config, sender) {
                Ok(warden) => {
                    self.wardens.extend(warden.pid());
                    self.warden = Some(warden);
                    self.events = Mutex::new(events);
                    return;
                }
                Err(WardenError::Taken(_)) => std::thread::sleep(Duration::from_millis(10)),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("the warden does not let the agent before go");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn event(&self) -> Event {
        self.events.lock().unwrap().recv_timeout(PATIENCE).unwrap()
    }

    pub fn no_event(&self) {
        assert_eq!(self.events.lock().unwrap().try_recv().ok(), None);
    }

    pub fn ended(&self) -> Ended {
        if let Some(ended) = self.set_aside.lock().unwrap().pop() {
            return ended;
        }
        match self.event() {
            Event::Ended(ended) => ended,
            other => panic!("{other:?}"),
        }
    }

    /// The end of this one; others are set aside.
    pub fn ended_of(&self, pid: i32) -> Ended {
        let mut others = Vec::new();
        loop {
            let ended = self.ended();
            if ended.pid == pid {
                self.set_aside.lock().unwrap().append(&mut others);
                return ended;
            }
            others.push(ended);
        }
    }

    pub fn start(&self, name: &str, process: Process) -> Start {
        Start {
            container: name.into(),
            status_file: self.path(&format!("{name}.status")),
            pid_files: vec![self.path(&format!("{name}.pid"))],
            process,
        }
    }

    pub fn launch(&self, name: &str, process: Process) -> Result<i32, StartError> {
        let held = self.warden().fork(self.start(name, process))?;
        let pid = held.pid();
        held.go_on()?;
        Ok(pid)
    }

    /// Runs it to its end: how it ended, and its output.
    pub fn run(&self, mut process: Process) -> (Exit, String) {
        let (mut reading, writing) = pipe();
        process.stdout = Stream::Descriptor(writing.try_clone().unwrap().into());
        process.stderr = Stream::Descriptor(writing.into());
        let pid = self.launch("run", process).unwrap();
        let mut output = String::new();
        reading.read_to_string(&mut output).unwrap();
        (self.ended_of(pid).exit.unwrap(), output)
    }

    pub fn noted(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.status"))).unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.warden = None;
        // Held ones end with it; all others are ended by their tests.
        for pid in &self.wardens {
            let _ = signals::send(Pid::from_raw(*pid).unwrap(), Signal::TERM);
        }
    }
}

fn connect(config: &Config, sender: Sender<Event>) -> Result<Warden, WardenError> {
    let sender = Mutex::new(sender);
    Warden::connect_or_start(config, move |event| {
        let _ = sender.lock().unwrap().send(event);
    })
}

pub fn pipe() -> (fs::File, fs::File) {
    let (reading, writing) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (reading.into(), writing.into())
}

pub fn process(program: &str, arguments: &[&str]) -> Process {
    let all = std::iter::once(program).chain(arguments.iter().copied());
    Process {
        program: program.into(),
        arguments: all.map(OsString::from).collect(),
        environment: vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())],
        session: Session::New,
        ..Process::default()
    }
}

pub fn shell(script: &str) -> Process {
    process("/bin/sh", &["-c", script])
}

pub fn is_alive(pid: i32) -> bool {
    procfs::process(pid).unwrap().is_some_and(|process| !process.is_zombie())
}

/// Waits for something to become true.
pub fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !is_true() {
        assert!(start.elapsed() < PATIENCE, "still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn kill(pid: i32) {
    signals::send(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}
