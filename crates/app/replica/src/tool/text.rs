//! An action of the log as text, as protobuf prints messages.

use messor_proto::mesos::internal::log::{Action, action};

/// Bytes in quotes: what is not printable ASCII in octal.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            b'"' | b'\'' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\{byte:03o}")),
        }
    }
    text.push('"');
    text
}

pub fn print(action: &Action) -> String {
    let mut text = format!("position: {}\npromised: {}\n", action.position, action.promised);
    if let Some(performed) = action.performed {
        text.push_str(&format!("performed: {performed}\n"));
    }
    if let Some(learned) = action.learned {
        text.push_str(&format!("learned: {learned}\n"));
    }
    if let Some(kind) = action.r#type {
        let name = match action::Type::try_from(kind) {
            Ok(action::Type::Nop) => "NOP".to_string(),
            Ok(action::Type::Append) => "APPEND".to_string(),
            Ok(action::Type::Truncate) => "TRUNCATE".to_string(),
            Err(_) => kind.to_string(),
        };
        text.push_str(&format!("type: {name}\n"));
    }
    if let Some(nop) = &action.nop {
        let tombstone = nop.tombstone.map(|tombstone| format!("  tombstone: {tombstone}\n"));
        text.push_str(&format!("nop {{\n{}}}\n", tombstone.unwrap_or_default()));
    }
    if let Some(append) = &action.append {
        let sum = append.cksum.as_ref().map(|sum| format!("  cksum: {}\n", quoted(sum)));
        text.push_str(&format!(
            "append {{\n  bytes: {}\n{}}}\n",
            quoted(&append.bytes),
            sum.unwrap_or_default()
        ));
    }
    if let Some(truncate) = &action.truncate {
        text.push_str(&format!("truncate {{\n  to: {}\n}}\n", truncate.to));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_printed_as_protobuf_does() {
        let action = Action {
            position: 9,
            promised: 2,
            performed: Some(2),
            learned: Some(true),
            r#type: Some(action::Type::Append.into()),
            nop: Some(action::Nop { tombstone: Some(true) }),
            append: Some(action::Append { bytes: b"a\"\n\x00\xff~".to_vec(), cksum: None }),
            truncate: Some(action::Truncate { to: 7 }),
        };
        let expected = "position: 9\npromised: 2\nperformed: 2\nlearned: true\ntype: APPEND\nnop {\n  tombstone: true\n}\n\
                        append {\n  bytes: \"a\\\"\\n\\000\\377~\"\n}\ntruncate {\n  to: 7\n}\n";
        assert_eq!(print(&action), expected);
    }
}
