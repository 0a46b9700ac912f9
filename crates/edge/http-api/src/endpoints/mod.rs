//! Every endpoint, once: its path, its methods, what it is for, what it is asked with and what it answers. The pages of
//! /help are made of this, and conformance: endpoints compares it with a running 1.11.0 and with what is served.
//!
//! It must not know how anything is answered.

mod agent;
mod master;
mod shared;

/// One endpoint; see the makers below for what is left out.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    pub path: &'static str,
    /// Empty: any, as with 1.11.0, which does not look at it.
    pub methods: &'static [&'static str],
    /// One sentence.
    pub summary: &'static str,
    pub built: bool,
    /// More sentences, in paragraphs; empty where the summary says it all.
    pub about: &'static str,
    /// Parameters of the query, and what each means.
    pub query: &'static [(&'static str, &'static str)],
    /// What the body of a request has to be; empty where there is none.
    pub body: &'static str,
    /// What the body of an answer is; empty where there is none.
    pub answer: &'static str,
    /// Codes beside those that follow from the rest: see [`Endpoint::all_codes`].
    pub codes: &'static [(u16, &'static str)],
    /// Only a leading master answers; another one sends to it.
    pub of_leader: bool,
    pub access: Access,
}

/// Who may ask in Apache Mesos 1.11.0, where it is told to look. Here authentication and authorization are not built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Open,
    /// Whoever has credentials.
    Authenticated,
    /// Whom the authorizer lets: what for.
    Authorized(&'static str),
    /// Not in Apache Mesos.
    Own,
}

impl Endpoint {
    /// Answered as it should be.
    const fn new(path: &'static str, methods: &'static [&'static str], summary: &'static str) -> Endpoint {
        Endpoint {
            path,
            methods,
            summary,
            built: true,
            about: "",
            query: &[],
            body: "",
            answer: "",
            codes: &[],
            of_leader: false,
            access: Access::Open,
        }
    }

    /// Answered 501.
    const fn later(mut self) -> Endpoint {
        self.built = false;
        self
    }

    const fn about(mut self, about: &'static str) -> Endpoint {
        self.about = about;
        self
    }

    const fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Endpoint {
        self.query = query;
        self
    }

    const fn body(mut self, body: &'static str) -> Endpoint {
        self.body = body;
        self
    }

    const fn answer(mut self, answer: &'static str) -> Endpoint {
        self.answer = answer;
        self
    }

    const fn codes(mut self, codes: &'static [(u16, &'static str)]) -> Endpoint {
        self.codes = codes;
        self
    }

    const fn of_leader(mut self) -> Endpoint {
        self.of_leader = true;
        self
    }

    const fn authenticated(mut self) -> Endpoint {
        self.access = Access::Authenticated;
        self
    }

    const fn authorized(mut self, what: &'static str) -> Endpoint {
        self.access = Access::Authorized(what);
        self
    }

    const fn own(mut self) -> Endpoint {
        self.access = Access::Own;
        self
    }

    /// The part of the path under which help lists it: `master`, `files`, `slave(1)`.
    pub fn group(&self) -> &'static str {
        self.path.trim_start_matches('/').split('/').next().unwrap_or_default()
    }

    /// Every code it answers with, in order.
    pub fn all_codes(&self) -> Vec<(u16, &'static str)> {
        let mut codes = self.codes.to_vec();
        if self.of_leader {
            codes.push((307, "another master leads: Location says where"));
            codes.push((503, "no master is known to lead, or this one has not recovered yet"));
        }
        if !self.methods.is_empty() {
            codes.push((405, "another method: Allow names those that are taken"));
        }
        if !self.built {
            codes.push((501, "not supported yet"));
        }
        codes.sort_by_key(|(code, _)| *code);
        codes
    }
}

/// All of them.
pub fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    [shared::ENDPOINTS, master::ENDPOINTS, agent::ENDPOINTS].into_iter().flatten()
}

const GET: &[&str] = &["GET"];
const READ: &[&str] = &["GET", "HEAD"];
const POST: &[&str] = &["POST"];

const LIVE: &str = "Whether the program does its work; it may hang though it can be reached.";
const DONE: (u16, &str) = (200, "here it is");
const WRONG: (u16, &str) = (400, "the request is wrong; the answer says what");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_told_of_once_and_in_full() {
        let mut paths: Vec<_> = endpoints().map(|e| e.path).collect();
        paths.sort_unstable();
        assert!(paths.windows(2).all(|pair| pair[0] != pair[1]));
        for endpoint in endpoints() {
            let path = endpoint.path;
            assert!(endpoint.summary.ends_with('.'), "{path}");
            let codes = endpoint.all_codes();
            assert!(!codes.is_empty(), "{path} has no codes");
            assert!(
                codes.windows(2).all(|pair| pair[0].0 != pair[1].0),
                "{path} has a code twice: {codes:?}"
            );
            let changes = endpoint.methods.iter().any(|m| matches!(*m, "POST" | "PUT"));
            assert_eq!(changes, !endpoint.body.is_empty(), "{path} and its body");
        }
    }
}
