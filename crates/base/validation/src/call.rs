//! Which fields a scheduler's call must have. The required fields of the wire format are checked by the decoder.

use messor_proto::mesos::scheduler::{Call, call::Type};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("expecting '{0}' to be present")]
    Missing(&'static str),
    #[error("'framework_id' differs from '{0}'")]
    FrameworkId(&'static str),
    #[error(
        "the authenticated principal '{authenticated}' is not the principal '{claimed}' of 'framework_info'"
    )]
    Principal { authenticated: String, claimed: String },
    #[error("'{field}' must be a UUID of 16 bytes; it has {length}")]
    Uuid { field: &'static str, length: usize },
}

/// Checks a call of a scheduler, HTTP or driver. `principal` is who was authenticated, if anybody.
pub fn validate_scheduler_call(call: &Call, principal: Option<&str>) -> Result<(), CallError> {
    if call.r#type.is_none() {
        return Err(CallError::Missing("type"));
    }
    if call.r#type() == Type::Subscribe {
        return validate_subscribe(call, principal);
    }
    if call.framework_id.is_none() {
        return Err(CallError::Missing("framework_id"));
    }
    let (present, field) = match call.r#type() {
        Type::Accept => (call.accept.is_some(), "accept"),
        Type::Decline => (call.decline.is_some(), "decline"),
        Type::AcceptInverseOffers => (call.accept_inverse_offers.is_some(), "accept_inverse_offers"),
        Type::DeclineInverseOffers => (call.decline_inverse_offers.is_some(), "decline_inverse_offers"),
        Type::Kill => (call.kill.is_some(), "kill"),
        Type::Shutdown => (call.shutdown.is_some(), "shutdown"),
        Type::Acknowledge => (call.acknowledge.is_some(), "acknowledge"),
        Type::AcknowledgeOperationStatus => {
            (call.acknowledge_operation_status.is_some(), "acknowledge_operation_status")
        }
        Type::Reconcile => (call.reconcile.is_some(), "reconcile"),
        Type::ReconcileOperations => (call.reconcile_operations.is_some(), "reconcile_operations"),
        Type::Message => (call.message.is_some(), "message"),
        Type::Request => (call.request.is_some(), "request"),
        Type::UpdateFramework => (call.update_framework.is_some(), "update_framework"),
        Type::Subscribe | Type::Teardown | Type::Revive | Type::Suppress | Type::Unknown => (true, ""),
    };
    if !present {
        return Err(CallError::Missing(field));
    }
    if let (Type::Acknowledge, Some(acknowledge)) = (call.r#type(), &call.acknowledge) {
        validate_uuid("acknowledge.uuid", &acknowledge.uuid)?;
    }
    if let (Type::AcknowledgeOperationStatus, Some(acknowledge)) =
        (call.r#type(), &call.acknowledge_operation_status)
    {
        validate_uuid("acknowledge_operation_status.uuid", &acknowledge.uuid)?;
        if acknowledge.agent_id.is_none() {
            return Err(CallError::Missing("agent_id"));
        }
    }
    if let (Type::UpdateFramework, Some(update)) = (call.r#type(), &call.update_framework)
        && call.framework_id != update.framework_info.id
    {
        return Err(CallError::FrameworkId("update_framework.framework_info.id"));
    }
    Ok(())
}

fn validate_subscribe(call: &Call, principal: Option<&str>) -> Result<(), CallError> {
    let info = &call.subscribe.as_ref().ok_or(CallError::Missing("subscribe"))?.framework_info;
    // An id that is not set and an empty one are the same here.
    let value = |id: &Option<messor_proto::mesos::FrameworkId>| {
        id.as_ref().map_or(String::new(), |id| id.value.clone())
    };
    if value(&info.id) != value(&call.framework_id) {
        return Err(CallError::FrameworkId("subscribe.framework_info.id"));
    }
    if let (Some(authenticated), Some(claimed)) = (principal, &info.principal)
        && authenticated != claimed
    {
        return Err(CallError::Principal { authenticated: authenticated.into(), claimed: claimed.clone() });
    }
    Ok(())
}

fn validate_uuid(field: &'static str, bytes: &[u8]) -> Result<(), CallError> {
    if bytes.len() == 16 { Ok(()) } else { Err(CallError::Uuid { field, length: bytes.len() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::scheduler::call;
    use messor_proto::mesos::{FrameworkId, FrameworkInfo};

    fn id(value: &str) -> Option<FrameworkId> {
        Some(FrameworkId { value: value.into() })
    }

    fn typed(kind: Type) -> Call {
        Call { r#type: Some(kind as i32), framework_id: id("F"), ..Default::default() }
    }

    fn subscribe(
        framework_id: Option<FrameworkId>,
        info_id: Option<FrameworkId>,
        principal: Option<&str>,
    ) -> Call {
        let framework_info =
            FrameworkInfo { id: info_id, principal: principal.map(str::to_string), ..Default::default() };
        let subscribe = call::Subscribe { framework_info, ..Default::default() };
        Call { framework_id, subscribe: Some(subscribe), ..typed(Type::Subscribe) }
    }

    #[test]
    fn each_type_needs_its_field() {
        assert_eq!(validate_scheduler_call(&Call::default(), None), Err(CallError::Missing("type")));
        let without_id = Call { framework_id: None, ..typed(Type::Teardown) };
        assert_eq!(validate_scheduler_call(&without_id, None), Err(CallError::Missing("framework_id")));
        for (kind, field) in [
            (Type::Subscribe, "subscribe"),
            (Type::Accept, "accept"),
            (Type::Decline, "decline"),
            (Type::AcceptInverseOffers, "accept_inverse_offers"),
            (Type::DeclineInverseOffers, "decline_inverse_offers"),
            (Type::Kill, "kill"),
            (Type::Shutdown, "shutdown"),
            (Type::Acknowledge, "acknowledge"),
            (Type::AcknowledgeOperationStatus, "acknowledge_operation_status"),
            (Type::Reconcile, "reconcile"),
            (Type::ReconcileOperations, "reconcile_operations"),
            (Type::Message, "message"),
            (Type::Request, "request"),
            (Type::UpdateFramework, "update_framework"),
        ] {
            assert_eq!(
                validate_scheduler_call(&typed(kind), None),
                Err(CallError::Missing(field)),
                "{kind:?}"
            );
        }
        for kind in [Type::Teardown, Type::Revive, Type::Suppress, Type::Unknown] {
            assert_eq!(validate_scheduler_call(&typed(kind), None), Ok(()), "{kind:?}");
        }
    }

    #[test]
    fn ids_agree() {
        let differs = CallError::FrameworkId("subscribe.framework_info.id");
        assert_eq!(validate_scheduler_call(&subscribe(None, None, None), None), Ok(()));
        assert_eq!(validate_scheduler_call(&subscribe(None, id(""), None), None), Ok(()));
        assert_eq!(validate_scheduler_call(&subscribe(id("F"), id("F"), None), None), Ok(()));
        for wrong in [
            subscribe(None, id("F"), None),
            subscribe(id("F"), None, None),
            subscribe(id("F"), id("G"), None),
        ] {
            assert_eq!(validate_scheduler_call(&wrong, None), Err(differs.clone()));
        }
        let update_framework = Some(call::UpdateFramework::default());
        let update = Call { update_framework, ..typed(Type::UpdateFramework) };
        assert!(matches!(validate_scheduler_call(&update, None), Err(CallError::FrameworkId(_))));
    }

    #[test]
    fn principals_agree() {
        assert_eq!(validate_scheduler_call(&subscribe(None, None, Some("p")), Some("p")), Ok(()));
        assert_eq!(validate_scheduler_call(&subscribe(None, None, None), Some("p")), Ok(()));
        assert_eq!(validate_scheduler_call(&subscribe(None, None, Some("p")), None), Ok(()));
        let error = validate_scheduler_call(&subscribe(None, None, Some("p")), Some("q")).unwrap_err();
        assert!(matches!(error, CallError::Principal { .. }));
    }

    #[test]
    fn uuids_have_16_bytes() {
        let acknowledge = |length: usize| Call {
            acknowledge: Some(call::Acknowledge { uuid: vec![7; length], ..Default::default() }),
            ..typed(Type::Acknowledge)
        };
        assert_eq!(validate_scheduler_call(&acknowledge(16), None), Ok(()));
        for length in [0, 15, 17, 36] {
            assert!(matches!(
                validate_scheduler_call(&acknowledge(length), None),
                Err(CallError::Uuid { .. })
            ));
        }
        let operation = |agent: bool| Call {
            acknowledge_operation_status: Some(call::AcknowledgeOperationStatus {
                uuid: vec![7; 16],
                agent_id: agent.then(Default::default),
                ..Default::default()
            }),
            ..typed(Type::AcknowledgeOperationStatus)
        };
        assert_eq!(validate_scheduler_call(&operation(true), None), Ok(()));
        assert_eq!(validate_scheduler_call(&operation(false), None), Err(CallError::Missing("agent_id")));
    }
}
