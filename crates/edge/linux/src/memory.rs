//! What this process has of the system and can give back.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What the allocator keeps of freed memory goes back to the system; using it again costs a page fault for each page. Takes some
/// tens of milliseconds for a gigabyte. Where mimalloc is not the program's allocator there is nothing to give.
pub fn give_back() {
    // SAFETY: it may be called by any thread at any time.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

/// What this process used of the processors since it began, all its threads together.
pub fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time() {
        let before = processor_time();
        let mut sum = 0u64;
        while processor_time() < before + Duration::from_millis(2) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(sum > 0);
    }
}
