//! `mesos task exec` and `mesos task attach`: the standard streams of a command in a task's container, or of the task
//! itself, are those of this program.
//!
//! Two connections with the agent: output is read on this thread, and another one sends what is typed. Keys go to the
//! container as they are: only the two that detach are ours.

use std::io::{IsTerminal, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use messor_codec::http_client::{Part, ResponseDecoder};
use messor_codec::recordio;
use messor_linux::Exit;
use messor_proto::mesos::agent::call::{
    AttachContainerOutput, LaunchNestedContainerSession, Type, WaitContainer,
};
use messor_proto::mesos::agent::process_io::data;
use messor_proto::mesos::agent::{Call, ProcessIo};
use messor_proto::mesos::{
    self, CommandInfo, ContainerId, ContainerInfo, TaskState, TtyInfo, container_info,
};
use messor_proto::{Version, Wire, WireEnum};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::api::{AgentPlace, ApiError, MEDIA_TYPE};
use super::keys::{self, Keys};
use super::words::task_state;
use super::{Console, ConsoleError};
use crate::client::{self, ClientError};

/// Far above what a switchboard sends at once.
const RECORD_LIMIT_BYTES: usize = 8 << 20;
const READ_BYTES: usize = 32 * 1024;
/// Of an answer that refuses.
const REFUSAL_BYTES: usize = 64 * 1024;

/// What agents say of a container that has no switchboard.
const DISABLED: &str = "I/O switchboard server was disabled for this container";

/// Why output is not read any more, though it has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The user typed the keys for it.
    Detached,
    /// This program was sent a signal.
    Signalled(i32),
    /// Input was refused.
    Failed(String),
}

/// What both threads know.
pub struct Shared {
    stop: Mutex<Option<Stop>>,
    output: TcpStream,
}

impl Shared {
    fn stopped(&self) -> MutexGuard<'_, Option<Stop>> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the reading of output.
    pub fn stop(&self, why: Stop) {
        self.stopped().get_or_insert(why);
        let _ = self.output.shutdown(Shutdown::Both);
    }
}

/// The user's terminal passes keys on as they are typed, until this is dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> std::io::Result<Raw> {
        let before = tcgetattr(std::io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // What was typed ahead is not for the shell.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// A conversation with a container.
struct Wanted {
    agent: AgentPlace,
    container: ContainerId,
    call: Call,
    input: bool,
    /// The user's terminal is that of the container.
    raw: bool,
}

impl Console<'_, '_> {
    /// Runs a command in a task's container.
    pub fn exec(
        &mut self,
        task: &mesos::Task,
        interactive: bool,
        tty: bool,
        command: &[String],
    ) -> Result<(), ConsoleError> {
        let raw = interactive && tty;
        if raw && !std::io::stdin().is_terminal() {
            return Err(ConsoleError::Wrong(
                "standard input is no terminal: leave --tty or --interactive out".to_string(),
            ));
        }
        let (agent, parent) = self.place(task)?;
        let container = ContainerId { value: uuid()?, parent: Some(Box::new(parent)) };
        let session = LaunchNestedContainerSession {
            container_id: container.clone(),
            command: Some(CommandInfo {
                shell: Some(false),
                value: command.first().cloned(),
                arguments: command.to_vec(),
                ..CommandInfo::default()
            }),
            container: tty.then(|| ContainerInfo {
                r#type: container_info::Type::Mesos as i32,
                tty_info: Some(TtyInfo { window_size: keys::window_size() }),
                ..ContainerInfo::default()
            }),
        };
        let call = Call {
            r#type: Some(Type::LaunchNestedContainerSession as i32),
            launch_nested_container_session: Some(session),
            ..Call::default()
        };
        let wanted =
            Wanted { agent: agent.clone(), container: container.clone(), call, input: interactive, raw };
        match self.converse(&wanted)? {
            Some(Stop::Signalled(signal)) => {
                self.status = code(Exit::Signalled { signal, core_dumped: false })
            }
            // A session that nobody has open is ended.
            _ => self.status = self.wait(&agent, &container)?,
        }
        Ok(())
    }

    /// Attaches to the terminal of a task.
    pub fn attach(&mut self, task: &mesos::Task, input: bool) -> Result<(), ConsoleError> {
        if input && !std::io::stdin().is_terminal() {
            return Err(ConsoleError::Wrong("standard input is no terminal: add --no-stdin".to_string()));
        }
        let (agent, container) = self.place(task)?;
        let call = Call {
            r#type: Some(Type::AttachContainerOutput as i32),
            attach_container_output: Some(AttachContainerOutput { container_id: container.clone() }),
            ..Call::default()
        };
        let wanted = Wanted { agent: agent.clone(), container: container.clone(), call, input, raw: input };
        match self.converse(&wanted) {
            Ok(Some(Stop::Signalled(signal))) => {
                self.status = code(Exit::Signalled { signal, core_dumped: false });
            }
            Ok(Some(_)) => {}
            // How an executor ended is not how its task did.
            Ok(None) if container.parent.is_none() => {}
            Ok(None) => self.status = self.wait(&agent, &container)?,
            Err(ConsoleError::Api(ApiError::Refused { text, .. })) if text.contains(DISABLED) => {
                return Err(ConsoleError::Wrong(format!(
                    "task {} was launched without a terminal, so it cannot be attached to; 'mesos task logs' has what it \
                     writes",
                    task.task_id.value
                )));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The agent of a task that runs, and its container there.
    fn place(&mut self, task: &mesos::Task) -> Result<(AgentPlace, ContainerId), ConsoleError> {
        let name = &task.task_id.value;
        if task.state() != TaskState::TaskRunning {
            let state = task_state(task.state()).0;
            return Err(ConsoleError::Wrong(format!("task {name} does not run: it is {state}")));
        }
        let of_docker = |info: &ContainerInfo| info.r#type() == container_info::Type::Docker;
        if task.container.as_deref().is_some_and(of_docker) {
            return Err(ConsoleError::Wrong(format!(
                "task {name} is in a container of Docker: 'docker exec' at its host reaches it"
            )));
        }
        let found = task
            .statuses
            .iter()
            .rev()
            .find_map(|status| status.container_status.as_ref()?.container_id.clone());
        let container = found.ok_or_else(|| {
            ConsoleError::Wrong(format!("the container of task {name} is not known yet; try again"))
        })?;
        Ok((self.agent_of(task)?, container))
    }

    /// Passes on what is typed and what is said, until the output ends or is not wanted any more.
    fn converse(&mut self, wanted: &Wanted) -> Result<Option<Stop>, ConsoleError> {
        let name = wanted.call.r#type().wire_name(Version::V1);
        let agent = &wanted.agent;
        let broken = |error| ConsoleError::Api(ClientError::broken(&agent.address, error).into());
        let wrong = |error| ConsoleError::Api(ClientError::http(&agent.address, error).into());
        let authorization = self.api.agent_authorization().map(str::to_owned);
        let mut headers = vec![
            ("Content-Type", MEDIA_TYPE),
            ("Accept", "application/recordio"),
            ("Message-Accept", MEDIA_TYPE),
        ];
        headers.extend(authorization.as_deref().map(|value| ("Authorization", value)));
        let body = wanted.call.encode_as(Version::V1);
        let mut stream = client::send(&agent.address, "POST", &agent.target, &headers, Some(&body))
            .map_err(ApiError::from)?;
        // A session begins when it was fetched for, and a task may be silent for days.
        stream.set_read_timeout(None).map_err(broken)?;
        let shared = Arc::new(Shared { stop: Mutex::default(), output: stream.try_clone().map_err(broken)? });
        let mut decoder = ResponseDecoder::new();
        let mut records = recordio::Decoder::new(RECORD_LIMIT_BYTES);
        let mut refusal: Option<(u16, Vec<u8>)> = None;
        let mut raw = None;
        let mut buffer = vec![0; READ_BYTES];
        'answer: loop {
            while let Some(part) = decoder.next_part().map_err(wrong)? {
                match (part, &mut refusal) {
                    (Part::Head(head), _) if head.status != 200 => refusal = Some((head.status, Vec::new())),
                    (Part::Head(_), _) => {
                        let keys =
                            Keys::new(agent, wanted.container.clone(), authorization.clone(), wanted.raw);
                        if wanted.raw {
                            raw = Some(Raw::enter().map_err(ConsoleError::Print)?);
                        }
                        if wanted.input {
                            keys.map_err(ConsoleError::Print)?.start(shared.clone());
                        }
                    }
                    (Part::Data(data), Some((_, text))) => {
                        text.extend(data);
                        text.truncate(REFUSAL_BYTES);
                    }
                    (Part::Data(data), None) => {
                        records.push(&data);
                        self.say(agent, name, &mut records)?;
                    }
                    (Part::End, _) => break 'answer,
                }
            }
            match stream.read(&mut buffer) {
                Ok(0) => {
                    if shared.stopped().is_none() {
                        decoder.finish().map_err(wrong)?;
                    }
                    break;
                }
                Ok(count) => decoder.push(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) if shared.stopped().is_some() => break,
                Err(error) => return Err(broken(error)),
            }
        }
        let was_raw = raw.take().is_some();
        if let Some((status, text)) = refusal {
            let text = client::shown(&text);
            return Err(ApiError::Refused { address: agent.address.clone(), call: name, status, text }.into());
        }
        let stop = shared.stopped().clone();
        if was_raw && stop.is_some() {
            self.screen.line("")?;
        }
        match stop {
            Some(Stop::Failed(words)) => Err(ConsoleError::Wrong(words)),
            stop => Ok(stop),
        }
    }

    fn say(
        &mut self,
        agent: &AgentPlace,
        call: &'static str,
        records: &mut recordio::Decoder,
    ) -> Result<(), ConsoleError> {
        let no_answer = |reason: String| {
            ConsoleError::Api(ApiError::Answer { address: agent.address.clone(), call, reason })
        };
        while let Some(record) = records.next_record().map_err(|error| no_answer(error.to_string()))? {
            let message = ProcessIo::decode_checked_as(&record, Version::V1)
                .map_err(|error| no_answer(error.to_string()))?;
            // Heartbeats say no more than that the agent is there.
            let Some(piece) = message.data else { continue };
            match piece.r#type() {
                data::Type::Stderr => std::io::stderr().write_all(piece.data())?,
                _ => {
                    self.screen.out.write_all(piece.data())?;
                    self.screen.out.flush()?;
                }
            }
        }
        Ok(())
    }

    /// How a container ended, as a shell has it.
    fn wait(&self, agent: &AgentPlace, container: &ContainerId) -> Result<u8, ConsoleError> {
        let answer = self.api.ask_agent(
            agent,
            &Call {
                r#type: Some(Type::WaitContainer as i32),
                wait_container: Some(WaitContainer { container_id: container.clone() }),
                ..Call::default()
            },
        )?;
        let end = answer.wait_container.unwrap_or_default();
        match end.exit_status.and_then(Exit::from_wait_status) {
            Some(exit) => Ok(code(exit)),
            None => {
                let why = end.message.unwrap_or_else(|| "its agent cannot tell".to_string());
                Err(ConsoleError::Wrong(format!("how it ended is not known: {why}")))
            }
        }
    }
}

fn code(exit: Exit) -> u8 {
    let code = match exit {
        Exit::Exited(code) => code,
        Exit::Signalled { signal, .. } => 128 + signal,
    };
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}

/// A name for a session that no other one has.
fn uuid() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    messor_linux::random(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = format!("{:032x}", u128::from_be_bytes(bytes));
    Ok([&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_as_a_shell_tells_them() {
        assert_eq!(code(Exit::Exited(3)), 3);
        assert_eq!(code(Exit::Signalled { signal: 9, core_dumped: false }), 137);
    }

    #[test]
    fn names_of_sessions_are_uuids() {
        let name = uuid().unwrap();
        assert_eq!((name.len(), &name[14..15]), (36, "4"));
        assert_ne!(name, uuid().unwrap());
    }
}
