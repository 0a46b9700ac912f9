//! What a program says of itself: its build, its flags, where its log is.

/// Of which source and when this binary was built. `version` is the version of Apache Mesos whose behaviour it has.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuildInfo {
    pub version: &'static str,
    pub git_sha: &'static str,
    pub git_tag: &'static str,
    pub build_date: &'static str,
    /// Seconds since the Unix epoch.
    pub build_time: f64,
    pub build_user: &'static str,
}

/// A running master or agent.
#[derive(Clone, Debug)]
pub struct ProgramInfo {
    pub build: BuildInfo,
    /// Every flag that has a value, by its name.
    pub flags: Vec<(String, String)>,
}

impl ProgramInfo {
    pub fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}
