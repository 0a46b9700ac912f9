//! Fuzz targets: functions over bytes that panic when a parser breaks a law. Beyond not panicking itself, a parser
//! must read the same however its input is cut, and must read what it writes.
//!
//! `cargo run -p messor-fuzz -- TARGET [SECONDS]` lets libFuzzer, guided by coverage, look for an input that fails
//! (on the stable compiler: coverage needs no sanitizer). The inputs in `corpus/TARGET` are where it starts from, and
//! ordinary tests replay them; an input that failed is put there once it is mended.

mod codec;
mod flags;
mod proto;
mod resources;

/// A target's name, which is also the folder of its corpus, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("recordio", codec::recordio),
    ("http_client_response", codec::http_client_response),
    ("libprocess_request", codec::libprocess_request),
    ("target", codec::target),
    ("negotiation", codec::negotiation),
    ("flags", flags::flags),
    ("resources", resources::resources),
    ("attributes", resources::attributes),
    ("pid", resources::pid),
    ("proto_json", proto::json),
    ("proto_binary", proto::binary),
];

pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(candidate, _)| *candidate == name).map(|(_, run)| *run)
}

/// Takes the first byte for a choice, the rest for the input.
fn choice(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}

fn text(data: &[u8]) -> &str {
    match std::str::from_utf8(data) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&data[..error.valid_up_to()]).unwrap_or_default(),
    }
}
