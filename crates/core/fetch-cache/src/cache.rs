//! The machine.

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::{Entry, EntryId, FetchId, Key, State, Stored, Wanted, Way, file_name};
use crate::{Effect, Event, MAX_ENTRIES};

/// What a fetch waits for, URI by URI.
enum Item {
    Direct(Option<String>),
    Entry(EntryId),
}

struct Fetch {
    items: Vec<Item>,
    /// It was told to go.
    gone: bool,
}

/// The cache. `used` never exceeds `capacity`.
pub struct Cache {
    capacity: u64,
    used: u64,
    entries: BTreeMap<EntryId, Entry>,
    /// The entries that new fetches find.
    keys: BTreeMap<Key, EntryId>,
    /// Complete entries that no fetch uses, by their last use.
    idle: BTreeSet<(u64, EntryId)>,
    fetches: BTreeMap<FetchId, Fetch>,
    last_entry: u64,
    uses: u64,
}

impl Cache {
    pub fn new(capacity: u64) -> Cache {
        Cache {
            capacity,
            used: 0,
            entries: BTreeMap::new(),
            keys: BTreeMap::new(),
            idle: BTreeSet::new(),
            fetches: BTreeMap::new(),
            last_entry: 0,
            uses: 0,
        }
    }

    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The bytes that are stored, and those for which downloads have room.
    pub fn used(&self) -> u64 {
        self.used
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The files that these would be taken from, so that their owner can look whether they are as they were.
    pub fn stored(&self, user: Option<&str>, items: &[Wanted]) -> Vec<Stored> {
        let found = items.iter().filter(|item| item.cached).filter_map(|item| {
            let key = Key { user: user.map(str::to_owned), uri: item.uri.clone() };
            let id = *self.keys.get(&key)?;
            let entry = self.entries.get(&id).filter(|entry| entry.state == State::Complete)?;
            Some(Stored { entry: id, file: entry.file.clone(), size: entry.size })
        });
        found.collect()
    }

    pub fn handle(&mut self, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Ask { fetch, user, items, damaged } => {
                for entry in damaged {
                    // It may have gone meanwhile; what is being downloaded was not stored when it was looked at.
                    if self.entries.get(&entry).is_some_and(|entry| entry.state == State::Complete) {
                        self.drop_entry(entry, "its file in the cache was damaged", effects);
                    }
                }
                self.ask(fetch, user, items, effects);
            }
            Event::Sized { fetch, sizes } => {
                for (entry, size) in sizes {
                    self.sized(fetch, entry, size, effects);
                }
                self.go_if_ready(fetch, effects);
            }
            Event::Over { fetch, outcome, found } => self.over(fetch, outcome, found, effects),
        }
    }

    fn ask(&mut self, fetch: FetchId, user: Option<String>, wanted: Vec<Wanted>, effects: &mut Vec<Effect>) {
        let mut items = Vec::with_capacity(wanted.len());
        let mut new = Vec::new();
        for Wanted { uri, name, cached } in wanted {
            if !cached {
                items.push(Item::Direct(None));
                continue;
            }
            self.uses += 1;
            let key = Key { user: user.clone(), uri: uri.clone() };
            let id = match self.keys.get(&key) {
                Some(id) => *id,
                None => {
                    self.last_entry += 1;
                    let id = EntryId(self.last_entry);
                    let entry = Entry {
                        key: key.clone(),
                        file: file_name(self.last_entry, &name),
                        state: State::Sizing,
                        size: 0,
                        owner: fetch,
                        used_by: BTreeSet::new(),
                        last_use: self.uses,
                    };
                    self.entries.insert(id, entry);
                    self.keys.insert(key, id);
                    new.push((id, uri));
                    id
                }
            };
            if let Some(entry) = self.entries.get_mut(&id) {
                self.idle.remove(&(entry.last_use, id));
                entry.last_use = self.uses;
                entry.used_by.insert(fetch);
            }
            items.push(Item::Entry(id));
        }
        self.fetches.insert(fetch, Fetch { items, gone: false });
        if new.is_empty() {
            self.go_if_ready(fetch, effects);
        } else {
            effects.push(Effect::FindSizes { fetch, entries: new });
        }
    }

    /// Only its owner sizes an entry, and only once.
    fn sized(&mut self, fetch: FetchId, id: EntryId, size: Result<u64, String>, effects: &mut Vec<Effect>) {
        let is_asked = |entry: &Entry| entry.state == State::Sizing && entry.owner == fetch;
        if !self.entries.get(&id).is_some_and(is_asked) {
            return;
        }
        let size = match size {
            // A file without content is not worth an entry, and would never make room.
            Ok(0) => Err("nothing is known of its size, or it is empty".to_owned()),
            other => other,
        };
        match size.and_then(|size| self.make_room(size, effects).map(|()| size)) {
            Ok(size) => {
                self.used += size;
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.size = size;
                    entry.state = State::Downloading;
                }
            }
            Err(because) => self.drop_entry(id, &because, effects),
        }
    }

    /// Evicts what was used longest ago until `size` more bytes fit; nothing, if they never will.
    fn make_room(&mut self, size: u64, effects: &mut Vec<Effect>) -> Result<(), String> {
        let free = self.capacity - self.used;
        let missing = size.saturating_sub(free);
        let surplus = self.entries.len().saturating_sub(MAX_ENTRIES);
        let (mut victims, mut gained) = (Vec::new(), 0);
        for (_, id) in &self.idle {
            if gained >= missing && victims.len() >= surplus {
                break;
            }
            gained += self.entries.get(id).map_or(0, |entry| entry.size);
            victims.push(*id);
        }
        if gained < missing || victims.len() < surplus {
            return Err(format!(
                "its {size} bytes do not fit into the cache of {} bytes, with what is in use",
                self.capacity
            ));
        }
        for id in victims {
            self.drop_entry(id, "it was evicted", effects);
        }
        Ok(())
    }

    /// Takes an entry out. Those that wait for it go without; those that were told to go have its file open, or fail.
    fn drop_entry(&mut self, id: EntryId, because: &str, effects: &mut Vec<Effect>) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.idle.remove(&(entry.last_use, id));
        if self.keys.get(&entry.key) == Some(&id) {
            self.keys.remove(&entry.key);
        }
        self.used -= entry.size;
        if entry.state != State::Sizing {
            effects.push(Effect::Remove { user: entry.key.user, file: entry.file });
        }
        for fetch in entry.used_by {
            if let Some(waiting) = self.fetches.get_mut(&fetch).filter(|waiting| !waiting.gone) {
                for item in &mut waiting.items {
                    if matches!(item, Item::Entry(one) if *one == id) {
                        *item = Item::Direct(Some(because.to_owned()));
                    }
                }
                // Whose own entries are sized goes when all of them are.
                if entry.state != State::Sizing || fetch != entry.owner {
                    self.go_if_ready(fetch, effects);
                }
            }
        }
    }

    fn go_if_ready(&mut self, id: FetchId, effects: &mut Vec<Effect>) {
        let Some(fetch) = self.fetches.get_mut(&id).filter(|fetch| !fetch.gone) else { return };
        let mut ways = Vec::with_capacity(fetch.items.len());
        let mut own = BTreeSet::new();
        for item in &fetch.items {
            let way = match item {
                Item::Direct(because) => Way::Direct { because: because.clone() },
                Item::Entry(entry) => match self.entries.get(entry) {
                    Some(found) if found.state == State::Complete => {
                        Way::Retrieve { file: found.file.clone() }
                    }
                    Some(found) if found.state == State::Downloading && found.owner == id => {
                        // The second time it is there already.
                        match own.insert(*entry) {
                            true => Way::Download { entry: *entry, file: found.file.clone() },
                            false => Way::Retrieve { file: found.file.clone() },
                        }
                    }
                    _ => return,
                },
            };
            ways.push(way);
        }
        fetch.gone = true;
        effects.push(Effect::Go { fetch: id, ways });
    }

    fn over(
        &mut self,
        id: FetchId,
        outcome: Result<(), String>,
        found: Vec<(EntryId, Result<u64, String>)>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(fetch) = self.fetches.remove(&id) else { return };
        let mut found: BTreeMap<EntryId, Result<u64, String>> = found.into_iter().collect();
        let used = fetch.items.iter().filter_map(|item| match item {
            Item::Entry(entry) => Some(*entry),
            Item::Direct(_) => None,
        });
        for entry_id in used.collect::<BTreeSet<_>>() {
            let Some(entry) = self.entries.get_mut(&entry_id) else { continue };
            entry.used_by.remove(&id);
            if entry.state == State::Complete || entry.owner != id {
                if entry.state == State::Complete && entry.used_by.is_empty() {
                    self.idle.insert((entry.last_use, entry_id));
                }
                continue;
            }
            let stored = outcome.clone().and_then(|()| {
                let size = found.remove(&entry_id).unwrap_or(Err("it was not stored".to_owned()))?;
                match size <= entry.size {
                    true => Ok(size),
                    false => Err(format!("it is larger than the {} bytes that were announced", entry.size)),
                }
            });
            match stored {
                Ok(size) => {
                    self.used -= entry.size - size;
                    entry.size = size;
                    entry.state = State::Complete;
                    let waiting = entry.used_by.clone();
                    if waiting.is_empty() {
                        self.idle.insert((entry.last_use, entry_id));
                    }
                    for fetch in waiting {
                        self.go_if_ready(fetch, effects);
                    }
                }
                Err(because) => {
                    self.drop_entry(
                        entry_id,
                        &format!("its download into the cache failed: {because}"),
                        effects,
                    );
                }
            }
        }
    }
}
