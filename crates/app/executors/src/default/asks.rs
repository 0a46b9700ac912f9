//! Calls to the agent's own API, each on a connection of its own, and what the agent answers. It must not know what they
//! mean.

use std::io;

use messor_codec::http_client::{Part, RequestBody, ResponseDecoder, write_request_head};
use messor_linux::poll::{PollFd, PollFlags};
use messor_proto::Wire;
use messor_proto::mesos::agent::Call;

use super::contract::Answer;
use crate::shared::settings::{Address, Settings};
use crate::shared::socket::{Reading, Socket};

const MEDIA_TYPE: &str = "application/x-protobuf";

/// At most so much is read in one turn.
const READ_BYTES: usize = 8 * 1024;

/// An answer that is longer than this is no answer to what is asked here.
const ANSWER_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// One call under way.
pub struct Ask {
    socket: Socket,
    decoder: ResponseDecoder,
    status: Option<u16>,
    body: Vec<u8>,
    /// Of a stream the end counts, not what comes: it is read away.
    discard: bool,
}

impl Ask {
    pub fn start(settings: &Settings, call: &Call, discard: bool) -> Result<Ask, String> {
        let body = call.encode_bytes();
        let authorization = settings.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = vec![
            ("Host", settings.host.as_str()),
            ("Accept", MEDIA_TYPE),
            ("Content-Type", MEDIA_TYPE),
            ("Connection", "close"),
        ];
        if let Some(authorization) = &authorization {
            headers.push(("Authorization", authorization));
        }
        let mut request = Vec::with_capacity(512 + body.len());
        let length = RequestBody::Length(body.len());
        write_request_head(&mut request, "POST", &settings.agent_target, &headers, length)
            .map_err(|error| error.to_string())?;
        request.extend(body);
        let connected = match &settings.address {
            Address::Ip(address) => Socket::connect(*address),
            Address::Unix(path) => Socket::connect_unix(path),
        };
        let mut socket = connected.map_err(|error| format!("cannot connect to the agent: {error}"))?;
        socket.send(request);
        Ok(Ask { socket, decoder: ResponseDecoder::new(), status: None, body: Vec::new(), discard })
    }

    pub fn interest(&self) -> PollFd<'_> {
        PollFd::new(&self.socket, self.socket.interest())
    }

    /// Goes on; the answer, once it is whole.
    pub fn ready(&mut self, ready: PollFlags) -> Option<Result<Answer, String>> {
        self.advance(ready).transpose()
    }

    fn advance(&mut self, ready: PollFlags) -> Result<Option<Answer>, String> {
        let broken = |error: io::Error| error.to_string();
        self.socket.advance().map_err(broken)?;
        if !ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return Ok(None);
        }
        let mut buffer = [0; READ_BYTES];
        match self.socket.read(&mut buffer).map_err(broken)? {
            Reading::Later => return Ok(None),
            Reading::End => {
                self.decoder.finish().map_err(|error| error.to_string())?;
                return match self.status {
                    Some(status) => Ok(Some(self.answer(status))),
                    None => Err("the agent closed the connection without an answer".to_string()),
                };
            }
            Reading::Bytes(count) => self.decoder.push(&buffer[..count]),
        }
        while let Some(part) = self.decoder.next_part().map_err(|error| error.to_string())? {
            match (part, self.status) {
                (Part::Head(head), _) => self.status = Some(head.status),
                (Part::Data(data), status) => {
                    if !self.discard || status != Some(200) {
                        self.body.extend(data);
                    }
                    if self.body.len() > ANSWER_LIMIT_BYTES {
                        return Err(format!("the answer is longer than {ANSWER_LIMIT_BYTES} bytes"));
                    }
                }
                (Part::End, Some(status)) => return Ok(Some(self.answer(status))),
                (Part::End, None) => {}
            }
        }
        Ok(None)
    }

    fn answer(&mut self, status: u16) -> Answer {
        Answer { status, body: std::mem::take(&mut self.body) }
    }
}
