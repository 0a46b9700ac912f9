//! The way of a forked process to its program, step by step.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Gid, Uid};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::descriptors::{self, arrange};
use super::error::{StartError, Step};
use super::fork::{GO, exit};
use super::mounting::{self, at};
use super::process::{Before, CapabilityRequest, Namespaces, Process, Stream};
use super::report::Reporter;
use super::{filter, init};
use crate::capabilities::{self, Capabilities, CapabilitySet};
use crate::paths::Roots;
use crate::spawn::{Launch, Session};
use crate::wait;

/// The exit status of a process whose program never ran; that of Apache Mesos's launcher.
const FAILED: i32 = 1;

/// This process's ends of the pipes.
pub(super) struct Ends<'a> {
    pub report: &'a OwnedFd,
    pub gate: &'a OwnedFd,
    pub status: Option<&'a OwnedFd>,
}

/// What is left of them, above the program's own descriptors.
struct Own {
    reporter: Option<Reporter>,
    gate: Option<File>,
    status: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
}

/// From the fork to the program. Never returns: whatever this process has a copy of is its parent's.
pub(super) fn run(process: &Process, ends: Ends<'_>) -> ! {
    crate::signals::default_actions();
    let mut own = match take_descriptors(process, &ends) {
        Ok(own) => own,
        Err(error) => {
            if let Ok(report) = ends.report.try_clone() {
                Reporter::new(report).failed(&error);
            }
            exit(FAILED)
        }
    };
    let Err(error) = go(process, &mut own);
    if let Some(reporter) = &mut own.reporter {
        reporter.failed(&error);
    }
    exit(FAILED)
}

impl Process {
    /// The calling process becomes the program, with the standard descriptors it has; for programs that are a process of the
    /// container already. Only an error comes back, and then some of it may be done. It must have one thread only.
    pub fn become_program(&self) -> StartError {
        let mut own = Own { reporter: None, gate: None, status: None, terminal: None };
        let prepared = self.check().and_then(|()| {
            let all = self.clone | self.enter.map_or(Namespaces::NONE, |enter| enter.namespaces);
            if all.contains(Namespaces::PID) {
                return Err(StartError::Wrong("a process cannot change its own pid namespace".into()));
            }
            unshare(self, self.clone.without(Namespaces::CGROUP))
        });
        match prepared.and_then(|()| go(self, &mut own)) {
            Err(error) => error,
        }
    }
}

fn take_descriptors(process: &Process, ends: &Ends<'_>) -> Result<Own, StartError> {
    let failed = || at(Step::Descriptors, process.program.display());
    let null = descriptors::null().map_err(failed())?;
    let stream = |stream: &'_ Stream| -> Result<OwnedFd, StartError> {
        let found = match stream {
            Stream::Null => &null,
            Stream::Descriptor(descriptor) => descriptor,
            Stream::Terminal => match &process.terminal {
                Some(terminal) => terminal,
                None => return Err(StartError::Wrong("a stream is the terminal, and there is none".into())),
            },
        };
        found.try_clone().map_err(failed())
    };
    let streams = [stream(&process.stdin)?, stream(&process.stdout)?, stream(&process.stderr)?];
    let mut wanted: Vec<(i32, BorrowedFd<'_>)> =
        (0..).zip(&streams).map(|(number, stream)| (number, stream.as_fd())).collect();
    wanted.extend(process.keep.iter().map(|kept| (kept.number, kept.descriptor.as_fd())));
    let mut own = vec![ends.report.as_fd(), ends.gate.as_fd()];
    own.extend(ends.status.iter().map(AsFd::as_fd));
    own.extend(process.terminal.iter().map(AsFd::as_fd));
    let placed = arrange(&wanted, &own);
    // Their numbers are others' by now.
    std::mem::forget((streams, null));
    let mut placed = placed.map_err(failed())?.into_iter();
    let reporter = placed.next().map(Reporter::new);
    let gate = placed.next().map(File::from);
    let status = ends.status.and_then(|_| placed.next());
    let terminal = process.terminal.as_ref().and_then(|_| placed.next());
    Ok(Own { reporter, gate, status, terminal })
}

fn go(process: &Process, own: &mut Own) -> Result<Infallible, StartError> {
    let program = process.program.display();
    let in_pid_namespace = process.clone | process.enter.map_or(Namespaces::NONE, |enter| enter.namespaces);
    if in_pid_namespace.contains(Namespaces::PID) {
        // Until its program runs, this is a process of the host that those in there could look into.
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
            .map_err(|error| at(Step::Prepare, &program)(error.into()))?;
    }
    new_session(process)?;
    for cgroup in &process.cgroups {
        fs::write(cgroup, "0").map_err(at(Step::EnterCgroup, cgroup.display()))?;
    }
    enter(process, |kind| !matches!(kind, Namespaces::PID | Namespaces::MOUNT))?;

    wait_for_go(own).map_err(at(Step::Prepare, &program))?;

    if process.clone.contains(Namespaces::CGROUP) {
        unshare(process, Namespaces::CGROUP)?;
    }
    let roots = mounting::roots(process);
    mounting::prepare(process, &roots)?;
    for operation in &process.operations {
        mounting::operate(operation, &roots)?;
    }
    for before in &process.before {
        run_before(before)?;
    }
    enter(process, |kind| kind == Namespaces::MOUNT)?;
    if let Some(rootfs) = &process.rootfs {
        let failed = || at(Step::Root, rootfs.display());
        let root = Roots::default().open(rootfs).map_err(failed())?;
        crate::mounts::change_root(&root).map_err(failed())?;
    }
    if let Some(status) = own.status.take() {
        init::split(status).map_err(at(Step::Init, &program))?;
        new_session(process)?;
    }
    if let Some(terminal) = own.terminal.take() {
        rustix::process::ioctl_tiocsctty(&terminal)
            .map_err(|error| at(Step::Terminal, &program)(error.into()))?;
    }
    crate::signals::unblock_all();
    for limit in &process.limits {
        limit.set().map_err(at(Step::Limits, &program))?;
    }
    enter_directory(process)?;
    drop_privileges(process)?;
    execute(process)
}

fn unshare(process: &Process, namespaces: Namespaces) -> Result<(), StartError> {
    let flags = UnshareFlags::from_bits_retain(namespaces.flags());
    // SAFETY: this process has one thread, so that none is left with files or memory of another.
    unsafe { rustix::thread::unshare_unsafe(flags) }
        .map_err(|error| at(Step::Unshare, process.program.display())(error.into()))
}

fn new_session(process: &Process) -> Result<(), StartError> {
    let failed = |error: rustix::io::Errno| at(Step::NewSession, process.program.display())(error.into());
    match process.session {
        Session::Same => Ok(()),
        Session::NewGroup => rustix::process::setpgid(None, None).map_err(failed),
        Session::New => rustix::process::setsid().map(drop).map_err(failed),
    }
}

/// Enters namespaces of the process that is to be entered; that of pids was entered by the fork.
fn enter(process: &Process, which: impl Fn(Namespaces) -> bool) -> Result<(), StartError> {
    const KINDS: [(Namespaces, &str, LinkNameSpaceType); 5] = [
        (Namespaces::IPC, "ipc", LinkNameSpaceType::InterProcessCommunication),
        (Namespaces::UTS, "uts", LinkNameSpaceType::HostNameAndNISDomainName),
        (Namespaces::NET, "net", LinkNameSpaceType::Network),
        (Namespaces::CGROUP, "cgroup", LinkNameSpaceType::ControlGroup),
        (Namespaces::MOUNT, "mnt", LinkNameSpaceType::Mount),
    ];
    let Some(enter) = process.enter else { return Ok(()) };
    for (kind, name, link) in KINDS {
        if !enter.namespaces.contains(kind) || !which(kind) {
            continue;
        }
        let path = format!("/proc/{}/ns/{name}", enter.pid);
        let namespace = File::open(&path).map_err(at(Step::EnterNamespace, &path))?;
        rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(link))
            .map_err(|error| at(Step::EnterNamespace, &path)(error.into()))?;
    }
    Ok(())
}

/// Says that all is ready, and waits. Where the other side is gone, nobody wants the program any more.
fn wait_for_go(own: &mut Own) -> io::Result<()> {
    let (Some(reporter), Some(mut gate)) = (&mut own.reporter, own.gate.take()) else { return Ok(()) };
    reporter.ready()?;
    let mut byte = [0];
    match gate.read_exact(&mut byte) {
        Ok(()) if byte == [GO] => Ok(()),
        _ => exit(FAILED),
    }
}

fn run_before(before: &Before) -> Result<(), StartError> {
    let name = before.program.to_string_lossy().into_owned();
    let launch = Launch {
        program: before.program.clone(),
        arguments: before.arguments.clone(),
        environment: before.environment.clone(),
        ..Launch::default()
    };
    let command = before.arguments.last().map_or(name.clone(), |last| last.to_string_lossy().into_owned());
    let pid = launch.start().map_err(|error| match error {
        crate::spawn::SpawnError::Step { source, .. } => at(Step::RunBefore, &name)(source),
        error => StartError::Wrong(error.to_string()),
    })?;
    match wait::wait(pid).map_err(at(Step::RunBefore, &name))? {
        exit if exit.success() => Ok(()),
        exit => Err(StartError::Before { command, exit }),
    }
}

fn enter_directory(process: &Process) -> Result<(), StartError> {
    let directory = process.directory.as_deref().unwrap_or(std::path::Path::new("/"));
    let failed = || at(Step::Directory, directory.display());
    if process.rootfs.is_some() {
        // One that cannot be made cannot be entered either, and that is told.
        let _ = fs::create_dir_all(directory);
        return std::env::set_current_dir(directory).map_err(failed());
    }
    // The way to it may be the task's, whose links lead nowhere. In a new root there is no such way.
    let found = mounting::roots(process).make_directories(directory).map_err(failed())?;
    rustix::process::fchdir(found).map_err(|error| failed()(error.into()))
}

/// User, capabilities and filters. A filter needs privileges to be loaded, unless the process gave up on getting more.
fn drop_privileges(process: &Process) -> Result<(), StartError> {
    let program = process.program.display();
    let load = |process: &Process| match &process.seccomp {
        Some(seccomp) => filter::load(seccomp).map_err(at(Step::Seccomp, &program)),
        None => Ok(()),
    };
    if !process.no_new_privileges {
        load(process)?;
    }
    let me = rustix::process::geteuid();
    if let Some(identity) = process.identity.as_ref().filter(|identity| identity.uid != me.as_raw()) {
        if process.capabilities.is_some() {
            rustix::thread::set_keep_capabilities(true)
                .map_err(|error| at(Step::KeepCapabilities, &program)(error.into()))?;
        }
        let groups: Vec<Gid> = identity.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        rustix::thread::set_thread_groups(&groups)
            .map_err(|error| at(Step::Groups, &program)(error.into()))?;
        let gid = Gid::from_raw(identity.gid);
        rustix::thread::set_thread_res_gid(gid, gid, gid)
            .map_err(|error| at(Step::Group, &program)(error.into()))?;
        let uid = Uid::from_raw(identity.uid);
        rustix::thread::set_thread_res_uid(uid, uid, uid)
            .map_err(|error| at(Step::User, &program)(error.into()))?;
    }
    if let Some(request) = &process.capabilities {
        set_capabilities(request, process)?;
    }
    if process.no_new_privileges {
        rustix::thread::set_no_new_privs(true)
            .map_err(|error| at(Step::NoNewPrivileges, &program)(error.into()))?;
        load(process)?;
    }
    Ok(())
}

fn set_capabilities(request: &CapabilityRequest, process: &Process) -> Result<(), StartError> {
    const SETPCAP: u8 = 8;
    let program = process.program.display();
    let now = Capabilities::current().map_err(at(Step::Capabilities, &program))?;
    // Needed for the bounding set, and lost by a change of user.
    let raised = Capabilities { effective: now.effective.with(SETPCAP), ..now };
    raised.set().map_err(at(Step::Capabilities, &program))?;
    let wanted = request.of(&now);
    for number in 0..64 {
        if !wanted.bounding.contains(number) {
            capabilities::drop_bounding(number).map_err(at(Step::BoundingCapabilities, &program))?;
        }
    }
    wanted.set().map_err(at(Step::Capabilities, &program))?;
    for number in (0..64).filter(|number| wanted.ambient.contains(*number)) {
        capabilities::raise_ambient(number).map_err(at(Step::AmbientCapabilities, &program))?;
    }
    Ok(())
}

impl CapabilityRequest {
    /// The sets of a process that has these now.
    fn of(&self, now: &Capabilities) -> Capabilities {
        let effective = self.effective.unwrap_or(now.effective);
        let bounding = self.bounding.or(self.effective).unwrap_or(now.bounding);
        Capabilities {
            effective,
            permitted: self.effective.unwrap_or(now.permitted),
            // What a file could add is never more than the bounding set.
            inheritable: bounding.and(now.permitted),
            bounding,
            ambient: self.effective.unwrap_or(CapabilitySet::NONE),
        }
    }
}

fn execute(process: &Process) -> Result<Infallible, StartError> {
    let mut command = Command::new(&process.program);
    if let Some((first, rest)) = process.arguments.split_first() {
        command.arg0(first).args(rest);
    }
    command.env_clear().envs(process.environment.iter().map(|(name, value)| (name, value)));
    let error = command.exec();
    Err(at(Step::Execute, process.program.display())(error))
}
