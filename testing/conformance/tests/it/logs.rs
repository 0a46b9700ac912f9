//! What tasks and agents wrote, read through the master: running and ended tasks, those of pods, agents that are away.

use std::time::Duration;

use messor_testkit::{Answer, Cluster, Framework, Options, get, request, scalar, wait_for};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

fn task(name: &str, command: &str, agent: &Value) -> Value {
    json!({"name": name, "task_id": {"value": name}, "agent_id": agent, "command": {"value": command},
           "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)]})
}

fn logs(cluster: &Cluster, framework: &Framework, more: &str) -> Answer {
    let id = framework.id["value"].as_str().expect("an id");
    get(cluster.master, &format!("/master/task/logs?framework_id={id}&{more}")).expect("an answer")
}

/// The text of a part that is there.
fn data(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"].as_str().expect("a text").to_string()
}

#[test]
fn logs_are_found_by_the_names_of_tasks() {
    let log_dir = tempfile::tempdir().expect("a temporary folder");
    let flags = |resources: &str| {
        vec![format!("--log_dir={}", log_dir.path().display()), format!("--resources={resources}")]
    };
    let master_flags = vec![
        "--allocation_interval=100ms".to_string(),
        "--agent_ping_timeout=1secs".to_string(),
        "--max_agent_ping_timeouts=2".to_string(),
    ];
    let mut cluster =
        Cluster::with(&Options { agents: 1, master_flags, agent_flags: flags("cpus:4;mem:1024;disk:1024") });
    let framework = Framework::subscribe(cluster.master, "root", &["PARTITION_AWARE", "MULTI_ROLE"]);
    let offer = framework.offer(|resource| resource["name"] == "cpus");
    let agent = offer["agent_id"].clone();
    let id = agent["value"].as_str().expect("an id").to_string();

    // One that runs on, one that ended, and two of a pod.
    let executor = json!({"type": "DEFAULT", "executor_id": {"value": "pod"}, "framework_id": framework.id,
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0), scalar("disk", 10.0)]});
    let pod = json!([
        task("web", "echo of web; sleep 10000", &agent),
        task("side", "echo of side; sleep 10000", &agent)
    ]);
    framework.accept(
        &offer,
        vec![
            json!({"type": "LAUNCH", "launch": {"task_infos": [
                task("steady", "printf 'first line\\nsecond line\\n\\377'; exec sleep 10000", &agent),
                task("short", "echo good bye >&2; mkdir deep; echo below > deep/file", &agent)]}}),
            json!({"type": "LAUNCH_GROUP", "launch_group": {"executor": executor, "task_group": {"tasks": pod}}}),
        ],
    );
    for (name, state) in [
        ("steady", "TASK_RUNNING"),
        ("short", "TASK_FINISHED"),
        ("web", "TASK_RUNNING"),
        ("side", "TASK_RUNNING"),
    ] {
        framework.until(name, state);
    }
    wait_for("the running tasks to have written", PATIENCE, || {
        let has = |name: &str, words: &str| {
            let answer = logs(&cluster, &framework, &format!("task_id={name}"));
            (answer.status == 200 && data(&answer).contains(words)).then_some(())
        };
        has("steady", "second line")?;
        has("web", "of web\n")?;
        has("side", "of side\n")
    });

    let whole = logs(&cluster, &framework, "task_id=steady").json();
    assert_eq!(whole["agent_id"], id.as_str());
    // A byte that is no UTF-8 is shown as a sign and counted as one.
    let text = whole["data"].as_str().expect("a text");
    assert!(text.ends_with("first line\nsecond line\n\u{fffd}"), "{text:?}");
    assert_eq!(whole["size"], whole["length"]);
    let size = whole["size"].as_u64().expect("a size");
    let tail =
        logs(&cluster, &framework, &format!("task_id=steady&file=stdout&offset={}&length=7", size - 13))
            .json();
    assert_eq!((&tail["data"], &tail["length"]), (&json!("second "), &json!(7)), "{tail}");
    let after = logs(&cluster, &framework, &format!("task_id=steady&offset={size}"));
    assert_eq!((data(&after).as_str(), after.json()["size"].as_u64()), ("", Some(size)));

    // What is over stays readable, whatever file it is in.
    assert!(data(&logs(&cluster, &framework, "task_id=short&file=stderr")).contains("good bye"));
    assert_eq!(data(&logs(&cluster, &framework, "task_id=short&file=deep/file")), "below\n");
    assert!(!data(&logs(&cluster, &framework, "task_id=web")).contains("of side"));

    // What is asked wrongly, and what is not there.
    for (more, status, words) in [
        ("", 400, "task_id"),
        ("task_id=steady&file=../x", 400, "file"),
        ("task_id=steady&file=a%00b", 400, "file"),
        ("task_id=steady&offset=-1", 400, "offset"),
        ("task_id=steady&length=x", 400, "length"),
        ("task_id=nobody", 404, "nobody"),
        ("task_id=steady&file=nothing", 404, "nothing"),
        ("task_id=steady&file=stdout/x", 404, "stdout/x"),
    ] {
        let answer = logs(&cluster, &framework, more);
        assert_eq!(answer.status, status, "{more}: {}", answer.text());
        assert!(answer.text().contains(words), "{more}: {}", answer.text());
    }
    let stranger = get(cluster.master, "/task/logs?framework_id=f&task_id=steady").expect("an answer");
    assert_eq!(stranger.status, 404);
    let post = request(cluster.master, "POST", "/task/logs", &[], b"").expect("an answer");
    assert_eq!((post.status, post.header("Allow")), (405, Some("GET, HEAD")));

    // The agent's own log.
    let log = get(cluster.master, &format!("/master/agent/log?agent_id={id}")).expect("an answer");
    assert!(data(&log).contains("Registered with master"), "{}", log.text());
    assert_eq!(get(cluster.master, "/agent/log?agent_id=x").expect("an answer").status, 404);

    // It does not answer, and then the master knows that it does not.
    cluster.kill("agent0");
    let gone = logs(&cluster, &framework, "task_id=steady");
    assert_eq!(gone.status, 503, "{}", gone.text());
    assert!(gone.text().contains(&id), "{}", gone.text());
    let unreachable = wait_for("the agent to be unreachable", PATIENCE, || {
        let answer = logs(&cluster, &framework, "task_id=steady");
        answer.text().contains("unreachable").then_some(answer)
    });
    assert_eq!(unreachable.status, 503);
    assert!(unreachable.text().contains(&id), "{}", unreachable.text());
    assert_eq!(get(cluster.master, &format!("/agent/log?agent_id={id}")).expect("an answer").status, 503);

    // It is back, and so are the logs of what it recovered.
    cluster.restart_agent(0, &flags("cpus:4;mem:1024;disk:1024"));
    wait_for("the logs to be back", PATIENCE, || {
        let answer = logs(&cluster, &framework, "task_id=web");
        (answer.status == 200 && data(&answer).contains("of web")).then_some(())
    });
    assert!(data(&logs(&cluster, &framework, "task_id=short&file=stderr")).contains("good bye"));
}
