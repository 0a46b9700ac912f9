//! What is right and wrong in FrameworkInfo, TaskInfo, ExecutorInfo, offers and resources.
//!
//! Pure checks over wire messages and facts that are handed in. It must not know the master's state, who calls, or
//! how a refusal travels back: each check answers with an error whose text names the field and says what to do.

mod agent;
mod call;
mod checks;
mod command;
mod container;
mod container_call;
mod executor;
mod framework;
mod group;
mod ids;
mod offers;
mod operations;
mod resources;
mod task;

pub use agent::{AgentError, validate_register_agent, validate_reregister_agent};
pub use call::{CallError, validate_scheduler_call};
pub use checks::{CheckError, validate_check, validate_health_check};
pub use command::{CommandError, validate_command, validate_secret};
pub use container::{ContainerError, validate_container, validate_volume};
pub use container_call::{
    ContainerCallError, ContainerIdError, validate_container_call, validate_container_id,
};
pub use executor::{ExecutorError, validate_executor};
pub use framework::{
    FrameworkError, failover_timeout, framework_roles, preserve_immutable_fields, validate_framework,
    validate_framework_update, validate_suppressed_roles,
};
pub use group::{TaskGroupError, validate_task_group};
pub use ids::{IdError, validate_id};
pub use offers::{OfferError, OfferFacts, validate_offers};
pub use operations::{
    Asker, OperationProblem, validate_create, validate_destroy, validate_grow_volume, validate_reserve,
    validate_shrink_volume, validate_unreserve,
};
pub use resources::{ResourcesError, validate_resources};
pub use task::{Site, TaskError, TaskIdUse, validate_task};
