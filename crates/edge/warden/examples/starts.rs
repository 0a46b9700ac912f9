//! Starts of a program per second through the warden: `cargo run --release -p messor-warden --example starts -- [N] [threads]
//! [plain|namespaces]`. Prints what the warden and the init of a namespace hold of memory, too.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Instant;

use messor_linux::container::{Namespaces, Process};
use messor_linux::spawn::Session;
use messor_warden::{Config, Event, Start, Warden};

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|word| word.starts_with("--listen")) {
        std::process::exit(i32::from(messor_warden::main(&words[1..]) != std::process::ExitCode::SUCCESS));
    }
    let number = |at: usize, otherwise| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(otherwise);
    let (count, threads): (usize, usize) = (number(1, 2000), number(2, 4));
    let kind = words.get(3).map_or("plain", String::as_str);
    let clone = match kind {
        "namespaces" => Namespaces::MOUNT | Namespaces::PID | Namespaces::IPC,
        "mount" => Namespaces::MOUNT,
        _ => Namespaces::NONE,
    };
    let folder = std::env::temp_dir().join(format!("messor-starts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let program = words.get(4).map_or_else(|| std::env::current_exe().expect("its own path"), PathBuf::from);
    // The one binary is a warden by its name.
    let arguments = match words.get(4) {
        Some(_) => vec!["mesos-containerizer".into(), "warden".into()],
        None => vec!["starts".into()],
    };
    let config = Config { runtime_dir: folder.clone(), program, arguments, cgroups: Vec::new() };
    let (sender, ended) = channel();
    let sender = std::sync::Mutex::new(sender);
    let began = Instant::now();
    let warden = Warden::connect_or_start(&config, move |event| {
        if let Event::Ended(ended) = event {
            let _ = sender.lock().expect("no panic").send(ended);
        }
    })
    .expect("a warden");
    println!("a warden starts in {:?}", began.elapsed());
    let memory = |pid: i32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let wanted = ["Rss:", "Pss_Anon:", "Anonymous:"];
        let lines = text.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name)));
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
    };
    let pid = warden.pid().expect("a warden");
    println!("an idle warden: {}", memory(pid));
    let process = |arguments: &[&str]| Process {
        program: arguments[0].into(),
        arguments: arguments.iter().map(Into::into).collect(),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        session: Session::New,
        clone,
        ..Process::default()
    };
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let one = next.fetch_add(1, Ordering::Relaxed);
                    if one >= count {
                        return;
                    }
                    let start = Start {
                        container: format!("c{one}"),
                        status_file: folder.join(format!("{one}.status")),
                        pid_files: vec![folder.join(format!("{one}.pid"))],
                        process: process(&["/bin/true"]),
                    };
                    warden.fork(start).expect("forked").go_on().expect("executed");
                }
            });
        }
    });
    for _ in 0..count {
        ended.recv().expect("an end");
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{kind}: {count} starts of true in {seconds:.2} s, {:.0} per second, {threads} at a time",
        count as f64 / seconds
    );
    println!("the warden afterwards: {}", memory(pid));
    // On a busy machine the time of a clock says little: the time of processors, its own and that of all its children.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    let (own, children) = (ticks(11) + ticks(12), ticks(13) + ticks(14));
    let each = 10_000.0 / count as f64;
    println!(
        "processor time a start: {:.0} µs of the warden, {:.0} µs of what it started",
        own * each,
        children * each
    );
    if clone.contains(Namespaces::PID) {
        let start = Start {
            container: "sleeps".into(),
            status_file: folder.join("sleeps.status"),
            pid_files: Vec::new(),
            process: process(&["/bin/sleep", "1000"]),
        };
        let held = warden.fork(start).expect("forked");
        let init = held.pid();
        held.go_on().expect("executed");
        println!("an init: {}", memory(init));
        warden.signal(init, messor_linux::Signal::KILL).expect("killed");
        ended.recv().expect("an end");
    }
    messor_linux::signals::send(messor_linux::Pid::from_raw(pid).expect("a pid"), messor_linux::Signal::TERM)
        .expect("ended");
    std::fs::remove_dir_all(&folder).expect("removed");
}
