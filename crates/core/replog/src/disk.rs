//! What was given to the store and is not yet done: tickets in order, and how much of it there is.

use std::collections::VecDeque;

use crate::config::{MAX_UNSYNCED, MAX_UNSYNCED_BYTES};
use crate::effect::{Effect, Write};
use crate::turn::Turn;

#[derive(Debug, Default)]
pub(crate) struct Disk {
    tickets: u64,
    /// The last ticket of a write that was given, and of one that is durable.
    given: u64,
    durable: u64,
    unsynced: VecDeque<(u64, usize)>,
    unsynced_bytes: usize,
}

impl Disk {
    pub fn persist(&mut self, write: Write, turn: &mut Turn<'_>) -> u64 {
        self.tickets += 1;
        self.given = self.tickets;
        self.unsynced_bytes += write.cost();
        self.unsynced.push_back((self.given, write.cost()));
        turn.effect(Effect::Persist { ticket: self.given, write });
        self.given
    }

    pub fn read(&mut self, from: u64, to: u64, turn: &mut Turn<'_>) -> u64 {
        self.tickets += 1;
        turn.effect(Effect::Read { ticket: self.tickets, from, to });
        self.tickets
    }

    pub fn persisted(&mut self, ticket: u64) {
        while let Some(&(first, cost)) = self.unsynced.front()
            && first <= ticket
        {
            self.unsynced.pop_front();
            self.unsynced_bytes -= cost;
            self.durable = first;
        }
    }

    /// The last write that was given. What is said now may rest on it.
    pub fn given(&self) -> u64 {
        self.given
    }

    pub fn is_durable(&self, ticket: u64) -> bool {
        ticket <= self.durable
    }

    /// There is so much to be synced that no more is to be made.
    pub fn is_full(&self) -> bool {
        self.unsynced.len() >= MAX_UNSYNCED || self.unsynced_bytes >= MAX_UNSYNCED_BYTES
    }
}
