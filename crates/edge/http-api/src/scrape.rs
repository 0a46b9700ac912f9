//! `/metrics`: the metrics of /metrics/snapshot as Prometheus reads them, in the format that the reader asks for.
//!
//! There is no limit on how often it is asked (that of the snapshot is not for it): a view costs the machine a pointer an
//! object, and all else is done on a thread that serves nobody.

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use messor_metrics::exposition::{self, Format, Information};

use crate::answer::{Answer, answer, method_not_allowed, text};
use crate::common::Common;
use crate::request::Request;

/// What Prometheus waits by default.
const PATIENCE: Duration = Duration::from_secs(10);

/// OpenMetrics where it is asked for and nothing else is liked better; the text format otherwise, as all exporters do,
/// even where it is not asked for.
fn format(accept: Option<&str>) -> Format {
    let (mut open, mut text) = (0.0, 0.0);
    for entry in accept.unwrap_or_default().split(',') {
        let mut parts = entry.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut weight, mut version) = (1.0, None);
        for parameter in parts {
            match parameter.split_once('=') {
                Some(("q", value)) => weight = value.parse().unwrap_or(0.0),
                Some(("version", value)) => version = Some(value.trim_matches('"')),
                _ => (),
            }
        }
        let best: &mut f64 = match (kind.as_str(), version) {
            ("application/openmetrics-text", None | Some("1.0.0")) => &mut open,
            ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", None) => &mut text,
            _ => continue,
        };
        *best = best.max(weight);
    }
    if open > 0.0 && open >= text { Format::OpenMetrics } else { Format::Text }
}

impl Common {
    pub(crate) async fn scrape(&self, request: &Request) -> Answer {
        if request.method != Method::GET && request.method != Method::HEAD {
            return method_not_allowed("GET, HEAD", &request.method);
        }
        let format = format(request.header(header::ACCEPT));
        let Ok(metrics) = tokio::time::timeout(PATIENCE, self.metrics.metrics()).await else {
            // Nothing would look as if all were zero.
            return text(StatusCode::SERVICE_UNAVAILABLE, "the metrics did not come in time");
        };
        let program = self.program.clone();
        let process = match self.processes.first().map(String::as_str) {
            Some("master") => "master",
            _ => "agent",
        };
        let written = tokio::task::spawn_blocking(move || {
            let labels = [
                ("program", process),
                ("version", program.build.version),
                ("revision", program.build.git_sha),
            ];
            let build = Information {
                name: "mesos_build",
                help: "Which program it is, whose behaviour it has, and of which source it was built.",
                labels: &labels,
            };
            let metrics = metrics.iter().map(|(name, value)| (name.as_str(), *value));
            exposition::write(&[build], metrics, format)
        })
        .await;
        let Ok(written) = written else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "the program is ending");
        };
        let mut answer = answer(StatusCode::OK, format.content_type(), written);
        answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_what_the_reader_likes_best() {
        // What Prometheus 2 and 3 send.
        let second = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let third = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in
            [second, third, "application/openmetrics-text", "application/openmetrics-text; version=\"1.0.0\""]
        {
            assert_eq!(format(Some(accept)), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            "*/*",
            "text/html,*/*;q=0.8",
            "application/json",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=0.1,text/plain;q=0.2",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=x",
        ] {
            assert_eq!(format(Some(accept)), Format::Text, "{accept}");
        }
        assert_eq!(format(None), Format::Text);
    }
}
