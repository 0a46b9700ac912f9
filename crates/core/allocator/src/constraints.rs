//! Offer constraints: which agents a framework's role wants offers of, by attributes (`OfferConstraints` of SUBSCRIBE and
//! UPDATE_FRAMEWORK). A role without constraints wants all; with some it wants an agent that meets every constraint of
//! one of its groups.
//!
//! Expressions come from frameworks, and the allocator's thread runs them: their size is bounded, and matching takes time
//! in proportion to the text. The bounds are those of RE2 in Apache Mesos (--offer_constraints_re2_max_mem,
//! --offer_constraints_re2_max_program_size), counted in states of the automaton in place of RE2's instructions, which
//! are about as many. The syntax of both libraries is nearly the same; where it says less, RE2's meaning holds: `\d`, `\w`,
//! `\s` and `\b` are of ASCII.

use std::collections::BTreeMap;
use std::sync::Arc;

use messor_proto::mesos::scheduler::attribute_constraint::{Predicate, predicate, selector};
use messor_proto::mesos::scheduler::{AttributeConstraint, OfferConstraints as Wire};
use messor_proto::mesos::{Attribute, value};
use messor_types::Role;
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson;
use regex_syntax::ast::{self, Ast};

use crate::event::AgentDetails;

/// Bounds of one expression.
#[derive(Clone, Copy, Debug)]
pub struct RegexLimits {
    /// --offer_constraints_re2_max_mem.
    pub max_mem_bytes: u64,
    /// --offer_constraints_re2_max_program_size.
    pub max_program_size: u32,
}

impl RegexLimits {
    /// How many states RE2's memory is for: it keeps three quarters of it for matching, an instruction takes 16 bytes and
    /// a program some 430 of its own.
    fn most_states(&self) -> u64 {
        (self.max_mem_bytes.saturating_sub(432) / 64).min(self.max_program_size.into())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferConstraintsError {
    #[error("'offer_constraints' of role '{role}' has no 'groups'")]
    NoGroups { role: String },
    #[error("'offer_constraints' of role '{role}' has a group without 'attribute_constraints'")]
    EmptyGroup { role: String },
    #[error("'offer_constraints' of role '{role}' has a constraint without a known 'selector'")]
    Selector { role: String },
    #[error("'offer_constraints' of role '{role}' has a constraint without a known 'predicate'")]
    Predicate { role: String },
    #[error("'offer_constraints' of role '{role}': the expression '{regex}' is not valid: {reason}")]
    Regex { role: String, regex: String, reason: String },
    #[error(
        "'offer_constraints' of role '{role}': the expression '{regex}' is too complex: it has a size of {size}, and at \
         most {most} is allowed"
    )]
    TooComplex { role: String, regex: String, size: u64, most: u64 },
}

#[derive(Clone, Debug)]
enum Selector {
    Attribute(String),
    Hostname,
    Region,
    Zone,
}

#[derive(Clone, Debug)]
enum Test {
    Exists,
    Equals(String),
    Matches(Regex),
}

#[derive(Clone, Debug)]
struct Constraint {
    selector: Selector,
    test: Test,
    /// The opposite is wanted.
    negated: bool,
}

type Group = Vec<Constraint>;

/// The constraints of a framework, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct OfferConstraints {
    source: Wire,
    roles: Arc<BTreeMap<Role, Vec<Group>>>,
}

impl PartialEq for OfferConstraints {
    fn eq(&self, other: &OfferConstraints) -> bool {
        self.source == other.source
    }
}

impl OfferConstraints {
    pub fn parse(source: &Wire, limits: RegexLimits) -> Result<OfferConstraints, OfferConstraintsError> {
        let mut roles = BTreeMap::new();
        for (role, constraints) in &source.role_constraints {
            if constraints.groups.is_empty() {
                return Err(OfferConstraintsError::NoGroups { role: role.clone() });
            }
            let mut groups = Vec::with_capacity(constraints.groups.len());
            for group in &constraints.groups {
                if group.attribute_constraints.is_empty() {
                    return Err(OfferConstraintsError::EmptyGroup { role: role.clone() });
                }
                let read = group.attribute_constraints.iter().map(|one| constraint(role, one, limits));
                groups.push(read.collect::<Result<Group, _>>()?);
            }
            roles.insert(Role::new(role), groups);
        }
        Ok(OfferConstraints { source: source.clone(), roles: Arc::new(roles) })
    }

    /// As the framework sent them.
    pub fn source(&self) -> &Wire {
        &self.source
    }

    pub fn is_empty(&self) -> bool {
        self.roles.is_empty()
    }

    /// Whether the role wants no offers of this agent.
    pub fn exclude(&self, role: &Role, agent: &AgentDetails) -> bool {
        let Some(groups) = self.roles.get(role) else { return false };
        !groups.iter().any(|group| group.iter().all(|constraint| constraint.is_met(agent)))
    }
}

fn constraint(
    role: &str,
    constraint: &AttributeConstraint,
    limits: RegexLimits,
) -> Result<Constraint, OfferConstraintsError> {
    use selector::{PseudoattributeType, Selector as Given};
    let unknown = || OfferConstraintsError::Selector { role: role.to_string() };
    let selector = match &constraint.selector.selector {
        Some(Given::AttributeName(name)) => Selector::Attribute(name.clone()),
        Some(Given::PseudoattributeType(kind)) => match PseudoattributeType::try_from(*kind) {
            Ok(PseudoattributeType::Hostname) => Selector::Hostname,
            Ok(PseudoattributeType::Region) => Selector::Region,
            Ok(PseudoattributeType::Zone) => Selector::Zone,
            Ok(PseudoattributeType::Unknown) | Err(_) => return Err(unknown()),
        },
        None => return Err(unknown()),
    };
    let (test, negated) = test(role, &constraint.predicate, limits)?;
    Ok(Constraint { selector, test, negated })
}

fn test(
    role: &str,
    predicate: &Predicate,
    limits: RegexLimits,
) -> Result<(Test, bool), OfferConstraintsError> {
    use predicate::Predicate as Given;
    let regex = |regex: &str| {
        compile(regex, limits).map_err(|error| match error {
            RegexError::Syntax(reason) => {
                OfferConstraintsError::Regex { role: role.to_string(), regex: regex.to_string(), reason }
            }
            RegexError::Size(size) => OfferConstraintsError::TooComplex {
                role: role.to_string(),
                regex: regex.to_string(),
                size,
                most: limits.most_states(),
            },
        })
    };
    Ok(match &predicate.predicate {
        Some(Given::Exists(_)) => (Test::Exists, false),
        Some(Given::NotExists(_)) => (Test::Exists, true),
        Some(Given::TextEquals(text)) => (Test::Equals(text.value.clone()), false),
        Some(Given::TextNotEquals(text)) => (Test::Equals(text.value.clone()), true),
        Some(Given::TextMatches(text)) => (Test::Matches(regex(&text.regex)?), false),
        Some(Given::TextNotMatches(text)) => (Test::Matches(regex(&text.regex)?), true),
        None => return Err(OfferConstraintsError::Predicate { role: role.to_string() }),
    })
}

impl Constraint {
    fn is_met(&self, agent: &AgentDetails) -> bool {
        let found = match &self.selector {
            Selector::Hostname => Some(agent.hostname.as_str()),
            Selector::Region => agent.region.as_deref(),
            Selector::Zone => agent.zone.as_deref(),
            Selector::Attribute(name) => match agent.attributes.iter().find(|found| found.name == *name) {
                Some(attribute) => match text_of(attribute) {
                    Some(text) => Some(text),
                    // What is no text is there, and meets whatever is said of text.
                    None => return !(matches!(self.test, Test::Exists) && self.negated),
                },
                None => None,
            },
        };
        let holds = found.is_some_and(|text| match &self.test {
            Test::Exists => true,
            Test::Equals(value) => text == value,
            Test::Matches(regex) => regex.is_match(text),
        });
        holds != self.negated
    }
}

fn text_of(attribute: &Attribute) -> Option<&str> {
    let is_text = attribute.r#type() == value::Type::Text;
    is_text.then(|| attribute.text.as_ref().map_or("", |text| text.value.as_str()))
}

enum RegexError {
    Syntax(String),
    Size(u64),
}

/// An expression that has to match the whole of a text.
fn compile(regex: &str, limits: RegexLimits) -> Result<Regex, RegexError> {
    let syntax = |error: &dyn std::error::Error| {
        // The last line says it; those before it draw the expression.
        let text = error.to_string();
        RegexError::Syntax(text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string())
    };
    // Whatever would take much more than the limit on states is not even built.
    let most = limits.most_states();
    let bytes = usize::try_from(most).unwrap_or(usize::MAX).saturating_mul(64).max(4096);
    let parsed = ast::parse::ParserBuilder::new().nest_limit(100).build().parse(regex);
    let ascii = as_ascii(regex, &parsed.map_err(|error| syntax(&error))?);
    let whole = format!(r"\A(?:{ascii})\z");
    let nfa = thompson::NFA::compiler()
        .configure(
            thompson::Config::new().nfa_size_limit(Some(bytes)).which_captures(thompson::WhichCaptures::None),
        )
        .build(&whole)
        .map_err(|error| match error.size_limit() {
            Some(_) => RegexError::Size(most + 1),
            None => syntax(&error),
        })?;
    // But for the states that every expression has: the anchors, the start and the end.
    let size = (nfa.states().len() as u64).saturating_sub(4);
    if size > most {
        return Err(RegexError::Size(size));
    }
    Regex::new(&whole).map_err(|error| syntax(&error))
}

/// The expression with classes and boundaries spelled out in ASCII.
fn as_ascii(regex: &str, parsed: &Ast) -> String {
    #[derive(Default)]
    struct Spans(Vec<(usize, usize, &'static str)>);

    impl Spans {
        fn class(&mut self, class: &ast::ClassPerl) {
            use ast::ClassPerlKind::{Digit, Space, Word};
            let text = match (&class.kind, class.negated) {
                (Digit, false) => "[0-9]",
                (Digit, true) => "[^0-9]",
                (Space, false) => r"[\t\n\f\r ]",
                (Space, true) => r"[^\t\n\f\r ]",
                (Word, false) => "[0-9A-Za-z_]",
                (Word, true) => "[^0-9A-Za-z_]",
            };
            self.0.push((class.span.start.offset, class.span.end.offset, text));
        }
    }

    impl ast::Visitor for Spans {
        type Output = Vec<(usize, usize, &'static str)>;
        type Err = std::convert::Infallible;

        fn finish(self) -> Result<Self::Output, Self::Err> {
            Ok(self.0)
        }

        fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
            match ast {
                Ast::ClassPerl(class) => self.class(class),
                Ast::Assertion(assertion) => {
                    let text = match assertion.kind {
                        ast::AssertionKind::WordBoundary => r"(?-u:\b)",
                        ast::AssertionKind::NotWordBoundary => r"(?-u:\B)",
                        _ => return Ok(()),
                    };
                    self.0.push((assertion.span.start.offset, assertion.span.end.offset, text));
                }
                _ => {}
            }
            Ok(())
        }

        fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), Self::Err> {
            if let ast::ClassSetItem::Perl(class) = item {
                self.class(class);
            }
            Ok(())
        }
    }

    let Ok(spans) = ast::visit(parsed, Spans::default());
    let mut result = String::with_capacity(regex.len());
    let mut at = 0;
    for (start, end, text) in spans {
        result.push_str(&regex[at..start]);
        result.push_str(text);
        at = end;
    }
    result.push_str(&regex[at..]);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::scheduler::offer_constraints::{RoleConstraints, role_constraints};

    const LIMITS: RegexLimits = RegexLimits { max_mem_bytes: 4096, max_program_size: 100 };

    fn text(name: &str, value: &str) -> Attribute {
        Attribute {
            name: name.into(),
            r#type: value::Type::Text.into(),
            text: Some(value::Text { value: value.into() }),
            ..Default::default()
        }
    }

    fn agent() -> AgentDetails {
        let cores = Attribute {
            name: "cores".into(),
            r#type: value::Type::Scalar.into(),
            scalar: Some(value::Scalar { value: 8.0 }),
            ..Default::default()
        };
        AgentDetails {
            hostname: "host-1.example".into(),
            region: Some("eu".into()),
            attributes: vec![text("rack", "a7"), cores],
            ..Default::default()
        }
    }

    fn attribute(name: &str) -> selector::Selector {
        selector::Selector::AttributeName(name.into())
    }

    fn pseudo(kind: selector::PseudoattributeType) -> selector::Selector {
        selector::Selector::PseudoattributeType(kind.into())
    }

    fn one(selector: selector::Selector, predicate: predicate::Predicate) -> AttributeConstraint {
        AttributeConstraint {
            selector: messor_proto::mesos::scheduler::attribute_constraint::Selector {
                selector: Some(selector),
            },
            predicate: Predicate { predicate: Some(predicate) },
        }
    }

    fn wire(groups: Vec<Vec<AttributeConstraint>>) -> Wire {
        let group = |attribute_constraints| role_constraints::Group { attribute_constraints };
        let constraints = RoleConstraints { groups: groups.into_iter().map(group).collect() };
        Wire { role_constraints: [("r".to_string(), constraints)].into() }
    }

    fn parse(groups: Vec<Vec<AttributeConstraint>>) -> Result<OfferConstraints, OfferConstraintsError> {
        OfferConstraints::parse(&wire(groups), LIMITS)
    }

    fn wants(selector: selector::Selector, predicate: predicate::Predicate) -> bool {
        !parse(vec![vec![one(selector, predicate)]]).unwrap().exclude(&Role::new("r"), &agent())
    }

    fn equals(value: &str) -> predicate::Predicate {
        predicate::Predicate::TextEquals(predicate::TextEquals { value: value.into() })
    }

    fn not_equals(value: &str) -> predicate::Predicate {
        predicate::Predicate::TextNotEquals(predicate::TextNotEquals { value: value.into() })
    }

    fn matches(regex: &str) -> predicate::Predicate {
        predicate::Predicate::TextMatches(predicate::TextMatches { regex: regex.into() })
    }

    fn not_matches(regex: &str) -> predicate::Predicate {
        predicate::Predicate::TextNotMatches(predicate::TextNotMatches { regex: regex.into() })
    }

    fn exists() -> predicate::Predicate {
        predicate::Predicate::Exists(predicate::Exists {})
    }

    fn not_exists() -> predicate::Predicate {
        predicate::Predicate::NotExists(predicate::NotExists {})
    }

    #[test]
    fn predicates_of_text() {
        use selector::PseudoattributeType::{Hostname, Region, Zone};
        for (selector, predicate, wanted) in [
            (attribute("rack"), exists(), true),
            (attribute("rack"), not_exists(), false),
            (attribute("none"), exists(), false),
            (attribute("none"), not_exists(), true),
            (attribute("rack"), equals("a7"), true),
            (attribute("rack"), equals("a"), false),
            (attribute("none"), equals("a7"), false),
            (attribute("rack"), not_equals("a7"), false),
            (attribute("none"), not_equals("a7"), true),
            (attribute("rack"), matches("[a-c][0-9]"), true),
            (attribute("rack"), matches("a"), false),
            (attribute("rack"), not_matches("a"), true),
            (attribute("rack"), not_matches("a|a7"), false),
            (attribute("none"), matches(".*"), false),
            (attribute("none"), not_matches(".*"), true),
            (pseudo(Hostname), matches(r"host-\d+\.example"), true),
            (pseudo(Hostname), matches(r"[\w.-]+"), true),
            (pseudo(Region), equals("eu"), true),
            (pseudo(Zone), exists(), false),
            (pseudo(Zone), not_equals("z"), true),
        ] {
            assert_eq!(wants(selector.clone(), predicate.clone()), wanted, "{selector:?} {predicate:?}");
        }
    }

    /// An attribute of another type is there, and whatever is said of text does not concern it.
    #[test]
    fn other_types_are_not_excluded_by_what_is_said_of_text() {
        for predicate in [exists(), equals("x"), not_equals("x"), matches("x"), not_matches(".*")] {
            assert!(wants(attribute("cores"), predicate.clone()), "{predicate:?}");
        }
        assert!(!wants(attribute("cores"), not_exists()));
    }

    #[test]
    fn one_group_has_to_hold_as_a_whole() {
        let (yes, no) = (one(attribute("rack"), exists()), one(attribute("none"), exists()));
        let wants = |groups| !parse(groups).unwrap().exclude(&Role::new("r"), &agent());
        assert!(wants(vec![vec![no.clone()], vec![yes.clone(), yes.clone()]]));
        assert!(!wants(vec![vec![no.clone(), yes.clone()], vec![yes, no.clone()]]));
        // Other roles have none.
        assert!(!parse(vec![vec![no]]).unwrap().exclude(&Role::new("other"), &agent()));
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let role = || "r".to_string();
        assert_eq!(parse(vec![]).unwrap_err(), OfferConstraintsError::NoGroups { role: role() });
        assert_eq!(parse(vec![vec![]]).unwrap_err(), OfferConstraintsError::EmptyGroup { role: role() });
        let unknown = one(pseudo(selector::PseudoattributeType::Unknown), exists());
        assert_eq!(parse(vec![vec![unknown]]).unwrap_err(), OfferConstraintsError::Selector { role: role() });
        let mut nothing = one(attribute("a"), exists());
        nothing.predicate.predicate = None;
        assert_eq!(
            parse(vec![vec![nothing]]).unwrap_err(),
            OfferConstraintsError::Predicate { role: role() }
        );
        let refusal =
            |regex: &str| parse(vec![vec![one(attribute("a"), matches(regex))]]).unwrap_err().to_string();
        assert!(refusal("a(").contains("'a(' is not valid: unclosed group"), "{}", refusal("a("));
        assert!(refusal(&"(a|b)".repeat(60)).contains("too complex"), "{}", refusal(&"(a|b)".repeat(60)));
        assert!(refusal("((a{100}){100}){100}").contains("too complex"));
        assert!(refusal(&"(".repeat(10_000)).contains("not valid"));
    }

    #[test]
    fn classes_are_of_ascii() {
        let matches = |regex: &str, text: &str| {
            compile(regex, LIMITS).unwrap_or_else(|_| panic!("{regex}")).is_match(text)
        };
        assert!(matches(r"\d\D[\d_]\bx?", "1a2") && !matches(r"\d", "\u{663}"));
        assert!(matches(r"\w+\s\S", "ab c") && !matches(r"\w", "é") && matches(".", "é"));
        assert!(matches(r"[^\d]", "x") && !matches(r"[^\d]", "3"));
    }
}
