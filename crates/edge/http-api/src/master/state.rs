//! The v0 reads of a master: /state, /state-summary, /slaves, /frameworks, /tasks.
//!
//! Tasks and agents are printed once a change (their `Memo`); the rest of a document is mostly copying.

use std::collections::HashMap;

use messor_codec::target::Query;
use messor_master_core::{AgentView, FrameworkRecord, FrameworkView, View};
use messor_proto::mesos::{FrameworkInfo, Task, TaskState, framework_info};
use messor_proto::{Sink, Version, WireEnum};
use messor_stdx::Memo;
use messor_types::{ResourceFormat, Resources};

use super::lists::{self, Form};
use crate::document::{self, Object};
use crate::info::{BuildInfo, ProgramInfo};
use crate::objects;

/// The rendering slot of `Memo`s for v0 documents; v1 has the other.
pub const V0_SLOT: usize = 0;
pub const V1_SLOT: usize = 1;

/// Tasks in v0 documents.
pub const V0_TASKS: Form = Form { slot: V0_SLOT, write: |task| document::object(|o| objects::task(o, task)) };

/// As many tasks as /tasks gives when no limit is asked for.
const TASK_LIMIT: usize = 100;

/// With a sink, what it gives is what the sink has not got.
pub fn state(view: &View, program: &ProgramInfo, sink: Option<Sink>) -> Vec<u8> {
    document::object_to(sink, lists::room(view), |o| {
        build_info(o, &program.build);
        o.double("start_time", view.start_time.as_secs_f64());
        if let Some(time) = view.elected_time {
            o.double("elected_time", time.as_secs_f64());
        }
        o.text("id", &view.info.id);
        o.text("pid", view.info.pid());
        o.text("hostname", view.info.hostname());
        objects::master_capabilities(o, &view.info.capabilities);
        o.double("activated_slaves", view.agents.iter().filter(|a| a.active).count() as f64);
        o.double("deactivated_slaves", view.agents.iter().filter(|a| !a.active).count() as f64);
        o.double("unreachable_slaves", view.unreachable_agents.len() as f64);
        if let Some(domain) = &view.info.domain {
            objects::domain(o, "domain", domain);
        }
        if let Some(leader) = &view.leader {
            o.text("leader", leader.pid());
            o.object("leader_info", |o| objects::master_info(o, leader));
        }
        if let Some(cluster) = program.flag("cluster") {
            o.text("cluster", cluster);
        }
        for name in ["log_dir", "external_log_file"] {
            if let Some(value) = program.flag(name) {
                o.text(name, value);
            }
        }
        flags_object(o, program);
        agents(o, view, None, false);
        frameworks(o, view, None);
        o.array("orphan_tasks", |_| ());
        o.array("unregistered_frameworks", |_| ());
    })
}

pub fn build_info(object: &mut Object<'_>, build: &BuildInfo) {
    object.text("version", build.version);
    object.text("git_sha", build.git_sha);
    object.text("git_tag", build.git_tag);
    object.text("build_date", build.build_date);
    object.double("build_time", build.build_time);
    object.text("build_user", build.build_user);
}

pub fn flags_object(object: &mut Object<'_>, program: &ProgramInfo) {
    object.object("flags", |o| program.flags.iter().for_each(|(name, value)| o.text(name, value)));
}

pub fn slaves(view: &View, query: &Query) -> Vec<u8> {
    document::object(|o| agents(o, view, query.get("slave_id"), true))
}

/// `full` adds the lists of resources as messages, which /slaves has and /state has not.
fn agents(object: &mut Object<'_>, view: &View, only: Option<&str>, full: bool) {
    let wanted = |id: &str| only.is_none_or(|only| only == id);
    object.array("slaves", |a| {
        for agent in view.agents.iter().filter(|agent| wanted(agent.id.as_str())) {
            let plain = agent.rendering(V0_SLOT, |agent| document::object(|o| agent_fields(o, agent)));
            if full {
                a.object(|o| {
                    o.fields_of(plain);
                    full_resources(o, agent);
                });
            } else {
                a.raw(plain);
            }
        }
    });
    object.array("recovered_slaves", |a| {
        for info in view.recovered_agents.iter() {
            if wanted(info.id.as_ref().map_or("", |id| &id.value)) {
                a.object(|o| objects::agent_info(o, info));
            }
        }
    });
}

pub fn resources(object: &mut Object<'_>, name: &str, resources: &Resources) {
    objects::resources(object, name, &resources.to_proto(ResourceFormat::PostRefinement));
}

fn agent_fields(o: &mut Object<'_>, agent: &AgentView) {
    objects::agent_info(o, &agent.info);
    o.text("pid", &agent.pid.to_string());
    o.double("registered_time", agent.registered_time.as_secs_f64());
    if let Some(time) = agent.reregistered_time {
        o.double("reregistered_time", time.as_secs_f64());
    }
    resources(o, "resources", &agent.total);
    resources(o, "used_resources", &agent.used);
    resources(o, "offered_resources", &agent.offered);
    o.object("reserved_resources", |o| {
        for (role, reserved) in agent.total.reservations() {
            resources(o, role.as_str(), &reserved);
        }
    });
    resources(o, "unreserved_resources", &agent.total.unreserved());
    o.boolean("active", agent.active);
    o.boolean("deactivated", agent.deactivated);
    o.text("version", &agent.version);
    objects::agent_capabilities(o, &agent.capabilities);
    if let Some(drain) = &agent.drain_info {
        o.message("drain_info", drain, Version::V0);
        if let Some(time) = agent.estimated_drain_start_time {
            o.double("estimated_drain_start_time_seconds", time.as_secs_f64());
        }
    }
}

fn full_resources(o: &mut Object<'_>, agent: &AgentView) {
    let list = |resources: &Resources| resources.to_proto(ResourceFormat::Endpoint);
    o.object("reserved_resources_full", |o| {
        for (role, reserved) in agent.total.reservations() {
            o.messages(role.as_str(), &list(&reserved), Version::V0);
        }
    });
    o.messages("unreserved_resources_full", &list(&agent.total.unreserved()), Version::V0);
    o.messages("used_resources_full", &list(&agent.used), Version::V0);
    o.messages("offered_resources_full", &list(&agent.offered), Version::V0);
}

pub fn frameworks_document(view: &View, query: &Query) -> Vec<u8> {
    document::object(|o| {
        frameworks(o, view, query.get("framework_id"));
        o.array("unregistered_frameworks", |_| ());
    })
}

fn frameworks(object: &mut Object<'_>, view: &View, only: Option<&str>) {
    let wanted = |f: &&FrameworkView| only.is_none_or(|only| only == f.framework.id.as_str());
    object.array("frameworks", |a| {
        view.frameworks.iter().filter(wanted).for_each(|f| a.object(|o| framework(o, f)));
    });
    object.array("completed_frameworks", |a| {
        view.completed_frameworks.iter().filter(wanted).for_each(|f| a.object(|o| framework(o, f)));
    });
}

fn framework_summary(o: &mut Object<'_>, view: &FrameworkView) {
    let FrameworkRecord { id, info, pid, active, connected, recovered, .. } = view.framework.as_ref();
    o.text("id", id.as_str());
    o.text("name", &info.name);
    if let Some(pid) = pid {
        o.text("pid", &pid.to_string());
    }
    resources(o, "used_resources", &view.used);
    resources(o, "offered_resources", &view.offered);
    objects::framework_capabilities(o, &info.capabilities);
    o.text("hostname", info.hostname());
    o.text("webui_url", info.webui_url());
    o.boolean("active", *active);
    o.boolean("connected", *connected);
    o.boolean("recovered", *recovered);
}

pub fn is_multi_role(info: &FrameworkInfo) -> bool {
    info.capabilities.iter().any(|c| c.r#type() == framework_info::capability::Type::MultiRole)
}

fn framework(o: &mut Object<'_>, view: &FrameworkView) {
    framework_summary(o, view);
    let record = view.framework.as_ref();
    let info = &record.info;
    o.text("user", &info.user);
    o.double("failover_timeout", info.failover_timeout());
    o.boolean("checkpoint", info.checkpoint());
    o.double("registered_time", record.registered_time.as_secs_f64());
    o.double("unregistered_time", record.unregistered_time.map_or(0.0, |t| t.as_secs_f64()));
    if let Some(principal) = &info.principal {
        o.text("principal", principal);
    }
    let both: Vec<_> = [&view.used, &view.offered]
        .into_iter()
        .flat_map(|r| r.to_proto(ResourceFormat::PostRefinement))
        .collect();
    objects::resources(o, "resources", &both);
    if let Some(time) = record.reregistered_time.filter(|time| *time != record.registered_time) {
        o.double("reregistered_time", time.as_secs_f64());
    }
    if is_multi_role(info) {
        o.texts("roles", info.roles.iter().map(String::as_str));
    } else {
        #[allow(deprecated)] // frameworks without MULTI_ROLE have nothing else
        o.text("role", info.role());
    }
    o.array("tasks", |a| lists::living(a, &view.tasks, V0_TASKS));
    o.array("unreachable_tasks", |a| lists::living(a, &view.unreachable_tasks, V0_TASKS));
    o.array("completed_tasks", |a| lists::over(a, &view.completed_tasks, V0_TASKS));
    o.array("offers", |a| view.offers.iter().for_each(|offer| objects::offer(a, offer)));
    o.array("executors", |a| {
        for (agent, executor) in &view.executors {
            a.object(|o| {
                objects::executor_info(o, executor);
                o.text("slave_id", agent.as_str());
            });
        }
    });
    if let Some(labels) = &info.labels {
        objects::labels(o, "labels", labels);
    }
    o.message("offer_constraints", record.offer_constraints.source(), Version::V0);
}

/// How many tasks are in which state, in the words of /state-summary.
#[derive(Default)]
struct Summary([i64; 10]);

const SUMMARY: [TaskState; 10] = [
    TaskState::TaskStaging,
    TaskState::TaskStarting,
    TaskState::TaskRunning,
    TaskState::TaskKilling,
    TaskState::TaskFinished,
    TaskState::TaskKilled,
    TaskState::TaskFailed,
    TaskState::TaskLost,
    TaskState::TaskError,
    TaskState::TaskUnreachable,
];

impl Summary {
    fn count(&mut self, task: &Task) {
        if let Some(at) = SUMMARY.iter().position(|s| *s == task.state()) {
            self.0[at] += 1;
        }
    }

    fn write(&self, o: &mut Object<'_>) {
        for (state, count) in SUMMARY.iter().zip(self.0) {
            o.integer(state.wire_name(Version::V0), count);
        }
    }
}

fn all_tasks(framework: &FrameworkView) -> impl Iterator<Item = &std::sync::Arc<Memo<Task>>> {
    framework.tasks.iter().chain(&framework.unreachable_tasks).chain(framework.completed_tasks.iter())
}

/// How many tasks are in which state, by agent and by framework, and who has tasks of whom.
struct Summaries<'v> {
    /// By number of the agent: the ids, what there is of tasks, the frameworks they are of.
    agents: Vec<(&'v str, Summary, Vec<&'v str>)>,
    /// The same by number of the framework.
    frameworks: Vec<(Summary, Vec<&'v str>)>,
}

impl<'v> Summaries<'v> {
    /// Frameworks that ended count no more, neither for agents.
    fn of(view: &'v View) -> Summaries<'v> {
        let begin = |id: &'v str| (id, Summary::default(), Vec::new());
        let mut agents: Vec<_> = view.agents.iter().map(|agent| begin(agent.id.as_str())).collect();
        let mut numbers: HashMap<&str, usize> =
            agents.iter().enumerate().map(|(number, (id, ..))| (*id, number)).collect();
        let mut frameworks = Vec::new();
        for framework in &view.frameworks {
            let id = framework.framework.id.as_str();
            let (mut own, mut own_agents) = (Summary::default(), Vec::new());
            for task in all_tasks(framework) {
                // Agents that are gone have tasks, too.
                let number = *numbers.entry(&task.agent_id.value).or_insert_with(|| {
                    agents.push(begin(&task.agent_id.value));
                    agents.len() - 1
                });
                let (agent_id, summary, of) = &mut agents[number];
                summary.count(task);
                own.count(task);
                if of.last() != Some(&id) {
                    of.push(id);
                    own_agents.push(*agent_id);
                }
            }
            own_agents.sort_unstable();
            frameworks.push((own, own_agents));
        }
        agents.iter_mut().for_each(|(_, _, of)| of.sort_unstable());
        Summaries { agents, frameworks }
    }
}

pub fn state_summary(view: &View, program: &ProgramInfo) -> Vec<u8> {
    let Summaries { agents, frameworks } = Summaries::of(view);
    document::object(|o| {
        o.text("hostname", view.info.hostname());
        if let Some(cluster) = program.flag("cluster") {
            o.text("cluster", cluster);
        }
        o.array("slaves", |a| {
            for (agent, (_, summary, of)) in view.agents.iter().zip(&agents) {
                a.object(|o| {
                    o.fields_of(
                        agent.rendering(V0_SLOT, |agent| document::object(|o| agent_fields(o, agent))),
                    );
                    summary.write(o);
                    o.texts("framework_ids", of.iter().copied());
                });
            }
        });
        o.array("frameworks", |a| {
            for (framework, (summary, on)) in view.frameworks.iter().zip(&frameworks) {
                a.object(|o| {
                    framework_summary(o, framework);
                    summary.write(o);
                    o.texts("slave_ids", on.iter().copied());
                });
            }
        });
    })
}

/// /tasks: of all frameworks, the latest first unless `order=asc`.
///
/// As in 1.11.0 a number that cannot be read counts as none, and a negative one as one beyond all: clients ask for all tasks
/// by `limit=-1`.
pub fn tasks(view: &View, query: &Query) -> Vec<u8> {
    let number = |name: &str, default: usize| match query.get(name).map(str::parse::<i32>) {
        Some(Ok(number)) => usize::try_from(number).unwrap_or(usize::MAX),
        _ => default,
    };
    let limit = number("limit", TASK_LIMIT);
    let offset = number("offset", 0);
    let framework_id = query.get("framework_id");
    let task_id = query.get("task_id");
    let mut found: Vec<_> = view
        .frameworks
        .iter()
        .chain(&view.completed_frameworks)
        .filter(|f| framework_id.is_none_or(|id| id == f.framework.id.as_str()))
        .flat_map(all_tasks)
        .filter(|t| task_id.is_none_or(|id| id == t.task_id.value))
        .collect();
    // Tasks without a status yet are the latest of all.
    let started = |task: &Memo<Task>| task.statuses.first().map_or(f64::INFINITY, |s| s.timestamp());
    found.sort_by(|a, b| started(a).total_cmp(&started(b)));
    if query.get("order") != Some("asc") {
        found.reverse();
    }
    document::object(|o| {
        o.array("tasks", |a| {
            found.iter().skip(offset).take(limit).for_each(|task| lists::task(a, task, V0_TASKS));
        });
    })
}

pub fn framework_roles(info: &FrameworkInfo) -> Vec<&str> {
    if is_multi_role(info) {
        return info.roles.iter().map(String::as_str).collect();
    }
    #[allow(deprecated)] // frameworks without MULTI_ROLE have nothing else
    let role = info.role();
    vec![role]
}
