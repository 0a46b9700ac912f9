//! Filters of system calls, from rules by name to programs of the kernel. What is allowed is the caller's matter.
//!
//! seccompiler makes the instructions. Its filters know one action besides that of what matches nothing; so a profile
//! becomes one program for what it allows, and one for each other action, of which the kernel takes the strictest answer.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use crate::capabilities::CapabilitySet;
use crate::container::Seccomp;

/// What happens to a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Allow,
    /// It fails with this error number.
    Errno(u16),
    /// A tracer is asked with this number; where there is none, it fails with ENOSYS.
    Trace(u16),
    /// SIGSYS.
    Trap,
    /// The end of the thread.
    Kill,
}

/// Kinds of system calls that the processors of this host may have besides their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    X86,
    X86_64,
    X32,
    Arm,
    Aarch64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    /// The argument with only the bits of `value` is `second`.
    MaskedEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    /// From 0 to 5.
    pub index: u8,
    pub operator: Operator,
    pub value: u64,
    pub second: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub names: Vec<String>,
    pub action: Action,
    /// All must be true.
    pub arguments: Vec<Argument>,
    /// The rule is there only where all of these are in the bounding set...
    pub only_with: CapabilitySet,
    /// ...and none of these.
    pub not_with: CapabilitySet,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// For what no rule speaks of.
    pub default: Action,
    /// Besides that of this program, which is always among them. Calls of all others end the process.
    pub architectures: Vec<Architecture>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeccompError {
    #[error("'{0}' is not the name of a system call")]
    Name(String),
    #[error("the argument index {0} of a rule for '{1}' is above 5")]
    Index(u8, String),
    #[error("seccomp filters cannot be made for this processor")]
    Processor,
    #[error("the seccomp profile cannot be compiled: {0}")]
    Compile(String),
}

/// Bit of x32 system calls in their number.
const X32: i64 = 0x4000_0000;

/// What stands in `seccomp_data.arch`.
const AUDIT_X86: u32 = 0x4000_0003;
const AUDIT_X86_64: u32 = 0xc000_003e;
const AUDIT_ARM: u32 = 0x4000_0028;
const AUDIT_AARCH64: u32 = 0xc000_00b7;

/// Compiles a profile for a process with this bounding set.
pub fn compile(profile: &Profile, bounding: CapabilitySet) -> Result<Seccomp, SeccompError> {
    let rules: Vec<&Rule> = profile
        .rules
        .iter()
        .filter(|rule| {
            rule.only_with.is_subset(bounding) && rule.not_with.and(bounding) == CapabilitySet::NONE
        })
        .collect();
    let tables = Table::all(&profile.architectures)?;
    let mut programs = vec![only_these(&tables)];
    for table in &tables {
        // First what is allowed at all: what no rule speaks of is answered here.
        if profile.default != Action::Allow {
            let spoken_of = rules.iter().filter(|rule| rule.action != profile.default);
            programs.extend(program(table, spoken_of, profile.default, Action::Allow)?);
        }
        let others: BTreeSet<Action> = rules.iter().map(|rule| rule.action).collect();
        for action in others {
            if action != Action::Allow && action != profile.default {
                let these = rules.iter().filter(|rule| rule.action == action);
                programs.extend(program(table, these, Action::Allow, action)?);
            }
        }
    }
    Ok(Seccomp { programs })
}

/// The numbers of system calls of one architecture.
struct Table {
    audit: u32,
    number: fn(&str) -> Option<i64>,
    with_x32: bool,
}

impl Table {
    /// Of this program's own architecture first, then of those asked for that its processor has as well.
    fn all(asked: &[Architecture]) -> Result<Vec<Table>, SeccompError> {
        let is_asked = |architecture| asked.contains(&architecture);
        let with_x32 = is_asked(Architecture::X32);
        let x86_64 = Table { audit: AUDIT_X86_64, number: number_x86_64, with_x32 };
        let x86 = Table { audit: AUDIT_X86, number: number_x86, with_x32: false };
        let aarch64 = Table { audit: AUDIT_AARCH64, number: number_aarch64, with_x32: false };
        let arm = Table { audit: AUDIT_ARM, number: number_arm, with_x32: false };
        Ok(match std::env::consts::ARCH {
            "x86_64" if is_asked(Architecture::X86) => vec![x86_64, x86],
            "x86_64" => vec![x86_64],
            "aarch64" if is_asked(Architecture::Arm) => vec![aarch64, arm],
            "aarch64" => vec![aarch64],
            _ => return Err(SeccompError::Processor),
        })
    }
}

fn number_x86_64(name: &str) -> Option<i64> {
    syscalls::x86_64::Sysno::from_str(name).ok().map(|found| i64::from(found.id()))
}

fn number_x86(name: &str) -> Option<i64> {
    syscalls::x86::Sysno::from_str(name).ok().map(|found| i64::from(found.id()))
}

fn number_aarch64(name: &str) -> Option<i64> {
    syscalls::aarch64::Sysno::from_str(name).ok().map(|found| i64::from(found.id()))
}

fn number_arm(name: &str) -> Option<i64> {
    syscalls::arm::Sysno::from_str(name).ok().map(|found| i64::from(found.id()))
}

/// Whether there is such a system call anywhere: profiles name those of all architectures.
pub fn is_known(name: &str) -> bool {
    // Families of calls that the kernel has on none of these four, and those that libseccomp knows beside the kernel's names.
    const ELSEWHERE: [&str; 12] = [
        "breakpoint",
        "cacheflush",
        "cachectl",
        "set_tls",
        "get_tls",
        "sync_file_range2",
        "spu_create",
        "spu_run",
        "subpage_prot",
        "swapcontext",
        "switch_endian",
        "s390_pci_mmio_read",
    ];
    let all = [number_x86_64, number_x86, number_aarch64, number_arm];
    all.iter().any(|number| number(name).is_some())
        || ELSEWHERE.contains(&name)
        || ["s390_", "riscv_", "sys_debug_", "mips_", "osf_", "sparc_"]
            .iter()
            .any(|start| name.starts_with(start))
}

/// One program; none where it would say nothing.
fn program<'a>(
    table: &Table,
    rules: impl Iterator<Item = &'a &'a Rule>,
    others: Action,
    these: Action,
) -> Result<Option<Vec<u64>>, SeccompError> {
    let mut chosen: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    // A call that one rule speaks of without conditions needs no other rule.
    let mut always: BTreeSet<i64> = BTreeSet::new();
    for rule in rules {
        for name in &rule.names {
            let Some(number) = (table.number)(name) else {
                if is_known(name) {
                    continue;
                }
                return Err(SeccompError::Name(name.clone()));
            };
            let numbers = [Some(number), table.with_x32.then_some(number | X32)];
            for number in numbers.into_iter().flatten() {
                if rule.arguments.is_empty() {
                    always.insert(number);
                    chosen.insert(number, Vec::new());
                } else if !always.contains(&number) {
                    chosen.entry(number).or_default().push(conditions(&rule.arguments, name)?);
                }
            }
        }
    }
    if chosen.is_empty() && others == Action::Allow {
        return Ok(None);
    }
    let failed = |error: seccompiler::BackendError| SeccompError::Compile(error.to_string());
    // Any of its targets will do: what is of it in the program is replaced below.
    let filter = SeccompFilter::new(chosen, action(others), action(these), TargetArch::x86_64);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(failed)?;
    Ok(Some(for_architecture(program, table.audit)?))
}

fn conditions(arguments: &[Argument], name: &str) -> Result<SeccompRule, SeccompError> {
    let failed = |error: seccompiler::BackendError| SeccompError::Compile(error.to_string());
    let mut conditions = Vec::with_capacity(arguments.len());
    for argument in arguments {
        if argument.index > 5 {
            return Err(SeccompError::Index(argument.index, name.to_owned()));
        }
        let (operator, value) = match argument.operator {
            Operator::NotEqual => (SeccompCmpOp::Ne, argument.value),
            Operator::Less => (SeccompCmpOp::Lt, argument.value),
            Operator::LessOrEqual => (SeccompCmpOp::Le, argument.value),
            Operator::Equal => (SeccompCmpOp::Eq, argument.value),
            Operator::GreaterOrEqual => (SeccompCmpOp::Ge, argument.value),
            Operator::Greater => (SeccompCmpOp::Gt, argument.value),
            Operator::MaskedEqual => (SeccompCmpOp::MaskedEq(argument.value), argument.second),
        };
        let condition = SeccompCondition::new(argument.index, SeccompCmpArgLen::Qword, operator, value);
        conditions.push(condition.map_err(failed)?);
    }
    SeccompRule::new(conditions).map_err(failed)
}

fn action(action: Action) -> SeccompAction {
    match action {
        Action::Allow => SeccompAction::Allow,
        Action::Errno(number) => SeccompAction::Errno(number.into()),
        Action::Trace(number) => SeccompAction::Trace(number.into()),
        Action::Trap => SeccompAction::Trap,
        Action::Kill => SeccompAction::KillThread,
    }
}

/// Codes of instructions.
const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_ABOVE: u16 = 0x35;
const RETURN: u16 = 0x06;
/// Answers of programs.
const ALLOW: u32 = 0x7fff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
/// Where things are in `seccomp_data`.
const NUMBER: u32 = 0;
const AUDIT: u32 = 4;

/// seccompiler's programs begin with a look at the architecture, and end the process where it is another one. Here another
/// program speaks of that one.
fn for_architecture(program: BpfProgram, audit: u32) -> Result<Vec<u64>, SeccompError> {
    let mut words: Vec<u64> = program.iter().map(|one| word(one.code, one.jt, one.jf, one.k)).collect();
    let begins =
        [word(LOAD, 0, 0, AUDIT), word(JUMP_EQUAL, 1, 0, AUDIT_X86_64), word(RETURN, 0, 0, KILL_PROCESS)];
    if words.get(..3) != Some(&begins) {
        return Err(SeccompError::Compile("the compiler begins its programs in an unknown way".into()));
    }
    words[1] = word(JUMP_EQUAL, 1, 0, audit);
    words[2] = word(RETURN, 0, 0, ALLOW);
    Ok(words)
}

/// Ends a process that makes a call of an architecture that none of the other programs speaks of.
fn only_these(tables: &[Table]) -> Vec<u64> {
    let mut words = vec![word(LOAD, 0, 0, AUDIT)];
    for table in tables {
        // To the part after the list.
        if table.audit == AUDIT_X86_64 && !table.with_x32 {
            words.extend([
                word(JUMP_EQUAL, 0, 4, table.audit),
                word(LOAD, 0, 0, NUMBER),
                word(JUMP_ABOVE, 1, 0, X32 as u32),
                word(RETURN, 0, 0, ALLOW),
                word(RETURN, 0, 0, KILL_PROCESS),
            ]);
        } else {
            words.extend([word(JUMP_EQUAL, 0, 1, table.audit), word(RETURN, 0, 0, ALLOW)]);
        }
    }
    words.push(word(RETURN, 0, 0, KILL_PROCESS));
    words
}

fn word(code: u16, jt: u8, jf: u8, k: u32) -> u64 {
    let [a, b] = code.to_ne_bytes();
    let [c, d, e, f] = k.to_ne_bytes();
    u64::from_ne_bytes([a, b, jt, jf, c, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(names: &[&str], action: Action) -> Rule {
        Rule {
            names: names.iter().map(ToString::to_string).collect(),
            action,
            arguments: Vec::new(),
            only_with: CapabilitySet::NONE,
            not_with: CapabilitySet::NONE,
        }
    }

    /// What a program answers, as the kernel would find it.
    fn answer(program: &[u64], number: u32, audit: u32, arguments: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend(number.to_ne_bytes());
        data.extend(audit.to_ne_bytes());
        data.extend(0u64.to_ne_bytes());
        data.extend(arguments.iter().flat_map(|argument| argument.to_ne_bytes()));
        let (mut accumulator, mut at) = (0u32, 0);
        loop {
            let [a, b, jt, jf, k @ ..] = program[at].to_ne_bytes();
            let (code, k) = (u16::from_ne_bytes([a, b]), u32::from_ne_bytes(k));
            at += 1;
            let mut jump = |is_so: bool| at += usize::from(if is_so { jt } else { jf });
            match code {
                LOAD => {
                    let from = k as usize;
                    accumulator = u32::from_ne_bytes(data[from..from + 4].try_into().unwrap());
                }
                RETURN => return k,
                0x05 => at += k as usize,
                JUMP_EQUAL => jump(accumulator == k),
                0x25 => jump(accumulator > k),
                JUMP_ABOVE => jump(accumulator >= k),
                0x54 => accumulator &= k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    /// The strictest of all.
    fn verdict(seccomp: &Seccomp, number: u32, audit: u32, arguments: [u64; 6]) -> u32 {
        let order = |answer: &u32| match answer & 0xffff_0000 {
            KILL_PROCESS => 0,
            0 => 1,
            0x0003_0000 => 2,
            0x0005_0000 => 3,
            0x7ff0_0000 => 4,
            ALLOW => 5,
            other => panic!("{other:#x}"),
        };
        let answers = seccomp.programs.iter().map(|program| answer(program, number, audit, arguments));
        answers.min_by_key(order).unwrap()
    }

    const NONE: [u64; 6] = [0; 6];
    const EPERM: u32 = 0x0005_0001;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn rules_by_name_become_verdicts() {
        let masked = Argument { index: 0, operator: Operator::MaskedEqual, value: 0x7e02_0000, second: 0 };
        let mut clone = rule(&["clone"], Action::Allow);
        clone.arguments = vec![masked];
        let mut with = rule(&["mount"], Action::Allow);
        with.only_with = CapabilitySet::NONE.with(21);
        let mut without = rule(&["chroot"], Action::Allow);
        without.not_with = CapabilitySet::NONE.with(21);
        let rules = vec![
            rule(&["read", "write", "socketcall", "s390_runtime_instr"], Action::Allow),
            rule(&["ptrace"], Action::Kill),
            rule(&["bpf"], Action::Trap),
            rule(&["acct"], Action::Trace(7)),
            clone,
            with,
            without,
        ];
        let architectures = vec![Architecture::X86_64, Architecture::X86];
        let profile = Profile { default: Action::Errno(1), architectures, rules };
        let compiled = compile(&profile, CapabilitySet::NONE).unwrap();
        let own = |number, arguments| verdict(&compiled, number, AUDIT_X86_64, arguments);
        assert_eq!((own(0, NONE), own(1, NONE)), (ALLOW, ALLOW));
        assert_eq!(
            (own(2, NONE), own(165, NONE), own(161, NONE)),
            (EPERM, EPERM, ALLOW),
            "open, mount, chroot"
        );
        assert_eq!((own(101, NONE), own(321, NONE), own(163, NONE)), (0, 0x0003_0000, 0x7ff0_0007));
        assert_eq!(own(56, [0x11, 0, 0, 0, 0, 0]), ALLOW, "fork");
        assert_eq!(own(56, [0x2000_0000, 0, 0, 0, 0, 0]), EPERM, "a new pid namespace");
        assert_eq!(own(X32 as u32, NONE), KILL_PROCESS, "x32 was not asked for");
        // The calls of i386 have numbers of their own.
        assert_eq!(verdict(&compiled, 3, AUDIT_X86, NONE), ALLOW);
        assert_eq!(verdict(&compiled, 102, AUDIT_X86, NONE), ALLOW, "socketcall");
        assert_eq!(verdict(&compiled, 0, AUDIT_X86, NONE), EPERM);
        assert_eq!(verdict(&compiled, 0, AUDIT_AARCH64, NONE), KILL_PROCESS);
        let privileged = compile(&profile, CapabilitySet::NONE.with(21)).unwrap();
        assert_eq!(verdict(&privileged, 165, AUDIT_X86_64, NONE), ALLOW);
        assert_eq!(verdict(&privileged, 161, AUDIT_X86_64, NONE), EPERM);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_is_allowed_by_default_can_be_forbidden() {
        let rules = vec![rule(&["mkdir"], Action::Errno(13)), rule(&["read"], Action::Allow)];
        let profile = Profile { default: Action::Allow, architectures: vec![Architecture::X32], rules };
        let compiled = compile(&profile, CapabilitySet::NONE).unwrap();
        assert_eq!(verdict(&compiled, 83, AUDIT_X86_64, NONE), 0x0005_000d);
        assert_eq!(verdict(&compiled, 83 | X32 as u32, AUDIT_X86_64, NONE), 0x0005_000d);
        assert_eq!(verdict(&compiled, 0, AUDIT_X86_64, NONE), ALLOW);
        assert_eq!(verdict(&compiled, 3, AUDIT_X86, NONE), KILL_PROCESS, "not asked for");
    }

    #[test]
    fn each_operator_compares() {
        let holds = |operator, value, second, found| {
            let mut one = rule(&["read"], Action::Allow);
            one.arguments = vec![Argument { index: 1, operator, value, second }];
            let profile = Profile { default: Action::Errno(1), architectures: Vec::new(), rules: vec![one] };
            let compiled = compile(&profile, CapabilitySet::NONE).unwrap();
            let table = &Table::all(&[]).unwrap()[0];
            let number = (table.number)("read").unwrap() as u32;
            verdict(&compiled, number, table.audit, [0, found, 0, 0, 0, 0]) == ALLOW
        };
        let large = 1 << 40;
        for (operator, less, equal, greater) in [
            (Operator::Less, true, false, false),
            (Operator::LessOrEqual, true, true, false),
            (Operator::Equal, false, true, false),
            (Operator::GreaterOrEqual, false, true, true),
            (Operator::Greater, false, false, true),
            (Operator::NotEqual, true, false, true),
        ] {
            let found = [large - 1, large, large + 1].map(|found| holds(operator, large, 0, found));
            assert_eq!(found, [less, equal, greater], "{operator:?}");
        }
        assert!(
            holds(Operator::MaskedEqual, 0xf0, 0x20, 0x12f)
                && !holds(Operator::MaskedEqual, 0xf0, 0x20, 0x13f)
        );
    }

    #[test]
    fn what_is_wrong_with_a_profile_is_said() {
        let profile = |rule| Profile { default: Action::Kill, architectures: Vec::new(), rules: vec![rule] };
        let error =
            compile(&profile(rule(&["no_such_call"], Action::Allow)), CapabilitySet::NONE).unwrap_err();
        assert_eq!(error.to_string(), "'no_such_call' is not the name of a system call");
        let mut sixth = rule(&["read"], Action::Allow);
        sixth.arguments = vec![Argument { index: 6, operator: Operator::Equal, value: 0, second: 0 }];
        let error = compile(&profile(sixth), CapabilitySet::NONE).unwrap_err();
        assert_eq!(error.to_string(), "the argument index 6 of a rule for 'read' is above 5");
    }
}
