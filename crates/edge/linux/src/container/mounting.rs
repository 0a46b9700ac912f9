//! The mounts and file operations of a plan, in its new mount namespace, before its root is changed.

use std::fmt::Display;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::error::{StartError, Step};
use super::process::{FileOperation, Mount, Namespaces, Process};
use crate::mounts::{self, Table};
use crate::paths::{Escape, Roots, is_directory};
use crate::spawn::Launch;
use crate::wait;

pub(super) fn at(step: Step, what: impl Display) -> impl FnOnce(io::Error) -> StartError {
    const BY_PATH: [Step; 6] = [
        Step::MountTarget,
        Step::MountSource,
        Step::Mask,
        Step::MakeDirectory,
        Step::Symlink,
        Step::Directory,
    ];
    move |source| {
        // What the kernel says when a path would leave the root that it is to stay in.
        let escapes = source.raw_os_error() == Some(libc::EXDEV) && BY_PATH.contains(&step);
        StartError::Step { step: if escapes { Step::Escape } else { step }, what: what.to_string(), source }
    }
}

fn at_path(step: Step, path: &Path) -> impl FnOnce(io::Error) -> StartError {
    at(step, path.display())
}

/// What is wrong with a plan is said before anything is done.
pub(super) fn check(process: &Process) -> Result<(), StartError> {
    let wrong = |text: String| Err(StartError::Wrong(text));
    let new = process.clone.contains(Namespaces::MOUNT);
    let entered = process.enter.is_some_and(|enter| enter.namespaces.contains(Namespaces::MOUNT));
    let operations_mount =
        process.operations.iter().any(|operation| matches!(operation, FileOperation::Mount(_)));
    let needs = [
        ("mounts", !process.mounts.is_empty()),
        ("masked_paths", !process.masked_paths.is_empty()),
        ("read_only_paths", !process.read_only_paths.is_empty()),
        ("file_operations", operations_mount),
        ("rootfs", process.rootfs.is_some()),
    ];
    for (field, is_set) in needs {
        // Otherwise the mounts of the host would change.
        if is_set && (!new || entered) {
            return wrong(format!("'{field}' needs a new mount namespace that is not entered from another"));
        }
    }
    let named = process.mounts.iter().map(|mount| &mount.target);
    let named = named.chain(&process.masked_paths).chain(&process.read_only_paths).chain(&process.rootfs);
    if let Some(path) = named.chain(&process.untrusted).find(|path| !path.is_absolute()) {
        return wrong(format!("'{}' is not an absolute path", path.display()));
    }
    for mount in &process.mounts {
        let attributes = mounts::READ_ONLY | mounts::NO_SETUID | mounts::NO_DEVICES | mounts::NO_EXECUTION;
        let known = mounts::BIND | mounts::RECURSIVE | attributes;
        let is_bind = mount.flags & (mounts::BIND | mounts::REMOUNT) == mounts::BIND;
        if is_bind && (mount.flags & !known != 0 || mount.source.is_none()) {
            return wrong(format!(
                "a bind mount on '{}' needs a source, and takes MS_REC, MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC only",
                mount.target.display()
            ));
        }
    }
    Ok(())
}

/// How the paths of a plan are opened.
pub(super) fn roots(process: &Process) -> Roots {
    let mut roots = Roots::default();
    for root in &process.untrusted {
        roots.add(root, Escape::Refused);
    }
    if let Some(rootfs) = &process.rootfs {
        roots.add(rootfs, Escape::Rooted);
    }
    roots
}

/// Does nothing without a new mount namespace.
pub(super) fn prepare(process: &Process, roots: &Roots) -> Result<(), StartError> {
    if !process.clone.contains(Namespaces::MOUNT) {
        return Ok(());
    }
    let shared = |mount: &&Mount| mount.flags & mounts::SHARED != 0;
    let shared: Vec<&Path> =
        process.mounts.iter().filter(shared).map(|mount| mount.target.as_path()).collect();
    set_propagation(&shared)?;
    if let Some(rootfs) = &process.rootfs {
        prepare_root(rootfs)?;
    }
    for mount in process.mounts.iter().filter(|mount| mount.flags & mounts::SHARED == 0) {
        if !shared.is_empty() {
            refuse_shared(mount, roots)?;
        }
        carry_out(mount, roots)?;
    }
    for path in &process.masked_paths {
        mask(path, roots)?;
    }
    for path in &process.read_only_paths {
        let Some(found) = existing(path, roots)? else { continue };
        mounts::bind(found.as_fd(), found.as_fd(), true, mounts::READ_ONLY)
            .map_err(at_path(Step::ReadOnly, path))?;
    }
    Ok(())
}

/// Nothing that is mounted here is to be seen on the host, but for what is below these.
fn set_propagation(shared: &[&Path]) -> Result<(), StartError> {
    if shared.is_empty() {
        return mounts::set_propagation(Path::new("/"), mounts::SLAVE, true)
            .map_err(at(Step::Propagation, "/"));
    }
    let table = Table::current().map_err(at(Step::MountTable, "the new mount namespace"))?;
    for entry in table.0.iter().rev().filter(|entry| !shared.contains(&entry.target.as_path())) {
        mounts::set_propagation(&entry.target, mounts::SLAVE, false)
            .map_err(at_path(Step::Propagation, &entry.target))?;
    }
    Ok(())
}

/// The new root has to be a mount of its own.
fn prepare_root(rootfs: &Path) -> Result<(), StartError> {
    let found = Roots::default().open(rootfs).map_err(at_path(Step::Root, rootfs))?;
    let real = std::fs::read_link(mounts::path_of(&found)).map_err(at_path(Step::Root, rootfs))?;
    if real != rootfs {
        let text = format!("rootfs '{}' leads to '{}': give that", rootfs.display(), real.display());
        return Err(StartError::Wrong(text));
    }
    let table = Table::current().map_err(at(Step::MountTable, "the new mount namespace"))?;
    if table.is_mount_point(rootfs) {
        return Ok(());
    }
    mounts::bind(found.as_fd(), found.as_fd(), true, 0).map_err(at_path(Step::Root, rootfs))
}

fn refuse_shared(mount: &Mount, roots: &Roots) -> Result<(), StartError> {
    let failed = || at_path(Step::MountTarget, &mount.target);
    // The mount that it, or the nearest parent that is there, lies on.
    let mut nearest: &Path = &mount.target;
    let found = loop {
        match (roots.open(nearest), nearest.parent()) {
            (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => nearest = parent,
            (answer, _) => break answer.map_err(failed())?,
        }
    };
    let real = std::fs::read_link(mounts::path_of(&found)).map_err(failed())?;
    let table = Table::current().map_err(at(Step::MountTable, "the new mount namespace"))?;
    match table.containing(&real) {
        Some(entry) if entry.shared.is_some() => {
            Err(at_path(Step::SharedTarget, &mount.target)(io::Error::from_raw_os_error(libc::EBUSY)))
        }
        _ => Ok(()),
    }
}

fn carry_out(mount: &Mount, roots: &Roots) -> Result<(), StartError> {
    let is_bind = mount.flags & (mounts::BIND | mounts::REMOUNT) == mounts::BIND;
    let source = match &mount.source {
        Some(source) if is_bind => Some(roots.open(source).map_err(at_path(Step::MountSource, source))?),
        _ => None,
    };
    let to_target = || at_path(Step::MountTarget, &mount.target);
    let target = match (&source, &mount.source) {
        (Some(source), _) => {
            let directory = is_directory(source).map_err(at_path(Step::MountSource, &mount.target))?;
            roots.open_or_make(&mount.target, directory)
        }
        // A filesystem of the kernel's or a device.
        (None, Some(_)) => roots.open_or_make(&mount.target, true),
        (None, None) => roots.open(&mount.target),
    };
    let target = target.map_err(to_target())?;
    let answer = match &source {
        Some(source) => {
            mounts::bind(source.as_fd(), target.as_fd(), mount.flags & mounts::RECURSIVE != 0, mount.flags)
        }
        None => mounts::mount(
            mount.source.as_deref(),
            &mounts::path_of(&target),
            mount.kind.as_deref(),
            mount.flags,
            mount.options.as_deref(),
        ),
    };
    answer.map_err(at_path(Step::Mount, &mount.target))
}

/// None: it is not there.
fn existing(path: &Path, roots: &Roots) -> Result<Option<std::os::fd::OwnedFd>, StartError> {
    match roots.open(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
        Err(error) => Err(at_path(Step::Mask, path)(error)),
    }
}

/// Hides what is there: a file behind /dev/null, a directory behind an empty one.
fn mask(path: &Path, roots: &Roots) -> Result<(), StartError> {
    let Some(found) = existing(path, roots)? else { return Ok(()) };
    let failed = || at_path(Step::Mask, path);
    if is_directory(&found).map_err(failed())? {
        mounts::mount(None, &mounts::path_of(&found), Some("tmpfs"), mounts::READ_ONLY, Some("size=0"))
            .map_err(failed())
    } else {
        let null = Roots::default().open(Path::new("/dev/null")).map_err(failed())?;
        mounts::bind(null.as_fd(), found.as_fd(), false, mounts::READ_ONLY).map_err(failed())
    }
}

pub(super) fn operate(operation: &FileOperation, roots: &Roots) -> Result<(), StartError> {
    match operation {
        FileOperation::Symlink { to, link } => {
            let failed = || at_path(Step::Symlink, link);
            let (parent, name) = roots.open_parent(link).map_err(failed())?;
            rustix::fs::symlinkat(to, &parent, name).map_err(|error| failed()(error.into()))
        }
        FileOperation::MakeDirectory { path, with_parents: true } => {
            roots.make_directories(path).map(drop).map_err(at_path(Step::MakeDirectory, path))
        }
        FileOperation::MakeDirectory { path, with_parents: false } => {
            let failed = || at_path(Step::MakeDirectory, path);
            let (parent, name) = roots.open_parent(path).map_err(failed())?;
            let mode = rustix::fs::Mode::from_raw_mode(0o755);
            rustix::fs::mkdirat(&parent, name, mode).map_err(|error| failed()(error.into()))
        }
        FileOperation::Rename { from, to } => rename(from, to, roots).map_err(at_path(Step::Rename, from)),
        FileOperation::Mount(mount) => carry_out(mount, roots),
    }
}

fn rename(from: &Path, to: &Path, roots: &Roots) -> io::Result<()> {
    let (from_parent, from_name) = roots.open_parent(from)?;
    let (to_parent, to_name) = roots.open_parent(to)?;
    match rustix::fs::renameat(&from_parent, from_name, &to_parent, to_name) {
        Err(rustix::io::Errno::XDEV) => {}
        answer => return Ok(answer?),
    }
    // mv copies trees, with all that belongs to files. It gets the directories as they are open here.
    let copies = [&from_parent, &to_parent].map(|parent| rustix::io::fcntl_dupfd_cloexec(parent, 3));
    let [from_parent, to_parent] = copies;
    let (from_parent, to_parent) = (from_parent?, to_parent?);
    let from: PathBuf = mounts::path_of(&from_parent).join(from_name);
    let to: PathBuf = mounts::path_of(&to_parent).join(to_name);
    let launch = Launch { keep: vec![from_parent, to_parent], ..Launch::new("mv") };
    let launch = launch.argument("-f").argument("-T").argument("--").argument(from).argument(to);
    let pid = launch.start().map_err(io::Error::other)?;
    match wait::wait(pid)? {
        exit if exit.success() => Ok(()),
        _ => Err(rustix::io::Errno::XDEV.into()),
    }
}
