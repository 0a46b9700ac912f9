//! `mesos-init-wrapper master|agent`: what the units of systemd start. It becomes the daemon, with the flags that files
//! in /etc tell, as the packages of Mesosphere and Apache read them, so that a machine which has these goes on with them.
//!
//! No shell runs: `defaults` reads what may stand in /etc/default. It must not know what flags mean.

mod defaults;
mod files;
mod ulimit;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use messor_flags::{InitWrapperFlags, Program, Request};

use crate::{refuse, say};
use files::Flags;

#[derive(Debug, thiserror::Error)]
enum WrapperError {
    #[error(transparent)]
    Flag(#[from] messor_flags::FlagError),
    #[error("give what to become: mesos-init-wrapper master, or mesos-init-wrapper agent")]
    Role,
    #[error("{}:{line}: {reason}", path.display())]
    Default { path: PathBuf, line: usize, reason: String },
    #[error("ULIMIT of {}: {reason}", .directory.display())]
    Limit { directory: PathBuf, reason: String },
    #[error("{} cannot be read: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("{} and {} give --{flag} different values: remove one of them", one.display(), other.display())]
    Twice { flag: String, one: PathBuf, other: PathBuf },
    #[error("limits cannot be set as ULIMIT says: {0}")]
    SetLimit(io::Error),
    #[error("{} does not start: {error}", program.display())]
    Start { program: PathBuf, error: io::Error },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Master,
    Agent,
}

impl Role {
    fn of(words: &[String]) -> Option<Role> {
        match words {
            [word] if word == "master" => Some(Role::Master),
            [word] if word == "agent" || word == "slave" => Some(Role::Agent),
            _ => None,
        }
    }

    fn program(self) -> &'static str {
        match self {
            Role::Master => "mesos-master",
            Role::Agent => "mesos-agent",
        }
    }

    /// The names of its files in /etc/default and of its directories in /etc, older ones first.
    fn names(self) -> &'static [&'static str] {
        match self {
            Role::Master => &["mesos-master"],
            Role::Agent => &["mesos-slave", "mesos-agent"],
        }
    }

    /// Variables that stand for flags.
    fn variables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Role::Master => {
                &[("ZK", "zk"), ("IP", "ip"), ("PORT", "port"), ("CLUSTER", "cluster"), ("LOGS", "log_dir")]
            }
            Role::Agent => {
                &[("MASTER", "master"), ("IP", "ip"), ("LOGS", "log_dir"), ("ISOLATION", "isolation")]
            }
        }
    }

    /// The flag that says where ZooKeeper is.
    fn zookeeper(self) -> (&'static str, &'static str) {
        match self {
            Role::Master => ("zk", "MESOS_ZK"),
            Role::Agent => ("master", "MESOS_MASTER"),
        }
    }
}

/// What is to be started, and how.
#[derive(Debug, Default)]
struct Plan {
    arguments: Vec<String>,
    /// What files set in the environment.
    environment: BTreeMap<String, String>,
    limits: Vec<messor_linux::limits::Limit>,
    /// Files that were passed over.
    ignored: Vec<PathBuf>,
}

pub fn main(words: &[String]) -> ExitCode {
    match run(words) {
        Ok(code) => code,
        Err(error) => {
            refuse(&format!("{}: {error}", InitWrapperFlags::NAME));
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<ExitCode, WrapperError> {
    let parsed = match messor_flags::parse::<InitWrapperFlags>(words, &messor_log::Surroundings)? {
        Request::Run(parsed) => parsed,
        Request::Help(text) | Request::Version(text) => return Ok(say(&format!("{text}\n"))),
    };
    let role = Role::of(&parsed.positional).ok_or(WrapperError::Role)?;
    let own = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let plan = plan(role, Path::new(&parsed.flags.etc), own.collect())?;
    let program = program(role);
    if parsed.flags.show {
        return Ok(say(&shown(&plan, &program, role)));
    }
    for path in &plan.ignored {
        refuse(&format!("{}: {} is no flag, and ignored", InitWrapperFlags::NAME, path.display()));
    }
    for limit in &plan.limits {
        limit.set().map_err(WrapperError::SetLimit)?;
    }
    let mut command = Command::new(&program);
    command.arg0(role.program()).args(&plan.arguments).envs(&plan.environment);
    // It comes back only where that failed.
    let error = command.exec();
    Err(WrapperError::Start { program, error })
}

/// Line by line, so that a shell could do the same: variables, the program, its arguments.
fn shown(plan: &Plan, program: &Path, role: Role) -> String {
    let variables = plan.environment.iter().map(|(name, value)| format!("{name}={value}\n"));
    // By another name than that of a link, the binary is told which program to be.
    let is_link = program.file_name().is_some_and(|name| name == role.program());
    let name = (!is_link).then(|| role.program().to_owned());
    let words =
        std::iter::once(program.display().to_string()).chain(name).chain(plan.arguments.iter().cloned());
    variables.chain(words.map(|word| format!("{word}\n"))).collect()
}

/// The link of that name beside the one we were called by, or in PATH, so that the process has its name; else this binary
/// itself.
fn program(role: Role) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let beside =
        called.parent().filter(|folder| !folder.as_os_str().is_empty()).and_then(|f| f.canonicalize().ok());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let links = beside.into_iter().chain(folders).map(|folder| folder.join(role.program()));
    // Of another program of that name, such as one of Apache Mesos, nothing is known.
    let is_own = |link: &PathBuf| {
        link.canonicalize().is_ok_and(|found| own.canonicalize().is_ok_and(|own| own == found))
    };
    let mut links = links.filter(is_own);
    links.next().unwrap_or(own)
}

fn plan(role: Role, etc: &Path, own: BTreeMap<String, String>) -> Result<Plan, WrapperError> {
    let mut plan = Plan::default();
    let defaults = std::iter::once("mesos").chain(role.names().iter().copied());
    // What files see of the environment, and what of it is seen afterwards.
    let mut variables = own;
    for name in defaults {
        let path = etc.join("default").join(name);
        let Some(text) = files::text(&path)? else { continue };
        let set = defaults::read(&text, &variables, &|file| files::text(Path::new(file)))
            .map_err(|mistake| mistake.of(&path))?;
        for (name, value) in set {
            variables.insert(name.clone(), value.clone());
            plan.environment.insert(name, value);
        }
    }
    let variable = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    if let Some(text) = variable("ULIMIT") {
        plan.limits = ulimit::parse(text)
            .map_err(|reason| WrapperError::Limit { directory: etc.join("default"), reason })?;
    }
    let mut flags = Flags::default();
    for name in role.names() {
        flags.read(&etc.join(name), role == Role::Agent)?;
    }
    // A file in a directory of flags wins over a variable that stands for the same flag.
    for (name, flag) in role.variables() {
        if let Some(value) = variable(name) {
            flags.add_if_free(flag, value);
        }
    }
    let (flag, name) = role.zookeeper();
    let zookeeper = etc.join("mesos/zk");
    if variable(name).is_none() && files::text(&zookeeper)?.is_some_and(|text| !text.trim().is_empty()) {
        // It may have a password in it, which is no matter of the list of processes.
        flags.add_if_free(flag, &format!("file://{}", zookeeper.display()));
    }
    (plan.arguments, plan.ignored) = flags.finish();
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Etc(tempfile::TempDir);

    impl Etc {
        fn new(files: &[(&str, &str)]) -> Etc {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = folder.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text.replace("ETC", folder.path().to_str().unwrap())).unwrap();
            }
            Etc(folder)
        }

        fn plan(&self, role: Role) -> Result<Plan, String> {
            plan(role, self.0.path(), BTreeMap::new()).map_err(|error| error.to_string())
        }

        fn arguments(&self, role: Role) -> Vec<String> {
            let found = self.plan(role).unwrap().arguments;
            found.iter().map(|word| word.replace(self.0.path().to_str().unwrap(), "ETC")).collect()
        }
    }

    /// What the packages of Mesosphere put on a machine.
    const MESOSPHERE: [(&str, &str); 6] = [
        ("mesos/zk", "zk://localhost:2181/mesos\n"),
        ("default/mesos", "LOGS=/var/log/mesos\nULIMIT=\"-n 8192\"\n"),
        ("default/mesos-master", "PORT=5050\nZK=`cat ETC/mesos/zk`\n"),
        ("default/mesos-slave", "MASTER=`cat ETC/mesos/zk`\n"),
        ("mesos-master/quorum", "1\n"),
        ("mesos-master/work_dir", "/var/lib/mesos\n"),
    ];

    #[test]
    fn a_machine_of_mesosphere_goes_on_as_it_was() {
        let etc = Etc::new(&MESOSPHERE);
        let expected = [
            "--quorum=1",
            "--work_dir=/var/lib/mesos",
            "--zk=zk://localhost:2181/mesos",
            "--port=5050",
            "--log_dir=/var/log/mesos",
        ];
        assert_eq!(etc.arguments(Role::Master), expected);
        let limits = etc.plan(Role::Master).unwrap().limits;
        assert_eq!((limits.len(), limits[0].soft, limits[0].hard), (1, 8192, 8192));
        let expected = ["--master=zk://localhost:2181/mesos", "--log_dir=/var/log/mesos"];
        assert_eq!(etc.arguments(Role::Agent), expected);
    }

    #[test]
    fn files_are_flags() {
        let etc = Etc::new(&[
            ("mesos/zk", "zk://h/m\n"),
            ("mesos-slave/containerizers", "mesos\n"),
            ("mesos-slave/?no-switch_user", ""),
            ("mesos-slave/attributes/rack", "r1\n"),
            ("mesos-slave/attributes/zone", "z\n"),
            ("mesos-slave/attributes/empty", ""),
            ("mesos-slave/resources/cpus", "4\n"),
            ("mesos-agent/port", "5052\n\n"),
            ("mesos-agent/?no-logger", ""),
            ("mesos-agent/port.dpkg-old", "1"),
            ("mesos-agent/.hidden", "1"),
            ("mesos-agent/work_dir~", "1"),
        ]);
        let expected = [
            "--no-switch_user",
            "--containerizers=mesos",
            "--port=5052",
            "--attributes=rack:r1;zone:z",
            "--resources=cpus:4",
            "--master=file://ETC/mesos/zk",
        ];
        assert_eq!(etc.arguments(Role::Agent), expected);
        assert_eq!(etc.plan(Role::Agent).unwrap().ignored.len(), 2);
    }

    #[test]
    fn a_file_wins_over_a_variable_and_two_files_must_agree() {
        let mut files = MESOSPHERE.to_vec();
        files.push(("mesos-master/port", "6060"));
        files.push(("mesos-slave/work_dir", "/a"));
        files.push(("mesos-agent/work_dir", "/b"));
        let etc = Etc::new(&files);
        assert!(etc.arguments(Role::Master).contains(&"--port=6060".to_string()));
        let error = etc.plan(Role::Agent).unwrap_err();
        assert!(
            error.contains("mesos-slave/work_dir and") && error.contains("--work_dir different"),
            "{error}"
        );
        fs::write(etc.0.path().join("mesos-slave/work_dir"), "/b\n").unwrap();
        assert!(etc.arguments(Role::Agent).contains(&"--work_dir=/b".to_string()));
    }

    #[test]
    fn an_environment_of_flags_is_passed_on() {
        let etc = Etc::new(&[
            ("mesos/zk", "zk://h/m\n"),
            ("default/mesos", "export MESOS_ZK=zk://other/m MESOS_QUORUM=1 # two\nA=b\n"),
            ("default/mesos-master", "MESOS_HOSTNAME=\"$A.example\"\n"),
        ]);
        let plan = etc.plan(Role::Master).unwrap();
        assert!(plan.arguments.is_empty(), "{plan:?}");
        assert_eq!(plan.environment["MESOS_HOSTNAME"], "b.example");
        assert_eq!(plan.environment["MESOS_ZK"], "zk://other/m");
    }

    #[test]
    fn what_cannot_be_understood_is_named_with_its_place() {
        for (files, part) in [
            (("default/mesos", "A=b\nIP=$(hostname -i)\n"), "default/mesos:2: it runs 'hostname -i'"),
            (("default/mesos-master", "if true; then\n"), "default/mesos-master:1: "),
            (("default/mesos", "ULIMIT='-z 1'"), "ULIMIT of "),
            (("default/mesos", "ZK=`cat /not/there`"), "default/mesos:1: /not/there"),
        ] {
            let error = Etc::new(&[files]).plan(Role::Master).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn what_is_shown_can_be_started() {
        let plan =
            Etc::new(&[("mesos-master/quorum", "1"), ("default/mesos", "A=b\n")]).plan(Role::Master).unwrap();
        let found = shown(&plan, Path::new("/usr/bin/messor"), Role::Master);
        assert_eq!(found, "A=b\n/usr/bin/messor\nmesos-master\n--quorum=1\n");
        let found = shown(&plan, Path::new("/usr/bin/mesos-master"), Role::Master);
        assert_eq!(found, "A=b\n/usr/bin/mesos-master\n--quorum=1\n");
    }

    #[test]
    fn a_machine_without_files_starts_without_flags() {
        assert!(Etc::new(&[]).arguments(Role::Master).is_empty());
        assert_eq!(Role::of(&["slave".to_string()]), Some(Role::Agent));
        assert_eq!(Role::of(&[]), None);
    }
}
