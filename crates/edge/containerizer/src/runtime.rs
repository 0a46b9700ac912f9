//! What is kept of each container below --runtime_dir for as long as its processes live, in the layout of Apache
//! Mesos: `containers/<id>/{config,pid,status}` and nested ones in `containers/<id>/containers`.
//!
//! `process` is our own: the pid with the time its process started, so that another process that was given the same
//! number later is never taken for the container's. Nothing here has to survive the host's going down.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use messor_agent_core::Launch;
use messor_checkpoint::{FileError, read_optional, write_file, write_message};
use messor_linux::{Exit, host, procfs};
use messor_proto::mesos::slave::ContainerConfig;
use messor_types::ContainerId;

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
        RuntimeDir(runtime_dir.join("containers").join(container.value()))
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

    /// The containers right below this one.
    fn nested(&self) -> Vec<(String, RuntimeDir)> {
        let directory = self.0.join("containers");
        let found = names(&directory).unwrap_or_else(|error| {
            tracing::warn!("'{}' cannot be listed: {error}", directory.display());
            Vec::new()
        });
        found.into_iter().map(|name| (name.clone(), RuntimeDir(directory.join(name)))).collect()
    }

    pub fn note_config(&self, launch: &Launch, sandbox: &Path) -> Result<(), FileError> {
        let config = ContainerConfig {
            executor_info: Some(launch.executor.clone()),
            task_info: launch.task.clone(),
            command_info: launch.command.clone(),
            container_info: launch.container_info.clone(),
            resources: launch.resources.clone(),
            directory: sandbox.to_string_lossy().into_owned(),
            user: launch.user.clone(),
            ..ContainerConfig::default()
        };
        write_message(&self.0.join("config"), &config)
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
        fs::read_to_string(self.0.join("status")).ok()?.trim().parse().ok()
    }

    pub fn pid(&self) -> Option<i32> {
        fs::read_to_string(self.0.join("pid")).ok()?.trim().parse().ok()
    }

    /// The sandbox, where it is known.
    pub fn sandbox(&self) -> Option<PathBuf> {
        match read_optional::<ContainerConfig>(&self.0.join("config")) {
            Ok(config) => config.map(|config| config.directory.into()),
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

    /// The processes of nested containers that run, which Apache Mesos starts beside their parent's.
    pub fn nested_pids(&self) -> Vec<i32> {
        let mut pids = Vec::new();
        for (id, nested) in self.nested() {
            if let Some(pid) = nested.pid()
                && nested.presence(pid, &id).is_ok_and(|presence| presence == Presence::Runs)
            {
                pids.push(pid);
            }
            pids.extend(nested.nested_pids());
        }
        pids
    }

    pub fn remove(&self) {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("cannot remove '{}': {error}", self.0.display());
            }
            _ => {}
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
        runtime.remove();
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
        let nested = folder.path().join("containers/c/containers/b0d4");
        fs::create_dir_all(&nested).unwrap();
        fs::write(nested.join("pid"), pid.to_string()).unwrap();
        assert_eq!(runtime.nested_pids(), [pid]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(runtime.nested_pids(), [0; 0]);
    }
}
