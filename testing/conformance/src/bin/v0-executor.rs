//! An executor of the old kind: it speaks libprocess messages with its agent, as executors linked against Apache
//! Mesos's library do (its MesosExecutorDriver), and survives a restart of the agent. End-to-end tests run it as the
//! executor of a framework.
//!
//! The data of a task is a shell command, which is the test's own. It knows nothing of the HTTP API of executors.

use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::time::{Duration, SystemTime};

use messor_net::{Mailbox, Net, NetEvent, Packet, Server, ServerOptions};
use messor_proto::Wire;
use messor_proto::mesos::internal::{
    ExecutorRegisteredMessage, ExecutorToFrameworkMessage, FrameworkToExecutorMessage, KillTaskMessage,
    ReconnectExecutorMessage, RegisterExecutorMessage, ReregisterExecutorMessage, RunTaskMessage,
    StatusUpdate, StatusUpdateAcknowledgementMessage, StatusUpdateMessage,
};
use messor_proto::mesos::{
    AgentId, ExecutorId, FrameworkId, TaskId, TaskInfo, TaskState, TaskStatus, task_status,
};
use messor_types::Pid;

const PROCESS: &str = "executor(1)";
/// How often the tasks' processes are looked at.
const LOOK: Duration = Duration::from_millis(50);

struct Executor {
    net: Net,
    agent: Pid,
    framework_id: FrameworkId,
    executor_id: ExecutorId,
    agent_id: Option<AgentId>,
    checkpoint: bool,
    /// Tasks that the agent may not know of, as an update of them is not acknowledged.
    tasks: BTreeMap<String, TaskInfo>,
    children: BTreeMap<String, (Child, bool)>,
    /// Not acknowledged, the oldest first.
    updates: Vec<StatusUpdate>,
    serial: u64,
    over: bool,
}

fn need(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not in the environment: an agent starts this program"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let agent: Pid = need("MESOS_SLAVE_PID").parse().expect("MESOS_SLAVE_PID is a PID");
    let options = ServerOptions { ip: Some(agent.address.ip()), ..ServerOptions::default() };
    let server = Server::bind(options).await.expect("a port");
    let net = server.net();
    let mut mailbox = net.open(PROCESS).expect("the only process here");
    tokio::spawn(server.serve(
        |_, _| async { messor_net::text(http::StatusCode::NOT_FOUND, "no HTTP here") },
        std::future::pending(),
    ));
    let mut executor = Executor {
        agent,
        framework_id: FrameworkId { value: need("MESOS_FRAMEWORK_ID") },
        executor_id: ExecutorId { value: need("MESOS_EXECUTOR_ID") },
        agent_id: None,
        checkpoint: need("MESOS_CHECKPOINT") == "1",
        tasks: BTreeMap::new(),
        children: BTreeMap::new(),
        updates: Vec::new(),
        serial: 0,
        over: false,
        net,
    };
    executor.register();
    executor.run(&mut mailbox).await;
    executor.net.finish(Duration::from_secs(1)).await;
}

impl Executor {
    async fn run(&mut self, mailbox: &mut Mailbox) {
        let mut looks = tokio::time::interval(LOOK);
        while !self.over {
            tokio::select! {
                event = mailbox.recv() => match event {
                    NetEvent::Message(packet) => self.message(packet),
                    // Without checkpoints nobody would look for this executor again.
                    NetEvent::Exited { pid, .. } => {
                        println!("the agent at {pid} went away");
                        self.over = !self.checkpoint;
                    }
                },
                _ = looks.tick() => self.look(),
            }
        }
        for (child, _) in self.children.values_mut() {
            let _ = child.kill();
        }
    }

    fn send<M: Wire>(&self, message: &M) {
        self.net.send(PROCESS, &self.agent, M::NAME, message.encode_bytes());
    }

    fn register(&self) {
        self.net.link(PROCESS, &self.agent);
        self.send(&RegisterExecutorMessage {
            framework_id: self.framework_id.clone(),
            executor_id: self.executor_id.clone(),
        });
    }

    fn message(&mut self, packet: Packet) {
        let name = packet.name.trim_start_matches("mesos.internal.");
        println!("got {name}");
        match name {
            "ExecutorRegisteredMessage" => {
                self.agent_id = Some(read::<ExecutorRegisteredMessage>(&packet).agent_id);
            }
            "ReconnectExecutorMessage" => {
                self.agent_id = Some(read::<ReconnectExecutorMessage>(&packet).agent_id);
                self.agent = packet.from;
                self.net.relink(PROCESS, &self.agent);
                self.send(&ReregisterExecutorMessage {
                    executor_id: self.executor_id.clone(),
                    framework_id: self.framework_id.clone(),
                    tasks: self.tasks.values().cloned().collect(),
                    updates: self.updates.clone(),
                });
            }
            "RunTaskMessage" => self.launch(read::<RunTaskMessage>(&packet).task),
            "KillTaskMessage" => {
                let id = read::<KillTaskMessage>(&packet).task_id.value;
                if let Some((child, killed)) = self.children.get_mut(&id) {
                    *killed = true;
                    let _ = child.kill();
                }
            }
            "StatusUpdateAcknowledgementMessage" => {
                let message: StatusUpdateAcknowledgementMessage = read(&packet);
                self.updates.retain(|update| update.uuid.as_ref() != Some(&message.uuid));
                self.tasks.remove(&message.task_id.value);
            }
            "FrameworkToExecutorMessage" => {
                let message: FrameworkToExecutorMessage = read(&packet);
                self.send(&ExecutorToFrameworkMessage {
                    agent_id: message.agent_id,
                    framework_id: message.framework_id,
                    executor_id: message.executor_id,
                    data: message.data,
                });
            }
            "ShutdownExecutorMessage" => self.over = true,
            _ => {}
        }
    }

    fn launch(&mut self, task: TaskInfo) {
        let id = task.task_id.value.clone();
        let command =
            String::from_utf8(task.data.clone().unwrap_or_default()).expect("the data is a command");
        self.tasks.insert(id.clone(), task);
        match Command::new("/bin/sh").args(["-c", &command]).spawn() {
            Ok(child) => {
                self.children.insert(id.clone(), (child, false));
                self.update(&id, TaskState::TaskRunning);
            }
            Err(error) => {
                println!("{command}: {error}");
                self.update(&id, TaskState::TaskFailed);
            }
        }
    }

    /// Tells of tasks that ended.
    fn look(&mut self) {
        let mut ended = Vec::new();
        for (id, (child, killed)) in &mut self.children {
            if let Ok(Some(status)) = child.try_wait() {
                let state = match (*killed, status.success()) {
                    (true, _) => TaskState::TaskKilled,
                    (false, true) => TaskState::TaskFinished,
                    (false, false) => TaskState::TaskFailed,
                };
                ended.push((id.clone(), state));
            }
        }
        for (id, state) in ended {
            self.children.remove(&id);
            self.update(&id, state);
        }
    }

    fn update(&mut self, task: &str, state: TaskState) {
        self.serial += 1;
        // Unlike any other of this executor, and a UUID in form.
        let uuid = (u128::from(std::process::id()) << 64 | u128::from(self.serial)).to_be_bytes().to_vec();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let update = StatusUpdate {
            framework_id: self.framework_id.clone(),
            executor_id: Some(self.executor_id.clone()),
            agent_id: self.agent_id.clone(),
            status: TaskStatus {
                task_id: TaskId { value: task.to_string() },
                state: state.into(),
                source: Some(task_status::Source::Executor.into()),
                agent_id: self.agent_id.clone(),
                executor_id: Some(self.executor_id.clone()),
                timestamp: Some(now),
                uuid: Some(uuid.clone()),
                ..TaskStatus::default()
            },
            timestamp: now,
            uuid: Some(uuid),
            latest_state: None,
        };
        self.updates.push(update.clone());
        self.send(&StatusUpdateMessage { update, pid: Some(self.net.pid(PROCESS).to_string()) });
    }
}

fn read<M: Wire>(packet: &Packet) -> M {
    M::decode_checked(&packet.body).unwrap_or_else(|error| panic!("{}: {error}", packet.name))
}
