//! Isolators of disk space.

mod du;
mod xfs;

pub use du::Du;
pub use xfs::Xfs;

use std::path::PathBuf;

use messor_proto::mesos::resource::disk_info::source::Type;
use messor_proto::mesos::resource::{DiskInfo, disk_info::Source};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{Resource, slave::ContainerLimitation};

const MEGABYTE: u64 = 1 << 20;

/// A directory that a container has an amount of disk for.
#[derive(Clone, Debug, Default, PartialEq)]
struct Quota {
    bytes: u64,
    resources: Vec<Resource>,
}

impl Quota {
    fn add(&mut self, resource: &Resource) {
        let megabytes = resource.scalar.as_ref().map_or(0.0, |scalar| scalar.value);
        self.bytes = self.bytes.saturating_add((megabytes * MEGABYTE as f64) as u64);
        self.resources.push(resource.clone());
    }

    fn disk(&self) -> Option<&DiskInfo> {
        self.resources.first()?.disk.as_deref()
    }

    /// Its size is that of its own file system, which sees to it.
    fn is_mount(&self) -> bool {
        self.resources.iter().any(|resource| resource.disk.as_deref().is_some_and(is_mount))
    }
}

fn source(disk: &DiskInfo) -> Option<&Source> {
    disk.source.as_ref()
}

fn is_mount(disk: &DiskInfo) -> bool {
    source(disk).is_some_and(|source| source.r#type() == Type::Mount)
}

fn limitation(resources: Vec<Resource>, message: String) -> ContainerLimitation {
    ContainerLimitation {
        resources,
        message: Some(message),
        reason: Some(Reason::ContainerLimitationDisk as i32),
    }
}

/// Paths and what may be used at each.
type Quotas = std::collections::BTreeMap<PathBuf, Quota>;
