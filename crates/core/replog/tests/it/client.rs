//! A client of one replica: it becomes the writer now and then, appends, truncates, reads and catches up, and looks
//! at every answer. When the faults are over, the first replica's writes something last, and all read it.

use std::collections::BTreeMap;

use messor_replog::{Answer, Command, Entry, Failure};

use crate::invariants::Truth;
use crate::rng::Rng;

#[derive(Debug)]
pub struct Client {
    node: usize,
    tickets: u64,
    waiting: BTreeMap<u64, Wait>,
    elected: bool,
    /// At the end: the position of the last write, and how far was read.
    last_write: Option<u64>,
    satisfied: bool,
}

#[derive(Debug)]
enum Wait {
    Elect { acknowledged: u64 },
    Append(Vec<u8>),
    Truncate,
    CatchUp,
    Ends { caught_up: u64 },
    Read { begin: u64, end: u64, entries: Vec<Entry>, to_finish: bool },
    Demote,
}

pub type Commands = Vec<(u64, Command)>;

impl Client {
    pub fn new(node: usize) -> Client {
        Client {
            node,
            tickets: 0,
            waiting: BTreeMap::new(),
            elected: false,
            last_write: None,
            satisfied: false,
        }
    }

    pub fn is_satisfied(&self) -> bool {
        self.satisfied
    }

    fn ask(&mut self, command: Command, wait: Wait, commands: &mut Commands) {
        self.tickets += 1;
        self.waiting.insert(self.tickets, wait);
        commands.push((self.tickets, command));
    }

    pub fn elect(&mut self, truth: &Truth, commands: &mut Commands) {
        let acknowledged = truth.acknowledged.last_key_value().map_or(0, |(position, _)| *position);
        self.ask(Command::Elect, Wait::Elect { acknowledged }, commands);
    }

    fn append(&mut self, rng: &mut Rng, commands: &mut Commands) {
        let bytes = rng.next().to_be_bytes().to_vec();
        self.ask(Command::Append(bytes.clone()), Wait::Append(bytes), commands);
    }

    /// What it does next.
    pub fn step(&mut self, over: bool, truth: &Truth, rng: &mut Rng, commands: &mut Commands) {
        if over {
            return self.finish(truth, rng, commands);
        }
        if self.waiting.len() >= 3 {
            return;
        }
        match rng.below(100) {
            0..60 if self.elected => self.append(rng, commands),
            60..70 if self.elected => {
                let last = truth.chosen.last_key_value().map_or(0, |(position, _)| *position);
                let to = last.saturating_sub(rng.below(20));
                self.ask(Command::Truncate { to }, Wait::Truncate, commands);
            }
            70..73 if self.elected => self.elect(truth, commands),
            73..76 => self.ask(Command::Demote, Wait::Demote, commands),
            76..80 => self.ask(Command::CatchUp, Wait::CatchUp, commands),
            90.. if !self.elected => self.elect(truth, commands),
            _ => {}
        }
    }

    fn finish(&mut self, truth: &Truth, rng: &mut Rng, commands: &mut Commands) {
        if !self.waiting.is_empty() {
            return;
        }
        match (self.node, self.elected) {
            (0, false) => self.elect(truth, commands),
            // The last is left out by those who catch up.
            (0, true) if self.last_write.is_none() => self.append(rng, commands),
            (0, true) => self.append(rng, commands),
            (_, true) => self.ask(Command::Demote, Wait::Demote, commands),
            (_, false) => self.ask(Command::CatchUp, Wait::CatchUp, commands),
        }
    }

    pub fn done(
        &mut self,
        ticket: u64,
        outcome: Result<Answer, Failure>,
        truth: &mut Truth,
        over: bool,
        commands: &mut Commands,
    ) {
        let wait = self.waiting.remove(&ticket).expect("each command is answered once");
        match (wait, outcome) {
            (Wait::Elect { acknowledged }, Ok(Answer::Elected { begin, end })) => {
                truth.check_elected(end, acknowledged);
                self.elected = true;
                self.read(begin, begin, end, Vec::new(), false, commands);
            }
            (Wait::Elect { .. }, Err(Failure::Demoted)) => self.elected = false,
            (Wait::Append(bytes), Ok(Answer::Written { position })) => {
                truth.note_acknowledged(position, &bytes);
                if over && self.last_write.replace(position).is_some() {
                    self.satisfied = true;
                }
            }
            (Wait::Truncate, Ok(Answer::Written { .. })) => {}
            (Wait::Truncate, Err(Failure::Range { .. })) => {}
            (
                Wait::Append(_) | Wait::Truncate,
                Err(Failure::Lost | Failure::Demoted | Failure::NotLeading),
            ) => self.elected = false,
            (Wait::Demote, Ok(Answer::Demoted)) => self.elected = false,
            (Wait::CatchUp, Ok(Answer::CaughtUp { end })) => {
                self.ask(Command::Ends, Wait::Ends { caught_up: end }, commands);
            }
            (Wait::CatchUp, Err(Failure::CatchUp(_))) => {}
            (Wait::Ends { caught_up }, Ok(Answer::Ends { begin, .. })) => {
                if begin <= caught_up {
                    self.read(begin, begin, caught_up, Vec::new(), over, commands);
                }
            }
            (
                Wait::Read { begin, end, entries: mut all, to_finish },
                Ok(Answer::Entries { entries, next }),
            ) => {
                all.extend(entries);
                match next {
                    Some(next) => self.read(begin, next, end, all, to_finish, commands),
                    None => {
                        truth.check_read(begin, end, &all);
                        self.satisfied |= to_finish;
                    }
                }
            }
            // It was truncated meanwhile.
            (Wait::Read { .. }, Err(Failure::Range { problem: "its beginning is truncated", .. })) => {}
            (wait, outcome) => panic!("{wait:?} was answered {outcome:?}"),
        }
    }

    fn read(
        &mut self,
        begin: u64,
        from: u64,
        end: u64,
        entries: Vec<Entry>,
        to_finish: bool,
        commands: &mut Commands,
    ) {
        let wait = Wait::Read { begin, end, entries, to_finish };
        self.ask(Command::Read { from, to: end }, wait, commands);
    }
}
