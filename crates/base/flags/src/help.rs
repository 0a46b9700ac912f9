//! `--help`: the flags of a program by group, in 80 columns.

use crate::definition::{Flag, Kind, Positional, ProgramInfo, Status};

const WIDTH: usize = 80;
const INDENT: usize = 6;

/// The help of a program; its last line has no line break.
pub fn help(program: &ProgramInfo) -> String {
    let mut out = String::new();
    let words = match program.positional {
        Positional::Refused => String::new(),
        Positional::Taken(words) => format!(" {words}"),
    };
    out.push_str(&format!("Usage: {} [--flag=value]...{words}\n\n", program.name));
    paragraph(&mut out, 0, program.about);
    let current = program.prefixes.iter().find(|prefix| !prefix.deprecated);
    if let Some(prefix) = current {
        out.push('\n');
        let text = format!(
            "Each flag may also be set in the environment, as {0}NAME; the command line wins. A value file://PATH is read from that file.",
            prefix.text
        );
        paragraph(&mut out, 0, &text);
    }
    for (group, flags) in program.groups() {
        out.push_str(&format!("\n{group}:\n"));
        for flag in flags {
            out.push_str(&format!("  {}\n", heading(flag)));
            paragraph(&mut out, INDENT, flag.help);
            if let Some(note) = note(flag) {
                paragraph(&mut out, INDENT, &note);
            }
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// A flag as it is written on the command line.
pub(crate) fn heading(flag: &Flag) -> String {
    match flag.kind {
        Kind::Bool => format!("--[no-]{}", flag.name),
        kind => format!("--{}={}", flag.name, kind.placeholder()),
    }
}

/// What is to be said beside the help text: default, older name, and what does not work.
pub(crate) fn note(flag: &Flag) -> Option<String> {
    let mut notes = Vec::new();
    if flag.required {
        notes.push("required".to_string());
    }
    // That a switch is off unless it is given goes without saying.
    let usual = |default: &&str| !default.is_empty() && (flag.kind != Kind::Bool || *default != "false");
    if let Some(default) = flag.default.filter(usual) {
        notes.push(format!("default: {}", default.replace("{tmp}", "/tmp")));
    }
    if let Some(alias) = flag.alias {
        notes.push(format!("older name: --{alias}"));
    }
    match flag.status {
        Status::NotYet(reason) => notes.push(format!("not supported yet: {reason}")),
        Status::NoEffect(reason) => notes.push(format!("no effect: {reason}")),
        Status::NotNeeded(reason) => notes.push(format!("not needed: {reason}")),
        Status::Works | Status::Refused(_) => {}
    }
    if notes.is_empty() { None } else { Some(format!("[{}]", notes.join("; "))) }
}

/// Words in lines of at most 80 columns; a word that is longer stands alone.
fn paragraph(out: &mut String, indent: usize, text: &str) {
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH {
            out.push('\n');
            column = 0;
        }
        if column == 0 {
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
}
