//! Replicas over real sockets and files: they elect a writer, agree, and lose nothing when some of them are gone.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use messor_net::{Server, ServerOptions};
use messor_replica::{Options, Outcome, Replica};
use messor_replog::{Answer, Command, Failure};
use tokio::sync::{mpsc, oneshot};

/// More than any of this takes, so that a test that hangs ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// A replica in a program of its own, but for the process.
struct Node {
    replica: Replica,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<()>,
    ticket: u64,
}

impl Node {
    async fn start(path: PathBuf, port: u16, quorum: usize) -> Node {
        let ip = Some([127, 0, 0, 1].into());
        let server = Server::bind(ServerOptions { ip, port, ..ServerOptions::default() }).await.unwrap();
        let (sender, outcomes) = mpsc::unbounded_channel();
        let options = Options { path, quorum, auto_initialize: true };
        let replica =
            Replica::start(&server.net(), &options, move |outcome| drop(sender.send(outcome))).unwrap();
        let (stop, stopped) = oneshot::channel();
        let nothing =
            |_request, _peer| async { messor_net::text(http::StatusCode::NOT_FOUND, "nothing is here\n") };
        let served = tokio::spawn(server.serve(nothing, async move { drop(stopped.await) }));
        Node { replica, outcomes, stop, served, ticket: 0 }
    }

    fn port(&self) -> u16 {
        self.replica.pid().address.port()
    }

    async fn stop(self) {
        drop(self.stop);
        self.served.await.unwrap();
        tokio::task::spawn_blocking(move || drop(self.replica)).await.unwrap();
    }

    async fn ask(&mut self, command: Command) -> Result<Answer, Failure> {
        self.ticket += 1;
        self.replica.commands().command(self.ticket, command.clone());
        match tokio::time::timeout(PATIENCE, self.outcomes.recv()).await {
            Ok(Some(Outcome::Done { ticket, outcome })) if ticket == self.ticket => outcome,
            other => panic!("{command:?}: {other:?}"),
        }
    }

    async fn append(&mut self, text: &str) -> u64 {
        match self.ask(Command::Append(text.as_bytes().to_vec())).await {
            Ok(Answer::Written { position }) => position,
            other => panic!("{other:?}"),
        }
    }

    /// It votes: without it there may be no quorum.
    async fn votes(&self) {
        let recovered = async {
            while !self.replica.recovered() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, recovered).await.expect("the replica recovers");
    }

    /// All that it has learned. It may have heard of what is not learned here yet: it will be told.
    async fn texts(&mut self) -> Vec<String> {
        let began = std::time::Instant::now();
        loop {
            let Ok(Answer::Ends { begin, end }) = self.ask(Command::Ends).await else { panic!("no ends") };
            match self.ask(Command::Read { from: begin, to: end }).await {
                Ok(Answer::Entries { entries, next: None }) => {
                    let text = |bytes| String::from_utf8(bytes).unwrap();
                    return entries.into_iter().map(|entry| text(entry.bytes)).collect();
                }
                Err(Failure::Range { .. }) if began.elapsed() < PATIENCE => tokio::task::yield_now().await,
                other => panic!("{other:?}"),
            }
        }
    }
}

fn introduce(nodes: &[&Node]) {
    let members: BTreeSet<_> = nodes.iter().map(|node| node.replica.pid().clone()).collect();
    for node in nodes {
        node.replica.commands().members(members.clone());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_replica_keeps_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replicated_log");
    let mut expected = Vec::new();
    for round in 0..3 {
        let mut node = Node::start(path.clone(), 0, 1).await;
        assert!(matches!(node.ask(Command::Elect).await, Ok(Answer::Elected { .. })));
        assert!(node.replica.recovered());
        assert_eq!(node.replica.ensemble_size(), 1);
        assert_eq!(node.texts().await, expected);
        let mut last = 0;
        for number in 0..20 {
            let text = format!("{round}-{number}");
            last = node.append(&text).await;
            expected.push(text);
        }
        let truncated = node.ask(Command::Truncate { to: last - 4 }).await;
        assert!(matches!(truncated, Ok(Answer::Written { .. })), "{truncated:?}");
        expected.drain(..expected.len() - 5);
        assert_eq!(node.texts().await, expected);
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_agree_and_one_may_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = |number: u32| folder.path().join(format!("log-{number}"));
    let mut one = Node::start(path(1), 0, 2).await;
    let mut two = Node::start(path(2), 0, 2).await;
    let three = Node::start(path(3), 0, 2).await;
    introduce(&[&one, &two, &three]);
    assert!(matches!(one.ask(Command::Elect).await, Ok(Answer::Elected { .. })));
    let mut expected = Vec::new();
    for number in 0..20 {
        expected.push(format!("a{number}"));
        one.append(&expected[number]).await;
    }
    // Who does not vote yet cannot take the place of the third.
    two.votes().await;
    let port = three.port();
    three.stop().await;
    for number in 0..20 {
        expected.push(format!("b{number}"));
        one.append(&expected[20 + number]).await;
    }
    // The first is not the writer any more, and hears it.
    assert!(matches!(two.ask(Command::Elect).await, Ok(Answer::Elected { .. })));
    assert_eq!(two.texts().await, expected);
    let lost = one.ask(Command::Append(b"too late".to_vec())).await;
    assert!(matches!(lost, Err(Failure::Lost)), "{lost:?}");
    // The third comes back, and reads all but the last, where a writer may be: or that too, where it heard of its end.
    let mut three = Node::start(path(3), port, 2).await;
    introduce(&[&one, &two, &three]);
    assert!(matches!(three.ask(Command::CatchUp).await, Ok(Answer::CaughtUp { .. })));
    let caught_up = three.texts().await;
    assert!(caught_up == expected[..39] || caught_up == expected, "{caught_up:?}");
    three.votes().await;
    // The first goes, and the third writes.
    one.stop().await;
    assert!(matches!(three.ask(Command::Elect).await, Ok(Answer::Elected { .. })));
    expected.push("c".to_string());
    three.append("c").await;
    assert_eq!(three.texts().await, expected);
    two.stop().await;
    three.stop().await;
}

/// Row: U039.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_lost_its_disk_gets_all_of_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |number: u32| folder.path().join(format!("log-{number}"));
    let mut one = Node::start(path(1), 0, 2).await;
    let two = Node::start(path(2), 0, 2).await;
    let three = Node::start(path(3), 0, 2).await;
    introduce(&[&one, &two, &three]);
    assert!(matches!(one.ask(Command::Elect).await, Ok(Answer::Elected { .. })));
    for number in 0..50 {
        one.append(&number.to_string()).await;
    }
    // Who does not vote yet has nothing to say of what was lost: without the third there would be no quorum any more.
    three.votes().await;
    let port = two.port();
    two.stop().await;
    std::fs::remove_dir_all(path(2)).unwrap();
    let mut two = Node::start(path(2), port, 2).await;
    introduce(&[&one, &two, &three]);
    assert!(matches!(two.ask(Command::CatchUp).await, Ok(Answer::CaughtUp { .. })));
    assert!(two.replica.recovered());
    let texts = two.texts().await;
    assert!(texts.len() >= 49, "{texts:?}");
    assert!(texts.iter().enumerate().all(|(number, text)| number.to_string() == *text), "{texts:?}");
    for node in [one, two, three] {
        node.stop().await;
    }
}
