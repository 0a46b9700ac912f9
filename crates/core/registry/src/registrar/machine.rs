//! The registrar as a machine: first it reads the registry, then it writes it, one write at a time.

use std::collections::VecDeque;
use std::panic::Location;
use std::sync::Arc;

use messor_metrics::{Snapshot, Timer};
use messor_proto::mesos::MasterInfo;
use messor_replog::{Answer, Command, Entry, Failure};
use messor_stdx::{Level, Random, Time, format_duration, format_size};

use super::entry::{self, Change};
use super::port::{RegistrarConfig, RegistrarEffect, RegistrarEvent, RegistrarTimer};
use crate::{Operation, State};

/// So many positions of the log are read at a time: each may hold a whole registry.
const POSITIONS_AT_ONCE: u64 = 16;

/// Makes the operations of one master durable, from its election until it ends.
#[derive(Debug)]
pub struct Registrar {
    config: RegistrarConfig,
    random: Random,
    phase: Phase,
    info: MasterInfo,
    /// The registry as it is in the log.
    state: Arc<State>,
    size_bytes: Option<usize>,
    /// What the next write will hold. As many as the master has inputs that wait for the registry.
    waiting: VecDeque<(u64, Operation)>,
    writing: Option<Writing>,
    /// The command that the log is busy with.
    command: Option<u64>,
    next_command: u64,
    /// Where the log begins, as far as we know.
    truncated: u64,
    store_timer_set: bool,
    started: Time,
    fetch: Timer,
    store: Timer,
}

#[derive(Debug, PartialEq)]
enum Phase {
    Idle,
    Electing,
    /// Positions up to this one; the newest registry so far.
    Reading {
        to: u64,
        last: u64,
        newest: Option<Vec<u8>>,
    },
    /// The first write is under way: our MasterInfo.
    Recovering,
    Ready,
    Truncating {
        to: u64,
    },
    Failed(String),
}

/// A write that is under way.
#[derive(Debug)]
struct Writing {
    state: State,
    size_bytes: usize,
    outcomes: Vec<(u64, bool)>,
    since: Time,
}

type Effects = Vec<RegistrarEffect>;

#[track_caller]
fn say(effects: &mut Effects, level: Level, line: String) {
    effects.push(RegistrarEffect::Say { level, line, at: Location::caller() });
}

impl Registrar {
    pub fn new(config: RegistrarConfig) -> Registrar {
        Registrar {
            random: Random::new(config.seed),
            config,
            phase: Phase::Idle,
            info: MasterInfo::default(),
            state: Arc::default(),
            size_bytes: None,
            waiting: VecDeque::new(),
            writing: None,
            command: None,
            next_command: 0,
            truncated: 0,
            store_timer_set: false,
            started: Time::ZERO,
            fetch: Timer::default(),
            store: Timer::default(),
        }
    }

    /// The registry as it is in the log, once it is recovered.
    pub fn state(&self) -> Option<&Arc<State>> {
        matches!(self.phase, Phase::Ready | Phase::Truncating { .. } | Phase::Failed(_))
            .then_some(&self.state)
    }

    /// `registrar/*` but for what the log says of itself.
    pub fn metrics(&self) -> Snapshot {
        let mut metrics = Snapshot::new();
        metrics.gauge("registrar/queued_operations", self.waiting.len() as f64);
        if let Some(size) = self.size_bytes {
            metrics.gauge("registrar/registry_size_bytes", size as f64);
        }
        metrics.timer("registrar/state_fetch", &self.fetch);
        metrics.timer("registrar/state_store", &self.store);
        metrics
    }

    pub fn handle(&mut self, now: Time, event: RegistrarEvent, effects: &mut Effects) {
        match event {
            RegistrarEvent::Start { info } => self.start(now, *info, effects),
            RegistrarEvent::Apply { ticket, operation } => self.apply(now, ticket, operation, effects),
            RegistrarEvent::Log { ticket, outcome } if self.command == Some(ticket) => {
                self.command = None;
                self.answered(now, outcome, effects);
            }
            // An answer that came too late.
            RegistrarEvent::Log { .. } => {}
            RegistrarEvent::Timer(timer) => self.timer(timer, effects),
        }
    }

    fn start(&mut self, now: Time, info: MasterInfo, effects: &mut Effects) {
        if self.phase != Phase::Idle {
            return;
        }
        self.info = info;
        self.started = now;
        self.phase = Phase::Electing;
        let at = now + self.config.registry_fetch_timeout;
        effects.push(RegistrarEffect::SetTimer { timer: RegistrarTimer::Fetch, at });
        self.command(Command::Elect, effects);
    }

    fn apply(&mut self, now: Time, ticket: u64, operation: Operation, effects: &mut Effects) {
        if let Phase::Failed(reason) = &self.phase {
            effects.push(RegistrarEffect::Applied { ticket, outcome: Err(reason.clone()) });
            return;
        }
        self.waiting.push_back((ticket, operation));
        self.go_on(now, effects);
    }

    fn timer(&mut self, timer: RegistrarTimer, effects: &mut Effects) {
        match timer {
            RegistrarTimer::Fetch if matches!(self.phase, Phase::Electing | Phase::Reading { .. }) => {
                let limit = format_duration(self.config.registry_fetch_timeout);
                self.fail(
                    format!("the registry could not be read within {limit} (--registry_fetch_timeout)"),
                    effects,
                );
            }
            RegistrarTimer::Store if self.store_timer_set => {
                let limit = format_duration(self.config.registry_store_timeout);
                self.fail(
                    format!("the registry could not be written within {limit} (--registry_store_timeout)"),
                    effects,
                );
            }
            _ => {}
        }
    }

    fn command(&mut self, command: Command, effects: &mut Effects) {
        let ticket = self.next_command;
        self.next_command += 1;
        self.command = Some(ticket);
        effects.push(RegistrarEffect::Log { ticket, command });
    }

    fn answered(&mut self, now: Time, outcome: Result<Answer, Failure>, effects: &mut Effects) {
        match (std::mem::replace(&mut self.phase, Phase::Idle), outcome) {
            (Phase::Electing, Ok(Answer::Elected { begin, end })) => {
                self.truncated = begin;
                self.read_from(now, begin, end, None, effects);
            }
            (Phase::Reading { to, last, newest }, Ok(Answer::Entries { entries, next })) => {
                match newest_of(newest, entries) {
                    Ok(newest) => self.read_from(now, next.unwrap_or(to + 1), last, newest, effects),
                    Err(error) => self.fail(format!("cannot read the registry: {error}"), effects),
                }
            }
            (phase @ (Phase::Recovering | Phase::Ready), Ok(Answer::Written { position })) => {
                self.written(now, phase, position, effects);
            }
            (Phase::Truncating { to }, Ok(Answer::Written { .. })) => {
                self.truncated = to;
                self.phase = Phase::Ready;
                self.go_on(now, effects);
            }
            (Phase::Failed(reason), _) => self.phase = Phase::Failed(reason),
            (phase, Err(error)) => {
                let what = match phase {
                    Phase::Recovering | Phase::Ready | Phase::Truncating { .. } => "write",
                    _ => "read",
                };
                self.fail(format!("cannot {what} the registry: {error}"), effects);
            }
            (_, Ok(answer)) => {
                self.fail(format!("the log gave an answer that was not asked for: {answer:?}"), effects);
            }
        }
    }

    /// Reads on until the end, and then takes what is the newest.
    fn read_from(&mut self, now: Time, from: u64, last: u64, newest: Option<Vec<u8>>, effects: &mut Effects) {
        if from <= last {
            let to = last.min(from.saturating_add(POSITIONS_AT_ONCE - 1));
            self.phase = Phase::Reading { to, last, newest };
            return self.command(Command::Read { from, to }, effects);
        }
        let bytes = newest.unwrap_or_default();
        effects.push(RegistrarEffect::CancelTimer { timer: RegistrarTimer::Fetch });
        let state = match State::decode(&bytes) {
            Ok(state) => state,
            Err(error) => return self.fail(format!("cannot read the registry: {error}"), effects),
        };
        let missing = state.missing_capabilities(&self.info);
        if !missing.is_empty() {
            return self.fail(
                format!(
                    "the registry needs a master with capabilities that this one does not have: {}. \
                     Undo with a newer master what needs them, or start that one",
                    missing.join(", ")
                ),
                effects,
            );
        }
        let took = now.since(self.started);
        self.fetch.record(took);
        say(
            effects,
            Level::Info,
            format!("read the registry ({}) in {}", format_size(bytes.len() as u64), format_duration(took)),
        );
        self.phase = Phase::Recovering;
        let mut state = state;
        state.set_master(self.info.clone());
        self.write(now, state, Vec::new(), effects);
    }

    /// Writes what waits, if nothing is under way.
    fn go_on(&mut self, now: Time, effects: &mut Effects) {
        if self.waiting.is_empty() || self.writing.is_some() {
            return;
        }
        match self.phase {
            // Whoever waits has his time from now on, though the log is still busy with what is nobody's wish.
            Phase::Truncating { .. } => return self.set_store_timer(now, effects),
            Phase::Ready => {}
            _ => return,
        }
        let mut state = State::clone(&self.state);
        let mut outcomes = Vec::with_capacity(self.waiting.len());
        for (ticket, operation) in std::mem::take(&mut self.waiting) {
            // What changes nothing is written as well: it is true only if we are still the ones who may write.
            let applied = state.apply(&operation);
            if let Err(refusal) = &applied {
                say(effects, Level::Warning, format!("the registry refuses a change: {refusal}"));
            }
            outcomes.push((ticket, applied.is_ok()));
        }
        self.write(now, state, outcomes, effects);
    }

    fn write(&mut self, now: Time, state: State, outcomes: Vec<(u64, bool)>, effects: &mut Effects) {
        let bytes = state.encode();
        let uuid = self.random.uuid();
        self.writing = Some(Writing { state, size_bytes: bytes.len(), outcomes, since: now });
        self.set_store_timer(now, effects);
        self.command(Command::Append(entry::snapshot(uuid, bytes)), effects);
    }

    fn set_store_timer(&mut self, now: Time, effects: &mut Effects) {
        if !self.store_timer_set {
            self.store_timer_set = true;
            let at = now + self.config.registry_store_timeout;
            effects.push(RegistrarEffect::SetTimer { timer: RegistrarTimer::Store, at });
        }
    }

    fn written(&mut self, now: Time, phase: Phase, position: u64, effects: &mut Effects) {
        let Some(writing) = self.writing.take() else {
            return self.fail("the log wrote what was not asked for".to_string(), effects);
        };
        self.store_timer_set = false;
        effects.push(RegistrarEffect::CancelTimer { timer: RegistrarTimer::Store });
        self.store.record(now.since(writing.since));
        self.state = Arc::new(writing.state);
        self.size_bytes = Some(writing.size_bytes);
        if phase == Phase::Recovering {
            say(effects, Level::Info, "recovered the registry".to_string());
            effects.push(RegistrarEffect::Recovered(Box::new(State::clone(&self.state))));
        }
        for (ticket, fits) in writing.outcomes {
            effects.push(RegistrarEffect::Applied { ticket, outcome: Ok(fits) });
        }
        // The newest entry is all that is needed.
        if position > self.truncated {
            self.phase = Phase::Truncating { to: position };
            self.command(Command::Truncate { to: position }, effects);
        } else {
            self.phase = Phase::Ready;
        }
        self.go_on(now, effects);
    }

    fn fail(&mut self, reason: String, effects: &mut Effects) {
        let written = self.writing.take().map(|writing| writing.outcomes).unwrap_or_default();
        let waiting = std::mem::take(&mut self.waiting);
        let tickets = written.into_iter().map(|(ticket, _)| ticket);
        for ticket in tickets.chain(waiting.into_iter().map(|(ticket, _)| ticket)) {
            effects.push(RegistrarEffect::Applied { ticket, outcome: Err(reason.clone()) });
        }
        self.command = None;
        self.store_timer_set = false;
        self.phase = Phase::Failed(reason.clone());
        effects.push(RegistrarEffect::Failed { reason });
    }
}

/// The newest registry of what was read so far and these entries.
fn newest_of(newest: Option<Vec<u8>>, entries: Vec<Entry>) -> Result<Option<Vec<u8>>, entry::EntryError> {
    entries.into_iter().try_fold(newest, |newest, Entry { position, bytes }| {
        Ok(match entry::read(position, &bytes)? {
            Change::Snapshot(registry) => Some(registry),
            Change::Expunged => None,
            Change::Other => newest,
        })
    })
}
