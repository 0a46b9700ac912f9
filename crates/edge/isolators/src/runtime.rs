//! Where containers have their directories below `--runtime_dir`.

use std::path::{Path, PathBuf};

use messor_types::ContainerId;

const CONTAINERS: &str = "containers";

/// `RUNTIME_DIR/containers/ID`, or below that of the parent.
pub fn directory(runtime_dir: &Path, id: &ContainerId) -> PathBuf {
    let above = match id.parent() {
        Some(parent) => directory(runtime_dir, parent),
        None => runtime_dir.to_path_buf(),
    };
    above.join(CONTAINERS).join(id.value())
}

/// Whose directory this is.
pub fn container(runtime_dir: &Path, path: &Path) -> Option<ContainerId> {
    let mut parts = path.strip_prefix(runtime_dir).ok()?.components();
    let mut id: Option<ContainerId> = None;
    while let Some(part) = parts.next() {
        if part.as_os_str() != CONTAINERS {
            return None;
        }
        let value = parts.next()?.as_os_str().to_str()?;
        id = Some(match &id {
            Some(parent) => ContainerId::nested(parent, value),
            None => ContainerId::new(value),
        });
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_those_of_apache_mesos() {
        let id = ContainerId::nested(&ContainerId::new("p"), "c");
        let path = directory(Path::new("/run/mesos"), &id);
        assert_eq!(path, Path::new("/run/mesos/containers/p/containers/c"));
        assert_eq!(container(Path::new("/run/mesos"), &path), Some(id));
        assert_eq!(container(Path::new("/run/mesos"), Path::new("/run/mesos/containers")), None);
        assert_eq!(container(Path::new("/run/mesos"), Path::new("/run/mesos/other/p")), None);
    }
}
