//! Process 1 of a new PID namespace: it starts the program, reaps orphans, passes signals on, and ends with the program, and
//! with it the kernel ends all that is left in there.

use std::fs::File;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::process::Pid;

use super::descriptors::arrange;
use super::fork::{clone, exit};
use crate::Exit;
use crate::capabilities::{Capabilities, CapabilitySet};
use crate::wait;

const KILL: u8 = 5;

/// Splits the calling process: it stays as the init and never comes back from here, and its child, which is to become the
/// program, does.
pub(super) fn split(status: OwnedFd) -> io::Result<()> {
    block_all_signals();
    match clone(0)? {
        None => Ok(()),
        Some(program) => stay(status, program),
    }
}

fn stay(status: OwnedFd, program: Pid) -> ! {
    use std::os::fd::AsFd;
    // The program's files end with the program, not with this process. Nobody is there to be told of an error.
    let status = match arrange(&[], &[status.as_fd()]) {
        Ok(mut own) => own.pop(),
        Err(_) => None,
    };
    let Some(status) = status else { exit(1) };
    let _ = rustix::thread::set_name(c"messor-init");
    // Whatever its program may do: to signal it is all that this process needs.
    let only = CapabilitySet::NONE.with(KILL);
    let _ = Capabilities { effective: only, permitted: only, ..Capabilities::default() }.set();
    loop {
        match next_signal() {
            Some(libc::SIGCHLD) => {
                while let Ok(Some(reaped)) = wait::reap_any() {
                    if reaped.pid == program {
                        end(status, reaped.exit);
                    }
                }
            }
            Some(signal) => send(program, signal),
            None => {}
        }
    }
}

fn end(status: OwnedFd, how: Exit) -> ! {
    let _ = File::from(status).write_all(&how.to_wait_status().to_ne_bytes());
    exit(match how {
        Exit::Exited(code) => code,
        Exit::Signalled { signal, .. } => 128 + signal,
    })
}

fn all_signals() -> libc::sigset_t {
    let mut all = MaybeUninit::uninit();
    // SAFETY: sigfillset fills the set in.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        all.assume_init()
    }
}

fn block_all_signals() {
    // SAFETY: the set is filled in, and the old one is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &all_signals(), std::ptr::null_mut()) };
}

/// Waits for the next signal. Those that are blocked reach a process 1 too.
fn next_signal() -> Option<libc::c_int> {
    // SAFETY: the set is filled in; what is told about the signal is not asked for.
    let signal = unsafe { libc::sigwaitinfo(&all_signals(), std::ptr::null_mut()) };
    (signal > 0).then_some(signal)
}

fn send(program: Pid, signal: libc::c_int) {
    // SAFETY: a system call on numbers. It may have ended in the meantime.
    unsafe { libc::kill(program.as_raw_pid(), signal) };
}
