//! A log in memory: --registry=in_memory, where nothing outlives the program.

use std::collections::BTreeMap;

use messor_replog::{Answer, Command, Entry};

/// Answers every command at once. It holds one entry but for the moment before a truncation.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    entries: BTreeMap<u64, Vec<u8>>,
    end: u64,
}

impl MemoryLog {
    pub fn answer(&mut self, command: Command) -> Answer {
        let begin = self.entries.first_key_value().map_or(self.end, |(position, _)| *position);
        match command {
            Command::Elect => Answer::Elected { begin, end: self.end },
            Command::Ends => Answer::Ends { begin, end: self.end },
            Command::Read { from, to } => Answer::Entries {
                entries: self
                    .entries
                    .range(from..=to.max(from))
                    .map(|(position, bytes)| Entry { position: *position, bytes: bytes.clone() })
                    .collect(),
                next: None,
            },
            Command::Append(entry) => {
                self.end += 1;
                self.entries.insert(self.end, entry);
                Answer::Written { position: self.end }
            }
            Command::Truncate { to } => {
                self.entries = self.entries.split_off(&to);
                self.end += 1;
                Answer::Written { position: self.end }
            }
            Command::CatchUp => Answer::CaughtUp { end: self.end },
            Command::Demote => Answer::Demoted,
        }
    }
}
