//! An agent as far as an executor sees one: it takes calls, and says what a test wants it to say.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use messor_codec::{chunked, recordio};
use messor_proto::Wire;
use messor_proto::mesos::executor::{Call, Event, call, event};
use messor_proto::mesos::framework_info::{Capability, capability};
use messor_proto::mesos::{
    AgentInfo, ContainerId, ExecutorInfo, FrameworkInfo, KillPolicy, TaskGroupInfo, TaskId, TaskInfo,
    TaskState, TaskStatus,
};

use crate::containers::Containers;

/// Long enough for a loaded machine; only a broken test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Shared {
    /// The connections that stand, and among them the one with the event stream.
    connections: Mutex<Vec<TcpStream>>,
    stream: Mutex<Option<TcpStream>>,
    closed: AtomicBool,
    /// How SUBSCRIBE is answered; 0 is 200.
    refusal: AtomicU16,
    containers: Arc<Containers>,
}

/// A call: what it says, the head of its request, and whether it was taken.
type Said = (Call, String, bool);

pub struct Agent {
    pub address: SocketAddr,
    calls: Receiver<Said>,
    shared: Arc<Shared>,
}

impl Agent {
    pub fn start() -> Agent {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (sender, calls) = channel();
        let acceptor = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let connection = connection.unwrap();
                if acceptor.closed.load(Ordering::SeqCst) {
                    return;
                }
                acceptor.connections.lock().unwrap().push(connection.try_clone().unwrap());
                let (shared, sender) = (Arc::clone(&acceptor), sender.clone());
                std::thread::spawn(move || serve(&connection, &shared, &sender));
            }
        });
        Agent { address, calls, shared }
    }

    /// SUBSCRIBE is answered with this HTTP status from now on; 0 for being welcome.
    pub fn refuse(&self, status: u16) {
        self.shared.refusal.store(status, Ordering::SeqCst);
    }

    /// All connections break; new ones are welcome.
    pub fn drop_connections(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
    }

    /// The agent is gone for good.
    pub fn vanish(&self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        // The acceptor looks up from its waiting.
        let _ = TcpStream::connect(self.address);
        self.drop_connections();
    }

    /// The next call, with the head of its request.
    pub fn call(&self) -> Said {
        self.calls.recv_timeout(PATIENCE).expect("a call of the executor")
    }

    pub fn subscription(&self) -> call::Subscribe {
        self.call().0.subscribe.expect("SUBSCRIBE")
    }

    /// The next subscription that was taken.
    pub fn welcomed(&self) -> call::Subscribe {
        loop {
            let (call, _, true) = self.call() else { continue };
            return call.subscribe.expect("SUBSCRIBE");
        }
    }

    /// The next update, not acknowledged.
    pub fn update(&self) -> TaskStatus {
        self.call().0.update.expect("UPDATE").status
    }

    /// The next update, acknowledged.
    pub fn updated(&self) -> (TaskState, TaskStatus) {
        let status = self.update();
        self.acknowledge(&status);
        (TaskState::try_from(status.state).unwrap(), status)
    }

    pub fn acknowledge(&self, status: &TaskStatus) {
        let acknowledged =
            event::Acknowledged { task_id: status.task_id.clone(), uuid: status.uuid.clone().unwrap() };
        self.say(Event { acknowledged: Some(acknowledged), ..kind(event::Type::Acknowledged) });
    }

    pub fn launch(&self, task: TaskInfo) {
        self.say(Event { launch: Some(event::Launch { task }), ..kind(event::Type::Launch) });
    }

    pub fn launch_group(&self, tasks: Vec<TaskInfo>) {
        let launch_group = Some(event::LaunchGroup { task_group: TaskGroupInfo { tasks } });
        self.say(Event { launch_group, ..kind(event::Type::LaunchGroup) });
    }

    pub fn containers(&self) -> Arc<Containers> {
        Arc::clone(&self.shared.containers)
    }

    /// Launches and takes in the first two updates.
    pub fn launch_and_run(&self, task: TaskInfo) {
        self.launch(task);
        assert_eq!(self.updated().0, TaskState::TaskStarting);
        assert_eq!(self.updated().0, TaskState::TaskRunning);
    }

    pub fn kill(&self, kill_policy: Option<KillPolicy>) {
        let kill = event::Kill { task_id: TaskId { value: "t".to_string() }, kill_policy };
        self.say(Event { kill: Some(kill), ..kind(event::Type::Kill) });
    }

    pub fn shutdown(&self) {
        self.say(kind(event::Type::Shutdown));
    }

    fn say(&self, event: Event) {
        let mut stream = self.shared.stream.lock().unwrap();
        write_event(stream.as_mut().expect("a subscribed executor"), &event);
    }
}

fn kind(kind: event::Type) -> Event {
    Event { r#type: Some(kind as i32), ..Event::default() }
}

fn write_event(stream: &mut TcpStream, event: &Event) {
    let mut chunk = Vec::new();
    chunked::write_chunk(&mut chunk, &recordio::encode(&event.encode_bytes()));
    // An executor that ended in the meantime does not hear it.
    let _ = stream.write_all(&chunk);
}

fn serve(connection: &TcpStream, shared: &Shared, calls: &Sender<Said>) {
    let mut reader = BufReader::new(connection);
    let mut writer = connection.try_clone().unwrap();
    while let Some((head, body)) = request(&mut reader) {
        if head.starts_with("POST /slave(1)/api/v1 ") {
            shared.containers.answer(&body, &mut writer);
            continue;
        }
        let call = Call::decode_checked(&body).expect("a whole call");
        let subscribes = call.r#type == Some(call::Type::Subscribe as i32);
        if !subscribes {
            let _ = writer.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
            let _ = calls.send((call, head, true));
            continue;
        }
        let refusal = shared.refusal.load(Ordering::SeqCst);
        if refusal != 0 {
            let answer = format!("HTTP/1.1 {refusal} No\r\nContent-Length: 5\r\n\r\nsorry");
            let _ = writer.write_all(answer.as_bytes());
            let _ = calls.send((call, head, false));
            continue;
        }
        let _ = writer.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        let capability = Capability { r#type: Some(capability::Type::TaskKillingState as i32) };
        let subscribed = event::Subscribed {
            framework_info: FrameworkInfo { capabilities: vec![capability], ..FrameworkInfo::default() },
            executor_info: ExecutorInfo::default(),
            agent_info: AgentInfo { hostname: "fake".to_string(), ..AgentInfo::default() },
            container_id: Some(ContainerId { value: "root".to_string(), parent: None }),
        };
        let mut stream = writer.try_clone().unwrap();
        write_event(&mut stream, &Event { subscribed: Some(subscribed), ..kind(event::Type::Subscribed) });
        *shared.stream.lock().unwrap() = Some(stream);
        let _ = calls.send((call, head, true));
    }
}

/// The next request: its head as it is, and its body. Nothing when the connection has ended.
fn request(reader: &mut BufReader<&TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}
