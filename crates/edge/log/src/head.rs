//! How a program without a log of its own begins.

use std::process::ExitCode;

use messor_flags::{Program, Request, Source};

/// Its flags, by its words and what is around it; each warning, and why words are wrong, go to `say` as a line. Help, version
/// and wrong flags end it with this exit code.
pub fn flags<P: Program>(words: &[String], source: &dyn Source, say: impl Fn(&str)) -> Result<P, ExitCode> {
    match messor_flags::parse::<P>(words, source) {
        Ok(Request::Run(parsed)) => {
            parsed.warnings.iter().for_each(|warning| say(warning));
            Ok(parsed.flags)
        }
        Ok(Request::Help(text) | Request::Version(text)) => {
            println!("{text}");
            Err(ExitCode::SUCCESS)
        }
        Err(error) => {
            say(&error.to_string());
            Err(ExitCode::FAILURE)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use messor_flags::LogrotateFlags;

    use super::*;
    use crate::Surroundings;

    #[test]
    fn wrong_words_are_told_and_help_is_no_failure() {
        let said = RefCell::new(Vec::new());
        let read = |word: &str| {
            let words = [word.to_string()];
            flags::<LogrotateFlags>(&words, &Surroundings, |line| said.borrow_mut().push(line.to_string()))
        };
        assert_eq!(
            read("--log_filename=/l").ok().and_then(|flags| flags.log_filename).as_deref(),
            Some("/l")
        );
        assert_eq!(format!("{:?}", read("--help").err()), format!("{:?}", Some(ExitCode::SUCCESS)));
        assert!(said.borrow().is_empty());
        assert_eq!(format!("{:?}", read("--no_such_flag=1").err()), format!("{:?}", Some(ExitCode::FAILURE)));
        assert!(said.borrow()[0].contains("no_such_flag"), "{said:?}");
    }
}
