//! The HTTP side of an agent in front of fake containers: what the calls about containers ask for and answer.
//!
//! Rows: U037 (GET_CONTAINERS of nested and standalone containers).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderValue, Method};
use messor_agent_core::{Event, ExecutorState, ExecutorView, FrameworkView, View};
use messor_http_api::{
    AgentSite, Answering, Common, ContainerClass, ContainerError, ContainerLaunch, ContainerSource,
    ContainerUsage, Files, Input, Launched, Machine, ProgramInfo, Request, Usage, UsageSource,
};
use messor_proto::mesos::agent::Response;
use messor_proto::mesos::slave::ContainerTermination;
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{ExecutorInfo, FrameworkInfo, TaskState, agent};
use messor_proto::{Version, Wire};
use messor_types::{ContainerId, ExecutorId, FrameworkId, Resources};

use crate::bench::{BUILD, Quiet, Two, text};

pub fn nested(value: &str) -> ContainerId {
    ContainerId::nested(&ContainerId::new("root"), value)
}

/// Containers that are names alone. What is asked of them is written down.
#[derive(Default)]
pub struct Fake {
    pub log: Mutex<Vec<String>>,
    pub launches: Mutex<Vec<ContainerLaunch>>,
    pub running: Mutex<BTreeSet<ContainerId>>,
    pub ended: Mutex<BTreeMap<ContainerId, ContainerTermination>>,
    pub socket: Mutex<Option<PathBuf>>,
}

impl Fake {
    fn note(&self, line: String) {
        self.log.lock().unwrap().push(line);
    }

    pub fn noted(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

impl ContainerSource for Fake {
    fn launch(&self, launch: ContainerLaunch) -> Answering<'_, Result<Launched, ContainerError>> {
        Box::pin(async move {
            let id = launch.id.clone();
            let command = launch.command.value.clone().unwrap_or_default();
            self.launches.lock().unwrap().push(launch);
            if command == "bad" {
                return Err(ContainerError::Invalid("'command' is bad".to_string()));
            }
            if id.parent().is_some_and(|parent| parent.value() == "nobody") {
                return Err(ContainerError::NotFound(ContainerId::new("nobody")));
            }
            match self.running.lock().unwrap().insert(id) {
                true => Ok(Launched::Started),
                false => Ok(Launched::AlreadyExists),
            }
        })
    }

    fn wait(&self, id: &ContainerId) -> Answering<'_, Option<ContainerTermination>> {
        let ended = self.ended.lock().unwrap().get(id).cloned();
        Box::pin(async move { ended })
    }

    fn kill(&self, id: &ContainerId, signal: i32) -> Answering<'_, Result<bool, ContainerError>> {
        self.note(format!("kill {id} {signal}"));
        let found = self.running.lock().unwrap().contains(id);
        Box::pin(async move { Ok(found) })
    }

    fn destroy(&self, id: &ContainerId) -> Answering<'_, ()> {
        self.note(format!("destroy {id}"));
        Box::pin(async {})
    }

    fn remove(&self, id: &ContainerId) -> Answering<'_, Result<(), ContainerError>> {
        self.note(format!("remove {id}"));
        let running = self.running.lock().unwrap().contains(id);
        Box::pin(async move {
            match running {
                true => Err(ContainerError::Failed("Nested container has not terminated yet".to_string())),
                false => Ok(()),
            }
        })
    }

    fn attach(&self, id: &ContainerId) -> Answering<'_, Result<PathBuf, ContainerError>> {
        let socket = self.socket.lock().unwrap().clone();
        let id = id.clone();
        Box::pin(async move { socket.ok_or(ContainerError::NotFound(id)) })
    }
}

struct FakeUsage;

impl UsageSource for FakeUsage {
    fn usage(&self) -> std::pin::Pin<Box<dyn Future<Output = Usage> + Send + '_>> {
        let of = |standalone| ContainerUsage { standalone, ..ContainerUsage::default() };
        let alone = ContainerId::new("alone");
        Box::pin(async move {
            [
                (ContainerId::new("root"), of(false)),
                (nested("a"), of(false)),
                (alone.clone(), of(true)),
                (ContainerId::nested(&alone, "b"), of(true)),
                (ContainerId::new("ending"), of(false)),
                (ContainerId::nested(&ContainerId::new("ending"), "c"), of(false)),
            ]
            .into()
        })
    }
}

/// An agent whose only executor runs in the container `root`.
pub fn site(fake: &Arc<Fake>) -> Arc<AgentSite> {
    site_with(fake, |_| ())
}

pub fn site_with(fake: &Arc<Fake>, change: impl FnOnce(&mut View)) -> Arc<AgentSite> {
    let (machine, mut inputs) = Machine::<Event, View>::new();
    let executor = ExecutorView {
        id: ExecutorId::new("e"),
        info: Arc::new(ExecutorInfo { name: Some("n".into()), ..ExecutorInfo::default() }),
        container: ContainerId::new("root"),
        directory: "/sandbox".into(),
        state: ExecutorState::Running,
        command_executor: false,
        resources: Resources::default(),
        queued_tasks: Vec::new(),
        launched_tasks: Vec::new(),
        terminated_tasks: Vec::new(),
        completed_tasks: Vec::new(),
    };
    let framework = FrameworkView {
        id: FrameworkId::new("f"),
        info: Arc::new(FrameworkInfo::default()),
        pid: None,
        executors: vec![executor],
        completed_executors: Vec::new(),
    };
    let mut view = View { frameworks: vec![framework], ..View::default() };
    change(&mut view);
    let view = Arc::new(view);
    tokio::spawn(async move {
        while let Some(input) = inputs.recv().await {
            if let Input::View(reader) = input {
                let _ = reader.send(Arc::clone(&view));
            }
        }
    });
    let common = Common {
        program: Arc::new(ProgramInfo { build: BUILD, flags: Vec::new() }),
        files: Files::default(),
        logging: Arc::new(Quiet),
        metrics: Arc::new(Two),
        pace: None,
        processes: vec!["slave(1)".into()],
    };
    let containers: Arc<dyn ContainerSource> = Arc::clone(fake) as _;
    Arc::new(AgentSite::new(common, machine, Arc::new(FakeUsage), containers, "slave(1)"))
}

async fn post(site: &AgentSite, headers: &[(&'static str, &str)], body: &str) -> messor_net::Response {
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        all.insert(*name, HeaderValue::from_str(value).unwrap());
    }
    let body = body.as_bytes().to_vec().into();
    site.handle(Request::new(Method::POST, "/slave(1)/api/v1", all, body).unwrap()).await
}

async fn ask(site: &AgentSite, body: &str) -> (u16, String) {
    let json = "application/json";
    let answer = post(site, &[("content-type", json), ("accept", json)], body).await;
    (answer.status().as_u16(), text(&answer))
}

#[tokio::test]
async fn containers_are_launched() {
    let fake = Arc::new(Fake::default());
    let site = site(&fake);
    let nested_call = r#"{"type":"LAUNCH_NESTED_CONTAINER","launch_nested_container":{
        "container_id":{"value":"a","parent":{"value":"root"}},"command":{"value":"true"}}}"#;
    assert_eq!(ask(&site, nested_call).await, (200, String::new()));
    assert_eq!(ask(&site, nested_call).await, (202, String::new()), "it is there already");
    let alone = r#"{"type":"LAUNCH_CONTAINER","launch_container":{"container_id":{"value":"alone"},
        "resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.1}}],"limits":{"cpus":{"value":1}},
        "container":{"type":"MESOS","tty_info":{}}}}"#;
    assert_eq!(ask(&site, alone).await, (200, String::new()));
    let launches = fake.launches.lock().unwrap().clone();
    assert_eq!((&launches[0].id, launches[0].class), (&nested("a"), ContainerClass::Default));
    assert!(launches[0].container.is_none() && launches[0].resources.is_empty());
    assert_eq!((&launches[2].id, launches[2].resources.len()), (&ContainerId::new("alone"), 1));
    assert!(launches[2].container.as_ref().unwrap().tty_info.is_some());
    assert!(launches[2].limits.contains_key("cpus"));

    let bad = nested_call.replace("true", "bad").replace("\"a\"", "\"c\"");
    assert_eq!(ask(&site, &bad).await, (400, "'command' is bad".into()));
    let orphan = nested_call.replace("root", "nobody");
    assert_eq!(ask(&site, &orphan).await, (400, "container 'nobody' cannot be found".into()));
    let flat =
        r#"{"type":"LAUNCH_NESTED_CONTAINER","launch_nested_container":{"container_id":{"value":"a"}}}"#;
    let (code, words) = ask(&site, flat).await;
    assert_eq!(code, 400);
    assert!(words.contains("'launch_nested_container.container_id.parent'"), "{words}");
}

#[tokio::test]
async fn containers_are_waited_for_killed_and_removed() {
    let fake = Arc::new(Fake::default());
    let site = site(&fake);
    let limited = messor_types::parse_resources("mem:64", &messor_types::Role::star()).unwrap();
    let termination = ContainerTermination {
        status: Some(256),
        state: Some(TaskState::TaskFailed.into()),
        reason: Some(Reason::ContainerLimitationMemory.into()),
        message: Some("too much".into()),
        limited_resources: limited.to_proto(messor_types::ResourceFormat::PostRefinement),
    };
    fake.ended.lock().unwrap().insert(nested("a"), termination);
    let call = |kind: &str, id: &str| {
        let name = kind.to_lowercase();
        format!(
            r#"{{"type":"{kind}","{name}":{{"container_id":{{"value":"{id}","parent":{{"value":"root"}}}}}}}}"#
        )
    };
    let (code, body) = ask(&site, &call("WAIT_NESTED_CONTAINER", "a")).await;
    let response = Response::from_json(body.as_bytes(), Version::V1).expect("a response");
    assert_eq!((code, response.r#type()), (200, agent::response::Type::WaitNestedContainer));
    let wait = response.wait_nested_container.expect("its field");
    assert_eq!((wait.exit_status, wait.state()), (Some(256), TaskState::TaskFailed));
    assert_eq!((wait.reason(), wait.message()), (Reason::ContainerLimitationMemory, "too much"));
    assert_eq!(wait.limitation.expect("a limitation").resources.len(), 1);
    let (code, body) = ask(&site, &call("WAIT_CONTAINER", "a")).await;
    let response = Response::from_json(body.as_bytes(), Version::V1).expect("a response");
    assert_eq!((code, response.r#type()), (200, agent::response::Type::WaitContainer));
    assert_eq!(response.wait_container.expect("its field").exit_status, Some(256));
    let unknown = ask(&site, &call("WAIT_CONTAINER", "b")).await;
    assert_eq!(unknown, (404, "Container root.b cannot be found".into()));

    fake.running.lock().unwrap().insert(nested("b"));
    assert_eq!(ask(&site, &call("KILL_NESTED_CONTAINER", "b")).await, (200, String::new()));
    let term = call("KILL_CONTAINER", "b").replace("}}}}", "}},\"signal\":15}}");
    assert_eq!(ask(&site, &term).await, (200, String::new()));
    for wrong in [-1, 65, 99, i32::MIN] {
        let words = call("KILL_CONTAINER", "b").replace("}}}}", &format!("}}}},\"signal\":{wrong}}}}}"));
        let expected = format!("'signal' is {wrong}: signals are 0 to 64");
        assert_eq!(ask(&site, &words).await, (400, expected));
    }
    let gone = ask(&site, &call("KILL_CONTAINER", "c")).await;
    assert_eq!(gone, (404, "Container 'root.c' cannot be found (or is already killed)".into()));
    assert_eq!(fake.noted(), ["kill root.b 9", "kill root.b 15", "kill root.c 9"]);

    let early = ask(&site, &call("REMOVE_CONTAINER", "b")).await;
    assert_eq!(early, (500, "Nested container has not terminated yet".into()));
    assert_eq!(ask(&site, &call("REMOVE_NESTED_CONTAINER", "a")).await, (200, String::new()));
    assert_eq!(fake.noted(), ["remove root.b", "remove root.a"]);
    assert_eq!(ask(&site, r#"{"type":"WAIT_CONTAINER"}"#).await.0, 400);
}

/// U037.
#[tokio::test]
async fn nested_and_standalone_containers_are_shown_on_demand() {
    let site = site(&Arc::new(Fake::default()));
    let shown = async |nested: bool, standalone: bool| {
        let body = format!(
            r#"{{"type":"GET_CONTAINERS","get_containers":{{"show_nested":{nested},"show_standalone":{standalone}}}}}"#
        );
        let (code, body) = ask(&site, &body).await;
        assert_eq!(code, 200);
        let containers =
            Response::from_json(body.as_bytes(), Version::V1).unwrap().get_containers.unwrap().containers;
        let names = containers.iter().map(|c| ContainerId::from(&c.container_id).to_string());
        let names: Vec<String> = names.collect();
        assert_eq!(containers.iter().filter(|c| c.executor_id.is_some()).count(), 1);
        names
    };
    assert_eq!(shown(false, false).await, ["root"]);
    assert_eq!(shown(true, false).await, ["root", "alone.b", "root.a"]);
    assert_eq!(shown(false, true).await, ["root", "alone"]);
    assert_eq!(shown(true, true).await, ["root", "alone", "alone.b", "root.a"]);
}
