//! Downloads: streams with a bound on what of them is in memory, parts of files, files that grow; of an agent itself and
//! through the master.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use messor_testkit::{Answer, Cluster, Framework, Options, get, request, wait_for};
use serde_json::json;

/// A cluster with a task that has a sandbox, which is given, too, and the two ways to its files.
fn with_sandbox() -> (Cluster, Framework, PathBuf, Vec<(SocketAddr, String)>) {
    let cluster = Cluster::with(&Options {
        agents: 1,
        agent_flags: vec!["--launcher=posix".into()],
        ..Options::default()
    });
    let framework = Framework::subscribe(cluster.master, "root", &["PARTITION_AWARE", "MULTI_ROLE"]);
    let offer = framework.offer(|resource| resource["name"] == "cpus");
    let scalar = messor_testkit::scalar;
    let task = json!({"name": "t", "task_id": {"value": "t"}, "agent_id": offer["agent_id"],
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)], "command": {"value": "sleep 1000"}});
    framework.accept(&offer, vec![json!({"type": "LAUNCH", "launch": {"task_infos": [task]}})]);
    framework.until("t", "TASK_RUNNING");
    let state = get(cluster.agents[0], "/state").expect("an answer").json();
    let sandbox =
        state["frameworks"][0]["executors"][0]["directory"].as_str().expect("a sandbox").to_string();
    let agent = offer["agent_id"]["value"].as_str().expect("an id");
    let ways = vec![
        (cluster.agents[0], "/files/download".to_string()),
        (cluster.master, format!("/master/agents/{agent}/files/download")),
    ];
    (cluster, framework, PathBuf::from(sandbox), ways)
}

fn rss_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    let kilobytes: u64 = line.split_whitespace().next().expect("a number").parse().expect("a number");
    kilobytes * 1024
}

fn ask(address: SocketAddr, target: &str, method: &str, headers: &[(&str, &str)]) -> Answer {
    request(address, method, target, headers, b"")
        .unwrap_or_else(|error| panic!("{method} {target}: {error}"))
}

/// Sends a request and gives the connection, from which nothing was read.
fn asked(address: SocketAddr, target: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).expect("a connection");
    connection.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    write!(connection, "GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .expect("it is sent");
    connection
}

/// Reads the head of an answer; gives back its code and its length.
fn head(connection: &mut TcpStream) -> (u16, u64) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    (head[9..12].parse().expect("a code"), length.parse().expect("a number"))
}

#[test]
fn a_part_of_a_file_a_head_and_a_file_that_is_the_same() {
    let (_cluster, _framework, sandbox, ways) = with_sandbox();
    let file = sandbox.join("some file");
    std::fs::write(&file, (0..200_000).map(|n| n as u8).collect::<Vec<u8>>()).expect("a file is written");
    let path = file.display().to_string().replace(' ', "%20");
    for (address, way) in &ways {
        let target = format!("{way}?path={path}");
        let whole = ask(*address, &target, "GET", &[]);
        assert_eq!((whole.status, whole.body.len()), (200, 200_000), "{target}");
        assert_eq!(whole.header("Content-Length"), Some("200000"));
        assert_eq!(whole.header("Accept-Ranges"), Some("bytes"));
        assert_eq!(whole.header("Content-Disposition"), Some("attachment; filename=\"some_file\""));
        let tag = whole.header("ETag").expect("a tag");
        let only_head = ask(*address, &target, "HEAD", &[]);
        assert_eq!((only_head.status, only_head.body.len()), (200, 0));
        assert_eq!(only_head.header("Content-Length"), Some("200000"));
        let part = ask(*address, &target, "GET", &[("Range", "bytes=70000-139999"), ("If-Range", tag)]);
        assert_eq!((part.status, &part.body[..]), (206, &whole.body[70_000..140_000]));
        assert_eq!(part.header("Content-Range"), Some("bytes 70000-139999/200000"));
        let last = ask(*address, &target, "GET", &[("Range", "bytes=-1")]);
        assert_eq!((last.status, &last.body[..]), (206, &whole.body[199_999..]));
        let beyond = ask(*address, &target, "GET", &[("Range", "bytes=200000-")]);
        assert_eq!((beyond.status, beyond.header("Content-Range")), (416, Some("bytes */200000")));
        assert_eq!(ask(*address, &target, "GET", &[("If-None-Match", tag)]).status, 304);
        let other = ask(*address, &target, "GET", &[("Range", "bytes=0-1"), ("If-Range", "\"other\"")]);
        assert_eq!((other.status, other.body.len()), (200, 200_000));
        assert_eq!(ask(*address, &format!("{way}?path={path}x"), "GET", &[]).status, 404);
        let folder = format!("{way}?path={}", sandbox.display());
        assert_eq!(ask(*address, &folder, "GET", &[]).status, 400);
        File::create(sandbox.join("empty")).expect("a file");
        let empty = ask(*address, &format!("{way}?path={}/empty", sandbox.display()), "GET", &[]);
        assert_eq!((empty.status, empty.header("Content-Length"), empty.body.len()), (200, Some("0"), 0));
    }
}

/// The same from an address of its own.
fn asked_from(from: [u8; 4], address: SocketAddr, target: &str) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from((from, 0))).expect("an address of this host");
    connect(&socket, &address).expect("a connection");
    let mut connection = TcpStream::from(socket);
    connection.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    write!(connection, "GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .expect("it is sent");
    connection
}

#[test]
fn one_address_cannot_keep_others_from_downloading() {
    let (_cluster, _framework, sandbox, ways) = with_sandbox();
    let file = sandbox.join("large");
    File::create(&file).and_then(|file| file.set_len(1 << 30)).expect("a sparse file");
    // Through the master first: what is open there is open at the agent, too, for the master's address.
    for ((address, way), share) in ways.iter().rev().zip([16, 64]) {
        let target = format!("{way}?path={}", file.display());
        let status = |from| {
            let mut connection = asked_from(from, *address, &target);
            (head(&mut connection).0, connection)
        };
        let greedy: Vec<_> = (0..share).map(|_| status([127, 0, 0, 7])).collect();
        assert!(greedy.iter().all(|(code, _)| *code == 200), "{way}");
        let mut refused = asked_from([127, 0, 0, 7], *address, &target);
        let mut answer = String::new();
        refused.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains(&format!("{share} of your address go on already")), "{answer}");
        assert_eq!(status([127, 0, 0, 8]).0, 200, "somebody else is served");
        drop(greedy);
        wait_for("a place to be free again", Duration::from_secs(30), || {
            (status([127, 0, 0, 7]).0 == 200).then_some(())
        });
    }
}

#[test]
fn a_file_that_grows_has_the_length_it_had_and_one_that_shrinks_breaks_off() {
    let (_cluster, _framework, sandbox, ways) = with_sandbox();
    // More than what sockets and queues take.
    const BYTES: u64 = 64 * 1024 * 1024;
    for (number, (address, way)) in ways.iter().enumerate() {
        let file = sandbox.join(format!("log{number}"));
        File::create(&file).and_then(|file| file.set_len(BYTES)).expect("a file");
        let target = format!("{way}?path={}", file.display());
        let mut connection = asked(*address, &target);
        assert_eq!(head(&mut connection), (200, BYTES));
        let mut writer = OpenOptions::new().append(true).open(&file).expect("the file");
        writer.write_all(b"more").expect("it grows");
        let mut all = Vec::new();
        connection.read_to_end(&mut all).expect("it is read to its end");
        assert_eq!(all.len() as u64, BYTES);

        let mut connection = asked(*address, &target);
        assert_eq!(head(&mut connection), (200, BYTES + 4));
        writer.set_len(1024).expect("it shrinks");
        let mut got = 0;
        let mut buffer = vec![0; 1 << 20];
        // Its end, or an error: what was announced does not come.
        while let Ok(read @ 1..) = connection.read(&mut buffer) {
            got += read as u64;
        }
        assert!(got < BYTES, "{got} bytes of a file that has 1024");
    }
}

#[test]
fn a_large_file_is_read_slowly_and_memory_stays_as_it_was() {
    let (cluster, _framework, sandbox, ways) = with_sandbox();
    const BYTES: u64 = 1 << 30;
    // Several readers together would hold so much that it shows.
    const READERS: usize = 4;
    const ROOM: u64 = 32 << 20;
    let file = sandbox.join("large");
    let made = File::create(&file).expect("a file");
    made.set_len(BYTES).expect("a sparse file");
    made.write_all_at(b"the end", BYTES - 7).expect("its end is written");
    let pids = [cluster.pid("agent0"), cluster.pid("master")];
    for (address, way) in &ways {
        // Whatever is made at first is made.
        let warm =
            ask(*address, &format!("{way}?path={}", file.display()), "GET", &[("Range", "bytes=0-1048575")]);
        assert_eq!(warm.status, 206);
    }
    let before = pids.map(rss_bytes);
    let mut most = before;
    for (address, way) in &ways {
        let target = format!("{way}?path={}", file.display());
        let mut readers: Vec<TcpStream> = (0..READERS).map(|_| asked(*address, &target)).collect();
        for reader in &mut readers {
            assert_eq!(head(reader), (200, BYTES));
        }
        let mut buffer = vec![0; 1 << 20];
        let look = |most: &mut [u64; 2]| {
            for (most, pid) in most.iter_mut().zip(pids) {
                *most = rss_bytes(pid).max(*most);
            }
        };
        // Slowly: a piece of each, and a look after each.
        for _ in 0..30 {
            for reader in &mut readers {
                reader.read_exact(&mut buffer[..100_000]).expect("a piece");
            }
            look(&mut most);
            std::thread::sleep(Duration::from_millis(10));
        }
        // One is read to its end, the others are left.
        let mut last = readers.pop().expect("a reader");
        drop(readers);
        let (mut got, started) = (30 * 100_000, Instant::now());
        let mut tail = Vec::new();
        loop {
            let read = last.read(&mut buffer).expect("it comes");
            if read == 0 {
                break;
            }
            got += read as u64;
            tail.extend_from_slice(&buffer[read.saturating_sub(7)..read]);
            let cut = tail.len().saturating_sub(7);
            tail.drain(..cut);
            if got % (64 << 20) < read as u64 {
                look(&mut most);
            }
        }
        assert_eq!((got, tail.as_slice()), (BYTES, b"the end".as_slice()));
        println!("{way}: 1 GB in {} ms", started.elapsed().as_millis());
    }
    for ((name, before), most) in ["agent", "master"].iter().zip(before).zip(most) {
        println!("{name}: {} KB before, {} KB at most", before / 1024, most / 1024);
        assert!(most < before + ROOM, "{name} went from {before} to {most} bytes");
    }
    // Those that went away do not keep their place.
    wait_for("all downloads to end", Duration::from_secs(30), || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", pids[0])).ok()?.flatten();
        let large = open.filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == file)).count();
        (large == 0).then_some(())
    });
}
