//! Laws that hold whatever happens, in whatever order.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Happening {
    Opened,
    Lost,
    Refused,
    Welcome,
    Launch(&'static str),
    Started,
    NotStarted,
    Kill(&'static str, Option<i64>),
    Shutdown,
    Terminate,
    Ended(i32),
    Measured(Which, bool),
    AcknowledgeOldest,
    Wait(f64),
}

fn happening() -> impl Strategy<Value = Happening> {
    let id = prop_oneof![4 => Just("t"), 1 => Just("u")];
    prop_oneof![
        1 => Just(Happening::Opened),
        1 => Just(Happening::Lost),
        1 => Just(Happening::Refused),
        2 => Just(Happening::Welcome),
        2 => id.clone().prop_map(Happening::Launch),
        3 => Just(Happening::Started),
        1 => Just(Happening::NotStarted),
        1 => (id, prop::option::of(0..20i64)).prop_map(|(id, grace)| Happening::Kill(id, grace)),
        1 => Just(Happening::Shutdown),
        1 => Just(Happening::Terminate),
        1 => (0..3).prop_map(Happening::Ended),
        2 => (prop_oneof![Just(Which::Health), Just(Which::General)], any::<bool>())
            .prop_map(|(which, good)| Happening::Measured(which, good)),
        2 => Just(Happening::AcknowledgeOldest),
        4 => (0.0..30.0f64).prop_map(Happening::Wait),
    ]
}

/// All that was said, and what of it waits for an acknowledgement.
#[derive(Default)]
struct Ledger {
    starts: usize,
    exits: usize,
    order: Vec<TaskStatus>,
    unacknowledged: VecDeque<TaskStatus>,
}

impl Ledger {
    fn note(&mut self, effects: &[Effect]) {
        assert!(self.exits == 0 || effects.is_empty(), "nothing comes after the end");
        for effect in effects {
            match effect {
                Effect::Start(_) => self.starts += 1,
                Effect::Exit { .. } => self.exits += 1,
                Effect::Send(call) => {
                    if let Some(subscribe) = &call.subscribe {
                        self.said_again(subscribe);
                    }
                    if let Some(update) = &call.update {
                        assert!(!self.order.contains(&update.status), "said once a subscription");
                        self.said(&update.status);
                    }
                }
                _ => {}
            }
        }
    }

    fn said_again(&mut self, subscribe: &call::Subscribe) {
        let again: Vec<&TaskStatus> =
            subscribe.unacknowledged_updates.iter().map(|update| &update.status).collect();
        assert!(self.unacknowledged.iter().all(|status| again.contains(&status)), "nothing is forgotten");
        for status in again {
            if !self.order.contains(status) {
                self.said(status);
            }
        }
    }

    fn said(&mut self, status: &TaskStatus) {
        self.order.push(status.clone());
        self.unacknowledged.push_back(status.clone());
    }

    fn check(&self) {
        assert!(self.starts <= 1 && self.exits <= 1);
        let Some(first) = self.order.first() else { return };
        let own = self.order.iter().filter(|status| status.task_id == first.task_id);
        let states: Vec<TaskState> = own.clone().map(state).collect();
        assert_eq!(states[0], TaskState::TaskStarting);
        let ends = own.filter(|status| is_terminal(status)).count();
        assert!(ends <= 1, "one terminal update: {states:?}");
        let rank = |state: &TaskState| match state {
            TaskState::TaskStarting => 0,
            TaskState::TaskRunning => 1,
            TaskState::TaskKilling => 2,
            _ => 3,
        };
        assert!(states.is_sorted_by_key(rank), "states go forward only: {states:?}");
    }
}

fn happen(harness: &mut Harness, ledger: &mut Ledger, happening: Happening) -> Vec<Effect> {
    match happening {
        Happening::Opened => harness.handle(Event::Heard(Heard::Opened)),
        Happening::Lost => harness.handle(Event::Heard(Heard::Lost("lost".to_string()))),
        Happening::Refused => harness.handle(Event::Heard(Heard::Refused(503))),
        Happening::Welcome => harness.welcome(true),
        Happening::Launch(id) => harness.launch(TaskInfo {
            max_completion_time: duration(60),
            task_id: TaskId { value: id.to_string() },
            ..with_health_check(2)
        }),
        Happening::Started => harness.handle(Event::Started(77)),
        Happening::NotStarted => harness.handle(Event::NotStarted("no".to_string())),
        Happening::Kill(id, grace) => harness.kill(id, grace),
        Happening::Shutdown => harness.shutdown(),
        Happening::Terminate => harness.handle(Event::Terminate),
        Happening::Ended(code) => harness.handle(Event::Ended(Exit::Exited(code))),
        Happening::Measured(which, good) => {
            harness.handle(Event::Measured(which, Ok(Measure::ExitCode(i32::from(!good)))))
        }
        Happening::AcknowledgeOldest => match ledger.unacknowledged.pop_front() {
            Some(status) => harness.acknowledge(&status),
            None => Vec::new(),
        },
        Happening::Wait(seconds) => harness.after(seconds),
    }
}

proptest! {
    #[test]
    fn updates_make_sense(checkpointing: bool, happenings in prop::collection::vec(happening(), 0..60)) {
        let mut harness = Harness::subscribed(checkpointing.then_some(RECOVERY), true);
        let mut ledger = Ledger::default();
        for happening in happenings {
            let effects = happen(&mut harness, &mut ledger, happening);
            ledger.note(&effects);
            // No deadline may stay in the past, or the loop of the program would spin.
            let now = harness.now().steady;
            let mut ticks = 0;
            while ledger.exits == 0 && harness.machine.deadline() <= now {
                ticks += 1;
                prop_assert!(ticks < 10, "a deadline stays in the past");
                let effects = harness.after(0.0);
                ledger.note(&effects);
            }
        }
        ledger.check();
    }
}
