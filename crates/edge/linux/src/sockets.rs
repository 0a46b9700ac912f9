//! What the kernel holds for sockets. What is sent over them is not known here.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::{SendFlags, send};

/// So many bytes were written to a stream socket and not taken by its peer: not sent yet, or not acknowledged.
pub fn untaken_bytes(socket: impl AsFd) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the pointer is to a number that lives until the call is over. (TIOCOUTQ is SIOCOUTQ by its older name.)
    let answer = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if answer == 0 { Ok(u64::try_from(bytes).unwrap_or(0)) } else { Err(io::Error::last_os_error()) }
}

/// Writes what there is room for, without waiting; answers with how much that was.
pub fn write_now(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_was_read_is_held_no_more() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        assert_eq!(untaken_bytes(&ours).unwrap(), 0);
        ours.write_all(&[0; 1000]).unwrap();
        assert!(untaken_bytes(&ours).unwrap() >= 1000);
        theirs.read_exact(&mut [0; 1000]).unwrap();
        assert_eq!(untaken_bytes(&ours).unwrap(), 0);
    }

    #[test]
    fn nobody_waits_for_room() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        assert_eq!(write_now(&ours, b"words").unwrap(), 5);
        theirs.read_exact(&mut [0; 5]).unwrap();
        while write_now(&ours, &[0; 64 * 1024]).is_ok() {}
        assert_eq!(write_now(&ours, b"more").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(theirs);
        assert_eq!(write_now(&ours, b"more").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
