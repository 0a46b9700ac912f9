//! The real Apache Mesos 1.11.0 as processes of a test, where the oracle is there: a master, and an agent under any master.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use messor_testkit::{free_port, get, oracle, skip, wait_for};

pub const PATIENCE: Duration = Duration::from_secs(40);

/// Its packages, unpacked, which all tests share.
pub fn home() -> PathBuf {
    std::env::temp_dir().join("apache-mesos-1.11.0")
}

/// CPython 2.7 that can load it; None, and a word of that, where it cannot be set up.
pub fn python(what: &str) -> Option<PathBuf> {
    let Some(oracle) = oracle() else {
        skip(&format!("{what}: ../shared is not there"));
        return None;
    };
    let warm = Command::new(oracle.join("apache-mesos-local")).args(["driver", "local", "1"]).output();
    let warm = warm.expect("a program of the oracle runs");
    let versions = std::env::home_dir().unwrap_or_default().join(".pyenv/versions");
    let python = std::env::var_os("PYTHON27").map(PathBuf::from).or_else(|| {
        let found = std::fs::read_dir(versions).ok()?.flatten();
        let found = found.filter(|entry| entry.file_name().to_string_lossy().starts_with("2.7"));
        found.map(|entry| entry.path().join("bin/python")).next()
    });
    if warm.status.code() == Some(3) || python.is_none() {
        skip(&format!("{what}: no CPython 2.7, or {}", String::from_utf8_lossy(&warm.stderr).trim()));
        return None;
    }
    python
}

/// A master, with agents of its own or without, in a home of its own; it ends when dropped.
pub struct RealMaster {
    home: tempfile::TempDir,
    script: PathBuf,
    pub address: SocketAddr,
}

impl RealMaster {
    /// `folder` has the master's work_dir as `master`, and those of agents in `agents`. `more` are variables for all.
    pub fn start(port: u16, agents: usize, folder: &Path, more: &[String]) -> Option<RealMaster> {
        python("the real 1.11.0 master")?;
        let script = oracle()?.join("apache-mesos-local");
        let own = tempfile::tempdir().expect("a temporary folder");
        for entry in std::fs::read_dir(home()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let text = name.to_string_lossy();
            if ["usr", "py2", "ready"].contains(&text.as_ref()) || text.contains(".so") {
                std::os::unix::fs::symlink(entry.path(), own.path().join(&name)).expect("a link");
            }
        }
        let started = Command::new(&script)
            .arg("--home")
            .arg(own.path())
            .args(["start", "--agents", &agents.to_string(), "--port", &port.to_string()])
            .arg(format!("MESOS_WORK_DIR={}", folder.display()))
            .args(more)
            .output()
            .expect("the oracle runs");
        let log =
            || std::fs::read_to_string(own.path().join(format!("local-{port}.log"))).unwrap_or_default();
        assert!(started.status.success(), "the real master does not start:\n{}", log());
        Some(RealMaster { home: own, script, address: ([127, 0, 0, 1], port).into() })
    }

    pub fn log(&self) -> String {
        let name = format!("local-{}.log", self.address.port());
        std::fs::read_to_string(self.home.path().join(name)).unwrap_or_default()
    }
}

impl Drop for RealMaster {
    fn drop(&mut self) {
        let _ = Command::new(&self.script).arg("--home").arg(self.home.path()).arg("stop").status();
        // It serves for a moment longer, and its successor may need the port.
        let end = std::time::Instant::now() + Duration::from_secs(10);
        while get(self.address, "/version").is_ok() && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        if std::thread::panicking() {
            eprintln!("---- the real master ----\n{}", self.log());
        }
    }
}

/// An agent under any master (see real_agent.py). It launches containers with Messor's programs: the packages of the oracle
/// have none of its own.
pub struct RealAgent {
    python: PathBuf,
    master: SocketAddr,
    pub address: SocketAddr,
    folder: PathBuf,
    variables: Vec<(String, String)>,
    child: Child,
}

impl RealAgent {
    pub const RESOURCES: &str = "cpus:2;mem:1024;disk:1024;ports:[31000-32000]";

    /// Below `folder` is all that it keeps, and its log. `bin` has links to Messor's programs.
    pub fn start(master: SocketAddr, folder: &Path, bin: &Path) -> Option<RealAgent> {
        let python = python("an agent of the real 1.11.0")?;
        let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let variables: Vec<(&str, String)> = vec![
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("LD_LIBRARY_PATH", home().display().to_string()),
            ("ORACLE_HOME", home().display().to_string()),
            ("LIBPROCESS_IP", "127.0.0.1".into()),
            ("LIBPROCESS_PORT", address.port().to_string()),
            ("MESOS_NUM_SLAVES", "1".into()),
            ("MESOS_WORK_DIR", folder.display().to_string()),
            ("MESOS_RUNTIME_DIR", folder.join("run").display().to_string()),
            ("MESOS_LAUNCHER", "posix".into()),
            ("MESOS_LAUNCHER_DIR", bin.display().to_string()),
            ("MESOS_SYSTEMD_ENABLE_SUPPORT", "false".into()),
            ("MESOS_HOSTNAME", "localhost".into()),
            ("MESOS_RESOURCES", RealAgent::RESOURCES.into()),
        ];
        let variables: Vec<(String, String)> =
            variables.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        std::fs::create_dir_all(folder).expect("a folder in a temporary folder");
        let child = run(&python, master, folder, &variables);
        let agent = RealAgent { python, master, address, folder: folder.to_path_buf(), variables, child };
        agent.is_up();
        Some(agent)
    }

    fn is_up(&self) {
        wait_for("the real agent", PATIENCE, || {
            get(self.address, "/slave(1)/health").ok().filter(|answer| answer.status == 200)
        });
    }

    /// As its host would, after it was killed.
    pub fn restart(&mut self) {
        self.child = run(&self.python, self.master, &self.folder, &self.variables);
        self.is_up();
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// STOP and CONT: it is there, and does nothing.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.expect("kill runs").success());
    }

    pub fn work_dir(&self) -> PathBuf {
        self.folder.join("agents/0/work")
    }

    pub fn runtime_dir(&self) -> PathBuf {
        self.folder.join("agents/0/run")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default()
    }
}

fn run(python: &Path, master: SocketAddr, folder: &Path, variables: &[(String, String)]) -> Child {
    let log = File::options().append(true).create(true).open(folder.join("agent.log")).expect("a log file");
    Command::new(python)
        .arg(messor_testkit::root().join("testing/conformance/tests/it/real_agent.py"))
        .arg(master.to_string())
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log file"))
        .stderr(log)
        .spawn()
        .expect("python runs")
}

impl Drop for RealAgent {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("---- the real agent ----\n{}", self.log());
        }
    }
}
