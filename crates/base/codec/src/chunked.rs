//! The chunked transfer coding of HTTP/1.1, both ways. It knows nothing of heads.

use crate::buffer::Buffer;

/// A chunk's size line (with extensions, which are ignored) and a trailer line may be this long.
const LINE_BYTES: usize = 4 * 1024;
/// All trailer lines together; they are read away.
const TRAILER_BYTES: usize = 16 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("the size of a chunk is not a hexadecimal number")]
    Size,
    #[error("a line of the chunked coding is longer than {LINE_BYTES} bytes")]
    Line,
    #[error("a chunk does not end with a line break")]
    End,
    #[error("the trailer is longer than {TRAILER_BYTES} bytes")]
    Trailer,
}

/// Appends one chunk. Nothing is written for no data, as an empty chunk would end the body.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    out.reserve(data.len() + 20);
    out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a chunked body.
pub fn write_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailer(usize),
    Done,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    More,
    Data(Vec<u8>),
    Done,
}

/// Where in a chunked body the reading is; the bytes are the caller's.
#[derive(Debug)]
pub(crate) struct Chunks(State);

impl Chunks {
    pub(crate) fn new() -> Chunks {
        Chunks(State::Size)
    }

    pub(crate) fn next(&mut self, buffer: &mut Buffer) -> Result<Chunk, ChunkError> {
        loop {
            match self.0 {
                State::Size => {
                    let Some(line) = line(buffer)? else { return Ok(Chunk::More) };
                    let size = parse_size(&line)?;
                    self.0 = if size == 0 { State::Trailer(0) } else { State::Data(size) };
                }
                State::Data(left) => {
                    if buffer.len() == 0 {
                        return Ok(Chunk::More);
                    }
                    let data = buffer.take(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - data.len() as u64;
                    self.0 = if left == 0 { State::DataEnd } else { State::Data(left) };
                    return Ok(Chunk::Data(data));
                }
                State::DataEnd => {
                    if buffer.len() < 2 {
                        return if buffer.rest().first().is_none_or(|byte| *byte == b'\r') {
                            Ok(Chunk::More)
                        } else {
                            Err(ChunkError::End)
                        };
                    }
                    if !buffer.rest().starts_with(b"\r\n") {
                        return Err(ChunkError::End);
                    }
                    buffer.skip(2);
                    self.0 = State::Size;
                }
                State::Trailer(read) => {
                    let Some(line) = line(buffer)? else { return Ok(Chunk::More) };
                    let read = read + line.len() + 2;
                    if read > TRAILER_BYTES {
                        return Err(ChunkError::Trailer);
                    }
                    self.0 = if line.is_empty() { State::Done } else { State::Trailer(read) };
                }
                State::Done => return Ok(Chunk::Done),
            }
        }
    }
}

/// Takes a line without its CRLF.
fn line(buffer: &mut Buffer) -> Result<Option<Vec<u8>>, ChunkError> {
    let rest = buffer.rest();
    match rest.iter().take(LINE_BYTES).position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = buffer.take(end + 1);
            match line.strip_suffix(b"\r\n") {
                Some(line) => Ok(Some(line.to_vec())),
                None => Err(ChunkError::End),
            }
        }
        None if rest.len() >= LINE_BYTES => Err(ChunkError::Line),
        None => Ok(None),
    }
}

fn parse_size(line: &[u8]) -> Result<u64, ChunkError> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(ChunkError::Size);
    }
    std::str::from_utf8(digits)
        .ok()
        .and_then(|text| u64::from_str_radix(text, 16).ok())
        .ok_or(ChunkError::Size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool), ChunkError> {
        let mut buffer = Buffer::default();
        let mut chunks = Chunks::new();
        let mut body = Vec::new();
        for piece in pieces {
            buffer.push(piece);
            loop {
                match chunks.next(&mut buffer)? {
                    Chunk::More => break,
                    Chunk::Data(data) => body.extend(data),
                    Chunk::Done => return Ok((body, true)),
                }
            }
        }
        Ok((body, false))
    }

    #[test]
    fn sizes_extensions_and_trailers() {
        let body = b"4;name=value\r\nWiki\r\n5 \r\npedia\r\n0\r\nExpires: never\r\n\r\n";
        assert_eq!(decode(&[body]), Ok((b"Wikipedia".to_vec(), true)));
        assert_eq!(decode(&[b"A\r\n0123456789\r\n"]), Ok((b"0123456789".to_vec(), false)));
    }

    #[test]
    fn broken_codings_are_refused() {
        for (bytes, error) in [
            (&b"x\r\n"[..], ChunkError::Size),
            (b"\r\n", ChunkError::Size),
            (b"-1\r\n", ChunkError::Size),
            (b"11111111111111111\r\n", ChunkError::Size),
            (b"1\nx", ChunkError::End),
            (b"1\r\nxy\r\n", ChunkError::End),
            (b"1\r\nxy", ChunkError::End),
        ] {
            assert_eq!(decode(&[bytes]), Err(error), "{bytes:?}");
        }
        assert_eq!(decode(&[&[b'0'; LINE_BYTES]]), Err(ChunkError::Line));
        let mut long = b"0\r\n".to_vec();
        long.extend(b"trailer: x\r\n".repeat(2000));
        assert_eq!(decode(&[&long]), Err(ChunkError::Trailer));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_however_it_is_cut(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..10),
            cut in 1usize..40,
        ) {
            let mut coded = Vec::new();
            for part in &parts {
                write_chunk(&mut coded, part);
            }
            write_end(&mut coded);
            let pieces: Vec<&[u8]> = coded.chunks(cut).collect();
            prop_assert_eq!(decode(&pieces), Ok((parts.concat(), true)));
        }
    }
}
