//! The flags as a user meets them: command lines, environments, files, `/flags`, help and completion.

mod documents;
mod environment;
mod fake;
mod laws;
mod listing;
mod parser;
mod upgrade;
