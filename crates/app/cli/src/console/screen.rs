//! What is printed: tables that fit the terminal, details, JSON, questions. It must not know what is in them.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Write};

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Row, Table, presets};
use messor_proto::{Version, Wire};

/// Narrower is not readable, whatever the terminal says.
const LEAST_WIDTH: u16 = 40;
/// Nor is lower.
const LEAST_HEIGHT: usize = 4;

/// How a thing is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Passing,
    Bad,
    Faint,
}

pub struct Screen<'o> {
    pub json: bool,
    /// None: as wide as it gets, for files and other programs.
    width: Option<u16>,
    coloured: bool,
    /// What is printed may be printed over.
    pub redraws: bool,
    /// Somebody is there to ask.
    asks: bool,
    pub out: &'o mut dyn Write,
}

/// A table in the making.
pub struct Rows {
    names: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// Where less room than this is there, ids are shown by their ends.
const WIDE: u16 = 120;

impl<'o> Screen<'o> {
    /// Of a width that was asked for, or that of the terminal.
    pub fn new(json: bool, width: Option<u16>, out: &'o mut dyn Write) -> Screen<'o> {
        let terminal = io::stdout().is_terminal();
        let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        let own = || columns.or_else(|| Some(rustix::termios::tcgetwinsize(io::stdout()).ok()?.ws_col));
        let width = width.or_else(|| terminal.then(own).flatten());
        Screen {
            json,
            width: width.filter(|width| *width > 0).map(|width| width.max(LEAST_WIDTH)),
            coloured: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            redraws: terminal && !json,
            asks: terminal && io::stdin().is_terminal(),
            out,
        }
    }

    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    pub fn json(&mut self, message: &impl Wire) -> io::Result<()> {
        let mut bytes = Vec::new();
        message.write_json(&mut bytes, Version::V1);
        bytes.push(b'\n');
        self.out.write_all(&bytes)
    }

    pub fn rows(&self, names: &[&str]) -> Rows {
        Rows { names: names.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }

    /// An id that begins with a UUID: `38e73a65…-S0` where there is little room, which commands take as `S0`.
    pub fn id(&self, id: &str) -> Cell {
        let is_short = self.width.is_some_and(|width| width < WIDE);
        match (id.get(..8), id.get(36..)) {
            (Some(begin), Some(end)) if is_short && end.starts_with('-') => text(format!("{begin}…{end}")),
            _ => text(id),
        }
    }

    /// Prints a table without the columns in which nothing is, or that there is nothing.
    pub fn table(&mut self, rows: Rows, nothing: &str) -> io::Result<()> {
        for line in self.render(rows, nothing) {
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    /// The lines of such a table.
    pub fn render(&self, rows: Rows, nothing: &str) -> Vec<String> {
        if rows.rows.is_empty() {
            return vec![nothing.to_owned()];
        }
        let is_used = |column: usize| {
            rows.rows.iter().any(|row| row.get(column).is_some_and(|cell| !cell.content().is_empty()))
        };
        let used: Vec<bool> = (0..rows.names.len()).map(is_used).collect();
        let keep = |cells: Vec<Cell>| -> Row {
            let kept = cells.into_iter().zip(&used).filter(|(_, used)| **used).map(|(cell, _)| cell);
            let mut row = Row::from(kept.collect::<Vec<_>>());
            // One line each; what does not fit is cut, and there with --json or in a file.
            row.max_height(1);
            row
        };
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        match self.width {
            Some(width) => table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        if self.coloured {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let head = rows.names.iter().map(|name| Cell::new(name).add_attribute(Attribute::Bold));
        table.set_header(keep(head.collect()));
        table.add_rows(rows.rows.into_iter().map(keep));
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.to_string().lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// Draws lines in the place of those that were drawn before; those that do not fit the terminal are counted.
    pub fn redraw(&mut self, lines: &[String]) -> io::Result<()> {
        let height = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_row));
        let room = if height < LEAST_HEIGHT { lines.len() } else { height - 1 };
        write!(self.out, "\x1b[H")?;
        let shown = if lines.len() > room { room - 1 } else { lines.len() };
        for line in &lines[..shown] {
            write!(self.out, "{line}\x1b[K\r\n")?;
        }
        if shown < lines.len() {
            write!(self.out, "and {} more\x1b[K\r\n", lines.len() - shown)?;
        }
        write!(self.out, "\x1b[J")?;
        self.out.flush()
    }

    /// Nothing is cut from now on.
    pub fn never_cut(&mut self) {
        self.width = None;
    }

    /// Whether what is printed is cut to fit, and so is not for other programs.
    pub fn is_for_people(&self) -> bool {
        self.width.is_some()
    }

    /// Whether there is room for a table's columns that tell the less important.
    pub fn is_wide(&self) -> bool {
        self.width.is_none_or(|width| width >= WIDE)
    }

    /// Names and values, one below the other; empty values are left out, and long ones go on in further lines.
    pub fn details(&mut self, pairs: &[(&str, String)]) -> io::Result<()> {
        let pairs: Vec<_> = pairs.iter().filter(|(_, value)| !value.is_empty()).collect();
        let names = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let room = self.width.map(|width| usize::from(width).saturating_sub(names + 2));
        for (name, value) in pairs {
            let mut name = *name;
            for line in wrapped(value, room) {
                writeln!(self.out, "{name:names$}  {line}")?;
                name = "";
            }
        }
        Ok(())
    }

    /// Whether the user says yes; None where nobody can be asked.
    pub fn agrees(&mut self, question: &str) -> io::Result<Option<bool>> {
        if !self.asks {
            return Ok(None);
        }
        write!(self.out, "{question} [y/N] ")?;
        self.out.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")))
    }
}

impl Rows {
    /// What rows say, by what their first columns say; the names of columns stand before amounts and marks.
    pub fn named(&self, keys: usize) -> BTreeMap<String, String> {
        let words = |cells: &[Cell], names: &[String]| -> String {
            let said = cells.iter().zip(names).map(|(cell, name)| (name.to_lowercase(), cell.content()));
            let said = said.filter(|(_, text)| !text.trim().is_empty());
            said.map(|(name, text)| format!("{name} {}", text.trim())).collect::<Vec<_>>().join("  ")
        };
        let row = |cells: &Vec<Cell>| {
            let (first, rest) = cells.split_at(keys.min(cells.len()));
            let name = first.iter().map(|cell| cell.content()).collect::<Vec<_>>().join("  ");
            (name, words(rest, self.names.get(keys..).unwrap_or_default()))
        };
        self.rows.iter().map(row).collect()
    }

    pub fn push(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }
}

/// Lines of words that fit, as far as words do.
fn wrapped(text: &str, room: Option<usize>) -> Vec<String> {
    let Some(room) = room else { return vec![text.to_owned()] };
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last().map_or(0, |line| line.chars().count());
        match lines.last_mut() {
            Some(line) if last == 0 => line.push_str(word),
            Some(line) if last + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

pub fn text(text: impl ToString) -> Cell {
    Cell::new(text.to_string())
}

pub fn number(text: impl ToString) -> Cell {
    Cell::new(text.to_string()).set_alignment(CellAlignment::Right)
}

pub fn toned(text: impl ToString, tone: Tone) -> Cell {
    let cell = Cell::new(text.to_string());
    match tone {
        Tone::Good => cell.fg(Color::Green),
        Tone::Passing => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red),
        Tone::Faint => cell.add_attribute(Attribute::Dim),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_go_on_in_further_lines() {
        assert_eq!(wrapped("one two three", Some(7)), ["one two", "three"]);
        assert_eq!(wrapped("incomprehensible it is", Some(7)), ["incomprehensible", "it is"]);
        assert_eq!(wrapped("one two three", None), ["one two three"]);
    }

    #[test]
    fn rows_are_known_by_what_names_them() {
        let rows = Rows {
            names: ["AGENT", "VOLUME", "SIZE (MB)", "SHARED"].map(str::to_owned).to_vec(),
            rows: vec![vec![text("S0"), text("v"), number(64), text("")]],
        };
        let found: Vec<_> = rows.named(2).into_iter().collect();
        assert_eq!(found, [("S0  v".to_string(), "size (mb) 64".to_string())]);
    }
}
