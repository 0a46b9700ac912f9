//! The words of bash's `ulimit`, such as `-n 8192`, as limits of this process and of what it becomes.

use messor_linux::limits::Limit;

/// The options that are Linux's, with the name of the limit and the size of its unit.
const OPTIONS: [(char, &str, u64); 14] = [
    ('c', "RLMT_CORE", 1024),
    ('d', "RLMT_DATA", 1024),
    ('e', "RLMT_NICE", 1),
    ('f', "RLMT_FSIZE", 1024),
    ('i', "RLMT_SIGPENDING", 1),
    ('l', "RLMT_MEMLOCK", 1024),
    ('m', "RLMT_RSS", 1024),
    ('n', "RLMT_NOFILE", 1),
    ('q', "RLMT_MSGQUEUE", 1),
    ('r', "RLMT_RTPRIO", 1),
    ('s', "RLMT_STACK", 1024),
    ('t', "RLMT_CPU", 1),
    ('u', "RLMT_NPROC", 1),
    ('v', "RLMT_AS", 1024),
];

pub fn parse(text: &str) -> Result<Vec<Limit>, String> {
    let mut limits = Vec::new();
    let (mut soft, mut hard) = (false, false);
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty());
        let letters = letters.ok_or_else(|| format!("'{word}' is no option of ulimit, such as -n"))?;
        for letter in letters.chars() {
            match letter {
                'S' => soft = true,
                'H' => hard = true,
                _ => {
                    let (_, name, unit) = OPTIONS
                        .iter()
                        .find(|(option, ..)| *option == letter)
                        .ok_or_else(|| format!("ulimit has no option -{letter} here"))?;
                    let value = words.next().ok_or_else(|| format!("-{letter} needs a value"))?;
                    limits.push(limit(name, *unit, value, soft, hard)?);
                }
            }
        }
    }
    Ok(limits)
}

/// Without -S or -H both bounds are set.
fn limit(name: &str, unit: u64, value: &str, soft: bool, hard: bool) -> Result<Limit, String> {
    let now = Limit::current(name).map_err(|error| error.to_string())?;
    let bound = match value {
        "unlimited" => u64::MAX,
        "hard" => now.hard,
        "soft" => now.soft,
        _ => value
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(unit))
            .ok_or_else(|| format!("'{value}' is neither a number nor unlimited, hard or soft"))?,
    };
    let (soft, hard) = if soft == hard { (true, true) } else { (soft, hard) };
    let pick = |chosen: bool, now: u64| if chosen { bound } else { now };
    Limit::new(name, Some(pick(soft, now.soft)), Some(pick(hard, now.hard)))
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_ulimit() {
        let found = parse("-n 8192 -Sc unlimited").unwrap();
        assert_eq!((found.len(), found[0].soft, found[0].hard), (2, 8192, 8192));
        let core = Limit::current("RLMT_CORE").unwrap();
        assert_eq!((found[1].soft, found[1].hard), (u64::MAX, core.hard));
        assert_eq!(parse("-l 64").unwrap()[0].soft, 64 * 1024);
        assert!(parse("").unwrap().is_empty());
        for (text, part) in [
            ("8192", "no option"),
            ("-n", "needs a value"),
            ("-n many", "neither a number"),
            ("-z 1", "-z"),
            ("-s 99999999999999999999", "neither"),
        ] {
            assert!(parse(text).unwrap_err().contains(part), "{text}");
        }
    }
}
