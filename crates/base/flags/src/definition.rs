//! What a flag is: the one definition that parser, help, man page, completion and tables are made of.
//! Must not know any program's flags, nor where values come from.

use crate::parse::{FlagError, Values};

/// What a value looks like; decides how it is read, shown and completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Text,
    Integer,
    Double,
    Duration,
    Size,
    /// A path that is kept as it is: `file://` in front of it is dropped, its contents are not read here.
    Path,
    Json,
    List,
    /// A value, or `file://PATH` whose contents stay out of sight.
    Secret,
}

impl Kind {
    /// The word help puts after `=`.
    pub fn placeholder(self) -> &'static str {
        match self {
            Kind::Bool => "BOOL",
            Kind::Text | Kind::Secret => "VALUE",
            Kind::Integer => "N",
            Kind::Double => "NUMBER",
            Kind::Duration => "DURATION",
            Kind::Size => "SIZE",
            Kind::Path => "PATH",
            Kind::Json => "JSON",
            Kind::List => "A,B,...",
        }
    }
}

/// How far Messor goes with a flag of Apache Mesos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Works,
    /// Given with anything but its default, the program exits with this reason.
    NotYet(&'static str),
    /// Accepted with a warning, as it is harmless that nothing comes of it.
    NoEffect(&'static str),
    /// Accepted in silence: what it asks for is there without it.
    NotNeeded(&'static str),
    /// Accepted with the one value that has no effect, and refused with this reason otherwise.
    Refused(&'static str),
}

/// Looks at a value that has been read; the error goes behind the flag's name.
pub type Check = fn(&str) -> Result<(), String>;

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub name: &'static str,
    /// An older name that is still accepted, with a warning.
    pub alias: Option<&'static str>,
    pub group: &'static str,
    pub kind: Kind,
    /// As text in the notation of flags; `{tmp}` stands for the directory of temporary files.
    pub default: Option<&'static str>,
    pub required: bool,
    pub help: &'static str,
    pub status: Status,
    /// Apache Mesos has this flag only when configured with this option: `/flags` shows it only when it was given.
    pub only_with: Option<&'static str>,
    pub check: Option<Check>,
    /// Whether a text is of this flag's type, and how its value is then shown.
    pub reads: fn(&str) -> Result<Option<String>, String>,
}

/// A struct of typed flags; made by `flag_set!`.
pub trait FlagSet: Sized {
    /// The definitions, a table for each struct that takes part.
    fn collect(tables: &mut Vec<&'static [Flag]>);
    fn build(values: &Values) -> Result<Self, FlagError>;
    /// Name and value as text, in no particular order; flags without a value are left out.
    fn show(&self, shown: &mut Vec<(String, String)>);

    fn tables() -> Vec<&'static [Flag]> {
        let mut tables = Vec::new();
        Self::collect(&mut tables);
        tables
    }
}

/// Whether words that are no flags are welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positional {
    Refused,
    /// As help names them, such as `MASTER`.
    Taken(&'static str),
}

/// The beginning of a name in the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub text: &'static str,
    pub deprecated: bool,
}

impl Prefix {
    pub const fn current(text: &'static str) -> Prefix {
        Prefix { text, deprecated: false }
    }

    pub const fn deprecated(text: &'static str) -> Prefix {
        Prefix { text, deprecated: true }
    }
}

/// A flag set that a program begins with.
pub trait Program: FlagSet {
    const NAME: &'static str;
    const ABOUT: &'static str;
    /// Where it looks in the environment; an earlier prefix wins.
    const PREFIXES: &'static [Prefix];
    const POSITIONAL: Positional = Positional::Refused;
    /// Names that were flags long ago, and what to tell those who still give them.
    const GONE: &'static [(&'static str, &'static str)] = &[];

    /// What no flag can tell alone: combinations that cannot be.
    fn validate(&self) -> Result<(), FlagError> {
        Ok(())
    }
}

/// A program without its types: what help, man pages, completion and tables need.
#[derive(Clone, Copy, Debug)]
pub struct ProgramInfo {
    pub name: &'static str,
    pub about: &'static str,
    pub prefixes: &'static [Prefix],
    pub positional: Positional,
    pub gone: &'static [(&'static str, &'static str)],
    pub tables: fn() -> Vec<&'static [Flag]>,
}

impl ProgramInfo {
    pub fn of<P: Program>() -> ProgramInfo {
        ProgramInfo {
            name: P::NAME,
            about: P::ABOUT,
            prefixes: P::PREFIXES,
            positional: P::POSITIONAL,
            gone: P::GONE,
            tables: P::tables,
        }
    }

    /// Every flag, in the order of its definition.
    pub fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        (self.tables)().into_iter().flatten()
    }

    /// The flags by group, groups in the order in which they first appear.
    pub fn groups(&self) -> Vec<(&'static str, Vec<&'static Flag>)> {
        let mut groups: Vec<(&'static str, Vec<&'static Flag>)> = Vec::new();
        for flag in self.flags() {
            match groups.iter_mut().find(|(name, _)| *name == flag.group) {
                Some((_, members)) => members.push(flag),
                None => groups.push((flag.group, vec![flag])),
            }
        }
        groups
    }
}
