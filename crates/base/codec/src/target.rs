//! Request targets: percent-decoding, paths and query strings by the rules of Apache Mesos. What a path means is
//! not known here.

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("'{0}' has a % that is not followed by two hexadecimal digits")]
    Escape(String),
    #[error("'{0}' is not UTF-8 once its percent escapes are decoded")]
    Utf8(String),
    #[error("the request path must start with '/'")]
    Path,
}

/// A request target cut at `?` and `#`, nothing decoded yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    pub path: &'a str,
    pub query: &'a str,
}

impl<'a> Target<'a> {
    /// Cuts an origin-form target such as `/master/state?jsonp=f`.
    pub fn parse(text: &'a str) -> Result<Target<'a>, TargetError> {
        let text = text.split_once('#').map_or(text, |(before, _)| before);
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        if path.starts_with('/') { Ok(Target { path, query }) } else { Err(TargetError::Path) }
    }

    /// Whether the path tries to climb (`/..`): Apache Mesos answers such requests with 404.
    pub fn climbs(&self) -> bool {
        self.path.contains("/..")
    }

    /// The parts of the path between slashes, empty ones left out, not decoded.
    pub fn segments(&self) -> impl Iterator<Item = &'a str> {
        self.path.split('/').filter(|part| !part.is_empty())
    }
}

/// Decodes `%XX` and, as Apache Mesos does in paths and queries alike, `+` as a space.
pub fn decode(text: &str) -> Result<String, TargetError> {
    if !text.contains(['%', '+']) {
        return Ok(text.to_string());
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let digit = |at: usize| {
                    bytes.get(at).and_then(|byte| (*byte as char).to_digit(16)).map(|digit| digit as u8)
                };
                let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else {
                    return Err(TargetError::Escape(text.to_string()));
                };
                out.push(high << 4 | low);
                at += 3;
            }
            byte => {
                out.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    String::from_utf8(out).map_err(|_| TargetError::Utf8(text.to_string()))
}

/// Appends `text` with everything escaped but letters, digits and `-_.~` and the characters in `keep`.
pub fn encode_into(out: &mut String, text: &str, keep: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keep.as_bytes().contains(&byte) {
            out.push(byte as char);
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(DIGITS[usize::from(byte >> 4)] as char);
            out.push(DIGITS[usize::from(byte & 15)] as char);
        }
    }
}

/// `text` escaped so that it can be one key, value or path segment.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    encode_into(&mut out, text, "");
    out
}

/// A decoded query string, in the order written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Cuts at `&` and `;`; a key without `=` has an empty value.
    pub fn parse(text: &str) -> Result<Query, TargetError> {
        let mut pairs = Vec::new();
        for pair in text.split(['&', ';']).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(key)?, decode(value)?));
        }
        Ok(Query(pairs))
    }

    /// The value of `key`; of several, the last one, as in Apache Mesos.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn targets_are_cut() {
        let target = Target::parse("/slave(1)//state?a=1#top?").unwrap();
        assert_eq!(target, Target { path: "/slave(1)//state", query: "a=1" });
        assert_eq!(target.segments().collect::<Vec<_>>(), ["slave(1)", "state"]);
        assert!(Target::parse("/a/../b").unwrap().climbs());
        assert_eq!(Target::parse("state"), Err(TargetError::Path));
        assert_eq!(Target::parse(""), Err(TargetError::Path));
        assert_eq!(Target::parse("*"), Err(TargetError::Path));
    }

    #[test]
    fn queries_follow_the_rules_of_mesos() {
        let query = Query::parse("a=1;b=x%20y+z&flag&&a=2&c==d&%26=%3d").unwrap();
        assert_eq!(query.get("a"), Some("2"));
        assert_eq!(query.get("b"), Some("x y z"));
        assert_eq!(query.get("flag"), Some(""));
        assert_eq!(query.get("c"), Some("=d"));
        assert_eq!(query.get("&"), Some("="));
        assert_eq!(query.get("d"), None);
        assert!(Query::parse("").unwrap().is_empty());
        assert_eq!(query.iter().next(), Some(("a", "1")));
    }

    #[test]
    fn broken_escapes_are_refused() {
        for text in ["%", "%1", "a%g0", "%0", "%%20"] {
            assert_eq!(decode(text), Err(TargetError::Escape(text.into())), "{text}");
        }
        assert_eq!(decode("%ff"), Err(TargetError::Utf8("%ff".into())));
        assert_eq!(Query::parse("a=%"), Err(TargetError::Escape("%".into())));
    }

    proptest! {
        #[test]
        fn encoding_is_undone_by_decoding(text in any::<String>()) {
            prop_assert_eq!(decode(&encode(&text)).unwrap(), text);
        }

        #[test]
        fn decoding_never_panics(text in any::<String>()) {
            let _ = decode(&text);
            let _ = Query::parse(&text);
            if let Ok(target) = Target::parse(&text) {
                prop_assert!(target.path.starts_with('/'));
            }
        }
    }
}
