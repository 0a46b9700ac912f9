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

/// What is typed and what is answered, one after the other.
struct Transcript<'c> {
    cluster: &'c Cluster,
    width: String,
    text: String,
}

impl Transcript<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.cluster.bin().join("mesos"));
        command
            .arg(&self.width)
            .args(words)
            .env("MESOS_MASTER", self.cluster.master.to_string())
            .env("PATH", self.cluster.bin())
            .env("HOME", self.cluster.folder())
            .stdin(Stdio::null());
        command
    }

    fn note(&mut self, words: &[&str], answer: &str) {
        self.text.push_str(&format!("$ mesos {}\n{answer}\n", words.join(" ")));
    }

    fn run(&mut self, words: &[&str]) {
        let output = self.command(words).output().expect("mesos runs");
        let mut answer = String::from_utf8(output.stdout).expect("UTF-8");
        answer.push_str(&String::from_utf8(output.stderr).expect("UTF-8"));
        if !output.status.success() {
            answer.push_str(&format!("[exit {}]\n", output.status.code().expect("it ended by itself")));
        }
        self.note(words, &answer);
    }

    /// One that goes on: its first lines.
    fn watch(&mut self, words: &[&str]) {
        let path = self.cluster.folder().join("watched");
        let file = std::fs::File::create(&path).expect("a file");
        let mut child = self.command(words).stdout(file).spawn().expect("mesos runs");
        let answer = wait_for("what is watched", PATIENCE, || {
            std::fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'))
        });
        let _ = child.kill();
        let _ = child.wait();
        self.note(words, &answer);
    }
}

/// The commands that help names, as `agent list`.
fn commands(cluster: &Cluster, above: &[&str]) -> Vec<String> {
    let help = printed(cluster, &[above, &["--help"]].concat());
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut all = Vec::new();
    for line in listed {
        // The others go on with what the line above says.
        let is_name = line.starts_with("  ") && !line.starts_with("   ");
        let name = line.split_whitespace().next().expect("a name");
        if name == "help" || !is_name {
            continue;
        }
        let whole = [above, &[name]].concat();
        let below = commands(cluster, &whole);
        if below.is_empty() { all.push(whole.join(" ")) } else { all.extend(below) }
    }
    all
}

#[test]
fn every_command_says_what_it_said() {
    let flags = ["--resources=cpus:4;mem:2048;disk:4096;ports:[31000-31999]", "--attributes=rack:r1"];
    let agent_flags = flags.map(str::to_string).to_vec();
    for width in ["80", "200"] {
        let cluster = Cluster::with(&Options { agent_flags: agent_flags.clone(), ..Options::default() });
        let agent = agent_id(&cluster);
        let master = agent.strip_suffix("-S0").expect("the first agent of its master").to_owned();
        let plan = cluster.folder().join("plan.json");
        let window = serde_json::json!({"windows": [{
            "machine_ids": [{"hostname": "elsewhere", "ip": "10.0.0.9"}],
            "unavailability": {"start": {"nanoseconds": 4_102_444_800_000_000_000_u64},
                               "duration": {"nanoseconds": 3_600_000_000_000_u64}}}]});
        std::fs::write(&plan, window.to_string()).expect("a file");
        let plan = plan.to_str().expect("UTF-8");
        let copied = cluster.folder().join("copied");
        let copied = copied.to_str().expect("UTF-8");
        let mut said =
            Transcript { cluster: &cluster, width: format!("--width={width}"), text: String::new() };

        // Nothing is there yet.
        for words in [
            ["task", "list"],
            ["framework", "list"],
            ["quota", "list"],
            ["weights", "list"],
            ["maintenance", "list"],
            ["maintenance", "schedule"],
            ["maintenance", "status"],
            ["reserve", "list"],
            ["volume", "list"],
        ] {
            said.run(&words);
        }

        let task =
            Execution::start(&cluster, "long", "echo begin; exec sleep 1000", &["--role=production/web"]);
        task.until("TASK_RUNNING");
        let short = Execution::start(&cluster, "short", "exit 3", &["--role=test"]);
        short.until("ended with TASK_FAILED");
        wait_for("it to be listed as ended", PATIENCE, || {
            printed(&cluster, &["framework", "list", "--all"]).contains("completed").then_some(())
        });
        said.run(&["quota", "set", "production", "--guarantees=cpus:1;mem:512", "--limits=cpus:3"]);
        said.run(&["weights", "set", "production=3", "test=0.5"]);
        said.run(&["reserve", "add", "S0", "disk:512", "--role=data", "--principal=me"]);
        said.run(&["volume", "create", "S0", "numbers", "256", "--role=data"]);
        said.run(&["volume", "grow", "S0", "numbers", "64"]);
        said.run(&["volume", "shrink", "S0", "numbers", "32"]);
        said.run(&["maintenance", "plan", plan]);

        for words in [
            &["agent", "list"][..],
            &["agent", "inspect", "localhost"],
            &["task", "list"],
            &["task", "list", "--all"],
            &["task", "inspect", "long"],
            &["task", "inspect", "short"],
            &["framework", "list"],
            &["framework", "list", "--all"],
            &["framework", "inspect", "0000"],
            &["role", "list"],
            &["role", "inspect", "production"],
            &["quota", "list"],
            &["quota", "inspect", "production"],
            &["weights", "list"],
            &["maintenance", "list"],
            &["maintenance", "inspect", "elsewhere"],
            &["maintenance", "schedule"],
            &["maintenance", "status"],
            &["reserve", "list"],
            &["reserve", "inspect", "S0"],
            &["volume", "list"],
            &["volume", "inspect", "S0", "numbers"],
            &["config", "show"],
            &["config", "plugins"],
        ] {
            said.run(words);
        }
        let columns: usize = width.parse().expect("a number");
        // Watched lines go to files, and refusals are sentences: the rest fits.
        let long: Vec<&str> = said.text.lines().filter(|line| line.chars().count() > columns).collect();
        let long: Vec<&&str> = long.iter().filter(|line| !line.starts_with('$')).collect();
        assert!(long.is_empty(), "wider than {width}: {long:#?}");

        for what in
            ["agent", "task", "framework", "role", "quota", "weights", "maintenance", "reserve", "volume"]
        {
            said.watch(&[what, "watch"]);
        }
        wait_for("what it writes", PATIENCE, || {
            printed(&cluster, &["task", "logs", "long"]).contains("begin").then_some(())
        });
        for words in [
            &["task", "logs", "long"][..],
            &["task", "exec", "long", "--", "/bin/echo", "in the task"],
            &["task", "attach", "long", "--no-stdin"],
            &["task", "cp", "long:stdout", copied],
            &["task", "kill", "long"],
            &["task", "wait", "short"],
            &["completion", "sh"],
            &["maintenance", "down", "elsewhere/10.0.0.9", "--yes"],
            &["maintenance", "list"],
            &["maintenance", "up", "elsewhere/10.0.0.9"],
            &["volume", "destroy", "S0", "numbers"],
            &["volume", "destroy", "S0", "numbers", "--yes"],
            &["reserve", "remove", "S0", "disk:512", "--role=data"],
            &["quota", "remove", "production", "--yes"],
            &["quota", "remove", "production", "--yes"],
            &["agent", "deactivate", "S0"],
            &["agent", "list"],
            &["agent", "reactivate", "S0"],
            &["framework", "teardown", "0000"],
            &["framework", "teardown", "0000", "--yes"],
            &["agent", "drain", "S0", "--wait", "--yes", "--max-grace-period=1secs"],
            &["agent", "gone", "S0", "--yes"],
            &["agent", "list"],
        ] {
            said.run(words);
        }

        let folder = cluster.folder().to_str().expect("UTF-8");
        let text = normal(&said.text, &master)
            .replace(&normal(folder, &master)[..folder.len()], &"f".repeat(folder.len()));
        for command in commands(&cluster, &[]) {
            let seen = format!("$ mesos {command}");
            assert!(
                text.lines().any(|line| line.starts_with(&seen)),
                "'mesos {command}' is not looked at here"
            );
        }
        compare(&format!("{width}.txt"), &text);
    }
}

#[test]
fn what_is_for_other_programs_is_whole() {
    let cluster = Cluster::start();
    let agent = agent_id(&cluster);
    let task = Execution::start(&cluster, "long", "exec sleep 1000", &[]);
    task.until("TASK_RUNNING");
    let master = agent.strip_suffix("-S0").expect("the first agent of its master").to_owned();
    assert!(printed(&cluster, &["task", "list"]).contains(&format!("{master}-0000")));
    assert!(printed(&cluster, &["agent", "list", "--width=80"]).contains("…-S0"));
    let json: serde_json::Value =
        serde_json::from_str(&printed(&cluster, &["agent", "list", "--json"])).expect("JSON");
    assert_eq!(json["agents"][0]["agent_info"]["id"]["value"], agent.as_str());
    for words in [["role", "list"], ["quota", "list"], ["maintenance", "list"], ["reserve", "list"]] {
        let text = printed(&cluster, &[&words[..], &["--json"]].concat());
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
    }
}

/// A page of help without what every page has.
fn own_help(cluster: &Cluster, words: &[&str]) -> String {
    let text = printed(cluster, &[words, &["--help"]].concat());
    let common = ["--master", "--json", "--width", "--config", "-h, --help"];
    let own: Vec<&str> =
        text.lines().filter(|line| !common.iter().any(|flag| line.trim().starts_with(flag))).collect();
    let own = own.join("\n").replace("\n\nOptions:\n\n", "\n\n");
    let own = own.trim_end().trim_end_matches("\n\nOptions:");
    format!("\n$ mesos {} --help\n{own}\n", words.join(" "))
}

/// Every page of help, of every command.
#[test]
fn help_is_as_it_was() {
    let cluster = Cluster::with(&Options { agents: 0, ..Options::default() });
    let mut all = printed(&cluster, &["--help"]);
    let mut groups = std::collections::BTreeSet::new();
    for command in commands(&cluster, &[]) {
        let words: Vec<&str> = command.split(' ').collect();
        if words.len() > 1 && groups.insert(words[0].to_owned()) {
            all.push_str(&own_help(&cluster, &[words[0]]));
        }
        all.push_str(&own_help(&cluster, &words));
    }
    let long: Vec<&str> = all.lines().filter(|line| line.chars().count() > 110).collect();
    assert!(long.is_empty(), "{long:#?}");
    compare("help.txt", &all);
}

/// As the `mesos` of Apache Mesos starts its commands.
#[test]
fn another_word_is_a_program_of_its_name() {
    let cluster = Cluster::start();
    let place = cluster.folder().join("programs");
    std::fs::create_dir(&place).expect("a folder");
    let program = place.join("mesos-greet");
    std::fs::write(&program, "#!/bin/sh\necho \"greetings to $MESOS_MASTER: $*\"\nexit 7\n").expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::set_permissions(&program, mode(0o755)).expect("a mode");
    std::fs::write(place.join("mesos-data"), "no program").expect("a file");
    let run = |words: &[&str]| {
        let path = format!("{}:{}", place.display(), std::env::var("PATH").unwrap_or_default());
        let output = Command::new(cluster.bin().join("mesos"))
            .args(words)
            .env("PATH", path)
            .env("MESOS_MASTER", cluster.master.to_string())
            .output()
            .expect("mesos runs");
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().expect("it ended by itself"), text)
    };
    let master = format!("--master={}", cluster.master);
    let (code, text) = run(&[&master, "greet", "a b", "--flag"]);
    assert_eq!((code, text), (7, format!("greetings to {}: a b --flag\n", cluster.master)));
    assert!(run(&["help", "greet"]).1.ends_with(": --help\n"));
    // Those beside it.
    let (code, text) = run(&[&master, "ps"]);
    assert!(code == 0 && text.contains("No tasks."), "{text}");
    assert!(run(&["ps", "--help"]).1.contains("--master"));
    assert!(run(&["config", "plugins"]).1.contains("greet"));
    for (words, part) in [
        (&[][..], "Any other COMMAND is the program"),
        (&["gret"], "did you mean 'mesos greet'?"),
        (&["agnt", "list"], "did you mean 'mesos agent'?"),
        (&["data"], "no program mesos-data in PATH"),
        (&["../greet"], "no program"),
        (&["--json", "greet"], "--json"),
    ] {
        let (code, text) = run(words);
        assert!(code == 64 && text.contains(part), "{words:?}: {text}");
    }
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
        (&["quota", "remove", "r", "--yes"], "there is no role with a quota 'r'"),
        (&["role", "inspect", "r"], "there is no role 'r'"),
        (&["quota", "inspect", "r"], "there is no role with a quota 'r'"),
        (&["maintenance", "inspect", "r"], "there is no machine in the schedule 'r'"),
        (&["volume", "inspect", "S0", "v"], "there is no volume 'v'"),
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
