//! Ids become names of directories on the agents: they are held to what a file name may be.

/// The longest file name of Linux.
const LONGEST: usize = 255;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("an id must not be empty")]
    Empty,
    #[error("an id must not have more than {LONGEST} bytes; this one has {0}")]
    TooLong(usize),
    #[error("'{0}' is no valid id: it names a directory")]
    Directory(String),
    #[error("'{}' is no valid id: slashes, backslashes and control characters are not allowed", .0.escape_debug())]
    Character(String),
}

/// Checks an id of a framework, agent, executor, task or persistent volume.
pub fn validate_id(id: &str) -> Result<(), IdError> {
    if id.is_empty() {
        return Err(IdError::Empty);
    }
    if id.len() > LONGEST {
        return Err(IdError::TooLong(id.len()));
    }
    if id == "." || id == ".." {
        return Err(IdError::Directory(id.to_string()));
    }
    if id.bytes().any(|byte| byte.is_ascii_control() || byte == b'/' || byte == b'\\') {
        return Err(IdError::Character(id.to_string()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_file_names() {
        for id in ["a", "task.1", "...", "ünïcode", &"x".repeat(255)] {
            assert_eq!(validate_id(id), Ok(()), "{id}");
        }
        assert_eq!(validate_id(""), Err(IdError::Empty));
        assert_eq!(validate_id(&"x".repeat(256)), Err(IdError::TooLong(256)));
        assert_eq!(validate_id(".."), Err(IdError::Directory("..".into())));
        for id in ["a/b", "a\\b", "a\nb", "\u{7f}", "\0"] {
            assert_eq!(validate_id(id), Err(IdError::Character(id.into())), "{id:?}");
        }
    }
}
