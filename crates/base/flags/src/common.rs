//! Flags that every program has.

use crate::macros::flag_set;

flag_set! {
    /// Help and version, which are answered before anything else is looked at.
    pub struct CommonFlags {
        "General" {
            help: bool = "false" => "Print this help and exit.";
        }
    }
}

flag_set! {
    /// The version, which not every program answers.
    pub struct VersionFlags {
        "General" {
            version: bool = "false" => "Print the version and exit.";
        }
    }
}
