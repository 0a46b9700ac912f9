//! What end-to-end tests share: clusters of real processes on free ports, a plain HTTP client, a
//! framework, skips that are told.

mod cluster;
pub mod files;
mod framework;
mod groups;
mod http;
mod zookeeper;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use cluster::{Cluster, Options, free_port};
pub use framework::{Framework, scalar};
pub use groups::ControlGroups;
pub use http::{Answer, get, post, request};
pub use zookeeper::ZooKeeper;

/// The root of the work tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("testing/testkit has two parents")
        .to_path_buf()
}

/// The binary under test: what MESSOR_BIN names, or the dev build.
pub fn binary() -> PathBuf {
    let path =
        std::env::var_os("MESSOR_BIN").map_or_else(|| root().join("target/debug/messor"), PathBuf::from);
    assert!(path.exists(), "{} is not there: run `cargo build -p messor` first", path.display());
    path
}

/// The folder with the oracle, where there is one: MESSOR_SHARED, or ../shared beside the work tree.
pub fn oracle() -> Option<PathBuf> {
    let shared = std::env::var_os("MESSOR_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let oracle = shared.join("oracle");
    oracle.is_dir().then_some(oracle)
}

/// Says that a test could not run and why; `./test` prints all of these in its last line.
pub fn skip(why: &str) {
    eprintln!("skipped: {why}");
    if let Some(path) = std::env::var_os("MESSOR_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "{why}");
    }
}

/// Asks again and again until `ask` has an answer; panics with `what` when it takes longer than `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, ask: impl FnMut() -> Option<T>) -> T {
    wait_or(limit, ask, || format!("waited {limit:?} in vain for {what}"))
}

/// The same, with words for what is so in the end.
pub fn wait_or<T>(limit: Duration, ask: impl FnMut() -> Option<T>, words: impl FnOnce() -> String) -> T {
    try_wait(limit, Duration::from_millis(20), ask).unwrap_or_else(|| panic!("{}", words()))
}

/// The same for what shows only to who asks, with so long a pause after each question; None when it takes longer.
pub fn try_wait<T>(limit: Duration, pause: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let answer = ask();
        if answer.is_some() || start.elapsed() > limit {
            return answer;
        }
        std::thread::sleep(pause);
    }
}
