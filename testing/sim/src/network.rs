//! The network of a run: libprocess connections, one each way between two addresses.
//!
//! What is sent on a connection arrives in order, after a delay of its own each time. A connection can break: what is
//! under way on it is lost, and whoever linked to a process at its other end is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use messor_stdx::Time;
use messor_types::Pid;

use crate::rng::Rng;

#[derive(Clone, Debug)]
pub struct Packet {
    pub from: Pid,
    pub to: Pid,
    pub name: String,
    pub body: Vec<u8>,
    /// Of which life of the connection; one that broke since delivers nothing more.
    pub life: u64,
}

#[derive(Default)]
pub struct Network {
    lives: BTreeMap<(SocketAddr, SocketAddr), u64>,
    last_arrival: BTreeMap<(SocketAddr, SocketAddr), Time>,
    /// Who wants to be told of whose exit.
    links: BTreeSet<(Pid, Pid)>,
    pub quiet: bool,
}

const LEAST_DELAY: Duration = Duration::from_micros(50);
const MOST_DELAY: Duration = Duration::from_millis(200);

impl Network {
    fn direction(from: &Pid, to: &Pid) -> (SocketAddr, SocketAddr) {
        (from.address, to.address)
    }

    pub fn life(&self, from: &Pid, to: &Pid) -> u64 {
        self.lives.get(&Network::direction(from, to)).copied().unwrap_or(0)
    }

    /// When a packet sent now arrives: after all that was sent before it on the same connection.
    pub fn arrival(&mut self, now: Time, from: &Pid, to: &Pid, rng: &mut Rng) -> Time {
        // Now and then something is really late.
        let most = if rng.one_in(20) { MOST_DELAY * 20 } else { MOST_DELAY };
        let delay = rng.between(LEAST_DELAY, most);
        let last = self.last_arrival.entry(Network::direction(from, to)).or_insert(Time::ZERO);
        *last = (now + delay).max(*last + Duration::from_nanos(1));
        *last
    }

    pub fn link(&mut self, linker: Pid, to: Pid) {
        self.links.insert((linker, to));
    }

    pub fn unlink(&mut self, linker: &Pid, to: &Pid) {
        self.links.remove(&(linker.clone(), to.clone()));
    }

    /// Breaks both connections between two addresses. Gives who is to be told of whose exit.
    pub fn break_between(&mut self, a: SocketAddr, b: SocketAddr) -> Vec<(Pid, Pid)> {
        *self.lives.entry((a, b)).or_default() += 1;
        *self.lives.entry((b, a)).or_default() += 1;
        let broken: Vec<_> = self
            .links
            .iter()
            .filter(|(x, y)| (x.address, y.address) == (a, b) || (x.address, y.address) == (b, a))
            .cloned()
            .collect();
        self.links.retain(|link| !broken.contains(link));
        broken
    }

    /// Breaks everything that an address has, as its machine crashes.
    pub fn break_all(&mut self, address: SocketAddr) -> Vec<(Pid, Pid)> {
        let others: BTreeSet<SocketAddr> = self
            .last_arrival
            .keys()
            .chain(self.lives.keys())
            .filter_map(|(a, b)| (*a == address).then_some(*b).or((*b == address).then_some(*a)))
            .chain(self.links.iter().filter_map(|(x, y)| (y.address == address).then_some(x.address)))
            .collect();
        others.into_iter().flat_map(|other| self.break_between(address, other)).collect()
    }
}
