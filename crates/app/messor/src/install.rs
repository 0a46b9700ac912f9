//! `messor install DIRECTORY`: links by the names of Mesos, all or none. It overwrites nothing but links to a messor.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

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
}

pub fn run(directory: &str) -> ExitCode {
    match install(Path::new(directory)) {
        Ok(number) => say(&format!("{number} links to messor in {directory}\n")),
        Err(error) => {
            // A wrong directory is no wrong command line.
            refuse(&format!("messor install: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn install(directory: &Path) -> Result<usize, InstallError> {
    let binary = std::env::current_exe().map_err(InstallError::Itself)?;
    fs::create_dir_all(directory)
        .map_err(|error| InstallError::Directory { directory: directory.to_path_buf(), error })?;
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

/// Whether there is nothing, or a link to this messor or to another one.
fn is_free(link: &Path, binary: &Path) -> bool {
    match fs::symlink_metadata(link) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(metadata) if metadata.is_symlink() => fs::read_link(link)
            .is_ok_and(|target| target == binary || target.file_name().is_some_and(|name| name == "messor")),
        Ok(_) => false,
    }
}
