//! Whatever happens to connections, servers, clocks and programs: at most one acts as leader at a time, nobody acts without
//! a session on the servers, and when all is well again one leads, all know it, and no znode is left of what was.

use std::time::Duration;

use crate::world::World;

fn live(seed: u64) -> u32 {
    let mut world = World::new(seed);
    for _ in 0..3 {
        world.run(Duration::from_secs(120), true);
        world.run(Duration::from_secs(60), false);
        world.assert_all_is_well();
    }
    world.elections
}

#[expect(clippy::disallowed_methods, reason = "a test is told by its environment")]
fn told(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// MESSOR_SEED=N runs one again; MESSOR_SEEDS=N runs more of them.
#[test]
fn one_leads_at_a_time_and_all_know_it_in_the_end() {
    if let Some(seed) = told("MESSOR_SEED") {
        live(seed);
        return;
    }
    let mut elections = 0;
    for seed in 0..told("MESSOR_SEEDS").unwrap_or(200) {
        let lived = std::panic::catch_unwind(|| live(seed));
        elections += lived.unwrap_or_else(|_| panic!("seed {seed}: run it again with MESSOR_SEED={seed}"));
    }
    assert!(elections > 200, "faults end leaderships: {elections}");
}
