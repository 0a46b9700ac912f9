//! Sessions in running tasks, and terminals: with real processes, on both launchers, while agents and switchboards die.
//!
//! Rows: U051 (heartbeats), U058 (LAUNCH_NESTED_CONTAINER_SESSION, ATTACH_CONTAINER_INPUT, ATTACH_CONTAINER_OUTPUT).

use std::path::{Path, PathBuf};
use std::process::Command;

use messor_testkit::files::entries;
use messor_testkit::{Cluster, Options, skip, wait_for};
use serde_json::{Value, json};

use crate::attach::{Input, Media, Output, PATIENCE, call, container, wait};
use crate::recovery::Execution;

/// A cluster, and where the control groups of its agent's containers are, if it has any.
struct Stage {
    cluster: Cluster,
    flags: Vec<String>,
    groups: Vec<PathBuf>,
}

const CONTROLLERS: [&str; 3] = ["freezer", "cpu", "memory"];

impl Stage {
    fn posix() -> Stage {
        Stage::with(vec!["--http_heartbeat_interval=200ms".to_string()], Vec::new())
    }

    /// None where the host has no control groups of version 1, or this is not root.
    fn linux(name: &str) -> Option<Stage> {
        let base = Path::new("/sys/fs/cgroup");
        if !CONTROLLERS.iter().all(|name| base.join(name).is_dir()) || !rustix::process::geteuid().is_root() {
            skip("no control groups of version 1 here, or not root");
            return None;
        }
        let root = format!("messor-terminals-{}-{name}", std::process::id());
        let flags = vec![
            "--launcher=linux".to_string(),
            "--isolation=filesystem/linux,namespaces/pid,cgroups/cpu,cgroups/mem".to_string(),
            format!("--cgroups_root={root}"),
        ];
        Some(Stage::with(flags, CONTROLLERS.map(|name| base.join(name).join(&root)).to_vec()))
    }

    fn with(flags: Vec<String>, groups: Vec<PathBuf>) -> Stage {
        let cluster = Cluster::with(&Options { agent_flags: flags.clone(), ..Options::default() });
        Stage { cluster, flags, groups }
    }

    fn task(&self, name: &str, command: &str, more: &[&str]) -> (Execution, Value) {
        let execution = Execution::start(&self.cluster, name, command, more);
        let id = container(self.cluster.master, name);
        (execution, id)
    }

    fn session(&self, parent: &Value, name: &str, command: &Value, more: Value, media: Media) -> Output {
        let mut session = json!({"container_id": nested(parent, name), "command": command});
        for (key, value) in more.as_object().into_iter().flatten() {
            session[key] = value.clone();
        }
        let call =
            json!({"type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": session});
        Output::of(self.cluster.agents[0], &call, media).unwrap_or_else(|answer| panic!("{answer:?}"))
    }

    fn output(&self, id: &Value) -> Result<Output, (u16, String)> {
        let call =
            json!({"type": "ATTACH_CONTAINER_OUTPUT", "attach_container_output": {"container_id": id}});
        Output::of(self.cluster.agents[0], &call, Media::Json)
    }

    fn input(&self, id: &Value) -> Input {
        Input::to(self.cluster.agents[0], id)
    }

    fn restart_agent(&mut self) {
        self.cluster.kill("agent0");
        let flags = self.flags.clone();
        self.cluster.restart_agent(0, &flags);
    }

    /// Switchboards of this cluster that run.
    fn switchboards(&self) -> Vec<String> {
        let of_cluster = format!("--socket_address={}", self.cluster.folder().display());
        processes(|words| words.iter().any(|word| word.starts_with(&of_cluster)))
    }

    /// What is left of containers and their switchboards.
    fn left(&self) -> Vec<String> {
        let run = self.cluster.folder().join("agent0-run");
        let mut left = self.switchboards();
        for directory in ["containers", "io_switchboards"] {
            left.extend(entries(&run.join(directory)).iter().map(|path| path.display().to_string()));
        }
        for group in &self.groups {
            left.extend(
                entries(group).iter().filter(|path| path.is_dir()).map(|path| path.display().to_string()),
            );
        }
        left
    }

    fn nothing_is_left(self) {
        wait_for("nothing to be left", PATIENCE, || {
            let left = self.left();
            if !left.is_empty() {
                eprintln!("left: {left:?}");
            }
            left.is_empty().then_some(())
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.cluster.kill("agent0");
        for group in &self.groups {
            let _ = std::fs::remove_dir(group);
        }
    }
}

/// The ids of processes with such a command line.
fn processes(fits: impl Fn(&[String]) -> bool) -> Vec<String> {
    let words = |path: &Path| -> Vec<String> {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    };
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_string();
    let numbers = entries(Path::new("/proc")).into_iter().filter(|path| name(path).parse::<u32>().is_ok());
    numbers.filter(|path| fits(&words(path))).map(|path| name(&path)).collect()
}

fn nested(parent: &Value, name: &str) -> Value {
    json!({"value": name, "parent": parent})
}

fn shell(script: &str) -> Value {
    json!({"value": script})
}

fn terminal() -> Value {
    json!({"container": {"type": "MESOS", "tty_info": {}}})
}

fn kill(signal: &str, pid: &str) {
    let sent = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

/// U058: what is said to a session reaches its command, what the command says comes back, and its exit status is told.
fn a_session_talks(stage: Stage) {
    let (task, parent) = stage.task("t", "sleep 1000", &[]);
    let agent = stage.cluster.agents[0];
    for media in [Media::Json, Media::Protobuf] {
        let name = if media == Media::Json { "json" } else { "protobuf" };
        let id = nested(&parent, name);
        let script = "read line; echo \"heard $line\"; echo wrong >&2; cat; exit 7";
        let output = stage.session(&parent, name, &shell(script), json!({}), media);
        let mut input = stage.input(&id);
        input.text("one\n");
        input.text("two\n");
        // An empty piece is the end of standard input.
        input.text("");
        assert_eq!(output.rest(), ("heard one\ntwo\n".to_string(), "wrong\n".to_string()));
        assert_eq!(input.end().0, 200);
        assert_eq!(wait(agent, &id), 7 << 8);
    }
    // One that cannot be executed says so.
    let nothing = json!({"shell": false, "value": "no-such-program", "arguments": ["no-such-program"]});
    let (stdout, stderr) = stage.session(&parent, "nothing", &nothing, json!({}), Media::Json).rest();
    assert!(stdout.is_empty() && stderr.contains("no-such-program"), "{stderr}");
    assert_eq!(wait(agent, &nested(&parent, "nothing")), 1 << 8);
    drop(task);
    stage.nothing_is_left();
}

#[test]
fn a_session_hears_and_is_heard() {
    a_session_talks(Stage::posix());
}

#[test]
fn a_session_hears_and_is_heard_with_the_linux_launcher() {
    if let Some(stage) = Stage::linux("session") {
        a_session_talks(stage);
    }
}

/// U051, U058
#[test]
fn who_may_attach_and_to_what() {
    let stage = Stage::posix();
    let (task, parent) = stage.task("t", "sleep 1000", &[]);
    let unknown = stage.output(&json!({"value": "nobody"})).err();
    assert_eq!(unknown, Some((404, "Container nobody cannot be found".to_string())));
    assert_eq!(stage.input(&json!({"value": "nobody"})).end().0, 404);
    // The words that the command line of Apache Mesos looks for.
    let disabled = (500, "I/O switchboard server was disabled for this container".to_string());
    assert_eq!(stage.output(&parent).err().as_ref(), Some(&disabled));
    assert_eq!(stage.input(&parent).end(), disabled);

    let id = nested(&parent, "s");
    let mut first = stage.session(&parent, "s", &shell("echo begin; cat"), json!({}), Media::Json);
    first.until("begin").until_heartbeat();
    let mut second = stage.output(&id).unwrap_or_else(|answer| panic!("{answer:?}"));
    let mut input = stage.input(&id);
    input.text("to both\n");
    first.until("to both");
    second.until("to both");
    let (code, words) = stage.input(&id).end();
    assert_eq!((code, words.as_str()), (409, "Multiple input connections are not allowed"));
    let mut bad = stage.input(&parent);
    bad.process_io(&json!({"type": "DATA"}));
    assert_eq!(bad.end().0, 500, "no switchboard comes before what is sent to it");
    // It is there for another, when the first one has gone.
    assert_eq!(input.end().0, 200);
    let mut input = stage.input(&id);
    input.process_io(&json!({"type": "CONTROL", "control": {"type": "HEARTBEAT", "heartbeat": {}}}));
    input.text("again\n");
    first.until("again");
    input.size(24, 80);
    let (code, words) = input.answer();
    assert_eq!(code, 400);
    assert!(words.contains("there is no terminal"), "{words}");
    // A session ends when its client goes, whoever else is attached.
    first.break_off();
    second.rest();
    assert_eq!(wait(stage.cluster.agents[0], &id), 9);
    drop(task);
    stage.nothing_is_left();
}

fn a_terminal_of_a_session(stage: Stage) {
    let (task, parent) = stage.task("t", "sleep 1000", &[]);
    // Short sleeps: one Ctrl-C that comes between two commands is caught as well, but not before the next one ends.
    let script = "tty; while read word; do [ $word = size ] && stty size; done; trap 'echo caught; caught=1' INT; echo ready; \
                  while [ -z \"$caught\" ]; do sleep 0.1; done; stty size; exit 3";
    let mut output = stage.session(&parent, "s", &shell(script), terminal(), Media::Protobuf);
    output.until("/dev/pts/");
    let id = nested(&parent, "s");
    let mut input = stage.input(&id);
    // As the command line of Apache Mesos begins.
    input.size(0, 0);
    input.size(31, 101);
    input.text("size\r");
    output.until("31 101");
    input.size(32, 102);
    input.text("size\r");
    output.until("32 102");
    // The end of a terminal's input is a character.
    input.text("");
    input.text("\x04");
    output.until("ready");
    input.size(33, 103);
    input.text("\x03");
    output.until("caught").until("33 103");
    let (stdout, stderr) = output.rest();
    assert!(stdout.contains("^C") && stderr.is_empty(), "{stdout} {stderr}");
    assert_eq!(input.answer().0, 200);
    assert_eq!(wait(stage.cluster.agents[0], &id), 3 << 8);
    drop(task);
    stage.nothing_is_left();
}

#[test]
fn a_session_has_a_terminal() {
    a_terminal_of_a_session(Stage::posix());
}

#[test]
fn a_session_has_a_terminal_with_the_linux_launcher() {
    if let Some(stage) = Stage::linux("terminal") {
        a_terminal_of_a_session(stage);
    }
}

/// A session sees what its task sees, and is counted with it.
#[test]
fn a_session_is_in_the_namespaces_and_the_control_groups_of_its_task() {
    let Some(stage) = Stage::linux("namespaces") else { return };
    let (task, parent) = stage.task("t", "mount -t tmpfs none /mnt && touch /mnt/private && sleep 1000", &[]);
    let script = "ls /mnt; tr '\\0' ' ' </proc/1/cmdline; ls -l /proc/self/ns | sed -n 's/.*\\(mnt:.*\\|pid:.*\\)/\\1/p'; \
                  cat /proc/self/cgroup; echo pid $$";
    let (stdout, stderr) = stage.session(&parent, "s", &shell(script), json!({}), Media::Json).rest();
    let of_task = processes(|words| {
        words.first().is_some_and(|word| word == "sleep") && words.get(1).is_some_and(|word| word == "1000")
    });
    let namespace = |pid: &str, kind: &str| {
        let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap_or_default();
        link.to_string_lossy().into_owned()
    };
    let with_it = of_task
        .iter()
        .any(|pid| stdout.contains(&namespace(pid, "mnt")) && stdout.contains(&namespace(pid, "pid")));
    assert!(with_it && stdout.contains("private"), "{stdout} {stderr}");
    let id = parent["value"].as_str().expect("an id");
    let memory = stdout.lines().find(|line| line.contains(":memory:")).expect("a memory group");
    assert!(memory.ends_with(id), "{stdout}");
    drop(task);
    stage.nothing_is_left();
}

/// A task with a terminal, of which more is heard after its agent was killed.
fn a_task_with_a_terminal(mut stage: Stage) {
    let script = "tty; while read line; do echo \"heard $line of $(stty size)\"; done";
    let (task, id) = stage.task("t", script, &["--tty", "--checkpoint"]);
    let mut output = stage.output(&id).unwrap_or_else(|answer| panic!("{answer:?}"));
    let mut input = stage.input(&id);
    input.size(20, 70);
    input.text("one\r");
    output.until("heard one of 20 70");
    let before = stage.switchboards();
    assert_eq!(before.len(), 1);
    stage.restart_agent();
    // The clients of the agent are gone with it, and those of the one after it go on with the same terminal.
    output.rest();
    let mut output = wait_for("the agent to be back", PATIENCE, || stage.output(&id).ok());
    let mut input = stage.input(&id);
    input.text("two\r");
    output.until("heard two of 20 70");
    assert_eq!(stage.switchboards(), before);
    input.text("\x04");
    output.rest();
    assert_eq!(input.answer().0, 200);
    task.until("TASK_FINISHED");
    drop(task);
    stage.nothing_is_left();
}

#[test]
fn a_terminal_outlives_its_agent() {
    a_task_with_a_terminal(Stage::posix());
}

#[test]
fn a_terminal_outlives_its_agent_with_the_linux_launcher() {
    if let Some(stage) = Stage::linux("outlives") {
        a_task_with_a_terminal(stage);
    }
}

/// Keys reach the task's own processes, and not its executor.
#[test]
fn an_interrupted_task_tells_its_end() {
    let stage = Stage::posix();
    let (task, id) = stage.task("t", "echo ready; exec sleep 1000", &["--tty"]);
    let mut output = stage.output(&id).unwrap_or_else(|answer| panic!("{answer:?}"));
    let mut input = stage.input(&id);
    input.text("\x03");
    output.until("^C");
    task.until("TASK_FAILED");
    task.until("Command terminated with signal Interrupt");
    drop(task);
    stage.nothing_is_left();
}

/// Whoever is to be heard by nobody any more does not go on as if it were.
#[test]
fn without_its_switchboard_a_task_ends() {
    let stage = Stage::posix();
    let (task, _) = stage.task("t", "trap '' HUP; sleep 1000", &["--tty"]);
    let all = stage.switchboards();
    assert_eq!(all.len(), 1);
    kill("KILL", &all[0]);
    task.until("TASK_FAILED");
    task.until("REASON_IO_SWITCHBOARD_EXITED");
    task.until("'IOSwitchboard' terminated with signal Killed");
    drop(task);
    stage.nothing_is_left();
}

/// Nobody has a session open any more when its agent is gone.
#[test]
fn sessions_end_with_their_agent() {
    let mut stage = Stage::posix();
    let (task, parent) = stage.task("t", "sleep 1000", &["--checkpoint"]);
    let mut output = stage.session(&parent, "s", &shell("echo begin; sleep 1000"), terminal(), Media::Json);
    output.until("begin");
    stage.restart_agent();
    output.rest();
    let agent = stage.cluster.agents[0];
    let get = json!({"type": "GET_CONTAINERS", "get_containers": {"show_nested": true}});
    wait_for("the session to be gone, and its task to be there", PATIENCE, || {
        // Not before it has recovered.
        let answer = Some(call(agent, &get)).filter(|answer| answer.status == 200)?;
        let containers = answer.json()["get_containers"]["containers"].clone();
        let all = containers.as_array()?.clone();
        (all.len() == 1 && all[0]["container_id"] == parent && stage.switchboards().is_empty()).then_some(())
    });
    drop(task);
    stage.nothing_is_left();
}
