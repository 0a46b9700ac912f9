//! The switchboard as a process, with a container that is a shell, and clients that attach as the agent does.
//!
//! Rows: U051 (heartbeats), U058 (sessions, attaching).

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use messor_codec::recordio;
use messor_proto::mesos::agent::process_io::{Control, control, data};
use messor_proto::mesos::agent::{Call, ProcessIo, call, process_io};
use messor_proto::mesos::{ContainerId, TtyInfo, tty_info};
use messor_proto::{Version, Wire};
use messor_switchboard::{Attached, Input, Media, attach_input, attach_output, record};

/// Long enough for a loaded machine; only a broken test waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A container's first process and its switchboard.
struct Running {
    container: Child,
    switchboard: Child,
    socket: PathBuf,
    folder: tempfile::TempDir,
}

fn inheritable(file: &impl std::os::fd::AsFd) {
    rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty()).unwrap();
}

/// What is made for the container must not be inherited by anybody else.
fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap()
}

impl Running {
    fn start(script: &str, flags: &[&str]) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let (their_stdin, stdin) = pipe();
        let (stdout, their_stdout) = pipe();
        let (stderr, their_stderr) = pipe();
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        command.stdin(their_stdin).stdout(their_stdout).stderr(their_stderr);
        let container = command.spawn().unwrap();
        drop(command);
        for file in [&stdin, &stdout, &stderr] {
            inheritable(file);
        }
        let numbers = [
            format!("--stdin_to_fd={}", stdin.as_raw_fd()),
            format!("--stdout_from_fd={}", stdout.as_raw_fd()),
            format!("--stderr_from_fd={}", stderr.as_raw_fd()),
        ];
        Running::serve(folder, container, numbers.to_vec(), flags)
    }

    /// With a terminal.
    fn terminal(script: &str) -> Running {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let folder = tempfile::tempdir().unwrap();
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let name = name.to_str().unwrap();
        let open = || File::options().read(true).write(true).open(name).unwrap();
        let mut command = Command::new("setsid");
        command.args(["-c", "sh", "-c", script]);
        command.stdin(open()).stdout(open()).stderr(open());
        let container = command.spawn().unwrap();
        drop(command);
        inheritable(&master);
        let number = master.as_raw_fd();
        let numbers = ["stdin_to_fd", "stdout_from_fd", "stderr_from_fd"].map(|n| format!("--{n}={number}"));
        Running::serve(folder, container, numbers.to_vec(), &["--tty", "--wait_for_connection"])
    }

    fn serve(folder: tempfile::TempDir, container: Child, numbers: Vec<String>, flags: &[&str]) -> Running {
        let socket = folder.path().join("socket");
        let open = |name: &str| File::create(folder.path().join(name)).unwrap();
        let program = program();
        let switchboard = Command::new(program)
            .args(numbers)
            .args(["--stdout_to_fd=1", "--stderr_to_fd=2"])
            .arg(format!("--socket_address={}", socket.display()))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(open("stdout"))
            .stderr(open("stderr"))
            .spawn()
            .unwrap();
        Running { container, switchboard, socket, folder }
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    async fn output(&self, accept: &str) -> Output {
        let call = Call {
            r#type: Some(call::Type::AttachContainerOutput as i32),
            attach_container_output: Some(call::AttachContainerOutput {
                container_id: ContainerId::default(),
            }),
            ..Call::default()
        };
        let headers = [("Accept", accept), ("Content-Type", "application/x-protobuf")];
        let attached = soon(attach_output(&self.socket, &headers, &call.encode_bytes())).await.unwrap();
        assert_eq!(attached.head.status, 200);
        assert_eq!(attached.head.header("content-type"), Some(accept));
        Output { attached, records: recordio::Decoder::default(), media: Media::of(accept).unwrap() }
    }

    async fn input(&self) -> (Input, std::pin::Pin<Box<dyn Future<Output = Attached> + Send>>) {
        let headers = [
            ("Content-Type", "application/recordio"),
            ("Message-Content-Type", "application/json"),
            ("Accept", "application/json"),
        ];
        let (mut input, answer) = soon(attach_input(&self.socket, &headers)).await.unwrap();
        let attach = call::AttachContainerInput {
            r#type: Some(call::attach_container_input::Type::ContainerId as i32),
            container_id: Some(ContainerId::default()),
            process_io: None,
        };
        send(&mut input, attach).await;
        (input, Box::pin(async move { answer.await.unwrap() }))
    }

    /// The switchboard ends by itself, well.
    async fn ends(mut self) {
        let status = soon(async {
            loop {
                match self.switchboard.try_wait().unwrap() {
                    Some(status) => return status,
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        });
        let status = status.await;
        assert!(status.success(), "{status}");
        self.container.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in [&mut self.container, &mut self.switchboard] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn program() -> PathBuf {
    // Next to this test's own binary: Cargo builds examples for tests.
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples").join("io_switchboard")
}

struct Output {
    attached: Attached,
    records: recordio::Decoder,
    media: Media,
}

impl Output {
    async fn next(&mut self) -> Option<ProcessIo> {
        loop {
            if let Some(record) = self.records.next_record().unwrap() {
                return Some(self.media.decode(&record).unwrap());
            }
            let piece = soon(self.attached.next()).await.unwrap()?;
            self.records.push(&piece);
        }
    }

    /// Everything until the end: of standard output, and of standard error.
    async fn all(&mut self) -> (String, String) {
        let mut all = (Vec::new(), Vec::new());
        while let Some(message) = self.next().await {
            let Some(data) = message.data else { continue };
            match data.r#type() {
                data::Type::Stdout => all.0.extend(data.data.unwrap()),
                _ => all.1.extend(data.data.unwrap()),
            }
        }
        (String::from_utf8(all.0).unwrap(), String::from_utf8(all.1).unwrap())
    }

    async fn until(&mut self, text: &str) {
        let mut found = String::new();
        while !found.contains(text) {
            let message = self.next().await.unwrap_or_else(|| panic!("no '{text}' in '{found}'"));
            found.push_str(&String::from_utf8_lossy(message.data.unwrap().data()));
        }
    }
}

async fn send(input: &mut Input, attach: call::AttachContainerInput) {
    let call = Call {
        r#type: Some(call::Type::AttachContainerInput as i32),
        attach_container_input: Some(attach),
        ..Call::default()
    };
    // One that is refused is closed perhaps before this; the answer says more.
    let _ = input.send(&record(&call, Media::Json)).await;
}

async fn say(input: &mut Input, process_io: ProcessIo) {
    let attach = call::AttachContainerInput {
        r#type: Some(call::attach_container_input::Type::ProcessIo as i32),
        container_id: None,
        process_io: Some(process_io),
    };
    send(input, attach).await;
}

async fn write(input: &mut Input, text: &str) {
    say(input, messor_switchboard::process_io(data::Type::Stdin, text.as_bytes().to_vec())).await;
}

fn control(control: Control) -> ProcessIo {
    ProcessIo { r#type: Some(process_io::Type::Control as i32), control: Some(control), data: None }
}

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

#[tokio::test]
async fn a_session_begins_when_somebody_is_there() {
    let script = "echo out; echo err >&2; read line; echo got $line; cat; echo end";
    let running = Running::start(script, &["--wait_for_connection"]);
    let mut output = running.output("application/x-protobuf").await;
    output.until("out").await;
    let (mut input, answer) = running.input().await;
    write(&mut input, "hello\n").await;
    output.until("got hello").await;
    // One more may listen, in another form; one alone may write.
    let mut second = running.output("application/json").await;
    let (_, refused) = running.input().await;
    let mut refused = soon(refused).await;
    assert_eq!(refused.head.status, 409);
    assert_eq!(refused.whole().await.unwrap(), b"Multiple input connections are not allowed");
    write(&mut input, "rest\n").await;
    second.until("rest").await;
    write(&mut input, "").await;
    // Its container may be through with everything by now, and the answer given.
    let _ = input.end().await;
    assert_eq!(soon(answer).await.head.status, 200);
    assert_eq!(second.all().await.0, "end\n");
    assert!(output.all().await.0.ends_with("end\n"));
    assert_eq!(running.log("stdout"), "out\ngot hello\nrest\nend\n");
    assert!(running.log("stderr").contains("err\n"));
    running.ends().await;
}

#[tokio::test]
async fn output_is_logged_whether_anybody_attaches_or_not() {
    let running = Running::start("echo alone; read line; echo done", &[]);
    let (mut input, answer) = running.input().await;
    write(&mut input, "x\n").await;
    assert_eq!(soon(answer).await.head.status, 200, "the end of the container is the end of its input");
    let folder = running.folder.path().join("stdout");
    running.ends().await;
    let _ = folder;
}

#[tokio::test]
async fn a_switchboard_that_waits_for_nobody_is_told_to_go_on() {
    let running = Running::start("echo lonely", &["--wait_for_connection"]);
    // It listens, hence it minds signals.
    while !running.socket.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pid = rustix::process::Pid::from_child(&running.switchboard);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("stdout");
    std::fs::hard_link(running.folder.path().join("stdout"), &copy).unwrap();
    running.ends().await;
    assert_eq!(std::fs::read_to_string(copy).unwrap(), "lonely\n");
}

/// U051.
#[tokio::test]
async fn those_attached_hear_heartbeats() {
    let running = Running::start("read line", &["--heartbeat_interval=50ms"]);
    let mut output = running.output("application/json").await;
    for _ in 0..2 {
        let message = output.next().await.unwrap();
        let control = message.control.expect("a heartbeat");
        assert_eq!(control.r#type(), control::Type::Heartbeat);
        assert_eq!(control.heartbeat.unwrap().interval.unwrap().nanoseconds, 50_000_000);
    }
    let (mut input, answer) = running.input().await;
    write(&mut input, "").await;
    assert_eq!(soon(answer).await.head.status, 200);
    running.ends().await;
}

#[tokio::test]
async fn a_terminal_has_a_size_and_knows_control_characters() {
    let script = "stty -echo; trap 'echo winch; stty size' WINCH; trap 'echo interrupted; exit 0' INT; echo ready; while :; do sleep 0.05; done";
    let running = Running::terminal(script);
    let mut output = running.output("application/json").await;
    output.until("ready").await;
    let (mut input, answer) = running.input().await;
    let window_size = Some(tty_info::WindowSize { rows: 31, columns: 99 });
    let size = Control {
        r#type: Some(control::Type::TtyInfo as i32),
        tty_info: Some(TtyInfo { window_size }),
        heartbeat: None,
    };
    say(&mut input, control(size)).await;
    output.until("31 99").await;
    write(&mut input, "\u{3}").await;
    output.until("interrupted").await;
    assert_eq!(soon(answer).await.head.status, 200);
    running.ends().await;
}

#[tokio::test]
async fn input_that_is_wrong_is_refused() {
    let running = Running::start("read line; echo $line", &[]);
    let (mut input, answer) = running.input().await;
    let attach = call::AttachContainerInput {
        r#type: Some(call::attach_container_input::Type::ContainerId as i32),
        container_id: Some(ContainerId::default()),
        process_io: None,
    };
    send(&mut input, attach).await;
    let mut refused = soon(answer).await;
    assert_eq!(refused.head.status, 400);
    let words = String::from_utf8(refused.whole().await.unwrap()).unwrap();
    assert!(words.contains("'attach_container_input.type' to be 'PROCESS_IO'"), "{words}");
    // A size without a terminal.
    let (mut input, answer) = running.input().await;
    let window_size = Some(tty_info::WindowSize { rows: 1, columns: 1 });
    let size = Control {
        r#type: Some(control::Type::TtyInfo as i32),
        tty_info: Some(TtyInfo { window_size }),
        heartbeat: None,
    };
    say(&mut input, control(size)).await;
    assert_eq!(soon(answer).await.head.status, 400);
    // After a refusal somebody else may write.
    let (mut input, answer) = running.input().await;
    write(&mut input, "fine\n").await;
    assert_eq!(soon(answer).await.head.status, 200);
    running.ends().await;
}

#[test]
fn what_is_missing_is_told() {
    let wrong = |words: &[&str]| {
        let output = Command::new(program()).args(words).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(wrong(&[]).contains("--socket_address is required"));
    assert!(wrong(&["--socket_address=/tmp/x"]).contains("--stdin_to_fd is required"));
    assert!(wrong(&["--socket_address=/tmp/x", "--stdin_to_fd=77"]).contains("--stdin_to_fd=77"));
    let _ = (std::io::stdout().flush(), Version::V1);
}
