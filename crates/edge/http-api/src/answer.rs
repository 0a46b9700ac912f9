//! Answers: status, headers, a body that is whole or a stream of records.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use crate::request::{JSON, Request};

/// An answer with a whole body.
pub type Answer = http::Response<Bytes>;

const TEXT: &str = "text/plain; charset=utf-8";

/// Any answer whose body is known; `content_type` empty for none.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = http::Response::new(body.into());
    *answer.status_mut() = status;
    if !content_type.is_empty() {
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    answer
}

pub fn empty(status: StatusCode) -> Answer {
    answer(status, "", Bytes::new())
}

/// A refusal or an error, in words.
pub fn text(status: StatusCode, words: impl Into<String>) -> Answer {
    answer(status, TEXT, words.into())
}

pub fn bad_request(words: impl Into<String>) -> Answer {
    text(StatusCode::BAD_REQUEST, words)
}

/// What the real 1.11.0 says where nothing is: the path is not repeated, as a browser could take it for a page.
pub fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "404 Not Found.")
}

pub fn not_supported(what: impl std::fmt::Display) -> Answer {
    text(StatusCode::NOT_IMPLEMENTED, format!("not supported yet: {what}"))
}

/// 405, with the methods that are allowed ("GET, PUT").
pub fn method_not_allowed(allowed: &str, used: &http::Method) -> Answer {
    let mut answer = text(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("expecting one of {{ {allowed} }}, but received '{used}'"),
    );
    if let Ok(value) = HeaderValue::from_str(allowed) {
        answer.headers_mut().insert(header::ALLOW, value);
    }
    answer
}

/// JSON, or a JavaScript call of what `?jsonp=` names. The name may only be an identifier path: anything else could be
/// a script of somebody else's.
pub fn json(request: &Request, body: Vec<u8>) -> Answer {
    match request.query.get("jsonp").filter(|name| !name.is_empty()) {
        None => answer(StatusCode::OK, JSON, body),
        Some(name)
            if name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.' | '[' | ']')) =>
        {
            let mut script = Vec::with_capacity(name.len() + body.len() + 3);
            script.extend_from_slice(name.as_bytes());
            script.push(b'(');
            script.extend_from_slice(&body);
            script.push(b')');
            answer(StatusCode::OK, "text/javascript", script)
        }
        Some(_) => bad_request("jsonp must be a JavaScript identifier"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str) -> Request {
        Request::new(http::Method::GET, target, Default::default(), Bytes::new()).unwrap()
    }

    #[test]
    fn jsonp_takes_only_identifiers() {
        let body = json(&request("/version?jsonp=cb"), b"{}".to_vec());
        assert_eq!(body.body(), "cb({})");
        assert_eq!(body.headers()[header::CONTENT_TYPE], "text/javascript");
        let evil = json(&request("/version?jsonp=alert(1)%2f%2f"), b"{}".to_vec());
        assert_eq!(evil.status(), StatusCode::BAD_REQUEST);
        assert_eq!(json(&request("/version"), b"{}".to_vec()).headers()[header::CONTENT_TYPE], JSON);
    }
}
