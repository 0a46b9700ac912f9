//! Endpoints that a master and an agent have alike.

use super::{DONE, Endpoint, READ, WRONG};

const PATH: (&str, &str) =
    ("path", "the virtual path, from the first slash on; /files/debug lists what there is");
const FILE_CODES: &[(u16, &str)] = &[
    DONE,
    (400, "path is missing, a number is none, the path leads out of what is attached, or it is a directory"),
    (404, "there is no such file"),
    (500, "the file cannot be read"),
];
const JSONP: (&str, &str) = ("jsonp", "a JavaScript function that is called with the answer");
const VIRTUAL: &str = "reading this virtual path: logs and sandboxes apart";
const NO_PROFILER: &str = "There is no profiler in this program: perf can sample it.";
const NO_PROFILER_CODES: &[(u16, &str)] =
    &[(400, "always, as by a 1.11.0 that was built without gperftools")];
const NO_MEMORY_PROFILER: &str = "There is no memory profiler in this program.";
const NO_MEMORY_PROFILER_CODES: &[(u16, &str)] =
    &[(404, "always, as by a 1.11.0 that was started without LIBPROCESS_MEMORY_PROFILING")];

const fn memory_profiler(path: &'static str) -> Endpoint {
    Endpoint::new(path, &[], NO_MEMORY_PROFILER).codes(NO_MEMORY_PROFILER_CODES).authenticated()
}

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint::new("/version", &[], "The version and the build of the program.")
        .query(&[JSONP])
        .answer("An object: version, git_sha, git_tag, build_date, build_time (seconds since 1970), build_user.")
        .codes(&[DONE]),
    Endpoint::new("/metrics/snapshot", &[], "All metrics at this moment.")
        .query(&[
            ("timeout", "how long the answer may take, such as 5secs; metrics that take longer are left out"),
            JSONP,
        ])
        .answer("An object with a number for each name.")
        .codes(&[DONE, (400, "timeout is no duration")])
        .authenticated(),
    Endpoint::new("/metrics", READ, "All metrics at this moment, for Prometheus.")
        .answer("The text format 0.0.4, or OpenMetrics 1.0 where Accept asks for it.")
        .codes(&[DONE])
        .own(),
    Endpoint::new("/files/browse", &[], "Lists a directory.")
        .query(&[PATH, JSONP])
        .answer("A list of objects: path, mode (as ls shows it), nlink, uid, gid, size, mtime. Of a file it is empty.")
        .codes(FILE_CODES)
        .authorized(VIRTUAL),
    Endpoint::new("/files/read", &[], "Reads a part of a file.")
        .query(&[
            PATH,
            ("offset", "the first byte; -1, or none, asks for the size alone"),
            ("length", "at most so many bytes, and never more than 64 KB; -1, or none, for as many as there may be"),
            JSONP,
        ])
        .answer("An object: data and offset, which is the size where that was asked for.")
        .codes(FILE_CODES)
        .authorized(VIRTUAL),
    Endpoint::new("/files/download", &[], "A whole file, or a range of it.")
        .about(
            "It is sent piece by piece as it is read, and has the length that the file had at first, also when the file \
             grows meanwhile. A browser saves it in place of showing it.\n\
             Range with one range of bytes asks for a part, and If-Range for it only as long as ETag is the same. \
             Of several ranges the whole file is sent.",
        )
        .query(&[PATH])
        .answer("The bytes of the file, as application/octet-stream.")
        .codes(&[
            DONE,
            (206, "the part that was asked for; Content-Range says which"),
            (304, "the file is still the one of If-None-Match"),
            (400, "path is missing, leads out of what is attached, or is a directory"),
            (404, "there is no such file"),
            (416, "the range begins behind the end of the file"),
            (500, "the file cannot be read"),
            (503, "256 downloads go on already, or 64 of the same address"),
        ])
        .authorized(VIRTUAL),
    Endpoint::new("/files/debug", &[], "Which virtual paths stand for which real ones.")
        .query(&[JSONP])
        .answer("An object: virtual path to real path.")
        .codes(&[DONE])
        .authorized("reading this endpoint"),
    Endpoint::new("/logging/toggle", &[], "Shows the verbosity of the log, or changes it for a time.")
        .about("0 is what --logging_level says; 1 and 2 show more of this program, 3 of its libraries, too.")
        .query(&[
            ("level", "the verbosity from now on, not below the one that the program began with"),
            ("duration", "for how long, such as 15mins; level and duration go together"),
        ])
        .answer("Without parameters: the verbosity, as a number.")
        .codes(&[DONE, WRONG])
        .authenticated(),
    Endpoint::new("/system/stats.json", &[], "The load, the memory and the processors of the machine.")
        .query(&[JSONP])
        .answer(
            "An object: avg_load_1min, avg_load_5min, avg_load_15min, cpus_total, mem_total_bytes, mem_free_bytes.",
        )
        .codes(&[DONE]),
    Endpoint::new("/__processes__", &[], "The processes behind this port, as libprocess names them.")
        .answer("A list of objects: id, and events, which is always empty here.")
        .codes(&[DONE]),
    Endpoint::new("/help", &[], "These pages, made of the one definition of each endpoint.")
        .about(
            "HTML, and Markdown where Accept asks for text/plain or text/x-markdown, or the query for format=text. \
             /help/GROUP lists what begins so, /help/GROUP/PATH tells of one endpoint.",
        )
        .query(&[("format", "json for all pages as one object, as in 1.11.0; text for Markdown")])
        .codes(&[DONE, (400, "there is no such endpoint"), (404, "no endpoint begins so")]),
    Endpoint::new("/profiler/start", &[], NO_PROFILER).codes(NO_PROFILER_CODES).authenticated(),
    Endpoint::new("/profiler/stop", &[], NO_PROFILER).codes(NO_PROFILER_CODES).authenticated(),
    memory_profiler("/memory-profiler/start"),
    memory_profiler("/memory-profiler/stop"),
    memory_profiler("/memory-profiler/state"),
    memory_profiler("/memory-profiler/statistics"),
    memory_profiler("/memory-profiler/download/raw"),
    memory_profiler("/memory-profiler/download/text"),
    memory_profiler("/memory-profiler/download/graph"),
];
