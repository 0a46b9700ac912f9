//! What holds whatever happens, in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use messor_fetch_cache::{Cache, Effect, EntryId, Event, FetchId, Way};
use proptest::prelude::*;

use crate::examples::wanted;

const CAPACITY: u64 = 100;

#[derive(Clone, Debug)]
enum Move {
    Ask {
        user: u8,
        uris: Vec<u8>,
        damage: bool,
    },
    /// The sizes of the fetch at this place of those that wait for them.
    Size {
        place: usize,
        sizes: Vec<Option<u64>>,
    },
    /// The end of the fetch at this place of those that are told to go; `off`: how far the sizes are wrong.
    End {
        place: usize,
        works: bool,
        off: i64,
    },
    /// A fetch that has not begun is given up.
    GiveUp {
        place: usize,
    },
}

fn moves() -> impl Strategy<Value = Move> {
    let size = prop_oneof![4 => (1..70u64).prop_map(Some), 1 => Just(None), 1 => Just(Some(1000)), 1 => Just(Some(0))];
    prop_oneof![
        4 => (0..2u8, prop::collection::vec(0..5u8, 0..4), prop::bool::weighted(0.1))
            .prop_map(|(user, uris, damage)| Move::Ask { user, uris, damage }),
        3 => (any::<usize>(), prop::collection::vec(size, 4)).prop_map(|(place, sizes)| Move::Size { place, sizes }),
        3 => (any::<usize>(), prop::bool::weighted(0.8), -3..2i64)
            .prop_map(|(place, works, off)| Move::End { place, works, off }),
        1 => any::<usize>().prop_map(|place| Move::GiveUp { place }),
    ]
}

/// What the world knows: files, and who does what.
#[derive(Default)]
struct World {
    next: u64,
    /// Fetches whose sizes are asked for, with the entries.
    sizing: BTreeMap<FetchId, Vec<EntryId>>,
    announced: BTreeMap<EntryId, u64>,
    /// Fetches that did not begin yet.
    waiting: BTreeMap<FetchId, (Option<String>, Vec<String>)>,
    /// Fetches that are told to go.
    going: BTreeMap<FetchId, (Option<String>, Vec<Way>)>,
    /// Whole files, with their sizes.
    disk: BTreeMap<(Option<String>, String), u64>,
    /// Who downloads which URI now.
    downloads: BTreeMap<(Option<String>, String), FetchId>,
    names: BTreeSet<String>,
}

impl World {
    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::FindSizes { fetch, entries } => {
                    assert!(self.waiting.contains_key(&fetch));
                    self.sizing.insert(fetch, entries.into_iter().map(|(entry, _)| entry).collect());
                }
                Effect::Go { fetch, ways } => {
                    assert!(!self.sizing.contains_key(&fetch), "it goes before its sizes are known");
                    let (user, uris) = self.waiting.remove(&fetch).expect("it goes once");
                    assert_eq!(ways.len(), uris.len());
                    let mut own = BTreeSet::new();
                    for (way, uri) in ways.iter().zip(&uris) {
                        match way {
                            Way::Direct { .. } => {}
                            Way::Download { file, .. } => {
                                assert!(self.names.insert(file.clone()), "{file} is a new name");
                                own.insert(file.clone());
                                let other = self.downloads.insert((user.clone(), uri.clone()), fetch);
                                assert_eq!(other, None, "one download for many");
                            }
                            Way::Retrieve { file } => {
                                let there = self.disk.contains_key(&(user.clone(), file.clone()));
                                assert!(there || own.contains(file), "{file} is there, whole");
                            }
                        }
                    }
                    self.going.insert(fetch, (user, ways));
                }
                Effect::Remove { user, file } => {
                    let in_use = self.going.values().any(|(by, ways)| {
                        *by == user && ways.iter().any(|way| matches!(way, Way::Retrieve { file: used } | Way::Download { file: used, .. } if *used == file))
                    });
                    let damaged = !self.disk.contains_key(&(user.clone(), file.clone()));
                    assert!(!in_use || damaged, "{file} is in use");
                    self.disk.remove(&(user, file));
                }
            }
        }
    }
}

fn check(cache: &Cache, world: &World) {
    assert!(cache.used() <= CAPACITY);
    let stored: u64 = world.disk.values().sum();
    assert!(stored <= cache.used(), "{stored} of {}", cache.used());
}

fn ended(world: &mut World, fetch: FetchId, works: bool, off: i64) -> Event {
    let (user, ways) = world.going.remove(&fetch).expect("it goes");
    world.downloads.retain(|_, by| *by != fetch);
    let mut found = Vec::new();
    for way in ways {
        if let Way::Download { entry, file } = way
            && works
        {
            let size = world.announced[&entry].saturating_add_signed(off);
            if size <= world.announced[&entry] {
                world.disk.insert((user.clone(), file), size);
            }
            found.push((entry, Ok(size)));
        }
    }
    let outcome = if works { Ok(()) } else { Err("it failed".to_string()) };
    Event::Over { fetch, outcome, found }
}

fn sizes(world: &mut World, fetch: FetchId, sizes: &[Option<u64>]) -> Event {
    let entries = world.sizing.remove(&fetch).expect("it is asked");
    let mut told = Vec::new();
    for (entry, size) in entries.into_iter().zip(sizes.iter().cycle()) {
        world.announced.insert(entry, size.unwrap_or_default());
        told.push((entry, size.ok_or_else(|| "unknown".to_string())));
    }
    Event::Sized { fetch, sizes: told }
}

fn run(moves: Vec<Move>) {
    let mut cache = Cache::new(CAPACITY);
    let mut world = World::default();
    let step = |cache: &mut Cache, world: &mut World, event: Event| {
        let mut effects = Vec::new();
        cache.handle(event, &mut effects);
        world.carry_out(effects);
        check(cache, world);
    };
    for one in moves {
        match one {
            Move::Ask { user, uris, damage } => {
                world.next += 1;
                let fetch = FetchId(world.next);
                let user = (user > 0).then(|| format!("user{user}"));
                let uris: Vec<String> = uris.iter().map(|uri| format!("http://host/{uri}")).collect();
                let items: Vec<_> = uris.iter().map(|uri| wanted(uri)).collect();
                let mut damaged = Vec::new();
                if damage {
                    for one in cache.stored(user.as_deref(), &items) {
                        world.disk.remove(&(user.clone(), one.file));
                        damaged.push(one.entry);
                    }
                }
                world.waiting.insert(fetch, (user.clone(), uris));
                step(&mut cache, &mut world, Event::Ask { fetch, user, items, damaged });
            }
            Move::Size { place, sizes: of } => {
                let asked: Vec<FetchId> = world.sizing.keys().copied().collect();
                if let Some(fetch) = asked.get(place % asked.len().max(1)) {
                    let event = sizes(&mut world, *fetch, &of);
                    step(&mut cache, &mut world, event);
                }
            }
            Move::End { place, works, off } => {
                let going: Vec<FetchId> = world.going.keys().copied().collect();
                if let Some(fetch) = going.get(place % going.len().max(1)) {
                    let event = ended(&mut world, *fetch, works, off);
                    step(&mut cache, &mut world, event);
                }
            }
            Move::GiveUp { place } => {
                let waiting: Vec<FetchId> = world.waiting.keys().copied().collect();
                if let Some(fetch) = waiting.get(place % waiting.len().max(1)) {
                    world.waiting.remove(fetch);
                    world.sizing.remove(fetch);
                    let outcome = Err("it was given up".to_string());
                    step(&mut cache, &mut world, Event::Over { fetch: *fetch, outcome, found: Vec::new() });
                }
            }
        }
    }
    // Nobody waits for ever: when sizes are told and fetches end, all of them go.
    while let Some(fetch) = world.sizing.keys().next().copied() {
        let event = sizes(&mut world, fetch, &[Some(10)]);
        step(&mut cache, &mut world, event);
    }
    while let Some(fetch) = world.going.keys().next().copied() {
        let event = ended(&mut world, fetch, true, 0);
        step(&mut cache, &mut world, event);
    }
    assert!(world.waiting.is_empty(), "{:?} wait", world.waiting);
    assert_eq!(world.disk.values().sum::<u64>(), cache.used(), "what is counted is what is there");
    assert_eq!(world.disk.len(), cache.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn never_over_its_size_never_without_what_is_in_use_and_one_download_for_many(
        moves in prop::collection::vec(moves(), 0..60)
    ) {
        run(moves);
    }
}
