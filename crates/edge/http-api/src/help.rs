//! /help: pages made of the one definition of each endpoint, as HTML, as Markdown, and all of them as JSON.

use std::fmt::Write as _;

use http::{HeaderValue, StatusCode, header};

use crate::answer::{Answer, answer as whole, bad_request, json, not_found};
use crate::document;
use crate::endpoints::{Access, Endpoint, endpoints};
use crate::home::escape;
use crate::request::Request;

const STYLE_PATH: &str = "style.css";

const STYLE: &str = "\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
code, dt { font-family: ui-monospace, monospace; font-size: 0.9em; }
dd { margin: 0 0 0.5rem 1.5rem; }
li { margin: 0.25rem 0; overflow-wrap: anywhere; }
nav { margin-bottom: 2rem; }
";

/// What a page is made of, whatever it is shown as.
enum Block {
    Words(String),
    /// Each with what it means.
    Terms(Vec<(String, String)>),
    /// Paths of endpoints or the beginnings of some, with what is there.
    Links(Vec<(String, String)>),
}

struct Page {
    title: String,
    sections: Vec<(&'static str, Vec<Block>)>,
}

enum Found {
    Page(Page),
    NoEndpoint,
    NoGroup,
}

/// A group that is the id of a process is here when the process is; the others always are.
fn is_here(endpoint: &Endpoint, processes: &[String]) -> bool {
    match endpoint.group() {
        "allocator" => processes.iter().any(|p| p == "master"),
        group @ ("master" | "slave(1)" | "registrar(1)") => processes.iter().any(|p| p == group),
        _ => true,
    }
}

/// The page of what stands behind `/help`.
fn find(wanted: &str, processes: &[String]) -> Found {
    let here = || endpoints().filter(|e| is_here(e, processes));
    let links = |list: &mut dyn Iterator<Item = &'static Endpoint>| {
        Block::Links(list.map(|e| (e.path.to_string(), e.summary.to_string())).collect())
    };
    if wanted.is_empty() {
        let mut groups: Vec<&str> = here().map(Endpoint::group).collect();
        groups.sort_unstable();
        groups.dedup();
        let sections =
            groups.into_iter().map(|g| (g, vec![links(&mut here().filter(|e| e.group() == g))])).collect();
        return Found::Page(Page { title: "Endpoints".into(), sections });
    }
    let path = format!("/{wanted}");
    let exact = here().find(|e| e.path == path);
    let below: Vec<&Endpoint> = here().filter(|e| e.group() == wanted && e.path != path).collect();
    let mut page = match exact {
        Some(endpoint) => page_of(endpoint),
        None => Page { title: path.clone(), sections: Vec::new() },
    };
    if !below.is_empty() {
        page.sections.push(("ENDPOINTS", vec![links(&mut below.into_iter())]));
    }
    if !page.sections.is_empty() {
        return Found::Page(page);
    }
    let group = wanted.split('/').next().unwrap_or_default();
    if here().any(|e| e.group() == group) { Found::NoEndpoint } else { Found::NoGroup }
}

fn page_of(endpoint: &Endpoint) -> Page {
    let words = |text: &str| vec![Block::Words(text.to_string())];
    let mut sections = vec![("USAGE", words(endpoint.path)), ("TL;DR;", words(endpoint.summary))];
    if !endpoint.about.is_empty() {
        let paragraphs = endpoint.about.lines().map(|line| Block::Words(line.to_string()));
        sections.push(("DESCRIPTION", paragraphs.collect()));
    }
    let methods = match endpoint.methods {
        [] => "Any; it is not looked at.".to_string(),
        some => some.join(", "),
    };
    sections.push(("METHODS", vec![Block::Words(methods)]));
    let terms = |list: &[(&str, &str)]| {
        vec![Block::Terms(list.iter().map(|(name, about)| (name.to_string(), about.to_string())).collect())]
    };
    if !endpoint.query.is_empty() {
        sections.push(("QUERY PARAMETERS", terms(endpoint.query)));
    }
    if !endpoint.body.is_empty() {
        sections.push(("REQUEST", words(endpoint.body)));
    }
    if !endpoint.answer.is_empty() {
        sections.push(("ANSWER", words(endpoint.answer)));
    }
    let codes = endpoint.all_codes();
    let codes = codes.iter().map(|(code, about)| (code.to_string(), (*about).to_string())).collect();
    sections.push(("CODES", vec![Block::Terms(codes)]));
    let open = "Whoever reaches the port is answered";
    sections.push((
        "AUTHENTICATION",
        match endpoint.access {
            Access::Open => words(&format!("{open}, as in Apache Mesos.")),
            Access::Own => words(&format!("{open}. Apache Mesos does not have this endpoint.")),
            Access::Authenticated | Access::Authorized(_) => words(&format!(
                "Apache Mesos asks for credentials here when it is told to authenticate. Messor does not do it yet: {}.",
                open.to_lowercase()
            )),
        },
    ));
    if let Access::Authorized(what) = endpoint.access {
        let text = format!("Apache Mesos asks its authorizer about {what}. Messor does not do it yet.");
        sections.push(("AUTHORIZATION", vec![Block::Words(text)]));
    }
    Page { title: endpoint.path.to_string(), sections }
}

/// Writing to a String cannot fail, so what `write!` says is left alone here.
fn markdown(page: &Page) -> String {
    let mut out = String::new();
    if page.sections.first().is_none_or(|(title, _)| *title != "USAGE") {
        let _ = writeln!(out, "## {} ##\n", page.title);
    }
    for (title, blocks) in &page.sections {
        let _ = writeln!(out, "### {title} ###");
        for block in blocks {
            match block {
                Block::Words(words) if *title == "USAGE" => {
                    let _ = writeln!(out, ">        {words}");
                }
                Block::Words(words) => {
                    let _ = writeln!(out, "{words}");
                }
                Block::Terms(terms) => {
                    let width = terms.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
                    for (name, about) in terms {
                        let _ = writeln!(out, ">        {name:width$}  {about}");
                    }
                }
                Block::Links(links) => {
                    for (path, about) in links {
                        let _ = writeln!(out, "* [{path}](/help{path}): {about}");
                    }
                }
            }
        }
        out.push('\n');
    }
    out
}

fn html(page: &Page) -> String {
    let title = escape(&page.title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <link rel=\"stylesheet\" href=\"/help/{STYLE_PATH}\"></head>\n<body>\n\
         <nav><a href=\"/\">Messor</a> · <a href=\"/help\">All endpoints</a></nav>\n<h1>{title}</h1>\n"
    );
    for (title, blocks) in page.sections.iter().filter(|(title, _)| *title != "USAGE") {
        // The summary stands below the path without a title of its own.
        if *title != "TL;DR;" {
            let _ = writeln!(out, "<h2>{}</h2>", escape(&in_sentence_case(title)));
        }
        for block in blocks {
            match block {
                Block::Words(words) => {
                    let _ = writeln!(out, "<p>{}</p>", escape(words));
                }
                Block::Terms(terms) => {
                    out.push_str("<dl>\n");
                    for (name, about) in terms {
                        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(about));
                    }
                    out.push_str("</dl>\n");
                }
                Block::Links(links) => {
                    out.push_str("<ul>\n");
                    for (path, about) in links {
                        let (path, about) = (escape(path), escape(about));
                        let _ =
                            writeln!(out, "<li><a href=\"/help{path}\"><code>{path}</code></a> {about}</li>");
                    }
                    out.push_str("</ul>\n");
                }
            }
        }
    }
    out.push_str("</body>\n</html>\n");
    out
}

fn in_sentence_case(title: &str) -> String {
    match title.chars().next() {
        Some(first) if first.is_uppercase() => format!("{first}{}", title[first.len_utf8()..].to_lowercase()),
        _ => title.to_string(),
    }
}

/// Every page, as 1.11.0 has them for programs.
fn all(processes: &[String]) -> Vec<u8> {
    let here: Vec<&Endpoint> = endpoints().filter(|e| is_here(e, processes)).collect();
    let mut groups: Vec<&str> = here.iter().map(|e| e.group()).collect();
    groups.sort_unstable();
    groups.dedup();
    document::object(|o| {
        o.array("processes", |a| {
            for group in groups {
                a.object(|o| {
                    o.array("endpoints", |a| {
                        for endpoint in here.iter().filter(|e| e.group() == group) {
                            a.object(|o| {
                                let name = &endpoint.path[group.len() + 1..];
                                o.text("name", if name.is_empty() { "/" } else { name });
                                o.text("text", &markdown(&page_of(endpoint)));
                            });
                        }
                    });
                    o.text("id", group);
                });
            }
        });
    })
}

pub fn answer(request: &Request, processes: &[String]) -> Answer {
    let wanted = request.path.strip_prefix("/help").unwrap_or_default().trim_matches('/');
    let format = request.query.get("format").unwrap_or_default();
    if wanted == STYLE_PATH {
        return whole(StatusCode::OK, "text/css; charset=utf-8", STYLE);
    }
    if wanted.is_empty() && format == "json" {
        return json(request, all(processes));
    }
    let page = match find(wanted, processes) {
        Found::Page(page) => page,
        Found::NoEndpoint => return bad_request(format!("no help available for '/{wanted}'")),
        Found::NoGroup => return not_found(),
    };
    // 1.11.0 has HTML for everybody.
    let plain = ["text/plain", "text/x-markdown", "text/markdown"];
    let wants_plain = format == "text"
        || (request.headers.contains_key(header::ACCEPT)
            && !request.accepts("text/html")
            && plain.iter().any(|kind| request.accepts(kind)));
    if wants_plain {
        return whole(StatusCode::OK, "text/plain; charset=utf-8", markdown(&page));
    }
    let mut shown = whole(StatusCode::OK, "text/html; charset=utf-8", html(&page));
    let own_style = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'";
    shown.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(own_style));
    shown.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(target: &str, accept: Option<&'static str>, processes: &[&str]) -> Answer {
        let headers = accept.map(|accept| (header::ACCEPT, HeaderValue::from_static(accept)));
        let request =
            Request::new(http::Method::GET, target, headers.into_iter().collect(), Default::default());
        let processes: Vec<String> = processes.iter().map(ToString::to_string).collect();
        answer(&request.unwrap(), &processes)
    }

    fn text(answer: &Answer) -> String {
        String::from_utf8(answer.body().to_vec()).unwrap()
    }

    const ALL: &[&str] = &["master", "slave(1)", "registrar(1)"];

    #[test]
    fn every_endpoint_has_its_page_in_both_forms() {
        let front = text(&ask("/help", None, ALL));
        for endpoint in endpoints() {
            let path = endpoint.path;
            let target = format!("/help{path}");
            assert!(front.contains(&format!("href=\"{target}\"")), "{path} is not on the first page");
            let page = ask(&target, None, ALL);
            assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
            let (page, plain) = (text(&page), text(&ask(&target, Some("text/plain"), ALL)));
            assert!(plain.contains(&format!(">        {path}\n")), "{plain}");
            for (name, about) in endpoint.query {
                assert!(page.contains(&format!("<dt>{name}</dt>")), "{path} {name}");
                assert!(plain.contains(about), "{path} {name}");
            }
            for words in [endpoint.summary, endpoint.body, endpoint.answer] {
                assert!(page.contains(&escape(words)) && plain.contains(words), "{path}: {words}");
            }
            for (code, about) in endpoint.all_codes() {
                assert!(
                    page.contains(&format!("<dt>{code}</dt><dd>{}</dd>", escape(about))),
                    "{path} {code}"
                );
            }
            assert_eq!(page.contains("Authorization"), matches!(endpoint.access, Access::Authorized(_)));
        }
    }

    #[test]
    fn the_form_is_the_one_that_is_asked_for() {
        let kind = |target: &str, accept| {
            ask(target, accept, ALL).headers()[header::CONTENT_TYPE].to_str().unwrap().to_string()
        };
        for accept in [None, Some("*/*"), Some("text/html,application/xhtml+xml,*/*;q=0.8")] {
            assert_eq!(kind("/help/master/state", accept), "text/html; charset=utf-8");
        }
        assert_eq!(kind("/help/master", Some("text/x-markdown")), "text/plain; charset=utf-8");
        assert_eq!(kind("/help/master?format=text", None), "text/plain; charset=utf-8");
        assert_eq!(kind("/help/style.css", None), "text/css; charset=utf-8");
        assert_eq!(kind("/help?format=json", None), "application/json");
    }

    #[test]
    fn programs_get_all_pages_at_once() {
        let all: serde_json::Value =
            serde_json::from_slice(ask("/help?format=json", None, ALL).body()).unwrap();
        let processes = all["processes"].as_array().unwrap();
        let of =
            |id: &str| processes.iter().find(|p| p["id"] == id).unwrap()["endpoints"].as_array().unwrap();
        assert!(of("master").iter().any(|e| e["name"] == "/state"
            && e["text"].as_str().unwrap().starts_with("### USAGE ###\n>        /master/state\n")));
        assert!(of("version").iter().any(|e| e["name"] == "/"));
        assert_eq!(
            processes.iter().map(|p| p["endpoints"].as_array().unwrap().len()).sum::<usize>(),
            endpoints().count()
        );
    }

    #[test]
    fn what_is_not_here_has_no_page() {
        assert_eq!(ask("/help/nothing", None, ALL).status(), StatusCode::NOT_FOUND);
        assert_eq!(ask("/help/master/nothing", None, ALL).status(), StatusCode::BAD_REQUEST);
        assert_eq!(ask("/help/master/state", None, &["slave(1)"]).status(), StatusCode::NOT_FOUND);
        let metrics = text(&ask("/help/metrics", None, ALL));
        assert!(metrics.contains("OpenMetrics") && metrics.contains("/help/metrics/snapshot"), "{metrics}");
        let evil = text(&ask("/help/master/<script>", None, ALL));
        assert!(
            ask("/help/master/<script>", None, ALL).headers()[header::CONTENT_TYPE]
                == "text/plain; charset=utf-8",
            "{evil}"
        );
    }
}
