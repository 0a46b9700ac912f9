//! Bytes waiting to be decoded: appended at the end, taken from the front. It knows no format.

/// Keeps at most this much room once everything is taken, so that one large record does not stay paid for.
const KEEP_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        // Moving is paid at most once for each byte pushed: only when the taken part is the larger half.
        if self.start > 0 && self.start >= self.bytes.len() - self.start {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Forgets the first `count` bytes, or all when there are fewer.
    pub(crate) fn skip(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEEP_BYTES);
            self.start = 0;
        }
    }

    /// Takes the first `count` bytes, or all when there are fewer.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let count = count.min(self.len());
        let taken = if self.start == 0 && count == self.bytes.len() && count > KEEP_BYTES {
            // A large record that is alone here changes hands without a copy.
            return std::mem::take(&mut self.bytes);
        } else {
            self.rest()[..count].to_vec()
        };
        self.skip(count);
        taken
    }
}
