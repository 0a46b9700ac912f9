//! What libFuzzer calls; the runner (`messor-fuzz`) builds it with coverage and says in the environment which target
//! it is to run.

#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("MESSOR_FUZZ_TARGET").expect("MESSOR_FUZZ_TARGET names a target");
    messor_fuzz::target(&name).expect("MESSOR_FUZZ_TARGET names a target")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
