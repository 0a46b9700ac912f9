//! Resource limits of a process, by the names of `RLimitInfo`. It must not know the protobuf.

use std::io;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    #[error("'{0}' is not a resource limit known to Linux: use a name such as RLMT_NOFILE")]
    Name(String),
    #[error("the limit '{0}' has only one of 'soft' and 'hard': give both, or neither for no limit")]
    OneSided(String),
}

/// One limit, ready to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub(crate) resource: libc::__rlimit_resource_t,
    pub soft: u64,
    pub hard: u64,
}

impl Limit {
    /// A limit from the fields of `RLimitInfo.RLimit`: with neither bound there is no limit.
    pub fn new(name: &str, soft: Option<u64>, hard: Option<u64>) -> Result<Limit, LimitError> {
        let resource = resource(name).ok_or_else(|| LimitError::Name(name.to_string()))?;
        match (soft, hard) {
            (Some(soft), Some(hard)) => Ok(Limit { resource, soft, hard }),
            (None, None) => Ok(Limit { resource, soft: libc::RLIM_INFINITY, hard: libc::RLIM_INFINITY }),
            _ => Err(LimitError::OneSided(name.to_string())),
        }
    }

    /// The same from the kernel's number, which [`Limit::resource`] gave.
    pub fn of_resource(resource: u32, soft: u64, hard: u64) -> Limit {
        Limit { resource, soft, hard }
    }

    pub fn resource(&self) -> u32 {
        self.resource
    }

    /// Sets it for the calling process.
    pub fn set(&self) -> io::Result<()> {
        let value = libc::rlimit { rlim_cur: self.soft, rlim_max: self.hard };
        // SAFETY: `value` is a valid rlimit to be read.
        if unsafe { libc::setrlimit(self.resource, &value) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// What the limit of this name is in the calling process.
    pub fn current(name: &str) -> Result<Limit, LimitError> {
        let resource = resource(name).ok_or_else(|| LimitError::Name(name.to_string()))?;
        let mut found = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `found` is a valid rlimit to be written.
        let failed = unsafe { libc::getrlimit(resource, &mut found) } != 0;
        assert!(!failed, "getrlimit of a known resource: {}", io::Error::last_os_error());
        Ok(Limit { resource, soft: found.rlim_cur, hard: found.rlim_max })
    }
}

fn resource(name: &str) -> Option<libc::__rlimit_resource_t> {
    Some(match name {
        "RLMT_AS" => libc::RLIMIT_AS,
        "RLMT_CORE" => libc::RLIMIT_CORE,
        "RLMT_CPU" => libc::RLIMIT_CPU,
        "RLMT_DATA" => libc::RLIMIT_DATA,
        "RLMT_FSIZE" => libc::RLIMIT_FSIZE,
        "RLMT_LOCKS" => libc::RLIMIT_LOCKS,
        "RLMT_MEMLOCK" => libc::RLIMIT_MEMLOCK,
        "RLMT_MSGQUEUE" => libc::RLIMIT_MSGQUEUE,
        "RLMT_NICE" => libc::RLIMIT_NICE,
        "RLMT_NOFILE" => libc::RLIMIT_NOFILE,
        "RLMT_NPROC" => libc::RLIMIT_NPROC,
        "RLMT_RSS" => libc::RLIMIT_RSS,
        "RLMT_RTPRIO" => libc::RLIMIT_RTPRIO,
        "RLMT_RTTIME" => libc::RLIMIT_RTTIME,
        "RLMT_SIGPENDING" => libc::RLIMIT_SIGPENDING,
        "RLMT_STACK" => libc::RLIMIT_STACK,
        _ => return None,
    })
}

/// Allows this process as many open files as it may allow itself.
pub fn raise_open_files() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit to be written.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a valid rlimit to be read.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bounds() {
        let limit = Limit::new("RLMT_NOFILE", Some(64), Some(128)).unwrap();
        assert_eq!((limit.resource, limit.soft, limit.hard), (libc::RLIMIT_NOFILE, 64, 128));
        assert_eq!(Limit::new("RLMT_CORE", None, None).unwrap().hard, libc::RLIM_INFINITY);
        assert_eq!(Limit::new("NOFILE", None, None), Err(LimitError::Name("NOFILE".into())));
        assert_eq!(Limit::new("RLMT_AS", Some(1), None), Err(LimitError::OneSided("RLMT_AS".into())));
        assert!(Limit::current("RLMT_NOFILE").unwrap().hard > 0);
    }
}
