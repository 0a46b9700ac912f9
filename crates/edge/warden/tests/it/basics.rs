//! Starting, holding, letting go, ending; and what is inherited.

use std::io::{self, Read};

use messor_linux::container::{Kept, Process, StartError, Step, Stream};
use messor_linux::users::Identity;
use messor_linux::{Exit, Signal};
use messor_warden::Event;

use crate::house::{House, eventually, is_alive, is_root, pipe, process, shell};

#[test]
fn a_process_is_held_goes_on_and_its_end_is_noted_before_it_is_told() {
    let house = House::new();
    let (mut reading, writing) = pipe();
    let mut wanted = shell("echo here; exit 3");
    wanted.stdout = writing.into();
    let held = house.warden().fork(house.start("c", wanted)).unwrap();
    let pid = held.pid();
    assert_eq!(std::fs::read_to_string(house.path("c.pid")).unwrap(), pid.to_string());
    assert!(is_alive(pid));
    house.no_event();
    held.go_on().unwrap();
    let mut output = String::new();
    reading.read_to_string(&mut output).unwrap();
    assert_eq!(output, "here\n");
    let ended = house.ended();
    assert_eq!((ended.pid, ended.container.as_str(), ended.exit), (pid, "c", Some(Exit::Exited(3))));
    assert_eq!(house.noted("c"), "768");
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "it is reaped");
}

#[test]
fn a_signal_ends_it_and_is_noted() {
    let house = House::new();
    let pid = house.launch("c", process("/bin/sleep", &["1000"])).unwrap();
    house.warden().signal(pid, Signal::TERM).unwrap();
    let exit = Exit::Signalled { signal: 15, core_dumped: false };
    assert_eq!(house.ended().exit, Some(exit));
    assert_eq!(house.noted("c"), "15");
    let error = house.warden().signal(pid, Signal::TERM).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(3), "no such process: {error}");
    assert!(house.warden().signal(1, Signal::CONT).is_err(), "only its own");
}

#[test]
fn each_step_that_fails_is_named_with_its_error() {
    let house = House::new();
    let fails = |process: Process| match house.launch("c", process).unwrap_err() {
        StartError::Step { step, what, source } => (step, what, source.raw_os_error().unwrap()),
        other => panic!("{other}"),
    };
    assert_eq!(fails(process("/no/such/program", &[])), (Step::Execute, "/no/such/program".into(), 2));
    assert_eq!(house.noted("c"), "256");
    assert_eq!(fails(process("/etc/passwd", &[])), (Step::Execute, "/etc/passwd".into(), 13));
    let nowhere = Process { directory: Some("/proc/no".into()), ..shell("true") };
    assert_eq!(fails(nowhere), (Step::Directory, "/proc/no".into(), 2));
    let cgroup = Process { cgroups: vec!["/no/cgroup.procs".into()], ..shell("true") };
    assert_eq!(fails(cgroup), (Step::EnterCgroup, "/no/cgroup.procs".into(), 2));
    let error = house.launch("c", Process::default()).unwrap_err().to_string();
    assert!(error.contains("'program' and 'arguments'"), "{error}");
    let relative = Process { masked_paths: vec!["x".into()], ..shell("true") };
    let error = house.launch("c", relative).unwrap_err().to_string();
    assert!(error.contains("'masked_paths' needs a new mount namespace"), "{error}");
    // None of these ends is told as that of a container.
    house.no_event();
    assert_eq!(house.warden().strays().unwrap(), [0; 0]);
}

#[test]
fn what_is_dropped_while_it_is_held_never_runs() {
    let house = House::new();
    let mark = house.path("mark");
    let held = house.warden().fork(house.start("c", process("/usr/bin/touch", &[mark.to_str().unwrap()])));
    let held = held.unwrap();
    let pid = held.pid();
    drop(held);
    eventually("the held process ends", || !is_alive(pid));
    assert!(!mark.exists());
    house.no_event();
}

#[test]
fn what_is_killed_while_it_is_held_says_so() {
    let house = House::new();
    let held = house.warden().fork(house.start("c", shell("true"))).unwrap();
    let pid = held.pid();
    crate::house::kill(pid);
    eventually("its end is noted", || house.path("c.status").exists());
    let error = held.go_on().unwrap_err();
    assert!(matches!(error, StartError::Ended(Exit::Signalled { signal: 9, .. })), "{error}");
    house.no_event();
}

#[test]
fn a_process_has_what_it_was_given_and_nothing_else() {
    let house = House::new();
    let kept = std::fs::File::open("/dev/zero").unwrap();
    let script = "env | sort; pwd; ls -l /proc/self/fd | sed 's/.* -> //' | sort; \
        grep -E '^(SigBlk|SigIgn|ShdPnd)' /proc/self/status; umask >/dev/null; ps -o ppid= -p $$";
    let mut wanted = shell(script);
    wanted.environment.push(("A".into(), "b c".into()));
    wanted.keep = vec![Kept { number: 9, descriptor: kept.into() }];
    let (exit, output) = house.run(wanted);
    assert_eq!(exit, Exit::Exited(0));
    let lines: Vec<&str> = output.lines().collect();
    let variables: Vec<&str> = lines.iter().copied().take_while(|line| *line != "/").collect();
    let own = ["OLDPWD=/", "PWD=/", "SHLVL=0", "_=/usr/bin/env"];
    let given: Vec<&str> = variables.into_iter().filter(|line| !own.contains(line)).collect();
    assert_eq!(given, ["A=b c", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
    assert!(output.contains("/dev/null\n/dev/zero\n"), "{output}");
    // Standard input, two pipes, the kept one, and the directory that is listed.
    let descriptors = lines.iter().filter(|line| line.starts_with("/dev/") || line.starts_with("pipe:"));
    assert!(descriptors.count() <= 5, "{output}");
    assert!(!output.contains("socket:") && !output.contains("anon_inode"), "{output}");
    assert!(output.contains("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"), "{output}");
    let warden = house.warden().pid().unwrap().to_string();
    assert_eq!(lines.last().unwrap().trim(), warden);
}

#[test]
fn the_warden_has_nothing_of_its_agent() {
    let house = House::new();
    let pid = house.warden().pid().unwrap();
    let proc = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    assert_eq!(proc("environ"), "");
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(), Some("/"));
    let open: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap().to_string_lossy().into_owned())
        .collect();
    // Three times /dev/null, the socket it listens at, the agent's, and signals.
    assert_eq!(open.iter().filter(|name| *name == "/dev/null").count(), 3, "{open:?}");
    assert_eq!(open.iter().filter(|name| name.starts_with("socket:")).count(), 2, "{open:?}");
    assert_eq!(open.len(), 6, "{open:?}");
    let stat = messor_linux::procfs::process(pid).unwrap().unwrap();
    assert_eq!((stat.session, stat.threads), (pid, 1));
    let anonymous = proc("smaps_rollup");
    let line = anonymous.lines().find(|line| line.starts_with("Anonymous:")).unwrap();
    println!("a warden without containers: {line}");
}

#[test]
fn the_user_and_its_groups_and_limits() {
    if !is_root() {
        return;
    }
    let house = House::new();
    let mut wanted = shell("id -u; id -g; id -G; ulimit -n; grep NoNewPrivs /proc/self/status");
    wanted.identity = Some(Identity { uid: 65534, gid: 65534, groups: vec![7, 65534] });
    wanted.limits = vec![messor_linux::limits::Limit::new("RLMT_NOFILE", Some(77), Some(88)).unwrap()];
    wanted.no_new_privileges = true;
    assert_eq!(house.run(wanted).1, "65534\n65534\n65534 7\n77\nNoNewPrivs:\t1\n");
}

#[test]
fn a_terminal_is_the_controlling_one() {
    let house = House::new();
    let (master, slave) = terminal();
    let mut wanted = shell("stty size; tty; ps -o sid= -p $$; echo $$; read line; echo \"got $line\"");
    (wanted.stdin, wanted.stdout, wanted.stderr) = (Stream::Terminal, Stream::Terminal, Stream::Terminal);
    wanted.terminal = Some(slave);
    house.launch("c", wanted).unwrap();
    rustix::io::write(&master, b"hello\n").unwrap();
    assert_eq!(house.ended().exit, Some(Exit::Exited(0)));
    let mut output = String::new();
    // Ends with EIO, as the last one has closed the other side.
    let _ = std::fs::File::from(master).read_to_string(&mut output);
    assert!(output.contains("/dev/pts/") && output.contains("got hello"), "{output}");
    let numbers: Vec<i32> = output.lines().filter_map(|line| line.trim().parse().ok()).collect();
    assert_eq!(numbers.len(), 2, "{output}");
    assert_eq!(numbers[0], numbers[1], "it leads its session");
}

fn terminal() -> (std::os::fd::OwnedFd, std::os::fd::OwnedFd) {
    use rustix::fs::{Mode, OFlags};
    let how = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::open("/dev/ptmx", how, Mode::empty()).unwrap();
    let path = messor_linux::terminals::unlock(&master).unwrap();
    (master, rustix::fs::open(path, how, Mode::empty()).unwrap())
}

#[test]
fn many_are_started_at_the_same_time() {
    let house = House::new();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let house = &house;
            scope.spawn(move || {
                for round in 0..10 {
                    house.launch(&format!("c-{thread}-{round}"), shell("exit 7")).unwrap();
                }
            });
        }
    });
    let mut seen: Vec<String> = (0..80).map(|_| house.ended().container).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 80);
    assert_eq!(house.noted("c-3-4"), "1792");
}

#[test]
fn large_requests_arrive_whole_and_too_large_ones_are_refused_here() {
    let house = House::new();
    let mut wanted = shell("echo ${#A}");
    wanted.environment.push(("A".into(), "x".repeat(100_000).into()));
    wanted.environment.push(("B".into(), "x".repeat(120_000).into()));
    assert_eq!(house.run(wanted).1, "100000\n");
    let mut wanted = shell("true");
    wanted.environment.push(("A".into(), "x".repeat(20 << 20).into()));
    let error = house.launch("c", wanted).unwrap_err();
    assert!(
        matches!(&error, StartError::Lost(source) if source.kind() == io::ErrorKind::InvalidInput),
        "{error}"
    );
    assert_eq!(house.run(shell("echo still")).1, "still\n");
}

#[test]
fn a_second_agent_is_told_of_the_first() {
    let house = House::new();
    let error = messor_warden::Warden::connect_or_start(&house.config, |_: Event| {}).err().unwrap();
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    assert_eq!(house.run(shell("echo fine")).1, "fine\n");
}
