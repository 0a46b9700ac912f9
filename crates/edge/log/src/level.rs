//! Which lines are wanted, and how that is changed while the program runs (SET_LOGGING_LEVEL, /logging/toggle).
//! Must not know what is done with lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::{Level, Metadata};

use crate::line::Severity;

/// Verbosity goes from 0, ordinary lines, to 3; more is taken, as by Apache Mesos, and no more is said.
pub const MOST_VERBOSE: u32 = 3;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LevelError {
    #[error("level {asked} is less than {original}, the level that the program began with")]
    BelowOriginal { asked: u32, original: u32 },
}

struct State {
    least: Severity,
    original: u32,
    /// What holds until `until`.
    toggled: AtomicU32,
    /// Nanoseconds after `start`; 0 if nothing is toggled.
    until: AtomicU64,
    start: Instant,
}

/// The level of a running program; clones are the same level.
#[derive(Clone)]
pub struct LevelHandle(Arc<State>);

impl LevelHandle {
    /// `least` as of `--logging_level`, `verbosity` as of GLOG_v.
    pub fn new(least: Severity, verbosity: u32) -> LevelHandle {
        LevelHandle(Arc::new(State {
            least,
            original: verbosity.min(MOST_VERBOSE),
            toggled: AtomicU32::new(0),
            until: AtomicU64::new(0),
            start: Instant::now(),
        }))
    }

    /// The verbosity now, as GET_LOGGING_LEVEL tells it.
    pub fn verbosity(&self) -> u32 {
        let until = self.0.until.load(Ordering::Acquire);
        if until == 0 || self.0.start.elapsed().as_nanos() as u64 >= until {
            return self.0.original;
        }
        self.0.toggled.load(Ordering::Acquire)
    }

    /// Another verbosity for a time; then it is again what it was when the program began.
    pub fn toggle(&self, verbosity: u32, duration: Duration) -> Result<(), LevelError> {
        let original = self.0.original;
        if verbosity < original {
            return Err(LevelError::BelowOriginal { asked: verbosity, original });
        }
        let until = self.0.start.elapsed().saturating_add(duration).as_nanos();
        self.0.toggled.store(verbosity, Ordering::Release);
        self.0.until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Release);
        Ok(())
    }

    /// Whether a line is wanted whatever the verbosity is.
    pub(crate) fn always(&self, metadata: &Metadata<'_>) -> bool {
        Severity::from(*metadata.level()) >= self.0.least && wanted(metadata, 0)
    }

    /// Whether a line is wanted now.
    pub(crate) fn now(&self, metadata: &Metadata<'_>) -> bool {
        if self.always(metadata) {
            return true;
        }
        let verbosity = self.verbosity();
        verbosity > 0 && wanted(metadata, verbosity)
    }
}

/// Libraries are heard when something is wrong, or when everything is asked for.
fn wanted(metadata: &Metadata<'_>, verbosity: u32) -> bool {
    let most = match verbosity {
        0 => Level::INFO,
        1 => Level::DEBUG,
        _ => Level::TRACE,
    };
    let ours = metadata.target().starts_with("messor");
    *metadata.level() <= most && (ours || *metadata.level() <= Level::WARN || verbosity >= MOST_VERBOSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_reverts_by_itself() {
        let level = LevelHandle::new(Severity::Info, 0);
        assert_eq!(level.verbosity(), 0);
        level.toggle(2, Duration::from_secs(3600)).unwrap();
        assert_eq!(level.verbosity(), 2);
        level.toggle(1, Duration::ZERO).unwrap();
        assert_eq!(level.verbosity(), 0, "its time is over at once");
        level.toggle(u32::MAX, Duration::MAX).unwrap();
        assert_eq!(level.verbosity(), u32::MAX);
        level.toggle(3, Duration::MAX).unwrap();
        assert_eq!(level.verbosity(), 3);
    }

    #[test]
    fn a_level_is_never_below_the_original() {
        let level = LevelHandle::new(Severity::Info, 2);
        assert_eq!(level.verbosity(), 2);
        let error = level.toggle(1, Duration::ZERO).unwrap_err();
        assert_eq!(error, LevelError::BelowOriginal { asked: 1, original: 2 });
    }
}
