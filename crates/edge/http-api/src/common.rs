//! The endpoints that a master and an agent have alike: the first page, version, metrics, files, logging, system, help.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use messor_proto::mesos::{FileInfo, Flag, Metric, VersionInfo};
use messor_stdx::parse_duration;

use crate::answer::{Answer, bad_request, empty, json, text};
use crate::document::{self, Object};
use crate::download;
use crate::files::{Files, FilesError};
use crate::help;
use crate::home;
use crate::info::ProgramInfo;
use crate::master::state::{build_info, flags_object};
use crate::pace::Pace;
use crate::page;
use crate::request::Request;
use crate::respond;

/// The verbosity of the log, changed while the program runs. 0 is what the flags say; more says more.
pub trait Logging: Send + Sync {
    fn level(&self) -> u32;
    /// Changes the verbosity for a time; then it is again what it was. The error says what is wrong with the level.
    fn set_level(&self, level: u32, duration: Duration) -> Result<(), String>;
}

pub type Metrics = Vec<(String, f64)>;

/// Where metrics come from.
pub trait MetricsSource: Send + Sync {
    fn metrics(&self) -> Pin<Box<dyn Future<Output = Metrics> + Send + '_>>;
}

/// What these endpoints need of their program.
#[derive(Clone)]
pub struct Common {
    pub program: Arc<ProgramInfo>,
    pub files: Files,
    pub logging: Arc<dyn Logging>,
    pub metrics: Arc<dyn MetricsSource>,
    /// How often /metrics/snapshot is answered; None for as often as it is asked.
    pub pace: Option<Arc<Pace>>,
    /// The ids of the libprocess processes here, for /__processes__ and /help.
    pub processes: Vec<String>,
}

/// Answered with the code of a 1.11.0 that was built without gperftools, as all were that anybody packaged.
const NO_PROFILER: &str =
    "this program has no profiler: sample it with perf, which finds the names of its functions in the binary";
/// With the code of a 1.11.0 whose environment has no LIBPROCESS_MEMORY_PROFILING, as is the default.
const NO_MEMORY_PROFILER: &str = "404 Not Found: this program has no memory profiler";

impl Common {
    /// The answer, when the path is one of these.
    pub async fn handle(&self, request: &Request) -> Option<Answer> {
        let path = request.path.as_str();
        if path == "/metrics" {
            return Some(self.scrape(request).await);
        }
        Some(match path.strip_suffix(".json").filter(|p| *p != "/system/stats").unwrap_or(path) {
            "/" => match self.page(request) {
                Some(page) => page,
                None => home::answer_home(request, &self.program, &self.processes),
            },
            "/version" => json(request, document::object(|o| build_info(o, &self.program.build))),
            "/metrics/snapshot" => self.snapshot(request).await,
            "/files/browse" => self.browse(request),
            "/files/read" => self.read(request),
            "/files/debug" => self.files_debug(request),
            "/logging/toggle" => self.toggle(request),
            "/system/stats.json" => system_stats(request),
            "/__processes__" => self.processes(request),
            path if path == "/help" || path.starts_with("/help/") => help::answer(request, &self.processes),
            "/profiler/start" | "/profiler/stop" => bad_request(NO_PROFILER),
            path if path.starts_with("/memory-profiler/") => text(StatusCode::NOT_FOUND, NO_MEMORY_PROFILER),
            path if path.starts_with("/assets/") || path == "/favicon.svg" => return self.page(request),
            _ => return None,
        })
    }

    /// The web page is the master's, and where the program was built with it.
    fn page(&self, request: &Request) -> Option<Answer> {
        let is_master = self.processes.iter().any(|process| process == "master");
        if is_master { page::answer_page(request) } else { None }
    }

    async fn snapshot(&self, request: &Request) -> Answer {
        let timeout = match request.query.get("timeout").map(parse_duration).transpose() {
            Ok(timeout) => timeout.unwrap_or(Duration::from_secs(60)),
            Err(error) => return bad_request(format!("timeout: {error}")),
        };
        if let Some(pace) = &self.pace {
            pace.turn().await;
        }
        // Metrics that did not come in time are left out.
        let metrics = tokio::time::timeout(timeout, self.metrics.metrics()).await.unwrap_or_default();
        json(request, document::object(|o| metrics.iter().for_each(|(name, value)| o.double(name, *value))))
    }

    fn browse(&self, request: &Request) -> Answer {
        match path_of(request).map(|path| self.files.browse(path)) {
            Err(refusal) => refusal,
            Ok(Err(error)) => files_error(&error),
            Ok(Ok(list)) => json(
                request,
                document::array(|a| list.iter().for_each(|file| a.object(|o| file_json(o, file)))),
            ),
        }
    }

    fn read(&self, request: &Request) -> Answer {
        let path = match path_of(request) {
            Ok(path) => path,
            Err(refusal) => return refusal,
        };
        let number = |name: &str| match request.query.get(name) {
            None => Ok(-1),
            Some(text) => match text.parse::<i64>() {
                Ok(number) if number >= -1 => Ok(number),
                _ => Err(bad_request(format!("{name}={text}: expecting a whole number, or -1"))),
            },
        };
        let (offset, length) = match (number("offset"), number("length")) {
            (Ok(offset), Ok(length)) => (offset, length),
            (Err(refusal), _) | (_, Err(refusal)) => return refusal,
        };
        // Offset -1 asks for the size alone.
        let wanted = if offset == -1 { Some(0) } else { u64::try_from(length).ok() };
        match self.files.read(path, u64::try_from(offset).unwrap_or(0), wanted) {
            Err(error) => files_error(&error),
            Ok((size, data)) => {
                let shown = if offset == -1 { i64::try_from(size).unwrap_or(i64::MAX) } else { offset };
                json(
                    request,
                    document::object(|o| {
                        o.text("data", &String::from_utf8_lossy(&data));
                        o.integer("offset", shown);
                    }),
                )
            }
        }
    }

    /// A download, when the path is that of one: a stream, or a refusal.
    pub fn download(&self, request: &Request) -> Option<messor_net::Response> {
        if request.path.strip_suffix(".json").unwrap_or(&request.path) != "/files/download" {
            return None;
        }
        let refusal = match path_of(request).map(|path| (path, self.files.open(path))) {
            Ok((path, Ok(file))) => {
                let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
                return Some(download::serve(request, file, name));
            }
            Ok((_, Err(FilesError::NotFound(_)))) => text(StatusCode::NOT_FOUND, "File not found."),
            Ok((_, Err(error))) => files_error(&error),
            Err(refusal) => refusal,
        };
        Some(respond::whole(refusal))
    }

    fn files_debug(&self, request: &Request) -> Answer {
        let attached = self.files.attached();
        json(
            request,
            document::object(|o| {
                attached.iter().for_each(|(name, real)| o.text(name, &real.to_string_lossy()));
            }),
        )
    }

    fn toggle(&self, request: &Request) -> Answer {
        let query = |name: &str| request.query.get(name);
        match (query("level"), query("duration")) {
            (None, None) => text(StatusCode::OK, format!("{}\n", self.logging.level())),
            (Some(_), None) => bad_request("expecting 'duration=value' in query"),
            (None, Some(_)) => bad_request("expecting 'level=value' in query"),
            (Some(level), Some(duration)) => match (level.parse::<u32>(), parse_duration(duration)) {
                (Err(_), _) => bad_request(format!("level={level}: expecting a whole number, 0 or more")),
                (_, Err(error)) => bad_request(format!("duration: {error}")),
                (Ok(level), Ok(duration)) => self.set_level(level, duration),
            },
        }
    }

    pub fn set_level(&self, level: u32, duration: Duration) -> Answer {
        match self.logging.set_level(level, duration) {
            Ok(()) => empty(StatusCode::OK),
            Err(wrong) => bad_request(wrong),
        }
    }

    fn processes(&self, request: &Request) -> Answer {
        json(
            request,
            document::array(|a| {
                for id in &self.processes {
                    a.object(|o| {
                        o.array("events", |_| ());
                        o.text("id", id);
                    });
                }
            }),
        )
    }

    pub fn flags(&self, request: &Request) -> Answer {
        json(request, document::object(|o| flags_object(o, &self.program)))
    }

    pub fn flag_messages(&self) -> Vec<Flag> {
        let flags = self.program.flags.iter();
        flags.map(|(name, value)| Flag { name: name.clone(), value: Some(value.clone()) }).collect()
    }

    pub fn version_message(&self) -> VersionInfo {
        let build = &self.program.build;
        VersionInfo {
            version: build.version.into(),
            build_date: Some(build.build_date.into()),
            build_time: Some(build.build_time),
            build_user: Some(build.build_user.into()),
            git_sha: Some(build.git_sha.into()),
            git_branch: None,
            git_tag: Some(build.git_tag.into()),
        }
    }

    pub async fn metric_messages(&self, timeout: Duration) -> Vec<Metric> {
        let metrics = tokio::time::timeout(timeout, self.metrics.metrics()).await.unwrap_or_default();
        metrics.into_iter().map(|(name, value)| Metric { name, value: Some(value) }).collect()
    }
}

fn path_of(request: &Request) -> Result<&str, Answer> {
    let path = request.query.get("path").filter(|path| !path.is_empty());
    path.ok_or_else(|| bad_request("expecting 'path=value' in query"))
}

pub fn files_error(error: &FilesError) -> Answer {
    match error {
        FilesError::NotFound(_) => text(StatusCode::NOT_FOUND, ""),
        FilesError::Outside(_) | FilesError::Directory(_) => bad_request(error.to_string()),
        FilesError::Io { .. } => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// A file as /files/browse shows it: its mode in the letters of `ls`.
fn file_json(o: &mut Object<'_>, file: &FileInfo) {
    let mode = file.mode();
    let mut letters = String::new();
    letters.push(match mode & 0o170_000 {
        0o040_000 => 'd',
        0o020_000 => 'c',
        0o060_000 => 'b',
        0o010_000 => 'p',
        0o120_000 => 'l',
        0o140_000 => 's',
        _ => '-',
    });
    for (bit, letter) in (0..9).rev().zip("rwxrwxrwx".chars()) {
        letters.push(if mode & (1 << bit) != 0 { letter } else { '-' });
    }
    o.text("gid", file.gid());
    o.text("mode", &letters);
    o.double("mtime", file.mtime.as_ref().map_or(0.0, |t| t.nanoseconds as f64 / 1e9));
    o.integer("nlink", i64::from(file.nlink()));
    o.text("path", &file.path);
    o.integer("size", i64::try_from(file.size()).unwrap_or(i64::MAX));
    o.text("uid", file.uid());
}

/// The load of the machine, its memory and processors, from /proc.
pub fn system_metrics() -> Metrics {
    let mut found = Vec::new();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut loads = load.split_whitespace().map_while(|word| word.parse::<f64>().ok());
    for name in ["load_1min", "load_5min", "load_15min"] {
        if let Some(value) = loads.next() {
            found.push((name.to_string(), value));
        }
    }
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    found.push(("cpus_total".to_string(), cpus as f64));
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    for (name, key) in [("mem_total_bytes", "MemTotal:"), ("mem_free_bytes", "MemFree:")] {
        let line = memory.lines().find_map(|line| line.strip_prefix(key));
        if let Some(kilobytes) = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok()) {
            found.push((name.to_string(), kilobytes * 1024.0));
        }
    }
    found
}

fn system_stats(request: &Request) -> Answer {
    json(
        request,
        document::object(|o| {
            for (name, value) in system_metrics() {
                match name.strip_prefix("load_") {
                    Some(period) => o.double(&format!("avg_load_{period}"), value),
                    None => o.integer(&name, value as i64),
                }
            }
        }),
    )
}
