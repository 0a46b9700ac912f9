//! Fetching, by a fetcher made of shell.

use messor_agent_core::{Launch, LaunchFailure};
use messor_proto::mesos::command_info::Uri;
use messor_proto::mesos::fetcher::FetcherInfo;
use messor_proto::mesos::fetcher::fetcher_info::{Item, item::Action};

use crate::{Bench, runs, shell, words};

fn fetching(container: &str, command: &str) -> Launch {
    let uri = Uri { value: "/some/file".into(), ..Uri::default() };
    let item = Item { uri, action: Action::BypassCache as i32, cache_filename: None };
    let info = FetcherInfo { items: vec![item], ..FetcherInfo::default() };
    Launch { uris: vec![info], ..shell(container, command) }
}

#[tokio::test]
async fn the_fetcher_comes_before_the_executor_and_knows_what_to_do() {
    let mut bench = Bench::with("echo $MESOS_FETCHER_INFO; echo fetching >&2", |config| {
        config.frameworks_home = Some("/frameworks".into());
    });
    bench.launch(fetching("c1", "echo executor"));
    bench.launched().await;
    assert_eq!(bench.exited().await, Some(0));
    let output = bench.read("c1", "stdout");
    let (info, rest) = output.split_once('\n').unwrap();
    for part in [
        format!(r#""sandbox_directory":"{}""#, bench.sandbox("c1").display()),
        r#""frameworks_home":"/frameworks""#.into(),
        r#""stall_timeout":{"nanoseconds":60000000000}"#.into(),
        r#""value":"/some/file""#.into(),
    ] {
        assert!(info.contains(&part), "{part} is not in {info}");
    }
    assert_eq!(rest, "executor\n");
    assert_eq!(bench.read("c1", "stderr"), "fetching\n");
}

#[tokio::test]
async fn without_uris_no_fetcher_runs() {
    let mut bench = Bench::with("echo fetched; exit 1", |_| {});
    bench.launch(shell("c1", "echo executor"));
    bench.launched().await;
    bench.exited().await;
    assert_eq!(bench.read("c1", "stdout"), "executor\n");
}

#[tokio::test]
async fn a_failed_fetch_says_what_the_fetcher_said_last() {
    let mut bench =
        Bench::with("echo \"E1122 10:00:00.0 7 x.rs:1] '/some/file' is not there\" >&2; exit 1", |_| {});
    bench.launch(fetching("c1", "echo executor"));
    let (reason, message) = bench.failed().await;
    assert_eq!(reason, LaunchFailure::Fetch);
    assert!(message.contains("the fetcher exited with status 1 ('/some/file' is not there)"), "{message}");
    assert_eq!(bench.read("c1", "stdout"), "", "the executor never ran");
}

#[tokio::test]
async fn a_fetcher_that_is_not_there_fails_the_fetch() {
    let mut bench = Bench::with("", |config| config.fetcher.path = "/no/such/mesos-fetcher".into());
    bench.launch(fetching("c1", "true"));
    let (reason, message) = bench.failed().await;
    assert_eq!(reason, LaunchFailure::Fetch);
    assert!(message.contains("'/no/such/mesos-fetcher'"), "{message}");
}

#[tokio::test]
async fn destroying_aborts_a_fetch_and_one_that_waits_for_its_turn() {
    // The script stands in the work directory, and the pipe beside it.
    let script = "sleep 1000 & echo $$ $! >\"$(dirname \"$0\")/pipe\"; wait";
    let mut bench = Bench::with(script, |config| config.parallel_fetches = 1);
    let pipe = bench.pipe();
    bench.launch(fetching("c1", "true"));
    let fetcher = words(pipe).await;
    assert!(fetcher.iter().all(|pid| runs(pid)), "{fetcher:?}");

    // The only turn is taken, so this one waits; its end needs nobody else's.
    bench.launch(fetching("c2", "true"));
    bench.destroy("c2");
    assert!(bench.failed().await.1.contains("container c2 failed to start: it was destroyed"));
    assert!(fetcher.iter().all(|pid| runs(pid)), "{fetcher:?}");

    bench.destroy("c1");
    assert!(bench.failed().await.1.contains("container c1 failed to start: it was destroyed"));
    assert!(!fetcher.iter().any(|pid| runs(pid)), "{fetcher:?}");
}

/// A fetcher that says 5 bytes of everything, and downloads when the pipe `go` beside it says so.
const CACHING: &str = r#"
here=$(dirname "$0")
if [ "$1" = sizes ]; then echo 5; exit; fi
action=$(echo "$MESOS_FETCHER_INFO" | sed 's/.*"action":"\([A-Z_]*\)".*/\1/')
file=$(echo "$MESOS_FETCHER_INFO" | sed 's/.*"cache_filename":"\([^"]*\)".*/\1/')
echo "$action" >>"$here/actions"
if [ "$action" = DOWNLOAD_AND_CACHE ]; then
  echo begun >"$here/pipe"
  read go <"$here/go"
  printf hello >"$here/cache/$file"
fi"#;

fn cached(container: &str) -> Launch {
    let mut launch = fetching(container, "true");
    launch.uris[0].items[0].uri.cache = Some(true);
    launch
}

struct Cached {
    inner: Bench,
    begun: std::path::PathBuf,
    go: std::path::PathBuf,
}

impl Cached {
    fn new() -> Cached {
        let bench = Bench::with(CACHING, |config| {
            let path = config.work_dir.join("cache");
            let precious = [config.runtime_dir.as_path()];
            let opened = messor_containerizer::CacheDirectory::open(&path, 100, &precious).unwrap();
            config.fetcher_cache = opened.map(std::sync::Arc::new);
        });
        let begun = bench.pipe();
        let go = begun.with_file_name("go");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &go, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        Cached { inner: bench, begun, go }
    }

    fn actions(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.begun.with_file_name("actions")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    async fn go_on(&self) {
        let go = self.go.clone();
        tokio::task::spawn_blocking(move || std::fs::write(go, "on\n").unwrap()).await.unwrap();
    }

    fn metric(&self, name: &str) -> f64 {
        let name = format!("containerizer/fetcher/{name}");
        let all = self.inner.containerizer.metrics();
        all.into_iter().find(|(found, _)| *found == name).unwrap().1
    }
}

#[tokio::test]
async fn what_several_containers_want_is_downloaded_once() {
    let mut bench = Cached::new();
    bench.inner.launch(cached("c1"));
    assert_eq!(words(bench.begun.clone()).await, ["begun"]);
    for container in ["c2", "c3"] {
        bench.inner.launch(cached(container));
    }
    assert_eq!(bench.metric("cache_size_used_bytes"), 5.0);
    bench.go_on().await;
    for _ in 0..3 {
        bench.inner.ended().await;
    }
    let mut actions = bench.actions();
    actions.sort();
    assert_eq!(actions, ["DOWNLOAD_AND_CACHE", "RETRIEVE_FROM_CACHE", "RETRIEVE_FROM_CACHE"]);
    assert_eq!(bench.metric("task_fetches_succeeded"), 3.0);
    assert_eq!(bench.metric("cache_size_total_bytes"), 100.0);
    // What is not as it was stored is downloaded anew.
    std::fs::write(bench.begun.with_file_name("cache").join("c1-file"), "hell").unwrap();
    bench.inner.launch(cached("c4"));
    assert_eq!(words(bench.begun.clone()).await, ["begun"]);
    bench.go_on().await;
    bench.inner.ended().await;
    assert_eq!(bench.actions()[3], "DOWNLOAD_AND_CACHE");
}
