//! The server at the container's socket: ATTACH_CONTAINER_OUTPUT and ATTACH_CONTAINER_INPUT. Codes and words are those of
//! 1.11.0; its connections come from the agent alone, which has checked who may attach.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Frame, Incoming};
use messor_codec::negotiation::{accepts_media_type, media_type};
use messor_codec::recordio;
use messor_proto::mesos::agent::call::{AttachContainerInput, Type, attach_container_input};
use messor_proto::mesos::agent::process_io::{control, data};
use messor_proto::mesos::agent::{Call, process_io};
use rustix::termios::Winsize;
use tokio::sync::{mpsc, oneshot};

use crate::output::Output;
use crate::text::{JSON, Media, PROTOBUF, RECORDIO};

/// The largest record of input, and the largest other call.
const RECORD_LIMIT_BYTES: usize = 8 * 1024 * 1024;

/// Pieces of input on their way to the container.
const WAITING_INPUT: usize = 4;

pub type Response = http::Response<BoxBody<Bytes, Infallible>>;

/// A piece of input, and where it is told what came of it. Nothing: no more will come.
type Piece = (Option<Vec<u8>>, oneshot::Sender<Result<(), String>>);

pub struct Server {
    output: Arc<Output>,
    input: mpsc::Sender<Piece>,
    /// The terminal, whose size clients set.
    terminal: Option<File>,
    input_attached: AtomicBool,
    requests: AtomicUsize,
}

impl Server {
    pub fn new(output: Arc<Output>, stdin: File, tty: bool) -> std::io::Result<Arc<Server>> {
        let terminal = if tty { Some(stdin.try_clone()?) } else { None };
        let (input, mut pieces) = mpsc::channel::<Piece>(WAITING_INPUT);
        std::thread::Builder::new().name("input".to_string()).stack_size(128 * 1024).spawn(move || {
            let mut stdin = Some(stdin);
            while let Some((piece, done)) = pieces.blocking_recv() {
                let outcome = match (piece, &mut stdin) {
                    (Some(bytes), Some(stdin)) => stdin.write_all(&bytes).map_err(|error| error.to_string()),
                    (None, stdin) => {
                        *stdin = None;
                        Ok(())
                    }
                    (Some(_), None) => Err("standard input is closed".to_string()),
                };
                let _ = done.send(outcome);
            }
        })?;
        Ok(Arc::new(Server {
            output,
            input,
            terminal,
            input_attached: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
        }))
    }

    /// Requests whose answers are not complete.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }

    pub async fn handle(self: Arc<Self>, request: http::Request<Incoming>) -> Response {
        self.answer(request).await.unwrap_or_else(|refusal| refusal)
    }

    async fn answer(self: Arc<Self>, request: http::Request<Incoming>) -> Result<Response, Response> {
        if request.method() != Method::POST {
            return Err(text(StatusCode::METHOD_NOT_ALLOWED, "expecting POST"));
        }
        // Agents of Mesos say that an answer arrived. Here it is written before the program ends, whatever they say.
        if request.uri().path() == "/acknowledge_container_input_response" {
            return Ok(text(StatusCode::OK, ""));
        }
        let (parts, body) = request.into_parts();
        let content = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content = content.map(media_type).unwrap_or_default();
        if content == RECORDIO {
            let name = header_of(&parts.headers, "message-content-type").ok_or_else(|| {
                text(
                    StatusCode::BAD_REQUEST,
                    "Expecting 'Message-Content-Type' to be set for streaming requests",
                )
            })?;
            let media = Media::of(&media_type(name)).ok_or_else(|| {
                let words = format!("Expecting 'Message-Content-Type' of {JSON} or {PROTOBUF}");
                text(StatusCode::UNSUPPORTED_MEDIA_TYPE, words)
            })?;
            return self.attach_input(media, body).await;
        }
        let Some(media) = Media::of(&content) else {
            let words = format!("Expecting 'Content-Type' of {JSON} or {PROTOBUF} or {RECORDIO}");
            return Err(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
        };
        let bytes = Limited::new(body, RECORD_LIMIT_BYTES).collect().await;
        let bytes = bytes.map_err(|error| text(StatusCode::BAD_REQUEST, error.to_string()))?.to_bytes();
        let call: Call = media.decode(&bytes).map_err(|error| text(StatusCode::BAD_REQUEST, error))?;
        if call.r#type() != Type::AttachContainerOutput {
            return Err(text(StatusCode::BAD_REQUEST, "Expecting 'type' to be ATTACH_CONTAINER_OUTPUT"));
        }
        self.attach_output(&parts.headers)
    }

    fn attach_output(&self, headers: &HeaderMap) -> Result<Response, Response> {
        let accept = header_of(headers, "accept");
        let message_accept = header_of(headers, "message-accept");
        let (content, media, streaming) = if accepts_media_type(accept, JSON) {
            (JSON, Media::Json, false)
        } else if accepts_media_type(accept, PROTOBUF) {
            (PROTOBUF, Media::Protobuf, false)
        } else if accepts_media_type(accept, RECORDIO) {
            let media = match message_accept {
                accept if accepts_media_type(accept, JSON) => Media::Json,
                accept if accepts_media_type(accept, PROTOBUF) => Media::Protobuf,
                _ => {
                    let words = format!("Expecting 'Message-Accept' to allow {JSON} or {PROTOBUF}");
                    return Err(text(StatusCode::NOT_ACCEPTABLE, words));
                }
            };
            (RECORDIO, media, true)
        } else {
            let words = format!("Expecting 'Accept' to allow {JSON} or {PROTOBUF} or {RECORDIO}");
            return Err(text(StatusCode::NOT_ACCEPTABLE, words));
        };
        let pieces = self.output.attach(media);
        let mut response = http::Response::new(BoxBody::new(Pieces(pieces)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content));
        if streaming {
            let name = header::HeaderName::from_static("message-content-type");
            headers.insert(name, header::HeaderValue::from_static(media.name()));
        }
        Ok(response)
    }

    async fn attach_input(&self, media: Media, body: Incoming) -> Result<Response, Response> {
        if self.input_attached.swap(true, Ordering::AcqRel) {
            return Err(text(StatusCode::CONFLICT, "Multiple input connections are not allowed"));
        }
        let mut ended = self.output.ended();
        let outcome = tokio::select! {
            outcome = self.read_input(media, body) => outcome,
            // What comes after the end of all output nobody would read.
            _ = ended.wait_for(|ended| *ended) => Ok(()),
        };
        self.input_attached.store(false, Ordering::Release);
        outcome.map(|()| text(StatusCode::OK, ""))
    }

    async fn read_input(&self, media: Media, mut body: Incoming) -> Result<(), Response> {
        let bad = |words: String| text(StatusCode::BAD_REQUEST, words);
        let mut records = recordio::Decoder::new(RECORD_LIMIT_BYTES);
        let mut first = true;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| bad(format!("the input broke off: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            records.push(&data);
            while let Some(record) = records.next_record().map_err(|error| bad(error.to_string()))? {
                let call: Call = media.decode(&record).map_err(bad)?;
                let Some(input) = call.attach_container_input else {
                    return Err(bad("Expecting 'attach_container_input' to be present".to_string()));
                };
                // The first record names the container, which the agent has looked at.
                if !std::mem::replace(&mut first, false) {
                    self.take_input(input).await?;
                }
            }
        }
        records.finish().map_err(|error| bad(error.to_string()))?;
        if first {
            return Err(bad("IOSwitchboard received EOF while reading request body".to_string()));
        }
        Ok(())
    }

    async fn take_input(&self, input: AttachContainerInput) -> Result<(), Response> {
        match validate(input).map_err(|words| text(StatusCode::BAD_REQUEST, words))? {
            Taken::Nothing => Ok(()),
            Taken::Size { rows, columns } => {
                let terminal = self.terminal.as_ref().ok_or_else(|| {
                    text(StatusCode::BAD_REQUEST, "Unable to set the window size: there is no terminal")
                })?;
                let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                rustix::termios::tcsetwinsize(terminal, size).map_err(|error| {
                    text(StatusCode::BAD_REQUEST, format!("Unable to set the window size: {error}"))
                })
            }
            Taken::Data(bytes) => {
                // That is how a client says that its input has ended. Of a terminal it is told by a character.
                let piece = match (bytes.is_empty(), &self.terminal) {
                    (true, Some(_)) => return Ok(()),
                    (true, None) => None,
                    (false, _) => Some(bytes),
                };
                let (done, outcome) = oneshot::channel();
                let gone = || "the program is ending".to_string();
                let sent = self.input.send((piece, done)).await.map_err(|_| gone());
                let outcome = match sent {
                    Ok(()) => outcome.await.unwrap_or_else(|_| Err(gone())),
                    Err(words) => Err(words),
                };
                outcome.map_err(|error| {
                    let words = format!("Failed writing to stdin: {error}");
                    text(StatusCode::INTERNAL_SERVER_ERROR, words)
                })
            }
        }
    }

    /// Counts a request until what is given back is dropped.
    pub fn count(self: &Arc<Self>) -> Counted {
        self.requests.fetch_add(1, Ordering::AcqRel);
        Counted(Arc::clone(self))
    }
}

pub struct Counted(Arc<Server>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a record of input says.
#[derive(Debug, PartialEq)]
enum Taken {
    Nothing,
    Size { rows: u16, columns: u16 },
    Data(Vec<u8>),
}

fn validate(input: AttachContainerInput) -> Result<Taken, String> {
    let present = |field: &str| format!("Expecting '{field}' to be present");
    if input.r#type() != attach_container_input::Type::ProcessIo {
        let found = input.r#type().as_str_name();
        return Err(format!(
            "Expecting 'attach_container_input.type' to be 'PROCESS_IO' instead of: '{found}'"
        ));
    }
    let message = input.process_io.ok_or_else(|| present("attach_container_input.process_io"))?;
    if message.r#type.is_none() {
        return Err(present("process_io.type"));
    }
    match message.r#type() {
        process_io::Type::Unknown => Err("'process_io.type' is unknown".to_string()),
        process_io::Type::Control => {
            let control = message.control.ok_or_else(|| present("process_io.control"))?;
            if control.r#type.is_none() {
                return Err(present("process_io.control.type"));
            }
            match control.r#type() {
                control::Type::Unknown => Err("'process_io.control.type' is unknown".to_string()),
                control::Type::TtyInfo => {
                    let info = control.tty_info.ok_or_else(|| present("process_io.control.tty_info"))?;
                    let size = info.window_size.ok_or_else(|| present("tty_info.window_size"))?;
                    let number = |field: &str, number: u32| {
                        u16::try_from(number)
                            .map_err(|_| format!("'tty_info.window_size.{field}' is {number}: at most 65535"))
                    };
                    Ok(Taken::Size {
                        rows: number("rows", size.rows)?,
                        columns: number("columns", size.columns)?,
                    })
                }
                control::Type::Heartbeat if control.heartbeat.is_none() => {
                    Err(present("process_io.control.heartbeat"))
                }
                control::Type::Heartbeat => Ok(Taken::Nothing),
            }
        }
        process_io::Type::Data => {
            let piece = message.data.ok_or_else(|| present("process_io.data"))?;
            if piece.r#type.is_none() {
                return Err(present("process_io.data.type"));
            }
            if piece.r#type() != data::Type::Stdin {
                return Err("Expecting 'process_io.data.type' to be 'STDIN'".to_string());
            }
            piece.data.map(Taken::Data).ok_or_else(|| present("process_io.data.data"))
        }
    }
}

fn header_of<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn text(status: StatusCode, words: impl Into<String>) -> Response {
    let mut response = http::Response::new(BoxBody::new(Full::new(Bytes::from(words.into()))));
    *response.status_mut() = status;
    response
}

/// The pieces of a channel as the frames of a body.
struct Pieces(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<Taken, String> {
        let input = format!(r#"{{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{json}}}"#);
        validate(Media::Json.decode::<Call>(input.as_bytes()).unwrap().attach_container_input.unwrap())
    }

    #[test]
    fn what_is_wrong_with_input_is_named() {
        let io = |rest: &str| checked(&format!(r#"{{"type":"PROCESS_IO","process_io":{{{rest}}}}}"#));
        assert!(
            checked(r#"{"type":"CONTAINER_ID"}"#)
                .unwrap_err()
                .contains("'PROCESS_IO' instead of: 'CONTAINER_ID'")
        );
        let missing = |field: &str| Err(format!("Expecting '{field}' to be present"));
        assert_eq!(checked(r#"{"type":"PROCESS_IO"}"#), missing("attach_container_input.process_io"));
        assert_eq!(io(""), missing("process_io.type"));
        assert_eq!(io(r#""type":"DATA""#), missing("process_io.data"));
        assert_eq!(io(r#""type":"DATA","data":{}"#), missing("process_io.data.type"));
        assert_eq!(io(r#""type":"DATA","data":{"type":"STDIN"}"#), missing("process_io.data.data"));
        assert!(io(r#""type":"DATA","data":{"type":"STDOUT","data":""}"#).unwrap_err().contains("'STDIN'"));
        assert_eq!(
            io(r#""type":"DATA","data":{"type":"STDIN","data":"aGk="}"#),
            Ok(Taken::Data(b"hi".to_vec()))
        );
        assert_eq!(io(r#""type":"CONTROL""#), missing("process_io.control"));
        assert_eq!(io(r#""type":"CONTROL","control":{}"#), missing("process_io.control.type"));
        let tty = |info: &str| io(&format!(r#""type":"CONTROL","control":{{"type":"TTY_INFO"{info}}}"#));
        assert_eq!(tty(""), missing("process_io.control.tty_info"));
        assert_eq!(tty(r#","tty_info":{}"#), missing("tty_info.window_size"));
        let size = |rows: u32| format!(r#","tty_info":{{"window_size":{{"rows":{rows},"columns":80}}}}"#);
        assert_eq!(tty(&size(24)), Ok(Taken::Size { rows: 24, columns: 80 }));
        assert!(tty(&size(70000)).unwrap_err().contains("'tty_info.window_size.rows'"));
        assert_eq!(
            io(r#""type":"CONTROL","control":{"type":"HEARTBEAT"}"#),
            missing("process_io.control.heartbeat")
        );
        assert_eq!(
            io(r#""type":"CONTROL","control":{"type":"HEARTBEAT","heartbeat":{}}"#),
            Ok(Taken::Nothing)
        );
    }
}
