//! The HTTP side: limits, slow and broken clients, streams, compression, the end of a server.

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use messor_net::{Body, Request, Response, StreamClosed, StreamSender, read_body, text};
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;
use tokio::sync::{Notify, mpsc};

use crate::{Client, Running, full, libprocess, limited, message, options, soon};

/// Answers with the path, or with what the path asks for.
async fn respond(request: Request) -> Response {
    let path = request.uri().path().to_string();
    match path.as_str() {
        "/large" => full("large ".repeat(10_000)),
        "/huge" => full("huge ".repeat(100_000)),
        "/coded" => {
            let mut response = full("x".repeat(5000));
            response.headers_mut().insert("content-encoding", HeaderValue::from_static("identity"));
            response
        }
        "/body" => match read_body(request, 100_000).await {
            Ok((_, body)) => full(body),
            Err(error) => error.response(),
        },
        "/panic" => panic!("as the test wants"),
        _ => full(path),
    }
}

#[tokio::test]
async fn garbage_is_answered_400_and_closed() {
    let server = Running::with(options(), |request, _| respond(request)).await;
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS hello"[..], b"\r\n\r\nhm?\r\n\r\n", &[0xff; 300]]
    {
        let mut client = server.connect().await;
        client.send(garbage).await;
        assert_eq!(client.status().await, 400);
        client.closed().await;
    }
    let mut client = server.connect().await;
    client.send("GET /still HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.answer().await.body, b"/still");
}

#[tokio::test]
async fn heads_have_limits() {
    let server = Running::with(options(), |request, _| respond(request)).await;
    let headers = (0..100_000).map(|at| format!("X-{at}: {at}\r\n")).collect::<String>();
    for (head, status) in [
        (format!("GET / HTTP/1.1\r\n{headers}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(200_000)), 431),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)), 414),
    ] {
        let Client { stream, mut answers } = server.connect().await;
        let (mut read, mut write) = stream.into_split();
        // The server stops reading in the middle: the writing may fail then.
        let writer = tokio::spawn(async move {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut write, head.as_bytes()).await;
            write
        });
        let mut buffer = [0; 1024];
        let answer = soon(async {
            loop {
                let length = read.read(&mut buffer).await.unwrap();
                answers.push(&buffer[..length]);
                if let Some(answer) = answers.next_response().unwrap() {
                    break answer;
                }
            }
        })
        .await;
        assert_eq!(answer.head.status, status);
        drop(soon(writer).await.unwrap());
    }
}

#[tokio::test]
async fn bodies_have_limits() {
    let server = Running::with(options(), |request, _| respond(request)).await;
    let mut client = server.connect().await;
    client.send("POST /body HTTP/1.1\r\nContent-Length: 1073741824\r\n\r\n").await;
    assert_eq!(client.status().await, 413);
    client.closed().await;
    let mut client = server.connect().await;
    client.send("POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n30000\r\n").await;
    client.send(vec![b'x'; 0x30000]).await;
    assert_eq!(client.status().await, 413);
    let mut client = server.connect().await;
    client
        .send("POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=y\r\ncde\r\n0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.body, b"abcde");
}

#[tokio::test]
async fn compressed_bodies_are_read_up_to_the_limit() {
    let server = Running::with(options(), |request, _| respond(request)).await;
    let gzip = |length: usize| {
        let mut packed = Vec::new();
        let zeros = std::io::repeat(b'0').take(length as u64);
        flate2::read::GzEncoder::new(zeros, flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
        packed
    };
    for (body, coding, status) in [
        (gzip(100_000), "gzip", 200),
        (gzip(100_001), "gzip", 413),
        (gzip(50_000_000), "gzip", 413),
        (b"not gzip".to_vec(), "gzip", 400),
        (b"plain".to_vec(), "identity", 200),
        (b"plain".to_vec(), "br", 415),
    ] {
        let mut client = server.connect().await;
        let length = body.len();
        client
            .send(format!(
                "POST /body HTTP/1.1\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n"
            ))
            .await;
        client.send(&body).await;
        assert_eq!(client.status().await, status, "{coding} {length}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Running::with(options(), |request, _| respond(request)).await;
    let mut client = server.connect().await;
    client.send("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /x/../y HTTP/1.1\r\n\r\n").await;
    client.send("GET /panic HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert_eq!(client.answer().await.body, b"/a");
    assert_eq!(client.answer().await.body, b"/b");
    assert_eq!(client.status().await, 404);
    assert_eq!(client.status().await, 500);
    assert_eq!(client.answer().await.body, b"/c");
    client.closed().await;
}

#[tokio::test]
async fn head_requests_are_answered_without_a_body() {
    let server = Running::with(options(), |request, _| respond(request)).await;
    let mut client = server.connect().await;
    client.send("HEAD /abc HTTP/1.1\r\n\r\nGET /abc HTTP/1.1\r\n\r\n").await;
    // Were a body sent after the first head, the second could not be read.
    let mut bytes = Vec::new();
    soon(async {
        while !bytes.ends_with(b"/abc") {
            let mut buffer = [0; 1000];
            let length = client.stream.read(&mut buffer).await.unwrap();
            assert!(length > 0);
            bytes.extend(&buffer[..length]);
        }
    })
    .await;
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(text.matches("Content-Length: 4\r\n").count(), 2, "{text}");
    assert_eq!(text.matches("/abc").count(), 1, "{text}");
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_accept() {
    let server = Running::with(options(), |request, _| respond(request)).await;
    let mut client = server.connect().await;
    for (path, accept, coding) in [
        ("/large", "gzip", Some("gzip")),
        ("/huge", "deflate, gzip;q=0.5", Some("gzip")),
        ("/large", "gzip;q=0", None),
        ("/large", "", None),
        ("/small", "gzip", None),
        ("/coded", "gzip", Some("identity")),
    ] {
        client.send(format!("GET {path} HTTP/1.1\r\nAccept-Encoding: {accept}\r\n\r\n")).await;
        let answer = client.answer().await;
        assert_eq!(answer.head.header("content-encoding"), coding, "{path} {accept}");
        let mut plain = Vec::new();
        if coding == Some("gzip") {
            assert!(answer.body.len() < 5000);
            flate2::read::GzDecoder::new(answer.body.as_slice()).read_to_end(&mut plain).unwrap();
        } else {
            plain = answer.body;
        }
        let expected = match path {
            "/large" => "large ".repeat(10_000),
            "/huge" => "huge ".repeat(100_000),
            "/coded" => "x".repeat(5000),
            _ => path.to_string(),
        };
        assert!(plain == expected.as_bytes(), "{path} {accept}");
    }
}

#[tokio::test]
async fn slow_heads_are_cut_off_and_idle_connections_are_not() {
    let quick = limited(|limits| limits.head_time = Duration::from_millis(300));
    let server = Running::with(quick, |request, _| respond(request)).await;
    let mut idle = server.connect().await;
    let mut slow = server.connect().await;
    slow.send("GET /a HTTP/1.1\r\n\r\n").await;
    assert_eq!(slow.status().await, 200);
    slow.send("GET /b HTT").await;
    // Closed after the time for heads: by then the idle one has been idle for longer than that.
    slow.closed().await;
    idle.send("GET /c HTTP/1.1\r\n\r\n").await;
    assert_eq!(idle.answer().await.body, b"/c");
}

#[tokio::test]
async fn a_slow_sender_within_the_time_is_served() {
    let server = Running::with(options(), |request, _| respond(request)).await;
    let mut client = server.connect().await;
    for byte in b"POST /body HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello" {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.answer().await.body, b"hello");
}

#[tokio::test]
async fn the_idlest_connection_makes_room() {
    let two = limited(|limits| limits.connections = 2);
    let busy = Arc::new(Notify::new());
    let wait = Arc::clone(&busy);
    let server = Running::with(two, move |request, _| {
        let wait = Arc::clone(&wait);
        async move {
            if request.uri().path() == "/wait" {
                wait.notified().await;
            }
            full("done")
        }
    })
    .await;
    let mut mailbox = server.net.open("master").unwrap();
    let mut linked = server.connect().await;
    linked.send(libprocess("master", "m", b"")).await;
    assert_eq!(linked.status().await, 202);
    let idle = server.connect().await;
    let mut third = server.connect().await;
    idle.closed().await;
    // The third takes its place and works; then nobody can be sent away any more.
    third.send("GET /wait HTTP/1.1\r\n\r\n").await;
    // Its request must have come before the next connection does.
    soon(async {
        while server.net.counters().requests_served == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let fourth = server.connect().await;
    fourth.closed().await;
    assert_eq!(server.net.counters().connections_refused, 1);
    busy.notify_one();
    assert_eq!(third.answer().await.body, b"done");
    linked.send(libprocess("master", "n", b"")).await;
    assert_eq!(linked.status().await, 202);
    assert_eq!(message(&mut mailbox).await.name, "m");
}

/// A server whose every answer is a stream, the senders of which come out here.
async fn streaming(
    pieces: usize,
    bytes: usize,
    options: messor_net::ServerOptions,
) -> (Running, mpsc::UnboundedReceiver<StreamSender>) {
    let (streams, receiver) = mpsc::unbounded_channel();
    let server = Running::with(options, move |_, _| {
        let (sender, body) = Body::stream(pieces, bytes);
        streams.send(sender).unwrap();
        async { Response::new(body) }
    })
    .await;
    (server, receiver)
}

#[tokio::test]
async fn a_stream_comes_piece_by_piece_and_ends() {
    let (server, mut streams) = streaming(10, 1000, options()).await;
    let mut client = server.connect().await;
    client.send("GET /events HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n").await;
    let sender = soon(streams.recv()).await.unwrap();
    let mut decoder = messor_codec::http_client::ResponseDecoder::new();
    let mut records = messor_codec::recordio::Decoder::default();
    let mut seen = Vec::new();
    let mut parts = Vec::new();
    for event in ["first", "second"] {
        sender.try_send(messor_codec::recordio::encode(event.as_bytes()).into()).unwrap();
        let record = soon(async {
            loop {
                if let Some(record) = records.next_record().unwrap() {
                    break record;
                }
                let mut buffer = [0; 1000];
                let length = client.stream.read(&mut buffer).await.unwrap();
                assert!(length > 0);
                decoder.push(&buffer[..length]);
                while let Some(part) = decoder.next_part().unwrap() {
                    if let messor_codec::http_client::Part::Data(data) = &part {
                        records.push(data);
                    }
                    parts.push(part);
                }
            }
        })
        .await;
        seen.push(record);
    }
    assert_eq!(seen, [&b"first"[..], b"second"]);
    let messor_codec::http_client::Part::Head(head) = &parts[0] else { panic!("{parts:?}") };
    assert_eq!(head.header("transfer-encoding"), Some("chunked"));
    assert_eq!(head.header("content-encoding"), None);
    let closed = sender.closed();
    drop(sender);
    soon(closed).await;
    client.send("GET /again HTTP/1.1\r\n\r\n").await;
    soon(streams.recv()).await.unwrap();
}

#[tokio::test]
async fn a_stream_notices_that_its_reader_is_gone() {
    let (server, mut streams) = streaming(10, 1000, options()).await;
    let mut client = server.connect().await;
    client.send("GET /events HTTP/1.1\r\n\r\n").await;
    let sender = soon(streams.recv()).await.unwrap();
    assert_eq!(sender.try_send(Bytes::from_static(b"piece")), Ok(()));
    let closed = sender.closed();
    drop(client);
    soon(closed).await;
    assert!(sender.is_closed());
    assert_eq!(sender.try_send(Bytes::from_static(b"piece")), Err(StreamClosed::Gone));
    assert_eq!(sender.try_send(Bytes::new()), Err(StreamClosed::Gone));
}

#[tokio::test]
async fn a_slow_reader_fills_its_queue_and_is_cut_off() {
    let (server, mut streams) = streaming(1000, 4 << 20, options()).await;
    let mut client = server.connect().await;
    client.send("GET /events HTTP/1.1\r\n\r\n").await;
    let sender = soon(streams.recv()).await.unwrap();
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    // What the sockets hold is some megabytes, so the queue is full after a bounded number of pieces.
    let full = soon(async {
        let mut sent = 0;
        loop {
            match sender.try_send(piece.clone()) {
                Ok(()) => sent += 1,
                // The connection may be about to take a piece: only a queue that stays full is one.
                Err(StreamClosed::Full) if sent >= 4 => break sent,
                other => panic!("{other:?} after {sent} pieces"),
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(full < 100, "{full} MB were taken for a client that reads nothing");
    let closed = sender.closed();
    sender.abort();
    soon(closed).await;
    client.closed().await;
}

#[tokio::test]
async fn one_piece_may_be_larger_than_the_queue() {
    let (sender, body) = Body::stream(10, 100);
    assert_eq!(sender.try_send(Bytes::from(vec![0; 1000])), Ok(()));
    assert_eq!(sender.try_send(Bytes::from(vec![0; 1])), Err(StreamClosed::Full));
    drop(body);
    assert_eq!(sender.try_send(Bytes::from(vec![0; 1])), Err(StreamClosed::Gone));
    let (sender, _body) = Body::stream(2, 100);
    assert_eq!(sender.try_send(Bytes::from_static(b"a")), Ok(()));
    assert_eq!(sender.try_send(Bytes::from_static(b"b")), Ok(()));
    assert_eq!(sender.try_send(Bytes::from_static(b"c")), Err(StreamClosed::Full));
}

/// A server that waits for so long for a client that does not read, and answers with more than sockets hold. What is given
/// with it is done when the answer is no longer written.
async fn impatient(write_pause: Duration) -> (Running, impl Future<Output = ()>) {
    let done = Arc::new(Mutex::new(None));
    let sender = Arc::clone(&done);
    let server = Running::with(limited(|limits| limits.write_pause = write_pause), move |_, _| {
        let (stream, body) = Body::stream(2, 1 << 30);
        stream.try_send(vec![b'x'; 64 << 20].into()).unwrap();
        *sender.lock().unwrap() = Some(stream.closed());
        async move {
            drop(stream);
            Response::new(body)
        }
    })
    .await;
    let closed = async move {
        let closed = loop {
            if let Some(closed) = done.lock().unwrap().take() {
                break closed;
            }
            tokio::task::yield_now().await;
        };
        closed.await;
    };
    (server, closed)
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let (server, closed) = impatient(Duration::from_millis(200)).await;
    let mut client = server.connect().await;
    client.send("GET /huge HTTP/1.1\r\n\r\n").await;
    soon(closed).await;
}

#[tokio::test]
async fn a_client_that_reads_its_answer_slowly_is_not_cut_off() {
    let (server, closed) = impatient(Duration::from_secs(1)).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    let mut client = Client::new(socket.connect(server.address).await.unwrap());
    client.send("GET /huge HTTP/1.1\r\n\r\n").await;
    // Less than what the server's socket must lose within its patience before it takes more.
    let slowly = async {
        let mut piece = vec![0; 16 * 1024];
        for _ in 0..50 {
            client.stream.read_exact(&mut piece).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = closed => panic!("it was cut off"),
        () = slowly => {}
    }
}

#[tokio::test]
async fn a_handler_goes_on_when_its_client_is_gone() {
    let (done, mut finished) = mpsc::unbounded_channel();
    let go = Arc::new(Notify::new());
    let wait = Arc::clone(&go);
    let server = Running::with(options(), move |request, _| {
        let (done, wait) = (done.clone(), Arc::clone(&wait));
        async move {
            let (_, body) = read_body(request, 100).await.unwrap();
            wait.notified().await;
            done.send(body).unwrap();
            text(StatusCode::OK, "")
        }
    })
    .await;
    let mut client = server.connect().await;
    client.send("POST /call HTTP/1.1\r\nContent-Length: 4\r\n\r\ncall").await;
    drop(client);
    // The connection is given up before the handler may go on.
    server.connect().await.closed_after_garbage().await;
    go.notify_one();
    assert_eq!(soon(finished.recv()).await.unwrap().as_ref(), b"call");
}

impl Client {
    async fn closed_after_garbage(mut self) {
        self.send("\u{1}").await;
        self.closed().await;
    }
}

#[tokio::test]
async fn stopping_lets_requests_end_and_cuts_streams_off() {
    let started = Arc::new(Notify::new());
    let go = Arc::new(Notify::new());
    let (told, wait) = (Arc::clone(&started), Arc::clone(&go));
    let brief = limited(|limits| limits.shutdown_grace = Duration::from_secs(2));
    let streams = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&streams);
    let mut server = Running::with(brief, move |request, _| {
        let (told, wait, kept) = (Arc::clone(&told), Arc::clone(&wait), Arc::clone(&kept));
        async move {
            told.notify_one();
            if request.uri().path() == "/stream" {
                let (sender, body) = Body::stream(10, 10);
                kept.lock().unwrap().push(sender);
                return Response::new(body);
            }
            wait.notified().await;
            full("done")
        }
    })
    .await;
    let mut working = server.connect().await;
    working.send("GET /work HTTP/1.1\r\n\r\n").await;
    soon(started.notified()).await;
    let mut streaming = server.connect().await;
    streaming.send("GET /stream HTTP/1.1\r\n\r\n").await;
    soon(started.notified()).await;
    let idle = server.connect().await;
    let address = server.address;
    server.stop.take().unwrap().send(()).unwrap();
    idle.closed().await;
    go.notify_one();
    assert_eq!(working.answer().await.body, b"done");
    streaming.closed().await;
    soon(server.task).await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_get_is_read_whole_up_to_its_limit() {
    let server = Running::with(options(), |request, _| respond(request)).await;
    let ask =
        |target: &'static str, limit| messor_net::get(server.address, target, Default::default(), limit);
    let answer = ask("/large?x=1", 100_000).await.unwrap();
    assert_eq!((answer.status(), answer.body().len()), (StatusCode::OK, 60_000));
    // Nobody asked for compression.
    assert!(!answer.headers().contains_key("content-encoding"));
    let refusal = ask("/large", 50_000).await.unwrap_err();
    assert!(refusal.to_string().contains("50000"), "{refusal}");
    assert!(ask("no path", 10).await.is_err());
    let address = server.address;
    drop(server);
    let gone = soon(async {
        loop {
            match messor_net::get(address, "/", Default::default(), 10).await {
                Err(error) => break error,
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    });
    assert!(gone.await.to_string().contains(&address.to_string()));
}
