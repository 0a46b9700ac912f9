//! Memory that was freed goes back to the system once there is little to do. The allocator itself looks for it only when it is
//! asked for more, so that what a burst took would stay for as long as nothing happens.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::at_length;

const LOOK: Duration = Duration::from_secs(1);
/// Between two looks the program had little to do if it used no more of the processors than this, or a quarter of what it used at
/// its busiest.
const LITTLE: Duration = Duration::from_millis(50);
/// Less than this was used since the last time: it is not worth it.
const WORTH: Duration = Duration::from_millis(30);

/// When to give memory back, by what the program used of the processors.
#[derive(Debug, Default)]
struct Quiet {
    at_last_look: Duration,
    given_back_at: Duration,
    /// Between two looks since the last time.
    most: Duration,
}

impl Quiet {
    /// `used` is since the program began.
    fn look(&mut self, used: Duration) -> bool {
        let since = used.saturating_sub(self.at_last_look);
        self.at_last_look = used;
        self.most = self.most.max(since);
        let little = since <= LITTLE || since * 4 <= self.most;
        little && used.saturating_sub(self.given_back_at) >= WORTH
    }

    /// Giving back takes time itself.
    fn given_back(&mut self, used: Duration) {
        *self = Quiet { at_last_look: used, given_back_at: used, most: Duration::ZERO };
    }
}

/// How often memory was given back.
static TIMES: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// How often this thread did so.
    static DONE: Cell<u32> = const { Cell::new(0) };
}

/// The threads of a daemon. Each has pages of its own, and looks through them when it has nothing to do and memory is given back.
pub fn network_threads() -> std::io::Result<tokio::runtime::Runtime> {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.enable_all().on_thread_park(|| {
        let times = TIMES.load(Ordering::Relaxed);
        if DONE.replace(times) != times {
            messor_linux::memory::give_back();
        }
    });
    threads.build()
}

/// Never ends by itself.
pub(crate) async fn give_back_when_quiet() -> Infallible {
    let mut quiet = Quiet::default();
    loop {
        // Nothing tells that a program has little to do, as then nothing happens.
        tokio::time::sleep(LOOK).await;
        if quiet.look(messor_linux::memory::processor_time()) {
            let times = TIMES.fetch_add(1, Ordering::Relaxed) + 1;
            // Others wake, look for these, and go to sleep again.
            for _ in 0..tokio::runtime::Handle::current().metrics().num_workers() {
                tokio::spawn(async {});
            }
            at_length(messor_linux::memory::give_back);
            DONE.set(times);
            quiet.given_back(messor_linux::memory::processor_time());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_after_each_burst_when_it_is_over() {
        let ms = Duration::from_millis;
        let mut quiet = Quiet::default();
        assert!(!quiet.look(ms(20)), "starting up is not worth it");
        assert!(!quiet.look(ms(900)), "it works");
        assert!(!quiet.look(ms(1800)), "it works");
        assert!(quiet.look(ms(1810)));
        quiet.given_back(ms(1890));
        for second in 1..=5 {
            assert!(!quiet.look(ms(1890 + second * 5)), "it was given back already: {second}");
        }
        assert!(quiet.look(ms(1925)), "by and by there is something again");
        quiet.given_back(ms(1925));
        assert!(!quiet.look(ms(1976)), "more than a little");
    }

    #[test]
    fn who_always_has_something_to_do_gives_back_after_more_than_that() {
        let ms = Duration::from_millis;
        let mut quiet = Quiet::default();
        for second in 1..=9 {
            assert!(!quiet.look(ms(second * 200)), "as always: {second}");
        }
        assert!(!quiet.look(ms(3300)), "a burst");
        assert!(quiet.look(ms(3500)));
        quiet.given_back(ms(3520));
        for second in 1..=9 {
            assert!(!quiet.look(ms(3520 + second * 200)), "as always: {second}");
        }
    }
}
