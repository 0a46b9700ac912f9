//! The command line `mesos` against a real cluster: every group of commands, what it prints at 80 and at 200 columns, and
//! what it says of mistakes.
//!
//! The printed texts are in `console/`; MESSOR_BLESS=1 writes them anew, to be read before they are committed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use messor_testkit::{Cluster, Options, get, wait_for};

use crate::recovery::{Execution, PATIENCE, agent_id};

pub(crate) fn mesos(cluster: &Cluster, words: &[&str]) -> Output {
    Command::new(cluster.bin().join("mesos"))
        .arg(format!("--master={}", cluster.master))
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("mesos runs")
}

/// What it prints; it must have succeeded.
fn printed(cluster: &Cluster, words: &[&str]) -> String {
    let output = mesos(cluster, words);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "mesos {words:?}: {error}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What it says of a mistake.
fn refused(cluster: &Cluster, words: &[&str]) -> String {
    let output = mesos(cluster, words);
    assert!(!output.status.success(), "mesos {words:?} is no mistake?");
    String::from_utf8(output.stderr).expect("UTF-8")
}

/// Without what differs from run to run, in as many columns: ids, times, ports, versions.
fn normal(text: &str, master: &str) -> String {
    let text = text.replace(master, &"m".repeat(master.len())).replace(&master[..8], "mmmmmmmm");
    let is_uuid = |word: &str| {
        word.len() == 36
            && word.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
    };
    let words = text.split_inclusive(char::is_whitespace).map(|word| match word.trim_end() {
        uuid if is_uuid(uuid) => word.replace(uuid, &"u".repeat(36)),
        _ => word.to_owned(),
    });
    let text: String = words.collect();
    let mut out = String::new();
    let mut number = String::new();
    let flush = |number: &mut String, out: &mut String| {
        // Amounts stay as they are.
        let long = number.len() >= 5;
        out.push_str(&if long { "0".repeat(number.len()) } else { number.clone() });
        number.clear();
    };
    for character in text.chars() {
        if character.is_ascii_digit() {
            number.push(character);
        } else {
            flush(&mut number, &mut out);
            out.push(character);
        }
    }
    flush(&mut number, &mut out);
    let mut result = String::new();
    for line in out.lines() {
        let mut bytes = line.as_bytes().to_vec();
        for shape in [&b"0000-00-00 00:00:00"[..], b"00:00:00"] {
            for at in 0..(bytes.len() + 1).saturating_sub(shape.len()) {
                let mut pairs = shape.iter().zip(&bytes[at..]);
                if pairs
                    .all(|(shape, byte)| if *shape == b'0' { byte.is_ascii_digit() } else { shape == byte })
                {
                    bytes[at..at + shape.len()].copy_from_slice(shape);
                }
            }
        }
        result.push_str(&String::from_utf8(bytes).expect("UTF-8"));
        result.push('\n');
    }
    result
}

fn compare(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/console").join(name);
    if std::env::var_os("MESSOR_BLESS").is_some() {
        std::fs::write(&path, found).expect("it is written");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == found, "{} differs; this is printed:\n{found}", path.display());
}

#[test]
fn every_table_fits_and_is_as_it_was() {
    let flags = ["--resources=cpus:4;mem:2048;disk:4096;ports:[31000-31999]", "--attributes=rack:r1"];
    let agent_flags = flags.map(str::to_string).to_vec();
    let cluster = Cluster::with(&Options { agent_flags, ..Options::default() });
    let agent = agent_id(&cluster);
    let master = agent.strip_suffix("-S0").expect("the first agent of its master").to_owned();
    let task = Execution::start(&cluster, "long", "echo begin; exec sleep 1000", &["--role=production/web"]);
    task.until("TASK_RUNNING");
    printed(&cluster, &["quota", "set", "production", "--guarantees=cpus:1;mem:512", "--limits=cpus:3"]);
    printed(&cluster, &["weights", "set", "production=3", "test=0.5"]);
    printed(&cluster, &["reserve", "add", "S0", "disk:512", "--role=data"]);
    printed(&cluster, &["volume", "create", "S0", "numbers", "256", "--role=data"]);
    let plan = cluster.folder().join("plan.json");
    let window = serde_json::json!({"windows": [{
        "machine_ids": [{"hostname": "elsewhere", "ip": "10.0.0.9"}],
        "unavailability": {"start": {"nanoseconds": 4_102_444_800_000_000_000_u64},
                           "duration": {"nanoseconds": 3_600_000_000_000_u64}}}]});
    std::fs::write(&plan, window.to_string()).expect("a file");
    printed(&cluster, &["maintenance", "plan", plan.to_str().expect("UTF-8")]);

    for width in ["80", "200"] {
        let mut all = String::new();
        for words in [
            &["agent", "list"][..],
            &["agent", "inspect", "localhost"],
            &["task", "list"],
            &["task", "inspect", "long"],
            &["framework", "list"],
            &["framework", "inspect", "0000"],
            &["role", "list"],
            &["quota", "list"],
            &["weights", "list"],
            &["maintenance", "schedule"],
            &["maintenance", "status"],
            &["reserve", "list"],
            &["volume", "list"],
        ] {
            let width = format!("--width={width}");
            let text = printed(&cluster, &[words, &[width.as_str()]].concat());
            all.push_str(&format!("$ mesos {}\n{text}\n", words.join(" ")));
        }
        let columns: usize = width.parse().expect("a number");
        // Details are lines of a name and a value; tables are cut.
        let tables = all.lines().filter(|line| !line.contains("Capabilities") && !line.contains("  total"));
        let long: Vec<&str> = tables.filter(|line| line.chars().count() > columns).collect();
        assert!(long.is_empty(), "wider than {width}: {long:#?}");
        compare(&format!("{width}.txt"), &normal(&all, &master));
    }

    // For other programs: nothing is cut, and JSON is the API's own.
    assert!(printed(&cluster, &["task", "list"]).contains(&format!("{master}-0000")));
    assert!(printed(&cluster, &["agent", "list", "--width=80"]).contains("…-S0"));
    let json: serde_json::Value =
        serde_json::from_str(&printed(&cluster, &["agent", "list", "--json"])).expect("JSON");
    assert_eq!(json["agents"][0]["agent_info"]["id"]["value"], agent.as_str());
}

#[test]
fn what_is_done_is_done() {
    let cluster = Cluster::start();
    let agent = agent_id(&cluster);
    printed(&cluster, &["reserve", "add", &agent, "cpus:1;disk:64", "--role=data"]);
    printed(&cluster, &["volume", "create", "S0", "v", "32", "--role=data"]);
    printed(&cluster, &["volume", "grow", "S0", "v", "16"]);
    assert!(printed(&cluster, &["volume", "list"]).contains("48"));
    printed(&cluster, &["volume", "shrink", "S0", "v", "8"]);
    assert!(printed(&cluster, &["volume", "list"]).contains("40"));
    let asked = refused(&cluster, &["volume", "destroy", "S0", "v"]);
    assert!(asked.contains("add --yes"), "{asked}");
    printed(&cluster, &["volume", "destroy", "S0", "v", "--yes"]);
    printed(&cluster, &["reserve", "remove", "S0", "cpus:1;disk:64", "--role=data"]);
    assert!(printed(&cluster, &["reserve", "list"]).contains("Nothing is reserved"));

    printed(&cluster, &["quota", "set", "r", "--limits=cpus:1"]);
    let tree = refused(&cluster, &["quota", "set", "r/below", "--guarantees=cpus:2", "--limits=cpus:2"]);
    assert!(tree.contains("UPDATE_QUOTA"), "{tree}");
    printed(&cluster, &["quota", "remove", "r", "--yes"]);
    assert!(printed(&cluster, &["quota", "list"]).contains("No role has a quota"));

    printed(&cluster, &["agent", "deactivate", "S0"]);
    assert!(printed(&cluster, &["agent", "list"]).contains("deactivated"));
    printed(&cluster, &["agent", "reactivate", "S0"]);
    let task = Execution::start(&cluster, "long", "exec sleep 1000", &[]);
    task.until("TASK_RUNNING");
    printed(&cluster, &["agent", "drain", "S0", "--wait", "--yes", "--max-grace-period=1secs"]);
    assert!(printed(&cluster, &["agent", "list"]).contains("drained"));
    printed(&cluster, &["agent", "reactivate", "S0"]);
    let again = Execution::start(&cluster, "again", "exec sleep 1000", &[]);
    again.until("TASK_RUNNING");
    let id = printed(&cluster, &["framework", "list"]);
    let id = id.lines().find(|line| line.contains("active")).expect("a framework").split_whitespace().next();
    printed(&cluster, &["framework", "teardown", id.expect("its id"), "--yes"]);
    wait_for("the task to be ended", PATIENCE, || {
        printed(&cluster, &["task", "list"]).contains("No tasks").then_some(())
    });
    printed(&cluster, &["agent", "gone", "S0", "--yes"]);
    assert!(printed(&cluster, &["agent", "list"]).contains("No agents"));
}

#[test]
fn mistakes_are_told() {
    let cluster = Cluster::start();
    agent_id(&cluster);
    for (words, part) in [
        (&["task", "inspect", "nothing"][..], "there is no task 'nothing'"),
        (&["agent", "inspect", "localhst"], "did you mean localhost?"),
        (&["reserve", "add", "S0", "cpus:1000", "--role=r"], "RESERVE_RESOURCES"),
        (&["reserve", "add", "S0", "cpus", "--role=r"], "cpus"),
        (&["reserve", "remove", "S0", "cpus:1", "--role=r"], "no cpus:1 reserved to 'r'"),
        (&["volume", "create", "S0", "v", "8", "--role=r"], "reserved to 'r'"),
        (&["quota", "set", "r"], "--guarantees or --limits"),
        (&["weights", "set", "r=0"], "above 0"),
        (&["quota", "set", "a//b", "--limits=cpus:1"], "a//b"),
        (&["maintenance", "down", "nowhere", "--yes"], "START_MAINTENANCE"),
        (&["task", "cp", "t", "."], "TASK:PATH"),
    ] {
        let said = refused(&cluster, words);
        assert!(said.contains(part) && said.starts_with("mesos: "), "{words:?}: {said}");
    }
}

#[test]
fn what_tasks_wrote_is_printed_followed_and_copied() {
    let cluster = Cluster::start();
    let go = cluster.folder().join("go");
    let command = format!(
        "seq 1 1000; mkdir -p d/e; echo deep >d/e/f; until test -e {}; do sleep 0.1; done; echo last",
        go.display()
    );
    let task = Execution::start(&cluster, "writes", &command, &[]);
    task.until("TASK_RUNNING");
    wait_for("its output", PATIENCE, || {
        let output = mesos(&cluster, &["task", "logs", "writes", "-n", "2"]);
        (output.stdout == b"999\n1000\n").then_some(())
    });
    let followed = cluster.folder().join("followed");
    let mut follower = Command::new(cluster.bin().join("mesos"))
        .arg(format!("--master={}", cluster.master))
        .args(["task", "logs", "writes", "--follow"])
        .stdout(std::fs::File::create(&followed).expect("a file"))
        .spawn()
        .expect("mesos runs");
    wait_for("the follower to read", PATIENCE, || {
        std::fs::read_to_string(&followed).ok()?.contains("1000").then_some(())
    });
    let copied: PathBuf = cluster.folder().join("copied");
    printed(&cluster, &["task", "cp", "writes:d", copied.to_str().expect("UTF-8")]);
    assert_eq!(std::fs::read_to_string(copied.join("e/f")).expect("it is copied"), "deep\n");
    // One file, by its new name and into a directory.
    let one = cluster.folder().join("one");
    let said = printed(&cluster, &["task", "cp", "writes:d/e/f", one.to_str().expect("UTF-8")]);
    assert!(said.contains("is there"), "{said}");
    assert_eq!(std::fs::read_to_string(&one).expect("it is copied"), "deep\n");
    printed(&cluster, &["task", "cp", "writes:d/e/f", copied.to_str().expect("UTF-8")]);
    assert_eq!(std::fs::read_to_string(copied.join("f")).expect("it is copied"), "deep\n");
    std::fs::write(&go, "").expect("a file");
    let end = wait_for("the follower to end with its task", Duration::from_secs(30), || {
        follower.try_wait().expect("it is ours")
    });
    assert!(end.success());
    let text = std::fs::read_to_string(&followed).expect("it is read");
    assert!(text.starts_with("1\n2\n") && text.ends_with("1000\nlast\n"), "{text}");
    // An ended task's are there, too.
    wait_for("the task to be listed as ended", PATIENCE, || {
        let tasks = get(cluster.master, "/tasks").ok()?.json();
        (tasks["tasks"][0]["state"] == "TASK_FINISHED").then_some(())
    });
    assert_eq!(printed(&cluster, &["task", "logs", "writes", "-n", "1"]), "last\n");
    let said = refused(&cluster, &["task", "logs", "writes", "nothing"]);
    assert!(said.contains("has not written it"), "{said}");
    assert!(refused(&cluster, &["task", "logs", "writes", "../x"]).contains("leaves the sandbox"));
}
