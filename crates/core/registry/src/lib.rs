//! Registry operations: the durable facts a master may act on.
//!
//! Pure: an operation is applied to a `State`; making the result durable is the registrar's affair.

use messor_proto::mesos::AgentInfo;
use messor_types::AgentId;

/// The registry as it stands.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub registry: messor_proto::mesos::internal::Registry,
}

/// One change of the registry.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    AdmitAgent { info: Box<AgentInfo> },
    RemoveAgent { id: AgentId },
}
