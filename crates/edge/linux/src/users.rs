//! Users and groups of the host, as the C library finds them (files, LDAP and the rest).

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::process::{Gid, Uid};

/// The buffer for one entry never grows beyond this; a larger entry is an error.
const ENTRY_LIMIT_BYTES: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("there is no user '{0}' on this host")]
    Unknown(String),
    #[error("could not look up the user '{name}'")]
    Lookup { name: String, source: io::Error },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: PathBuf,
    pub shell: PathBuf,
}

/// Whom a program is to run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// All supplementary groups; the list replaces that of the caller.
    pub groups: Vec<u32>,
}

impl Identity {
    /// The user of this name or number, with its groups and these in addition.
    pub fn of(name: &str, more_groups: &[u32]) -> Result<Identity, UserError> {
        let user = find(name)?;
        let mut groups = groups_of(&user)?;
        groups.extend(more_groups);
        groups.sort_unstable();
        groups.dedup();
        Ok(Identity { uid: user.uid, gid: user.gid, groups })
    }

    /// The calling thread becomes this user for good, and so do the threads and programs it starts; nothing happens where
    /// it is that user already. For programs that do so before they start threads.
    pub fn assume(&self) -> io::Result<()> {
        if rustix::process::geteuid().as_raw() == self.uid {
            return Ok(());
        }
        let groups: Vec<Gid> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        rustix::thread::set_thread_groups(&groups)?;
        let gid = Gid::from_raw(self.gid);
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        let uid = Uid::from_raw(self.uid);
        Ok(rustix::thread::set_thread_res_uid(uid, uid, uid)?)
    }
}

/// The user of this name, or else of this number.
pub fn find(name: &str) -> Result<User, UserError> {
    let unknown = || UserError::Unknown(name.to_string());
    let wrong = |source| UserError::Lookup { name: name.to_string(), source };
    let text = CString::new(name).map_err(|_| unknown())?;
    // SAFETY: the four pointers and the length are those `entry` promises to be valid.
    let by_name = entry(|passwd, buffer, length, found| unsafe {
        libc::getpwnam_r(text.as_ptr(), passwd, buffer, length, found)
    });
    if let Some(user) = by_name.map_err(wrong)? {
        return Ok(user);
    }
    let number = name.parse::<u32>().map_err(|_| unknown())?;
    by_uid(number)?.ok_or_else(unknown)
}

/// The user of this number.
pub fn by_uid(uid: u32) -> Result<Option<User>, UserError> {
    // SAFETY: as above.
    let found = entry(|passwd, buffer, length, found| unsafe {
        libc::getpwuid_r(uid, passwd, buffer, length, found)
    });
    found.map_err(|source| UserError::Lookup { name: uid.to_string(), source })
}

/// Whether this process is root's.
pub fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

/// The name of the effective user of this process, or its number where it has no name.
pub fn current_name() -> String {
    let uid = rustix::process::geteuid().as_raw();
    match by_uid(uid) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

/// All groups of the user, its own first.
pub fn groups_of(user: &User) -> Result<Vec<u32>, UserError> {
    let wrong = |source| UserError::Lookup { name: user.name.clone(), source };
    let name = CString::new(user.name.as_str()).map_err(|_| UserError::Unknown(user.name.clone()))?;
    let mut groups = vec![0u32; 32];
    loop {
        let mut count = i32::try_from(groups.len()).unwrap_or(i32::MAX);
        // SAFETY: `groups` has room for `count` entries.
        let answer = unsafe { libc::getgrouplist(name.as_ptr(), user.gid, groups.as_mut_ptr(), &mut count) };
        let count = usize::try_from(count).unwrap_or(0);
        if answer >= 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        if count <= groups.len() || count > 65536 {
            return Err(wrong(io::Error::from(io::ErrorKind::InvalidData)));
        }
        groups.resize(count, 0);
    }
}

type Lookup<'a> =
    dyn FnMut(*mut libc::passwd, *mut libc::c_char, usize, *mut *mut libc::passwd) -> libc::c_int + 'a;

/// Calls one of the getpw..._r functions with a buffer that grows as it asks for.
fn entry(
    mut lookup: impl FnMut(*mut libc::passwd, *mut libc::c_char, usize, *mut *mut libc::passwd) -> libc::c_int,
) -> io::Result<Option<User>> {
    entry_of(&mut lookup)
}

fn entry_of(lookup: &mut Lookup<'_>) -> io::Result<Option<User>> {
    let mut buffer = vec![0; 1024];
    loop {
        let mut passwd = std::mem::MaybeUninit::<libc::passwd>::uninit();
        let mut found = std::ptr::null_mut();
        let code = lookup(passwd.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &mut found);
        match code {
            0 if found.is_null() => return Ok(None),
            0 => {
                // SAFETY: the lookup succeeded: `found` points to `passwd`, filled in with strings inside `buffer`.
                let passwd = unsafe { &*found };
                return Ok(Some(User {
                    name: text(passwd.pw_name).to_string_lossy().into_owned(),
                    uid: passwd.pw_uid,
                    gid: passwd.pw_gid,
                    home: PathBuf::from(text(passwd.pw_dir)),
                    shell: PathBuf::from(text(passwd.pw_shell)),
                }));
            }
            libc::ERANGE if buffer.len() < ENTRY_LIMIT_BYTES => buffer.resize(buffer.len() * 4, 0),
            libc::EINTR => {}
            // Some sources answer so for a user they do not have.
            libc::ENOENT | libc::ESRCH => return Ok(None),
            code => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}

fn text<'a>(pointer: *const libc::c_char) -> &'a OsStr {
    if pointer.is_null() {
        return OsStr::new("");
    }
    // SAFETY: a string of a passwd entry: ends with NUL and lives as long as the entry's buffer, which outlives the use.
    OsStr::from_bytes(unsafe { CStr::from_ptr(pointer) }.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_by_name_and_by_number() {
        let root = find("root").unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(find("0").unwrap(), root);
        assert!(groups_of(&root).unwrap().contains(&0));
        assert_eq!(
            Identity::of("root", &[7, 7]).unwrap().groups.iter().filter(|group| **group == 7).count(),
            1
        );
    }

    #[test]
    fn an_unknown_user_is_named() {
        assert_eq!(
            find("no-such-user").unwrap_err().to_string(),
            "there is no user 'no-such-user' on this host"
        );
        assert!(find("4294967290").is_err());
        assert!(find("a\0b").is_err());
        assert!(find("").is_err());
    }
}
