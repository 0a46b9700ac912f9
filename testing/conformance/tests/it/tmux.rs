//! `mesos task exec` and `mesos task attach`, as people have them: under tmux, which is a terminal that a test can type
//! into, look at and resize; and in a pipe.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use messor_testkit::{Cluster, ControlGroups, Options, skip, wait_for};

use crate::attach::{PATIENCE, container};
use crate::recovery::Execution;

/// A terminal with a shell, in which `mesos` is at hand.
struct Screen {
    socket: PathBuf,
}

impl Screen {
    /// None where there is no tmux.
    fn of(cluster: &Cluster) -> Option<Screen> {
        if Command::new("tmux").arg("-V").output().is_err() {
            skip("no tmux here");
            return None;
        }
        let screen = Screen { socket: cluster.folder().join("tmux") };
        let path = format!("{}:{}", cluster.bin().display(), std::env::var("PATH").unwrap_or_default());
        let started = Command::new("tmux")
            .arg("-S")
            .arg(&screen.socket)
            .args(["-f", "/dev/null", "new-session", "-d", "-x", "90", "-y", "30", "env", "PS1=here:", "sh"])
            .env("PATH", path)
            .env("MESOS_MASTER", cluster.master.to_string())
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .status();
        assert!(started.expect("tmux runs").success());
        screen.until("here:");
        Some(screen)
    }

    fn tmux(&self, words: &[&str]) -> Output {
        Command::new("tmux").arg("-S").arg(&self.socket).args(words).output().expect("tmux runs")
    }

    /// What is shown, without the blanks at the ends of lines.
    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p", "-S", "-"]).stdout).trim_end().to_string()
    }

    fn until(&self, words: &str) {
        let end = std::time::Instant::now() + PATIENCE;
        while !self.shown().contains(words) {
            assert!(std::time::Instant::now() < end, "'{words}' is not shown: {}", self.shown());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn line(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
        self.key("Enter");
    }

    fn key(&self, name: &str) {
        self.tmux(&["send-keys", name]);
    }

    fn resize(&self, columns: &str, rows: &str) {
        self.tmux(&["resize-window", "-x", columns, "-y", rows]);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn a_shell_in_a_running_task() {
    a_shell(&Cluster::start());
}

/// In the namespaces and control groups of its task.
#[test]
fn a_shell_in_a_running_task_of_the_linux_launcher() {
    let Some(groups) = ControlGroups::new() else {
        return skip("a terminal on the linux launcher: no control groups of version 1 here, or not root");
    };
    let agent_flags = vec![
        "--launcher=linux".to_string(),
        "--isolation=filesystem/linux,namespaces/pid,cgroups/cpu,cgroups/mem,cgroups/devices".to_string(),
        format!("--cgroups_root={}", groups.root()),
    ];
    let cluster = Cluster::with(&Options { agent_flags, ..Options::default() });
    a_shell(&cluster);
    // Before its groups.
    drop(cluster);
}

fn a_shell(cluster: &Cluster) {
    let Some(screen) = Screen::of(cluster) else { return };
    let task = Execution::start(cluster, "t", "sleep 1000", &[]);
    container(cluster.master, "t");
    screen.line("mesos task exec -it t env PS1=there: sh; echo code $?");
    // What is typed before it is there would be lost on its way from one terminal to the other.
    screen.until("\nthere:");
    screen.line("stty size; echo in $MESOS_TASK_ID.");
    screen.until("\n30 90");
    screen.resize("100", "40");
    screen.line("until stty size | grep 40; do :; done; echo resized");
    screen.until("40 100\nresized");
    // It interrupts what runs in the task, and neither the shell there nor this side.
    screen.line("echo begin; sleep 1000; echo interrupted $?");
    screen.until("\nbegin");
    screen.key("C-c");
    screen.until("^C");
    screen.line("echo still $((1 + 1))");
    screen.until("still 2");
    screen.line("exit 9");
    screen.until("code 9");
    // The terminal is as it was.
    screen.line("stty -a | grep -o ' icanon'; echo restored");
    screen.until(" icanon\nrestored");

    screen.line("mesos task exec -it t sh -c 'echo pid $$; kill -9 $$'; echo code $?");
    screen.until("code 137");
    screen.line("mesos task exec -it t no-such-program; echo code $?");
    screen.until("no-such-program'");
    screen.until("code 1\n");
    drop(task);
}

#[test]
fn the_terminal_of_a_task_is_left_and_taken_again() {
    let cluster = Cluster::start();
    let Some(screen) = Screen::of(&cluster) else { return };
    let command = "while read line; do echo \"heard $line of $(stty size)\"; [ $line = end ] && exit; done";
    let task = Execution::start(&cluster, "t", command, &["--tty"]);
    container(cluster.master, "t");
    screen.line("mesos task attach t; echo code $?");
    for number in 0..2 {
        // Attached once the task answers.
        wait_for("the task to answer", PATIENCE, || {
            screen.line(&format!("line{number}"));
            std::thread::sleep(std::time::Duration::from_millis(200));
            screen.shown().contains(&format!("heard line{number} of 30 90")).then_some(())
        });
        if number == 0 {
            screen.key("C-p");
            screen.key("C-q");
            screen.until("code 0");
            screen.line("clear; mesos task attach t; echo code $?");
        }
    }
    screen.line("end");
    screen.until("heard end");
    task.until("TASK_FINISHED");
    screen.until("code 0");
    drop(task);
}

#[test]
fn a_pipe_into_a_task_and_out_of_it() {
    let cluster = Cluster::start();
    let task = Execution::start(&cluster, "t", "sleep 1000", &[]);
    container(cluster.master, "t");
    let mesos = |words: &[&str], input: &[u8]| -> Output {
        let mut child = Command::new(cluster.bin().join("mesos"))
            .arg(format!("--master={}", cluster.master))
            .args(["task"])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mesos runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().expect("mesos ends");
        let _ = writer.join();
        output
    };
    let many: Vec<u8> = (0..1_000_000_u32).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    let output = mesos(&["exec", "-i", "t", "sh", "-c", "cat; echo wrong >&2; exit 5"], &many);
    assert_eq!(output.status.code(), Some(5));
    assert!(output.stdout == many, "{} bytes came of {}", output.stdout.len(), many.len());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "wrong\n");
    // It has no output any more and goes on for a moment: its status counts.
    let quiet = "echo a; exec >&- 2>&-; sleep 0.2; exit 3";
    let output = mesos(&["exec", "t", "--", "sh", "-c", quiet], b"");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), &b"a\n"[..]));
    let output = mesos(&["exec", "t", "echo", "-n", "--flag"], b"");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"--flag"[..]));
    for (words, part) in [
        (&["exec", "-it", "t", "sh"][..], "standard input is no terminal"),
        (&["attach", "t"], "add --no-stdin"),
        (&["attach", "--no-stdin", "t"], "without a terminal"),
        (&["exec", "nobody", "sh"], "there is no task 'nobody'"),
    ] {
        let output = mesos(words, b"");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && words.contains(part), "{words}");
    }
    drop(task);
}

#[test]
fn a_terminal_shows_tasks_and_agents_as_they_change() {
    let cluster = Cluster::start();
    let Some(screen) = Screen::of(&cluster) else { return };
    let go = cluster.folder().join("go");
    screen.line("clear; mesos task watch");
    screen.until("No tasks.");
    let command = format!("until test -e {}; do sleep 0.1; done", go.display());
    let task = Execution::start(&cluster, "seen", &command, &[]);
    screen.until("seen  seen  RUNNING");
    std::fs::write(&go, "").expect("a file");
    screen.until("seen  seen  FINISHED");
    // It was drawn over: what was before is not there any more.
    assert!(
        !screen.shown().contains("RUNNING") && !screen.shown().contains("No tasks."),
        "{}",
        screen.shown()
    );
    task.until("TASK_FINISHED");
    screen.key("C-c");
    screen.line("clear; mesos agent watch");
    screen.until("localhost  active");
    screen.key("C-c");

    let stubborn = Execution::start(&cluster, "stubborn", "trap '' TERM; while :; do sleep 0.1; done", &[]);
    stubborn.until("TASK_RUNNING");
    screen.line("clear; mesos task wait stubborn; echo code $?");
    screen.until("stubborn is RUNNING");
    let drain = Command::new(cluster.bin().join("mesos"))
        .args([&format!("--master={}", cluster.master), "agent", "drain", "S0", "--yes"])
        .status();
    assert!(drain.expect("mesos runs").success());
    screen.until("stubborn is KILLED");
    screen.until("\ncode 1");
}

/// Colours are for a terminal that wants them, and questions for whoever can answer.
#[test]
fn a_terminal_has_colours_and_is_asked() {
    let cluster = Cluster::start();
    let Some(screen) = Screen::of(&cluster) else { return };
    let coloured = || {
        let shown = screen.tmux(&["capture-pane", "-p", "-e", "-S", "-"]).stdout;
        let shown = String::from_utf8_lossy(&shown).into_owned();
        shown.lines().any(|line| line.contains("localhost") && line.contains("\u{1b}["))
    };
    screen.line("clear; mesos agent list; echo first $?");
    screen.until("first 0");
    assert!(coloured(), "{}", screen.shown());
    screen.line("clear; NO_COLOR=1 mesos agent list; echo second $?");
    screen.until("second 0");
    assert!(!coloured());
    screen.line("clear; mesos agent list | cat; mesos --json agent list; echo third $?");
    screen.until("third 0");
    assert!(!coloured());

    screen.line("clear; mesos agent drain S0; echo fourth $?");
    screen.until("[y/N]");
    screen.line("n");
    screen.until("nothing was done");
    screen.until("fourth 1");
    screen.line("clear; mesos agent list; mesos agent drain S0; echo fifth $?");
    screen.until("active");
    screen.until("[y/N]");
    assert!(screen.shown().contains("active"), "{}", screen.shown());
    screen.line("y");
    screen.until("is draining");
    screen.until("fifth 0");
}
