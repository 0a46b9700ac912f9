//! The cache's bookkeeping: examples, and its laws under random events.

mod examples;
mod laws;
