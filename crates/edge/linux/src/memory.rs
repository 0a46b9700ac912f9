//! What this process has of the system and can give back.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Pages that the allocator keeps and has nothing in go back to the system, whoever freed them; of pages that have something in
/// them no more than the calling thread's are looked through. Using them again costs a page fault for each, and this call some tens
/// of milliseconds for a gigabyte. Where mimalloc is not the program's allocator there is nothing to give.
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
