//! Zip archives: which kinds of entry there are and what becomes of each.

use std::fs::File;
use std::io::{BufReader, Read};

use zip::ZipArchive;

use super::{Attributes, BUFFER_BYTES, ExtractError, Extraction, refused};

/// Longer than any path the kernel resolves.
const LINK_BYTES: u64 = 4096;

pub(super) fn extract(file: File, target: &mut Extraction<'_>) -> Result<(), ExtractError> {
    let broken = |error: zip::result::ZipError| ExtractError::Zip(error.to_string());
    let mut archive = ZipArchive::new(BufReader::with_capacity(BUFFER_BYTES, file)).map_err(broken)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(broken)?;
        let name = entry.name_raw().to_vec();
        let mode = entry.unix_mode();
        if entry.is_symlink() {
            let mut to = Vec::new();
            entry.by_ref().take(LINK_BYTES + 1).read_to_end(&mut to).map_err(ExtractError::Read)?;
            if to.is_empty() || to.len() as u64 > LINK_BYTES {
                return Err(refused(&name, "is a symbolic link whose target is empty or too long"));
            }
            target.symlink(&name, &to)?;
        } else if entry.is_dir() {
            target.directory(&name, Attributes { mode: mode.unwrap_or(0o755) & 0o777, modified: None })?;
        } else {
            let mode = mode.unwrap_or(0o644) & 0o777;
            target.file(&name, Attributes { mode, modified: None }, &mut entry)?;
        }
    }
    Ok(())
}
