//! Seccomp profiles, from Docker's JSON to the protobuf. Rules that are for other processors are left out here; those that
//! depend on capabilities are decided when the container starts, as only then its capabilities are known.

use jiter::JsonValue;
use messor_proto::WireEnum;
use messor_proto::mesos::capability_info::Capability;
use messor_proto::mesos::seccomp::ContainerSeccompProfile;
use messor_proto::mesos::seccomp::container_seccomp_profile::syscall::arg::Operator;
use messor_proto::mesos::seccomp::container_seccomp_profile::syscall::{Action, Arg, Filter};
use messor_proto::mesos::seccomp::container_seccomp_profile::{Architecture, Syscall};

/// What Docker calls processors in its rules.
const ARCHITECTURES: [(&str, Architecture); 15] = [
    ("x86", Architecture::ArchX86),
    ("amd64", Architecture::ArchX8664),
    ("x32", Architecture::ArchX32),
    ("arm", Architecture::ArchArm),
    ("arm64", Architecture::ArchAarch64),
    ("mips", Architecture::ArchMips),
    ("mipsel", Architecture::ArchMipsel),
    ("mips64", Architecture::ArchMips64),
    ("mipsel64", Architecture::ArchMipsel64),
    ("mips64n32", Architecture::ArchMips64n32),
    ("mipsel64n32", Architecture::ArchMipsel64n32),
    ("ppc", Architecture::ArchPpc),
    ("ppc64le", Architecture::ArchPpc64le),
    ("s390", Architecture::ArchS390),
    ("s390x", Architecture::ArchS390x),
];

fn native() -> Option<Architecture> {
    Some(match std::env::consts::ARCH {
        "x86_64" => Architecture::ArchX8664,
        "x86" => Architecture::ArchX86,
        "aarch64" => Architecture::ArchAarch64,
        "arm" => Architecture::ArchArm,
        "powerpc64" if cfg!(target_endian = "little") => Architecture::ArchPpc64le,
        "s390x" => Architecture::ArchS390x,
        _ => return None,
    })
}

/// The words say where in the profile it went wrong.
pub fn parse(text: &str) -> Result<ContainerSeccompProfile, String> {
    let json = JsonValue::parse(text.as_bytes(), false)
        .map_err(|error| format!("not JSON: {}", error.description(text.as_bytes())))?;
    let json = Place { name: String::new(), value: &json };
    let mut profile = ContainerSeccompProfile {
        default_action: action(&json.get("defaultAction")?)? as i32,
        ..ContainerSeccompProfile::default()
    };
    for entry in json.get("archMap")?.list()? {
        let architecture = architecture(&entry.get("architecture")?)?;
        if Some(architecture) == native() {
            for sub in entry.get("subArchitectures")?.list()? {
                profile.architectures.push(self::architecture(&sub)? as i32);
            }
            profile.architectures.push(architecture as i32);
        }
    }
    for entry in json.get("syscalls")?.list()? {
        profile.syscalls.extend(syscall(&entry)?);
    }
    Ok(profile)
}

/// None: the rule is for other processors.
fn syscall(entry: &Place<'_>) -> Result<Option<Syscall>, String> {
    let (includes, included) = filter(&entry.get("includes")?)?;
    let (excludes, excluded) = filter(&entry.get("excludes")?)?;
    if included == Some(false) || excluded == Some(true) {
        return Ok(None);
    }
    let names: Vec<String> = entry.get("names")?.list()?.iter().map(Place::text).collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Err(format!("{}.names is empty", entry.name));
    }
    let args = match entry.get("args")? {
        Place { value: JsonValue::Null, .. } => Vec::new(),
        args => args.list()?.iter().map(argument).collect::<Result<_, _>>()?,
    };
    let action = action(&entry.get("action")?)? as i32;
    Ok(Some(Syscall { names, action, args, includes, excludes }))
}

fn argument(entry: &Place<'_>) -> Result<Arg, String> {
    let index = entry.get("index")?.number()?;
    // No system call has more arguments.
    let index = u32::try_from(index).ok().filter(|index| *index < 6);
    Ok(Arg {
        index: index.ok_or_else(|| format!("{}.index is not from 0 to 5", entry.name))?,
        op: named::<Operator>(&entry.get("op")?, "SCMP_")? as i32,
        value: entry.get("value")?.number()?,
        value_two: entry.get("valueTwo")?.number()?,
    })
}

/// The capabilities of a condition, if it has any, and whether it means this processor, if it says.
fn filter(entry: &Place<'_>) -> Result<(Option<Filter>, Option<bool>), String> {
    let mut means = None;
    if let Some(list) = entry.find("arches")? {
        let mut meant = false;
        for item in list.list()? {
            let name = item.text()?;
            let known = ARCHITECTURES.iter().find(|(known, _)| *known == name);
            let (_, known) = known.ok_or_else(|| format!("{}: '{name}' is not known", item.name))?;
            meant |= Some(*known) == native();
        }
        means = Some(meant);
    }
    let mut filter = None;
    if let Some(list) = entry.find("caps")? {
        let mut capabilities = Vec::new();
        for item in list.list()? {
            capabilities.push(named::<Capability>(&item, "CAP_")? as i32);
        }
        filter = Some(Filter { capabilities });
    }
    Ok((filter, means))
}

fn action(place: &Place<'_>) -> Result<Action, String> {
    named(place, "SCMP_")
}

fn architecture(place: &Place<'_>) -> Result<Architecture, String> {
    named(place, "SCMP_")
}

/// A value of an enumeration, by its name with something in front.
fn named<E: WireEnum + Named>(place: &Place<'_>, prefix: &str) -> Result<E, String> {
    let text = place.text()?;
    let wrong = || format!("{}: '{text}' is not known", place.name);
    let name = text.strip_prefix(prefix).ok_or_else(wrong)?;
    // Capabilities are numbered from 1000.
    let mut all = (0..64).chain(1000..1064).filter_map(E::from_number);
    all.find(|value| value.wire_name(messor_proto::Version::V0) == name && !value.is_unknown())
        .ok_or_else(wrong)
}

trait Named {
    fn is_unknown(&self) -> bool;
}

macro_rules! named {
    ($($type:ty),*) => {$(
        impl Named for $type {
            fn is_unknown(&self) -> bool {
                *self == <$type>::Unknown
            }
        }
    )*};
}

named!(Action, Architecture, Operator, Capability);

/// A value, and where in the profile it is.
struct Place<'a> {
    name: String,
    value: &'a JsonValue<'a>,
}

impl<'a> Place<'a> {
    fn find(&self, name: &str) -> Result<Option<Place<'a>>, String> {
        let JsonValue::Object(object) = self.value else { return Err(self.must("an object")) };
        let full = if self.name.is_empty() { name.to_string() } else { format!("{}.{name}", self.name) };
        let found = object.iter().find(|(key, _)| *key == name);
        Ok(found.map(|(_, value)| Place { name: full, value }))
    }

    fn get(&self, name: &str) -> Result<Place<'a>, String> {
        let separator = if self.name.is_empty() { "" } else { "." };
        self.find(name)?.ok_or_else(|| format!("{}{separator}{name} is missing", self.name))
    }

    fn list(&self) -> Result<Vec<Place<'a>>, String> {
        let JsonValue::Array(items) = self.value else { return Err(self.must("a list")) };
        let place = |(index, value)| Place { name: format!("{}[{index}]", self.name), value };
        Ok(items.iter().enumerate().map(place).collect())
    }

    fn text(&self) -> Result<String, String> {
        match self.value {
            JsonValue::Str(text) => Ok(text.to_string()),
            _ => Err(self.must("a text")),
        }
    }

    fn number(&self) -> Result<u64, String> {
        match self.value {
            JsonValue::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        }
        .ok_or_else(|| self.must("a whole number that is not negative"))
    }

    fn must(&self, be: &str) -> String {
        let name = if self.name.is_empty() { "the profile" } else { &self.name };
        format!("{name} must be {be}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = r#"{
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
            {"architecture": "SCMP_ARCH_S390X", "subArchitectures": []}
        ],
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 4294967295, "valueTwo": 8, "op": "SCMP_CMP_MASKED_EQ"}],
             "includes": {}, "excludes": {}},
            {"names": ["sync_file_range2"], "action": "SCMP_ACT_ALLOW", "args": null, "includes": {"arches": ["ppc64le"]}, "excludes": {}},
            {"names": ["modify_ldt"], "action": "SCMP_ACT_ALLOW", "args": null, "includes": {"arches": ["amd64", "x32", "arm64"]}, "excludes": {}},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {"caps": ["CAP_SYS_ADMIN"]}, "excludes": {}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {}, "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390"]}}
        ]
    }"#;

    /// U016.
    #[test]
    fn docker_style_profiles_are_read() {
        let profile = parse(PROFILE).unwrap();
        assert_eq!(profile.default_action(), Action::ActErrno);
        let names: Vec<&str> =
            profile.syscalls.iter().flat_map(|rule| &rule.names).map(String::as_str).collect();
        assert_eq!(names, ["read", "write", "personality", "modify_ldt", "mount", "clone"]);
        if std::env::consts::ARCH == "x86_64" {
            use Architecture::{ArchX32, ArchX86, ArchX8664};
            assert_eq!(profile.architectures, [ArchX86 as i32, ArchX32 as i32, ArchX8664 as i32]);
        }
        let argument = profile.syscalls[1].args[0];
        assert_eq!((argument.index, argument.value, argument.value_two), (0, 4_294_967_295, 8));
        assert_eq!(argument.op(), Operator::CmpMaskedEq);
        let admin = Some(Filter { capabilities: vec![Capability::SysAdmin as i32] });
        assert_eq!((&profile.syscalls[3].includes, &profile.syscalls[3].excludes), (&admin, &None));
        assert_eq!((&profile.syscalls[4].includes, &profile.syscalls[4].excludes), (&None, &admin));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let wrong = |from: &str, to: &str| parse(&PROFILE.replace(from, to)).unwrap_err();
        assert_eq!(parse("{}").unwrap_err(), "defaultAction is missing");
        assert_eq!(parse("[]").unwrap_err(), "the profile must be an object");
        assert!(parse("{").unwrap_err().starts_with("not JSON: "));
        assert_eq!(wrong("\"SCMP_ACT_ERRNO\"", "\"ACT_ERRNO\""), "defaultAction: 'ACT_ERRNO' is not known");
        assert_eq!(
            wrong("\"SCMP_ACT_ERRNO\"", "\"SCMP_UNKNOWN\""),
            "defaultAction: 'SCMP_UNKNOWN' is not known"
        );
        assert_eq!(wrong("\"index\": 0", "\"index\": 6"), "syscalls[1].args[0].index is not from 0 to 5");
        assert_eq!(wrong("[\"read\", \"write\"]", "[]"), "syscalls[0].names is empty");
        assert_eq!(wrong("[\"ppc64le\"]", "[\"z80\"]"), "syscalls[2].includes.arches[0]: 'z80' is not known");
        assert_eq!(wrong("[\"CAP_SYS_ADMIN\"]", "[1]"), "syscalls[4].includes.caps[0] must be a text");
    }
}
