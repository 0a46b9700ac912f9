//! Attributes of agents as text, `rack:abc;zone:west;level:10;keys:[1000-1500]`, and their comparison.

use messor_proto::mesos::{Attribute, value};

use crate::value::{Parsed, parse_text};
use crate::{Ranges, Scalar, ValueError};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    #[error("'{0}' is no attribute: write it as in rack:abc, with ';' between attributes")]
    Pair(String),
    #[error("the value of attribute '{name}' cannot be read: {error}")]
    Value { name: String, error: ValueError },
    #[error("attribute '{0}' is a set, which attributes cannot be: use text, a number or ranges")]
    Set(String),
}

/// Reads attributes. Spaces in values mean nothing, as everywhere in these notations.
pub fn parse_attributes(text: &str) -> Result<Vec<Attribute>, AttributeError> {
    let mut result = Vec::new();
    for token in text.split([';', '\n']).filter(|token| !token.is_empty()) {
        let (name, value) = token
            .split_once(':')
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
            .ok_or_else(|| AttributeError::Pair(token.to_string()))?;
        let parsed =
            parse_text(value).map_err(|error| AttributeError::Value { name: name.to_string(), error })?;
        let mut attribute = Attribute { name: name.to_string(), ..Default::default() };
        match parsed {
            Parsed::Number(number) => {
                attribute.r#type = value::Type::Scalar.into();
                attribute.scalar = Some(value::Scalar { value: number });
            }
            Parsed::Ranges(ranges) => {
                attribute.r#type = value::Type::Ranges.into();
                attribute.ranges = Some((&ranges).into());
            }
            Parsed::Text(text) => {
                attribute.r#type = value::Type::Text.into();
                attribute.text = Some(value::Text { value: text });
            }
            Parsed::Set(_) => return Err(AttributeError::Set(name.to_string())),
        }
        result.push(attribute);
    }
    Ok(result)
}

fn equal(left: &Attribute, right: &Attribute) -> bool {
    let scalar = |attribute: &Attribute| attribute.scalar.map(|scalar| Scalar::from_f64(scalar.value));
    let ranges = |attribute: &Attribute| attribute.ranges.as_ref().map(Ranges::from);
    left.name == right.name
        && left.r#type == right.r#type
        && scalar(left) == scalar(right)
        && ranges(left) == ranges(right)
        && left.text == right.text
        && left.set == right.set
}

/// Whether two lists of attributes say the same; their order means nothing.
pub fn attributes_equal(left: &[Attribute], right: &[Attribute]) -> bool {
    let within = |list: &[Attribute], all: &[Attribute]| {
        list.iter().all(|attribute| all.iter().any(|other| equal(attribute, other)))
    };
    left.len() == right.len() && within(left, right) && within(right, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_read_from_text() {
        let found = parse_attributes("rack:abc;zone:west;os:centos5;level:10;keys:[1000-1500]").unwrap();
        assert_eq!(found.len(), 5);
        assert_eq!(found[0].text.as_ref().unwrap().value, "abc");
        assert_eq!(found[3].scalar.unwrap().value, 10.0);
        assert_eq!(found[4].ranges.as_ref().unwrap().range[0].end, 1500);
        let mut turned = found.clone();
        turned.reverse();
        assert!(attributes_equal(&found, &turned));
        turned[0].ranges = None;
        assert!(!attributes_equal(&found, &turned));
        assert_eq!(
            parse_attributes("url:http://a:80").unwrap()[0].text.as_ref().unwrap().value,
            "http://a:80"
        );
    }

    #[test]
    fn bad_attributes_are_named() {
        assert_eq!(parse_attributes("rack"), Err(AttributeError::Pair("rack".into())));
        assert_eq!(parse_attributes("a:{b}"), Err(AttributeError::Set("a".into())));
        assert!(parse_attributes("a:[1").unwrap_err().to_string().contains("'a'"));
    }
}
