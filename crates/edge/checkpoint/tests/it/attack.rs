//! Every kind of damage to every file of the meta directory, by seeds: the reader ends with an error that names the file, or
//! with what is right. What it cannot know is a flipped bit that leaves a valid message, as the format has no
//! checksums: then all that is in another file is still right.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use messor_agent_core::{Record, Recovered};
use messor_checkpoint::{Expectation, read};
use messor_stdx::Random;

use crate::recovery::{task, update, write};
use crate::{BOOT_ID, Bench, quick_folder, strict, tree};

fn copy(from: &Path, to: &Path) {
    for (path, content) in tree(from) {
        let (source, target) = (from.join(&path), to.join(&path));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        let kind = fs::symlink_metadata(&source).unwrap().file_type();
        if kind.is_symlink() {
            std::os::unix::fs::symlink(PathBuf::from(String::from_utf8(content).unwrap()), &target).unwrap();
        } else if kind.is_dir() {
            fs::create_dir_all(&target).unwrap();
        } else {
            fs::write(&target, content).unwrap();
        }
    }
}

#[derive(Debug)]
enum Damage {
    Flip { at: usize, bit: u8 },
    Cut { to: usize },
    Zeros { from: usize },
    Garbage,
    Longer,
    Gone,
    Directory,
}

fn damage(path: &Path, random: &mut Random) -> Damage {
    let bytes = fs::read(path).unwrap();
    let at = random.below(bytes.len() as u64) as usize;
    let damage = match random.below(if bytes.is_empty() { 3 } else { 9 }) {
        0 => Damage::Gone,
        1 => Damage::Directory,
        2 => Damage::Longer,
        3 => Damage::Garbage,
        4 => Damage::Zeros { from: at },
        5 | 6 => Damage::Cut { to: at },
        _ => Damage::Flip { at, bit: 1 << random.below(8) },
    };
    let mut new = bytes.clone();
    match &damage {
        Damage::Flip { at, bit } => new[*at] ^= bit,
        Damage::Cut { to } => new.truncate(*to),
        Damage::Zeros { from } => new[*from..].fill(0),
        Damage::Garbage => new.iter_mut().for_each(|byte| *byte = random.next() as u8),
        Damage::Longer => new.extend((0..1 + random.below(5000)).map(|_| random.next() as u8)),
        Damage::Gone | Damage::Directory => {
            fs::remove_file(path).unwrap();
            if matches!(damage, Damage::Directory) {
                fs::create_dir(path).unwrap();
            }
            return damage;
        }
    }
    fs::write(path, new).unwrap();
    damage
}

/// What there is of each task, and what the agent is.
fn seen(recovered: &Recovered) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    let Some(agent) = &recovered.agent else { return seen };
    seen.insert("agent".to_string(), format!("{:?} {:?}", agent.id, agent.info));
    for framework in &agent.frameworks {
        for executor in &framework.executors {
            for run in &executor.runs {
                for task in &run.tasks {
                    let name = &task.task.task_id.value;
                    seen.insert(format!("task {name}"), format!("{:?}", task.task));
                    seen.insert(format!("updates {name}"), format!("{:?}", task.updates));
                }
            }
        }
    }
    seen
}

fn attack(whole: &Path, seed: u64) -> (bool, usize) {
    let mut random = Random::new(seed);
    let work = quick_folder();
    copy(whole, work.path());
    let is_file = |path: &PathBuf| fs::symlink_metadata(whole.join(path)).unwrap().is_file();
    let files: Vec<PathBuf> = tree(whole).into_keys().filter(is_file).collect();
    let hit = &files[random.below(files.len() as u64) as usize];
    let done = damage(&work.path().join(hit), &mut random);
    let what = format!("seed {seed}: {} {done:?}", hit.display());

    let right = seen(&strict(whole).unwrap());
    let again = quick_folder();
    copy(work.path(), again.path());
    let strict = strict(work.path());
    if let Err(error) = &strict {
        assert!(error.to_string().contains(hit.to_str().unwrap()), "{what}: {error}");
    }
    let allowed = read(again.path(), Expectation { strict: false, boot_id: BOOT_ID });
    let allowed = allowed.unwrap_or_else(|error| {
        assert!(error.to_string().contains(hit.to_str().unwrap()), "{what}: {error}");
        Recovered::default()
    });
    let mut differences = 0;
    for found in strict.iter().chain([&allowed]) {
        for (key, value) in seen(found) {
            let Some(before) = right.get(&key) else { panic!("{what}: {key} was never there") };
            if *before != value {
                differences += 1;
                // Only what is in the damaged file may differ.
                let name = key.rsplit(' ').next().unwrap();
                let own = match key.as_str() {
                    "agent" => hit.ends_with("slave.info"),
                    key if key.starts_with("updates") => hit.ends_with(format!("{name}/task.updates")),
                    _ => hit.ends_with(format!("{name}/task.info")),
                };
                assert!(own, "{what}: {key} is {value}, was {before}");
            }
        }
    }
    // It does as well what it did before, and what comes next is read again.
    if strict.is_ok() && seen(strict.as_ref().unwrap()).len() == right.len() {
        let mut bench = Bench::after(work.path(), Some("S0"), Vec::new());
        bench.record(update("c2", "t", 77));
        if bench.outcomes()[0].is_ok() {
            let later = crate::strict(work.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
            let updates = &seen(&later)["updates t"];
            assert!(updates.contains("77, 77"), "{what}: {updates}");
        }
    }
    (strict.is_err(), differences)
}

#[test]
fn damage_is_told_or_left_out() {
    let whole = quick_folder();
    write(whole.path());
    let mut bench = Bench::after(whole.path(), Some("S0"), Vec::new());
    for record in [task("c2", "other"), update("c2", "other", 9)] {
        bench.record(record);
    }
    bench.record(Record::Resources { resources: Vec::new(), operations: Vec::new() });
    bench.all_good();
    let (mut refused, mut differed) = (0, 0);
    let seeds = match std::env::var("ATTACK_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..600,
    };
    for seed in seeds.clone() {
        let (error, differences) = attack(whole.path(), seed);
        refused += usize::from(error);
        differed += usize::from(differences > 0);
    }
    println!("{refused} refused, {differed} with other content");
    assert!(seeds.end - seeds.start == 1 || refused > 150, "{refused}");
}
