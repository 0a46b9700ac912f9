//! Network namespaces on one bridge, and links between them that can be cut, both ways or one way. It knows no programs.

use std::net::Ipv4Addr;
use std::process::{Command, Output};

/// A network of its own: a bridge in one namespace, and a namespace a host. All of it goes when this is dropped.
pub struct Network {
    prefix: String,
    hosts: Vec<String>,
}

pub fn is_root() -> bool {
    output("id", &["-u"]).is_ok_and(|output| output.stdout == b"0\n")
}

pub fn is_program(name: &str) -> bool {
    output("sh", &["-c", "command -v \"$0\"", name]).is_ok_and(|output| output.status.success())
}

pub fn try_namespaces() -> Result<(), String> {
    let mut network = Network::new("try")?;
    network.add_host("a")?;
    network.cut("a")?;
    network.heal_all();
    Ok(())
}

fn output(program: &str, arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(program).args(arguments).output()
}

fn ip(arguments: &str) -> Result<(), String> {
    run("ip", &arguments.split(' ').collect::<Vec<_>>())
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let shown = || format!("{program} {}", arguments.join(" "));
    let output = output(program, arguments).map_err(|error| format!("{}: {error}", shown()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", shown(), String::from_utf8_lossy(&output.stderr).trim()))
}

impl Network {
    pub fn new(name: &str) -> Result<Network, String> {
        let network = Network { prefix: format!("msr{}{name}", std::process::id()), hosts: Vec::new() };
        let hub = network.hub();
        ip(&format!("netns add {hub}"))?;
        ip(&format!("-n {hub} link add bridge type bridge"))?;
        ip(&format!("-n {hub} link set dev bridge up"))?;
        Ok(network)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.prefix)
    }

    pub fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    pub fn address(&self, host: &str) -> Ipv4Addr {
        let at = self.hosts.iter().position(|known| known == host).expect("a host of this network");
        Ipv4Addr::new(10, 213, 0, u8::try_from(at + 1).expect("few hosts"))
    }

    pub fn add_host(&mut self, host: &str) -> Result<(), String> {
        self.hosts.push(host.to_string());
        let (hub, own, address) = (self.hub(), self.namespace(host), self.address(host));
        ip(&format!("netns add {own}"))?;
        ip(&format!("-n {own} link set dev lo up"))?;
        ip(&format!("-n {own} link add eth0 type veth peer name {host} netns {hub}"))?;
        ip(&format!("-n {own} addr add {address}/24 dev eth0"))?;
        ip(&format!("-n {own} link set dev eth0 up"))?;
        ip(&format!("-n {hub} link set dev {host} master bridge"))?;
        ip(&format!("-n {hub} link set dev {host} up"))?;
        run("ip", &["netns", "exec", &own, "nft", "add table inet cut"])?;
        let chain = "add chain inet cut in { type filter hook input priority 0 ; }";
        run("ip", &["netns", "exec", &own, "nft", chain])
    }

    /// Nothing gets to a host or from it any more, without a word.
    pub fn cut(&self, host: &str) -> Result<(), String> {
        ip(&format!("-n {} link set dev {host} type bridge_slave state 0", self.hub()))
    }

    /// What one host sends to the other is lost; the way back works.
    pub fn cut_one_way(&self, from: &str, to: &str) -> Result<(), String> {
        let rule = format!("add rule inet cut in ip saddr {} drop", self.address(from));
        run("ip", &["netns", "exec", &self.namespace(to), "nft", &rule])
    }

    pub fn heal_all(&self) {
        for host in &self.hosts {
            let whole = ip(&format!("-n {} link set dev {host} type bridge_slave state 3", self.hub()));
            let flushed =
                run("ip", &["netns", "exec", &self.namespace(host), "nft", "flush chain inet cut in"]);
            if let Err(error) = whole.and(flushed) {
                eprintln!("cannot heal the link of {host}: {error}");
            }
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &self.hosts {
            let _ = ip(&format!("netns del {}", self.namespace(host)));
        }
        let _ = ip(&format!("netns del {}", self.hub()));
    }
}
