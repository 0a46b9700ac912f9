//! Every endpoint of Apache Mesos 1.11.0, by the list of ../shared and by what a running 1.11.0 answered to each method
//! (testing/conformance/endpoints), beside a running master and agent of ours, and the table that /help is made of.
//!
//! Rows: U090.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use messor_http_api::endpoints::{Access, Endpoint, endpoints};
use messor_testkit::{Answer, Cluster, Options, get, oracle, request, root, skip};

struct Row {
    component: String,
    path: String,
    methods: String,
    authenticated: bool,
    authorized: bool,
}

fn rows() -> Option<Vec<Row>> {
    let reference = oracle()?.parent()?.join("reference/endpoints.tsv");
    let text = std::fs::read_to_string(reference).expect("the list of endpoints is read");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let rows = lines.map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let field = |at: usize| fields.get(at).copied().unwrap_or_default().to_string();
        Row {
            component: field(0),
            path: field(1),
            methods: field(2),
            authenticated: field(3) == "authenticated",
            authorized: field(4) == "authorized",
        }
    });
    Some(rows.collect())
}

/// The paths that a row of the list stands for; none where it is a rule about others.
fn paths(row: &str) -> Vec<String> {
    if row.contains("...") || row.contains("/*") {
        return Vec::new();
    }
    if let Some(first) = row.strip_suffix(", /help/<process>, /help/<process>/<path>") {
        return vec![first.into(), "/help/PROCESS".into(), "/help/PROCESS/state".into()];
    }
    match row.split_once('|') {
        None => vec![row.into()],
        Some((first, rest)) => {
            let base = &first[..=first.rfind('/').expect("a path")];
            let rest = rest.split('|').map(|name| format!("{base}{name}"));
            std::iter::once(first.to_string()).chain(rest).collect()
        }
    }
}

/// The codes and Allow of a running 1.11.0, by path and method.
fn recorded() -> BTreeMap<(String, String), (u16, String)> {
    let text = std::fs::read_to_string(root().join("testing/conformance/endpoints/1.11.0.tsv"));
    let text = text.expect("the recording is read");
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (path, answers) = line.split_once('\t').expect("a path and answers");
        for answer in answers.split('\t') {
            let mut parts = answer.splitn(3, ' ');
            let mut part = || parts.next().unwrap_or_default().to_string();
            let (method, code, allow) = (part(), part(), part());
            found.insert((path.to_string(), method), (code.parse().expect("a code"), allow));
        }
    }
    assert!(found.len() > 350, "the recording has {} answers", found.len());
    found
}

fn cluster() -> Cluster {
    Cluster::with(&Options { agents: 1, ..Options::default() })
}

fn ask(address: SocketAddr, method: &str, path: &str) -> Answer {
    request(address, method, path, &[], b"").unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

fn addresses(cluster: &Cluster, component: &str) -> Vec<(&'static str, SocketAddr)> {
    let (master, agent) = (("master", cluster.master), ("slave(1)", cluster.agents[0]));
    match component {
        "master" => vec![master],
        "agent" => vec![agent],
        _ => vec![master, agent],
    }
}

/// Each row is served, to each method with the code and Allow of 1.11.0.
#[test]
fn every_endpoint_of_apache_mesos_is_served() {
    let Some(rows) = rows() else { return skip("endpoints: ../shared is not there") };
    let recorded = recorded();
    let cluster = cluster();
    let mut wrong = Vec::new();
    let mut compared = BTreeSet::new();
    for row in &rows {
        for path in paths(&row.path) {
            for (process, address) in addresses(&cluster, &row.component) {
                let target = path.replace("PROCESS", process);
                let key = path.replace("PROCESS", "master");
                for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
                    let answer = ask(address, method, &target);
                    let allow = answer.header("Allow").unwrap_or_default().to_string();
                    let Some(expected) = recorded.get(&(key.clone(), method.to_string())) else {
                        // What 1.11.0 ends itself at: the method of the list, and no other.
                        let fits = answer.status == if row.methods == method { 200 } else { 405 };
                        if key != "/" && !fits {
                            wrong.push(format!("{method} {target}: {}", answer.status));
                        }
                        continue;
                    };
                    compared.insert(key.clone());
                    if &(answer.status, allow.clone()) != expected {
                        wrong.push(format!(
                            "{method} {target}: {} '{allow}', 1.11.0: {expected:?}",
                            answer.status
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
    let all: BTreeSet<String> = recorded.keys().map(|(path, _)| path.clone()).collect();
    assert_eq!(compared, all, "what was recorded and what was compared");
}

/// Short names of a master and an agent (`/state`), and the older names of reads (`/state.json`; U090).
#[test]
fn endpoints_have_their_short_and_their_older_names() {
    let Some(rows) = rows() else { return skip("endpoints: ../shared is not there") };
    let cluster = cluster();
    let mut names = 0;
    for row in rows.iter().filter(|row| row.component != "both") {
        let (process, address) = addresses(&cluster, &row.component)[0];
        let short = row.path.strip_prefix(&format!("/{process}")).map(str::to_string);
        for path in paths(&row.path) {
            let code = |method: &str, path: &str| ask(address, method, path).status;
            let wanted = code("GET", &path);
            if let Some(short) = &short {
                assert_eq!(code("GET", short), wanted, "{short} and {path}");
                names += 1;
            }
            let is_read = row.methods.starts_with("GET") && !path.ends_with(".json");
            if is_read {
                let older = format!("{path}.json");
                // A probe of ../shared has 404, as 1.11.0 has for nearly all.
                let wanted = if path == "/slave(1)/monitor/statistics" { 404 } else { wanted };
                assert_eq!(code("GET", &older), wanted, "U090: {older} and {path}");
                assert_ne!(wanted, 501, "{path}");
                names += 1;
            }
        }
    }
    assert!(names > 60, "{names} names were looked at");
    let both = |older: &str| (get(cluster.master, older), get(cluster.agents[0], older));
    let (master, agent) = both("/files/browse.json?path=/nothing");
    assert_eq!((master.expect("an answer").status, agent.expect("an answer").status), (404, 404));
}

/// The table of /help has each row, with its authentication and authorization, and nothing else of Apache Mesos.
#[test]
fn the_table_of_endpoints_is_that_of_apache_mesos() {
    let Some(rows) = rows() else { return skip("endpoints: ../shared is not there") };
    let mut listed = BTreeSet::new();
    for row in &rows {
        for path in paths(&row.path).into_iter().filter(|path| path != "/" && !path.contains("PROCESS")) {
            let endpoint: &Endpoint = endpoints()
                .find(|endpoint| endpoint.path == path)
                .unwrap_or_else(|| panic!("{path} is not in the table"));
            let access = (row.authenticated, row.authorized);
            let here = match endpoint.access {
                Access::Own => panic!("{path} is not our own"),
                Access::Open => (false, false),
                Access::Authenticated => (true, false),
                Access::Authorized(_) => (true, true),
            };
            // Of some that are filtered by authorization the list of a running 1.11.0 does not say so.
            let listed_less = matches!(path.as_str(), "/master/roles" | "/master/slaves");
            assert!(access == here || (listed_less && here == (true, true)), "{path}: {access:?} {here:?}");
            listed.insert(path);
        }
    }
    for endpoint in endpoints() {
        let own = endpoint.access == Access::Own;
        assert_eq!(own, !listed.contains(endpoint.path), "{}", endpoint.path);
    }
}

/// COMPATIBILITY.md has a row for each, and says "not yet" of what the table says is not built, and of nothing else.
#[test]
fn compatibility_has_a_row_for_each_endpoint() {
    let Some(rows) = rows() else { return skip("endpoints: ../shared is not there") };
    let text = std::fs::read_to_string(root().join("COMPATIBILITY.md")).expect("it is read");
    let table = text.split("\n## Endpoints").nth(1).and_then(|rest| rest.split("\n## ").next());
    let table = table.expect("the table of endpoints");
    for row in &rows {
        let path = row.path.replace('|', "\\|");
        let start = if path.contains("...") || path.starts_with("/ (") || path.contains("x.json") {
            continue;
        } else {
            format!("| {} | {path} | ", row.component)
        };
        let line = table.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("COMPATIBILITY.md has no row '{start}'"));
        let built = paths(&row.path).iter().all(|path| endpoints().any(|e| e.built && e.path == path));
        let says_not_yet = line[start.len()..].starts_with("not yet");
        let in_table = !row.path.starts_with("/help");
        assert!(!in_table || built != says_not_yet, "{line}");
    }
}
