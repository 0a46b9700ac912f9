//! Resource providers: there are none yet. What is wrong in a call about them is told all the same, with the codes of 1.11.0.

use messor_proto::mesos::agent::{self, call};
use messor_proto::{Version, WireEnum};

use super::calls::missing;
use crate::answer::{Answer, bad_request, not_supported};
use crate::call::decode;
use crate::request::Request;

/// The types of local resource providers that Apache Mesos knows begin so.
const LOCAL: &str = "org.apache.mesos.rp.local.";

/// What an operator's call about resource providers is answered with.
pub(super) fn refusal(kind: call::Type, call: &agent::Call) -> Answer {
    use call::Type;
    let name = kind.wire_name(Version::V1);
    let field = name.to_lowercase();
    let info = match kind {
        Type::AddResourceProviderConfig => call.add_resource_provider_config.as_ref().map(|c| Some(&c.info)),
        Type::UpdateResourceProviderConfig => {
            call.update_resource_provider_config.as_ref().map(|c| Some(&c.info))
        }
        Type::RemoveResourceProviderConfig => call.remove_resource_provider_config.as_ref().map(|_| None),
        _ => call.mark_resource_provider_gone.as_ref().map(|_| None),
    };
    match info {
        None => missing(&field),
        Some(Some(info)) if info.id.is_some() => {
            bad_request(format!("failed to validate agent::Call: expecting '{field}.info.id' to be unset"))
        }
        Some(Some(info)) if !info.r#type.starts_with(LOCAL) => {
            bad_request(format!("'{}' is no type of local resource providers", info.r#type))
        }
        Some(_) => not_supported(format!("{name}: there are no resource providers")),
    }
}

/// There are no resource providers yet; what is wrong in a call is told all the same.
pub(super) fn answer(request: &Request) -> Answer {
    use messor_proto::mesos::resource_provider::{Call, call::Type};
    let call: Call = match decode(request) {
        Ok(call) => call,
        Err(refusal) => return refusal,
    };
    let missing = match call.r#type() {
        _ if call.r#type.is_none() => Some("type"),
        Type::Subscribe if call.subscribe.is_none() => Some("subscribe"),
        Type::Subscribe => None,
        _ if call.resource_provider_id.is_none() => Some("resource_provider_id"),
        _ => None,
    };
    match missing {
        Some(field) => bad_request(format!(
            "failed to validate resource_provider::Call: expecting '{field}' to be present"
        )),
        None => not_supported("/slave(1)/api/v1/resource_provider"),
    }
}

#[cfg(test)]
mod tests {
    use messor_proto::mesos::ResourceProviderInfo;
    use messor_proto::mesos::agent::call::{AddResourceProviderConfig, MarkResourceProviderGone, Type};

    use super::*;

    #[test]
    fn what_is_wrong_is_told_before_what_is_not_there() {
        let add = |info: ResourceProviderInfo| agent::Call {
            add_resource_provider_config: Some(AddResourceProviderConfig { info }),
            ..Default::default()
        };
        let info =
            |kind: &str| ResourceProviderInfo { r#type: kind.into(), name: "n".into(), ..Default::default() };
        let with_id = ResourceProviderInfo {
            id: Some(Default::default()),
            ..info("org.apache.mesos.rp.local.storage")
        };
        let gone = agent::Call {
            mark_resource_provider_gone: Some(MarkResourceProviderGone::default()),
            ..Default::default()
        };
        for (kind, call, code) in [
            (Type::AddResourceProviderConfig, agent::Call::default(), 400),
            (Type::AddResourceProviderConfig, add(with_id), 400),
            (Type::AddResourceProviderConfig, add(info("org.other")), 400),
            (Type::AddResourceProviderConfig, add(info("org.apache.mesos.rp.local.storage")), 501),
            (Type::MarkResourceProviderGone, agent::Call::default(), 400),
            (Type::MarkResourceProviderGone, gone, 501),
        ] {
            assert_eq!(refusal(kind, &call).status(), code, "{kind:?} {call:?}");
        }
    }
}
