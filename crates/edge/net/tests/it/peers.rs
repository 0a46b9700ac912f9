//! Messages that go out, links, and what becomes of both when the other side goes away.

use std::net::SocketAddr;

use messor_net::{Mailbox, Net, NetEvent, Server, ServerOptions};
use messor_types::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::{Running, limited, message, options, soon};

async fn exited(mailbox: &mut Mailbox) -> (String, Pid) {
    match soon(mailbox.recv()).await {
        NetEvent::Exited { linker, pid } => (linker.to_string(), pid),
        other => panic!("{other:?} is not an exit"),
    }
}

fn at(id: &str, address: SocketAddr) -> Pid {
    Pid::new(id, address)
}

/// Waits until everything sent was written or lost.
async fn finished(net: &Net) {
    assert!(net.finish(crate::PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_programs_talk_in_order() {
    let (one, two) = (Running::start(options()).await, Running::start(options()).await);
    let mut first = one.net.open("slave(1)").unwrap();
    let mut second = two.net.open("master").unwrap();
    let body = |at: u32| {
        let mut body = at.to_be_bytes().to_vec();
        // Some are larger than what is copied into one write, some than a buffer.
        body.resize(if at.is_multiple_of(97) { 300_000 } else { 4 + at as usize % 50 }, 0);
        body
    };
    for at in 0..5000 {
        one.net.send("slave(1)", &two.net.pid("master"), "up", body(at));
    }
    for at in 0..5000 {
        let packet = message(&mut second).await;
        assert_eq!(packet.body, body(at));
        assert_eq!(packet.from, one.net.pid("slave(1)"));
        two.net.send("master", &packet.from, "down", packet.body);
    }
    for at in 0..5000 {
        assert_eq!(message(&mut first).await.body, body(at));
    }
    finished(&one.net).await;
    assert_eq!(one.net.counters().messages_sent, 5000);
    assert_eq!(one.net.counters().messages_dropped, 0);
}

#[tokio::test]
async fn messages_to_this_program_take_no_socket() {
    // It is bound but not served, so nothing could come by a socket.
    let server = Server::bind(options()).await.unwrap();
    let net = server.net();
    let mut mailbox = net.open("master").unwrap();
    for at in 0..100u8 {
        net.send("slave(1)", &net.pid("master"), "m", vec![at]);
    }
    for at in 0..100u8 {
        let packet = message(&mut mailbox).await;
        assert_eq!((packet.body[0], packet.from), (at, net.pid("slave(1)")));
    }
    net.send("master", &net.pid("nobody"), "m", "");
    assert_eq!(net.counters().messages_dropped, 1);
}

#[tokio::test]
async fn local_messages_beyond_the_bound_are_dropped() {
    let server = Server::bind(limited(|limits| limits.mailbox_bytes = 10 * 1024)).await.unwrap();
    let net = server.net();
    let mut mailbox = net.open("master").unwrap();
    for _ in 0..15 {
        net.send("master", &net.pid("master"), "m", "");
    }
    assert_eq!((net.counters().messages_received, net.counters().messages_dropped), (10, 5));
    message(&mut mailbox).await;
    net.send("master", &net.pid("master"), "m", "");
    assert_eq!(net.counters().messages_received, 11);
}

#[tokio::test]
async fn the_advertised_address_is_what_pids_say() {
    let advertised = ServerOptions {
        advertise_ip: Some("192.0.2.7".parse().unwrap()),
        advertise_port: Some(5050),
        ..options()
    };
    let server = Running::start(advertised).await;
    assert_eq!(server.net.pid("master").to_string(), "master@192.0.2.7:5050");
    assert_eq!(server.address.ip().to_string(), "127.0.0.1");
    let mut mailbox = server.net.open("master").unwrap();
    server.net.send("master", &server.net.pid("master"), "advertised", "");
    server.net.send("master", &at("master", server.address), "bound", "");
    assert_eq!(message(&mut mailbox).await.name, "advertised");
    assert_eq!(message(&mut mailbox).await.name, "bound");
    let other = Running::start(options()).await;
    let mut peer = other.net.open("p").unwrap();
    server.net.send("master", &other.net.pid("p"), "out", "");
    assert_eq!(message(&mut peer).await.from.to_string(), "master@192.0.2.7:5050");
}

#[tokio::test]
async fn the_port_may_be_taken_and_ipv6_works() {
    let first = Server::bind(options()).await.unwrap();
    let same = ServerOptions { port: first.bound_address().port(), ..options() };
    let error = Server::bind(same).await.err().unwrap().to_string();
    assert!(error.contains("cannot listen on 127.0.0.1:"), "{error}");
    let six = ServerOptions { ip: Some("::1".parse().unwrap()), ..ServerOptions::default() };
    let (one, two) = (Running::start(six.clone()).await, Running::start(six).await);
    let mut mailbox = two.net.open("b").unwrap();
    one.net.send("a", &two.net.pid("b"), "m", "over six");
    let packet = message(&mut mailbox).await;
    assert_eq!((packet.body.as_ref(), packet.from), (&b"over six"[..], one.net.pid("a")));
}

#[tokio::test]
async fn a_link_that_cannot_be_made_is_an_exit() {
    let server = Running::start(options()).await;
    let mut mailbox = server.net.open("master").unwrap();
    // Bound and dropped: nobody listens there now.
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    server.net.link("master", &at("slave(1)", nowhere));
    server.net.send("master", &at("slave(1)", nowhere), "lost", "");
    assert_eq!(exited(&mut mailbox).await, ("master".to_string(), at("slave(1)", nowhere)));
    // The link is gone: it takes another call for another exit.
    server.net.link("master", &at("slave(2)", nowhere));
    assert_eq!(exited(&mut mailbox).await.1, at("slave(2)", nowhere));
    finished(&server.net).await;
    assert_eq!(server.net.counters().messages_dropped, 1);
}

#[tokio::test]
async fn all_linkers_learn_once_that_a_peer_is_gone() {
    let server = Running::start(options()).await;
    let mut master = server.net.open("master").unwrap();
    let mut observer = server.net.open("observer").unwrap();
    let other = Running::start(options()).await;
    let mut agent = other.net.open("slave(1)").unwrap();
    let pid = other.net.pid("slave(1)");
    let second = other.net.pid("slave(2)");
    server.net.link("master", &pid);
    server.net.link("master", &pid);
    server.net.link("master", &second);
    server.net.link("observer", &pid);
    server.net.link("observer", &second);
    server.net.unlink("observer", &second);
    server.net.send("master", &pid, "hello", "");
    message(&mut agent).await;
    other.stop().await;
    assert_eq!(exited(&mut master).await.1, pid);
    assert_eq!(exited(&mut master).await.1, second);
    assert_eq!(exited(&mut observer).await.1, pid);
    // What comes next in the mailboxes is this, and no second exit.
    server.net.send("master", &server.net.pid("master"), "next", "");
    server.net.send("master", &server.net.pid("observer"), "next", "");
    assert_eq!(message(&mut master).await.name, "next");
    assert_eq!(message(&mut observer).await.name, "next");
}

#[tokio::test]
async fn a_peer_that_comes_back_is_reached_again() {
    let server = Running::start(options()).await;
    let mut master = server.net.open("master").unwrap();
    let other = Running::start(options()).await;
    let mut agent = other.net.open("slave(1)").unwrap();
    let pid = other.net.pid("slave(1)");
    server.net.link("master", &pid);
    server.net.send("master", &pid, "one", "");
    assert_eq!(message(&mut agent).await.name, "one");
    drop(agent);
    let port = other.address.port();
    other.stop().await;
    exited(&mut master).await;
    let other = Running::start(ServerOptions { port, ..options() }).await;
    let mut agent = other.net.open("slave(1)").unwrap();
    server.net.send("master", &pid, "two", "");
    assert_eq!(message(&mut agent).await.name, "two");
}

#[tokio::test]
async fn relinking_takes_a_new_connection_and_tells_nobody() {
    let server = Running::start(options()).await;
    let mut mailbox = server.net.open("slave(1)").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pid = at("master", listener.local_addr().unwrap());
    server.net.relink("slave(1)", &pid);
    let (mut first, _) = soon(listener.accept()).await.unwrap();
    server.net.relink("slave(1)", &pid);
    let (mut second, _) = soon(listener.accept()).await.unwrap();
    let mut buffer = [0; 1000];
    assert_eq!(soon(first.read(&mut buffer)).await.unwrap(), 0);
    server.net.send("slave(1)", &pid, "m", "");
    let length = soon(second.read(&mut buffer)).await.unwrap();
    assert!(buffer[..length].starts_with(b"POST /master/m HTTP/1.1\r\n"));
    assert!(mailbox.try_recv().is_none());
    drop(second);
    assert_eq!(exited(&mut mailbox).await.1, pid);
}

/// What rests on a message that was lost must not arrive without it, and its sender not know.
#[tokio::test]
async fn nothing_is_sent_anew_before_its_sender_knows_that_the_connection_broke() {
    let server = Running::start(options()).await;
    let mut first = server.net.open("a").unwrap();
    let mut second = server.net.open("b").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pid = at("slave(1)", listener.local_addr().unwrap());
    server.net.link("a", &pid);
    server.net.link("b", &pid);
    drop(soon(listener.accept()).await.unwrap());
    // The exit of the first lies in its mailbox by now, too: linkers are told in their order.
    exited(&mut second).await;
    server.net.send("a", &pid, "lost", "");
    server.net.send("b", &pid, "told", "");
    assert_eq!(server.net.counters().messages_dropped, 1);
    exited(&mut first).await;
    server.net.send("a", &pid, "anew", "");
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    let mut all = String::new();
    while !all.contains("/anew") {
        let mut buffer = [0; 1000];
        let length = soon(stream.read(&mut buffer)).await.unwrap();
        all.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    let names: Vec<&str> = all.lines().filter_map(|line| line.strip_prefix("POST /slave(1)/")).collect();
    assert_eq!(names, ["told HTTP/1.1", "anew HTTP/1.1"]);
    // A process that ends before it takes the exit leaves nothing of this to the next one of its name.
    server.net.link("a", &pid);
    server.net.link("b", &pid);
    drop(stream);
    exited(&mut second).await;
    drop(first);
    let _again = server.net.open("a").unwrap();
    server.net.send("a", &pid, "next", "");
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    let mut buffer = [0; 1000];
    let length = soon(stream.read(&mut buffer)).await.unwrap();
    assert!(buffer[..length].starts_with(b"POST /slave(1)/next HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_queue_to_a_peer_that_does_not_read_is_bounded() {
    let server = Running::start(limited(|limits| limits.peer_bytes = 1 << 20)).await;
    let mut mailbox = server.net.open("master").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pid = at("slave(1)", listener.local_addr().unwrap());
    server.net.link("master", &pid);
    let (deaf, _) = soon(listener.accept()).await.unwrap();
    let body = bytes::Bytes::from(vec![0; 64 * 1024]);
    soon(async {
        while server.net.counters().messages_dropped < 100 {
            server.net.send("master", &pid, "m", body.clone());
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(mailbox.try_recv().is_none());
    drop(deaf);
    exited(&mut mailbox).await;
    finished(&server.net).await;
}

#[tokio::test]
async fn links_within_a_program() {
    let server = Server::bind(options()).await.unwrap();
    let net = server.net();
    let mut master = net.open("master").unwrap();
    let agent = net.open("slave(1)").unwrap();
    net.add_process("slave(2)", &agent).unwrap();
    net.link("master", &net.pid("slave(1)"));
    net.link("master", &net.pid("slave(2)"));
    net.unlink("master", &net.pid("slave(2)"));
    drop(agent);
    assert_eq!(exited(&mut master).await.1, net.pid("slave(1)"));
    net.link("master", &net.pid("nobody"));
    assert_eq!(exited(&mut master).await.1, net.pid("nobody"));
    assert!(master.try_recv().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finishing_delivers_what_is_queued() {
    let other = Running::start(limited(|limits| limits.mailbox_bytes = 100_000)).await;
    let mut mailbox = other.net.open("master").unwrap();
    let server = Running::start(options()).await;
    let mut own = server.net.open("slave(1)").unwrap();
    server.net.link("slave(1)", &other.net.pid("master"));
    for at in 0..500u32 {
        server.net.send("slave(1)", &other.net.pid("master"), "m", at.to_be_bytes().repeat(2500));
    }
    let net = server.net.clone();
    let finishing = tokio::spawn(async move { net.finish(crate::PATIENCE).await });
    for at in 0..500u32 {
        assert_eq!(&message(&mut mailbox).await.body[..4], at.to_be_bytes());
    }
    assert!(soon(finishing).await.unwrap());
    assert_eq!(server.net.counters().messages_sent, 500);
    assert!(own.try_recv().is_none());
}
