//! Reads of an agent, through the master: `/master/agents/AGENT/files/read` and the like. So that the web page asks
//! one server alone, which may reach agents that a browser cannot.
//!
//! Only reads of this list, only at the addresses of registered agents, with the credentials of who asks.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::sync::Semaphore;

use super::{MasterSite, ending, leader_of, redirect};
use crate::answer::{Answer, answer, method_not_allowed, not_found, text};
use crate::request::Request;

/// What may be read; true where the path begins with the agent's process.
const READS: &[(&str, bool)] = &[
    ("state", true),
    ("containers", true),
    ("monitor/statistics", true),
    ("flags", true),
    ("files/browse", false),
    ("files/read", false),
    ("files/download", false),
    ("metrics/snapshot", false),
    ("version", false),
];

/// Larger answers are refused: they are held in memory.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// So many reads go on at a time; others are told to come again.
pub(super) static ROOM: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(16));

/// The agent's id and what is to be read, when a path (without `/master`) is of this kind.
pub(super) fn parts(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/agents/")?.split_once('/').filter(|(agent, _)| !agent.is_empty())
}

/// The query as it was sent, without what would make a script of the answer.
fn query(request: &Request) -> String {
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    let kept: Vec<&str> = query.split('&').filter(|pair| pair.split('=').next() != Some("jsonp")).collect();
    let kept = kept.join("&");
    if kept.is_empty() { kept } else { format!("?{kept}") }
}

impl MasterSite {
    pub(super) async fn read_of_agent(&self, agent: &str, read: &str, request: &Request) -> Answer {
        let Some((name, of_process)) = READS.iter().find(|(name, _)| *name == read) else {
            return not_found();
        };
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return method_not_allowed("GET, HEAD", &request.method);
        }
        let Some(view) = self.machine.view().await else { return ending() };
        if view.elected_time.is_none() {
            return redirect(leader_of(&view).as_deref(), &request.target);
        }
        let Some(pid) = view.agents.iter().find(|known| known.id.as_str() == agent).map(|a| a.pid.clone())
        else {
            return text(StatusCode::NOT_FOUND, "no agent of this id is registered");
        };
        drop(view);
        let Ok(_room) = ROOM.try_acquire() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "too many reads of agents go on: try again");
        };
        let process = if *of_process { format!("/{}", pid.id) } else { String::new() };
        let mut headers = HeaderMap::new();
        if let Some(credentials) = request.headers.get(header::AUTHORIZATION) {
            headers.insert(header::AUTHORIZATION, credentials.clone());
        }
        let target = format!("{process}/{name}{}", query(request));
        match messor_net::get(pid.address, &target, headers, ANSWER_LIMIT_BYTES).await {
            Ok(read) => passed_on(read),
            Err(error) => text(StatusCode::BAD_GATEWAY, format!("cannot read agent {agent}: {error}")),
        }
    }
}

/// The answer of an agent as one of the master's: what a task wrote must not act as a page of the master.
fn passed_on(read: http::Response<bytes::Bytes>) -> Answer {
    let (parts, body) = read.into_parts();
    let mut passed = answer(parts.status, "", body);
    for name in [header::CONTENT_TYPE, header::CONTENT_DISPOSITION, header::WWW_AUTHENTICATE] {
        if let Some(value) = parts.headers.get(&name) {
            passed.headers_mut().insert(name, value.clone());
        }
    }
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        passed.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    passed
}
