//! The processes: ZooKeeper, masters, agents, the framework. Each can be killed and started again with the same flags
//! and folders; what ends by itself is started again, as a supervisor would.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::network::Network;

pub const ZOOKEEPER_JAR: &str = "/usr/share/java/zookeeper.jar";
const FRAMEWORK: &str = "fw";
const NEVER: Duration = Duration::from_secs(1_000_000);
/// A process that ended is started again after so long.
const RESTART_AFTER: Duration = Duration::from_secs(1);

pub struct Node {
    pub name: String,
    /// Whether it may be killed and cut off.
    pub victim: bool,
    program: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
    start_at: Instant,
    pub starts: u32,
}

impl Node {
    /// Kills it with SIGKILL; it is started again a little later.
    pub fn kill(&mut self, down: Duration) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.start_at = Instant::now() + down;
    }
}

pub struct Nodes {
    pub list: Vec<Node>,
    namespaces: Vec<(String, String)>,
}

/// What the processes are to be like.
pub struct Plan<'p> {
    pub folder: &'p Path,
    /// Folder with the programs' names.
    pub bin: &'p Path,
    pub python: &'p Path,
    pub framework: &'p Path,
    pub masters: usize,
    pub agents: usize,
    pub seed: u64,
}

impl Nodes {
    /// Makes the hosts and starts everything but the framework.
    pub fn new(network: &mut Network, plan: &Plan<'_>) -> Result<Nodes, String> {
        let mut nodes = Nodes { list: Vec::new(), namespaces: Vec::new() };
        let mut add = |name: &str, victim: bool, program: &dyn Fn(&Network) -> Vec<String>| {
            network.add_host(name)?;
            nodes.namespaces.push((name.to_string(), network.namespace(name)));
            nodes.list.push(Node {
                name: name.to_string(),
                victim,
                program: program(network),
                log: plan.folder.join(format!("{name}.log")),
                child: None,
                start_at: Instant::now(),
                starts: 0,
            });
            Ok::<(), String>(())
        };
        let path = |name: &str| plan.folder.join(name).display().to_string();
        add("zk", true, &|network| zookeeper(plan.folder, &network.address("zk").to_string()))?;
        let zk = |network: &Network| format!("zk://{}:2181/mesos", network.address("zk"));
        for number in 1..=plan.masters {
            let name = format!("m{number}");
            add(&name, true, &|network| {
                let address = network.address(&name);
                vec![
                    plan.bin.join("mesos-master").display().to_string(),
                    format!("--zk={}", zk(network)),
                    format!("--quorum={}", plan.masters / 2 + 1),
                    format!("--ip={address}"),
                    format!("--hostname={address}"),
                    format!("--work_dir={}", path(&name)),
                    "--zk_session_timeout=4secs".to_string(),
                ]
            })?;
        }
        for number in 1..=plan.agents {
            let name = format!("a{number}");
            add(&name, true, &|network| {
                let address = network.address(&name);
                vec![
                    plan.bin.join("mesos-agent").display().to_string(),
                    format!("--master={}", zk(network)),
                    format!("--ip={address}"),
                    format!("--hostname={address}"),
                    format!("--work_dir={}", path(&name)),
                    format!("--runtime_dir={}", path(&format!("{name}-run"))),
                    format!("--launcher_dir={}", plan.bin.display()),
                    "--launcher=posix".to_string(),
                    "--isolation=posix/cpu,posix/mem".to_string(),
                    "--resources=cpus:8;mem:4096;disk:4096;ports:[31000-31100]".to_string(),
                    // Two cores run all of it: an executor may be slow to come back.
                    "--executor_reregistration_timeout=10secs".to_string(),
                ]
            })?;
        }
        // It is cut off as others are, and never killed: pymesos keeps no state that would outlive it.
        add(FRAMEWORK, false, &|network| {
            vec![
                plan.python.display().to_string(),
                plan.framework.display().to_string(),
                zk(network),
                plan.folder.display().to_string(),
                plan.seed.to_string(),
            ]
        })?;
        for node in nodes.list.iter_mut().filter(|node| node.name == FRAMEWORK) {
            node.start_at += NEVER;
        }
        Ok(nodes)
    }

    /// The framework starts when there is a master: pymesos gives up where ZooKeeper has no path yet.
    pub fn start_framework(&mut self) {
        for node in self.list.iter_mut().filter(|node| node.name == FRAMEWORK) {
            node.start_at = Instant::now();
        }
    }

    /// Starts what is to run and does not. Returns the names of those that had ended by themselves.
    pub fn supervise(&mut self) -> Vec<String> {
        let mut ended = Vec::new();
        for node in &mut self.list {
            if let Some(child) = &mut node.child
                && let Ok(Some(status)) = child.try_wait()
            {
                ended.push(format!("{} ({status})", node.name));
                node.child = None;
                node.start_at = Instant::now() + RESTART_AFTER;
            }
            if node.child.is_none() && node.start_at <= Instant::now() {
                let namespace =
                    &self.namespaces.iter().find(|(name, _)| *name == node.name).expect("a host").1;
                node.child = Some(start(namespace, &node.program, &node.log));
                node.starts += 1;
            }
        }
        ended
    }

    /// Ends everything, the framework and the agents first, as they take their tasks with them.
    pub fn stop(&mut self) {
        for node in self.list.iter_mut().rev() {
            if let Some(mut child) = node.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.stop();
    }
}

fn start(namespace: &str, program: &[String], log: &Path) -> Child {
    let mut file = OpenOptions::new().create(true).append(true).open(log).expect("a log file");
    let _ = writeln!(file, "---- {}", program.join(" "));
    Command::new("ip")
        .args(["netns", "exec", namespace])
        .args(program)
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a log file"))
        .stderr(file)
        .spawn()
        .expect("ip runs")
}

fn zookeeper(folder: &Path, address: &str) -> Vec<String> {
    let home = folder.join("zk");
    std::fs::create_dir_all(&home).expect("a folder");
    let settings = home.join("zoo.cfg");
    let mut file = File::create(&settings).expect("a file");
    writeln!(
        file,
        "tickTime=500\ndataDir={}\nclientPort=2181\nclientPortAddress={address}\nadmin.enableServer=false\n\
         maxClientCnxns=0",
        home.join("data").display()
    )
    .expect("a file is written");
    let classes = "/etc/zookeeper/conf:/usr/share/java/*";
    ["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classes]
        .into_iter()
        .map(String::from)
        .chain([
            "org.apache.zookeeper.server.quorum.QuorumPeerMain".to_string(),
            settings.display().to_string(),
        ])
        .collect()
}
