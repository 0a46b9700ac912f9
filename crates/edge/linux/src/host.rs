//! What the host is and has: memory, processors, load, disks, boot. It must not know what is offered of them.

use std::io;
use std::path::Path;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub total_bytes: u64,
    pub free_bytes: u64,
    pub available_bytes: u64,
    pub total_swap_bytes: u64,
    pub free_swap_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    pub one: f64,
    pub five: f64,
    pub fifteen: f64,
}

/// The space of the file system on which a path lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    pub total_bytes: u64,
    /// What an unprivileged user may still write.
    pub available_bytes: u64,
    pub free_bytes: u64,
}

impl Disk {
    /// How full it is, from 0 to 1, as df(1) sees it.
    pub fn used_fraction(&self) -> f64 {
        let used = self.total_bytes.saturating_sub(self.free_bytes) as f64;
        let usable = used + self.available_bytes as f64;
        if usable > 0.0 { used / usable } else { 0.0 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    pub name: String,
    pub hostname: String,
    pub release: String,
    pub version: String,
    pub machine: String,
}

pub fn memory() -> io::Result<Memory> {
    parse_memory(&std::fs::read_to_string("/proc/meminfo")?).ok_or_else(|| unknown("/proc/meminfo"))
}

pub fn load() -> io::Result<Load> {
    parse_load(&std::fs::read_to_string("/proc/loadavg")?).ok_or_else(|| unknown("/proc/loadavg"))
}

/// The processors that are online.
pub fn processors() -> u32 {
    // SAFETY: sysconf only reads a number.
    u32::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).unwrap_or(1).max(1)
}

/// The unit that the kernel counts processor time in.
pub fn ticks_per_second() -> u64 {
    // SAFETY: sysconf only reads a number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100).max(1)
}

/// A name of the present run of the kernel: another after each boot.
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_string())
}

/// The time since the boot, sleeps included.
pub fn uptime() -> io::Result<Duration> {
    let text = std::fs::read_to_string("/proc/uptime")?;
    let seconds = text.split_ascii_whitespace().next().and_then(|number| number.parse::<f64>().ok());
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| unknown("/proc/uptime"))
}

pub fn disk(path: &Path) -> io::Result<Disk> {
    let found = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Disk {
        total_bytes: bytes(found.f_blocks),
        available_bytes: bytes(found.f_bavail),
        free_bytes: bytes(found.f_bfree),
    })
}

pub fn kernel() -> Kernel {
    let found = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    Kernel {
        name: text(found.sysname()),
        hostname: text(found.nodename()),
        release: text(found.release()),
        version: text(found.version()),
        machine: text(found.machine()),
    }
}

fn unknown(file: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{file} has an unknown form"))
}

fn parse_memory(text: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    let free_bytes = bytes("MemFree")?;
    Some(Memory {
        total_bytes: bytes("MemTotal")?,
        free_bytes,
        available_bytes: bytes("MemAvailable").unwrap_or(free_bytes),
        total_swap_bytes: bytes("SwapTotal").unwrap_or(0),
        free_swap_bytes: bytes("SwapFree").unwrap_or(0),
    })
}

fn parse_load(text: &str) -> Option<Load> {
    let mut numbers = text.split_ascii_whitespace().map(|number| number.parse::<f64>().ok());
    Some(Load { one: numbers.next()??, five: numbers.next()??, fifteen: numbers.next()?? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_proc_are_read() {
        let text = "MemTotal:  16 kB\nMemFree:  4 kB\nMemAvailable: 8 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n";
        let memory = parse_memory(text).unwrap();
        assert_eq!((memory.total_bytes, memory.free_bytes, memory.available_bytes), (16384, 4096, 8192));
        assert_eq!(parse_memory("MemTotal: x kB\n"), None);
        assert_eq!(parse_load("0.50 1.25 2 1/100 7\n"), Some(Load { one: 0.5, five: 1.25, fifteen: 2.0 }));
        assert_eq!(parse_load("0.50\n"), None);
    }

    #[test]
    fn this_host_answers() {
        assert!(memory().unwrap().total_bytes > 0);
        assert!(load().unwrap().one >= 0.0);
        assert!(processors() > 0);
        assert_eq!(boot_id().unwrap().len(), 36);
        assert!(uptime().unwrap() > Duration::ZERO);
        let disk = disk(Path::new("/")).unwrap();
        assert!(disk.total_bytes >= disk.free_bytes && (0.0..=1.0).contains(&disk.used_fraction()));
        assert_eq!(kernel().name, "Linux");
    }
}
