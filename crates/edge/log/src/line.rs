//! One line of a log, in the shape of glog: `I1122 18:30:53.370118  6181 file.rs:123] message`.
//! Must not know where lines go.

use std::fmt::Write as _;

use jiff::Zoned;

/// Longer lines are cut, so that one of them cannot fill the queue or the disk.
pub const LONGEST_LINE: usize = 16 * 1024;

/// glog's severities; a line also goes to the files of all lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Info,
    Warning,
    Error,
    Fatal,
}

impl Severity {
    pub const ALL: [Severity; 4] = [Severity::Info, Severity::Warning, Severity::Error, Severity::Fatal];

    /// As flags and file names write it.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "INFO",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }

    fn letter(self) -> char {
        match self {
            Severity::Info => 'I',
            Severity::Warning => 'W',
            Severity::Error => 'E',
            Severity::Fatal => 'F',
        }
    }
}

impl From<tracing::Level> for Severity {
    fn from(level: tracing::Level) -> Severity {
        match level {
            tracing::Level::ERROR => Severity::Error,
            tracing::Level::WARN => Severity::Warning,
            _ => Severity::Info,
        }
    }
}

/// A line, with its line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub severity: Severity,
    pub text: String,
}

impl Line {
    pub fn new(severity: Severity, now: &Zoned, thread: i32, file: &str, number: u32, message: &str) -> Line {
        let file = file.rsplit('/').next().unwrap_or(file);
        let mut text = format!(
            "{}{:02}{:02} {:02}:{:02}:{:02}.{:06} {thread:>5} {file}:{number}] ",
            severity.letter(),
            now.month(),
            now.day(),
            now.hour(),
            now.minute(),
            now.second(),
            now.subsec_nanosecond() / 1000,
        );
        escape(message, &mut text);
        text.push('\n');
        Line { severity, text }
    }
}

/// What could begin a line of its own or steer a terminal is written so that it can be seen.
fn escape(message: &str, out: &mut String) {
    let is_plain = message.bytes().all(|letter| matches!(letter, b' '..=b'~'));
    if is_plain && out.len() + message.len() <= LONGEST_LINE {
        return out.push_str(message);
    }
    for (at, letter) in message.char_indices() {
        if out.len() >= LONGEST_LINE {
            // Writing to a String cannot fail.
            let _ = write!(out, "... ({} more bytes)", message.len() - at);
            return;
        }
        match letter {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push('\t'),
            letter if letter.is_control() || is_direction(letter) => {
                let _ = write!(out, "\\u{{{:x}}}", letter as u32);
            }
            letter => out.push(letter),
        }
    }
}

/// Marks that turn the direction of writing, with which a line can be made to look like another.
fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str) -> String {
        let now: Zoned = "2026-11-22T18:30:53.370118999+01:00[+01:00]".parse().unwrap();
        Line::new(Severity::Info, &now, 6181, "crates/app/master/src/file.rs", 123, message).text
    }

    #[test]
    fn lines_have_the_shape_of_glog() {
        assert_eq!(line("message"), "I1122 18:30:53.370118  6181 file.rs:123] message\n");
    }

    #[test]
    fn nothing_begins_a_line_of_its_own() {
        let forged = line("x\nF1122 forged\r\u{1b}[2J\u{0}\u{202e}");
        assert!(forged.ends_with("x\\nF1122 forged\\r\\u{1b}[2J\\u{0}\\u{202e}\n"), "{forged}");
        assert_eq!(forged.matches('\n').count(), 1);
    }

    #[test]
    fn long_lines_are_cut() {
        let long = line(&"ä".repeat(LONGEST_LINE));
        assert!(long.len() < LONGEST_LINE + 40);
        assert!(long.ends_with(" more bytes)\n"));
    }
}
