//! Laws over all kinds of messages, made from seeds.

use messor_proto::mesos::{self, agent, executor, internal, maintenance, master, quota, scheduler};
use messor_proto::{Problem, Version, Wire};
use proptest::prelude::*;

use crate::sample::Sample;

/// Calls a generic check with each of a good set of messages.
macro_rules! each {
    ($check:ident($($argument:expr),*)) => {{
        $check::<mesos::TaskInfo>($($argument),*)?;
        $check::<mesos::FrameworkInfo>($($argument),*)?;
        $check::<mesos::Resource>($($argument),*)?;
        $check::<mesos::Offer>($($argument),*)?;
        $check::<mesos::AgentInfo>($($argument),*)?;
        $check::<mesos::TaskStatus>($($argument),*)?;
        $check::<mesos::ContainerInfo>($($argument),*)?;
        $check::<mesos::Acls>($($argument),*)?;
        $check::<scheduler::Event>($($argument),*)?;
        $check::<scheduler::Call>($($argument),*)?;
        $check::<executor::Event>($($argument),*)?;
        $check::<executor::Call>($($argument),*)?;
        $check::<agent::Call>($($argument),*)?;
        $check::<agent::Response>($($argument),*)?;
        $check::<master::Call>($($argument),*)?;
        $check::<master::Response>($($argument),*)?;
        $check::<master::Event>($($argument),*)?;
        $check::<maintenance::Schedule>($($argument),*)?;
        $check::<quota::QuotaRequest>($($argument),*)?;
        $check::<internal::Registry>($($argument),*)?;
        $check::<internal::RegisterAgentMessage>($($argument),*)?;
        $check::<internal::ReregisterAgentMessage>($($argument),*)?;
        $check::<internal::StatusUpdateMessage>($($argument),*)?;
        $check::<internal::log::RecoverResponse>($($argument),*)?;
        $check::<messor_proto::csi::v0::VolumeCapability>($($argument),*)?;
        $check::<mesos::csi::state::VolumeState>($($argument),*)?;
        $check::<messor_proto::oci::spec::image::v1::Configuration>($($argument),*)?;
    }};
}

fn sample<M: Wire>(seed: u64) -> M {
    let bytes = Sample::new(seed).message(M::TABLE);
    M::decode_checked(&bytes).expect("a complete message is taken")
}

/// What is written reads back as the same, but for written defaults, which are then set.
fn json_round_trip<M: Wire>(seed: u64) -> Result<(), TestCaseError> {
    let message = sample::<M>(seed);
    for version in [Version::V0, Version::V1, Version::V1Names] {
        let text = message.to_json(version);
        let parsed: Result<serde_json::Value, _> = serde_json::from_slice(&text);
        prop_assert!(parsed.is_ok(), "{} wrote bad JSON: {parsed:?}", M::NAME);
        let back = M::from_json(&text, version);
        prop_assert!(back.is_ok(), "{} does not read what it wrote: {:?}", M::NAME, back.err());
        let again = back.expect("checked").to_json(version);
        prop_assert_eq!(String::from_utf8_lossy(&text), String::from_utf8_lossy(&again));
    }
    // With its defaults set, a message reads back as it is.
    let full = M::from_json(&message.to_json(Version::V0), Version::V0).expect("checked");
    let back = M::from_json(&full.to_json(Version::V0), Version::V0).expect("checked");
    prop_assert!(back == full, "{} changes from {full:?} to {back:?}", M::NAME);
    Ok(())
}

/// A message without one of its required fields is refused, with that field's path, in binary and in JSON.
fn omission_is_found<M: Wire>(seed: u64) -> Result<(), TestCaseError> {
    let mut complete = Sample::new(seed);
    complete.message(M::TABLE);
    if complete.required() == 0 {
        return Ok(());
    }
    let mut lacking = Sample::new(seed);
    lacking.omit = Some((seed % complete.required() as u64) as usize);
    let bytes = lacking.message(M::TABLE);
    let Some(path) = lacking.omitted else { return Ok(()) };
    let error = M::decode_checked(&bytes).err();
    prop_assert_eq!(error.map(|error| error.problem), Some(Problem::Missing(path)));
    Ok(())
}

/// v1's numbering holds all that v1 has: a second passage changes nothing.
fn numbering_round_trip<M: Wire>(seed: u64) -> Result<(), TestCaseError> {
    let message = sample::<M>(seed);
    let once =
        M::decode_checked_as(&message.encode_as(Version::V1), Version::V1).expect("what v1 has is complete");
    let twice =
        M::decode_checked_as(&once.encode_as(Version::V1), Version::V1).expect("what v1 has is complete");
    prop_assert!(once == twice, "{} changes", M::NAME);
    prop_assert_eq!(M::decode_checked(&message.encode_bytes()), Ok(message));
    Ok(())
}

/// Nothing that comes from outside makes a reader panic: it answers or refuses.
fn takes_or_refuses<M: Wire>(bytes: &[u8]) -> Result<(), TestCaseError> {
    for version in [Version::V0, Version::V1, Version::V1Names] {
        if let Ok(message) = M::from_json(bytes, version) {
            let again = M::from_json(&message.to_json(version), version);
            prop_assert!(again.is_ok(), "{} took what it cannot write: {:?}", M::NAME, again.err());
        }
        let _ = M::list_from_json(bytes, version);
        if let Ok(message) = M::decode_checked_as(bytes, version) {
            let again = M::decode_checked_as(&message.encode_as(version), version);
            prop_assert!(again.is_ok(), "{} took what it cannot encode: {:?}", M::NAME, again.err());
        }
    }
    Ok(())
}

/// A good message with some of its bytes changed gets further into the readers than noise does.
fn damaged<M: Wire>(seed: u64, changes: &[(usize, u8)]) -> Result<(), TestCaseError> {
    let message = sample::<M>(seed);
    for mut bytes in [message.to_json(Version::V1), message.encode_bytes()] {
        for (place, byte) in changes {
            if !bytes.is_empty() {
                let place = place % bytes.len();
                bytes[place] = *byte;
            }
        }
        takes_or_refuses::<M>(&bytes)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_reads_back(seed in any::<u64>()) {
        each!(json_round_trip(seed));
    }

    #[test]
    fn missing_required_fields_are_named(seed in any::<u64>()) {
        each!(omission_is_found(seed));
    }

    #[test]
    fn both_numberings_read_back(seed in any::<u64>()) {
        each!(numbering_round_trip(seed));
    }

    #[test]
    fn noise_is_refused_calmly(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        each!(takes_or_refuses(&bytes));
    }

    #[test]
    fn text_is_refused_calmly(text in "[\\[\\]{}:,\"a-f0-9.eE+\\-\\\\utrlns ]{0,80}") {
        each!(takes_or_refuses(text.as_bytes()));
    }

    #[test]
    fn damage_is_refused_calmly(
        seed in any::<u64>(),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        each!(damaged(seed, &changes));
    }
}
