//! The directory a container works in, in the layout of Apache Mesos.
//!
//! Ids and paths come from outside, and the task's user may write in the sandbox: so no path may climb, and what the
//! agent opens in a sandbox is never reached through a symbolic link.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use messor_linux::users::Identity;
use messor_types::ContainerId;
use rustix::fs::{Gid, Mode, OFlags, Uid};

#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("the {kind} '{id}' cannot be part of a path")]
    Id { kind: &'static str, id: String },
    #[error("the sandbox directory '{0}' is not a relative path below the work directory")]
    Directory(String),
    #[error("'{path}' cannot be prepared: {source}")]
    Prepare { path: String, source: io::Error },
    #[error("'{path}' in the sandbox is not a plain file and is left alone")]
    NotPlain { path: String },
}

/// The sandbox of an executor's run, relative to the work directory.
pub fn run_directory(
    agent: &str,
    framework: &str,
    executor: &str,
    container: &str,
) -> Result<String, SandboxError> {
    let ids = [
        ("agent id", agent),
        ("framework id", framework),
        ("executor id", executor),
        ("container id", container),
    ];
    for (kind, id) in ids {
        // A name of a directory: one component that neither climbs nor stays.
        if id.is_empty() || id == "." || id == ".." || id.len() > 255 || id.contains(['/', '\0']) {
            return Err(SandboxError::Id { kind, id: id.to_owned() });
        }
    }
    Ok(format!("slaves/{agent}/frameworks/{framework}/executors/{executor}/runs/{container}"))
}

/// Makes the sandbox, closed to others, given to its user, and known as the latest run.
pub(crate) fn create(
    work_dir: &Path,
    directory: &str,
    identity: Option<&Identity>,
) -> Result<PathBuf, SandboxError> {
    let relative = Path::new(directory);
    let plain =
        !directory.is_empty() && relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain {
        return Err(SandboxError::Directory(directory.to_owned()));
    }
    let path = work_dir.join(relative);
    let failed = |source| SandboxError::Prepare { path: path.display().to_string(), source };
    fs::create_dir_all(&path).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).map_err(failed)?;
    if let Some(identity) = identity {
        std::os::unix::fs::chown(&path, Some(identity.uid), Some(identity.gid)).map_err(failed)?;
    }
    mark_latest(&path).map_err(failed)?;
    Ok(path)
}

/// The sandbox of a nested container, below that of its root.
pub(crate) fn nested_path(root: &Path, container: &ContainerId) -> PathBuf {
    match container.parent() {
        Some(parent) => nested_path(root, parent).join("containers").join(container.value()),
        None => root.to_path_buf(),
    }
}

/// Makes the sandbox of a nested container. The task's user may write in the root's: so each directory on the way is
/// opened without following links, and what is found there that is no directory is an error.
pub(crate) fn create_nested(
    root: &Path,
    container: &ContainerId,
    identity: Option<&Identity>,
) -> Result<PathBuf, SandboxError> {
    let path = nested_path(root, container);
    let failed = |source: io::Error| SandboxError::Prepare { path: path.display().to_string(), source };
    let mut directory = open_directory(rustix::fs::CWD, root).map_err(failed)?;
    for name in path.strip_prefix(root).unwrap_or(Path::new("")) {
        match rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o750)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(failed(error.into())),
        }
        directory = open_directory(&directory, Path::new(name)).map_err(failed)?;
        if let Some(identity) = identity {
            let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
            rustix::fs::fchown(&directory, Some(uid), Some(gid)).map_err(|error| failed(error.into()))?;
        }
    }
    Ok(path)
}

/// Removes the sandbox of a nested container that has ended, without following links and without what is mounted there.
pub(crate) fn remove_nested(root: &Path, container: &ContainerId) -> io::Result<()> {
    let path = nested_path(root, container);
    match path.strip_prefix(root) {
        Ok(path) => messor_linux::remove::remove_below(root, path),
        Err(error) => Err(io::Error::other(error)),
    }
}

fn open_directory(at: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, path, flags, Mode::empty())?)
}

/// Points `runs/latest` at a run. It is replaced in one step, so that nobody finds it missing.
fn mark_latest(path: &Path) -> io::Result<()> {
    let Some(runs) = path.parent().filter(|parent| parent.file_name() == Some("runs".as_ref())) else {
        return Ok(());
    };
    // Runs that begin at the same time do it one after the other: both steps are of one name.
    static MARKING: Mutex<()> = Mutex::new(());
    let _turn = MARKING.lock().unwrap_or_else(PoisonError::into_inner);
    let new = runs.join(".latest.new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(path, &new)?;
    fs::rename(&new, runs.join("latest"))
}

/// Opens `stdout` or `stderr` of a sandbox to append to, and gives it to the user. What is below `root`, the outermost
/// sandbox, is the task's: its links lead nowhere.
pub(crate) fn open_output(
    root: &Path,
    sandbox: &Path,
    name: &str,
    identity: Option<&Identity>,
) -> Result<File, SandboxError> {
    let path = sandbox.join(name);
    let failed = |source| SandboxError::Prepare { path: path.display().to_string(), source };
    let mut directory = open_directory(rustix::fs::CWD, root).map_err(failed)?;
    for name in sandbox.strip_prefix(root).unwrap_or(Path::new("")) {
        directory = open_directory(&directory, Path::new(name)).map_err(failed)?;
    }
    // An archive may have left a pipe under this name.
    let file = messor_linux::paths::open_to_append(&directory, Path::new(name)).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    // A second name of a file could be in the sandbox of somebody else.
    if !found.is_file() || found.nlink() > 1 {
        return Err(SandboxError::NotPlain { path: path.display().to_string() });
    }
    if let Some(identity) = identity {
        std::os::unix::fs::fchown(&file, Some(identity.uid), Some(identity.gid)).map_err(failed)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_lie_where_apache_mesos_has_them() {
        assert_eq!(run_directory("S0", "F", "e", "c").unwrap(), "slaves/S0/frameworks/F/executors/e/runs/c");
        for id in ["", ".", "..", "a/b", "a\0", &"x".repeat(256)] {
            assert!(run_directory("S0", "F", id, "c").is_err(), "{id:?}");
        }
        assert_eq!(
            run_directory("S0", "..", "e", "c").unwrap_err().to_string(),
            "the framework id '..' cannot be part of a path"
        );
    }

    #[test]
    fn the_latest_run_is_the_last_that_was_made() {
        let work = tempfile::tempdir().unwrap();
        for container in ["c1", "c2"] {
            let directory = run_directory("S0", "F", "e", container).unwrap();
            let path = create(work.path(), &directory, None).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o750);
            assert_eq!(fs::read_link(path.with_file_name("latest")).unwrap(), path);
        }
        let runs = work.path().join("slaves/S0/frameworks/F/executors/e/runs");
        assert_eq!(fs::read_dir(runs).unwrap().count(), 3);
    }

    #[test]
    fn directories_do_not_climb() {
        let work = tempfile::tempdir().unwrap();
        for directory in ["", "/etc", "a/../../b", ".."] {
            let error = create(work.path(), directory, None).unwrap_err();
            assert!(matches!(error, SandboxError::Directory(_)), "{directory}");
        }
    }

    #[test]
    fn what_the_task_planted_does_not_lead_nested_sandboxes_astray() {
        let work = tempfile::tempdir().unwrap();
        let (root, outside) = (work.path().join("root"), work.path().join("outside"));
        fs::create_dir(&root).unwrap();
        fs::create_dir_all(outside.join("n/precious")).unwrap();
        let nested = ContainerId::nested(&ContainerId::new("c"), "n");
        let deeper = ContainerId::nested(&nested, "m");
        let path = create_nested(&root, &deeper, None).unwrap();
        assert_eq!(path, root.join("containers/n/containers/m"));
        remove_nested(&root, &deeper).unwrap();
        assert!(!path.exists() && root.join("containers/n").is_dir());
        remove_nested(&root, &nested).unwrap();
        remove_nested(&root, &nested).unwrap();
        fs::remove_dir(root.join("containers")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("containers")).unwrap();
        assert!(create_nested(&root, &nested, None).is_err());
        assert!(remove_nested(&root, &nested).is_err());
        assert!(outside.join("n/precious").exists());
    }

    #[test]
    fn output_is_not_written_through_what_the_task_planted() {
        let sandbox = tempfile::tempdir().unwrap();
        let victim = sandbox.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, sandbox.path().join("stdout")).unwrap();
        assert!(open_output(sandbox.path(), sandbox.path(), "stdout", None).is_err());
        rustix::fs::mknodat(
            rustix::fs::CWD,
            sandbox.path().join("stderr"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        assert!(open_output(sandbox.path(), sandbox.path(), "stderr", None).is_err());
        fs::remove_file(sandbox.path().join("stdout")).unwrap();
        fs::hard_link(&victim, sandbox.path().join("stdout")).unwrap();
        assert!(open_output(sandbox.path(), sandbox.path(), "stdout", None).is_err());
        // The way to a nested one too.
        fs::create_dir_all(sandbox.path().join("elsewhere/n")).unwrap();
        std::os::unix::fs::symlink("elsewhere", sandbox.path().join("containers")).unwrap();
        let nested = sandbox.path().join("containers/n");
        assert!(open_output(sandbox.path(), &nested, "stdout", None).is_err());
        assert_eq!(fs::read_dir(nested).unwrap().count(), 0);
        assert_eq!(fs::read_to_string(victim).unwrap(), "precious");
    }
}
