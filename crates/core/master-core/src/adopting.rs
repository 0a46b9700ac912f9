//! Tasks and executors that an agent has and this master does not know: they are counted with their frameworks and the
//! agent. Nobody is told of them here.

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
    let mut adopted = Vec::new();
    for task in list {
        let (framework_id, id) = (FrameworkId::from(&task.framework_id), TaskId::from(&task.task_id));
        let Some(framework) = frameworks.get_mut(&framework_id) else { continue };
        let resources = match framework.usual.get(&task.resources) {
            Some(resources) => resources,
            None => {
                let Ok(resources) = Resources::from_proto(&task.resources) else { continue };
                framework.usual.share(&task.resources, resources)
            }
        };
        if framework.tasks.contains_key(&id) {
            turn.warning(format!(
                "agent {} has task {id} of framework {framework_id}, which runs elsewhere too",
                agent.id
            ));
            continue;
        }
        if !is_over(task.state()) {
            framework.use_resources(&agent.id, &resources);
            agent.use_resources(&framework_id, &resources);
        }
        let entry = TaskEntry::new(task, resources);
        adopted.push(entry.task.clone());
        framework.tasks.insert(id.clone(), entry);
        agent.tasks.entry(framework_id).or_default().insert(id);
    }
    adopted
}
