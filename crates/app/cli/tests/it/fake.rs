//! A master that says what a test tells it to, over real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use messor_codec::{chunked, recordio};
use messor_proto::mesos::scheduler::{Call, Event, call, event};
use messor_proto::mesos::{
    AgentId, FrameworkId, Offer, OfferId, Resource, TaskId, TaskState, TaskStatus, Url, task_status, value,
};
use messor_proto::{Version, Wire};

/// A request as it came.
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
    pub stream: TcpStream,
}

impl Request {
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn is_json(&self) -> bool {
        self.header("Content-Type") == Some("application/json")
    }

    pub fn call(&self) -> Call {
        if self.is_json() {
            Call::from_json(&self.body, Version::V1).unwrap()
        } else {
            Call::decode_checked_as(&self.body, Version::V1).unwrap()
        }
    }

    pub fn answer(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }
}

/// Answers each request by `answer`, each connection on its own thread.
pub fn serve(answer: impl Fn(Request) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, answer) = (stream.unwrap(), answer.clone());
            thread::spawn(move || answer(read(stream)));
        }
    });
    address
}

fn read(stream: TcpStream) -> Request {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while reader.read_line(&mut head).unwrap() > 2 {}
    let mut request = Request { head, body: Vec::new(), stream };
    let length = request.header("Content-Length").map_or(0, |length| length.parse().unwrap());
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).unwrap();
    request
}

/// The stream of one framework, and all calls that came beside it.
#[derive(Clone)]
pub struct Master {
    pub calls: Arc<Mutex<Vec<Call>>>,
    stream: Arc<Mutex<Option<(TcpStream, bool)>>>,
    /// What a launched task becomes: the states, one after the acknowledgement of the other.
    states: Arc<Vec<TaskState>>,
    agent: SocketAddr,
}

impl Master {
    /// With an agent at `agent`, whose offers are small first, if `small` says so.
    pub fn start(states: &[TaskState], small: bool, agent: SocketAddr) -> (SocketAddr, Master) {
        let master = Master {
            calls: Arc::default(),
            stream: Arc::default(),
            states: Arc::new(states.to_vec()),
            agent,
        };
        let shared = master.clone();
        let address = serve(move |request| shared.answer(request, small));
        (address, master)
    }

    fn answer(&self, mut request: Request, small: bool) {
        assert_eq!(request.target(), "/master/api/v1/scheduler");
        let call = request.call();
        self.calls.lock().unwrap().push(call.clone());
        if call.r#type() == call::Type::Subscribe {
            request
                .answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nMesos-Stream-Id: stream-1\r\n\r\n");
            let json = request.is_json();
            *self.stream.lock().unwrap() = Some((request.stream, json));
            let subscribed = event::Subscribed {
                framework_id: FrameworkId { value: "F1".into() },
                heartbeat_interval_seconds: Some(15.0),
                master_info: None,
            };
            self.send(Event {
                r#type: Some(event::Type::Subscribed.into()),
                subscribed: Some(subscribed),
                ..Event::default()
            });
            self.send(self.offer("O1", if small { 0.1 } else { 4.0 }));
            return;
        }
        assert_eq!(request.header("Mesos-Stream-Id"), Some("stream-1"));
        assert_eq!(call.framework_id.as_ref().unwrap().value, "F1");
        request.answer("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
        match call.r#type() {
            call::Type::Decline => self.send(self.offer("O2", 4.0)),
            call::Type::Accept => self.send(self.update(0)),
            call::Type::Acknowledge => {
                let next = usize::from(call.acknowledge.unwrap().uuid[0]) + 1;
                if next < self.states.len() {
                    self.send(self.update(next));
                }
            }
            // Told to, a task that runs ends.
            call::Type::Kill => self.send(update(TaskState::TaskKilled, 200)),
            _ => {}
        }
    }

    fn send(&self, event: Event) {
        let stream = self.stream.lock().unwrap();
        let (mut stream, json) = stream.as_ref().map(|(stream, json)| (stream, *json)).unwrap();
        let record = if json { event.to_json(Version::V1) } else { event.encode_as(Version::V1) };
        let mut bytes = Vec::new();
        chunked::write_chunk(&mut bytes, &recordio::encode(&record));
        // The program may have ended already.
        let _ = stream.write_all(&bytes);
    }

    fn offer(&self, id: &str, cpus: f64) -> Event {
        let resource = |name: &str, amount| Resource {
            name: name.into(),
            r#type: value::Type::Scalar.into(),
            scalar: Some(value::Scalar { value: amount }),
            ..Resource::default()
        };
        let url = Url {
            scheme: "http".into(),
            address: messor_proto::mesos::Address {
                hostname: None,
                ip: Some(self.agent.ip().to_string()),
                port: self.agent.port().into(),
            },
            ..Url::default()
        };
        let offer = Offer {
            id: OfferId { value: id.into() },
            framework_id: FrameworkId { value: "F1".into() },
            agent_id: AgentId { value: "S1".into() },
            hostname: "agent".into(),
            url: Some(url),
            resources: vec![resource("cpus", cpus), resource("mem", 1024.0)],
            ..Offer::default()
        };
        let offers = event::Offers { offers: vec![offer] };
        Event { r#type: Some(event::Type::Offers.into()), offers: Some(offers), ..Event::default() }
    }

    fn update(&self, index: usize) -> Event {
        update(self.states[index], u8::try_from(index).unwrap())
    }
}

fn update(state: TaskState, number: u8) -> Event {
    let status = TaskStatus {
        task_id: TaskId { value: "t".into() },
        state: state.into(),
        source: Some(task_status::Source::Executor.into()),
        message: (state == TaskState::TaskFailed).then(|| "it broke".to_owned()),
        agent_id: Some(AgentId { value: "S1".into() }),
        uuid: Some(vec![number; 16]),
        ..TaskStatus::default()
    };
    let update = event::Update { status };
    Event { r#type: Some(event::Type::Update.into()), update: Some(update), ..Event::default() }
}
