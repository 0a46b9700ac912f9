//! Which pages of other origins may read this program's answers in a browser (`--http_cors_allowed_origins`).
//!
//! Without the flag no header of CORS is ever sent. It must not know endpoints: it stands before all of them, streams
//! too.

use std::future::Future;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use messor_net::Body;

/// What the API has: no other method is of use.
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE";
/// What clients of the API send.
const HEADERS: &str = "Accept, Authorization, Content-Type, Mesos-Stream-Id";
/// What pages may read beside what they always may.
const EXPOSED: &str = "Content-Disposition, Location, Mesos-Stream-Id";
/// How long a browser need not ask again.
const MAX_AGE: &str = "600";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// As browsers write them.
    origins: Vec<String>,
    /// Every origin may read, but no page may send the user's credentials.
    any: bool,
}

impl Cors {
    /// The values of the flag, which looked at their form: `https://host:port`, or `*` alone.
    pub fn new(origins: &[String]) -> Cors {
        Cors {
            any: origins.iter().any(|origin| origin == "*"),
            origins: origins.iter().map(|origin| as_browsers_write(origin)).collect(),
        }
    }

    fn is_off(&self) -> bool {
        self.origins.is_empty()
    }

    /// What to allow the request's origin: itself, anybody, or nothing.
    fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(header::ORIGIN)?;
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        let text = origin.to_str().ok()?;
        self.origins.iter().any(|known| known == text).then(|| origin.clone())
    }

    /// Answers preflight requests, and marks the answers to all others.
    pub async fn around<F>(
        &self,
        request: messor_net::Request,
        answer: impl FnOnce(messor_net::Request) -> F,
    ) -> messor_net::Response
    where
        F: Future<Output = messor_net::Response>,
    {
        if self.is_off() {
            return answer(request).await;
        }
        let headers = request.headers();
        let allowed = self.allowed(headers);
        let asks = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).is_some();
        if request.method() == Method::OPTIONS && asks && headers.contains_key(header::ORIGIN) {
            return self.preflight(allowed);
        }
        let mut answer = answer(request).await;
        self.mark(answer.headers_mut(), allowed);
        answer
    }

    fn preflight(&self, allowed: Option<HeaderValue>) -> messor_net::Response {
        if allowed.is_none() {
            let words = "this origin is not in --http_cors_allowed_origins";
            let mut refusal = messor_net::text(StatusCode::FORBIDDEN, words);
            self.mark(refusal.headers_mut(), None);
            return refusal;
        }
        let mut answer = messor_net::Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let headers = answer.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        self.mark(headers, allowed);
        answer
    }

    fn mark(&self, headers: &mut HeaderMap, allowed: Option<HeaderValue>) {
        // Caches must not give one origin what is for another, nor what is for none.
        if !self.any {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Some(allowed) = allowed else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        // Any page could act in the user's name otherwise; browsers refuse the two together, too.
        if !self.any {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// In lower case, without the port that the scheme has anyhow.
fn as_browsers_write(origin: &str) -> String {
    let origin = origin.to_ascii_lowercase();
    match origin.split_once("://") {
        Some(("http", rest)) => format!("http://{}", rest.strip_suffix(":80").unwrap_or(rest)),
        Some(("https", rest)) => format!("https://{}", rest.strip_suffix(":443").unwrap_or(rest)),
        _ => origin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str]) -> Cors {
        Cors::new(&origins.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn asked(origin: &'static str) -> HeaderMap {
        [(header::ORIGIN, HeaderValue::from_static(origin))].into_iter().collect()
    }

    fn marked(cors: &Cors, origin: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let allowed = cors.allowed(&origin.map(asked).unwrap_or_default());
        cors.mark(&mut headers, allowed);
        headers
    }

    #[test]
    fn listed_origins_are_named_and_nobody_else() {
        let cors = cors(&["https://Ops.example:443", "http://localhost:3000"]);
        for origin in ["https://ops.example", "http://localhost:3000"] {
            let headers = marked(&cors, Some(origin));
            assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], origin);
            assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
            assert_eq!(headers[header::VARY], "Origin");
        }
        for origin in [
            None,
            Some("null"),
            Some("https://ops.example.evil"),
            Some("http://ops.example"),
            Some("http://localhost"),
        ] {
            let headers = marked(&cors, origin);
            assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{origin:?}");
            assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS), "{origin:?}");
            // A cache may hold this answer when an allowed origin asks next.
            assert_eq!(headers[header::VARY], "Origin");
        }
    }

    #[test]
    fn anybody_may_read_but_not_with_credentials() {
        let headers = marked(&cors(&["*"]), Some("https://anywhere"));
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }

    #[test]
    fn a_preflight_tells_what_may_be_sent() {
        let cors = cors(&["http://a"]);
        let answer = cors.preflight(cors.allowed(&asked("http://a")));
        assert_eq!(answer.status(), 204);
        let headers = answer.headers();
        assert!(headers[header::ACCESS_CONTROL_ALLOW_METHODS].to_str().unwrap().contains("POST"));
        assert!(headers[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().contains("Mesos-Stream-Id"));
        assert_eq!(cors.preflight(cors.allowed(&asked("http://b"))).status(), 403);
        assert!(Cors::default().is_off());
    }
}
