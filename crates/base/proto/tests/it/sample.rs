//! Makes the bytes of any message from a seed, by its table: complete ones, or with one required field left
//! out. Numbers, strings and depth vary; enum values are those that exist.

use messor_proto::table::{Field, Kind, Label, MessageTable};

pub struct Sample {
    state: u64,
    /// How many required fields came so far.
    required: usize,
    /// The one to leave out, counted from 0.
    pub omit: Option<usize>,
    /// The path of the field that was left out.
    pub omitted: Option<String>,
}

/// Deeper than this only required fields are set, so that recursive messages end.
const DEEP: u32 = 6;

impl Sample {
    pub fn new(seed: u64) -> Sample {
        Sample { state: seed, required: 0, omit: None, omitted: None }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn message(&mut self, table: &MessageTable) -> Vec<u8> {
        self.fields(table, "", 0)
    }

    /// How many required fields there were in what was made.
    pub fn required(&self) -> usize {
        self.required
    }

    fn fields(&mut self, table: &MessageTable, path: &str, depth: u32) -> Vec<u8> {
        let mut out = Vec::new();
        // A quarter of all optional fields at the top, fewer below.
        let chance = 4 + u64::from(depth) * 3;
        for field in table.fields {
            let dot = if path.is_empty() { "" } else { "." };
            let here = format!("{path}{dot}{}", field.name);
            let count = match field.label {
                Label::Required => {
                    let index = self.required;
                    self.required += 1;
                    if self.omit == Some(index) {
                        self.omitted = Some(here.clone());
                        0
                    } else {
                        1
                    }
                }
                _ if depth > DEEP || self.below(chance) != 0 => 0,
                Label::Optional => 1,
                Label::Repeated | Label::Map => 1 + self.below(3),
            };
            for index in 0..count {
                let here = match field.label {
                    Label::Repeated | Label::Map => format!("{here}[{index}]"),
                    _ => here.clone(),
                };
                self.field(field, &here, depth, index, &mut out);
            }
        }
        out
    }

    fn field(&mut self, field: &Field, path: &str, depth: u32, index: u64, out: &mut Vec<u8>) {
        let number = u64::from(field.number) << 3;
        match field.kind {
            Kind::Double => {
                varint(out, number | 1);
                out.extend_from_slice(&self.double().to_le_bytes());
            }
            Kind::Message(inner) => {
                let bytes = match field.label {
                    Label::Map => self.entry(inner, path, depth, index),
                    _ => self.fields(inner, path, depth + 1),
                };
                chunk(out, number, &bytes);
            }
            Kind::Text => chunk(out, number, self.text().as_bytes()),
            Kind::Bytes => {
                let bytes: Vec<u8> = (0..self.below(9)).map(|_| self.next() as u8).collect();
                chunk(out, number, &bytes);
            }
            Kind::Int32 => self.integer(out, number, |value| i64::from(value as i32) as u64),
            Kind::Int64 | Kind::Uint64 => self.integer(out, number, |value| value),
            Kind::Uint32 => self.integer(out, number, |value| u64::from(value as u32)),
            Kind::Bool => self.integer(out, number, |value| value & 1),
            Kind::Enum(table) => {
                let value = table.values[self.below(table.values.len() as u64) as usize].number;
                self.integer(out, number, |_| i64::from(value) as u64);
            }
        }
    }

    /// One entry of a map: its key says which it is, so that entries differ.
    fn entry(&mut self, table: &MessageTable, path: &str, depth: u32, index: u64) -> Vec<u8> {
        let mut out = Vec::new();
        chunk(&mut out, 1 << 3, format!("{index}{}", self.text()).as_bytes());
        for field in table.fields.iter().filter(|field| field.number == 2) {
            self.field(field, &format!("{path}.value"), depth, 0, &mut out);
        }
        out
    }

    fn integer(&mut self, out: &mut Vec<u8>, number: u64, narrow: impl Fn(u64) -> u64) {
        let shift = self.below(64);
        let value = self.next() >> shift;
        varint(out, number);
        varint(out, narrow(value));
    }

    fn double(&mut self) -> f64 {
        match self.below(4) {
            0 => self.below(100_000) as f64,
            1 => self.below(100_000) as f64 / 1000.0,
            2 => self.below(1 << 50) as f64 / 1e6,
            _ => Some(f64::from_bits(self.next())).filter(|value| value.is_finite()).unwrap_or(0.5),
        }
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 10] = ["a", "role/x", "\"", "\\", "\u{1}", "é", "😀", "", "0", "\n\t/"];
        (0..self.below(4)).map(|_| PIECES[self.below(PIECES.len() as u64) as usize]).collect()
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn chunk(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
