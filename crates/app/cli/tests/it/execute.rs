//! From a command line to a task's end.

use std::net::SocketAddr;
use std::time::Duration;

use messor_proto::mesos::TaskState::{self, TaskFailed, TaskFinished, TaskRunning, TaskStarting};
use messor_proto::mesos::scheduler::{Call, call};

use crate::fake::{Master, serve};

const NOBODY: &str = "127.0.0.1:9";

fn nobody() -> SocketAddr {
    NOBODY.parse().unwrap()
}

/// Standard output, and the error if there was one.
fn execute(master: SocketAddr, words: &[&str]) -> (String, Option<String>) {
    let master = format!("--master={master}");
    let words = [&[master.as_str(), "--name=t", "--command=true", "--no-show_output"], words].concat();
    run(&words)
}

fn run(words: &[&str]) -> (String, Option<String>) {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    let mut out = Vec::new();
    let result = messor_cli::execute_with(&words, &mut out, Duration::ZERO);
    (String::from_utf8(out).unwrap(), result.err().map(|error| error.to_string()))
}

fn kinds(calls: &[Call]) -> Vec<call::Type> {
    calls.iter().map(Call::r#type).collect()
}

#[test]
fn a_task_that_finishes_is_a_success() {
    for content_type in ["protobuf", "json"] {
        let (address, master) = Master::start(&[TaskStarting, TaskRunning, TaskFinished], false, nobody());
        let (out, error) = execute(address, &[&format!("--content_type={content_type}")]);
        assert_eq!(error, None);
        let lines: Vec<&str> = out.lines().filter(|line| !line.starts_with(' ')).collect();
        let expected = [
            "Subscribed with ID F1",
            "Submitted task 't' to agent 'S1'",
            "Received status update TASK_STARTING for task 't'",
            "Received status update TASK_RUNNING for task 't'",
            "Received status update TASK_FINISHED for task 't'",
        ];
        assert_eq!(lines, expected);
        assert!(out.contains("\n  source: SOURCE_EXECUTOR\n"), "{out}");
        let calls = master.calls.lock().unwrap();
        let acknowledge = call::Type::Acknowledge;
        let expected = [call::Type::Subscribe, call::Type::Accept, acknowledge, acknowledge, acknowledge];
        assert_eq!(kinds(&calls), expected);
        let framework = &calls[0].subscribe.as_ref().unwrap().framework_info;
        assert_eq!((framework.name.as_str(), framework.capabilities.len()), ("mesos-execute instance", 4));
        let task = &calls[1].accept.as_ref().unwrap().operations[0].launch.as_ref().unwrap().task_infos[0];
        assert_eq!((task.agent_id.value.as_str(), task.task_id.value.as_str()), ("S1", "t"));
    }
}

#[test]
fn any_other_end_is_a_failure_that_names_it() {
    let (address, _master) = Master::start(&[TaskRunning, TaskFailed], false, nobody());
    let (out, error) = execute(address, &[]);
    assert_eq!(error.as_deref(), Some("the task ended with TASK_FAILED"));
    assert!(out.contains("\n  message: 'it broke'\n"), "{out}");
}

#[test]
fn an_offer_that_is_too_small_is_declined() {
    let (address, master) = Master::start(&[TaskFinished], true, nobody());
    let (_, error) = execute(address, &[]);
    assert_eq!(error, None);
    let calls = master.calls.lock().unwrap();
    assert_eq!(kinds(&calls)[..3], [call::Type::Subscribe, call::Type::Decline, call::Type::Accept]);
    assert_eq!(calls[2].accept.as_ref().unwrap().offer_ids[0].value, "O2");
}

#[test]
fn kill_after_ends_a_task_that_runs_too_long() {
    let (address, master) = Master::start(&[TaskStarting, TaskRunning], false, nobody());
    let (out, error) = execute(address, &["--kill_after=1ms"]);
    assert!(out.contains("Asked to kill task 't' on agent 'S1'\n"), "{out}");
    assert_eq!(error.as_deref(), Some("the task ended with TASK_KILLED"));
    assert_eq!(kinds(&master.calls.lock().unwrap())[4], call::Type::Kill);
}

#[test]
fn the_leader_is_found_by_its_redirect() {
    let (leader, _master) = Master::start(&[TaskFinished], false, nobody());
    let follower = serve(move |mut request| {
        request.answer(&format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: //{leader}\r\nContent-Length: 0\r\n\r\n"
        ));
    });
    assert_eq!(execute(follower, &[]).1, None);
}

#[test]
fn credentials_go_with_every_request() {
    let address = serve(|mut request| {
        let told = request.header("Authorization").unwrap_or("nothing").to_owned();
        request.answer(&format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: {}\r\n\r\n{told}", told.len()));
    });
    let (_, error) = execute(address, &["--principal=me", "--secret=secret"]);
    assert_eq!(error, Some(format!("the master at {address} answered HTTP 401: Basic bWU6c2VjcmV0")));
}

#[test]
fn a_master_that_is_not_there_is_given_up_on() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = execute(closed, &[]).1.unwrap();
    assert!(
        error.starts_with(&format!("no connection to {closed}")) && error.contains("is a master running"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_says_so() {
    for (flags, words) in [
        (&["--containerizer=docker"][..], "--containerizer=docker needs --docker_image"),
        (&["--containerizer=rkt"], "'rkt' is no containerizer"),
        (&["--docker_image=a", "--appc_image=b"], "cannot go together"),
        (&["--containerizer=docker", "--docker_image=a", "--tty"], "no terminals"),
        (&["--containerizer=docker", "--docker_image=a", "--networks=a,b"], "one network only"),
    ] {
        let error = execute(nobody(), flags).1.unwrap();
        assert!(error.contains(words), "{flags:?}: {error}");
    }
    let error = run(&["--master=etcd://h/mesos", "--name=t", "--command=true"]).1.unwrap();
    assert!(error.starts_with("--master: not supported yet"), "{error}");
    let error = run(&["--master=h", "--task_group={}"]).1.unwrap();
    assert!(error.starts_with("--task_group is not a TaskGroupInfo"), "{error}");
}

#[test]
fn the_output_of_the_task_is_shown() {
    let agent = serve(|mut request| {
        let path = "%2Fframeworks%2FF1%2Fexecutors%2Ft%2Fruns%2Flatest%2Fstdout";
        let status = if request.target() == format!("/files/download?path={path}") {
            "200 OK"
        } else {
            "404 Not Found"
        };
        request.answer(&format!("HTTP/1.1 {status}\r\nContent-Length: 6\r\n\r\nhello\n"));
    });
    let (address, _master) = Master::start(&[TaskState::TaskFinished], false, agent);
    let (out, error) =
        run(&[&format!("--master={address}"), "--name=t", "--command=echo hello", "--show_output"]);
    assert_eq!(error, None);
    assert!(out.ends_with("\nhello\n"), "{out}");
}

#[test]
fn resolving_is_asking_where_a_master_redirects_to() {
    let leader = "//127.0.0.1:5050";
    let address = serve(move |mut request| {
        let (status, location) = match request.target() {
            "/master/redirect" => ("307 Temporary Redirect", leader),
            _ => ("404 Not Found", "//elsewhere:1"),
        };
        request.answer(&format!("HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"));
    });
    let words = [address.to_string()];
    assert_eq!(messor_cli::resolve_with(&words).unwrap(), "127.0.0.1:5050");
    let silent =
        serve(|mut request| request.answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"));
    let words = [silent.to_string(), "--timeout=0ns".to_string()];
    let error = messor_cli::resolve_with(&words).unwrap_err().to_string();
    assert!(error.ends_with("it answers HTTP 503"), "{error}");
}
