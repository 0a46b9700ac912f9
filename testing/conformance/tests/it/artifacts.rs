//! Artifacts by way of the fetcher's cache, and by the Hadoop client, with whole programs.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use messor_testkit::{Cluster, Options, get};
use serde_json::json;

use crate::recovery::Execution;
use crate::tasks::{run_task, task, text};

/// A server of 1000 bytes at every path but `/missing`, and what it was asked, such as `GET /a`.
fn server() -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut head = String::new();
            let mut reader = BufReader::new(&stream);
            while reader.read_line(&mut head).is_ok_and(|count| count > 2) {}
            let words: Vec<&str> = head.split(' ').take(2).collect();
            let (status, body) = match words[..] {
                [_, "/missing"] => ("404 Not Found", String::new()),
                [_, path] => ("200 OK", path[1..].repeat(1000)),
                _ => ("400 Bad Request", String::new()),
            };
            let length = body.len();
            let body = if words[0] == "GET" { body } else { String::new() };
            let answer =
                format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
            // The test may have ended.
            let _ = sender.send(words.join(" "));
            let _ = (&stream).write_all(answer.as_bytes());
        }
    });
    (address, asked)
}

fn cached(address: SocketAddr, path: &str) -> serde_json::Value {
    json!({"value": format!("http://{address}/{path}"), "cache": true})
}

fn metric(cluster: &Cluster, name: &str) -> f64 {
    let metrics = get(cluster.agents[0], "/metrics/snapshot").expect("an answer").json();
    let value = metrics[format!("containerizer/fetcher/{name}")].as_f64();
    value.unwrap_or_else(|| panic!("containerizer/fetcher/{name} is not there"))
}

fn files(cache: &Path) -> Vec<String> {
    let names = std::fs::read_dir(cache).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A task that gets these and looks whether each has its 1000 bytes.
fn run(
    cluster: &Cluster,
    name: &str,
    user: Option<&str>,
    uris: &[serde_json::Value],
) -> std::process::Output {
    let command = "for file in ?; do test ! -e $file || test $(wc -c <$file) = 1000 || exit 1; done; ls -a";
    let mut command = json!({"value": command, "uris": uris});
    if let Some(user) = user {
        command["user"] = json!(user);
    }
    run_task(cluster, &task(name, command))
}

#[test]
fn a_cached_artifact_is_downloaded_once_for_each_user_and_evicted_by_use() {
    let (address, asked) = server();
    let options = Options { agent_flags: vec!["--fetcher_cache_size=2500B".into()], ..Options::default() };
    let mut cluster = Cluster::with(&options);
    let cache = cluster.folder().join("agent0-cache");
    std::fs::set_permissions(cluster.folder(), PermissionsExt::from_mode(0o755)).expect("others may pass");
    let user = std::process::Command::new("id").arg("-un").output().expect("id runs").stdout;
    let own: PathBuf = cache.join(String::from_utf8(user).expect("a name").trim());
    let gets = |paths: &[&str]| {
        let all: Vec<String> = asked.try_iter().filter(|line| line.starts_with("GET")).collect();
        assert_eq!(all, paths.iter().map(|path| format!("GET /{path}")).collect::<Vec<_>>());
    };
    for name in ["first", "second"] {
        let output = run(&cluster, name, None, &[cached(address, "a"), cached(address, "b")]);
        assert!(output.status.success(), "{}", text(&output));
    }
    gets(&["a", "b"]);
    assert_eq!(files(&own), ["c1-a", "c2-b"]);
    assert_eq!(metric(&cluster, "cache_size_used_bytes"), 2000.0);
    assert_eq!(metric(&cluster, "cache_size_total_bytes"), 2500.0);
    assert_eq!(metric(&cluster, "task_fetches_succeeded"), 2.0);

    // Another one makes room by what was used longest ago: a was used before b, but again since.
    assert!(run(&cluster, "again", None, &[cached(address, "a")]).status.success());
    assert!(run(&cluster, "another", None, &[cached(address, "c")]).status.success());
    gets(&["c"]);
    assert_eq!(files(&own), ["c1-a", "c3-c"]);

    // What is larger than the cache goes past it, and so does what is not there, which fails.
    let output = run(&cluster, "large", None, &[cached(address, "large")]);
    assert!(output.status.success(), "{}", text(&output));
    gets(&["large"]);
    let output = run(&cluster, "none", None, &[cached(address, "missing")]);
    assert!(!output.status.success() && text(&output).contains("404"), "{}", text(&output));
    assert_eq!(metric(&cluster, "task_fetches_failed"), 1.0);
    assert_eq!(files(&own), ["c1-a", "c3-c"]);
    gets(&["missing"]);

    if rustix::process::geteuid().is_root() {
        let output = run(&cluster, "user", Some("nobody"), &[cached(address, "a")]);
        assert!(output.status.success(), "{}", text(&output));
        gets(&["a"]);
        let theirs = cache.join("nobody");
        let found = std::fs::metadata(&theirs).expect("their own directory");
        assert_eq!((found.permissions().mode() & 0o777, found.uid() == 0), (0o700, false));
        assert_eq!(files(&theirs).len(), 1);
    } else {
        messor_testkit::skip("another user's cache: this is not root");
    }

    // An agent begins with an empty cache.
    cluster.kill("agent0");
    cluster.restart_agent(0, &options.agent_flags);
    assert!(files(&cache).is_empty());
    assert!(run(&cluster, "fresh", None, &[cached(address, "a")]).status.success());
    gets(&["a"]);
}

#[test]
fn several_tasks_at_a_time_wait_for_one_download() {
    let (address, asked) = server();
    let cluster = Cluster::start();
    let running: Vec<Execution> = ["one", "two", "three", "four"]
        .iter()
        .map(|name| {
            let command = json!({
                "value": "test $(wc -c <a) = 1000",
                "uris": [cached(address, "a")],
            });
            let path = cluster.folder().join(format!("{name}.json"));
            let mut info = task(name, command);
            info["resources"][0]["scalar"]["value"] = json!(0.01);
            std::fs::write(&path, info.to_string()).expect("a file");
            Execution::of_task(&cluster, name, &path)
        })
        .collect();
    for execution in &running {
        execution.until("TASK_FINISHED");
    }
    let gets = asked.try_iter().filter(|line| line.starts_with("GET")).count();
    assert_eq!(gets, 1);
}

/// /containerizer/debug
#[test]
fn what_a_container_waits_for_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let cluster = Cluster::start();
    let debug = || get(cluster.agents[0], "/containerizer/debug").expect("an answer").json();
    assert_eq!(debug(), json!({"pending": []}));
    let command = json!({"value": "true", "uris": [{"value": format!("http://{address}/a")}]});
    let path = cluster.folder().join("waits.json");
    std::fs::write(&path, task("waits", command).to_string()).expect("a file");
    let waits = Execution::of_task(&cluster, "waits", &path);
    let (mut stream, _) = listener.accept().expect("the fetcher");
    let pending = debug();
    let first = &pending["pending"][0];
    assert_eq!(first["operation"], "containerizer::fetch", "{pending}");
    assert_eq!(first["args"]["containerId"].as_str().expect("an id").len(), 36, "{pending}");
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na";
    stream.write_all(answer.as_bytes()).expect("it is answered");
    waits.until("TASK_FINISHED");
}

#[test]
fn hdfs_is_fetched_by_the_hadoop_client() {
    let folder = tempfile::tempdir().expect("a folder");
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    let client = r#"#!/bin/sh
echo "$@" >>"$(dirname "$0")/../asked"
case "$2" in
  -du) echo "WARN slow"; echo "1000  $3" ;;
  -copyToLocal) head -c 1000 /dev/zero >"$4" ;;
esac
"#;
    std::fs::write(bin.join("hadoop"), client).expect("a file");
    std::fs::set_permissions(bin.join("hadoop"), PermissionsExt::from_mode(0o755)).expect("it may run");
    let home = format!("--hadoop_home={}", folder.path().display());
    let cluster = Cluster::with(&Options { agent_flags: vec![home], ..Options::default() });
    let hdfs = |cache: bool| json!({"value": "hdfs://name:8020/a", "cache": cache});
    for (name, cache) in [("past", false), ("into", true), ("from", true)] {
        let output = run(&cluster, name, None, &[hdfs(cache)]);
        assert!(output.status.success(), "{}", text(&output));
        assert!(!text(&output).contains(".fetch-"), "nothing else is left: {}", text(&output));
    }
    let asked = std::fs::read_to_string(folder.path().join("asked")).expect("it was asked");
    let commands: Vec<&str> = asked.lines().map(|line| line.split(' ').nth(1).expect("a command")).collect();
    assert_eq!(commands, ["-copyToLocal", "-du", "-copyToLocal"]);
}
