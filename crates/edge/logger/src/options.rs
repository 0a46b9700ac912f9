//! Options of logrotate that a container's own environment may give.
//!
//! Those of the operator are taken as they are. A framework's would otherwise be a way to run scripts, and to move files
//! elsewhere, beyond what its task's isolation allows.

/// Those that change how this one log is rotated, and nothing else.
const ALLOWED: [&str; 29] = [
    "rotate",
    "compress",
    "nocompress",
    "delaycompress",
    "nodelaycompress",
    "dateext",
    "nodateext",
    "dateformat",
    "dateyesterday",
    "extension",
    "compressext",
    "start",
    "maxage",
    "missingok",
    "nomissingok",
    "ifempty",
    "notifempty",
    "create",
    "nocreate",
    "hourly",
    "daily",
    "weekly",
    "monthly",
    "yearly",
    "size",
    "minsize",
    "maxsize",
    "minage",
    "nomail",
];

/// What is wrong with them, if anything is.
pub(crate) fn check(options: &str) -> Result<(), String> {
    for line in options.lines() {
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        if name.starts_with('#') {
            continue;
        }
        if !ALLOWED.contains(&name) {
            return Err(format!("'{name}' is an option of logrotate that containers may not set"));
        }
        let plain = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || "._-%".contains(c));
        if let Some(word) = words.find(|word| !plain(word)) {
            return Err(format!("'{word}' is no value that containers may give to '{name}' of logrotate"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_say_how_their_log_is_rotated_and_nothing_else() {
        assert_eq!(check("rotate 9\n  compress\n\n# a word\ndateformat -%Y%m%d\n"), Ok(()));
        for wrong in [
            "postrotate\ntouch /evil\nendscript",
            "olddir /etc/cron.d",
            "include /evil",
            "compresscmd /evil",
            "}\n/etc/passwd {\nrotate 1",
            "rotate 1 }",
            "extension /../x",
            "dateformat -%Y/../x",
            "su root root",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
