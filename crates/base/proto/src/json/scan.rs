//! Tokens of JSON text, taken as Mesos's parser takes them: numbers may have leading zeros or end in a point,
//! all else is by the book. The text is known to be UTF-8.

use super::JsonError;

pub struct Scanner<'a> {
    text: &'a [u8],
    pub at: usize,
}

/// A number: as an integer where it can be one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Signed(i64),
    Unsigned(u64),
    Double(f64),
}

impl Number {
    /// None where `text` is no number, or one beyond a double's range.
    pub fn parse(text: &str) -> Option<Number> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if !digits
            .starts_with(|first: char| first.is_ascii_digit() || (first == '.' && digits.len() < text.len()))
        {
            return None;
        }
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            if let Ok(value) = text.parse() {
                return Some(Number::Signed(value));
            }
            if let Ok(value) = text.parse() {
                return Some(Number::Unsigned(value));
            }
        }
        text.parse().ok().filter(|value: &f64| value.is_finite()).map(Number::Double)
    }
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a [u8]) -> Scanner<'a> {
        Scanner { text, at: 0 }
    }

    pub fn error(&self, problem: &'static str) -> JsonError {
        JsonError::Syntax { at: self.at, problem }
    }

    /// The next byte that is no white space, without taking it.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b' ' | b'\n' | b'\t' | b'\r' => self.at += 1,
                other => return Some(*other),
            }
        }
        None
    }

    /// Takes `wanted`, or says `problem`.
    pub fn expect(&mut self, wanted: u8, problem: &'static str) -> Result<(), JsonError> {
        if self.peek() != Some(wanted) {
            return Err(self.error(problem));
        }
        self.at += 1;
        Ok(())
    }

    /// After an element: true where another follows, false where `close` ends the list. Takes either.
    pub fn more(&mut self, close: u8) -> Result<bool, JsonError> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.error("a comma or a closing bracket is expected")),
        }
    }

    /// After an opening bracket: takes `close` where it follows at once.
    pub fn empty(&mut self, close: u8) -> bool {
        let empty = self.peek() == Some(close);
        self.at += usize::from(empty);
        empty
    }

    pub fn literal(&mut self, word: &'static str) -> Result<(), JsonError> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(self.error("a value is expected"));
        }
        self.at += word.len();
        Ok(())
    }

    /// The text of a number; it begins at the scanner with a digit or a minus.
    pub fn number(&mut self) -> Result<Number, JsonError> {
        let start = self.at;
        let rest = &self.text[start..];
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        self.at += length;
        let text = std::str::from_utf8(&rest[..length]).unwrap_or_default();
        Number::parse(text).ok_or(JsonError::Syntax { at: start, problem: "not a number within range" })
    }

    /// The string that begins at the scanner: as it lies in the text, or, where it has escapes, in `scratch`
    /// and None.
    pub fn string(&mut self, scratch: &mut Vec<u8>) -> Result<Option<&'a [u8]>, JsonError> {
        let start = self.at + 1;
        let end = start + plain_length(&self.text[start..]);
        self.at = end;
        if self.text.get(end) == Some(&b'"') {
            self.at += 1;
            return Ok(Some(&self.text[start..end]));
        }
        scratch.clear();
        scratch.extend_from_slice(&self.text[start..end]);
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(None);
                }
                Some(b'\\') => self.escape(scratch)?,
                Some(_) => return Err(self.error("a control character stands in a string")),
                None => return Err(self.error("a string does not end")),
            }
            let from = self.at;
            self.at += plain_length(&self.text[from..]);
            scratch.extend_from_slice(&self.text[from..self.at]);
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let letter = self.text.get(self.at + 1).copied();
        let byte = match letter {
            Some(b'u') => {
                let character = self.character()?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(same @ (b'"' | b'\\' | b'/')) => same,
            _ => return Err(self.error("an unknown escape stands in a string")),
        };
        self.at += 2;
        out.push(byte);
        Ok(())
    }

    /// `\uXXXX`, or two of them that make one character.
    fn character(&mut self) -> Result<char, JsonError> {
        let problem = self.error("a \\u escape is no character");
        let first = self.hexadecimal().ok_or(problem.clone())?;
        let mut code = first;
        if (0xd800..0xdc00).contains(&first) {
            let second = self.hexadecimal().filter(|second| (0xdc00..0xe000).contains(second));
            code = 0x10000 + ((first - 0xd800) << 10) + (second.ok_or(problem.clone())? - 0xdc00);
        }
        char::from_u32(code).ok_or(problem)
    }

    fn hexadecimal(&mut self) -> Option<u32> {
        let text = self.text.get(self.at..self.at + 6)?;
        let digits = text.strip_prefix(b"\\u")?;
        let mut value = 0;
        for digit in digits {
            value = value * 16 + char::from(*digit).to_digit(16)?;
        }
        self.at += 6;
        Some(value)
    }

    /// Passes over one value, which must be right JSON, `depth` levels deep at most.
    pub fn skip(&mut self, scratch: &mut Vec<u8>, depth: u32) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{') => {
                let depth = depth.checked_sub(1).ok_or(JsonError::TooDeep)?;
                self.at += 1;
                if self.empty(b'}') {
                    return Ok(());
                }
                loop {
                    self.key()?;
                    self.string(scratch)?;
                    self.expect(b':', "a colon is expected")?;
                    self.skip(scratch, depth)?;
                    if !self.more(b'}')? {
                        return Ok(());
                    }
                }
            }
            Some(b'[') => {
                let depth = depth.checked_sub(1).ok_or(JsonError::TooDeep)?;
                self.at += 1;
                if self.empty(b']') {
                    return Ok(());
                }
                loop {
                    self.skip(scratch, depth)?;
                    if !self.more(b']')? {
                        return Ok(());
                    }
                }
            }
            Some(b'"') => self.string(scratch).map(drop),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            _ => Err(self.error("a value is expected")),
        }
    }

    /// Stops before a key, which must follow.
    pub fn key(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => Ok(()),
            _ => Err(self.error("a key in quotes is expected")),
        }
    }

    pub fn finish(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error("something follows the document")),
        }
    }
}

/// How many bytes stand before the next quote, backslash or control character. Eight at a time.
pub fn plain_length(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES * 128;
    let (words, _) = text.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let zero_where = |other: u64| other.wrapping_sub(ONES) & !other;
        let quote = zero_where(word ^ (ONES * u64::from(b'"')));
        let backslash = zero_where(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | backslash | control) & HIGHS;
        if found != 0 {
            // Lower bytes are exact: a borrow can only mark bytes above one that matches.
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    at + text[at..].iter().position(|byte| !plain(byte)).unwrap_or(text.len() - at)
}
