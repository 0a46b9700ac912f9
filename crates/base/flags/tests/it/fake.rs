//! An environment and files that are not there.

use messor_flags::{FlagError, Parsed, Program, Request, Source, parse};

#[derive(Default)]
pub struct Fake {
    pub variables: Vec<(String, String)>,
    pub files: Vec<(String, String)>,
}

impl Fake {
    pub fn variables(pairs: &[(&str, &str)]) -> Fake {
        Fake { variables: owned(pairs), files: Vec::new() }
    }

    pub fn files(pairs: &[(&str, &str)]) -> Fake {
        Fake { variables: Vec::new(), files: owned(pairs) }
    }
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(left, right)| (left.to_string(), right.to_string())).collect()
}

impl Source for Fake {
    fn variables(&self) -> Vec<(String, String)> {
        self.variables.clone()
    }

    fn read_file(&self, path: &str) -> Result<String, String> {
        let file = self.files.iter().find(|(name, _)| name == path);
        file.map(|(_, text)| text.clone()).ok_or_else(|| "no such file".to_string())
    }
}

/// A command line that must be accepted.
pub fn run<P: Program>(line: &[&str], source: &Fake) -> Parsed<P> {
    match parse::<P>(&words(line), source) {
        Ok(Request::Run(parsed)) => parsed,
        Ok(_) => panic!("{line:?} asked for help or version"),
        Err(error) => panic!("{line:?}: {error}"),
    }
}

/// The error of a command line that must be refused.
pub fn refuse<P: Program>(line: &[&str], source: &Fake) -> FlagError {
    match parse::<P>(&words(line), source) {
        Ok(_) => panic!("{line:?} was accepted"),
        Err(error) => error,
    }
}

pub fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|word| word.to_string()).collect()
}
