//! Manual pages in roff, section 1 for what people start and 8 for what the system starts.

use crate::definition::{Positional, ProgramInfo};
use crate::help::{heading, note};

/// The section of a program's manual page.
pub fn section(program: &ProgramInfo) -> u8 {
    match program.name {
        "mesos-local" | "mesos-execute" | "mesos-resolve" | "mesos-ps" | "mesos-cat" | "mesos-tail"
        | "mesos-scp" | "mesos-usage" => 1,
        _ => 8,
    }
}

/// The manual page of a program.
pub fn man(program: &ProgramInfo) -> String {
    let section = section(program);
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!(
        ".TH {} {section} \"\" \"messor {}\" \"Messor\"",
        program.name.to_uppercase(),
        env!("CARGO_PKG_VERSION")
    ));
    line(".SH NAME".to_string());
    line(format!("{} \\- {}", roff(program.name), roff(program.about)));
    line(".SH SYNOPSIS".to_string());
    line(format!(".B {}", roff(program.name)));
    line("[\\fB\\-\\-flag\\fR=\\fIvalue\\fR]...".to_string());
    if let Positional::Taken(words) = program.positional {
        line(format!("\\fI{}\\fR", roff(words)));
    }
    line(".SH OPTIONS".to_string());
    line("A value \\fBfile://\\fIPATH\\fR is read from that file.".to_string());
    for (group, flags) in program.groups() {
        line(format!(".SS {}", roff(group)));
        for flag in flags {
            line(".TP".to_string());
            line(format!("\\fB{}\\fR", roff(&heading(flag))));
            line(roff(flag.help));
            if let Some(note) = note(flag) {
                line(roff(&note));
            }
        }
    }
    if let Some(prefix) = program.prefixes.iter().find(|prefix| !prefix.deprecated) {
        line(".SH ENVIRONMENT".to_string());
        line(format!(
            "Each flag may be set as \\fB{}\\fINAME\\fR; the command line wins.",
            roff(prefix.text)
        ));
    }
    out
}

/// Text that roff takes as text: no escapes, no requests at the beginning of a line.
pub fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    match text.chars().next() {
        Some('.' | '\'') => format!("\\&{text}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::roff;

    #[test]
    fn nothing_is_taken_for_a_request() {
        assert_eq!(roff(".TH"), "\\&.TH");
        assert_eq!(roff("a\\b-c"), "a\\eb\\-c");
    }
}
