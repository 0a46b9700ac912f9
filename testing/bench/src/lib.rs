//! What is measured, and how it is told. Each benchmark checks what it measures: a wrong answer is an error, not a figure.

pub mod allocator;
pub mod report;
