//! The points at which a test has the agent killed: before every step of every kind of container, amid those that leave
//! several things behind, and at the steps of a recovery. What is between two steps is one point.

use messor_containers::{Kind, Step};
use messor_isolators::Container;
use messor_linux::faults;

/// Amid a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amid {
    ConfigNoted,
    SandboxMade,
    /// The switchboard's, which is not there yet.
    SocketNoted,
    SwitchboardNoted,
    LaunchInfoNoted,
    Forked,
    PidNoted,
    FetcherStarted,
    Killed,
    FilesRemoved,
}

impl Amid {
    const ALL: [Amid; 10] = [
        Amid::ConfigNoted,
        Amid::SandboxMade,
        Amid::SocketNoted,
        Amid::SwitchboardNoted,
        Amid::LaunchInfoNoted,
        Amid::Forked,
        Amid::PidNoted,
        Amid::FetcherStarted,
        Amid::Killed,
        Amid::FilesRemoved,
    ];

    fn name(self) -> &'static str {
        match self {
            Amid::ConfigNoted => "config noted",
            Amid::SandboxMade => "sandbox made",
            Amid::SocketNoted => "socket noted",
            Amid::SwitchboardNoted => "switchboard noted",
            Amid::LaunchInfoNoted => "launch info noted",
            Amid::Forked => "forked",
            Amid::PidNoted => "pid noted",
            Amid::FetcherStarted => "fetcher started",
            Amid::Killed => "killed",
            Amid::FilesRemoved => "files removed",
        }
    }

    pub fn pass(self, kind: Kind) {
        point(kind, || self.name().to_string());
    }
}

/// The names of all points that a container with a terminal passes that fetches something, is told of new
/// resources, and is destroyed. `isolators` are the names of those that have to do with it.
pub fn points(kind: Kind, isolators: &[&str]) -> Vec<String> {
    let each = |step: &'static str| isolators.iter().map(move |isolator| format!("before {step} {isolator}"));
    let mut points = vec!["before begin".to_string()];
    points.extend(each("prepare"));
    points.push("before fork".to_string());
    points.extend(each("isolate"));
    points.extend(["before fetch", "before go on", "after go on"].map(str::to_string));
    if kind == Kind::Executor {
        // Of others the resources do not change.
        points.extend(each("update"));
        points.push("after update".to_string());
    }
    points.push("before kill".to_string());
    points.extend(each("clean up"));
    points.extend(["before finish", "after finish"].map(str::to_string));
    if kind.is_nested() {
        points.extend(["before remove", "after remove"].map(str::to_string));
    }
    let amid = Amid::ALL.iter().filter(|amid| **amid != Amid::FilesRemoved || kind.is_nested());
    points.extend(amid.map(|amid| amid.name().to_string()));
    points.iter_mut().for_each(|point| point.insert_str(0, of(kind)));
    points
}

/// Those of a recovery, with the isolators of the agent.
pub fn recovery_points(isolators: &[&str]) -> Vec<String> {
    let each = isolators.iter().map(|isolator| format!("recovery before {isolator}"));
    let ends = ["recovery before look", "recovery after look", "recovery after isolators"];
    ends.into_iter().map(str::to_string).chain(each).collect()
}

fn of(kind: Kind) -> &'static str {
    match kind {
        Kind::Executor => "",
        Kind::Standalone => "standalone ",
        Kind::Nested => "nested ",
        Kind::Debug => "session ",
    }
}

/// Ends the agent here if a test wants that.
pub(crate) fn point(kind: Kind, name: impl FnOnce() -> String) {
    faults::point(|| format!("{}{}", of(kind), name()));
}

/// The same, of no container alone.
pub(crate) fn recovery(name: &str) {
    faults::point(|| format!("recovery {name}"));
}

pub(crate) fn kind(container: &Container) -> Kind {
    match (container.id.parent(), container.standalone) {
        (Some(_), _)
            if container.config.container_class() == messor_proto::mesos::slave::ContainerClass::Debug =>
        {
            Kind::Debug
        }
        (Some(_), _) => Kind::Nested,
        (None, true) => Kind::Standalone,
        (None, false) => Kind::Executor,
    }
}

/// The name of a step.
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
