//! A process that writes is killed with -9 at any moment, again and again; what it had said to be written is there.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use messor_replog::{Event, Write};
use messor_store::{Storage, Store};

use crate::disk::{append, truncate};

const WRITER: &str = "MESSOR_TEST_LOG_WRITER";

fn content(position: u64) -> Vec<u8> {
    vec![position as u8; (position * 7919 % 50_000) as usize]
}

/// The writing process is this test program itself, started anew with a variable that says where to write.
#[test]
fn killed_writers_lose_nothing() {
    if let Ok(path) = std::env::var(WRITER) {
        return write_for_ever(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replicated_log");
    let mut acknowledged = None;
    let mut longest = 0;
    for round in 0..12u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::killed_writers_lose_nothing", "--nocapture"])
            .env(WRITER, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed after so many acknowledgements and a bit: in the midst of writing more.
        let mut wanted = 1 + round * 37 % 101;
        while wanted > 0 {
            let line = lines.next().expect("the writer writes").unwrap();
            if let Some(position) = line.strip_prefix("written ") {
                acknowledged = Some(position.parse::<u64>().unwrap());
                wanted -= 1;
            }
        }
        std::thread::sleep(Duration::from_micros(round * 977 % 5000));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            if let Some(position) = line.strip_prefix("written ") {
                acknowledged = Some(position.parse().unwrap());
            }
        }
        let storage = Storage::open_existing(&path).unwrap();
        let restored = storage.restore().unwrap();
        assert!(Some(restored.end) >= acknowledged, "{restored:?} {acknowledged:?}");
        let actions = storage.read(restored.begin, restored.end).unwrap();
        assert_eq!(actions.len() as u64, restored.end - restored.begin + 1);
        for action in actions {
            if let Some(append) = action.append {
                assert_eq!(append.bytes, content(action.position));
            }
        }
        longest = longest.max(restored.end);
    }
    assert!(longest > 300, "{longest}");
}

fn write_for_ever(path: &Path) {
    let (sender, answers) = std::sync::mpsc::channel();
    let (store, restored) = Store::open(path, move |event| drop(sender.send(event))).unwrap();
    let first = if restored.learned.is_empty() { 0 } else { restored.end + 1 };
    let mut outstanding = 0;
    for position in first.. {
        let write = if position % 50 == 49 {
            Write::Truncating { action: Box::new(truncate(position, position - 20)), below: position - 20 }
        } else {
            Write::Action(Box::new(append(position, &content(position))))
        };
        store.persist(position, write);
        outstanding += 1;
        while outstanding > position % 5 {
            let Event::Persisted { ticket, outcome } = answers.recv().unwrap() else { panic!("no answer") };
            outcome.unwrap();
            println!("written {ticket}");
            outstanding -= 1;
        }
    }
}
