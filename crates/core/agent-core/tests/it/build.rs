//! What tests send: frameworks, tasks, executors, calls.

use messor_agent_core::Config;
use messor_proto::mesos::executor::{self, call};
use messor_proto::mesos::internal::{KillTaskMessage, RunTaskGroupMessage, RunTaskMessage};
use messor_proto::mesos::task_status::Source;
use messor_proto::mesos::{
    self, AgentInfo, CommandInfo, ExecutorInfo, FrameworkInfo, MasterInfo, Resource, TaskGroupInfo, TaskInfo,
    TaskState, TaskStatus, executor_info, framework_info, resource, value,
};
use messor_types::Pid;

pub const FRAMEWORK: &str = "master-0000";

pub fn config() -> Config {
    let info = AgentInfo {
        hostname: "host".into(),
        port: Some(5051),
        resources: vec![scalar("cpus", 64.0), scalar("mem", 4096.0), scalar("disk", 1024.0)],
        ..AgentInfo::default()
    };
    Config::new(pid("slave(1)@10.0.0.7:5051"), info, "/var/lib/mesos", "/usr/libexec/mesos")
}

pub fn pid(text: &str) -> Pid {
    text.parse().unwrap()
}

pub fn master() -> Pid {
    pid("master@10.0.0.1:5050")
}

pub fn master_info() -> MasterInfo {
    MasterInfo {
        id: "master".into(),
        ip: 0x0100_000a,
        port: 5050,
        pid: Some(master().to_string()),
        ..MasterInfo::default()
    }
}

pub fn agent_id() -> mesos::AgentId {
    mesos::AgentId { value: "master-S0".into() }
}

pub fn framework_id() -> mesos::FrameworkId {
    mesos::FrameworkId { value: FRAMEWORK.into() }
}

pub fn task_id(id: &str) -> mesos::TaskId {
    mesos::TaskId { value: id.into() }
}

pub fn executor_id(id: &str) -> mesos::ExecutorId {
    mesos::ExecutorId { value: id.into() }
}

pub fn scalar(name: &str, amount: f64) -> Resource {
    Resource {
        name: name.into(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value: amount }),
        ..Resource::default()
    }
}

pub fn allocated(name: &str, amount: f64) -> Resource {
    let allocation_info = Some(resource::AllocationInfo { role: Some("web".into()) });
    Resource { allocation_info, ..scalar(name, amount) }
}

pub fn revocable(name: &str, amount: f64) -> Resource {
    Resource { revocable: Some(resource::RevocableInfo {}), ..scalar(name, amount) }
}

/// One that knows partitions and does not checkpoint.
pub fn framework() -> FrameworkInfo {
    let capability =
        |kind: framework_info::capability::Type| framework_info::Capability { r#type: Some(kind.into()) };
    FrameworkInfo {
        user: "nobody".into(),
        name: "framework".into(),
        id: Some(framework_id()),
        roles: vec!["web".into()],
        capabilities: vec![
            capability(framework_info::capability::Type::MultiRole),
            capability(framework_info::capability::Type::PartitionAware),
        ],
        ..FrameworkInfo::default()
    }
}

pub fn checkpointing() -> FrameworkInfo {
    FrameworkInfo { checkpoint: Some(true), ..framework() }
}

pub fn command_task(id: &str) -> TaskInfo {
    TaskInfo {
        name: format!("task {id}"),
        task_id: task_id(id),
        agent_id: agent_id(),
        resources: vec![allocated("cpus", 1.0), allocated("mem", 64.0)],
        command: Some(CommandInfo { value: Some("sleep 1000".into()), ..CommandInfo::default() }),
        ..TaskInfo::default()
    }
}

pub fn executor(id: &str) -> ExecutorInfo {
    ExecutorInfo {
        executor_id: executor_id(id),
        framework_id: Some(framework_id()),
        command: Some(CommandInfo { value: Some("./executor".into()), ..CommandInfo::default() }),
        resources: vec![allocated("cpus", 0.5)],
        ..ExecutorInfo::default()
    }
}

pub fn executor_task(id: &str, executor: ExecutorInfo) -> TaskInfo {
    TaskInfo { command: None, executor: Some(executor), ..command_task(id) }
}

#[allow(deprecated)]
pub fn run(framework: FrameworkInfo, task: TaskInfo) -> RunTaskMessage {
    RunTaskMessage {
        framework_id: None,
        framework,
        task,
        resource_version_uuids: Vec::new(),
        pid: Some("@0.0.0.0:0".into()),
        launch_executor: None,
    }
}

/// The default executor, which the agent knows how to start.
pub fn default_executor(id: &str) -> ExecutorInfo {
    ExecutorInfo {
        r#type: Some(executor_info::Type::Default.into()),
        command: None,
        resources: vec![allocated("cpus", 0.1), allocated("mem", 32.0), allocated("disk", 10.0)],
        ..executor(id)
    }
}

pub fn run_group(framework: FrameworkInfo, executor: ExecutorInfo, tasks: &[&str]) -> RunTaskGroupMessage {
    RunTaskGroupMessage {
        framework,
        executor,
        task_group: TaskGroupInfo { tasks: tasks.iter().map(|id| command_task(id)).collect() },
        resource_version_uuids: Vec::new(),
        launch_executor: None,
    }
}

pub fn kill(task: &str) -> KillTaskMessage {
    KillTaskMessage { framework_id: framework_id(), task_id: task_id(task), kill_policy: None }
}

pub fn call(executor: &str, kind: call::Type) -> executor::Call {
    executor::Call {
        executor_id: executor_id(executor),
        framework_id: framework_id(),
        r#type: Some(kind.into()),
        subscribe: None,
        update: None,
        message: None,
    }
}

pub fn subscribe(executor: &str) -> executor::Call {
    executor::Call { subscribe: Some(call::Subscribe::default()), ..call(executor, call::Type::Subscribe) }
}

pub fn status(executor: &str, task: &str, state: TaskState, number: u8) -> TaskStatus {
    TaskStatus {
        task_id: task_id(task),
        state: state.into(),
        source: Some(Source::Executor.into()),
        executor_id: Some(executor_id(executor)),
        uuid: Some(vec![number; 16]),
        timestamp: Some(1_600_000_001.5),
        ..TaskStatus::default()
    }
}

pub fn update(executor: &str, task: &str, state: TaskState, number: u8) -> executor::Call {
    let update = call::Update { status: status(executor, task, state, number) };
    executor::Call { update: Some(update), ..call(executor, call::Type::Update) }
}
