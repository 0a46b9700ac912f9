//! What is kept of each container below --runtime_dir for as long as its processes live, in the layout of Apache
//! Mesos: `containers/<id>/{config,pid,status}` and nested ones in `containers/<id>/containers`.
//!
//! `process` is our own: the pid with the time its process started, so that another process that was given the same
//! number later is never taken for the container's. Nothing here has to survive the host's going down.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use messor_checkpoint::{FileError, read_optional, write_file, write_message};
use messor_containers::Kind;
use messor_linux::{Exit, host, procfs};
use messor_proto::Wire;
use messor_proto::mesos::slave::{ContainerConfig, ContainerLaunchInfo, ContainerTermination};
use messor_types::ContainerId;

/// Empty files that say what kind of container it is.
const STANDALONE: &str = "standalone.marker";
const FORCE_DESTROY: &str = "force_destroy_on_recovery";

/// The directory of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuntimeDir(PathBuf);

/// Whether the process that a container began with is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Runs,
    /// It ended; how is known only if somebody noted it.
    Ended,
}

impl RuntimeDir {
    pub fn of(runtime_dir: &Path, container: &ContainerId) -> RuntimeDir {
        let outer = match container.parent() {
            Some(parent) => RuntimeDir::of(runtime_dir, parent).0,
            None => runtime_dir.to_path_buf(),
        };
        RuntimeDir(outer.join("containers").join(container.value()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A directory of something beside the container, in which the same is kept.
    pub fn part(&self, name: &str) -> RuntimeDir {
        RuntimeDir(self.0.join(name))
    }

    /// The text of a file.
    pub fn text(&self, name: &str) -> Option<String> {
        Some(fs::read_to_string(self.0.join(name)).ok()?.trim().to_string())
    }

    /// What there is below a runtime directory: the top containers, without those nested in them.
    pub fn all(runtime_dir: &Path) -> io::Result<Vec<(ContainerId, RuntimeDir)>> {
        let directory = runtime_dir.join("containers");
        let found = names(&directory)?;
        Ok(found
            .into_iter()
            .map(|name| (ContainerId::new(&name), RuntimeDir(directory.join(name))))
            .collect())
    }

    /// All containers below this one, at whatever depth.
    pub fn nested(&self, id: &ContainerId) -> io::Result<Vec<(ContainerId, RuntimeDir)>> {
        let directory = self.0.join("containers");
        let mut found = Vec::new();
        for name in names(&directory)? {
            let nested = (ContainerId::nested(id, &name), RuntimeDir(directory.join(name)));
            let below = nested.1.nested(&nested.0)?;
            found.push(nested);
            found.extend(below);
        }
        Ok(found)
    }

    /// Notes what it is to be, and what kind of container, before anything of it is there.
    pub fn note_config(&self, config: &ContainerConfig, kind: Kind) -> Result<(), FileError> {
        match kind {
            Kind::Standalone => write_file(&self.0.join(STANDALONE), b"")?,
            Kind::Debug => write_file(&self.0.join(FORCE_DESTROY), b"")?,
            Kind::Executor | Kind::Nested => {}
        }
        write_message(&self.0.join("config"), config)
    }

    pub fn note_launch_info(&self, info: &ContainerLaunchInfo) -> Result<(), FileError> {
        write_message(&self.0.join("launch_info"), info)
    }

    /// The end of a nested container, for those who ask while its root lives.
    pub fn note_termination(&self, termination: &ContainerTermination) -> Result<(), FileError> {
        write_message(&self.0.join("termination"), termination)
    }

    pub fn kind(&self, container: &ContainerId) -> Kind {
        if container.parent().is_none() {
            if self.0.join(STANDALONE).exists() { Kind::Standalone } else { Kind::Executor }
        } else if self.0.join(FORCE_DESTROY).exists() {
            Kind::Debug
        } else {
            Kind::Nested
        }
    }

    /// Notes a process that is there.
    pub fn note_process(&self, pid: i32) -> io::Result<()> {
        let process = procfs::process(pid)?.ok_or(io::ErrorKind::NotFound)?;
        let text = format!("{pid} {} {}", process.start_ticks, host::boot_id()?);
        write_file(&self.0.join("process"), text.as_bytes()).map_err(io::Error::other)?;
        write_file(&self.0.join("pid"), pid.to_string().as_bytes()).map_err(io::Error::other)
    }

    pub fn note_status(&self, exit: Exit) {
        // The container may never have got a directory.
        if self.0.is_dir()
            && let Err(error) =
                write_file(&self.0.join("status"), exit.to_wait_status().to_string().as_bytes())
        {
            tracing::warn!("the end of a container is not noted: {error}");
        }
    }

    /// The wait status, where it was noted: by an agent, or by Apache Mesos's launcher of the container.
    pub fn status(&self) -> Option<i32> {
        self.text("status")?.parse().ok()
    }

    pub fn pid(&self) -> Option<i32> {
        self.text("pid")?.parse().ok()
    }

    pub fn config(&self) -> Option<ContainerConfig> {
        self.read("config")
    }

    pub fn launch_info(&self) -> Option<ContainerLaunchInfo> {
        self.read("launch_info")
    }

    pub fn termination(&self) -> Option<ContainerTermination> {
        self.read("termination")
    }

    /// What cannot be read is as if it were not there, but for a word in the log.
    fn read<M: Wire>(&self, name: &str) -> Option<M> {
        match read_optional::<M>(&self.0.join(name)) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!("{error}");
                None
            }
        }
    }

    /// Whether process `pid` is the one that the container `id` began with.
    pub fn presence(&self, pid: i32, id: &str) -> io::Result<Presence> {
        let Some(process) = procfs::process(pid)?.filter(|process| !process.is_zombie()) else {
            return Ok(Presence::Ended);
        };
        let noted = fs::read_to_string(self.0.join("process")).ok();
        let same = match noted.as_deref().map(|text| text.split_whitespace().collect::<Vec<_>>()).as_deref() {
            Some([number, start, boot]) => {
                *number == pid.to_string()
                    && *start == process.start_ticks.to_string()
                    && *boot == host::boot_id()?
            }
            // Apache Mesos's: its process was started with the name of the sandbox, or works there.
            _ => procfs::mentions(pid, id),
        };
        Ok(if same { Presence::Runs } else { Presence::Ended })
    }

    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io::Error::new(error.kind(), format!("cannot remove '{}': {error}", self.0.display())))
            }
            _ => Ok(()),
        }
    }
}

/// The directories there; none where there is nothing.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    #[test]
    fn a_process_is_known_by_its_number_and_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = RuntimeDir::of(folder.path(), &ContainerId::new("c"));
        runtime.note_process(me()).unwrap();
        assert_eq!(runtime.pid(), Some(me()));
        assert_eq!(runtime.presence(me(), "c").unwrap(), Presence::Runs);
        assert_eq!(runtime.presence(i32::MAX, "c").unwrap(), Presence::Ended);
        // The number was given to another since, or the host was started again.
        let process = folder.path().join("containers/c/process");
        let noted = fs::read_to_string(&process).unwrap();
        let [pid, start, boot] = noted.split(' ').collect::<Vec<_>>().try_into().unwrap();
        for other in [format!("{pid} 1 {boot}"), format!("{pid} {start} 0-0"), format!("1 {start} {boot}")] {
            fs::write(&process, other).unwrap();
            assert_eq!(runtime.presence(me(), "c").unwrap(), Presence::Ended);
        }
        assert_eq!(runtime.status(), None);
        runtime.note_status(Exit::Exited(3));
        assert_eq!(runtime.status(), Some(768));
        runtime.remove().unwrap();
        assert_eq!(runtime.pid(), None);
        runtime.note_status(Exit::Exited(3));
        assert_eq!(RuntimeDir::all(folder.path()).unwrap(), []);
    }

    #[test]
    fn without_a_start_a_process_is_known_by_its_sandbox() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = RuntimeDir::of(folder.path(), &ContainerId::new("c"));
        let sandbox = folder.path().join("runs/b0d4");
        fs::create_dir_all(&sandbox).unwrap();
        let mut child =
            std::process::Command::new("sleep").arg("1000").current_dir(&sandbox).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert_eq!(runtime.presence(pid, "b0d4").unwrap(), Presence::Runs);
        assert_eq!(runtime.presence(pid, "another").unwrap(), Presence::Ended);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(runtime.presence(pid, "b0d4").unwrap(), Presence::Ended);
    }

    #[test]
    fn nested_containers_are_found_with_their_kind_and_parents_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let top = ContainerId::new("c");
        let nested = ContainerId::nested(&top, "n");
        let debug = ContainerId::nested(&nested, "d");
        let config = ContainerConfig { directory: "/sandbox".into(), ..ContainerConfig::default() };
        for (id, kind) in [(&top, Kind::Standalone), (&nested, Kind::Nested), (&debug, Kind::Debug)] {
            let runtime = RuntimeDir::of(folder.path(), id);
            runtime.note_config(&config, kind).unwrap();
            assert_eq!(runtime.kind(id), kind);
        }
        let found = RuntimeDir::of(folder.path(), &top).nested(&top).unwrap();
        assert_eq!(found.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), [nested, debug]);
        assert!(found[1].1.path().ends_with("containers/c/containers/n/containers/d"));
        assert_eq!(found[1].1.config(), Some(config));
    }
}
