//! Replays the corpus of every target, and what a little random change makes of it.

use std::path::Path;

fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut inputs: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.display().to_string(), std::fs::read(&path).unwrap())
        })
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs
}

/// Says which input it was when a target panics.
fn run(target: fn(&[u8]), from: &str, input: &[u8]) {
    let outcome = std::panic::catch_unwind(|| target(input));
    assert!(outcome.is_ok(), "failed on {:?}, made from {from}", String::from_utf8_lossy(input));
}

#[test]
fn the_corpus_holds() {
    for (name, target) in messor_fuzz::TARGETS {
        for (path, input) in corpus(name) {
            run(*target, &path, &input);
        }
    }
}

#[test]
fn changed_inputs_hold() {
    let mut random = fastrand::Rng::with_seed(5050);
    for (name, target) in messor_fuzz::TARGETS {
        let inputs = corpus(name);
        for _ in 0..2000 {
            let (path, input) = &inputs[random.usize(..inputs.len())];
            let mut input = input.clone();
            for _ in 0..random.usize(1..5) {
                change(&mut input, &inputs, &mut random);
            }
            run(*target, path, &input);
        }
    }
}

fn change(input: &mut Vec<u8>, others: &[(String, Vec<u8>)], random: &mut fastrand::Rng) {
    let at = random.usize(..=input.len());
    match random.u8(..5) {
        0 => input.insert(at, random.u8(..)),
        1 if at < input.len() => input[at] = random.u8(..),
        2 if at < input.len() => input[at] ^= 1 << random.u8(..8),
        3 => input.truncate(at),
        _ => {
            let other = &others[random.usize(..others.len())].1;
            let from = random.usize(..=other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
}
