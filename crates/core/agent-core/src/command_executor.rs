//! The executors that come with the agent: the one it makes for a task that brings none of its own, and the default one of
//! task groups.

use messor_proto::mesos::{
    CommandInfo, ContainerInfo, DurationInfo, ExecutorId, ExecutorInfo, FrameworkInfo, Resource, TaskInfo,
    container_info, value,
};

use crate::agent::Agent;

/// What a command executor needs beside its task.
const CPUS: f64 = 0.1;
const MEM_MB: f64 = 32.0;

/// Added to a task's kill grace period, so that TASK_KILLED arrives before the container is destroyed.
const GRACE_NANOS: i64 = 2_000_000_000;

const PROGRAM: &str = "mesos-executor";
const DEFAULT_PROGRAM: &str = "mesos-default-executor";

impl Agent {
    /// The executor of a task: its own, or a command executor.
    #[allow(deprecated)] // `ExecutorInfo.source` is still shown (U064, U110).
    pub(crate) fn executor_info(&self, framework: &FrameworkInfo, task: &TaskInfo) -> ExecutorInfo {
        if let Some(executor) = &task.executor {
            let mut executor = executor.clone();
            // Old masters do not see to it, and everything after this relies on it.
            executor.framework_id.get_or_insert_with(|| framework.id.clone().unwrap_or_default());
            return executor;
        }
        let no_command = CommandInfo::default();
        let command = task.command.as_ref().unwrap_or(&no_command);
        ExecutorInfo {
            executor_id: ExecutorId { value: task.task_id.value.clone() },
            framework_id: framework.id.clone(),
            command: Some(self.executor_command(framework, task, command)),
            container: task.container.clone(),
            resources: overhead(task),
            name: Some(format!("Command Executor (Task: {}) {}", task.task_id.value, describe(command))),
            source: Some(task.task_id.value.clone()),
            discovery: task.discovery.clone(),
            labels: task.labels.clone(),
            shutdown_grace_period: task
                .kill_policy
                .and_then(|policy| policy.grace_period)
                .map(|period| DurationInfo { nanoseconds: period.nanoseconds.saturating_add(GRACE_NANOS) }),
            ..ExecutorInfo::default()
        }
    }

    /// How the program of the default executor is run.
    pub(crate) fn default_executor_command(&self, user: Option<String>) -> CommandInfo {
        let launcher_dir = &self.config.launcher_dir;
        CommandInfo {
            shell: Some(false),
            value: Some(format!("{launcher_dir}/{DEFAULT_PROGRAM}")),
            arguments: vec![DEFAULT_PROGRAM.to_string(), format!("--launcher_dir={launcher_dir}")],
            user,
            ..CommandInfo::default()
        }
    }

    /// How the program of the command executor is run: with the task's files, variables and user.
    fn executor_command(
        &self,
        framework: &FrameworkInfo,
        task: &TaskInfo,
        command: &CommandInfo,
    ) -> CommandInfo {
        let launcher_dir = &self.config.launcher_dir;
        let mut arguments = vec![PROGRAM.to_string(), format!("--launcher_dir={launcher_dir}")];
        if task.container.as_deref().is_some_and(has_image) {
            arguments.push(format!("--sandbox_directory={}", self.config.sandbox_directory));
            if self.config.switch_user {
                arguments.push(format!("--user={}", command.user.as_ref().unwrap_or(&framework.user)));
            }
        }
        CommandInfo {
            uris: command.uris.clone(),
            environment: command.environment.clone(),
            shell: Some(false),
            value: Some(format!("{launcher_dir}/{PROGRAM}")),
            arguments,
            user: command.user.clone(),
        }
    }
}

fn has_image(container: &ContainerInfo) -> bool {
    container.r#type() == container_info::Type::Mesos
        && container.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some())
}

/// The command, or its beginning, as the executor's name shows it.
fn describe(command: &CommandInfo) -> String {
    let shell = command.shell();
    let Some(value) = &command.value else {
        return format!("(Command: {})", if shell { "NO COMMAND" } else { "NO EXECUTABLE" });
    };
    if shell {
        return format!("(Command: sh -c '{}')", shortened(value));
    }
    format!("(Command: [{}])", shortened(&format!("{value}, {}", command.arguments.join(", "))))
}

/// At most 15 bytes: the first twelve, and dots.
fn shortened(text: &str) -> String {
    if text.len() <= 15 {
        return text.to_string();
    }
    let mut end = 12;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}

fn overhead(task: &TaskInfo) -> Vec<Resource> {
    let allocation_info = task.resources.first().and_then(|resource| resource.allocation_info.clone());
    [("cpus", CPUS), ("mem", MEM_MB)]
        .map(|(name, amount)| Resource {
            name: name.to_string(),
            r#type: value::Type::Scalar.into(),
            scalar: Some(value::Scalar { value: amount }),
            allocation_info: allocation_info.clone(),
            ..Resource::default()
        })
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_show_the_beginning_of_the_command() {
        let command = |shell, value: &str, arguments: &[&str]| CommandInfo {
            shell,
            value: Some(value.to_string()),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            ..CommandInfo::default()
        };
        assert_eq!(describe(&command(None, "sleep 10", &[])), "(Command: sh -c 'sleep 10')");
        assert_eq!(
            describe(&command(Some(true), "echo 123456789ab", &[])),
            "(Command: sh -c 'echo 1234567...')"
        );
        assert_eq!(
            describe(&command(Some(true), "echo 123456789", &[])),
            "(Command: sh -c 'echo 123456789')"
        );
        assert_eq!(describe(&command(Some(false), "/bin/ls", &["ls", "-l"])), "(Command: [/bin/ls, ls, -l])");
        assert_eq!(describe(&command(None, "ääääääää", &[])), "(Command: sh -c 'ääääää...')");
        assert_eq!(describe(&CommandInfo::default()), "(Command: NO COMMAND)");
        let no_shell = CommandInfo { shell: Some(false), ..CommandInfo::default() };
        assert_eq!(describe(&no_shell), "(Command: NO EXECUTABLE)");
    }
}
