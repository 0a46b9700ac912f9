//! Frameworks that nobody here wrote run their tasks on Messor, and Messor's agent works under the real master.
//!
//! Rows: U048, U093, U100, U103, U104, U111, U113 (an agent under an Apache Mesos master), U114 (v0 driver).

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use messor_testkit::{Cluster, Options, ZooKeeper, binary, free_port, get, oracle, request, skip, wait_for};

use crate::real::RealMaster;

fn run(program: PathBuf, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().expect("a program of the oracle runs")
}

/// The oracle says with exit status 3 that something it needs is not there.
fn ran(what: &str, output: &Output) -> bool {
    if output.status.code() == Some(3) {
        skip(&format!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim()));
        return false;
    }
    true
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn finished(output: &Output) -> usize {
    text(output).lines().filter(|l| l.ends_with("TASK_FINISHED")).count()
}

#[test]
fn the_real_driver_runs_tasks_on_messor() {
    let Some(oracle) = oracle() else { return skip("the real 1.11.0 driver: ../shared is not there") };
    let cluster = Cluster::start();
    let output = run(oracle.join("apache-mesos-local"), &["driver", &cluster.master.to_string(), "6"]);
    if ran("the real 1.11.0 driver", &output) {
        assert!(output.status.success() && finished(&output) > 0, "{}", text(&output));
    }
}

/// The real detector reads the znode that Messor's contender wrote, with credentials, and so do Messor's agent and tools.
#[test]
fn the_real_driver_finds_messor_over_zookeeper() {
    let Some(zookeeper) = ZooKeeper::start(1) else { return };
    let url = format!("zk://me:hidden-word@{}/mesos", zookeeper.servers());
    let options = Options {
        agents: 0,
        master_flags: vec![format!("--zk={url}"), "--quorum=1".to_string()],
        ..Options::default()
    };
    let mut cluster = Cluster::with(&options);
    let agent = cluster.agent_by(&url);
    let messor = |program: &str, arguments: &[&str]| {
        Command::new(binary()).arg(program).args(arguments).output().expect("a program of Messor runs")
    };
    let output = messor("mesos-resolve", &[&url]);
    assert_eq!(text(&output).trim(), cluster.master.to_string());
    wait_for("the agent to register", Duration::from_secs(20), || {
        let state = get(cluster.master, "/state-summary").ok().filter(|answer| answer.status == 200)?.json();
        (state["slaves"].as_array()?.len() == 1).then_some(())
    });
    for (name, address, path) in
        [("the master", cluster.master, "/flags"), ("the agent", agent, "/slave(1)/flags")]
    {
        let flags = get(address, path).expect("it serves").text();
        assert!(flags.contains("zk://***@") && !flags.contains("hidden-word"), "{name}: {flags}");
    }
    let output = messor("mesos-execute", &[&format!("--master={url}"), "--name=t", "--command=true"]);
    assert!(output.status.success(), "{}", text(&output));
    let logs = format!("{}{}{}", cluster.log("master"), cluster.log("agent0"), text(&output));
    assert!(!logs.contains("hidden-word"), "{logs}");

    let Some(oracle) = oracle() else { return skip("the real 1.11.0 driver: ../shared is not there") };
    let output = run(oracle.join("apache-mesos-local"), &["driver", &url, "12"]);
    if ran("the real 1.11.0 driver", &output) {
        assert!(output.status.success() && finished(&output) > 0, "{}", text(&output));
    }
}

#[test]
fn messors_agent_works_under_the_real_master() {
    let Some(oracle) = oracle() else { return skip("the real 1.11.0 master: ../shared is not there") };
    let home = tempfile::tempdir().expect("a temporary folder");
    let Some(real) = RealMaster::start(free_port(), 0, home.path(), &[]) else { return };
    let address = real.address.to_string();
    let cluster = Cluster::agent_under(&address, &[]);
    let output = run(oracle.join("apache-mesos-local"), &["driver", &address, "8"]);
    if ran("the real 1.11.0 driver", &output) {
        assert!(
            output.status.success() && finished(&output) > 0,
            "{}\n---- agent ----\n{}",
            text(&output),
            cluster.log("agent0")
        );
    }
}

fn client(name: &str, seconds: &str) {
    let Some(oracle) = oracle() else { return skip(&format!("{name}: ../shared is not there")) };
    let cluster = Cluster::start();
    let output = run(oracle.join("clients"), &[name, &cluster.master.to_string(), seconds]);
    if ran(name, &output) {
        assert!(
            output.status.success() && finished(&output) > 0,
            "{}\n---- master ----\n{}",
            text(&output),
            cluster.log("master")
        );
    }
}

#[test]
fn pymesos_runs_tasks_on_messor() {
    client("pymesos", "8");
}

#[test]
fn avmesos_runs_tasks_on_messor() {
    client("avmesos", "40");
}

/// A pymesos framework with two tasks on an executor of its own. `executor` gets the Python that has pymesos.
/// `meanwhile` is done while it runs.
fn framework_with_executor(
    what: &str,
    executor: impl Fn(&std::path::Path) -> String,
    data: Option<&str>,
    meanwhile: impl FnOnce(&mut Cluster),
) {
    let Some(oracle) = oracle() else { return skip(&format!("{what}: ../shared is not there")) };
    let mut cluster = Cluster::start();
    // `clients` sets up the virtual environment that the framework below uses.
    let prepared = run(oracle.join("clients"), &["pymesos", &cluster.master.to_string(), "1"]);
    if !ran(what, &prepared) {
        return;
    }
    let python = std::env::temp_dir().join("mesos-client-pymesos/bin/python");
    let framework = Command::new(&python)
        .arg(messor_testkit::root().join("testing/conformance/tests/it/python_framework.py"))
        .args([&cluster.master.to_string(), &executor(&python)])
        .args(data)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("python runs");
    meanwhile(&mut cluster);
    let output = framework.wait_with_output().expect("python ends");
    assert!(
        output.status.success() && finished(&output) >= 2,
        "{}\n---- agent ----\n{}",
        text(&output),
        cluster.log("agent0")
    );
}

#[test]
fn a_python_executor_runs_tasks_on_messor() {
    let script = messor_testkit::root().join("testing/conformance/tests/it/python_executor.py");
    let command = |python: &std::path::Path| format!("{} {}", python.display(), script.display());
    framework_with_executor("a pymesos executor", command, None, |_| ());
}

/// U114: executors that speak libprocess messages, as those of the v0 driver do.
#[test]
fn an_executor_of_the_v0_kind_runs_tasks_on_messor() {
    let command = |_: &std::path::Path| env!("CARGO_BIN_EXE_v0-executor").to_string();
    framework_with_executor("a v0 executor", command, Some("sleep 1"), |_| ());
}

/// U109, U114: such an executor and its tasks outlive their agent, and come back to the next one.
#[test]
fn an_executor_of_the_v0_kind_survives_its_agent() {
    let command = |_: &std::path::Path| env!("CARGO_BIN_EXE_v0-executor").to_string();
    framework_with_executor("a v0 executor and its agent", command, Some("sleep 8"), |cluster| {
        let running = "Handling status update TASK_RUNNING";
        wait_for("two tasks to run", Duration::from_secs(20), || {
            (cluster.log("agent0").matches(running).count() >= 2).then_some(())
        });
        cluster.kill("agent0");
        cluster.restart_agent(0, &[]);
        wait_for("the executor to come back", Duration::from_secs(20), || {
            cluster.log("agent0").contains("Handling status update TASK_FINISHED").then_some(())
        });
    });
}

/// The Python command line as it is kept on: avmesos-cli. Its `task exec` fails by itself, before it asks anybody: what it
/// would send is sent below.
#[test]
fn avmesos_cli_shows_what_messor_runs() {
    let home = std::env::temp_dir().join("mesos-client-avmesos-cli");
    let python = home.join("bin/python");
    if !home.join("ready").exists() {
        let done = |command: &mut Command| command.status().is_ok_and(|status| status.success());
        let packages = ["avmesos-cli==1.0.0", "requests", "urllib3", "setuptools<81"];
        if !done(Command::new("python3").args(["-m", "venv"]).arg(&home))
            || !done(Command::new(&python).args(["-m", "pip", "-q", "install"]).args(packages))
        {
            return skip("avmesos-cli: it cannot be installed from PyPI");
        }
        std::fs::write(home.join("ready"), "").expect("a file");
    }
    let cluster = Cluster::start();
    let agent = crate::recovery::agent_id(&cluster);
    let task = crate::recovery::Execution::start(&cluster, "seen", "sleep 1000", &[]);
    task.until("TASK_RUNNING");
    let config = cluster.folder().join("config.toml");
    std::fs::write(&config, format!("[master]\naddress = \"{}\"\n", cluster.master)).expect("a file");
    let said = |words: &[&str]| {
        let output = Command::new(&python)
            .args(["-m", "avmesos.cli.mesos-cli"])
            .args(words)
            .env("MESOS_CLI_CONFIG", &config)
            .output()
            .expect("python runs");
        assert!(output.status.success(), "{words:?}: {}", text(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let agents = said(&["agent", "list"]);
    assert!(agents.contains(&agent) && agents.contains("localhost") && agents.contains("True"), "{agents}");
    let master = agent.strip_suffix("-S0").expect("the first agent of its master");
    let framework = format!("{master}-0000");
    let frameworks = said(&["framework", "list"]);
    assert!(frameworks.contains(&framework) && frameworks.contains("mesos-execute instance"), "{frameworks}");
    assert!(said(&["framework", "inspect", &framework]).contains("\"checkpoint\""));
    let tasks = said(&["task", "list"]);
    assert!(
        tasks.contains("seen") && tasks.contains("TASK_RUNNING") && tasks.contains(&framework),
        "{tasks}"
    );
    let inspected = said(&["task", "inspect", "seen"]);
    assert!(inspected.contains("\"state\": \"TASK_RUNNING\""), "{inspected}");

    // `exec` of avmesos/cli/mesos.py, class TaskIO: _launch_nested_container_session.
    let tasks = get(cluster.master, "/tasks?order=asc&limit=-1").expect("an answer").json();
    let container = tasks["tasks"][0]["statuses"][0]["container_status"]["container_id"].clone();
    let message = serde_json::json!({
        "type": "LAUNCH_NESTED_CONTAINER_SESSION",
        "launch_nested_container_session": {
            "container_id": {"parent": container, "value": "3b5d2b2e-5a70-4b3e-9a92-3f0bb4f6a001"},
            "command": {"value": "echo", "arguments": ["echo", "from within"], "shell": false}}});
    let headers = [
        ("Content-Type", "application/json"),
        ("Accept", "application/recordio"),
        ("Message-Accept", "application/json"),
    ];
    let answer = request(cluster.agents[0], "POST", "/api/v1", &headers, message.to_string().as_bytes());
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    // Base64 of "from within\n".
    assert!(answer.text().contains("ZnJvbSB3aXRoaW4K"), "{}", answer.text());
}

/// What the older `mesos.cli` asks (mesos/cli/master.py, slave.py, mesos_file.py): `mesos ps`, `ls`, `cat`, `tail` of it.
#[test]
fn mesos_cli_style_calls_are_answered() {
    let cluster = Cluster::start();
    let task = crate::recovery::Execution::start(&cluster, "seen", "echo one; echo two; sleep 1000", &[]);
    task.until("TASK_RUNNING");
    let read = |address, path: &str| {
        let answer = get(address, path).expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    };
    // MesosMaster.state, .slaves, .tasks
    let state = read(cluster.master, "/master/state.json");
    assert_eq!(state["slaves"][0]["hostname"], "localhost");
    let pid = state["slaves"][0]["pid"].as_str().expect("a pid");
    assert_eq!(pid.rsplit(':').next(), Some(cluster.agents[0].port().to_string().as_str()));
    let framework = &state["frameworks"][0];
    assert_eq!(framework["tasks"][0]["id"], "seen");
    // MesosSlave.state, .task_executor: the executor has the task, and knows its directory.
    let state = read(cluster.agents[0], "/slave(1)/state.json");
    let executor = &state["frameworks"][0]["executors"][0];
    assert_eq!(executor["tasks"][0]["id"], "seen");
    let directory = executor["directory"].as_str().expect("a directory");
    // MesosSlave.file_list
    let files = read(cluster.agents[0], &format!("/files/browse.json?path={directory}"));
    let is_stdout = |file: &serde_json::Value| file["path"] == format!("{directory}/stdout");
    assert!(files.as_array().expect("a list").iter().any(is_stdout), "{files}");
    // File.size, File._get_chunk
    let file = |offset: i64, length: u64| {
        read(
            cluster.agents[0],
            &format!("/files/read.json?path={directory}/stdout&offset={offset}&length={length}"),
        )
    };
    wait_for("its output", Duration::from_secs(20), || (file(-1, 1024)["offset"] == 8).then_some(()));
    assert_eq!(file(0, 1024)["data"], "one\ntwo\n");
    assert_eq!(file(4, 3)["data"], "two");
    assert_eq!(
        get(cluster.agents[0], "/files/read.json?path=/nothing&offset=-1").expect("an answer").status,
        404
    );
    drop(task);
}
