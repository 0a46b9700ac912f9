//! /help: pages made from the one table of endpoints.

use http::{StatusCode, header};

use crate::answer::{Answer, not_found};
use crate::endpoints::{ENDPOINTS, Endpoint};
use crate::request::Request;

/// The first part of a path, under which help lists the endpoint: `master`, `files`, `slave(1)`.
fn group(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

pub fn answer_text(path: &str, processes: &[String]) -> Option<String> {
    let here: Vec<&Endpoint> = ENDPOINTS.iter().filter(|e| is_here(e, processes)).collect();
    let wanted = path.trim_start_matches("/help").trim_matches('/');
    if wanted.is_empty() {
        let mut groups: Vec<&str> = here.iter().map(|e| group(e.path)).collect();
        groups.sort_unstable();
        groups.dedup();
        return Some(list("## HELP\n", groups.into_iter().map(|g| (format!("/{g}"), format!("help/{g}")))));
    }
    let of_group: Vec<&&Endpoint> = here.iter().filter(|e| group(e.path) == wanted).collect();
    let exact = here.iter().find(|e| e.path.trim_start_matches('/') == wanted);
    // `/metrics` is an endpoint, and what others are below.
    let below = of_group.into_iter().filter(|e| exact.is_none_or(|exact| exact.path != e.path));
    let below: Vec<(String, String)> =
        below.map(|e| (e.path.to_string(), e.path.trim_start_matches('/').to_string())).collect();
    let title = format!("## `/{wanted}` ##\n");
    match exact {
        Some(endpoint) if below.is_empty() => Some(page(endpoint)),
        Some(endpoint) => Some(format!("{}\n{}", page(endpoint), list(&title, below.into_iter()))),
        None if below.is_empty() => None,
        None => Some(list(&title, below.into_iter())),
    }
}

/// A group that is the id of a process is here when the process is; the others always are.
fn is_here(endpoint: &Endpoint, processes: &[String]) -> bool {
    let group = group(endpoint.path);
    let is_process = matches!(group, "master" | "slave(1)" | "registrar(1)" | "allocator");
    !is_process
        || processes.iter().any(|p| p == group)
        || (group == "allocator" && processes.iter().any(|p| p == "master"))
}

fn list(title: &str, items: impl Iterator<Item = (String, String)>) -> String {
    let items: Vec<_> = items.collect();
    let mut text = String::from(title);
    items.iter().for_each(|(path, target)| {
        text.push_str(&format!("> [{path}][{}]\n", target.trim_start_matches("help/")))
    });
    text.push('\n');
    items.iter().for_each(|(_, target)| {
        text.push_str(&format!("[{}]: {target}\n", target.trim_start_matches("help/")))
    });
    text
}

fn page(endpoint: &Endpoint) -> String {
    let methods = if endpoint.methods.is_empty() { "any".to_string() } else { endpoint.methods.join(", ") };
    let built = if endpoint.built { "" } else { "\nNot supported yet: it answers 501.\n" };
    format!(
        "### USAGE ###\n>        {}\n\n### TL;DR; ###\n{}\n{built}\n### METHODS ###\n{methods}\n",
        endpoint.path, endpoint.summary
    )
}

pub fn answer(request: &Request, processes: &[String]) -> Answer {
    match answer_text(&request.path, processes) {
        Some(text) => {
            // 1.11.0 says Markdown to everybody, which browsers save to a file in place of showing it.
            let shown = request.header(header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
            let kind = if shown { "text/plain; charset=utf-8" } else { "text/x-markdown" };
            crate::answer::answer(StatusCode::OK, kind, text)
        }
        None => not_found(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_text_that_it_shows() {
        let kind = |accept: &'static str| {
            let headers = [(header::ACCEPT, http::HeaderValue::from_static(accept))].into_iter().collect();
            let request = Request::new(http::Method::GET, "/help", headers, Default::default()).unwrap();
            answer(&request, &["master".into()]).headers()[header::CONTENT_TYPE].clone()
        };
        assert_eq!(kind("text/html,application/xhtml+xml,*/*;q=0.8"), "text/plain; charset=utf-8");
        assert_eq!(kind("*/*"), "text/x-markdown");
    }

    #[test]
    fn every_endpoint_has_its_page() {
        let all = ["master", "slave(1)", "registrar(1)"].map(String::from);
        let front = answer_text("/help", &all).unwrap();
        for endpoint in ENDPOINTS {
            assert!(front.contains(&format!("/{}", group(endpoint.path))), "{}", endpoint.path);
            let page = answer_text(&format!("/help{}", endpoint.path), &all).unwrap();
            assert!(page.contains(endpoint.summary));
        }
        let metrics = answer_text("/help/metrics", &all).unwrap();
        assert!(metrics.contains("OpenMetrics") && metrics.contains("[/metrics/snapshot]"), "{metrics}");
        assert_eq!(answer_text("/help/nothing", &all), None);
        assert_eq!(answer_text("/help/master/state", &["slave(1)".to_string()]), None);
    }
}
