//! Ends the masters and agents that the bench has started, when the bench itself ends in a way that leaves it no time for that: by a signal.
//!
//! The bench may hold no unsafe code, and so cannot ask the kernel to do it (PR_SET_PDEATHSIG is set in the child). A shell, of a
//! process group of its own, waits for the end of its input instead, and kills whom the last line names.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHELL: &str = "while read -r line; do pids=$line; done; [ -z \"$pids\" ] || kill -KILL $pids";

struct Guard {
    /// Where the shell reads, once there is one.
    input: Option<ChildStdin>,
    pids: Vec<u32>,
}

static GUARD: Mutex<Guard> = Mutex::new(Guard { input: None, pids: Vec::new() });

fn lock() -> MutexGuard<'static, Guard> {
    GUARD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guard {
    fn tell(&mut self) -> std::io::Result<()> {
        let input = match &mut self.input {
            Some(input) => input,
            none => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", SHELL]).env_clear().current_dir("/").process_group(0);
                shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
                let input = shell.spawn()?.stdin.take();
                none.insert(input.ok_or(std::io::ErrorKind::BrokenPipe)?)
            }
        };
        let pids: Vec<String> = self.pids.iter().map(u32::to_string).collect();
        // In one write, so that no line is ever half there.
        input.write_all(format!("{}\n", pids.join(" ")).as_bytes())
    }
}

/// Starts the shell, which takes its time, before something is timed.
pub(crate) fn start() -> Result<(), String> {
    lock().tell().map_err(|error| format!("no shell that ends what is left: {error}"))
}

/// This process is not to outlive the bench.
pub(crate) fn watch(pid: u32) -> Result<(), String> {
    let mut guard = lock();
    guard.pids.push(pid);
    guard.tell().map_err(|error| format!("nobody would end process {pid} after the bench: {error}"))
}

/// It has ended, and its number may be given to another.
pub(crate) fn forget(pid: u32) {
    let mut guard = lock();
    guard.pids.retain(|watched| *watched != pid);
    // Without a shell nobody would kill it anyway.
    let _ = guard.tell();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_kills_whom_the_last_line_names() {
        let mut sleepers: Vec<_> =
            (0..2).map(|_| Command::new("sleep").arg("600").spawn().unwrap()).collect();
        let pids: Vec<u32> = sleepers.iter().map(std::process::Child::id).collect();
        let mut guard = Guard { input: None, pids: pids.clone() };
        guard.tell().unwrap();
        guard.pids = vec![pids[1]];
        guard.tell().unwrap();
        drop(guard);
        let ended = sleepers[1].wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9));
        assert!(sleepers[0].try_wait().unwrap().is_none(), "the first was not to be killed any more");
        sleepers[0].kill().unwrap();
        sleepers[0].wait().unwrap();
    }
}
