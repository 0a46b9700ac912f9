//! Trees of real processes are killed whole.

use messor_linux::killtree::{Kernel, Tree, kill_tree};
use messor_linux::spawn::{Launch, Session};
use messor_linux::{Exit, Signal, procfs, wait};

use crate::{end_of, line, path, pipe};

/// Ignores SIGTERM in every process: a child in the group, one in a session of its own, one that forked twice, and one
/// that did both. Writes "up" once for each of the five.
const STUBBORN: &str = "trap '' TERM; \
    run() { echo up; while :; do sleep 60; done; }; \
    run & \
    setsid sh -c 'echo up; while :; do sleep 60; done' & \
    (run &) ; \
    (setsid sh -c 'echo up; while :; do sleep 60; done' &) ; \
    run";

#[test]
fn a_stubborn_tree_is_killed_with_those_that_slipped_out() {
    wait::become_subreaper().unwrap();
    let me = i32::try_from(std::process::id()).unwrap();
    let (mut reading, writing) = pipe();
    let mut launch = Launch::shell(STUBBORN);
    launch.environment = vec![path()];
    launch.session = Session::New;
    launch.stdout = writing;
    let task = launch.start().unwrap();
    for _ in 0..5 {
        assert_eq!(line(&mut reading), "up");
    }
    let root = task.as_raw_nonzero().get();
    let adopted = || procfs::processes().unwrap().into_iter().filter(|process| process.parent == me);
    let tree = Tree { roots: adopted().map(|process| process.pid).chain([root]).collect(), spared: vec![me] };
    let members = kill_tree(&mut Kernel, &tree, Signal::TERM).unwrap();
    assert!(members.len() >= 5, "five shells, and those of their sleeps that have begun: {members:?}");
    let usage = procfs::tree_usage(&procfs::processes().unwrap(), me);
    assert!(usage.processes >= 6, "SIGTERM is ignored by the shells: {usage:?}");

    let members = kill_tree(&mut Kernel, &tree, Signal::KILL).unwrap();
    assert!(members.len() >= 5, "{members:?}");
    assert_eq!(end_of(task), Exit::Signalled { signal: 9, core_dumped: false });
    // The pipe ends when the last process that could write to it is gone.
    assert_eq!(line(&mut reading), "");
    while adopted().next().is_some() {
        // All of them are dead or dying: each reap is of one that ended.
        if wait::reap_any().unwrap().is_none() {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_child_is_reaped_once() {
    let pid = Launch::new("/bin/true").start().unwrap();
    let descriptor = wait::pid_descriptor(pid).unwrap();
    let mut ready = [messor_linux::poll::PollFd::new(&descriptor, messor_linux::poll::PollFlags::IN)];
    messor_linux::poll::poll(&mut ready, Some(crate::PATIENCE)).unwrap();
    let reaped = wait::reap_any().unwrap().unwrap();
    assert_eq!((reaped.pid, reaped.exit), (pid, Exit::Exited(0)));
    assert_eq!(wait::reap_any().unwrap(), None);
    assert!(wait::try_wait(pid).is_err());
}

#[test]
fn signals_are_sent_by_their_numbers() {
    use std::os::unix::process::ExitStatusExt;
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = messor_linux::Pid::from_child(&child);
    messor_linux::signals::send_number(pid, 0).unwrap();
    for wrong in [65, -1] {
        let error = messor_linux::signals::send_number(pid, wrong).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{wrong}");
    }
    assert_eq!(child.try_wait().unwrap(), None);
    // The last of the signals that have no name.
    messor_linux::signals::send_number(pid, 64).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(64));
    assert!(messor_linux::signals::send_number(pid, 0).is_err());
}
