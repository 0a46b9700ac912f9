//! The life of containers: examples first, then random lives with failures of every step and crashes in between.

mod examples;
mod random;
mod world;
