//! Metrics: every name that is said to be there is served, and nothing else; Prometheus reads them; the dashboard asks for
//! nothing that is not there.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use messor_metrics::catalogue::{Presence, Source, catalogue};
use messor_testkit::{
    Answer, Cluster, Framework, Options, binary, free_port, get, oracle, post, request, root, skip, wait_for,
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the cluster of these tests does not come to, by what the catalogue says of it.
const NOT_CAUSED: [&str; 2] = ["with the isolator disk/xfs", "with --volume_gid_range"];

/// A cluster in which whatever is measured has happened, with the scheduler that made it happen. `busy` runs for long.
fn eventful() -> (Cluster, Framework) {
    let flags = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    let cluster = Cluster::with(&Options {
        agents: 1,
        master_flags: flags(&[
            "--allocation_interval=100ms",
            r#"--role_priorities={"high": 10, "web/x": 0}"#,
            "--preemption_delay=1secs",
        ]),
        agent_flags: flags(&["--resources=cpus:2;mem:512"]),
    });
    let master = cluster.master;
    let capabilities =
        ["PARTITION_AWARE", "MULTI_ROLE", "RESERVATION_REFINEMENT"].map(|kind| json!({"type": kind}));
    let framework = Framework::of(
        master,
        &json!({"user": "root", "name": "a \"name\"/of sorts", "roles": ["web/x"], "principal": "ops", "checkpoint": true,
                "failover_timeout": 100, "capabilities": capabilities}),
    );
    let offer = framework.offer(|_| true);
    let launch = |id: &str, cpus: f64| {
        let scalar = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}, "allocation_info": {"role": "web/x"}});
        json!({"type": "LAUNCH", "launch": {"task_infos": [{"name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"],
            "resources": [scalar("cpus", cpus), scalar("mem", 64.0)], "command": {"value": "sleep 1000"}}]}})
    };
    framework.accept(&offer, vec![launch("busy", 0.5), launch("victim", 0.5)]);
    for _ in 0..2 {
        framework.next("UPDATE", |event| event["update"]["status"]["state"] == "TASK_RUNNING");
    }
    // Another has a guarantee and nothing to run on: `victim` goes, and before it offers do.
    let quota = |guarantee: f64| {
        let quota = json!({"type": "UPDATE_QUOTA", "update_quota": {"quota_configs": [
            {"role": "high", "guarantees": {"cpus": {"value": guarantee}}, "limits": {"cpus": {"value": 2.0}}}]}});
        assert_eq!(post(master, "/api/v1", &quota).expect("an answer").status, 200);
    };
    quota(1.0);
    quota(1.5);
    let high = Framework::in_role(master, "root", "high");
    framework.next("UPDATE", |event| event["update"]["status"]["state"] == "TASK_KILLED");
    high.offer(|_| true);
    (cluster, framework)
}

fn names(address: SocketAddr) -> BTreeSet<String> {
    let snapshot = get(address, "/metrics/snapshot").expect("a snapshot").json();
    snapshot.as_object().expect("an object").keys().cloned().collect()
}

/// Every name that works is served, none that is said to be absent, and none that nobody knows (U063).
#[test]
fn all_that_is_in_the_catalogue_is_served_and_nothing_else() {
    let (cluster, _framework) = eventful();
    let wanted = |source: &Source| match source.presence {
        Presence::Always => true,
        Presence::Sometimes(when) => !NOT_CAUSED.contains(&when),
        Presence::Absent(_) => false,
    };
    let agent = cluster.agents[0];
    let missing = || {
        let served: BTreeSet<String> = names(cluster.master).into_iter().chain(names(agent)).collect();
        let choices =
            catalogue().sources().filter(|source| wanted(source)).flat_map(|source| source.pattern.choices());
        choices
            .filter(|pattern| !served.iter().any(|name| pattern.read(name).is_some()))
            // Any of the states does.
            .filter(|pattern| !pattern.to_string().starts_with("master/task_"))
            .map(|pattern| pattern.to_string())
            .collect::<Vec<String>>()
    };
    let end = std::time::Instant::now() + PATIENCE;
    while !missing().is_empty() && std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(missing(), [""; 0], "these are not served");
    let served: Vec<String> = names(cluster.master).into_iter().chain(names(agent)).collect();
    assert!(
        served.iter().any(|name| name.starts_with("master/task_killed/source_executor/reason_")),
        "{served:?}"
    );
    let known = |name: &String| {
        let of = |source: &&Source| source.pattern.read(name).is_some();
        let source = catalogue().sources().find(of);
        source.is_some_and(|source| !matches!(source.presence, Presence::Absent(_)))
    };
    let unknown: Vec<&String> = served.iter().filter(|name| !known(name)).collect();
    assert_eq!(unknown, [""; 0], "these are served, and the catalogue does not say so");

    // A master does without those of frameworks where it is told to.
    let quiet = Cluster::with(&Options {
        agents: 0,
        master_flags: vec!["--no-publish_per_framework_metrics".to_string()],
        ..Options::default()
    });
    let ready = || (get(quiet.master, "/health/ready").ok()?.status == 200).then_some(());
    wait_for("the master to be ready", PATIENCE, ready);
    let _framework = Framework::in_role(quiet.master, "root", "web");
    let of_frameworks = |name: &String| name.starts_with("master/frameworks/");
    assert!(!names(quiet.master).iter().any(of_frameworks));
    assert!(served.iter().any(of_frameworks));
}

/// Names of 1.11.0, as its documentation and a running one have them.
#[test]
fn every_name_of_apache_mesos_is_in_the_catalogue() {
    let Some(folder) = oracle() else { return skip("names of metrics: no reference is here") };
    let list = std::fs::read_to_string(folder.join("../reference/metrics.tsv")).expect("the list of metrics");
    let names: Vec<&str> =
        list.lines().filter(|line| !line.starts_with('#')).filter_map(|l| l.split('\t').next()).collect();
    assert!(names.len() > 400, "{}", names.len());
    let missing: Vec<&str> = names
        .into_iter()
        .filter(|name| {
            let kind = if name.starts_with("master/frameworks/") { "launch" } else { "reserve" };
            let state = if name.contains("/active/") { "task_running" } else { "task_finished" };
            let mut example = name.to_string();
            for (place, value) in [
                ("<ENCODED_FRAMEWORK_NAME>", "name"),
                ("<FRAMEWORK_ID>", "id"),
                ("<CALL_TYPE>", "accept"),
                ("<EVENT_TYPE>", "offers"),
                ("<OPERATION_TYPE>", kind),
                ("<OPERATION_STATE>", "finished"),
                ("<TASK_STATE>", state),
                ("<ROLE_NAME>", "a/b"),
                ("<role>", "a/b"),
            ] {
                example = example.replace(place, value);
            }
            // Whatever else is in brackets may be anything.
            let example = example.replace(['<', '>'], "");
            !catalogue().sources().any(|source| source.pattern.read(&example).is_some())
        })
        .collect();
    assert_eq!(missing, [""; 0]);
}

/// COMPATIBILITY.md has each absent name with the reason that the catalogue has, and no other.
#[test]
fn compatibility_lists_what_is_absent() {
    let text = std::fs::read_to_string(root().join("COMPATIBILITY.md")).expect("COMPATIBILITY.md");
    let (_, rest) = text.split_once("<!-- metrics that are absent -->\n").expect("the table's beginning");
    let (table, _) = rest.split_once("<!-- end -->").expect("the table's end");
    let told: BTreeSet<String> =
        table.lines().filter(|line| line.starts_with("| `")).map(String::from).collect();
    let absent: BTreeSet<String> = catalogue()
        .sources()
        .filter_map(|source| match source.presence {
            Presence::Absent(why) => Some(format!("| `{}` | {why} |", source.pattern)),
            _ => None,
        })
        .collect();
    assert!(!absent.is_empty());
    let rows = absent.iter().cloned().collect::<Vec<_>>().join("\n");
    assert!(told == absent, "the table between the marks is behind; it should be:\n{rows}");
}

/// LIBPROCESS_METRICS_SNAPSHOT_ENDPOINT_RATE_LIMIT holds for the snapshot, and for nothing else.
#[test]
fn the_snapshot_keeps_to_its_limit() {
    const LIMIT: &str = "LIBPROCESS_METRICS_SNAPSHOT_ENDPOINT_RATE_LIMIT";
    let mut cluster = Cluster::start();
    cluster.kill("agent0");
    cluster.restart_agent_in(0, &[], &[(LIMIT, "4/1secs")]);
    let agent = cluster.agents[0];
    let begin = std::time::Instant::now();
    for _ in 0..5 {
        assert_eq!(get(agent, "/metrics/snapshot").expect("an answer").status, 200);
    }
    assert!(begin.elapsed() >= Duration::from_secs(1), "five took {:?}", begin.elapsed());
    let begin = std::time::Instant::now();
    get(agent, "/metrics/snapshot").expect("an answer");
    for _ in 0..5 {
        assert_eq!(get(agent, "/metrics").expect("an answer").status, 200);
    }
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());

    let refused = Command::new(binary())
        .args(["master", "--ip=127.0.0.1", "--port=0", "--registry=in_memory"])
        .env(LIMIT, "many")
        .output()
        .expect("a master runs");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains(LIMIT) && told.contains("'many'"), "{told}");
}

fn metrics_text(address: SocketAddr, accept: &str) -> Answer {
    request(address, "GET", "/metrics", &[("Accept", accept)], b"").expect("an answer")
}

/// The names of Prometheus that a text has.
fn families(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).map(String::from).collect()
}

struct Prometheus {
    address: SocketAddr,
    process: Child,
}

impl Prometheus {
    fn start(folder: &std::path::Path, master: SocketAddr, agent: SocketAddr) -> Prometheus {
        let configuration = format!(
            "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: mesos-master\n  static_configs:\n  - targets: ['{master}']\n\
             - job_name: mesos-agent\n  static_configs:\n  - targets: ['{agent}']\n"
        );
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, configuration).expect("the configuration is written");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let log = std::fs::File::create(folder.join("prometheus.log")).expect("a log file");
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("prometheus starts");
        Prometheus { address, process }
    }

    /// The answer to a query: each series with its labels and value.
    fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = get(self.address, &format!("/api/v1/query?query={encoded}"));
        // It listens before it is ready.
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(answer.text());
        }
        let answer = answer.json();
        match answer["data"]["result"].as_array() {
            Some(result) if answer["status"] == "success" => Ok(result.clone()),
            _ => Err(answer.to_string()),
        }
    }

    /// The value of the only series that a query finds.
    fn value(&self, expression: &str) -> Option<f64> {
        match self.query(expression).ok()?.as_slice() {
            [one] => one["value"][1].as_str()?.parse().ok(),
            _ => None,
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// promtool's opinion of a text.
fn check(text: &[u8]) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    promtool.stdin.take().expect("its input").write_all(text).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let told = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && told.is_empty(), "{}", String::from_utf8_lossy(&told));
}

fn alerts() -> std::path::PathBuf {
    root().join("docs/monitoring/alerts.yml")
}

/// Every query of the dashboard and of the alerts, with its title.
fn questions() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("docs/monitoring/grafana-dashboard.json"))
        .expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("the dashboard is JSON");
    let rules = std::fs::read_to_string(alerts()).expect("the alerts");
    let mut queries: Vec<(String, String)> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .map(|query| (format!("the alert {query}"), query.to_string()))
        .collect();
    assert!(queries.len() > 5, "{rules}");
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let title = panel["title"].as_str().expect("a title").to_string();
            queries.push((title, target["expr"].as_str().expect("a query").to_string()));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        if let Some(query) = variable["query"]["query"].as_str() {
            queries.push((format!("variable {}", variable["name"]), query.to_string()));
        }
    }
    queries
}

#[test]
fn prometheus_reads_a_master_and_an_agent_and_is_asked_for_what_is_there() {
    let (cluster, _framework) = eventful();
    let agent = cluster.agents[0];
    let (text, open) = ("text/plain;version=0.0.4", "application/openmetrics-text; version=1.0.0");
    let mut served = BTreeSet::new();
    for address in [cluster.master, agent] {
        let plain = metrics_text(address, text);
        assert_eq!(plain.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let opened = metrics_text(address, open);
        assert_eq!(
            opened.header("Content-Type"),
            Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
        );
        assert!(opened.text().ends_with("\n# EOF\n"));
        served.extend(families(&plain.text()));
        assert_eq!(request(address, "POST", "/metrics", &[], b"").expect("an answer").status, 405);
    }
    let queries = questions();
    assert!(queries.len() > 20, "{queries:?}");
    for (title, query) in &queries {
        let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let asked: Vec<&str> = words.filter(|word| word.starts_with("mesos_")).collect();
        assert!(!asked.is_empty() || query.contains("up{"), "{title}: {query}");
        for name in asked {
            assert!(served.contains(name), "'{title}' asks for {name}, which nobody serves");
        }
    }

    if Command::new("promtool").arg("--version").output().is_err() {
        return skip("metrics in a real Prometheus: it is not installed");
    }
    check(&metrics_text(cluster.master, text).body);
    check(&metrics_text(agent, text).body);
    let rules =
        Command::new("promtool").args(["check", "rules"]).arg(alerts()).output().expect("promtool runs");
    assert!(rules.status.success(), "{}", String::from_utf8_lossy(&rules.stderr));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let prometheus = Prometheus::start(folder.path(), cluster.master, agent);
    wait_for("both to be read", PATIENCE, || (prometheus.value("sum(up)") == Some(2.0)).then_some(()));
    let targets = get(prometheus.address, "/api/v1/targets").expect("an answer").json();
    for target in targets["data"]["activeTargets"].as_array().expect("targets") {
        assert_eq!((&target["health"], &target["lastError"]), (&json!("up"), &json!("")), "{target}");
    }
    for (query, value) in [
        (r#"mesos_framework_tasks{framework_name="a \"name\"/of sorts",state="running"}"#, 1.0),
        (r#"mesos_framework_tasks_ended_total{framework_name="a \"name\"/of sorts",state="killed"}"#, 1.0),
        (r#"mesos_allocator_quota_guarantee{role="high",resource="cpus"}"#, 1.5),
        (r#"mesos_agent_mem_bytes{revocable="false"}"#, 512.0 * 1024.0 * 1024.0),
        (r#"mesos_build_info{job="mesos-master",version="1.11.0"}"#, 1.0),
        ("mesos_agent_registered", 1.0),
    ] {
        wait_for(query, PATIENCE, || (prometheus.value(query) == Some(value)).then_some(()));
    }
    for (title, query) in &queries {
        let query = query.replace("$__rate_interval", "1m").replace("$job", ".*").replace("$__range", "1m");
        // Variables are asked in Grafana's own way.
        if let Some(inner) = query.strip_prefix("label_values(").and_then(|rest| rest.split_once(',')) {
            prometheus.query(inner.0).unwrap_or_else(|error| panic!("'{title}': {error}"));
            continue;
        }
        prometheus.query(&query).unwrap_or_else(|error| panic!("'{title}': {error}"));
    }
}
