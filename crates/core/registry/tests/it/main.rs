//! The registrar against logs that work and logs that do not.

mod faults;
mod registrar;
mod world;
