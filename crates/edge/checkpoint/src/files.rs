//! Files with messages in them: each behind its length in 4 bytes, little end first, as Apache Mesos writes them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use messor_proto::{DecodeError, Wire};

/// No message is longer; a length that says so is not one. It is what protobuf allows at most.
const MESSAGE_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// State is for the agent alone. Apache Mesos lets everybody read what is appended to: the updates of tasks, with what their
/// executors say in them, which is no business of other tasks' users.
pub(crate) const PRIVATE: u32 = 0o600;
/// …but what is empty.
pub(crate) const PUBLIC: u32 = 0o644;

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("'{path}': {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("'{path}' ends within a message: it is cut off or damaged")]
    Cut { path: PathBuf },
    #[error("'{path}' is damaged: {source}")]
    Decode { path: PathBuf, source: DecodeError },
    #[error("'{path}' is damaged: '{text}' is not what belongs there")]
    Text { path: PathBuf, text: String },
    #[error("'{path}' is damaged: a message of {length} bytes is too long")]
    Long { path: PathBuf, length: usize },
}

impl FileError {
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> FileError {
        move |source| FileError::Io { path: path.to_path_buf(), source }
    }

    pub(crate) fn text(path: &Path, text: &str) -> FileError {
        FileError::Text { path: path.to_path_buf(), text: text.chars().take(100).collect() }
    }
}

/// One message behind its length, as it is in a file.
pub(crate) fn framed(message: &impl Wire) -> Vec<u8> {
    let body = message.encode_bytes();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(4 + body.len());
    bytes.extend(length.to_le_bytes());
    bytes.extend(body);
    bytes
}

/// Makes or replaces a file in one step. It survives this process, not a failure of the host's power.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let failed = FileError::io(path);
    let new = beside(path, 0);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(&failed)?;
    }
    let mut file = OpenOptions::new();
    let file = file.write(true).create(true).truncate(true).mode(PRIVATE).open(&new);
    file.and_then(|mut file| file.write_all(bytes)).map_err(&failed)?;
    fs::rename(&new, path).map_err(&failed)
}

/// Makes or replaces a file of one message, as [`write_file`].
pub fn write_message(path: &Path, message: &impl Wire) -> Result<(), FileError> {
    write_file(path, &framed(message))
}

/// The message of a file; nothing where there is no file or nothing in it.
pub fn read_optional<M: Wire>(path: &Path) -> Result<Option<M>, FileError> {
    Ok(match read_message(path)? {
        Content::Message(message) => Some(message),
        Content::Missing | Content::Empty => None,
    })
}

/// Where a file is written before it takes the place of the present one.
pub(crate) fn beside(path: &Path, number: usize) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{number}.new"))
}

/// The file's text; nothing where there is no file.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, FileError> {
    match fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.trim().to_string())),
            Err(error) => Err(FileError::text(path, &String::from_utf8_lossy(error.as_bytes()))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::Io { path: path.to_path_buf(), source }),
    }
}

/// What a file of one message holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Content<M> {
    Missing,
    /// Made and never filled: the host went down.
    Empty,
    Message(M),
}

pub(crate) fn read_message<M: Wire>(path: &Path) -> Result<Content<M>, FileError> {
    let Some(mut reader) = Reader::open(path, OpenOptions::new().read(true))? else {
        return Ok(Content::Missing);
    };
    match reader.next()? {
        Next::Message(message) => Ok(Content::Message(message)),
        Next::End => Ok(Content::Empty),
        Next::Cut => Err(FileError::Cut { path: path.to_path_buf() }),
    }
}

/// All messages of a file; nothing where there is no file.
pub(crate) fn read_messages<M: Wire>(path: &Path) -> Result<Option<Vec<M>>, FileError> {
    let Some(mut reader) = Reader::open(path, OpenOptions::new().read(true))? else { return Ok(None) };
    let mut messages = Vec::new();
    loop {
        match reader.next()? {
            Next::Message(message) => messages.push(message),
            Next::End => return Ok(Some(messages)),
            Next::Cut => return Err(FileError::Cut { path: path.to_path_buf() }),
        }
    }
}

/// What a file that is appended to holds.
#[derive(Debug)]
pub(crate) struct Journal<M> {
    pub messages: Vec<M>,
    /// Bytes of a message that was being appended when the agent or the host went down, now cut off.
    pub torn: u64,
    /// A message that is whole and cannot be decoded; it and all after it are cut off too, if that is allowed.
    pub error: Option<FileError>,
}

/// Reads a file that is appended to, and cuts it where it is not whole, so that what is appended next is found again.
/// A strict reader leaves the file alone if a whole message in it is damaged: its user decides what becomes of it.
pub(crate) fn read_journal<M: Wire>(path: &Path, strict: bool) -> Result<Option<Journal<M>>, FileError> {
    let Some(mut reader) = Reader::open(path, OpenOptions::new().read(true).write(true))? else {
        return Ok(None);
    };
    let mut journal = Journal { messages: Vec::new(), torn: 0, error: None };
    loop {
        match reader.next() {
            Ok(Next::Message(message)) => journal.messages.push(message),
            Ok(Next::End | Next::Cut) => break,
            Err(error @ FileError::Io { .. }) => return Err(error),
            // The host went down when the file was already longer, and what makes it so was not yet on the disk.
            Err(_) if is_zero_from(path, reader.whole)? => break,
            Err(error) => {
                journal.error = Some(error);
                break;
            }
        }
    }
    if strict && journal.error.is_some() {
        return Ok(Some(journal));
    }
    let failed = FileError::io(path);
    let file = reader.file.get_ref();
    let length = file.metadata().map_err(&failed)?.len();
    journal.torn = length.saturating_sub(reader.whole);
    if journal.torn > 0 {
        file.set_len(reader.whole).and_then(|()| file.sync_all()).map_err(&failed)?;
    }
    Ok(Some(journal))
}

/// No message that is written anywhere here has no bytes, so zeros are none.
fn is_zero_from(path: &Path, from: u64) -> Result<bool, FileError> {
    let bytes = fs::read(path).map_err(FileError::io(path))?;
    let rest = usize::try_from(from).ok().and_then(|from| bytes.get(from..)).unwrap_or_default();
    Ok(rest.iter().all(|byte| *byte == 0))
}

enum Next<M> {
    Message(M),
    End,
    Cut,
}

struct Reader<'p> {
    path: &'p Path,
    file: BufReader<File>,
    /// So far everything was whole.
    whole: u64,
}

impl<'p> Reader<'p> {
    fn open(path: &'p Path, options: &OpenOptions) -> Result<Option<Reader<'p>>, FileError> {
        match options.open(path) {
            Ok(file) => Ok(Some(Reader { path, file: BufReader::new(file), whole: 0 })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FileError::Io { path: path.to_path_buf(), source }),
        }
    }

    fn next<M: Wire>(&mut self) -> Result<Next<M>, FileError> {
        let mut prefix = Vec::with_capacity(4);
        match self.take(4, &mut prefix)? {
            0 => return Ok(Next::End),
            4 => {}
            _ => return Ok(Next::Cut),
        }
        let length = prefix.iter().rev().fold(0, |length: usize, byte| length << 8 | usize::from(*byte));
        let mut body = Vec::new();
        if length > MESSAGE_LIMIT_BYTES {
            let left = self.take(length, &mut Vec::new())?;
            return match left < length {
                true => Ok(Next::Cut),
                false => Err(FileError::Long { path: self.path.to_path_buf(), length }),
            };
        }
        if self.take(length, &mut body)? < length {
            return Ok(Next::Cut);
        }
        let message = M::decode_checked(&body)
            .map_err(|source| FileError::Decode { path: self.path.to_path_buf(), source })?;
        self.whole += 4 + length as u64;
        Ok(Next::Message(message))
    }

    fn take(&mut self, length: usize, buffer: &mut Vec<u8>) -> Result<usize, FileError> {
        let limited = (&mut self.file).take(length.min(MESSAGE_LIMIT_BYTES + 1) as u64);
        let mut limited = limited;
        limited.read_to_end(buffer).map_err(FileError::io(self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::TaskId;

    fn id(value: &str) -> TaskId {
        TaskId { value: value.to_string() }
    }

    #[test]
    fn a_message_stands_behind_its_length() {
        assert_eq!(framed(&id("ab")), [4, 0, 0, 0, 10, 2, b'a', b'b']);
    }

    #[test]
    fn one_message_is_there_or_not_or_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/file");
        assert_eq!(read_message::<TaskId>(&path).unwrap(), Content::Missing);
        write_file(&path, b"").unwrap();
        assert_eq!(read_message::<TaskId>(&path).unwrap(), Content::Empty);
        write_file(&path, &framed(&id("a"))).unwrap();
        assert_eq!(read_message(&path).unwrap(), Content::Message(id("a")));
        write_file(&path, &framed(&id("a"))[..6]).unwrap();
        assert!(read_message::<TaskId>(&path).unwrap_err().to_string().contains("cut off or damaged"));
        write_file(&path, &[1, 0, 0, 0, 255]).unwrap();
        assert!(matches!(read_message::<TaskId>(&path), Err(FileError::Decode { .. })));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_torn_end_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("task.updates");
        assert!(read_journal::<TaskId>(&path, false).unwrap().is_none());
        let whole: Vec<u8> = [framed(&id("a")), framed(&id("b"))].concat();
        let third = framed(&id("third"));
        for cut in 0..third.len() {
            fs::write(&path, [&whole[..], &third[..cut]].concat()).unwrap();
            let journal = read_journal::<TaskId>(&path, false).unwrap().unwrap();
            assert_eq!((journal.messages, journal.torn), (vec![id("a"), id("b")], cut as u64));
            assert!(journal.error.is_none());
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
        // The file was made longer, and the host went down before the rest was there.
        for zeros in 1..30 {
            fs::write(&path, [&whole[..], &vec![0; zeros]].concat()).unwrap();
            let journal = read_journal::<TaskId>(&path, true).unwrap().unwrap();
            assert_eq!((journal.messages.len(), journal.torn), (2, zeros as u64));
            assert!(journal.error.is_none());
        }
        // A length of nonsense leads beyond the end as well.
        fs::write(&path, [&whole[..], &[255; 20]].concat()).unwrap();
        let journal = read_journal::<TaskId>(&path, false).unwrap().unwrap();
        assert_eq!((journal.messages.len(), journal.torn), (2, 20));
    }

    #[test]
    fn what_is_whole_and_damaged_is_an_error_and_cut_off_unless_strict() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("task.updates");
        let good = framed(&id("a"));
        let damaged = [&good[..], &[1, 0, 0, 0, 255], &good[..]].concat();
        fs::write(&path, &damaged).unwrap();
        assert!(read_journal::<TaskId>(&path, true).unwrap().unwrap().error.is_some());
        assert_eq!(fs::read(&path).unwrap(), damaged);
        let journal = read_journal::<TaskId>(&path, false).unwrap().unwrap();
        assert_eq!(journal.messages, [id("a")]);
        assert!(matches!(journal.error, Some(FileError::Decode { .. })));
        assert_eq!(fs::read(&path).unwrap(), good);
    }
}
