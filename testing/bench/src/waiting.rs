//! Waiting for what shows only to who asks (a process that answers, a process that is gone), and what is done at a pace meanwhile.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use messor_testkit::try_wait;

/// Asks again and again, with a pause after each question, until it is so; an error ends it.
pub(crate) fn until(
    what: &str,
    limit: Duration,
    pause: Duration,
    mut is_so: impl FnMut() -> Result<bool, String>,
) -> Result<(), String> {
    let answer = try_wait(limit, pause, || is_so().map(|is_so| is_so.then_some(())).transpose());
    answer.unwrap_or_else(|| Err(format!("{what}: not after {limit:?}")))
}

/// The end of what is done at a pace.
#[derive(Default)]
pub(crate) struct End {
    is_told: Mutex<bool>,
    told: Condvar,
}

impl End {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn tell(&self) {
        *self.lock() = true;
        self.told.notify_all();
    }

    /// Does the same again and again, with a pause after each time, until the end is told, which cuts the pause short. The pause is
    /// the pace of a load: nothing is waited for.
    pub fn meanwhile(
        &self,
        pause: Duration,
        mut step: impl FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        while !*self.lock() {
            step()?;
            drop(self.told.wait_timeout_while(self.lock(), pause, |is_told| !*is_told));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_when_it_is_so_when_it_cannot_be_and_when_it_is_late() {
        let mut left = 3;
        let counted = until("it is counted", Duration::MAX, Duration::ZERO, || {
            left -= 1;
            Ok(left == 0)
        });
        assert_eq!((counted, left), (Ok(()), 0));
        let broken = until("it works", Duration::MAX, Duration::ZERO, || Err("broken".to_string()));
        assert_eq!(broken, Err("broken".to_string()));
        let late = until("it comes", Duration::ZERO, Duration::from_nanos(1), || Ok(false));
        assert_eq!(late, Err("it comes: not after 0ns".to_string()));
    }

    #[test]
    fn what_is_done_meanwhile_ends_when_it_is_told() {
        let (end, mut count) = (End::default(), 0);
        let done = end.meanwhile(Duration::ZERO, || {
            count += 1;
            if count == 3 {
                end.tell();
            }
            Ok(())
        });
        assert_eq!((done, count), (Ok(()), 3));
        // In its pause, too: it would last for ever.
        let (end, (begun, has_begun)) = (End::default(), std::sync::mpsc::channel());
        std::thread::scope(|scope| {
            let work = scope
                .spawn(|| end.meanwhile(Duration::MAX, || begun.send(()).map_err(|error| error.to_string())));
            has_begun.recv().unwrap();
            end.tell();
            assert_eq!(work.join().unwrap(), Ok(()));
        });
        let broken = End::default().meanwhile(Duration::MAX, || Err("broken".to_string()));
        assert_eq!(broken, Err("broken".to_string()));
    }
}
