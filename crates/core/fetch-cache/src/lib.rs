//! The bookkeeping of the fetcher's cache as a deterministic machine: what is there, who downloads what, who waits for
//! whom, what makes room.
//!
//! One fetch brings all URIs of a container. For each URI that may be cached there is one entry a user. Who asks first
//! downloads; who asks meanwhile waits for that download, and fetches directly into the sandbox if it fails. An entry
//! stays for as long as a fetch is under way that uses it; of the others, those used longest ago go first when room is
//! needed. What does not fit is fetched directly.
//!
//! No two fetches can wait for each other: a fetch waits only for those that asked before it.
//!
//! It must not know files, processes, containers or how anything is downloaded: sizes and outcomes come in as events.

mod cache;
mod entry;

pub use cache::Cache;
pub use entry::{EntryId, FetchId, Stored, Wanted, Way};

/// As many entries as there may be at a time; beyond that those used longest ago go. It bounds what is remembered where
/// files are small.
pub const MAX_ENTRIES: usize = 100_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A container is to get all this. `damaged` are entries whose files are not as they were stored.
    Ask { fetch: FetchId, user: Option<String>, items: Vec<Wanted>, damaged: Vec<EntryId> },
    /// The answer to `Effect::FindSizes`: each entry's size, or why it cannot be told.
    Sized { fetch: FetchId, sizes: Vec<(EntryId, Result<u64, String>)> },
    /// A fetch has ended, or nobody wants it any more. `found` are the real sizes of the files that it was to store;
    /// what is missing there was not stored.
    Over { fetch: FetchId, outcome: Result<(), String>, found: Vec<(EntryId, Result<u64, String>)> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Answered by `Event::Sized`.
    FindSizes { fetch: FetchId, entries: Vec<(EntryId, String)> },
    /// The fetch may begin, with one way for each item in their order. Answered by `Event::Over`. It is said once.
    Go { fetch: FetchId, ways: Vec<Way> },
    /// Nothing needs this file any more. It may not be there.
    Remove { user: Option<String>, file: String },
}
