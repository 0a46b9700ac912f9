//! What a client accepts (`Accept`, `Accept-Encoding`) and what it sends (`Content-Type`), by the rules of
//! Apache Mesos. It knows header values only.

/// Whether an `Accept` header lets `media_type` (`type/subtype`) be sent. Without the header everything is accepted.
///
/// The most exact entry decides (`type/subtype`, then `type/*`, then `*/*`), and refuses only with `q=0`.
pub fn accepts_media_type(accept: Option<&str>, media_type: &str) -> bool {
    let Some(accept) = accept else { return true };
    let Some((kind, _)) = media_type.split_once('/') else { return false };
    let any_of_kind = format!("{kind}/*");
    [media_type, &any_of_kind, "*/*"].into_iter().find_map(|name| verdict(accept, name)).unwrap_or(false)
}

/// Whether an `Accept-Encoding` header asks for `coding`. Without the header, or with an empty one, it does not.
pub fn accepts_encoding(accept_encoding: Option<&str>, coding: &str) -> bool {
    let Some(accept) = accept_encoding else { return false };
    [coding, "*"].into_iter().find_map(|name| verdict(accept, name)).unwrap_or(false)
}

/// What the first entry for `name` in a comma separated list says, if there is one.
fn verdict(list: &str, name: &str) -> Option<bool> {
    list.split(',').find_map(|entry| {
        let mut parts = entry.split(';').map(without_blanks).filter(|part| !part.is_empty());
        if !parts.next()?.eq_ignore_ascii_case(name) {
            return None;
        }
        let weights: Vec<String> =
            parts.filter_map(|part| part.strip_prefix("q=").map(str::to_string)).collect();
        Some(match weights.as_slice() {
            [weight] => weight.parse::<f64>().is_ok_and(|weight| weight > 0.0),
            // No weight, or several: Apache Mesos takes both as acceptance.
            _ => true,
        })
    })
}

fn without_blanks(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n')).collect()
}

/// The media type of a `Content-Type` value in lower case, without its parameters.
pub fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "application/json";
    const PROTOBUF: &str = "application/x-protobuf";

    #[test]
    fn media_types() {
        assert!(accepts_media_type(None, JSON));
        for accept in [
            "application/json",
            "Application/JSON",
            "text/html, application/json ; q=0.5",
            "application/*",
            "*/*",
            "text/html;q=0, */*;q=0.1",
            "application/json;charset=utf-8",
            "application/json;q=1;q=0",
        ] {
            assert!(accepts_media_type(Some(accept), JSON), "{accept}");
        }
        for accept in [
            "",
            "text/*",
            "application/json;q=0",
            "application/json; q=0.0, */*",
            "application/json;q=x",
            ";",
        ] {
            assert!(!accepts_media_type(Some(accept), JSON), "{accept}");
        }
        assert!(!accepts_media_type(Some("application/json, */*;q=0"), PROTOBUF));
        assert!(!accepts_media_type(Some("*/*"), "json"));
    }

    #[test]
    fn encodings() {
        assert!(!accepts_encoding(None, "gzip"));
        assert!(!accepts_encoding(Some(""), "gzip"));
        assert!(accepts_encoding(Some("deflate, GZIP;q=0.3"), "gzip"));
        assert!(accepts_encoding(Some("*"), "gzip"));
        assert!(!accepts_encoding(Some("gzip;q=0, *"), "gzip"));
        assert!(!accepts_encoding(Some("deflate"), "gzip"));
    }

    #[test]
    fn content_types() {
        assert_eq!(media_type("Application/JSON; charset=utf-8"), JSON);
        assert_eq!(media_type(""), "");
    }
}
