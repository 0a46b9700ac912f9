//! The rounds: who is hit, how, and for how long. One seed decides; real processes then do as they do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::checks::{self, Report};
use crate::network::Network;
use crate::nodes::{Nodes, Plan};

#[derive(Clone, Debug)]
pub struct Options {
    pub rounds: u32,
    pub seed: u64,
    pub masters: usize,
    pub agents: usize,
    /// Where logs and journals stay; a temporary folder when none.
    pub folder: Option<PathBuf>,
}

/// After the last round the cluster has so long to finish what it runs.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long the cluster may take to run its first task.
const START: Duration = Duration::from_secs(90);

/// What was done to the cluster; executors that were killed are named, as their tasks fail rightly.
#[derive(Debug, Default)]
pub struct Deeds {
    pub kills: u32,
    pub cuts: u32,
    pub killed_executors: Vec<String>,
}

/// Runs the rounds. `Err` tells what was found, with the folder that has every log.
pub fn run(options: &Options) -> Result<Report, String> {
    let temporary = tempfile::tempdir().map_err(|error| error.to_string())?;
    let folder = options.folder.clone().unwrap_or_else(|| temporary.path().to_path_buf());
    std::fs::create_dir_all(folder.join("tasks")).map_err(|error| error.to_string())?;
    let bin = programs(&folder)?;
    let python = python()?;
    let mut network = Network::new("c")?;
    let mut nodes = Nodes::new(
        &mut network,
        &Plan {
            folder: &folder,
            bin: &bin,
            python: &python,
            framework: &messor_testkit::root().join("testing/chaos/framework.py"),
            masters: options.masters,
            agents: options.agents,
            seed: options.seed,
        },
    )?;
    let found = play(options, &folder, &network, &mut nodes);
    nodes.stop();
    checks::kill_what_is_left(&folder);
    if found.is_err() && options.folder.is_none() {
        let kept = temporary.keep();
        return found.map_err(|error| format!("{error}\nlogs: {}", kept.display()));
    }
    found
}

fn play(options: &Options, folder: &Path, network: &Network, nodes: &mut Nodes) -> Result<Report, String> {
    let mut rng = fastrand::Rng::with_seed(options.seed);
    let mut deeds = Deeds::default();
    let names: Vec<String> = nodes.list.iter().map(|node| node.name.clone()).collect();
    go_on(nodes, START, || leader(network, &names).is_some())
        .then_some(())
        .ok_or("no master leads before the first round: the cluster did not start")?;
    nodes.start_framework();
    go_on(nodes, START, || checks::Journal::read(folder).finished() >= 3)
        .then_some(())
        .ok_or("no task finished before the first round: the cluster did not start")?;
    for round in 1..=options.rounds {
        let what = hit(&mut rng, folder, network, nodes, &mut deeds)?;
        let lasting = Duration::from_millis(rng.u64(500..6000));
        println!("round {round}: {what}, for {:.1} s", lasting.as_secs_f64());
        go_on(nodes, lasting, || false);
        network.heal_all();
        // The cluster has to work again before the next blow: something launched since is running or done.
        let launched = checks::Journal::read(folder).started();
        if !go_on(nodes, PATIENCE, || checks::Journal::read(folder).started() > launched) {
            return Err(format!("after round {round} ({what}) no task was started for {PATIENCE:?}"));
        }
    }
    std::fs::write(folder.join("no-more"), "").map_err(|error| error.to_string())?;
    go_on(nodes, PATIENCE, || checks::Journal::read(folder).is_settled());
    checks::judge(folder, &deeds)
}

/// Keeps everything running until `done` or the time is over; says whether it was done.
fn go_on(nodes: &mut Nodes, at_most: Duration, done: impl Fn() -> bool) -> bool {
    let end = Instant::now() + at_most;
    loop {
        for ended in nodes.supervise() {
            println!("  {ended} ended by itself and is started again");
        }
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn hit(
    rng: &mut fastrand::Rng,
    folder: &Path,
    network: &Network,
    nodes: &mut Nodes,
    deeds: &mut Deeds,
) -> Result<String, String> {
    let names: Vec<String> = nodes.list.iter().map(|node| node.name.clone()).collect();
    let victims: Vec<usize> = (0..names.len()).filter(|at| nodes.list[*at].victim).collect();
    match rng.u32(0..10) {
        0..=3 => {
            let victim = victims[rng.usize(0..victims.len())];
            let down = Duration::from_millis(rng.u64(100..4000));
            deeds.kills += 1;
            nodes.list[victim].kill(down);
            Ok(format!("kill -9 of {}", names[victim]))
        }
        4..=5 => {
            // The leading master is the one that matters most.
            let Some(leader) = leader(network, &names) else {
                return Ok("nothing, as nobody leads".to_string());
            };
            deeds.kills += 1;
            nodes.list[names.iter().position(|name| *name == leader).expect("a node")]
                .kill(Duration::from_millis(rng.u64(100..4000)));
            Ok(format!("kill -9 of the leading master {leader}"))
        }
        6 => match checks::kill_an_executor(folder, rng) {
            Some(task) => {
                deeds.kills += 1;
                deeds.killed_executors.push(task.clone());
                Ok(format!("kill -9 of the executor of {task}"))
            }
            None => Ok("nothing, as no executor runs".to_string()),
        },
        7..=8 => {
            let name = &names[rng.usize(0..names.len())];
            deeds.cuts += 1;
            network.cut(name)?;
            Ok(format!("{name} is cut off"))
        }
        _ => {
            let from = &names[rng.usize(0..names.len())];
            let to = &names[rng.usize(0..names.len())];
            deeds.cuts += 1;
            network.cut_one_way(from, to)?;
            Ok(format!("what {from} sends to {to} is lost"))
        }
    }
}

fn leader(network: &Network, names: &[String]) -> Option<String> {
    let masters = || names.iter().filter(|name| name.starts_with('m'));
    masters().find_map(|name| {
        let url = format!("http://{}:5050/metrics/snapshot", network.address(name));
        let output = Command::new("ip")
            .args(["netns", "exec", &network.namespace(name), "curl", "-s", "-m", "2", &url])
            .output()
            .ok()?;
        let metrics: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        (metrics["master/elected"].as_f64() == Some(1.0)).then(|| name.clone())
    })
}

fn programs(folder: &Path) -> Result<PathBuf, String> {
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin).map_err(|error| error.to_string())?;
    let done = Command::new(messor_testkit::binary()).arg("install").arg(&bin).output();
    match done {
        Ok(output) if output.status.success() => Ok(bin),
        Ok(output) => Err(format!("messor install: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("messor install: {error}")),
    }
}

/// The Python that has pymesos: the oracle's `clients` sets it up, and fails then, as nobody is at that address.
fn python() -> Result<PathBuf, String> {
    let python = std::env::temp_dir().join("mesos-client-pymesos/bin/python");
    let oracle = messor_testkit::oracle().ok_or("../shared is not there")?;
    let output = Command::new(oracle.join("clients")).args(["pymesos", "127.0.0.1:9", "0"]).output();
    let output = output.map_err(|error| format!("clients: {error}"))?;
    if output.status.code() == Some(3) || !python.exists() {
        return Err(format!("pymesos: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(python)
}
