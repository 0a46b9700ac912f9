//! A message of the registry beside its bytes. A registry that a newer version wrote may hold fields that this one does
//! not know; they are handed on, because a change of version must lose nothing.

use std::ops::Deref;
use std::sync::Arc;

use messor_proto::{DecodeError, Wire, raw};

/// Cheap to copy. While nobody changes it, it is written as it was read, to the byte; a change keeps the unknown fields
/// of the message itself, but not those of messages within it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept<T>(Arc<Inner<T>>);

#[derive(Debug, PartialEq)]
struct Inner<T> {
    message: T,
    bytes: Vec<u8>,
}

impl<T: Wire> Kept<T> {
    pub fn new(message: T) -> Kept<T> {
        let bytes = message.encode_bytes();
        Kept(Arc::new(Inner { message, bytes }))
    }

    pub fn decode(bytes: &[u8]) -> Result<Kept<T>, DecodeError> {
        Ok(Kept(Arc::new(Inner { message: T::decode_checked(bytes)?, bytes: bytes.to_vec() })))
    }

    pub fn change(&mut self, change: impl FnOnce(&mut T)) {
        let mut message = self.0.message.clone();
        change(&mut message);
        let mut bytes = message.encode_bytes();
        bytes.extend(T::unknown_fields(&self.0.bytes));
        self.0 = Arc::new(Inner { message, bytes });
    }

    pub fn put(&self, out: &mut Vec<u8>, number: u32) {
        raw::put(out, number, &self.0.bytes);
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.message
    }
}
