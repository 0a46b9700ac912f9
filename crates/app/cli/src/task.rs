//! From flags to the framework and its task.

use messor_flags::ExecuteFlags;
use messor_proto::mesos::framework_info::{Capability, capability};
use messor_proto::mesos::{
    CommandInfo, ContainerInfo, Environment, FrameworkInfo, RLimitInfo, TaskId, TaskInfo, TtyInfo,
    container_info, environment,
};
use messor_proto::{JsonError, Version, Wire, WireEnum};
use messor_types::{
    ResourceError, ResourceFormat, Resources, ResourcesTextError, Role, RoleError, parse_resources,
    validate_role,
};

#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error("--framework_capabilities: there is no capability '{0}'")]
    UnknownCapability(String),
    #[error("--framework_capabilities: '{0}' cannot be chosen here, only GPU_RESOURCES can")]
    Capability(String),
    #[error("--role: {0}")]
    Role(#[from] RoleError),
    #[error("--resources: {0}")]
    Resources(#[from] ResourcesTextError),
    #[error("--task: {0}")]
    TaskResources(#[from] ResourceError),
    #[error("--task is not a TaskInfo: {0}")]
    Task(JsonError),
    #[error("--task_group: {0}")]
    GroupResources(#[source] ResourceError),
    #[error("--task_group is not a TaskGroupInfo: {0}")]
    Group(String),
    #[error("--rlimits is not an RLimitInfo: {0}")]
    Limits(JsonError),
    #[error("not supported yet: --no-shell without --task; give the whole task with --task=JSON")]
    NoShell,
}

pub fn framework(flags: &ExecuteFlags, user: &str) -> Result<FrameworkInfo, TaskError> {
    use capability::Type;
    validate_role(&flags.role)?;
    let mut types = vec![Type::ReservationRefinement, Type::TaskKillingState, Type::RevocableResources];
    if flags.partition_aware {
        types.push(Type::PartitionAware);
    }
    for name in flags.framework_capabilities.iter().flat_map(|list| &list.0) {
        match Type::from_wire_name(name, Version::V1) {
            Some(Type::GpuResources) => types.push(Type::GpuResources),
            Some(_) => return Err(TaskError::Capability(name.clone())),
            None => return Err(TaskError::UnknownCapability(name.clone())),
        }
    }
    Ok(FrameworkInfo {
        user: user.to_owned(),
        name: "mesos-execute instance".to_owned(),
        role: Some(flags.role.clone()),
        checkpoint: Some(flags.checkpoint),
        principal: flags.principal.clone(),
        capabilities: types.into_iter().map(|one| Capability { r#type: Some(one.into()) }).collect(),
        ..FrameworkInfo::default()
    })
}

/// The task, without its agent, and the resources it needs.
pub fn task(flags: &ExecuteFlags) -> Result<(TaskInfo, Resources), TaskError> {
    if let Some(json) = &flags.task {
        let task = from_json(json.as_str())?;
        let resources = Resources::from_proto(&task.resources)?;
        return Ok((task, resources));
    }
    let name = flags.name.clone().unwrap_or_default();
    if !flags.shell {
        return Err(TaskError::NoShell);
    }
    let variable = |(name, value): &(String, String)| environment::Variable {
        name: name.clone(),
        value: Some(value.clone()),
        ..environment::Variable::default()
    };
    let environment =
        flags.env.as_ref().map(|map| Environment { variables: map.entries.iter().map(variable).collect() });
    let limits =
        flags.rlimits.as_ref().map(|json| RLimitInfo::from_json(json.as_str().as_bytes(), Version::V1));
    let limits = limits.transpose().map_err(TaskError::Limits)?;
    let container = (limits.is_some() || flags.tty).then(|| ContainerInfo {
        r#type: container_info::Type::Mesos.into(),
        rlimit_info: limits,
        tty_info: flags.tty.then(TtyInfo::default),
        ..ContainerInfo::default()
    });
    let resources = parse_resources(&flags.resources, &Role::star())?;
    let task = TaskInfo {
        name: name.clone(),
        task_id: TaskId { value: name },
        resources: resources.to_proto(ResourceFormat::PostRefinement),
        command: Some(CommandInfo {
            shell: Some(true),
            value: flags.command.clone(),
            environment,
            ..CommandInfo::default()
        }),
        container: container.map(Box::new),
        ..TaskInfo::default()
    };
    Ok((task, resources))
}

/// A group of tasks, what its executor needs, and what all of them need together.
pub struct Group {
    pub tasks: Vec<TaskInfo>,
    pub executor: Resources,
    pub required: Resources,
}

/// What the default executor needs, as `mesos-execute` of Apache Mesos has it.
const EXECUTOR: &str = "cpus:0.1;mem:32;disk:32";

pub fn group(json: &str) -> Result<Group, TaskError> {
    let wrong = |error: &dyn std::fmt::Display| TaskError::Group(error.to_string());
    let parsed: serde_json::Value = serde_json::from_str(json).map_err(|error| wrong(&error))?;
    let list = parsed.get("tasks").and_then(|tasks| tasks.as_array()).filter(|tasks| !tasks.is_empty());
    let list = list.ok_or_else(|| TaskError::Group("it has no 'tasks'".to_string()))?;
    let mut tasks = Vec::new();
    for task in list {
        tasks.push(from_json(&task.to_string()).map_err(|error| wrong(&error))?);
    }
    let executor = parse_resources(EXECUTOR, &Role::star())?;
    let mut required = executor.clone();
    for task in &tasks {
        required += &Resources::from_proto(&task.resources).map_err(TaskError::GroupResources)?;
    }
    Ok(Group { tasks, executor, required })
}

/// A TaskInfo need not name an agent: which one it gets is seen from the offers.
fn from_json(text: &str) -> Result<TaskInfo, TaskError> {
    let first = TaskInfo::from_json(text.as_bytes(), Version::V1);
    match (first, text.trim_end().strip_suffix('}')) {
        (Err(error), Some(head)) if error.to_string().contains("agent_id") => {
            let completed = format!("{head}, \"agent_id\": {{\"value\": \"\"}}}}");
            TaskInfo::from_json(completed.as_bytes(), Version::V1).map_err(TaskError::Task)
        }
        (first, _) => first.map_err(TaskError::Task),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_flags::Request;

    fn flags(words: &[&str]) -> ExecuteFlags {
        let words: Vec<String> = ["--master=h"].iter().chain(words).map(ToString::to_string).collect();
        match messor_flags::parse::<ExecuteFlags>(&words, &messor_log::Surroundings).unwrap() {
            Request::Run(parsed) => parsed.flags,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_task_of_flags() {
        let (task, resources) = task(&flags(&[
            "--name=n",
            "--command=echo $A",
            r#"--env={"A": "b"}"#,
            "--resources=cpus:0.1;mem:32",
        ]))
        .unwrap();
        assert_eq!((task.name.as_str(), task.task_id.value.as_str()), ("n", "n"));
        let command = task.command.unwrap();
        assert_eq!((command.shell, command.value.as_deref()), (Some(true), Some("echo $A")));
        assert_eq!(command.environment.unwrap().variables[0].value.as_deref(), Some("b"));
        assert_eq!(resources.cpus().map(|cpus| cpus.to_string()).as_deref(), Some("0.1"));
        assert!(task.container.is_none());
    }

    #[test]
    fn limits_make_a_container() {
        let json = r#"--rlimits={"rlimits": [{"type": "RLMT_CPU", "soft": 1, "hard": 1}]}"#;
        let (task, _) = task(&flags(&["--name=n", "--command=true", json])).unwrap();
        let container = task.container.unwrap();
        assert!(container.tty_info.is_none());
        assert_eq!(container.rlimit_info.unwrap().rlimits.len(), 1);
    }

    #[test]
    fn a_terminal_makes_a_container() {
        let (task, _) = task(&flags(&["--name=n", "--command=true", "--tty"])).unwrap();
        let container = task.container.unwrap();
        assert!(container.tty_info.is_some() && container.rlimit_info.is_none());
    }

    #[test]
    fn a_task_of_json_need_not_name_its_agent() {
        let json = r#"{"name": "n", "task_id": {"value": "t"}, "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}}], "command": {"value": "true"} }"#;
        let (found, _) = task(&flags(&[&format!("--task={json}")])).unwrap();
        assert_eq!(found.task_id.value, "t");
        let error = task(&flags(&[r#"--task={"name": "n"}"#])).unwrap_err().to_string();
        assert!(error.starts_with("--task is not a TaskInfo") && error.contains("task_id"), "{error}");
    }

    #[test]
    fn a_group_of_json() {
        let task = |id: &str| {
            format!(
                r#"{{"name": "n", "task_id": {{"value": "{id}"}}, "resources": [
                {{"name": "cpus", "type": "SCALAR", "scalar": {{"value": 0.5}}}}], "command": {{"value": "true"}}}}"#
            )
        };
        let found = group(&format!(r#"{{"tasks": [{}, {}]}}"#, task("a"), task("b"))).unwrap();
        assert_eq!(found.tasks.len(), 2);
        assert_eq!(found.required.cpus().map(|cpus| cpus.to_string()).as_deref(), Some("1.1"));
        for wrong in ["[]", "{", r#"{"tasks": []}"#, r#"{"tasks": [{"name": "n"}]}"#] {
            let Err(error) = group(wrong) else { panic!("{wrong}") };
            assert!(error.to_string().starts_with("--task_group is not a TaskGroupInfo"), "{error}");
        }
    }

    #[test]
    fn capabilities_are_those_of_apache_mesos() {
        use capability::Type;
        let types = |words: &[&str]| -> Vec<Type> {
            let words: Vec<&str> = ["--name=n", "--command=true"].iter().chain(words).copied().collect();
            framework(&flags(&words), "me").unwrap().capabilities.iter().map(|one| one.r#type()).collect()
        };
        let always = [Type::ReservationRefinement, Type::TaskKillingState, Type::RevocableResources];
        assert_eq!(types(&["--no-partition_aware"]), always);
        assert_eq!(
            types(&["--framework_capabilities=GPU_RESOURCES"])[3..],
            [Type::PartitionAware, Type::GpuResources]
        );
        for (name, words) in [("MULTI_ROLE", "cannot be chosen"), ("NO_SUCH", "there is no capability")] {
            let flags = flags(&["--name=n", "--command=true", &format!("--framework_capabilities={name}")]);
            assert!(framework(&flags, "me").unwrap_err().to_string().contains(words));
        }
    }
}
