//! What masters write into their znodes, and how to find the one that leads.

use std::time::Duration;

use messor_election::{DetectorOutcome, Format, Leader, Url};
use messor_proto::mesos::MasterInfo;
use messor_proto::{Version, Wire};
use messor_stdx::Time;

use crate::running::detect;

#[derive(Debug, thiserror::Error)]
pub enum MasterInfoError {
    #[error("the leading master's znode {0} holds no MasterInfo: {1}")]
    Unreadable(i32, String),
}

/// Who leads, out of its znode.
pub fn master_info(leader: &Leader) -> Result<MasterInfo, MasterInfoError> {
    let unreadable =
        |error: &dyn std::fmt::Display| MasterInfoError::Unreadable(leader.sequence, error.to_string());
    match leader.format {
        Format::Json => MasterInfo::from_json(&leader.data, Version::V0).map_err(|error| unreadable(&error)),
        Format::Protobuf => MasterInfo::decode_checked(&leader.data).map_err(|error| unreadable(&error)),
    }
}

/// What a contender writes. The id in it has to be a new one each time a master starts.
pub fn master_znode(info: &MasterInfo) -> Vec<u8> {
    info.to_json(Version::V0)
}

#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error("no master leads at {url} within {}", messor_stdx::format_duration(*.patience))]
    NotFound { url: Url, patience: Duration },
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    MasterInfo(#[from] MasterInfoError),
    #[error("cannot wait for ZooKeeper: {0}")]
    Runtime(std::io::Error),
}

/// Waits until somebody leads, for programs without a runtime of their own.
pub fn find_master(
    url: &Url,
    session_timeout: Duration,
    patience: Duration,
) -> Result<MasterInfo, FindError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(FindError::Runtime)?;
    runtime.block_on(async {
        let start = std::time::Instant::now();
        let mut running = detect(url, session_timeout, move || Time::ZERO + start.elapsed());
        let find = async {
            loop {
                match running.outcomes.recv().await {
                    Some(DetectorOutcome::Leader(Some(leader))) => return Ok(master_info(&leader)?),
                    Some(DetectorOutcome::Leader(None)) => (),
                    Some(DetectorOutcome::Failed { reason }) => return Err(FindError::Failed(reason)),
                    None => return Err(FindError::NotFound { url: url.clone(), patience }),
                }
            }
        };
        let found = tokio::time::timeout(patience, find).await;
        running.withdraw().await;
        found.unwrap_or_else(|_| Err(FindError::NotFound { url: url.clone(), patience }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a 1.11.0 master wrote it.
    const ZNODE: &str = r#"{"address":{"hostname":"node-1","ip":"10.0.0.1","port":5050},"capabilities":[{"type":"AGENT_UPDATE"},{"type":"AGENT_DRAINING"},{"type":"QUOTA_V2"}],"hostname":"node-1","id":"6ec9f8d8-d4d1-4c31-9d0c-8a1b5c1a1111","ip":16777226,"pid":"master@10.0.0.1:5050","port":5050,"version":"1.11.0"}"#;

    /// U092
    #[test]
    fn a_znode_holds_the_v0_json_of_the_master() {
        let leader = Leader { sequence: 3, format: Format::Json, data: ZNODE.as_bytes().to_vec() };
        let info = master_info(&leader).unwrap();
        assert_eq!((info.pid(), info.ip, info.version()), ("master@10.0.0.1:5050", 16_777_226, "1.11.0"));
        let again = Leader { data: master_znode(&info), ..leader.clone() };
        assert_eq!(master_info(&again).unwrap(), info);
        let binary = Leader { format: Format::Protobuf, data: info.encode_bytes(), ..leader.clone() };
        assert_eq!(master_info(&binary).unwrap(), info);
        for (format, data) in [(Format::Json, "{}"), (Format::Json, "x"), (Format::Protobuf, "x")] {
            let error = master_info(&Leader { sequence: 3, format, data: data.into() }).unwrap_err();
            assert!(
                error.to_string().starts_with("the leading master's znode 3 holds no MasterInfo"),
                "{error}"
            );
        }
    }
}
