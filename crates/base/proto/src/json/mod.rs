//! JSON as Apache Mesos writes and reads it: what its jsonify prints and what its parser takes, which is not
//! the JSON mapping of protobuf. Knows tables of fields, and nothing of what they mean.

mod number;
#[doc(hidden)]
pub mod put;
pub(crate) mod read;
mod scan;
mod writer;

pub use writer::{JsonWriter, Sink};

use thiserror::Error;

/// Objects and arrays nest at most this deep, in what is read.
pub const MAX_DEPTH: u32 = 200;

/// A repeated key costs a pass over its object, so that only so many are taken in one document.
pub const MAX_REPEATED_KEYS: u32 = 64;

/// A document that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JsonError {
    #[error("not valid JSON at byte {at}: {problem}")]
    Syntax { at: usize, problem: &'static str },
    #[error("a JSON object is expected")]
    NotAnObject,
    #[error("a JSON array of objects is expected")]
    NotAnArray,
    #[error("the required field {0} is missing")]
    Missing(String),
    #[error("the field {field}: {problem}")]
    Field { field: String, problem: String },
    #[error("objects and arrays are nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    #[error("more than {MAX_REPEATED_KEYS} keys are given twice in one object")]
    TooManyRepeatedKeys,
    #[error("cannot be held: {0}")]
    Refused(String),
}

impl JsonError {
    /// What prost refuses of the bytes made from a document: messages nested too deep.
    pub(crate) fn from_decoding(error: &prost::DecodeError) -> JsonError {
        JsonError::Refused(error.to_string())
    }

    /// True where the text is no JSON at all, false where it is JSON but not the message.
    pub fn is_syntax(&self) -> bool {
        matches!(self, JsonError::Syntax { .. } | JsonError::TooDeep)
    }
}
