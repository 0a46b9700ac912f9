//! One thing at a time.

use messor_containers::{
    Answer, Containers, Effect, Event, Failure, Found, IsolatorTraits, Kind, Outcome, Process, Spec, State,
    Step, Ticket,
};
use messor_proto::mesos::TaskState;
use messor_proto::mesos::slave::{ContainerLimitation, ContainerTermination};
use messor_proto::mesos::task_status::Reason;
use messor_types::ContainerId;

const EXECUTOR: Spec = Spec { kind: Kind::Executor, image: false, fetches: true };
const NESTED: Spec = Spec { kind: Kind::Nested, image: false, fetches: false };

struct Bench {
    machine: Containers,
    effects: Vec<Effect>,
    /// Every step that was asked for, in order.
    steps: Vec<String>,
    /// Steps whose outcome waits until the test says so.
    held: Vec<&'static str>,
    failing: Vec<&'static str>,
    undone: Vec<(ContainerId, u64, Step)>,
}

fn name(step: &Step) -> String {
    match step {
        Step::Update(all) => format!("Update{all:?}"),
        Step::Finish(_) => "Finish".into(),
        other => format!("{other:?}"),
    }
}

fn id(text: &str) -> ContainerId {
    let mut parts = text.split('.');
    let first = ContainerId::new(parts.next().unwrap());
    parts.fold(first, |parent, part| ContainerId::nested(&parent, part))
}

impl Bench {
    /// Three isolators: all of them for executors, the last two for nested containers, the last for standalone ones.
    fn new() -> Bench {
        let traits = |nesting, standalone| IsolatorTraits { nesting, standalone };
        Bench {
            machine: Containers::new(vec![traits(false, false), traits(true, false), traits(true, true)]),
            effects: Vec::new(),
            steps: Vec::new(),
            held: Vec::new(),
            failing: Vec::new(),
            undone: Vec::new(),
        }
    }

    fn event(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.machine.handle(event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Do { container, run, step } => {
                    self.steps.push(format!("{container} {}", name(&step)));
                    if self.held.iter().any(|held| name(&step) == *held) {
                        self.undone.push((container, run, step));
                    } else {
                        self.finish(container, run, step);
                    }
                }
                Effect::RetryLater { container, run, .. } => self.event(Event::Retry { container, run }),
                Effect::Log { .. } => {}
                other => self.effects.push(other),
            }
        }
    }

    fn finish(&mut self, container: ContainerId, run: u64, step: Step) {
        let outcome = match &step {
            _ if self.failing.iter().any(|failing| name(&step) == *failing) => {
                Outcome::Failed("no luck".into())
            }
            Step::Fork => Outcome::Forked { pid: 77 },
            Step::KillAll => Outcome::Killed { status: Some(9) },
            _ => Outcome::Done,
        };
        self.event(Event::Done { container, run, step, outcome });
    }

    fn let_go(&mut self) {
        self.held.clear();
        for (container, run, step) in std::mem::take(&mut self.undone) {
            self.finish(container, run, step);
        }
    }

    fn launch(&mut self, text: &str, spec: Spec) -> Vec<Effect> {
        self.event(Event::Launch { container: id(text), spec, ticket: Ticket(1) });
        std::mem::take(&mut self.effects)
    }

    fn destroy(&mut self, text: &str) -> Vec<Effect> {
        self.event(Event::Destroy { container: id(text) });
        std::mem::take(&mut self.effects)
    }

    fn steps(&mut self) -> Vec<String> {
        std::mem::take(&mut self.steps)
    }
}

fn answers(effects: &[Effect]) -> Vec<&Answer> {
    let answers = effects.iter().filter_map(|effect| match effect {
        Effect::Answer { answer, .. } => Some(answer),
        _ => None,
    });
    answers.collect()
}

fn answer(effects: &[Effect]) -> &Answer {
    let [one] = answers(effects)[..] else { panic!("one answer, not {effects:?}") };
    one
}

fn ends(effects: &[Effect]) -> Vec<(String, ContainerTermination)> {
    let end = |effect: &Effect| match effect {
        Effect::Ended { container, termination, .. } => {
            Some((container.to_string(), (**termination).clone()))
        }
        _ => None,
    };
    effects.iter().filter_map(end).collect()
}

#[test]
fn each_step_comes_after_the_other_and_is_undone_in_reverse() {
    let mut bench = Bench::new();
    let effects = bench.launch("c", EXECUTOR);
    assert_eq!(answer(&effects), &Answer::Launched { pid: Some(77) });
    assert!(matches!(effects.last(), Some(Effect::Watch { pid: 77, .. })));
    let steps = "Begin Prepare(0) Prepare(1) Prepare(2) Fork Isolate(0) Isolate(1) Isolate(2) Fetch GoOn";
    assert_eq!(bench.steps().join(" ").replace("c ", ""), steps);
    let effects = bench.destroy("c");
    assert_eq!(bench.steps().join(" ").replace("c ", ""), "KillAll CleanUp(2) CleanUp(1) CleanUp(0) Finish");
    assert_eq!(ends(&effects)[0].1.status, Some(9));
    assert_eq!(bench.machine.standing().count(), 0);
    assert!(matches!(bench.destroy("c")[..], [Effect::NotThere { .. }]));
}

/// The program of an executor may ask for a container before the agent was told that it runs.
#[test]
fn what_runs_may_ask_before_it_is_told_that_it_runs() {
    for fails in [false, true] {
        let mut bench = Bench::new();
        bench.held.push("GoOn");
        if fails {
            bench.failing.push("GoOn");
        }
        assert_eq!(bench.launch("c", EXECUTOR).len(), 0);
        assert_eq!(bench.launch("c.d", NESTED).len(), 0, "neither launched nor refused");
        assert!(
            !bench.steps().iter().any(|step| step.starts_with("c.d")),
            "what it would be in is not ready"
        );
        bench.let_go();
        let answers = answers(&bench.effects);
        match fails {
            false => assert_eq!(answers, [&Answer::Launched { pid: Some(77) }; 2]),
            true => assert!(
                answers.len() == 2 && answers.iter().all(|one| matches!(one, Answer::Failed { .. })),
                "{answers:?}"
            ),
        }
    }
}

#[test]
fn what_is_expected_can_be_killed_and_never_begins() {
    let mut bench = Bench::new();
    bench.held.push("GoOn");
    bench.launch("c", EXECUTOR);
    bench.launch("c.d", NESTED);
    bench.launch("c.e", NESTED);
    let kill = |signal| Event::Kill { container: id("c.d"), signal, ticket: Ticket(3) };
    bench.event(kill(10));
    assert_eq!(answer(&std::mem::take(&mut bench.effects)), &Answer::NotFound);
    bench.event(kill(15));
    let effects = std::mem::take(&mut bench.effects);
    assert!(
        matches!(
            &effects[..],
            [
                Effect::Answer { ticket: Ticket(1), answer: Answer::Failed { .. } },
                Effect::Answer { ticket: Ticket(3), answer: Answer::Signalled }
            ]
        ),
        "{effects:?}"
    );
    bench.steps();
    bench.let_go();
    let begun: Vec<String> = bench.steps().into_iter().filter(|step| step.ends_with("Begin")).collect();
    assert_eq!(begun, ["c.e Begin"]);
}

#[test]
fn children_end_before_their_parents_and_are_kept_until_the_root_is_gone() {
    let mut bench = Bench::new();
    for (container, spec) in [("c", EXECUTOR), ("c.d", NESTED), ("c.d.e", NESTED), ("c.f", NESTED)] {
        bench.launch(container, spec);
    }
    assert_eq!(bench.steps().iter().filter(|step| step.contains("Prepare(0)")).count(), 1, "no nesting");
    bench.destroy("c.f");
    bench.steps();
    bench.event(Event::Wait { container: id("c.f"), ticket: Ticket(5) });
    assert!(matches!(answer(&bench.effects), Answer::Ended(end) if end.status == Some(9)));
    assert_eq!(bench.launch("c.f", NESTED).len(), 2, "an old answer and that it exists");
    let effects = bench.destroy("c");
    let killed: Vec<String> = bench.steps().into_iter().filter(|step| step.contains("KillAll")).collect();
    assert_eq!(killed, ["c.d.e KillAll", "c.d KillAll", "c KillAll"]);
    assert_eq!(ends(&effects).len(), 3);
    bench.event(Event::Wait { container: id("c.f"), ticket: Ticket(5) });
    assert_eq!(answer(&bench.effects), &Answer::NotFound);
}

#[test]
fn a_destroy_during_any_step_waits_for_it_and_undoes_what_was_begun() {
    let expected = [
        ("Begin", "Finish"),
        ("Prepare(1)", "CleanUp(1) CleanUp(0) Finish"),
        ("Fork", "KillAll CleanUp(2) CleanUp(1) CleanUp(0) Finish"),
        ("Isolate(0)", "KillAll CleanUp(2) CleanUp(1) CleanUp(0) Finish"),
        ("Fetch", "KillAll CleanUp(2) CleanUp(1) CleanUp(0) Finish"),
        ("GoOn", "KillAll CleanUp(2) CleanUp(1) CleanUp(0) Finish"),
    ];
    for (step, undone) in expected {
        let mut bench = Bench::new();
        bench.held.push(step);
        assert_eq!(bench.launch("c", EXECUTOR), []);
        bench.steps();
        let effects = bench.destroy("c");
        let stops = matches!(effects[..], [Effect::StopFetch { .. }]);
        assert_eq!((bench.steps().len(), stops), (0, step == "Fetch"), "{step}");
        bench.let_go();
        assert_eq!(bench.steps().join(" ").replace("c ", ""), undone, "{step}");
        assert!(matches!(answer(&bench.effects), Answer::Failed { .. }), "{step}");
        assert_eq!(ends(&bench.effects), []);
    }
}

#[test]
fn a_step_that_fails_ends_the_launch_with_its_words() {
    for step in ["Begin", "Prepare(2)", "Fork", "Isolate(1)", "Fetch", "GoOn"] {
        let mut bench = Bench::new();
        bench.failing.push(step);
        let effects = bench.launch("c", EXECUTOR);
        let failure = if step == "Fetch" { Failure::Fetch } else { Failure::Other };
        assert_eq!(answer(&effects), &Answer::Failed { failure, message: "no luck".into() }, "{step}");
        assert_eq!(bench.machine.standing().count(), 0);
    }
}

#[test]
fn a_clean_up_that_fails_is_tried_again_and_does_not_stop_the_others() {
    let mut bench = Bench::new();
    bench.launch("c", EXECUTOR);
    bench.steps();
    bench.failing.push("CleanUp(1)");
    let effects = bench.destroy("c");
    let steps = "KillAll CleanUp(2) CleanUp(1) CleanUp(1) CleanUp(1) CleanUp(0) Finish";
    assert_eq!(bench.steps().join(" ").replace("c ", ""), steps);
    assert_eq!((ends(&effects).len(), bench.machine.destroy_errors()), (1, 1));
}

/// U033: what was exceeded is told with the reason, the words and the resources.
#[test]
fn a_limitation_ends_a_container_and_is_told_as_a_failed_task() {
    let mut bench = Bench::new();
    bench.launch("c", EXECUTOR);
    let limitation = ContainerLimitation {
        message: Some("too much memory".into()),
        reason: Some(Reason::ContainerLimitationMemory as i32),
        ..ContainerLimitation::default()
    };
    bench.held.push("KillAll");
    bench.event(Event::Limited { container: id("c"), limitation: limitation.clone() });
    bench.event(Event::Limited { container: id("c"), limitation });
    bench.let_go();
    let [(_, end)] = &ends(&bench.effects)[..] else { panic!("one end") };
    assert_eq!(end.state, Some(TaskState::TaskFailed as i32));
    assert_eq!((end.message(), end.reason()), ("too much memory", Reason::ContainerLimitationMemory));
}

/// What is within a container that has reached its limit ends for that reason, too.
#[test]
fn those_within_are_told_why_they_end() {
    let mut bench = Bench::new();
    bench.launch("c", EXECUTOR);
    bench.launch("c.n", NESTED);
    bench.launch("other", EXECUTOR);
    let limitation = ContainerLimitation {
        reason: Some(Reason::ContainerLimitationMemory as i32),
        ..ContainerLimitation::default()
    };
    bench.event(Event::Limited { container: id("c"), limitation });
    let mut all = ends(&bench.effects);
    all.extend(ends(&bench.destroy("other")));
    let reason_of = |name: &str| all.iter().find(|(found, _)| found == name).expect("an end").1.reason;
    assert_eq!(reason_of("c"), reason_of("c.n"));
    assert_eq!(reason_of("c"), Some(Reason::ContainerLimitationMemory as i32));
    assert_eq!(reason_of("other"), None);
}

#[test]
fn new_resources_are_told_of_as_soon_as_somebody_can_be_told() {
    let mut bench = Bench::new();
    bench.held.push("Prepare(1)");
    bench.launch("c", EXECUTOR);
    bench.event(Event::Update { container: id("c") });
    bench.let_go();
    let steps = bench.steps();
    let update = steps.iter().position(|step| step == "c Update[0, 1, 2]").expect("an update");
    assert_eq!(steps[update - 1..=update + 1], ["c Isolate(2)", "c Update[0, 1, 2]", "c Fetch"]);
    bench.effects.clear();
    bench.event(Event::Update { container: id("c") });
    assert_eq!(bench.effects, [Effect::Update { container: id("c"), isolators: vec![0, 1, 2] }]);
}

#[test]
fn what_cannot_be_launched_is_refused() {
    let mut bench = Bench::new();
    assert_eq!(answer(&bench.launch("c.d", NESTED)), &Answer::NoParent);
    assert!(matches!(answer(&bench.launch("c", NESTED)), Answer::Invalid(_)));
    assert!(matches!(answer(&bench.launch("c.d", EXECUTOR)), Answer::Invalid(_)));
    bench.held.push("Fork");
    bench.launch("c", EXECUTOR);
    assert_eq!(answer(&bench.launch("c", EXECUTOR)), &Answer::Exists);
    assert!(matches!(answer(&bench.launch("c.d", NESTED)), Answer::Failed { .. }));
    bench.let_go();
    bench.effects.clear();
    bench.held.push("KillAll");
    bench.destroy("c");
    assert!(matches!(answer(&bench.launch("c.d", NESTED)), Answer::Failed { .. }));
}

#[test]
fn signals_go_to_what_runs_and_destroy_what_is_about_to() {
    let mut bench = Bench::new();
    let kill = |signal| Event::Kill { container: id("c"), signal, ticket: Ticket(3) };
    bench.event(kill(15));
    assert_eq!(answer(&bench.effects), &Answer::NotFound);
    bench.effects.clear();
    bench.held.push("Fetch");
    bench.launch("c", EXECUTOR);
    bench.event(kill(10));
    assert!(matches!(answer(&bench.effects), Answer::Failed { .. }));
    bench.effects.clear();
    bench.event(kill(15));
    assert_eq!(answer(&bench.effects), &Answer::Signalled);
    bench.let_go();
    assert_eq!(bench.machine.standing().count(), 0);
    bench.effects.clear();
    bench.launch("c", EXECUTOR);
    bench.event(kill(10));
    let expected = Effect::Signal { container: id("c"), pid: 77, signal: 10, ticket: Ticket(3) };
    assert_eq!(bench.effects, [expected]);
}

#[test]
fn an_ended_container_can_be_removed_and_its_id_is_free_again() {
    let mut bench = Bench::new();
    bench.launch("c", EXECUTOR);
    bench.launch("c.d", NESTED);
    let remove = || Event::Remove { container: id("c.d"), ticket: Ticket(4) };
    bench.event(remove());
    assert!(matches!(answer(&bench.effects), Answer::Invalid(_)));
    bench.destroy("c.d");
    bench.event(remove());
    assert!(matches!(bench.effects[..], [Effect::Remove { .. }]));
    assert_eq!(bench.launch("c.d", NESTED).len(), 2);
    let removed = Event::Removed { container: id("c.d"), ticket: Ticket(4), outcome: Ok(()) };
    bench.event(removed);
    assert_eq!(answer(&bench.effects), &Answer::Removed);
    bench.effects.clear();
    assert!(matches!(answer(&bench.launch("c.d", NESTED)), Answer::Launched { .. }));
}

#[test]
fn recovery_takes_up_what_is_wanted_and_ends_the_rest_children_first() {
    let mut bench = Bench::new();
    let found = |text: &str, kind, process| Found {
        container: id(text),
        kind,
        process,
        status: None,
        termination: None,
    };
    bench.event(Event::Recover { known: vec![id("a"), id("b"), id("x")] });
    assert_eq!(bench.effects.pop(), Some(Effect::Look { known: vec![id("a"), id("b"), id("x")] }));
    assert!(matches!(answer(&bench.launch("z", EXECUTOR)), Answer::Failed { .. }));
    let ended = ContainerTermination { status: Some(256), ..ContainerTermination::default() };
    bench.held.push("KillAll");
    bench.event(Event::Looked(Ok(vec![
        found("a.n", Kind::Nested, Process::Runs(2)),
        found("a", Kind::Executor, Process::Runs(1)),
        found("a.s", Kind::Debug, Process::Runs(3)),
        Found { termination: Some(ended), ..found("a.t", Kind::Nested, Process::None) },
        Found { status: Some(512), ..found("b", Kind::Executor, Process::None) },
        found("o", Kind::Executor, Process::Runs(5)),
        found("o.n", Kind::Nested, Process::Runs(6)),
        found("p", Kind::Standalone, Process::Runs(7)),
        found("q", Kind::Standalone, Process::None),
    ])));
    let Some(Effect::RecoverIsolators { going_on, orphans }) = bench.effects.pop() else { panic!() };
    assert_eq!(going_on, [id("a"), id("p"), id("a.n")]);
    assert_eq!(orphans, [id("b"), id("o"), id("q"), id("a.s"), id("o.n")]);
    bench.event(Event::IsolatorsRecovered(Ok(())));
    assert_eq!(bench.effects, [], "nothing is told yet");
    assert_eq!(bench.steps(), ["q KillAll", "o.n KillAll"]);
    bench.let_go();
    let watched = bench.effects.iter().filter(|effect| matches!(effect, Effect::Watch { .. })).count();
    assert_eq!(watched, 3);
    let Effect::Recovered { running, destroyed } = &bench.effects[0] else { panic!("{:?}", bench.effects) };
    assert_eq!(
        running.iter().map(|(id, pid)| (id.to_string(), *pid)).collect::<Vec<_>>(),
        [("a".to_string(), Some(1)), ("b".to_string(), None)]
    );
    assert_eq!(*destroyed, 1);
    assert_eq!(ends(&bench.effects)[0].1.status, Some(512));
    assert_eq!(bench.machine.standing_of(&id("a.n")).unwrap().state, State::Running);
    bench.effects.clear();
    bench.event(Event::Wait { container: id("a.t"), ticket: Ticket(8) });
    assert!(matches!(answer(&bench.effects), Answer::Ended(end) if end.status == Some(256)));
}
