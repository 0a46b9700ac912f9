//! Which devices the processes of a group may use: lines in `devices.allow` in version 1, a program that the kernel asks in
//! version 2.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::GroupError;
use super::group::Group;
use super::hierarchies::Version;

/// A device or many, and what may be done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    pub block: bool,
    /// None: any.
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub read: bool,
    pub write: bool,
    /// To make device files of it.
    pub make: bool,
}

/// As in `devices.allow`: `c 1:3 rwm`.
impl fmt::Display for DeviceRule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number =
            |number: Option<u32>| number.map_or_else(|| "*".to_string(), |number| number.to_string());
        let kind = if self.block { 'b' } else { 'c' };
        write!(out, "{kind} {}:{} ", number(self.major), number(self.minor))?;
        let letters = [(self.read, "r"), (self.write, "w"), (self.make, "m")];
        letters.iter().filter(|(given, _)| *given).try_for_each(|(_, letter)| out.write_str(letter))
    }
}

impl DeviceRule {
    fn parse(line: &str) -> Option<DeviceRule> {
        let [kind, numbers, access] = line.split_ascii_whitespace().collect::<Vec<_>>().try_into().ok()?;
        let (major, minor) = numbers.split_once(':')?;
        let number = |text: &str| if text == "*" { Some(None) } else { text.parse().ok().map(Some) };
        let block = match kind {
            "b" => true,
            // All devices stand as one line of their own, without a word of block devices.
            "c" | "a" => false,
            _ => return None,
        };
        let may = |letter| access.contains(letter);
        let (read, write, make) = (may('r'), may('w'), may('m'));
        Some(DeviceRule { block, major: number(major)?, minor: number(minor)?, read, write, make })
    }
}

impl Group {
    /// From now on its processes may use these devices alone.
    pub fn allow_devices(&self, rules: &[DeviceRule]) -> Result<(), GroupError> {
        match self.version() {
            Version::V1 => {
                // A new group has what the one above it has; only from nothing is it known what it has.
                self.write("devices.deny", "a *:* rwm")?;
                rules.iter().try_for_each(|rule| self.write("devices.allow", &rule.to_string()))
            }
            Version::V2 => {
                attach(self, rules).map_err(|source| GroupError::Devices { path: self.path().into(), source })
            }
        }
    }

    /// Its processes may use `added` as well, and `removed` no more; `all` is what they may use then. What goes on may be used
    /// all the while.
    pub fn change_devices(
        &self,
        all: &[DeviceRule],
        added: &[DeviceRule],
        removed: &[DeviceRule],
    ) -> Result<(), GroupError> {
        match self.version() {
            Version::V1 => {
                added.iter().try_for_each(|rule| self.write("devices.allow", &rule.to_string()))?;
                removed.iter().try_for_each(|rule| self.write("devices.deny", &rule.to_string()))
            }
            Version::V2 => self.allow_devices(all),
        }
    }

    /// What its processes may use. Version 1 alone tells.
    pub fn devices(&self) -> Result<Vec<DeviceRule>, GroupError> {
        let text = self.read("devices.list")?;
        let all: Option<Vec<DeviceRule>> = text.lines().map(DeviceRule::parse).collect();
        all.ok_or_else(|| GroupError::Form { path: self.file("devices.list"), text })
    }
}

/// One instruction of the kernel's virtual machine (`struct bpf_insn`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    /// The register that is written in the lower half, the one that is read in the upper.
    registers: u8,
    offset: i16,
    value: i32,
}

const LOAD_WORD: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const MOVE: u8 = 0xb4;
const MOVE_REGISTER: u8 = 0xbc;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

/// The registers of the program below.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// As the kernel tells them (`BPF_DEVCG_…`).
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;
const MAKE_ACCESS: i32 = 1;
const READ_ACCESS: i32 = 2;
const WRITE_ACCESS: i32 = 4;
const ALL_ACCESS: i32 = MAKE_ACCESS | READ_ACCESS | WRITE_ACCESS;

fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> Instruction {
    Instruction { code, registers: to | from << 4, offset, value }
}

/// Answers 1 to what a rule allows, and 0 to all else.
fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut program = vec![
        // struct bpf_cgroup_dev_ctx: access in the upper half of the first word, the kind in the lower; major; minor.
        instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
        instruction(MOVE_REGISTER, ACCESS, KIND, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for rule in rules {
        let mut tests = vec![(KIND, if rule.block { BLOCK } else { CHARACTER })];
        tests.extend(rule.major.map(|major| (MAJOR, major.cast_signed())));
        tests.extend(rule.minor.map(|minor| (MINOR, minor.cast_signed())));
        let mut access = 0;
        for (given, bit) in [(rule.read, READ_ACCESS), (rule.write, WRITE_ACCESS), (rule.make, MAKE_ACCESS)] {
            access |= if given { bit } else { 0 };
        }
        let denied = ALL_ACCESS & !access;
        // What follows the tests: the answer, and for the access two more before its own test.
        let mut left = tests.len() + if denied == 0 { 0 } else { 3 } + 2;
        let mut next = |used: usize| {
            left -= used;
            i16::try_from(left).unwrap_or(i16::MAX)
        };
        for (register, value) in tests {
            program.push(instruction(JUMP_UNLESS_EQUAL, register, 0, next(1), value));
        }
        if denied != 0 {
            program.push(instruction(MOVE_REGISTER, ANSWER, ACCESS, 0, 0));
            program.push(instruction(AND, ANSWER, 0, 0, denied));
            program.push(instruction(JUMP_UNLESS_EQUAL, ANSWER, 0, next(3), 0));
        }
        program.push(instruction(MOVE, ANSWER, 0, 0, 1));
        program.push(instruction(EXIT, 0, 0, 0, 0));
    }
    program.push(instruction(MOVE, ANSWER, 0, 0, 0));
    program.push(instruction(EXIT, 0, 0, 0, 0));
    program
}

/// `BPF_PROG_LOAD` of bpf(2), as far as it is needed.
#[repr(C)]
struct Load {
    kind: u32,
    length: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// `BPF_PROG_ATTACH` and `BPF_PROG_DETACH` of bpf(2), as far as they are needed.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// `BPF_PROG_QUERY` of bpf(2), as far as it is needed.
#[repr(C)]
struct Query {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    numbers: u64,
    count: u32,
    padding: u32,
}

/// `BPF_PROG_GET_FD_BY_ID` of bpf(2).
#[repr(C)]
struct Open {
    number: u32,
    next: u32,
    flags: u32,
}

const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const PROG_DETACH: libc::c_long = 9;
const PROG_OPEN: libc::c_long = 13;
const PROG_QUERY: libc::c_long = 16;
const KIND_OF_PROGRAM: u32 = 15;
const KIND_OF_ATTACHMENT: u32 = 6;
/// Groups below may have their own, and then all are asked.
const ALLOW_MULTI: u32 = 2;
/// As many as the kernel lets a group have.
const MOST_PROGRAMS: usize = 64;

/// One call of bpf(2).
///
/// # Safety
///
/// `attributes` is what the kernel wants for `command`, and what it points to lives through the call.
unsafe fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: the structure is of the size that is said, and the caller vouches for what is in it.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { i32::try_from(answer).map_err(io::Error::other) }
}

/// The program takes the place of what the group had, and stays with it until that is removed.
fn attach(group: &Group, rules: &[DeviceRule]) -> io::Result<()> {
    let directory = File::open(group.path())?;
    let before = attached(&directory)?;
    let loaded = load(&program(rules))?;
    // Until the last line of this both are asked, and only what both allow is allowed.
    change(PROG_ATTACH, &directory, &loaded)?;
    before.iter().try_for_each(|program| change(PROG_DETACH, &directory, program))
}

fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let mut load = Load {
        kind: KIND_OF_PROGRAM,
        length: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: it points to the instructions, as many as it says, and to a string, which live until the call is over.
    let number = unsafe { bpf(PROG_LOAD, &mut load) }?;
    // SAFETY: the call above made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Attaches a program, or detaches it.
fn change(command: libc::c_long, directory: &File, program: &OwnedFd) -> io::Result<()> {
    let flags = if command == PROG_ATTACH { ALLOW_MULTI } else { 0 };
    let mut change = Attach {
        target: directory.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        kind: KIND_OF_ATTACHMENT,
        flags,
    };
    // SAFETY: it names two open descriptors, and points to nothing.
    unsafe { bpf(command, &mut change) }.map(|_| ())
}

/// The programs that are asked of this group in particular.
fn attached(directory: &File) -> io::Result<Vec<OwnedFd>> {
    let mut numbers = [0u32; MOST_PROGRAMS];
    let mut query = Query {
        target: directory.as_raw_fd().cast_unsigned(),
        kind: KIND_OF_ATTACHMENT,
        query_flags: 0,
        attach_flags: 0,
        numbers: numbers.as_mut_ptr() as u64,
        count: u32::try_from(MOST_PROGRAMS).map_err(io::Error::other)?,
        padding: 0,
    };
    // SAFETY: it points to as many numbers as it says, which live until the call is over.
    unsafe { bpf(PROG_QUERY, &mut query) }?;
    let count = usize::try_from(query.count).map_err(io::Error::other)?;
    let open = |number: &u32| {
        let mut open = Open { number: *number, next: 0, flags: 0 };
        // SAFETY: it points to nothing.
        let number = unsafe { bpf(PROG_OPEN, &mut open) }?;
        // SAFETY: the call above made this descriptor, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    };
    numbers.iter().take(count).map(open).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NULL: DeviceRule =
        DeviceRule { block: false, major: Some(1), minor: Some(3), read: true, write: false, make: false };
    const MAKE_ANY: DeviceRule =
        DeviceRule { block: true, major: None, minor: None, read: false, write: false, make: true };

    /// What the kernel's machine would answer.
    fn run(program: &[Instruction], kind: i32, access: i32, major: u32, minor: u32) -> u32 {
        let context = [(access << 16 | kind).cast_unsigned(), major, minor];
        let mut registers = [0u32; 6];
        let mut at = 0usize;
        loop {
            let step = program[at];
            let (to, from) = (usize::from(step.registers & 0xf), usize::from(step.registers >> 4));
            let value = step.value.cast_unsigned();
            at += 1;
            match step.code {
                LOAD_WORD => registers[to] = context[usize::try_from(step.offset).unwrap() / 4],
                MOVE_REGISTER => registers[to] = registers[from],
                MOVE => registers[to] = value,
                AND => registers[to] &= value,
                SHIFT_RIGHT => registers[to] >>= value,
                JUMP_UNLESS_EQUAL if registers[to] != value => at += usize::try_from(step.offset).unwrap(),
                JUMP_UNLESS_EQUAL => {}
                EXIT => return registers[0],
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn rules_are_written_as_version_1_reads_them() {
        assert_eq!((NULL.to_string(), MAKE_ANY.to_string()), ("c 1:3 r".into(), "b *:* m".into()));
        assert_eq!(DeviceRule { write: true, make: true, ..NULL }.to_string(), "c 1:3 rwm");
    }

    #[test]
    fn what_version_1_writes_is_read() {
        for line in ["c 1:3 rwm", "b *:* m", "c 136:* rw", "b 8:0 r"] {
            assert_eq!(DeviceRule::parse(line).unwrap().to_string(), line);
        }
        assert_eq!(DeviceRule::parse("a *:* rwm").unwrap().major, None);
        for wrong in ["", "c 1:3", "c 1 rwm", "x 1:3 rwm", "c one:3 rwm", "c 1:3 rwm more"] {
            assert_eq!(DeviceRule::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_program_answers_as_the_rules_say() {
        let full = DeviceRule { minor: Some(5), write: true, make: true, ..NULL };
        let program = program(&[NULL, MAKE_ANY, full]);
        let answer = |kind, access, major, minor| run(&program, kind, access, major, minor);
        assert_eq!(answer(CHARACTER, READ_ACCESS, 1, 3), 1);
        assert_eq!(answer(CHARACTER, READ_ACCESS | WRITE_ACCESS, 1, 3), 0);
        assert_eq!(answer(BLOCK, READ_ACCESS, 1, 3), 0);
        assert_eq!(answer(CHARACTER, READ_ACCESS, 1, 4), 0);
        assert_eq!(answer(BLOCK, MAKE_ACCESS, 8, 0), 1);
        assert_eq!(answer(BLOCK, READ_ACCESS, 8, 0), 0);
        assert_eq!(answer(CHARACTER, ALL_ACCESS, 1, 5), 1);
    }
}
