//! A process that records is killed with -9 at any moment, again and again; what it had said to be durable is there.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use messor_checkpoint::Recorder;
use messor_types::AgentId;

use crate::recovery::{agent, executor, framework, task, update};
use crate::{BOOT_ID, strict};

const RECORDER: &str = "MESSOR_TEST_RECORDER";

/// The recording process is this test program itself, started anew with a variable that says where.
#[test]
fn killed_recorders_lose_nothing() {
    if let Ok(path) = std::env::var(RECORDER) {
        return record_for_ever(Path::new(&path));
    }
    let work = tempfile::tempdir().unwrap();
    let mut last = None;
    for round in 0..12u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::killed_recorders_lose_nothing", "--nocapture"])
            .env(RECORDER, work.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut wanted = 1 + round * 37 % 101;
        let mut note = |line: String| {
            let Some(number) = line.strip_prefix("durable ") else { return false };
            last = last.max(Some(number.parse::<u64>().unwrap()));
            true
        };
        while wanted > 0 {
            wanted -= u64::from(note(lines.next().expect("the recorder records").unwrap()));
        }
        std::thread::sleep(Duration::from_micros(round * 977 % 5000));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            note(line);
        }
        let recovered = strict(work.path()).unwrap();
        let run = &recovered.agent.as_ref().unwrap().frameworks[0].executors[0].runs[0];
        for number in 0..=last.unwrap() {
            let name = format!("t{}", number / 3);
            let found = run.tasks.iter().find(|task| task.task.task_id.value == name);
            let found = found.unwrap_or_else(|| panic!("task {name} is gone"));
            // The task, and then two updates of it.
            assert!(found.updates.len() as u64 >= number % 3, "{name}: {}", found.updates.len());
        }
    }
    assert!(last > Some(300), "{last:?}");
}

fn record_for_ever(work_dir: &Path) {
    let (sender, answers) = std::sync::mpsc::channel();
    let before = strict(work_dir).unwrap().agent;
    let known = before.as_ref().map(|agent| AgentId::new(agent.id.as_str()));
    let recorder =
        Recorder::start(work_dir, known, Vec::new(), BOOT_ID.to_string(), move |ticket, outcome| {
            outcome.unwrap();
            let _ = sender.send(ticket);
        })
        .unwrap();
    let tasks = before.as_ref().and_then(|agent| {
        let framework = agent.frameworks.first()?;
        Some(framework.executors.first()?.runs.first()?.tasks.clone())
    });
    let tasks = tasks.unwrap_or_default();
    // On from the first that is not there.
    let count = |number: u64| {
        let name = format!("t{number}");
        tasks.iter().find(|task| task.task.task_id.value == name).map(|task| task.updates.len() as u64)
    };
    let whole = (0..).find(|number| count(*number).is_none_or(|updates| updates < 2)).unwrap();
    let first = whole * 3 + count(whole).map_or(0, |updates| updates + 1);
    for record in [agent(), framework(), executor("c")] {
        recorder.record(u64::MAX, record);
    }
    let mut outstanding = 3;
    for number in first.. {
        let name = format!("t{}", number / 3);
        recorder.record(
            number,
            match number % 3 {
                0 => task("c", &name),
                step => update("c", &name, step as u8),
            },
        );
        outstanding += 1;
        while outstanding > number % 5 {
            match answers.recv().unwrap() {
                u64::MAX => {}
                number => println!("durable {number}"),
            }
            outstanding -= 1;
        }
    }
}
