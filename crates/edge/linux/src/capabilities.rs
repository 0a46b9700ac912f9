//! Capabilities of processes, as sets of the kernel's numbers. It must not know their names in the protobuf.

use std::fs;
use std::io;

use rustix::thread::CapabilitySet as Kernel;

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

    /// Those of the calling thread, without /proc.
    pub fn current() -> io::Result<Capabilities> {
        let sets = rustix::thread::capabilities(None)?;
        let set = |set: Kernel| CapabilitySet(set.bits());
        // Those that the kernel does not know are in no set.
        let is_bounding =
            |number: &u8| ask(libc::PR_CAPBSET_READ, (*number).into(), 0).is_ok_and(|is| is == 1);
        Ok(Capabilities {
            effective: set(sets.effective),
            permitted: set(sets.permitted),
            inheritable: set(sets.inheritable),
            bounding: (0..64).filter(is_bounding).collect(),
            ambient: (0..64).filter(|number| is_ambient(*number)).collect(),
        })
    }

    /// Sets the effective, permitted and inheritable sets of the calling thread. The others have calls of their own.
    pub fn set(&self) -> io::Result<()> {
        let set = |set: CapabilitySet| Kernel::from_bits_retain(set.0);
        let sets = rustix::thread::CapabilitySets {
            effective: set(self.effective),
            permitted: set(self.permitted),
            inheritable: set(self.inheritable),
        };
        Ok(rustix::thread::set_capabilities(None, sets)?)
    }
}

/// Takes a capability out of the bounding set of the calling thread, for good. One that the kernel does not know is not in it.
pub fn drop_bounding(number: u8) -> io::Result<()> {
    match ask(libc::PR_CAPBSET_READ, number.into(), 0) {
        Ok(1) => ask(libc::PR_CAPBSET_DROP, number.into(), 0).map(drop),
        _ => Ok(()),
    }
}

/// Makes a capability, which has to be permitted and inheritable, survive exec. A kernel before 4.3 cannot, and that is no error.
pub fn raise_ambient(number: u8) -> io::Result<()> {
    let raise = libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong;
    let is_old = || ask(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_IS_SET as libc::c_ulong, 0).is_err();
    match ask(libc::PR_CAP_AMBIENT, raise, number.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && is_old() => Ok(()),
        answer => answer.map(drop),
    }
}

fn is_ambient(number: u8) -> bool {
    let is_set = libc::PR_CAP_AMBIENT_IS_SET as libc::c_ulong;
    ask(libc::PR_CAP_AMBIENT, is_set, number.into()).is_ok_and(|answer| answer == 1)
}

fn ask(what: libc::c_int, first: libc::c_ulong, second: libc::c_ulong) -> io::Result<i32> {
    let none: libc::c_ulong = 0;
    // SAFETY: numbers only.
    let answer = unsafe { libc::prctl(what, first, second, none, none) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
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
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(Capabilities::current().unwrap(), Capabilities::of(me).unwrap());
    }
}
