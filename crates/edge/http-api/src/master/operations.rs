//! Operators' changes of agents' resources: the v0 endpoints /reserve, /unreserve, /create-volumes, /destroy-volumes,
//! and the v1 calls of the same meaning (U070). What is right and wrong about them is the machine's to say.

use http::Method;
use messor_codec::target::Query;
use messor_master_core::OperatorCall;
use messor_proto::mesos::master::{Call, call};
use messor_proto::mesos::offer::operation::{
    Create, Destroy, GrowVolume, Reserve, ShrinkVolume, Type, Unreserve,
};
use messor_proto::mesos::{self, Resource, offer};
use messor_proto::{Version, Wire};
use messor_types::AgentId;

use super::MasterSite;
use crate::answer::{Answer, bad_request, method_not_allowed};
use crate::request::Request;

fn operator_call(agent: &mesos::AgentId, operation: offer::Operation) -> OperatorCall {
    OperatorCall::Operation { agent: AgentId::from(agent), operation: Box::new(operation) }
}

fn typed(kind: Type) -> offer::Operation {
    offer::Operation { r#type: Some(kind.into()), ..Default::default() }
}

/// The operation of a v1 call; None: it is no call of this kind, or lacks the field that goes with its type.
pub(super) fn of_call(kind: call::Type, call: &mut Call) -> Option<OperatorCall> {
    Some(match kind {
        call::Type::ReserveResources => {
            let wanted = call.reserve_resources.take()?;
            let reserve = Some(Reserve { source: wanted.source, resources: wanted.resources });
            operator_call(&wanted.agent_id, offer::Operation { reserve, ..typed(Type::Reserve) })
        }
        call::Type::UnreserveResources => {
            let wanted = call.unreserve_resources.take()?;
            let unreserve = Some(Unreserve { resources: wanted.resources });
            operator_call(&wanted.agent_id, offer::Operation { unreserve, ..typed(Type::Unreserve) })
        }
        call::Type::CreateVolumes => {
            let wanted = call.create_volumes.take()?;
            let create = Some(Create { volumes: wanted.volumes });
            operator_call(&wanted.agent_id, offer::Operation { create, ..typed(Type::Create) })
        }
        call::Type::DestroyVolumes => {
            let wanted = call.destroy_volumes.take()?;
            let destroy = Some(Destroy { volumes: wanted.volumes });
            operator_call(&wanted.agent_id, offer::Operation { destroy, ..typed(Type::Destroy) })
        }
        call::Type::GrowVolume => {
            let wanted = call.grow_volume.take()?;
            let grow_volume = Some(GrowVolume { volume: wanted.volume, addition: wanted.addition });
            let agent = wanted.agent_id.unwrap_or_default();
            operator_call(&agent, offer::Operation { grow_volume, ..typed(Type::GrowVolume) })
        }
        call::Type::ShrinkVolume => {
            let wanted = call.shrink_volume.take()?;
            let shrink_volume = Some(ShrinkVolume { volume: wanted.volume, subtract: wanted.subtract });
            let agent = wanted.agent_id.unwrap_or_default();
            operator_call(&agent, offer::Operation { shrink_volume, ..typed(Type::ShrinkVolume) })
        }
        _ => return None,
    })
}

/// Which operation a v0 endpoint is.
pub(super) fn kind_of_path(path: &str) -> Option<Type> {
    Some(match path {
        "/reserve" => Type::Reserve,
        "/unreserve" => Type::Unreserve,
        "/create-volumes" => Type::Create,
        "/destroy-volumes" => Type::Destroy,
        _ => return None,
    })
}

impl MasterSite {
    pub(super) async fn operation(&self, kind: Type, request: &Request) -> Answer {
        if request.method != Method::POST {
            return method_not_allowed("POST", &request.method);
        }
        match read_form(kind, &request.body) {
            Ok(call) => self.change(request, None, call).await,
            Err(refusal) => refusal,
        }
    }
}

/// The form in the body: `slaveId`, and lists of resources as JSON.
fn read_form(kind: Type, body: &[u8]) -> Result<OperatorCall, Answer> {
    let body = String::from_utf8_lossy(body);
    let form = Query::parse(&body)
        .map_err(|error| bad_request(format!("failed to read the form in the body: {error}")))?;
    let missing = |name: &str| bad_request(format!("missing '{name}' in the form of the body"));
    let agent = form.get("slaveId").ok_or_else(|| missing("slaveId"))?;
    let list = |name: &str| {
        let text = form.get(name).ok_or_else(|| missing(name))?;
        Resource::list_from_json(text.as_bytes(), Version::V0)
            .map_err(|error| bad_request(format!("'{name}' must be a list of resources: {error}")))
    };
    let operation = match kind {
        Type::Create => {
            offer::Operation { create: Some(Create { volumes: list("volumes")? }), ..typed(kind) }
        }
        Type::Destroy => {
            offer::Operation { destroy: Some(Destroy { volumes: list("volumes")? }), ..typed(kind) }
        }
        Type::Unreserve => {
            let unreserve = Some(Unreserve { resources: list("resources")? });
            offer::Operation { unreserve, ..typed(kind) }
        }
        _ => {
            let source = if form.get("source").is_some() { list("source")? } else { Vec::new() };
            let reserve = Some(Reserve { resources: list("resources")?, source });
            offer::Operation { reserve, ..typed(kind) }
        }
    };
    Ok(operator_call(&mesos::AgentId { value: agent.to_string() }, operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_become_operations() {
        let form = "slaveId=S0&resources=%5B%7B%22name%22%3A%22cpus%22%2C%22type%22%3A%22SCALAR%22%2C%22scalar%22%3A%7B%22value%22%3A1%7D%2C%22role%22%3A%22r%22%7D%5D";
        let Ok(OperatorCall::Operation { agent, operation }) = read_form(Type::Unreserve, form.as_bytes())
        else {
            panic!("refused");
        };
        assert_eq!((agent.as_str(), operation.r#type()), ("S0", Type::Unreserve));
        assert_eq!(operation.unreserve.unwrap().resources[0].name, "cpus");
        for (kind, wrong) in [
            (Type::Reserve, ""),
            (Type::Reserve, "slaveId=S0"),
            (Type::Reserve, "slaveId=S0&resources=1"),
            (Type::Reserve, "slaveId=S0&resources=[]&source=x"),
            (Type::Create, "slaveId=S0&resources=[]"),
        ] {
            assert!(read_form(kind, wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
