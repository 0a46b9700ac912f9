//! The Linux kernel: processes, signals, limits, /proc; the only unsafe code of the house.
//!
//! Small safe functions, each a thin skin over a few system calls. What a task, a container or an executor is, is not
//! known here. What decides by listing and signalling processes takes the trait [`killtree::Processes`], so that it is
//! tested with a fake.

pub mod capabilities;
pub mod cgroups;
pub mod container;
pub mod devices;
pub mod disk_usage;
pub mod exit;
pub mod faults;
pub mod host;
pub mod inherited;
pub mod killtree;
pub mod limits;
pub mod memory;
pub mod mounts;
pub mod ownership;
pub mod paths;
pub mod poll;
pub mod procfs;
pub mod projects;
pub mod remove;
pub mod seccomp;
pub mod signals;
pub mod sockets;
pub mod spawn;
pub mod terminals;
pub mod users;
pub mod wait;

pub use exit::Exit;
pub use rustix::process::{Pid, Signal};

/// Fills `buffer` from the kernel's source of randomness.
pub fn random(buffer: &mut [u8]) -> std::io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        // SAFETY: the pointer and the length are those of the part of `buffer` not filled yet.
        let got = unsafe { libc::getrandom(buffer[filled..].as_mut_ptr().cast(), buffer.len() - filled, 0) };
        match usize::try_from(got) {
            Ok(got) => filled += got,
            Err(_) => {
                let error = std::io::Error::last_os_error();
                if error.kind() != std::io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}
