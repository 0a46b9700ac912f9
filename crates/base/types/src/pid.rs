//! The address of a libprocess process: `id@ip:port`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

/// A libprocess PID (also UPID): which process, at which address. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid {
    pub id: Arc<str>,
    pub address: SocketAddr,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PidError {
    #[error("'{0}' is no PID: it has no '@' between its id and its address")]
    At(String),
    #[error("'{0}' is no PID: its address is not IP:PORT")]
    Address(String),
}

impl Pid {
    pub fn new(id: &str, address: SocketAddr) -> Pid {
        Pid { id: id.into(), address }
    }
}

impl FromStr for Pid {
    type Err = PidError;

    fn from_str(text: &str) -> Result<Pid, PidError> {
        let (id, address) = text.rsplit_once('@').ok_or_else(|| PidError::At(text.to_string()))?;
        let wrong = || PidError::Address(text.to_string());
        // Apache Mesos writes IPv6 addresses without brackets; both are read.
        let address = address.parse().or_else(|_| {
            let (ip, port) = address.rsplit_once(':').ok_or_else(wrong)?;
            let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
            Ok(SocketAddr::new(ip, port.parse().map_err(|_| wrong())?))
        })?;
        Ok(Pid { id: id.into(), address })
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.id)?;
        out.write_str("@")?;
        Plain(self.address).fmt(out)
    }
}

/// An address as it is: each message has some, and the way of the standard library, which heeds width and precision, costs thrice as
/// much.
#[derive(Clone, Copy, Debug)]
pub struct Plain(pub SocketAddr);

impl fmt::Display for Plain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SocketAddr::V4(address) = self.0 else { return self.0.fmt(out) };
        let mut number = itoa::Buffer::new();
        for (at, octet) in address.ip().octets().into_iter().enumerate() {
            if at > 0 {
                out.write_str(".")?;
            }
            out.write_str(number.format(octet))?;
        }
        out.write_str(":")?;
        out.write_str(number.format(address.port()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids_read_and_print() {
        for text in ["master@127.0.0.1:5050", "slave(1)@10.0.0.7:5051", "m@255.100.9.0:65535", "a@b@[::1]:80"]
        {
            assert_eq!(text.parse::<Pid>().unwrap().to_string(), text);
        }
        assert_eq!("m@::1:80".parse::<Pid>().unwrap().to_string(), "m@[::1]:80");
        assert!("master".parse::<Pid>().is_err());
        assert!("master@host".parse::<Pid>().is_err());
        assert!("master@1.2.3.4:99999".parse::<Pid>().is_err());
    }
}
