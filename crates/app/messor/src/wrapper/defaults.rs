//! Files of variables, as /etc/default has them: the little of the shell's language that is found there. Nothing is run:
//! of all commands only `cat FILE` and `$(< FILE)` are understood. It must not know what the variables are for.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::path::Path;
use std::str::Chars;

use super::WrapperError;

#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    line: usize,
    reason: String,
}

impl Mistake {
    pub fn of(self, path: &Path) -> WrapperError {
        WrapperError::Default { path: path.to_path_buf(), line: self.line, reason: self.reason }
    }
}

/// The text of a file; None where there is none.
pub type ReadFile<'r> = &'r dyn Fn(&str) -> Result<Option<String>, WrapperError>;

/// The variables that are set, in their order.
pub fn read(
    text: &str,
    known: &BTreeMap<String, String>,
    read_file: ReadFile<'_>,
) -> Result<Vec<(String, String)>, Mistake> {
    let mut reader = Reader { rest: text.chars().peekable(), line: 1, known, set: Vec::new(), read_file };
    match reader.all() {
        Ok(()) => Ok(reader.set),
        Err(reason) => Err(Mistake { line: reader.line, reason }),
    }
}

struct Reader<'r> {
    rest: Peekable<Chars<'r>>,
    line: usize,
    known: &'r BTreeMap<String, String>,
    set: Vec<(String, String)>,
    read_file: ReadFile<'r>,
}

const fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }

    fn while_in(&mut self, is_in: impl Fn(char) -> bool) -> String {
        let mut word = String::new();
        while let Some(character) = self.peek().filter(|character| is_in(*character)) {
            word.push(character);
            self.next();
        }
        word
    }

    fn all(&mut self) -> Result<(), String> {
        loop {
            match self.peek() {
                None => return Ok(()),
                Some(character) if character.is_whitespace() || character == ';' => {
                    self.next();
                }
                Some('#') => {
                    self.while_in(|character| character != '\n');
                }
                Some(_) => self.statement()?,
            }
        }
    }

    fn statement(&mut self) -> Result<(), String> {
        let name = self.while_in(is_name);
        match self.peek() {
            Some('=') if !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()) => {
                self.next();
                let value = self.word()?;
                self.set.push((name, value));
                Ok(())
            }
            // What is set is exported anyway.
            None | Some(' ' | '\t' | '\n' | ';') if name == "export" => {
                while self.peek().is_some_and(|character| character == ' ' || character == '\t') {
                    self.next();
                    let place = self.rest.clone();
                    let word = self.while_in(is_name);
                    if self.peek() == Some('=') && !word.is_empty() {
                        self.rest = place;
                        self.statement()?;
                    }
                }
                Ok(())
            }
            _ => Err("only lines such as NAME=value are understood here, as no shell runs".to_string()),
        }
    }

    /// A value, up to a blank that is not quoted.
    fn word(&mut self) -> Result<String, String> {
        let mut word = String::new();
        loop {
            match self.peek() {
                None => return Ok(word),
                Some(character) if character.is_whitespace() || character == ';' => return Ok(word),
                Some('\'') => {
                    self.next();
                    word.push_str(&self.until_quote()?);
                }
                Some('"') => {
                    self.next();
                    self.quoted(&mut word)?;
                }
                Some('\\') => {
                    self.next();
                    // A line break that is escaped is none.
                    word.extend(self.next().filter(|character| *character != '\n'));
                }
                Some('$' | '`') => word.push_str(&self.expansion()?),
                Some(character @ ('|' | '&' | '<' | '>' | '(' | ')')) => {
                    return Err(format!("'{character}' must be in quotes, as no shell runs here"));
                }
                Some(character) => {
                    word.push(character);
                    self.next();
                }
            }
        }
    }

    fn until_quote(&mut self) -> Result<String, String> {
        let text = self.while_in(|character| character != '\'');
        match self.next() {
            Some(_) => Ok(text),
            None => Err("a ' is not closed".to_string()),
        }
    }

    fn quoted(&mut self, word: &mut String) -> Result<(), String> {
        loop {
            match self.peek() {
                None => return Err("a \" is not closed".to_string()),
                Some('"') => {
                    self.next();
                    return Ok(());
                }
                Some('\\') => {
                    self.next();
                    match self.next() {
                        Some('\n') => {}
                        Some(character @ ('"' | '\\' | '$' | '`')) => word.push(character),
                        Some(character) => word.extend(['\\', character]),
                        None => return Err("a \" is not closed".to_string()),
                    }
                }
                Some('$' | '`') => word.push_str(&self.expansion()?),
                Some(character) => {
                    word.push(character);
                    self.next();
                }
            }
        }
    }

    /// `$NAME`, `${NAME}`, `$(cat FILE)` or the same in backquotes.
    fn expansion(&mut self) -> Result<String, String> {
        if self.next() == Some('`') {
            let command = self.up_to('`')?;
            return self.command(&command);
        }
        match self.peek() {
            Some('(') => {
                self.next();
                let command = self.up_to(')')?;
                self.command(&command)
            }
            Some('{') => {
                self.next();
                let name = self.up_to('}')?;
                match name.chars().all(is_name) && !name.is_empty() {
                    true => Ok(self.value(&name)),
                    false => Err(format!("'${{{name}}}' is not understood, only '${{NAME}}' is")),
                }
            }
            Some(character) if is_name(character) => {
                let name = self.while_in(is_name);
                Ok(self.value(&name))
            }
            _ => Ok("$".to_string()),
        }
    }

    fn up_to(&mut self, end: char) -> Result<String, String> {
        let text = self.while_in(|character| character != end && character != '\n');
        match self.peek() {
            Some(character) if character == end => {
                self.next();
                Ok(text)
            }
            _ => Err(format!("a '{end}' is missing")),
        }
    }

    fn value(&self, name: &str) -> String {
        let set = self.set.iter().rev().find(|(set, _)| set == name).map(|(_, value)| value);
        set.or_else(|| self.known.get(name)).cloned().unwrap_or_default()
    }

    fn command(&self, text: &str) -> Result<String, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let path = match words.as_slice() {
            ["cat" | "<", path] => *path,
            [word] => word.strip_prefix('<').unwrap_or_default(),
            _ => "",
        };
        let path = path.trim_matches(['"', '\'']);
        if !path.starts_with('/') {
            let text = text.trim();
            return Err(format!(
                "it runs '{text}', and no shell runs here: write the value itself, or `cat /FILE` for what is in a file"
            ));
        }
        match (self.read_file)(path) {
            Ok(Some(text)) => Ok(text.trim_end_matches('\n').to_string()),
            Ok(None) => Err(format!("{path} is not there")),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<Vec<(String, String)>, Mistake> {
        let known = BTreeMap::from([("HOME".to_string(), "/root".to_string())]);
        read(text, &known, &|path| Ok((path == "/zk").then(|| "zk://h/m\n\n".to_string())))
    }

    fn one(text: &str) -> String {
        let mut all = set(text).unwrap();
        assert_eq!(all.len(), 1, "{text}");
        all.remove(0).1
    }

    #[test]
    fn values_as_a_shell_reads_them() {
        for (text, value) in [
            ("A=b", "b"),
            ("A=", ""),
            ("  A='b c' # why", "b c"),
            ("A=\"b \\\"c\\\" \\d\"", "b \"c\" \\d"),
            ("A=b'c'\"d\"\\ e", "bcd e"),
            ("A=$HOME/x", "/root/x"),
            ("A=\"${HOME}\"'$HOME'", "/root$HOME"),
            ("A=`cat /zk`", "zk://h/m"),
            ("A=\"$(cat /zk)/x\"", "zk://h/m/x"),
            ("A=$(</zk)", "zk://h/m"),
            ("A=$UNKNOWN", ""),
            ("A=a#b", "a#b"),
            ("A='x\ny'", "x\ny"),
            ("A=x\\\ny", "xy"),
            ("export A=b", "b"),
            ("A=5$", "5$"),
        ] {
            assert_eq!(one(text), value, "{text}");
        }
    }

    #[test]
    fn several_stand_on_one_line_and_see_each_other() {
        let all = set("# first\n\nA=1 B=2; C=$A$B\nexport A\nexport D=4 E=5\n").unwrap();
        let shown: Vec<String> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["A=1", "B=2", "C=12", "D=4", "E=5"]);
    }

    #[test]
    fn what_only_a_shell_can_do_is_refused() {
        for (text, line, part) in [
            ("\nA=`hostname`", 2, "it runs 'hostname'"),
            ("A=$(cat relative)", 1, "it runs 'cat relative'"),
            ("A=${B:-c}", 1, "only '${NAME}'"),
            ("A=b|c", 1, "must be in quotes"),
            ("ulimit -n 5", 1, "NAME=value"),
            (". /etc/other", 1, "NAME=value"),
            ("1A=b", 1, "NAME=value"),
            ("A='b", 1, "not closed"),
            ("A=\"b", 1, "not closed"),
            ("A=`cat /zk\n", 1, "is missing"),
            ("A=`cat /other`", 1, "is not there"),
        ] {
            let mistake = set(text).unwrap_err();
            assert!(mistake.line == line && mistake.reason.contains(part), "{text}: {mistake:?}");
        }
    }
}
