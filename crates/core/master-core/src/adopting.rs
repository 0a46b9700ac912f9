//! Tasks and executors that an agent has and this master does not know: they are counted with their frameworks and the
//! agent. Nobody is told of them here.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use messor_proto::mesos;
use messor_stdx::Memo;
use messor_types::{ExecutorId, FrameworkId, Resources, TaskId};

use crate::state::{Agent, ExecutorEntry, Frameworks};
use crate::tasks::{TaskEntry, is_over};
use crate::turn::Turn;

pub(crate) fn adopt_executors(
    frameworks: &mut Frameworks,
    agent: &mut Agent,
    executors: Vec<mesos::ExecutorInfo>,
) {
    for info in executors {
        let framework_id = FrameworkId::from(info.framework_id.as_ref().map_or("", |id| id.value.as_str()));
        // Completed frameworks are shut down there in a moment.
        let Some(framework) = frameworks.get_mut(&framework_id) else { continue };
        let Ok(resources) = Resources::from_proto(&info.resources) else { continue };
        let id = ExecutorId::from(&info.executor_id);
        let info = Arc::new(info);
        framework.executors.insert((agent.id.clone(), id.clone()), info.clone());
        framework.use_resources(&agent.id, &resources);
        agent.use_resources(&framework_id, &resources);
        agent.executors.entry(framework_id).or_default().insert(id, ExecutorEntry { info, resources });
    }
}

/// Answers with the tasks that were taken.
pub(crate) fn adopt_tasks(
    turn: &mut Turn<'_>,
    frameworks: &mut Frameworks,
    agent: &mut Agent,
    list: Vec<mesos::Task>,
) -> Vec<Arc<Memo<mesos::Task>>> {
    let mut adopted = Vec::with_capacity(list.len());
    let mut list = list.into_iter().peekable();
    // Those of one framework mostly come one behind the other, and what they use is counted together.
    while let Some(first) = list.peek() {
        let framework_id = FrameworkId::from(&first.framework_id);
        let mut next = || list.next_if(|task| task.framework_id.value == framework_id.as_str());
        let Some(framework) = frameworks.get_mut(&framework_id) else {
            while next().is_some() {}
            continue;
        };
        let (mut ids, mut used) = (Vec::new(), Resources::new());
        while let Some(task) = next() {
            let id = TaskId::from(&task.task_id);
            let resources = match framework.usual.get(&task.resources) {
                Some(resources) => resources,
                None => {
                    let Ok(resources) = Resources::from_proto(&task.resources) else { continue };
                    framework.usual.share(&task.resources, resources)
                }
            };
            let Entry::Vacant(place) = framework.tasks.entry(id.clone()) else {
                turn.warning(format!(
                    "agent {} has task {id} of framework {framework_id}, which runs elsewhere too",
                    agent.id
                ));
                continue;
            };
            if !is_over(task.state()) {
                used += &resources;
            }
            adopted.push(place.insert(TaskEntry::new(task, resources)).task.clone());
            ids.push(id);
        }
        if !used.is_empty() {
            framework.use_resources(&agent.id, &used);
            agent.use_resources(&framework_id, &used);
        }
        if !ids.is_empty() {
            agent.tasks.entry(framework_id).or_default().extend(ids);
        }
    }
    adopted
}
