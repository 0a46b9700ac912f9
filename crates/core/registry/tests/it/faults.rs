//! A log that loses answers, elects others, and fails, from a seed: what was acknowledged is never lost, and a master
//! that was replaced acknowledges nothing.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use messor_replog::{Answer, Command, Entry, Failure};

use crate::world::{World, admit, names};

#[derive(Default)]
struct Log {
    entries: BTreeMap<u64, Vec<u8>>,
    end: u64,
    writer: usize,
}

/// What the log does with a command: some of it may be done though the answer is another, or none.
impl Log {
    fn answer(&mut self, who: usize, command: Command, random: &mut Rng) -> Option<Result<Answer, Failure>> {
        let luck = random.u32(0..100);
        let begin = self.entries.keys().next().copied().unwrap_or(self.end);
        if command == Command::Elect {
            self.writer = who;
            return Some(Ok(Answer::Elected { begin, end: self.end }));
        }
        let writes = matches!(command, Command::Append(_) | Command::Truncate { .. });
        if writes && self.writer != who {
            // Not always known at once.
            return (luck < 50).then_some(Err(Failure::Lost));
        }
        if (1..3).contains(&luck) {
            return Some(Err(Failure::Storage("the disk is full".into())));
        }
        let outcome = match command {
            Command::Read { from, to } => {
                // Some of it, and where to read on.
                let to = if random.bool() { to } else { random.u64(from..=to) };
                let entries = self.entries.range(from..=to);
                let entry =
                    |(position, bytes): (&u64, &Vec<u8>)| Entry { position: *position, bytes: bytes.clone() };
                Answer::Entries { entries: entries.map(entry).collect(), next: Some(to + 1) }
            }
            Command::Append(entry) => {
                self.end += 1;
                self.entries.insert(self.end, entry);
                Answer::Written { position: self.end }
            }
            Command::Truncate { to } => {
                self.end += 1;
                self.entries = self.entries.split_off(&to);
                Answer::Written { position: self.end }
            }
            other => panic!("{other:?} is not asked for"),
        };
        match luck {
            // Done, and the answer is lost on the way.
            90..94 if writes => None,
            // Done, and then another was elected before the answer came.
            94..97 if writes => {
                self.writer = usize::MAX;
                Some(Err(Failure::Lost))
            }
            97..99 if writes => Some(Err(Failure::Demoted)),
            _ => Some(Ok(outcome)),
        }
    }
}

struct Master {
    world: World,
    number: usize,
    /// What each ticket asked for.
    asked: BTreeMap<u64, String>,
    seen: usize,
}

fn round(seed: u64) -> usize {
    let random = &mut Rng::with_seed(seed);
    let mut log = Log::default();
    let mut masters: Vec<Master> = Vec::new();
    let mut acknowledged = BTreeSet::new();
    let mut next = 0;
    for number in 0..8 {
        let mut world = World::new(random.u64(..));
        world.start(&format!("m{number}"));
        masters.push(Master { world, number, asked: BTreeMap::new(), seen: 0 });
        for _ in 0..random.usize(20..200) {
            // Mostly the newest master, at times one that does not know yet that it was replaced.
            let last = masters.len() - 1;
            let index = if random.u32(0..4) == 0 { random.usize(0..=last) } else { last };
            let master = &mut masters[index];
            let knew = acknowledged.clone();
            let was_recovered = master.world.recovered.is_some();
            match random.u32(0..10) {
                0..4 => {
                    next += 1;
                    let name = format!("S{next}");
                    master.world.apply(next, admit(&name));
                    master.asked.insert(next, name);
                }
                4..9 => {
                    if let Some((ticket, command)) = master.world.commands.pop_front()
                        && let Some(outcome) = log.answer(master.number, command, random)
                    {
                        master.world.handle(messor_registry::RegistrarEvent::Log { ticket, outcome });
                    }
                }
                _ if random.u32(0..10) == 0 => drop(master.world.next_timer()),
                _ => {}
            }
            if let (false, Some(state)) = (was_recovered, &master.world.recovered) {
                let have: BTreeSet<String> = names(state).into_iter().collect();
                assert!(
                    knew.is_subset(&have),
                    "seed {seed}: acknowledged and lost: {:?}",
                    knew.difference(&have)
                );
            }
            let news: Vec<_> = master.world.applied[master.seen..].to_vec();
            master.seen = master.world.applied.len();
            for (ticket, outcome) in news {
                let name = &master.asked[&ticket];
                if outcome == Ok(true) {
                    assert!(master.world.recovered.is_some());
                    acknowledged.insert(name.clone());
                }
            }
            let tickets: Vec<_> = master.world.applied.iter().map(|(ticket, _)| *ticket).collect();
            assert!(tickets.is_sorted(), "seed {seed}: answers out of order: {tickets:?}");
        }
    }
    // A last master without faults has everything.
    let mut world = World::new(seed);
    world.start("last");
    log.writer = 99;
    let mut kind = messor_registry::MemoryLog::default();
    for (_, entry) in std::mem::take(&mut log.entries) {
        kind.answer(Command::Append(entry));
    }
    while world.answer(|command| Ok(kind.answer(command))) {}
    let have: BTreeSet<String> = names(&world.recovered.unwrap()).into_iter().collect();
    assert!(acknowledged.is_subset(&have), "seed {seed}: {:?}", acknowledged.difference(&have));
    // Whoever ended told everybody who waited.
    for master in &masters {
        if master.world.failed.is_some() {
            assert_eq!(master.world.applied.len(), master.asked.len(), "seed {seed}");
        }
    }
    acknowledged.len()
}

#[test]
fn nothing_acknowledged_is_lost() {
    let total: usize = (0..400).map(round).sum();
    // The faults leave something to be lost.
    assert!(total > 2_000, "{total}");
}
