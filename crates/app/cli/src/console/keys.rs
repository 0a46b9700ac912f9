//! What is typed goes to a container: data, the size of the terminal, heartbeats, and the keys that detach.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use messor_codec::http_client::{RequestBody, ResponseCollector, write_request_head};
use messor_codec::{chunked, recordio};
use messor_linux::Signal;
use messor_linux::poll::{PollFd, PollFlags, poll};
use messor_linux::signals::SignalFd;
use messor_proto::mesos::agent::call::{AttachContainerInput, Type, attach_container_input};
use messor_proto::mesos::agent::process_io::{Control, Data, control, data};
use messor_proto::mesos::agent::{Call, ProcessIo, process_io};
use messor_proto::mesos::tty_info::WindowSize;
use messor_proto::mesos::{ContainerId, DurationInfo, TtyInfo};
use messor_proto::{Version, Wire};

use super::api::{AgentPlace, MEDIA_TYPE};
use super::attach::{Shared, Stop};
use crate::client;

/// As the command line of Apache Mesos sends them.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Ctrl-P, Ctrl-Q.
const DETACH: [u8; 2] = [0x10, 0x11];
const READ_BYTES: usize = 4096;
const ANSWER_BYTES: usize = 64 * 1024;

/// The size of the user's terminal, where there is one.
pub fn window_size() -> Option<WindowSize> {
    let size = rustix::termios::tcgetwinsize(io::stdin()).ok()?;
    Some(WindowSize { rows: size.ws_row.into(), columns: size.ws_col.into() })
}

/// Finds the keys that detach in what is typed.
#[derive(Debug, Default)]
struct Detach {
    /// The first of the two was typed, and is not passed on before the next key.
    held: bool,
}

impl Detach {
    /// What is to be passed on, and whether the keys were found.
    fn pass(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(typed.len() + 1);
        for key in typed {
            if std::mem::take(&mut self.held) {
                if *key == DETACH[1] {
                    return (passed, true);
                }
                passed.push(DETACH[0]);
            }
            if *key == DETACH[0] {
                self.held = true;
            } else {
                passed.push(*key);
            }
        }
        (passed, false)
    }
}

pub struct Keys {
    agent: AgentPlace,
    container: ContainerId,
    authorization: Option<String>,
    /// Of the terminal; none where what is typed is data only.
    signals: Option<SignalFd>,
}

impl Keys {
    /// To be made before another thread is started: signals are blocked in the calling one.
    pub fn new(
        agent: &AgentPlace,
        container: ContainerId,
        authorization: Option<String>,
        raw: bool,
    ) -> io::Result<Keys> {
        let wanted = [Signal::WINCH, Signal::TERM, Signal::HUP, Signal::INT];
        let signals = raw.then(|| SignalFd::new(&wanted)).transpose()?;
        Ok(Keys { agent: agent.clone(), container, authorization, signals })
    }

    /// Sends in a thread of its own.
    pub fn start(self, shared: Arc<Shared>) {
        std::thread::spawn(move || {
            if let Err(error) = self.send_all(&shared) {
                shared.stop(Stop::Failed(format!("what is typed does not reach the container: {error}")));
            }
        });
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut stream = client::connect(&self.agent.address).map_err(io::Error::other)?;
        // The container may not read for long.
        stream.set_write_timeout(None)?;
        stream.set_read_timeout(None)?;
        let host = self.agent.to_string();
        let mut headers = vec![
            ("Host", host.as_str()),
            ("Content-Type", "application/recordio"),
            ("Message-Content-Type", MEDIA_TYPE),
            ("Accept", MEDIA_TYPE),
        ];
        headers.extend(self.authorization.as_deref().map(|value| ("Authorization", value)));
        let mut head = Vec::new();
        write_request_head(&mut head, "POST", &self.agent.target, &headers, RequestBody::Chunked)
            .map_err(io::Error::other)?;
        stream.write_all(&head)?;
        Ok(stream)
    }

    fn send_all(self, shared: &Shared) -> io::Result<()> {
        let mut stream = self.connect()?;
        send(
            &mut stream,
            AttachContainerInput {
                r#type: Some(attach_container_input::Type::ContainerId as i32),
                container_id: Some(self.container.clone()),
                process_io: None,
            },
        );
        if self.signals.is_some() {
            // The change makes programs draw anew what is on the screen.
            send(&mut stream, size(Some(WindowSize { rows: 0, columns: 0 })));
            send(&mut stream, size(window_size()));
        }
        let mut detach = Detach::default();
        let mut next_heartbeat = Instant::now() + HEARTBEAT;
        let mut ended = false;
        let stdin = io::stdin();
        loop {
            let mut awaited = vec![PollFd::new(&stream, PollFlags::IN)];
            awaited.extend(self.signals.as_ref().map(|signals| PollFd::new(signals, PollFlags::IN)));
            if !ended {
                awaited.push(PollFd::new(&stdin, PollFlags::IN));
            }
            poll(&mut awaited, Some(next_heartbeat.saturating_duration_since(Instant::now())))?;
            let ready: Vec<bool> = awaited.iter().map(|one| !one.revents().is_empty()).collect();
            drop(awaited);
            if ready[0] {
                return answered(&mut stream, shared);
            }
            while let Some(signal) = self.signals.as_ref().map(SignalFd::read).transpose()?.flatten() {
                match signal {
                    Signal::WINCH => send(&mut stream, size(window_size())),
                    other => {
                        shared.stop(Stop::Signalled(other.as_raw()));
                        return Ok(());
                    }
                }
            }
            if !ended && ready.last() == Some(&true) {
                let mut typed = [0; READ_BYTES];
                let count = match rustix::io::read(&stdin, &mut typed) {
                    Ok(count) => count,
                    Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => continue,
                    // The terminal is gone.
                    Err(rustix::io::Errno::IO) => 0,
                    Err(error) => return Err(error.into()),
                };
                let (passed, detached) = match &self.signals {
                    Some(_) => detach.pass(&typed[..count]),
                    None => (typed[..count].to_vec(), false),
                };
                if !passed.is_empty() {
                    send(&mut stream, typed_data(passed));
                }
                if detached {
                    shared.stop(Stop::Detached);
                    return Ok(());
                }
                if count == 0 {
                    ended = true;
                    send(&mut stream, typed_data(Vec::new()));
                    let mut end = Vec::new();
                    chunked::write_end(&mut end);
                    let _ = stream.write_all(&end);
                }
            }
            if Instant::now() >= next_heartbeat {
                next_heartbeat = Instant::now() + HEARTBEAT;
                if !ended {
                    send(&mut stream, heartbeat());
                }
            }
        }
    }
}

/// The answer to all of the input: a refusal, or that the container reads no more.
fn answered(stream: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    let mut collector = ResponseCollector::new(ANSWER_BYTES);
    let mut buffer = [0; READ_BYTES];
    let answer = loop {
        if let Some(answer) = collector.next_response().map_err(io::Error::other)? {
            break Some(answer);
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break collector.finish().map_err(io::Error::other)?,
            Ok(count) => collector.push(&buffer[..count]),
        }
    };
    match answer {
        // 404 and 500: it has ended, and its output says what there is to say.
        Some(answer) if !matches!(answer.head.status, 200..300 | 404 | 500) => {
            let words = client::shown(&answer.body);
            shared.stop(Stop::Failed(format!("input is refused (HTTP {}){words}", answer.head.status)));
        }
        _ => {}
    }
    Ok(())
}

/// Where the other side takes no more, it says so in its answer.
fn send(stream: &mut TcpStream, attach: AttachContainerInput) {
    let call = Call {
        r#type: Some(Type::AttachContainerInput as i32),
        attach_container_input: Some(attach),
        ..Call::default()
    };
    let mut chunk = Vec::new();
    chunked::write_chunk(&mut chunk, &recordio::encode(&call.encode_as(Version::V1)));
    let _ = stream.write_all(&chunk);
}

fn of_process(message: ProcessIo) -> AttachContainerInput {
    AttachContainerInput {
        r#type: Some(attach_container_input::Type::ProcessIo as i32),
        container_id: None,
        process_io: Some(message),
    }
}

fn typed_data(bytes: Vec<u8>) -> AttachContainerInput {
    of_process(ProcessIo {
        r#type: Some(process_io::Type::Data as i32),
        data: Some(Data { r#type: Some(data::Type::Stdin as i32), data: Some(bytes) }),
        control: None,
    })
}

fn of_control(control: Control) -> AttachContainerInput {
    of_process(ProcessIo {
        r#type: Some(process_io::Type::Control as i32),
        data: None,
        control: Some(control),
    })
}

fn size(window_size: Option<WindowSize>) -> AttachContainerInput {
    of_control(Control {
        r#type: Some(control::Type::TtyInfo as i32),
        tty_info: Some(TtyInfo { window_size }),
        heartbeat: None,
    })
}

fn heartbeat() -> AttachContainerInput {
    let nanoseconds = i64::try_from(HEARTBEAT.as_nanos()).unwrap_or(i64::MAX);
    of_control(Control {
        r#type: Some(control::Type::Heartbeat as i32),
        heartbeat: Some(control::Heartbeat { interval: Some(DurationInfo { nanoseconds }) }),
        tty_info: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_detach_and_one_alone_is_passed_on() {
        let mut keys = Detach::default();
        assert_eq!(keys.pass(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(keys.pass(b"c\x11"), (b"\x10c\x11".to_vec(), false));
        assert_eq!(keys.pass(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(keys.pass(b"\x11d"), (Vec::new(), true));
    }
}
