//! Agents and frameworks of a view as the messages of the v1 operator API.

use messor_master_core::{AgentView, FrameworkView};
use messor_proto::mesos::master::response::{get_agents, get_frameworks};
use messor_proto::mesos::{MasterInfo, TimeInfo, master_info};
use messor_stdx::Time;
use messor_types::ResourceFormat;

pub fn time_info(time: Time) -> TimeInfo {
    TimeInfo { nanoseconds: i64::try_from(time.as_nanos()).unwrap_or(i64::MAX) }
}

/// The master as v1 shows it: 1.11.0 has no v1 name for QUOTA_V2, and shows that capability without a type.
pub fn master_info(info: &MasterInfo) -> MasterInfo {
    let mut shown = info.clone();
    for capability in &mut shown.capabilities {
        if capability.r#type() == master_info::capability::Type::QuotaV2 {
            capability.r#type = None;
        }
    }
    shown
}

pub fn agent(view: &AgentView) -> get_agents::Agent {
    get_agents::Agent {
        agent_info: view.info.as_ref().clone(),
        active: view.active,
        deactivated: Some(view.deactivated),
        version: view.version.clone(),
        pid: Some(view.pid.to_string()),
        registered_time: Some(time_info(view.registered_time)),
        reregistered_time: view.reregistered_time.map(time_info),
        total_resources: view.total.to_proto(ResourceFormat::Endpoint),
        allocated_resources: view.used.to_proto(ResourceFormat::Endpoint),
        offered_resources: view.offered.to_proto(ResourceFormat::Endpoint),
        capabilities: view.capabilities.clone(),
        resource_providers: view
            .resource_providers
            .iter()
            .map(|info| get_agents::agent::ResourceProvider {
                resource_provider_info: info.clone(),
                total_resources: Vec::new(),
            })
            .collect(),
        drain_info: view.drain_info,
        // Whole seconds, as in Apache Mesos.
        estimated_drain_start_time: view.estimated_drain_start_time.map(|time| {
            let second = 1_000_000_000;
            time_info(Time::from_nanos(time.as_nanos() / second * second))
        }),
    }
}

pub fn framework(view: &FrameworkView) -> get_frameworks::Framework {
    let record = &view.framework;
    get_frameworks::Framework {
        framework_info: record.info.clone(),
        active: record.active,
        connected: record.connected,
        recovered: record.recovered,
        registered_time: Some(time_info(record.registered_time)),
        // Apache Mesos gives the time of registration where there was no second one.
        reregistered_time: Some(time_info(record.reregistered_time.unwrap_or(record.registered_time))),
        unregistered_time: record.unregistered_time.map(time_info),
        offers: view.offers.iter().map(|offer| offer.as_ref().clone()).collect(),
        inverse_offers: view.inverse_offers.iter().map(|offer| offer.as_ref().clone()).collect(),
        allocated_resources: view.used.to_proto(ResourceFormat::Endpoint),
        offered_resources: view.offered.to_proto(ResourceFormat::Endpoint),
        // Shown empty where there are none, as the v0 endpoints do.
        offer_constraints: Some(record.offer_constraints.source().clone()),
    }
}
