//! Command lines.

use messor_flags::{AgentFlags, ExecuteFlags, LocalFlags, MasterFlags, Source, parse};

use crate::{choice, text};

/// No environment and no files.
struct Nothing;

impl Source for Nothing {
    fn variables(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn read_file(&self, path: &str) -> Result<String, String> {
        Err(format!("there is no file {path}"))
    }
}

pub fn flags(data: &[u8]) {
    let (program, rest) = choice(data);
    let words: Vec<String> = text(rest).split('\n').map(str::to_string).collect();
    // Each gives flags or an error that can be shown; which of both is for the crate's own tests.
    let outcome = match program % 4 {
        0 => parse::<MasterFlags>(&words, &Nothing).map(|_| ()),
        1 => parse::<AgentFlags>(&words, &Nothing).map(|_| ()),
        2 => parse::<LocalFlags>(&words, &Nothing).map(|_| ()),
        _ => parse::<ExecuteFlags>(&words, &Nothing).map(|_| ()),
    };
    if let Err(error) = outcome {
        assert!(!error.to_string().is_empty());
    }
}
