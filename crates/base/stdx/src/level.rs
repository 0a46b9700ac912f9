//! How much a line of a program's log matters.

/// Of a line that a machine wants in the log. What becomes of it is the log's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Info,
    Warning,
    Error,
}
