//! A site with a fake machine behind it, that answers reads with one view and tells its events to the test.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use messor_http_api::common::Metrics;
use messor_http_api::{
    BuildInfo, Common, Files, Input, Logging, Machine, MasterSite, MetricsSource, ProgramInfo, Request,
};
use messor_master_core::{AgentView, Event, FrameworkRecord, FrameworkView, View};
use messor_proto::mesos::{
    AgentInfo, ExecutorId, FrameworkInfo, MasterInfo, Task, TaskId, TaskState, TaskStatus, framework_info,
};
use messor_stdx::{Memo, Time};
use messor_types::{AgentId, FrameworkId, Resources, Role, parse_resources};
use tokio::sync::mpsc;

pub const BUILD: BuildInfo = BuildInfo {
    version: "1.11.0",
    git_sha: "abc",
    git_tag: "t",
    build_date: "2026-11-22 00:00:00",
    build_time: 1.0,
    build_user: "u",
};

pub struct Quiet;

impl Logging for Quiet {
    fn level(&self) -> u32 {
        0
    }

    fn set_level(&self, _: u32, _: Duration) -> Result<(), String> {
        Ok(())
    }
}

pub struct Two;

impl MetricsSource for Two {
    fn metrics(&self) -> Pin<Box<dyn Future<Output = Metrics> + Send + '_>> {
        Box::pin(async { vec![("master/elected".to_string(), 1.0), ("master/x".to_string(), 0.5)] })
    }
}

/// Metrics that never come.
pub struct Never;

impl MetricsSource for Never {
    fn metrics(&self) -> Pin<Box<dyn Future<Output = Metrics> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

pub struct Bench {
    pub site: Arc<MasterSite>,
    pub events: mpsc::UnboundedReceiver<Event>,
    pub files: Files,
}

pub fn resources(text: &str) -> Resources {
    parse_resources(text, &Role::star()).expect("resources of a test are right")
}

pub fn view(elected: bool) -> View {
    let info = MasterInfo {
        id: "m".into(),
        ip: 16_777_343,
        port: 5050,
        pid: Some("master@127.0.0.1:5050".into()),
        hostname: Some("host".into()),
        version: Some("1.11.0".into()),
        ..MasterInfo::default()
    };
    let info = Arc::new(info);
    let agent = AgentView {
        id: AgentId::new("m-S0"),
        info: Arc::new(AgentInfo {
            hostname: "a".into(),
            port: Some(5051),
            id: Some(messor_proto::mesos::AgentId { value: "m-S0".into() }),
            checkpoint: Some(true),
            ..AgentInfo::default()
        }),
        pid: "slave(1)@127.0.0.1:5051".parse().expect("a PID"),
        version: "1.11.0".into(),
        capabilities: Vec::new(),
        registered_time: Time::from_secs_f64(10.0),
        reregistered_time: None,
        connected: true,
        active: true,
        deactivated: false,
        drain_info: None,
        estimated_drain_start_time: None,
        total: resources("cpus:4;mem:1024;ports:[1-3]"),
        used: resources("cpus:0.1"),
        offered: Resources::default(),
        resource_providers: Vec::new(),
    };
    let task = |number: u32| {
        Arc::new(Memo::new(Task {
            name: format!("t{number}/\"x\""),
            task_id: TaskId { value: format!("t{number}") },
            framework_id: messor_proto::mesos::FrameworkId { value: "m-0000".into() },
            executor_id: Some(ExecutorId { value: "e".into() }),
            agent_id: messor_proto::mesos::AgentId { value: "m-S0".into() },
            state: TaskState::TaskRunning.into(),
            statuses: vec![TaskStatus {
                task_id: TaskId { value: format!("t{number}") },
                state: TaskState::TaskRunning.into(),
                timestamp: Some(f64::from(number)),
                ..TaskStatus::default()
            }],
            ..Task::default()
        }))
    };
    let multi_role =
        framework_info::Capability { r#type: Some(framework_info::capability::Type::MultiRole.into()) };
    let framework = FrameworkView {
        framework: Arc::new(FrameworkRecord {
            id: FrameworkId::new("m-0000"),
            info: FrameworkInfo {
                user: "u".into(),
                name: "f".into(),
                roles: vec!["r".into()],
                capabilities: vec![multi_role],
                ..FrameworkInfo::default()
            },
            pid: None,
            connected: true,
            active: true,
            recovered: false,
            registered_time: Time::from_secs_f64(5.0),
            reregistered_time: None,
            unregistered_time: None,
            suppressed_roles: Vec::new(),
            offer_constraints: Default::default(),
            principal: None,
        }),
        pending_tasks: Vec::new(),
        tasks: vec![task(1), task(3), task(2)],
        unreachable_tasks: Vec::new(),
        completed_tasks: Default::default(),
        executors: Vec::new(),
        inverse_offers: Vec::new(),
        offers: Vec::new(),
        used: resources("cpus:0.1;ports:[2-3]").allocated_to(&Role::new("r")),
        offered: Resources::default(),
        counts: Default::default(),
    };
    View {
        now: Time::from_secs_f64(20.0),
        info: Arc::clone(&info),
        leader: Some(info),
        start_time: Time::from_secs_f64(1.0),
        elected_time: elected.then(|| Time::from_secs_f64(2.0)),
        recovered: elected,
        agents: vec![Arc::new(Memo::new(agent))],
        frameworks: vec![framework],
        ..View::default()
    }
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(view(true))
    }

    pub fn with(view: View) -> Bench {
        Bench::measured(view, Arc::new(Two))
    }

    pub fn measured(view: View, metrics: Arc<dyn MetricsSource>) -> Bench {
        let (machine, mut inputs) = Machine::new();
        let (sender, events) = mpsc::unbounded_channel();
        let view = Arc::new(view);
        tokio::spawn(async move {
            while let Some(input) = inputs.recv().await {
                match input {
                    Input::Event(event) | Input::Request(event) => drop(sender.send(event)),
                    Input::View(reader) => drop(reader.send(Arc::clone(&view))),
                }
            }
        });
        let files = Files::default();
        let common = Common {
            program: Arc::new(ProgramInfo { build: BUILD, flags: vec![("port".into(), "5050".into())] }),
            files: files.clone(),
            logging: Arc::new(Quiet),
            metrics,
            pace: None,
            processes: vec!["master".into()],
        };
        Bench { site: Arc::new(MasterSite::new(common, machine)), events, files }
    }

    pub async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> messor_net::Response {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
            map.insert(name, HeaderValue::from_str(value).expect("a header's value"));
        }
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = Request::new(method, target, map, Bytes::copy_from_slice(body)).expect("a target");
        self.site.handle(request).await
    }

    /// By a client of before HTTP/1.1.
    pub async fn get_as_of_old(&self, target: &str) -> messor_net::Response {
        let request = Request::new(Method::GET, target, HeaderMap::new(), Bytes::new()).expect("a target");
        self.site.handle(Request { version: http::Version::HTTP_10, ..request }).await
    }

    pub async fn get(&self, target: &str) -> messor_net::Response {
        self.send("GET", target, &[], b"").await
    }

    /// A v1 call in JSON.
    pub async fn call(&self, target: &str, json: &str) -> messor_net::Response {
        let headers = [("content-type", "application/json"), ("accept", "application/json")];
        self.send("POST", target, &headers, json.as_bytes()).await
    }
}

pub fn text(response: &messor_net::Response) -> String {
    String::from_utf8_lossy(response.body().bytes().expect("a whole body")).into_owned()
}

pub fn json(response: &messor_net::Response) -> serde_json::Value {
    serde_json::from_str(&text(response))
        .unwrap_or_else(|error| panic!("no JSON ({error}): {}", text(response)))
}
