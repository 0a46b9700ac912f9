//! What `messor` does under its own name: start a program, make links, and tell about programs.

use std::process::ExitCode;

use messor_flags::{rows, version};

use crate::programs::{self, PROGRAMS};
use crate::{documents, install, refuse, say};

/// The commands that are no programs.
pub const NAMES: [&str; 3] = ["install", "completion", "man"];

/// `messor WORDS`
pub fn run(words: &[String]) -> ExitCode {
    let Some((command, rest)) = words.split_first() else {
        return refuse("messor: say which program to be; 'messor --help' lists them");
    };
    match (command.as_str(), rest) {
        ("--help" | "-h" | "help", _) => say(&help()),
        ("--version", _) => say(&format!("{}\n", version())),
        ("install", rest) => match install::Wanted::of(rest) {
            Some(wanted) => install::run(&wanted),
            None => refuse(
                "messor install: give the directory for the links, as in 'messor install /usr/bin', and with --share=/usr/share \
                 that for manual pages and completion",
            ),
        },
        ("completion", [shell]) => match documents::completion(shell) {
            Some(script) => say(&script),
            None => refuse(&format!(
                "messor completion: '{shell}' is none of: {}",
                messor_flags::Shell::NAMES.join(", ")
            )),
        },
        ("completion", _) => refuse("messor completion: give the shell: bash, zsh or fish"),
        ("man", [program]) => match documents::page(program) {
            Some(page) => say(&page.text),
            None => refuse(&format!("messor man: there is no manual page of '{program}'")),
        },
        ("man", _) => refuse("messor man: give the program, as in 'messor man mesos-agent'"),
        // Not in help: it is for those who write COMPATIBILITY.md.
        ("flags-table", []) => say(&flags_table()),
        (name, rest) => match programs::meant(name) {
            Some(program) => program.run(rest),
            None => refuse(&programs::unknown(name)),
        },
    }
}

fn help() -> String {
    let mut text = String::from(
        "\
Usage: messor PROGRAM [--flag=value]...
       messor COMMAND

Messor is one binary that is each of these programs, also when called by its
name through a link:

",
    );
    for program in &PROGRAMS {
        let built = if program.is_built() { "" } else { " (not built yet)" };
        text.push_str(&format!("  {:<18}{}{built}\n", program.short(), program.about));
    }
    text.push_str(
        "
Commands:

  install DIRECTORY           Make the links mesos-master, mesos-agent and so on;
                              with --share=/usr/share also put manual pages and
                              completion scripts below that directory.
  completion bash|zsh|fish    Print a script with which the shell completes flags.
  man PROGRAM                 Print a manual page in roff.

'messor PROGRAM --help' tells a program's flags.
",
    );
    text
}

/// A row for each flag in Markdown.
fn flags_table() -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let mut text =
        String::from("| Program | Flag | Older name | Default | Here | Why |\n|---|---|---|---|---|---|\n");
    for row in rows() {
        // A flag works no more than its program does. Drivers are libraries, of which there is none.
        let built =
            programs::named(row.program).map_or(row.program != "scheduler driver", programs::Entry::is_built);
        let (status, reason) =
            if built { (row.status, row.reason) } else { ("not yet", "the program is not built") };
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            row.program,
            row.flag,
            row.alias.unwrap_or_default(),
            cell(row.default.unwrap_or_default()),
            status,
            cell(reason)
        ));
    }
    text
}
