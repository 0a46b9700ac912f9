//! RecordIO: a record is its length in decimal digits, a newline, and its bytes. It does not look into records.

use crate::buffer::Buffer;

/// The largest record read unless the user of the decoder says otherwise.
pub const DEFAULT_RECORD_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// More digits than any length that fits 64 bits.
const HEADER_DIGITS: usize = 20;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("the length in front of a record is not a decimal number: '{0}'")]
    Length(String),
    #[error("a record of {length} bytes is larger than the limit of {limit} bytes")]
    TooLarge { length: u64, limit: usize },
    #[error("the stream ended within a record")]
    Truncated,
}

/// Appends `record` to `out` with its length in front.
pub fn encode_into(out: &mut Vec<u8>, record: &[u8]) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(record.len());
    out.reserve(digits.len() + 1 + record.len());
    out.extend_from_slice(digits.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(record);
}

/// A record with its length in front.
pub fn encode(record: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(&mut out, record);
    out
}

/// Takes a stream of bytes apart into records. It holds what was pushed and not yet taken; once a length is
/// refused every later call gives the same error.
#[derive(Debug)]
pub struct Decoder {
    buffer: Buffer,
    limit: usize,
    length: Option<usize>,
    error: Option<RecordError>,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::new(DEFAULT_RECORD_LIMIT_BYTES)
    }
}

impl Decoder {
    /// A decoder that refuses records of more than `limit` bytes.
    pub fn new(limit: usize) -> Decoder {
        Decoder { buffer: Buffer::default(), limit, length: None, error: None }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if self.error.is_none() {
            self.buffer.push(bytes);
        }
    }

    /// The next whole record, or none until more is pushed.
    pub fn next_record(&mut self) -> Result<Option<Vec<u8>>, RecordError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        self.decode().inspect_err(|error| {
            self.error = Some(error.clone());
            self.buffer = Buffer::default();
        })
    }

    fn decode(&mut self) -> Result<Option<Vec<u8>>, RecordError> {
        let length = match self.length {
            Some(length) => length,
            None => match self.decode_length()? {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        if self.buffer.len() < length {
            self.length = Some(length);
            return Ok(None);
        }
        self.length = None;
        Ok(Some(self.buffer.take(length)))
    }

    fn decode_length(&mut self) -> Result<Option<usize>, RecordError> {
        let rest = self.buffer.rest();
        let head = &rest[..rest.len().min(HEADER_DIGITS + 1)];
        let wrong = |text: &[u8]| RecordError::Length(String::from_utf8_lossy(text).into_owned());
        let end = head.iter().position(|byte| *byte == b'\n');
        let digits = &head[..end.unwrap_or(head.len())];
        if digits.len() > HEADER_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
            return Err(wrong(digits));
        }
        let Some(end) = end else { return Ok(None) };
        let length: u64 = std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| wrong(digits))?;
        match usize::try_from(length) {
            Ok(fits) if fits <= self.limit => {
                self.buffer.skip(end + 1);
                Ok(Some(fits))
            }
            _ => Err(RecordError::TooLarge { length, limit: self.limit }),
        }
    }

    /// To be called when the stream has ended: says whether it ended between records.
    pub fn finish(&self) -> Result<(), RecordError> {
        match &self.error {
            Some(error) => Err(error.clone()),
            None if self.length.is_some() || self.buffer.len() > 0 => Err(RecordError::Truncated),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drain(decoder: &mut Decoder) -> Result<Vec<Vec<u8>>, RecordError> {
        let mut records = Vec::new();
        while let Some(record) = decoder.next_record()? {
            records.push(record);
        }
        Ok(records)
    }

    #[test]
    fn documented_example() {
        let mut decoder = Decoder::default();
        decoder.push(b"5\nhello6\nworld!0\n");
        assert_eq!(drain(&mut decoder).unwrap(), [&b"hello"[..], b"world!", b""]);
        assert_eq!(decoder.finish(), Ok(()));
        assert_eq!(encode(b"world!"), b"6\nworld!");
    }

    #[test]
    fn wrong_lengths_are_final() {
        for bad in ["x\n", "\n", "-1\n", "+1\n", " 1\n", "1 \n", "0x1\n", "99999999999999999999\n", "1.0\n"] {
            let mut decoder = Decoder::default();
            decoder.push(bad.as_bytes());
            let error = decoder.next_record().unwrap_err();
            assert!(matches!(error, RecordError::Length(_)), "{bad:?}: {error}");
            decoder.push(b"1\nx");
            assert_eq!(decoder.next_record(), Err(error.clone()));
            assert_eq!(decoder.finish(), Err(error));
        }
    }

    #[test]
    fn a_header_without_end_is_refused_early() {
        let mut decoder = Decoder::default();
        decoder.push(&[b'1'; 21]);
        assert!(matches!(decoder.next_record(), Err(RecordError::Length(_))));
        let mut decoder = Decoder::default();
        decoder.push(b"1a");
        assert!(matches!(decoder.next_record(), Err(RecordError::Length(_))));
    }

    #[test]
    fn limits_hold() {
        let mut decoder = Decoder::new(4);
        decoder.push(b"4\nabcd5\n");
        assert_eq!(decoder.next_record(), Ok(Some(b"abcd".to_vec())));
        assert_eq!(decoder.next_record(), Err(RecordError::TooLarge { length: 5, limit: 4 }));
    }

    #[test]
    fn truncation_is_told() {
        for (bytes, outcome) in
            [(&b""[..], Ok(())), (b"3", Err(RecordError::Truncated)), (b"3\nab", Err(RecordError::Truncated))]
        {
            let mut decoder = Decoder::default();
            decoder.push(bytes);
            assert_eq!(decoder.next_record(), Ok(None));
            assert_eq!(decoder.finish(), outcome);
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_however_it_is_cut(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            cut in 1usize..50,
        ) {
            let mut stream = Vec::new();
            for record in &records {
                encode_into(&mut stream, record);
            }
            let mut decoder = Decoder::default();
            let mut decoded = Vec::new();
            for piece in stream.chunks(cut) {
                decoder.push(piece);
                decoded.extend(drain(&mut decoder).unwrap());
            }
            prop_assert_eq!(decoded, records);
            prop_assert_eq!(decoder.finish(), Ok(()));
        }
    }
}
