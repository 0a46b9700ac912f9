//! The names of znodes that count, and the sequence that the servers put at their end.

use crate::outcome::Format;

/// Whose znodes are below a path. Others there are foreign and are not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `json.info_0000000007`, and `info_0000000007` of masters before 0.24.
    Masters,
    /// `0000000007`.
    Replicas,
}

impl Family {
    /// What a member's name begins with.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Family::Masters => "json.info_",
            Family::Replicas => "",
        }
    }

    pub(crate) fn read(self, name: &str) -> Option<(i32, Format)> {
        let (digits, format) = match self {
            Family::Masters => match (name.strip_prefix("json.info_"), name.strip_prefix("info_")) {
                (Some(digits), _) => (digits, Format::Json),
                (None, Some(digits)) => (digits, Format::Protobuf),
                (None, None) => return None,
            },
            Family::Replicas => (name, Format::Json),
        };
        // The servers count in 32 bits and go on below zero.
        let bare = digits.strip_prefix('-').unwrap_or(digits);
        let is_sequence = bare.len() >= 10 && bare.bytes().all(|byte| byte.is_ascii_digit());
        Some((is_sequence.then(|| digits.parse().ok()).flatten()?, format))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_do_not_count() {
        for (name, masters, replicas) in [
            ("json.info_0000000007", Some((7, Format::Json)), None),
            ("info_0000000008", Some((8, Format::Protobuf)), None),
            ("0000000009", None, Some((9, Format::Json))),
            ("json.info_-2147483648", Some((i32::MIN, Format::Json)), None),
            ("json.info_2147483648", None, None),
            ("json.info_", None, None),
            ("json.info_7", None, None),
            ("json.info_+000000007", None, None),
            ("other_0000000001", None, None),
            ("log_replicas", None, None),
            ("", None, None),
        ] {
            assert_eq!(Family::Masters.read(name), masters, "{name}");
            assert_eq!(Family::Replicas.read(name), replicas, "{name}");
        }
    }
}
