//! Nested containers as far as an executor sees them: each is a shell in a session of its own.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use messor_codec::chunked;
use messor_linux::{Pid, Signal, signals};
use messor_proto::Wire;
use messor_proto::mesos::agent::call::Type;
use messor_proto::mesos::agent::response::{GetContainers, WaitNestedContainer, get_containers};
use messor_proto::mesos::agent::{Call, Response};
use messor_proto::mesos::{CommandInfo, ContainerId};

#[derive(Default)]
pub struct Containers {
    /// The process, and how it ended.
    all: Mutex<BTreeMap<String, (Pid, Option<i32>)>>,
    changed: Condvar,
    pub removed: Mutex<Vec<String>>,
}

impl Containers {
    fn start(self: &Arc<Self>, id: &ContainerId, command: &CommandInfo) {
        assert!(id.parent.is_some(), "nested");
        let mut process = Command::new("sh");
        process.arg("-c").arg(command.value()).stdin(Stdio::null()).process_group(0);
        for variable in command.environment.iter().flat_map(|environment| &environment.variables) {
            process.env(&variable.name, variable.value());
        }
        let mut child = process.spawn().unwrap();
        let id = id.value.clone();
        self.all.lock().unwrap().insert(id.clone(), (Pid::from_child(&child), None));
        let containers = Arc::clone(self);
        std::thread::spawn(move || {
            let status = child.wait().unwrap().into_raw();
            containers.all.lock().unwrap().get_mut(&id).unwrap().1 = Some(status);
            containers.changed.notify_all();
        });
    }

    /// Waits for the end; nothing for a container that is not here.
    fn wait(&self, id: &ContainerId) -> Option<i32> {
        let mut all = self.all.lock().unwrap();
        loop {
            match all.get(&id.value)? {
                (_, Some(status)) => return Some(*status),
                _ => all = self.changed.wait(all).unwrap(),
            }
        }
    }

    pub fn answer(self: &Arc<Self>, body: &[u8], stream: &mut TcpStream) {
        let call = Call::decode_checked(body).expect("a whole call");
        let (status, body) = match call.r#type() {
            Type::LaunchContainer => {
                let launch = call.launch_container.unwrap();
                let command = launch.command.unwrap();
                if command.value() == "refused" {
                    (400, b"refused by the agent".to_vec())
                } else {
                    self.start(&launch.container_id, &command);
                    (200, Vec::new())
                }
            }
            Type::WaitNestedContainer => match self.wait(&call.wait_nested_container.unwrap().container_id) {
                Some(status) => {
                    let wait = WaitNestedContainer { exit_status: Some(status), ..Default::default() };
                    let response = Response { wait_nested_container: Some(wait), ..Response::default() };
                    (200, response.encode_bytes())
                }
                None => (404, Vec::new()),
            },
            Type::KillNestedContainer => {
                let kill = call.kill_nested_container.unwrap();
                let signal = if kill.signal() == 15 { Signal::TERM } else { Signal::KILL };
                match self.all.lock().unwrap().get(&kill.container_id.value) {
                    Some((pid, None)) => {
                        let _ = signals::send(*pid, signal);
                        (200, Vec::new())
                    }
                    _ => (404, b"no such container".to_vec()),
                }
            }
            Type::LaunchNestedContainerSession => {
                let session = call.launch_nested_container_session.unwrap();
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                self.start(&session.container_id, &session.command.unwrap());
                self.wait(&session.container_id);
                let mut end = Vec::new();
                chunked::write_chunk(&mut end, b"2\n{}");
                chunked::write_end(&mut end);
                let _ = stream.write_all(&end);
                return;
            }
            Type::RemoveNestedContainer => {
                let id = call.remove_nested_container.unwrap().container_id;
                self.removed.lock().unwrap().push(id.value);
                (200, Vec::new())
            }
            Type::GetContainers => {
                let all = self.all.lock().unwrap();
                let running = all.iter().filter(|(_, (_, status))| status.is_none());
                let containers = running
                    .map(|(id, _)| get_containers::Container {
                        container_id: ContainerId { value: id.clone(), parent: None },
                        ..Default::default()
                    })
                    .collect();
                let get_containers = Some(GetContainers { containers });
                (200, Response { get_containers, ..Response::default() }.encode_bytes())
            }
            other => panic!("{other:?} is no call of an executor"),
        };
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    }

    pub fn kill_all(&self) {
        for (pid, status) in self.all.lock().unwrap().values() {
            if status.is_none() {
                let _ = signals::send(*pid, Signal::KILL);
            }
        }
    }
}
