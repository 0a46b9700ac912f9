//! Reads of an agent, through the master: `/master/agents/AGENT/files/read` and the like. So that the web page asks
//! one server alone, which may reach agents that a browser cannot.
//!
//! Only reads of this list, only at the addresses of registered agents, with the credentials of who asks.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use messor_net::{Body, Response, StreamSender};

use super::{MasterSite, ending, leader_of, redirect};
use crate::answer::{Answer, method_not_allowed, not_found, text};
use crate::download::too_many;
use crate::places::{NoPlace, Place, Places};
use crate::request::Request;
use crate::respond;

/// What may be read; true where the path begins with the agent's process.
const READS: &[(&str, bool)] = &[
    ("state", true),
    ("containers", true),
    ("monitor/statistics", true),
    ("flags", true),
    ("files/browse", false),
    ("files/read", false),
    (DOWNLOAD, false),
    ("metrics/snapshot", false),
    ("version", false),
];

/// Passed on piece by piece.
const DOWNLOAD: &str = "files/download";
const PIECE_BYTES: usize = 64 * 1024;
const PIECES: usize = 2;
/// A download from which nothing comes for so long breaks off.
const PAUSE: Duration = Duration::from_secs(60);
/// So many at a time, and so many of one address; others are told to come again.
static DOWNLOADS: Places = Places::new(64, 16);

/// Larger answers of other kinds are refused: they are held in memory.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// So many other reads go on at a time, and so many of one address; others are told to come again.
pub(super) static READING: Places = Places::new(16, 8);

pub(super) fn too_many_reads(none: NoPlace) -> Answer {
    text(StatusCode::SERVICE_UNAVAILABLE, format!("reads of agents: {none}"))
}

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
    pub(super) async fn read_of_agent(&self, agent: &str, read: &str, request: &Request) -> Response {
        match self.read_or_refusal(agent, read, request).await {
            Ok(response) => response,
            Err(refusal) => respond::whole(refusal),
        }
    }

    async fn read_or_refusal(&self, agent: &str, read: &str, request: &Request) -> Result<Response, Answer> {
        let (name, of_process) = READS.iter().find(|(name, _)| *name == read).ok_or_else(not_found)?;
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return Err(method_not_allowed("GET, HEAD", &request.method));
        }
        let view = self.machine.view().await.ok_or_else(ending)?;
        if view.elected_time.is_none() {
            return Err(redirect(leader_of(&view).as_deref(), &request.target));
        }
        let known = view.agents.iter().find(|known| known.id.as_str() == agent);
        let missing = || text(StatusCode::NOT_FOUND, "no agent of this id is registered");
        let pid = known.map(|agent| agent.pid.clone()).ok_or_else(missing)?;
        drop(view);
        let process = if *of_process { format!("/{}", pid.id) } else { String::new() };
        let target = format!("{process}/{name}{}", query(request));
        let failed = |error| text(StatusCode::BAD_GATEWAY, format!("cannot read agent {agent}: {error}"));
        if *name == DOWNLOAD {
            let headers = passed(request, &[header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH]);
            let place = match DOWNLOADS.take(request.peer) {
                Ok(place) => place,
                Err(none) => return Ok(too_many(none)),
            };
            let method = request.method.clone();
            let (head, pieces) =
                messor_net::open(pid.address, method, &target, headers).await.map_err(failed)?.into_parts();
            let (sender, body) = Body::stream(PIECES, PIECES * PIECE_BYTES);
            if request.method != Method::HEAD {
                tokio::spawn(pass_on(pieces, sender, place));
                return Ok(passed_on(http::Response::from_parts(head, body)));
            }
            return Ok(passed_on(http::Response::from_parts(head, Body::empty())));
        }
        let _place = READING.take(request.peer).map_err(too_many_reads)?;
        let headers = passed(request, &[]);
        let read =
            messor_net::get(pid.address, &target, headers, ANSWER_LIMIT_BYTES).await.map_err(failed)?;
        // Of an answer that is whole the length follows; the agent's may be that of one that was compressed.
        let mut read = read.map(Body::full);
        read.headers_mut().remove(header::CONTENT_LENGTH);
        Ok(passed_on(read))
    }
}

/// What of a request's headers goes on to the agent.
fn passed(request: &Request, beside: &[HeaderName]) -> HeaderMap {
    let wanted = std::iter::once(&header::AUTHORIZATION).chain(beside);
    wanted.filter_map(|name| Some((name.clone(), request.headers.get(name)?.clone()))).collect()
}

/// Passes pieces on as there is room for them. What breaks off at the agent breaks off here, too.
async fn pass_on(mut pieces: messor_net::Pieces, sender: StreamSender, place: Place) {
    loop {
        match tokio::time::timeout(PAUSE, pieces.next()).await {
            Ok(Some(Ok(piece))) => {
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                tracing::warn!("a download from an agent breaks off: {error}");
                return sender.abort();
            }
            Err(_) => {
                tracing::warn!("a download from an agent breaks off: nothing came for {PAUSE:?}");
                return sender.abort();
            }
        }
    }
    drop(place);
}

/// The answer of an agent as one of the master's: what a task wrote must not act as a page of the master.
fn passed_on(read: Response) -> Response {
    let (parts, body) = read.into_parts();
    let mut passed = Response::new(body);
    *passed.status_mut() = parts.status;
    for name in [
        header::CONTENT_TYPE,
        header::CONTENT_DISPOSITION,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::ACCEPT_RANGES,
        header::ETAG,
        header::WWW_AUTHENTICATE,
    ] {
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
