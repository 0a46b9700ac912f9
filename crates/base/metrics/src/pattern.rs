//! Names of metrics with places in them: `master/frameworks/<name>/<id>/calls/<call:accept|decline>`.
//!
//! A place is `<what>`, which holds no slash, `<what...>`, which may hold some (as roles and principals do), or
//! `<what:one|other>`, which holds one of these words. It must not know what any name means.

/// A name with its places, cut to pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(&'static str),
    /// What it is called, and whether it may hold slashes.
    Any(&'static str, bool),
    OneOf(&'static str, Vec<&'static str>),
}

/// What the places of a name hold, in their order.
pub type Held<'n> = Vec<(&'static str, &'n str)>;

impl Pattern {
    /// The text is one of this program's own: what is wrong with it shows in the first test.
    pub fn parse(text: &'static str) -> Pattern {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('<') {
            let (place, after) = after.split_once('>').expect("a place has an end");
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal));
            }
            pieces.push(match (place.split_once(':'), place.strip_suffix("...")) {
                (Some((name, words)), _) => Piece::OneOf(name, words.split('|').collect()),
                (None, Some(name)) => Piece::Any(name, true),
                (None, None) => Piece::Any(place, false),
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest));
        }
        Pattern(pieces)
    }

    /// What every name of it begins with.
    pub fn beginning(&self) -> &'static str {
        match self.0.first() {
            Some(Piece::Literal(text)) => text,
            _ => "",
        }
    }

    /// What is in the places of `name`, if it is one of these names.
    pub fn read<'n>(&self, name: &'n str) -> Option<Held<'n>> {
        let mut held = Vec::new();
        self.read_into(name, &mut held).then_some(held)
    }

    /// The same for who tries many patterns: `held` is as it was where the name is none of these.
    pub fn read_into<'n>(&self, name: &'n str, held: &mut Held<'n>) -> bool {
        read(&self.0, name, held)
    }

    /// All names, if no place is open to anything: `<x:a|b>` stands for two.
    pub fn names(&self) -> Option<Vec<String>> {
        let mut names = vec![String::new()];
        for piece in &self.0 {
            names = match piece {
                Piece::Literal(text) => names.into_iter().map(|name| name + text).collect(),
                Piece::OneOf(_, words) => {
                    let with =
                        |name: &String| words.iter().map(|word| format!("{name}{word}")).collect::<Vec<_>>();
                    names.iter().flat_map(with).collect()
                }
                Piece::Any(..) => return None,
            };
        }
        Some(names)
    }

    /// The same pattern once for each choice of words, so that each can be looked for by itself.
    pub fn choices(&self) -> Vec<Pattern> {
        let mut all: Vec<Vec<Piece>> = vec![Vec::new()];
        for piece in &self.0 {
            let words: Vec<Piece> = match piece {
                Piece::OneOf(_, words) => words.iter().map(|word| Piece::Literal(word)).collect(),
                other => vec![other.clone()],
            };
            let with = |begun: &Vec<Piece>| {
                let begun = begun.clone();
                words
                    .iter()
                    .map(move |word| [begun.as_slice(), std::slice::from_ref(word)].concat())
                    .collect::<Vec<_>>()
            };
            all = all.iter().flat_map(with).collect();
        }
        all.into_iter().map(Pattern).collect()
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Literal(text) => f.write_str(text),
            Piece::Any(name, _) => write!(f, "<{name}>"),
            Piece::OneOf(_, words) => write!(f, "<{}>", words.join(",")),
        })
    }
}

/// A place takes as much as it can (`a/b/active` of `<role...>/active` holds `a/b`), and less where the rest wants it so.
fn read<'n>(pieces: &[Piece], name: &'n str, held: &mut Held<'n>) -> bool {
    let Some((piece, rest)) = pieces.split_first() else { return name.is_empty() };
    let mut take = |what, end: usize| {
        held.push((what, &name[..end]));
        let fits = read(rest, &name[end..], held);
        if !fits {
            held.pop();
        }
        fits
    };
    match piece {
        Piece::Literal(text) => name.strip_prefix(text).is_some_and(|after| read(rest, after, held)),
        Piece::OneOf(what, words) => {
            words.iter().any(|word| name.starts_with(word) && take(*what, word.len()))
        }
        Piece::Any(what, slashes) => {
            let most = if *slashes { name.len() } else { name.find('/').unwrap_or(name.len()) };
            let next = match rest.first() {
                None => return most == name.len() && take(*what, most),
                Some(Piece::Literal(next)) => next,
                Some(_) => "",
            };
            if !slashes && next.starts_with('/') {
                return take(*what, most);
            }
            // It may hold nothing: a framework's name can be empty. Most ends are wrong, and seen so by what is behind.
            let ends = name[..most].char_indices().map(|(at, c)| at + c.len_utf8()).rev();
            ends.chain([0]).any(|end| name[end..].starts_with(next) && take(*what, end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &'static str, name: &'static str) -> Option<Held<'static>> {
        Pattern::parse(pattern).read(name)
    }

    #[test]
    fn places_are_read() {
        assert_eq!(read("a/b", "a/b"), Some(vec![]));
        assert_eq!(read("a/b", "a/b/c"), None);
        let quota = "quota/roles/<role...>/resources/<resource>/limit";
        let held = |role, resource| Some(vec![("role", role), ("resource", resource)]);
        assert_eq!(read(quota, "quota/roles/web/resources/cpus/limit"), held("web", "cpus"));
        assert_eq!(read(quota, "quota/roles/a/b/resources/cpus/limit"), held("a/b", "cpus"));
        // A role may be called so.
        let odd = "quota/roles/a/resources/x/limit/resources/cpus/limit";
        assert_eq!(read(quota, odd), held("a/resources/x/limit", "cpus"));
        assert_eq!(read(quota, "quota/roles/a/resources/resources/limit"), held("a", "resources"));
        assert_eq!(read(quota, "quota/roles/é/à/resources/é/limit"), held("é/à", "é"));
        assert_eq!(read(quota, "quota/roles/web/resources/a/b/limit"), None);
        assert_eq!(read("x/<name>/y", "x//y"), Some(vec![("name", "")]));
        assert_eq!(read("x/<a>", "x/é"), Some(vec![("a", "é")]));
        let words = "tasks_<state:gone|gone_by_operator>";
        assert_eq!(read(words, "tasks_gone_by_operator"), Some(vec![("state", "gone_by_operator")]));
        assert_eq!(read(words, "tasks_lost"), None);
    }

    #[test]
    fn words_are_chosen() {
        let pattern = Pattern::parse("m/<a:x|y>/<b:1|2>");
        assert_eq!(pattern.names().unwrap(), ["m/x/1", "m/x/2", "m/y/1", "m/y/2"]);
        assert_eq!(pattern.to_string(), "m/<x,y>/<1,2>");
        assert_eq!(pattern.beginning(), "m/");
        let open = Pattern::parse("f/<name>/<call:a|b>");
        assert_eq!(open.names(), None);
        let choices = open.choices();
        assert_eq!(choices.len(), 2);
        assert!(choices[1].read("f/x/b").is_some() && choices[1].read("f/x/a").is_none());
    }
}
