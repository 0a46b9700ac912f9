//! From words and variables to values: the rules of Apache Mesos's command lines.
//! Must not know any program's flags; the environment and files come in through `Source`.

use std::collections::BTreeMap;

use crate::definition::{Flag, FlagSet, Kind, Positional, Prefix, Program, ProgramInfo, Status};
use crate::suggest::nearest;
use crate::value::FlagValue;

/// What the process finds around it.
pub trait Source {
    /// The environment; names and values that are not UTF-8 are left out.
    fn variables(&self) -> Vec<(String, String)>;
    /// The text in a file, or why it cannot be had.
    fn read_file(&self, path: &str) -> Result<String, String>;
    /// A default that depends on the host, in the place of the one in the definition.
    fn host_default(&self, flag: &str) -> Option<String> {
        let _ = flag;
        None
    }
}

/// Why a program cannot begin. `flag` is what the user wrote: `--port`, or `MESOS_PORT` in the environment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    #[error("unknown flag --{name}{}", hint(.nearest))]
    Unknown { name: String, nearest: Option<String> },
    #[error("--{name} is no longer a flag: {reason}")]
    Gone { name: &'static str, reason: &'static str },
    #[error("{flag} is given more than once ({first} came first): give it once")]
    Twice { flag: String, first: String },
    #[error("{flag} needs a value: write {flag}={value}")]
    NoValue { flag: String, value: String },
    #[error("--no-{name} is not possible, as --{name} is not true or false: write --{name}={placeholder}")]
    NotBool { name: String, placeholder: &'static str },
    #[error("--no-{name} takes no value: write --no-{name} or --{name}=false")]
    NegatedValue { name: String },
    #[error("'{word}' is not a flag, and {program} takes nothing else: flags are written --name=value")]
    Positional { word: String, program: String },
    #[error("{flag} cannot be understood: {reason}")]
    Value { flag: String, reason: String },
    #[error("{flag}: cannot read file '{path}': {reason}")]
    File { flag: String, path: String, reason: String },
    #[error("{flag} is not supported yet: {reason}")]
    NotYet { flag: String, reason: &'static str },
    #[error("{flag} is refused: {reason}")]
    Refused { flag: String, reason: &'static str },
    #[error("--{name} is required: give --{name}={placeholder}{}", or_variable(.variable))]
    Required { name: String, placeholder: &'static str, variable: Option<String> },
    #[error("{0}")]
    Combination(String),
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean --{name}?")).unwrap_or_default()
}

fn or_variable(variable: &Option<String>) -> String {
    variable.as_ref().map(|name| format!(" or set {name}")).unwrap_or_default()
}

/// Which flags of a set were given, and under which name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given(BTreeMap<&'static str, String>);

impl Given {
    /// Whether the flag was given, on the command line or in the environment.
    pub fn has(&self, flag: &str) -> bool {
        self.0.contains_key(flag)
    }

    #[doc(hidden)]
    pub fn show(
        &self,
        flag: &'static str,
        only_if_given: bool,
        value: Option<String>,
        shown: &mut Vec<(String, String)>,
    ) {
        let Some(value) = value else { return };
        match self.0.get(flag) {
            Some(name) => shown.push((name.clone(), value)),
            None if only_if_given => {}
            None => shown.push((flag.to_string(), value)),
        }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    text: String,
    /// The file it came from.
    path: Option<String>,
    /// As errors name it.
    label: String,
    /// The name that was used; `None` for a default.
    name: Option<String>,
}

/// The text of every flag that has one.
#[derive(Clone, Debug, Default)]
pub struct Values(BTreeMap<&'static str, Entry>);

impl Values {
    /// The defaults of all flags and nothing else.
    pub fn defaults(tables: &[&'static [Flag]]) -> Values {
        let mut values = Values::default();
        for flag in tables.iter().copied().flatten() {
            if let Some(default) = flag.default {
                values.set_default(flag, default.replace("{tmp}", "/tmp"));
            }
        }
        values
    }

    fn set_default(&mut self, flag: &Flag, text: String) {
        let label = format!("--{}", flag.name);
        self.0.insert(flag.name, Entry { text, path: None, label, name: None });
    }

    /// The typed value of a flag, for `flag_set!`.
    pub fn typed<T: FlagValue>(&self, flag: &'static str) -> Result<T, FlagError> {
        let Some(entry) = self.0.get(flag) else { return Ok(T::unset()) };
        match &entry.path {
            Some(path) => T::read_from(&entry.text, path),
            None => T::read(&entry.text),
        }
        .map_err(|reason| FlagError::Value { flag: entry.label.clone(), reason })
    }

    /// Which of these flags were given.
    pub fn given(&self, table: &'static [Flag]) -> Given {
        let names = table.iter().filter_map(|flag| {
            let name = self.0.get(flag.name)?.name.clone()?;
            Some((flag.name, name))
        });
        Given(names.collect())
    }
}

/// What came of a command line.
#[derive(Clone, Debug)]
pub struct Parsed<P> {
    pub flags: P,
    /// To be logged once logging works.
    pub warnings: Vec<String>,
    /// The words that are no flags, for a program that takes some.
    pub positional: Vec<String>,
}

/// What the user wants of the program.
#[derive(Clone, Debug)]
pub enum Request<P> {
    Run(Parsed<P>),
    /// `--help`: print this and exit.
    Help(String),
    /// `--version`: print this and exit.
    Version(String),
}

/// Reads a command line (without the program's own name) and the environment.
pub fn parse<P: Program>(words: &[String], source: &dyn Source) -> Result<Request<P>, FlagError> {
    // Help is given even if something else on the line is wrong.
    for word in words.iter().map(|word| word.trim()).take_while(|word| *word != "--") {
        match word.to_lowercase().as_str() {
            "--help" | "--help=true" | "--help=1" => {
                return Ok(Request::Help(crate::help::help(&ProgramInfo::of::<P>())));
            }
            "--version" | "--version=true" | "--version=1" => {
                return Ok(Request::Version(crate::version().to_string()));
            }
            _ => {}
        }
    }
    let mut reader = Reader::new(ProgramInfo::of::<P>());
    let positional = reader.words(words)?;
    reader.environment(&source.variables());
    let (values, warnings) = reader.finish(source)?;
    let flags = P::build(&values)?;
    flags.validate()?;
    Ok(Request::Run(Parsed { flags, warnings, positional }))
}

/// Reads a set of flags that come from the environment alone.
pub fn parse_environment<S: FlagSet>(
    prefixes: &'static [Prefix],
    source: &dyn Source,
) -> Result<(S, Vec<String>), FlagError> {
    let mut reader = Reader::new(ProgramInfo {
        name: "",
        about: "",
        prefixes,
        positional: Positional::Refused,
        gone: &[],
        tables: S::tables,
    });
    reader.environment(&source.variables());
    let (values, warnings) = reader.finish(source)?;
    Ok((S::build(&values)?, warnings))
}

/// The values in ascending order of their names, as `/flags` shows them.
pub fn shown<S: FlagSet>(flags: &S) -> Vec<(String, String)> {
    let mut shown = Vec::new();
    flags.show(&mut shown);
    shown.sort();
    shown
}

struct Reader {
    program: ProgramInfo,
    flags: Vec<&'static Flag>,
    found: BTreeMap<&'static str, Entry>,
    temporary: String,
    warnings: Vec<String>,
}

impl Reader {
    fn new(program: ProgramInfo) -> Reader {
        Reader {
            flags: program.flags().collect(),
            program,
            found: BTreeMap::new(),
            temporary: "/tmp".to_string(),
            warnings: Vec::new(),
        }
    }

    fn find(&self, name: &str) -> Option<&'static Flag> {
        self.flags.iter().find(|flag| flag.name == name || flag.alias == Some(name)).copied()
    }

    fn words(&mut self, words: &[String]) -> Result<Vec<String>, FlagError> {
        let mut others = Vec::new();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let trimmed = word.trim();
            if trimmed == "--" {
                others.extend(rest.cloned());
                break;
            }
            let Some(flag) = trimmed.strip_prefix("--") else {
                others.push(word.clone());
                continue;
            };
            let next = rest.as_slice().first().map(|next| next.trim()).filter(|next| !next.starts_with("--"));
            self.word(flag, next)?;
        }
        if let (Positional::Refused, Some(word)) = (self.program.positional, others.first()) {
            return Err(FlagError::Positional { word: word.clone(), program: self.program.name.to_string() });
        }
        Ok(others)
    }

    /// One flag of the command line; `next` is the word after it, for the hint.
    fn word(&mut self, word: &str, next: Option<&str>) -> Result<(), FlagError> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_lowercase(), Some(value)),
            None => (word.to_lowercase(), None),
        };
        let (base, negated) = match name.strip_prefix("no-") {
            Some(base) => (base, true),
            None => (name.as_str(), false),
        };
        let Some(flag) = self.find(base) else {
            if let Some((name, reason)) = self.program.gone.iter().find(|(name, _)| *name == base) {
                return Err(FlagError::Gone { name, reason });
            }
            let known = self.flags.iter().flat_map(|flag| std::iter::once(flag.name).chain(flag.alias));
            let nearest = nearest(base, known)
                .map(|near| if negated { format!("no-{near}") } else { near.to_string() });
            return Err(FlagError::Unknown { name, nearest });
        };
        let label = format!("--{base}");
        if let Some(first) = self.found.get(flag.name) {
            return Err(FlagError::Twice { flag: label, first: first.label.clone() });
        }
        let text = match (flag.kind, negated, value) {
            (Kind::Bool, false, None | Some("")) => "true",
            (Kind::Bool, true, None | Some("")) => "false",
            (Kind::Bool, true, Some(_)) => return Err(FlagError::NegatedValue { name: base.to_string() }),
            (kind, true, _) => {
                return Err(FlagError::NotBool { name: base.to_string(), placeholder: kind.placeholder() });
            }
            (kind, false, None) => {
                let value = next.unwrap_or(kind.placeholder()).to_string();
                return Err(FlagError::NoValue { flag: label, value });
            }
            (_, false, Some(value)) => value,
        };
        let entry = Entry { text: text.to_string(), path: None, label, name: Some(base.to_string()) };
        self.found.insert(flag.name, entry);
        Ok(())
    }

    /// What the command line did not say. Variables that are no flags are somebody else's.
    fn environment(&mut self, variables: &[(String, String)]) {
        if let Some((_, directory)) =
            variables.iter().find(|(name, value)| name == "TMPDIR" && !value.is_empty())
        {
            self.temporary = directory.clone();
        }
        for prefix in self.program.prefixes {
            for (variable, value) in variables {
                let Some(name) = variable.strip_prefix(prefix.text).map(str::to_lowercase) else { continue };
                let (base, negated) = match name.strip_prefix("no-") {
                    Some(base) => (base, true),
                    None => (name.as_str(), false),
                };
                let Some(flag) = self.find(base) else { continue };
                if negated && flag.kind != Kind::Bool {
                    continue;
                }
                if let Some(first) = self.found.get(flag.name) {
                    if prefix.deprecated {
                        self.warnings.push(format!("{variable} is ignored, as {} is set too", first.label));
                    }
                    continue;
                }
                if prefix.deprecated {
                    let current = self.program.prefixes.iter().find(|other| !other.deprecated);
                    let current = current.map(|other| other.text).unwrap_or_default();
                    self.warnings.push(format!(
                        "{variable} is deprecated: set {current}{} in its place",
                        base.to_uppercase()
                    ));
                }
                let text = match (flag.kind, negated, value.as_str()) {
                    (Kind::Bool, _, "") => if negated { "false" } else { "true" }.to_string(),
                    (_, _, value) => value.to_string(),
                };
                let entry = Entry { text, path: None, label: variable.clone(), name: Some(base.to_string()) };
                self.found.insert(flag.name, entry);
            }
        }
    }

    fn finish(mut self, source: &dyn Source) -> Result<(Values, Vec<String>), FlagError> {
        let mut values = Values::default();
        for flag in self.flags.clone() {
            let default = source.host_default(flag.name).or_else(|| flag.default.map(str::to_string));
            let default = default.map(|text| text.replace("{tmp}", &self.temporary));
            match self.found.remove(flag.name) {
                Some(entry) => {
                    let entry = self.accept(flag, entry, default.as_deref(), source)?;
                    values.0.insert(flag.name, entry);
                }
                None => match default {
                    Some(default) => values.set_default(flag, default),
                    None if flag.required => {
                        let prefix = self.program.prefixes.iter().find(|prefix| !prefix.deprecated);
                        return Err(FlagError::Required {
                            name: flag.name.to_string(),
                            placeholder: flag.kind.placeholder(),
                            variable: prefix
                                .map(|prefix| format!("{}{}", prefix.text, flag.name.to_uppercase())),
                        });
                    }
                    None => {}
                },
            }
        }
        Ok((values, self.warnings))
    }

    /// A value that was given: fetched, of the right type, and of a flag that does something.
    fn accept(
        &mut self,
        flag: &Flag,
        mut entry: Entry,
        default: Option<&str>,
        source: &dyn Source,
    ) -> Result<Entry, FlagError> {
        if entry.name.as_deref() == flag.alias {
            self.warnings.push(format!("{} is deprecated: its name is now --{}", entry.label, flag.name));
        }
        self.fetch(flag, &mut entry, source)?;
        let label = entry.label.clone();
        let shown =
            (flag.reads)(&entry.text).map_err(|reason| FlagError::Value { flag: label.clone(), reason })?;
        if let Some(check) = flag.check {
            check(&entry.text).map_err(|reason| FlagError::Value { flag: label.clone(), reason })?;
        }
        let usual = default.and_then(|text| (flag.reads)(text).ok()).flatten();
        if usual.is_none() || usual != shown {
            match flag.status {
                Status::Works | Status::NotNeeded(_) => {}
                Status::NotYet(why) => return Err(FlagError::NotYet { flag: label, reason: why }),
                Status::Refused(why) => return Err(FlagError::Refused { flag: label, reason: why }),
                Status::NoEffect(why) => self.warnings.push(format!("{label} has no effect: {why}")),
            }
        }
        Ok(entry)
    }

    fn fetch(&mut self, flag: &Flag, entry: &mut Entry, source: &dyn Source) -> Result<(), FlagError> {
        if flag.kind == Kind::Path {
            return Ok(());
        }
        let path = match (entry.text.strip_prefix("file://"), flag.kind) {
            (Some(path), _) => path.to_string(),
            (None, Kind::Json) if entry.text.starts_with('/') => {
                self.warnings.push(format!(
                    "{} names a file without file:// in front, which is deprecated: write {}=file://{}",
                    entry.label, entry.label, entry.text
                ));
                entry.text.clone()
            }
            _ => return Ok(()),
        };
        let text = source.read_file(&path).map_err(|reason| FlagError::File {
            flag: entry.label.clone(),
            path: path.clone(),
            reason,
        })?;
        // Editors end files with a line break that is not meant.
        entry.text = text
            .strip_suffix('\n')
            .map(|text| text.strip_suffix('\r').unwrap_or(text))
            .unwrap_or(&text)
            .to_string();
        entry.path = Some(path);
        Ok(())
    }
}
