//! Whole clusters under faults, seed by seed. One seed is one run, and what happens in it is shown by
//! `REPLOG_SEED=17 cargo nextest run -p messor-replog replay --no-capture`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::rng::Rng;
use crate::world::{Options, Pace, World};

fn options(seed: u64) -> Options {
    let mut rng = Rng::new(seed ^ 0xfeed);
    let slow = rng.one_in(2);
    Options {
        seed,
        replicas: [3, 3, 3, 5, 1][rng.index(5)],
        faults_until: Duration::from_secs(5 + rng.below(if slow { 300 } else { 40 })),
        disks_are_lost: rng.one_in(2),
        pace: if slow { Pace::Slow } else { Pace::Quick },
        trace: false,
    }
}

/// Replicas that lose their disks, as `plots` has it.
fn forgetful(seed: u64) -> Options {
    let (pace, replicas) =
        if seed.is_multiple_of(2) { (Pace::LateAnswers, 5) } else { (Pace::IdleWriters, 3) };
    Options {
        seed,
        replicas,
        faults_until: Duration::from_secs(100),
        disks_are_lost: true,
        pace,
        trace: false,
    }
}

fn run(seeds: std::ops::Range<u64>, options: fn(u64) -> Options) {
    let (mut events, mut acknowledged) = (0, 0);
    for seed in seeds {
        let mut world = World::new(options(seed));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.run())) {
            eprintln!("seed {seed} of {:?} breaks it", options(seed));
            std::panic::resume_unwind(panic);
        }
        events += world.events;
        acknowledged += world.truth.acknowledged.len();
    }
    println!("{events} events, {acknowledged} appends acknowledged");
    assert!(acknowledged > 0);
}

/// Two tests, so that two processors run them.
#[test]
fn invariants_hold_in_clusters_with_faults() {
    run(0..1000, options);
}

#[test]
fn invariants_hold_in_more_clusters_with_faults() {
    run(1000..2000, options);
}

#[test]
fn nothing_is_lost_with_disks_while_a_quorum_remembers() {
    run(0..300, forgetful);
}

#[test]
fn a_seed_can_be_replayed() {
    #[allow(clippy::disallowed_methods, reason = "it is how a person says which seed")]
    let seed = std::env::var("REPLOG_SEED").ok().and_then(|seed| seed.parse().ok());
    let runs = [0, 0].map(|_| {
        let mut world = World::new(Options { trace: seed.is_some(), ..options(seed.unwrap_or(7)) });
        world.run();
        (world.events, world.truth.acknowledged)
    });
    assert_eq!(runs[0], runs[1], "the same seed gives the same run");
}
