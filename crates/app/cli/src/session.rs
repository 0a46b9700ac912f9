//! A framework's session with the leading master: the stream of events, and calls beside it.

use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use messor_codec::http_client::{Part, ResponseDecoder, ResponseHead};
use messor_codec::recordio;
use messor_proto::mesos::scheduler::{Call, Event};
use messor_proto::{Version, Wire};

use crate::client::{self, ClientError};
use crate::master::Address;

const TARGET: &str = "/master/api/v1/scheduler";
/// Masters that send each other's clients round in circles are given up on.
const REDIRECTS: u32 = 5;
/// Of an answer that refuses, so much is read to be shown.
const REFUSAL_BYTES: usize = 4096;
const READ_BYTES: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Find(#[from] messor_zk::FindError),
    #[error("the master at {address} answered HTTP {status}{text}")]
    Status { address: Address, status: u16, text: String },
    #[error("the master at {0} redirects too often")]
    Redirects(Address),
    #[error("the master at {0} opened no stream: its answer has no Mesos-Stream-Id")]
    NoStreamId(Address),
    #[error("the master at {0} ended the stream")]
    Ended(Address),
    #[error("the master at {address} sent what is no event: {reason}")]
    Event { address: Address, reason: String },
}

impl SessionError {
    /// Whether trying again may help: nobody leads yet, or the connection was lost.
    pub fn may_pass(&self) -> bool {
        match self {
            SessionError::Client(_) | SessionError::Ended(_) => true,
            SessionError::Find(error) => !matches!(error, messor_zk::FindError::Failed(_)),
            SessionError::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }
}

/// How messages are written, and who sends them.
#[derive(Clone, Debug)]
pub struct Api {
    pub json: bool,
    /// The value of an Authorization header.
    pub authorization: Option<String>,
}

impl Api {
    fn media_type(&self) -> &'static str {
        if self.json { "application/json" } else { "application/x-protobuf" }
    }

    fn write(&self, call: &Call) -> Vec<u8> {
        if self.json { call.to_json(Version::V1) } else { call.encode_as(Version::V1) }
    }

    fn read(&self, record: &[u8]) -> Result<Event, String> {
        if self.json {
            Event::from_json(record, Version::V1).map_err(|error| error.to_string())
        } else {
            Event::decode_checked_as(record, Version::V1).map_err(|error| error.to_string())
        }
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        let mut headers = vec![("Content-Type", self.media_type()), ("Accept", self.media_type())];
        headers.extend(self.authorization.as_deref().map(|value| ("Authorization", value)));
        headers
    }
}

pub struct Session {
    api: Api,
    master: Address,
    stream: TcpStream,
    stream_id: String,
    decoder: ResponseDecoder,
    records: recordio::Decoder,
}

impl Session {
    /// Subscribes, at the master that leads.
    pub fn open(api: &Api, master: &Address, subscribe: &Call) -> Result<Session, SessionError> {
        let mut master = master.clone();
        let body = api.write(subscribe);
        for _ in 0..=REDIRECTS {
            let stream = client::send(&master, "POST", TARGET, &api.headers(), Some(&body))?;
            let mut session = Session {
                api: api.clone(),
                master: master.clone(),
                stream,
                stream_id: String::new(),
                decoder: ResponseDecoder::new(),
                records: recordio::Decoder::default(),
            };
            let head = session.head()?;
            match (head.status, head.header("Location").and_then(Address::of_location)) {
                (200, _) => {
                    let id = head.header("Mesos-Stream-Id").ok_or(SessionError::NoStreamId(master))?;
                    session.stream_id = id.to_owned();
                    return Ok(session);
                }
                (300..400, Some(leader)) => master = leader,
                (status, _) => {
                    let text = client::shown(&session.refusal());
                    return Err(SessionError::Status { address: master, status, text });
                }
            }
        }
        Err(SessionError::Redirects(master))
    }

    pub fn master(&self) -> &Address {
        &self.master
    }

    /// The events that have arrived; with `fill` the next may be waited for.
    pub fn events(&mut self) -> Result<Vec<Event>, SessionError> {
        let mut ended = false;
        while let Some(part) =
            self.decoder.next_part().map_err(|error| ClientError::http(&self.master, error))?
        {
            match part {
                Part::Data(data) => self.records.push(&data),
                Part::End => ended = true,
                Part::Head(_) => {}
            }
        }
        let wrong = |reason: String| SessionError::Event { address: self.master.clone(), reason };
        let mut events = Vec::new();
        while let Some(record) = self.records.next_record().map_err(|error| wrong(error.to_string()))? {
            events.push(self.api.read(&record).map_err(wrong)?);
        }
        if ended && events.is_empty() { Err(SessionError::Ended(self.master.clone())) } else { Ok(events) }
    }

    /// Reads once from the socket.
    pub fn fill(&mut self) -> Result<(), SessionError> {
        let mut buffer = vec![0; READ_BYTES];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(SessionError::Ended(self.master.clone())),
            Ok(count) => {
                self.decoder.push(&buffer[..count]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(ClientError::broken(&self.master, error).into()),
        }
    }

    /// Sends a call, on a connection of its own.
    pub fn call(&self, call: &Call) -> Result<(), SessionError> {
        let mut headers = self.api.headers();
        headers.push(("Mesos-Stream-Id", &self.stream_id));
        let response = client::exchange(&self.master, "POST", TARGET, &headers, Some(&self.api.write(call)))?;
        match response.head.status {
            202 => Ok(()),
            status => {
                let text = client::shown(&response.body);
                Err(SessionError::Status { address: self.master.clone(), status, text })
            }
        }
    }

    fn head(&mut self) -> Result<ResponseHead, SessionError> {
        loop {
            match self.decoder.next_part().map_err(|error| ClientError::http(&self.master, error))? {
                Some(Part::Head(head)) => return Ok(head),
                Some(_) => {}
                None => self.fill()?,
            }
        }
    }

    /// The beginning of the body of an answer that opened no stream.
    fn refusal(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        while text.len() < REFUSAL_BYTES {
            match self.decoder.next_part() {
                Ok(Some(Part::Data(data))) => text.extend(data),
                Ok(Some(Part::Head(_))) => {}
                Ok(None) if self.fill().is_ok() => {}
                _ => break,
            }
        }
        text
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
