//! Ids, PIDs, roles, attributes, capabilities and the algebra of Resources.
//!
//! What happens inside the cluster is said in these types; protobuf is met at the border alone. Resources are always
//! in the post-reservation-refinement form here (U044): a stack of reservations, never a role beside a reservation.

mod amounts;
mod attributes;
mod capabilities;
mod checkpointed;
mod conversion;
mod ids;
mod operations;
mod pid;
mod quantities;
mod quota;
mod ranges;
mod resource;
mod resources;
mod roles;
mod scalar;
mod tasks;
mod text;
mod validation;
mod value;
mod volumes;
mod wire;

pub use amounts::{AmountError, MOST_OF_A_RESOURCE, validate_amounts, validate_kinds};
pub use attributes::{AttributeError, attributes_equal, parse_attributes};
pub use capabilities::{AgentCapabilities, FrameworkCapabilities};
pub use checkpointed::{CheckpointedError, apply_checkpointed};
pub use conversion::{ConversionError, ResourceConversion};
pub use ids::{
    AgentId, ContainerId, ExecutorId, FrameworkId, OfferId, OperationId, ResourceProviderId, TaskId,
};
pub use operations::{
    OperationError, OperationUuid, allocate_operation, is_speculative_operation, is_terminal_operation,
    operation_consumes, operation_conversions, operation_provider, operation_resources,
    unallocated_operation, upgrade_operation,
};
pub use pid::{Pid, PidError, Plain};
pub use quantities::{QuantitiesError, ResourceQuantities};
pub use quota::{Quota, ResourceLimits};
pub use ranges::{Range, Ranges};
pub use resource::{Metadata, Reservation, ReservationKind, Resource, ResourceName};
pub use resources::Resources;
pub use roles::{Role, RoleError, validate_role};
pub use scalar::Scalar;
pub use tasks::is_terminal_task;
pub use text::{ResourcesTextError, parse_resources};
pub use validation::{ResourceError, ResourceProblem, validate_resource};
pub use value::{Set, Value, ValueError, parse_value};
pub use volumes::{volume_directory, volume_path};
pub use wire::{ResourceFormat, resource_to_post_refinement};
