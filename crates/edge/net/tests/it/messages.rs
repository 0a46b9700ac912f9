//! libprocess messages that come in.

use std::sync::Arc;

use http::StatusCode;
use messor_net::{NetEvent, ServerOptions, text};
use tokio::sync::Notify;

use crate::{Running, libprocess, limited, message, options, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_messages_in_one_write_keep_their_order() {
    let server = Running::start(options()).await;
    let mut mailbox = server.net.open("master").unwrap();
    let mut client = server.connect().await;
    let all: Vec<u8> =
        (0..1000).flat_map(|at: u32| libprocess("master", "mesos.Numbered", &at.to_be_bytes())).collect();
    client.send(&all).await;
    for at in 0..1000u32 {
        let packet = message(&mut mailbox).await;
        assert_eq!(packet.body.as_ref(), at.to_be_bytes());
        assert_eq!(packet.name, "mesos.Numbered");
        assert_eq!((&*packet.to, packet.from.to_string().as_str()), ("master", "scheduler-1@127.0.0.1:9"));
    }
    for _ in 0..1000 {
        let answer = client.answer().await;
        assert_eq!((answer.head.status, answer.head.header("content-length")), (202, Some("0")));
    }
    assert_eq!(server.net.counters().messages_received, 1000);
}

#[tokio::test]
async fn the_forms_a_message_may_have() {
    let server = Running::start(options()).await;
    let mut mailbox = server.net.open("slave(1)").unwrap();
    let mut client = server.connect().await;
    // One of the two headers is enough, a length is as good as chunks, and no body needs neither.
    client
        .send(
            "POST /slave(1)/a HTTP/1.1\r\nUser-Agent: libprocess/x@1.2.3.4:5\r\nContent-Length: 3\r\n\r\nabc\
             POST /slave%281%29/b HTTP/1.1\r\nlibprocess-from: x@1.2.3.4:5\r\n\
             Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        )
        .await;
    client.send(libprocess("slave(1)", "c", b"")).await;
    for (name, body) in [("a", "abc"), ("b", "abc"), ("c", "")] {
        let packet = message(&mut mailbox).await;
        assert_eq!((packet.name.as_str(), packet.body.as_ref()), (name, body.as_bytes()));
        assert_eq!(client.status().await, 202);
    }
}

#[tokio::test]
async fn a_message_to_nobody_is_answered_404_and_the_next_goes_through() {
    let server = Running::start(options()).await;
    let mut mailbox = server.net.open("master").unwrap();
    server.net.add_process("extra", &mailbox).unwrap();
    let mut client = server.connect().await;
    client.send(libprocess("nobody", "a", b"body")).await;
    client.send(libprocess("master", "b", b"body")).await;
    client.send(libprocess("extra", "c", b"body")).await;
    client.send("POST /master/d HTTP/1.1\r\nLibprocess-From: garbage\r\nContent-Length: 1\r\n\r\nx").await;
    let unknown = client.answer().await;
    assert_eq!((unknown.head.status, unknown.body.as_slice()), (404, &b"404 Not Found."[..]));
    assert_eq!(client.status().await, 202);
    assert_eq!(client.status().await, 202);
    assert_eq!(client.status().await, 400);
    assert_eq!(message(&mut mailbox).await.name, "b");
    assert_eq!(&*message(&mut mailbox).await.to, "extra");
    assert!(server.net.open("master").is_err());
    drop(mailbox);
    client.send(libprocess("master", "e", b"")).await;
    assert_eq!(client.status().await, 404);
    server.net.open("master").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_whose_sender_closes_right_behind_them_arrive() {
    let server = Running::start(options()).await;
    let mut mailbox = server.net.open("master").unwrap();
    for round in 0..200 {
        let mut client = server.connect().await;
        let names = (0..5).map(|part| format!("m{round}.{part}"));
        let all: Vec<u8> = names.flat_map(|name| libprocess("master", &name, &[7; 100])).collect();
        client.send(all).await;
        drop(client);
        for part in 0..5 {
            assert_eq!(message(&mut mailbox).await.name, format!("m{round}.{part}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_mailbox_stops_the_socket_and_loses_nothing() {
    const COUNT: u32 = 3000;
    let server = Running::start(limited(|limits| limits.mailbox_bytes = 64 * 1024)).await;
    let mut mailbox = server.net.open("master").unwrap();
    let client = server.connect().await;
    let (mut read, mut write) = client.stream.into_split();
    let writer = tokio::spawn(async move {
        for at in 0..COUNT {
            let mut body = at.to_be_bytes().to_vec();
            body.resize(10_000, 0);
            tokio::io::AsyncWriteExt::write_all(&mut write, &libprocess("master", "m", &body)).await.unwrap();
        }
        write
    });
    let reader = tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
    // 30 MB do not fit the mailbox and the buffers of the sockets: the writer has to wait for the reading here.
    let first = message(&mut mailbox).await;
    assert_eq!(&first.body[..4], 0u32.to_be_bytes());
    assert!(server.net.counters().messages_received < 20, "{:?}", server.net.counters());
    assert!(!writer.is_finished());
    for at in 1..COUNT {
        assert_eq!(&message(&mut mailbox).await.body[..4], at.to_be_bytes());
    }
    drop(soon(writer).await.unwrap());
    soon(reader).await.unwrap().unwrap();
}

#[tokio::test]
async fn too_large_messages_are_refused() {
    let server = Running::start(limited(|limits| limits.message_bytes = 1000)).await;
    let mut mailbox = server.net.open("master").unwrap();
    let mut client = server.connect().await;
    client
        .send("POST /master/m HTTP/1.1\r\nLibprocess-From: x@1.2.3.4:5\r\nContent-Length: 1000000000\r\n\r\n")
        .await;
    assert_eq!(client.status().await, 413);
    client.closed().await;
    let mut client = server.connect().await;
    client.send(libprocess("master", "m", &[0; 1001])).await;
    assert_eq!(client.status().await, 413);
    let mut client = server.connect().await;
    client.send(libprocess("master", "m", &[0; 1000])).await;
    assert_eq!(client.status().await, 202);
    assert_eq!(message(&mut mailbox).await.body.len(), 1000);
}

#[tokio::test]
async fn large_messages_come_whole() {
    let server = Running::start(options()).await;
    let mut mailbox = server.net.open("master").unwrap();
    let body: Vec<u8> = (0..20_000_000u32).map(|at| (at % 251) as u8).collect();
    let mut client = server.connect().await;
    client.send(libprocess("master", "m", &body)).await;
    assert_eq!(client.status().await, 202);
    assert!(message(&mut mailbox).await.body == body, "the body is another");
}

#[tokio::test]
async fn a_message_cut_off_is_no_message() {
    let server = Running::start(options()).await;
    let mut mailbox = server.net.open("master").unwrap();
    let mut client = server.connect().await;
    client
        .send("POST /master/cut HTTP/1.1\r\nLibprocess-From: x@1.2.3.4:5\r\nContent-Length: 100\r\n\r\nhalf of it")
        .await;
    drop(client);
    let mut client = server.connect().await;
    client.send(libprocess("master", "whole", b"")).await;
    assert_eq!(message(&mut mailbox).await.name, "whole");
    assert!(mailbox.try_recv().is_none());
}

#[tokio::test]
async fn messages_that_come_together_are_answered_each_and_so_is_who_waits() {
    let server = Running::start(options()).await;
    let mut mailbox = server.net.open("master").unwrap();
    let mut client = server.connect().await;
    for round in 0..3 {
        let all: Vec<u8> =
            (0..500).flat_map(|number| libprocess("master", &format!("m{number}"), b"x")).collect();
        client.send(all).await;
        for number in 0..500 {
            assert_eq!(message(&mut mailbox).await.name, format!("m{number}"));
            assert_eq!(client.status().await, 202, "{round}");
        }
        // One alone, and what is no message, behind others or not.
        client.send(libprocess("master", "alone", b"")).await;
        assert_eq!(client.status().await, 202);
        assert_eq!(message(&mut mailbox).await.name, "alone");
        let mut mixed = libprocess("master", "first", b"");
        mixed.extend_from_slice(b"GET /nothing HTTP/1.1\r\n\r\n");
        client.send(mixed).await;
        assert_eq!([client.status().await, client.status().await], [202, 404]);
        assert_eq!(message(&mut mailbox).await.name, "first");
    }
}

/// A call of a scheduler, with what stands behind its path and more headers.
fn call(query: &str, headers: &str) -> Vec<u8> {
    let head = format!("POST /api/v1/scheduler{query} HTTP/1.1\r\nMesos-Stream-Id: one\r\n{headers}");
    format!("{head}Content-Length: 2\r\n\r\nab").into_bytes()
}

#[tokio::test]
async fn answers_wait_for_no_request_that_takes_long() {
    let go = Arc::new(Notify::new());
    let may_go = Arc::clone(&go);
    let server = Running::with(options(), move |request, _| {
        let may_go = Arc::clone(&may_go);
        async move {
            if request.uri().query() == Some("long") {
                may_go.notified().await;
            }
            text(StatusCode::OK, request.uri().to_string())
        }
    })
    .await;
    let _mailbox = server.net.open("master").unwrap();
    let mut client = server.connect().await;
    // All in one write, with more behind what takes long: a request, and a call that usually does not.
    let asked = b"GET /?long HTTP/1.1\r\n\r\n".to_vec();
    for long in [asked, call("?long", "")] {
        let message = libprocess("master", "m", b"");
        client.send([call("", ""), message, call("", ""), long, call("", ""), call("", "")].concat()).await;
        assert_eq!([client.status().await, client.status().await, client.status().await], [200, 202, 200]);
        go.notify_one();
        assert!(client.answer().await.body.ends_with(b"?long"));
        assert_eq!([client.status().await, client.status().await], [200, 200]);
    }
}

#[tokio::test]
async fn answers_come_before_a_connection_ends_in_whatever_way() {
    let server = Running::with(options(), |_, _| async { text(StatusCode::OK, "done") }).await;
    for (headers, behind) in [
        ("", "what is no request\r\n\r\n"),
        ("Upgrade: h2c\r\n", "what is no request\r\n\r\n"),
        ("Connection: close\r\n", "more"),
        ("Upgrade: h2c\r\nConnection: close\r\n", "more"),
    ] {
        let mut client = server.connect().await;
        client.send([call("", ""), call("", headers), behind.into()].concat()).await;
        assert_eq!([client.status().await, client.status().await], [200, 200], "{headers}");
    }
}

#[tokio::test]
async fn senders_may_be_held_to_their_ip() {
    let wary = ServerOptions { require_peer_address_ip_match: true, ..options() };
    let server = Running::start(wary).await;
    let mut mailbox = server.net.open("master").unwrap();
    let mut client = server.connect().await;
    client.send("POST /master/a HTTP/1.1\r\nLibprocess-From: x@10.9.8.7:5\r\n\r\n").await;
    let refused = client.answer().await;
    assert_eq!(refused.head.status, 400);
    assert!(String::from_utf8_lossy(&refused.body).contains("10.9.8.7"));
    client.send("POST /master/b HTTP/1.1\r\nLibprocess-From: x@127.0.0.1:5\r\n\r\n").await;
    assert_eq!(client.status().await, 202);
    assert_eq!(message(&mut mailbox).await.name, "b");
}

#[tokio::test]
async fn a_blocking_reader_gets_events_too() {
    let server = Running::start(options()).await;
    let mut mailbox = server.net.open("master").unwrap();
    let reader = std::thread::spawn(move || mailbox.blocking_recv());
    server.net.send("master", &server.net.pid("master"), "m", "body");
    let event = soon(tokio::task::spawn_blocking(move || reader.join().unwrap())).await.unwrap();
    assert!(matches!(event, Some(NetEvent::Message(packet)) if packet.name == "m"));
}
