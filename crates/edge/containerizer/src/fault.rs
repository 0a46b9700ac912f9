//! Points at which a test has the agent killed, as if by `kill -9`: before and after every step of every container.
//! Without the variable in the agent's environment they do nothing.

use std::sync::OnceLock;

use messor_containers::Step;
use messor_types::ContainerId;
use rustix::process::{Signal, getpid, kill_process};

/// Its value is a name out of [`points`].
pub const FAULT_VARIABLE: &str = "MESSOR_FAULT_POINT";

/// The names of all points that a container with a terminal passes which is launched and destroyed. `isolators` are the names of those
/// in use.
pub fn points(isolators: &[&str]) -> Vec<String> {
    let each = |step: &'static str| isolators.iter().map(move |isolator| format!("{step} {isolator}"));
    let mut steps = vec!["begin".to_string()];
    steps.extend(each("prepare"));
    steps.push("fork".into());
    steps.extend(each("isolate"));
    steps.extend(["fetch", "go on", "kill"].map(str::to_string));
    steps.extend(each("clean up"));
    steps.push("finish".into());
    let mut points: Vec<String> =
        steps.iter().flat_map(|step| [format!("before {step}"), format!("after {step}")]).collect();
    points.extend(["config noted", "switchboard noted", "forked", "pid noted"].map(str::to_string));
    points
}

/// The name of a step in the names of points.
pub(crate) fn name(step: &Step, isolator: impl Fn(usize) -> &'static str) -> String {
    match step {
        Step::Begin => "begin".into(),
        Step::Provision => "provision".into(),
        Step::Prepare(number) => format!("prepare {}", isolator(*number)),
        Step::Fork => "fork".into(),
        Step::Isolate(number) => format!("isolate {}", isolator(*number)),
        Step::Update(_) => "update".into(),
        Step::Fetch => "fetch".into(),
        Step::GoOn => "go on".into(),
        Step::KillAll => "kill".into(),
        Step::CleanUp(number) => format!("clean up {}", isolator(*number)),
        Step::Unprovision => "unprovision".into(),
        Step::Finish(_) => "finish".into(),
    }
}

/// A step of a container, which has one name more where it is nested: behind `nested `, for those that are alone.
pub(crate) fn step(container: &ContainerId, when: &str, name: &str) {
    point(|| format!("{when} {name}"));
    if container.parent().is_some() {
        point(|| format!("nested {when} {name}"));
    }
}

/// Ends the agent here if a test wants that.
pub(crate) fn point(name: impl FnOnce() -> String) {
    static WANTED: OnceLock<Option<String>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| std::env::var(FAULT_VARIABLE).ok());
    if let Some(wanted) = wanted
        && *wanted == name()
    {
        let _ = kill_process(getpid(), Signal::KILL);
    }
}
