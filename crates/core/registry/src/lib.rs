//! The registry: the durable facts a master may act on, and the registrar that makes them durable.
//!
//! * `State` is the registry; an `Operation` is applied to it or refused. Pure.
//! * `Registrar` is the machine that reads it from a log and writes it there.
//!
//! It must not know who asks for a change or what follows from it, nor what the log is made of.

mod agents;
mod kept;
mod maintenance;
mod operation;
mod quota;
mod registrar;
mod state;
mod weights;

pub use maintenance::{MaintenanceError, Name as MachineName};
pub use operation::{Operation, Refusal};
pub use quota::{QuotaError, validate_quota};
pub use registrar::{MemoryLog, Registrar, RegistrarConfig, RegistrarEffect, RegistrarEvent, RegistrarTimer};
pub use state::State;
pub use weights::{WeightError, validate_weight};
