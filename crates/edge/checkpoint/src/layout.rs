//! Where everything is below `work_dir/meta`. It must not touch the disk.
//!
//! Ids come from masters, schedulers and executors. The machine refuses bad ones; here one that would lead out of its
//! directory is refused once more, whatever way it came.

use std::path::{Path, PathBuf};

use messor_types::{AgentId, ContainerId, ExecutorId, FrameworkId, TaskId};

/// The longest name of a file.
const NAME_LIMIT_BYTES: usize = 255;

pub(crate) const LATEST: &str = "latest";
/// The next `latest` link, before it takes the place of the present one. Apache Mesos leaves hidden names out.
pub(crate) const NEXT_LATEST: &str = ".latest.new";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {kind} id '{id}' cannot be the name of a directory")]
pub struct PathError {
    pub kind: &'static str,
    pub id: String,
}

/// The paths of one agent's checkpoints.
#[derive(Clone, Debug)]
pub struct Layout {
    meta: PathBuf,
}

fn name<'i>(kind: &'static str, id: &'i str) -> Result<&'i str, PathError> {
    let wrong = id.is_empty()
        || id == "."
        || id == ".."
        || id.len() > NAME_LIMIT_BYTES
        || id.contains(['/', '\0'])
        // Beside agents and runs are the links to the latest of them.
        || (matches!(kind, "agent" | "container") && (id == LATEST || id == NEXT_LATEST));
    match wrong {
        true => Err(PathError { kind, id: id.to_string() }),
        false => Ok(id),
    }
}

impl Layout {
    pub fn new(work_dir: &Path) -> Layout {
        Layout { meta: work_dir.join("meta") }
    }

    pub fn meta(&self) -> &Path {
        &self.meta
    }

    pub fn boot_id(&self) -> PathBuf {
        self.meta.join("boot_id")
    }

    pub fn resources(&self) -> PathBuf {
        self.meta.join("resources/resources.info")
    }

    /// What resources.info is about to become.
    pub fn resources_target(&self) -> PathBuf {
        self.meta.join("resources/resources.target")
    }

    pub fn resource_state(&self) -> PathBuf {
        self.meta.join("resources/resources_and_operations.state")
    }

    /// What resources_and_operations.state is about to become.
    pub fn resource_state_target(&self) -> PathBuf {
        self.meta.join("resources/resources_and_operations.target")
    }

    pub fn agents(&self) -> PathBuf {
        self.meta.join("slaves")
    }

    pub fn latest_agent(&self) -> PathBuf {
        self.agents().join(LATEST)
    }

    pub fn agent(&self, agent: &AgentId) -> Result<PathBuf, PathError> {
        Ok(self.agents().join(name("agent", agent.as_str())?))
    }

    pub fn framework(&self, agent: &AgentId, framework: &FrameworkId) -> Result<PathBuf, PathError> {
        Ok(self.agent(agent)?.join("frameworks").join(name("framework", framework.as_str())?))
    }

    pub fn executor(
        &self,
        agent: &AgentId,
        framework: &FrameworkId,
        executor: &ExecutorId,
    ) -> Result<PathBuf, PathError> {
        let id = name("executor", executor.as_str())?;
        Ok(self.framework(agent, framework)?.join("executors").join(id))
    }

    pub fn run(
        &self,
        agent: &AgentId,
        framework: &FrameworkId,
        executor: &ExecutorId,
        container: &ContainerId,
    ) -> Result<PathBuf, PathError> {
        let id = name("container", container.value())?;
        Ok(self.executor(agent, framework, executor)?.join("runs").join(id))
    }

    pub fn task(
        &self,
        agent: &AgentId,
        framework: &FrameworkId,
        executor: &ExecutorId,
        container: &ContainerId,
        task: &TaskId,
    ) -> Result<PathBuf, PathError> {
        let id = name("task", task.as_str())?;
        Ok(self.run(agent, framework, executor, container)?.join("tasks").join(id))
    }

    pub fn operation(&self, agent: &AgentId, uuid: &[u8]) -> Result<PathBuf, PathError> {
        let text = uuid_text(uuid)
            .ok_or_else(|| PathError { kind: "operation", id: String::from_utf8_lossy(uuid).into_owned() })?;
        Ok(self.agent(agent)?.join("operations").join(text))
    }
}

/// `2dd6f736-5180-4262-b9ab-782f4594e43d`, of 16 bytes.
pub(crate) fn uuid_text(uuid: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = uuid.try_into().ok()?;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16)?);
        }
    }
    Some(text)
}

/// The reverse of [`uuid_text`].
pub(crate) fn parse_uuid(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> =
        text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::try_from(pair.iter().fold(0, |sum, digit| sum * 16 + digit)).unwrap_or(0))
        .collect();
    (digits.len() == 32 && uuid_text(&bytes).as_deref() == Some(&text.to_ascii_lowercase())).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_apache_mesos() {
        let layout = Layout::new(Path::new("/w"));
        let (agent, framework) = (AgentId::from("m-S0"), FrameworkId::from("m-0000"));
        let (executor, container) = (ExecutorId::from("e"), ContainerId::new("c"));
        let task = layout.task(&agent, &framework, &executor, &container, &TaskId::from("t")).unwrap();
        assert_eq!(task, Path::new("/w/meta/slaves/m-S0/frameworks/m-0000/executors/e/runs/c/tasks/t"));
        let uuid = [0x2d; 16];
        assert_eq!(
            layout.operation(&agent, &uuid).unwrap(),
            Path::new("/w/meta/slaves/m-S0/operations/2d2d2d2d-2d2d-2d2d-2d2d-2d2d2d2d2d2d")
        );
        assert_eq!(layout.latest_agent(), Path::new("/w/meta/slaves/latest"));
    }

    #[test]
    fn no_id_leads_out_of_its_directory() {
        let layout = Layout::new(Path::new("/w"));
        for id in ["", ".", "..", "../x", "a/b", "/etc", "a\0b", &"x".repeat(256)] {
            assert!(layout.agent(&AgentId::from(id)).is_err(), "{id:?}");
            let (agent, framework) = (AgentId::from("a"), FrameworkId::from("f"));
            let (executor, container) = (ExecutorId::from("e"), ContainerId::new("c"));
            assert!(layout.framework(&agent, &FrameworkId::from(id)).is_err(), "{id:?}");
            assert!(layout.executor(&agent, &framework, &ExecutorId::from(id)).is_err(), "{id:?}");
            assert!(layout.run(&agent, &framework, &executor, &ContainerId::new(id)).is_err(), "{id:?}");
            let error =
                layout.task(&agent, &framework, &executor, &container, &TaskId::from(id)).unwrap_err();
            assert_eq!(error.kind, "task");
        }
        assert!(layout.operation(&AgentId::from("a"), b"short").is_err());
        assert!(layout.agent(&AgentId::from("latest")).is_err());
        assert!(layout.framework(&AgentId::from("a"), &FrameworkId::from("latest")).is_ok());
    }

    #[test]
    fn uuids_there_and_back() {
        let bytes: Vec<u8> = (0..16).map(|n| n * 16 + 3).collect();
        assert_eq!(parse_uuid(&uuid_text(&bytes).unwrap()), Some(bytes));
        for wrong in
            ["", "2dd6f736", "2dd6f73651804262b9ab782f4594e43d", "zdd6f736-5180-4262-b9ab-782f4594e43d"]
        {
            assert_eq!(parse_uuid(wrong), None, "{wrong}");
        }
    }
}
