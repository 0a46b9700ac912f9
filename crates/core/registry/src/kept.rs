//! A message of the registry beside its bytes. A registry that a newer version wrote may hold fields that this one does
//! not know; they are handed on, because a change of version must lose nothing.

use std::marker::PhantomData;
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

/// A changed message, with what is not known of it.
fn with_unknown_of<T: Wire>(old: &[u8], message: &T) -> Vec<u8> {
    let mut bytes = message.encode_bytes();
    bytes.extend(T::unknown_fields(old));
    bytes
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
        let bytes = with_unknown_of(&self.0.bytes, &message);
        self.0 = Arc::new(Inner { message, bytes });
    }

    pub fn put(&self, out: &mut Vec<u8>, number: u32) {
        raw::put(out, number, self.bytes());
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// The same without the message beside its bytes, which takes ten times as much: for what there is much of and what is rarely
/// looked at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packed<T> {
    bytes: Arc<[u8]>,
    of: PhantomData<fn() -> T>,
}

impl<T: Wire> Packed<T> {
    pub fn new(message: &T) -> Packed<T> {
        Packed { bytes: message.encode_bytes().into(), of: PhantomData }
    }

    /// With what it says.
    pub fn decode(bytes: &[u8]) -> Result<(Packed<T>, T), DecodeError> {
        let message = T::decode_checked(bytes)?;
        Ok((Packed { bytes: bytes.into(), of: PhantomData }, message))
    }

    pub fn message(&self) -> T {
        T::decode_unchecked(&self.bytes).expect("it was read once before, or written here")
    }

    pub fn change(&mut self, change: impl FnOnce(&mut T)) {
        let mut message = self.message();
        change(&mut message);
        self.bytes = with_unknown_of(&self.bytes, &message).into();
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.message
    }
}
