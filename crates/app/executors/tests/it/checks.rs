//! Checks that are really carried out.

use std::io::{Read, Write};
use std::net::TcpListener;

use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{
    CheckInfo, CheckStatusInfo, HealthCheck, TaskInfo, TaskState, check_info, health_check,
};

use crate::agent::Agent;
use crate::run::Run;
use crate::{shell, task};

fn quick() -> HealthCheck {
    HealthCheck {
        delay_seconds: Some(0.0),
        interval_seconds: Some(0.05),
        timeout_seconds: Some(15.0),
        grace_period_seconds: Some(0.0),
        consecutive_failures: Some(2),
        ..HealthCheck::default()
    }
}

fn command(line: &str) -> HealthCheck {
    HealthCheck { r#type: Some(health_check::Type::Command as i32), command: Some(shell(line)), ..quick() }
}

fn http(scheme: Option<&str>, port: u16) -> HealthCheck {
    let http = health_check::HttpCheckInfo {
        scheme: scheme.map(String::from),
        port: port.into(),
        path: Some("/first".to_string()),
        ..Default::default()
    };
    HealthCheck { r#type: Some(health_check::Type::Http as i32), http: Some(http), ..quick() }
}

/// Answers every request for a path with the answer given for it, each on its own connection.
fn server(answers: impl Fn(&str, u16) -> String + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head);
            let path = head.split(' ').nth(1).unwrap_or_default();
            let _ = connection.write_all(answers(path, port).as_bytes());
        }
    });
    port
}

/// Runs a task with this health check, and answers with the first result that is told.
fn health(health_check: HealthCheck) -> bool {
    let agent = Agent::start();
    let _run = Run::subscribed(&agent, &[]);
    agent.launch_and_run(TaskInfo { health_check: Some(Box::new(health_check)), ..task("exec sleep 600") });
    let (state, status) = agent.updated();
    assert_eq!(
        (state, status.reason),
        (TaskState::TaskRunning, Some(Reason::TaskHealthCheckStatusUpdated as i32))
    );
    status.healthy.unwrap()
}

/// Runs a task with this check, and answers with the first status that is told.
fn check(info: CheckInfo) -> CheckStatusInfo {
    let agent = Agent::start();
    let _run = Run::subscribed(&agent, &[]);
    let info = CheckInfo { delay_seconds: Some(0.0), interval_seconds: Some(0.05), ..info };
    agent.launch_and_run(TaskInfo { check: Some(info), ..task("exec sleep 600") });
    let (state, status) = agent.updated();
    assert_eq!((state, status.reason), (TaskState::TaskRunning, Some(Reason::TaskCheckStatusUpdated as i32)));
    status.check_status.unwrap()
}

#[test]
fn a_task_that_stays_unhealthy_is_killed() {
    let agent = Agent::start();
    let mut run = Run::subscribed(&agent, &[]);
    agent.launch_and_run(TaskInfo {
        health_check: Some(Box::new(command("exit 1"))),
        ..task("exec sleep 600")
    });
    for _ in 0..2 {
        let (state, status) = agent.updated();
        assert_eq!((state, status.healthy), (TaskState::TaskRunning, Some(false)));
        assert_eq!(status.reason, Some(Reason::TaskHealthCheckStatusUpdated as i32));
    }
    assert_eq!(agent.updated().0, TaskState::TaskKilling);
    let (state, status) = agent.updated();
    assert_eq!((state, status.healthy, status.reason), (TaskState::TaskKilled, Some(false), None));
    assert!(run.ends_well());
}

#[test]
fn a_command_that_hangs_is_unhealthy_and_gone() {
    let agent = Agent::start();
    let mut run = Run::subscribed(&agent, &[]);
    let hanging = HealthCheck { timeout_seconds: Some(0.2), ..command("sleep 600; true") };
    agent.launch_and_run(TaskInfo { health_check: Some(Box::new(hanging)), ..task("exec sleep 600") });
    assert_eq!(agent.updated().1.healthy, Some(false));
    assert_eq!(agent.updated().1.healthy, Some(false));
    assert_eq!(agent.updated().0, TaskState::TaskKilling);
    assert_eq!(agent.updated().0, TaskState::TaskKilled);
    assert!(run.ends_well());
    assert_eq!(run.rest(), "");
}

#[test]
fn commands() {
    assert!(health(command("test -d .")));
    let info = check_info::Command { command: shell("exit 4") };
    let status = check(CheckInfo {
        r#type: Some(check_info::Type::Command as i32),
        command: Some(info),
        ..CheckInfo::default()
    });
    assert_eq!(status.command.unwrap().exit_code, Some(4));
}

#[test]
fn http_statuses() {
    for (code, expected) in [(200, true), (304, true), (404, false), (503, false)] {
        let port = server(move |_, _| format!("HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(health(http(None, port)), expected, "{code}");
    }
    let port = server(|_, _| "HTTP/1.1 418 X\r\nContent-Length: 0\r\n\r\n".to_string());
    let info = check_info::Http { port: port.into(), path: None };
    let status = check(CheckInfo {
        r#type: Some(check_info::Type::Http as i32),
        http: Some(info),
        ..CheckInfo::default()
    });
    assert_eq!(status.http.unwrap().status_code, Some(418));
}

#[test]
fn http_redirects() {
    // The path alone is followed by the executor itself, the name of a host by curl.
    for host in ["", "http://localhost:PORT"] {
        let port = server(move |path, port| match path {
            "/first" => {
                let host = host.replace("PORT", &port.to_string());
                format!("HTTP/1.1 302 X\r\nLocation: {host}/second\r\nContent-Length: 0\r\n\r\n")
            }
            "/second" => "HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n".to_string(),
            other => format!("HTTP/1.1 500 {other}\r\nContent-Length: 0\r\n\r\n"),
        });
        assert!(health(http(None, port)), "{host}");
    }
}

#[test]
fn no_answer_is_unhealthy() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert!(!health(http(None, closed)));
    assert!(!health(http(Some("https"), closed)));
    let rude = server(|_, _| String::new());
    assert!(!health(http(None, rude)));
}

#[test]
fn tcp_ports() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tcp = |port: u16| CheckInfo {
        r#type: Some(check_info::Type::Tcp as i32),
        tcp: Some(check_info::Tcp { port: port.into() }),
        ..CheckInfo::default()
    };
    assert_eq!(check(tcp(port)).tcp.unwrap().succeeded, Some(true));
    drop(listener);
    assert_eq!(check(tcp(port)).tcp.unwrap().succeeded, Some(false));
}
