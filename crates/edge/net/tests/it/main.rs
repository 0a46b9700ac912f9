//! The port and the outgoing connections, over real sockets on loopback.

mod http;
mod messages;
mod peers;

use std::net::SocketAddr;
use std::time::Duration;

use ::http::StatusCode;
use messor_codec::http_client::{HttpError, Response as Answer, ResponseCollector};
use messor_net::{
    Body, Limits, Mailbox, Net, NetEvent, Packet, Request, Response, Server, ServerOptions, text,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything here takes: reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it should have happened by now")
}

fn options() -> ServerOptions {
    ServerOptions { ip: Some("127.0.0.1".parse().unwrap()), ..ServerOptions::default() }
}

fn limited(change: impl FnOnce(&mut Limits)) -> ServerOptions {
    let mut options = options();
    change(&mut options.limits);
    options
}

/// A server that runs until it is stopped or dropped.
struct Running {
    net: Net,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(options: ServerOptions) -> Running {
        Running::with(options, |_, _| async { text(StatusCode::NOT_FOUND, "404 Not Found.") }).await
    }

    async fn with<H, F>(options: ServerOptions, handler: H) -> Running
    where
        H: Fn(Request, SocketAddr) -> F + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let server = Server::bind(options).await.unwrap();
        let (net, address) = (server.net(), server.bound_address());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.serve(handler, async {
            let _ = stopped.await;
        }));
        Running { net, address, stop: Some(stop), task }
    }

    async fn stop(mut self) {
        let _ = self.stop.take().unwrap().send(());
        soon(self.task).await.unwrap();
    }

    async fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).await.unwrap())
    }
}

/// A client that sends bytes as they are.
struct Client {
    stream: TcpStream,
    answers: ResponseCollector,
}

impl Client {
    fn new(stream: TcpStream) -> Client {
        Client { stream, answers: ResponseCollector::new(1 << 30) }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    async fn answer(&mut self) -> Answer {
        soon(self.try_answer()).await.unwrap().expect("an answer before the connection ends")
    }

    /// The next answer, or none when the connection ends without.
    async fn try_answer(&mut self) -> Result<Option<Answer>, HttpError> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Some(answer) = self.answers.next_response()? {
                return Ok(Some(answer));
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(length) => self.answers.push(&buffer[..length]),
            }
        }
    }

    /// Waits for the other side to close.
    async fn closed(mut self) {
        let mut buffer = vec![0; 64 * 1024];
        soon(async { while matches!(self.stream.read(&mut buffer).await, Ok(1..)) {} }).await;
    }

    async fn status(&mut self) -> u16 {
        self.answer().await.head.status
    }
}

async fn message(mailbox: &mut Mailbox) -> Packet {
    match soon(mailbox.recv()).await {
        NetEvent::Message(packet) => packet,
        other => panic!("{other:?} is not a message"),
    }
}

/// A message as the real 1.11.0 writes it.
fn libprocess(to: &str, name: &str, body: &[u8]) -> Vec<u8> {
    let mut out = format!(
        "POST /{to}/{name} HTTP/1.1\r\nUser-Agent: libprocess/scheduler-1@127.0.0.1:9\r\n\
         Libprocess-From: scheduler-1@127.0.0.1:9\r\nConnection: Keep-Alive\r\nHost: \r\n"
    )
    .into_bytes();
    if body.is_empty() {
        out.extend(b"\r\n");
    } else {
        out.extend(b"Transfer-Encoding: chunked\r\n\r\n");
        messor_codec::chunked::write_chunk(&mut out, body);
        messor_codec::chunked::write_end(&mut out);
    }
    out
}

fn full(bytes: impl Into<bytes::Bytes>) -> Response {
    Response::new(Body::full(bytes))
}
