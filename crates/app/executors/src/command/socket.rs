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
