//! The shape of the generated tables: what the walkers over binary and JSON need to know of a message or an
//! enum. They know nothing of the structs.

use crate::Version;

#[derive(Debug)]
pub struct MessageTable {
    /// The full name in v0.
    pub name: &'static str,
    /// In the order of the .proto file, at most 64: sets of them are the bits of a u64.
    pub fields: &'static [Field],
    /// Indexes into `fields`, by ascending number.
    pub by_number: &'static [u8],
    /// The bits of the required fields.
    pub required: u64,
    /// There are required fields here or in a message within.
    pub checked: bool,
    /// v1 has another number or type here or in a message within.
    pub differs: bool,
}

#[derive(Debug)]
pub struct Field {
    pub number: u32,
    /// 0 where v1 does not have the field.
    pub v1_number: u32,
    pub name: &'static str,
    /// Empty where v1 does not have the field.
    pub v1_name: &'static str,
    pub label: Label,
    pub kind: Kind,
    /// `DurationInfo` in v0 and `google.protobuf.Duration` in v1.
    pub duration: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    Optional,
    Required,
    Repeated,
    /// Repeated entries: a message of `key` and `value`.
    Map,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Double,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Bool,
    Text,
    Bytes,
    Enum(&'static EnumTable),
    Message(&'static MessageTable),
}

#[derive(Debug)]
pub struct EnumTable {
    pub name: &'static str,
    /// By ascending number; of several names of one number the first is written.
    pub values: &'static [EnumValue],
}

#[derive(Debug)]
pub struct EnumValue {
    pub number: i32,
    pub name: &'static str,
    pub v1_name: &'static str,
}

/// The table of every message.
pub fn all() -> &'static [&'static MessageTable] {
    crate::generated::wire::ALL
}

impl MessageTable {
    /// The index of the field with this number in v0.
    #[inline]
    pub fn by_number(&self, number: u32) -> Option<usize> {
        // Most messages number their fields from 1 without gaps.
        let guess = self.by_number.get((number as usize).wrapping_sub(1)).map(|index| usize::from(*index));
        if let Some(index) = guess
            && self.fields[index].number == number
        {
            return Some(index);
        }
        self.search_number(number)
    }

    fn search_number(&self, number: u32) -> Option<usize> {
        let found =
            self.by_number.binary_search_by_key(&number, |index| self.fields[usize::from(*index)].number);
        found.ok().map(|at| usize::from(self.by_number[at]))
    }

    /// The index of the field with this name. The search begins at `from`: documents mostly hold their
    /// fields in the order of the .proto file.
    pub fn by_name(&self, name: &[u8], version: Version, from: usize) -> Option<usize> {
        if name.is_empty() {
            return None;
        }
        let matches = |field: &Field| field.name(version).as_bytes() == name;
        let (before, after) = self.fields.split_at(from.min(self.fields.len()));
        let found = after.iter().position(matches).map(|index| index + before.len());
        found.or_else(|| before.iter().position(matches))
    }
}

impl Field {
    pub fn name(&self, version: Version) -> &'static str {
        match version {
            Version::V0 => self.name,
            Version::V1 => self.v1_name,
            Version::V1Names if self.v1_name.is_empty() => self.name,
            Version::V1Names => self.v1_name,
        }
    }
}

impl EnumTable {
    fn find(&self, number: i32) -> Option<&'static EnumValue> {
        let first = self.values.partition_point(|other| other.number < number);
        self.values.get(first).filter(|value| value.number == number)
    }

    #[inline]
    pub fn knows(&self, number: i32) -> bool {
        // Most enums count from 0 or 1 without gaps.
        let at = |index: i32| usize::try_from(index).ok().and_then(|index| self.values.get(index));
        [number, number.wrapping_sub(1)]
            .iter()
            .any(|index| at(*index).is_some_and(|value| value.number == number))
            || self.find(number).is_some()
    }

    pub fn name_of(&self, number: i32, version: Version) -> Option<&'static str> {
        self.find(number).map(|value| version.pick(value.name, value.v1_name))
    }

    pub fn number_of(&self, name: &[u8], version: Version) -> Option<i32> {
        let matches = |value: &&EnumValue| version.pick(value.name, value.v1_name).as_bytes() == name;
        self.values.iter().find(matches).map(|value| value.number)
    }
}
