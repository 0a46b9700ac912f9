//! What tests of several isolators need.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use messor_proto::mesos::resource::{DiskInfo, disk_info::Persistence};
use messor_proto::mesos::slave::ContainerLimitation;
use messor_proto::mesos::volume::Mode;
use messor_proto::mesos::{self, Volume};
use messor_types::{ContainerId, Reservation, ReservationKind, Resource, ResourceFormat};

use crate::isolator::Limitations;

/// Says that a test could not run and why; `./test` prints all of these in its last line.
pub fn skip(why: &str) {
    eprintln!("skipped: {why}");
    if let Some(path) = std::env::var_os("MESSOR_SKIPS")
        && let Ok(mut file) = fs::OpenOptions::new().append(true).create(true).open(path)
    {
        use std::io::Write;
        let _ = writeln!(file, "{why}");
    }
}

/// A persistent volume of the role `r`.
pub fn volume(id: &str, name: &str, mode: Mode) -> mesos::Resource {
    let disk = DiskInfo {
        persistence: Some(Persistence { id: id.to_string(), principal: None }),
        volume: Some(Volume { container_path: name.to_string(), mode: mode as i32, ..Default::default() }),
        ..Default::default()
    };
    Resource::scalar("disk", 8.0)
        .with_reservation(Reservation::new(ReservationKind::Dynamic, "r"))
        .with_disk(disk)
        .to_proto(ResourceFormat::PostRefinement)
}

/// A directory in which things are mounted; nothing of it stays.
pub struct Scratch {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Scratch {
    pub fn new() -> Scratch {
        let folder = tempfile::tempdir().unwrap();
        Scratch { path: fs::canonicalize(folder.path()).unwrap(), _folder: folder }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = messor_linux::mounts::unmount_below(&self.path) {
            eprintln!("left behind: {error}");
        }
    }
}

struct Told(mpsc::Sender<(ContainerId, ContainerLimitation)>);

impl Limitations for Told {
    fn exceeded(&self, container: &ContainerId, limitation: ContainerLimitation) {
        // Nobody listens where a test does not care.
        let _ = self.0.send((container.clone(), limitation));
    }
}

/// What is told of limits comes out here.
pub fn told() -> (Arc<dyn Limitations>, mpsc::Receiver<(ContainerId, ContainerLimitation)>) {
    let (sender, receiver) = mpsc::channel();
    (Arc::new(Told(sender)), receiver)
}
