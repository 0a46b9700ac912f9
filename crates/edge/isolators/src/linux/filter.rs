//! Seccomp profiles, from the protobuf to the rules that filters are compiled from.

use messor_linux::capabilities::CapabilitySet;
use messor_linux::seccomp::{self, Action, Architecture, Argument, Operator, Profile, Rule, SeccompError};
use messor_proto::mesos::seccomp::ContainerSeccompProfile;
use messor_proto::mesos::seccomp::container_seccomp_profile::{self as parts, Syscall, syscall};

/// The error number of what a profile forbids, as it cannot say another one: EPERM.
const FORBIDDEN: u16 = 1;
/// What numbers of capabilities begin with in the protobuf.
const FIRST_CAPABILITY: i32 = 1000;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{field}' has an unknown value: {value}")]
pub struct SeccompProfileError {
    field: &'static str,
    value: i64,
}

fn unknown(field: &'static str, value: impl Into<i64>) -> SeccompProfileError {
    SeccompProfileError { field, value: value.into() }
}

pub fn seccomp_profile(profile: &ContainerSeccompProfile) -> Result<Profile, SeccompProfileError> {
    Ok(Profile {
        default: action(profile.default_action, "default_action")?,
        architectures: profile.architectures.iter().copied().filter_map(architecture).collect(),
        rules: profile.syscalls.iter().map(rule).collect::<Result<_, _>>()?,
    })
}

/// Compiles all rules, those too that are left out in some containers: what is wrong with a profile is to be known before the
/// first container that has it.
pub(crate) fn try_out(profile: &ContainerSeccompProfile) -> Result<(), String> {
    let mut profile = seccomp_profile(profile).map_err(|error| error.to_string())?;
    for rule in &mut profile.rules {
        (rule.only_with, rule.not_with) = (CapabilitySet::NONE, CapabilitySet::NONE);
    }
    let compiled = seccomp::compile(&profile, CapabilitySet::NONE);
    compiled.map(drop).map_err(|error: SeccompError| error.to_string())
}

/// Others cannot occur on the processors that filters are made for.
fn architecture(value: i32) -> Option<Architecture> {
    Some(match parts::Architecture::try_from(value).ok()? {
        parts::Architecture::ArchX86 => Architecture::X86,
        parts::Architecture::ArchX8664 => Architecture::X86_64,
        parts::Architecture::ArchX32 => Architecture::X32,
        parts::Architecture::ArchArm => Architecture::Arm,
        parts::Architecture::ArchAarch64 => Architecture::Aarch64,
        _ => return None,
    })
}

fn action(value: i32, field: &'static str) -> Result<Action, SeccompProfileError> {
    Ok(match syscall::Action::try_from(value) {
        Ok(syscall::Action::ActAllow) => Action::Allow,
        Ok(syscall::Action::ActErrno) => Action::Errno(FORBIDDEN),
        Ok(syscall::Action::ActKill) => Action::Kill,
        Ok(syscall::Action::ActTrap) => Action::Trap,
        Ok(syscall::Action::ActTrace) => Action::Trace(FORBIDDEN),
        _ => return Err(unknown(field, value)),
    })
}

fn rule(call: &Syscall) -> Result<Rule, SeccompProfileError> {
    let set = |filter: Option<&syscall::Filter>, field| match filter {
        Some(filter) => capabilities(&filter.capabilities, field),
        None => Ok(CapabilitySet::NONE),
    };
    Ok(Rule {
        names: call.names.clone(),
        action: action(call.action, "syscalls.action")?,
        arguments: call.args.iter().map(argument).collect::<Result<_, _>>()?,
        only_with: set(call.includes.as_ref(), "syscalls.includes.capabilities")?,
        not_with: set(call.excludes.as_ref(), "syscalls.excludes.capabilities")?,
    })
}

fn capabilities(values: &[i32], field: &'static str) -> Result<CapabilitySet, SeccompProfileError> {
    let number = |value: &i32| {
        let number = value.checked_sub(FIRST_CAPABILITY).and_then(|number| u8::try_from(number).ok());
        number.filter(|number| *number < 64).ok_or_else(|| unknown(field, *value))
    };
    values.iter().map(number).collect()
}

fn argument(argument: &syscall::Arg) -> Result<Argument, SeccompProfileError> {
    use syscall::arg::Operator as Found;
    let operator = match Found::try_from(argument.op) {
        Ok(Found::CmpNe) => Operator::NotEqual,
        Ok(Found::CmpLt) => Operator::Less,
        Ok(Found::CmpLe) => Operator::LessOrEqual,
        Ok(Found::CmpEq) => Operator::Equal,
        Ok(Found::CmpGe) => Operator::GreaterOrEqual,
        Ok(Found::CmpGt) => Operator::Greater,
        Ok(Found::CmpMaskedEq) => Operator::MaskedEqual,
        _ => return Err(unknown("syscalls.args.op", argument.op)),
    };
    let index = u8::try_from(argument.index).map_err(|_| unknown("syscalls.args.index", argument.index))?;
    Ok(Argument { index, operator, value: argument.value, second: argument.value_two })
}
