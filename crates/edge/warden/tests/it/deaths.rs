//! What happens when the agent, or the warden, ends at any point.

use messor_linux::container::{Namespaces, StartError};
use messor_linux::{Exit, Pid, Signal, procfs, signals};
use messor_warden::{Event, Known};

use crate::house::{House, eventually, is_alive, is_root, kill, process, shell};

#[test]
fn an_agent_that_ends_leaves_what_runs_and_takes_what_is_held() {
    let mut house = House::new();
    let runs = house.launch("runs", process("/bin/sleep", &["1000"])).unwrap();
    let held = house.warden().fork(house.start("held", process("/bin/sleep", &["1000"]))).unwrap();
    let held_pid = held.pid();
    // Nothing more is said, as if this process had been killed.
    house.warden().disconnect();
    eventually("the held process ends", || !is_alive(held_pid));
    assert!(is_alive(runs));
    assert!(held.go_on().is_err());

    house.new_agent();
    assert_eq!(house.wardens[0], house.wardens[1], "it is the same warden");
    assert_eq!(house.warden().known(), [Known { pid: runs, container: "runs".into() }]);
    house.warden().signal(runs, Signal::KILL).unwrap();
    let ended = house.ended();
    assert_eq!((ended.pid, ended.container.as_str()), (runs, "runs"));
    assert_eq!(ended.exit, Some(Exit::Signalled { signal: 9, core_dumped: false }));
}

#[test]
fn what_ends_while_there_is_no_agent_is_noted() {
    let mut house = House::new();
    let pid = house.launch("c", shell("sleep 0.2; exit 5")).unwrap();
    house.lose_agent();
    eventually("its end is noted", || house.path("c.status").exists());
    assert_eq!(house.noted("c"), "1280");
    assert!(!is_alive(pid));
    house.new_agent();
    assert_eq!(house.warden().known(), []);
}

#[test]
fn a_warden_that_has_nothing_left_ends_with_its_agent() {
    let mut house = House::new();
    let runs = house.launch("runs", process("/bin/sleep", &["1000"])).unwrap();
    house.lose_agent();
    // Another, whose agent goes after this one's, does not wait: it has no container.
    let mut idle = House::new();
    idle.lose_agent();
    eventually("the other warden ends", || !is_alive(idle.wardens[0]));
    assert!(is_alive(house.wardens[0]), "it has one");
    kill(runs);
    eventually("the warden ends", || !is_alive(house.wardens[0]));
    // Who comes later has another.
    house.new_agent();
    assert_ne!(house.wardens[0], house.wardens[1]);
    assert_eq!(house.run(shell("echo again")).1, "again\n");
}

#[test]
fn a_warden_that_is_killed_leaves_what_runs_and_is_started_anew() {
    let house = House::new();
    let runs = house.launch("runs", process("/bin/sleep", &["1000"])).unwrap();
    let held = house.warden().fork(house.start("held", process("/bin/sleep", &["1000"]))).unwrap();
    let held_pid = held.pid();
    kill(house.wardens[0]);
    let Event::Lost(why) = house.event() else { panic!("nothing was lost") };
    println!("{why}");
    eventually("the held process ends", || !is_alive(held_pid));
    let error = held.go_on().unwrap_err();
    assert!(matches!(error, StartError::Lost(_) | StartError::Wrong(_)), "{error}");
    assert!(is_alive(runs));
    assert_eq!(house.warden().pid(), None);

    assert_eq!(house.run(shell("echo again")).1, "again\n");
    assert_ne!(house.warden().pid().unwrap(), house.wardens[0]);
    // Nobody is there to tell how this one ends, but that it does.
    signals::send(Pid::from_raw(runs).unwrap(), Signal::KILL).unwrap();
    let ended = house.ended();
    assert_eq!((ended.pid, ended.container.as_str(), ended.exit), (runs, "runs", None));
    signals::send(Pid::from_raw(house.warden().pid().unwrap()).unwrap(), Signal::TERM).unwrap();
}

#[test]
fn a_warden_that_is_killed_while_it_starts_something_does_not_keep_anybody_waiting() {
    let house = House::new();
    let mut wanted = shell("true");
    // It takes its time before its program runs.
    wanted.before = vec![messor_linux::container::Before {
        program: "sleep".into(),
        arguments: vec!["sleep".into(), "1000".into()],
        environment: Vec::new(),
    }];
    let held = house.warden().fork(house.start("c", wanted)).unwrap();
    let pid = held.pid();
    let going = std::thread::spawn(move || held.go_on());
    eventually("it runs the command before", || {
        procfs::processes().unwrap().iter().any(|process| process.parent == pid && process.name == "sleep")
    });
    let before = procfs::processes().unwrap().into_iter().find(|process| process.parent == pid).unwrap();
    kill(house.wardens[0]);
    let error = going.join().unwrap().unwrap_err();
    assert!(matches!(error, StartError::Lost(_)), "{error}");
    // What was let go on goes on; here it is found by the pid that was noted.
    assert_eq!(std::fs::read_to_string(house.path("c.pid")).unwrap(), pid.to_string());
    kill(before.pid);
    eventually("it ends with its command", || !is_alive(pid));
}

#[test]
fn the_next_agent_watches_what_no_warden_knows() {
    let mut house = House::new();
    let runs = house.launch("runs", process("/bin/sleep", &["1000"])).unwrap();
    let init = is_root().then(|| {
        let mut wanted = process("/bin/sleep", &["1000"]);
        wanted.clone = Namespaces::PID;
        house.launch("init", wanted).unwrap()
    });
    kill(house.wardens[0]);
    house.lose_agent();
    eventually("the warden ends", || !is_alive(house.wardens[0]));
    house.new_agent();
    assert_ne!(house.wardens[0], house.wardens[1]);
    assert_eq!(house.warden().known(), []);
    let status = house.path("runs.status");
    house.warden().watch(runs, "runs", Some(status.clone())).unwrap();
    // Somebody noted it: it is read once the process is gone.
    std::fs::write(&status, "256").unwrap();
    kill(runs);
    let ended = house.ended();
    assert_eq!((ended.pid, ended.container.as_str(), ended.exit), (runs, "runs", Some(Exit::Exited(1))));
    if let Some(init) = init {
        house.warden().watch(init, "init", None).unwrap();
        kill(init);
        assert_eq!(house.ended().exit, None);
    }
    assert!(house.warden().watch(i32::MAX, "none", None).is_err());
}

#[test]
fn a_warden_ends_by_itself_once_it_is_asked_and_holds_nothing() {
    let mut house = House::new();
    let pid = house.launch("c", process("/bin/sleep", &["1000"])).unwrap();
    let warden = house.wardens[0];
    signals::send(Pid::from_raw(warden).unwrap(), Signal::TERM).unwrap();
    signals::send(Pid::from_raw(warden).unwrap(), Signal::HUP).unwrap();
    // It still does what it is asked.
    assert_eq!(house.run(shell("echo here")).1, "here\n");
    house.warden().signal(pid, Signal::KILL).unwrap();
    assert_eq!(house.ended().pid, pid);
    assert!(matches!(house.event(), Event::Lost(_)));
    house.lose_agent();
    eventually("the warden ends", || !is_alive(warden));
}

#[test]
fn a_socket_that_nobody_listens_at_is_no_obstacle() {
    let mut house = House::new();
    let stopped = house.wardens[0];
    house.lose_agent();
    kill(stopped);
    eventually("the warden ends", || !is_alive(stopped));
    house.new_agent();
    assert_eq!(house.run(shell("echo new")).1, "new\n");
    assert_ne!(house.wardens[1], stopped);
}
