//! The manual page of `mesos` and its completion in shells, made of the definition of its command line.

use std::io::Write;

use clap::{Arg, Command, CommandFactory, ValueEnum};
use clap_complete::Shell;
use messor_flags::roff;

use super::arguments::Arguments;

/// A script with which a shell completes `mesos`; None of a shell that is not known.
pub fn completion(shell: &str) -> Option<String> {
    let shell = Shell::from_str(shell, true).ok()?;
    let mut script = Vec::new();
    complete(shell, &mut script);
    String::from_utf8(script).ok()
}

pub fn complete(shell: Shell, out: &mut dyn Write) {
    let mut all = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "mesos", &mut all);
    // Whoever closed the output does not want it.
    let _ = out.write_all(&all);
}

/// The manual page of `mesos`, in roff.
pub fn manual() -> String {
    let mut command = Arguments::command();
    command.build();
    let mut page = Page(String::new());
    page.line(&format!(".TH MESOS 1 \"\" \"messor {}\" \"Messor\"", env!("CARGO_PKG_VERSION")));
    page.line(".SH NAME");
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    page.line(&format!("mesos \\- {}", roff(about.trim_end_matches('.'))));
    page.line(".SH SYNOPSIS");
    page.line("\\fBmesos\\fR [\\fIoptions\\fR] \\fIgroup\\fR \\fIcommand\\fR");
    page.line(".SH OPTIONS");
    page.line("These go with every command.");
    for argument in command.get_arguments() {
        page.argument(argument);
    }
    page.line(".SH COMMANDS");
    for group in command.get_subcommands() {
        if group.get_name() == "help" {
            continue;
        }
        page.command("mesos", group);
    }
    page.line(".SH FILES");
    page.line(".TP");
    page.line("\\fB~/.mesos/config.toml\\fR");
    page.line("The master, in TOML, as the command line of Apache Mesos has it: \\fBaddress\\fR, or");
    page.line(
        "\\fBzookeeper.addresses\\fR and \\fBzookeeper.path\\fR, of the table \\fBmaster\\fR; besides, its",
    );
    page.line("\\fBprincipal\\fR and \\fBsecret\\fR.");
    page.line(".SH EXIT STATUS");
    page.line("0 where what was asked for is done, 1 where it is not, 64 of a wrong command line;");
    page.line("of \\fBmesos task exec\\fR, \\fBattach\\fR and \\fBwait\\fR that of the task or command.");
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// A command and those below it.
    fn command(&mut self, above: &str, command: &Command) {
        let name = format!("{above} {}", command.get_name());
        let below: Vec<&Command> = command.get_subcommands().filter(|one| one.get_name() != "help").collect();
        if below.is_empty() {
            self.line(&format!(".SS {}", roff(&name)));
            self.line(&usage(&name, command));
            self.line(".P");
            self.line(&sentence(command.get_about()));
            let own = command.get_arguments().filter(|one| !one.is_global_set());
            for argument in own.filter(|one| one.get_id() != "help" && one.get_help().is_some()) {
                self.argument(argument);
            }
        }
        for one in below {
            self.command(&name, one);
        }
    }

    fn argument(&mut self, argument: &Arg) {
        if argument.get_id() == "version" || argument.get_id() == "help" {
            return;
        }
        self.line(".TP");
        self.line(&heading(argument));
        self.line(&sentence(argument.get_help()));
    }
}

fn sentence(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    if text.is_empty() || text.ends_with('.') { roff(&text) } else { format!("{}.", roff(&text)) }
}

fn value_name(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    names.first().map_or_else(|| argument.get_id().as_str().to_uppercase(), ToString::to_string)
}

/// `-n, --lines COUNT`, or the name of a word that stands alone.
fn heading(argument: &Arg) -> String {
    let long = argument.get_long().map(|long| format!("--{long}"));
    let short = argument.get_short().map(|short| format!("-{short}"));
    let names: Vec<String> =
        short.into_iter().chain(long).map(|name| format!("\\fB{}\\fR", roff(&name))).collect();
    let value = format!("\\fI{}\\fR", roff(&value_name(argument)));
    match (names.is_empty(), argument.get_action().takes_values()) {
        (true, _) => value,
        (false, true) => format!("{} {value}", names.join(", ")),
        (false, false) => names.join(", "),
    }
}

fn usage(name: &str, command: &Command) -> String {
    let mut line = format!("\\fB{}\\fR", roff(name));
    for argument in command.get_arguments().filter(|one| !one.is_global_set() && one.get_id() != "help") {
        let text = match argument.is_positional() {
            true => format!("\\fI{}\\fR", roff(&value_name(argument))),
            false => heading(argument),
        };
        let text = if argument.is_required_set() { text } else { format!("[{text}]") };
        line.push_str(&format!(" {text}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_command_and_option() {
        let page = manual();
        let mut command = Arguments::command();
        command.build();
        let mut seen = 0;
        for group in command.get_subcommands().filter(|one| one.get_name() != "help") {
            for one in group.get_subcommands().filter(|one| one.get_name() != "help") {
                let heading =
                    format!(".SS {}", roff(&format!("mesos {} {}", group.get_name(), one.get_name())));
                assert!(page.contains(&heading), "{heading}");
                for long in one.get_arguments().filter_map(Arg::get_long).filter(|long| *long != "help") {
                    assert!(page.contains(&roff(&format!("--{long}"))), "{heading}: {long}");
                }
                seen += 1;
            }
        }
        assert!(seen > 30, "{seen}");
        for line in page.lines().filter(|line| line.starts_with(['.', '\''])) {
            let request = line.split(' ').next().unwrap();
            assert!([".TH", ".SH", ".SS", ".TP", ".P"].contains(&request), "{line}");
        }
    }

    #[test]
    fn shells_complete_it() {
        for shell in ["bash", "zsh", "fish"] {
            let script = completion(shell).unwrap();
            assert!(script.contains("drain") && script.contains("max-grace-period"), "{shell}");
        }
        assert_eq!(completion("tcsh"), None);
    }
}
