//! Events for operators' streams. They are made only while somebody listens.

use std::sync::Arc;

use messor_proto::mesos::master::{Event, event, response::get_agents, response::get_frameworks};
use messor_proto::mesos::{FrameworkInfo, Task, TaskStatus, TimeInfo};
use messor_stdx::Time;
use messor_types::{AgentId, FrameworkId, ResourceFormat, Resources};

use crate::effect::Effect;
use crate::master::Master;
use crate::state::{Agent, Framework};
use crate::turn::Turn;

impl Master {
    fn publish(&self, turn: &mut Turn<'_>, kind: event::Type, make: impl FnOnce() -> Event) {
        if !self.operators.is_empty() {
            let event = Arc::new(Event { r#type: Some(kind as i32), ..make() });
            turn.push(Effect::Publish { event });
        }
    }

    pub(crate) fn publish_heartbeat(&self, turn: &mut Turn<'_>) {
        self.publish(turn, event::Type::Heartbeat, Event::default);
    }

    pub(crate) fn publish_task_added(&self, turn: &mut Turn<'_>, task: &Task) {
        self.publish(turn, event::Type::TaskAdded, || Event {
            task_added: Some(event::TaskAdded { task: task.clone() }),
            ..Default::default()
        });
    }

    pub(crate) fn publish_task_updated(&self, turn: &mut Turn<'_>, task: &Task, status: &TaskStatus) {
        self.publish(turn, event::Type::TaskUpdated, || Event {
            task_updated: Some(event::TaskUpdated {
                framework_id: task.framework_id.clone(),
                status: status.clone(),
                state: task.state,
            }),
            ..Default::default()
        });
    }

    pub(crate) fn publish_framework(&self, turn: &mut Turn<'_>, id: &FrameworkId, added: bool) {
        let Some(framework) = self.frameworks.get(id) else { return };
        if added {
            self.publish(turn, event::Type::FrameworkAdded, || Event {
                framework_added: Some(event::FrameworkAdded { framework: framework_message(framework) }),
                ..Default::default()
            });
        } else {
            self.publish(turn, event::Type::FrameworkUpdated, || Event {
                framework_updated: Some(event::FrameworkUpdated { framework: framework_message(framework) }),
                ..Default::default()
            });
        }
    }

    pub(crate) fn publish_framework_removed(&self, turn: &mut Turn<'_>, info: FrameworkInfo) {
        self.publish(turn, event::Type::FrameworkRemoved, || Event {
            framework_removed: Some(event::FrameworkRemoved { framework_info: info }),
            ..Default::default()
        });
    }

    pub(crate) fn publish_agent_added(&self, turn: &mut Turn<'_>, agent: &Agent) {
        self.publish(turn, event::Type::AgentAdded, || Event {
            agent_added: Some(event::AgentAdded { agent: agent_message(agent) }),
            ..Default::default()
        });
    }

    pub(crate) fn publish_agent_removed(&self, turn: &mut Turn<'_>, id: &AgentId) {
        self.publish(turn, event::Type::AgentRemoved, || Event {
            agent_removed: Some(event::AgentRemoved { agent_id: id.into() }),
            ..Default::default()
        });
    }
}

pub(crate) fn time_info(time: Time) -> TimeInfo {
    TimeInfo { nanoseconds: i64::try_from(time.as_nanos()).unwrap_or(i64::MAX) }
}

fn framework_message(framework: &Framework) -> get_frameworks::Framework {
    let record = &framework.record;
    get_frameworks::Framework {
        framework_info: record.info.clone(),
        active: record.active,
        connected: record.connected,
        recovered: record.recovered,
        registered_time: Some(time_info(record.registered_time)),
        reregistered_time: Some(time_info(record.reregistered_time.unwrap_or(record.registered_time))),
        unregistered_time: Some(time_info(record.unregistered_time.unwrap_or_default())),
        ..Default::default()
    }
}

fn agent_message(agent: &Agent) -> get_agents::Agent {
    let used: Resources = agent.used.values().sum();
    get_agents::Agent {
        agent_info: agent.info.as_ref().clone(),
        active: agent.active,
        deactivated: Some(agent.deactivated),
        drain_info: agent.drain_info,
        version: agent.version.clone(),
        pid: Some(agent.pid.to_string()),
        registered_time: Some(time_info(agent.registered_time)),
        reregistered_time: agent.reregistered_time.map(time_info),
        total_resources: agent.total.to_proto(ResourceFormat::Endpoint),
        allocated_resources: used.to_proto(ResourceFormat::Endpoint),
        offered_resources: agent.offered.to_proto(ResourceFormat::Endpoint),
        capabilities: agent.capability_list.clone(),
        ..Default::default()
    }
}
