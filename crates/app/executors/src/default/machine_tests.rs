//! Groups of tasks through their lives, without a process or a socket.

use super::*;
use crate::default::contract::{Answer, Task as TaskName};
use crate::shared::check::{Measure, Probe};
use messor_proto::Wire;
use messor_proto::mesos::agent::response::{GetContainers, WaitNestedContainer, get_containers};
use messor_proto::mesos::agent::{Call as AgentCall, Response, call as agent_call};
use messor_proto::mesos::executor::{Call, call, event as wire};
use messor_proto::mesos::framework_info::capability::Type as FrameworkCapability;
use messor_proto::mesos::resource::{AllocationInfo, DiskInfo};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{
    AgentInfo, CommandInfo, DurationInfo, ExecutorInfo, FrameworkInfo, HealthCheck, Resource, TaskId,
    TaskResourceLimitation, Volume, framework_info, health_check, volume,
};

const RECOVERY: Recovery =
    Recovery { timeout: Duration::from_secs(60), longest_backoff: Duration::from_secs(2) };

struct Harness {
    machine: Machine,
    seconds: f64,
    effects: Vec<Effect>,
}

fn named(id: &str) -> TaskInfo {
    TaskInfo {
        task_id: TaskId { value: id.to_string() },
        command: Some(CommandInfo { value: Some("true".to_string()), ..CommandInfo::default() }),
        ..TaskInfo::default()
    }
}

fn checked(id: &str) -> TaskInfo {
    let health_check = HealthCheck {
        r#type: Some(health_check::Type::Command as i32),
        command: Some(CommandInfo { value: Some("check".to_string()), ..CommandInfo::default() }),
        delay_seconds: Some(1.0),
        interval_seconds: Some(1.0),
        timeout_seconds: Some(4.0),
        grace_period_seconds: Some(0.0),
        consecutive_failures: Some(2),
        ..HealthCheck::default()
    };
    TaskInfo { health_check: Some(Box::new(health_check)), ..named(id) }
}

fn duration(seconds: i64) -> Option<DurationInfo> {
    Some(DurationInfo { nanoseconds: seconds * 1_000_000_000 })
}

fn ended(status: i32) -> Result<Answer, String> {
    let wait = WaitNestedContainer { exit_status: Some(status), ..WaitNestedContainer::default() };
    let response = Response { wait_nested_container: Some(wait), ..Response::default() };
    Ok(Answer { status: 200, body: response.encode_bytes() })
}

fn answer(status: u16, words: &str) -> Result<Answer, String> {
    Ok(Answer { status, body: words.as_bytes().to_vec() })
}

impl Harness {
    fn new(recovery: Option<Recovery>) -> Harness {
        let machine = Machine::new(Settings {
            framework: FrameworkId { value: "f".to_string() },
            executor: ExecutorId { value: "e".to_string() },
            shutdown_grace: Duration::from_secs(5),
            recovery,
            ip: Some("10.0.0.7".to_string()),
            seed: [1, 2],
        });
        Harness { machine, seconds: 1000.0, effects: Vec::new() }
    }

    fn subscribed() -> Harness {
        let mut harness = Harness::new(Some(RECOVERY));
        harness.handle(Event::Tick);
        harness.welcome();
        harness
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let wall = Time::from_secs_f64(self.seconds + 7.0);
        let now = Now { steady: Time::from_secs_f64(self.seconds), wall };
        self.effects.clear();
        self.machine.handle(now, event, &mut self.effects);
        self.effects.iter().filter(|effect| !matches!(effect, Effect::Say(_))).cloned().collect()
    }

    fn heard(&mut self, heard: Heard) -> Vec<Effect> {
        self.handle(Event::Heard(heard))
    }

    fn after(&mut self, seconds: f64) -> Vec<Effect> {
        self.seconds += seconds;
        self.handle(Event::Tick)
    }

    fn agent(&mut self, kind: wire::Type, fill: impl FnOnce(&mut AgentEvent)) -> Vec<Effect> {
        let mut event = AgentEvent { r#type: Some(kind as i32), ..AgentEvent::default() };
        fill(&mut event);
        self.heard(Heard::Agent(Box::new(event)))
    }

    fn welcome(&mut self) -> Vec<Effect> {
        self.heard(Heard::Opened);
        let capability =
            framework_info::Capability { r#type: Some(FrameworkCapability::TaskKillingState as i32) };
        self.agent(wire::Type::Subscribed, |event| {
            event.subscribed = Some(wire::Subscribed {
                executor_info: ExecutorInfo::default(),
                framework_info: FrameworkInfo { capabilities: vec![capability], ..FrameworkInfo::default() },
                agent_info: AgentInfo { hostname: "a".to_string(), ..AgentInfo::default() },
                container_id: Some(ContainerId { value: "root".to_string(), parent: None }),
            });
        })
    }

    fn launch(&mut self, tasks: Vec<TaskInfo>) -> Vec<Effect> {
        self.agent(wire::Type::LaunchGroup, |event| {
            event.launch_group = Some(wire::LaunchGroup { task_group: TaskGroupInfo { tasks } });
        })
    }

    /// Launched and running.
    fn running(&mut self, tasks: Vec<TaskInfo>) {
        let names: Vec<TaskName> = tasks.iter().map(|task| task.task_id.value.clone()).collect();
        self.launch(tasks);
        for name in names {
            let effects = self.answered(Question::Launch(name), answer(200, ""));
            assert_eq!(states(&effects).len(), 1, "{effects:?}");
        }
    }

    fn answered(&mut self, question: Question, answer: Result<Answer, String>) -> Vec<Effect> {
        self.handle(Event::Answered(question, answer))
    }

    fn kill(&mut self, task: &str, policy: Option<KillPolicy>) -> Vec<Effect> {
        self.agent(wire::Type::Kill, |event| {
            let task_id = TaskId { value: task.to_string() };
            event.kill = Some(wire::Kill { task_id, kill_policy: policy });
        })
    }

    fn acknowledge_all(&mut self, effects: &[Effect]) -> Vec<Effect> {
        let mut last = Vec::new();
        for status in statuses(effects) {
            last = self.agent(wire::Type::Acknowledged, |event| {
                let uuid = status.uuid.clone().unwrap();
                event.acknowledged = Some(wire::Acknowledged { task_id: status.task_id.clone(), uuid });
            });
        }
        last
    }
}

fn statuses(effects: &[Effect]) -> Vec<TaskStatus> {
    let update = |effect: &Effect| match effect {
        Effect::Send(call) => call.update.as_ref().map(|update| update.status.clone()),
        _ => None,
    };
    effects.iter().filter_map(update).collect()
}

fn states(effects: &[Effect]) -> Vec<(String, TaskState)> {
    statuses(effects).iter().map(|status| (status.task_id.value.clone(), status.state())).collect()
}

fn state(task: &str, state: TaskState) -> (String, TaskState) {
    (task.to_string(), state)
}

fn asked(effects: &[Effect]) -> Vec<Question> {
    let question = |effect: &Effect| match effect {
        Effect::Ask(question, _) => Some(question.clone()),
        _ => None,
    };
    effects.iter().filter_map(question).collect()
}

fn launch_of(effects: &[Effect]) -> agent_call::LaunchContainer {
    let calls: Vec<&AgentCall> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Ask(Question::Launch(_), call) => Some(call.as_ref()),
            _ => None,
        })
        .collect();
    calls[0].launch_container.clone().unwrap()
}

fn wait(task: &str) -> Question {
    Question::Wait(task.to_string())
}

fn kill(task: &str, signal: i32) -> Question {
    Question::Kill(task.to_string(), signal)
}

#[test]
fn a_group_runs_and_finishes() {
    let mut harness = Harness::subscribed();
    let effects = harness.launch(vec![named("a"), named("b")]);
    assert_eq!(states(&effects), [state("a", TaskState::TaskStarting), state("b", TaskState::TaskStarting)]);
    let launches = [Question::Launch("a".into()), Question::Launch("b".into())];
    assert_eq!(asked(&effects), launches);
    let id = launch_of(&effects).container_id;
    assert_eq!((id.value.len(), id.parent.unwrap().value.as_str()), (36, "root"));

    let effects = harness.answered(Question::Launch("a".into()), answer(200, ""));
    assert_eq!(states(&effects), [state("a", TaskState::TaskRunning)]);
    let container = statuses(&effects)[0].container_status.clone().unwrap().container_id.unwrap();
    assert_eq!(container.parent.unwrap().value, "root");
    assert!(effects.contains(&Effect::Show { task: "a".into(), container: container.value }));
    assert_eq!(asked(&effects), [wait("a")]);
    harness.answered(Question::Launch("b".into()), answer(200, ""));

    let effects = harness.answered(wait("a"), ended(0));
    assert_eq!(states(&effects), [state("a", TaskState::TaskFinished)]);
    let end = &statuses(&effects)[0];
    assert_eq!(end.message.as_deref(), Some("Command exited with status 0"));
    assert!(asked(&effects).is_empty(), "a finished task leaves its group alone");
    let effects = harness.answered(wait("b"), ended(0));
    assert_eq!(states(&effects), [state("b", TaskState::TaskFinished)]);
    // It ends when all is acknowledged.
    let waiting: Vec<TaskStatus> = harness
        .machine
        .conversation
        .updates
        .subscribe(vec![])
        .subscribe
        .unwrap()
        .unacknowledged_updates
        .into_iter()
        .map(|update| update.status)
        .collect();
    assert_eq!(waiting.len(), 6);
    let send = |status: &TaskStatus| {
        let update = call::Update { status: status.clone() };
        Effect::Send(Box::new(Call { update: Some(update), ..Call::default() }))
    };
    let all: Vec<Effect> = waiting.iter().map(send).collect();
    assert_eq!(harness.acknowledge_all(&all[..5]), []);
    assert_eq!(harness.acknowledge_all(&all[5..]), [Effect::Exit { success: true }]);
}

#[test]
fn what_a_container_gets() {
    let mut harness = Harness::subscribed();
    let disk = DiskInfo {
        volume: Some(Volume { container_path: "data".into(), ..Volume::default() }),
        ..DiskInfo::default()
    };
    let allocation_info = Some(AllocationInfo { role: Some("web".into()) });
    let resource =
        Resource { name: "disk".into(), disk: Some(Box::new(disk)), allocation_info, ..Resource::default() };
    let mut task = named("a");
    task.resources = vec![resource];
    task.limits.insert("cpus".into(), messor_proto::mesos::value::Scalar { value: 2.0 });
    let launch = launch_of(&harness.launch(vec![task]));
    assert_eq!((launch.resources.len(), launch.limits["cpus"].value), (1, 2.0));
    let variables = launch.command.unwrap().environment.unwrap().variables;
    let variables: Vec<(&str, &str)> = variables.iter().map(|v| (v.name.as_str(), v.value())).collect();
    assert_eq!(variables, [("MESOS_ALLOCATION_ROLE", "web"), ("MESOS_CONTAINER_IP", "10.0.0.7")]);
    let volume = &launch.container.unwrap().volumes[0];
    assert_eq!(volume.container_path, "data");
    let source = volume.source.clone().unwrap();
    assert_eq!(source.r#type(), volume::source::Type::SandboxPath);
    let path = source.sandbox_path.unwrap();
    assert_eq!(path.r#type(), volume::source::sandbox_path::Type::Parent);
}

#[test]
fn a_failed_task_ends_its_group_and_no_other() {
    let mut harness = Harness::subscribed();
    harness.running(vec![named("a"), named("b")]);
    harness.running(vec![named("c")]);
    let effects = harness.answered(wait("a"), ended(256));
    let expected = [state("a", TaskState::TaskFailed), state("b", TaskState::TaskKilling)];
    assert_eq!(states(&effects), expected);
    assert_eq!(asked(&effects), [kill("b", 15)]);
    let effects = harness.answered(wait("b"), ended(15));
    assert_eq!(states(&effects), [state("b", TaskState::TaskKilled)]);
    assert_eq!(statuses(&effects)[0].message.as_deref(), Some("Command terminated with signal Terminated"));
    assert!(asked(&effects).is_empty());
    assert!(harness.machine.ending_groups.is_empty());
}

#[test]
fn a_task_that_is_not_launched_ends_its_group() {
    let mut harness = Harness::subscribed();
    harness.launch(vec![named("a"), named("b")]);
    let effects = harness.answered(Question::Launch("a".into()), answer(400, "no such volume"));
    assert_eq!(states(&effects), [state("a", TaskState::TaskFailed)]);
    assert_eq!(statuses(&effects)[0].message.as_deref(), Some("no such volume"));
    // The other one is on its way, and is killed when it is there.
    let effects = harness.answered(Question::Launch("b".into()), answer(200, ""));
    assert_eq!(states(&effects), [state("b", TaskState::TaskRunning), state("b", TaskState::TaskKilling)]);
    assert_eq!(asked(&effects), [wait("b"), kill("b", 15)]);
}

#[test]
fn kills_escalate_and_are_repeated_until_they_arrive() {
    let mut harness = Harness::subscribed();
    harness.running(vec![named("a")]);
    let effects = harness.kill("a", Some(KillPolicy { grace_period: duration(5) }));
    assert_eq!(
        (states(&effects), asked(&effects)),
        (vec![state("a", TaskState::TaskKilling)], vec![kill("a", 15)])
    );
    assert_eq!(asked(&harness.after(4.0)), []);
    // A second kill can shorten the grace.
    assert_eq!(harness.kill("a", Some(KillPolicy { grace_period: duration(0) })), []);
    assert_eq!(asked(&harness.after(0.0)), [kill("a", 9)]);
    assert_eq!(asked(&harness.after(10.0)), []);
    harness.answered(kill("a", 9), Err("reset".to_string()));
    assert_eq!(asked(&harness.after(0.5)), []);
    assert_eq!(asked(&harness.after(0.5)), [kill("a", 9)]);
    let effects = harness.answered(wait("a"), ended(9));
    assert_eq!(states(&effects), [state("a", TaskState::TaskKilled)]);
    assert!(harness.kill("nobody", None).is_empty());
}

#[test]
fn the_agents_word_on_an_end_counts() {
    let mut harness = Harness::subscribed();
    harness.running(vec![named("a")]);
    let wait_ = WaitNestedContainer {
        exit_status: Some(9),
        state: Some(TaskState::TaskFailed as i32),
        reason: Some(Reason::ContainerLimitationMemory as i32),
        limitation: Some(TaskResourceLimitation { resources: vec![Resource::default()] }),
        message: Some("Memory limit exceeded".into()),
    };
    let response = Response { wait_nested_container: Some(wait_), ..Response::default() };
    harness.kill("a", None);
    let body = response.encode_bytes();
    let effects = harness.answered(wait("a"), Ok(Answer { status: 200, body }));
    let status = &statuses(&effects)[0];
    assert_eq!((status.state(), status.reason()), (TaskState::TaskFailed, Reason::ContainerLimitationMemory));
    assert_eq!(status.limitation.as_ref().unwrap().resources.len(), 1);
    let message = "Command terminated with signal Killed: Memory limit exceeded";
    assert_eq!(status.message.as_deref(), Some(message));
}

#[test]
fn an_end_that_nobody_knows_is_a_failure() {
    let mut harness = Harness::subscribed();
    harness.running(vec![named("a"), named("b")]);
    let effects = harness.answered(wait("a"), answer(404, "gone"));
    let status = &statuses(&effects)[0];
    assert_eq!(status.state(), TaskState::TaskFailed);
    assert_eq!(status.message.as_deref(), Some("Unable to retrieve command's termination information"));
    let effects = harness.answered(wait("b"), answer(404, "gone"));
    assert_eq!(states(&effects), [state("b", TaskState::TaskKilled)]);
}

#[test]
fn a_task_that_runs_too_long_fails() {
    let mut harness = Harness::subscribed();
    harness.running(vec![TaskInfo { max_completion_time: duration(10), ..named("a") }]);
    assert_eq!(asked(&harness.after(9.0)), []);
    let effects = harness.after(1.0);
    assert_eq!((states(&effects), asked(&effects)), (vec![], vec![kill("a", 15)]));
    assert_eq!(asked(&harness.after(0.0)), [kill("a", 9)], "without any grace");
    let effects = harness.answered(wait("a"), ended(9));
    let status = &statuses(&effects)[0];
    assert_eq!((status.state(), status.reason()), (TaskState::TaskFailed, Reason::MaxCompletionTimeReached));
}

#[test]
fn health_checks_run_in_the_task_and_kill_it() {
    let mut harness = Harness::subscribed();
    harness.running(vec![checked("a"), named("b")]);
    let effects = harness.after(1.0);
    let [Effect::Probe { task, which: Which::Health, probe: Probe::Command(_), container }] = &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!((task.as_str(), container.parent.as_ref().unwrap().value.as_str()), ("a", "root"));
    let good = Some(Ok(Measure::ExitCode(0)));
    let effects = harness.handle(Event::Measured("a".into(), Which::Health, good));
    let status = &statuses(&effects)[0];
    assert_eq!((status.state(), status.healthy), (TaskState::TaskRunning, Some(true)));
    assert_eq!(status.reason(), Reason::TaskHealthCheckStatusUpdated);
    let bad = || Some(Ok(Measure::ExitCode(1)));
    harness.after(1.0);
    let effects = harness.handle(Event::Measured("a".into(), Which::Health, bad()));
    assert_eq!(statuses(&effects)[0].healthy, Some(false));
    // That nothing could be measured does not count.
    harness.after(1.0);
    assert_eq!(harness.handle(Event::Measured("a".into(), Which::Health, None)), []);
    harness.after(1.0);
    let effects = harness.handle(Event::Measured("a".into(), Which::Health, bad()));
    assert_eq!(states(&effects), [state("a", TaskState::TaskRunning), state("a", TaskState::TaskKilling)]);
    let effects = harness.answered(wait("a"), ended(15));
    assert_eq!(states(&effects), [state("a", TaskState::TaskKilled), state("b", TaskState::TaskKilling)]);
    assert_eq!(statuses(&effects)[0].healthy, Some(false));
    assert_eq!(statuses(&effects)[1].healthy, None, "the other one was not unhealthy");
}

#[test]
fn an_agent_that_comes_back_is_asked_again() {
    let mut harness = Harness::subscribed();
    harness.running(vec![checked("a"), named("b")]);
    harness.launch(vec![named("c"), named("d")]);
    harness.after(1.0);
    let effects = harness.heard(Heard::Lost("reset".to_string()));
    assert_eq!(effects, [Effect::ForgetQuestions, Effect::StopProbe("a".into(), Which::Health)]);
    // Nothing is asked nor checked meanwhile, but a kill that is due is not forgotten.
    assert_eq!(asked(&harness.after(5.0)), []);
    let effects = harness.after(0.0);
    assert!(effects.is_empty() || effects == [Effect::Open], "{effects:?}");
    let effects = harness.heard(Heard::Opened);
    let [Effect::Send(subscribe)] = &effects[..] else { panic!("{effects:?}") };
    let subscribe = subscribe.subscribe.clone().unwrap();
    assert_eq!((subscribe.unacknowledged_tasks.len(), subscribe.unacknowledged_updates.len()), (4, 6));
    let effects = harness.agent(wire::Type::Subscribed, |event| {
        event.subscribed = Some(wire::Subscribed {
            container_id: Some(ContainerId { value: "root".to_string(), parent: None }),
            ..wire::Subscribed::default()
        });
    });
    // Whether `c` and `d` were launched only the agent knows; WAIT is asked for all.
    assert_eq!(asked(&effects), [Question::Containers, wait("a"), wait("b"), wait("c"), wait("d")]);
    let id = harness.machine.tasks[2].container.clone();
    let found = get_containers::Container { container_id: id, ..Default::default() };
    let get_containers = Some(GetContainers { containers: vec![found] });
    let body = Response { get_containers, ..Response::default() }.encode_bytes();
    let effects = harness.answered(Question::Containers, Ok(Answer { status: 200, body }));
    assert_eq!(states(&effects), [state("c", TaskState::TaskRunning)]);
    let effects = harness.answered(wait("d"), answer(404, "no such container"));
    assert_eq!(states(&effects), [state("d", TaskState::TaskFailed)], "this framework knows no TASK_KILLING");
    assert_eq!(asked(&effects), [kill("c", 15)]);
    let effects = harness.answered(wait("a"), answer(503, "recovering"));
    assert_eq!(effects, []);
    assert_eq!(asked(&harness.after(1.0)), [wait("a")]);
}

#[test]
fn a_kill_that_the_agent_missed_is_said_again() {
    let mut harness = Harness::subscribed();
    harness.running(vec![named("a")]);
    harness.kill("a", Some(KillPolicy { grace_period: duration(60) }));
    harness.heard(Heard::Lost("reset".to_string()));
    harness.after(1.0);
    let effects = harness.welcome();
    assert_eq!(asked(&effects), [wait("a"), kill("a", 15)]);
}

#[test]
fn shutting_down_kills_all_and_waits_for_them() {
    let mut harness = Harness::subscribed();
    harness.running(vec![named("a"), named("b")]);
    let effects = harness.agent(wire::Type::Shutdown, |_| ());
    assert_eq!(asked(&effects), [kill("a", 15), kill("b", 15)]);
    let effects = harness.launch(vec![named("c")]);
    assert!(states(&effects).is_empty(), "no more is begun");
    assert_eq!(asked(&harness.after(3.0)), [kill("a", 9), kill("b", 9)]);
    harness.answered(wait("a"), ended(9));
    assert_eq!(harness.after(1.0), []);
    assert_eq!(harness.after(1.0), [Effect::Exit { success: false }], "the agent kills it now");
    let mut idle = Harness::subscribed();
    assert_eq!(idle.handle(Event::Terminate), [Effect::Exit { success: true }]);
}

#[test]
fn without_its_agent_it_ends() {
    let mut harness = Harness::new(None);
    harness.handle(Event::Tick);
    harness.welcome();
    harness.running(vec![named("a")]);
    let effects = harness.heard(Heard::Lost("reset".to_string()));
    assert_eq!(effects, [Effect::ForgetQuestions, Effect::Exit { success: false }]);
    // What it cannot run, either.
    let mut harness = Harness::subscribed();
    let effects = harness.agent(wire::Type::Launch, |event| {
        event.launch = Some(wire::Launch { task: named("x") });
    });
    assert_eq!(effects, [Effect::Exit { success: true }]);
}

#[test]
fn acknowledgements_are_not_waited_for_without_end() {
    let mut harness = Harness::subscribed();
    harness.running(vec![named("a")]);
    harness.answered(wait("a"), ended(0));
    assert_eq!(harness.after(59.0), []);
    // One more group keeps it.
    harness.running(vec![named("b")]);
    assert_eq!(harness.after(5.0), []);
    harness.answered(wait("b"), ended(0));
    assert_eq!(harness.after(60.0), [Effect::Exit { success: false }]);
}
