//! `linux/seccomp` (U016): which system calls a container may make, by profiles in the form that Docker has for them.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use messor_flags::AgentFlags;
use messor_proto::mesos::seccomp::ContainerSeccompProfile;
use messor_proto::mesos::slave::ContainerLaunchInfo;

use super::{filter, profile};
use crate::isolator::{Container, Isolator, IsolatorError};

/// Docker's own is some 15 KB.
const PROFILE_LIMIT_BYTES: u64 = 1 << 20;

#[derive(Debug)]
pub struct Seccomp {
    directory: PathBuf,
    /// Of containers that do not say.
    usual: Option<ContainerSeccompProfile>,
}

impl Seccomp {
    /// The error is a flag and what is wrong with it.
    pub fn make(flags: &AgentFlags) -> Result<Seccomp, (&'static str, String)> {
        let Some(directory) = &flags.containers.seccomp_config_dir else {
            return Err(("seccomp_config_dir", "give the directory of the profiles".to_string()));
        };
        let directory = PathBuf::from(directory.as_str());
        let usual = match &flags.containers.seccomp_profile_name {
            Some(name) => Some(read(&directory, name).map_err(|error| ("seccomp_profile_name", error))?),
            None => None,
        };
        Ok(Seccomp { directory, usual })
    }
}

fn read(directory: &Path, name: &str) -> Result<ContainerSeccompProfile, String> {
    let relative = Path::new(name);
    if name.is_empty() || !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("'{name}' is not a path below --seccomp_config_dir"));
    }
    let path = directory.join(relative);
    let mut text = String::new();
    let file =
        File::open(&path).map_err(|error| format!("cannot read the profile {}: {error}", path.display()))?;
    file.take(PROFILE_LIMIT_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot read the profile {}: {error}", path.display()))?;
    let wrong = |error: String| format!("the profile {}: {error}", path.display());
    let profile = profile::parse(&text).map_err(wrong)?;
    filter::try_out(&profile).map_err(wrong)?;
    Ok(profile)
}

impl Isolator for Seccomp {
    fn name(&self) -> &'static str {
        "linux/seccomp"
    }

    fn supports_nesting(&self) -> bool {
        true
    }

    fn supports_standalone(&self) -> bool {
        true
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        let asked = container.linux_info().and_then(|info| info.seccomp.as_ref());
        let profile = match asked.map(|info| (info.unconfined.unwrap_or(false), &info.profile_name)) {
            None => self.usual.clone(),
            Some((true, Some(_))) => {
                let text = "LinuxInfo.seccomp is unconfined and has a 'profile_name': give one of them";
                return Err(IsolatorError::Invalid(text.to_string()));
            }
            Some((true, None)) => None,
            Some((false, Some(name))) => Some(read(&self.directory, name).map_err(|error| {
                IsolatorError::Invalid(format!("LinuxInfo.seccomp.profile_name: {error}"))
            })?),
            Some((false, None)) => {
                let text = "LinuxInfo.seccomp has neither 'profile_name' nor 'unconfined'";
                return Err(IsolatorError::Invalid(text.to_string()));
            }
        };
        let info = |profile| ContainerLaunchInfo { seccomp_profile: Some(profile), ..Default::default() };
        Ok(profile.map(info))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::tests::container;
    use messor_proto::mesos::{ContainerInfo, LinuxInfo, SeccompInfo};

    const STRICT: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","archMap":[],"syscalls":[]}"#;

    fn flags(directory: Option<&Path>, name: Option<&str>) -> AgentFlags {
        let mut flags = AgentFlags::default();
        flags.containers.seccomp_config_dir = directory.map(|path| {
            <messor_flags::Location as messor_flags::FlagValue>::read(path.to_str().unwrap()).unwrap()
        });
        flags.containers.seccomp_profile_name = name.map(str::to_string);
        flags
    }

    /// U016.
    #[test]
    fn containers_have_the_usual_profile_or_their_own_or_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("usual.json"), STRICT).unwrap();
        std::fs::write(folder.path().join("own.json"), STRICT.replace("ERRNO", "KILL")).unwrap();
        let isolator = Seccomp::make(&flags(Some(folder.path()), Some("usual.json"))).unwrap();
        let with = |unconfined, profile_name: Option<&str>| {
            let mut container = container("c");
            let seccomp = Some(SeccompInfo { unconfined, profile_name: profile_name.map(str::to_string) });
            let linux_info = Some(LinuxInfo { seccomp, ..LinuxInfo::default() });
            container.config.container_info = Some(ContainerInfo { linux_info, ..ContainerInfo::default() });
            isolator
                .prepare(&container)
                .map(|info| info.map(|info| info.seccomp_profile.unwrap().default_action))
        };
        let action = |answer: Option<i32>| answer.unwrap();
        let usual = isolator.prepare(&container("c")).unwrap().unwrap().seccomp_profile.unwrap();
        assert_ne!(action(with(None, Some("own.json")).unwrap()), usual.default_action);
        assert_eq!(action(with(None, Some("usual.json")).unwrap()), usual.default_action);
        assert_eq!(with(Some(true), None).unwrap(), None);
        assert!(with(Some(true), Some("own.json")).is_err() && with(None, None).is_err());
        for wrong in ["none.json", "../usual.json", "/etc/passwd", ""] {
            let error = with(None, Some(wrong)).unwrap_err().to_string();
            assert!(error.starts_with("LinuxInfo.seccomp.profile_name: "), "{error}");
        }
    }

    #[test]
    fn flags_are_checked_when_the_agent_starts() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Seccomp::make(&flags(None, None)).unwrap_err().0, "seccomp_config_dir");
        let error = Seccomp::make(&flags(Some(folder.path()), Some("none"))).unwrap_err();
        assert_eq!(error.0, "seccomp_profile_name");
        // What only some containers have is tried out, too.
        let wrong = STRICT.replace(
            "\"syscalls\":[]",
            r#""syscalls":[{"names":["no_such_call"],"action":"SCMP_ACT_ALLOW","args":[],"excludes":{},
                            "includes":{"caps":["CAP_SYS_BOOT"]}}]"#,
        );
        std::fs::write(folder.path().join("wrong.json"), wrong).unwrap();
        let (flag, error) = Seccomp::make(&flags(Some(folder.path()), Some("wrong.json"))).unwrap_err();
        assert_eq!(flag, "seccomp_profile_name");
        assert!(error.ends_with("wrong.json: 'no_such_call' is not the name of a system call"), "{error}");
        let without = Seccomp::make(&flags(Some(folder.path()), None)).unwrap();
        assert_eq!(without.prepare(&container("c")).unwrap(), None);
    }
}
