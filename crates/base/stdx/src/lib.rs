//! Values the whole house shares: points in time, durations and sizes in the Mesos notation.
//!
//! Nothing here reads a clock: a `Time` is always handed in.

mod blocks;
mod level;
mod memo;
mod notation;
mod random;
mod time;

pub use blocks::{Block, Blocks, Part};
pub use level::Level;
pub use memo::Memo;
pub use notation::{NotationError, format_duration, format_size, parse_duration, parse_size};
pub use random::{Random, format_uuid};
pub use std::time::Duration;
pub use time::Time;
