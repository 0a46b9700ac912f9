//! What an agent says of its containers: /containers, /monitor/statistics, GET_CONTAINERS.
//!
//! Rows: U073 and U110 (what statistics carry).

use std::collections::BTreeSet;
use std::sync::Arc;

use messor_agent_core::{ExecutorState, ExecutorView, FrameworkView, View};
use messor_proto::Version;
use messor_proto::mesos::agent::response::get_containers::Container;
use messor_types::ContainerId;

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
    /// The containers of executors: what /containers shows, as in 1.11.0.
    async fn found<'v>(&self, view: &'v Arc<View>) -> Vec<Found<'v>> {
        let mut all = self.usage.usage().await;
        let mut found = Vec::new();
        for (framework, executor) in running(view) {
            let usage = all.remove(&executor.container).unwrap_or_default();
            found.push(Found { framework, executor, usage });
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

    /// What is being done to containers, in the form of 1.11.0; the names of the operations are ours.
    pub(super) fn pending(&self, request: &Request) -> Answer {
        let pending = self.usage.pending();
        json(
            request,
            document::object(|o| {
                o.array("pending", |a| {
                    for (container, operation) in &pending {
                        a.object(|o| {
                            o.text("operation", operation);
                            o.object("args", |o| o.text("containerId", &container.to_string()));
                        });
                    }
                });
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

    /// Containers as GET_CONTAINERS tells them (U037): those of executors, and on demand those nested in them, standalone
    /// ones, and what is nested in these.
    pub(super) async fn container_messages(
        &self,
        view: &Arc<View>,
        show_nested: bool,
        show_standalone: bool,
    ) -> Vec<Container> {
        let mut all = self.usage.usage().await;
        let executors = running(view);
        let roots: BTreeSet<&ContainerId> = executors.iter().map(|(_, e)| &e.container).collect();
        let mut found: Vec<Container> = executors
            .iter()
            .map(|(framework, executor)| {
                let usage = all.remove(&executor.container).unwrap_or_default();
                Container {
                    framework_id: Some((&framework.id).into()),
                    executor_id: Some((&executor.id).into()),
                    executor_name: Some(executor.info.name().to_string()),
                    container_id: (&executor.container).into(),
                    container_status: usage.status,
                    resource_statistics: usage.statistics,
                }
            })
            .collect();
        for (id, usage) in all {
            let nested = id.parent().is_some();
            // What is neither an executor's nor standalone belongs to an executor that has just ended.
            let known = roots.contains(id.root()) || usage.standalone;
            let shown = if nested { show_nested } else { show_standalone && usage.standalone };
            if known && shown {
                found.push(Container {
                    container_id: (&id).into(),
                    container_status: usage.status,
                    resource_statistics: usage.statistics,
                    ..Container::default()
                });
            }
        }
        found
    }
}

/// Executors that have not ended.
fn running(view: &View) -> Vec<(&FrameworkView, &ExecutorView)> {
    let frameworks = view.frameworks.iter();
    let pairs = frameworks.flat_map(|framework| framework.executors.iter().map(move |e| (framework, e)));
    pairs.filter(|(_, executor)| executor.state != ExecutorState::Terminated).collect()
}

fn names(o: &mut Object<'_>, item: &Found<'_>) {
    o.text("executor_id", item.executor.id.as_str());
    o.text("executor_name", item.executor.info.name());
    o.text("framework_id", item.framework.id.as_str());
    o.text("source", item.executor.info.source());
}
