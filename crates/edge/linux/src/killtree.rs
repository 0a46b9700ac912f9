//! A signal to a whole tree of processes, those that slipped out of it included as far as they can be found.
//!
//! A member is what descends from a root by parents, or shares a process group or a session with a member. Members are
//! stopped as they are found, and the list is taken anew until a stopped tree shows nobody new: so nothing is forked
//! away in between. A process that forked twice *and* made its own session is found when the caller has made itself
//! the reaper of orphans ([`crate::wait::become_subreaper`]) and gives those it adopted as roots.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;

use rustix::process::{Pid, Signal};

use crate::procfs::{self, Process};

/// Whose relatives are asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// These, and what they started.
    pub pids: BTreeSet<i32>,
    /// These alone.
    pub bounds: BTreeSet<i32>,
    pub groups: BTreeSet<i32>,
    pub sessions: BTreeSet<i32>,
}

/// The process table: the kernel's, or a fake.
pub trait Processes {
    /// Those that are wanted, with what started `pids`. Others may be among them.
    fn list(&mut self, wanted: &Wanted) -> io::Result<Vec<Process>>;
    /// A process that is gone in the meantime is no error.
    fn signal(&mut self, pid: i32, signal: Signal) -> io::Result<()>;
}

/// The process table of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernel;

impl Processes for Kernel {
    /// A host has thousands of processes, and the kernel takes its time for what /proc tells of one: so that is read of
    /// relatives alone.
    fn list(&mut self, wanted: &Wanted) -> io::Result<Vec<Process>> {
        let mut found: BTreeMap<i32, Process> = BTreeMap::new();
        let mut waiting = Vec::new();
        let pids = procfs::pids()?;
        for pid in pids.iter().copied() {
            let is_bound = wanted.bounds.contains(&pid);
            // What the kernel does not say here is read from /proc.
            let is_near = is_bound
                || wanted.pids.contains(&pid)
                || procfs::group(pid).is_none_or(|group| wanted.groups.contains(&group))
                || procfs::session(pid).is_none_or(|session| wanted.sessions.contains(&session));
            if is_near && let Some(process) = procfs::process(pid)? {
                if !is_bound {
                    waiting.push(pid);
                }
                found.insert(pid, process);
            }
        }
        let mut walked: BTreeSet<i32> = wanted.bounds.clone();
        while let Some(pid) = waiting.pop() {
            if !walked.insert(pid) {
                continue;
            }
            // Children are those of threads: of many it is cheaper to look at every process.
            let threads = found.get(&pid).map_or(0, |process| process.threads);
            let is_dear = usize::try_from(threads).unwrap_or(usize::MAX) > pids.len();
            let children = if is_dear { None } else { procfs::child_pids(pid).ok().flatten() };
            let Some(children) = children else {
                return procfs::processes();
            };
            for child in children {
                found.extend(procfs::process(child)?.map(|process| (child, process)));
                waiting.push(child);
            }
        }
        let starters = found.values().filter(|process| wanted.pids.contains(&process.pid));
        let starters: BTreeSet<i32> = starters.map(|process| process.parent).collect();
        for starter in starters {
            found.extend(procfs::process(starter)?.map(|process| (starter, process)));
        }
        Ok(found.into_values().collect())
    }

    fn signal(&mut self, pid: i32, signal: Signal) -> io::Result<()> {
        let Some(pid) = Pid::from_raw(pid) else { return Ok(()) };
        match rustix::process::kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Which processes are meant.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Where the tree begins. A root that has ended still names the group and the session it led.
    pub roots: Vec<i32>,
    /// Never members, nor what descends from them, nor their groups and sessions: the caller itself and its helpers.
    pub spared: Vec<i32>,
}

/// A change seen this often without a new member ends the search, so that a fork under way is not missed.
const QUIET_ROUNDS: u32 = 2;

/// A tree that forks faster than it is stopped is given up on after so many rounds; what was found is signalled.
const ROUNDS_LIMIT: u32 = 64;

/// Sends `signal` to all of the tree and lets it go on. Answers with the members, as they were found.
pub fn kill_tree(processes: &mut dyn Processes, tree: &Tree, signal: Signal) -> io::Result<Vec<Process>> {
    let mut members: BTreeMap<i32, Process> = BTreeMap::new();
    let mut problem = None;
    let mut quiet = 0;
    for _ in 0..ROUNDS_LIMIT {
        let listed = match processes.list(&wanted(tree, &members)) {
            Ok(listed) => listed,
            Err(error) => {
                problem = Some(error);
                break;
            }
        };
        let before = members.len();
        for process in find(&listed, tree, &members) {
            // A process of another user cannot be stopped; the signal itself will tell the caller.
            let _ = processes.signal(process.pid, Signal::STOP);
            members.insert(process.pid, process);
        }
        quiet = if members.len() == before { quiet + 1 } else { 0 };
        if quiet == QUIET_ROUNDS {
            break;
        }
    }
    // Whatever went wrong, nobody is left stopped.
    for sent in [signal, Signal::CONT] {
        for pid in members.keys() {
            if let Err(error) = processes.signal(*pid, sent) {
                problem.get_or_insert(error);
            }
        }
    }
    match problem {
        Some(error) => Err(error),
        None => Ok(members.into_values().collect()),
    }
}

fn wanted(tree: &Tree, known: &BTreeMap<i32, Process>) -> Wanted {
    let mut wanted = Wanted {
        pids: tree.roots.iter().chain(known.keys()).copied().collect(),
        bounds: tree.spared.iter().copied().collect(),
        groups: tree.roots.iter().copied().collect(),
        sessions: tree.roots.iter().copied().collect(),
    };
    wanted.groups.extend(known.values().map(|process| process.group));
    wanted.sessions.extend(known.values().map(|process| process.session));
    wanted
}

/// The members among `listed` that are not yet known.
fn find(listed: &[Process], tree: &Tree, known: &BTreeMap<i32, Process>) -> Vec<Process> {
    let is_spared = |process: &Process| {
        process.pid <= 1
            || tree.spared.contains(&process.pid)
            || tree.spared.contains(&process.parent) && {
                // The caller's own children are members where they are roots.
                !tree.roots.contains(&process.pid) && !known.contains_key(&process.pid)
            }
    };
    let mut spared_groups = BTreeSet::from([0]);
    let mut spared_sessions = BTreeSet::from([0]);
    // What is spared, and what started a root, bounds the tree upwards.
    let starters =
        listed.iter().filter(|process| tree.roots.contains(&process.pid)).map(|process| process.parent);
    let bounds: BTreeSet<i32> = starters.chain(tree.spared.iter().copied()).collect();
    for process in listed.iter().filter(|process| bounds.contains(&process.pid)) {
        spared_groups.insert(process.group);
        spared_sessions.insert(process.session);
    }
    let mut groups: BTreeSet<i32> = BTreeSet::new();
    let mut sessions: BTreeSet<i32> = BTreeSet::new();
    let mut members: BTreeSet<i32> = tree.roots.iter().copied().collect();
    groups.extend(&tree.roots);
    sessions.extend(&tree.roots);
    for process in known.values() {
        members.insert(process.pid);
        groups.insert(process.group);
        sessions.insert(process.session);
    }
    let mut found: Vec<Process> = Vec::new();
    let mut taken: BTreeSet<i32> = known.keys().copied().collect();
    loop {
        let before = found.len();
        for process in listed {
            let related = members.contains(&process.pid)
                || members.contains(&process.parent)
                || groups.contains(&process.group) && !spared_groups.contains(&process.group)
                || sessions.contains(&process.session) && !spared_sessions.contains(&process.session);
            if !related || process.is_zombie() || is_spared(process) || !taken.insert(process.pid) {
                continue;
            }
            members.insert(process.pid);
            groups.insert(process.group);
            sessions.insert(process.session);
            found.push(process.clone());
        }
        if found.len() == before {
            return found;
        }
    }
}

/// The members for a log line: `12 (sh), 13 (sleep)`.
pub fn describe(members: &[Process]) -> String {
    let mut text = String::new();
    for process in members {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}{} ({})", process.pid, process.name);
    }
    if text.is_empty() { "no process".to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A process table that records signals. After each listing the processes of `births` whose parent still runs
    /// unstopped are born.
    #[derive(Default)]
    struct Fake {
        table: Vec<Process>,
        births: Vec<Process>,
        stopped: BTreeSet<i32>,
        sent: Vec<(i32, Signal)>,
        listings: usize,
        broken_after: Option<usize>,
    }

    impl Processes for Fake {
        fn list(&mut self, _: &Wanted) -> io::Result<Vec<Process>> {
            self.listings += 1;
            if self.broken_after.is_some_and(|after| self.listings > after) {
                return Err(io::Error::from(io::ErrorKind::PermissionDenied));
            }
            let seen = self.table.clone();
            let stopped = &self.stopped;
            let (born, unborn) =
                self.births.drain(..).partition(|process| !stopped.contains(&process.parent));
            self.births = unborn;
            self.table.extend::<Vec<Process>>(born);
            Ok(seen)
        }

        fn signal(&mut self, pid: i32, signal: Signal) -> io::Result<()> {
            if signal == Signal::STOP {
                self.stopped.insert(pid);
            }
            self.sent.push((pid, signal));
            Ok(())
        }
    }

    fn process(pid: i32, parent: i32, group: i32, session: i32) -> Process {
        Process {
            pid,
            parent,
            group,
            session,
            state: 'S',
            name: format!("p{pid}"),
            user_time: Duration::ZERO,
            system_time: Duration::ZERO,
            threads: 1,
            start_ticks: 0,
            resident_bytes: 0,
        }
    }

    fn killed(fake: &mut Fake, roots: &[i32], spared: &[i32]) -> Vec<i32> {
        let tree = Tree { roots: roots.to_vec(), spared: spared.to_vec() };
        kill_tree(fake, &tree, Signal::TERM).unwrap().iter().map(|process| process.pid).collect()
    }

    #[test]
    fn children_groups_and_sessions_are_found_and_nothing_above() {
        let table = vec![
            process(1, 0, 1, 1),
            process(5, 1, 5, 5),     // the executor
            process(10, 5, 10, 10),  // the task
            process(11, 10, 10, 10), // its child
            process(12, 1, 10, 10),  // forked twice: the session remains
            process(13, 1, 13, 10),  // a group of its own, the same session
            process(14, 11, 14, 14), // setsid, its parent lives
            process(15, 14, 14, 14),
            process(20, 5, 5, 5),   // a helper of the executor
            process(30, 1, 30, 30), // somebody else
        ];
        let mut fake = Fake { table, ..Fake::default() };
        assert_eq!(killed(&mut fake, &[10], &[5]), [10, 11, 12, 13, 14, 15]);
        let position = |pid, signal| fake.sent.iter().position(|sent| *sent == (pid, signal)).unwrap();
        for pid in [10, 11, 12, 13, 14, 15] {
            assert!(position(pid, Signal::STOP) < position(10, Signal::TERM), "all are stopped first");
            assert!(position(pid, Signal::TERM) < position(pid, Signal::CONT));
        }
    }

    #[test]
    fn an_adopted_orphan_with_its_own_session_is_a_root() {
        let table =
            vec![process(1, 0, 1, 1), process(5, 1, 5, 5), process(40, 5, 40, 40), process(41, 40, 40, 40)];
        let mut fake = Fake { table, ..Fake::default() };
        assert_eq!(killed(&mut fake, &[10, 40], &[5]), [40, 41]);
    }

    #[test]
    fn a_root_that_ended_names_its_session() {
        let table = vec![process(1, 0, 1, 1), process(12, 1, 10, 10), process(13, 1, 13, 13)];
        let mut fake = Fake { table, ..Fake::default() };
        assert_eq!(killed(&mut fake, &[10], &[]), [12]);
        let mut empty = Fake { table: vec![process(1, 0, 1, 1)], ..Fake::default() };
        assert_eq!(killed(&mut empty, &[10], &[]), [0; 0]);
    }

    #[test]
    fn a_root_in_the_group_of_its_parent_does_not_pull_the_parent_in() {
        let table = vec![process(1, 0, 1, 1), process(5, 1, 5, 5), process(10, 5, 5, 5), process(6, 1, 5, 5)];
        let mut fake = Fake { table, ..Fake::default() };
        assert_eq!(killed(&mut fake, &[10], &[]), [10]);
    }

    #[test]
    fn what_is_forked_during_the_search_is_found() {
        let table = vec![process(1, 0, 1, 1), process(10, 1, 10, 10)];
        let births = vec![process(11, 10, 11, 11), process(12, 11, 12, 12)];
        let mut fake = Fake { table, births, ..Fake::default() };
        assert_eq!(killed(&mut fake, &[10], &[]), [10, 11, 12]);
    }

    #[test]
    fn zombies_are_left_out() {
        let mut dead = process(10, 5, 10, 10);
        dead.state = 'Z';
        let mut fake =
            Fake { table: vec![process(5, 1, 5, 5), dead, process(11, 1, 10, 10)], ..Fake::default() };
        assert_eq!(killed(&mut fake, &[10], &[5]), [11]);
    }

    #[test]
    fn nobody_is_left_stopped_when_the_listing_fails() {
        let table = vec![process(1, 0, 1, 1), process(10, 1, 10, 10)];
        let mut fake = Fake { table, broken_after: Some(1), ..Fake::default() };
        let tree = Tree { roots: vec![10], spared: vec![] };
        assert!(kill_tree(&mut fake, &tree, Signal::KILL).is_err());
        assert_eq!(fake.sent, [(10, Signal::STOP), (10, Signal::KILL), (10, Signal::CONT)]);
    }

    #[test]
    fn the_kernel_lists_relatives_and_hardly_anybody_else() {
        // A child in a session of its own, one whose parent has ended, and one with a group of its own.
        let script = "setsid -w sleep 60 & (sleep 60 & exec true); set -m; sleep 60 & echo ready; wait";
        let mut command = std::process::Command::new("bash");
        command.args(["-c", script]).stdout(std::process::Stdio::piped());
        let mut root = std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn().unwrap();
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(root.stdout.take().unwrap()), &mut line).unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        let pid = i32::try_from(root.id()).unwrap();
        let tree = Tree { roots: vec![pid], spared: vec![me] };
        let sleeps = |all: &[Process]| all.iter().filter(|process| process.name == "sleep").count();
        // The one that setsid starts may need a moment.
        let members = loop {
            let found = find(&procfs::processes().unwrap(), &tree, &BTreeMap::new());
            if sleeps(&found) == 3 {
                break found;
            }
            std::thread::yield_now();
        };
        let listed = Kernel.list(&wanted(&tree, &BTreeMap::new())).unwrap();
        let near: BTreeSet<i32> = listed.iter().map(|process| process.pid).collect();
        assert!(
            members.len() >= 4 && members.iter().all(|process| near.contains(&process.pid)),
            "{listed:?}"
        );
        assert!(near.contains(&me), "what started it bounds the tree");
        assert!(!near.contains(&1) && near.len() <= members.len() + 1, "{listed:?}");
        let killed = kill_tree(&mut Kernel, &tree, Signal::KILL).unwrap();
        root.wait().unwrap();
        assert_eq!(sleeps(&killed), 3);
    }

    #[test]
    fn members_are_described() {
        assert_eq!(describe(&[process(1, 0, 1, 1), process(2, 0, 1, 1)]), "1 (p1), 2 (p2)");
        assert_eq!(describe(&[]), "no process");
    }
}
