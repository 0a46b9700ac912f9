//! Randomness that repeats, from the seed of the configuration.

pub(crate) use messor_stdx::{Random, format_uuid};
