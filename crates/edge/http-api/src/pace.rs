//! How often something may be asked: who comes too soon waits for its turn (LIBPROCESS_METRICS_SNAPSHOT_ENDPOINT_RATE_LIMIT).

use std::sync::Mutex;
use std::time::Duration;

use messor_stdx::parse_duration;
use tokio::time::Instant;

pub struct Pace {
    /// Between two.
    gap: Duration,
    /// The turn of who comes next. Those that wait are as many as connections, at most.
    next: Mutex<Instant>,
}

impl Pace {
    /// `10/1secs`: so many in so long, evenly spread.
    pub fn parse(text: &str) -> Result<Pace, String> {
        let parse = || {
            let (times, per) = text.split_once('/')?;
            let (times, per) = (times.trim().parse::<u32>().ok()?, parse_duration(per.trim()).ok()?);
            Some(per.checked_div(times)?).filter(|gap| !gap.is_zero())
        };
        let gap = parse().ok_or_else(|| format!("'{text}' is not like 10/1secs"))?;
        Ok(Pace { gap, next: Mutex::new(Instant::now()) })
    }

    pub(crate) async fn turn(&self) {
        let at = {
            let mut next = self.next.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let at = (*next).max(Instant::now());
            *next = at + self.gap;
            at
        };
        tokio::time::sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_too_soon_waits() {
        let pace = Pace::parse("100/2secs").unwrap();
        let begin = Instant::now();
        for _ in 0..4 {
            pace.turn().await;
        }
        assert!(begin.elapsed() >= Duration::from_millis(60), "{:?}", begin.elapsed());
        for wrong in ["", "10", "0/1secs", "x/1secs", "10/0secs", "1/x", "-1/1secs"] {
            assert!(Pace::parse(wrong).is_err(), "{wrong}");
        }
    }
}
