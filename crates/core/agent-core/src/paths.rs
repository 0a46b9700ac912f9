//! Where things are below work_dir, in the layout of Apache Mesos. Only ids that passed `validate_id` get here.

use messor_types::{AgentId, ContainerId, ExecutorId, FrameworkId, TaskId};

pub(crate) fn framework(agent: &AgentId, framework: &FrameworkId) -> String {
    format!("slaves/{agent}/frameworks/{framework}")
}

pub(crate) fn executor(agent: &AgentId, framework: &FrameworkId, executor: &ExecutorId) -> String {
    format!("slaves/{agent}/frameworks/{framework}/executors/{executor}")
}

/// The sandbox of one run of an executor.
pub(crate) fn run(
    agent: &AgentId,
    framework: &FrameworkId,
    executor: &ExecutorId,
    container: &ContainerId,
) -> String {
    format!("{}/runs/{}", self::executor(agent, framework, executor), container.value())
}

/// Where a task's record and updates are kept, below `meta`.
pub(crate) fn task(
    agent: &AgentId,
    framework: &FrameworkId,
    executor: &ExecutorId,
    container: &ContainerId,
    task: &TaskId,
) -> String {
    format!("{}/tasks/{task}", run(agent, framework, executor, container))
}

/// The same place among the checkpoints.
pub(crate) fn meta(path: &str) -> String {
    format!("meta/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_apache_mesos() {
        let (agent, framework) = (AgentId::from("m-S0"), FrameworkId::from("m-0000"));
        let (executor, container) = (ExecutorId::from("e"), ContainerId::new("c"));
        assert_eq!(
            run(&agent, &framework, &executor, &container),
            "slaves/m-S0/frameworks/m-0000/executors/e/runs/c"
        );
        assert_eq!(
            meta(&task(&agent, &framework, &executor, &container, &TaskId::from("t"))),
            "meta/slaves/m-S0/frameworks/m-0000/executors/e/runs/c/tasks/t"
        );
        assert_eq!(self::framework(&agent, &framework), "slaves/m-S0/frameworks/m-0000");
    }
}
