//! The replicated log beside the real one of 1.11.0: files that each reads of the other, and quorums of both.
//!
//! Rows: U105, U111 (a master's work_dir is taken over).

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use messor_net::{Server, ServerOptions};
use messor_proto::mesos::internal::log::{Action, Metadata, action, metadata};
use messor_proto::mesos::internal::{Registry, state};
use messor_proto::{Message, Version, Wire};
use messor_replica::{Options, Outcome, Replica};
use messor_replog::{Answer, Write};
use messor_store::Storage;
use messor_testkit::{ZooKeeper, binary, free_port, oracle, root, skip};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(60);

/// A real 1.11.0 log, made of the oracle's libmesos; `None`, told, where something for it is not there.
struct Real {
    program: PathBuf,
    libraries: PathBuf,
}

impl Real {
    fn build(folder: &Path) -> Option<Real> {
        let Some(oracle) = oracle() else {
            skip("the real 1.11.0 log: ../shared is not there");
            return None;
        };
        let home = std::env::temp_dir().join("apache-mesos-1.11.0");
        // Unpacks it if need be.
        let warm = Command::new(oracle.join("apache-mesos-local"))
            .args(["--home", &home.display().to_string(), "driver", "local", "1"])
            .output()
            .expect("the oracle runs");
        if warm.status.code() == Some(3) {
            skip(&format!("the real 1.11.0 log: {}", String::from_utf8_lossy(&warm.stderr).trim()));
            return None;
        }
        let library = home.join("usr/local/lib/python2.7/dist-packages/mesos/scheduler/_scheduler.so");
        let listing =
            Command::new("nm").args(["-D", "--undefined-only"]).arg(&library).output().expect("nm runs");
        // It is a module of Python, whose own names are never used here.
        let stubs: String = String::from_utf8_lossy(&listing.stdout)
            .lines()
            .filter_map(|line| line.split_whitespace().last())
            .filter(|name| name.starts_with("Py") || name.starts_with("_Py"))
            .map(|name| format!("extern \"C\" {{ long {name}[64]; }}\n"))
            .collect();
        let stub = folder.join("stubs.cpp");
        std::fs::write(&stub, stubs).expect("a file is written");
        let program = folder.join("real-log");
        let built = Command::new("g++")
            .args([
                "-std=c++14",
                "-w",
                "-O0",
                "-rdynamic",
                "-Wl,--unresolved-symbols=ignore-in-shared-libs",
                "-o",
            ])
            .arg(&program)
            .arg(root().join("testing/conformance/real-log/real-log.cpp"))
            .arg(&stub)
            .arg(&library)
            .output();
        match built {
            Ok(built) => {
                assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
                Some(Real { program, libraries: home })
            }
            Err(error) => {
                skip(&format!("the real 1.11.0 log: g++: {error}"));
                None
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("LD_LIBRARY_PATH", &self.libraries).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.env("LIBPROCESS_IP", "127.0.0.1").stderr(Stdio::null());
        command
    }

    /// What it says to some lines about a log's files.
    fn storage(&self, path: &Path, lines: &str) -> String {
        let mut child = self.command().arg("storage").arg(path).spawn().expect("it starts");
        child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        text
    }

    fn replica(&self, path: &Path, port: u16, quorum: usize, pids: &[String]) -> RealReplica {
        self.start("replica", path, port, quorum, pids)
    }

    /// As one of those that are at `znode` in ZooKeeper.
    fn member(&self, path: &Path, quorum: usize, servers: &str, znode: &str) -> RealReplica {
        self.start("group", path, free_port(), quorum, &[servers.to_string(), znode.to_string()])
    }

    fn start(&self, how: &str, path: &Path, port: u16, quorum: usize, others: &[String]) -> RealReplica {
        let mut child = self
            .command()
            .env("LIBPROCESS_PORT", port.to_string())
            .arg(how)
            .arg(path)
            .args([&quorum.to_string(), "auto"])
            .args(others)
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut replica = RealReplica { input: child.stdin.take().expect("piped"), child, lines };
        assert_eq!(replica.line(), "started");
        replica
    }
}

struct RealReplica {
    child: Child,
    input: ChildStdin,
    lines: BufReader<ChildStdout>,
}

impl RealReplica {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("it answers");
        line.trim_end().to_string()
    }

    fn ask(&mut self, question: &str) -> String {
        writeln!(self.input, "{question}").expect("it listens");
        self.line()
    }
}

impl RealReplica {
    /// It says "none" where its proposal was too low, and goes higher when it is asked again.
    fn become_writer(&mut self) {
        for _ in 0..10 {
            let said = self.ask("start");
            if said.parse::<u64>().is_ok() {
                return;
            }
            assert_eq!(said, "none");
        }
        panic!("it was not elected");
    }
}

impl Drop for RealReplica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One of Messor's.
struct Own {
    replica: Replica,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
    served: tokio::task::JoinHandle<()>,
    ticket: u64,
}

impl Own {
    async fn start(path: &Path, port: u16, quorum: usize, pids: &[String]) -> Own {
        let ip = Some([127, 0, 0, 1].into());
        let server =
            Server::bind(ServerOptions { ip, port, ..ServerOptions::default() }).await.expect("it listens");
        let (sender, outcomes) = mpsc::unbounded_channel();
        let options = Options { path: path.to_path_buf(), quorum, auto_initialize: true };
        let replica = Replica::start(&server.net(), &options, move |outcome| drop(sender.send(outcome)));
        let replica = replica.expect("it starts");
        let nothing = |_request, _peer| async { messor_net::text(http::StatusCode::NOT_FOUND, "nothing\n") };
        let served = tokio::spawn(server.serve(nothing, std::future::pending()));
        replica.commands().members(pids.iter().map(|pid| pid.parse().expect("a PID")).collect());
        Own { replica, outcomes, served, ticket: 0 }
    }

    async fn ask(&mut self, command: messor_replog::Command) -> Answer {
        self.ticket += 1;
        self.replica.commands().command(self.ticket, command.clone());
        match tokio::time::timeout(PATIENCE, self.outcomes.recv()).await {
            Ok(Some(Outcome::Done { outcome: Ok(answer), .. })) => answer,
            other => panic!("{command:?}: {other:?}"),
        }
    }

    async fn stop(self) {
        self.served.abort();
        let _ = self.served.await;
        tokio::task::spawn_blocking(move || drop(self.replica)).await.expect("it ends");
    }

    /// As the real one prints them.
    async fn entries(&mut self) -> String {
        let Answer::Ends { begin, end } = self.ask(messor_replog::Command::Ends).await else {
            panic!("no ends")
        };
        match self.ask(messor_replog::Command::Read { from: begin, to: end }).await {
            Answer::Entries { entries, next: None } => entries
                .iter()
                .map(|entry| format!("{}={} ", entry.position, String::from_utf8_lossy(&entry.bytes)))
                .chain(["end".to_string()])
                .collect(),
            other => panic!("{other:?}"),
        }
    }
}

fn append(position: u64, bytes: &[u8]) -> Action {
    Action {
        position,
        promised: 2,
        performed: Some(2),
        learned: Some(true),
        r#type: Some(action::Type::Append.into()),
        append: Some(action::Append { bytes: bytes.to_vec(), cksum: None }),
        ..Action::default()
    }
}

fn truncate(position: u64, to: u64) -> Action {
    let r#type = Some(action::Type::Truncate.into());
    Action { r#type, append: None, truncate: Some(action::Truncate { to }), ..append(position, b"") }
}

fn hex(message: &impl Message) -> String {
    message.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_registry_of_a_real_master_is_there() {
    let Some(oracle) = oracle() else { return skip("a real master's work_dir: ../shared is not there") };
    let state = oracle.join("state-1.11.0");
    let folder = tempfile::tempdir().expect("a folder");
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(state.join("master-work_dir.tar.gz"))
        .arg("-C")
        .arg(folder.path())
        .status()
        .expect("tar runs");
    assert!(unpacked.success());
    let find = |from: &Path| {
        let mut ways = vec![from.to_path_buf()];
        while let Some(way) = ways.pop() {
            if way.ends_with("replicated_log") {
                return way;
            }
            ways.extend(std::fs::read_dir(way).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
        panic!("there is no replicated_log")
    };
    let path = find(folder.path());
    // Twice: what the first opening writes anew is the same.
    for _ in 0..2 {
        let storage = Storage::open_existing(&path).expect("it opens");
        let restored = storage.restore().expect("it is whole");
        assert_eq!(restored.metadata.status, i32::from(metadata::Status::Voting));
        let actions = storage.read(restored.begin, restored.end).expect("it is read");
        let last = actions.iter().rev().find_map(|action| action.append.as_ref()).expect("an entry");
        let operation = state::Operation::decode(&*last.bytes).expect("an operation");
        let entry = operation.snapshot.expect("a snapshot").entry;
        assert_eq!(entry.name, "registry");
        let registry = Registry::decode(&*entry.value).expect("a registry");
        let expected = std::fs::read_to_string(state.join("registry.json")).expect("it is there");
        let expected: serde_json::Value = serde_json::from_str(&expected).expect("JSON");
        let found: serde_json::Value = serde_json::from_slice(&registry.to_json(Version::V0)).expect("JSON");
        assert_eq!(found, expected);
    }
}

#[test]
fn each_reads_the_files_of_the_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(real) = Real::build(folder.path()) else { return };
    let path = folder.path().join("log");
    let voting = Metadata { status: metadata::Status::Voting.into(), promised: 7 };
    let mut storage = Storage::open(&path).expect("it opens");
    storage.persist(&Write::Metadata(voting)).expect("it writes");
    for position in 0..40 {
        let action = append(position, &vec![b'a'; (position * 3000) as usize]);
        storage.persist(&Write::Action(Box::new(action))).expect("it writes");
    }
    storage.persist(&Write::Truncating { action: Box::new(truncate(40, 10)), below: 10 }).expect("it writes");
    storage.sync().expect("it syncs");
    drop(storage);
    // The real one reads it, makes tables of it, and writes more: twice, so that tables and logs are of all kinds.
    for round in 0..2u64 {
        let said = real.storage(&path, "read 0 41\n");
        let positions: Vec<u64> =
            said.lines().filter_map(|line| line.strip_suffix(':')?.parse().ok()).collect();
        assert_eq!(positions, (10 + round * 5..=40 + round).collect::<Vec<_>>(), "{said}");
        assert!(said.contains(&format!("bytes: \"{}\"", "a".repeat(17 * 3000))));
        let mut lines = format!("action {}\n", hex(&truncate(41 + round, 15 + round * 5)));
        lines.push_str(&format!("metadata {}\n", hex(&Metadata { promised: 8 + round, ..voting })));
        assert_eq!(real.storage(&path, &lines), "done\ndone\n");
        let storage = Storage::open_existing(&path).expect("it opens");
        let restored = storage.restore().expect("it is whole");
        assert_eq!((restored.begin, restored.end), (15 + round * 5, 41 + round));
        assert_eq!(restored.metadata.promised, 8 + round);
        for action in storage.read(0, 39).expect("it is read") {
            assert_eq!(action, append(action.position, &vec![b'a'; (action.position * 3000) as usize]));
        }
        assert_eq!(storage.read(0, 100).expect("it is read").len() as u64, 27 - round * 4);
    }
}

/// Row: U105. One of Messor's with two of the real one's, and two with one; at the same time, as both wait for timeouts of the real one.
#[test]
fn a_quorum_of_both_agrees() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(real) = Real::build(folder.path()) else { return };
    std::thread::scope(|scope| {
        for owns in [1, 2] {
            let (real, folder) = (&real, folder.path());
            scope.spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
                runtime.expect("it starts").block_on(quorum(real, folder, owns));
            });
        }
    });
}

async fn quorum(real: &Real, folder: &Path, owns: usize) {
    use messor_replog::Command;
    let path = |name: &str| folder.join(format!("{owns}-{name}"));
    let ports = [free_port(), free_port(), free_port()];
    let pids = ports.map(|port| format!("log-replica(1)@127.0.0.1:{port}"));
    let mut own = Own::start(&path("a"), ports[0], 2, &pids).await;
    let mut theirs = real.replica(&path("b"), ports[1], 2, &pids);
    let (mut third_own, mut third_theirs) = (None, None);
    if owns == 2 {
        third_own = Some(Own::start(&path("c"), ports[2], 2, &pids).await);
    } else {
        third_theirs = Some(real.replica(&path("c"), ports[2], 2, &pids));
    }
    // Messor writes; the real one takes over and writes; Messor takes over again.
    assert!(matches!(own.ask(Command::Elect).await, Answer::Elected { .. }));
    for text in ["a", "b", "c"] {
        own.ask(Command::Append(text.into())).await;
    }
    theirs.become_writer();
    for text in ["d", "e", "f"] {
        let written = theirs.ask(&format!("append {text}"));
        assert!(written.parse::<u64>().is_ok(), "{written}");
    }
    let ends = theirs.ask("ends");
    let there = theirs.ask(&format!("read {ends}"));
    for text in ["a", "b", "c", "d", "e", "f"] {
        assert!(there.contains(&format!("={text} ")), "{there}");
    }
    assert!(matches!(own.ask(Command::Elect).await, Answer::Elected { .. }));
    assert_eq!(own.entries().await, there);
    // One of the real ones' disks is lost; it fills itself again from the others.
    drop(theirs);
    own.ask(Command::Append("g".into())).await;
    std::fs::remove_dir_all(path("b")).expect("it is removed");
    let mut theirs = real.replica(&path("b"), ports[1], 2, &pids);
    theirs.become_writer();
    let ends = theirs.ask("ends");
    let there = theirs.ask(&format!("read {ends}"));
    assert!(there.contains("=a ") && there.contains("=g "), "{there}");
    // A truncation by the real one; and then it is Messor that has to fill itself again, once.
    let end: u64 = ends.split(' ').nth(1).and_then(|end| end.parse().ok()).expect("two positions");
    let truncated = theirs.ask(&format!("truncate {}", end - 2));
    assert!(truncated.parse::<u64>().is_ok(), "{truncated}");
    let ends = theirs.ask("ends");
    let there = theirs.ask(&format!("read {ends}"));
    if owns == 1 {
        own.stop().await;
        std::fs::remove_dir_all(path("a")).expect("it is removed");
        own = Own::start(&path("a"), ports[0], 2, &pids).await;
    }
    assert!(matches!(own.ask(Command::Elect).await, Answer::Elected { .. }));
    assert_eq!(own.entries().await, there);
    own.stop().await;
    if let Some(third) = third_own {
        third.stop().await;
    }
    drop(third_theirs);
}

/// A `mesos-log replica` of Messor's; it is killed when it is dropped.
struct Tool(Child);

impl Tool {
    fn start(path: &Path, servers: &str) -> Tool {
        let child = Command::new(binary())
            .args(["log", "replica", "--quorum=2", "--znode=/log"])
            .args([format!("--path={}", path.display()), format!("--servers={servers}")])
            .env("LIBPROCESS_IP", "127.0.0.1")
            .stderr(Stdio::null())
            .spawn();
        Tool(child.expect("mesos-log runs"))
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Rows: U105. The replicas are processes, and know each other by ZooKeeper alone.
#[test]
fn a_group_in_zookeeper_of_both_agrees() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(real) = Real::build(folder.path()) else { return };
    let Some(zookeeper) = ZooKeeper::start(1) else { return };
    let servers = zookeeper.servers();
    let path = |name: &str| folder.path().join(name);
    let one = Tool::start(&path("one"), &servers);
    let two = Tool::start(&path("two"), &servers);
    let mut theirs = real.member(&path("theirs"), 2, &servers, "/log");
    theirs.become_writer();
    let append = |theirs: &mut RealReplica, text: &str| {
        let written = theirs.ask(&format!("append {text}"));
        assert!(written.parse::<u64>().is_ok(), "{written}");
    };
    append(&mut theirs, "all-three");
    // One of Messor's is killed: the real one and the other are a quorum.
    drop(one);
    append(&mut theirs, "without-one");
    // The real one is killed: both of Messor's have what it wrote, and one is the writer now.
    drop(theirs);
    std::fs::write(path("trace"), "11B\n").expect("a file is written");
    let measured = Command::new(binary())
        .args(["log", "benchmark", "--quorum=2", "--znode=/log", "--type=zero", "--initialize=false"])
        .args([format!("--path={}", path("one").display()), format!("--servers={servers}")])
        .args([
            format!("--input={}", path("trace").display()),
            format!("--output={}", path("times").display()),
        ])
        .env("LIBPROCESS_IP", "127.0.0.1")
        .output()
        .expect("mesos-log runs");
    assert!(measured.status.success(), "{}", String::from_utf8_lossy(&measured.stderr));
    let one = Tool::start(&path("one"), &servers);
    // And the real one, back with its files, has what Messor wrote and goes on.
    let mut theirs = real.member(&path("theirs"), 2, &servers, "/log");
    theirs.become_writer();
    let ends = theirs.ask("ends");
    let there = theirs.ask(&format!("read {ends}"));
    assert!(there.contains("=all-three ") && there.contains("=without-one "), "{there}");
    append(&mut theirs, "at-last");
    drop((theirs, one, two));
    let storage = Storage::open_existing(&path("two")).expect("it opens");
    let restored = storage.restore().expect("it is whole");
    let actions = storage.read(restored.begin, restored.end).expect("it is read");
    let texts: Vec<String> = actions
        .iter()
        .filter_map(|action| Some(String::from_utf8_lossy(&action.append.as_ref()?.bytes).into_owned()))
        .collect();
    for text in ["all-three", "without-one", "at-last"] {
        assert!(texts.iter().any(|found| found == text), "{text} of {texts:?}");
    }
}
