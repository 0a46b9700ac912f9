//! `/` of an agent, and of a master whose program was built without the web page: what answers here and where to read on.
//!
//! Apache Mesos 1.11.0 has 404 here where its page is not installed. Nothing is loaded from elsewhere.

use std::fmt::Write as _;

use http::{HeaderValue, Method, StatusCode, header};

use crate::answer::{Answer, answer, method_not_allowed};
use crate::endpoints::endpoints;
use crate::info::ProgramInfo;
use crate::request::Request;

/// What a reader wants first of a process; only endpoints of the table are shown.
const OF_MASTER: &[&str] = &["state", "state-summary", "slaves", "frameworks", "tasks", "roles", "flags"];
const OF_AGENT: &[&str] = &["state", "containers", "monitor/statistics", "flags"];

/// Text as HTML: nothing in it opens a tag or leaves an attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
    out
}

fn item(out: &mut String, path: &str, summary: &str) {
    let (path, summary) = (escape(path), escape(summary));
    // Writing to a String cannot fail.
    let _ = writeln!(out, "<li><a href=\"{path}\">{path}</a> {summary}</li>");
}

fn links(out: &mut String, process: &str) {
    let (known, wanted) = match process {
        "master" => ("master", OF_MASTER),
        // The table has the agent's endpoints under the id of the first agent of a port.
        _ if process.starts_with("slave(") => ("slave(1)", OF_AGENT),
        _ => return,
    };
    for name in wanted {
        let path = format!("/{known}/{name}");
        if let Some(endpoint) = endpoints().find(|e| e.built && e.path == path) {
            item(out, &format!("/{process}/{name}"), endpoint.summary);
        }
    }
}

fn page(program: &ProgramInfo, processes: &[String]) -> String {
    let has_agents = processes.iter().any(|process| process.starts_with("slave("));
    let what = match processes.iter().any(|process| process == "master") {
        true if has_agents => "cluster",
        true => "master",
        false => "agent",
    };
    let named = program.flag("cluster").map(|name| format!(" of {name}")).unwrap_or_default();
    let title = escape(&format!("Messor {what}{named}"));
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title></head>\n<body>\n\
         <h1>{title}</h1>\n<p>A cluster manager that speaks Apache Mesos {}. {} What there is to see is here as \
         JSON:</p>\n<ul>\n",
        escape(program.build.version),
        match what {
            "agent" => "The web page is at the master.",
            _ => "This program was built without the web page: install npm, then build it with ./run.",
        }
    );
    processes.iter().for_each(|process| links(&mut out, process));
    item(&mut out, "/metrics/snapshot", "Current metrics.");
    item(&mut out, "/metrics", "Current metrics for Prometheus.");
    item(&mut out, "/version", "Version and build of the program.");
    item(&mut out, "/help", "Every endpoint.");
    out.push_str("</ul>\n</body>\n</html>\n");
    out
}

pub fn answer_home(request: &Request, program: &ProgramInfo, processes: &[String]) -> Answer {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return method_not_allowed("GET", &request.method);
    }
    let mut answer = answer(StatusCode::OK, "text/html; charset=utf-8", page(program, processes));
    let only_itself = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, only_itself);
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::info::BuildInfo;

    fn program(flags: &[(&str, &str)]) -> ProgramInfo {
        let build = BuildInfo { version: "1.11.0", ..BuildInfo::default() };
        ProgramInfo { build, flags: flags.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect() }
    }

    fn links_of(page: &str) -> Vec<&str> {
        page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }

    #[test]
    fn every_link_leads_to_an_endpoint_that_is_built() {
        // As a real master and a real agent have them.
        for (process, all) in [("master", ["master", "registrar(1)"]), ("slave(1)", ["slave(1)", "files"])] {
            let page = page(&program(&[]), &all.map(String::from));
            let title = if process == "master" { "<h1>Messor master</h1>" } else { "<h1>Messor agent</h1>" };
            assert!(page.contains(title), "{page}");
            let words = if process == "master" {
                "install npm, then build it with ./run"
            } else {
                "is at the master"
            };
            assert!(page.contains(words), "{page}");
            let links = links_of(&page);
            assert!(
                links.contains(&format!("/{process}/state").as_str()) && links.contains(&"/help"),
                "{page}"
            );
            for link in links.into_iter().filter(|link| *link != "/help") {
                assert!(endpoints().any(|e| e.built && e.path == link), "{link}");
            }
        }
    }

    #[test]
    fn a_page_says_which_program_it_is_and_keeps_flags_from_being_markup() {
        assert!(page(&program(&[]), &["slave(1)".into()]).contains("<h1>Messor agent</h1>"));
        let evil =
            page(&program(&[("cluster", "</title><script>alert('1')</script>\"&")]), &["master".into()]);
        assert!(!evil.contains("<script"), "{evil}");
        assert!(evil.contains("Messor master of &lt;/title&gt;&lt;script&gt;alert(&#39;1&#39;)"), "{evil}");
        assert!(evil.contains("&quot;&amp;</h1>"), "{evil}");
    }

    #[test]
    fn only_reads_are_answered_and_nothing_may_be_loaded() {
        let ask = |method: Method| {
            let request = Request::new(method, "/", Default::default(), Bytes::new()).unwrap();
            answer_home(&request, &program(&[]), &["master".into()])
        };
        let page = ask(Method::GET);
        assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("'none'"));
        assert_eq!(ask(Method::POST).status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
