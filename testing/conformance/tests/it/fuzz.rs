//! Every call and every endpoint of a master and an agent is asked right and wrong, thousands of times: each answer comes
//! in time and is none that a server should be ashamed of, both processes stay, and neither grows.
//!
//! `MESSOR_FUZZ_SEED=N` sends the requests of a seed again, `MESSOR_FUZZ_REQUEST=N` beside it that one alone, and
//! `MESSOR_FUZZ_SECONDS=N` says how long it goes on.

mod client;
mod messages;
mod requests;
mod templates;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use messor_testkit::{Cluster, Framework, Options, get, post, scalar, wait_for};
use serde_json::{Value, json};

use client::Outcome;
use messages::World;
use requests::{Aim, Shot, Side};

/// How long it goes on in ./test.
const SECONDS: u64 = 40;
/// Each aim is asked without a mistake first, and then with some.
const ROUNDS: usize = 3;
/// So many connections begin a request and never end it.
const SLOW: usize = 40;
/// What a process may have gained after the first rounds. Most of it are pages that its memory allocator keeps.
const GROWTH_BYTES: u64 = 64 << 20;
const GROWTH_FILES: usize = 4;
/// Beside the reads of the v1 APIs: what is done at least once.
const RIGHT: [&str; 15] = [
    "/scheduler SUBSCRIBE",
    "/scheduler ACCEPT",
    "/scheduler RECONCILE",
    "v1 RESERVE_RESOURCES",
    "v1 UPDATE_WEIGHTS",
    "v1 UPDATE_QUOTA",
    "v1 UPDATE_MAINTENANCE_SCHEDULE",
    "v1 LAUNCH_CONTAINER",
    "v1 LAUNCH_NESTED_CONTAINER",
    "Master /master/state",
    "Master /master/tasks",
    "Master /master/task/logs",
    "Agent /slave(1)/state",
    "Agent /files/browse",
    "Agent /files/read",
];
const PATIENCE: Duration = Duration::from_secs(30);

struct Stage {
    cluster: Cluster,
    framework: Framework,
    world: World,
    slow: Vec<TcpStream>,
}

fn number_of(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

impl Stage {
    fn start() -> Stage {
        let master_flags = [
            "--max_completed_frameworks=5",
            "--max_completed_tasks_per_framework=5",
            "--allocation_interval=100ms",
        ];
        let agent_flags = [
            "--resources=cpus:8;mem:4096;disk:4096;ports:[31000-32000]",
            "--max_completed_executors_per_framework=5",
        ];
        let cluster = Cluster::with(&Options {
            agents: 1,
            master_flags: master_flags.map(String::from).to_vec(),
            agent_flags: agent_flags.map(String::from).to_vec(),
        });
        let framework = Framework::subscribe(
            cluster.master,
            "root",
            &["PARTITION_AWARE", "MULTI_ROLE", "RESERVATION_REFINEMENT"],
        );
        let offer = framework.offer(|_| true);
        let task = json!({"name": "steady", "task_id": {"value": "steady"}, "agent_id": offer["agent_id"],
            "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)], "command": {"value": "echo here; exec sleep 10000"}});
        framework.accept(&offer, vec![json!({"type": "LAUNCH", "launch": {"task_infos": [task]}})]);
        framework.until("steady", "TASK_RUNNING");
        let state = get(cluster.agents[0], "/state").expect("the agent answers").json();
        let executor = &state["frameworks"][0]["executors"][0];
        let text = |value: &Value| value.as_str().expect("a text").to_string();
        let world = World {
            framework: text(&framework.id["value"]),
            agent: text(&state["id"]),
            offer: String::new(),
            task: "steady".into(),
            container: text(&executor["container"]),
            sandbox: text(&executor["directory"]),
            work_dir: text(&state["flags"]["work_dir"]),
            stream: framework.stream().to_string(),
        };
        std::os::unix::fs::symlink("/etc", format!("{}/link", world.sandbox)).expect("a link that leads out");
        Stage { cluster, framework, world, slow: Vec::new() }
    }

    fn address(&self, side: Side) -> std::net::SocketAddr {
        match side {
            Side::Master => self.cluster.master,
            Side::Agent => self.cluster.agents[0],
        }
    }

    /// Requests that never end: in the head, in a body whose length was told, in a chunk.
    fn begin_slow_ones(&mut self) {
        let beginnings: [&[u8]; 4] = [
            b"POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Ty",
            b"POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{\"type\":",
            b"POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{",
            b"POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/recordio\r\nMessage-Content-Type: application/json\r\n\
              Transfer-Encoding: chunked\r\n\r\n5\r\n90000\r\n",
        ];
        for number in 0..SLOW {
            let side = if number % 2 == 0 { Side::Master } else { Side::Agent };
            let mut stream = TcpStream::connect(self.address(side)).expect("it listens");
            stream.write_all(beginnings[number / 2 % beginnings.len()]).expect("a beginning is taken");
            self.slow.push(stream);
        }
    }

    /// One byte more of each, which may find its connection closed.
    fn go_on_slowly(&mut self) {
        for stream in &mut self.slow {
            let _ = stream.write_all(b" ");
        }
    }

    /// Takes away what the requests left: frameworks that keep their place, and what offers the own framework holds.
    fn clear_up(&mut self) {
        while let Some(offer) = self.framework.offer_within(Duration::from_millis(1)) {
            self.world.offer = offer["id"]["value"].as_str().unwrap_or_default().to_string();
        }
        let answer = post(self.cluster.master, "/api/v1", &json!({"type": "GET_FRAMEWORKS"}))
            .expect("an answer")
            .json();
        for framework in answer["get_frameworks"]["frameworks"].as_array().into_iter().flatten() {
            let id = &framework["framework_info"]["id"];
            if *id != self.framework.id {
                let call = json!({"type": "TEARDOWN", "teardown": {"framework_id": id}});
                let status = post(self.cluster.master, "/api/v1", &call).expect("an answer").status;
                assert!(status == 200 || status == 400, "TEARDOWN of {id}: {status}");
            }
        }
    }

    fn usage(&self) -> [Usage; 2] {
        ["master", "agent0"].map(|name| Usage::of(self.cluster.pid(name)))
    }
}

#[derive(Clone, Copy, Debug)]
struct Usage {
    bytes: u64,
    files: usize,
}

impl Usage {
    fn of(pid: u32) -> Usage {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it has files").count();
        Usage { bytes: kilobytes * 1024, files }
    }
}

/// What is wrong with the answer to a request; what was sent is told by the caller.
fn fault(shot: &Shot, outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Hanging => Some(format!("no answer within {:?}", client::ANSWER_TIME)),
        // A request that breaks off may be left without one.
        Outcome::Closed if shot.sound => Some("the connection was closed without an answer".into()),
        Outcome::Closed => None,
        Outcome::Stream { status } => (*status != 200).then(|| format!("a stream with status {status}")),
        Outcome::Answer { status, kind, body } => {
            let words = String::from_utf8_lossy(body);
            let known = match status {
                200..500 => true,
                // In the words of 1.11.0, by which clients know it.
                500 => words == "I/O switchboard server was disabled for this container",
                // As 1.11.0 does to a scheduler's call of no known type.
                501 => {
                    shot.method == "HEAD" || words.contains("not supported") || words.contains("is not known")
                }
                _ => false,
            };
            if !known {
                return Some(format!("{status}: {words:.300}"));
            }
            let is_json = kind == "application/json" && *status == 200;
            match is_json.then(|| serde_json::from_slice::<Value>(body)) {
                Some(Err(error)) => Some(format!("200 with JSON that is none ({error}): {words:.300}")),
                _ => None,
            }
        }
    }
}

fn shown(shot: &Shot) -> String {
    let mut text = format!("{:?} {} {} ({:?})\n", shot.side, shot.method, shot.target, shot.delivery);
    for (name, value) in &shot.headers {
        text.push_str(&format!("{name}: {:.200}\n", String::from_utf8_lossy(value)));
    }
    let body = String::from_utf8_lossy(&shot.body);
    text.push_str(&format!("{} bytes: {}", shot.body.len(), body.chars().take(3000).collect::<String>()));
    text
}

/// The request of a number, whatever was sent before it.
fn shot_of(seed: u64, number: u64, world: &World, aims: &[Aim]) -> Shot {
    let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let first = number as usize;
    let (aim, plain) = match first / aims.len() {
        round if round < ROUNDS => (&aims[first % aims.len()], round == 0),
        _ => (&aims[rng.usize(..aims.len())], rng.u32(..3) == 0),
    };
    requests::make(&mut rng, world, aim, plain)
}

#[test]
fn every_call_and_endpoint_stands_what_is_sent() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seed = number_of("MESSOR_FUZZ_SEED").unwrap_or(now.subsec_nanos().into());
    let seconds = number_of("MESSOR_FUZZ_SECONDS").unwrap_or(SECONDS);
    println!("MESSOR_FUZZ_SEED={seed}");
    let mut stage = Stage::start();
    let aims = requests::aims();
    let send = |stage: &Stage, number: u64| {
        let shot = shot_of(seed, number, &stage.world, &aims);
        let outcome = client::send(stage.address(shot.side), &shot);
        let outcome = outcome
            .unwrap_or_else(|error| panic!("MESSOR_FUZZ_SEED={seed} MESSOR_FUZZ_REQUEST={number}: {error}"));
        (shot, outcome)
    };
    if let Some(number) = number_of("MESSOR_FUZZ_REQUEST") {
        let (shot, outcome) = send(&stage, number);
        println!("{}\n{outcome:?}", shown(&shot));
        assert_eq!(fault(&shot, &outcome), None);
        return;
    }

    let began = Instant::now();
    let mut counts: BTreeMap<String, BTreeMap<u16, u32>> = BTreeMap::new();
    let mut faults: BTreeMap<String, (u32, String)> = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    let mut before = None;
    let mut number = 0;
    let warm = (aims.len() * ROUNDS * 2) as u64;
    while number < warm || began.elapsed() < Duration::from_secs(seconds) {
        if number % 200 == 0 {
            stage.go_on_slowly();
            stage.clear_up();
        }
        if number == warm {
            before = Some(stage.usage());
            stage.begin_slow_ones();
        }
        let sent = Instant::now();
        let (shot, outcome) = send(&stage, number);
        slowest = slowest.max(sent.elapsed());
        let status = match outcome {
            Outcome::Answer { status, .. } | Outcome::Stream { status } => status,
            Outcome::Closed | Outcome::Hanging => 0,
        };
        *counts.entry(shot.name.clone()).or_default().entry(status).or_default() += 1;
        if let Some(fault) = fault(&shot, &outcome) {
            let told =
                format!("MESSOR_FUZZ_SEED={seed} MESSOR_FUZZ_REQUEST={number}: {fault}\n{}", shown(&shot));
            faults.entry(format!("{} {status}", shot.name)).or_insert((0, told)).0 += 1;
        }
        for name in ["master", "agent0"] {
            assert!(
                !stage.cluster.has_ended(name),
                "{name} ended at MESSOR_FUZZ_SEED={seed} MESSOR_FUZZ_REQUEST={number}:\n{}\n{}",
                shown(&shot),
                last_words(&stage.cluster.log(name))
            );
        }
        number += 1;
    }
    stage.clear_up();
    stage.slow.clear();

    println!("{number} requests in {:?}, the slowest answered within {slowest:?}", began.elapsed());
    let mut totals: BTreeMap<u16, u32> = BTreeMap::new();
    counts.values().flatten().for_each(|(status, count)| *totals.entry(*status).or_default() += count);
    println!("by status: {totals:?}");
    if std::env::var_os("MESSOR_FUZZ_COUNTS").is_some() {
        counts.iter().for_each(|(name, counts)| println!("{name}: {counts:?}"));
    }
    let told: Vec<String> = faults.values().map(|(times, told)| format!("{times} times: {told}")).collect();
    assert!(told.is_empty(), "{} kinds of faults\n\n{}", told.len(), told.join("\n\n"));
    for name in ["master", "agent0"] {
        let log = stage.cluster.log(name);
        let bad = log.lines().find(|line| line.contains("panicked") || line.contains("BUG"));
        assert_eq!(bad, None, "in the log of {name}, MESSOR_FUZZ_SEED={seed}");
    }

    // A generator whose requests are all refused would show nothing.
    let well = |name: &str| {
        counts.get(name).is_some_and(|counts| counts.keys().any(|status| (200..300).contains(status)))
    };
    let is_right = |name: &str| {
        let tail = name.rsplit('/').next().unwrap_or_default();
        tail.starts_with("v1 GET_") || RIGHT.iter().any(|right| name.ends_with(right))
    };
    let names: Vec<String> = aims.iter().map(requests::name_of).collect();
    let silent: Vec<&String> = names.iter().filter(|name| is_right(name) && !well(name)).collect();
    assert!(silent.is_empty(), "never answered well: {silent:?}, MESSOR_FUZZ_SEED={seed}");

    // Both serve as before, and what was used is given back.
    assert_eq!(
        get(stage.cluster.master, "/state").expect("the master answers").json()["slaves"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    let agent = get(stage.cluster.agents[0], "/state").expect("the agent answers").json();
    assert_eq!(
        agent["frameworks"][0]["executors"][0]["container"],
        stage.world.container.as_str(),
        "the task runs on"
    );
    let before = before.expect("there were more requests than those at first");
    let within = |before: &Usage, now: &Usage| {
        now.files <= before.files + GROWTH_FILES && now.bytes <= before.bytes + GROWTH_BYTES
    };
    let mut now = stage.usage();
    let settled = Instant::now() + PATIENCE;
    while Instant::now() < settled && !before.iter().zip(&now).all(|(before, now)| within(before, now)) {
        std::thread::sleep(Duration::from_millis(100));
        now = stage.usage();
    }
    println!("before {before:?}, now {now:?}");
    assert!(
        before.iter().zip(&now).all(|(before, now)| within(before, now)),
        "it grew: {before:?} {now:?}, MESSOR_FUZZ_SEED={seed}"
    );
    wait_for("the agent to be healthy", PATIENCE, || {
        (get(stage.cluster.agents[0], "/health").ok()?.status == 200).then_some(())
    });
}

fn last_words(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
