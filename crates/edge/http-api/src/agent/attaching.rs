//! Clients attach to the input and output of containers: ATTACH_CONTAINER_OUTPUT, ATTACH_CONTAINER_INPUT and
//! LAUNCH_NESTED_CONTAINER_SESSION (U058).
//!
//! What goes to and from the container's I/O switchboard is passed on as it comes. It must not know what is in it, beyond the
//! first record of an input, which names the container.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use messor_codec::{negotiation, recordio};
use messor_net::{Body, RequestBody};
use messor_proto::mesos::agent::call::{AttachContainerOutput, Type, attach_container_input};
use messor_proto::mesos::agent::{Call, call};
use messor_proto::{Version, Wire, WireEnum};
use messor_switchboard::{AttachError, Attached};
use messor_types::ContainerId;

use super::container_calls::{cannot_be_found, is_of_executor, launch_of, refusal, refusal_of_launch};
use super::container_source::{ContainerSource, Launched};
use super::{AgentSite, calls::missing, ending};
use crate::answer::{Answer, bad_request, empty, text};
use crate::call::accepted;
use crate::request::{JSON, MediaType, PROTOBUF, RECORDIO, Request};
use crate::respond;

/// The largest first record of an input, which names a container.
const FIRST_RECORD_BYTES: usize = 1024 * 1024;

/// Output that waits for a client: what comes after that waits in the switchboard.
const STREAM_PIECES: usize = 16;
const STREAM_BYTES: usize = 1024 * 1024;

const MESSAGE_CONTENT_TYPE: &str = "message-content-type";
const MESSAGE_ACCEPT: &str = "message-accept";

/// How a client wants output written: the headers for the switchboard.
pub(super) struct OutputMedia {
    accept: &'static str,
    message_accept: Option<&'static str>,
}

impl OutputMedia {
    pub(super) fn of(request: &Request) -> Result<OutputMedia, Answer> {
        let message_accept = request.header(MESSAGE_ACCEPT);
        for accept in [JSON, PROTOBUF] {
            if request.accepts(accept) {
                if message_accept.is_some() {
                    let words = "expecting 'Message-Accept' to be not set for non-streaming responses";
                    return Err(text(StatusCode::NOT_ACCEPTABLE, words));
                }
                return Ok(OutputMedia { accept, message_accept: None });
            }
        }
        if !request.accepts(RECORDIO) {
            let words = format!("expecting 'Accept' to allow {JSON} or {PROTOBUF} or {RECORDIO}");
            return Err(text(StatusCode::NOT_ACCEPTABLE, words));
        }
        let media = [JSON, PROTOBUF];
        let wanted = media.into_iter().find(|media| negotiation::accepts_media_type(message_accept, media));
        match wanted {
            Some(wanted) => Ok(OutputMedia { accept: RECORDIO, message_accept: Some(wanted) }),
            None => {
                let words = format!("expecting 'Message-Accept' to allow {JSON} or {PROTOBUF}");
                Err(text(StatusCode::NOT_ACCEPTABLE, words))
            }
        }
    }
}

impl AgentSite {
    /// A request as it comes from the network. It is read whole, but for the input of a container.
    pub async fn serve(&self, request: messor_net::Request) -> messor_net::Response {
        if self.takes_stream(&request) {
            return self.stream_in(request).await;
        }
        match Request::read(request).await {
            Ok(request) => self.handle(request).await,
            Err(refusal) => refusal,
        }
    }

    /// Whether the body is a stream for this agent's API: such a request is for `stream_in`.
    pub fn takes_stream(&self, request: &messor_net::Request) -> bool {
        let content = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if request.method() != http::Method::POST
            || content.map(negotiation::media_type).as_deref() != Some(RECORDIO)
        {
            return false;
        }
        let head = Request::new(http::Method::POST, request.uri().path(), Default::default(), Bytes::new());
        head.is_ok_and(|head| match self.owns(&head.path) {
            true => &head.path[self.process.len() + 1..] == "/api/v1",
            false => head.path == "/api/v1",
        })
    }

    pub async fn stream_in(&self, request: messor_net::Request) -> messor_net::Response {
        let mut response = match self.attach_input(request).await {
            Ok(answer) | Err(answer) => respond::whole(answer),
        };
        // What the client still sends is not read.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }

    async fn attach_input(&self, request: messor_net::Request) -> Result<Answer, Answer> {
        let view = self.recovered_view().await?;
        let (parts, mut body) = request.into_parts();
        let head = Request::new(parts.method, parts.uri.path(), parts.headers, Bytes::new())
            .map_err(|error| bad_request(error.to_string()))?;
        let content = head.header(MESSAGE_CONTENT_TYPE).ok_or_else(|| {
            bad_request("expecting 'Message-Content-Type' to be set for streaming requests")
        })?;
        let content = match negotiation::media_type(content).as_str() {
            JSON => MediaType::Json,
            PROTOBUF => MediaType::Protobuf,
            _ => {
                let words = format!("expecting 'Message-Content-Type' of {JSON} or {PROTOBUF}");
                return Err(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
            }
        };
        let accept = accepted(&head)?;
        let (record, begin) = first_record(&mut body).await?;
        let call = match content {
            MediaType::Json => Call::from_json(&record, Version::V1).map_err(|error| error.to_string()),
            MediaType::Protobuf => {
                Call::decode_checked_as(&record, Version::V1).map_err(|error| error.to_string())
            }
        };
        let call =
            call.map_err(|error| bad_request(format!("failed to read the first record as a Call: {error}")))?;
        if call.r#type.is_none() {
            return Err(missing("type"));
        }
        Self::check_container_call(&call)?;
        let kind = call.r#type();
        let attach = match call.attach_container_input {
            Some(attach) if kind == Type::AttachContainerInput => attach,
            _ => {
                let name = kind.wire_name(Version::V1);
                let words = format!("streaming 'Content-Type' {RECORDIO} is not supported for {name} call");
                return Err(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
            }
        };
        let id = match (attach.r#type(), &attach.container_id) {
            (attach_container_input::Type::ContainerId, Some(id)) => ContainerId::from(id),
            _ => return Err(bad_request("expecting 'attach_container_input.type' to be CONTAINER_ID")),
        };
        if !is_of_executor(&view, &id) {
            return Err(cannot_be_found(&id));
        }
        let socket = self.containers.attach(&id).await.map_err(|error| refusal(&error))?;
        tracing::info!("attaching to the input of container {id}");
        let answer = pass_input(&socket, content, accept, &begin, body).await;
        // A switchboard of Apache Mesos waits for it; one of this house may be gone by now.
        tokio::spawn(async move {
            if let Err(error) = messor_switchboard::acknowledge_input(&socket).await {
                tracing::debug!("the I/O switchboard of container {id} took no acknowledgement: {error}");
            }
        });
        answer
    }

    pub(super) async fn attach_output(
        &self,
        call: &call::AttachContainerOutput,
        media: &OutputMedia,
    ) -> Result<messor_net::Response, Answer> {
        let id = ContainerId::from(&call.container_id);
        let view = self.machine.view().await.ok_or_else(ending)?;
        if !is_of_executor(&view, &id) {
            return Err(cannot_be_found(&id));
        }
        tracing::info!("attaching to the output of container {id}");
        let attached = self.attach(&id, media).await?;
        answer_of(attached, |_| async {}).await
    }

    /// Launches a session and attaches to its output. It lives as long as the client stays.
    pub(super) async fn session(
        &self,
        call: Call,
        media: &OutputMedia,
    ) -> Result<messor_net::Response, Answer> {
        let launch = launch_of(call).ok_or_else(|| missing("launch_nested_container_session"))?;
        let id = launch.id.clone();
        tracing::info!("launching the session {id}");
        match self.containers.launch(launch).await {
            Ok(Launched::Started) => {}
            Ok(Launched::AlreadyExists) => return Ok(respond::whole(empty(StatusCode::ACCEPTED))),
            Err(error) => {
                tracing::warn!("the session {id} was not launched: {error}");
                return Err(refusal_of_launch(&error));
            }
        }
        let containers = Arc::clone(&self.containers);
        let session = id.clone();
        let end = move |over| end_session(containers, session, over);
        match self.attach(&id, media).await {
            Ok(attached) if attached.head.status == 200 => answer_of(attached, end).await,
            Ok(attached) => {
                end(Over::Abandoned).await;
                answer_of(attached, |_| async {}).await
            }
            Err(refusal) => {
                end(Over::Abandoned).await;
                Err(refusal)
            }
        }
    }

    async fn attach(&self, id: &ContainerId, media: &OutputMedia) -> Result<Attached, Answer> {
        let socket = self.containers.attach(id).await.map_err(|error| refusal(&error))?;
        let call = Call {
            r#type: Some(Type::AttachContainerOutput as i32),
            attach_container_output: Some(AttachContainerOutput { container_id: id.into() }),
            ..Call::default()
        };
        let mut headers = vec![("Accept", media.accept), ("Content-Type", PROTOBUF)];
        headers.extend(media.message_accept.map(|accept| ("Message-Accept", accept)));
        let body = call.encode_bytes();
        messor_switchboard::attach_output(&socket, &headers, &body).await.map_err(|error| broken(&error))
    }
}

/// How an answer that is a stream came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// There is no more output.
    Output,
    /// Nobody reads it, or it cannot be read.
    Abandoned,
}

/// A process whose output has ended is about to end, but for one that closed it: it gets so long, and keeps its status.
const LAST_MOMENTS: Duration = Duration::from_secs(5);

async fn end_session(containers: Arc<dyn ContainerSource>, id: ContainerId, over: Over) {
    if over == Over::Output {
        let _ = tokio::time::timeout(LAST_MOMENTS, containers.wait(&id)).await;
    }
    tracing::info!("the session {id} is over");
    containers.destroy(&id).await;
}

fn broken(error: &AttachError) -> Answer {
    match error {
        // It ends with its container, perhaps in the moment between being found and being asked.
        AttachError::Connect(_) | AttachError::Broken(_) => {
            text(StatusCode::NOT_FOUND, format!("the container has ended, or is about to: {error}"))
        }
        AttachError::Answer(_) | AttachError::TooLong => {
            text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
        }
    }
}

/// The first record of a stream, and all bytes that were read for it.
async fn first_record(body: &mut RequestBody) -> Result<(Vec<u8>, Vec<u8>), Answer> {
    let mut records = recordio::Decoder::new(FIRST_RECORD_BYTES);
    let mut read = Vec::new();
    loop {
        if let Some(record) = records.next_record().map_err(|error| bad_request(error.to_string()))? {
            return Ok((record, read));
        }
        match messor_net::next_piece(body).await {
            Some(Ok(piece)) => {
                read.extend_from_slice(&piece);
                records.push(&piece);
            }
            Some(Err(error)) => return Err(bad_request(error.to_string())),
            None => return Err(bad_request("received EOF while reading the request body")),
        }
    }
}

/// Passes input on until it ends or the switchboard answers.
async fn pass_input(
    socket: &Path,
    content: MediaType,
    accept: MediaType,
    begin: &[u8],
    mut body: RequestBody,
) -> Result<Answer, Answer> {
    let headers =
        [("Content-Type", RECORDIO), ("Message-Content-Type", content.name()), ("Accept", accept.name())];
    let attached = messor_switchboard::attach_input(socket, &headers).await;
    let (mut input, answer) = attached.map_err(|error| broken(&error))?;
    let mut answer = pin!(answer);
    // False: the client is gone.
    let feed = async {
        // A switchboard that takes no more says in its answer why.
        if input.send(begin).await.is_err() {
            return true;
        }
        loop {
            match messor_net::next_piece(&mut body).await {
                Some(Ok(piece)) => {
                    if input.send(&piece).await.is_err() {
                        return true;
                    }
                }
                Some(Err(_)) => return false,
                None => {
                    let _ = input.end().await;
                    return true;
                }
            }
        }
    };
    let answer = tokio::select! {
        answer = answer.as_mut() => answer,
        is_there = feed => match is_there {
            true => answer.await,
            false => return Err(bad_request("the input broke off")),
        },
    };
    let mut attached = answer.map_err(|error| broken(&error))?;
    let body = attached.whole().await.map_err(|error| broken(&error))?;
    let status = StatusCode::from_u16(attached.head.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let words = String::from_utf8_lossy(&body).into_owned();
    Ok(if words.is_empty() { empty(status) } else { text(status, words) })
}

/// The answer of a switchboard as the answer to the client. `end` follows when either of them is through with it.
async fn answer_of<F>(
    mut attached: Attached,
    end: impl FnOnce(Over) -> F + Send + 'static,
) -> Result<messor_net::Response, Answer>
where
    F: Future<Output = ()> + Send + 'static,
{
    let status = StatusCode::from_u16(attached.head.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status != StatusCode::OK {
        let body = attached.whole().await.map_err(|error| broken(&error))?;
        return Err(text(status, String::from_utf8_lossy(&body).into_owned()));
    }
    let head = attached.head.clone();
    let (sender, body) = Body::stream(STREAM_PIECES, STREAM_BYTES);
    let gone = sender.closed();
    tokio::spawn(async move {
        let pass = async move {
            loop {
                match attached.next().await {
                    Ok(Some(piece)) => {
                        if sender.send(piece).await.is_err() {
                            return Over::Abandoned;
                        }
                    }
                    Ok(None) => return Over::Output,
                    // The client must not take a broken stream for a whole one.
                    Err(error) => {
                        tracing::warn!("output of a container broke off: {error}");
                        sender.abort();
                        return Over::Abandoned;
                    }
                }
            }
        };
        let over = tokio::select! {
            () = gone => Over::Abandoned,
            over = pass => over,
        };
        end(over).await;
    });
    let mut response = http::Response::new(body);
    for name in ["content-type", MESSAGE_CONTENT_TYPE] {
        if let Some(value) = head.header(name).and_then(|value| HeaderValue::from_str(value).ok()) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    Ok(response)
}
