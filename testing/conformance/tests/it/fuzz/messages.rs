//! Messages of any kind, from the tables of the wire: most of them of the right shape, with values that nobody expects.
//!
//! What would end the cluster under test is left out (see `World`), and so is what would hurt its host: commands are harmless
//! ones, and paths that climb do not climb far.

use fastrand::Rng;
use messor_proto::Version;
use messor_proto::table::{EnumTable, Field, Kind, Label, MessageTable};

/// What is really there, so that some messages are about something.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub framework: String,
    pub agent: String,
    pub offer: String,
    pub task: String,
    pub container: String,
    /// Where the task's sandbox is, and the agent's work directory.
    pub sandbox: String,
    pub work_dir: String,
    /// Of the framework's stream of events.
    pub stream: String,
}

/// How deep optional parts go.
const DEPTH: usize = 6;
/// A text that is longer than anybody needs.
const LONG_BYTES: usize = 1 << 20;

pub enum Datum {
    Double(f64),
    Integer(i128),
    Bool(bool),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    Enum(&'static EnumTable, i32),
    Message(Vec<(&'static Field, Datum)>),
}

pub struct Maker<'m> {
    pub rng: &'m mut Rng,
    pub world: &'m World,
    /// May name what is really there.
    pub real: bool,
}

fn choose<'c>(rng: &mut Rng, from: &[&'c str]) -> &'c str {
    from[rng.usize(..from.len())]
}

/// One time in so many.
pub fn once_in(rng: &mut Rng, times: u32) -> bool {
    rng.u32(..times) == 0
}

impl Maker<'_> {
    /// A call of this type, as a rule with the field that goes with it.
    pub fn call(&mut self, table: &'static MessageTable, kind: i32, name: &str) -> Datum {
        let mut fields = Vec::new();
        for field in table.fields {
            let own = field.v1_name.eq_ignore_ascii_case(name);
            if field.v1_name == "type" {
                let Kind::Enum(kinds) = field.kind else { continue };
                fields.push((field, Datum::Enum(kinds, kind)));
            } else if field.v1_name == "framework_id" || field.v1_name == "executor_id" {
                if !once_in(self.rng, 20) {
                    self.add(&mut fields, table, field, 1);
                }
            } else if (own && !once_in(self.rng, 20)) || (!own && once_in(self.rng, 60)) {
                self.add(&mut fields, table, field, 1);
            }
        }
        Datum::Message(fields)
    }

    /// A message of any kind.
    pub fn any(&mut self, table: &'static MessageTable) -> Datum {
        self.message(table, 0)
    }

    fn message(&mut self, table: &'static MessageTable, depth: usize) -> Datum {
        let mut fields = Vec::new();
        for field in table.fields {
            let wanted = match field.label {
                Label::Required => !once_in(self.rng, 50),
                _ if depth > DEPTH => false,
                _ => self.rng.usize(..depth + 1) == 0,
            };
            if wanted {
                self.add(&mut fields, table, field, depth + 1);
            }
        }
        Datum::Message(fields)
    }

    fn add(
        &mut self,
        fields: &mut Vec<(&'static Field, Datum)>,
        table: &'static MessageTable,
        field: &'static Field,
        depth: usize,
    ) {
        let count = match field.label {
            Label::Repeated | Label::Map => self.rng.usize(..4),
            _ => 1,
        };
        for _ in 0..count {
            let datum = self.datum(table, field, depth);
            fields.push((field, datum));
        }
    }

    fn datum(&mut self, table: &'static MessageTable, field: &'static Field, depth: usize) -> Datum {
        match field.kind {
            Kind::Double => Datum::Double(self.double()),
            Kind::Int32 => Datum::Integer(self.integer(i32::MIN.into(), i32::MAX.into())),
            Kind::Int64 => Datum::Integer(self.integer(i64::MIN.into(), i64::MAX.into())),
            Kind::Uint32 => Datum::Integer(self.integer(0, u32::MAX.into())),
            Kind::Uint64 => Datum::Integer(self.integer(0, u64::MAX.into())),
            Kind::Bool => Datum::Bool(self.rng.bool()),
            Kind::Text => Datum::Text(self.text(table.name, field.v1_name)),
            Kind::Bytes => Datum::Bytes(self.bytes()),
            Kind::Enum(kinds) if once_in(self.rng, 15) => Datum::Enum(kinds, self.rng.i32(..)),
            Kind::Enum(kinds) => {
                Datum::Enum(kinds, kinds.values[self.rng.usize(..kinds.values.len())].number)
            }
            Kind::Message(within) => self.message(within, depth),
        }
    }

    fn double(&mut self) -> f64 {
        match self.rng.u32(..16) {
            0 => -1.0,
            1 => f64::NAN,
            2 => f64::INFINITY,
            3 => f64::NEG_INFINITY,
            4 => 1e300,
            5 => -1e300,
            6 => 1e-320,
            7 => 0.0,
            8 => -0.0,
            9 => 9_007_199_254_740_993.0,
            10 => f64::from_bits(self.rng.u64(..)),
            11 => 0.000_4,
            _ => f64::from(self.rng.u32(1..100)) / 10.0,
        }
    }

    fn integer(&mut self, least: i128, most: i128) -> i128 {
        match self.rng.u32(..10) {
            0 => least,
            1 => most,
            2 => most / 1_000_000_000,
            3 => i128::from(self.rng.u64(..)).clamp(least, most),
            4 => (-1).max(least),
            5 => 0,
            _ => i128::from(self.rng.u32(..2000)),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = match self.rng.u32(..40) {
            0 => LONG_BYTES,
            1..10 => 0,
            10..25 => 16,
            _ => self.rng.usize(..40),
        };
        std::iter::repeat_with(|| self.rng.u8(..)).take(length).collect()
    }

    /// A text for a field: what could be meant there, or what should never be.
    pub fn text(&mut self, message: &str, field: &str) -> Vec<u8> {
        let commands = ["true", "exit 3", "sleep 0.05", "echo x", "cat", "", "no-such-program"];
        if message == "mesos.CommandInfo" && matches!(field, "value" | "arguments") {
            return choose(self.rng, &commands).into();
        }
        if message == "mesos.CommandInfo.URI" {
            let from = [
                "/etc/hostname",
                "file:///etc/hostname",
                "http://127.0.0.1:1/x",
                "/nothing",
                "://",
                "",
                "x.zip",
            ];
            return choose(self.rng, &from).into();
        }
        if field == "host_path" || field == "source_path" {
            return choose(self.rng, &["/etc/hostname", "/nothing/here", "relative", "", "."]).into();
        }
        if message == "mesos.Environment.Variable" && field == "name" {
            return choose(self.rng, &["A", "", "MESOS_SANDBOX", "a=b", "PATH2", "-"]).into();
        }
        if once_in(self.rng, 8) {
            return self.strange();
        }
        let own = |name: &str| if name.is_empty() { "none".to_string() } else { name.to_string() };
        let real = self.real && !once_in(self.rng, 3);
        let world = self.world;
        match (message, field) {
            ("mesos.FrameworkID", _) if real => own(&world.framework),
            ("mesos.SlaveID", _) if real => own(&world.agent),
            ("mesos.OfferID", _) if real => own(&world.offer),
            ("mesos.TaskID", _) if real => own(&world.task),
            ("mesos.ExecutorID", _) if real => own(&world.task),
            ("mesos.ContainerID", _) if real && self.rng.bool() => own(&world.container),
            ("mesos.ContainerID", _) => format!("fuzz-{}", self.rng.u32(..4)),
            (_, "path" | "directory") if real => {
                let base = if self.rng.bool() { &world.sandbox } else { &world.work_dir };
                let below = [
                    "",
                    "/",
                    "/stdout",
                    "/stderr",
                    "/..",
                    "/../..",
                    "/nothing",
                    "/stdout/x",
                    "/link",
                    "/%00",
                ];
                format!("{base}{}", choose(self.rng, &below))
            }
            (_, "path" | "directory" | "container_path") => choose(
                self.rng,
                &[
                    "",
                    "/",
                    "..",
                    "../..",
                    "/etc/passwd",
                    "/slave/log",
                    "/master/log",
                    "a/../../b",
                    "data",
                    "//",
                ],
            )
            .into(),
            (_, "role" | "roles") => {
                choose(self.rng, &["*", "web", "web/a", "web/a/b", "/", ".", "a//b", "-x", "", "ops"]).into()
            }
            (_, "hostname") if real => "localhost".into(),
            (_, "ip" | "ip_address") if real => "127.0.0.1".into(),
            (_, "hostname" | "ip" | "ip_address") => {
                choose(self.rng, &["10.9.8.7", "elsewhere", "", "::1", "999.1.1.1"]).into()
            }
            (_, "user") => choose(self.rng, &["root", "nobody", "no-such-user", ""]).into(),
            ("mesos.Resource", "name") => {
                choose(self.rng, &["cpus", "mem", "disk", "ports", "gpus", "", "x y"]).into()
            }
            (_, "id") => choose(self.rng, &["v1", "v2", "../v", "a/b", ".", ""]).into(),
            (_, "principal") => choose(self.rng, &["p", "", "ops"]).into(),
            _ => choose(self.rng, &["a", "b", "some-name", "", "1", "x/y", "0.5", "true"]).into(),
        }
        .into_bytes()
    }

    /// What a text should not be.
    pub fn strange(&mut self) -> Vec<u8> {
        match self.rng.u32(..60) {
            0 => vec![b'x'; LONG_BYTES],
            1..6 => b"a\0b".to_vec(),
            6..12 => b"\xff\xfe not UTF-8 \xc3".to_vec(),
            12..18 => "../../x".into(),
            18..22 => "\u{202e}\u{1f980}\u{7f}\n\r\t\\\"'".into(),
            22..26 => vec![b'y'; 5000],
            26..30 => "%s%n%x{}{{}}$(x)`x`".into(),
            30..34 => "/".repeat(300).into_bytes(),
            34..38 => "[1-18446744073709551615]".into(),
            38..42 => " ".into(),
            _ => (0..self.rng.usize(..12)).map(|_| self.rng.u8(32..127)).collect(),
        }
    }
}

/// Writes messages; a sloppy writer makes mistakes.
pub struct Writer<'w> {
    pub rng: &'w mut Rng,
    pub sloppy: bool,
}

impl Writer<'_> {
    fn slips(&mut self) -> bool {
        self.sloppy && once_in(self.rng, 6)
    }

    pub fn json(&mut self, datum: &Datum, out: &mut Vec<u8>) {
        if self.slips() {
            let wrong = [
                "null",
                "-1",
                "1e999",
                "\"x\"",
                "[]",
                "{}",
                "[[1,{}]]",
                "true",
                "99999999999999999999",
                "NaN",
                "{\"value\":1}",
                "0x1",
            ];
            out.extend_from_slice(choose(self.rng, &wrong).as_bytes());
            return;
        }
        match datum {
            Datum::Double(value) if value.is_finite() => {
                out.extend_from_slice(format!("{value:?}").as_bytes())
            }
            // No JSON: they are refused wherever they are.
            Datum::Double(value) => out.extend_from_slice(if value.is_nan() { b"NaN" } else { b"1e999" }),
            Datum::Integer(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Datum::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Datum::Text(text) => quoted(text, out),
            Datum::Bytes(bytes) => quoted(base64(bytes).as_bytes(), out),
            Datum::Enum(kinds, number) => match kinds.name_of(*number, Version::V1) {
                Some(name) => quoted(name.as_bytes(), out),
                None if self.rng.bool() => quoted(b"NO_SUCH_NAME", out),
                None => out.extend_from_slice(number.to_string().as_bytes()),
            },
            Datum::Message(fields) => self.object(fields, out),
        }
    }

    fn object(&mut self, fields: &[(&'static Field, Datum)], out: &mut Vec<u8>) {
        out.push(b'{');
        let mut at = 0;
        while at < fields.len() {
            let field = fields[at].0;
            let same = fields[at..].iter().take_while(|(other, _)| other.number == field.number).count();
            let group = &fields[at..at + same];
            if at > 0 {
                out.push(b',');
            }
            quoted(field.v1_name.as_bytes(), out);
            out.push(b':');
            match field.label {
                Label::Repeated => self.list(group, out),
                Label::Map => self.map(group, out),
                _ => self.json(&group[0].1, out),
            }
            at += same;
        }
        out.push(b'}');
    }

    fn list(&mut self, group: &[(&'static Field, Datum)], out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, (_, datum)) in group.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.json(datum, out);
        }
        out.push(b']');
    }

    fn map(&mut self, group: &[(&'static Field, Datum)], out: &mut Vec<u8>) {
        out.push(b'{');
        let entries = group.iter().filter_map(|(_, entry)| match entry {
            Datum::Message(parts) if parts.len() == 2 => Some((&parts[0].1, &parts[1].1)),
            _ => None,
        });
        for (index, (key, value)) in entries.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            match key {
                Datum::Text(text) => quoted(text, out),
                _ => out.extend_from_slice(b"\"k\""),
            }
            out.push(b':');
            self.json(value, out);
        }
        out.push(b'}');
    }

    pub fn binary(&mut self, datum: &Datum, out: &mut Vec<u8>) {
        let Datum::Message(fields) = datum else { return };
        for (field, datum) in fields {
            if field.v1_number == 0 {
                continue;
            }
            let mut chunk = Vec::new();
            let wire = match datum {
                Datum::Double(value) => {
                    chunk.extend_from_slice(&value.to_le_bytes());
                    1
                }
                Datum::Integer(value) => {
                    varint(*value as u64, &mut chunk);
                    0
                }
                Datum::Bool(value) => {
                    varint(u64::from(*value), &mut chunk);
                    0
                }
                Datum::Enum(_, number) => {
                    varint(i64::from(*number) as u64, &mut chunk);
                    0
                }
                Datum::Text(bytes) | Datum::Bytes(bytes) => {
                    varint(bytes.len() as u64, &mut chunk);
                    chunk.extend_from_slice(bytes);
                    2
                }
                Datum::Message(_) => {
                    let mut within = Vec::new();
                    self.binary(datum, &mut within);
                    varint(within.len() as u64, &mut chunk);
                    chunk.extend_from_slice(&within);
                    2
                }
            };
            let wire = if self.slips() { self.rng.u64(..8) } else { wire };
            varint(u64::from(field.v1_number) << 3 | wire, out);
            out.extend_from_slice(&chunk);
        }
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// As JSON has it; what is not UTF-8 is left so.
fn quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at > group.len() { '=' } else { char::from(letter) });
        }
    }
    text
}
