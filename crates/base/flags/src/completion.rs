//! Scripts with which shells complete flags.

use crate::definition::{Flag, Kind, ProgramInfo};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    pub const NAMES: [&'static str; 3] = ["bash", "zsh", "fish"];

    pub fn named(name: &str) -> Option<Shell> {
        match name {
            "bash" => Some(Shell::Bash),
            "zsh" => Some(Shell::Zsh),
            "fish" => Some(Shell::Fish),
            _ => None,
        }
    }
}

/// A script for these programs.
pub fn completion(shell: Shell, programs: &[ProgramInfo]) -> String {
    match shell {
        Shell::Bash => bash(programs),
        Shell::Zsh => zsh(programs),
        Shell::Fish => fish(programs),
    }
}

/// The words that may be typed for a flag.
fn words(flag: &Flag) -> Vec<String> {
    match flag.kind {
        Kind::Bool => vec![format!("--{}", flag.name), format!("--no-{}", flag.name)],
        _ => vec![format!("--{}=", flag.name)],
    }
}

fn function(program: &ProgramInfo) -> String {
    format!("_{}", program.name.replace('-', "_"))
}

fn bash(programs: &[ProgramInfo]) -> String {
    let mut out = String::new();
    for program in programs {
        let words: Vec<String> = program.flags().flat_map(words).collect();
        let name = function(program);
        out.push_str(&format!(
            "{name}() {{\n  local word=\"${{COMP_WORDS[COMP_CWORD]}}\"\n  compopt -o nospace 2>/dev/null\n  \
             COMPREPLY=($(compgen -W '{}' -- \"$word\"))\n}}\ncomplete -o default -F {name} {}\n",
            words.join(" "),
            program.name
        ));
    }
    out
}

fn zsh(programs: &[ProgramInfo]) -> String {
    let mut out = String::new();
    let names: Vec<&str> = programs.iter().map(|program| program.name).collect();
    out.push_str(&format!("#compdef {}\n", names.join(" ")));
    for program in programs {
        out.push_str(&format!("{}() {{\n  _arguments \\\n", function(program)));
        for flag in program.flags() {
            let help = summary(flag.help).replace('\'', "'\\''").replace(['[', ']', ':'], " ");
            for word in words(flag) {
                let files = if flag.kind == Kind::Path { ":file:_files" } else { ":value:" };
                let value = if word.ends_with('=') { files } else { "" };
                out.push_str(&format!("    '{word}[{help}]{value}' \\\n"));
            }
        }
        out.push_str("    '*: :_files'\n}\n");
    }
    // In a directory of completions a file is itself the function of its name; read by a user, it says what there is.
    out.push_str("case ${funcstack[1]} in\n");
    for program in programs {
        out.push_str(&format!("  _{}) {} \"$@\" ;;\n", program.name, function(program)));
    }
    out.push_str("  *)\n");
    for program in programs {
        out.push_str(&format!("    compdef {} {}\n", function(program), program.name));
    }
    out.push_str("    ;;\nesac\n");
    out
}

fn fish(programs: &[ProgramInfo]) -> String {
    let mut out = String::new();
    for program in programs {
        for flag in program.flags() {
            let help = summary(flag.help).replace('\\', "\\\\").replace('\'', "\\'");
            let argument = match flag.kind {
                Kind::Bool => "",
                Kind::Path => " -r",
                _ => " -x",
            };
            out.push_str(&format!("complete -c {} -l {}{argument} -d '{help}'\n", program.name, flag.name));
            if flag.kind == Kind::Bool {
                out.push_str(&format!("complete -c {} -l no-{} -d 'Not: {help}'\n", program.name, flag.name));
            }
        }
    }
    out
}

/// The first sentence.
fn summary(help: &str) -> &str {
    help.split_once(". ").map_or(help, |(first, _)| first).trim_end_matches('.')
}
