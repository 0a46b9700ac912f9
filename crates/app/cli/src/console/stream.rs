//! The master's stream of events, as SUBSCRIBE of the v1 operator API opens it.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use messor_codec::http_client::{Part, ResponseDecoder, ResponseHead};
use messor_codec::recordio;
use messor_proto::mesos::master::call::Type;
use messor_proto::mesos::master::{Call, Event, event};
use messor_proto::{Version, Wire};

use super::api::{ApiError, MASTER_TARGET, MEDIA_TYPE};
use crate::client::{self, ClientError};
use crate::master::Address;

/// The first event is the state of the whole cluster.
const EVENT_BYTES: usize = 1 << 30;
/// Of an answer that refuses, so much is read to be shown.
const REFUSAL_BYTES: usize = 4096;
const READ_BYTES: usize = 64 * 1024;
/// So many heartbeats may be missed before a stream counts as lost.
const MISSED_HEARTBEATS: u32 = 5;
/// Until the first event says how often they come.
const FIRST_SILENCE: Duration = Duration::from_secs(75);
const SUBSCRIBE: &str = "SUBSCRIBE";

pub enum Opened {
    Stream(Box<EventStream>),
    /// Another master leads.
    Elsewhere(Address),
}

pub struct EventStream {
    address: Address,
    stream: TcpStream,
    decoder: ResponseDecoder,
    records: recordio::Decoder,
    silence_allowed: Duration,
    heard_at: Instant,
    ended: bool,
}

impl EventStream {
    pub fn open(address: &Address, authorization: Option<&str>) -> Result<Opened, ApiError> {
        let call = Call { r#type: Some(Type::Subscribe as i32), ..Call::default() };
        let mut headers = vec![("Content-Type", MEDIA_TYPE), ("Accept", MEDIA_TYPE)];
        headers.extend(authorization.map(|value| ("Authorization", value)));
        let body = call.encode_as(Version::V1);
        let stream = client::send(address, "POST", MASTER_TARGET, &headers, Some(&body))?;
        let mut found = EventStream {
            address: address.clone(),
            stream,
            decoder: ResponseDecoder::new(),
            records: recordio::Decoder::new(EVENT_BYTES),
            silence_allowed: FIRST_SILENCE,
            heard_at: Instant::now(),
            ended: false,
        };
        let head = found.head()?;
        match (head.status, head.header("Location").and_then(Address::of_location)) {
            (200, _) => Ok(Opened::Stream(Box::new(found))),
            (300..400, Some(leader)) => Ok(Opened::Elsewhere(leader)),
            (300..400 | 503, _) => Err(ApiError::NoLeader(address.clone())),
            (status, _) => {
                let text = client::shown(&found.refusal());
                Err(ApiError::Refused { address: address.clone(), call: SUBSCRIBE, status, text })
            }
        }
    }

    /// The next event, if one comes within this time.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Event>, ApiError> {
        let until = Instant::now() + wait;
        loop {
            if let Some(event) = self.taken()? {
                return Ok(Some(event));
            }
            if self.ended {
                return Err(ApiError::Ended(self.address.clone()));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            if !self.fill(left)? && self.heard_at.elapsed() > self.silence_allowed {
                return Err(ApiError::Silent(self.address.clone()));
            }
        }
    }

    /// An event that has arrived as a whole.
    fn taken(&mut self) -> Result<Option<Event>, ApiError> {
        let wrong =
            |reason: String| ApiError::Answer { address: self.address.clone(), call: SUBSCRIBE, reason };
        while let Some(part) =
            self.decoder.next_part().map_err(|error| ClientError::http(&self.address, error))?
        {
            match part {
                Part::Data(data) => self.records.push(&data),
                Part::End => self.ended = true,
                Part::Head(_) => {}
            }
        }
        let Some(record) = self.records.next_record().map_err(|error| wrong(error.to_string()))? else {
            return Ok(None);
        };
        let event =
            Event::decode_checked_as(&record, Version::V1).map_err(|error| wrong(error.to_string()))?;
        if let Some(seconds) = event.subscribed.as_ref().and_then(|first| first.heartbeat_interval_seconds)
            && let Ok(interval) = Duration::try_from_secs_f64(seconds)
            && !interval.is_zero()
        {
            self.silence_allowed = interval * MISSED_HEARTBEATS;
        }
        Ok(Some(event))
    }

    /// Reads once from the socket; false if nothing came within the time.
    fn fill(&mut self, wait: Duration) -> Result<bool, ApiError> {
        let broken = |error| ClientError::broken(&self.address, error);
        self.stream.set_read_timeout(Some(wait)).map_err(broken)?;
        let mut buffer = vec![0; READ_BYTES];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(ApiError::Ended(self.address.clone())),
            Ok(count) => {
                self.decoder.push(&buffer[..count]);
                self.heard_at = Instant::now();
                Ok(true)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(broken(error).into()),
        }
    }

    fn head(&mut self) -> Result<ResponseHead, ApiError> {
        loop {
            match self.decoder.next_part().map_err(|error| ClientError::http(&self.address, error))? {
                Some(Part::Head(head)) => return Ok(head),
                Some(_) => {}
                None => {
                    if !self.fill(client::PATIENCE)? && self.heard_at.elapsed() >= client::PATIENCE {
                        return Err(ApiError::Silent(self.address.clone()));
                    }
                }
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
                Ok(None) if self.fill(client::PATIENCE).unwrap_or(false) => {}
                _ => break,
            }
        }
        text
    }
}

/// Whether an event says nothing but that the master is there.
pub fn is_heartbeat(event: &Event) -> bool {
    event.r#type() == event::Type::Heartbeat
}
