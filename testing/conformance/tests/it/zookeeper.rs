//! Election over a real ZooKeeper, Debian's: what stands there, who leads, and what happens when it goes away.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use messor_proto::mesos::MasterInfo;
use messor_stdx::Time;
use messor_testkit::ZooKeeper;
use messor_zk::{ContenderOutcome, DetectorOutcome, GroupOutcome, Leader, Running, Url};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use zookeeper_client as zk;

const LIMIT: Duration = Duration::from_secs(30);
const SESSION: Duration = Duration::from_secs(10);

fn clock() -> impl Fn() -> Time + Send + Clone + 'static {
    let start = Instant::now();
    move || Time::from_nanos(1) + start.elapsed()
}

fn info(id: &str) -> Vec<u8> {
    messor_zk::master_znode(&MasterInfo {
        id: id.to_string(),
        ip: 16_777_343,
        port: 5050,
        pid: Some("master@127.0.0.1:5050".to_string()),
        hostname: Some("localhost".to_string()),
        version: Some("1.11.0".to_string()),
        ..MasterInfo::default()
    })
}

/// What comes next that `pick` wants.
async fn next<O: std::fmt::Debug, T>(running: &mut Running<O>, pick: impl Fn(&O) -> Option<T>) -> T {
    let wait = async {
        loop {
            let outcome = running.outcomes.recv().await.expect("the machine runs");
            if let Some(found) = pick(&outcome) {
                return found;
            }
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("the outcome comes")
}

fn elected(outcome: &ContenderOutcome) -> Option<()> {
    matches!(outcome, ContenderOutcome::Elected).then_some(())
}

fn lost(outcome: &ContenderOutcome) -> Option<String> {
    match outcome {
        ContenderOutcome::LeadershipLost { reason } => Some(reason.clone()),
        _ => None,
    }
}

fn leader(outcome: &DetectorOutcome) -> Option<Leader> {
    match outcome {
        DetectorOutcome::Leader(leader) => leader.clone(),
        DetectorOutcome::Failed { .. } => None,
    }
}

async fn client(zookeeper: &ZooKeeper, auth: Option<&str>) -> zk::Client {
    let mut connector = zk::Client::connector();
    if let Some(auth) = auth {
        connector = connector.with_auth("digest", auth.as_bytes());
    }
    connector.connect(&zookeeper.servers()).await.expect("ZooKeeper takes another client")
}

fn shown(acl: &[zk::Acl]) -> Vec<String> {
    acl.iter().map(|entry| format!("{}:{}:{}", entry.scheme(), entry.id(), entry.permission())).collect()
}

/// U092
#[tokio::test]
async fn the_lowest_znode_leads_and_the_next_one_follows() {
    let Some(zookeeper) = ZooKeeper::start(1) else { return };
    let url = Url::parse(&format!("zk://{}/deep/mesos", zookeeper.servers())).unwrap();
    let mut detector = messor_zk::detect(&url, SESSION, clock());
    let now = clock();
    let mut first = messor_zk::contend(&url, SESSION, info("one"), now.clone());
    next(&mut first, elected).await;
    assert!(first.lease.holds(now()));
    let found = next(&mut detector, leader).await;
    let master = messor_zk::master_info(&found).unwrap();
    assert_eq!((master.id.as_str(), master.pid()), ("one", "master@127.0.0.1:5050"));

    let client = client(&zookeeper, None).await;
    assert_eq!(
        client.list_children("/deep/mesos").await.unwrap(),
        [format!("json.info_{:010}", found.sequence)]
    );
    for path in ["/deep", "/deep/mesos", &format!("/deep/mesos/json.info_{:010}", found.sequence)] {
        assert_eq!(shown(&client.get_acl(path).await.unwrap().0), ["world:anyone:ALL"], "{path}");
    }
    let mut replica = messor_zk::join(
        &url.join("log_replicas"),
        SESSION,
        Some(b"log-replica(1)@1.2.3.4:1".to_vec()),
        clock(),
    );
    let members = |outcome: &GroupOutcome| match outcome {
        GroupOutcome::Members(members) => Some(members.clone()),
        GroupOutcome::Failed { .. } => None,
    };
    assert_eq!(next(&mut replica, members).await, BTreeSet::from([b"log-replica(1)@1.2.3.4:1".to_vec()]));
    assert_eq!(client.list_children("/deep/mesos/log_replicas").await.unwrap(), ["0000000000"]);

    let mut second = messor_zk::contend(&url, SESSION, info("two"), clock());
    next(&mut second, |outcome| match outcome {
        ContenderOutcome::Leader(leader) => leader.clone(),
        _ => None,
    })
    .await;
    first.withdraw().await;
    next(&mut second, elected).await;
    let found =
        next(&mut detector, |outcome| leader(outcome).filter(|leader| leader.data == info("two"))).await;
    assert_eq!(client.list_children("/deep/mesos").await.unwrap().len(), 2);
    assert!(found.sequence > 0);
    let found =
        tokio::task::spawn_blocking(move || messor_zk::find_master(&url, SESSION, LIMIT)).await.unwrap();
    assert_eq!(found.unwrap().id, "two");
}

#[tokio::test]
async fn credentials_keep_others_from_writing_but_not_from_reading() {
    let Some(zookeeper) = ZooKeeper::start(1) else { return };
    let servers = zookeeper.servers();
    let url = Url::parse(&format!("zk://me:secret@{servers}/mesos")).unwrap();
    let mut contender = messor_zk::contend(&url, SESSION, info("one"), clock());
    next(&mut contender, elected).await;

    let client = client(&zookeeper, None).await;
    for path in ["/mesos", "/mesos/json.info_0000000000"] {
        let acl = shown(&client.get_acl(path).await.unwrap().0);
        assert_eq!(acl[0], "world:anyone:READ");
        assert!(acl[1].starts_with("digest:me:") && acl[1].ends_with(":ALL") && acl.len() == 2, "{acl:?}");
    }
    let open = Url::parse(&format!("zk://{servers}/mesos")).unwrap();
    let mut stranger = messor_zk::contend(&open, SESSION, info("two"), clock());
    let reason = next(&mut stranger, |outcome| match outcome {
        ContenderOutcome::Failed { reason } => Some(reason.clone()),
        _ => None,
    })
    .await;
    assert!(reason.contains("ZooKeeper refuses to create a znode below /mesos"), "{reason}");
    let mut detector = messor_zk::detect(&open, SESSION, clock());
    assert_eq!(next(&mut detector, leader).await.data, info("one"));
    let mut same = messor_zk::contend(&url, SESSION, info("three"), clock());
    next(&mut same, |outcome| match outcome {
        ContenderOutcome::Leader(leader) => leader.clone(),
        _ => None,
    })
    .await;
    contender.withdraw().await;
    next(&mut same, elected).await;
}

#[tokio::test]
async fn a_leader_without_zookeeper_stops_before_its_session_can_have_expired() {
    let Some(mut zookeeper) = ZooKeeper::start(1) else { return };
    let url = Url::parse(&format!("zk://{}/mesos", zookeeper.servers())).unwrap();
    let session = Duration::from_secs(4);
    let now = clock();
    let mut contender = messor_zk::contend(&url, session, info("one"), now.clone());
    let mut detector = messor_zk::detect(&url, session, clock());
    next(&mut contender, elected).await;
    next(&mut detector, leader).await;
    let start = Instant::now();
    zookeeper.kill(0);
    let reason = next(&mut contender, lost).await;
    assert!(start.elapsed() < session, "it took {:?}", start.elapsed());
    assert!(!contender.lease.holds(now()), "{reason}");
    assert_eq!(contender.outcomes.recv().await, None, "it says nothing more");
    next(&mut detector, |outcome| matches!(outcome, DetectorOutcome::Leader(None)).then_some(())).await;
    zookeeper.restart(0);
    let mut second = messor_zk::contend(&url, session, info("two"), clock());
    next(&mut second, elected).await;
    // The servers kept the first one's session, which ends only then.
    next(&mut detector, |outcome| leader(outcome).filter(|leader| leader.data == info("two"))).await;
}

/// A way to a server that can be cut without either end being told.
struct Way {
    port: u16,
    is_open: watch::Sender<bool>,
}

impl Way {
    async fn to(server: SocketAddr) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_open, open) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(Way::pass(near, server, open.clone()));
            }
        });
        Way { port, is_open }
    }

    async fn pass(mut near: TcpStream, server: SocketAddr, mut open: watch::Receiver<bool>) {
        let Ok(()) = open.wait_for(|open| *open).await.map(drop) else { return };
        let Ok(mut far) = TcpStream::connect(server).await else { return };
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
            _ = open.wait_for(|open| !*open) => (),
        }
        // Both ends stay, and hear nothing, until the way is open again.
        let _ = open.wait_for(|open| *open).await;
    }
}

#[tokio::test]
async fn a_contender_that_was_away_for_too_long_comes_back_with_another_session() {
    let Some(zookeeper) = ZooKeeper::start(1) else { return };
    let url = Url::parse(&format!("zk://{}/mesos", zookeeper.servers())).unwrap();
    let mut first = messor_zk::contend(&url, SESSION, info("one"), clock());
    next(&mut first, elected).await;

    let way = Way::to(zookeeper.address(0)).await;
    let far = Url::parse(&format!("zk://127.0.0.1:{}/mesos", way.port)).unwrap();
    let session = Duration::from_secs(2);
    let mut second = messor_zk::contend(&far, session, info("two"), clock());
    let of_one = |outcome: &ContenderOutcome| match outcome {
        ContenderOutcome::Leader(leader) => leader.clone(),
        _ => None,
    };
    next(&mut second, of_one).await;
    let client = client(&zookeeper, None).await;
    let names = || async { client.list_children("/mesos").await.unwrap() };
    while names().await.len() < 2 {
        tokio::task::yield_now().await;
    }
    way.is_open.send(false).unwrap();
    next(&mut second, |outcome| matches!(outcome, ContenderOutcome::Leader(None)).then_some(())).await;
    while names().await.len() > 1 {
        tokio::task::yield_now().await;
    }
    way.is_open.send(true).unwrap();
    next(&mut second, of_one).await;
    first.withdraw().await;
    next(&mut second, elected).await;
    assert_eq!(names().await.len(), 1);

    // And a leader that hears nothing more, though no connection breaks.
    let start = Instant::now();
    way.is_open.send(false).unwrap();
    next(&mut second, lost).await;
    assert!(start.elapsed() < session, "it took {:?}", start.elapsed());
    assert_eq!(names().await.len(), 1, "the servers still know its session");
}

#[tokio::test]
async fn a_leader_goes_on_while_servers_of_three_die_one_by_one() {
    let Some(mut zookeeper) = ZooKeeper::start(3) else { return };
    let url = Url::parse(&format!("zk://{}/mesos", zookeeper.servers())).unwrap();
    let now = clock();
    let mut contender = messor_zk::contend(&url, SESSION, info("one"), now.clone());
    next(&mut contender, elected).await;
    for number in 0..3 {
        zookeeper.kill(number);
        zookeeper.restart(number);
    }
    let mut detector = messor_zk::detect(&url, SESSION, clock());
    assert_eq!(next(&mut detector, leader).await.data, info("one"));
    assert!(contender.lease.holds(now()));
    while let Ok(outcome) = contender.outcomes.try_recv() {
        assert!(lost(&outcome).is_none(), "{outcome:?}");
    }
}
