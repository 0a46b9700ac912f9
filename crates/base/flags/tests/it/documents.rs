//! Help, manual pages and completion.

use messor_flags::{Shell, completion, help, man, programs};

#[test]
fn help_fits_eighty_columns() {
    for program in programs() {
        let text = help(&program);
        for line in text.lines() {
            let words = line.split_whitespace().count();
            assert!(line.chars().count() <= 80 || words == 1, "{}: {line}", program.name);
        }
        for flag in program.flags() {
            assert!(text.contains(flag.name), "{}: {}", program.name, flag.name);
        }
    }
}

#[test]
fn help_reads_like_this() {
    let program = programs().into_iter().find(|program| program.name == "mesos-resolve").unwrap();
    let expected = "\
Usage: mesos-resolve [--flag=value]... MASTER

Prints the address of the leading master.

General:
  --[no-]help
      Print this help and exit.

Resolving:
  --timeout=DURATION
      How long to look for the master.
      [default: 5secs]
  --[no-]verbose
      Whether to tell what is done.";
    assert_eq!(help(&program), expected);
}

#[test]
fn manual_pages_have_every_flag() {
    for program in programs() {
        let text = man(&program);
        assert!(text.starts_with(".TH MESOS-"), "{}", program.name);
        for flag in program.flags() {
            assert!(text.contains(flag.name), "{}: {}", program.name, flag.name);
        }
        for line in text.lines().filter(|line| line.starts_with(['.', '\''])) {
            let request = line.split(' ').next().unwrap();
            assert!([".TH", ".SH", ".SS", ".TP", ".B"].contains(&request), "{line}");
        }
    }
}

#[test]
fn shells_complete_every_flag() {
    let programs = programs();
    for name in Shell::NAMES {
        let script = completion(Shell::named(name).unwrap(), &programs);
        for flag in programs.iter().flat_map(|program| program.flags()) {
            assert!(script.contains(flag.name), "{name}: {}", flag.name);
        }
    }
    assert_eq!(Shell::named("powershell"), None);
}
