//! A master and agents as real processes, on free ports of the loopback, in a folder that goes away with them.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::http::{Answer, get};
use crate::{binary, wait_for};

#[derive(Clone, Debug)]
pub struct Options {
    pub agents: usize,
    /// Further flags of the master, as `--flag=value`.
    pub master_flags: Vec<String>,
    pub agent_flags: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options { agents: 1, master_flags: Vec::new(), agent_flags: Vec::new() }
    }
}

/// Processes are killed, and the folder is removed, when this is dropped.
pub struct Cluster {
    pub master: SocketAddr,
    pub agents: Vec<SocketAddr>,
    folder: tempfile::TempDir,
    processes: Vec<(String, Child)>,
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback has a free port");
    listener.local_addr().expect("a listener has an address").port()
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

impl Cluster {
    /// A master and one agent that has registered.
    pub fn start() -> Cluster {
        Cluster::with(&Options::default())
    }

    pub fn with(options: &Options) -> Cluster {
        Cluster::within(tempfile::tempdir().expect("a temporary folder"), options)
    }

    /// In a folder whose `master` and `agent0`… are work directories that may hold something already.
    pub fn within(folder: tempfile::TempDir, options: &Options) -> Cluster {
        let mut cluster =
            Cluster { master: loopback(free_port()), agents: Vec::new(), folder, processes: Vec::new() };
        let port = cluster.master.port();
        cluster.start_master(&options.master_flags);
        for number in 0..options.agents {
            cluster.add_agent(number, &format!("127.0.0.1:{port}"), &options.agent_flags);
        }
        wait_for("the agents to register", Duration::from_secs(20), || {
            let state =
                get(cluster.master, "/state-summary").ok().filter(|answer| answer.status == 200)?.json();
            (state["slaves"].as_array()?.len() == options.agents).then_some(())
        });
        cluster
    }

    fn start_master(&mut self, flags: &[String]) {
        let arguments = self.master_arguments(flags);
        self.spawn("mesos-master", "master", &arguments);
        self.wait_until_healthy("mesos-master", self.master, "/health");
    }

    fn master_arguments(&self, flags: &[String]) -> Vec<String> {
        let mut arguments = vec![
            "--ip=127.0.0.1".to_string(),
            format!("--port={}", self.master.port()),
            "--hostname=localhost".to_string(),
            format!("--work_dir={}", self.path("master").display()),
        ];
        arguments.extend(flags.iter().cloned());
        arguments
    }

    /// Runs a master, or an agent, in the place of one that ended, to its own end: its exit code, None if it had to be
    /// killed, and what it wrote.
    pub fn run_master(&self, flags: &[String], patience: Duration) -> (Option<i32>, String) {
        self.run_to_its_end("mesos-master", &self.master_arguments(flags), &[], patience)
    }

    pub fn run_agent(&self, number: usize, flags: &[String], patience: Duration) -> (Option<i32>, String) {
        self.run_agent_in(number, flags, &[], patience)
    }

    /// The same, with more in its environment.
    pub fn run_agent_in(
        &self,
        number: usize,
        flags: &[String],
        environment: &[(&str, &str)],
        patience: Duration,
    ) -> (Option<i32>, String) {
        let master = self.master.to_string();
        let arguments = self.agent_arguments(number, self.agents[number], &master, flags);
        self.run_to_its_end("mesos-agent", &arguments, environment, patience)
    }

    fn run_to_its_end(
        &self,
        program: &str,
        arguments: &[String],
        environment: &[(&str, &str)],
        patience: Duration,
    ) -> (Option<i32>, String) {
        let log = self.path("run-to-its-end.log");
        let file = File::create(&log).expect("a log file");
        let mut child = Command::new(self.bin().join(program))
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a log file"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|e| panic!("{program} does not start: {e}"));
        let end = std::time::Instant::now() + patience;
        let code = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status.code(),
                _ if std::time::Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
                _ => {
                    let _ = child.kill();
                    let _ = child.wait();
                    break None;
                }
            }
        };
        (code, std::fs::read_to_string(log).unwrap_or_default())
    }

    /// Kills the master as a crash would, and starts another at the same address.
    pub fn restart_master(&mut self) {
        self.restart_master_with(&[]);
    }

    pub fn restart_master_with(&mut self, flags: &[String]) {
        self.kill("master");
        self.processes.retain(|(name, _)| name != "master");
        self.start_master(flags);
        // Agents go first when the cluster ends.
        let master = self.processes.pop().expect("the master was started last");
        self.processes.insert(0, master);
    }

    /// mesos-local: a master and an agent in one process on one port, told by its environment as the oracle is.
    pub fn local() -> Cluster {
        let address = loopback(free_port());
        let mut cluster = Cluster {
            master: address,
            agents: vec![address],
            folder: tempfile::tempdir().expect("a temporary folder"),
            processes: Vec::new(),
        };
        let port = address.port().to_string();
        let environment = [
            ("LIBPROCESS_IP", "127.0.0.1"),
            ("LIBPROCESS_PORT", port.as_str()),
            ("MESOS_LAUNCHER", "posix"),
            ("MESOS_SYSTEMD_ENABLE_SUPPORT", "false"),
        ];
        let work_dir = format!("--work_dir={}", cluster.path("work").display());
        cluster.spawn_with("mesos-local", "local", &[work_dir], &environment);
        cluster.wait_until_healthy("mesos-local", address, "/master/health");
        wait_for("the agent to register", Duration::from_secs(20), || {
            let state = get(address, "/master/state-summary").ok()?.json();
            (state["slaves"].as_array()?.len() == 1).then_some(())
        });
        cluster
    }

    /// An agent alone, under a master that somebody else started.
    pub fn agent_under(master: &str, flags: &[String]) -> Cluster {
        let mut cluster = Cluster {
            // Not known where ZooKeeper has to be asked for it.
            master: master.parse().unwrap_or_else(|_| loopback(0)),
            agents: Vec::new(),
            folder: tempfile::tempdir().expect("a temporary folder"),
            processes: Vec::new(),
        };
        cluster.add_agent(0, master, flags);
        cluster
    }

    /// One more agent, which finds its master as `master` says: an address of ZooKeeper, for one.
    pub fn agent_by(&mut self, master: &str) -> SocketAddr {
        let number = self.agents.len();
        self.add_agent(number, master, &[]);
        self.agents[number]
    }

    /// One more agent with flags of its own.
    pub fn agent_with(&mut self, flags: &[String]) -> SocketAddr {
        let (number, master) = (self.agents.len(), self.master.to_string());
        self.add_agent(number, &master, flags);
        self.agents[number]
    }

    fn add_agent(&mut self, number: usize, master: &str, flags: &[String]) {
        let given = flags.iter().find_map(|flag| flag.strip_prefix("--port=")?.parse().ok());
        let address = loopback(given.unwrap_or_else(free_port));
        self.start_agent(number, address, master, flags, &[]);
        self.agents.push(address);
    }

    /// Starts an agent again where one was, as its host would.
    pub fn restart_agent(&mut self, number: usize, flags: &[String]) {
        self.restart_agent_in(number, flags, &[]);
    }

    /// The same, with more in its environment.
    pub fn restart_agent_in(&mut self, number: usize, flags: &[String], environment: &[(&str, &str)]) {
        self.processes.retain(|(name, _)| *name != format!("agent{number}"));
        let master = self.master.to_string();
        self.start_agent(number, self.agents[number], &master, flags, environment);
    }

    fn start_agent(
        &mut self,
        number: usize,
        address: SocketAddr,
        master: &str,
        flags: &[String],
        environment: &[(&str, &str)],
    ) {
        let arguments = self.agent_arguments(number, address, master, flags);
        self.spawn_with("mesos-agent", &format!("agent{number}"), &arguments, environment);
        self.wait_until_healthy("mesos-agent", address, "/health");
    }

    fn agent_arguments(
        &self,
        number: usize,
        address: SocketAddr,
        master: &str,
        flags: &[String],
    ) -> Vec<String> {
        let name = format!("agent{number}");
        let mut arguments = vec![
            format!("--master={master}"),
            "--ip=127.0.0.1".to_string(),
            format!("--port={}", address.port()),
            "--hostname=localhost".to_string(),
            format!("--work_dir={}", self.path(&name).display()),
            format!("--runtime_dir={}", self.path(&format!("{name}-run")).display()),
            format!("--launcher_dir={}", self.bin().display()),
            format!("--fetcher_cache_dir={}", self.path(&format!("{name}-cache")).display()),
            "--launcher=posix".to_string(),
            "--isolation=posix/cpu,posix/mem".to_string(),
        ];
        let name_of = |flag: &str| flag.split('=').next().unwrap_or_default().to_string();
        arguments.retain(|argument| !flags.iter().any(|flag| name_of(flag) == name_of(argument)));
        // `--launcher=` leaves the flag out.
        arguments.extend(flags.iter().filter(|flag| !flag.ends_with('=')).cloned());
        arguments
    }

    /// Whether a process of the cluster has ended by itself, or was killed by somebody else.
    pub fn has_ended(&mut self, name: &str) -> bool {
        let (_, child) = self.processes.iter_mut().find(|(n, _)| n == name).expect("a process of that name");
        matches!(child.try_wait(), Ok(Some(_)))
    }

    /// Sends a signal ("TERM", "USR1") to a process of the cluster and waits for its end; its exit code.
    pub fn end(&mut self, name: &str, signal: &str) -> Option<i32> {
        let (_, child) = self.processes.iter_mut().find(|(n, _)| n == name).expect("a process of that name");
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status();
        assert!(sent.expect("kill runs").success());
        let ended = wait_for(&format!("{name} to end"), Duration::from_secs(20), || child.try_wait().ok()?);
        ended.code()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder with the names of all programs, linked to the binary under test.
    pub fn bin(&self) -> PathBuf {
        let bin = self.path("bin");
        if !bin.exists() {
            std::fs::create_dir(&bin).expect("a folder in a temporary folder");
            let done = Command::new(binary()).arg("install").arg(&bin).stdout(Stdio::null()).status();
            assert!(done.expect("messor install runs").success());
        }
        bin
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn spawn(&mut self, program: &str, name: &str, arguments: &[String]) {
        self.spawn_with(program, name, arguments, &[]);
    }

    fn spawn_with(&mut self, program: &str, name: &str, arguments: &[String], environment: &[(&str, &str)]) {
        let log = File::options().append(true).create(true).open(self.path(&format!("{name}.log")));
        let log = log.expect("a log file");
        let child = Command::new(self.bin().join(program))
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|e| panic!("{program} does not start: {e}"));
        self.processes.push((name.to_string(), child));
    }

    fn wait_until_healthy(&mut self, program: &str, address: SocketAddr, path: &str) {
        let folder = self.folder.path().to_path_buf();
        let (name, child) = self.processes.last_mut().expect("something was started");
        let log = folder.join(format!("{name}.log"));
        wait_for(&format!("{program} at {address}"), Duration::from_secs(20), || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!(
                    "{program} ended with {status}:\n{}",
                    std::fs::read_to_string(&log).unwrap_or_default()
                );
            }
            matches!(get(address, path), Ok(Answer { status: 200, .. })).then_some(())
        });
    }

    /// What a process of the cluster ("master", "agent0"…) wrote to its log.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    /// The process id of a process of the cluster.
    pub fn pid(&self, name: &str) -> u32 {
        self.processes.iter().find(|(n, _)| n == name).map(|(_, c)| c.id()).expect("a process of that name")
    }

    pub fn kill(&mut self, name: &str) {
        let (_, child) = self.processes.iter_mut().find(|(n, _)| n == name).expect("a process of that name");
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Executors that wait for their agent to come back. They are known by the sandbox they were started with.
fn kill_executors(folder: &Path) {
    let mark = folder.to_string_lossy().into_owned().into_bytes();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        let begins = |variable: &[u8]| {
            variable.strip_prefix(b"MESOS_SANDBOX=").is_some_and(|path| path.starts_with(&mark))
        };
        if environment.split(|byte| *byte == 0).any(begins) {
            let _ = Command::new("kill").arg("-KILL").arg(pid.to_string()).status();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Agents first: they take their executors with them.
        for (name, child) in self.processes.iter_mut().rev() {
            let _ = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
            let end = std::time::Instant::now() + Duration::from_secs(5);
            while matches!(child.try_wait(), Ok(None)) && std::time::Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
            if std::thread::panicking() {
                let path = self.folder.path().join(format!("{name}.log"));
                eprintln!("---- {name} ----\n{}", std::fs::read_to_string(path).unwrap_or_default());
            }
        }
        kill_executors(self.folder.path());
        unmount(self.folder.path());
    }
}

/// What isolators mounted: the folder cannot be removed with it, and what is mounted must not be removed with the folder.
fn unmount(folder: &Path) {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let targets = table.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    let mut below: Vec<&Path> = targets.filter(|target| target.starts_with(folder)).collect();
    below.reverse();
    for target in below {
        let _ = Command::new("umount").arg("--lazy").arg(target).stderr(Stdio::null()).status();
    }
}
