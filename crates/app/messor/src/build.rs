//! Of which source, when and by whom this binary was built; the build script finds it out.

use messor_http_api::BuildInfo;

pub const INFO: BuildInfo = BuildInfo {
    // Frameworks and tools compare this with versions of Apache Mesos.
    version: "1.11.0",
    git_sha: env!("MESSOR_GIT_SHA"),
    git_tag: concat!("messor-", env!("CARGO_PKG_VERSION")),
    build_date: env!("MESSOR_BUILD_DATE"),
    build_time: seconds(env!("MESSOR_BUILD_TIME")),
    build_user: env!("MESSOR_BUILD_USER"),
};

/// Whole seconds since the Unix epoch, from their decimal digits.
const fn seconds(digits: &str) -> f64 {
    let bytes = digits.as_bytes();
    let mut sum = 0_u64;
    let mut at = 0;
    while at < bytes.len() {
        sum = sum * 10 + (bytes[at] - b'0') as u64;
        at += 1;
    }
    sum as f64
}
