//! The recorder and the reader on real directories.

mod attack;
mod killed;
mod real;
mod recovery;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use messor_agent_core::{Record, Recovered};
use messor_checkpoint::{Expectation, Recorder, read};
use messor_proto::mesos::Resource;
use messor_types::AgentId;

const BOOT_ID: &str = "2dd6f736-5180-4262-b9ab-782f4594e43d";

/// A recorder, and what became of each record.
struct Bench {
    recorder: Option<Recorder>,
    outcomes: Receiver<(u64, Result<(), String>)>,
    asked: u64,
}

impl Bench {
    fn new(work_dir: &Path) -> Bench {
        Bench::after(work_dir, None, Vec::new())
    }

    fn after(work_dir: &Path, agent: Option<&str>, resources: Vec<Resource>) -> Bench {
        let (answer, outcomes) = channel();
        let answer = move |ticket, outcome| answer.send((ticket, outcome)).unwrap();
        let agent = agent.map(AgentId::new);
        let recorder = Recorder::start(work_dir, agent, resources, BOOT_ID.to_string(), answer).unwrap();
        Bench { recorder: Some(recorder), outcomes, asked: 0 }
    }

    fn record(&mut self, record: Record) {
        self.asked += 1;
        self.recorder.as_ref().unwrap().record(self.asked, record);
    }

    /// Ends the recorder; the outcomes, in order.
    fn outcomes(mut self) -> Vec<Result<(), String>> {
        drop(self.recorder.take());
        let all: Vec<(u64, Result<(), String>)> = self.outcomes.iter().collect();
        assert!(all.iter().map(|(ticket, _)| *ticket).eq(1..=self.asked), "in order, each once: {all:?}");
        all.into_iter().map(|(_, outcome)| outcome).collect()
    }

    fn all_good(self) {
        assert!(self.outcomes().iter().all(Result::is_ok));
    }
}

fn strict(work_dir: &Path) -> Result<Recovered, messor_checkpoint::ReadError> {
    read(work_dir, Expectation { strict: true, boot_id: BOOT_ID })
}

/// A directory in memory where there is one: these tests make very many files, and nobody pulls the plug.
fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Every file, link and directory, with its content or target.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            let content = if kind.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else if kind.is_dir() {
                waiting.push(path.clone());
                b"directory".to_vec()
            } else {
                fs::read(&path).unwrap()
            };
            found.insert(path.strip_prefix(root).unwrap().to_path_buf(), content);
        }
    }
    found
}
