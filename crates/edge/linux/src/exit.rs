//! How a process ended, and how that is told. It must not know how the status was obtained.

use std::fmt;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Exited(i32),
    Signalled { signal: i32, core_dumped: bool },
}

impl Exit {
    /// Decodes the status word of wait(2); nothing for a process that only stopped or went on.
    pub fn from_wait_status(status: i32) -> Option<Exit> {
        if libc::WIFEXITED(status) {
            Some(Exit::Exited(libc::WEXITSTATUS(status)))
        } else if libc::WIFSIGNALED(status) {
            Some(Exit::Signalled { signal: libc::WTERMSIG(status), core_dumped: libc::WCOREDUMP(status) })
        } else {
            None
        }
    }

    /// The status word of wait(2), as Mesos keeps it in files and in `WAIT_CONTAINER`.
    pub fn to_wait_status(self) -> i32 {
        match self {
            Exit::Exited(code) => (code & 0xff) << 8,
            Exit::Signalled { signal, core_dumped } => signal | if core_dumped { 0x80 } else { 0 },
        }
    }

    pub fn success(self) -> bool {
        self == Exit::Exited(0)
    }
}

/// The words frameworks and people parse: "exited with status 3", "terminated with signal Killed".
impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Exited(code) => write!(formatter, "exited with status {code}"),
            Exit::Signalled { signal, core_dumped } => {
                let core = if *core_dumped { " (core dumped)" } else { "" };
                match signal_description(*signal) {
                    Some(text) => write!(formatter, "terminated with signal {text}{core}"),
                    None => write!(formatter, "terminated with signal Unknown signal {signal}{core}"),
                }
            }
        }
    }
}

/// What strsignal(3) of the C library says in the C locale, without its static buffer and without its locale.
pub fn signal_description(signal: i32) -> Option<&'static str> {
    Some(match signal {
        libc::SIGHUP => "Hangup",
        libc::SIGINT => "Interrupt",
        libc::SIGQUIT => "Quit",
        libc::SIGILL => "Illegal instruction",
        libc::SIGTRAP => "Trace/breakpoint trap",
        libc::SIGABRT => "Aborted",
        libc::SIGBUS => "Bus error",
        libc::SIGFPE => "Floating point exception",
        libc::SIGKILL => "Killed",
        libc::SIGUSR1 => "User defined signal 1",
        libc::SIGSEGV => "Segmentation fault",
        libc::SIGUSR2 => "User defined signal 2",
        libc::SIGPIPE => "Broken pipe",
        libc::SIGALRM => "Alarm clock",
        libc::SIGTERM => "Terminated",
        libc::SIGSTKFLT => "Stack fault",
        libc::SIGCHLD => "Child exited",
        libc::SIGCONT => "Continued",
        libc::SIGSTOP => "Stopped (signal)",
        libc::SIGTSTP => "Stopped",
        libc::SIGTTIN => "Stopped (tty input)",
        libc::SIGTTOU => "Stopped (tty output)",
        libc::SIGURG => "Urgent I/O condition",
        libc::SIGXCPU => "CPU time limit exceeded",
        libc::SIGXFSZ => "File size limit exceeded",
        libc::SIGVTALRM => "Virtual timer expired",
        libc::SIGPROF => "Profiling timer expired",
        libc::SIGWINCH => "Window changed",
        libc::SIGIO => "I/O possible",
        libc::SIGPWR => "Power failure",
        libc::SIGSYS => "Bad system call",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_told_as_the_c_library_tells_them() {
        for signal in 1..32 {
            // SAFETY: strsignal gives a string that stays valid until its next call; this is the only caller.
            let theirs = unsafe { std::ffi::CStr::from_ptr(libc::strsignal(signal)) };
            assert_eq!(signal_description(signal), theirs.to_str().ok(), "signal {signal}");
        }
    }

    #[test]
    fn statuses_go_there_and_back() {
        let killed = Exit::Signalled { signal: 9, core_dumped: false };
        let aborted = Exit::Signalled { signal: 6, core_dumped: true };
        for exit in [Exit::Exited(0), Exit::Exited(3), Exit::Exited(255), killed, aborted] {
            assert_eq!(Exit::from_wait_status(exit.to_wait_status()), Some(exit));
        }
        assert_eq!(Exit::from_wait_status(0x137f), None, "stopped");
        assert_eq!(Exit::Exited(3).to_string(), "exited with status 3");
        assert_eq!(killed.to_string(), "terminated with signal Killed");
        assert_eq!(aborted.to_string(), "terminated with signal Aborted (core dumped)");
        assert!(Exit::Exited(0).success() && !killed.success());
    }
}
