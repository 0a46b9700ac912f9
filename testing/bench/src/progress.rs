//! A bar on standard error, where that is a terminal.

use std::io::{IsTerminal, Write};

const WIDTH: u64 = 40;

pub struct Progress<'a> {
    what: &'a str,
    target: u64,
    shown: bool,
}

impl<'a> Progress<'a> {
    pub fn new(what: &'a str, target: u64) -> Progress<'a> {
        Progress { what, target: target.max(1), shown: std::io::stderr().is_terminal() }
    }

    fn line(&self, now: u64) -> String {
        let full = (now * WIDTH / self.target).min(WIDTH);
        let bar: String = (0..WIDTH).map(|at| if at < full { '#' } else { '.' }).collect();
        format!("[{bar}] {now}/{} {}", self.target, self.what)
    }

    pub fn show(&self, now: u64) {
        if self.shown {
            // Nobody is helped by an error about a bar.
            let _ = write!(std::io::stderr().lock(), "\r{}\x1b[K", self.line(now));
        }
    }

    pub fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        let progress = Progress { what: "agents", target: 4, shown: false };
        assert_eq!(progress.line(1), format!("[{}{}] 1/4 agents", "#".repeat(10), ".".repeat(30)));
        assert_eq!(Progress::new("nothing", 0).target, 1);
    }
}
