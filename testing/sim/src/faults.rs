//! What goes wrong in a run, while faults are on: one thing after another, by the seed. What becomes of it is not known here.

use std::net::SocketAddr;
use std::time::Duration;

use messor_types::Pid;

use crate::world::{Happening, LONGEST_CUT, World};

impl World {
    pub(crate) fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.rng.below(count as u64)).unwrap_or(0)
    }

    pub(crate) fn fault(&mut self) {
        if self.faults_are_over() {
            self.network.quiet = true;
            return;
        }
        let next = self.rng.between(Duration::from_millis(500), Duration::from_secs(40));
        self.agenda.after(next, Happening::Fault);
        self.report.faults += 1;
        match self.rng.below(17) {
            0..=2 => {
                let (number, whole) = (self.pick(self.agents.len()), self.rng.one_in(3));
                self.trace(|| format!("FAULT agent {number} crashes, with its machine: {whole}"));
                self.stop_agent(number, whole);
                // An upgrade is quick, and its executors still run; a repair takes longer than any master waits.
                let after = match self.rng.below(8) {
                    0..4 => self.rng.between(Duration::from_millis(100), Duration::from_secs(4)),
                    4..7 => self.rng.between(Duration::from_millis(100), Duration::from_secs(120)),
                    _ => self.rng.between(Duration::from_secs(600), Duration::from_secs(1500)),
                };
                self.agenda.after(after, Happening::StartAgent(number));
            }
            3..=5 => {
                let (number, whole) = (self.pick(self.masters.len()), self.rng.one_in(2));
                self.trace(|| format!("FAULT master {number} crashes, with its machine: {whole}"));
                self.stop_master(number, whole);
                let after = self.rng.between(Duration::from_millis(100), Duration::from_secs(60));
                self.agenda.after(after, Happening::StartMaster(number));
            }
            6 => match self.rng.below(4) {
                0 => self.lose_a_disk(),
                // Whatever was there is lost for good: that is not an accident of every day.
                1 if self.rng.one_in(3) => {
                    let number = self.pick(self.agents.len());
                    self.lose_an_agents_disk(number);
                }
                1 | 2 => {
                    let number = self.pick(self.agents.len());
                    self.trace(|| format!("FAULT the next write of agent {number} fails"));
                    self.agents[number].disk.fails = true;
                }
                _ => {
                    let number = self.pick(self.masters.len());
                    self.trace(|| format!("FAULT the next write of master {number} fails"));
                    self.masters[number].replica.disk.fails = true;
                }
            },
            16 => self.lose_a_disk(),
            7 | 8 => {
                let places = self.places();
                let (a, b) = (places[self.pick(places.len())], places[self.pick(places.len())]);
                self.trace(|| format!("FAULT the connections between {a} and {b} break"));
                let broken = self.network.break_between(a, b);
                self.tell_breaks(broken);
            }
            9 | 10 => {
                let places = self.places();
                let lonely = places[self.pick(places.len())];
                let ways = places.iter().filter(|other| **other != lonely);
                let ways = ways.flat_map(|other| [(*other, lonely), (lonely, *other)]).collect();
                self.cut(ways);
            }
            11 | 12 => {
                let places = self.places();
                let way = (places[self.pick(places.len())], places[self.pick(places.len())]);
                if way.0 != way.1 {
                    self.cut(vec![way]);
                }
            }
            13 => {
                self.trace(|| "FAULT ZooKeeper is down".to_string());
                self.zookeeper.down = true;
                let after = self.rng.between(Duration::from_secs(1), Duration::from_secs(30));
                self.agenda.after(after, Happening::ZooKeeperUp);
            }
            14 => {
                let number = self.pick(self.agents.len());
                self.kill_an_executor(number);
            }
            _ => {
                let number = self.pick(self.schedulers.len() + self.keepers.len());
                self.trace(|| format!("FAULT scheduler {number} crashes"));
                let keeper = number.checked_sub(self.schedulers.len());
                let old = match keeper {
                    Some(keeper) => self.keepers[keeper].pid.clone(),
                    None => self.schedulers[number].pid.clone(),
                };
                let broken = self.network.break_all(old.address);
                self.tell_breaks(broken);
                let next =
                    Pid::new(&old.id, SocketAddr::new(old.address.ip(), old.address.port().wrapping_add(1)));
                match keeper {
                    Some(keeper) => self.keepers[keeper].fail_over(next),
                    None => self.schedulers[number].fail_over(next),
                }
            }
        }
    }

    /// Every address there is.
    fn places(&self) -> Vec<SocketAddr> {
        let masters = self.masters.iter().map(|node| node.pid.address);
        let agents = self.agents.iter().map(|node| node.pid.address);
        let schedulers = self.schedulers.iter().map(|scheduler| scheduler.pid.address);
        let keepers = self.keepers.iter().map(|keeper| keeper.pid.address);
        masters.chain(agents).chain(schedulers).chain(keepers).chain([self.zookeeper_address]).collect()
    }

    fn cut(&mut self, ways: Vec<(SocketAddr, SocketAddr)>) {
        self.trace(|| format!("FAULT cut off {ways:?}"));
        for (from, to) in &ways {
            self.network.cut(*from, *to);
        }
        let after = self.rng.between(Duration::from_millis(500), LONGEST_CUT);
        self.agenda.after(after, Happening::Heal(ways));
    }

    /// The disk of a master dies and is replaced by an empty one. The log bears it while all others are whole.
    fn lose_a_disk(&mut self) {
        let number = self.pick(self.masters.len());
        if !self.masters.iter().all(|node| node.replica.is_voting()) {
            return;
        }
        self.trace(|| format!("FAULT the disk of master {number} dies"));
        self.stop_master(number, true);
        self.masters[number].replica.die();
        self.agenda.after(Duration::from_secs(5), Happening::StartMaster(number));
    }
}
