//! The two traits that every generated message and enum has. Here is what they promise; the work is done by
//! `binary` and `json` over the tables.

use crate::binary::{self, DecodeError};
use crate::json::{self, JsonError};
use crate::table::{EnumTable, MessageTable};

/// Which API a name or a layout belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// libprocess messages and the older endpoints: `slave_id`, `REASON_SLAVE_REMOVED`.
    V0,
    /// `/api/v1` and its streams: `agent_id`, `REASON_AGENT_REMOVED`.
    V1,
    /// v0's fields under v1's names. So Mesos answers the reads that it writes straight from its state
    /// (GET_STATE, GET_AGENTS, GET_FRAMEWORKS, GET_EXECUTORS, GET_TASKS), which shows in
    /// `agent_info.checkpoint`: v1 does not have it, and these answers do. In binary it is v0.
    V1Names,
}

impl Version {
    pub fn pick<T>(self, v0: T, v1: T) -> T {
        match self {
            Version::V0 => v0,
            Version::V1 | Version::V1Names => v1,
        }
    }
}

/// A message of the wire.
pub trait Wire: prost::Message + Clone + PartialEq + std::fmt::Debug + Default + 'static {
    #[doc(hidden)]
    const TABLE: &'static MessageTable;

    /// The full name of the message in v0, as libprocess sends it: `mesos.internal.RegisterSlaveMessage`.
    const NAME: &'static str = Self::TABLE.name;

    /// prost's own decoding, which takes a message with missing required fields without a word. Made in this
    /// crate once, not in each crate that decodes.
    #[doc(hidden)]
    fn decode_unchecked(bytes: &[u8]) -> Result<Self, prost::DecodeError>;

    /// The message in v0's numbering, which is the form of everything kept and of all libprocess messages.
    fn encode_bytes(&self) -> Vec<u8>;

    /// Appends the message as JSON, with the names of `version`.
    fn write_json(&self, out: &mut Vec<u8>, version: Version);

    /// Decodes v0's numbering; a missing required field is an error that names its path.
    fn decode_checked(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_checked_as(bytes, Version::V0)
    }

    /// Decodes the numbering of `version`: it matters for scheduler calls (SUBSCRIBE) and master calls
    /// (DRAIN_AGENT), and is the same for all else.
    fn decode_checked_as(bytes: &[u8], version: Version) -> Result<Self, DecodeError> {
        let normal = binary::normalise(Self::TABLE, bytes, version)?;
        binary::check(Self::TABLE, &normal, version)?;
        Self::decode_unchecked(&normal).map_err(|error| binary::refused(Self::TABLE, &error))
    }

    /// The fields of an encoded message that this version does not know, as they lie in the bytes (not those of
    /// messages within). Appended to an encoding, they are handed on.
    fn unknown_fields(bytes: &[u8]) -> Vec<u8> {
        crate::raw::unknown(Self::TABLE, bytes)
    }

    /// Encodes in the numbering of `version`, the counterpart of [`Wire::decode_checked_as`].
    fn encode_as(&self, version: Version) -> Vec<u8> {
        binary::renumber(Self::TABLE, self.encode_bytes(), version)
    }

    /// The message as JSON, with the names of `version`.
    fn to_json(&self, version: Version) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_json(&mut out, version);
        out
    }

    /// Reads a JSON object, with the names of `version` and the coercions of Mesos.
    fn from_json(text: &[u8], version: Version) -> Result<Self, JsonError> {
        let bytes = json::read::object(Self::TABLE, text, version)?;
        Self::decode_unchecked(&bytes).map_err(|error| JsonError::from_decoding(&error))
    }

    /// Reads a JSON array of objects.
    fn list_from_json(text: &[u8], version: Version) -> Result<Vec<Self>, JsonError> {
        let items = json::read::list(Self::TABLE, text, version)?;
        let decode = |bytes: &Vec<u8>| Self::decode_unchecked(bytes);
        items.iter().map(decode).collect::<Result<_, _>>().map_err(|error| JsonError::from_decoding(&error))
    }
}

/// An enum of the wire.
pub trait WireEnum: Copy + Sized + 'static {
    #[doc(hidden)]
    const TABLE: &'static EnumTable;

    /// None for a number that this version of the protocol does not know.
    fn from_number(number: i32) -> Option<Self>;

    fn number(self) -> i32;

    /// The value's name on the wire: `TASK_RUNNING`, and `REASON_SLAVE_REMOVED` or `REASON_AGENT_REMOVED`.
    fn wire_name(self, version: Version) -> &'static str {
        Self::TABLE.name_of(self.number(), version).unwrap_or_default()
    }

    fn from_wire_name(name: &str, version: Version) -> Option<Self> {
        Self::TABLE.number_of(name.as_bytes(), version).and_then(Self::from_number)
    }
}
