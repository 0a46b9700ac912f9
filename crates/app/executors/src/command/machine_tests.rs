//! Every transition of the task's life, without a process or a socket.

use super::*;
use crate::shared::check::Measure;
use crate::shared::updates::WAITING_LIMIT;
use messor_proto::mesos::executor::{call, event as wire};
use messor_proto::mesos::{
    AgentInfo, CheckInfo, CommandInfo, DurationInfo, ExecutorInfo, FrameworkInfo, HealthCheck, check_info,
    framework_info, health_check, task_status,
};
use std::collections::VecDeque;

const KILLED: Exit = Exit::Signalled { signal: 15, core_dumped: false };

struct Harness {
    machine: Machine,
    seconds: f64,
    effects: Vec<Effect>,
}

fn duration(seconds: i64) -> Option<DurationInfo> {
    Some(DurationInfo { nanoseconds: seconds * 1_000_000_000 })
}

fn task(id: &str) -> TaskInfo {
    TaskInfo {
        task_id: TaskId { value: id.to_string() },
        command: Some(CommandInfo { value: Some("true".to_string()), ..CommandInfo::default() }),
        ..TaskInfo::default()
    }
}

fn with_health_check(limit: u32) -> TaskInfo {
    let health_check = HealthCheck {
        r#type: Some(health_check::Type::Command as i32),
        command: Some(CommandInfo { value: Some("true".to_string()), ..CommandInfo::default() }),
        delay_seconds: Some(1.0),
        interval_seconds: Some(1.0),
        timeout_seconds: Some(4.0),
        grace_period_seconds: Some(0.0),
        consecutive_failures: Some(limit),
        ..HealthCheck::default()
    };
    TaskInfo { health_check: Some(Box::new(health_check)), ..task("t") }
}

impl Harness {
    fn new(recovery: Option<Recovery>) -> Harness {
        let machine = Machine::new(Settings {
            framework: FrameworkId { value: "f".to_string() },
            executor: ExecutorId { value: "e".to_string() },
            shutdown_grace: Duration::from_secs(5),
            recovery,
            seed: [1, 2],
        });
        Harness { machine, seconds: 1000.0, effects: Vec::new() }
    }

    /// Subscribed with an agent.
    fn subscribed(recovery: Option<Recovery>, killing_state: bool) -> Harness {
        let mut harness = Harness::new(recovery);
        assert_eq!(harness.after(0.0), [Effect::Open]);
        harness.handle(Event::Heard(Heard::Opened));
        harness.welcome(killing_state);
        harness
    }

    /// Running this task; what was sent until then is thrown away.
    fn running(info: TaskInfo) -> Harness {
        let mut harness = Harness::subscribed(None, true);
        harness.launch(info);
        harness.handle(Event::Started(77));
        harness
    }

    fn now(&self) -> Now {
        let now = Time::from_secs_f64(self.seconds);
        // The two clocks differ, so that a mix-up shows.
        Now { steady: now, wall: now + Duration::from_secs(500_000) }
    }

    /// The effects of an event, but for lines of text.
    fn handle(&mut self, event: Event) -> Vec<Effect> {
        self.effects.clear();
        self.machine.handle(self.now(), event, &mut self.effects);
        self.effects.iter().filter(|effect| !matches!(effect, Effect::Say(_))).cloned().collect()
    }

    fn said(&self, part: &str) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Say(text) if text.contains(part)))
    }

    /// The effects of a tick so much later.
    fn after(&mut self, seconds: f64) -> Vec<Effect> {
        self.seconds += seconds;
        self.handle(Event::Tick)
    }

    fn agent(&mut self, kind: wire::Type, fill: impl FnOnce(&mut AgentEvent)) -> Vec<Effect> {
        let mut event = AgentEvent { r#type: Some(kind as i32), ..AgentEvent::default() };
        fill(&mut event);
        self.handle(Event::Heard(Heard::Agent(Box::new(event))))
    }

    fn welcome(&mut self, killing_state: bool) -> Vec<Effect> {
        let kind = framework_info::capability::Type::TaskKillingState;
        let capability = framework_info::Capability { r#type: Some(kind as i32) };
        let framework_info = FrameworkInfo {
            capabilities: vec![capability; usize::from(killing_state)],
            ..FrameworkInfo::default()
        };
        self.agent(wire::Type::Subscribed, |event| {
            event.subscribed = Some(wire::Subscribed {
                executor_info: ExecutorInfo::default(),
                framework_info,
                agent_info: AgentInfo::default(),
                container_id: None,
            });
        })
    }

    fn launch(&mut self, task: TaskInfo) -> Vec<Effect> {
        self.agent(wire::Type::Launch, |event| event.launch = Some(wire::Launch { task }))
    }

    fn kill(&mut self, id: &str, grace: Option<i64>) -> Vec<Effect> {
        let kill_policy = grace.map(|grace| KillPolicy { grace_period: duration(grace) });
        let task_id = TaskId { value: id.to_string() };
        self.agent(wire::Type::Kill, |event| event.kill = Some(wire::Kill { task_id, kill_policy }))
    }

    fn shutdown(&mut self) -> Vec<Effect> {
        self.agent(wire::Type::Shutdown, |_| {})
    }

    fn acknowledge(&mut self, status: &TaskStatus) -> Vec<Effect> {
        let uuid = status.uuid.clone().unwrap();
        let task_id = status.task_id.clone();
        self.agent(wire::Type::Acknowledged, |event| {
            event.acknowledged = Some(wire::Acknowledged { task_id, uuid });
        })
    }
}

/// The statuses that were sent.
fn told(effects: &[Effect]) -> Vec<TaskStatus> {
    let status = |effect: &Effect| match effect {
        Effect::Send(call) => call.update.as_ref().map(|update| update.status.clone()),
        _ => None,
    };
    effects.iter().filter_map(status).collect()
}

/// The one status that was sent.
fn one(effects: &[Effect]) -> TaskStatus {
    let mut statuses = told(effects);
    assert_eq!(statuses.len(), 1, "{effects:?}");
    statuses.remove(0)
}

fn state(status: &TaskStatus) -> TaskState {
    TaskState::try_from(status.state).unwrap()
}

fn reason(status: &TaskStatus) -> Option<Reason> {
    status.reason.map(|reason| Reason::try_from(reason).unwrap())
}

fn subscription(effects: &[Effect]) -> call::Subscribe {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Send(call) => call.subscribe.clone(),
        _ => None,
    });
    found.expect("a subscription")
}

const RECOVERY: Recovery =
    Recovery { timeout: Duration::from_secs(60), longest_backoff: Duration::from_secs(2) };

#[test]
fn a_command_that_succeeds() {
    // U032: built-in executors send TASK_STARTING for every task.
    let mut harness = Harness::subscribed(None, true);
    let effects = harness.launch(task("t"));
    let starting = one(&effects);
    assert_eq!(state(&starting), TaskState::TaskStarting);
    assert_eq!(effects.last(), Some(&Effect::Start(Box::new(task("t")))));
    assert_eq!(starting.executor_id.as_ref().unwrap().value, "e");
    assert_eq!(starting.source, Some(task_status::Source::Executor as i32));
    assert_eq!(starting.timestamp, Some(501_000.0), "the wall's clock");
    assert_eq!((starting.reason, &starting.message, starting.healthy), (None, &None, None));
    assert!(starting.agent_id.is_none() && starting.container_status.is_none(), "the agent fills these in");

    let running = one(&harness.handle(Event::Started(77)));
    assert_eq!((state(&running), reason(&running), &running.message), (TaskState::TaskRunning, None, &None));
    assert_ne!(running.uuid, starting.uuid);

    let effects = harness.handle(Event::Ended(Exit::Exited(0)));
    let finished = one(&effects);
    assert_eq!((state(&finished), reason(&finished)), (TaskState::TaskFinished, None));
    assert_eq!(finished.message.as_deref(), Some("Command exited with status 0"));
    assert!(effects.contains(&Effect::Kill), "what it left behind");

    assert_eq!(harness.acknowledge(&starting), []);
    assert_eq!(harness.acknowledge(&running), []);
    assert_eq!(harness.acknowledge(&finished), [Effect::Exit { success: true }]);
    assert_eq!(harness.after(1e6), [], "nothing after the end");
}

#[test]
fn a_command_that_fails() {
    let mut harness = Harness::running(task("t"));
    let failed = one(&harness.handle(Event::Ended(Exit::Exited(3))));
    assert_eq!((state(&failed), reason(&failed)), (TaskState::TaskFailed, None));
    assert_eq!(failed.message.as_deref(), Some("Command exited with status 3"));
    let mut harness = Harness::running(task("t"));
    let failed = one(&harness.handle(Event::Ended(Exit::Signalled { signal: 11, core_dumped: true })));
    assert_eq!(state(&failed), TaskState::TaskFailed);
    assert_eq!(
        failed.message.as_deref(),
        Some("Command terminated with signal Segmentation fault (core dumped)")
    );
}

#[test]
fn a_command_that_cannot_be_executed() {
    let mut harness = Harness::subscribed(None, true);
    harness.launch(task("t"));
    let statuses = told(&harness.handle(Event::NotStarted("could not execute 'x'".to_string())));
    let states: Vec<TaskState> = statuses.iter().map(state).collect();
    assert_eq!(states, [TaskState::TaskRunning, TaskState::TaskFailed]);
    assert_eq!(statuses[1].message.as_deref(), Some("Command exited with status 1: could not execute 'x'"));
}

#[test]
fn a_kill_terminates_then_kills() {
    let mut harness = Harness::running(task("t"));
    let effects = harness.kill("t", Some(10));
    assert_eq!(state(&one(&effects)), TaskState::TaskKilling);
    assert_eq!(effects.last(), Some(&Effect::Terminate));
    assert_eq!(harness.after(9.0), []);
    assert_eq!(harness.after(1.0), [Effect::Kill]);
    assert_eq!(harness.after(100.0), [], "once");
    let killed = one(&harness.handle(Event::Ended(Exit::Signalled { signal: 9, core_dumped: false })));
    assert_eq!((state(&killed), reason(&killed), killed.healthy), (TaskState::TaskKilled, None, None));
    assert_eq!(killed.message.as_deref(), Some("Command terminated with signal Killed"));
    assert_eq!(harness.kill("t", None), [], "it has ended");
}

#[test]
fn the_grace_is_the_kills_or_the_tasks_or_three_seconds() {
    let escalates = |info: TaskInfo, grace: Option<i64>| {
        let mut harness = Harness::running(info);
        harness.kill("t", grace);
        harness.machine.deadline().since(harness.now().steady)
    };
    let patient = TaskInfo { kill_policy: Some(KillPolicy { grace_period: duration(20) }), ..task("t") };
    assert_eq!(escalates(patient.clone(), Some(7)), Duration::from_secs(7));
    assert_eq!(escalates(patient, None), Duration::from_secs(20));
    assert_eq!(escalates(task("t"), None), Duration::from_secs(3));
    assert_eq!(escalates(task("t"), Some(-5)), Duration::ZERO);
}

#[test]
fn a_second_kill_may_only_shorten_the_grace() {
    let mut harness = Harness::running(task("t"));
    harness.kill("t", Some(20));
    assert_eq!(harness.after(4.0), []);
    assert_eq!(harness.kill("t", Some(30)), [], "longer");
    assert_eq!(harness.kill("t", Some(20)), [], "the same");
    assert_eq!(harness.kill("t", Some(6)), [], "2 are left");
    assert_eq!(harness.after(1.0), []);
    assert_eq!(harness.after(1.0), [Effect::Kill]);
    assert_eq!(harness.kill("t", Some(0)), [], "it was killed for good already");
    assert_eq!(harness.after(0.0), []);
    let mut harness = Harness::running(task("t"));
    harness.kill("t", Some(20));
    harness.after(10.0);
    harness.kill("t", Some(5));
    assert_eq!(harness.after(0.0), [Effect::Kill], "5 are over already");
}

#[test]
fn killing_is_told_to_frameworks_that_know_the_state() {
    let mut harness = Harness::subscribed(None, false);
    harness.launch(task("t"));
    harness.handle(Event::Started(77));
    assert_eq!(harness.kill("t", None), [Effect::Terminate]);
    assert_eq!(state(&one(&harness.handle(Event::Ended(KILLED)))), TaskState::TaskKilled);
}

#[test]
fn a_killed_command_that_exits_well_is_killed_nevertheless() {
    let mut harness = Harness::running(task("t"));
    harness.kill("t", None);
    let killed = one(&harness.handle(Event::Ended(Exit::Exited(0))));
    assert_eq!(state(&killed), TaskState::TaskKilled);
    assert_eq!(killed.message.as_deref(), Some("Command exited with status 0"));
}

#[test]
fn kills_of_other_tasks_and_before_the_launch() {
    let mut harness = Harness::running(task("t"));
    assert_eq!(harness.kill("other", None), []);
    let mut harness = Harness::subscribed(None, true);
    assert_eq!(harness.kill("t", None), [Effect::Exit { success: false }]);
}

#[test]
fn a_task_that_runs_too_long() {
    let mut harness = Harness::running(TaskInfo { max_completion_time: duration(30), ..task("t") });
    assert_eq!(harness.after(29.0), []);
    assert_eq!(harness.after(1.0), [Effect::Terminate], "without TASK_KILLING");
    assert_eq!(harness.after(0.0), [Effect::Kill], "without a grace");
    let failed = one(&harness.handle(Event::Ended(KILLED)));
    assert_eq!(
        (state(&failed), reason(&failed)),
        (TaskState::TaskFailed, Some(Reason::MaxCompletionTimeReached))
    );
    assert_eq!(failed.message.as_deref(), Some("Command terminated with signal Terminated"));
}

#[test]
fn a_kill_ends_the_completion_time() {
    let mut harness = Harness::running(TaskInfo { max_completion_time: duration(30), ..task("t") });
    harness.kill("t", Some(100));
    assert_eq!(harness.after(50.0), []);
    assert_eq!(state(&one(&harness.handle(Event::Ended(KILLED)))), TaskState::TaskKilled);
}

#[test]
fn a_second_task_is_refused() {
    let mut harness = Harness::running(task("t"));
    let refused = one(&harness.launch(task("u")));
    assert_eq!((state(&refused), refused.task_id.value.as_str()), (TaskState::TaskFailed, "u"));
    assert_eq!(
        refused.message.as_deref(),
        Some("Attempted to run multiple tasks using a \"command\" executor")
    );
    assert_eq!(harness.acknowledge(&refused), [], "the first goes on");
    assert_eq!(harness.launch(task("t")), [], "the same once more");
    assert_eq!(state(&one(&harness.handle(Event::Ended(Exit::Exited(0))))), TaskState::TaskFinished);
}

#[test]
fn a_task_group_is_not_for_a_command_executor() {
    let mut harness = Harness::subscribed(None, true);
    assert_eq!(harness.agent(wire::Type::LaunchGroup, |_| {}), [Effect::Exit { success: true }]);
}

#[test]
fn health_is_told_and_a_sick_task_is_killed() {
    let mut harness = Harness::running(with_health_check(2));
    assert!(matches!(harness.after(1.0)[..], [Effect::Probe(Which::Health, _)]));
    let healthy = one(&harness.handle(Event::Measured(Which::Health, Ok(Measure::ExitCode(0)))));
    assert_eq!((state(&healthy), healthy.healthy), (TaskState::TaskRunning, Some(true)));
    assert_eq!(reason(&healthy), Some(Reason::TaskHealthCheckStatusUpdated));
    assert_eq!((&healthy.message, healthy.source), (&None, Some(task_status::Source::Executor as i32)));

    harness.after(1.0);
    let sick = one(&harness.handle(Event::Measured(Which::Health, Ok(Measure::ExitCode(1)))));
    assert_eq!(sick.healthy, Some(false));
    assert!(matches!(harness.after(1.0)[..], [Effect::Probe(..)]));
    let effects = harness.after(4.0);
    assert_eq!(effects[0], Effect::StopProbe(Which::Health), "the timeout");
    let statuses = told(&effects);
    assert_eq!(statuses[0].healthy, Some(false));
    assert_eq!((state(&statuses[1]), statuses[1].healthy), (TaskState::TaskKilling, None));
    assert_eq!(effects.last(), Some(&Effect::Terminate));
    let killed = one(&harness.handle(Event::Ended(KILLED)));
    assert_eq!((state(&killed), killed.healthy), (TaskState::TaskKilled, Some(false)));
    assert_eq!(reason(&killed), None);
}

#[test]
fn checks_stop_with_a_kill_and_with_the_end() {
    let mut harness = Harness::running(with_health_check(2));
    harness.after(1.0);
    assert!(harness.kill("t", None).contains(&Effect::StopProbe(Which::Health)));
    assert_eq!(harness.handle(Event::Measured(Which::Health, Ok(Measure::ExitCode(0)))), []);
    let mut harness = Harness::running(with_health_check(2));
    harness.after(1.0);
    assert!(harness.handle(Event::Ended(Exit::Exited(0))).contains(&Effect::StopProbe(Which::Health)));
    assert_eq!(harness.handle(Event::Measured(Which::Health, Ok(Measure::ExitCode(0)))), []);
}

#[test]
fn a_general_check_keeps_what_was_told_before() {
    let check = CheckInfo {
        r#type: Some(check_info::Type::Http as i32),
        http: Some(check_info::Http { port: 80, path: None }),
        delay_seconds: Some(1.0),
        ..CheckInfo::default()
    };
    let mut harness = Harness::subscribed(None, true);
    let starting = one(&harness.launch(TaskInfo { check: Some(check), ..with_health_check(3) }));
    let empty = starting.check_status.unwrap();
    assert_eq!((empty.r#type, empty.http.unwrap().status_code), (Some(check_info::Type::Http as i32), None));
    harness.handle(Event::Started(77));
    assert_eq!(harness.after(1.0).len(), 2, "both checks");
    harness.handle(Event::Measured(Which::Health, Ok(Measure::ExitCode(0))));
    let status = one(&harness.handle(Event::Measured(Which::General, Ok(Measure::HttpStatus(404)))));
    assert_eq!(reason(&status), Some(Reason::TaskCheckStatusUpdated));
    assert_eq!(status.check_status.unwrap().http.unwrap().status_code, Some(404));
    assert_eq!(status.healthy, Some(true), "as told before");
    let finished = one(&harness.handle(Event::Ended(Exit::Exited(0))));
    assert_eq!(finished.check_status.unwrap().http.unwrap().status_code, None, "from scratch");
    assert_eq!(finished.healthy, None);
}

#[test]
fn a_check_that_cannot_be_is_left_out_with_a_word() {
    let mut harness = Harness::subscribed(None, true);
    harness.launch(TaskInfo { health_check: Some(Box::default()), ..task("t") });
    assert_eq!(state(&one(&harness.handle(Event::Started(77)))), TaskState::TaskRunning);
    assert!(harness.said("health check is not carried out"));
    assert_eq!(harness.after(100.0), []);
}

#[test]
fn shutting_down_kills_the_task_in_less_than_the_grace() {
    let mut harness = Harness::running(task("t"));
    let effects = harness.shutdown();
    assert_eq!(state(&one(&effects)), TaskState::TaskKilling);
    assert_eq!(effects.last(), Some(&Effect::Terminate));
    assert_eq!(harness.after(2.9), []);
    assert_eq!(harness.after(0.1), [Effect::Kill], "2 of 5 seconds are kept back");
    assert_eq!(harness.after(1.9), []);
    assert_eq!(harness.after(0.1), [Effect::Kill, Effect::Exit { success: false }], "whatever happens");
    let mut harness = Harness::subscribed(None, true);
    assert_eq!(harness.shutdown(), [Effect::Exit { success: true }], "nothing to kill");
}

#[test]
fn a_shutdown_shortens_a_kill() {
    let mut harness = Harness::running(task("t"));
    harness.kill("t", Some(1000));
    harness.shutdown();
    assert_eq!(harness.after(3.0), [Effect::Kill]);
}

#[test]
fn asked_to_terminate() {
    let mut harness = Harness::running(task("t"));
    assert_eq!(harness.handle(Event::Terminate).last(), Some(&Effect::Terminate));
    let killed = one(&harness.handle(Event::Ended(KILLED)));
    assert_eq!(harness.acknowledge(&killed), [Effect::Exit { success: true }]);
}

#[test]
fn without_checkpoints_a_lost_agent_ends_the_task() {
    let mut harness = Harness::running(task("t"));
    let effects = harness.handle(Event::Heard(Heard::Lost("reset".to_string())));
    assert_eq!(effects, [Effect::Terminate], "nobody to tell TASK_KILLING");
    let effects = harness.handle(Event::Ended(KILLED));
    assert_eq!(effects, [Effect::Kill, Effect::Exit { success: false }]);
    let mut harness = Harness::subscribed(None, true);
    assert_eq!(
        harness.handle(Event::Heard(Heard::Lost("reset".to_string()))),
        [Effect::Exit { success: true }]
    );
}

#[test]
fn with_checkpoints_what_was_not_acknowledged_is_said_again() {
    let mut harness = Harness::subscribed(Some(RECOVERY), true);
    let starting = one(&harness.launch(task("t")));
    let running = one(&harness.handle(Event::Started(77)));
    assert_eq!(harness.handle(Event::Heard(Heard::Lost("reset".to_string()))), []);
    assert_eq!(harness.after(0.0), [Effect::Open]);
    // The command ends while nobody listens.
    let effects = harness.handle(Event::Ended(Exit::Exited(0)));
    assert_eq!(effects, [Effect::Kill]);
    let again = subscription(&harness.handle(Event::Heard(Heard::Opened)));
    assert_eq!(again.unacknowledged_tasks, [task("t")]);
    let states: Vec<TaskState> =
        again.unacknowledged_updates.iter().map(|update| state(&update.status)).collect();
    assert_eq!(states, [TaskState::TaskStarting, TaskState::TaskRunning, TaskState::TaskFinished]);
    assert_eq!(again.unacknowledged_updates[0].status, starting);
    assert_eq!(harness.welcome(true), [], "all is said in the subscription");
    harness.acknowledge(&starting);
    harness.handle(Event::Heard(Heard::Lost("reset".to_string())));
    harness.after(1.0);
    let again = subscription(&harness.handle(Event::Heard(Heard::Opened)));
    assert_eq!(again.unacknowledged_tasks, [], "the agent knows it");
    assert_eq!(again.unacknowledged_updates[0].status, running);
    harness.welcome(true);
    let finished = again.unacknowledged_updates[1].status.clone();
    assert_eq!(harness.acknowledge(&finished), [Effect::Exit { success: true }]);
}

#[test]
fn what_happens_between_subscribe_and_subscribed_is_told_after() {
    let mut harness = Harness::subscribed(Some(RECOVERY), true);
    harness.launch(task("t"));
    harness.handle(Event::Started(77));
    harness.handle(Event::Heard(Heard::Lost("reset".to_string())));
    harness.after(0.0);
    assert_eq!(subscription(&harness.handle(Event::Heard(Heard::Opened))).unacknowledged_updates.len(), 2);
    assert_eq!(told(&harness.handle(Event::Ended(Exit::Exited(0)))), []);
    assert_eq!(state(&one(&harness.welcome(true))), TaskState::TaskFinished);
}

#[test]
fn a_refused_subscription_is_repeated() {
    let mut harness = Harness::new(None);
    harness.after(0.0);
    subscription(&harness.handle(Event::Heard(Heard::Opened)));
    assert_eq!(harness.handle(Event::Heard(Heard::Refused(503))), []);
    assert!(harness.said("503"));
    subscription(&harness.after(1.0));
}

#[test]
fn after_the_recovery_timeout_the_task_is_killed() {
    let mut harness = Harness::subscribed(Some(RECOVERY), true);
    harness.launch(task("t"));
    harness.handle(Event::Started(77));
    harness.handle(Event::Heard(Heard::Lost("reset".to_string())));
    assert_eq!(harness.after(0.0), [Effect::Open]);
    assert_eq!(harness.after(60.0), [Effect::Terminate]);
    assert_eq!(harness.after(3.0), [Effect::Kill]);
    assert_eq!(harness.handle(Event::Ended(KILLED)), [Effect::Kill, Effect::Exit { success: false }]);
}

#[test]
fn the_end_is_kept_for_an_agent_that_restarts() {
    let mut harness = Harness::subscribed(Some(RECOVERY), true);
    harness.launch(task("t"));
    harness.handle(Event::Started(77));
    harness.handle(Event::Ended(Exit::Exited(0)));
    harness.after(50.0);
    harness.handle(Event::Heard(Heard::Lost("restart".to_string())));
    assert_eq!(harness.after(0.0), [Effect::Open]);
    assert_eq!(harness.after(40.0), [], "the time for the acknowledgement counts from the return");
    subscription(&harness.handle(Event::Heard(Heard::Opened)));
    harness.welcome(true);
    assert_eq!(harness.after(59.0), []);
    assert_eq!(harness.after(1.0), [Effect::Exit { success: false }]);
}

#[test]
fn results_of_checks_do_not_pile_up() {
    let mut harness = Harness::subscribed(Some(RECOVERY), true);
    harness.launch(with_health_check(u32::MAX));
    harness.handle(Event::Started(77));
    harness.handle(Event::Heard(Heard::Lost("reset".to_string())));
    for _ in 0..WAITING_LIMIT + 10 {
        // Time stands still for the link, which would give up.
        harness.after(0.0);
        let check = &mut harness.machine.task.as_mut().unwrap().checks[0].1;
        let at = check.deadline();
        check.due(at);
        harness.handle(Event::Measured(Which::Health, Err("down".to_string())));
    }
    assert!(harness.said("too many updates"));
    assert_eq!(harness.machine.conversation.updates.len(), WAITING_LIMIT);
    harness.handle(Event::Ended(Exit::Exited(0)));
    assert_eq!(harness.machine.conversation.updates.len(), WAITING_LIMIT + 1, "the end is always kept");
}

#[test]
fn unknown_acknowledgements_and_events_are_left_out() {
    let mut harness = Harness::running(task("t"));
    let status = TaskStatus { uuid: Some(vec![7; 16]), ..TaskStatus::default() };
    assert_eq!(harness.acknowledge(&status), []);
    assert!(harness.said("acknowledged"));
    assert_eq!(harness.agent(wire::Type::Launch, |_| {}), []);
    assert!(harness.said("LAUNCH"));
    assert_eq!(harness.agent(wire::Type::Heartbeat, |_| {}), []);
    assert_eq!(harness.handle(Event::Heard(Heard::CallRefused(400))), []);
    assert!(harness.said("400"));
}

#[test]
fn an_idle_connection_is_kept_alive() {
    let mut harness = Harness::running(task("t"));
    let effects = harness.after(1800.0);
    let [Effect::Send(call)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(call.r#type, Some(call::Type::Heartbeat as i32));
}

#[path = "machine_laws.rs"]
mod laws;
