//! An executor as a process.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use messor_linux::killtree::{Kernel, Tree, kill_tree};
use messor_linux::poll::{PollFd, PollFlags, poll};
use messor_linux::{Pid, Signal, signals};

use crate::agent::{Agent, PATIENCE};

pub struct Run {
    child: Child,
    /// What the executor and its task write.
    output: BufReader<ChildStdout>,
    pub sandbox: tempfile::TempDir,
}

impl Run {
    pub fn start(agent: &Agent, more: &[(&str, &str)]) -> Run {
        Run::start_with(agent, &[], more)
    }

    /// Subscribed with the agent.
    pub fn subscribed(agent: &Agent, more: &[(&str, &str)]) -> Run {
        let run = Run::start(agent, more);
        let subscription = agent.subscription();
        assert_eq!(
            (subscription.unacknowledged_tasks, subscription.unacknowledged_updates),
            (vec![], vec![])
        );
        run
    }

    pub fn start_with(agent: &Agent, flags: &[&str], more: &[(&str, &str)]) -> Run {
        Run::start_program("command_executor", agent, flags, more)
    }

    pub fn start_program(name: &str, agent: &Agent, flags: &[&str], more: &[(&str, &str)]) -> Run {
        let sandbox = tempfile::tempdir().unwrap();
        // Beside the folder of this very test.
        let here = std::env::current_exe().unwrap();
        let program = here.parent().unwrap().parent().unwrap().join("examples").join(name);
        let mut command = Command::new(program);
        command
            .args(flags)
            .current_dir(&sandbox)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("MESOS_FRAMEWORK_ID", "f")
            .env("MESOS_EXECUTOR_ID", "t")
            .env("MESOS_SLAVE_ID", "s")
            .env("MESOS_SLAVE_PID", format!("slave(1)@{}", agent.address))
            .env("MESOS_AGENT_ENDPOINT", agent.address.to_string())
            .env("MESOS_DIRECTORY", sandbox.path())
            .env("MESOS_SANDBOX", sandbox.path())
            .env("MESOS_CHECKPOINT", "0")
            .env("MESOS_HTTP_COMMAND_EXECUTOR", "1")
            .env("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "5secs")
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Run { child, output, sandbox }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The next line the task writes.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_string()
    }

    /// What is left to read. It ends when the last process that could write is gone.
    pub fn rest(&mut self) -> String {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        text
    }

    pub fn signal(&self, signal: Signal) {
        signals::send(self.pid(), signal).unwrap();
    }

    /// Waits for the end; answers whether it ended well.
    pub fn ends_well(&mut self) -> bool {
        let descriptor = messor_linux::wait::pid_descriptor(self.pid()).unwrap();
        let mut ready = [PollFd::new(&descriptor, PollFlags::IN)];
        assert_eq!(poll(&mut ready, Some(PATIENCE)).unwrap(), 1, "the executor did not end");
        self.child.wait().unwrap().success()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // With the task, which would outlive it.
        let me = i32::try_from(std::process::id()).unwrap();
        let tree = Tree { roots: vec![self.pid().as_raw_nonzero().get()], spared: vec![me] };
        let _ = kill_tree(&mut Kernel, &tree, Signal::KILL);
        let _ = self.child.wait();
    }
}
