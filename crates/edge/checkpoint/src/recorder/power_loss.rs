//! The host loses its power between any two steps of the recorder: what was answered for is there afterwards, and what
//! was not is there whole or not at all.
//!
//! The steps are really carried out, and noted; from the notes it is reckoned what may be left: a file keeps what was
//! synced and, of the rest, a part, or zeros, or nothing; a name in a directory is as it was at the directory's last
//! sync, or as it is now, each by itself. What is left is then made as real files, and read.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use messor_agent_core::{Connection, Record, Recovered};
use messor_proto::mesos::internal::StatusUpdateRecord;
use messor_proto::mesos::{AgentInfo, ExecutorInfo, FrameworkInfo, Task};
use messor_stdx::Random;
use messor_types::{AgentId, ContainerId, ExecutorId, FrameworkId, TaskId};

use super::Writer;
use crate::layout::Layout;
use crate::{Expectation, read};

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Directory { path: PathBuf },
    Create { path: PathBuf, inode: u64, bytes: Vec<u8> },
    Append { path: PathBuf, inode: u64, bytes: Vec<u8> },
    SyncFile { inode: u64 },
    Rename { from: PathBuf, to: PathBuf },
    Link { path: PathBuf, target: PathBuf },
    Remove { path: PathBuf },
    SyncDirectory { path: PathBuf },
}

thread_local! {
    static NOTES: RefCell<Vec<Op>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn note(op: Op) {
    NOTES.with_borrow_mut(|notes| notes.push(op));
}

#[derive(Clone, Debug, PartialEq)]
enum Entry {
    Directory,
    /// An index into the files.
    File(usize),
    Link(PathBuf),
}

#[derive(Default)]
struct File {
    bytes: Vec<u8>,
    /// So much of it is safe.
    synced: usize,
}

/// What is on a disk, and what of it would be there without power.
#[derive(Default)]
struct Disk {
    files: Vec<File>,
    inodes: BTreeMap<u64, usize>,
    now: BTreeMap<PathBuf, Entry>,
    safe: BTreeMap<PathBuf, Entry>,
}

impl Disk {
    fn carry_out(&mut self, op: &Op) {
        match op.clone() {
            Op::Directory { path } => {
                self.now.entry(path).or_insert(Entry::Directory);
            }
            Op::Create { path, inode, bytes } => {
                let file = self.file(path, inode);
                self.files[file] = File { bytes, synced: 0 };
            }
            Op::Append { path, inode, bytes } => {
                let file = self.file(path, inode);
                self.files[file].bytes.extend(bytes);
            }
            Op::SyncFile { inode } => {
                let file = &mut self.files[self.inodes[&inode]];
                file.synced = file.bytes.len();
            }
            Op::Rename { from, to } => {
                let entry = self.now.remove(&from).expect("what is renamed is there");
                self.now.insert(to, entry);
            }
            Op::Link { path, target } => {
                self.now.insert(path, Entry::Link(target));
            }
            Op::Remove { path } => self.now.retain(|other, _| !other.starts_with(&path)),
            Op::SyncDirectory { path } => {
                let is_in = |other: &PathBuf| other.parent() == Some(&path);
                let gone: BTreeSet<PathBuf> = self
                    .safe
                    .keys()
                    .filter(|other| is_in(other) && !self.now.contains_key(*other))
                    .cloned()
                    .collect();
                self.safe.retain(|other, _| !gone.iter().any(|gone| other.starts_with(gone)));
                let there = self.now.iter().filter(|(other, _)| is_in(other));
                self.safe.extend(there.map(|(path, entry)| (path.clone(), entry.clone())));
            }
        }
    }

    fn file(&mut self, path: PathBuf, inode: u64) -> usize {
        if let Some(Entry::File(file)) = self.now.get(&path) {
            return *file;
        }
        // The number may have been another file's, which is gone by now.
        self.files.push(File::default());
        let file = self.files.len() - 1;
        self.inodes.insert(inode, file);
        self.now.insert(path, Entry::File(file));
        file
    }

    /// Makes what is left below another root.
    fn lose_power(&self, random: &mut Random, from: &Path, to: &Path) {
        let all: BTreeSet<&PathBuf> = self.now.keys().chain(self.safe.keys()).collect();
        for path in all {
            let (now, safe) = (self.now.get(path), self.safe.get(path));
            let Some(entry) = (if random.one_in(2) { now } else { safe }) else { continue };
            let place = to.join(path.strip_prefix(from).expect("below the work directory"));
            // A directory that was not there yet takes with it what is in it.
            if !place.parent().expect("it has one").is_dir() {
                continue;
            }
            match entry {
                Entry::Directory => fs::create_dir(&place).unwrap(),
                Entry::Link(target) => std::os::unix::fs::symlink(target, &place).unwrap(),
                Entry::File(file) => fs::write(&place, self.files[*file].left(random)).unwrap(),
            }
        }
    }
}

impl File {
    fn left(&self, random: &mut Random) -> Vec<u8> {
        let (safe, rest) = self.bytes.split_at(self.synced);
        let part = &rest[..random.below(rest.len() as u64 + 1) as usize];
        match random.below(3) {
            0 => safe.to_vec(),
            1 => [safe, part].concat(),
            _ => [safe, &vec![0; part.len()]].concat(),
        }
    }
}

const BOOT_ID: &str = "boot";

fn framework() -> FrameworkId {
    FrameworkId::new("F")
}

fn record(random: &mut Random, steps: &mut BTreeMap<(u64, u64), u8>) -> Vec<Record> {
    let executor = random.below(3);
    let (id, container) =
        (ExecutorId::new(&format!("e{executor}")), ContainerId::new(&format!("c{executor}")));
    let task = random.below(3);
    let task_id = TaskId::new(&format!("t{task}"));
    if let Some(count) = steps.get_mut(&(executor, task)) {
        *count += 1;
        return vec![Record::Update {
            framework: framework(),
            executor: id,
            container,
            task: task_id,
            record: Box::new(StatusUpdateRecord { r#type: 1, uuid: Some(vec![*count; 16]), update: None }),
        }];
    }
    let is_new = !steps.keys().any(|(other, _)| *other == executor);
    steps.insert((executor, task), 0);
    let mut records = Vec::new();
    if is_new {
        let info = ExecutorInfo { executor_id: (&id).into(), ..ExecutorInfo::default() };
        records.push(Record::Executor {
            framework: framework(),
            executor: id.clone(),
            info: Box::new(info),
            container: container.clone(),
            command_executor: true,
        });
        records.push(Record::ExecutorConnection {
            framework: framework(),
            executor: id.clone(),
            container: container.clone(),
            connection: Connection::Http,
        });
    }
    records.push(Record::Task {
        framework: framework(),
        executor: id,
        container,
        task: Box::new(Task { task_id: (&task_id).into(), ..Task::default() }),
    });
    records
}

/// Tasks and their updates, of what is there.
fn tasks(recovered: &Recovered) -> BTreeMap<(String, String), Vec<u8>> {
    let agents = recovered.agent.iter();
    let executors = agents.flat_map(|agent| &agent.frameworks).flat_map(|framework| &framework.executors);
    let found = executors.flat_map(|executor| {
        let runs = executor.runs.iter().flat_map(|run| &run.tasks);
        runs.map(|task| {
            let uuid = |update: &StatusUpdateRecord| update.uuid.as_ref().unwrap()[0];
            let key = (executor.id.as_str().to_string(), task.task.task_id.value.clone());
            (key, task.updates.iter().map(uuid).collect())
        })
    });
    found.collect()
}

/// In memory where that can be: very many files are made, and nobody pulls the plug.
fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn run(seed: u64) {
    let mut random = Random::new(seed);
    let work = quick_folder();
    let mut writer = Writer {
        work_dir: work.path().to_path_buf(),
        layout: Layout::new(work.path()),
        agent: None,
        resources: Vec::new(),
        boot_id: BOOT_ID.to_string(),
        safe: Default::default(),
        removed: Box::new(|_| ()),
        has_failed: false,
    };
    NOTES.with_borrow_mut(Vec::clear);
    let mut steps = BTreeMap::new();
    // After so many notes this much was answered for.
    let mut promised = vec![(0, BTreeMap::new())];
    for batch in 0..6 {
        let mut records = Vec::new();
        if batch == 0 {
            let info = AgentInfo { hostname: "h".into(), ..AgentInfo::default() };
            records.push(Record::Agent { id: AgentId::new("S0"), info: Box::new(info) });
            let info = FrameworkInfo { name: "f".into(), ..FrameworkInfo::default() };
            records.push(Record::Framework { id: framework(), info: Box::new(info), pid: None });
            records.push(Record::Boot);
        }
        for _ in 0..random.below(8) {
            records.extend(record(&mut random, &mut steps));
        }
        let answer: super::Answer = Box::new(|_, outcome| outcome.unwrap());
        writer.make_durable(records.into_iter().map(|record| (0, record)).collect(), &answer);
        promised.push((NOTES.with_borrow(Vec::len), steps.clone()));
    }
    let notes = NOTES.with_borrow_mut(std::mem::take);
    let mut disk = Disk::default();
    // The work directory is there before there is an agent.
    for (at, op) in notes.iter().enumerate() {
        disk.carry_out(op);
        if !random.one_in(3) {
            continue;
        }
        let left = quick_folder();
        disk.lose_power(&mut random, work.path(), left.path());
        let expectation = Expectation { strict: true, boot_id: BOOT_ID };
        let recovered = read(left.path(), expectation)
            .unwrap_or_else(|error| panic!("seed {seed}, after step {at} ({op:?}): {error}"));
        let found = tasks(&recovered);
        let answered = &promised.iter().rev().find(|(notes, _)| *notes <= at + 1).unwrap().1;
        for ((executor, task), count) in answered {
            let key = (format!("e{executor}"), format!("t{task}"));
            let updates = found.get(&key);
            let there = updates.is_some_and(|updates| updates.len() >= usize::from(*count));
            assert!(there, "seed {seed}, after step {at}: {key:?} had {count} updates, is {updates:?}");
        }
        for (key, updates) in found {
            assert!(updates.iter().copied().eq(1..=updates.len() as u8), "seed {seed}: {key:?}: {updates:?}");
        }
    }
}

/// `POWER_LOSS_SEED=7` runs one seed alone.
#[test]
fn what_was_answered_for_survives_a_loss_of_power() {
    let seeds = match std::env::var("POWER_LOSS_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..40,
    };
    seeds.for_each(run);
}
