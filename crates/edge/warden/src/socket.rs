//! Frames over a unix socket, with descriptors beside them: four bytes of length, the number of descriptors, the message.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use crate::encoding::{Decoder, Encoder};

/// Far above any plan: the kernel takes no more than 6 MB of arguments and environment.
const FRAME_LIMIT_BYTES: usize = 16 << 20;
/// The kernel passes no more at once.
const DESCRIPTORS_LIMIT: usize = 250;
const HEAD_BYTES: usize = 5;
/// What one side has not read yet. One that stops reading is cut off.
const OUTGOING_LIMIT_BYTES: usize = 8 << 20;

/// A connection of which nothing blocks.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    incoming: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
    outgoing: Vec<u8>,
}

/// One message.
#[derive(Debug)]
pub(crate) struct Frame {
    bytes: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Frame {
    pub fn decoder(&mut self) -> Decoder<'_> {
        Decoder { bytes: &self.bytes, descriptors: std::mem::take(&mut self.descriptors) }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Connection {
    pub fn new(stream: UnixStream) -> io::Result<Connection> {
        stream.set_nonblocking(true)?;
        Ok(Connection { stream, incoming: Vec::new(), descriptors: VecDeque::new(), outgoing: Vec::new() })
    }

    /// Reads what is there. False: the other side is gone, but what came before may still be taken.
    pub fn receive(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 16 << 10];
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(255))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let answer = rustix::net::recvmsg(
                &self.stream,
                &mut [IoSliceMut::new(&mut buffer)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            );
            let received = match answer {
                Ok(received) => received,
                Err(rustix::io::Errno::AGAIN) => return Ok(true),
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::CONNRESET) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    self.descriptors.extend(rights);
                }
            }
            if received.flags.contains(ReturnFlags::CTRUNC) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors were lost on the way"));
            }
            if received.bytes == 0 {
                return Ok(false);
            }
            self.incoming.extend(&buffer[..received.bytes]);
            if self.incoming.len() > HEAD_BYTES + FRAME_LIMIT_BYTES + buffer.len() {
                return Ok(true);
            }
        }
    }

    /// The next message that is there as a whole.
    pub fn next(&mut self) -> io::Result<Option<Frame>> {
        let Some((head, rest)) = self.incoming.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let count = usize::from(head[4]);
        if length > FRAME_LIMIT_BYTES || count > DESCRIPTORS_LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"));
        }
        if rest.len() < length {
            return Ok(None);
        }
        if self.descriptors.len() < count {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame lacks its descriptors"));
        }
        let bytes = rest[..length].to_vec();
        self.incoming.drain(..HEAD_BYTES + length);
        if self.incoming.is_empty() {
            // One long message must not be kept for ever.
            self.incoming.shrink_to(64 << 10);
        }
        Ok(Some(Frame { bytes, descriptors: self.descriptors.drain(..count).collect() }))
    }

    /// Queues a message without descriptors, and sends what can be sent at once.
    pub fn send(&mut self, message: &Encoder<'_>) -> io::Result<()> {
        self.outgoing.extend(frame(message)?);
        if self.outgoing.len() > OUTGOING_LIMIT_BYTES {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the other side does not read"));
        }
        self.flush()
    }

    pub fn flush(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match rustix::net::send(&self.stream, &self.outgoing, SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.outgoing.drain(..sent)),
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub fn wants_to_write(&self) -> bool {
        !self.outgoing.is_empty()
    }
}

fn frame(message: &Encoder<'_>) -> io::Result<Vec<u8>> {
    let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "a message is too long");
    if message.bytes.len() > FRAME_LIMIT_BYTES || message.descriptors.len() > DESCRIPTORS_LIMIT {
        return Err(too_long());
    }
    let mut frame = Vec::with_capacity(HEAD_BYTES + message.bytes.len());
    frame.extend(u32::try_from(message.bytes.len()).map_err(|_| too_long())?.to_ne_bytes());
    frame.push(u8::try_from(message.descriptors.len()).map_err(|_| too_long())?);
    frame.extend(&message.bytes);
    Ok(frame)
}

/// Sends a whole message with its descriptors; waits where the other side is slow.
pub(crate) fn send(stream: &UnixStream, message: &Encoder<'_>) -> io::Result<()> {
    let frame = frame(message)?;
    let mut sent = 0;
    while sent < frame.len() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(255))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        // With the first byte.
        if sent == 0 && !message.descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&message.descriptors));
        }
        let slice = [IoSlice::new(&frame[sent..])];
        match rustix::net::sendmsg(stream, &slice, &mut control, SendFlags::NOSIGNAL) {
            Ok(more) => sent += more,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                use messor_linux::poll::{PollFd, PollFlags, poll};
                poll(&mut [PollFd::new(stream, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The user at the other end must be this one.
pub(crate) fn check_peer(stream: &UnixStream) -> io::Result<i32> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?;
    if peer.uid == rustix::process::geteuid() {
        Ok(peer.pid.as_raw_pid())
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "the other end of the socket is of another user"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn pair() -> (UnixStream, Connection) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (ours, Connection::new(theirs).unwrap())
    }

    #[test]
    fn descriptors_stay_with_their_messages() {
        let (ours, mut connection) = pair();
        let file = std::fs::File::open("/dev/null").unwrap();
        for count in [0, 2, 1] {
            let mut message = Encoder::default();
            message.number(count);
            for _ in 0..count {
                message.descriptor(file.as_fd());
            }
            send(&ours, &message).unwrap();
        }
        drop(ours);
        assert!(!connection.receive().unwrap());
        for count in [0, 2, 1] {
            let mut frame = connection.next().unwrap().unwrap();
            let mut decoder = frame.decoder();
            assert_eq!(decoder.number().unwrap(), count);
            assert_eq!(decoder.descriptors.len() as u64, count);
        }
        assert!(connection.next().unwrap().is_none());
    }

    #[test]
    fn pieces_are_put_together_and_nonsense_is_refused() {
        let (mut ours, mut connection) = pair();
        ours.write_all(&[3, 0, 0]).unwrap();
        assert!(connection.receive().unwrap() && connection.next().unwrap().is_none());
        ours.write_all(&[0, 0, 1, 2]).unwrap();
        assert!(connection.receive().unwrap() && connection.next().unwrap().is_none());
        ours.write_all(&[3, 0xff, 0xff, 0xff, 0xff, 0]).unwrap();
        connection.receive().unwrap();
        assert_eq!(connection.next().unwrap().unwrap().bytes, [1, 2, 3]);
        assert!(connection.next().is_err());
    }

    #[test]
    fn one_that_does_not_read_is_cut_off() {
        let (_ours, mut connection) = pair();
        let message = Encoder { bytes: vec![0; 1 << 20], ..Encoder::default() };
        let error = (0..20).find_map(|_| connection.send(&message).err());
        assert_eq!(error.unwrap().kind(), io::ErrorKind::TimedOut);
    }
}
