//! The Debian package: built by its one command, looked through, installed into a root of its own, and a cluster started
//! from there as the units of systemd would, with directories of configuration; also on a machine that has those of the
//! packages of Mesosphere.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use messor_testkit::{binary, free_port, get, root, skip, wait_for};

const PATIENCE: Duration = Duration::from_secs(40);

fn done(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    output
}

fn is_there(program: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(program).exists())
}

/// The package, and a folder that goes away with it.
struct Package {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Package {
    /// None where this is no Debian.
    fn build() -> Option<Package> {
        if !is_there("dpkg-deb") || !is_there("dpkg") {
            skip("no dpkg here, so no Debian package");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = done(
            Command::new(root().join("packaging/debian/build"))
                .arg(format!("--binary={}", binary().display()))
                .arg(format!("--output={}", folder.path().display()))
                .arg("--compression=none"),
        );
        let printed = String::from_utf8(output.stdout).expect("UTF-8");
        let file = PathBuf::from(printed.trim());
        assert!(file.exists(), "{printed}");
        Some(Package { folder, file })
    }

    /// Installs it below a folder, as dpkg does, with its scripts. None where this is not root.
    fn install(&self, name: &str, files: &[(&str, &str)]) -> Option<Root> {
        if !rustix::process::geteuid().is_root() {
            skip("dpkg installs for root alone");
            return None;
        }
        let path = self.folder.path().join(name);
        for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log", "etc"] {
            fs::create_dir_all(path.join(folder)).expect("a folder");
        }
        for file in ["var/lib/dpkg/status", "var/lib/dpkg/available"] {
            fs::write(path.join(file), "").expect("a file");
        }
        let root = Root { path, processes: Vec::new() };
        for (name, text) in files {
            root.write(name, text);
        }
        root.dpkg(&["--install".as_ref(), self.file.as_os_str()]);
        Some(root)
    }
}

/// A machine's files.
struct Root {
    path: PathBuf,
    processes: Vec<Child>,
}

impl Root {
    fn dpkg(&self, words: &[&std::ffi::OsStr]) {
        done(
            Command::new("dpkg")
                .arg(format!("--root={}", self.path.display()))
                // Scripts run here and are told where the root is; the root has no libraries of its own.
                .args(["--force-script-chrootless", "--force-depends", "--force-not-root"])
                .args(words)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        );
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text.replace("ROOT", &self.path.display().to_string())).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap_or_default()
    }

    /// The words of a unit's ExecStart, in this root.
    fn unit(&self, unit: &str) -> Command {
        let text = self.read(&format!("usr/lib/systemd/system/{unit}"));
        let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("an ExecStart");
        let mut words = line.split(' ');
        let program = words.next().expect("a program").trim_start_matches('/');
        let mut command = Command::new(self.path.join(program));
        command.args(words).arg(format!("--etc={}", self.path.join("etc").display()));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    fn start(&mut self, unit: &str) -> u32 {
        let log = fs::File::create(self.path.join(format!("{unit}.log"))).expect("a log");
        let child = self
            .unit(unit)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("it starts");
        let pid = child.id();
        self.processes.push(child);
        pid
    }

    /// What the unit would start, without its first word.
    fn shown(&self, unit: &str) -> Vec<String> {
        let output = done(self.unit(unit).arg("--show"));
        let text = String::from_utf8(output.stdout)
            .expect("UTF-8")
            .replace(&self.path.display().to_string(), "ROOT");
        text.lines().skip_while(|line| !line.contains("/mesos-")).skip(1).map(str::to_string).collect()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        for child in self.processes.iter_mut().rev() {
            let _ = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for unit in ["mesos-master.service", "mesos-agent.service"] {
                eprintln!("---- {unit} ----\n{}", self.read(&format!("{unit}.log")));
            }
        }
    }
}

#[test]
fn the_package_has_what_belongs_there() {
    let Some(package) = Package::build() else { return };
    let output = done(Command::new("dpkg-deb").arg("--contents").arg(&package.file));
    let contents = String::from_utf8(output.stdout).expect("UTF-8");
    for part in [
        " ./usr/bin/messor\n",
        " ./usr/bin/mesos -> messor\n",
        " ./usr/bin/mesos-execute -> messor\n",
        " ./usr/sbin/mesos-master -> ../bin/messor\n",
        " ./usr/sbin/mesos-slave -> ../bin/messor\n",
        " ./usr/libexec/mesos/mesos-default-executor -> ../../bin/messor\n",
        " ./usr/libexec/mesos/mesos-fetcher -> ../../bin/messor\n",
        " ./usr/lib/systemd/system/mesos-master.service\n",
        " ./usr/lib/systemd/system/mesos-slave.service -> mesos-agent.service\n",
        " ./usr/share/man/man8/mesos-agent.8.gz\n",
        " ./usr/share/man/man8/mesos-slave.8.gz -> mesos-agent.8.gz\n",
        " ./usr/share/man/man1/mesos.1.gz\n",
        " ./usr/share/bash-completion/completions/mesos\n",
        " ./usr/share/doc/messor/examples/etc/mesos/zk\n",
        " ./usr/share/doc/messor/copyright\n",
    ] {
        assert!(contents.contains(part), "{part} is missing in\n{contents}");
    }
    // It brings no configuration, so that none is overwritten or asked about.
    assert!(!contents.contains(" ./etc"), "{contents}");
    assert!(contents.lines().all(|line| line.contains(" root/root ")), "{contents}");
    let output = done(Command::new("dpkg-deb").args(["--field"]).arg(&package.file));
    let fields = String::from_utf8(output.stdout).expect("UTF-8");
    for part in ["Package: messor\n", "Provides: mesos (= 1.11.0)\n", "Depends: libc6 (>= "] {
        assert!(fields.contains(part), "{fields}");
    }
    if is_there("lintian") {
        // The names of functions stay, for backtraces; there is no address of maintainers; the test compresses nothing.
        let unlike = "unstripped-binary-or-object,bogus-mail-host,bogus-mail-host-in-debian-changelog,uses-no-compression-for-data-tarball,\
                      uses-no-compression-for-control-tarball";
        let output = Command::new("lintian")
            .args(["--fail-on=error,warning", "--suppress-tags", unlike])
            .arg(&package.file)
            .output()
            .expect("lintian runs");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    } else {
        skip("no lintian here");
    }
}

#[test]
fn units_are_sound() {
    for unit in ["mesos-master.service", "mesos-agent.service"] {
        let text = fs::read_to_string(root().join("packaging/systemd").join(unit)).expect("a unit");
        for line in ["Restart=always", "LimitNOFILE=1048576", "TasksMax=infinity"] {
            assert!(text.lines().any(|one| one == line), "{unit}: {line}");
        }
        let of_agent =
            ["KillMode=process", "Delegate=yes"].iter().all(|line| text.lines().any(|one| one == *line));
        assert_eq!(of_agent, unit == "mesos-agent.service");
    }
    if !is_there("systemd-analyze") {
        skip("no systemd-analyze here");
        return;
    }
    // It looks whether the programs are there.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bin = folder.path().join("bin");
    done(Command::new(binary()).arg("install").arg(&bin));
    for unit in ["mesos-master.service", "mesos-agent.service"] {
        let text = fs::read_to_string(root().join("packaging/systemd").join(unit)).expect("a unit");
        let path = folder.path().join(unit);
        fs::write(&path, text.replace("/usr/bin", &bin.display().to_string())).expect("a file");
        let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output();
        let output = output.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        // What other units of this machine lack is no matter of ours.
        assert!(output.status.success() && !said.contains(unit), "{said}");
    }
}

#[test]
fn a_cluster_runs_from_what_is_installed() {
    let Some(package) = Package::build() else { return };
    let Some(mut machine) = package.install("machine", &[]) else { return };
    // The configuration that the package makes where there is none.
    assert_eq!(machine.read("etc/mesos-master/work_dir"), "/var/lib/mesos/master\n");
    assert_eq!(machine.read("etc/mesos-agent/master"), "127.0.0.1:5050\n");
    assert_eq!(machine.read("etc/mesos-agent/ip"), "127.0.0.1\n");
    let ports = [free_port(), free_port()];
    for (name, text) in [
        ("etc/mesos-master/hostname", "localhost\n"),
        ("etc/mesos-master/port", &format!("{}\n", ports[0])),
        ("etc/mesos-master/work_dir", "ROOT/var/lib/mesos/master\n"),
        ("etc/default/mesos", "ULIMIT=\"-n 4321\"\n"),
        ("etc/default/mesos-agent", "MESOS_HOSTNAME='localhost'\n"),
        ("etc/mesos-agent/port", &format!("{}\n", ports[1])),
        ("etc/mesos-agent/master", &format!("127.0.0.1:{}\n", ports[0])),
        ("etc/mesos-agent/work_dir", "ROOT/var/lib/mesos/agent\n"),
        ("etc/mesos-agent/runtime_dir", "ROOT/run/mesos\n"),
        ("etc/mesos-agent/fetcher_cache_dir", "ROOT/var/cache/mesos\n"),
        ("etc/mesos-agent/launcher_dir", "ROOT/usr/libexec/mesos\n"),
        ("etc/mesos-agent/launcher", "posix\n"),
        ("etc/mesos-agent/isolation", "posix/cpu,posix/mem\n"),
        ("etc/mesos-agent/?no-switch_user", ""),
        ("etc/mesos-agent/attributes/rack", "r1\n"),
        ("etc/mesos-agent/resources/cpus", "3\n"),
        ("etc/mesos-agent/resources/mem", "512\n"),
    ] {
        machine.write(name, text);
    }
    let [master, agent] = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let pid = machine.start("mesos-master.service");
    wait_for("the master", PATIENCE, || get(master, "/health").ok().filter(|answer| answer.status == 200));
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).expect("it runs");
    assert_eq!(name, "mesos-master\n", "the wrapper has become the daemon");
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    assert!(files.contains(" 4321 "), "{files}");
    machine.start("mesos-agent.service");
    let state = wait_for("the agent to register", PATIENCE, || {
        let state = get(master, "/slaves").ok()?.json();
        state["slaves"][0]["active"].as_bool()?.then_some(state)
    });
    assert_eq!(state["slaves"][0]["attributes"]["rack"], "r1");
    assert_eq!(state["slaves"][0]["resources"]["cpus"], 3.0);
    let flags = get(agent, "/flags").expect("an answer").json();
    assert_eq!(flags["flags"]["switch_user"], "false");
    let output = done(
        Command::new(machine.path.join("usr/bin/mesos-execute"))
            .arg(format!("--master={master}"))
            .args(["--name=hello", "--command=echo hello from the package", "--resources=cpus:1;mem:32"])
            .arg("--show_output"),
    );
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(told.contains("TASK_FINISHED") && told.ends_with("hello from the package\n"), "{told}");
    drop(machine);
}

#[test]
fn a_machine_of_mesosphere_keeps_its_configuration() {
    let files = [
        ("etc/mesos/zk", "zk://localhost:2181/mesos\n"),
        ("etc/default/mesos", "LOGS=/var/log/mesos\nULIMIT=\"-n 8192\"\n"),
        ("etc/default/mesos-master", "PORT=5050\nZK=`cat ROOT/etc/mesos/zk`\n"),
        ("etc/default/mesos-slave", "MASTER=`cat ROOT/etc/mesos/zk`\n"),
        ("etc/mesos-master/quorum", "1\n"),
        ("etc/mesos-master/work_dir", "/var/lib/mesos\n"),
        ("etc/mesos-slave/work_dir", "/data/mesos\n"),
        ("etc/mesos-slave/attributes/rack", "r7\n"),
    ];
    let Some(package) = Package::build() else { return };
    let Some(machine) = package.install("machine", &files) else { return };
    for (name, text) in files {
        assert_eq!(machine.read(name), text.replace("ROOT", &machine.path.display().to_string()), "{name}");
    }
    assert!(!machine.path.join("etc/mesos-agent").exists(), "the older directory goes on");
    let expected = [
        "--quorum=1",
        "--work_dir=/var/lib/mesos",
        "--zk=zk://localhost:2181/mesos",
        "--port=5050",
        "--log_dir=/var/log/mesos",
    ];
    assert_eq!(machine.shown("mesos-master.service"), expected);
    let expected = [
        "--work_dir=/data/mesos",
        "--attributes=rack:r7",
        "--master=zk://localhost:2181/mesos",
        "--log_dir=/var/log/mesos",
    ];
    assert_eq!(machine.shown("mesos-slave.service"), expected);
    // Purged, the package takes nothing with it that it did not make.
    machine.dpkg(&["--purge".as_ref(), "messor".as_ref()]);
    assert_eq!(machine.read("etc/mesos-slave/work_dir"), "/data/mesos\n");
    assert_eq!(machine.read("etc/mesos-master/quorum"), "1\n");
    assert!(!Path::new(&machine.path.join("usr/bin/messor")).exists());
    let Some(fresh) = package.install("fresh", &[]) else { return };
    fresh.dpkg(&["--purge".as_ref(), "messor".as_ref()]);
    assert!(!fresh.path.join("etc/mesos-master").exists() && !fresh.path.join("etc/mesos-agent").exists());
}

/// Scripts of no use to their shells would be none.
#[test]
fn shells_take_their_scripts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let share = folder.path().join("share");
    done(
        Command::new(binary())
            .arg("install")
            .arg(folder.path().join("bin"))
            .arg(format!("--share={}", share.display())),
    );
    for (shell, check, files) in [
        ("bash", "-n", "bash-completion/completions"),
        ("zsh", "-n", "zsh/vendor-completions"),
        ("fish", "--no-execute", "fish/vendor_completions.d"),
    ] {
        if !is_there(shell) {
            skip(&format!("no {shell} here to read its completion scripts"));
            continue;
        }
        for file in fs::read_dir(share.join(files)).expect("scripts") {
            done(Command::new(shell).arg(check).arg(file.expect("a script").path()));
        }
        for (typed, word) in [
            ("mesos agent dr", "drain"),
            ("mesos quota set --guar", "--guarantees"),
            ("mesos-master --quor", "--quorum"),
        ] {
            let shown = completed(shell, &share.join(files), folder.path(), typed, word);
            assert!(shown.contains(word), "{shell} completes '{typed}' with: {shown}");
        }
    }
}

/// What a shell with the scripts of a folder makes of a line when Tab is pressed.
fn completed(shell: &str, scripts: &Path, folder: &Path, typed: &str, awaited: &str) -> String {
    const BASH: &str = r#"read -ra COMP_WORDS <<<"$2"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$2 COMP_POINT=${#2}
source "$1/${COMP_WORDS[0]}"
function=$(complete -p "${COMP_WORDS[0]}" | sed 's/.* -F \([^ ]*\) .*/\1/')
$function "${COMP_WORDS[0]}" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
printf '%s\n' "${COMPREPLY[@]}""#;
    const FISH: &str = r#"source "$argv[1]/"(string split " " -- $argv[2])[1].fish; complete -C $argv[2]"#;
    // Its completion is the line editor's: so one is typed to, on a terminal of its own.
    const ZSH: &str = r#"zmodload zsh/zpty
zpty line TERM=dumb zsh -f -i
zpty -w line "fpath=(${(q)1} \$fpath); autoload -Uz compinit && compinit -u -d ${(q)4}/dump; PS1=; echo re''ady"
shown=
until [[ $shown == *ready* ]]; do zpty -r line piece || exit 1; shown+=$piece; done
zpty -w -n line "$2"$'\t'
shown= end=$((SECONDS + 30))
while (( SECONDS < end )) && [[ $shown != *$3* ]]; do zpty -r -t line piece && shown+=$piece || sleep 0.05; done
print -r -- $shown"#;
    let script = match shell {
        "bash" => BASH,
        "fish" => FISH,
        _ => ZSH,
    };
    let mut command = Command::new(shell);
    match shell {
        "bash" => command.args(["--norc", "-c", script, "bash"]),
        "fish" => command.args(["--no-config", "-c", script]),
        _ => command.args(["-f", "-c", script, "zsh"]),
    };
    let output = command.arg(scripts).args([typed, awaited]).arg(folder).output().expect("the shell runs");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
