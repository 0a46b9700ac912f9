//! Points at which a test has this process killed, as if by `kill -9`. Without the variable in its environment they do
//! nothing.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;

use rustix::process::{Signal, getpid, kill_process};

/// Names a folder. Whoever passes the point whose name is in its file `armed` is killed there; the names of all that are
/// passed are appended to its file `passed`.
pub const VARIABLE: &str = "MESSOR_FAULTS";
pub const ARMED: &str = "armed";
pub const PASSED: &str = "passed";

/// Ends this process here if a test wants that.
pub fn point(name: impl FnOnce() -> String) {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let Some(folder) = FOLDER.get_or_init(|| std::env::var_os(VARIABLE).map(PathBuf::from)) else { return };
    let name = name();
    let passed = OpenOptions::new().append(true).create(true).open(folder.join(PASSED));
    // In one write, as several threads do it.
    let _ = passed.and_then(|mut file| file.write_all(format!("{name}\n").as_bytes()));
    if std::fs::read_to_string(folder.join(ARMED)).is_ok_and(|armed| armed == name) {
        let _ = kill_process(getpid(), Signal::KILL);
    }
}
