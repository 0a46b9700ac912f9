//! `mesos-cat` and `mesos-tail`: a file of the sandbox of one task of one framework.

use messor_flags::SandboxFileFlags;
use messor_proto::mesos::{FrameworkId, Task};

use crate::console::{Console, ConsoleError};

impl Console<'_, '_> {
    pub fn print_file(&mut self, place: &SandboxFileFlags, follow: bool) -> Result<(), ConsoleError> {
        let framework = self.find_framework(&place.framework)?;
        let task = self.task_of(framework.framework_info.id.as_ref(), &place.task)?;
        self.logs(&task, &place.file, follow, None)
    }

    /// The task of exactly this id; of several that one after the other had it, the latest.
    fn task_of(&mut self, framework: Option<&FrameworkId>, id: &str) -> Result<Task, ConsoleError> {
        let answer = self.tasks()?;
        let live = answer.tasks.iter().chain(&answer.unreachable_tasks);
        let mut all = live.chain(answer.completed_tasks.iter().rev());
        let found = all.find(|task| Some(&task.framework_id) == framework && task.task_id.value == id);
        found.cloned().ok_or_else(|| {
            let name = framework.map_or("", |id| id.value.as_str());
            ConsoleError::Wrong(format!(
                "framework {name} has no task '{id}' that was launched; 'mesos task list --all --framework={name}' shows \
                 those that there are"
            ))
        })
    }
}
