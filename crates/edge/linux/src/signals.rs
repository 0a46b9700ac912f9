//! Signals as something to read, for programs of one thread. It must not know what they mean to the program.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::{Pid, Signal};

/// Signals that are read from a descriptor instead of interrupting the program.
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Blocks these signals in the calling thread and opens a descriptor that tells of them. To be called before any
    /// other thread is started; programs started by [`crate::spawn`] begin with no signal blocked.
    pub fn new(signals: &[Signal]) -> io::Result<SignalFd> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset fills the set in; sigaddset takes a set so filled; the two calls after them only read it.
        let descriptor = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in signals {
                libc::sigaddset(set.as_mut_ptr(), signal.as_raw());
            }
            let failed = libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
            if failed != 0 {
                return Err(io::Error::from_raw_os_error(failed));
            }
            libc::signalfd(-1, set.as_ptr(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC)
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        Ok(SignalFd(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// The next signal that has arrived, if any.
    pub fn read(&self) -> io::Result<Option<Signal>> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the buffer is as long as is said.
        let got = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) };
        if got < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            };
        }
        // SAFETY: plain integers, zeroed before and filled in by the kernel.
        let number = unsafe { info.assume_init() }.ssi_signo;
        Ok(i32::try_from(number).ok().and_then(Signal::from_named_raw))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Gives every signal its default action, for a process that was forked and is to become another program.
pub fn default_actions() {
    // The bare system call: the C library's refuses the two signals it keeps for itself, and those too may have been
    // inherited as ignored. All zero is the default action, no flags and an empty mask.
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: a structure to be read, of the size that is said; the old action is not asked for.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<u64>(), 8)
        };
    }
}

/// Blocks no signal any more: those that wait arrive now.
pub fn unblock_all() {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset fills the set in; the old one is not asked for.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// Sends a signal to one process.
pub fn send(pid: Pid, signal: Signal) -> io::Result<()> {
    Ok(rustix::process::kill_process(pid, signal)?)
}

/// The same by its number, also of signals without a name. 0 only looks whether it could be sent.
pub fn send_number(pid: Pid, number: i32) -> io::Result<()> {
    let pid = pid.as_raw_nonzero().get();
    if pid < 1 {
        // That would be more than one process.
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: two numbers, and no memory of this process.
    if unsafe { libc::kill(pid, number) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends a signal to a process group.
pub fn send_group(group: Pid, signal: Signal) -> io::Result<()> {
    Ok(rustix::process::kill_process_group(group, signal)?)
}
