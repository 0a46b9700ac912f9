//! The log machine with its edges, on a thread of its own: messages from the network, records to the disk, commands from
//! its owner. It must not know what the entries are, nor where the network's members come from.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use messor_net::{Mailbox, Net, NetEvent, ProcessExists};
use messor_replog::{Answer, Command, Config, Effect, Event, Failure, Log, Timer};
use messor_runtime::{Clock, Timers};
use messor_stdx::Time;
use messor_store::{Store, StoreError};
use messor_types::Pid;
use tokio::sync::mpsc;

/// The process id of the first replica in a program, as Apache Mesos counts them.
pub const PROCESS: &str = "log-replica(1)";

/// So many events are taken before timers are looked at again.
const BURST: usize = 256;

#[derive(Clone, Debug)]
pub struct Options {
    /// The directory of the log's files. The one above it must be there.
    pub path: PathBuf,
    /// How many replicas make a majority.
    pub quorum: usize,
    /// Whether empty replicas begin a new log by themselves.
    pub auto_initialize: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Process(#[from] ProcessExists),
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What the owner hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer to a command.
    Done { ticket: u64, outcome: Result<Answer, Failure> },
    /// The disk failed. Nothing more comes; the program has to end.
    Failed { reason: String },
}

/// What the machine's thread takes in beside messages. The owner's commands are bounded by the machine (it answers
/// `Failure::Busy`), the store's answers by what the machine asked for.
enum Input {
    Event(Event),
    Members(BTreeSet<Pid>),
    Stop,
}

/// A replica that runs. Dropping it ends it: what was given to the disk is written, and the directory is free again.
pub struct Replica {
    inputs: mpsc::UnboundedSender<Input>,
    shown: Arc<Shown>,
    pid: Pid,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What metrics tell.
#[derive(Default)]
struct Shown {
    recovered: AtomicBool,
    ensemble_size: AtomicUsize,
}

/// Gives commands to a replica from any thread.
#[derive(Clone)]
pub struct Commands(mpsc::UnboundedSender<Input>);

impl Commands {
    /// Answered by [`Outcome::Done`] with the same ticket.
    pub fn command(&self, ticket: u64, command: Command) {
        // Where the replica is gone, `Outcome::Failed` said so, or its owner dropped it.
        let _ = self.0.send(Input::Event(Event::Command { ticket, command }));
    }

    /// The replicas of the network, as ZooKeeper's group says.
    pub fn members(&self, members: BTreeSet<Pid>) {
        let _ = self.0.send(Input::Members(members));
    }
}

impl Replica {
    /// Opens the files and begins to answer other replicas. `outcome` is called on the replica's thread and must not
    /// block.
    pub fn start(
        net: &Net,
        options: &Options,
        outcome: impl FnMut(Outcome) + Send + 'static,
    ) -> Result<Replica, StartError> {
        let (inputs, incoming) = mpsc::unbounded_channel();
        let answers = inputs.clone();
        let (store, restored) = Store::open(&options.path, move |event| {
            // The replica's thread outlives the store's, which it holds.
            let _ = answers.send(Input::Event(event));
        })?;
        let mailbox = net.open(PROCESS)?;
        let pid = net.pid(PROCESS);
        let config = Config {
            pid: pid.clone(),
            quorum: options.quorum,
            auto_initialize: options.auto_initialize,
            seed: messor_runtime::random_seed(),
        };
        let clock = Clock::start();
        let shown = Arc::new(Shown::default());
        let mut runner = Runner {
            log: Log::new(config, clock.now()),
            clock,
            net: net.clone(),
            mailbox,
            store,
            timers: Timers::default(),
            effects: Vec::new(),
            open: BTreeSet::from([PROCESS.to_string()]),
            outcome: Box::new(outcome),
            shown: Arc::clone(&shown),
            failed: false,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let thread = std::thread::Builder::new().name("log-replica".to_string()).spawn(move || {
            runner.handle(Event::Restored(Box::new(restored)));
            runtime.block_on(runner.run(incoming));
        })?;
        Ok(Replica { inputs, shown, pid, thread: Some(thread) })
    }

    /// What the others reach it by.
    pub fn pid(&self) -> &Pid {
        &self.pid
    }

    pub fn commands(&self) -> Commands {
        Commands(self.inputs.clone())
    }

    /// Whether it may vote: the metric log/recovered.
    pub fn recovered(&self) -> bool {
        self.shown.recovered.load(Ordering::Relaxed)
    }

    /// The metric log/ensemble_size.
    pub fn ensemble_size(&self) -> usize {
        self.shown.ensemble_size.load(Ordering::Relaxed)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.inputs.send(Input::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the replicated log ended by a bug");
        }
    }
}

struct Runner {
    log: Log,
    clock: Clock,
    net: Net,
    mailbox: Mailbox,
    store: Store,
    timers: Timers<Timer>,
    effects: Vec<Effect>,
    /// Process ids that lead into the mailbox: the replica's, and one for each request under way.
    open: BTreeSet<String>,
    outcome: Box<dyn FnMut(Outcome) + Send>,
    shown: Arc<Shown>,
    failed: bool,
}

impl Runner {
    async fn run(&mut self, mut inputs: mpsc::UnboundedReceiver<Input>) {
        loop {
            self.fire_timers();
            let pause = self.timers.next().map_or(Duration::from_secs(3600), |at| at.since(self.clock.now()));
            tokio::select! {
                event = self.mailbox.recv() => {
                    self.network(event);
                    for _ in 0..BURST {
                        let Some(event) = self.mailbox.try_recv() else { break };
                        self.network(event);
                    }
                }
                input = inputs.recv() => {
                    let mut next = input;
                    for _ in 0..BURST {
                        match next {
                            Some(Input::Event(event)) => self.handle(event),
                            Some(Input::Members(members)) => self.members(members),
                            Some(Input::Stop) | None => return,
                        }
                        match inputs.try_recv() {
                            Ok(input) => next = Some(input),
                            Err(_) => break,
                        }
                    }
                }
                () = tokio::time::sleep(pause) => (),
            }
        }
    }

    fn fire_timers(&mut self) {
        let now = self.clock.now();
        while let Some(timer) = self.timers.take_due(now) {
            self.handle(Event::Timer(timer));
        }
    }

    fn network(&mut self, event: NetEvent) {
        // That a peer's connection broke is no matter: requests have their times, and are sent again.
        if let NetEvent::Message(packet) = event {
            let (to, name, body) = (packet.to.to_string(), packet.name, packet.body.to_vec());
            self.handle(Event::Message { from: packet.from, to, name, body });
        }
    }

    fn members(&mut self, members: BTreeSet<Pid>) {
        // Anew for each, as a connection of before may be dead without being broken (MESOS-5576).
        for pid in members.iter().filter(|pid| **pid != self.net.pid(PROCESS)) {
            self.net.relink(PROCESS, pid);
        }
        self.handle(Event::Members(members));
    }

    fn handle(&mut self, event: Event) {
        if self.failed {
            return;
        }
        let now: Time = self.clock.now();
        let mut effects = std::mem::take(&mut self.effects);
        self.log.handle(now, event, &mut effects);
        for effect in effects.drain(..) {
            self.carry_out(effect);
        }
        self.effects = effects;
        self.shown.recovered.store(self.log.recovered(), Ordering::Relaxed);
        self.shown.ensemble_size.store(self.log.ensemble_size(), Ordering::Relaxed);
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send { from, to, name, body } => {
                if !self.open.contains(&from) {
                    match self.net.add_process(&from, &self.mailbox) {
                        Ok(()) => drop(self.open.insert(from.clone())),
                        // The answer would go astray; the machine asks again after its time.
                        Err(error) => return tracing::error!("{error}"),
                    }
                }
                self.net.send(&from, &to, name, body);
            }
            Effect::Close { from } => {
                if self.open.remove(&from) {
                    self.net.remove_process(&from);
                }
            }
            Effect::Persist { ticket, write } => self.store.persist(ticket, write),
            Effect::Read { ticket, from, to } => self.store.read(ticket, from, to),
            Effect::Done { ticket, outcome } => (self.outcome)(Outcome::Done { ticket, outcome }),
            Effect::SetTimer { timer, at } => self.timers.set(timer, at),
            Effect::CancelTimer { timer } => self.timers.cancel(&timer),
            Effect::Failed { reason } => {
                self.failed = true;
                (self.outcome)(Outcome::Failed { reason });
            }
            Effect::Log { level, line, at } => messor_log::say(level, &line, at),
        }
    }
}
