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
    agent_authorization: Option<String>,
}

/// An agent's operator API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPlace {
    pub address: Address,
    /// By the name of its process: those of a mesos-local listen at one address.
    pub target: String,
}

impl AgentPlace {
    /// Of an agent's pid: `slave(1)@10.0.0.2:5051`.
    pub fn of_pid(pid: Option<&str>) -> Option<AgentPlace> {
        let (process, address) = pid?.split_once('@')?;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "()_-.".contains(letter);
        if process.is_empty() || !process.chars().all(is_plain) {
            return None;
        }
        Some(AgentPlace { address: Address::parse(address).ok()?, target: format!("/{process}/api/v1") })
    }
}

impl std::fmt::Display for AgentPlace {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(out)
    }
}

impl Api {
    pub fn new(settings: &Settings) -> Result<Api, ApiError> {
        let finder = Master::parse(&settings.master)?;
        let master = finder.find(PATIENCE)?;
        let authorization = settings.authorization.clone();
        let agent_authorization = settings.agent_authorization.clone().or_else(|| authorization.clone());
        Ok(Api { finder, master, authorization, agent_authorization })
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

    /// The header that says to agents who asks.
    pub fn agent_authorization(&self) -> Option<&str> {
        self.agent_authorization.as_deref()
    }

    fn post(&self, body: &[u8]) -> Result<client::Response, ClientError> {
        let authorization = self.authorization.as_deref();
        post(&self.master, MASTER_TARGET, authorization, body)
    }

    /// An older read of the leading master, which tells what the API does not.
    pub fn read_json(&mut self, target: &'static str) -> Result<serde_json::Value, ApiError> {
        for _ in 0..=REDIRECTS {
            let headers: Vec<_> =
                self.authorization.as_deref().map(|value| ("Authorization", value)).into_iter().collect();
            let response = client::exchange_up_to(ANSWER_BYTES, &self.master, "GET", target, &headers, None)?;
            match response.head.status {
                200..300 => {
                    return serde_json::from_slice(&response.body)
                        .map_err(|error| no_answer(&self.master, target, &error.to_string()));
                }
                300..400 => match response.head.header("Location").and_then(Address::of_location) {
                    Some(leader) => self.master = leader,
                    None => return Err(ApiError::NoLeader(self.master.clone())),
                },
                503 => return Err(ApiError::NoLeader(self.master.clone())),
                _ => return Err(refused(&self.master, target, &response)),
            }
        }
        Err(ApiError::Redirects(self.master.clone()))
    }

    /// A call to the leading master. The master that is asked may send us to it.
    pub fn call(&mut self, call: &master::Call) -> Result<master::Response, ApiError> {
        let name = call.r#type().wire_name(Version::V1);
        let body = call.encode_as(Version::V1);
        for _ in 0..=REDIRECTS {
            let response = self.post(&body)?;
            let status = response.head.status;
            match status {
                200..300 if response.body.is_empty() => return Ok(master::Response::default()),
                200..300 => {
                    return master::Response::decode_checked_as(&response.body, Version::V1)
                        .map_err(|error| no_answer(&self.master, name, &error.to_string()));
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
    pub fn ask_agent(&self, agent: &AgentPlace, call: &agent::Call) -> Result<agent::Response, ApiError> {
        let name = call.r#type().wire_name(Version::V1);
        let address = &agent.address;
        let authorization = self.agent_authorization.as_deref();
        let response = post(address, &agent.target, authorization, &call.encode_as(Version::V1))?;
        match response.head.status {
            200..300 if response.body.is_empty() => Ok(agent::Response::default()),
            200..300 => agent::Response::decode_checked_as(&response.body, Version::V1)
                .map_err(|error| no_answer(address, name, &error.to_string())),
            _ => Err(refused(address, name, &response)),
        }
    }
}

fn no_answer(address: &Address, call: &'static str, reason: &str) -> ApiError {
    ApiError::Answer { address: address.clone(), call, reason: reason.to_owned() }
}

fn post(
    address: &Address,
    target: &str,
    authorization: Option<&str>,
    body: &[u8],
) -> Result<client::Response, ClientError> {
    let mut headers = vec![("Content-Type", MEDIA_TYPE), ("Accept", MEDIA_TYPE)];
    headers.extend(authorization.map(|value| ("Authorization", value)));
    client::exchange_up_to(ANSWER_BYTES, address, "POST", target, &headers, Some(body))
}

pub fn refused(address: &Address, call: &'static str, response: &client::Response) -> ApiError {
    let text = client::shown(&response.body);
    ApiError::Refused { address: address.clone(), call, status: response.head.status, text }
}
