//! Values as bytes, for the two ends of one protocol on one host. Lengths stand before what they count.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

#[derive(Debug, Default)]
pub(crate) struct Encoder<'a> {
    pub bytes: Vec<u8>,
    /// Sent beside the bytes, in this order.
    pub descriptors: Vec<BorrowedFd<'a>>,
}

impl<'a> Encoder<'a> {
    pub fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub fn truth(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    pub fn number(&mut self, value: u64) {
        self.bytes.extend(value.to_ne_bytes());
    }

    pub fn signed(&mut self, value: i32) {
        self.bytes.extend(value.to_ne_bytes());
    }

    pub fn text(&mut self, text: impl AsRef<OsStr>) {
        let bytes = text.as_ref().as_bytes();
        self.number(bytes.len() as u64);
        self.bytes.extend(bytes);
    }

    pub fn descriptor(&mut self, descriptor: BorrowedFd<'a>) {
        self.descriptors.push(descriptor);
    }

    pub fn option<T>(&mut self, value: Option<T>, encode: impl FnOnce(&mut Self, T)) {
        self.truth(value.is_some());
        if let Some(value) = value {
            encode(self, value);
        }
    }

    pub fn list<T>(
        &mut self,
        values: impl ExactSizeIterator<Item = T>,
        mut encode: impl FnMut(&mut Self, T),
    ) {
        self.number(values.len() as u64);
        for value in values {
            encode(self, value);
        }
    }
}

/// What cannot be decoded is from somebody who speaks something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of the warden's protocol has an unknown form")]
pub(crate) struct Malformed;

#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    pub bytes: &'a [u8],
    pub descriptors: VecDeque<OwnedFd>,
}

pub(crate) type Decoded<T> = Result<T, Malformed>;

impl Decoder<'_> {
    fn take<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        let (head, rest) = self.bytes.split_first_chunk::<N>().ok_or(Malformed)?;
        self.bytes = rest;
        Ok(*head)
    }

    pub fn byte(&mut self) -> Decoded<u8> {
        Ok(self.take::<1>()?[0])
    }

    pub fn truth(&mut self) -> Decoded<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    pub fn number(&mut self) -> Decoded<u64> {
        Ok(u64::from_ne_bytes(self.take()?))
    }

    pub fn signed(&mut self) -> Decoded<i32> {
        Ok(i32::from_ne_bytes(self.take()?))
    }

    pub fn os_text(&mut self) -> Decoded<OsString> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        let (text, rest) = self.bytes.split_at_checked(length).ok_or(Malformed)?;
        self.bytes = rest;
        Ok(OsString::from_vec(text.to_vec()))
    }

    pub fn text(&mut self) -> Decoded<String> {
        self.os_text()?.into_string().map_err(|_| Malformed)
    }

    pub fn path(&mut self) -> Decoded<PathBuf> {
        Ok(self.os_text()?.into())
    }

    pub fn descriptor(&mut self) -> Decoded<OwnedFd> {
        self.descriptors.pop_front().ok_or(Malformed)
    }

    pub fn option<T>(&mut self, decode: impl FnOnce(&mut Self) -> Decoded<T>) -> Decoded<Option<T>> {
        if self.truth()? { decode(self).map(Some) } else { Ok(None) }
    }

    pub fn list<T>(&mut self, mut decode: impl FnMut(&mut Self) -> Decoded<T>) -> Decoded<Vec<T>> {
        let length = self.number()?;
        // Each takes a byte at least: more than are left cannot be.
        if length > self.bytes.len() as u64 {
            return Err(Malformed);
        }
        (0..length).map(|_| decode(self)).collect()
    }

    /// Nothing may be left over.
    pub fn end(self) -> Decoded<()> {
        if self.bytes.is_empty() && self.descriptors.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

pub(crate) fn path(encoder: &mut Encoder<'_>, path: &Path) {
    encoder.text(path);
}
