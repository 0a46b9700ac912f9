//! Capabilities of processes, as sets of the kernel's numbers. It must not know their names in the protobuf.

use std::fs;
use std::io;

/// A set of capabilities: bit N is capability N of <linux/capability.h>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySet(u64);

impl CapabilitySet {
    pub const NONE: CapabilitySet = CapabilitySet(0);

    pub fn from_bits(bits: u64) -> CapabilitySet {
        CapabilitySet(bits)
    }

    pub fn bits(self) -> u64 {
        self.0
    }

    pub fn contains(self, number: u8) -> bool {
        number < 64 && self.0 >> number & 1 == 1
    }

    pub fn with(self, number: u8) -> CapabilitySet {
        if number < 64 { CapabilitySet(self.0 | 1 << number) } else { self }
    }

    pub fn is_subset(self, of: CapabilitySet) -> bool {
        self.0 & !of.0 == 0
    }

    pub fn and(self, other: CapabilitySet) -> CapabilitySet {
        CapabilitySet(self.0 & other.0)
    }

    /// All that the running kernel knows.
    pub fn known() -> io::Result<CapabilitySet> {
        let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap")?;
        let last: u32 = last.trim().parse().map_err(io::Error::other)?;
        Ok(CapabilitySet(u64::MAX >> 63u32.saturating_sub(last)))
    }
}

impl FromIterator<u8> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = u8>>(numbers: I) -> CapabilitySet {
        numbers.into_iter().fold(CapabilitySet::NONE, CapabilitySet::with)
    }
}

/// The five sets of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub effective: CapabilitySet,
    pub permitted: CapabilitySet,
    pub inheritable: CapabilitySet,
    pub bounding: CapabilitySet,
    pub ambient: CapabilitySet,
}

impl Capabilities {
    /// Those of a process (of its main thread).
    pub fn of(pid: i32) -> io::Result<Capabilities> {
        parse(&fs::read_to_string(format!("/proc/{pid}/status"))?)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no capabilities in /proc/PID/status"))
    }

    pub fn current() -> io::Result<Capabilities> {
        parse(&fs::read_to_string("/proc/thread-self/status")?)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no capabilities in /proc/PID/status"))
    }
}

fn parse(status: &str) -> Option<Capabilities> {
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(line.strip_prefix(':')?.trim(), 16).ok().map(CapabilitySet)
    };
    Some(Capabilities {
        effective: set("CapEff")?,
        permitted: set("CapPrm")?,
        inheritable: set("CapInh")?,
        bounding: set("CapBnd")?,
        // Kernels before 4.3 have none.
        ambient: set("CapAmb").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_bits() {
        let set: CapabilitySet = [0u8, 21, 40].into_iter().collect();
        assert_eq!(set.bits(), 1 | 1 << 21 | 1 << 40);
        assert!(set.contains(21) && !set.contains(22) && !set.contains(200));
        assert!(CapabilitySet::NONE.with(21).is_subset(set) && !set.with(1).is_subset(set));
        assert!(CapabilitySet::known().unwrap().contains(0) && !CapabilitySet::known().unwrap().contains(63));
    }

    #[test]
    fn the_status_of_a_process_has_them() {
        let text = "Name:\tx\nCapInh:\t0000000000000001\nCapPrm:\t000001fffeffffff\nCapEff:\t0000000000000003\n\
                    CapBnd:\t0000000000000004\nCapAmb:\t0000000000000005\n";
        let found = parse(text).unwrap();
        assert_eq!((found.inheritable.bits(), found.effective.bits(), found.ambient.bits()), (1, 3, 5));
        assert_eq!((found.permitted.bits(), found.bounding.bits()), (0x1ff_feff_ffff, 4));
        assert!(parse("Name: x").is_none());
        Capabilities::current().unwrap();
    }
}
