//! Many seeds, each a whole run with faults. A failing one says how to replay it.
//!
//! Rows: U100 (updates acknowledged explicitly), U104 (through the master), U108 (reconciliation).

use std::panic::{AssertUnwindSafe, catch_unwind};

use messor_sim::{Options, World};

fn run(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let outcome = catch_unwind(AssertUnwindSafe(|| World::new(Options::of_seed(seed)).run()));
        assert!(
            outcome.is_ok(),
            "seed {seed} fails (the reason stands above); replay it: cargo run -p messor-sim -- --seed {seed} --trace"
        );
    }
}

/// A master, two agents, one scheduler: 1,000 seeds in four tests, so that they run side by side.
#[test]
fn seeds_0_to_249() {
    run(0..250);
}

#[test]
fn seeds_250_to_499() {
    run(250..500);
}

#[test]
fn seeds_500_to_749() {
    run(500..750);
}

#[test]
fn seeds_750_to_999() {
    run(750..1000);
}

/// The same seed gives the same run: what replaying rests on.
#[test]
fn a_seed_decides_everything() {
    let trace = |seed| {
        let mut world = World::new(Options::of_seed(seed));
        world.run();
        world.scheduler.waiting()
    };
    assert_eq!(trace(42), trace(42));
}
