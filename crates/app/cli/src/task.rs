//! From flags to the framework and its task.

use messor_flags::{ExecuteFlags, Json, names};
use messor_proto::mesos::framework_info::{Capability, capability};
use messor_proto::mesos::{
    CapabilityInfo, CommandInfo, ContainerInfo, Environment, FrameworkInfo, Image, Label, Labels, LinuxInfo,
    NetworkInfo, RLimitInfo, TaskId, TaskInfo, TtyInfo, Volume, capability_info, container_info, environment,
    image,
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
    #[error("--{flag} is not a CapabilityInfo: {error}")]
    Capabilities { flag: &'static str, error: JsonError },
    #[error("--{flag} names '{name}', which is no capability of Linux: write them as in NET_RAW")]
    UnknownSystemCapability { flag: &'static str, name: String },
    #[error("--volumes is not a list of Volume: {0}")]
    Volumes(String),
    #[error("--no-shell needs --command=PROGRAM, with arguments behind it, or an image that has a command")]
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
    let variable = |(name, value): &(String, String)| environment::Variable {
        name: name.clone(),
        value: Some(value.clone()),
        ..environment::Variable::default()
    };
    let environment =
        flags.env.as_ref().map(|map| Environment { variables: map.entries.iter().map(variable).collect() });
    let resources = parse_resources(&flags.resources, &Role::star())?;
    let task = TaskInfo {
        name: name.clone(),
        task_id: TaskId { value: name },
        resources: resources.to_proto(ResourceFormat::PostRefinement),
        command: Some(CommandInfo { environment, ..command(flags)? }),
        container: container(flags)?.map(Box::new),
        ..TaskInfo::default()
    };
    Ok((task, resources))
}

/// A line for a shell, or a program and its arguments.
fn command(flags: &ExecuteFlags) -> Result<CommandInfo, TaskError> {
    if flags.shell {
        return Ok(CommandInfo { shell: Some(true), value: flags.command.clone(), ..CommandInfo::default() });
    }
    let words: Vec<String> =
        flags.command.iter().flat_map(|line| line.split_whitespace()).map(str::to_owned).collect();
    let value = words.first().cloned();
    if value.is_none() && image(flags).is_none() {
        return Err(TaskError::NoShell);
    }
    Ok(CommandInfo { shell: Some(false), value, arguments: words, ..CommandInfo::default() })
}

/// What the flags say of the container; nothing where they say nothing.
fn container(flags: &ExecuteFlags) -> Result<Option<ContainerInfo>, TaskError> {
    let limits =
        flags.rlimits.as_ref().map(|json| RLimitInfo::from_json(json.as_str().as_bytes(), Version::V1));
    let effective = capabilities("effective_capabilities", flags.effective_capabilities.as_ref())?;
    let bounding = capabilities("bounding_capabilities", flags.bounding_capabilities.as_ref())?;
    let linux = (effective.is_some() || bounding.is_some()).then(|| LinuxInfo {
        effective_capabilities: effective,
        bounding_capabilities: bounding,
        ..LinuxInfo::default()
    });
    let volumes = flags.volumes.as_ref().map_or(Ok(Vec::new()), |json| volumes(json.as_str()))?;
    let network_infos = networks(flags.networks.as_deref());
    if flags.containerizer == "docker" {
        // As in Apache Mesos, the rest is for the other containerizer.
        let network = (!network_infos.is_empty()).then(|| container_info::docker_info::Network::User.into());
        let docker = container_info::DockerInfo {
            image: flags.docker_image.clone().unwrap_or_default(),
            network,
            ..container_info::DockerInfo::default()
        };
        return Ok(Some(ContainerInfo {
            r#type: container_info::Type::Docker.into(),
            docker: Some(docker),
            volumes,
            network_infos,
            ..ContainerInfo::default()
        }));
    }
    let container = ContainerInfo {
        r#type: container_info::Type::Mesos.into(),
        mesos: image(flags).map(|image| container_info::MesosInfo { image: Some(image) }),
        volumes,
        network_infos,
        linux_info: linux,
        rlimit_info: limits.transpose().map_err(TaskError::Limits)?,
        tty_info: flags.tty.then(TtyInfo::default),
        ..ContainerInfo::default()
    };
    let nothing = ContainerInfo { r#type: container.r#type, ..ContainerInfo::default() };
    Ok((container != nothing).then_some(container))
}

fn image(flags: &ExecuteFlags) -> Option<Image> {
    if let Some(name) = &flags.docker_image {
        let docker = image::Docker { name: name.clone(), ..image::Docker::default() };
        return Some(Image { r#type: image::Type::Docker.into(), docker: Some(docker), ..Image::default() });
    }
    // Which of several of this name, as Apache Mesos has it.
    let label = |key: &str, value: &str| Label { key: key.to_owned(), value: Some(value.to_owned()) };
    let labels = Labels { labels: vec![label("os", "linux"), label("arch", "amd64")] };
    flags.appc_image.as_ref().map(|name| Image {
        r#type: image::Type::Appc.into(),
        appc: Some(image::Appc { name: name.clone(), labels: Some(labels), ..image::Appc::default() }),
        ..Image::default()
    })
}

fn networks(list: Option<&str>) -> Vec<NetworkInfo> {
    names(list).map(|name| NetworkInfo { name: Some(name.to_owned()), ..NetworkInfo::default() }).collect()
}

/// Of the executor of a group, whose tasks are all in its networks.
pub fn executor_container(flags: &ExecuteFlags) -> Option<ContainerInfo> {
    let network_infos = networks(flags.networks.as_deref());
    (!network_infos.is_empty()).then(|| ContainerInfo {
        r#type: container_info::Type::Mesos.into(),
        network_infos,
        ..ContainerInfo::default()
    })
}

fn capabilities(flag: &'static str, json: Option<&Json>) -> Result<Option<CapabilityInfo>, TaskError> {
    let Some(json) = json else { return Ok(None) };
    let info = CapabilityInfo::from_json(json.as_str().as_bytes(), Version::V1)
        .map_err(|error| TaskError::Capabilities { flag, error })?;
    // Names that are not known are no error of the message's, as messages of later versions may have them.
    let parsed: serde_json::Value = serde_json::from_str(json.as_str()).unwrap_or_default();
    let mut names = parsed["capabilities"].as_array().into_iter().flatten().filter_map(|name| name.as_str());
    let unknown = names.find(|name| capability_info::Capability::from_wire_name(name, Version::V1).is_none());
    match unknown {
        Some(name) => Err(TaskError::UnknownSystemCapability { flag, name: name.to_owned() }),
        None => Ok(Some(info)),
    }
}

fn volumes(json: &str) -> Result<Vec<Volume>, TaskError> {
    let wrong = |reason: String| TaskError::Volumes(reason);
    let parsed: serde_json::Value = serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?;
    let list = parsed.as_array().ok_or_else(|| wrong("it is no list".to_string()))?;
    list.iter()
        .enumerate()
        .map(|(number, one)| {
            Volume::from_json(one.to_string().as_bytes(), Version::V1)
                .map_err(|error| wrong(format!("the volume at {number}: {error}")))
        })
        .collect()
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
    fn a_program_without_a_shell_has_its_arguments() {
        let (found, _) = task(&flags(&["--name=n", "--no-shell", "--command=/bin/echo a  b"])).unwrap();
        let command = found.command.unwrap();
        assert_eq!((command.shell, command.value.as_deref()), (Some(false), Some("/bin/echo")));
        assert_eq!(command.arguments, ["/bin/echo", "a", "b"]);
        assert!(matches!(task(&flags(&["--name=n", "--no-shell"])), Err(TaskError::NoShell)));
    }

    #[test]
    fn capabilities_and_volumes_make_a_container() {
        let base = ["--name=n", "--command=true"];
        let found = |more: &[&str]| {
            task(&flags(&[&base, more].concat())).map(|(task, _)| task.container).map_err(|e| e.to_string())
        };
        let container = found(&[
            r#"--effective_capabilities={"capabilities": ["NET_RAW"]}"#,
            r#"--bounding_capabilities={"capabilities": ["NET_RAW", "CHOWN"]}"#,
            r#"--volumes=[{"mode": "RW", "container_path": "data", "host_path": "/data"}]"#,
        ]);
        let container = container.unwrap().unwrap();
        let linux = container.linux_info.unwrap();
        assert_eq!(linux.effective_capabilities.unwrap().capabilities.len(), 1);
        assert_eq!(linux.bounding_capabilities.unwrap().capabilities.len(), 2);
        assert_eq!(container.volumes[0].host_path.as_deref(), Some("/data"));
        assert_eq!(found(&["--volumes=[]"]), Ok(None));
        for (flag, part) in [
            (
                r#"--effective_capabilities={"capabilities": ["FLY"]}"#.to_string(),
                "--effective_capabilities names 'FLY'",
            ),
            ("--volumes={}".to_string(), "it is no list"),
            (r#"--volumes=[{"mode": "RW"}]"#.to_string(), "the volume at 0"),
        ] {
            let error = found(&[&flag]).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn images_and_networks_are_said_as_apache_mesos_says_them() {
        let found = |more: &[&str]| {
            let (task, _) = task(&flags(&[&["--name=n", "--command=true"], more].concat())).unwrap();
            task.container.map(|container| container.to_json(Version::V0)).unwrap_or_default()
        };
        let json = |more: &[&str]| serde_json::from_slice::<serde_json::Value>(&found(more)).unwrap();
        assert_eq!(
            json(&["--docker_image=busybox:latest", "--networks=a, b,"]),
            serde_json::json!({"type": "MESOS", "network_infos": [{"name": "a"}, {"name": "b"}],
                "mesos": {"image": {"type": "DOCKER", "docker": {"name": "busybox:latest"}, "cached": true}}})
        );
        let labels = [("os", "linux"), ("arch", "amd64")]
            .map(|(key, value)| serde_json::json!({"key": key, "value": value}));
        assert_eq!(
            json(&["--appc_image=example.com/worker"]),
            serde_json::json!({"type": "MESOS", "mesos": {"image": {"type": "APPC",
                "appc": {"name": "example.com/worker", "labels": {"labels": labels}}, "cached": true}}})
        );
        assert_eq!(
            json(&["--containerizer=docker", "--docker_image=busybox", "--networks=net"]),
            serde_json::json!({"type": "DOCKER", "docker": {"image": "busybox", "network": "USER", "privileged": false},
                "network_infos": [{"name": "net"}]})
        );
        assert!(found(&["--networks="]).is_empty());
        let (own, _) = task(&flags(&["--name=n", "--no-shell", "--docker_image=busybox"])).unwrap();
        assert_eq!(own.command, Some(CommandInfo { shell: Some(false), ..CommandInfo::default() }));
        let executor = executor_container(&flags(&["--task_group={}", "--networks=net"])).unwrap();
        assert_eq!(executor.network_infos[0].name.as_deref(), Some("net"));
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
