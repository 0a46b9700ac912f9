//! Resource estimators and QoS controllers: who says what of an agent's resources can be promised twice, and whose
//! executors end when what was promised twice is needed.
//!
//! Both are asked with what all executors use, every now and then, on a thread that may wait. They must not know the
//! agent: it decides what an answer means. In Apache Mesos they are modules; of those that come with it, the two that do
//! something are built in here under their names, and take the same parameters.

mod fixed;
mod load;
mod modules;

use messor_proto::mesos::ResourceUsage;
use messor_proto::mesos::slave::QoSCorrection;
use messor_types::{ResourceError, Resources};

pub use fixed::FixedEstimator;
pub use load::LoadController;
pub use modules::{ModuleError, Modules, qos_controller, resource_estimator};

/// Estimates what can be promised twice.
pub trait ResourceEstimator: Send {
    /// What can be promised beyond what is in use, all of it revocable.
    fn oversubscribable(&mut self, usage: &ResourceUsage) -> Result<Resources, UsageError>;
}

/// Says which executors have to end for the good of others.
pub trait QosController: Send {
    fn corrections(&mut self, usage: &ResourceUsage) -> Result<Vec<QoSCorrection>, UsageError>;
}

/// Why there is no answer this time.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    #[error("what an executor uses cannot be read: {0}")]
    Resources(#[from] ResourceError),
    #[error("the load of the host is not known: {0}")]
    Load(std::io::Error),
}
