//! The web page: its files with their types, tags and limits of what they may load. What is in them is webui's affair.

use http::{HeaderValue, Method, StatusCode, header};
use messor_webui::File;

use crate::answer::{Answer, answer, empty, method_not_allowed};
use crate::request::Request;

/// Scripts and styles are files of this server; nothing is loaded from elsewhere, or sent there. No other page may
/// frame this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Names under /assets/ change with what is in them, but for the licences.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Kept, but asked for each time whether it is still so.
const ASK: &str = "no-cache";

/// The answer, when a file of the page has this path.
pub fn answer_page(request: &Request) -> Option<Answer> {
    messor_webui::file(&request.path).map(|file| serve(request, file))
}

fn serve(request: &Request, file: &'static File) -> Answer {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return method_not_allowed("GET, HEAD", &request.method);
    }
    let known = request.header(header::IF_NONE_MATCH).is_some_and(|tags| {
        tags.split(',')
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == file.tag || tag == "*")
    });
    let mut answer = match known {
        true => empty(StatusCode::NOT_MODIFIED),
        false => answer(StatusCode::OK, file.content_type, file.bytes),
    };
    let named_by_content = file.path.starts_with("/assets/") && !file.path.ends_with(".txt");
    let cached = if named_by_content { FOR_EVER } else { ASK };
    for (name, value) in [
        (header::ETAG, file.tag),
        (header::CACHE_CONTROL, cached),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    static PAGE: File = File { path: "/index.html", content_type: "text/html", tag: "\"a1\"", bytes: b"<p>" };
    static ASSET: File =
        File { path: "/assets/x-1.js", content_type: "text/javascript", tag: "\"b2\"", bytes: b"1" };

    fn ask(method: Method, tags: Option<&'static str>, file: &'static File) -> Answer {
        let headers = tags.map(|tags| (header::IF_NONE_MATCH, HeaderValue::from_static(tags)));
        let request =
            Request::new(method, file.path, headers.into_iter().collect(), Default::default()).unwrap();
        serve(&request, file)
    }

    #[test]
    fn a_file_comes_once_and_is_asked_for_by_its_tag_again() {
        let first = ask(Method::GET, None, &PAGE);
        assert_eq!((first.status(), first.body().as_ref()), (StatusCode::OK, b"<p>".as_slice()));
        assert_eq!(first.headers()[header::CACHE_CONTROL], ASK);
        for tags in ["\"a1\"", "\"zz\", W/\"a1\"", "*"] {
            let again = ask(Method::GET, Some(tags), &PAGE);
            assert_eq!((again.status(), again.body().len()), (StatusCode::NOT_MODIFIED, 0), "{tags}");
            assert_eq!(again.headers()[header::ETAG], "\"a1\"");
        }
        assert_eq!(ask(Method::GET, Some("\"b2\""), &PAGE).status(), StatusCode::OK);
        assert_eq!(ask(Method::HEAD, None, &ASSET).headers()[header::CACHE_CONTROL], FOR_EVER);
    }

    #[test]
    fn only_reads_are_answered_and_scripts_are_this_servers_own() {
        assert_eq!(ask(Method::POST, None, &PAGE).status(), StatusCode::METHOD_NOT_ALLOWED);
        let policy = ask(Method::GET, None, &PAGE).headers()[header::CONTENT_SECURITY_POLICY].clone();
        let policy = policy.to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
}
