//! Loading compiled seccomp filters into the calling process.

use std::io;

use super::process::Seccomp;

pub(super) fn load(seccomp: &Seccomp) -> io::Result<()> {
    for program in &seccomp.programs {
        // `struct sock_filter`: a code, two jumps and a value, in these eight bytes.
        let mut instructions: Vec<libc::sock_filter> = Vec::with_capacity(program.len());
        for word in program {
            let [a, b, jt, jf, k @ ..] = word.to_ne_bytes();
            let code = u16::from_ne_bytes([a, b]);
            instructions.push(libc::sock_filter { code, jt, jf, k: u32::from_ne_bytes(k) });
        }
        let length = u16::try_from(instructions.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let filter = libc::sock_fprog { len: length, filter: instructions.as_mut_ptr() };
        // SAFETY: the structure and the instructions it points to live until the call is over; the kernel checks them.
        let answer =
            unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter, 0, 0) };
        if answer != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
