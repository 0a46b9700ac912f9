//! What operators read of the registry: quota, weights, maintenance; and the registry itself, as it is stored.

use std::collections::BTreeMap;

use http::Method;
use messor_codec::target::decode;
use messor_master_core::{OperatorCall, View};
use messor_proto::mesos::quota::{QuotaConfig, QuotaInfo, QuotaRequest, QuotaStatus};
use messor_proto::mesos::{self, WeightInfo, value};
use messor_proto::{Version, Wire, WireEnum};
use messor_types::Role;

use super::{MasterSite, maintenance};
use crate::answer::{Answer, bad_request, json, method_not_allowed};
use crate::document;
use crate::request::Request;

/// The libprocess id of the registrar, whose one endpoint shows the registry.
pub const REGISTRAR: &str = "registrar(1)";

type Amounts = BTreeMap<String, value::Scalar>;

/// Every role's quota, by role: guarantees and limits. Those in the older form guarantee what they limit.
pub fn quotas(view: &View) -> BTreeMap<String, QuotaConfig> {
    let Some(registry) = &view.registry else { return BTreeMap::new() };
    let old = registry.quotas().map(|info| {
        let scalar = |resource: &mesos::Resource| Some((resource.name.clone(), resource.scalar?));
        let amounts: Amounts = info.guarantee.iter().filter_map(scalar).collect();
        QuotaConfig { role: info.role().to_string(), guarantees: amounts.clone(), limits: amounts }
    });
    old.chain(registry.quota_configs().cloned()).map(|config| (config.role.clone(), config)).collect()
}

pub fn quota_status(view: &View) -> QuotaStatus {
    let configs: Vec<QuotaConfig> = quotas(view).into_values().collect();
    let infos = configs
        .iter()
        .map(|config| QuotaInfo {
            role: Some(config.role.clone()),
            guarantee: config.guarantees.iter().map(|(name, scalar)| resource(name, *scalar)).collect(),
            ..Default::default()
        })
        .collect();
    QuotaStatus { infos, configs }
}

fn resource(name: &str, scalar: value::Scalar) -> mesos::Resource {
    mesos::Resource {
        name: name.to_string(),
        r#type: value::Type::Scalar.number(),
        scalar: Some(scalar),
        ..Default::default()
    }
}

pub fn weights(view: &View) -> Vec<WeightInfo> {
    let info = |(role, weight): &(String, f64)| WeightInfo { weight: *weight, role: Some(role.clone()) };
    view.weights.iter().map(info).collect()
}

/// The registry as it is stored; an object without fields before it is recovered.
pub fn stored(view: &View) -> Vec<u8> {
    match &view.registry {
        Some(registry) => registry.to_proto().to_json(Version::V0),
        None => b"{}".to_vec(),
    }
}

/// Which agents the offer constraints of each framework leave out, by role.
fn excluded_agents(view: &View) -> Vec<u8> {
    let agents: Vec<_> = view.agents.iter().map(|agent| (agent.id.as_str(), agent.details())).collect();
    document::object(|o| {
        o.object("frameworks", |o| {
            for framework in &view.frameworks {
                let record = &framework.framework;
                o.object(record.id.as_str(), |o| {
                    o.texts("suppressed_roles", record.suppressed_roles.iter().map(String::as_str));
                    o.object("excluded_by_attribute_constraints", |o| {
                        for role in super::state::framework_roles(&record.info) {
                            let excluded =
                                |details| record.offer_constraints.exclude(&Role::new(role), details);
                            let list = agents.iter().filter(|(_, details)| excluded(details));
                            o.texts(role, list.map(|(id, _)| *id));
                        }
                    });
                });
            }
        });
    })
}

/// The endpoints of this module, `/master` left out, with the methods that each takes.
pub fn methods_of(path: &str) -> Option<&'static [&'static str]> {
    match path {
        "/quota" => Some(&["GET", "POST", "DELETE"]),
        "/weights" => Some(&["GET", "PUT"]),
        "/maintenance/schedule" => Some(&["GET", "POST"]),
        "/maintenance/status" => Some(&["GET"]),
        _ => None,
    }
}

/// What does not need the state of things: wrong methods.
pub fn refusal(path: &str, request: &Request) -> Option<Answer> {
    let methods = methods_of(path)?;
    let method = request.method.as_str();
    if !methods.contains(&method) {
        return Some(method_not_allowed(&methods.join(", "), &request.method));
    }
    None
}

pub fn read(path: &str, view: &View) -> Vec<u8> {
    match path {
        "/quota" => quota_status(view).to_json(Version::V0),
        "/maintenance/schedule" => maintenance::schedule(view).to_json(Version::V0),
        "/maintenance/status" => maintenance::status(view).to_json(Version::V0),
        _ => document::array(|a| weights(view).iter().for_each(|info| a.message(info, Version::V0))),
    }
}

impl MasterSite {
    pub(super) async fn weights_put(&self, request: &Request) -> Answer {
        match WeightInfo::list_from_json(&request.body, Version::V0) {
            Ok(weights) => self.change(request, None, OperatorCall::UpdateWeights { weights }).await,
            Err(error) => bad_request(format!("the body must be a list of weights: {error}")),
        }
    }

    /// `POST /quota` sets the quota of a role, `DELETE /quota/ROLE` removes it.
    pub(super) async fn quota_change(&self, request: &Request) -> Answer {
        if request.method == Method::POST {
            return match QuotaRequest::from_json(&request.body, Version::V0) {
                Ok(wanted) => {
                    self.change(request, None, OperatorCall::SetQuota { request: Box::new(wanted) }).await
                }
                Err(error) => bad_request(format!("the body must be a quota request: {error}")),
            };
        }
        // A role may be sent with its slashes as they are, or escaped.
        match request.path.split_once("/quota/").map(|(_, role)| decode(role)) {
            Some(Ok(role)) => self.change(request, None, OperatorCall::RemoveQuota { role }).await,
            Some(Err(error)) => bad_request(format!("the role: {error}")),
            None => bad_request("name the role: DELETE /master/quota/ROLE"),
        }
    }

    pub(super) async fn offer_constraints_debug(&self, request: &Request) -> Answer {
        match self.machine.view().await {
            Some(view) => json(request, excluded_agents(&view)),
            None => super::ending(),
        }
    }

    pub(super) async fn registrar(&self, request: &Request) -> Answer {
        match self.machine.view().await {
            Some(view) => json(request, stored(&view)),
            None => super::ending(),
        }
    }
}
