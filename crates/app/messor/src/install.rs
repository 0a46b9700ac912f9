//! `messor install DIRECTORY`: links by the names of Mesos, all or none. It overwrites nothing but links to a messor.
//! With `--share=DIRECTORY` also manual pages and completion scripts, which it does overwrite.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::documents::{self, Document};
use crate::programs::names;
use crate::{refuse, say};

#[derive(Debug, thiserror::Error)]
enum InstallError {
    #[error("cannot tell where messor itself is: {0}")]
    Itself(io::Error),
    #[error("cannot make directory '{directory}': {error}")]
    Directory { directory: PathBuf, error: io::Error },
    #[error("'{}' would be overwritten, and is no link to messor: move it away first", .0.display())]
    InTheWay(PathBuf),
    #[error("cannot make link '{link}': {error}")]
    Link { link: PathBuf, error: io::Error },
    #[error("cannot write '{path}': {error}")]
    Write { path: PathBuf, error: io::Error },
}

/// Where to put what.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    links: PathBuf,
    share: Option<PathBuf>,
}

impl Wanted {
    pub fn of(words: &[String]) -> Option<Wanted> {
        let mut links = None;
        let mut share = None;
        for word in words {
            let place = match word.strip_prefix("--share=") {
                Some(path) => (&mut share, path),
                None if word.starts_with('-') => return None,
                None => (&mut links, word.as_str()),
            };
            if place.1.is_empty() || place.0.replace(PathBuf::from(place.1)).is_some() {
                return None;
            }
        }
        Some(Wanted { links: links?, share })
    }
}

pub fn run(wanted: &Wanted) -> ExitCode {
    let done = install(&wanted.links).and_then(|links| {
        let documents = wanted.share.as_deref().map(write).transpose()?;
        Ok((links, documents))
    });
    match done {
        Ok((links, documents)) => {
            let mut text = format!("{links} links to messor in {}\n", wanted.links.display());
            if let (Some(number), Some(share)) = (documents, &wanted.share) {
                text.push_str(&format!(
                    "{number} manual pages and completion scripts in {}\n",
                    share.display()
                ));
            }
            say(&text)
        }
        Err(error) => {
            // A wrong directory is no wrong command line.
            refuse(&format!("messor install: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn make_directory(directory: &Path) -> Result<(), InstallError> {
    fs::create_dir_all(directory)
        .map_err(|error| InstallError::Directory { directory: directory.to_path_buf(), error })
}

fn install(directory: &Path) -> Result<usize, InstallError> {
    let binary = std::env::current_exe().map_err(InstallError::Itself)?;
    make_directory(directory)?;
    let links: Vec<PathBuf> = names().map(|name| directory.join(name)).collect();
    if let Some(link) = links.iter().find(|link| !is_free(link, &binary)) {
        return Err(InstallError::InTheWay(link.clone()));
    }
    for link in &links {
        // Who starts the program meanwhile finds the older link or the newer one.
        let fresh = link.with_extension("messor-new");
        symlink(&binary, &fresh)
            .and_then(|()| fs::rename(&fresh, link))
            .map_err(|error| InstallError::Link { link: link.clone(), error })?;
    }
    Ok(links.len())
}

fn write(share: &Path) -> Result<usize, InstallError> {
    let documents = documents::all();
    for Document { path, text } in &documents {
        let path = share.join(path);
        make_directory(path.parent().unwrap_or(share))?;
        fs::write(&path, text).map_err(|error| InstallError::Write { path, error })?;
    }
    Ok(documents.len())
}

/// Whether there is nothing, or a link to this messor or to another one.
fn is_free(link: &Path, binary: &Path) -> bool {
    match fs::symlink_metadata(link) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(metadata) if metadata.is_symlink() => fs::read_link(link)
            .is_ok_and(|target| target == binary || target.file_name().is_some_and(|name| name == "messor")),
        Ok(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_install() {
        let wanted = |words: &[&str]| Wanted::of(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        let both = Wanted { links: PathBuf::from("/b"), share: Some(PathBuf::from("/s")) };
        assert_eq!(wanted(&["/b", "--share=/s"]), Some(both));
        assert_eq!(wanted(&["/b"]).unwrap().share, None);
        for words in [&[][..], &["/a", "/b"], &["--share=/s"], &["/b", "--share="], &["/b", "--man=/m"]] {
            assert_eq!(wanted(words), None, "{words:?}");
        }
    }
}
