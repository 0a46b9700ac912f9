//! A stream socket that never blocks. It must not know what is sent over it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use messor_linux::poll::PollFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

#[derive(Debug)]
pub struct Socket {
    descriptor: OwnedFd,
    connected: bool,
    outgoing: Vec<u8>,
    written: usize,
}

/// What a reading gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    Bytes(usize),
    /// Nothing at present.
    Later,
    End,
}

impl Socket {
    /// Begins to connect.
    pub fn connect(address: SocketAddr) -> io::Result<Socket> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let descriptor = new(family)?;
        begin(rustix::net::connect(&descriptor, &address))?;
        Ok(Socket { descriptor, connected: false, outgoing: Vec::new(), written: 0 })
    }

    pub fn connect_unix(path: &Path) -> io::Result<Socket> {
        let descriptor = new(AddressFamily::UNIX)?;
        begin(rustix::net::connect(&descriptor, &rustix::net::SocketAddrUnix::new(path)?))?;
        Ok(Socket { descriptor, connected: false, outgoing: Vec::new(), written: 0 })
    }

    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// What to poll for.
    pub fn interest(&self) -> PollFlags {
        if self.connected && self.outgoing.is_empty() {
            PollFlags::IN
        } else {
            PollFlags::IN | PollFlags::OUT
        }
    }

    /// To be written as soon as that is possible.
    pub fn send(&mut self, bytes: Vec<u8>) {
        if self.outgoing.is_empty() {
            self.outgoing = bytes;
        } else {
            self.outgoing.extend(bytes);
        }
    }

    /// Connects and writes as far as possible at present. To be called when the socket can be written to.
    pub fn advance(&mut self) -> io::Result<()> {
        if !self.connected {
            sockopt::socket_error(&self.descriptor)??;
            match rustix::net::getpeername(&self.descriptor) {
                Ok(_) => self.connected = true,
                Err(rustix::io::Errno::NOTCONN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        while self.written < self.outgoing.len() {
            match rustix::net::send(
                &self.descriptor,
                &self.outgoing[self.written..],
                rustix::net::SendFlags::NOSIGNAL,
            ) {
                Ok(count) => self.written += count,
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.outgoing = Vec::new();
        self.written = 0;
        Ok(())
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Reading> {
        match rustix::io::read(&self.descriptor, buffer) {
            Ok(0) => Ok(Reading::End),
            Ok(count) => Ok(Reading::Bytes(count)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(Reading::Later),
            Err(rustix::io::Errno::NOTCONN) if !self.connected => Ok(Reading::Later),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn new(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?)
}

fn begin(answer: rustix::io::Result<()>) -> io::Result<()> {
    match answer {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS | rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::time::Duration;

    use messor_linux::poll::{PollFd, poll};

    const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

    fn wait(socket: &Socket) {
        assert_eq!(poll(&mut [PollFd::new(socket, socket.interest())], PATIENCE).unwrap(), 1);
    }

    /// Sends more than fits at once, and reads an answer.
    fn converse(mut socket: Socket, mut peer: impl Read + Write + Send) {
        let text = vec![7; 4 << 20];
        socket.send(text.clone());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut got = vec![0; text.len()];
                peer.read_exact(&mut got).unwrap();
                assert!(got == text);
                peer.write_all(b"answer").unwrap();
                drop(peer);
            });
            let mut buffer = [0; 64];
            let mut answer: Vec<u8> = Vec::new();
            loop {
                wait(&socket);
                socket.advance().unwrap();
                match socket.read(&mut buffer).unwrap() {
                    Reading::Bytes(count) => answer.extend(&buffer[..count]),
                    Reading::Later => {}
                    Reading::End => break,
                }
            }
            assert_eq!(answer, b"answer");
        });
    }

    #[test]
    fn over_tcp() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = Socket::connect(listener.local_addr().unwrap()).unwrap();
        assert!(!socket.is_connected());
        converse(socket, listener.accept().unwrap().0);
    }

    #[test]
    fn over_a_unix_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let socket = Socket::connect_unix(&path).unwrap();
        converse(socket, listener.accept().unwrap().0);
        assert!(Socket::connect_unix(&folder.path().join("other")).is_err());
    }

    #[test]
    fn a_refusal_is_an_error() {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        if let Ok(mut socket) = Socket::connect(address) {
            wait(&socket);
            assert_eq!(socket.advance().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        }
    }
}
