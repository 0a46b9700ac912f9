//! The command line by itself: what it takes, what it says of mistakes.

use clap::CommandFactory;

use super::*;

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

/// Each flag and each word of each command has a sentence.
#[test]
fn everything_is_explained() {
    fn look(command: &clap::Command, name: &str, seen: &mut usize) {
        assert!(command.get_about().is_some(), "{name}");
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty(), "{name}: {} is not explained", argument.get_id());
            *seen += 1;
        }
        for below in command.get_subcommands().filter(|one| one.get_name() != "help") {
            look(below, &format!("{name} {}", below.get_name()), seen);
        }
    }
    let mut command = Arguments::command();
    command.build();
    let mut seen = 0;
    look(&command, "mesos", &mut seen);
    assert!(seen > 100, "{seen}");
}

fn said(words: &[&str]) -> Result<String, String> {
    let arguments = Arguments::try_parse_from(std::iter::once(&"mesos").chain(words));
    let arguments = arguments.map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    let mut screen = Screen::new(arguments.common.json, Some(80), &mut out);
    run(&arguments, None, &mut screen).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    for (words, part) in [
        (&["agent", "drain", "a", "--max-grace-period=x"][..], "--max-grace-period"),
        (&["weights", "set"], "ROLE=WEIGHT"),
        (&["--config=/not/there", "agent", "list"], "/not/there"),
        (&["--master=etcd://x", "agent", "list"], "not supported yet"),
        (&["--master=127.0.0.1:1", "agent", "list"], "no connection to 127.0.0.1:1"),
    ] {
        let error = said(words).unwrap_err();
        assert!(error.contains(part), "{words:?}: {error}");
    }
    assert!(said(&["--master=m:1", "config", "show"]).unwrap().contains("m:1 (--master or MESOS_MASTER)"));
    assert!(said(&["completion", "bash"]).unwrap().contains("complete"));
}

#[test]
fn one_of_many_is_found_by_its_end_its_beginning_or_its_other_name() {
    let all = [("abc-S0", "one"), ("abc-S10", "two"), ("abd-S1", "two")];
    let find = |name: &str| {
        one_of(&all, name, "agent", "agent list", |one| one.0, |one| one.1)
            .map(|one| one.0)
            .map_err(|error| error.to_string())
    };
    assert_eq!(find("S0"), Ok("abc-S0"));
    assert_eq!(find("abc-S10"), Ok("abc-S10"));
    assert_eq!(find("abd"), Ok("abd-S1"));
    assert_eq!(find("one"), Ok("abc-S0"));
    assert!(find("two").unwrap_err().contains("abc-S10 or abd-S1"));
    assert!(find("onr").unwrap_err().contains("did you mean one?"));
    assert!(find("zzzzzz").unwrap_err().contains("'mesos agent list' shows"));
}
