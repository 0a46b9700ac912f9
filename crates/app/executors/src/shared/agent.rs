//! The two connections with the agent: one for SUBSCRIBE and the events that follow it, one for all other calls, which
//! go one after the other. It must not know what calls and events mean, nor when to try again.

use std::collections::VecDeque;
use std::io;

use messor_codec::http_client::{Part, RequestBody, ResponseDecoder, write_request_head};
use messor_codec::recordio;
use messor_linux::poll::{PollFd, PollFlags};
use messor_proto::Wire;
use messor_proto::mesos::executor::{Call, Event as AgentEvent, call};

use super::settings::{Address, Settings};
use super::socket::{Reading, Socket};

const MEDIA_TYPE: &str = "application/x-protobuf";

/// At most so much is read in one turn; a longer event takes more turns.
const READ_BYTES: usize = 8 * 1024;

/// Calls that wait for those before them. The machine has no more updates than its own limit on the way, so more than
/// this many are never there; if they were, the connection counts as lost and all is said again.
const CALLS_LIMIT: usize = super::updates::WAITING_LIMIT + 100;

/// What came of the connections.
#[derive(Clone, Debug)]
pub enum Heard {
    /// Both stand.
    Opened,
    /// One broke or could not be made.
    Lost(String),
    /// The agent answered SUBSCRIBE with this HTTP status.
    Refused(u16),
    /// The agent answered another call with this HTTP status: it is not going to take it.
    CallRefused(u16),
    /// The agent said this.
    Agent(Box<AgentEvent>),
}

pub struct Agent {
    address: Address,
    target: String,
    host: String,
    authorization: Option<String>,
    connections: Option<Connections>,
}

struct Connections {
    told_open: bool,
    subscription: Socket,
    stream: ResponseDecoder,
    /// The status of a SUBSCRIBE that was refused, whose body is read away.
    refused: Option<u16>,
    records: recordio::Decoder,
    calls: Socket,
    answers: ResponseDecoder,
    waiting: VecDeque<Vec<u8>>,
    in_flight: bool,
}

impl Agent {
    pub fn new(settings: &Settings) -> Agent {
        Agent {
            address: settings.address.clone(),
            target: settings.target.clone(),
            host: settings.host.clone(),
            authorization: settings.token.as_ref().map(|token| format!("Bearer {token}")),
            connections: None,
        }
    }

    /// Begins to connect anew; what was connected is closed.
    pub fn open(&mut self) -> Result<(), String> {
        self.connections = None;
        let connect = || match &self.address {
            Address::Ip(address) => Socket::connect(*address),
            Address::Unix(path) => Socket::connect_unix(path),
        };
        let problem = |error: io::Error| format!("cannot connect: {error}");
        self.connections = Some(Connections {
            told_open: false,
            subscription: connect().map_err(problem)?,
            stream: ResponseDecoder::new(),
            refused: None,
            records: recordio::Decoder::new(recordio::DEFAULT_RECORD_LIMIT_BYTES),
            calls: connect().map_err(problem)?,
            answers: ResponseDecoder::new(),
            waiting: VecDeque::new(),
            in_flight: false,
        });
        Ok(())
    }

    pub fn send(&mut self, call: &Call) -> Result<(), String> {
        let body = call.encode_bytes();
        let mut headers =
            vec![("Host", self.host.as_str()), ("Accept", MEDIA_TYPE), ("Content-Type", MEDIA_TYPE)];
        if let Some(authorization) = &self.authorization {
            headers.push(("Authorization", authorization));
        }
        let mut request = Vec::with_capacity(512 + body.len());
        write_request_head(&mut request, "POST", &self.target, &headers, RequestBody::Length(body.len()))
            .map_err(|error| error.to_string())?;
        request.extend(body);
        let Some(connections) = &mut self.connections else { return Ok(()) };
        if call.r#type == Some(call::Type::Subscribe as i32) {
            connections.subscription.send(request);
        } else if connections.waiting.len() < CALLS_LIMIT {
            connections.waiting.push_back(request);
            connections.send_next();
        } else {
            self.connections = None;
            return Err(format!("{CALLS_LIMIT} calls wait for an answer of the agent"));
        }
        Ok(())
    }

    /// What to poll for: the subscription, then the calls.
    pub fn interest(&self) -> Vec<PollFd<'_>> {
        match &self.connections {
            None => Vec::new(),
            Some(connections) => [&connections.subscription, &connections.calls]
                .map(|socket| PollFd::new(socket, socket.interest()))
                .into(),
        }
    }

    /// Reads and writes what is ready, given as for [`Agent::interest`]. A problem ends both connections.
    pub fn ready(&mut self, ready: &[PollFlags], heard: &mut Vec<Heard>) {
        let (Some(connections), [subscription, calls]) = (&mut self.connections, ready) else { return };
        if let Err(problem) = connections.advance(*subscription, *calls, heard) {
            self.connections = None;
            heard.push(Heard::Lost(problem));
        }
    }
}

impl Connections {
    fn advance(
        &mut self,
        subscription: PollFlags,
        calls: PollFlags,
        heard: &mut Vec<Heard>,
    ) -> Result<(), String> {
        let broken = |error: io::Error| error.to_string();
        if !subscription.is_empty() {
            self.subscription.advance().map_err(broken)?;
        }
        if !calls.is_empty() {
            self.calls.advance().map_err(broken)?;
        }
        if !self.told_open && self.subscription.is_connected() && self.calls.is_connected() {
            self.told_open = true;
            heard.push(Heard::Opened);
        }
        let readable = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        let mut buffer = [0; READ_BYTES];
        if subscription.intersects(readable) {
            match self.subscription.read(&mut buffer).map_err(broken)? {
                Reading::Later => {}
                Reading::End => return Err("it closed the stream of events".to_string()),
                Reading::Bytes(count) => {
                    self.stream.push(&buffer[..count]);
                    self.take_events(heard)?;
                }
            }
        }
        if calls.intersects(readable) {
            match self.calls.read(&mut buffer).map_err(broken)? {
                Reading::Later => {}
                Reading::End => return Err("it closed the connection for calls".to_string()),
                Reading::Bytes(count) => {
                    self.answers.push(&buffer[..count]);
                    self.take_answers(heard)?;
                }
            }
        }
        Ok(())
    }

    fn take_events(&mut self, heard: &mut Vec<Heard>) -> Result<(), String> {
        while let Some(part) = self.stream.next_part().map_err(|error| error.to_string())? {
            match part {
                Part::Head(head) => {
                    self.refused = (head.status != 200).then_some(head.status);
                    self.records = recordio::Decoder::new(recordio::DEFAULT_RECORD_LIMIT_BYTES);
                    if self.refused.is_some() && !head.keep_alive {
                        return Err(format!("it answered SUBSCRIBE with HTTP status {}", head.status));
                    }
                }
                Part::Data(_) if self.refused.is_some() => {}
                Part::Data(data) => {
                    self.records.push(&data);
                    while let Some(record) = self.records.next_record().map_err(|error| error.to_string())? {
                        let event = AgentEvent::decode_checked(&record);
                        let event = event.map_err(|error| format!("an event cannot be decoded: {error}"))?;
                        heard.push(Heard::Agent(Box::new(event)));
                    }
                }
                Part::End => match self.refused.take() {
                    Some(status) => heard.push(Heard::Refused(status)),
                    None => return Err("it ended the stream of events".to_string()),
                },
            }
        }
        Ok(())
    }

    fn take_answers(&mut self, heard: &mut Vec<Heard>) -> Result<(), String> {
        while let Some(part) = self.answers.next_part().map_err(|error| error.to_string())? {
            match part {
                // The agent starts anew: what was said has to be said again, with a new subscription.
                Part::Head(head) if head.status == 404 || head.status >= 500 => {
                    return Err(format!("it answered a call with HTTP status {}", head.status));
                }
                Part::Head(head) if !head.keep_alive => {
                    return Err("it will close the connection for calls".to_string());
                }
                Part::Head(head) if head.status >= 300 => heard.push(Heard::CallRefused(head.status)),
                Part::Head(_) | Part::Data(_) => {}
                Part::End => {
                    self.in_flight = false;
                    self.send_next();
                }
            }
        }
        Ok(())
    }

    fn send_next(&mut self) {
        if self.in_flight {
            return;
        }
        if let Some(request) = self.waiting.pop_front() {
            self.calls.send(request);
            self.in_flight = true;
        }
    }
}
