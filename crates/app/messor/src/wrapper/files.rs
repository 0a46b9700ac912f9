//! Directories in which each file is a flag. It must not know which flags there are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::WrapperError;

/// No flag is longer.
const MOST_BYTES: u64 = 1 << 20;

/// Directories whose files are parts of one flag, `NAME:TEXT` each.
const PARTS: [&str; 2] = ["attributes", "resources"];

/// That output goes to the system's log is no flag of the daemon, and it never does here but by systemd.
const NO_LOGGER: &str = "no-logger";

struct Given {
    name: String,
    /// None of a flag without a value.
    value: Option<String>,
    path: PathBuf,
}

/// Flags as they are found.
#[derive(Default)]
pub struct Flags {
    given: Vec<Given>,
    parts: BTreeMap<&'static str, BTreeMap<String, (String, PathBuf)>>,
    ignored: Vec<PathBuf>,
}

/// The text of a file; None where there is none.
pub fn text(path: &Path) -> Result<Option<String>, WrapperError> {
    let wrong = |reason: String| WrapperError::File { path: path.to_path_buf(), reason };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(wrong(format!("it is longer than {MOST_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".to_string()))?;
    if text.contains('\0') {
        return Err(wrong("it contains a NUL".to_string()));
    }
    Ok(Some(text))
}

/// What editors and package managers leave beside files.
fn is_left_over(name: &str) -> bool {
    name.ends_with('~')
        || name.contains(".dpkg-")
        || name.contains(".ucf-")
        || [".rpmnew", ".rpmsave", ".rpmorig", ".swp", ".bak"].iter().any(|end| name.ends_with(end))
}

/// The files of a directory by name, without hidden ones; none where there is no directory.
fn list(directory: &Path) -> Result<Vec<(String, PathBuf)>, WrapperError> {
    let wrong = |reason: String| WrapperError::File { path: directory.to_path_buf(), reason };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| wrong(error.to_string()))?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| wrong(format!("the name {name:?} in it is not UTF-8")))?;
        if !name.starts_with('.') {
            found.push((name.to_string(), entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

impl Flags {
    /// Takes in a directory; with `parts`, its directories of attributes and resources too.
    pub fn read(&mut self, directory: &Path, parts: bool) -> Result<(), WrapperError> {
        for (name, path) in list(directory)? {
            if path.is_dir() {
                if let Some(flag) = PARTS.iter().find(|flag| parts && **flag == name) {
                    self.read_parts(flag, &path)?;
                }
                continue;
            }
            if is_left_over(&name) {
                self.ignored.push(path);
                continue;
            }
            let Some(text) = text(&path)? else { continue };
            let (name, value) = match name.strip_prefix('?') {
                Some(name) => (name.to_string(), None),
                None => (name, Some(text.trim_end_matches('\n').to_string())),
            };
            if name != NO_LOGGER {
                self.add(Given { name, value, path })?;
            }
        }
        Ok(())
    }

    fn read_parts(&mut self, flag: &'static str, directory: &Path) -> Result<(), WrapperError> {
        for (name, path) in list(directory)? {
            if path.is_dir() || is_left_over(&name) {
                self.ignored.push(path);
                continue;
            }
            let Some(text) = text(&path)?.filter(|text| !text.is_empty()) else { continue };
            let value = text.trim_end_matches('\n').to_string();
            let known = self.parts.entry(flag).or_default();
            if let Some((_, one)) = known.get(&name).filter(|(other, _)| *other != value) {
                return Err(WrapperError::Twice { flag: flag.to_string(), one: one.clone(), other: path });
            }
            known.insert(name, (value, path));
        }
        Ok(())
    }

    fn add(&mut self, given: Given) -> Result<(), WrapperError> {
        match self.given.iter().find(|known| known.name == given.name) {
            Some(known) if known.value == given.value => Ok(()),
            Some(known) => {
                Err(WrapperError::Twice { flag: given.name, one: known.path.clone(), other: given.path })
            }
            None => {
                self.given.push(given);
                Ok(())
            }
        }
    }

    /// A flag that no file gives.
    pub fn add_if_free(&mut self, name: &str, value: &str) {
        if !self.given.iter().any(|known| known.name == name) {
            let (name, value) = (name.to_string(), Some(value.to_string()));
            self.given.push(Given { name, value, path: PathBuf::new() });
        }
    }

    /// The words of the command line, and the files that are none.
    pub fn finish(mut self) -> (Vec<String>, Vec<PathBuf>) {
        // Beside `attributes` as a file, those of a directory would be a second flag: the parser says so.
        let at = self.given.iter().position(|given| given.path.as_os_str().is_empty());
        let parts = self.parts.into_iter().map(|(flag, parts)| {
            let words: Vec<String> = parts.iter().map(|(name, (text, _))| format!("{name}:{text}")).collect();
            Given { name: flag.to_string(), value: Some(words.join(";")), path: PathBuf::new() }
        });
        let parts: Vec<Given> = parts.filter(|given| given.value.as_deref() != Some("")).collect();
        let at = at.unwrap_or(self.given.len());
        self.given.splice(at..at, parts);
        let word = |given: Given| match given.value {
            Some(value) => format!("--{}={value}", given.name),
            None => format!("--{}", given.name),
        };
        (self.given.into_iter().map(word).collect(), self.ignored)
    }
}
