//! The descriptors of a forked process: those of its program under their numbers, its own few above them, and no others.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Puts each of `wanted` (the number, and what is to be there; numbers are of a program: 0, 1, 2 and kept ones) in its place,
/// moves `own` above them, and closes all other descriptors of this process. What the caller still holds of others must
/// never be used or dropped any more.
pub(super) fn arrange(
    wanted: &[(RawFd, BorrowedFd<'_>)],
    own: &[BorrowedFd<'_>],
) -> io::Result<Vec<OwnedFd>> {
    let above = wanted.iter().map(|(number, _)| number + 1).max().unwrap_or(0).max(3);
    let copy = |descriptor: &BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(descriptor, above);
    // First all out of the way, then each into its place.
    let mut copies = Vec::with_capacity(wanted.len());
    for (number, descriptor) in wanted {
        copies.push((*number, copy(descriptor)?));
    }
    let mut mine = Vec::with_capacity(own.len());
    for descriptor in own {
        mine.push(copy(descriptor)?);
    }
    for (number, copy) in &copies {
        // SAFETY: whatever is open under the number is replaced; nobody in this process uses it any more (the caller's promise).
        let mut place = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(*number) });
        rustix::io::dup2(copy, &mut place)?;
    }
    drop(copies);
    let mut stay: Vec<RawFd> = wanted.iter().map(|(number, _)| *number).collect();
    stay.extend(mine.iter().map(AsRawFd::as_raw_fd));
    close_all_but(stay)?;
    Ok(mine)
}

fn close_all_but(mut stay: Vec<RawFd>) -> io::Result<()> {
    stay.sort_unstable();
    stay.dedup();
    let mut from: RawFd = 0;
    for number in stay {
        if number > from {
            close_range(from, number - 1)?;
        }
        from = number + 1;
    }
    close_range(from, RawFd::MAX)
}

fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: a system call on numbers; nobody in this process uses what is closed (see `arrange`).
    let answer =
        unsafe { libc::syscall(libc::SYS_close_range, first as libc::c_uint, last as libc::c_uint, 0) };
    if answer == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() != Some(libc::ENOSYS) {
        return Err(error);
    }
    // A kernel before 5.9.
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    for number in open.into_iter().filter(|number| (first..=last).contains(number)) {
        // SAFETY: as above. The directory that was listed is closed by now, which is an error without consequences.
        unsafe { libc::close(number) };
    }
    Ok(())
}

/// /dev/null, to read and to write.
pub(super) fn null() -> io::Result<OwnedFd> {
    let how = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    Ok(rustix::fs::open(c"/dev/null", how, rustix::fs::Mode::empty())?)
}
