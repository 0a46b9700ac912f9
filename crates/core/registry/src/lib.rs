//! Registry operations: the durable facts a master may act on.
//!
//! Pure: an operation is applied to a `State`; making the result durable is the registrar's affair. It must not know
//! who asks for a change or what follows from it.

mod operation;
mod state;

pub use operation::{Operation, Refusal};
pub use state::State;
