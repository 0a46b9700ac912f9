//! `volume/secret`: secrets as files. They are on no disk: the host has each in a directory that nobody else may enter until
//! the launcher moves it into memory that only the container sees.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use messor_linux::paths::{Escape, Roots};
use messor_proto::mesos::slave::container_file_operation::{Mkdir, Operation, Parameters, Rename};
use messor_proto::mesos::slave::{ContainerFileOperation, ContainerLaunchInfo, ContainerMountInfo};
use messor_proto::mesos::volume::source::Type;
use messor_types::ContainerId;

use super::{invalid, mount, target, volumes};
use crate::fault::{self, Amid};
use crate::isolator::{Container, Isolator, IsolatorError, Recovered};
use crate::kernel::CLONE_NEWNS;
use crate::secrets;

#[derive(Debug)]
pub struct Secret {
    /// `RUNTIME_DIR/.secret`, with a directory a container.
    directory: PathBuf,
    sandbox_directory: String,
}

impl Secret {
    pub fn make(runtime_dir: &Path, sandbox_directory: &str) -> io::Result<Secret> {
        let directory = runtime_dir.join(".secret");
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        Ok(Secret { directory, sandbox_directory: sandbox_directory.to_string() })
    }

    fn of(&self, id: &ContainerId) -> PathBuf {
        self.directory.join(id.to_string())
    }
}

fn random_name() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    messor_linux::random(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The file is read by the task's user once it is in the container; until then its directory keeps all others out.
fn write(path: &Path, data: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(data)
}

fn operation(operation: Operation, parameters: Parameters) -> ContainerFileOperation {
    ContainerFileOperation { operation: Some(operation as i32), parameters: Some(parameters) }
}

impl Isolator for Secret {
    fn name(&self) -> &'static str {
        "volume/secret"
    }

    fn supports_nesting(&self) -> bool {
        true
    }

    fn recover(&self, going_on: &[Recovered], orphans: &[ContainerId]) -> Result<(), IsolatorError> {
        let failed =
            |error| IsolatorError::Failed(format!("cannot list {}", self.directory.display()), error);
        let known = going_on.iter().map(|found| &found.container.id).chain(orphans);
        let known: Vec<PathBuf> = known.map(|id| self.of(id)).collect();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if !known.contains(&path) {
                fs::remove_dir_all(&path).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn prepare(&self, container: &Container) -> Result<Option<ContainerLaunchInfo>, IsolatorError> {
        if container.is_debug() {
            return Ok(None);
        }
        let all = volumes(container)?.iter();
        let is_secret = |source: &messor_proto::mesos::volume::Source| source.r#type() == Type::Secret;
        let asked: Vec<_> = all.filter(|volume| volume.source.as_ref().is_some_and(is_secret)).collect();
        if asked.is_empty() {
            return Ok(None);
        }
        let here = self.of(&container.id);
        let failed =
            |error| IsolatorError::Failed(format!("cannot keep secrets in {}", here.display()), error);
        DirBuilder::new().recursive(true).mode(0o700).create(&here).map_err(failed)?;
        let sandbox = Path::new(&container.config.directory);
        let root = container.root_sandbox();
        let memory = sandbox.join(format!(".secret-{}", random_name().map_err(failed)?));
        // The mount point is made here, as it is below the sandbox, which others may write to.
        let mut roots = Roots::default();
        roots.add(root, Escape::Refused);
        roots.make_directories(&memory).map_err(|error| {
            IsolatorError::Failed(format!("cannot make {} for secrets", memory.display()), error)
        })?;
        let text = |path: &Path| Some(path.to_string_lossy().into_owned());
        let mut info = ContainerLaunchInfo { clone_namespaces: vec![CLONE_NEWNS], ..Default::default() };
        info.file_operations.push(operation(
            Operation::Mount,
            Parameters::Mount(ContainerMountInfo {
                source: Some("ramfs".to_string()),
                target: memory.to_string_lossy().into_owned(),
                r#type: Some("ramfs".to_string()),
                flags: Some(0),
                options: None,
            }),
        ));
        for volume in asked {
            let Some(secret) = volume.source.as_ref().and_then(|source| source.secret.as_ref()) else {
                return invalid(volume, "'source.secret' is missing");
            };
            let field = format!("volume '{}'", volume.container_path);
            let data = secrets::resolve(secret, &field)?;
            let target = target(container, volume, &self.sandbox_directory)?;
            let name = random_name().map_err(failed)?;
            let from = here.join(&name);
            write(&from, data).map_err(failed)?;
            fault::pass(Amid::SecretWritten);
            let to = memory.join(volume.container_path.trim_start_matches('/'));
            let above = to.parent().unwrap_or(&memory);
            info.file_operations.push(operation(
                Operation::Mkdir,
                Parameters::Mkdir(Mkdir { target: text(above), recursive: Some(true) }),
            ));
            info.file_operations.push(operation(
                Operation::Rename,
                Parameters::Rename(Rename { source: text(&from), target: text(&to) }),
            ));
            info.file_operations
                .push(operation(Operation::Mount, Parameters::Mount(mount(&to, &target, volume))));
        }
        Ok(Some(info))
    }

    fn cleanup(&self, container: &ContainerId) -> Result<(), IsolatorError> {
        let path = self.of(container);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(IsolatorError::Failed(format!("cannot remove {}", path.display()), error))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolator::tests::container;
    use messor_proto::mesos::volume::{Mode, Source};
    use messor_proto::mesos::{ContainerInfo, Volume, container_info, secret};
    use std::os::unix::fs::PermissionsExt;

    fn with(folder: &Path, inside: &str, data: &[u8]) -> Container {
        let secret = messor_proto::mesos::Secret {
            r#type: Some(secret::Type::Value as i32),
            value: Some(secret::Value { data: data.to_vec() }),
            ..Default::default()
        };
        let source = Source { r#type: Some(Type::Secret as i32), secret: Some(secret), ..Source::default() };
        let volume = Volume {
            container_path: inside.to_string(),
            mode: Mode::Ro as i32,
            source: Some(source),
            ..Volume::default()
        };
        let mut container = container("c");
        container.config.directory = folder.join("sandbox").to_str().unwrap().to_string();
        fs::create_dir_all(&container.config.directory).unwrap();
        let r#type = container_info::Type::Mesos as i32;
        container.config.container_info =
            Some(ContainerInfo { r#type, volumes: vec![volume], ..ContainerInfo::default() });
        container
    }

    #[test]
    fn a_secret_waits_where_nobody_looks_and_is_moved_into_memory() {
        let folder = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(folder.path()).unwrap();
        let isolator = Secret::make(&top, "/mnt/mesos/sandbox").unwrap();
        let asking = with(&top, "keys/one", b"\0hidden");
        let info = isolator.prepare(&asking).unwrap().unwrap();
        let kinds: Vec<Operation> =
            info.file_operations.iter().map(ContainerFileOperation::operation).collect();
        assert_eq!(kinds, [Operation::Mount, Operation::Mkdir, Operation::Rename, Operation::Mount]);
        let Some(Parameters::Rename(rename)) = &info.file_operations[2].parameters else { panic!() };
        let from = Path::new(rename.source.as_ref().unwrap());
        assert_eq!(fs::read(from).unwrap(), b"\0hidden");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(from.parent().unwrap()), mode(&isolator.directory)), (0o700, 0o700));
        let Some(Parameters::Mount(last)) = &info.file_operations[3].parameters else { panic!() };
        assert_eq!(last.source, rename.target);
        assert_eq!(last.target, top.join("sandbox/keys/one").to_str().unwrap());
        isolator.recover(&[], std::slice::from_ref(&asking.id)).unwrap();
        assert!(from.exists());
        isolator.recover(&[], &[]).unwrap();
        assert!(!from.exists());
        isolator.cleanup(&asking.id).unwrap();
        assert_eq!(isolator.prepare(&container("plain")).unwrap(), None);
    }
}
