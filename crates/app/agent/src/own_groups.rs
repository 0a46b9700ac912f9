//! `--agent_subsystems`: the agent in control groups of its own, so that what it takes is seen apart from what tasks take. No
//! limits are set there.

use std::path::Path;

use messor_flags::AgentFlags;
use messor_linux::cgroups::Hierarchies;
use messor_runtime::Failure;

use crate::config::wrong;

/// Below `--cgroups_root`, as containers' groups are.
const NAME: &str = "slave";

/// Moves this process, with all its threads, before it starts others.
pub fn enter(flags: &AgentFlags) -> Result<(), Failure> {
    let Some(names) = flags.containers.agent_subsystems.as_deref() else { return Ok(()) };
    let failed = |error: &dyn std::fmt::Display| wrong("agent_subsystems", error);
    let mut hierarchies = Hierarchies::find(Path::new(flags.containers.cgroups_hierarchy.as_str()))
        .map_err(|error| failed(&error))?;
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        hierarchies.locate(name).map_err(|error| failed(&error))?;
        let root = hierarchies.group(name, &flags.containers.cgroups_root);
        let own = root.child(NAME);
        root.make().and_then(|_| own.make()).map_err(|error| failed(&error))?;
        let others = own.processes().map_err(|error| failed(&error))?;
        if !others.is_empty() {
            // The warden of the agent before, which goes on, or that agent itself.
            tracing::info!("processes {others:?} are in the agent's group of '{name}' already");
        }
        own.enter(me).map_err(|error| failed(&error))?;
        tracing::info!("the agent is in the group {} of '{name}'", own.name());
    }
    Ok(())
}
