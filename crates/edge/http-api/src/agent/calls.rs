//! The v1 operator API of an agent: POST /slave(1)/api/v1.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use messor_agent_core::{ExecutorView, View};
use messor_proto::mesos::agent::response::{self, Type as Kind};
use messor_proto::mesos::agent::{Call, Response, call};
use messor_proto::mesos::{AgentInfo, Task, TaskInfo, TaskState};
use messor_proto::{Version, Wire, WireEnum};
use messor_stdx::Memo;

use super::attaching::OutputMedia;
use super::{AgentSite, ending, resource_providers};
use crate::answer::{Answer, answer, bad_request, empty, not_supported, text};
use crate::call::{accepted, decode, respond};
use crate::common::files_error;
use crate::document::{self, Object};
use crate::master::state::V1_SLOT;
use crate::request::{JSON, MediaType, RECORDIO, Request};
use crate::respond as responses;

pub(super) fn missing(field: &str) -> Answer {
    bad_request(format!("failed to validate agent::Call: expecting '{field}' to be present"))
}

impl AgentSite {
    /// Answers with a stream where that is what the call is for.
    pub(super) async fn operator_call(&self, request: &Request) -> Result<messor_net::Response, Answer> {
        use call::Type;
        let call: Call = decode(request)?;
        if request.header("message-content-type").is_some() {
            let words = "expecting 'Message-Content-Type' to be not set for non-streaming requests";
            return Err(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
        }
        if call.r#type.is_none() {
            return Err(missing("type"));
        }
        let kind = call.r#type();
        Self::check_container_call(&call)?;
        match (kind, &call.attach_container_output) {
            (Type::AttachContainerOutput, Some(attach)) => {
                return self.attach_output(attach, &OutputMedia::of(request)?).await;
            }
            (Type::LaunchNestedContainerSession, _) => {
                return self.session(call, &OutputMedia::of(request)?).await;
            }
            (Type::AttachContainerInput, _) => {
                let words =
                    format!("expecting 'Content-Type' to be {RECORDIO} for ATTACH_CONTAINER_INPUT call");
                return Err(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
            }
            _ => {}
        }
        let media = accepted(request)?;
        if request.header("message-accept").is_some() {
            let words = "expecting 'Message-Accept' to be not set for non-streaming responses";
            return Err(text(StatusCode::NOT_ACCEPTABLE, words));
        }
        self.whole_answer(kind, call, media).await.map(responses::whole)
    }

    async fn whole_answer(&self, kind: call::Type, call: Call, media: MediaType) -> Result<Answer, Answer> {
        use call::Type;
        if is_about_containers(kind) {
            return match self.container_call(call, media).await {
                Some(answer) => answer,
                None => Err(not_supported(kind.wire_name(Version::V1))),
            };
        }
        let typed = |kind: Kind| Response { r#type: Some(kind.into()), ..Default::default() };
        let common = &self.common;
        Ok(match kind {
            Type::Unknown => return Err(not_supported("calls of type UNKNOWN")),
            // There are no images here that could be in nobody's use: --image_providers is refused at start.
            Type::PruneImages => empty(StatusCode::OK),
            Type::AddResourceProviderConfig
            | Type::UpdateResourceProviderConfig
            | Type::RemoveResourceProviderConfig
            | Type::MarkResourceProviderGone => return Err(resource_providers::refusal(kind, &call)),
            Type::GetHealth => {
                let get_health = Some(response::GetHealth { healthy: true });
                respond(&Response { get_health, ..typed(Kind::GetHealth) }, media)
            }
            Type::GetFlags => {
                let get_flags = Some(response::GetFlags { flags: common.flag_messages() });
                respond(&Response { get_flags, ..typed(Kind::GetFlags) }, media)
            }
            Type::GetVersion => {
                let get_version = Some(response::GetVersion { version_info: common.version_message() });
                respond(&Response { get_version, ..typed(Kind::GetVersion) }, media)
            }
            Type::GetLoggingLevel => {
                let get_logging_level = Some(response::GetLoggingLevel { level: common.logging.level() });
                respond(&Response { get_logging_level, ..typed(Kind::GetLoggingLevel) }, media)
            }
            Type::SetLoggingLevel => {
                let wanted = call.set_logging_level.ok_or_else(|| missing("set_logging_level"))?;
                let nanos = u64::try_from(wanted.duration.nanoseconds)
                    .map_err(|_| bad_request("'set_logging_level.duration' must not be negative"))?;
                common.set_level(wanted.level, Duration::from_nanos(nanos))
            }
            Type::GetMetrics => {
                let wanted = call.get_metrics.ok_or_else(|| missing("get_metrics"))?;
                let nanos = wanted.timeout.and_then(|t| u64::try_from(t.nanoseconds).ok());
                let metrics =
                    common.metric_messages(nanos.map_or(Duration::from_secs(60), Duration::from_nanos)).await;
                let get_metrics = Some(response::GetMetrics { metrics });
                respond(&Response { get_metrics, ..typed(Kind::GetMetrics) }, media)
            }
            Type::ListFiles => {
                let wanted = call.list_files.ok_or_else(|| missing("list_files"))?;
                let file_infos = common.files.browse(&wanted.path).map_err(|error| files_error(&error))?;
                let list_files = Some(response::ListFiles { file_infos });
                respond(&Response { list_files, ..typed(Kind::ListFiles) }, media)
            }
            Type::ReadFile => {
                let wanted = call.read_file.ok_or_else(|| missing("read_file"))?;
                let read = common.files.read(&wanted.path, wanted.offset, wanted.length);
                let (size, data) = read.map_err(|error| files_error(&error))?;
                let read_file = Some(response::ReadFile { size, data });
                respond(&Response { read_file, ..typed(Kind::ReadFile) }, media)
            }
            Type::GetOperations => {
                let view = self.machine.view().await.ok_or_else(ending)?;
                let get_operations = Some(response::GetOperations { operations: view.operations.clone() });
                respond(&Response { get_operations, ..typed(Kind::GetOperations) }, media)
            }
            Type::GetResourceProviders => {
                let get_resource_providers = Some(response::GetResourceProviders::default());
                respond(&Response { get_resource_providers, ..typed(Kind::GetResourceProviders) }, media)
            }
            Type::GetContainers => {
                let view = self.machine.view().await.ok_or_else(ending)?;
                let wanted = call.get_containers.unwrap_or_default();
                let containers =
                    self.container_messages(&view, wanted.show_nested(), wanted.show_standalone()).await;
                // Apache Mesos leaves the field out when there are none.
                let get_containers =
                    (!containers.is_empty()).then_some(response::GetContainers { containers });
                respond(&Response { get_containers, ..typed(Kind::GetContainers) }, media)
            }
            Type::GetAgent | Type::GetState | Type::GetFrameworks | Type::GetExecutors | Type::GetTasks => {
                let view = self.machine.view().await.ok_or_else(ending)?;
                read(kind, &view, media)
            }
            _ => return Err(not_supported(kind.wire_name(Version::V1))),
        })
    }
}

fn is_about_containers(kind: call::Type) -> bool {
    use call::Type;
    matches!(
        kind,
        Type::LaunchNestedContainer
            | Type::WaitNestedContainer
            | Type::KillNestedContainer
            | Type::RemoveNestedContainer
            | Type::LaunchContainer
            | Type::WaitContainer
            | Type::KillContainer
            | Type::RemoveContainer
    )
}

/// Tasks by where they stand: queued, launched, terminated, completed.
struct Tasks<'v> {
    queued: Vec<Task>,
    launched: Vec<&'v Memo<Task>>,
    terminated: Vec<&'v Memo<Task>>,
    completed: Vec<&'v Memo<Task>>,
}

fn executors(view: &View) -> impl Iterator<Item = &ExecutorView> {
    let all = || view.frameworks.iter().chain(&view.completed_frameworks);
    let over = all().flat_map(|f| &f.completed_executors).map(AsRef::as_ref);
    all().flat_map(|f| &f.executors).chain(over)
}

fn tasks(view: &View) -> Tasks<'_> {
    let mut found = Tasks { queued: vec![], launched: vec![], terminated: vec![], completed: vec![] };
    for framework in view.frameworks.iter().chain(&view.completed_frameworks) {
        for executor in &framework.executors {
            let queued = executor.queued_tasks.iter().map(|info| queued_task(info, framework.id.as_str()));
            found.queued.extend(queued);
        }
    }
    for executor in executors(view) {
        found.launched.extend(executor.launched_tasks.iter().map(AsRef::as_ref));
        found.terminated.extend(executor.terminated_tasks.iter().map(AsRef::as_ref));
        found.completed.extend(executor.completed_tasks.iter().map(AsRef::as_ref));
    }
    found
}

fn queued_task(info: &TaskInfo, framework: &str) -> Task {
    Task {
        name: info.name.clone(),
        task_id: info.task_id.clone(),
        framework_id: messor_proto::mesos::FrameworkId { value: framework.to_string() },
        executor_id: info.executor.as_ref().map(|e| e.executor_id.clone()),
        agent_id: info.agent_id.clone(),
        state: TaskState::TaskStaging.into(),
        resources: info.resources.clone(),
        labels: info.labels.clone(),
        discovery: info.discovery.clone(),
        container: info.container.clone(),
        health_check: info.health_check.clone(),
        kill_policy: info.kill_policy,
        limits: info.limits.clone(),
        ..Task::default()
    }
}

fn read(kind: call::Type, view: &Arc<View>, media: MediaType) -> Answer {
    use call::Type;
    if media == MediaType::Json {
        let body = document::object(|o| {
            o.text("type", kind.wire_name(Version::V1));
            match kind {
                Type::GetTasks => o.object("get_tasks", |o| write_tasks(o, view)),
                Type::GetExecutors => o.object("get_executors", |o| write_executors(o, view)),
                Type::GetFrameworks => o.object("get_frameworks", |o| write_frameworks(o, view)),
                Type::GetState => o.object("get_state", |o| {
                    o.object("get_tasks", |o| write_tasks(o, view));
                    o.object("get_executors", |o| write_executors(o, view));
                    o.object("get_frameworks", |o| write_frameworks(o, view));
                }),
                _ => o.message("get_agent", &get_agent(view), Version::V1),
            }
        });
        return answer(StatusCode::OK, JSON, body);
    }
    let mut message = Response { r#type: Some(kind as i32), ..Default::default() };
    match kind {
        Type::GetTasks => message.get_tasks = Some(get_tasks(view)),
        Type::GetExecutors => message.get_executors = Some(get_executors(view)),
        Type::GetFrameworks => message.get_frameworks = Some(get_frameworks(view)),
        Type::GetState => {
            message.get_state = Some(response::GetState {
                get_tasks: Some(get_tasks(view)),
                get_executors: Some(get_executors(view)),
                get_frameworks: Some(get_frameworks(view)),
            });
        }
        _ => message.get_agent = Some(get_agent(view)),
    }
    respond(&message, media)
}

fn get_agent(view: &View) -> response::GetAgent {
    response::GetAgent {
        // v1 has no `checkpoint` of agents any more.
        agent_info: Some(AgentInfo { checkpoint: None, ..AgentInfo::clone(&view.info) }),
        drain_config: view.drain_config,
        estimated_drain_start_time: view.estimated_drain_start_time.map(crate::master::time_info),
    }
}

fn get_tasks(view: &View) -> response::GetTasks {
    let Tasks { queued, launched, terminated, completed } = tasks(view);
    let copies = |list: Vec<&Memo<Task>>| list.into_iter().map(|task| Task::clone(task)).collect();
    response::GetTasks {
        pending_tasks: Vec::new(),
        queued_tasks: queued,
        launched_tasks: copies(launched),
        terminated_tasks: copies(terminated),
        completed_tasks: copies(completed),
    }
}

fn get_executors(view: &View) -> response::GetExecutors {
    let running = view.frameworks.iter().flat_map(|f| &f.executors);
    let all = view.frameworks.iter().chain(&view.completed_frameworks);
    let over = all.flat_map(|f| &f.completed_executors);
    let executor = |info: &messor_proto::mesos::ExecutorInfo| response::get_executors::Executor {
        executor_info: info.clone(),
    };
    response::GetExecutors {
        executors: running.map(|e| executor(&e.info)).collect(),
        completed_executors: over.map(|e| executor(&e.info)).collect(),
    }
}

fn get_frameworks(view: &View) -> response::GetFrameworks {
    let framework = |f: &messor_agent_core::FrameworkView| response::get_frameworks::Framework {
        framework_info: f.info.as_ref().clone(),
    };
    response::GetFrameworks {
        frameworks: view.frameworks.iter().map(framework).collect(),
        completed_frameworks: view.completed_frameworks.iter().map(framework).collect(),
    }
}

fn write_tasks(object: &mut Object<'_>, view: &View) {
    let Tasks { queued, launched, terminated, completed } = tasks(view);
    object.array("pending_tasks", |_| ());
    object.messages("queued_tasks", &queued, Version::V1Names);
    for (name, list) in
        [("launched_tasks", launched), ("terminated_tasks", terminated), ("completed_tasks", completed)]
    {
        object.array(name, |a| {
            list.into_iter().for_each(|t| a.raw(t.rendering(V1_SLOT, |task| task.to_json(Version::V1Names))));
        });
    }
}

fn write_executors(object: &mut Object<'_>, view: &View) {
    let found = get_executors(view);
    object.messages("executors", &found.executors, Version::V1Names);
    object.messages("completed_executors", &found.completed_executors, Version::V1Names);
}

fn write_frameworks(object: &mut Object<'_>, view: &View) {
    let found = get_frameworks(view);
    object.messages("frameworks", &found.frameworks, Version::V1Names);
    object.messages("completed_frameworks", &found.completed_frameworks, Version::V1Names);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_agents_have_no_checkpoint() {
        let info = AgentInfo { hostname: "h".into(), checkpoint: Some(true), ..AgentInfo::default() };
        let view = View { info: Arc::new(info), ..View::default() };
        assert_eq!(get_agent(&view).agent_info.expect("an agent").checkpoint, None);
        // Not even its default.
        let answer = read(call::Type::GetAgent, &Arc::new(view), MediaType::Json);
        let text = String::from_utf8_lossy(answer.body());
        assert!(text.contains("hostname") && !text.contains("checkpoint"), "{text}");
    }
}
