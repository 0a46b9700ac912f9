//! libprocess messages: HTTP/1.1 POSTs of the form `POST /<id>/<message name>` that name their sender in a header.
//! It does not look into bodies.

use std::fmt::{Display, Write};

use crate::target::{TargetError, decode, encode_into};

/// What a process id may hold unescaped on the wire: the characters real ids have, of those a path may hold.
/// A `/` is escaped, since Apache Mesos 1.11.0 takes what stands before the first one as the id and decodes it.
const ID_CHARACTERS: &str = "()@:!$&'*,;=";

/// To whom a message goes, from the path of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    pub id: String,
    pub name: String,
}

impl Recipient {
    /// Cuts `/<id>/<name>` at the last slash, since names have none and ids of other senders may have one.
    pub fn parse(path: &str) -> Result<Recipient, TargetError> {
        let path = path.split('?').next().unwrap_or_default();
        let rest = path.strip_prefix('/').ok_or(TargetError::Path)?;
        let (id, name) = rest.rsplit_once('/').unwrap_or((rest, ""));
        Ok(Recipient { id: decode(id)?, name: name.to_string() })
    }
}

/// The PID of the sender as text when a request is a libprocess message, else none.
///
/// It is one when it is a POST and either `User-Agent` begins with `libprocess/` or `Libprocess-From` is there;
/// of both, `Libprocess-From` tells the sender.
pub fn sender<'a>(
    method: &str,
    user_agent: Option<&'a str>,
    libprocess_from: Option<&'a str>,
) -> Option<&'a str> {
    if method != "POST" {
        return None;
    }
    libprocess_from.or_else(|| user_agent?.strip_prefix("libprocess/")).map(str::trim)
}

/// Appends the head of a message with a body of `length` bytes, which is to follow it as it is.
///
/// Real 1.11.0 sends the body as one chunk; a `Content-Length`, which it reads as well, is what Messor sends.
pub fn write_head(
    out: &mut Vec<u8>,
    from: impl Display,
    to_id: &str,
    to_address: impl Display,
    name: &str,
    length: usize,
) {
    let mut head = String::with_capacity(256);
    head.push_str("POST /");
    if !to_id.is_empty() {
        encode_into(&mut head, to_id, ID_CHARACTERS);
        head.push('/');
    }
    encode_into(&mut head, name, "");
    head.push_str(" HTTP/1.1\r\nUser-Agent: libprocess/");
    let begin = head.len();
    // Writing to a String cannot fail.
    let _ = write!(head, "{from}");
    let sender = begin..head.len();
    head.push_str("\r\nLibprocess-From: ");
    head.extend_from_within(sender);
    let _ =
        write!(head, "\r\nConnection: Keep-Alive\r\nHost: {to_address}\r\nContent-Length: {length}\r\n\r\n");
    out.extend_from_slice(head.as_bytes());
}

/// Appends a whole message.
pub fn write(
    out: &mut Vec<u8>,
    from: impl Display,
    to_id: &str,
    to_address: impl Display,
    name: &str,
    body: &[u8],
) {
    out.reserve(256 + body.len());
    write_head(out, from, to_id, to_address, name, body.len());
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(to_id: &str, name: &str) -> String {
        let mut out = Vec::new();
        write_head(&mut out, "slave(1)@10.0.0.7:5051", to_id, "10.0.0.1:5050", name, 12);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn heads_are_those_of_libprocess() {
        assert_eq!(
            head("master", "mesos.internal.RegisterSlaveMessage"),
            "POST /master/mesos.internal.RegisterSlaveMessage HTTP/1.1\r\n\
             User-Agent: libprocess/slave(1)@10.0.0.7:5051\r\n\
             Libprocess-From: slave(1)@10.0.0.7:5051\r\n\
             Connection: Keep-Alive\r\n\
             Host: 10.0.0.1:5050\r\n\
             Content-Length: 12\r\n\r\n"
        );
        assert!(head("executor(1)", "m").starts_with("POST /executor(1)/m HTTP/1.1\r\n"));
        assert!(head("", "m").starts_with("POST /m HTTP/1.1\r\n"));
        assert!(head("a b\r\nX: y", "m").starts_with("POST /a%20b%0D%0AX:%20y/m HTTP/1.1\r\n"));
        let mut whole = Vec::new();
        write(&mut whole, "a@1.2.3.4:5", "b", "1.2.3.4:6", "m", b"body");
        assert!(whole.ends_with(b"Content-Length: 4\r\n\r\nbody"));
    }

    #[test]
    fn recipients() {
        let parse = |path| Recipient::parse(path).map(|to| (to.id, to.name));
        assert_eq!(parse("/slave(1)/mesos.X"), Ok(("slave(1)".into(), "mesos.X".into())));
        assert_eq!(parse("/slave%281%29/mesos.X"), Ok(("slave(1)".into(), "mesos.X".into())));
        assert_eq!(parse("/a/b/mesos.X"), Ok(("a/b".into(), "mesos.X".into())));
        assert_eq!(parse("/a%2Fb/mesos.X"), Ok(("a/b".into(), "mesos.X".into())));
        assert_eq!(parse("/master/m?x=1"), Ok(("master".into(), "m".into())));
        assert_eq!(parse("/master"), Ok(("master".into(), String::new())));
        assert_eq!(parse("master"), Err(TargetError::Path));
        assert_eq!(parse("/%zz/m"), Err(TargetError::Escape("%zz".into())));
    }

    #[test]
    fn either_header_marks_a_message() {
        assert_eq!(sender("POST", Some("libprocess/a@1.2.3.4:5"), None), Some("a@1.2.3.4:5"));
        assert_eq!(sender("POST", None, Some(" a@1.2.3.4:5 ")), Some("a@1.2.3.4:5"));
        assert_eq!(sender("POST", Some("libprocess/a@1.2.3.4:5"), Some("b@1.2.3.4:5")), Some("b@1.2.3.4:5"));
        assert_eq!(sender("POST", Some("curl/8"), None), None);
        assert_eq!(sender("GET", Some("libprocess/a@1.2.3.4:5"), None), None);
    }

    proptest! {
        #[test]
        fn any_id_arrives_as_it_was_sent(id in "[^\u{0}]{1,20}") {
            let head = head(&id, "mesos.internal.PingSlaveMessage");
            let path = head.split(' ').nth(1).unwrap();
            let to = Recipient::parse(path).unwrap();
            prop_assert_eq!(to.id, id);
            prop_assert_eq!(head.matches("\r\n").count(), 7);
        }
    }
}
