//! The numbers of LevelDB's files: fixed and variable length, and the checksum. Must not know any file.

/// LevelDB rotates and shifts a checksum that is kept beside its data, as data may hold checksums itself.
const MASK_DELTA: u32 = 0xa282_ead8;

/// The checksum over parts, as it is kept.
pub(crate) fn checksum(parts: &[&[u8]]) -> u32 {
    let plain = parts.iter().fold(0, |sum, part| crc32c::crc32c_append(sum, part));
    plain.rotate_right(15).wrapping_add(MASK_DELTA)
}

pub(crate) fn put_varint(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

pub(crate) fn put_slice(into: &mut Vec<u8>, slice: &[u8]) {
    put_varint(into, slice.len() as u64);
    into.extend_from_slice(slice);
}

/// Takes numbers and slices off the front; `None` once they are not whole.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(front)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|front| front[0])
    }

    pub(crate) fn fixed32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    pub(crate) fn fixed64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.varint()?).ok()
    }

    pub(crate) fn slice(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_leveldb() {
        // The first record of a MANIFEST that LevelDB 1.19 made.
        let mut data = vec![1];
        data.extend_from_slice(b"\x01\x1aleveldb.BytewiseComparator");
        assert_eq!(checksum(&[&data]), 0xf8b8_f956);
    }

    #[test]
    fn numbers_come_back_and_broken_ones_do_not() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            assert_eq!(Input(&bytes).varint(), Some(number));
            assert_eq!(Input(&bytes[..bytes.len() - 1]).varint(), None);
        }
        assert_eq!(Input(&[0xff; 20]).varint(), None);
        assert_eq!(Input(&[3, 1, 2]).slice(), None);
    }
}
