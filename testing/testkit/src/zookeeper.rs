//! A ZooKeeper of our own: Debian's, on free ports of the loopback, in a folder that goes away with it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{free_port, skip, wait_for};

const JARS: [&str; 2] = ["/usr/share/java/zookeeper.jar", "/usr/share/java/slf4j-nop.jar"];

/// One server, or three that elect a leader among themselves. Killed when this is dropped.
pub struct ZooKeeper {
    folder: tempfile::TempDir,
    servers: Vec<Server>,
}

struct Server {
    port: u16,
    process: Option<Child>,
}

impl ZooKeeper {
    /// None where Java or Debian's package is missing, which is told as a skip. Sessions may be short: a tick is 200 ms,
    /// a session lasts 400 ms at least.
    pub fn start(servers: usize) -> Option<ZooKeeper> {
        if !JARS.iter().all(|jar| Path::new(jar).exists()) {
            skip("no ZooKeeper here: install Debian's package zookeeper");
            return None;
        }
        if Command::new("java").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
        {
            skip("no Java here to run ZooKeeper with");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut zookeeper = ZooKeeper { folder, servers: Vec::new() };
        let peers: Vec<(u16, u16)> = (0..servers).map(|_| (free_port(), free_port())).collect();
        for number in 0..servers {
            let port = free_port();
            let folder = zookeeper.folder_of(number);
            fs::create_dir_all(&folder).expect("a folder for a server");
            let mut config = format!(
                "tickTime=200\ninitLimit=50\nsyncLimit=10\ndataDir={}\nclientPort={port}\n\
                 clientPortAddress=127.0.0.1\nadmin.enableServer=false\nminSessionTimeout=400\n\
                 maxSessionTimeout=60000\n4lw.commands.whitelist=*\n",
                folder.display()
            );
            if servers > 1 {
                for (peer, (quorum, election)) in peers.iter().enumerate() {
                    config.push_str(&format!("server.{peer}=127.0.0.1:{quorum}:{election}\n"));
                }
                fs::write(folder.join("myid"), number.to_string()).expect("the id of a server");
            }
            fs::write(folder.join("zoo.cfg"), config).expect("the configuration of a server");
            zookeeper.servers.push(Server { port, process: None });
        }
        for number in 0..servers {
            zookeeper.launch(number);
        }
        for number in 0..servers {
            zookeeper.wait_until_it_serves(number);
        }
        Some(zookeeper)
    }

    fn folder_of(&self, number: usize) -> std::path::PathBuf {
        self.folder.path().join(number.to_string())
    }

    /// `host1:port1,host2:port2`, as it stands in `zk://`.
    pub fn servers(&self) -> String {
        let servers: Vec<String> =
            self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        servers.join(",")
    }

    pub fn address(&self, number: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.servers[number].port))
    }

    pub fn pid(&self, number: usize) -> Option<u32> {
        self.servers[number].process.as_ref().map(Child::id)
    }

    fn launch(&mut self, number: usize) {
        let folder = self.folder_of(number);
        let output = fs::File::create(folder.join("output")).expect("a file for a server's output");
        let process = Command::new("java")
            .args(["-Xmx64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", &JARS.join(":")])
            .args(["org.apache.zookeeper.server.quorum.QuorumPeerMain", "zoo.cfg"])
            .current_dir(&folder)
            .stdout(output.try_clone().expect("the same file again"))
            .stderr(output)
            .spawn()
            .expect("Java starts");
        self.servers[number].process = Some(process);
    }

    /// Starts a server that was killed, with its data.
    pub fn restart(&mut self, number: usize) {
        self.launch(number);
        self.wait_until_it_serves(number);
    }

    /// kill -9; its data stays.
    pub fn kill(&mut self, number: usize) {
        if let Some(mut process) = self.servers[number].process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// The answer to one of the four-letter words.
    pub fn word(&self, number: usize, word: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address(number)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        stream.write_all(word.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    fn wait_until_it_serves(&self, number: usize) {
        wait_for("ZooKeeper to serve", Duration::from_secs(60), || {
            self.word(number, "srvr").filter(|text| text.contains("Mode: ")).map(|_| ())
        });
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        for number in 0..self.servers.len() {
            self.kill(number);
        }
    }
}
