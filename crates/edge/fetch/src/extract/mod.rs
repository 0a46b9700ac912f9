//! Archives into the sandbox, none of them trusted.
//!
//! What is an archive is told by the suffix, as in Mesos; what kind it is, by its first bytes, as libarchive does.
//! Names are taken relative to the sandbox (a leading slash is dropped, `..` refused); ownership and set-id bits
//! are dropped; device nodes are refused; the number of entries and the bytes written are bounded.
//!
//! Symbolic links may point anywhere, since real archives have such: nothing is ever written through one that leads
//! out (see `sandbox`).

mod tape;
mod zip;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use flate2::read::MultiGzDecoder;

use crate::sandbox::Sandbox;

const BUFFER_BYTES: usize = 128 * 1024;
/// What an xz stream may ask of memory; `xz -9` needs 65 MB, larger dictionaries are rare.
const XZ_MEMORY_BYTES: u64 = 1 << 30;

#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    #[error("the archive cannot be read: {0}")]
    Read(io::Error),
    #[error("the zip archive cannot be read: {0}")]
    Zip(String),
    #[error("entry '{entry}' {problem}")]
    Refused { entry: String, problem: &'static str },
    #[error("entry '{entry}' cannot be written: {source}")]
    Write { entry: String, source: io::Error },
    #[error("it holds more than {0} entries")]
    TooManyEntries(u64),
    #[error("it unpacks to more than {0} bytes, which is all the space the sandbox's file system has")]
    TooManyBytes(u64),
}

/// The bounds on one archive: what is beyond them fails the fetch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub entries: u64,
    pub bytes: u64,
}

impl Limits {
    pub const ENTRIES: u64 = 1_000_000;

    /// An archive may fill the disk it is unpacked on, as in Mesos, but a bomb is stopped there with a clear error.
    pub fn of(sandbox: &Sandbox) -> io::Result<Limits> {
        Ok(Limits { entries: Limits::ENTRIES, bytes: sandbox.free_bytes()? })
    }
}

/// What the suffix says of a file.
#[derive(Debug, PartialEq, Eq)]
enum Suffix<'a> {
    Archive,
    /// A bare gzip file, and the name without the suffix.
    Gzip(&'a [u8]),
    Other,
}

fn suffix(name: &[u8]) -> Suffix<'_> {
    const ARCHIVES: [&str; 8] = [".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip"];
    if ARCHIVES.iter().any(|suffix| name.ends_with(suffix.as_bytes())) {
        return Suffix::Archive;
    }
    match name.strip_suffix(b".gz") {
        Some(rest) => Suffix::Gzip(rest),
        None => Suffix::Other,
    }
}

/// Whether a file of this name is extracted where that is asked for.
pub(crate) fn is_archive(name: &Path) -> bool {
    suffix(name.file_name().unwrap_or_default().as_bytes()) != Suffix::Other
}

/// Extracts a file of `from`, which may be the sandbox, into the sandbox's root; false if `name` is not that of an
/// archive.
pub(crate) fn extract(
    sandbox: &Sandbox,
    from: &Sandbox,
    path: &Path,
    name: &Path,
    limits: Limits,
) -> Result<bool, ExtractError> {
    let name = name.file_name().unwrap_or_default().as_bytes();
    let open = || from.open_file(path).map_err(ExtractError::Read);
    let mut target = Extraction::new(sandbox, limits);
    match suffix(name) {
        Suffix::Other => return Ok(false),
        Suffix::Gzip(rest) => {
            let mut reader = MultiGzDecoder::new(open()?);
            target.file(rest, Attributes { mode: 0o644, modified: None }, &mut reader)?;
        }
        Suffix::Archive => {
            let file = open()?;
            match Kind::of(&file).map_err(ExtractError::Read)? {
                Kind::Zip => zip::extract(file, &mut target)?,
                Kind::Gzip => tape::extract(MultiGzDecoder::new(file), &mut target)?,
                Kind::Bzip2 => tape::extract(bzip2::read::MultiBzDecoder::new(file), &mut target)?,
                Kind::Xz => tape::extract(xz(file)?, &mut target)?,
                Kind::Tar => tape::extract(io::BufReader::with_capacity(BUFFER_BYTES, file), &mut target)?,
            }
        }
    }
    target.finish()?;
    Ok(true)
}

fn xz(file: File) -> Result<impl Read, ExtractError> {
    let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES, liblzma::stream::CONCATENATED)
        .map_err(|error| ExtractError::Read(error.into()))?;
    Ok(liblzma::read::XzDecoder::new_stream(file, stream))
}

enum Kind {
    Tar,
    Gzip,
    Bzip2,
    Xz,
    Zip,
}

impl Kind {
    fn of(mut file: &File) -> io::Result<Kind> {
        let mut head = Vec::new();
        file.take(6).read_to_end(&mut head)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(match head.as_slice() {
            [0x1f, 0x8b, ..] => Kind::Gzip,
            [b'B', b'Z', b'h', ..] => Kind::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Kind::Xz,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Kind::Zip,
            _ => Kind::Tar,
        })
    }
}

/// What is kept of an entry's metadata.
#[derive(Debug, Clone, Copy)]
struct Attributes {
    mode: u32,
    modified: Option<SystemTime>,
}

/// The writing side that both kinds of archive share; the rules on names and bounds are kept here, once.
struct Extraction<'a> {
    sandbox: &'a Sandbox,
    limits: Limits,
    entries: u64,
    bytes: u64,
    /// Directories whose attributes wait until everything in them is written; bounded by `limits.entries`.
    directories: Vec<(PathBuf, Attributes)>,
}

impl<'a> Extraction<'a> {
    fn new(sandbox: &'a Sandbox, limits: Limits) -> Extraction<'a> {
        Extraction { sandbox, limits, entries: 0, bytes: 0, directories: Vec::new() }
    }

    fn directory(&mut self, name: &[u8], attributes: Attributes) -> Result<(), ExtractError> {
        self.count()?;
        // "./" stands at the head of many archives and is the sandbox itself.
        if let Some(path) = inside(name)? {
            self.sandbox.create_directory(&path, attributes.mode).map_err(writing(name))?;
            self.directories.push((path, attributes));
        }
        Ok(())
    }

    fn file(
        &mut self,
        name: &[u8],
        attributes: Attributes,
        content: &mut dyn Read,
    ) -> Result<(), ExtractError> {
        self.count()?;
        let path = inside_named(name)?;
        let mut file = self.sandbox.create_file(&path, attributes.mode).map_err(writing(name))?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ExtractError::Read(error)),
            };
            self.bytes += count as u64;
            if self.bytes > self.limits.bytes {
                return Err(ExtractError::TooManyBytes(self.limits.bytes));
            }
            file.write_all(&buffer[..count]).map_err(writing(name))?;
        }
        if let Some(modified) = attributes.modified {
            file.set_modified(modified).map_err(writing(name))?;
        }
        Ok(())
    }

    fn symlink(&mut self, name: &[u8], target: &[u8]) -> Result<(), ExtractError> {
        self.count()?;
        let path = inside_named(name)?;
        self.sandbox.create_symlink(&path, Path::new(OsStr::from_bytes(target))).map_err(writing(name))
    }

    fn hard_link(&mut self, name: &[u8], target: &[u8]) -> Result<(), ExtractError> {
        self.count()?;
        let path = inside_named(name)?;
        let target = inside_named(target)?;
        // A name linked to itself is how some archives repeat a file; making way for it would delete it.
        if path == target {
            return Ok(());
        }
        self.sandbox.create_hard_link(&path, &target).map_err(writing(name))
    }

    fn fifo(&mut self, name: &[u8], attributes: Attributes) -> Result<(), ExtractError> {
        self.count()?;
        let path = inside_named(name)?;
        self.sandbox.create_fifo(&path, attributes.mode).map_err(writing(name))
    }

    fn count(&mut self) -> Result<(), ExtractError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ExtractError::TooManyEntries(self.limits.entries));
        }
        Ok(())
    }

    /// Directories get their times and lose the rights they should not have, the deepest first. One that a later
    /// entry replaced is left alone.
    fn finish(&mut self) -> Result<(), ExtractError> {
        self.directories.sort_by(|a, b| b.0.cmp(&a.0));
        for (path, attributes) in std::mem::take(&mut self.directories) {
            let result = match attributes.modified {
                Some(modified) => self.sandbox.set_directory_modified(&path, modified),
                None => Ok(()),
            }
            .and_then(|()| match attributes.mode & 0o700 {
                0o700 => Ok(()),
                _ => self.sandbox.restrict_owner(&path, attributes.mode),
            });
            match result {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                other => other.map_err(writing(path.as_os_str().as_bytes()))?,
            }
        }
        Ok(())
    }
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn writing(name: &[u8]) -> impl FnOnce(io::Error) -> ExtractError {
    let entry = shown(name);
    move |source| ExtractError::Write { entry, source }
}

fn refused(name: &[u8], problem: &'static str) -> ExtractError {
    ExtractError::Refused { entry: shown(name), problem }
}

/// The path of an entry below the sandbox; none if it names the sandbox itself.
fn inside(name: &[u8]) -> Result<Option<PathBuf>, ExtractError> {
    if name.contains(&0) {
        return Err(refused(name, "has a NUL in its name"));
    }
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::ParentDir => {
                return Err(refused(name, "has '..' in its path, which could leave the sandbox"));
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(if path.as_os_str().is_empty() { None } else { Some(path) })
}

fn inside_named(name: &[u8]) -> Result<PathBuf, ExtractError> {
    inside(name)?.ok_or_else(|| refused(name, "has no name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn suffixes_are_those_of_mesos() {
        for name in ["a.tar", "a.tgz", "a.tar.gz", "a.tbz2", "a.tar.bz2", "a.txz", "a.tar.xz", "a.zip"] {
            assert_eq!(suffix(name.as_bytes()), Suffix::Archive, "{name}");
        }
        assert_eq!(suffix(b"a.gz"), Suffix::Gzip(b"a"));
        for name in ["a", "a.jar", "a.TAR", "a.tar.gz?x=1", "tgz", "a.bz2"] {
            assert_eq!(suffix(name.as_bytes()), Suffix::Other, "{name}");
        }
    }

    proptest! {
        #[test]
        fn names_never_lead_out(name in "[a./]{0,12}") {
            if let Ok(Some(path)) = inside(name.as_bytes()) {
                prop_assert!(path.is_relative());
                prop_assert!(path.components().all(|c| matches!(c, Component::Normal(_))));
            }
        }
    }
}
