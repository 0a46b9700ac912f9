//! `mesos … watch`, `mesos task wait` and logs of whole pods, on a real cluster.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use messor_testkit::{Cluster, Options, wait_for};
use serde_json::{Value, json};

use crate::console::mesos;
use crate::recovery::{Execution, PATIENCE, agent_id};

/// `mesos` that goes on beside the test.
struct Watcher {
    child: Child,
    output: PathBuf,
}

impl Watcher {
    fn start(cluster: &Cluster, name: &str, words: &[&str]) -> Watcher {
        Watcher::of(cluster, name, "mesos", words)
    }

    fn of(cluster: &Cluster, name: &str, program: &str, words: &[&str]) -> Watcher {
        let output = cluster.folder().join(format!("{name}.watched"));
        let file = File::create(&output).expect("a file");
        let child = Command::new(cluster.bin().join(program))
            .arg(format!("--master={}", cluster.master))
            .args(words)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file"))
            .stderr(file)
            .spawn()
            .expect("mesos runs");
        Watcher { child, output }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.output).expect("it is ours")
    }

    /// A line with all these words.
    fn until(&self, words: &[&str]) {
        wait_for(&format!("{words:?} in {}", self.text()), PATIENCE, || {
            self.text().lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
        });
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `mesos task logs -f`, of a task and of a pod, and mesos-tail go on from where they were when the agent restarts.
#[test]
fn what_is_followed_goes_on_when_the_agent_restarts() {
    let mut cluster = Cluster::start();
    agent_id(&cluster);
    let go = cluster.folder().join("go");
    let command = format!("echo before; until test -e {}; do sleep 0.1; done; echo after", go.display());
    let task = Execution::start(&cluster, "t", &command, &["--checkpoint"]);
    task.until("TASK_RUNNING");
    let logs = Watcher::start(&cluster, "logs", &["task", "logs", "t", "-f"]);
    let framework = {
        let output = mesos(&cluster, &["framework", "list", "--json"]);
        let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        json["frameworks"][0]["framework_info"]["id"]["value"].as_str().expect("an id").to_owned()
    };
    let framework = format!("--framework={framework}");
    let mut tail = Watcher::of(&cluster, "tail", "mesos-tail", &[&framework, "--task=t", "--file=stdout"]);
    for watcher in [&logs, &tail] {
        watcher.until(&["before"]);
    }
    cluster.kill("agent0");
    logs.until(&["mesos: ", "trying again"]);
    tail.until(&["mesos-tail: ", "trying again"]);
    cluster.restart_agent(0, &[]);
    agent_id(&cluster);
    std::fs::write(&go, "").expect("a file");
    logs.until(&["after"]);
    tail.until(&["after"]);
    let status = wait_for("the follower to end with its task", PATIENCE, || {
        tail.child.try_wait().expect("it is ours")
    });
    assert!(status.success(), "{}", tail.text());
    for watcher in [&logs, &tail] {
        let text = watcher.text();
        assert_eq!((text.matches("before").count(), text.matches("after").count()), (1, 1), "{text}");
        assert_eq!(text.matches("trying again").count(), 1, "{text}");
    }
}

#[test]
fn roles_and_volumes_are_told_as_they_change() {
    let cluster = Cluster::start();
    agent_id(&cluster);
    let roles = Watcher::start(&cluster, "roles", &["role", "watch"]);
    let quota = Watcher::start(&cluster, "quota", &["quota", "watch", "--json"]);
    let volumes = Watcher::start(&cluster, "volumes", &["volume", "watch"]);
    let run = |words: &[&str]| {
        let output = mesos(&cluster, words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["weights", "set", "web=2"]);
    roles.until(&["web", "weight 2"]);
    run(&["quota", "set", "web", "--limits=cpus:1"]);
    roles.until(&["web", "weight 2", "limits cpus:1"]);
    quota.until(&["\"cpus\"", "\"web\""]);
    run(&["reserve", "add", "S0", "disk:64", "--role=web"]);
    run(&["volume", "create", "S0", "v", "32", "--role=web"]);
    volumes.until(&["v", "role web", "size (mb) 32"]);
    run(&["volume", "destroy", "S0", "v", "--yes"]);
    volumes.until(&["v", "gone"]);
}

#[test]
fn what_changes_is_told_line_by_line() {
    let mut cluster = Cluster::start();
    let agent = agent_id(&cluster);
    let tasks = Watcher::start(&cluster, "tasks", &["task", "watch"]);
    let agents = Watcher::start(&cluster, "agents", &["agent", "watch"]);
    let frameworks = Watcher::start(&cluster, "frameworks", &["framework", "watch"]);
    let events = Watcher::start(&cluster, "events", &["task", "watch", "--json"]);
    agents.until(&["active", &agent, "localhost"]);
    let go = cluster.folder().join("go");
    let command = format!("until test -e {}; do sleep 0.1; done; exit 3", go.display());
    let task = Execution::start(&cluster, "changes", &command, &[]);
    tasks.until(&["RUNNING", "changes", "localhost"]);
    frameworks.until(&["active", "mesos-execute instance"]);
    // Draining is no event of the master's: agents are looked at beside its stream.
    assert!(mesos(&cluster, &["agent", "deactivate", "S0"]).status.success());
    agents.until(&["deactivated", &agent]);
    std::fs::write(&go, "").expect("a file");
    tasks.until(&["FAILED", "changes", "exited with status 3"]);
    task.until("TASK_FAILED");
    frameworks.until(&["gone", "mesos-execute instance"]);
    events.until(&["\"TASK_UPDATED\"", "TASK_FAILED"]);
    for line in events.text().lines() {
        let event: Value = serde_json::from_str(line).expect("each line is JSON");
        assert!(event["type"].as_str().is_some_and(|kind| kind.starts_with("TASK_")), "{line}");
    }
    // Another master at the same place is watched on.
    cluster.restart_master();
    tasks.until(&["trying again"]);
    let after = Execution::start(&cluster, "after", "true", &[]);
    wait_for("the agent to be back", PATIENCE, || {
        mesos(&cluster, &["agent", "reactivate", "S0"]).status.success().then_some(())
    });
    after.until("TASK_FINISHED");
    tasks.until(&["FINISHED", "after"]);
}

#[test]
fn the_end_of_a_task_is_waited_for() {
    let cluster = Cluster::start();
    agent_id(&cluster);
    let go = cluster.folder().join("go");
    let command = format!("until test -e {}; do sleep 0.1; done; exit $CODE", go.display());
    let good = Execution::start(&cluster, "good", &command, &["--env={\"CODE\": \"0\"}"]);
    let bad = Execution::start(&cluster, "bad", &command, &["--env={\"CODE\": \"5\"}"]);
    good.until("TASK_RUNNING");
    bad.until("TASK_RUNNING");
    let late = mesos(&cluster, &["task", "wait", "good", "--timeout=100ms"]);
    assert_eq!(late.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&late.stderr).contains("has not ended within 100ms"));
    let mut good_waiter = Watcher::start(&cluster, "good", &["task", "wait", "good"]);
    let mut bad_waiter = Watcher::start(&cluster, "bad", &["task", "wait", "bad", "--timeout=5mins"]);
    std::fs::write(&go, "").expect("a file");
    let ended = |waiter: &mut Watcher| {
        wait_for("the waiter to end", PATIENCE, || waiter.child.try_wait().expect("it is ours")).code()
    };
    assert_eq!(ended(&mut good_waiter), Some(0));
    assert_eq!(ended(&mut bad_waiter), Some(1));
    assert!(good_waiter.text().starts_with("good is FINISHED"), "{}", good_waiter.text());
    assert!(bad_waiter.text().starts_with("bad is FAILED: "), "{}", bad_waiter.text());
    // One that ended before is told of at once.
    assert_eq!(mesos(&cluster, &["task", "wait", "bad"]).status.code(), Some(1));
    let kill = mesos(&cluster, &["task", "kill", "bad"]);
    let said = String::from_utf8_lossy(&kill.stderr).into_owned();
    assert!(kill.status.code() == Some(1) && said.contains("no call by which an operator kills"), "{said}");
}

#[test]
fn a_pod_is_run_and_its_logs_are_read_while_it_runs_and_afterwards() {
    let cluster = Cluster::start();
    agent_id(&cluster);
    let go = cluster.folder().join("go");
    let one = |name: &str| {
        json!({"name": name, "task_id": {"value": format!("id-{name}")},
            "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                          {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}}],
            "command": {"value": format!("echo {name} begins; until test -e {}; do sleep 0.1; done; echo {name} ends", go.display())}})
    };
    let file = cluster.folder().join("group.json");
    std::fs::write(&file, json!({"tasks": [one("web"), one("database")]}).to_string()).expect("a file");
    let output = cluster.folder().join("pod.out");
    let mut execute = Command::new(cluster.bin().join("mesos-execute"))
        .args([format!("--master={}", cluster.master), format!("--task_group=file://{}", file.display())])
        .arg("--show_output")
        .stdin(Stdio::null())
        .stdout(File::create(&output).expect("a file"))
        .spawn()
        .expect("it runs");
    let logs = |words: &[&str]| {
        let output = mesos(&cluster, &[&["task", "logs"], words].concat());
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    wait_for("both to write", PATIENCE, || {
        let text = logs(&["id-web", "--pod"]);
        (text == "database | database begins\nweb      | web begins\n").then_some(())
    });
    let mut follower = Watcher::start(&cluster, "pod", &["task", "logs", "web", "--pod", "--follow"]);
    follower.until(&["web      | web begins"]);
    std::fs::write(&go, "").expect("a file");
    let end = wait_for("the pod to end", PATIENCE, || execute.try_wait().expect("it is ours"));
    assert!(end.success());
    assert!(
        wait_for("the follower to end", PATIENCE, || follower.child.try_wait().expect("it is ours"))
            .success()
    );
    follower.until(&["web      | web ends"]);
    follower.until(&["database | database ends"]);
    let told = std::fs::read_to_string(&output).expect("a file");
    assert!(told.contains("Submitted task group with tasks [ id-web, id-database ]"), "{told}");
    assert!(told.contains("Output of task 'id-web':\nweb begins\nweb ends\n"), "{told}");
    // They have ended, and their executor with them.
    assert_eq!(logs(&["id-web"]), "web begins\nweb ends\n");
    assert!(logs(&["database", "--pod", "-n", "1"]).contains("web      | web ends\n"));
    let alone = Execution::start(&cluster, "alone", "true", &[]);
    alone.until("TASK_FINISHED");
    let refused = mesos(&cluster, &["task", "logs", "alone", "--pod"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is of no pod"));
}

/// Whoever listens measures the interval of heartbeats from the first one, which comes behind the state.
#[test]
fn operators_hear_a_heartbeat_at_once() {
    let cluster = Cluster::start();
    for _ in 0..3 {
        let mut stream = crate::streams::subscribe(cluster.master);
        // A fifth of the interval.
        stream.set_read_timeout(Some(Duration::from_secs(3))).expect("a time-out");
        let mut seen = String::new();
        let mut piece = [0; 4096];
        while !seen.contains("HEARTBEAT") {
            let length = stream
                .read(&mut piece)
                .unwrap_or_else(|error| panic!("no heartbeat in time: {error}: {seen}"));
            assert!(length > 0, "the stream ended: {seen}");
            seen.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
        assert!(seen.find("SUBSCRIBED") < seen.find("HEARTBEAT"), "{seen}");
    }
}

/// mesos-execute says why it waits.
#[test]
fn who_waits_for_an_offer_is_told_why_none_comes() {
    let mut cluster = Cluster::with(&Options { agents: 0, ..Options::default() });
    let first = Execution::start(&cluster, "first", "true", &[]);
    first.until("mesos-execute: no offer has come yet: no agent is registered with this master");
    cluster.agent_with(&["--resources=cpus:2;mem:512;disk:512".to_string()]);
    first.until("TASK_FINISHED");
    let output = mesos(&cluster, &["quota", "set", "web", "--limits=cpus:0.05"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let limited = Execution::start(&cluster, "limited", "true", &["--role=web/front"]);
    limited.until("role 'web' may have no more than cpus:0.05");
    let output = mesos(&cluster, &["agent", "deactivate", "S0"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let second = Execution::start(&cluster, "second", "true", &[]);
    second.until("no agent takes tasks");
    let output = mesos(&cluster, &["agent", "reactivate", "S0"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    second.until("TASK_FINISHED");
}
