//! Calls of the v1 operator API, at the master that leads and at agents.

use std::time::Duration;

use messor_proto::mesos::{agent, master};
use messor_proto::{Version, Wire, WireEnum};
use messor_zk::FindError;

use super::settings::Settings;
use super::stream::{EventStream, Opened};
use crate::client::{self, ClientError};
use crate::master::{Address, AddressError, Master};

/// Where every master has it; that of a mesos-local is there alone.
pub const MASTER_TARGET: &str = "/master/api/v1";
const AGENT_TARGET: &str = "/api/v1";
pub const MEDIA_TYPE: &str = "application/x-protobuf";
/// The state of a large cluster.
const ANSWER_BYTES: usize = 1 << 30;
const REDIRECTS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Find(#[from] FindError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("no master leads at {0} at the moment; try again in a few seconds")]
    NoLeader(Address),
    #[error("{address} refused {call} (HTTP {status}){text}")]
    Refused { address: Address, call: &'static str, status: u16, text: String },
    #[error("{address} answers {call} with what is no answer: {reason}")]
    Answer { address: Address, call: &'static str, reason: String },
    #[error("the master at {0} ended the stream of events")]
    Ended(Address),
    #[error("the master at {0} was not heard of for too long")]
    Silent(Address),
    #[error("masters redirect to each other, the last of them {0}; try again in a few seconds")]
    Redirects(Address),
}

impl ApiError {
    pub fn status(&self) -> Option<u16> {
        match self {
            ApiError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether trying again may help: nobody leads at the moment, or a connection was lost.
    pub fn may_pass(&self) -> bool {
        match self {
            ApiError::Address(_) | ApiError::Answer { .. } => false,
            ApiError::Find(error) => !matches!(error, FindError::Failed(_)),
            ApiError::Refused { status, .. } => *status >= 500,
            _ => true,
        }
    }
}

pub struct Api {
    finder: Master,
    master: Address,
    authorization: Option<String>,
}

impl Api {
    pub fn new(settings: &Settings) -> Result<Api, ApiError> {
        let finder = Master::parse(&settings.master)?;
        let master = finder.find(PATIENCE)?;
        Ok(Api { finder, master, authorization: settings.authorization.clone() })
    }

    /// Looks for the leader anew.
    pub fn find_again(&mut self) -> Result<(), ApiError> {
        self.master = self.finder.find(PATIENCE)?;
        Ok(())
    }

    pub fn master(&self) -> &Address {
        &self.master
    }

    /// Subscribes to the events of the leading master.
    pub fn subscribe(&mut self) -> Result<EventStream, ApiError> {
        for _ in 0..=REDIRECTS {
            match EventStream::open(&self.master, self.authorization.as_deref())? {
                Opened::Stream(stream) => return Ok(*stream),
                Opened::Elsewhere(leader) => self.master = leader,
            }
        }
        Err(ApiError::Redirects(self.master.clone()))
    }

    /// The header that says who asks.
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    fn post(&self, address: &Address, target: &str, body: &[u8]) -> Result<client::Response, ClientError> {
        let mut headers = vec![("Content-Type", MEDIA_TYPE), ("Accept", MEDIA_TYPE)];
        headers.extend(self.authorization.as_deref().map(|value| ("Authorization", value)));
        client::exchange_up_to(ANSWER_BYTES, address, "POST", target, &headers, Some(body))
    }

    /// A call to the leading master. The master that is asked may send us to it.
    pub fn call(&mut self, call: &master::Call) -> Result<master::Response, ApiError> {
        let name = call.r#type().wire_name(Version::V1);
        let body = call.encode_as(Version::V1);
        for _ in 0..=REDIRECTS {
            let response = self.post(&self.master, MASTER_TARGET, &body)?;
            let status = response.head.status;
            match status {
                200..300 if response.body.is_empty() => return Ok(master::Response::default()),
                200..300 => {
                    return master::Response::decode_checked_as(&response.body, Version::V1)
                        .map_err(|error| self.no_answer(&self.master, name, &error.to_string()));
                }
                300..400 => match response.head.header("Location").and_then(Address::of_location) {
                    Some(leader) => self.master = leader,
                    None => return Err(ApiError::NoLeader(self.master.clone())),
                },
                503 => return Err(ApiError::NoLeader(self.master.clone())),
                _ => return Err(refused(&self.master, name, &response)),
            }
        }
        Err(ApiError::Redirects(self.master.clone()))
    }

    /// A call without content.
    pub fn ask(&mut self, kind: master::call::Type) -> Result<master::Response, ApiError> {
        self.call(&master::Call { r#type: Some(kind as i32), ..Default::default() })
    }

    /// A call to an agent.
    pub fn ask_agent(&self, address: &Address, call: &agent::Call) -> Result<agent::Response, ApiError> {
        let name = call.r#type().wire_name(Version::V1);
        let response = self.post(address, AGENT_TARGET, &call.encode_as(Version::V1))?;
        match response.head.status {
            200..300 if response.body.is_empty() => Ok(agent::Response::default()),
            200..300 => agent::Response::decode_checked_as(&response.body, Version::V1)
                .map_err(|error| self.no_answer(address, name, &error.to_string())),
            _ => Err(refused(address, name, &response)),
        }
    }

    fn no_answer(&self, address: &Address, call: &'static str, reason: &str) -> ApiError {
        ApiError::Answer { address: address.clone(), call, reason: reason.to_owned() }
    }
}

pub fn refused(address: &Address, call: &'static str, response: &client::Response) -> ApiError {
    let text = client::shown(&response.body);
    ApiError::Refused { address: address.clone(), call, status: response.head.status, text }
}
