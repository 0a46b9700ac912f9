//! Tar archives: which kinds of entry there are and what becomes of each.

use std::io::Read;
use std::time::{Duration, SystemTime};

use tar::EntryType;

use super::{Attributes, ExtractError, Extraction, refused};

pub(super) fn extract(reader: impl Read, target: &mut Extraction<'_>) -> Result<(), ExtractError> {
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries().map_err(ExtractError::Read)? {
        let mut entry = entry.map_err(ExtractError::Read)?;
        let name = entry.path_bytes().into_owned();
        let attributes = attributes(entry.header())?;
        let link = || entry.link_name_bytes().map(|target| target.into_owned());
        match entry.header().entry_type() {
            // Archives from before ustar mark a directory by its slash alone.
            EntryType::Regular if name.ends_with(b"/") => target.directory(&name, attributes)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                target.file(&name, attributes, &mut entry)?;
            }
            EntryType::Directory => target.directory(&name, attributes)?,
            EntryType::Symlink => {
                let to = link().ok_or_else(|| refused(&name, "is a symbolic link to nothing"))?;
                target.symlink(&name, &to)?;
            }
            EntryType::Link => {
                let to = link().ok_or_else(|| refused(&name, "is a hard link to nothing"))?;
                target.hard_link(&name, &to)?;
            }
            EntryType::Fifo => target.fifo(&name, attributes)?,
            EntryType::Char | EntryType::Block => {
                return Err(refused(&name, "is a device node, which the fetcher does not create"));
            }
            // Headers that speak of the archive as a whole, and its label.
            EntryType::XGlobalHeader => {}
            other if other.as_byte() == b'V' => {}
            _ => return Err(refused(&name, "is of a kind the fetcher does not know")),
        }
    }
    Ok(())
}

fn attributes(header: &tar::Header) -> Result<Attributes, ExtractError> {
    let seconds = header.mtime().map_err(ExtractError::Read)?;
    Ok(Attributes {
        mode: header.mode().map_err(ExtractError::Read)? & 0o777,
        modified: SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)),
    })
}
