//! /help: pages made from the one table of endpoints.

use http::StatusCode;

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
    match exact {
        Some(endpoint) => Some(page(endpoint)),
        None if of_group.is_empty() => None,
        None => Some(list(
            &format!("## `/{wanted}` ##\n"),
            of_group.into_iter().map(|e| (e.path.to_string(), e.path.trim_start_matches('/').to_string())),
        )),
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
        Some(text) => crate::answer::answer(StatusCode::OK, "text/x-markdown", text),
        None => not_found(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_has_its_page() {
        let all = ["master", "slave(1)", "registrar(1)"].map(String::from);
        let front = answer_text("/help", &all).unwrap();
        for endpoint in ENDPOINTS {
            assert!(front.contains(&format!("/{}", group(endpoint.path))), "{}", endpoint.path);
            let page = answer_text(&format!("/help{}", endpoint.path), &all).unwrap();
            assert!(page.contains(endpoint.summary));
        }
        assert_eq!(answer_text("/help/nothing", &all), None);
        assert_eq!(answer_text("/help/master/state", &["slave(1)".to_string()]), None);
    }
}
