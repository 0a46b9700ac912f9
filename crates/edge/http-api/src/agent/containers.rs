//! What an agent says of its containers: /containers, /monitor/statistics, GET_CONTAINERS.
//!
//! Rows: U073 and U110 (what statistics carry).

use std::sync::Arc;

use messor_agent_core::{ExecutorState, ExecutorView, FrameworkView, View};
use messor_proto::Version;
use messor_proto::mesos::agent::response::get_containers::Container;

use super::{AgentSite, ContainerUsage};
use crate::answer::{Answer, json};
use crate::document::{self, Object};
use crate::request::Request;

/// An executor that runs, with what its container uses.
struct Found<'v> {
    framework: &'v FrameworkView,
    executor: &'v ExecutorView,
    usage: ContainerUsage,
}

impl AgentSite {
    /// The containers of executors; those of tasks inside them come with task groups.
    async fn found<'v>(&self, view: &'v Arc<View>) -> Vec<Found<'v>> {
        let mut all = self.usage.usage().await;
        let mut found = Vec::new();
        for framework in &view.frameworks {
            for executor in framework.executors.iter().filter(|e| e.state != ExecutorState::Terminated) {
                let usage = all.remove(&executor.container).unwrap_or_default();
                found.push(Found { framework, executor, usage });
            }
        }
        found
    }

    pub(super) async fn containers(&self, view: &Arc<View>, request: &Request) -> Answer {
        let found = self.found(view).await;
        json(
            request,
            document::array(|a| {
                for item in &found {
                    a.object(|o| {
                        o.text("container_id", item.executor.container.value());
                        names(o, item);
                        if let Some(status) = &item.usage.status {
                            o.message("status", status, Version::V0);
                        }
                        if let Some(statistics) = &item.usage.statistics {
                            o.message("statistics", statistics, Version::V0);
                        }
                    });
                }
            }),
        )
    }

    pub(super) async fn statistics(&self, view: &Arc<View>, request: &Request) -> Answer {
        let found = self.found(view).await;
        json(
            request,
            document::array(|a| {
                for item in found.iter().filter(|item| item.usage.statistics.is_some()) {
                    a.object(|o| {
                        names(o, item);
                        if let Some(statistics) = &item.usage.statistics {
                            o.message("statistics", statistics, Version::V0);
                        }
                    });
                }
            }),
        )
    }

    pub(super) async fn container_messages(&self, view: &Arc<View>) -> Vec<Container> {
        let found = self.found(view).await;
        let container = |item: Found<'_>| Container {
            framework_id: Some((&item.framework.id).into()),
            executor_id: Some((&item.executor.id).into()),
            executor_name: Some(item.executor.info.name().to_string()),
            container_id: (&item.executor.container).into(),
            container_status: item.usage.status,
            resource_statistics: item.usage.statistics,
        };
        found.into_iter().map(container).collect()
    }
}

fn names(o: &mut Object<'_>, item: &Found<'_>) {
    o.text("executor_id", item.executor.id.as_str());
    o.text("executor_name", item.executor.info.name());
    o.text("framework_id", item.framework.id.as_str());
    o.text("source", item.executor.info.source());
}
