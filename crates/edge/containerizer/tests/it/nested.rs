//! Containers in containers, and those of operators.

use std::fs;

use messor_agent_core::{ContainerCommand, ContainerEvent};
use messor_containerizer::{Answer, ContainerLaunch, EndedSandbox, Kind};
use messor_proto::mesos::CommandInfo;
use messor_types::ContainerId;

use crate::{Bench, environment, runs, shell, words};

fn nested(name: &str) -> ContainerId {
    ContainerId::nested(&ContainerId::new("c1"), name)
}

fn command(value: &str) -> ContainerLaunch {
    let command_info = CommandInfo { value: Some(value.into()), ..CommandInfo::default() };
    ContainerLaunch { command: command_info, ..ContainerLaunch::default() }
}

#[tokio::test]
async fn a_nested_container_has_its_own_sandbox_and_its_end_is_kept() {
    let mut bench = Bench::new();
    bench.launch(shell("c1", "sleep 1000"));
    bench.launched().await;
    let (outer, inner) = (nested("n1"), nested("n2"));
    let launched = bench.containerizer.launch(outer.clone(), command("env >env; exit 3")).await;
    assert!(matches!(launched, Answer::Launched { pid: Some(_) }), "{launched:?}");
    let end = bench.containerizer.wait(outer.clone()).await.unwrap();
    assert_eq!(end.status, Some(3 << 8));
    let sandbox = bench.sandbox("c1").join("containers/n1");
    let text = fs::read_to_string(sandbox.join("env")).unwrap();
    assert_eq!(environment(&text)["MESOS_SANDBOX"], sandbox.to_str().unwrap());
    assert!(!environment(&text).contains_key("COLOUR"), "that is the executor's");
    // Kept until it is removed.
    assert_eq!(bench.containerizer.wait(outer.clone()).await.unwrap().status, Some(3 << 8));
    assert_eq!(bench.containerizer.launch(outer.clone(), command("true")).await, Answer::Exists);
    assert_eq!(bench.containerizer.remove(outer.clone()).await, Answer::Removed);
    assert!(!sandbox.exists() && bench.containerizer.wait(outer).await.is_none());
    assert_eq!(bench.containerizer.wait(inner).await, None);
}

/// U024: whoever collects sandboxes is told of those that are no executor's, also by the next agent.
#[tokio::test]
async fn u024_ended_sandboxes_are_told() {
    let (sender, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let again = sender.clone();
    let mut bench = Bench::with("", |config| config.ended_sandboxes = Some(sender));
    bench.launch(shell("c1", "sleep 1000"));
    bench.launched().await;
    let standalone = ContainerId::new("alone");
    for id in [nested("n1"), standalone.clone()] {
        let launched = bench.containerizer.launch(id.clone(), command("true")).await;
        assert!(matches!(launched, Answer::Launched { .. }), "{launched:?}");
        bench.containerizer.wait(id).await;
    }
    let told = |directory: std::path::PathBuf, is_old| EndedSandbox { directory, is_old };
    let inner = std::path::Path::new(&crate::directory("c1")).join("containers/n1");
    assert_eq!(ended.recv().await.unwrap(), told(inner.clone(), false));
    assert_eq!(ended.recv().await.unwrap(), told("containers/alone".into(), false));

    let bench = bench.next_agent(|config| config.ended_sandboxes = Some(again));
    bench.containerizer.command(ContainerCommand::Recover { runs: Vec::new() });
    assert_eq!(ended.recv().await.unwrap(), told(inner, true));
    assert_eq!(ended.recv().await.unwrap(), told("containers/alone".into(), true));
}

#[tokio::test]
async fn what_is_nested_ends_before_its_parent() {
    let mut bench = Bench::new();
    let pipe = bench.pipe();
    bench.launch(shell("c1", "sleep 1000"));
    bench.launched().await;
    let say = format!("echo $$ >{}; sleep 1000; true", pipe.display());
    bench.containerizer.launch(nested("n1"), command(&say)).await;
    let deep = ContainerId::nested(&nested("n1"), "d");
    let pid = words(pipe).await.remove(0);
    let session = ContainerLaunch { debug: true, ..command("pwd >dir; sleep 1000") };
    bench.containerizer.launch(deep.clone(), session).await;
    assert_eq!(bench.containerizer.standing(&deep).unwrap().kind, Kind::Debug);
    bench.destroy("c1");
    assert_eq!(bench.exited().await, Some(9));
    assert!(!runs(&pid));
    assert_eq!(bench.containerizer.containers(), []);
    assert_eq!(fs::read_dir(bench.work.path().join("run/containers")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_session_has_the_directory_and_the_environment_of_its_parent() {
    let mut bench = Bench::new();
    bench.launch(shell("c1", "sleep 1000"));
    bench.launched().await;
    let session = ContainerLaunch { debug: true, ..command("env >env") };
    bench.containerizer.launch(nested("s"), session).await;
    bench.containerizer.wait(nested("s")).await.unwrap();
    let (sandbox, text) = (bench.sandbox("c1"), bench.read("c1", "env"));
    let variables = environment(&text);
    assert_eq!((variables["MESOS_SANDBOX"], variables["COLOUR"]), (sandbox.to_str().unwrap(), "green"));
}

#[tokio::test]
async fn a_standalone_container_is_of_nobody_and_leaves_its_sandbox() {
    let mut bench = Bench::new();
    let id = ContainerId::new("alone");
    let launched = bench.containerizer.launch(id.clone(), command("touch here; sleep 1000")).await;
    assert!(matches!(launched, Answer::Launched { .. }), "{launched:?}");
    let runtime = bench.work.path().join("run/containers/alone");
    assert!(runtime.join("standalone.marker").exists());
    let wait = tokio::spawn({
        let (containerizer, id) = (bench.containerizer.clone(), id.clone());
        async move { containerizer.wait(id).await }
    });
    assert_eq!(bench.containerizer.kill(id.clone(), 15).await, Answer::Signalled);
    assert_eq!(wait.await.unwrap().unwrap().status, Some(15));
    assert!(!runtime.exists());
    assert_eq!(bench.containerizer.kill(id, 15).await, Answer::NotFound);
    assert!(bench.events.try_recv().is_err(), "the agent is told of executors only");
    assert!(bench.work.path().join("containers/alone/stdout").exists());
}

#[tokio::test]
async fn what_an_agent_of_before_nested_goes_on_or_is_known_to_have_ended() {
    let mut before = Bench::new();
    before.launch(shell("c1", "sleep 1000"));
    let executor = before.launched().await;
    for (name, text) in [("runs", "sleep 1000"), ("over", "exit 4")] {
        before.containerizer.launch(nested(name), command(text)).await;
    }
    before.containerizer.wait(nested("over")).await.unwrap();
    let session = ContainerLaunch { debug: true, ..command("sleep 1000") };
    before.containerizer.launch(nested("session"), session).await;
    before.containerizer.launch(ContainerId::new("alone"), command("sleep 1000")).await;

    // Another containerizer over the same directories, as after a crash.
    let (work_dir, runtime_dir) = (before.work.path().to_owned(), before.work.path().join("run"));
    let mut bench = Bench::with("exit 0", |config| {
        config.work_dir = work_dir;
        config.runtime_dir = runtime_dir;
    });
    let run = crate::recovery::run("c1", Some(executor));
    bench.containerizer.command(ContainerCommand::Recover { runs: vec![run] });
    let ContainerEvent::Recovered { running, destroyed } = bench.event().await else { panic!() };
    assert_eq!((running.len(), destroyed), (1, 0));
    assert_eq!(bench.containerizer.wait(nested("session")).await.map(|_| ()), Some(()));
    let there: Vec<String> = bench.containerizer.containers().iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(there, ["alone", "c1", "c1.runs"]);
    assert_eq!(bench.containerizer.wait(nested("over")).await.unwrap().status, Some(4 << 8));
    assert_eq!(bench.containerizer.remove(nested("over")).await, Answer::Removed);
    bench.destroy("c1");
    bench.containerizer.destroy(ContainerId::new("alone"));
    bench.exited().await;
    bench.containerizer.wait(ContainerId::new("alone")).await;
    assert_eq!(bench.containerizer.containers(), []);
}
