//! Streams to and from containers, over a real port, with a fake I/O switchboard.
//!
//! Rows: U058 (LAUNCH_NESTED_CONTAINER_SESSION, ATTACH_CONTAINER_INPUT, ATTACH_CONTAINER_OUTPUT).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use messor_codec::http_client::{Part, ResponseDecoder};
use messor_codec::{chunked, recordio};
use messor_http_api::ContainerClass;
use messor_net::{Limits, Server, ServerOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};

use crate::agent::{Fake, nested, site};

const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

struct Stage {
    fake: Arc<Fake>,
    address: SocketAddr,
    switchboard: UnixListener,
    _folder: tempfile::TempDir,
}

async fn stage() -> Stage {
    let fake = Arc::new(Fake::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let switchboard = UnixListener::bind(&path).unwrap();
    *fake.socket.lock().unwrap() = Some(path);
    let site = site(&fake);
    let options = ServerOptions {
        ip: Some("127.0.0.1".parse().unwrap()),
        port: 0,
        advertise_ip: None,
        advertise_port: None,
        require_peer_address_ip_match: false,
        limits: Limits::default(),
    };
    let server = Server::bind(options).await.unwrap();
    let address = server.bound_address();
    tokio::spawn(server.serve(
        move |request, _| {
            let site = Arc::clone(&site);
            async move { site.serve(request).await }
        },
        std::future::pending(),
    ));
    Stage { fake, address, switchboard, _folder: folder }
}

/// Bytes of the other side, until they have the text.
async fn until(stream: &mut (impl AsyncReadExt + Unpin), text: &str) -> String {
    let mut read = String::new();
    let mut buffer = [0; 1024];
    while !read.contains(text) {
        let count = soon(stream.read(&mut buffer)).await.unwrap();
        assert!(count > 0, "no '{text}' in '{read}'");
        read.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    read
}

struct Client {
    stream: TcpStream,
    decoder: ResponseDecoder,
}

impl Client {
    async fn send(stage: &Stage, headers: &str, body: &[u8]) -> Client {
        let mut stream = TcpStream::connect(stage.address).await.unwrap();
        let head = format!("POST /slave(1)/api/v1 HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        Client { stream, decoder: ResponseDecoder::new() }
    }

    async fn call(stage: &Stage, headers: &str, json: &str) -> Client {
        let headers = format!("Content-Type: application/json\r\n{headers}Content-Length: {}", json.len());
        Client::send(stage, &headers, json.as_bytes()).await
    }

    async fn part(&mut self) -> Option<Part> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(part) = self.decoder.next_part().unwrap() {
                return Some(part);
            }
            match soon(self.stream.read(&mut buffer)).await.unwrap() {
                0 => return None,
                count => self.decoder.push(&buffer[..count]),
            }
        }
    }

    /// Status and whole body.
    async fn whole(&mut self) -> (u16, String) {
        let Some(Part::Head(head)) = self.part().await else { panic!("no head") };
        let mut body = Vec::new();
        while let Some(Part::Data(data)) = self.part().await {
            body.extend(data);
        }
        (head.status, String::from_utf8(body).unwrap())
    }
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    chunked::write_chunk(&mut out, bytes);
    out
}

const OUTPUT: &str = r#"{"type":"ATTACH_CONTAINER_OUTPUT","attach_container_output":{"container_id":{"value":"a","parent":{"value":"root"}}}}"#;
const SESSION: &str = r#"{"type":"LAUNCH_NESTED_CONTAINER_SESSION","launch_nested_container_session":{"container_id":{"value":"a","parent":{"value":"root"}},"command":{"value":"true"}}}"#;

async fn answer_stream(stage: &Stage, content: &str) -> UnixStream {
    let (mut board, _) = soon(stage.switchboard.accept()).await.unwrap();
    let request = until(&mut board, "\r\n\r\n").await;
    assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{request}");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content}\r\nTransfer-Encoding: chunked\r\n\r\n");
    board.write_all(head.as_bytes()).await.unwrap();
    board
}

#[tokio::test]
async fn output_is_passed_on() {
    let stage = stage().await;
    let mut client = Client::call(&stage, "", OUTPUT).await;
    let mut board = answer_stream(&stage, "application/json").await;
    board.write_all(&chunk(b"5\nhello")).await.unwrap();
    let Some(Part::Head(head)) = client.part().await else { panic!("no head") };
    assert_eq!((head.status, head.header("content-type")), (200, Some("application/json")));
    assert_eq!(client.part().await, Some(Part::Data(b"5\nhello".to_vec())));
    let mut end = Vec::new();
    chunked::write_end(&mut end);
    board.write_all(&end).await.unwrap();
    assert_eq!(client.part().await, Some(Part::End));
    assert!(stage.fake.noted().is_empty(), "nobody owns what is attached to");

    let unknown = OUTPUT.replace("root", "other");
    let refused = Client::call(&stage, "", &unknown).await.whole().await;
    assert_eq!(refused, (404, "Container other.a cannot be found".into()));
    let (code, _) = Client::call(&stage, "Message-Accept: application/json\r\n", OUTPUT).await.whole().await;
    assert_eq!(code, 406, "that header is for streams alone");
    let (code, _) = Client::call(&stage, "Accept: text/html\r\n", OUTPUT).await.whole().await;
    assert_eq!(code, 406);
}

#[tokio::test]
async fn a_stream_of_records_says_what_they_are() {
    let stage = stage().await;
    let headers = "Accept: application/recordio\r\nMessage-Accept: application/x-protobuf\r\n";
    let mut client = Client::call(&stage, headers, OUTPUT).await;
    let (mut board, _) = soon(stage.switchboard.accept()).await.unwrap();
    let request = until(&mut board, "\r\n\r\n").await;
    assert!(request.contains("Accept: application/recordio\r\n"), "{request}");
    assert!(request.contains("Message-Accept: application/x-protobuf\r\n"), "{request}");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/recordio\r\nMessage-Content-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\r\n\r\n";
    board.write_all(head.as_bytes()).await.unwrap();
    let Some(Part::Head(head)) = client.part().await else { panic!("no head") };
    assert_eq!(head.header("content-type"), Some("application/recordio"));
    assert_eq!(head.header("message-content-type"), Some("application/x-protobuf"));
}

#[tokio::test]
async fn a_session_lives_as_long_as_its_client() {
    let stage = stage().await;
    let mut client = Client::call(&stage, "", SESSION).await;
    let mut board = answer_stream(&stage, "application/json").await;
    let Some(Part::Head(_)) = client.part().await else { panic!("no head") };
    assert_eq!(stage.fake.launches.lock().unwrap()[0].class, ContainerClass::Debug);
    drop(client);
    // The switchboard sees that its client is gone, and the container is destroyed.
    let mut rest = Vec::new();
    soon(board.read_to_end(&mut rest)).await.unwrap();
    soon(async {
        while stage.fake.noted() != ["destroy root.a"] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;

    // One that ends by itself is destroyed, too: it may have left something behind.
    let mut client = Client::call(&stage, "", &SESSION.replace("\"a\"", "\"b\"")).await;
    let mut board = answer_stream(&stage, "application/json").await;
    let mut end = Vec::new();
    chunked::write_end(&mut end);
    board.write_all(&end).await.unwrap();
    assert_eq!(client.whole().await, (200, String::new()));
    soon(async {
        while stage.fake.noted() != ["destroy root.b"] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;

    let bad = Client::call(&stage, "", &SESSION.replace("true", "bad")).await.whole().await;
    assert_eq!(bad, (400, "'command' is bad".into()));
    assert!(stage.fake.running.lock().unwrap().contains(&nested("a")));
    let twice = Client::call(&stage, "", SESSION).await.whole().await;
    assert_eq!(twice, (202, String::new()), "there is one of this id");
}

const INPUT_HEADERS: &str = "Content-Type: application/recordio\r\nMessage-Content-Type: application/json\r\nTransfer-Encoding: chunked";

fn named(container: &str) -> Vec<u8> {
    recordio::encode(
        format!(
            r#"{{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{{"type":"CONTAINER_ID","container_id":{{"value":"a","parent":{{"value":"{container}"}}}}}}}}"#
        )
        .as_bytes(),
    )
}

#[tokio::test]
async fn input_is_passed_on_as_it_comes() {
    let stage = stage().await;
    let first = named("root");
    // The first record in two pieces, the second behind it.
    let (head, tail) = first.split_at(20);
    let mut client = Client::send(&stage, INPUT_HEADERS, &chunk(head)).await;
    client.stream.write_all(&chunk(tail)).await.unwrap();
    let (mut board, _) = soon(stage.switchboard.accept()).await.unwrap();
    let request = until(&mut board, "root").await;
    assert!(request.contains("Content-Type: application/recordio\r\n"), "{request}");
    assert!(request.contains("Message-Content-Type: application/json\r\n"), "{request}");
    client.stream.write_all(&chunk(b"3\nabc")).await.unwrap();
    until(&mut board, "3\nabc").await;
    let mut end = Vec::new();
    chunked::write_end(&mut end);
    client.stream.write_all(&end).await.unwrap();
    until(&mut board, "0\r\n\r\n").await;
    board.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    assert_eq!(client.whole().await, (200, String::new()));
    // Switchboards of 1.11.0 end only when they know that their answer arrived.
    let (mut board, _) = soon(stage.switchboard.accept()).await.unwrap();
    until(&mut board, "POST /acknowledge_container_input_response HTTP/1.1").await;
}

/// Found by requests of fuzz (seed 424242): it was answered 500.
#[tokio::test]
async fn the_container_may_end_while_somebody_attaches() {
    let stage = stage().await;
    let mut client = Client::call(&stage, "", OUTPUT).await;
    let (board, _) = soon(stage.switchboard.accept()).await.unwrap();
    // The request is not read: the connection is reset.
    board.readable().await.unwrap();
    drop(board);
    let (code, words) = client.whole().await;
    assert!(code == 404 && words.starts_with("the container has ended, or is about to"), "{code} {words}");
}

#[tokio::test]
async fn the_container_may_end_before_its_input() {
    let stage = stage().await;
    let mut client = Client::send(&stage, INPUT_HEADERS, &chunk(&named("root"))).await;
    let (mut board, _) = soon(stage.switchboard.accept()).await.unwrap();
    until(&mut board, "root").await;
    board.write_all(b"HTTP/1.1 409 Conflict\r\nContent-Length: 4\r\n\r\nbusy").await.unwrap();
    assert_eq!(client.whole().await, (409, "busy".into()));
}

#[tokio::test]
async fn a_client_that_breaks_off_ends_the_input() {
    let stage = stage().await;
    let client = Client::send(&stage, INPUT_HEADERS, &chunk(&named("root"))).await;
    let (mut board, _) = soon(stage.switchboard.accept()).await.unwrap();
    until(&mut board, "root").await;
    drop(client);
    let mut rest = Vec::new();
    soon(board.read_to_end(&mut rest)).await.unwrap();
    assert!(!String::from_utf8_lossy(&rest).contains("0\r\n\r\n"), "it is not told as an end in good order");
}

#[tokio::test]
async fn input_that_names_no_container_is_refused() {
    let stage = stage().await;
    let ask = async |headers: &str, body: Vec<u8>| Client::send(&stage, headers, &body).await.whole().await;
    let unknown = ask(INPUT_HEADERS, chunk(&named("other"))).await;
    assert_eq!(unknown, (404, "Container other.a cannot be found".into()));
    let no_type = INPUT_HEADERS.replace("Message-Content-Type: application/json\r\n", "");
    assert_eq!(ask(&no_type, chunk(&named("root"))).await.0, 400);
    let other_type = INPUT_HEADERS.replace("application/json", "text/plain");
    assert_eq!(ask(&other_type, chunk(&named("root"))).await.0, 415);
    let process_io = r#"{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{"type":"PROCESS_IO"}}"#;
    let (code, words) = ask(INPUT_HEADERS, chunk(&recordio::encode(process_io.as_bytes()))).await;
    assert_eq!(code, 400);
    assert!(words.contains("CONTAINER_ID"), "{words}");
    let health = recordio::encode(br#"{"type":"GET_HEALTH"}"#);
    assert_eq!(ask(INPUT_HEADERS, chunk(&health)).await.0, 415, "only input is a stream");
    let mut nothing = Vec::new();
    chunked::write_end(&mut nothing);
    assert_eq!(ask(INPUT_HEADERS, nothing).await.0, 400);
    assert_eq!(ask(INPUT_HEADERS, chunk(b"99999999999\n")).await.0, 400, "no record is that long");
    // And input that is no stream.
    let whole = r#"{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{"type":"CONTAINER_ID","container_id":{"value":"a"}}}"#;
    assert_eq!(Client::call(&stage, "", whole).await.whole().await.0, 415);
}
