//! Persistent volumes, as the file system isolators have them in common: which there are, where they lie, and whose they
//! become.
//!
//! The volumes are made and removed by who keeps the agent's resources; here they are there.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

use messor_linux::paths::Roots;
use messor_proto::mesos::volume::Mode;
use messor_types::{Resource, Resources, volume_path};

use crate::isolator::IsolatorError;
use crate::volume_groups::{Kind, VolumeGroups};

/// A persistent volume of a container.
#[derive(Clone, Debug)]
pub struct Persistent {
    pub resource: Resource,
    /// Where its data is.
    pub source: PathBuf,
    /// The name in the sandbox under which the container sees it.
    pub name: String,
}

/// Those in `resources` that show in the sandbox; one with a path that is absolute or leads through folders does not, as
/// only containers with a root of their own have a place for it.
pub fn persistent(work_dir: &Path, resources: &Resources) -> Result<Vec<Persistent>, IsolatorError> {
    let mut found = Vec::new();
    for resource in &resources.persistent_volumes() {
        let name = resource.disk().and_then(|disk| disk.volume.as_ref()).map(|volume| &volume.container_path);
        let plain = |name: &&String| !matches!(name.as_str(), "" | "." | "..") && !name.contains(['/', '\0']);
        let Some(name) = name.filter(plain) else {
            tracing::warn!(
                "the volume {resource} does not show: its 'container_path' is not a name in the sandbox"
            );
            continue;
        };
        let path = volume_path(resource).ok_or_else(|| {
            IsolatorError::Invalid(format!("the persistent volume {resource} has no directory"))
        })?;
        found.push(Persistent {
            resource: resource.clone(),
            source: work_dir.join(path),
            name: name.clone(),
        });
    }
    Ok(found)
}

impl Persistent {
    /// A link in its place would give away, and show, what is somewhere else. Mount points are the operator's.
    pub fn check(&self) -> Result<(), IsolatorError> {
        let disk = self.resource.disk();
        let is_mount =
            disk.and_then(|disk| disk.source.as_ref()).is_some_and(|source| source.mount.is_some());
        if !is_mount && fs::symlink_metadata(&self.source).is_ok_and(|found| !found.is_dir()) {
            return Err(IsolatorError::Invalid(format!(
                "there is something else in the place of the persistent volume at '{}'",
                self.source.display()
            )));
        }
        Ok(())
    }

    /// Whether a container may only read it (U020).
    pub fn is_read_only(&self) -> bool {
        let volume = self.resource.disk().and_then(|disk| disk.volume.as_ref());
        volume.is_some_and(|volume| volume.mode() == Mode::Ro)
    }

    /// Whether it is shared and another container uses it, which then keeps it.
    fn is_in_use(&self, others: &Resources) -> bool {
        self.resource.is_shared() && others.contains_resource(&self.resource.clone().without_allocation())
    }

    /// Lets the sandbox's owner use it: by a group of its own, which is answered, or else as its owner, if nobody has it now.
    pub fn open_to(
        &self,
        sandbox: &Path,
        others: &Resources,
        groups: Option<&VolumeGroups>,
    ) -> Result<Option<u32>, IsolatorError> {
        let failed = |error| {
            IsolatorError::Failed(
                format!("cannot open the persistent volume '{}'", self.source.display()),
                error,
            )
        };
        if let Some(groups) = groups {
            if fs::metadata(sandbox).map_err(failed)?.uid() == 0 {
                return Ok(None);
            }
            let opened = Roots::default().open(&self.source).map_err(failed)?;
            return groups.take(&self.source, Kind::Persistent, opened.as_fd()).map(Some);
        }
        if !self.is_in_use(others) {
            self.own(sandbox)?;
        }
        Ok(None)
    }

    /// Its root becomes the sandbox owner's; what is in it is left alone (U061).
    fn own(&self, sandbox: &Path) -> Result<(), IsolatorError> {
        self.own_as(sandbox).map_err(|error| {
            let path = self.source.display();
            IsolatorError::Failed(
                format!("the persistent volume at '{path}' cannot be given to the task's user"),
                error,
            )
        })
    }

    fn own_as(&self, sandbox: &Path) -> io::Result<()> {
        let owner = fs::metadata(sandbox)?;
        let is = fs::symlink_metadata(&self.source)?;
        if owner.uid() == 0 || (is.uid(), is.gid()) == (owner.uid(), owner.gid()) {
            return Ok(());
        }
        lchown(&self.source, Some(owner.uid()), Some(owner.gid()))
    }
}
