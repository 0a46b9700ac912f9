//! What tasks and agents wrote, by their names: `/master/task/logs` and `/master/agent/log`. So that who looks for a log
//! needs to reach the master alone, and not to know where a sandbox is.
//!
//! The agent is asked by READ_FILE, with the credentials of who asks: it decides who may read. It must not know how the
//! agent keeps its files, but for the paths under which it shows them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use messor_master_core::{FrameworkView, View};
use messor_net::GetError;
use messor_proto::mesos::ContainerId;
use messor_proto::mesos::agent::call::{ReadFile, Type};
use messor_proto::mesos::agent::{Call, Response, response};
use messor_proto::{Version, Wire};
use messor_types::{AgentId, FrameworkId, Pid};

use super::agents::{READING, too_many_reads};
use super::{MasterSite, ending, leader_of, redirect};
use crate::answer::{Answer, bad_request, json, method_not_allowed, text};
use crate::document;
use crate::files::READ_LIMIT_BYTES;
use crate::request::{PROTOBUF, Request};

/// The whole of it, however often the agent is asked.
const TIME: Duration = Duration::from_secs(10);
/// Agents answer with much less.
const ANSWER_LIMIT_BYTES: usize = 1024 * 1024;
/// Where agents show their own log, when they write one.
const AGENT_LOG: &str = "/slave/log";

/// A part of a file.
struct Part {
    offset: u64,
    length: u64,
}

/// Where a task writes, as far as the master knows.
struct Sandbox {
    agent: AgentId,
    executor: String,
    /// The container of the executor's run: an executor may have had others before and after.
    run: Option<String>,
    /// The task has a folder of its own in it.
    own: bool,
}

/// One agent, asked for files with somebody's credentials.
struct Reader {
    agent: AgentId,
    pid: Pid,
    headers: HeaderMap,
}

impl MasterSite {
    /// `?framework_id=&task_id=&file=&offset=&length=`
    pub(super) async fn task_logs(&self, request: &Request) -> Answer {
        self.task_logs_or_refusal(request).await.unwrap_or_else(|refusal| refusal)
    }

    async fn task_logs_or_refusal(&self, request: &Request) -> Result<Answer, Answer> {
        check_method(request)?;
        let framework = FrameworkId::new(required(request, "framework_id")?);
        let task = required(request, "task_id")?;
        let file = file_of(request)?;
        let part = part_of(request)?;
        let view = self.view_of_leader(request).await?;
        let sandbox = sandbox_of(view.framework(&framework), &framework, task)?;
        let reader = reader_of(&view, &sandbox.agent, request)?;
        drop(view);
        within_limits(request, async {
            let short = sandbox.short_folder(&framework);
            let own = if sandbox.own { format!("/tasks/{task}") } else { String::new() };
            let path = format!("{short}{own}/{file}");
            if let Some(read) = reader.read(&path, &part).await? {
                return Ok(found(request, &reader.agent, &path, &part, &read));
            }
            // Agents of Apache Mesos show runs before the latest by the whole path alone.
            if let Some(path) = reader.long_path(&path).await?
                && let Some(read) = reader.read(&path, &part).await?
            {
                return Ok(found(request, &reader.agent, &path, &part, &read));
            }
            let words = format!(
                "agent {} has no file '{file}' of task '{task}' of framework {framework}: the task has not written it, or its \
                 sandbox was removed",
                reader.agent
            );
            Err(text(StatusCode::NOT_FOUND, words))
        })
        .await
    }

    /// `?agent_id=&offset=&length=`
    pub(super) async fn agent_log(&self, request: &Request) -> Answer {
        self.agent_log_or_refusal(request).await.unwrap_or_else(|refusal| refusal)
    }

    async fn agent_log_or_refusal(&self, request: &Request) -> Result<Answer, Answer> {
        check_method(request)?;
        let agent = AgentId::new(required(request, "agent_id")?);
        let part = part_of(request)?;
        let view = self.view_of_leader(request).await?;
        let reader = reader_of(&view, &agent, request)?;
        drop(view);
        within_limits(request, async {
            match reader.read(AGENT_LOG, &part).await? {
                Some(read) => Ok(found(request, &agent, AGENT_LOG, &part, &read)),
                None => Err(text(
                    StatusCode::NOT_FOUND,
                    format!("agent {agent} writes no log to a file: it runs without --log_dir"),
                )),
            }
        })
        .await
    }

    async fn view_of_leader(&self, request: &Request) -> Result<Arc<View>, Answer> {
        let view = self.machine.view().await.ok_or_else(ending)?;
        match view.elected_time {
            Some(_) => Ok(view),
            None => Err(redirect(leader_of(&view).as_deref(), &request.target)),
        }
    }
}

/// As few at a time as other reads of agents, and no longer than is said above.
async fn within_limits(
    request: &Request,
    reading: impl Future<Output = Result<Answer, Answer>>,
) -> Result<Answer, Answer> {
    let _place = READING.take(request.peer).map_err(too_many_reads)?;
    let late = || text(StatusCode::GATEWAY_TIMEOUT, format!("the agent did not answer within {TIME:?}"));
    tokio::time::timeout(TIME, reading).await.unwrap_or_else(|_| Err(late()))
}

fn check_method(request: &Request) -> Result<(), Answer> {
    match request.method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(method_not_allowed("GET, HEAD", &request.method)),
    }
}

fn required<'r>(request: &'r Request, name: &str) -> Result<&'r str, Answer> {
    let value = request.query.get(name).filter(|value| !value.is_empty());
    value.ok_or_else(|| bad_request(format!("expecting '{name}=value' in query")))
}

/// A path in the sandbox, `stdout` where none is asked for.
fn file_of(request: &Request) -> Result<&str, Answer> {
    let file = request.query.get("file").unwrap_or("stdout").trim_start_matches('/');
    let plain =
        file.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains('\0'));
    if plain {
        Ok(file)
    } else {
        Err(bad_request(format!("file={file:?}: expecting a path within the sandbox")))
    }
}

fn part_of(request: &Request) -> Result<Part, Answer> {
    let number = |name: &str, default: u64| match request.query.get(name) {
        None | Some("") => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_| bad_request(format!("{name}={text}: expecting a whole number, 0 or more"))),
    };
    let length = number("length", READ_LIMIT_BYTES)?.min(READ_LIMIT_BYTES);
    Ok(Part { offset: number("offset", 0)?, length })
}

/// Where a task is or was; of several that had the id one after the other, the latest.
fn sandbox_of(framework: Option<&FrameworkView>, id: &FrameworkId, task_id: &str) -> Result<Sandbox, Answer> {
    let missing = |words: String| text(StatusCode::NOT_FOUND, words);
    let framework = framework.ok_or_else(|| missing(format!("there is no framework {id}")))?;
    let mut all = framework
        .tasks
        .iter()
        .chain(&framework.unreachable_tasks)
        .chain(framework.completed_tasks.iter().rev());
    let Some(task) = all.find(|task| task.task_id.value == task_id) else {
        let waits = framework.pending_tasks.iter().any(|task| task.task_id.value == task_id);
        let why =
            if waits { "has not reached its agent yet" } else { "is not known to this master (any more)" };
        return Err(missing(format!("task '{task_id}' of framework {id} {why}")));
    };
    let container =
        task.statuses.iter().rev().find_map(|status| {
            status.container_status.as_ref().and_then(|status| status.container_id.as_ref())
        });
    Ok(Sandbox {
        agent: AgentId::new(&task.agent_id.value),
        // An executor that runs a command alone has the id of its task.
        executor: task
            .executor_id
            .as_ref()
            .map_or_else(|| task_id.to_string(), |executor| executor.value.clone()),
        run: container.map(|container| root(container).value.clone()),
        own: container.is_some_and(|container| container.parent.is_some()),
    })
}

fn root(mut container: &ContainerId) -> &ContainerId {
    while let Some(parent) = &container.parent {
        container = parent;
    }
    container
}

/// The agent, if it can be asked.
fn reader_of(view: &View, agent: &AgentId, request: &Request) -> Result<Reader, Answer> {
    let Some(known) = view.agents.iter().find(|known| known.id == *agent) else {
        let unreachable = view.unreachable_agents.iter().any(|(id, _)| id == agent);
        let recovered = view
            .recovered_agents
            .iter()
            .any(|info| info.id.as_ref().is_some_and(|id| id.value == agent.as_str()));
        return Err(match (unreachable, recovered) {
            (true, _) => text(StatusCode::SERVICE_UNAVAILABLE, format!("agent {agent} is unreachable")),
            (_, true) => {
                let words = format!("agent {agent} has not come back yet since this master leads: try again");
                text(StatusCode::SERVICE_UNAVAILABLE, words)
            }
            _ => text(StatusCode::NOT_FOUND, format!("agent {agent} is not registered (any more)")),
        });
    };
    let mut headers = HeaderMap::new();
    if let Some(credentials) = request.headers.get(header::AUTHORIZATION) {
        headers.insert(header::AUTHORIZATION, credentials.clone());
    }
    Ok(Reader { agent: agent.clone(), pid: known.pid.clone(), headers })
}

impl Sandbox {
    /// As Messor's agents show every run, and all agents the latest one.
    fn short_folder(&self, framework: &FrameworkId) -> String {
        let run = self.run.as_deref().unwrap_or("latest");
        format!("/frameworks/{framework}/executors/{}/runs/{run}", self.executor)
    }
}

impl Reader {
    /// None where the agent has no such file.
    async fn read(&self, path: &str, part: &Part) -> Result<Option<response::ReadFile>, Answer> {
        let read_file = ReadFile { path: path.into(), offset: part.offset, length: Some(part.length) };
        let call =
            Call { r#type: Some(Type::ReadFile.into()), read_file: Some(read_file), ..Call::default() };
        match self.ask(&call).await? {
            Some(Response { read_file: Some(read), .. }) => Ok(Some(read)),
            Some(_) => Err(self.wrong("it has no 'read_file'")),
            None => Ok(None),
        }
    }

    /// The path below the agent's work directory for one of the short ones.
    async fn long_path(&self, short: &str) -> Result<Option<String>, Answer> {
        let call = Call { r#type: Some(Type::GetFlags.into()), ..Call::default() };
        let flags = self.ask(&call).await?.and_then(|answer| answer.get_flags).unwrap_or_default().flags;
        let work_dir = flags.into_iter().find(|flag| flag.name == "work_dir").and_then(|flag| flag.value);
        Ok(work_dir
            .map(|work_dir| format!("{}/slaves/{}{short}", work_dir.trim_end_matches('/'), self.agent)))
    }

    /// None where the agent says that there is no such thing.
    async fn ask(&self, call: &Call) -> Result<Option<Response>, Answer> {
        let mut headers = self.headers.clone();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
        headers.insert(header::ACCEPT, HeaderValue::from_static(PROTOBUF));
        let target = format!("/{}/api/v1", self.pid.id);
        let body = Bytes::from(call.encode_as(Version::V1));
        let answer = messor_net::post(self.pid.address, &target, headers, body, ANSWER_LIMIT_BYTES).await;
        let answer = answer.map_err(|error| self.failed(&error))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.refused(&answer)),
        }
        let answer = Response::decode_checked_as(answer.body(), Version::V1);
        answer.map(Some).map_err(|error| self.wrong(&error.to_string()))
    }

    fn wrong(&self, words: &str) -> Answer {
        text(StatusCode::BAD_GATEWAY, format!("agent {} answers wrongly: {words}", self.agent))
    }

    fn failed(&self, error: &GetError) -> Answer {
        let status = match error {
            GetError::Connect(..) => StatusCode::SERVICE_UNAVAILABLE,
            GetError::Slow(_) => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        text(status, format!("agent {} cannot be asked: {error}", self.agent))
    }

    /// What the agent does not allow is not allowed here, in its words.
    fn refused(&self, answer: &http::Response<Bytes>) -> Answer {
        let words = String::from_utf8_lossy(answer.body());
        let status = answer.status();
        let passed = if status.is_client_error() { status } else { StatusCode::BAD_GATEWAY };
        let mut refusal = text(passed, format!("agent {} answers {status}: {words:.500}", self.agent));
        if let Some(challenge) = answer.headers().get(header::WWW_AUTHENTICATE) {
            refusal.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.clone());
        }
        refusal
    }
}

/// What was read. Bytes that are no UTF-8 are shown by a sign that stands for them, hence the length beside the text: the next
/// part begins at `offset` + `length`.
fn found(request: &Request, agent: &AgentId, path: &str, part: &Part, read: &response::ReadFile) -> Answer {
    let integer = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut answer = json(
        request,
        document::object(|o| {
            o.text("agent_id", agent.as_str());
            o.text("path", path);
            o.integer("size", integer(read.size));
            o.integer("offset", integer(part.offset));
            o.integer("length", integer(read.data.len() as u64));
            o.text("data", &String::from_utf8_lossy(&read.data));
        }),
    );
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
