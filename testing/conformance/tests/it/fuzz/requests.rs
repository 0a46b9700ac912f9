//! Requests over every call and every endpoint, right and wrong, each made from a seed and its number alone.

use fastrand::Rng;
use messor_http_api::endpoints::endpoints;
use messor_proto::Wire;
use messor_proto::mesos;
use messor_proto::table::{Kind, MessageTable};

use super::messages::{Maker, World, Writer, once_in};
use super::templates;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Master,
    Agent,
}

/// What is asked for: a call of one type, or an endpoint.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    Call { side: Side, path: &'static str, table: &'static MessageTable, kind: i32, name: &'static str },
    Endpoint { side: Side, path: &'static str },
}

/// How the body goes over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Whole,
    Chunked,
    /// Chunks whose sizes are none.
    BadChunks,
    /// Less than was announced, then the end.
    Short,
    /// In two parts with a pause between.
    Halting,
}

#[derive(Clone, Debug)]
pub struct Shot {
    pub side: Side,
    /// The call or the endpoint, for counts.
    pub name: String,
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub delivery: Delivery,
    /// Nothing was made wrong on purpose.
    pub sound: bool,
}

/// Calls that would take the agent, its task or the framework away from the tests that follow: they are about others.
const ABOUT_OTHERS: &[&str] = &[
    "MARK_AGENT_GONE",
    "START_MAINTENANCE",
    "DRAIN_AGENT",
    "DEACTIVATE_AGENT",
    "TEARDOWN",
    "KILL",
    "SHUTDOWN",
    "KILL_CONTAINER",
    "REMOVE_CONTAINER",
    "WAIT_CONTAINER",
    "KILL_NESTED_CONTAINER",
    "REMOVE_NESTED_CONTAINER",
    "WAIT_NESTED_CONTAINER",
    "ATTACH_CONTAINER_INPUT",
];

/// Every call of the four APIs, and every endpoint that is listed.
pub fn aims() -> Vec<Aim> {
    let mut aims = Vec::new();
    for (side, path, table) in [
        (Side::Master, "/master/api/v1", mesos::master::Call::TABLE),
        (Side::Master, "/master/api/v1/scheduler", mesos::scheduler::Call::TABLE),
        (Side::Agent, "/slave(1)/api/v1", mesos::agent::Call::TABLE),
        (Side::Agent, "/slave(1)/api/v1/executor", mesos::executor::Call::TABLE),
        (Side::Agent, "/slave(1)/api/v1/resource_provider", mesos::resource_provider::Call::TABLE),
    ] {
        let kinds = table.fields.iter().find(|field| field.name == "type").map(|field| field.kind);
        let Some(Kind::Enum(kinds)) = kinds else { panic!("{} has a type", table.name) };
        aims.extend(kinds.values.iter().map(|kind| Aim::Call {
            side,
            path,
            table,
            kind: kind.number,
            name: kind.v1_name,
        }));
    }
    for endpoint in endpoints() {
        let of_agent = endpoint.path.starts_with("/slave(1)");
        let of_master =
            ["/master", "/registrar", "/allocator"].iter().any(|of| endpoint.path.starts_with(of));
        if !of_agent {
            aims.push(Aim::Endpoint { side: Side::Master, path: endpoint.path });
        }
        if !of_master {
            aims.push(Aim::Endpoint { side: Side::Agent, path: endpoint.path });
        }
    }
    for (side, path) in [
        (Side::Master, "/"),
        (Side::Agent, "/"),
        (Side::Master, "/help"),
        (Side::Agent, "/help/slave(1)/state"),
        (Side::Master, "/__processes__"),
        (Side::Agent, "/__processes__"),
        (Side::Master, "/assets/x.js"),
        (Side::Master, "/master/nothing"),
        (Side::Agent, "/slave(1)/nothing"),
        (Side::Master, "/slave(1)/state"),
        (Side::Master, "/quota/web"),
    ] {
        aims.push(Aim::Endpoint { side, path });
    }
    aims
}

pub fn name_of(aim: &Aim) -> String {
    match aim {
        Aim::Call { path, name, .. } => format!("{path} {name}"),
        Aim::Endpoint { side, path } => format!("{side:?} {path}"),
    }
}

const MEDIA: [&str; 8] = [
    "application/json",
    "application/x-protobuf",
    "application/recordio",
    "text/html",
    "*/*",
    "application/json; charset=utf-8",
    "application/xml;q=0.5, application/json;q=0.1",
    ";;q=,",
];
const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE", "BREW", "get"];
const QUERIES: [&str; 26] = [
    "path",
    "offset",
    "length",
    "limit",
    "order",
    "framework_id",
    "task_id",
    "slave_id",
    "agent_id",
    "file",
    "jsonp",
    "timeout",
    "level",
    "duration",
    "role",
    "frameworkId",
    "x",
    "",
    "follow",
    "container_id",
    "executor_id",
    "key",
    "order[]",
    "path[]",
    "show_nested",
    "format",
];

/// The request of this number. `plain` asks for one without mistakes.
pub fn make(rng: &mut Rng, world: &World, aim: &Aim, plain: bool) -> Shot {
    match aim {
        Aim::Call { side, path, table, kind, name } => {
            call(rng, world, (*side, path, table, *kind, name), plain)
        }
        Aim::Endpoint { side, path } => endpoint(rng, world, *side, path, plain),
    }
}

type CallOf<'c> = (Side, &'c str, &'static MessageTable, i32, &'c str);

fn call(rng: &mut Rng, world: &World, (side, path, table, kind, name): CallOf<'_>, plain: bool) -> Shot {
    let of_scheduler = path.ends_with("/scheduler");
    // A scheduler's SUBSCRIBE would take the stream of the framework over.
    let about_others =
        ABOUT_OTHERS.contains(&name) || path.ends_with("/executor") || (of_scheduler && name == "SUBSCRIBE");
    let real = !about_others;
    let datum = Maker { rng, world, real }.call(table, kind, name);
    let sloppy = !plain && once_in(rng, 4);
    let json = rng.bool();
    let mut body = Vec::new();
    let mut writer = Writer { rng, sloppy };
    if json {
        writer.json(&datum, &mut body)
    } else {
        writer.binary(&datum, &mut body)
    }
    let mut content = if json { MEDIA[0] } else { MEDIA[1] };
    let mut accept = if rng.bool() { MEDIA[0] } else { MEDIA[1] };
    let mut sound = !sloppy;
    let changes = if plain { 0 } else { rng.usize(..4) };
    let right = (plain || rng.bool()).then(|| templates::call(rng, world, path, name, changes)).flatten();
    let (json, mut body) = match right {
        Some(right) => (true, right),
        None => (json, body),
    };
    if json {
        content = MEDIA[0];
    }
    if name == "ATTACH_CONTAINER_INPUT" && rng.bool() {
        let mut record = body.len().to_string().into_bytes();
        record.push(b'\n');
        record.append(&mut body);
        body = record;
        content = MEDIA[2];
    }
    let mut headers = Vec::new();
    if content == MEDIA[2] {
        headers.push(header("Message-Content-Type", if json { MEDIA[0] } else { MEDIA[1] }));
    }
    if !plain && once_in(rng, 12) {
        body = broken(rng, body, json);
        sound = false;
    }
    if !plain && once_in(rng, 15) {
        content = MEDIA[rng.usize(..MEDIA.len())];
        sound = false;
    }
    if (name.ends_with("SESSION") || name == "ATTACH_CONTAINER_OUTPUT") && (plain || rng.bool()) {
        accept = MEDIA[2];
    }
    if !plain && once_in(rng, 15) {
        accept = MEDIA[rng.usize(..MEDIA.len())];
    }
    headers.push(header("Content-Type", content));
    headers.push(header("Accept", accept));
    if of_scheduler && name != "SUBSCRIBE" {
        headers.push(header("Mesos-Stream-Id", if once_in(rng, 5) { "nobody's" } else { &world.stream }));
    }
    if name.ends_with("SESSION") || name == "ATTACH_CONTAINER_OUTPUT" {
        headers.push(header("Message-Accept", MEDIA[rng.usize(..2)]));
    }
    let method = if !plain && once_in(rng, 30) { METHODS[rng.usize(..METHODS.len())] } else { "POST" };
    let mut shot = Shot {
        side,
        name: format!("{path} {name}"),
        method: method.into(),
        target: path.into(),
        headers,
        body,
        delivery: Delivery::Whole,
        sound,
    };
    if !plain {
        disturb(rng, &mut shot);
    }
    shot
}

fn endpoint(rng: &mut Rng, world: &World, side: Side, path: &str, plain: bool) -> Shot {
    let is_form = ["teardown", "reserve", "unreserve", "create-volumes", "destroy-volumes"]
        .iter()
        .any(|end| path.ends_with(end));
    let takes_json = ["/weights", "/quota", "/schedule", "/machine/up", "/machine/down"]
        .iter()
        .any(|end| path.ends_with(end));
    let method = match rng.u32(..8) {
        0 if !plain => METHODS[rng.usize(..METHODS.len())],
        1..4 if takes_json || is_form => {
            if path.ends_with("weights") {
                "PUT"
            } else {
                "POST"
            }
        }
        _ if is_form => "POST",
        _ => "GET",
    };
    let mut target = path.to_string();
    if target == "/master/agents" {
        let reads = [
            "state",
            "containers",
            "files/read",
            "files/browse",
            "flags",
            "metrics/snapshot",
            "version",
            "files/download",
            "../state",
            "",
        ];
        let agent = if rng.bool() { world.agent.as_str() } else { "x" };
        target = format!("{target}/{agent}/{}", reads[rng.usize(..reads.len())]);
    }
    match rng.u32(..8) {
        0 => target.push_str(".json"),
        1 => target = target.replacen("/master/", "/", 1).replacen("/slave(1)/", "/", 1),
        2 if !plain => target.push('/'),
        _ => {}
    }
    let right = right_query(world, path);
    if !right.is_empty() && (plain || rng.bool()) {
        target = format!("{target}?{right}");
    } else if rng.bool() {
        let pairs: Vec<String> = (0..rng.usize(1..4)).map(|_| pair(rng, world, &target)).collect();
        target = format!("{target}?{}", pairs.join("&"));
    }
    let mut body = Vec::new();
    if method != "GET" || once_in(rng, 20) {
        body = if is_form { form(rng, world) } else { document(rng, world, path) };
        if !plain && once_in(rng, 8) {
            body = broken(rng, body, true);
        }
    }
    let mut headers =
        vec![header("Accept", if once_in(rng, 5) { MEDIA[rng.usize(..MEDIA.len())] } else { "*/*" })];
    if rng.bool() {
        headers.push(header("Content-Type", MEDIA[rng.usize(..MEDIA.len())]));
    }
    let mut shot = Shot {
        side,
        name: format!("{side:?} {path}"),
        method: method.into(),
        target,
        headers,
        body,
        delivery: Delivery::Whole,
        sound: plain,
    };
    if !plain {
        disturb(rng, &mut shot);
    }
    shot
}

fn header(name: &str, value: &str) -> (String, Vec<u8>) {
    (name.into(), value.as_bytes().into())
}

/// What an endpoint has to be asked with; empty where it needs nothing.
fn right_query(world: &World, path: &str) -> String {
    match path {
        "/master/task/logs" => format!("framework_id={}&task_id={}", world.framework, world.task),
        "/master/agent/log" => format!("agent_id={}", world.agent),
        "/files/browse" => format!("path={}", escaped(world.sandbox.as_bytes())),
        "/files/read" | "/files/download" => format!("path={}/stdout", escaped(world.sandbox.as_bytes())),
        _ => String::new(),
    }
}

/// One pair of a query. Sometimes it is not escaped.
fn pair(rng: &mut Rng, world: &World, target: &str) -> String {
    let name = QUERIES[rng.usize(..QUERIES.len())];
    // Of those that the endpoint knows, more.
    let name = match rng.u32(..3) {
        0 if target.contains("files/") => ["path", "offset", "length"][rng.usize(..3)],
        0 if target.contains("tasks") => ["limit", "offset", "order"][rng.usize(..3)],
        0 if target.contains("toggle") => ["level", "duration"][rng.usize(..2)],
        0 if target.contains("log") => ["framework_id", "task_id", "agent_id", "file"][rng.usize(..4)],
        _ => name,
    };
    let numbers = [
        "0",
        "-1",
        "1",
        "99999999999999999999",
        "-9223372036854775808",
        "9223372036854775807",
        "1e3",
        "NaN",
        "65536",
        "0x10",
        "",
    ];
    let value: Vec<u8> = match name {
        "offset" | "length" | "limit" | "level" => numbers[rng.usize(..numbers.len())].into(),
        "timeout" | "duration" => {
            ["1secs", "-1secs", "1e300days", "5", "", "0ns", "infsecs"][rng.usize(..7)].into()
        }
        "framework_id" | "frameworkId" if rng.bool() => world.framework.clone().into(),
        "task_id" if rng.bool() => world.task.clone().into(),
        "slave_id" | "agent_id" if rng.bool() => world.agent.clone().into(),
        "file" => ["stdout", "stderr", "../../x", "/etc/passwd", "a/b", "", "."][rng.usize(..7)].into(),
        _ => Maker { rng, world, real: true }.text("", name),
    };
    if once_in(rng, 15) {
        let printable: Vec<u8> =
            value.into_iter().filter(|byte| byte.is_ascii_graphic() && *byte != b'#').collect();
        return format!("{name}={}%zz%", String::from_utf8_lossy(&printable[..printable.len().min(5000)]));
    }
    format!("{name}={}", escaped(&value[..value.len().min(60_000)]))
}

fn escaped(value: &[u8]) -> String {
    let mut text = String::new();
    for byte in value {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' => {
                text.push(char::from(*byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// What the older endpoints take: a form whose values are JSON.
fn form(rng: &mut Rng, world: &World) -> Vec<u8> {
    let agent = if rng.bool() { world.agent.clone() } else { "nobody".into() };
    let mut text = format!("slaveId={}", escaped(agent.as_bytes()));
    let name = ["resources", "volumes", "frameworkId", "x"][rng.usize(..4)];
    let mut list = b"[".to_vec();
    for index in 0..rng.usize(..3) {
        if index > 0 {
            list.push(b',');
        }
        let datum = message(rng, world, mesos::Resource::TABLE);
        Writer { rng, sloppy: false }.json(&datum, &mut list);
    }
    list.push(b']');
    let value = if name == "frameworkId" { b"nobody".to_vec() } else { list };
    text.push_str(&format!("&{name}={}", escaped(&value)));
    text.into_bytes()
}

/// What the newer ones take.
fn document(rng: &mut Rng, world: &World, path: &str) -> Vec<u8> {
    let (table, list) = match path {
        _ if path.ends_with("weights") => (mesos::WeightInfo::TABLE, true),
        _ if path.ends_with("quota") => (mesos::quota::QuotaRequest::TABLE, false),
        _ if path.ends_with("schedule") => (mesos::maintenance::Schedule::TABLE, false),
        _ => (mesos::MachineId::TABLE, true),
    };
    let mut body = Vec::new();
    let sloppy = once_in(rng, 4);
    if list {
        body.push(b'[');
    }
    let datum = message(rng, world, table);
    Writer { rng, sloppy }.json(&datum, &mut body);
    if list {
        body.push(b']');
    }
    body
}

/// A message about others.
fn message(rng: &mut Rng, world: &World, table: &'static MessageTable) -> super::messages::Datum {
    Maker { rng, world, real: false }.any(table)
}

fn broken(rng: &mut Rng, mut body: Vec<u8>, json: bool) -> Vec<u8> {
    match rng.u32(..9) {
        0 => body.truncate(body.len() / 2),
        1 => body.clear(),
        2 => {
            for _ in 0..rng.usize(1..8) {
                if !body.is_empty() {
                    let at = rng.usize(..body.len());
                    body[at] ^= 1 << rng.u32(..8);
                }
            }
        }
        3 => {
            let length = rng.usize(..2000);
            body = std::iter::repeat_with(|| rng.u8(..)).take(length).collect();
        }
        4 if json => body = nested(b"{\"type\":", b"", 100_000),
        5 if json => body = nested(b"[", b"]", 50_000),
        // A message in itself, over and over, with lengths that say more than there is.
        4 | 5 => body = b"\x0a\xff\xff\xff\xff\x0f\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01".repeat(50),
        6 => body.splice(..0, *b"\xef\xbb\xbf").for_each(drop),
        7 => body = body.iter().rev().copied().collect(),
        _ => body.extend_from_slice(b"}]\0trailing"),
    }
    body
}

fn nested(open: &[u8], close: &[u8], depth: usize) -> Vec<u8> {
    let mut text = open.repeat(depth);
    text.extend_from_slice(&close.repeat(depth));
    text
}

/// What goes wrong around a request.
fn disturb(rng: &mut Rng, shot: &mut Shot) {
    shot.delivery = match rng.u32(..40) {
        0..4 => Delivery::Chunked,
        4 => Delivery::BadChunks,
        5 => Delivery::Short,
        6 => Delivery::Halting,
        _ => Delivery::Whole,
    };
    shot.sound &= !matches!(shot.delivery, Delivery::BadChunks | Delivery::Short);
    match rng.u32(..60) {
        0 => shot.headers.push(header("Content-Encoding", "gzip")),
        1 => shot.headers.push(header("Content-Encoding", "br")),
        2 => shot.headers.push(header("Content-Encoding", "identity")),
        3..8 => shot.headers.push(header("Accept-Encoding", "gzip, deflate;q=0.1, *;q=0")),
        8 => shot.headers.push(("X-Odd".into(), b"\xff\xfe\x80".to_vec())),
        9 => shot.headers.push(header("Authorization", "Basic Zm9v")),
        10 => shot.headers.push(header("Mesos-Stream-Id", "")),
        11 => shot.headers.push(("X-Long".into(), vec![b'z'; 60_000])),
        12 => shot.headers.push(header("Expect", "100-continue")),
        13 => shot.headers.push(header("Upgrade", "websocket")),
        14 => shot.headers.retain(|(name, _)| name != "Content-Type"),
        15 => shot.headers.push(header("Message-Accept", "text/html")),
        16 => shot.headers.push(header("If-None-Match", "*")),
        17 => shot.headers.push(header("Range", "bytes=5-1")),
        _ => return,
    }
    shot.sound = false;
}
