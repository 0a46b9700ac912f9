//! Prints how long 10,000 tasks take to be written and read as JSON and in binary: the best of some rounds.
//!
//! `cargo run --release -p messor-proto --example json_speed`

#![expect(clippy::disallowed_types, reason = "measuring is what this program is for")]

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::hint::black_box;
use std::time::{Duration, Instant};

use messor_proto::mesos::{self, TaskState, master};
use messor_proto::{Version, Wire};

const TASKS: usize = 10_000;
const ROUNDS: usize = 60;

fn main() {
    // The size that was measured before there was Messor (2.55 MB in binary, 6.5 MB of JSON), then tasks with labels,
    // roles and one more status.
    measure(plain_task);
    measure(task);
}

fn measure(make: fn(usize) -> mesos::Task) {
    let tasks = master::response::GetTasks { tasks: (0..TASKS).map(make).collect(), ..Default::default() };
    let text = tasks.to_json(Version::V1);
    let bytes = tasks.encode_bytes();
    println!("{TASKS} tasks: {} bytes of JSON, {} bytes in binary", text.len(), bytes.len());
    report("write JSON", || tasks.to_json(Version::V1).len());
    let mut buffer = Vec::with_capacity(text.len());
    report("write JSON into a warm buffer", || {
        buffer.clear();
        tasks.write_json(&mut buffer, Version::V1);
        buffer.len()
    });
    report("read JSON", || read(&text).tasks.len());
    report("encode", || tasks.encode_bytes().len());
    report("decode, checked", || decode(&bytes).tasks.len());
    assert!(read(&text) == read(&read(&text).to_json(Version::V1)), "JSON reads back");
}

fn read(text: &[u8]) -> master::response::GetTasks {
    master::response::GetTasks::from_json(text, Version::V1).expect("it was written here")
}

fn decode(bytes: &[u8]) -> master::response::GetTasks {
    master::response::GetTasks::decode_checked(bytes).expect("it was written here")
}

#[expect(clippy::disallowed_methods, reason = "it reads the clock")]
fn report(what: &str, work: impl FnMut() -> usize) {
    let mut work = work;
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        black_box(work());
        best = best.min(start.elapsed());
    }
    println!("{what}: {:.1} ms", best.as_secs_f64() * 1000.0);
}

fn scalar(name: &str, value: f64) -> mesos::Resource {
    mesos::Resource {
        name: name.into(),
        r#type: mesos::value::Type::Scalar as i32,
        scalar: Some(mesos::value::Scalar { value }),
        allocation_info: Some(mesos::resource::AllocationInfo { role: Some("engineering/web".into()) }),
        ..Default::default()
    }
}

fn task(index: usize) -> mesos::Task {
    let status = |state: TaskState, later: f64| mesos::TaskStatus {
        task_id: mesos::TaskId { value: format!("web.instance-{index}") },
        state: state as i32,
        source: Some(mesos::task_status::Source::Executor as i32),
        timestamp: Some(1_700_000_000.0 + index as f64 * 0.013 + later),
        agent_id: Some(mesos::AgentId {
            value: format!("9076e06e-a650-4e35-a0e3-60e19193fe4e-S{}", index % 500),
        }),
        container_status: Some(mesos::ContainerStatus::default()),
        ..Default::default()
    };
    mesos::Task {
        name: format!("web-{index}"),
        task_id: mesos::TaskId { value: format!("web.instance-{index}") },
        framework_id: mesos::FrameworkId { value: "9076e06e-a650-4e35-a0e3-60e19193fe4e-0001".into() },
        agent_id: mesos::AgentId { value: format!("9076e06e-a650-4e35-a0e3-60e19193fe4e-S{}", index % 500) },
        state: TaskState::TaskRunning as i32,
        resources: vec![scalar("cpus", 0.25), scalar("mem", 512.0), scalar("disk", 1024.5)],
        statuses: vec![status(TaskState::TaskStarting, 0.0), status(TaskState::TaskRunning, 1.5)],
        labels: Some(mesos::Labels {
            labels: vec![mesos::Label { key: "team".into(), value: Some("web \"front\"".into()) }],
        }),
        user: Some("nobody".into()),
        ..Default::default()
    }
}

fn plain_task(index: usize) -> mesos::Task {
    let mut task = task(index);
    task.statuses.remove(0);
    task.labels = None;
    for resource in &mut task.resources {
        resource.allocation_info = None;
    }
    task
}
