//! What the task wrote, read from its sandbox through its agent.

use std::io::{self, Read, Write};

use messor_codec::http_client::{Part, ResponseDecoder};
use messor_codec::target;
use messor_proto::mesos::Offer;

use crate::client::{self, ClientError};
use crate::master::Address;
use crate::scheduler::Written;

const AGENT_PORT: u16 = 5051;
const READ_BYTES: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the agent at {address} answered HTTP {status} for '{path}'")]
    Status { address: Address, status: u16, path: String },
    #[error("it cannot be printed: {0}")]
    Print(#[from] io::Error),
}

/// Where the agent that made an offer listens.
pub fn agent(offer: &Offer) -> Address {
    let told = offer.url.as_ref().map(|url| &url.address);
    let host = told.and_then(|address| address.ip.clone().or_else(|| address.hostname.clone()));
    let port = told.and_then(|address| u16::try_from(address.port).ok());
    Address { host: host.unwrap_or_else(|| offer.hostname.clone()), port: port.unwrap_or(AGENT_PORT) }
}

/// Copies a file of a task's sandbox. The path of the latest run needs nothing that the framework does not know.
pub fn copy(
    agent: &Address,
    authorization: Option<&str>,
    framework: &str,
    written: Written<'_>,
    name: &str,
    out: &mut dyn Write,
) -> Result<(), OutputError> {
    let below = written.below.map_or(String::new(), |task| format!("tasks/{task}/"));
    let path = format!("/frameworks/{framework}/executors/{}/runs/latest/{below}{name}", written.executor);
    let request = format!("/files/download?path={}", target::encode(&path));
    let mut headers = vec![("Connection", "close")];
    headers.extend(authorization.map(|value| ("Authorization", value)));
    let mut stream = client::send(agent, "GET", &request, &headers, None)?;
    let mut decoder = ResponseDecoder::new();
    let wrong = |error| ClientError::http(agent, error);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        while let Some(part) = decoder.next_part().map_err(wrong)? {
            match part {
                Part::Head(head) if head.status == 200 => {}
                Part::Head(head) => {
                    return Err(OutputError::Status { address: agent.clone(), status: head.status, path });
                }
                Part::Data(data) => out.write_all(&data)?,
                Part::End => return Ok(out.flush()?),
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) => {
                decoder.finish().map_err(wrong)?;
                return Ok(out.flush()?);
            }
            Ok(count) => decoder.push(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ClientError::broken(agent, error).into()),
        }
    }
}
