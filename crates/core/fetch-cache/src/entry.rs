//! Entries, and what fetches ask for.

use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FetchId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId(pub u64);

/// One URI of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub uri: String,
    /// The last part of the URI, which is kept in the name of the file: extraction goes by its suffix.
    pub name: String,
    /// Whether it may come from the cache.
    pub cached: bool,
}

/// How one URI gets into the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Past the cache; and why, where it was to come from there.
    Direct {
        because: Option<String>,
    },
    /// Download it into this file of the cache, then take it from there.
    Download {
        entry: EntryId,
        file: String,
    },
    Retrieve {
        file: String,
    },
}

/// A file that is in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub entry: EntryId,
    pub file: String,
    pub size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub user: Option<String>,
    pub uri: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Sizing,
    /// There is room for it.
    Downloading,
    Complete,
}

pub(crate) struct Entry {
    pub key: Key,
    pub file: String,
    pub state: State,
    /// What of the cache is set aside for it.
    pub size: u64,
    /// Who downloads it.
    pub owner: FetchId,
    /// The fetches that are under way with it, the owner among them.
    pub used_by: BTreeSet<FetchId>,
    pub last_use: u64,
}

/// At most so many characters of a URI's last part are in the name of a file, half of them from its end.
const NAME_CHARACTERS: usize = 20;

/// A name that no other file of the cache has; people recognise the URI by it, and programs the suffix.
pub(crate) fn file_name(serial: u64, name: &str) -> String {
    let count = name.chars().count();
    let short = if count > NAME_CHARACTERS {
        let half = NAME_CHARACTERS / 2;
        let head = name.chars().take(half);
        let tail = name.chars().skip(count - half);
        head.chain(['_']).chain(tail).collect()
    } else {
        name.to_owned()
    };
    format!("c{serial}-{short}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_keep_their_suffix() {
        assert_eq!(file_name(1, "a.tgz"), "c1-a.tgz");
        assert_eq!(file_name(2, "twenty-characters.gz"), "c2-twenty-characters.gz");
        assert_eq!(file_name(3, "more-than-twenty-characters.tar.gz"), "c3-more-than-_ers.tar.gz");
        assert_eq!(file_name(4, &"ä".repeat(30)).chars().count(), 3 + 21);
    }
}
