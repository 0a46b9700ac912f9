//! Whether a program is alive, and whether it is of use: `/health/live` and `/health/ready`, names that MicroProfile,
//! Quarkus and Spring have made known, below the /health of Apache Mesos, which stays as it is.
//!
//! Alive is who still answers: a machine that hangs is not, though its port is open. Who is not alive wants to be started
//! again; who is not ready wants to be left alone, and not to be sent requests.

use std::future::Future;
use std::time::Duration;

use http::{Method, StatusCode};

use crate::answer::{Answer, method_not_allowed};
use crate::document::{self, Object};
use crate::request::{JSON, Request};

/// A machine that takes longer to answer counts as hanging.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of a program.
pub(crate) struct Readiness {
    /// What is missing.
    pub lacks: Option<&'static str>,
    pub facts: Vec<(&'static str, Fact)>,
}

pub(crate) enum Fact {
    Flag(bool),
    Text(String),
}

/// Answers at one of the two paths below /health, if `path` is one. `view` asks the machine, `judge` looks at its answer.
pub(crate) async fn answer<V>(
    request: &Request,
    path: &str,
    view: impl Future<Output = Option<V>>,
    judge: impl FnOnce(&V) -> Readiness,
) -> Option<Answer> {
    answer_within(PATIENCE, request, path, view, judge).await
}

async fn answer_within<V>(
    patience: Duration,
    request: &Request,
    path: &str,
    view: impl Future<Output = Option<V>>,
    judge: impl FnOnce(&V) -> Readiness,
) -> Option<Answer> {
    let asked = path.strip_prefix("/health/").filter(|asked| ["live", "ready"].contains(asked))?;
    if request.method != Method::GET && request.method != Method::HEAD {
        return Some(method_not_allowed("GET, HEAD", &request.method));
    }
    let found = match tokio::time::timeout(patience, view).await {
        Err(_) => Err("it does not answer"),
        Ok(None) => Err("it is ending"),
        Ok(Some(view)) => Ok(view),
    };
    let (lacks, facts) = match (found, asked) {
        (Err(lacks), _) => (Some(lacks), Vec::new()),
        (Ok(_), "live") => (None, Vec::new()),
        (Ok(view), _) => {
            let Readiness { lacks, facts } = judge(&view);
            (lacks, facts)
        }
    };
    let body = document::object(|o: &mut Object<'_>| {
        o.boolean(asked, lacks.is_none());
        if let Some(lacks) = lacks {
            o.text("reason", lacks);
        }
        for (name, fact) in &facts {
            match fact {
                Fact::Flag(value) => o.boolean(name, *value),
                Fact::Text(value) => o.text(name, value),
            }
        }
    });
    let status = if lacks.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Some(crate::answer::answer(status, JSON, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method) -> Request {
        Request::new(method, "/health/ready", Default::default(), Default::default()).unwrap()
    }

    fn judge(view: &bool) -> Readiness {
        Readiness { lacks: (!view).then_some("nothing is there"), facts: vec![("there", Fact::Flag(*view))] }
    }

    async fn ask(path: &str, view: Option<bool>) -> (u16, String) {
        let answer = answer(&request(Method::GET), path, async { view }, judge).await.unwrap();
        (answer.status().as_u16(), String::from_utf8(answer.body().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn alive_is_who_answers_and_ready_who_lacks_nothing() {
        assert_eq!(ask("/health/ready", Some(true)).await, (200, r#"{"ready":true,"there":true}"#.into()));
        let lacks = r#"{"ready":false,"reason":"nothing is there","there":false}"#;
        assert_eq!(ask("/health/ready", Some(false)).await, (503, lacks.into()));
        assert_eq!(ask("/health/live", Some(false)).await, (200, r#"{"live":true}"#.into()));
        let ending = r#"{"live":false,"reason":"it is ending"}"#;
        assert_eq!(ask("/health/live", None).await, (503, ending.into()));

        let hangs = std::future::pending::<Option<bool>>();
        let (patience, get) = (Duration::from_millis(1), request(Method::GET));
        let hanging = answer_within(patience, &get, "/health/live", hangs, judge).await.unwrap();
        assert_eq!(hanging.status(), 503);
        assert_eq!(hanging.body(), r#"{"live":false,"reason":"it does not answer"}"#);
        let posted =
            answer(&request(Method::POST), "/health/live", async { Some(true) }, judge).await.unwrap();
        assert_eq!(posted.status(), 405);
        for path in ["/health", "/health/", "/health/other", "/state"] {
            assert!(
                answer(&request(Method::GET), path, async { Some(true) }, judge).await.is_none(),
                "{path}"
            );
        }
    }
}
