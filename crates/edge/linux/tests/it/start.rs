//! Programs get exactly what they were started with, and a failure says what failed.

use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

use messor_linux::limits::Limit;
use messor_linux::poll::{PollFd, PollFlags, poll};
use messor_linux::spawn::{Launch, Session, SpawnError, Stdio, Step};
use messor_linux::users::Identity;
use messor_linux::{Exit, Signal, signals};

use crate::{end_of, output, path};

#[test]
fn arguments_and_environment_are_exactly_those_given() {
    let mut launch = Launch::new("/bin/sh").variable("ONE", "1 1").variable("TWO", "");
    launch.arguments =
        ["name", "-c", "echo \"$0|$1|$2\"; /usr/bin/env", "zero", "a b", ""].map(Into::into).to_vec();
    let (text, exit) = output(launch);
    assert_eq!(exit, Exit::Exited(0));
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.remove(0), "zero|a b|");
    // The shell adds what it always adds.
    lines.retain(|line| !line.starts_with("PWD=") && !line.starts_with("_=") && !line.starts_with("SHLVL="));
    lines.sort_unstable();
    assert_eq!(lines, ["ONE=1 1", "TWO="]);
}

#[test]
fn the_first_argument_need_not_be_the_program() {
    let mut launch = Launch::new("/bin/sh");
    launch.arguments = ["-other", "-c", "tr '\\0' '|' < /proc/$$/cmdline"].map(Into::into).to_vec();
    launch.environment = vec![path()];
    assert!(output(launch).0.starts_with("-other|-c|"));
}

#[test]
fn a_name_is_looked_for_in_the_path_given() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("only-here");
    // No interpreter line: the shell runs it, as execvp would.
    std::fs::write(&program, "echo found \"$@\"\n").unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let search = format!("/nowhere:{}", folder.path().display());
    let (text, _) = output(Launch::new("only-here").argument("it").variable("PATH", search));
    assert_eq!(text, "found it\n");
}

#[test]
fn a_program_that_cannot_be_executed_is_told_precisely() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "text").unwrap();
    let code_of = |launch: Launch| match launch.start().unwrap_err() {
        SpawnError::Step { step, source, .. } => (step, source.raw_os_error().unwrap()),
        other => panic!("{other}"),
    };
    assert_eq!(code_of(Launch::new("/no/such/program")), (Step::Execute, libc::ENOENT));
    assert_eq!(code_of(Launch::new("no-such-program")), (Step::Execute, libc::ENOENT));
    assert_eq!(code_of(Launch::new(&plain)), (Step::Execute, libc::EACCES));
    assert_eq!(code_of(Launch::new("")), (Step::Execute, libc::ENOENT));
    let mut launch = Launch::new("/bin/true");
    launch.directory = Some("/no/such/directory".into());
    assert_eq!(code_of(launch), (Step::Directory, libc::ENOENT));
    let error = Launch::new("/no/such").start().unwrap_err().to_string();
    assert!(error.starts_with("could not execute '/no/such': No such file or directory"), "{error}");
    assert!(matches!(Launch::new("a\0b").start(), Err(SpawnError::Nul(_))));
    assert!(matches!(Launch::new("a").variable("b=", "").start(), Err(SpawnError::VariableName(_))));
}

#[test]
fn directory_streams_and_session() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    std::fs::write(folder.join("in"), "input").unwrap();
    let mut launch = Launch::shell("pwd; cat; echo problem >&2; ps -o pid= -o sid= -o pgid= -p $$");
    launch.environment = vec![path()];
    launch.directory = Some(folder.clone());
    launch.stdin = std::fs::File::open(folder.join("in")).unwrap().into();
    launch.stderr = std::fs::File::create(folder.join("err")).unwrap().into();
    launch.session = Session::New;
    let (text, exit) = output(launch);
    assert_eq!(exit, Exit::Exited(0));
    let (pwd, rest) = text.split_once('\n').unwrap();
    assert_eq!(pwd, folder.to_str().unwrap());
    let ids: Vec<&str> = rest.strip_prefix("input").unwrap().split_whitespace().collect();
    assert!(ids.len() == 3 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(std::fs::read_to_string(folder.join("err")).unwrap(), "problem\n");
}

#[test]
fn no_other_descriptor_gets_through_but_those_kept() {
    let file = tempfile::tempfile().unwrap();
    // Copies without the close-on-exec mark: the one must be closed and the other stay.
    let open = |file: &std::fs::File| {
        let copy = rustix::io::fcntl_dupfd_cloexec(file, 50).unwrap();
        rustix::io::fcntl_setfd(&copy, rustix::io::FdFlags::empty()).unwrap();
        copy
    };
    let (leaked, kept) = (open(&file), open(&file));
    let number = kept.as_raw_fd();
    let mut launch = Launch::new("/bin/ls").argument("/proc/self/fd");
    launch.keep = vec![kept];
    launch.stdin = Stdio::Null;
    let (text, _) = output(launch);
    let open: Vec<i32> = text.lines().map(|line| line.parse().unwrap()).collect();
    // 3 is the listing's own.
    assert_eq!(open, [0, 1, 2, 3, number], "leaked {}", leaked.as_raw_fd());
}

#[test]
fn signals_are_as_in_a_fresh_program() {
    // Rust ignores SIGPIPE; this test blocks one more.
    let _blocked = signals::SignalFd::new(&[Signal::USR1]).unwrap();
    let mut launch = Launch::new("/bin/grep");
    launch.arguments = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"].map(Into::into).to_vec();
    let (text, _) = output(launch);
    assert_eq!(
        text.split_whitespace().skip(1).step_by(2).collect::<Vec<_>>(),
        ["0000000000000000"; 2],
        "{text}"
    );
}

#[test]
fn limits_and_user_are_switched() {
    assert!(rustix::process::geteuid().is_root(), "the tests of messor-linux are run by root");
    let nobody = Identity::of("nobody", &[4242]).unwrap();
    let mut launch = Launch::shell("id -u; id -g; id -G; ulimit -n; ulimit -Hn");
    launch.environment = vec![path()];
    launch.limits = vec![Limit::new("RLMT_NOFILE", Some(33), Some(44)).unwrap()];
    launch.identity = Some(nobody.clone());
    let (text, exit) = output(launch);
    assert_eq!(exit, Exit::Exited(0));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], nobody.uid.to_string());
    assert_eq!(lines[1], nobody.gid.to_string());
    let mut groups: Vec<u32> = lines[2].split(' ').map(|group| group.parse().unwrap()).collect();
    groups.sort_unstable();
    assert_eq!(groups, nobody.groups);
    assert_eq!(lines[3..], ["33", "44"]);
}

#[test]
fn new_privileges_can_be_ruled_out() {
    let mut launch = Launch::new("/bin/grep").argument("NoNewPrivs").argument("/proc/self/status");
    launch.no_new_privileges = true;
    assert_eq!(output(launch).0.split_whitespace().last(), Some("1"));
}

#[test]
fn signals_are_read_from_the_descriptor() {
    let descriptor = signals::SignalFd::new(&[Signal::USR2, Signal::CHILD]).unwrap();
    assert_eq!(descriptor.read().unwrap(), None);
    // SAFETY: sends a signal to the calling thread, which has it blocked.
    assert_eq!(unsafe { libc::raise(libc::SIGUSR2) }, 0);
    let mut ready = [PollFd::new(&descriptor, PollFlags::IN)];
    assert_eq!(poll(&mut ready, Some(crate::PATIENCE)).unwrap(), 1);
    assert_eq!(descriptor.read().unwrap(), Some(Signal::USR2));
    assert_eq!(descriptor.read().unwrap(), None);
}

#[test]
fn ends_are_told_apart() {
    let mut launch = Launch::shell("kill -TERM $$");
    launch.environment = vec![path()];
    let pid = launch.start().unwrap();
    assert_eq!(end_of(pid).to_string(), "terminated with signal Terminated");
    let pid = Launch::shell("exit 3").start().unwrap();
    assert_eq!(end_of(pid), Exit::Exited(3));
}

#[test]
fn a_program_waits_until_its_process_has_been_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (seen, done) = (folder.path().join("seen"), folder.path().join("done"));
    let command = format!("test -f {} && touch {}", seen.display(), done.display());
    let mut launch = Launch::shell(command);
    launch.environment = vec![path()];
    let pid = launch
        .start_when(|pid| {
            // It is there, and is not the program yet.
            let found = messor_linux::procfs::process(pid.as_raw_pid())?.unwrap();
            assert_ne!(found.name, "sh");
            std::fs::write(&seen, "")
        })
        .unwrap();
    assert_eq!(end_of(pid), Exit::Exited(0));
    assert!(done.exists());

    let mut launch = Launch::shell(format!("touch {}; rm {}", seen.display(), done.display()));
    launch.environment = vec![path()];
    let mut held = None;
    let refused = launch.start_when(|pid| {
        held = Some(pid);
        Err(std::io::Error::other("no"))
    });
    assert!(matches!(refused, Err(SpawnError::Held { .. })), "{refused:?}");
    assert_eq!(messor_linux::procfs::process(held.unwrap().as_raw_pid()).unwrap(), None);
    assert!(done.exists(), "it was never executed");
}

#[test]
fn a_child_in_the_memory_of_its_parent_is_as_any_other() {
    let shared = |mut launch: Launch| {
        launch.shares_memory = true;
        launch.environment = vec![path()];
        launch
    };
    let mut launch =
        shared(Launch::shell("echo $$; pwd; ulimit -n; grep -E '^Sig(Blk|Ign)' /proc/self/status"));
    launch.directory = Some("/usr".into());
    launch.limits = vec![Limit::new("RLMT_NOFILE", Some(33), Some(44)).unwrap()];
    launch.session = Session::New;
    let (text, exit) = output(launch);
    assert_eq!(exit, Exit::Exited(0));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1..3], ["/usr", "33"], "{text}");
    assert!(lines[3..5].iter().all(|line| line.ends_with("0000000000000000")), "{text}");

    // A step that fails is told, and its number is that of the child, not of somebody else's call.
    let mut launch = shared(Launch::shell("true"));
    launch.directory = Some("/no/such/directory".into());
    let error = launch.start().unwrap_err();
    assert!(matches!(error, SpawnError::Step { step: Step::Directory, .. }), "{error}");
    let error = shared(Launch::new("/no/such/program")).start().unwrap_err();
    assert!(error.to_string().contains("execute '/no/such/program': No such file"), "{error}");

    let mut held = None;
    let refused = shared(Launch::shell("true")).start_when(|pid| {
        held = Some(pid);
        Err(std::io::Error::other("no"))
    });
    assert!(matches!(refused, Err(SpawnError::Held { .. })), "{refused:?}");
    assert_eq!(messor_linux::procfs::process(held.unwrap().as_raw_pid()).unwrap(), None);

    // Killed while it waits: either nobody is left to hear that it may go on, or its end tells.
    let killed = shared(Launch::shell("true")).start_when(|pid| {
        signals::send(pid, Signal::KILL)?;
        while messor_linux::procfs::process(pid.as_raw_pid())?.is_some_and(|found| !found.is_zombie()) {}
        Ok(())
    });
    match killed {
        Ok(pid) => assert_eq!(end_of(pid).to_string(), "terminated with signal Killed"),
        Err(error) => assert!(matches!(error, SpawnError::Held { .. }), "{error}"),
    }
}

#[test]
fn children_in_the_memory_of_their_parent_leave_it_as_it_was() {
    // Others work on while children are started: what they allocate and the errors that they see stay theirs.
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let work = || {
            let mut rounds = 0u64;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let numbers: Vec<u64> = (0..1000).map(|number| number * rounds).collect();
                assert_eq!(numbers.iter().sum::<u64>(), 499_500 * rounds);
                let missing = std::fs::read("/no/such/file").unwrap_err();
                assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
                rounds += 1;
            }
            rounds
        };
        let workers = [scope.spawn(work), scope.spawn(work)];
        let starters = [(); 4].map(|()| {
            scope.spawn(|| {
                for number in 0..50 {
                    let mut launch = Launch::shell(format!("exit {number}"));
                    launch.shares_memory = true;
                    assert_eq!(end_of(launch.start().unwrap()), Exit::Exited(number));
                }
            })
        });
        for starter in starters {
            starter.join().unwrap();
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        for worker in workers {
            assert!(worker.join().unwrap() > 0);
        }
    });
}
