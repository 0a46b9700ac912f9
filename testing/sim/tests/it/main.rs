//! Some seeds, each a whole run with faults. A failing one says how to replay it. `./test` runs fresh ones for two
//! minutes beside these.
//!
//! Rows: U100 (updates acknowledged explicitly), U104 (through the master), U105 (registry in replicated state), U108
//! (reconciliation), U109 (checkpoints).

use std::panic::{AssertUnwindSafe, catch_unwind};

use messor_sim::{Options, World};

fn run(seeds: std::ops::Range<u64>, operations: bool) {
    for seed in seeds {
        let options = Options::of_seed(seed);
        let options = if operations { options.with_operations() } else { options };
        let outcome = catch_unwind(AssertUnwindSafe(|| World::new(options).run()));
        let with = if operations { " --operations" } else { "" };
        assert!(
            outcome.is_ok(),
            "seed {seed} fails (the reason stands above); replay it: cargo run -p messor-sim --{with} --seed {seed} --trace"
        );
    }
}

#[test]
fn seeds_0_to_9() {
    run(0..10, false);
}

/// With reservations, volumes, quota, operators and drains.
#[test]
fn seeds_0_to_3_with_operations() {
    run(0..4, true);
}

/// The same seed gives the same run: what replaying rests on.
#[test]
fn a_seed_decides_everything() {
    let report = |seed| {
        let mut world = World::new(Options::of_seed(seed));
        world.run();
        (world.report, world.waiting())
    };
    assert_eq!(report(42), report(42));
}
