//! Clients of containers, as operators' tools have them: what a container says and hears over the v1 API of its agent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use messor_proto::mesos::agent::process_io::{control, data};
use messor_proto::mesos::agent::{ProcessIo, process_io};
use messor_proto::{Version, Wire};
use messor_testkit::{Answer, post, wait_for};
use serde_json::{Value, json};

pub const PATIENCE: Duration = Duration::from_secs(40);

/// What records are written in.
#[derive(Clone, Copy, PartialEq)]
pub enum Media {
    Json,
    Protobuf,
}

impl Media {
    fn name(self) -> &'static str {
        match self {
            Media::Json => "application/json",
            Media::Protobuf => "application/x-protobuf",
        }
    }

    fn decode(self, bytes: &[u8]) -> ProcessIo {
        match self {
            Media::Json => ProcessIo::from_json(bytes, Version::V1).expect("a ProcessIO"),
            Media::Protobuf => ProcessIo::decode_checked_as(bytes, Version::V1).expect("a ProcessIO"),
        }
    }
}

/// What comes from a container, as it comes.
pub struct Output {
    /// The connection: whoever drops it is not attached any more.
    socket: TcpStream,
    pieces: Receiver<ProcessIo>,
    pub stdout: String,
    pub stderr: String,
    pub heartbeats: usize,
}

impl Output {
    /// A session, or an attachment: a stream of records where the answer is 200, and otherwise the answer.
    pub fn of(agent: SocketAddr, call: &Value, media: Media) -> Result<Output, (u16, String)> {
        let body = call.to_string();
        let mut socket = TcpStream::connect(agent).expect("the agent listens");
        write!(
            socket,
            "POST /api/v1 HTTP/1.1\r\nHost: {agent}\r\nContent-Type: application/json\r\nAccept: application/recordio\r\n\
             Message-Accept: {}\r\nContent-Length: {}\r\n\r\n{body}",
            media.name(),
            body.len()
        )
        .expect("the call is sent");
        let mut reader = BufReader::new(socket.try_clone().expect("a copy"));
        let head = head(&mut reader);
        let status = head[0].split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        if status != 200 {
            let has = |line: &String| {
                line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_string)
            };
            let length = head.iter().find_map(has).map_or(0, |length| length.parse().expect("a length"));
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            return Err((status, String::from_utf8(body).expect("text")));
        }
        let of_records = format!("message-content-type: {}", media.name());
        assert!(head.iter().any(|line| line.to_ascii_lowercase() == of_records), "{head:?}");
        let (sender, pieces) = channel();
        std::thread::spawn(move || {
            let mut records = BufReader::new(Chunks { reader, left: 0 });
            while let Some(length) = line(&mut records).and_then(|length| length.parse().ok()) {
                let mut record = vec![0; length];
                if records.read_exact(&mut record).is_err() || sender.send(media.decode(&record)).is_err() {
                    break;
                }
            }
        });
        Ok(Output { socket, pieces, stdout: String::new(), stderr: String::new(), heartbeats: 0 })
    }

    /// What it says next. False: it ended.
    fn next(&mut self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        match self.pieces.recv_timeout(left) {
            Ok(message) if message.r#type() == process_io::Type::Control => {
                let control = message.control.expect("a control message");
                assert_eq!(control.r#type(), control::Type::Heartbeat);
                self.heartbeats += 1;
                true
            }
            Ok(message) => {
                let data = message.data.expect("data");
                let text = String::from_utf8_lossy(data.data()).into_owned();
                match data.r#type() {
                    data::Type::Stdout => self.stdout.push_str(&text),
                    data::Type::Stderr => self.stderr.push_str(&text),
                    other => panic!("{other:?}"),
                }
                true
            }
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => false,
            Err(_) => panic!("nothing more came after '{}' and '{}'", self.stdout, self.stderr),
        }
    }

    /// Until its standard output (of a terminal: all of it) has these words.
    pub fn until(&mut self, words: &str) -> &mut Output {
        let end = Instant::now() + PATIENCE;
        while !self.stdout.contains(words) {
            assert!(self.next(end), "it ended without '{words}': '{}', '{}'", self.stdout, self.stderr);
        }
        self
    }

    pub fn until_heartbeat(&mut self) {
        let (end, before) = (Instant::now() + PATIENCE, self.heartbeats);
        while self.heartbeats == before {
            assert!(self.next(end), "it ended");
        }
    }

    /// Until there is no more.
    pub fn rest(mut self) -> (String, String) {
        let end = Instant::now() + PATIENCE;
        while self.next(end) {}
        (self.stdout, self.stderr)
    }

    /// As a client that is killed.
    pub fn break_off(self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// Sends input to a container.
pub struct Input {
    socket: TcpStream,
    container: Value,
}

impl Input {
    pub fn to(agent: SocketAddr, container: &Value) -> Input {
        let mut socket = TcpStream::connect(agent).expect("the agent listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        write!(
            socket,
            "POST /api/v1 HTTP/1.1\r\nHost: {agent}\r\nContent-Type: application/recordio\r\n\
             Message-Content-Type: application/json\r\nAccept: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        .expect("the call is sent");
        let mut input = Input { socket, container: container.clone() };
        let id = json!({"type": "CONTAINER_ID", "container_id": input.container.clone()});
        input.send(id);
        input
    }

    fn send(&mut self, attach: Value) {
        let call = json!({"type": "ATTACH_CONTAINER_INPUT", "attach_container_input": attach}).to_string();
        let record = format!("{}\n{call}", call.len());
        // Where the other side has answered already, its answer says why.
        let _ = write!(self.socket, "{:x}\r\n{record}\r\n", record.len());
    }

    pub fn process_io(&mut self, message: &Value) {
        self.send(json!({"type": "PROCESS_IO", "process_io": message}));
    }

    pub fn text(&mut self, text: &str) {
        let message = ProcessIo {
            r#type: Some(process_io::Type::Data as i32),
            data: Some(process_io::Data {
                r#type: Some(data::Type::Stdin as i32),
                data: Some(text.as_bytes().to_vec()),
            }),
            control: None,
        };
        let json = serde_json::from_slice(&message.to_json(Version::V1)).expect("JSON");
        self.process_io(&json);
    }

    pub fn size(&mut self, rows: u32, columns: u32) {
        let size = json!({"window_size": {"rows": rows, "columns": columns}});
        self.process_io(&json!({"type": "CONTROL", "control": {"type": "TTY_INFO", "tty_info": size}}));
    }

    /// No more comes; the answer to all of it.
    pub fn end(mut self) -> (u16, String) {
        let _ = write!(self.socket, "0\r\n\r\n");
        self.answer()
    }

    pub fn answer(self) -> (u16, String) {
        let mut reader = BufReader::new(self.socket);
        let head = head(&mut reader);
        let status = head[0].split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let mut body = String::new();
        let _ = reader.read_to_string(&mut body);
        (status, body)
    }
}

fn head(reader: &mut impl BufRead) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(line) = line(reader).filter(|line| !line.is_empty()) {
        lines.push(line);
    }
    assert!(!lines.is_empty(), "there is no answer");
    lines
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let read = reader.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end().to_string())
}

/// The body of a chunked answer.
struct Chunks {
    reader: BufReader<TcpStream>,
    left: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.left == 0 {
            let Some(size) = line(&mut self.reader) else { return Ok(0) };
            // Empty: the end of the chunk before.
            if !size.is_empty() {
                self.left = usize::from_str_radix(&size, 16).map_err(std::io::Error::other)?;
                if self.left == 0 {
                    return Ok(0);
                }
            }
        }
        let limit = buffer.len().min(self.left);
        let read = self.reader.read(&mut buffer[..limit])?;
        self.left -= read;
        Ok(read)
    }
}

pub fn call(agent: SocketAddr, call: &Value) -> Answer {
    post(agent, "/api/v1", call).expect("an answer")
}

/// The wait status of a container, when it has ended.
pub fn wait(agent: SocketAddr, container: &Value) -> i64 {
    let wait = json!({"type": "WAIT_CONTAINER", "wait_container": {"container_id": container}});
    let answer = call(agent, &wait);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["wait_container"]["exit_status"].as_i64().expect("an exit status")
}

/// The container of a task that runs.
pub fn container(master: SocketAddr, task: &str) -> Value {
    wait_for(&format!("task {task} to run"), PATIENCE, || {
        let tasks = messor_testkit::get(master, "/tasks").ok()?.json();
        let found = tasks["tasks"].as_array()?.iter().find(|one| one["id"] == task)?.clone();
        let status = found["statuses"].as_array()?.iter().find(|one| one["state"] == "TASK_RUNNING")?.clone();
        Some(status["container_status"]["container_id"].clone()).filter(|id| !id.is_null())
    })
}
