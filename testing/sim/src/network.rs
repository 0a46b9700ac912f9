//! The network of a run: connections one each way between two addresses, as libprocess has them.
//!
//! What is sent on a connection arrives in order, after a delay of its own each time. A connection can break: what is
//! under way on it is lost, and so is what its sender puts on it until it hears of the break, sooner or later. Then
//! whoever linked to a process at its other end is told, and the next message goes on a new connection. While the way
//! from one address to another is cut nothing arrives. Messages that may be doubled, lost alone or overtake one
//! another on a real network (by reconnecting, by full queues) are so here, too.
//!
//! An answer by HTTP goes back on the connection that its request came by, and knows no other.

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
    /// It comes even if its connection broke.
    pub stubborn: bool,
}

/// From one address to another.
pub type Way = (SocketAddr, SocketAddr);

/// The sender of a way is to hear that its connection broke.
#[derive(Clone, Copy, Debug)]
pub struct Break {
    pub way: Way,
    number: u64,
}

#[derive(Default)]
pub struct Network {
    lives: BTreeMap<Way, u64>,
    last_arrival: BTreeMap<Way, Time>,
    /// Ways whose connection broke and whose sender has not heard of it: what it sends is lost.
    unheard: BTreeMap<Way, u64>,
    breaks: u64,
    /// Who wants to be told of whose exit.
    links: BTreeSet<(Pid, Pid)>,
    /// Ways that are cut, with how often.
    cut: BTreeMap<Way, u32>,
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
    fn way(from: &Pid, to: &Pid) -> Way {
        (from.address, to.address)
    }

    pub fn life(&self, way: Way) -> u64 {
        self.lives.get(&way).copied().unwrap_or(0)
    }

    /// When a packet sent now arrives, once for each time that it does.
    pub fn send(&mut self, now: Time, packet: &mut Packet, rng: &mut Rng) -> Vec<Time> {
        let way = Network::way(&packet.from, &packet.to);
        if self.unheard.contains_key(&way) {
            return Vec::new();
        }
        packet.life = self.life(way);
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

    /// When an answer arrives, if the connection that its request came by, of this life, is still there.
    pub fn answer(&mut self, now: Time, packet: &Packet, rng: &mut Rng) -> Option<Time> {
        let there = packet.life == self.life(Network::way(&packet.from, &packet.to));
        there.then(|| self.arrival(now, packet, false, rng))
    }

    fn arrival(&mut self, now: Time, packet: &Packet, alone: bool, rng: &mut Rng) -> Time {
        // Now and then something is really late.
        let most = if rng.one_in(20) { MOST_DELAY * 20 } else { MOST_DELAY };
        let delay = rng.between(LEAST_DELAY, most);
        if alone {
            return now + delay;
        }
        let last = self.last_arrival.entry(Network::way(&packet.from, &packet.to)).or_insert(Time::ZERO);
        *last = (now + delay).max(*last + Duration::from_nanos(1));
        *last
    }

    /// Whether a packet whose time has come is delivered. One that meets a cut breaks its connection.
    pub fn delivers(&mut self, packet: &Packet) -> bool {
        (packet.stubborn || packet.life == self.life(Network::way(&packet.from, &packet.to)))
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

    /// A fresh connection in place of one that is there already. What is under way on that is lost, or comes later than
    /// what follows, or just as if nothing were.
    pub fn relink(&mut self, linker: Pid, to: Pid, rng: &mut Rng) {
        let way = Network::way(&linker, &to);
        self.unheard.remove(&way);
        match rng.below(4) {
            0 => *self.lives.entry(way).or_default() += 1,
            1 => drop(self.last_arrival.remove(&way)),
            _ => {}
        }
        self.links.insert((linker, to));
    }

    /// The connection of one way breaks. Nothing comes of it if its sender has yet to hear of an earlier break.
    pub fn break_way(&mut self, way: Way) -> Option<Break> {
        *self.lives.entry(way).or_default() += 1;
        if self.unheard.contains_key(&way) {
            return None;
        }
        self.breaks += 1;
        self.unheard.insert(way, self.breaks);
        Some(Break { way, number: self.breaks })
    }

    /// Breaks both connections between two addresses.
    pub fn break_between(&mut self, a: SocketAddr, b: SocketAddr) -> Vec<Break> {
        [(a, b), (b, a)].into_iter().filter_map(|way| self.break_way(way)).collect()
    }

    /// Breaks everything that an address has, as its process ends. It is told nothing itself.
    pub fn break_all(&mut self, address: SocketAddr) -> Vec<Break> {
        self.links.retain(|(linker, _)| linker.address != address);
        let mut ways: BTreeSet<Way> = self.last_arrival.keys().chain(self.lives.keys()).copied().collect();
        ways.extend(self.links.iter().map(|(linker, to)| Network::way(linker, to)));
        let mut broken = Vec::new();
        for way in ways {
            if way.0 == address {
                *self.lives.entry(way).or_default() += 1;
                self.unheard.remove(&way);
            } else if way.1 == address {
                broken.extend(self.break_way(way));
            }
        }
        broken
    }

    /// The sender hears of a break: its links on that connection are gone. Gives them, unless the sender took a new
    /// connection by itself, or ended.
    pub fn hears(&mut self, of: Break) -> Option<Vec<(Pid, Pid)>> {
        if self.unheard.get(&of.way) != Some(&of.number) {
            return None;
        }
        self.unheard.remove(&of.way);
        let gone = |(linker, to): &(Pid, Pid)| Network::way(linker, to) == of.way;
        Some(self.links.extract_if(.., gone).collect())
    }
}
