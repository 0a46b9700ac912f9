//! One check of a task: when it runs, and what its results mean. It must not know how a check is carried out.

use std::time::Duration;

use messor_proto::mesos::{CheckInfo, CheckStatusInfo, CommandInfo, HealthCheck, TaskInfo};
use messor_proto::mesos::{check_info, check_status_info, health_check, network_info};
use messor_stdx::{Time, format_duration};

/// Which of the two checks a task can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    Health,
    General,
}

/// What is to be carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    Command(Box<CommandInfo>),
    Http { https: bool, ipv6: bool, port: u16, path: String },
    Tcp { port: u16 },
}

/// What came of it, where it could be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    ExitCode(i32),
    HttpStatus(u32),
    Connected(bool),
}

/// A measure, or why there is none.
pub type Outcome = Result<Measure, String>;

/// What is to be told of the task after a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Health { healthy: bool, kill: bool },
    Status(Box<CheckStatusInfo>),
}

impl Verdict {
    pub fn is_unhealthy(&self) -> bool {
        matches!(self, Verdict::Health { healthy: false, .. })
    }
}

pub fn name_of(which: Which) -> &'static str {
    match which {
        Which::Health => "health check",
        Which::General => "check",
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting(Time),
    Running { until: Time },
    Stopped,
}

/// What the machine has to do for a check when its time has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
    Start(Probe),
    /// It took too long and is to be stopped.
    TooLong(String),
}

#[derive(Clone, Debug)]
enum Judge {
    Health { started: Time, grace: Duration, limit: u32, failures: u32, initializing: bool },
    General { previous: CheckStatusInfo },
}

/// A check and its history.
#[derive(Clone, Debug)]
pub struct Check {
    probe: Probe,
    interval: Duration,
    /// Nothing is for ever.
    timeout: Option<Duration>,
    state: State,
    judge: Judge,
}

/// The checks of a task that runs from now on, and why some are not carried out.
pub fn of_task(now: Time, info: &TaskInfo) -> (Vec<(Which, Check)>, Vec<String>) {
    let health = info.health_check.as_ref().map(|info| (Which::Health, Check::health(now, info)));
    let general = info.check.as_ref().map(|info| (Which::General, Check::general(now, info)));
    let (mut checks, mut problems) = (Vec::new(), Vec::new());
    for (which, check) in general.into_iter().chain(health) {
        match check {
            Ok(check) => checks.push((which, check)),
            Err(problem) => {
                problems.push(format!("the {} is not carried out: {problem}", name_of(which)));
            }
        }
    }
    (checks, problems)
}

impl Check {
    pub fn health(now: Time, info: &HealthCheck) -> Result<Check, String> {
        let ipv6 = |protocol: Option<i32>| protocol == Some(network_info::Protocol::IPv6 as i32);
        let probe = match info.r#type.and_then(|kind| health_check::Type::try_from(kind).ok()) {
            Some(health_check::Type::Command) => command(info.command.as_ref())?,
            Some(health_check::Type::Http) => {
                let http = info.http.as_ref().ok_or("it is of type HTTP and 'http' is not set")?;
                let https = match http.scheme.as_deref() {
                    None | Some("http") => false,
                    Some("https") => true,
                    Some(other) => return Err(format!("'http.scheme' is '{other}': use http or https")),
                };
                Probe::Http {
                    https,
                    ipv6: ipv6(http.protocol),
                    port: port(http.port)?,
                    path: path(&http.path)?,
                }
            }
            Some(health_check::Type::Tcp) => {
                let tcp = info.tcp.as_ref().ok_or("it is of type TCP and 'tcp' is not set")?;
                Probe::Tcp { port: port(tcp.port)? }
            }
            Some(health_check::Type::Unknown) | None => return Err("its 'type' is not known".to_string()),
        };
        let judge = Judge::Health {
            started: now,
            grace: seconds("grace_period_seconds", info.grace_period_seconds, 10.0)?,
            limit: info.consecutive_failures.unwrap_or(3),
            failures: 0,
            initializing: true,
        };
        Check::new(now, probe, judge, info.interval_seconds, info.timeout_seconds, info.delay_seconds)
    }

    pub fn general(now: Time, info: &CheckInfo) -> Result<Check, String> {
        let probe = match info.r#type.and_then(|kind| check_info::Type::try_from(kind).ok()) {
            Some(check_info::Type::Command) => {
                command(info.command.as_ref().map(|command| &command.command))?
            }
            Some(check_info::Type::Http) => {
                let http = info.http.as_ref().ok_or("it is of type HTTP and 'http' is not set")?;
                Probe::Http { https: false, ipv6: false, port: port(http.port)?, path: path(&http.path)? }
            }
            Some(check_info::Type::Tcp) => {
                let tcp = info.tcp.as_ref().ok_or("it is of type TCP and 'tcp' is not set")?;
                Probe::Tcp { port: port(tcp.port)? }
            }
            Some(check_info::Type::Unknown) | None => return Err("its 'type' is not known".to_string()),
        };
        let judge = Judge::General { previous: empty_status(info) };
        Check::new(now, probe, judge, info.interval_seconds, info.timeout_seconds, info.delay_seconds)
    }

    /// With the times that both kinds say in the same way, in seconds.
    fn new(
        now: Time,
        probe: Probe,
        judge: Judge,
        interval: Option<f64>,
        timeout: Option<f64>,
        delay: Option<f64>,
    ) -> Result<Check, String> {
        Ok(Check {
            probe,
            interval: seconds("interval_seconds", interval, 10.0)?,
            timeout: Some(seconds("timeout_seconds", timeout, 20.0)?).filter(|time| !time.is_zero()),
            state: State::Waiting(now + seconds("delay_seconds", delay, 15.0)?),
            judge,
        })
    }

    /// When it next wants attention.
    pub fn deadline(&self) -> Time {
        match self.state {
            State::Waiting(at) | State::Running { until: at } => at,
            State::Stopped => Time::NEVER,
        }
    }

    /// What its deadline means, once that has come.
    pub fn due(&mut self, now: Time) -> Option<Due> {
        match self.state {
            State::Waiting(at) if at <= now => {
                let until = self.timeout.map_or(Time::NEVER, |timeout| now + timeout);
                self.state = State::Running { until };
                Some(Due::Start(self.probe.clone()))
            }
            State::Running { until } if until <= now => {
                let timeout = format_duration(self.timeout.unwrap_or_default());
                Some(Due::TooLong(format!("it took longer than {timeout}")))
            }
            _ => None,
        }
    }

    /// Takes a result in. Results of a check that is stopped, or not running, mean nothing.
    pub fn judge(&mut self, now: Time, outcome: &Outcome) -> Option<Verdict> {
        let State::Running { .. } = self.state else { return None };
        self.state = State::Waiting(now + self.interval);
        match &mut self.judge {
            Judge::General { previous } => {
                let status = match outcome {
                    Ok(measure) => status_of(*measure),
                    // Not known: the type alone.
                    Err(_) => CheckStatusInfo { r#type: previous.r#type, ..emptied(previous) },
                };
                if *previous == status {
                    return None;
                }
                *previous = status;
                Some(Verdict::Status(Box::new(status)))
            }
            Judge::Health { started, grace, limit, failures, initializing } => {
                if is_healthy(outcome) {
                    let news = *initializing || *failures > 0;
                    *initializing = false;
                    *failures = 0;
                    return news.then_some(Verdict::Health { healthy: true, kill: false });
                }
                if *initializing && !grace.is_zero() && now.since(*started) <= *grace {
                    return None;
                }
                *failures = failures.saturating_add(1);
                Some(Verdict::Health { healthy: false, kill: *failures >= *limit })
            }
        }
    }

    /// It could not be carried out for a reason that says nothing of the task: it is tried again.
    pub fn abandon(&mut self, now: Time) {
        if let State::Running { .. } = self.state {
            self.state = State::Waiting(now + self.interval);
        }
    }

    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// No check runs any more. Answers whether one was under way.
    pub fn stop(&mut self) -> bool {
        let running = matches!(self.state, State::Running { .. });
        self.state = State::Stopped;
        running
    }
}

/// The status of a check of which nothing is known yet: it says the type and has the member of that type, empty.
pub fn empty_status(info: &CheckInfo) -> CheckStatusInfo {
    let kind = info.r#type.and_then(|kind| check_info::Type::try_from(kind).ok());
    let mut status = CheckStatusInfo { r#type: info.r#type, ..CheckStatusInfo::default() };
    match kind {
        Some(check_info::Type::Command) => {
            status.command = Some(check_status_info::Command { exit_code: None })
        }
        Some(check_info::Type::Http) => status.http = Some(check_status_info::Http { status_code: None }),
        Some(check_info::Type::Tcp) => status.tcp = Some(check_status_info::Tcp { succeeded: None }),
        Some(check_info::Type::Unknown) | None => {}
    }
    status
}

fn emptied(status: &CheckStatusInfo) -> CheckStatusInfo {
    CheckStatusInfo {
        r#type: status.r#type,
        command: status.command.map(|_| check_status_info::Command { exit_code: None }),
        http: status.http.map(|_| check_status_info::Http { status_code: None }),
        tcp: status.tcp.map(|_| check_status_info::Tcp { succeeded: None }),
    }
}

fn status_of(measure: Measure) -> CheckStatusInfo {
    let mut status = CheckStatusInfo::default();
    match measure {
        Measure::ExitCode(code) => {
            status.r#type = Some(check_info::Type::Command as i32);
            status.command = Some(check_status_info::Command { exit_code: Some(code) });
        }
        Measure::HttpStatus(code) => {
            status.r#type = Some(check_info::Type::Http as i32);
            status.http = Some(check_status_info::Http { status_code: Some(code) });
        }
        Measure::Connected(connected) => {
            status.r#type = Some(check_info::Type::Tcp as i32);
            status.tcp = Some(check_status_info::Tcp { succeeded: Some(connected) });
        }
    }
    status
}

fn is_healthy(outcome: &Outcome) -> bool {
    match outcome {
        Ok(Measure::ExitCode(code)) => *code == 0,
        Ok(Measure::HttpStatus(code)) => (200..400).contains(code),
        Ok(Measure::Connected(connected)) => *connected,
        Err(_) => false,
    }
}

fn command(info: Option<&CommandInfo>) -> Result<Probe, String> {
    let info = info.ok_or("it is of type COMMAND and 'command' is not set")?;
    if info.value.is_none() {
        return Err("its 'command.value' is not set".to_string());
    }
    Ok(Probe::Command(Box::new(info.clone())))
}

fn port(port: u32) -> Result<u16, String> {
    u16::try_from(port).map_err(|_| format!("its 'port' is {port}: the highest is 65535"))
}

fn path(path: &Option<String>) -> Result<String, String> {
    match path.as_deref() {
        None => Ok("/".to_string()),
        Some(path) if path.starts_with('/') => Ok(path.to_string()),
        Some(path) => Err(format!("its 'path' is '{path}': it must begin with '/'")),
    }
}

fn seconds(field: &str, value: Option<f64>, default: f64) -> Result<Duration, String> {
    let value = value.unwrap_or(default);
    Duration::try_from_secs_f64(value)
        .map_err(|_| format!("its '{field}' is {value}: it must be a number of seconds, not negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn shell(value: &str) -> CommandInfo {
        CommandInfo { value: Some(value.to_string()), ..CommandInfo::default() }
    }

    fn health(grace: f64, limit: u32) -> HealthCheck {
        HealthCheck {
            r#type: Some(health_check::Type::Command as i32),
            command: Some(shell("true")),
            delay_seconds: Some(1.0),
            interval_seconds: Some(2.0),
            timeout_seconds: Some(5.0),
            grace_period_seconds: Some(grace),
            consecutive_failures: Some(limit),
            ..HealthCheck::default()
        }
    }

    /// Runs the check at its next time, with this outcome at once.
    fn run(check: &mut Check, outcome: Outcome) -> Option<Verdict> {
        let now = check.deadline();
        assert!(matches!(check.due(now), Some(Due::Start(_))));
        check.judge(now, &outcome)
    }

    const GOOD: Outcome = Ok(Measure::ExitCode(0));
    const BAD: Outcome = Ok(Measure::ExitCode(1));

    fn healthy(healthy: bool, kill: bool) -> Option<Verdict> {
        Some(Verdict::Health { healthy, kill })
    }

    #[test]
    fn delay_interval_and_timeout() {
        let mut check = Check::health(at(10), &health(0.0, 3)).unwrap();
        assert_eq!(check.deadline(), at(11));
        assert_eq!(check.due(at(10)), None);
        assert!(matches!(check.due(at(11)), Some(Due::Start(Probe::Command(_)))));
        assert_eq!(check.deadline(), at(16), "the timeout");
        assert_eq!(check.due(at(12)), None);
        assert!(matches!(check.due(at(16)), Some(Due::TooLong(_))));
        check.judge(at(16), &Err("late".into()));
        assert_eq!(check.deadline(), at(18), "the interval counts from the result");
    }

    #[test]
    fn a_timeout_of_zero_is_for_ever() {
        let info = HealthCheck { timeout_seconds: Some(0.0), ..health(0.0, 3) };
        let mut check = Check::health(at(0), &info).unwrap();
        check.due(at(1));
        assert_eq!(check.deadline(), Time::NEVER);
    }

    #[test]
    fn the_limit_of_failures_in_a_row_kills() {
        let mut check = Check::health(at(0), &health(0.0, 3)).unwrap();
        assert_eq!(run(&mut check, BAD), healthy(false, false));
        assert_eq!(run(&mut check, Err("no curl".into())), healthy(false, false));
        assert_eq!(run(&mut check, GOOD), healthy(true, false));
        assert_eq!(run(&mut check, GOOD), None, "nothing new");
        assert_eq!(run(&mut check, BAD), healthy(false, false));
        assert_eq!(run(&mut check, BAD), healthy(false, false));
        assert_eq!(run(&mut check, BAD), healthy(false, true));
    }

    #[test]
    fn failures_in_the_grace_period_are_not_counted() {
        let mut check = Check::health(at(0), &health(6.0, 1)).unwrap();
        assert_eq!(run(&mut check, BAD), None, "at 1");
        assert_eq!(run(&mut check, BAD), None, "at 3");
        assert_eq!(run(&mut check, BAD), None, "at 5");
        assert_eq!(run(&mut check, BAD), healthy(false, true), "at 7");
        let mut check = Check::health(at(0), &health(60.0, 1)).unwrap();
        assert_eq!(run(&mut check, GOOD), healthy(true, false));
        assert_eq!(run(&mut check, BAD), healthy(false, true), "the first success ends the grace period");
    }

    #[test]
    fn what_counts_as_healthy() {
        for (outcome, expected) in [
            (Ok(Measure::ExitCode(0)), true),
            (Ok(Measure::ExitCode(3)), false),
            (Ok(Measure::HttpStatus(199)), false),
            (Ok(Measure::HttpStatus(200)), true),
            (Ok(Measure::HttpStatus(399)), true),
            (Ok(Measure::HttpStatus(400)), false),
            (Ok(Measure::Connected(true)), true),
            (Ok(Measure::Connected(false)), false),
            (Err(String::new()), false),
        ] {
            assert_eq!(is_healthy(&outcome), expected, "{outcome:?}");
        }
    }

    #[test]
    fn a_general_check_tells_changes_only() {
        let info = CheckInfo {
            r#type: Some(check_info::Type::Tcp as i32),
            tcp: Some(check_info::Tcp { port: 80 }),
            ..CheckInfo::default()
        };
        let mut check = Check::general(at(0), &info).unwrap();
        assert_eq!(check.deadline(), at(15), "the default delay");
        assert_eq!(run(&mut check, Err("nothing".into())), None, "nothing known, as before");
        let Some(Verdict::Status(status)) = run(&mut check, Ok(Measure::Connected(false))) else { panic!() };
        assert_eq!(status.tcp.unwrap().succeeded, Some(false));
        assert_eq!(run(&mut check, Ok(Measure::Connected(false))), None);
        let Some(Verdict::Status(status)) = run(&mut check, Err("nothing".into())) else { panic!() };
        assert_eq!(*status, empty_status(&info));
    }

    #[test]
    fn a_stopped_check_stays_silent() {
        let mut check = Check::health(at(0), &health(0.0, 1)).unwrap();
        assert!(!check.stop());
        assert_eq!(check.due(at(100)), None);
        let mut check = Check::health(at(0), &health(0.0, 1)).unwrap();
        check.due(at(0) + SECOND);
        assert!(check.stop());
        assert_eq!(check.judge(at(2), &BAD), None);
        assert_eq!(check.deadline(), Time::NEVER);
    }

    #[test]
    fn a_wrong_check_says_what_is_wrong() {
        let wrong = |info: HealthCheck| Check::health(at(0), &info).unwrap_err();
        assert!(wrong(HealthCheck::default()).contains("'type'"));
        assert!(wrong(HealthCheck { command: None, ..health(0.0, 1) }).contains("'command'"));
        assert!(
            wrong(HealthCheck { delay_seconds: Some(-1.0), ..health(0.0, 1) }).contains("'delay_seconds'")
        );
        let http = |scheme: &str, path: &str, port| HealthCheck {
            r#type: Some(health_check::Type::Http as i32),
            http: Some(health_check::HttpCheckInfo {
                scheme: Some(scheme.to_string()),
                path: Some(path.to_string()),
                port,
                ..Default::default()
            }),
            ..HealthCheck::default()
        };
        assert!(wrong(http("ftp", "/", 80)).contains("'http.scheme'"));
        assert!(wrong(http("http", "x", 80)).contains("'path'"));
        assert!(wrong(http("http", "/", 70000)).contains("'port'"));
        assert!(Check::health(at(0), &http("https", "/", 443)).is_ok());
    }
}
