//! The v1 operator API: POST /api/v1. Reads come from a view, changes go to the machine.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use messor_master_core::{Event, OperatorCall, ReplyId, StreamId, View};
use messor_net::Response as HttpResponse;
use messor_proto::mesos::master::response::{self, Type as Kind};
use messor_proto::mesos::master::{Call, Event as OperatorEvent, Response, call, event};
use messor_proto::{Sink, Version, WireEnum};

use super::{MasterSite, binary, ending, leader_of, maintenance, operations, reads, redirect};
use crate::answer::{Answer, answer, bad_request, not_supported, text};
use crate::call::{accepted, decode, respond as respond_message};
use crate::common::files_error;
use crate::machine::Machine;
use crate::request::{MediaType, Request};
use crate::respond;

impl MasterSite {
    pub(super) async fn operator_call(&self, request: &Request) -> HttpResponse {
        match self.operator_call_or_refusal(request).await {
            Ok(response) => response,
            Err(refusal) => respond::whole(refusal),
        }
    }

    async fn operator_call_or_refusal(&self, request: &Request) -> Result<HttpResponse, Answer> {
        let call: Call = decode(request)?;
        let kind = kind_of(&call)?;
        let media = accepted(request)?;
        if kind == call::Type::Subscribe {
            return self.operator_subscribe(request, media).await;
        }
        // Reads have the same name in calls and answers, under other numbers.
        match Kind::from_wire_name(kind.wire_name(Version::V1), Version::V1) {
            Some(read) if LARGE.contains(&read) => Ok(self.large_call(request, read, media).await),
            _ => self.whole_answer(request, kind, call, media).await.map(respond::whole),
        }
    }

    async fn whole_answer(
        &self,
        request: &Request,
        kind: call::Type,
        mut call: Call,
        media: MediaType,
    ) -> Result<Answer, Answer> {
        use call::Type;
        let is_local = matches!(
            kind,
            Type::GetHealth
                | Type::GetFlags
                | Type::GetVersion
                | Type::GetLoggingLevel
                | Type::SetLoggingLevel
                | Type::GetMetrics
                | Type::ListFiles
                | Type::ReadFile
        );
        if is_local {
            // Even these are the leading master's to answer.
            leading_view(&self.machine, request).await?;
        }
        let typed = |kind: Kind| Response { r#type: Some(kind.into()), ..Default::default() };
        let common = &self.common;
        Ok(match kind {
            Type::GetHealth => {
                let get_health = Some(response::GetHealth { healthy: true });
                respond_message(&Response { get_health, ..typed(Kind::GetHealth) }, media)
            }
            Type::GetFlags => {
                let get_flags = Some(response::GetFlags { flags: common.flag_messages() });
                respond_message(&Response { get_flags, ..typed(Kind::GetFlags) }, media)
            }
            Type::GetVersion => {
                let get_version = Some(response::GetVersion { version_info: common.version_message() });
                respond_message(&Response { get_version, ..typed(Kind::GetVersion) }, media)
            }
            Type::GetLoggingLevel => {
                let get_logging_level = Some(response::GetLoggingLevel { level: common.logging.level() });
                respond_message(&Response { get_logging_level, ..typed(Kind::GetLoggingLevel) }, media)
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
                respond_message(&Response { get_metrics, ..typed(Kind::GetMetrics) }, media)
            }
            Type::ListFiles => {
                let wanted = call.list_files.ok_or_else(|| missing("list_files"))?;
                let file_infos = common.files.browse(&wanted.path).map_err(|error| files_error(&error))?;
                let list_files = Some(response::ListFiles { file_infos });
                respond_message(&Response { list_files, ..typed(Kind::ListFiles) }, media)
            }
            Type::ReadFile => {
                let wanted = call.read_file.ok_or_else(|| missing("read_file"))?;
                let read = common.files.read(&wanted.path, wanted.offset, wanted.length);
                let (size, data) = read.map_err(|error| files_error(&error))?;
                let read_file = Some(response::ReadFile { size, data });
                respond_message(&Response { read_file, ..typed(Kind::ReadFile) }, media)
            }
            Type::Teardown => {
                let wanted = call.teardown.ok_or_else(|| missing("teardown"))?;
                let framework = (&wanted.framework_id).into();
                self.change(request, None, OperatorCall::Teardown { framework }).await
            }
            Type::MarkAgentGone => {
                let wanted = call.mark_agent_gone.ok_or_else(|| missing("mark_agent_gone"))?;
                let agent = (&wanted.agent_id).into();
                self.change(request, None, OperatorCall::MarkAgentGone { agent }).await
            }
            Type::ReserveResources
            | Type::UnreserveResources
            | Type::CreateVolumes
            | Type::DestroyVolumes
            | Type::GrowVolume
            | Type::ShrinkVolume => {
                let name = kind.wire_name(Version::V1).to_lowercase();
                let wanted = operations::of_call(kind, &mut call).ok_or_else(|| missing(&name))?;
                self.change(request, None, wanted).await
            }
            Type::UpdateMaintenanceSchedule
            | Type::StartMaintenance
            | Type::StopMaintenance
            | Type::DrainAgent
            | Type::DeactivateAgent
            | Type::ReactivateAgent => {
                let name = kind.wire_name(Version::V1).to_lowercase();
                let wanted = maintenance::of_call(kind, &mut call).ok_or_else(|| missing(&name))?;
                self.change(request, None, wanted).await
            }
            Type::UpdateWeights => {
                let wanted = call.update_weights.ok_or_else(|| missing("update_weights"))?;
                let call = OperatorCall::UpdateWeights { weights: wanted.weight_infos };
                self.change(request, None, call).await
            }
            Type::UpdateQuota => {
                let wanted = call.update_quota.ok_or_else(|| missing("update_quota"))?;
                let force = wanted.force();
                let call = OperatorCall::UpdateQuota { configs: wanted.quota_configs, force };
                self.change(request, None, call).await
            }
            Type::SetQuota => {
                let wanted = call.set_quota.ok_or_else(|| missing("set_quota"))?;
                let call = OperatorCall::SetQuota { request: Box::new(wanted.quota_request) };
                self.change(request, None, call).await
            }
            Type::RemoveQuota => {
                let wanted = call.remove_quota.ok_or_else(|| missing("remove_quota"))?;
                self.change(request, None, OperatorCall::RemoveQuota { role: wanted.role }).await
            }
            _ => match Kind::from_wire_name(kind.wire_name(Version::V1), Version::V1) {
                Some(read) => self.read(request, read, media).await,
                None => return Err(not_supported(kind.wire_name(Version::V1))),
            },
        })
    }

    /// A read that needs the state of the cluster.
    async fn read(&self, request: &Request, kind: Kind, media: MediaType) -> Answer {
        written(self.machine.clone(), request.clone(), kind, media, None).await
    }

    async fn large_call(&self, request: &Request, kind: Kind, media: MediaType) -> HttpResponse {
        let machine = self.machine.clone();
        // (The target is where another leader is asked.)
        let what = format!("{kind:?} {media:?} {}", request.target);
        let write = move |of, sink| written(machine, of, kind, media, sink);
        self.large(what, media.name(), request, write).await
    }

    async fn operator_subscribe(&self, request: &Request, media: MediaType) -> Result<HttpResponse, Answer> {
        let stream = self.gateway.prepare(media, true);
        let (reply, answer) = self.gateway.request();
        self.machine.request(Event::OperatorSubscribe {
            stream: StreamId(stream),
            reply: ReplyId(reply),
            principal: None,
        });
        self.opened(request, stream, answer, media, false).await
    }
}

/// What grows with the cluster waits for its turn.
const LARGE: [Kind; 5] =
    [Kind::GetState, Kind::GetTasks, Kind::GetAgents, Kind::GetFrameworks, Kind::GetExecutors];

/// The answer to a read, or what the sink has not got of it.
async fn written(
    machine: Machine<Event, View>,
    request: Request,
    kind: Kind,
    media: MediaType,
    sink: Option<Sink>,
) -> Answer {
    let view = match leading_view(&machine, &request).await {
        Ok(view) => view,
        Err(refusal) => return refusal,
    };
    let written = tokio::task::spawn_blocking(move || {
        let by_hand = match media {
            MediaType::Json => reads::json_of(kind, &view, sink),
            MediaType::Protobuf => binary::answer(kind, &view, sink),
        };
        let written = match by_hand {
            Some(body) => Some(answer(StatusCode::OK, media.name(), body)),
            None => reads::message_of(kind, &view).map(|message| respond_message(&message, media)),
        };
        (written, view)
    });
    match written.await {
        Ok((written, view)) => {
            super::let_go(view);
            written.unwrap_or_else(|| not_supported(kind.wire_name(Version::V1)))
        }
        Err(_) => ending(),
    }
}

/// The state of things, of a master that leads and has recovered.
async fn leading_view(machine: &Machine<Event, View>, request: &Request) -> Result<Arc<View>, Answer> {
    let view = machine.view().await.ok_or_else(ending)?;
    if view.elected_time.is_none() {
        return Err(redirect(leader_of(&view).as_deref(), &request.target));
    }
    if !view.recovered {
        return Err(text(StatusCode::SERVICE_UNAVAILABLE, "this master has not recovered yet"));
    }
    Ok(view)
}

fn missing(field: &str) -> Answer {
    bad_request(format!("failed to validate master::Call: expecting '{field}' to be present"))
}

/// The type of a call, once the field that goes with it is there.
fn kind_of(call: &Call) -> Result<call::Type, Answer> {
    use call::Type;
    if call.r#type.is_none() {
        return Err(missing("type"));
    }
    let kind = call.r#type();
    let present = match kind {
        Type::Unknown => return Err(not_supported("calls of type UNKNOWN")),
        Type::GetMetrics => call.get_metrics.is_some(),
        Type::SetLoggingLevel => call.set_logging_level.is_some(),
        Type::ListFiles => call.list_files.is_some(),
        Type::ReadFile => call.read_file.is_some(),
        Type::Teardown => call.teardown.is_some(),
        Type::UnreserveResources => call.unreserve_resources.is_some(),
        Type::ReserveResources => call.reserve_resources.is_some(),
        Type::CreateVolumes => call.create_volumes.is_some(),
        Type::DestroyVolumes => call.destroy_volumes.is_some(),
        Type::GrowVolume => call.grow_volume.is_some(),
        Type::ShrinkVolume => call.shrink_volume.is_some(),
        Type::UpdateMaintenanceSchedule => call.update_maintenance_schedule.is_some(),
        Type::StartMaintenance => call.start_maintenance.is_some(),
        Type::StopMaintenance => call.stop_maintenance.is_some(),
        Type::DrainAgent => call.drain_agent.is_some(),
        Type::DeactivateAgent => call.deactivate_agent.is_some(),
        Type::ReactivateAgent => call.reactivate_agent.is_some(),
        _ => true,
    };
    let name = kind.wire_name(Version::V1).to_lowercase();
    if present { Ok(kind) } else { Err(missing(&name)) }
}

/// The first event of an operator's stream, as a message.
pub(super) fn heartbeat() -> OperatorEvent {
    OperatorEvent { r#type: Some(event::Type::Heartbeat.into()), ..Default::default() }
}
