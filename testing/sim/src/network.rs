//! The network of a run: connections one each way between two addresses, as libprocess has them.
//!
//! What is sent on a connection arrives in order, after a delay of its own each time. A connection can break: what is
//! under way on it is lost, and whoever linked to a process at its other end is told, sooner or later. While the way
//! from one address to another is cut nothing arrives. Messages that may be doubled, lost alone or overtake one
//! another on a real network (by reconnecting, by full queues) are so here, too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use messor_stdx::Time;
use messor_types::Pid;

use messor_stdx::Random as Rng;

#[derive(Clone, Debug)]
pub struct Packet {
    pub from: Pid,
    pub to: Pid,
    pub name: String,
    pub body: Vec<u8>,
    /// Of which life of the connection; one that broke since delivers nothing more.
    pub life: u64,
    /// It came before.
    pub again: bool,
}

#[derive(Default)]
pub struct Network {
    lives: BTreeMap<(SocketAddr, SocketAddr), u64>,
    last_arrival: BTreeMap<(SocketAddr, SocketAddr), Time>,
    /// Who wants to be told of whose exit.
    links: BTreeSet<(Pid, Pid)>,
    /// Ways that are cut, with how often.
    cut: BTreeMap<(SocketAddr, SocketAddr), u32>,
    /// No more faults of single messages.
    pub quiet: bool,
    /// Any message of libprocess may come twice.
    pub doubles: bool,
    /// Messages of libprocess that came twice although nothing in their protocol counts on it.
    pub doubled: u64,
}

const LEAST_DELAY: Duration = Duration::from_micros(50);
const MOST_DELAY: Duration = Duration::from_millis(200);

/// Whether the protocol of a message takes care of one that is lost, doubled or late by itself. Others (a task's
/// launch, say) rely on TCP and on the break of the connection.
fn is_hardy(name: &str) -> bool {
    name.starts_with("mesos.internal.log.")
        || matches!(
            name.rsplit('.').next().unwrap_or(name),
            "StatusUpdateMessage"
                | "StatusUpdateAcknowledgementMessage"
                | "RegisterSlaveMessage"
                | "ReregisterSlaveMessage"
                | "PingSlaveMessage"
                | "PongSlaveMessage"
        )
}

impl Network {
    fn direction(from: &Pid, to: &Pid) -> (SocketAddr, SocketAddr) {
        (from.address, to.address)
    }

    fn life(&self, from: &Pid, to: &Pid) -> u64 {
        self.lives.get(&Network::direction(from, to)).copied().unwrap_or(0)
    }

    /// When a packet sent now arrives, once for each time that it does.
    pub fn send(&mut self, now: Time, packet: &mut Packet, rng: &mut Rng) -> Vec<Time> {
        packet.life = self.life(&packet.from, &packet.to);
        let hardy = !self.quiet && is_hardy(&packet.name);
        if hardy && rng.one_in(200) {
            return Vec::new();
        }
        if hardy || self.quiet || !self.doubles || !packet.name.starts_with("mesos.") {
            let copies = if hardy && rng.one_in(100) { 2 } else { 1 };
            return (0..copies).map(|_| self.arrival(now, packet, hardy && rng.one_in(10), rng)).collect();
        }
        let first = self.arrival(now, packet, false, rng);
        if !rng.one_in(60) {
            return vec![first];
        }
        // Right after it, or much later; never before.
        self.doubled += 1;
        let late = rng.one_in(2).then(|| rng.between(LEAST_DELAY, MOST_DELAY * 50));
        let second = late.map_or_else(|| self.arrival(now, packet, false, rng), |late| first + late);
        vec![first, second]
    }

    fn arrival(&mut self, now: Time, packet: &Packet, alone: bool, rng: &mut Rng) -> Time {
        // Now and then something is really late.
        let most = if rng.one_in(20) { MOST_DELAY * 20 } else { MOST_DELAY };
        let delay = rng.between(LEAST_DELAY, most);
        if alone {
            return now + delay;
        }
        let last =
            self.last_arrival.entry(Network::direction(&packet.from, &packet.to)).or_insert(Time::ZERO);
        *last = (now + delay).max(*last + Duration::from_nanos(1));
        *last
    }

    /// Whether a packet whose time has come is delivered. One that meets a cut breaks its connection.
    pub fn delivers(&mut self, packet: &Packet) -> bool {
        packet.life == self.life(&packet.from, &packet.to)
            && self.is_open(packet.from.address, packet.to.address)
    }

    pub fn is_open(&self, from: SocketAddr, to: SocketAddr) -> bool {
        !self.cut.contains_key(&(from, to))
    }

    pub fn cut(&mut self, from: SocketAddr, to: SocketAddr) {
        *self.cut.entry((from, to)).or_default() += 1;
    }

    pub fn heal(&mut self, from: SocketAddr, to: SocketAddr) {
        if let Some(times) = self.cut.get_mut(&(from, to)) {
            *times -= 1;
            if *times == 0 {
                self.cut.remove(&(from, to));
            }
        }
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

    /// Breaks everything that an address has, as its process ends. It is told nothing itself.
    pub fn break_all(&mut self, address: SocketAddr) -> Vec<(Pid, Pid)> {
        let others: BTreeSet<SocketAddr> = self
            .last_arrival
            .keys()
            .chain(self.lives.keys())
            .filter_map(|(a, b)| (*a == address).then_some(*b).or((*b == address).then_some(*a)))
            .chain(self.links.iter().filter_map(|(x, y)| (y.address == address).then_some(x.address)))
            .collect();
        let mut told: Vec<_> =
            others.into_iter().flat_map(|other| self.break_between(address, other)).collect();
        self.links.retain(|(linker, _)| linker.address != address);
        told.retain(|(at, _)| at.address != address);
        told
    }
}
