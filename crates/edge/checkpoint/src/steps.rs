//! Steps that make files durable, many at a time: everything is written first, then all files are brought to the disk,
//! then they take their places, then the directories are brought to the disk. So one wait for the disk is shared by
//! all records that were waiting, and nothing takes its place before its content is safe.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::files::{FileError, PRIVATE, PUBLIC, beside};
#[cfg(test)]
use crate::recorder::power_loss::{Op, note};

/// One change of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The file has this content, in one step.
    Write {
        path: PathBuf,
        bytes: Vec<u8>,
    },
    /// An empty file is there.
    Touch {
        path: PathBuf,
    },
    Append {
        path: PathBuf,
        bytes: Vec<u8>,
    },
    Directory {
        path: PathBuf,
    },
    /// A symbolic link leads there, in one step. What `path` is before, if anything, is a link too.
    Link {
        path: PathBuf,
        next: PathBuf,
        target: PathBuf,
    },
    /// A file that is there takes the place of another.
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    /// A file, a link, or a directory with all in it is not there any more.
    Remove {
        path: PathBuf,
    },
}

/// What is left to do of a step once the files are safe.
enum Finish {
    Rename { from: PathBuf, to: PathBuf },
    Link { path: PathBuf, next: PathBuf, target: PathBuf },
    Remove { path: PathBuf },
}

/// Files that grow, whose entries in their directories this process made safe: a further line needs no more than the file
/// itself. (Of a file that only was there nobody knows: the agent before may have been killed between the two.)
#[derive(Default)]
pub(crate) struct Safe(BTreeSet<PathBuf>);

/// Of more than so many all are forgotten, which costs a wait for the disk each.
const SAFE_LIMIT: usize = 16 * 1024;

/// The steps of some records, on their way to the disk.
#[derive(Default)]
pub(crate) struct Batch {
    safe: Safe,
    /// Files with new entries, not safe yet.
    appended: Vec<PathBuf>,
    files: Vec<(usize, PathBuf, File)>,
    finish: Vec<(usize, Finish)>,
    directories: BTreeSet<PathBuf>,
    written: usize,
    /// Records of which something failed: nothing more of them takes its place.
    bad: BTreeSet<usize>,
}

impl Batch {
    pub fn knowing(safe: Safe) -> Batch {
        Batch { safe, ..Batch::default() }
    }

    /// Writes what the steps of record `index` need, where nobody looks for it yet.
    pub fn write(&mut self, index: usize, steps: Vec<Step>) -> Result<(), FileError> {
        let written = self.write_all(index, steps);
        if written.is_err() {
            self.bad.insert(index);
        }
        written
    }

    fn write_all(&mut self, index: usize, steps: Vec<Step>) -> Result<(), FileError> {
        for step in steps {
            match step {
                Step::Write { path, bytes } => {
                    self.directory_of(&path)?;
                    let new = beside(&path, self.written);
                    self.written += 1;
                    let options = options(PRIVATE).truncate(true).clone();
                    let file = create(&options, &new, &bytes)?;
                    self.files.push((index, path.clone(), file));
                    self.finish.push((index, Finish::Rename { from: new, to: path }));
                }
                Step::Touch { path } => {
                    self.directory_of(&path)?;
                    let file = create(&options(PUBLIC), &path, b"")?;
                    self.files.push((index, path, file));
                }
                Step::Append { path, bytes } => {
                    if !(self.safe.0.contains(&path) && path.is_file()) {
                        self.directory_of(&path)?;
                        self.appended.push(path.clone());
                    }
                    let file = append(&path, &bytes)?;
                    self.files.push((index, path, file));
                }
                Step::Directory { path } => self.make(&path).map_err(FileError::io(&path))?,
                Step::Link { path, next, target } => {
                    self.directory_of(&path)?;
                    self.finish.push((index, Finish::Link { path, next, target }));
                }
                Step::Rename { from, to } => {
                    self.directory_of(&to)?;
                    self.finish.push((index, Finish::Rename { from, to }));
                }
                Step::Remove { path } => {
                    self.directories.extend(path.parent().map(Path::to_path_buf));
                    self.finish.push((index, Finish::Remove { path }));
                }
            }
        }
        Ok(())
    }

    /// Makes all durable, in the order of the steps. Tells of each failure with the record it belongs to; None: it
    /// may be any. Answers with what is safe now.
    pub fn commit(mut self, failed: &mut dyn FnMut(Option<usize>, FileError)) -> Safe {
        let mut bad = self.bad;
        for (index, path, file) in &self.files {
            #[cfg(test)]
            note(Op::SyncFile { inode: inode(file) });
            if let Err(source) = file.sync_all() {
                bad.insert(*index);
                failed(Some(*index), FileError::Io { path: path.clone(), source });
            }
        }
        for (index, finish) in self.finish {
            if bad.contains(&index) {
                continue;
            }
            #[cfg(test)]
            let done = match &finish {
                Finish::Rename { from, to } => Op::Rename { from: from.clone(), to: to.clone() },
                Finish::Link { path, target, .. } => Op::Link { path: path.clone(), target: target.clone() },
                Finish::Remove { path } => Op::Remove { path: path.clone() },
            };
            let (path, result) = match finish {
                Finish::Rename { from, to } => (to.clone(), fs::rename(&from, &to)),
                Finish::Link { path, next, target } => (path.clone(), link(&path, &next, &target)),
                Finish::Remove { path } => (path.clone(), remove(&path)),
            };
            #[cfg(test)]
            note(done);
            if let Err(source) = result {
                bad.insert(index);
                failed(Some(index), FileError::Io { path, source });
            }
        }
        for directory in self.directories {
            #[cfg(test)]
            note(Op::SyncDirectory { path: directory.clone() });
            match File::open(&directory).and_then(|directory| directory.sync_all()) {
                // Removed by a later step, or by the collector of what is old.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    self.appended.clear();
                    self.safe = Safe::default();
                    failed(None, FileError::Io { path: directory, source });
                }
                Ok(()) => {}
            }
        }
        if self.safe.0.len() + self.appended.len() > SAFE_LIMIT {
            self.safe = Safe::default();
        }
        self.safe.0.extend(self.appended);
        self.safe
    }

    fn directory_of(&mut self, path: &Path) -> Result<(), FileError> {
        let Some(parent) = path.parent() else { return Ok(()) };
        self.make(parent).map_err(FileError::io(parent))?;
        self.directories.insert(parent.to_path_buf());
        Ok(())
    }

    /// Makes a directory and those above it that are missing. A new one is safe when the one it is in is.
    fn make(&mut self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.make(parent)?;
            self.directories.insert(parent.to_path_buf());
        }
        #[cfg(test)]
        note(Op::Directory { path: path.to_path_buf() });
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }
}

fn options(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(mode);
    options
}

fn create(options: &OpenOptions, path: &Path, bytes: &[u8]) -> Result<File, FileError> {
    let file = options.open(path);
    let file = file.and_then(|mut file| file.write_all(bytes).map(|()| file)).map_err(FileError::io(path))?;
    #[cfg(test)]
    note(Op::Create { path: path.to_path_buf(), inode: inode(&file), bytes: bytes.to_vec() });
    Ok(file)
}

#[cfg(test)]
fn inode(file: &File) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&file.metadata().unwrap())
}

/// All of it or nothing: what comes next must not stand behind a part of a message.
fn append(path: &Path, bytes: &[u8]) -> Result<File, FileError> {
    let failed = FileError::io(path);
    let mut file = options(PRIVATE).append(true).open(path).map_err(&failed)?;
    let before = file.metadata().map_err(&failed)?.len();
    if let Err(error) = file.write_all(bytes) {
        file.set_len(before).map_err(&failed)?;
        return Err(failed(error));
    }
    #[cfg(test)]
    note(Op::Append { path: path.to_path_buf(), inode: inode(&file), bytes: bytes.to_vec() });
    Ok(file)
}

fn link(path: &Path, next: &Path, target: &Path) -> io::Result<()> {
    remove(next)?;
    std::os::unix::fs::symlink(target, next)?;
    fs::rename(next, path)
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn carry_out(steps: Vec<Vec<Step>>) -> Vec<String> {
        let mut batch = Batch::default();
        let mut problems = Vec::new();
        for (index, steps) in steps.into_iter().enumerate() {
            if let Err(error) = batch.write(index, steps) {
                problems.push(format!("{index}: {error}"));
            }
        }
        batch.commit(&mut |index, error| problems.push(format!("{index:?}: {error}")));
        problems
    }

    #[test]
    fn steps_are_carried_out_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let write = |name: &str, text: &str| Step::Write { path: at(name), bytes: text.into() };
        let append = |text: &str| Step::Append { path: at("a/log"), bytes: text.into() };
        let latest =
            |target: &str| Step::Link { path: at("a/latest"), next: at("a/.latest.new"), target: at(target) };
        let problems = carry_out(vec![
            vec![write("a/b/file", "one"), latest("a/b")],
            vec![append("x"), append("y"), Step::Touch { path: at("a/mark") }],
            vec![write("a/b/file", "two"), latest("a/c"), Step::Directory { path: at("d/e") }],
            vec![write("gone/file", "three"), Step::Remove { path: at("gone") }],
            vec![write("target", "new"), Step::Rename { from: at("target"), to: at("state") }],
        ]);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(fs::read(at("a/b/file")).unwrap(), b"two");
        assert_eq!(fs::read(at("a/log")).unwrap(), b"xy");
        assert_eq!(fs::read_link(at("a/latest")).unwrap(), at("a/c"));
        assert!(at("d/e").is_dir() && !at("gone").exists() && !at("target").exists());
        assert_eq!(fs::read(at("state")).unwrap(), b"new");
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("a/b/file"), mode("a/log"), mode("a/mark")), (0o600, 0o600, 0o644));
        assert_eq!(fs::read_dir(at("a/b")).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_record_that_cannot_be_written_does_not_spoil_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), "").unwrap();
        let write = |name: &str| Step::Write { path: at(name), bytes: vec![1] };
        let problems = carry_out(vec![vec![write("file/below")], vec![write("good")]]);
        assert!(problems.len() == 1 && problems[0].starts_with("0: "), "{problems:?}");
        assert_eq!(fs::read(at("good")).unwrap(), [1]);
    }
}
