//! Messages in both forms and both versions.

use messor_proto::{Version, Wire, mesos};

use crate::choice;

const VERSIONS: [Version; 3] = [Version::V0, Version::V1, Version::V1Names];

pub fn json(data: &[u8]) {
    let (kind, text) = choice(data);
    let version = VERSIONS[usize::from(kind) % VERSIONS.len()];
    match kind / 3 % 6 {
        0 => json_of::<mesos::scheduler::Call>(text, version),
        1 => json_of::<mesos::TaskInfo>(text, version),
        2 => json_of::<mesos::master::Call>(text, version),
        3 => json_of::<mesos::agent::Call>(text, version),
        4 => json_of::<mesos::executor::Call>(text, version),
        _ => json_of::<mesos::FrameworkInfo>(text, version),
    }
}

fn json_of<T: Wire>(text: &[u8], version: Version) {
    let _ = T::list_from_json(text, version);
    let Ok(message) = T::from_json(text, version) else { return };
    let written = message.to_json(version);
    let again = T::from_json(&written, version);
    let again = again.unwrap_or_else(|error| {
        panic!("what is written cannot be read: {error}: {}", String::from_utf8_lossy(&written))
    });
    assert_eq!(String::from_utf8_lossy(&again.to_json(version)), String::from_utf8_lossy(&written));
}

pub fn binary(data: &[u8]) {
    let (kind, bytes) = choice(data);
    let version = VERSIONS[usize::from(kind) % VERSIONS.len()];
    match kind / 3 % 6 {
        0 => binary_of::<mesos::scheduler::Call>(bytes, version),
        1 => binary_of::<mesos::TaskInfo>(bytes, version),
        2 => binary_of::<mesos::master::Call>(bytes, version),
        3 => binary_of::<mesos::internal::ReregisterAgentMessage>(bytes, version),
        4 => binary_of::<mesos::internal::StatusUpdateMessage>(bytes, version),
        _ => binary_of::<mesos::internal::Registry>(bytes, version),
    }
}

fn binary_of<T: Wire>(bytes: &[u8], version: Version) {
    let Ok(message) = T::decode_checked_as(bytes, version) else { return };
    message.to_json(version);
    let written = message.encode_as(version);
    let again = T::decode_checked_as(&written, version).expect("what is written can be read");
    // By their bytes, as a NaN equals nothing.
    assert_eq!(again.encode_as(version), written);
}
