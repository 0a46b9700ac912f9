//! The web page: how it is served; and in Debian's Chromium, on a real cluster and on a large one that is made up. What is
//! looked at there is told in webui/test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use std::time::Duration;

use messor_testkit::{Cluster, Options, binary, get, request, root, skip, wait_for};

/// Whether a browser and what drives it are here.
pub fn browser() -> bool {
    let node =
        Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    let chromium = std::env::var("MESSOR_CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_string());
    let webui = root().join("webui");
    for (there, what) in [
        (node, "Node.js is not installed"),
        (Path::new(&chromium).exists(), "chromium is not installed"),
        (
            webui.join("node_modules/playwright-core").exists(),
            "webui/build.sh has not installed its packages",
        ),
        (webui.join("dist/page/index.html").exists(), "webui/build.sh has not built it"),
    ] {
        if !there {
            skip(&format!("the web page in a browser: {what}"));
            return false;
        }
    }
    true
}

/// Runs a test of webui/test to its end.
pub fn node(test: &str, environment: &[(&str, String)]) {
    let output = Command::new("node")
        .args(["--test", "--test-concurrency=1", &format!("test/{test}.test.mjs")])
        .current_dir(root().join("webui"))
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .expect("node runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told.lines().filter(|line| line.contains(" ms")).for_each(|line| println!("{line}"));
}

#[test]
fn every_page_on_a_real_cluster() {
    let logs = tempfile::tempdir().expect("a temporary folder");
    let log_dir = |name: &str| vec![format!("--log_dir={}", logs.path().join(name).display())];
    let cluster = Cluster::with(&Options {
        agents: 2,
        master_flags: log_dir("master"),
        agent_flags: log_dir("agents"),
    });
    let page = get(cluster.master, "/").expect("the master answers");
    assert_eq!(page.status, 200);
    if !page.text().contains("id=\"app\"") {
        assert!(page.text().contains("built without the web page"), "{}", page.text());
        return skip("the web page: this program was built without it");
    }
    let policy = page.header("Content-Security-Policy").expect("a policy");
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    let tag = page.header("ETag").expect("a tag");
    let again = request(cluster.master, "GET", "/", &[("If-None-Match", tag)], b"").expect("an answer");
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(request(cluster.master, "POST", "/", &[], b"").expect("an answer").status, 405);
    let text = page.text();
    let script = text.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a script");
    let script = get(cluster.master, script).expect("an answer");
    assert!(script.header("Cache-Control").is_some_and(|cached| cached.contains("immutable")));
    assert_eq!(script.header("Content-Type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(get(cluster.master, "/assets/nothing.js").expect("an answer").status, 404);
    // An agent has no page, and says where it is.
    assert!(get(cluster.agents[0], "/").expect("an answer").text().contains("The web page is at the master"));

    if browser() {
        let programs = cluster.bin().display().to_string();
        node("page", &[("MESSOR_MASTER", cluster.master.to_string()), ("MESSOR_PROGRAMS", programs)]);
    }
}

#[test]
fn a_hundred_thousand_tasks_scroll_and_are_searched_within_a_second() {
    if browser() {
        node("scale", &[]);
    }
}

/// The same of a real master, whose agents are simulated and whose tasks are launched one by one.
#[test]
fn a_real_master_with_a_hundred_thousand_tasks_is_scrolled_and_searched_within_a_second() {
    if !browser() {
        return;
    }
    let programs = binary().parent().expect("a folder").to_path_buf();
    let mut holder = Command::new(programs.join("messor-bench"))
        .args(["hold", "--agents", "5000", "--tasks", "100000", "--messor"])
        .arg(binary())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("messor-bench runs: cargo build --workspace makes it");
    let mut address = String::new();
    let told = BufReader::new(holder.stdout.take().expect("its output")).read_line(&mut address);
    assert!(told.is_ok_and(|length| length > 0), "messor-bench made no cluster");
    // When this test fails its input ends, and so does it.
    node("scale", &[("MESSOR_MASTER", address.trim().to_string())]);
    drop(holder.stdin.take());
    assert!(holder.wait().is_ok_and(|status| status.success()));
}

#[test]
fn what_is_pressed_is_done_to_agents_and_machines() {
    if !browser() {
        return;
    }
    let mut cluster = Cluster::start();
    for hostname in ["gone-host", "down-host"] {
        cluster.agent_with(&[
            format!("--hostname={hostname}"),
            "--resources=cpus:0.01;mem:32;disk:32".to_string(),
        ]);
    }
    wait_for("all agents to register", Duration::from_secs(30), || {
        let state = get(cluster.master, "/slaves").ok()?.json();
        (state["slaves"].as_array()?.len() == 3).then_some(())
    });
    let programs = cluster.bin().display().to_string();
    node("actions", &[("MESSOR_MASTER", cluster.master.to_string()), ("MESSOR_PROGRAMS", programs)]);
}
