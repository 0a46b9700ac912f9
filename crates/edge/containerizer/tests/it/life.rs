//! From launch to end.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use messor_agent_core::{ContainerCommand, Launch, LaunchFailure};
use messor_linux::users;
use messor_proto::mesos::r_limit_info::{RLimit, r_limit};
use messor_proto::mesos::{CommandInfo, ContainerInfo, RLimitInfo, container_info};
use messor_types::ContainerId;

use crate::{Bench, environment, made, runs, scalar, shell, words};

#[tokio::test]
async fn an_executor_runs_in_its_sandbox_with_nothing_beside_it() {
    let mut bench = Bench::new();
    bench.launch(shell("c1", "echo $PPID $$; pwd; env >env; echo oops >&2; exit 3"));
    let pid = bench.launched().await;
    assert_eq!(bench.exited().await, Some(3 << 8));
    let sandbox = bench.sandbox("c1");
    let expected = format!("{} {pid}\n{}\n", std::process::id(), sandbox.display());
    assert_eq!(bench.read("c1", "stdout"), expected);
    assert_eq!(bench.read("c1", "stderr"), "oops\n");
    let text = bench.read("c1", "env");
    let variables = environment(&text);
    assert_eq!(variables["COLOUR"], "green");
    assert_eq!(variables["MESOS_SANDBOX"], sandbox.to_str().unwrap());
    assert!(!variables.contains_key("CARGO_PKG_NAME"), "the agent's environment is its own (U062)");
    assert_eq!(fs::read_link(sandbox.with_file_name("latest")).unwrap(), sandbox);
}

#[tokio::test]
async fn destroying_kills_the_tree_and_what_forked_away_from_it() {
    let mut bench = Bench::new();
    let pipe = bench.pipe();
    // The second sleep has lost its parent before it is told of.
    let command = format!(
        "exec 3>{}; sleep 1000 3>&- & echo $! >&3; sh -c 'sleep 1001 3>&- & echo $! >&3'; exec 3>&-; wait",
        pipe.display()
    );
    bench.launch(shell("c1", &command));
    let pid = bench.launched().await.to_string();
    let mut all = words(pipe).await;
    all.push(pid);
    assert!(all.len() == 3 && all.iter().all(|pid| runs(pid)), "{all:?}");
    bench.destroy("c1");
    assert_eq!(bench.exited().await, Some(9));
    assert!(!all.iter().any(|pid| runs(pid)), "{all:?}");
    assert_eq!(bench.containerizer.containers(), []);
}

#[tokio::test]
async fn what_an_executor_leaves_behind_ends_with_it() {
    let mut bench = Bench::new();
    let pipe = bench.pipe();
    bench.launch(shell("c1", &format!("sleep 1000 & echo $! >{}; exit 0", pipe.display())));
    bench.launched().await;
    let left = words(pipe).await;
    assert_eq!(bench.exited().await, Some(0));
    assert!(!runs(&left[0]));
}

#[tokio::test]
async fn a_task_does_not_outlive_an_executor_that_was_killed() {
    let mut bench = Bench::new();
    let pipe = bench.pipe();
    // As the command executor starts its task: in a session of its own.
    let command = format!("setsid sh -c 'echo $$ >{}; sleep 1000; true' & wait", pipe.display());
    bench.launch(shell("c1", &command));
    let executor = rustix::process::Pid::from_raw(i32::try_from(bench.launched().await).unwrap()).unwrap();
    let task = words(pipe).await;
    rustix::process::kill_process(executor, rustix::process::Signal::KILL).unwrap();
    assert_eq!(bench.exited().await, Some(9));
    assert!(!runs(&task[0]));
}

#[tokio::test]
async fn what_would_miss_its_image_does_not_run_on_the_host() {
    let mut bench = Bench::new();
    let info = ContainerInfo { r#type: container_info::Type::Docker as i32, ..ContainerInfo::default() };
    bench.launch(Launch { container_info: Some(info), ..shell("c1", "true") });
    let (reason, message) = bench.failed().await;
    assert_eq!(reason, LaunchFailure::Launch);
    assert!(message.contains("not supported yet: containers of type DOCKER"), "{message}");
}

#[tokio::test]
async fn limits_that_nothing_enforces_are_refused() {
    let mut bench = Bench::new();
    let limits = BTreeMap::from([("mem".to_string(), 64.0)]);
    bench.launch(Launch { limits, ..shell("c1", "true") });
    let (reason, message) = bench.failed().await;
    assert_eq!(reason, LaunchFailure::Launch);
    assert!(message.contains("not supported yet: limits of CPUs or memory"), "{message}");
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_an_executor_that_ended_with_status_1() {
    let mut bench = Bench::new();
    let command =
        CommandInfo { shell: Some(false), value: Some("/no/such".into()), ..CommandInfo::default() };
    bench.launch(Launch { command, ..shell("c1", "") });
    assert_eq!(bench.exited().await, Some(1 << 8));
    assert!(bench.read("c1", "stderr").contains("could not execute '/no/such': No such file"));
}

#[tokio::test]
async fn what_cannot_be_started_at_all_says_why() {
    let mut bench = Bench::new();
    bench.launch(Launch { command: CommandInfo::default(), ..shell("c1", "") });
    let (reason, message) = bench.failed().await;
    assert_eq!(reason, LaunchFailure::Launch);
    assert!(message.contains("give CommandInfo.value"), "{message}");
    bench.launch(Launch { directory: "../../etc".into(), ..shell("c1", "true") });
    assert!(bench.failed().await.1.contains("not a relative path below the work directory"));
    bench.launch(Launch { user: Some("no-such-user".into()), ..shell("c1", "true") });
    assert!(bench.failed().await.1.contains("there is no user 'no-such-user'"));
}

#[tokio::test]
async fn an_id_is_taken_while_its_container_lives_and_free_after() {
    let mut bench = Bench::new();
    bench.launch(shell("c1", "sleep 1000"));
    bench.launched().await;
    bench.launch(shell("c1", "true"));
    assert!(bench.failed().await.1.contains("exists already"));
    bench.destroy("c1");
    bench.exited().await;
    bench.launch(shell("c1", "true"));
    bench.launched().await;
    bench.exited().await;
}

#[tokio::test]
async fn destroying_what_is_not_there_is_answered() {
    let mut bench = Bench::new();
    bench.destroy("c9");
    assert_eq!(bench.exited().await, None);
}

#[tokio::test]
async fn limits_are_set_where_the_isolator_is_in_use() {
    let one = RLimit { r#type: Some(r_limit::Type::RlmtNofile as i32), soft: Some(77), hard: Some(77) };
    let info = ContainerInfo {
        r#type: container_info::Type::Mesos as i32,
        rlimit_info: Some(RLimitInfo { rlimits: vec![one] }),
        ..ContainerInfo::default()
    };
    for (names, expected) in [("posix/rlimits", true), ("posix/cpu", false)] {
        let mut bench = Bench::isolated("exit 0", |work_dir| made(names, work_dir), |_| {});
        bench.launch(Launch { container_info: Some(info.clone()), ..shell("c1", "ulimit -n") });
        bench.launched().await;
        bench.exited().await;
        assert_eq!(bench.read("c1", "stdout") == "77\n", expected);
    }
}

#[tokio::test]
async fn the_sandbox_and_the_executor_are_the_users() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can give something to another user: not tested here");
        return;
    }
    let mut bench = Bench::new();
    bench.launch(Launch { user: Some("nobody".into()), ..shell("c1", "id -un; touch mine") });
    bench.launched().await;
    assert_eq!(bench.exited().await, Some(0));
    assert_eq!(bench.read("c1", "stdout"), "nobody\n");
    let nobody = users::find("nobody").unwrap();
    for name in ["", "stdout", "stderr", "mine"] {
        assert_eq!(fs::metadata(bench.sandbox("c1").join(name)).unwrap().uid(), nobody.uid, "{name}");
    }
    assert_eq!(fs::metadata(bench.sandbox("c1")).unwrap().mode() & 0o777, 0o750);
}

#[tokio::test]
async fn usage_is_told_with_what_was_given() {
    let mut bench = Bench::new();
    bench.launch(shell("c1", "sleep 1000"));
    bench.launched().await;
    let container = ContainerId::new("c1");
    let usage = bench.containerizer.usage().await.unwrap();
    let found = &usage[&container].1;
    assert!(found.mem_rss_bytes.unwrap() > 0 && found.cpus_user_time_secs.is_some() && found.timestamp > 0.0);
    assert_eq!((found.cpus_soft_limit, found.mem_limit_bytes), (Some(1.0), Some(32 << 20)));
    let update = ContainerCommand::Update {
        container: container.clone(),
        resources: vec![scalar("mem", 64.0)],
        limits: BTreeMap::new(),
    };
    bench.containerizer.command(update);
    let usage = bench.containerizer.usage().await.unwrap();
    assert_eq!(usage[&container].1.mem_limit_bytes, Some(64 << 20));
    bench.destroy("c1");
    bench.exited().await;
    assert!(bench.containerizer.usage().await.unwrap().is_empty());
}
