//! Tests of the wire: JSON by cases and by laws, required fields, the differences of the versions, and answers
//! that Apache Mesos 1.11.0 gave.

mod binary;
mod corpus;
mod json_number;
mod json_reading;
mod json_scan;
mod json_writer;
mod json_writing;
mod laws;
mod oracle;
mod private;
mod raw;
mod sample;

/// What lies in a file beside these tests.
#[expect(clippy::disallowed_methods, reason = "test data")]
fn file(path: &std::path::Path) -> Vec<u8> {
    std::fs::read(path).expect("the file is readable")
}

fn folder(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(name)
}
