//! Processes as /proc tells of them, and sums over a tree of them. It must not know what they run.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

/// A command line is read no further than this.
const COMMAND_LIMIT_BYTES: u64 = 4096;

/// And an environment no further than this; the kernel takes 6 MB at most.
const ENVIRONMENT_LIMIT_BYTES: u64 = 8 * 1024 * 1024;

/// One process at the time it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    /// The letter of /proc: R, S, D, T, Z...
    pub state: char,
    /// The name of the executable, cut by the kernel to 15 bytes.
    pub name: String,
    pub user_time: Duration,
    pub system_time: Duration,
    pub threads: u64,
    /// Clock ticks after the boot of the host; with the pid it names a process for good.
    pub start_ticks: u64,
    pub resident_bytes: u64,
}

impl Process {
    /// It has ended and waits for its parent to take notice.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// The process of this number; nothing when there is none.
pub fn process(pid: i32) -> io::Result<Option<Process>> {
    // A status line is some 300 bytes long.
    let mut buffer = [0u8; 1024];
    let mut length = 0;
    let mut file = match File::open(format!("/proc/{pid}/stat")) {
        Ok(file) => file,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    loop {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    parse(&String::from_utf8_lossy(&buffer[..length]), ticks_per_second(), page_bytes()).map(Some).ok_or_else(
        || io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat has an unknown form")),
    )
}

/// Every process of the host (of its pid namespace).
pub fn processes() -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for pid in pids()? {
        found.extend(process(pid)?);
    }
    Ok(found)
}

/// The numbers of all of them.
pub fn pids() -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(found)
}

/// The group that a process is in (0: that of threads of the kernel); None where the kernel does not say it, or there is
/// no such process.
pub fn group(pid: i32) -> Option<i32> {
    // SAFETY: a number goes in, and one comes out.
    Some(unsafe { libc::getpgid(pid) }).filter(|group| *group >= 0)
}

/// And its session.
pub fn session(pid: i32) -> Option<i32> {
    // SAFETY: as above.
    Some(unsafe { libc::getsid(pid) }).filter(|session| *session >= 0)
}

/// How often the list of children is read anew while it changes.
const LIST_READS: usize = 8;

/// The children of a process, zombies too. A process of which there is none has none.
pub fn children(pid: i32) -> io::Result<Vec<Process>> {
    let Some(listed) = child_pids(pid)? else {
        // The kernel has no such list (CONFIG_PROC_CHILDREN).
        return Ok(processes()?.into_iter().filter(|process| process.parent == pid).collect());
    };
    let mut found = Vec::new();
    for child in listed {
        found.extend(process(child)?.filter(|process| process.parent == pid));
    }
    Ok(found)
}

/// The numbers of a process's children, zombies too; None where the kernel does not list them.
pub fn child_pids(pid: i32) -> io::Result<Option<Vec<i32>>> {
    let mut listed = listed_children(pid)?;
    for _ in 0..LIST_READS {
        // While one of them is reaped the kernel may leave out its neighbour.
        let again = listed_children(pid)?;
        if again == listed {
            break;
        }
        listed = again;
    }
    Ok(listed)
}

/// As the threads of a process have them; None where the kernel does not say it.
fn listed_children(pid: i32) -> io::Result<Option<Vec<i32>>> {
    let threads = match std::fs::read_dir(format!("/proc/{pid}/task")) {
        Ok(threads) => threads,
        Err(error) if is_gone(&error) => return Ok(Some(Vec::new())),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for thread in threads {
        let thread = match thread {
            Ok(thread) => thread.path(),
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error),
        };
        match std::fs::read_to_string(thread.join("children")) {
            Ok(text) => found.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok())),
            Err(error) if is_gone(&error) && thread.exists() => return Ok(None),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_unstable();
    Ok(Some(found))
}

/// The command line, with spaces between the arguments, as far as it can be read.
pub fn command_line(pid: i32) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/cmdline"))
        .ok()?
        .take(COMMAND_LIMIT_BYTES)
        .read_to_end(&mut bytes)
        .ok()?;
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    for byte in &mut bytes {
        if *byte == 0 {
            *byte = b' ';
        }
    }
    Some(std::ffi::OsString::from_vec(bytes).to_string_lossy().into_owned())
}

/// Whether a process was started with this text in its arguments or its environment, or works in a directory of that
/// name. What cannot be read (it is another user's, or gone) is not there.
pub fn mentions(pid: i32, text: &str) -> bool {
    let holds = |bytes: &[u8]| bytes.windows(text.len().max(1)).any(|window| window == text.as_bytes());
    let read = |name: &str| {
        let mut bytes = Vec::new();
        let file = File::open(format!("/proc/{pid}/{name}"));
        file.and_then(|file| file.take(ENVIRONMENT_LIMIT_BYTES).read_to_end(&mut bytes)).map(|_| bytes)
    };
    let directory = std::fs::read_link(format!("/proc/{pid}/cwd"));
    directory.is_ok_and(|directory| holds(directory.as_os_str().as_bytes()))
        || ["cmdline", "environ"].iter().any(|name| read(name).is_ok_and(|bytes| holds(&bytes)))
}

/// The first variable that `wanted` takes, of those that each process without a parent of its own any more was
/// started with.
pub fn adopted<T>(wanted: impl Fn(&[u8]) -> Option<T>) -> io::Result<Vec<(i32, T)>> {
    let found = std::cell::RefCell::new(Vec::new());
    let all = orphans(|variable| match wanted(variable) {
        Some(value) => {
            found.borrow_mut().push(value);
            true
        }
        None => false,
    })?;
    Ok(all.into_iter().zip(found.into_inner()).collect())
}

/// Processes without a parent of their own any more: adopted by the first process, or by one that the caller descends
/// from. `started_with` says whether one is meant, by the variables it was started with.
pub fn orphans(started_with: impl Fn(&[u8]) -> bool) -> io::Result<Vec<i32>> {
    let mut adopters = BTreeSet::from([1]);
    let mut pid = i32::try_from(std::process::id()).unwrap_or(1);
    while let Some(process) = process(pid)?.filter(|process| adopters.insert(process.parent)) {
        pid = process.parent;
    }
    let is_meant = |pid: i32| {
        let mut bytes = Vec::new();
        // What cannot be read is another user's, or gone.
        let Ok(file) = File::open(format!("/proc/{pid}/environ")) else { return false };
        file.take(ENVIRONMENT_LIMIT_BYTES).read_to_end(&mut bytes).is_ok()
            && bytes.split(|byte| *byte == 0).any(&started_with)
    };
    let mut found = Vec::new();
    for adopter in adopters.into_iter().filter(|pid| *pid > 0) {
        let adopted = children(adopter)?.into_iter().filter(|process| !process.is_zombie());
        found.extend(adopted.map(|process| process.pid).filter(|pid| is_meant(*pid)));
    }
    found.sort_unstable();
    Ok(found)
}

/// The number of descriptors the calling process has open.
pub fn open_descriptors() -> io::Result<usize> {
    // One of them is that of the listing.
    Ok(std::fs::read_dir("/proc/self/fd")?.count().saturating_sub(1))
}

/// What a tree of processes uses, as far as it still runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub user_time: Duration,
    pub system_time: Duration,
    pub resident_bytes: u64,
    pub processes: u64,
    pub threads: u64,
}

/// The sum over a process and all below it. With `processes` taken once, any number of trees can be asked for.
pub fn tree_usage(processes: &[Process], root: i32) -> Usage {
    let members = descendants(processes, root);
    let mut usage = Usage::default();
    for process in processes.iter().filter(|process| members.contains(&process.pid)) {
        usage.user_time += process.user_time;
        usage.system_time += process.system_time;
        usage.resident_bytes += process.resident_bytes;
        usage.processes += 1;
        usage.threads += process.threads;
    }
    usage
}

/// The process and all below it, by parents.
pub fn descendants(processes: &[Process], root: i32) -> BTreeSet<i32> {
    let mut members = BTreeSet::new();
    let mut waiting = vec![root];
    while let Some(pid) = waiting.pop() {
        if processes.iter().any(|process| process.pid == pid) && members.insert(pid) {
            waiting
                .extend(processes.iter().filter(|process| process.parent == pid).map(|process| process.pid));
        }
    }
    members
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

fn ticks_per_second() -> u64 {
    // SAFETY: sysconf only reads a constant.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100).max(1)
}

fn page_bytes() -> u64 {
    // SAFETY: as above.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

fn parse(line: &str, ticks_per_second: u64, page_bytes: u64) -> Option<Process> {
    // The name stands in parentheses and may hold any character, parentheses too.
    let (pid, rest) = line.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Fields are numbered from 1 in proc(5), and `fields` begins with the third.
    let field = |number: usize| fields.get(number - 3).copied();
    let time = |ticks: u64| Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / ticks_per_second));
    Some(Process {
        pid: pid.parse().ok()?,
        name: name.to_string(),
        state: field(3)?.chars().next()?,
        parent: field(4)?.parse().ok()?,
        group: field(5)?.parse().ok()?,
        session: field(6)?.parse().ok()?,
        user_time: time(field(14)?.parse().ok()?),
        system_time: time(field(15)?.parse().ok()?),
        threads: field(20)?.parse().ok()?,
        start_ticks: field(22)?.parse().ok()?,
        resident_bytes: field(24)?.parse::<u64>().ok()?.saturating_mul(page_bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "42 (a) (b c) S 7 40 39 0 -1 4194560 1 2 3 4 150 25 5 6 20 0 3 0 9876 1000000 12 184 0 0 0\n";

    #[test]
    fn a_status_line_with_parentheses_in_its_name() {
        let process = parse(LINE, 100, 4096).unwrap();
        assert_eq!((process.pid, process.parent, process.group, process.session), (42, 7, 40, 39));
        assert_eq!((process.name.as_str(), process.state, process.threads), ("a) (b c", 'S', 3));
        assert_eq!(
            (process.user_time, process.system_time),
            (Duration::from_millis(1500), Duration::from_millis(250))
        );
        assert_eq!((process.start_ticks, process.resident_bytes), (9876, 12 * 4096));
        assert_eq!(parse("42 (a) S 7", 100, 4096), None);
        assert_eq!(parse("", 100, 4096), None);
    }

    #[test]
    fn this_process_is_there() {
        let me = i32::try_from(std::process::id()).unwrap();
        let found = process(me).unwrap().unwrap();
        assert!(found.resident_bytes > 0 && found.threads > 0 && !found.is_zombie());
        assert!(processes().unwrap().iter().any(|process| process.pid == me));
        assert!(command_line(me).unwrap().contains("linux"));
        assert_eq!(process(i32::MAX).unwrap(), None);
        assert!(open_descriptors().unwrap() >= 3);
        let here = std::env::current_dir().unwrap();
        assert!(mentions(me, here.to_str().unwrap()) && mentions(me, "PATH="));
        assert!(!mentions(me, "8e1d7b0c-9a4f-4f0e-b0c6-nowhere") && !mentions(i32::MAX, ""));
    }

    #[test]
    fn children_are_those_of_all_threads_until_they_are_reaped() {
        let me = i32::try_from(std::process::id()).unwrap();
        let sleep = || std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut started = vec![sleep(), std::thread::spawn(sleep).join().unwrap()];
        let pids = |all: Vec<Process>| all.iter().map(|process| process.pid).collect::<BTreeSet<_>>();
        let expected: BTreeSet<i32> =
            started.iter().map(|child| i32::try_from(child.id()).unwrap()).collect();
        let by_walking = || processes().unwrap().into_iter().filter(|process| process.parent == me).collect();
        assert!(pids(children(me).unwrap()).is_superset(&expected));
        assert!(pids(by_walking()).is_superset(&expected));
        started.iter_mut().for_each(|child| child.kill().unwrap());
        for child in &mut started {
            child.wait().unwrap();
        }
        assert!(pids(children(me).unwrap()).is_disjoint(&expected));
        assert_eq!(children(i32::MAX).unwrap(), []);
    }

    #[test]
    fn usage_is_summed_over_the_tree_alone() {
        let process = |pid, parent| Process { pid, parent, ..parse(LINE, 100, 4096).unwrap() };
        let all = [process(1, 0), process(10, 1), process(11, 10), process(12, 11), process(20, 1)];
        let usage = tree_usage(&all, 10);
        assert_eq!((usage.processes, usage.threads, usage.resident_bytes), (3, 9, 3 * 12 * 4096));
        assert_eq!(usage.user_time, Duration::from_millis(4500));
        assert_eq!(tree_usage(&all, 99), Usage::default());
    }
}
