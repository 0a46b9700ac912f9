//! A v1 framework that a test speaks for: calls and events are JSON, as a framework in any language has them.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);
/// How often others are looked after while one waits.
const ATTENTION: Duration = Duration::from_millis(20);
const ENDS: [&str; 7] =
    ["TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED", "TASK_GONE"];

/// With the events that it hears. Its role is "web".
pub struct Framework {
    master: SocketAddr,
    path: &'static str,
    stream: String,
    pub id: Value,
    events: Receiver<Value>,
    socket: TcpStream,
    /// Every update that was heard, so that tasks that run beside each other are waited for in any order.
    updates: RefCell<Vec<Value>>,
}

impl Framework {
    pub fn subscribe(master: SocketAddr, user: &str, capabilities: &[&str]) -> Framework {
        let capabilities: Vec<Value> = capabilities.iter().map(|kind| json!({"type": kind})).collect();
        Framework::of(
            master,
            &json!({"user": user, "name": "agents", "roles": ["web"], "checkpoint": true, "failover_timeout": 100,
                    "capabilities": capabilities}),
        )
    }

    /// One of another role, which is its name, too.
    pub fn in_role(master: SocketAddr, user: &str, role: &str) -> Framework {
        let capabilities = ["PARTITION_AWARE", "MULTI_ROLE", "RESERVATION_REFINEMENT"];
        let capabilities = capabilities.map(|kind| json!({"type": kind}));
        let info = json!({"user": user, "name": role, "roles": [role], "capabilities": capabilities});
        Framework::of(master, &info)
    }

    /// One whose tasks end with their agent.
    pub fn without_checkpoints(master: SocketAddr, user: &str) -> Framework {
        let capabilities = json!([{"type": "MULTI_ROLE"}]);
        Framework::of(
            master,
            &json!({"user": user, "name": "forgetful", "roles": ["web"], "checkpoint": false,
                    "capabilities": capabilities}),
        )
    }

    /// One with this FrameworkInfo; with an id, one that was there before.
    pub fn of(master: SocketAddr, info: &Value) -> Framework {
        Framework::at(master, "/api/v1/scheduler", info)
    }

    /// The same of a master that is not the first process of its program: the path names it.
    pub fn at(master: SocketAddr, path: &'static str, info: &Value) -> Framework {
        let mut call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}});
        if let Some(id) = info.get("id") {
            call["framework_id"] = id.clone();
        }
        let body = call.to_string();
        let mut socket = TcpStream::connect(master).expect("the master listens");
        write!(
            socket,
            "POST {path} HTTP/1.1\r\nHost: {master}\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("the call is sent");
        let mut reader = BufReader::new(socket.try_clone().expect("a socket"));
        let mut stream = None;
        loop {
            let line = line(&mut reader).expect("the head of the answer");
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((line.as_str(), ""));
            if name.eq_ignore_ascii_case("mesos-stream-id") {
                stream = Some(value.trim().to_string());
            }
        }
        let (sender, events) = channel();
        std::thread::spawn(move || {
            let mut records = BufReader::new(Chunks { reader, left: 0 });
            while let Some(length) = line(&mut records).and_then(|length| length.parse().ok()) {
                let mut record = vec![0; length];
                let read = records.read_exact(&mut record).ok();
                let event = read.and_then(|()| serde_json::from_slice(&record).ok());
                if event.is_none_or(|event| sender.send(event).is_err()) {
                    break;
                }
            }
        });
        let (stream, updates) = (stream.expect("a stream"), RefCell::default());
        let mut framework = Framework { master, path, stream, id: Value::Null, events, socket, updates };
        framework.id = framework.next("SUBSCRIBED", |_| true)["subscribed"]["framework_id"].clone();
        framework
    }

    /// The Mesos-Stream-Id that its calls carry.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    pub fn call(&self, mut call: Value) {
        call["framework_id"] = self.id.clone();
        let body = call.to_string();
        let mut socket = TcpStream::connect(self.master).expect("the master listens");
        write!(
            socket,
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Mesos-Stream-Id: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            self.path,
            self.master,
            self.stream,
            body.len()
        )
        .expect("the call is sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 202"), "{call}: {answer}");
    }

    /// The next event of a kind that fits; updates before it are acknowledged, and offers declined.
    pub fn next(&self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.next_beside(&[], kind, fits)
    }

    /// The same, while other frameworks do not hold what they are offered.
    pub fn next_beside(&self, others: &[&Framework], kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            for other in others {
                while let Ok(event) = other.events.try_recv() {
                    other.hear(&event);
                    other.decline(&event);
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            let wait = if others.is_empty() { left } else { left.min(ATTENTION) };
            let event = match self.events.recv_timeout(wait) {
                Ok(event) => event,
                Err(_) if wait < left => continue,
                Err(_) => panic!("no {kind} that fits"),
            };
            self.hear(&event);
            if event["type"] == kind && fits(&event) {
                return event;
            }
            self.decline(&event);
        }
    }

    /// Acknowledges and remembers an update.
    fn hear(&self, event: &Value) {
        let status = &event["update"]["status"];
        if !status["uuid"].is_null() {
            self.call(json!({"type": "ACKNOWLEDGE", "acknowledge": {"agent_id": status["agent_id"],
                "task_id": status["task_id"], "uuid": status["uuid"]}}));
        }
        if event["type"] == "UPDATE" {
            self.updates.borrow_mut().push(status.clone());
        }
    }

    fn decline(&self, event: &Value) {
        for offer in event["offers"]["offers"].as_array().into_iter().flatten() {
            self.call(json!({"type": "DECLINE", "decline": {"offer_ids": [offer["id"]],
                "filters": {"refuse_seconds": 0}}}));
        }
    }

    /// The next offer, if one comes in time; it is neither used nor declined.
    pub fn offer_within(&self, time: Duration) -> Option<Value> {
        let end = Instant::now() + time;
        loop {
            let event = self.events.recv_timeout(end.saturating_duration_since(Instant::now())).ok()?;
            self.hear(&event);
            if event["type"] == "OFFERS" {
                return Some(event["offers"]["offers"][0].clone());
            }
        }
    }

    pub fn offer(&self, fits: impl Fn(&Value) -> bool) -> Value {
        self.offer_of(|all| all.iter().any(&fits))
    }

    /// One whose resources fit as a whole: what is new of an agent may come in an offer of its own.
    pub fn offer_of(&self, fits: impl Fn(&[Value]) -> bool) -> Value {
        let has =
            |event: &Value| event["offers"]["offers"][0]["resources"].as_array().is_some_and(|all| fits(all));
        self.next("OFFERS", has)["offers"]["offers"][0].clone()
    }

    pub fn accept(&self, offer: &Value, operations: Vec<Value>) {
        self.call(json!({"type": "ACCEPT", "accept": {"offer_ids": [offer["id"]],
            "operations": operations, "filters": {"refuse_seconds": 0}}}));
    }

    /// What was told, or is going to be, of a task when it came to a state.
    pub fn until(&self, task: &str, state: &str) -> Value {
        let is_end = |status: &Value| ENDS.iter().any(|end| status["state"] == *end);
        let status = self.status(task, |status| status["state"] == state || is_end(status));
        assert_eq!(status["state"], state, "{status:#}");
        status
    }

    /// What was told of the end of a task, however it ended.
    pub fn end_of(&self, task: &str) -> Value {
        self.status(task, |status| ENDS.iter().any(|end| status["state"] == *end))
    }

    /// What was told of a task at some time, or is told.
    pub fn status(&self, task: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let fits = |status: &Value| status["task_id"]["value"] == task && fits(status);
        let heard = self.updates.borrow().iter().find(|status| fits(status)).cloned();
        heard.unwrap_or_else(|| {
            self.next("UPDATE", |event| fits(&event["update"]["status"]))["update"]["status"].clone()
        })
    }
}

impl Drop for Framework {
    fn drop(&mut self) {
        // The thread that reads goes with it, and the master need not wait for it.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
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

/// An amount of something, as the role of this framework has it offered.
pub fn scalar(name: &str, amount: f64) -> Value {
    json!({"name": name, "type": "SCALAR", "scalar": {"value": amount}, "allocation_info": {"role": "web"}})
}
