//! The short form: a few rounds with a fresh seed. `cargo run -p messor-chaos` is the long one.
//!
//! Rows: U105, U109, U111.

use messor_chaos::{Options, missing, run};

#[test]
fn no_task_is_lost_when_anything_is_killed_or_cut_off() {
    if let Some(why) = missing() {
        return messor_testkit::skip(&format!("killing and cutting off real processes: {why}"));
    }
    let options =
        Options { rounds: 6, seed: fastrand::u64(1..1_000_000), masters: 3, agents: 2, folder: None };
    println!("seed {}", options.seed);
    match run(&options) {
        Ok(report) => println!("{report}"),
        Err(found) => panic!("seed {}: {found}", options.seed),
    }
}
