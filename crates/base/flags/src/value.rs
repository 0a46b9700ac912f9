//! The types of flag values: how each is read from text and shown again.
//! Must not know any flag's name; errors say what is wrong with the value alone.

use std::time::Duration;

use jiter::JsonValue;
use messor_stdx::{format_duration, format_size, parse_duration, parse_size};

use crate::definition::Kind;

/// A type that a flag can have.
pub trait FlagValue: Sized {
    const KIND: Kind;
    /// Whether it can do without a value: `Option`s can.
    const OPTIONAL: bool = false;

    fn read(text: &str) -> Result<Self, String>;
    /// Reads a text that came out of the file at `path`.
    fn read_from(text: &str, path: &str) -> Result<Self, String> {
        let _ = path;
        Self::read(text)
    }
    /// What stands in for a value that was not given.
    fn unset() -> Self;
    /// As `/flags` shows it; `None` leaves it out.
    fn show(&self) -> Option<String>;
}

impl FlagValue for bool {
    const KIND: Kind = Kind::Bool;

    fn read(text: &str) -> Result<bool, String> {
        match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(format!("'{other}' is neither true nor false")),
        }
    }

    fn unset() -> bool {
        false
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl FlagValue for String {
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<String, String> {
        Ok(text.to_string())
    }

    fn unset() -> String {
        String::new()
    }

    fn show(&self) -> Option<String> {
        Some(self.clone())
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl FlagValue for $type {
            const KIND: Kind = Kind::Integer;

            fn read(text: &str) -> Result<$type, String> {
                text.parse().map_err(|_| {
                    format!("'{text}' is not a whole number from {} to {}", <$type>::MIN, <$type>::MAX)
                })
            }

            fn unset() -> $type {
                0
            }

            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}

integers!(u16, u32, u64, i32, i64);

impl FlagValue for f64 {
    const KIND: Kind = Kind::Double;

    fn read(text: &str) -> Result<f64, String> {
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(format!("'{text}' is not a number")),
        }
    }

    fn unset() -> f64 {
        0.0
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl FlagValue for Duration {
    const KIND: Kind = Kind::Duration;

    fn read(text: &str) -> Result<Duration, String> {
        parse_duration(text).map_err(|error| error.to_string())
    }

    fn unset() -> Duration {
        Duration::ZERO
    }

    fn show(&self) -> Option<String> {
        Some(format_duration(*self))
    }
}

/// A number of bytes, written as `4KB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl FlagValue for Size {
    const KIND: Kind = Kind::Size;

    fn read(text: &str) -> Result<Size, String> {
        parse_size(text).map(Size).map_err(|error| error.to_string())
    }

    fn unset() -> Size {
        Size(0)
    }

    fn show(&self) -> Option<String> {
        Some(format_size(self.0))
    }
}

/// A path whose contents the program reads itself; `file://` in front of it means the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location(pub String);

impl Location {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FlagValue for Location {
    const KIND: Kind = Kind::Path;

    fn read(text: &str) -> Result<Location, String> {
        Ok(Location(text.strip_prefix("file://").unwrap_or(text).to_string()))
    }

    fn unset() -> Location {
        Location::default()
    }

    fn show(&self) -> Option<String> {
        Some(self.0.clone())
    }
}

/// A text that is JSON: its syntax has been checked, its meaning has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Json(String);

impl Json {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads JSON, or says where it stops being JSON.
pub(crate) fn json(text: &str) -> Result<JsonValue<'_>, String> {
    JsonValue::parse(text.as_bytes(), false)
        .map_err(|error| format!("not JSON: {}", error.description(text.as_bytes())))
}

impl FlagValue for Json {
    const KIND: Kind = Kind::Json;

    fn read(text: &str) -> Result<Json, String> {
        json(text).map(|_| Json(text.to_string()))
    }

    fn unset() -> Json {
        Json("{}".to_string())
    }

    fn show(&self) -> Option<String> {
        Some(self.0.clone())
    }
}

/// A JSON object whose values are all texts, in the order in which it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextMap {
    pub entries: Vec<(String, String)>,
    text: String,
}

impl FlagValue for TextMap {
    const KIND: Kind = Kind::Json;

    fn read(text: &str) -> Result<TextMap, String> {
        let JsonValue::Object(object) = json(text)? else {
            return Err("not a JSON object".to_string());
        };
        let mut entries = Vec::new();
        for (key, value) in object.iter() {
            let JsonValue::Str(value) = value else {
                return Err(format!("the value of '{key}' must be a text"));
            };
            entries.push((key.to_string(), value.to_string()));
        }
        Ok(TextMap { entries, text: text.to_string() })
    }

    fn unset() -> TextMap {
        TextMap::default()
    }

    fn show(&self) -> Option<String> {
        Some(self.text.clone())
    }
}

/// A JSON object whose values are all whole numbers of 32 bits; no name twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberMap {
    pub entries: Vec<(String, i32)>,
    text: String,
}

impl FlagValue for NumberMap {
    const KIND: Kind = Kind::Json;

    fn read(text: &str) -> Result<NumberMap, String> {
        let JsonValue::Object(object) = json(text)? else {
            return Err("not a JSON object".to_string());
        };
        let mut entries: Vec<(String, i32)> = Vec::new();
        for (key, value) in object.iter() {
            let number = match value {
                JsonValue::Int(number) => i32::try_from(*number).ok(),
                _ => None,
            };
            let number =
                number.ok_or_else(|| format!("the value of '{key}' must be a whole number of 32 bits"))?;
            if entries.iter().any(|(known, _)| known == key) {
                return Err(format!("'{key}' is listed twice"));
            }
            entries.push((key.to_string(), number));
        }
        Ok(NumberMap { entries, text: text.to_string() })
    }

    fn unset() -> NumberMap {
        NumberMap::default()
    }

    fn show(&self) -> Option<String> {
        Some(self.text.clone())
    }
}

/// Texts with commas between them; none twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(pub Vec<String>);

impl FlagValue for List {
    const KIND: Kind = Kind::List;

    fn read(text: &str) -> Result<List, String> {
        let mut items: Vec<String> = Vec::new();
        for item in text.split(',').filter(|item| !item.is_empty()) {
            if items.iter().any(|known| known == item) {
                return Err(format!("'{item}' is listed twice"));
            }
            items.push(item.to_string());
        }
        Ok(List(items))
    }

    fn unset() -> List {
        List::default()
    }

    fn show(&self) -> Option<String> {
        Some(self.0.join(","))
    }
}

/// A value that may have come from a file, in which case only the file's name is ever shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    pub value: String,
    pub path: Option<String>,
}

/// Of `zk://user:password@host1:port1/path` what everybody may see.
fn without_credentials(text: &str) -> String {
    match text.trim_start().strip_prefix("zk://").and_then(|rest| rest.rsplit_once('@')) {
        Some((_, rest)) => format!("zk://***@{rest}"),
        None => text.to_string(),
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secret(..)")
    }
}

impl FlagValue for Secret {
    const KIND: Kind = Kind::Secret;

    fn read(text: &str) -> Result<Secret, String> {
        Ok(Secret { value: text.to_string(), path: None })
    }

    fn read_from(text: &str, path: &str) -> Result<Secret, String> {
        Ok(Secret { value: text.to_string(), path: Some(path.to_string()) })
    }

    fn unset() -> Secret {
        Secret::default()
    }

    fn show(&self) -> Option<String> {
        Some(self.path.clone().unwrap_or_else(|| without_credentials(&self.value)))
    }
}

impl<T: FlagValue> FlagValue for Option<T> {
    const KIND: Kind = T::KIND;
    const OPTIONAL: bool = true;

    fn read(text: &str) -> Result<Option<T>, String> {
        T::read(text).map(Some)
    }

    fn read_from(text: &str, path: &str) -> Result<Option<T>, String> {
        T::read_from(text, path).map(Some)
    }

    fn unset() -> Option<T> {
        None
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }
}
