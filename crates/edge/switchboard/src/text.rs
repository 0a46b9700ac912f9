//! Records of streams: ProcessIO messages and what frames them, as JSON or protobuf.

use messor_codec::recordio;
use messor_proto::mesos::DurationInfo;
use messor_proto::mesos::agent::process_io::{Control, Data, control, data};
use messor_proto::mesos::agent::{ProcessIo, process_io as kinds};
use messor_proto::{Version, Wire};

pub const JSON: &str = "application/json";
pub const PROTOBUF: &str = "application/x-protobuf";
pub const RECORDIO: &str = "application/recordio";

/// What a record is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Media {
    Json,
    Protobuf,
}

impl Media {
    pub fn of(name: &str) -> Option<Media> {
        match name {
            JSON => Some(Media::Json),
            PROTOBUF => Some(Media::Protobuf),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Media::Json => JSON,
            Media::Protobuf => PROTOBUF,
        }
    }

    pub fn decode<M: Wire>(self, bytes: &[u8]) -> Result<M, String> {
        match self {
            Media::Json => M::from_json(bytes, Version::V1).map_err(|error| error.to_string()),
            Media::Protobuf => M::decode_checked_as(bytes, Version::V1).map_err(|error| error.to_string()),
        }
    }
}

/// A message as one record of a stream.
pub fn record(message: &impl Wire, media: Media) -> Vec<u8> {
    recordio::encode(&match media {
        Media::Json => message.to_json(Version::V1),
        Media::Protobuf => message.encode_as(Version::V1),
    })
}

/// Output, or input.
pub fn process_io(kind: data::Type, bytes: Vec<u8>) -> ProcessIo {
    ProcessIo {
        r#type: Some(kinds::Type::Data as i32),
        data: Some(Data { r#type: Some(kind as i32), data: Some(bytes) }),
        control: None,
    }
}

pub fn heartbeat(interval: std::time::Duration) -> ProcessIo {
    let nanoseconds = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX);
    let control = Control {
        r#type: Some(control::Type::Heartbeat as i32),
        heartbeat: Some(control::Heartbeat { interval: Some(DurationInfo { nanoseconds }) }),
        tty_info: None,
    };
    ProcessIo { r#type: Some(kinds::Type::Control as i32), control: Some(control), data: None }
}
