//! Manual pages and completion scripts of all programs: made of the definitions of their flags, and of `mesos` of the
//! definition of its commands.

use messor_flags::{ProgramInfo, Shell, man, roff, section};

use crate::programs::{self, PROGRAMS};

/// A file of a directory such as /usr/share.
pub struct Document {
    /// Below that directory.
    pub path: String,
    pub text: String,
}

/// Programs with flags; what is started as a plugin has no page.
fn infos() -> Vec<ProgramInfo> {
    messor_flags::programs()
}

/// The manual page of a program, with or without `mesos-` in front.
pub fn page(program: &str) -> Option<Document> {
    let document = |section: u8, name: &str, text: String| Document {
        path: format!("man/man{section}/{name}.{section}"),
        text,
    };
    if program == "messor" {
        return Some(document(1, "messor", own()));
    }
    let name = programs::meant(program)?.name;
    if name == "mesos" {
        return Some(document(1, name, messor_cli::manual()));
    }
    let info = infos().into_iter().find(|info| info.name == name)?;
    Some(document(section(&info), name, man(&info)))
}

/// The page of `messor` itself: what it can be.
fn own() -> String {
    let mut text = format!(".TH MESSOR 1 \"\" \"messor {}\" \"Messor\"\n", env!("CARGO_PKG_VERSION"));
    text.push_str(
        ".SH NAME\nmessor \\- a cluster manager that speaks Apache Mesos, all of its programs in one\n",
    );
    text.push_str(
        ".SH SYNOPSIS\n\\fBmessor\\fR \\fIPROGRAM\\fR [\\fB\\-\\-flag\\fR=\\fIvalue\\fR]...\n.br\n",
    );
    text.push_str(
        "\\fBmessor\\fR \\fBinstall\\fR \\fIDIRECTORY\\fR [\\fB\\-\\-share\\fR=\\fIDIRECTORY\\fR]\n.br\n",
    );
    text.push_str("\\fBmessor\\fR \\fBcompletion\\fR bash|zsh|fish\n.br\n");
    text.push_str("\\fBmessor\\fR \\fBman\\fR \\fIPROGRAM\\fR\n");
    text.push_str(".SH PROGRAMS\nCalled by one of these names, by a link, it is that program.\n");
    for program in PROGRAMS.iter().filter(|program| program.is_built()) {
        text.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", roff(program.name), roff(program.about)));
    }
    text
}

/// Completion of every program in one script.
pub fn completion(shell: &str) -> Option<String> {
    let flags = messor_flags::completion(Shell::named(shell)?, &infos());
    Some(format!("{flags}{}", messor_cli::completion(shell)?))
}

/// Every manual page, and the completion scripts where the three shells look for them, one file a program.
pub fn all() -> Vec<Document> {
    let names = ["messor", "mesos"].into_iter().chain(infos().into_iter().map(|info| info.name));
    let mut all: Vec<Document> = names.filter_map(page).collect();
    for name in Shell::NAMES {
        let Some(shell) = Shell::named(name) else { continue };
        let mut add = |program: &str, text: String| {
            let path = match shell {
                Shell::Bash => format!("bash-completion/completions/{program}"),
                Shell::Zsh => format!("zsh/vendor-completions/_{program}"),
                Shell::Fish => format!("fish/vendor_completions.d/{program}.fish"),
            };
            all.push(Document { path, text });
        };
        for info in infos() {
            add(info.name, messor_flags::completion(shell, &[info]));
        }
        if let Some(script) = messor_cli::completion(name) {
            add("mesos", script);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_with_flags_has_a_page_and_completion() {
        let all = all();
        let is_there = |path: &str| all.iter().any(|document| document.path == path);
        for path in [
            "man/man1/messor.1",
            "man/man1/mesos.1",
            "man/man8/mesos-agent.8",
            "man/man1/mesos-ps.1",
            "bash-completion/completions/mesos-master",
            "bash-completion/completions/mesos",
            "zsh/vendor-completions/_mesos-execute",
            "fish/vendor_completions.d/mesos-log.fish",
        ] {
            assert!(is_there(path), "{path}");
        }
        assert!(all.iter().all(|document| document.text.ends_with('\n') && document.text.len() > 80));
        assert!(page("zebra").is_none() && page("agent").is_some());
        assert!(
            completion("bash").is_some_and(|text| text.contains("--work_dir=") && text.contains("teardown"))
        );
        assert!(completion("tcsh").is_none());
    }
}
