//! A master or an agent that is away for a while: it is asked again, and that is said once.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::ConsoleError;

/// How long somebody may be away before this program gives up.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Away {
    since: Option<Instant>,
}

impl Away {
    /// Somebody answered.
    pub fn is_back(&mut self) {
        self.since = None;
    }

    /// Waits for a moment. Fails where trying again cannot help, or was tried for too long; `tell` is called for the first
    /// of errors that follow each other.
    pub fn wait(
        &mut self,
        error: ConsoleError,
        tell: impl FnOnce(&ConsoleError) -> Result<(), ConsoleError>,
    ) -> Result<(), ConsoleError> {
        if !error.may_pass() {
            return Err(error);
        }
        if self.since.is_none() {
            tell(&error)?;
        }
        if self.since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            return Err(error);
        }
        std::thread::sleep(PAUSE);
        Ok(())
    }
}

/// On standard error, where it does not get between what is printed.
pub fn tell(error: &ConsoleError) -> Result<(), ConsoleError> {
    let program = std::env::args_os().next().map(PathBuf::from);
    let name = program.as_ref().and_then(|path| path.file_name()?.to_str()).unwrap_or("mesos");
    eprintln!("{name}: {error}; trying again");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_pass_is_not_tried_again_and_the_rest_is_told_once() {
        let mut away = Away::default();
        let silent = |_: &ConsoleError| -> Result<(), ConsoleError> { panic!("it is told") };
        assert!(away.wait(ConsoleError::Wrong("x".to_string()), silent).is_err());
        let mut told = 0;
        for _ in 0..2 {
            let gone = ConsoleError::AgentAway("S0".to_string());
            away.wait(gone, |_| {
                told += 1;
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(told, 1);
        away.is_back();
        assert!(away.since.is_none());
    }
}
