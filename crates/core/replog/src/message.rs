//! The messages between replicas, typed: what arrives is checked once, here.

use messor_proto::mesos::internal::log::{
    Action, LearnedMessage, PromiseRequest, PromiseResponse, RecoverRequest, RecoverResponse, WriteRequest,
    WriteResponse, action, metadata, promise_response, write_response,
};
use messor_proto::{DecodeError, Wire};

/// What a replica is asked or told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    Promise(PromiseRequest),
    Write(Box<WriteRequest>),
    Recover,
    Learned(Box<Action>),
}

/// What it answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Response {
    Promise(Box<PromiseResponse>),
    Write(WriteResponse),
    Recover(RecoverResponse),
}

pub(crate) enum Message {
    Request(Request),
    Response(Response),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("the log knows no message {0}")]
    Name(String),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("an action at position {0} says it is learned or written and does not say what it is")]
    Content(u64),
    #[error("a learned message for position {0} is of an action that is not learned")]
    NotLearned(u64),
    #[error("a voting replica does not say where its log begins and ends")]
    Ends,
}

/// What an action does to the log: its type and the part of that type.
pub(crate) fn has_content(kind: Option<i32>, nop: bool, append: bool, truncate: bool) -> bool {
    match kind.map(action::Type::try_from) {
        Some(Ok(action::Type::Nop)) => nop,
        Some(Ok(action::Type::Append)) => append,
        Some(Ok(action::Type::Truncate)) => truncate,
        Some(Err(_)) | None => false,
    }
}

fn check_action(action: &Action) -> Result<(), MessageError> {
    let written = action.performed.is_some() || action.learned();
    let (nop, append, truncate) = (action.nop.is_some(), action.append.is_some(), action.truncate.is_some());
    if written && !has_content(action.r#type, nop, append, truncate) {
        return Err(MessageError::Content(action.position));
    }
    Ok(())
}

impl Message {
    pub fn decode(name: &str, body: &[u8]) -> Result<Message, MessageError> {
        let message = if name == PromiseRequest::NAME {
            Message::Request(Request::Promise(PromiseRequest::decode_checked(body)?))
        } else if name == WriteRequest::NAME {
            let request = WriteRequest::decode_checked(body)?;
            let (nop, append, truncate) =
                (request.nop.is_some(), request.append.is_some(), request.truncate.is_some());
            if !has_content(Some(request.r#type), nop, append, truncate) {
                return Err(MessageError::Content(request.position));
            }
            Message::Request(Request::Write(Box::new(request)))
        } else if name == LearnedMessage::NAME {
            let action = LearnedMessage::decode_checked(body)?.action;
            check_action(&action)?;
            if !action.learned() {
                return Err(MessageError::NotLearned(action.position));
            }
            Message::Request(Request::Learned(Box::new(action)))
        } else if name == RecoverRequest::NAME {
            RecoverRequest::decode_checked(body)?;
            Message::Request(Request::Recover)
        } else if name == PromiseResponse::NAME {
            let response = PromiseResponse::decode_checked(body)?;
            response.action.as_ref().map_or(Ok(()), check_action)?;
            Message::Response(Response::Promise(Box::new(response)))
        } else if name == WriteResponse::NAME {
            Message::Response(Response::Write(WriteResponse::decode_checked(body)?))
        } else if name == RecoverResponse::NAME {
            let response = RecoverResponse::decode_checked(body)?;
            let ends = response.begin.is_some() && response.end.is_some();
            if response.status() == metadata::Status::Voting && !ends {
                return Err(MessageError::Ends);
            }
            Message::Response(Response::Recover(response))
        } else {
            return Err(MessageError::Name(name.to_string()));
        };
        Ok(message)
    }
}

impl Request {
    pub fn encode(&self) -> (&'static str, Vec<u8>) {
        match self {
            Request::Promise(request) => (PromiseRequest::NAME, request.encode_bytes()),
            Request::Write(request) => (WriteRequest::NAME, request.encode_bytes()),
            Request::Recover => (RecoverRequest::NAME, RecoverRequest {}.encode_bytes()),
            Request::Learned(action) => {
                (LearnedMessage::NAME, LearnedMessage { action: (**action).clone() }.encode_bytes())
            }
        }
    }

    /// About as many bytes as it takes.
    pub fn cost(&self) -> usize {
        const MESSAGE: usize = 256;
        let append = match self {
            Request::Write(request) => request.append.as_ref(),
            Request::Learned(action) => action.append.as_ref(),
            Request::Promise(_) | Request::Recover => None,
        };
        MESSAGE + append.map_or(0, |append| append.bytes.len())
    }
}

impl Response {
    pub fn encode(&self) -> (&'static str, Vec<u8>) {
        match self {
            Response::Promise(response) => (PromiseResponse::NAME, response.encode_bytes()),
            Response::Write(response) => (WriteResponse::NAME, response.encode_bytes()),
            Response::Recover(response) => (RecoverResponse::NAME, response.encode_bytes()),
        }
    }
}

/// How a request was taken. Replicas from before 0.26 give no type: there, not okay was a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Rejected,
    Ignored,
}

pub(crate) fn promise_verdict(response: &PromiseResponse) -> Verdict {
    match response.r#type.map(promise_response::Type::try_from) {
        Some(Ok(promise_response::Type::Accept)) => Verdict::Accepted,
        Some(Ok(promise_response::Type::Reject)) => Verdict::Rejected,
        Some(Ok(promise_response::Type::Ignored)) => Verdict::Ignored,
        Some(Err(_)) | None => {
            if response.okay {
                Verdict::Accepted
            } else {
                Verdict::Rejected
            }
        }
    }
}

pub(crate) fn write_verdict(response: &WriteResponse) -> Verdict {
    match response.r#type.map(write_response::Type::try_from) {
        Some(Ok(write_response::Type::Accept)) => Verdict::Accepted,
        Some(Ok(write_response::Type::Reject)) => Verdict::Rejected,
        Some(Ok(write_response::Type::Ignored)) => Verdict::Ignored,
        Some(Err(_)) | None => {
            if response.okay {
                Verdict::Accepted
            } else {
                Verdict::Rejected
            }
        }
    }
}
