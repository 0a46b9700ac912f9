//! Reads of a large state, by one client and by many, the first time and again, while it stands still and while it changes; and what
//! others see meanwhile: what /health takes, and how long a scheduler waits for its next offer.

mod answers;
mod changing;
mod meanwhile;

use std::sync::{Mutex, PoisonError};

use self::answers::{READS, Read, TOLERANCE_BYTES, check};
use self::changing::Changes;
use self::meanwhile::{Asking, Offers, Seen, health_alone};
use super::failover::{FailedOver, fail_over};
use super::{expect_metric, grouped, kilobytes, millis};
use crate::board::{Board, Count};
use crate::figures::{Figures, Goal, Recorder, median};
use crate::fleet::MORE_CPUS;
use crate::masters::{Kind, Master, Programs};
use crate::scheduler::{Api, Plan, STEP_TIME, Scheduler};
use crate::usage::{Meter, Span};

/// How many offers are waited for at least while nothing is read, while one client reads, and while many do: then one takes 1.11.0
/// some 13 seconds.
const LEAST_OFFERS: [usize; 3] = [10, 5, 2];
/// How often /health is asked for before anything is read: for some two seconds.
const HEALTH_QUESTIONS: usize = 200;
/// What was published of Apache Mesos for /state with so many agents, tasks that run and that are completed, in milliseconds.
const PUBLISHED: ((usize, usize, usize), f64) = ((10_000, 100_000, 100_000), 1860.0);

#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub agents: usize,
    pub running: usize,
    pub completed: usize,
    pub clients: usize,
    /// How often each client asks.
    pub rounds: usize,
    /// /state alone, by one client.
    pub state_alone: bool,
}

/// 1.11.0 is to be so many times slower.
fn goal(name: &str) -> Option<Goal> {
    (name == "/state").then_some(Goal::Times(20.0))
}

fn worst(times: &[f64]) -> f64 {
    times.iter().copied().fold(0.0, f64::max)
}

fn nothing() -> Result<(), String> {
    Ok(())
}

/// One that is asked for the first time; its answer is looked through afterwards. How long that is. Only the first of all is wholly
/// cold: what a master remembers of it may serve the others.
fn first(
    master: &Master,
    (name, read): (&str, Read),
    size: Size,
    recorder: &mut Recorder<'_>,
) -> Result<usize, String> {
    let body = Mutex::new(Vec::new());
    let see = |answer| {
        *body.lock().unwrap_or_else(PoisonError::into_inner) = answer;
        Ok(())
    };
    let seen = Asking { read, clients: 1, rounds: 1, before: &nothing, see: &see }.run(master, None)?;
    let what = format!("{name}, the first time");
    recorder.less(&what, "ms", worst(&seen.answers), goal(name));
    recorder.less(&format!("{what}, longest delay of /health"), "ms", worst(&seen.health), None);
    let body = body.into_inner().unwrap_or_else(PoisonError::into_inner);
    check(name, read, &body, size)?;
    Ok(body.len())
}

/// What was read before is read again, by so many clients; each answer is as long as the first.
fn again(
    master: &Master,
    read: Read,
    (clients, rounds): (usize, usize),
    length: usize,
    offers: Option<&Offers<'_>>,
) -> Result<(Seen, Span), String> {
    let see = |body: Vec<u8>| read.is_whole(&body, length, TOLERANCE_BYTES);
    let meter = Meter::start(master.pid())?;
    let seen = Asking { read, clients, rounds, before: &nothing, see: &see }.run(master, offers)?;
    Ok((seen, meter.stop()?))
}

/// How long the scheduler waits for its next offer while nothing is read, while one client reads /state and while many do.
fn offers_meanwhile(
    master: &Master,
    (scheduler, board): (&Scheduler, &Board),
    size: Size,
    length: usize,
    recorder: &mut Recorder<'_>,
) -> Result<(), String> {
    let mut put = |what: &str, times: &[f64], span: Span| {
        for time in times {
            recorder.less(what, "ms", *time, None);
        }
        recorder.less(&format!("{what}, longest"), "ms", worst(times), None);
        recorder.span_of(what, span);
    };
    let [alone, one, many] = LEAST_OFFERS.map(|least| Offers { scheduler, board, least });
    let meter = Meter::start(master.pid())?;
    let alone = alone.alone()?;
    put("next offer after revive, nothing is read", &alone, meter.stop()?);
    for (clients, rounds, offers) in [(1, size.rounds, one), (size.clients, 1, many)] {
        let (seen, span) = again(master, READS[0].1, (clients, rounds), length, Some(&offers))?;
        let who =
            if clients == 1 { "one client reads".to_string() } else { format!("{clients} clients read") };
        put(&format!("next offer after revive, {who} /state"), &seen.offers, span);
    }
    Ok(())
}

/// /state while its tasks change.
fn while_it_changes(
    master: &Master,
    changes: &Changes<'_>,
    size: Size,
    length: usize,
    recorder: &mut Recorder<'_>,
) -> Result<(), String> {
    let (name, read) = READS[0];
    // What a task says of itself may have other digits.
    let tolerance = TOLERANCE_BYTES + length / 100;
    let see = |body: Vec<u8>| read.is_whole(&body, length, tolerance);
    let some_more = || changes.some_more();
    let asking = Asking { read, clients: 1, rounds: size.rounds, before: &some_more, see: &see };
    // Most of the time it is waited for changes: who was the limit cannot be told from all of it.
    let (seen, pace) = changes.during(|| asking.run(master, None))?;
    let what = format!("{name} while tasks change");
    for time in seen.answers {
        recorder.less(&what, "ms", time, goal(name));
    }
    recorder.less(&format!("{what}, longest delay of /health"), "ms", worst(&seen.health), None);
    recorder.tell(&format!("{what}, updates meanwhile"), "updates/s", pace);
    // Nothing was lost on the way.
    let answer = answers::ask(&mut master.client()?, read)?;
    check(name, read, &answer.body, size)
}

pub fn run(programs: &Programs, kind: Kind, size: Size, figures: &mut Figures) -> Result<(), String> {
    let kept = format!("max_completed_tasks_per_framework={}", size.completed.max(1));
    let FailedOver { master, board, fleet, messages } =
        fail_over(programs, kind, &[kept], size.agents, (size.running, size.completed))?;
    fleet.reregister(&messages)?;
    drop(messages);
    board.wait(Count::Reregistered, size.agents as u64, STEP_TIME, "agents bring their tasks")?;
    expect_metric(&master, "master/tasks_running", size.running)?;
    let scheduler = if size.running > 0 {
        let plan = Plan {
            tasks: size.running,
            keeps_offers: true,
            comes_back: true,
            least_cpus: Some(MORE_CPUS),
            ..Plan::default()
        };
        let id = Some("bench-framework");
        let scheduler = Scheduler::subscribe(&board, master.address, Api::Http, plan, id)?;
        board.wait(Count::Offered, 1, STEP_TIME, "the largest agent is offered")?;
        Some(scheduler)
    } else {
        None
    };
    let tasks = match (size.running, size.completed) {
        (0, 0) => "no".to_string(),
        (running, 0) => format!("{} running", grouped(running)),
        (running, completed) => format!("{} running and {} completed", grouped(running), grouped(completed)),
    };
    let size_text = format!("{} agents, {tasks} tasks", grouped(size.agents));
    let mut recorder = Recorder { figures, kind, workload: "reads", size: size_text };
    // What the delays of /health stand beside.
    let health = health_alone(&master, HEALTH_QUESTIONS)?;
    recorder.less("/health, nothing is read", "ms", median(health.clone()).unwrap_or(f64::NAN), None);
    recorder.less("/health, nothing is read, longest", "ms", worst(&health), None);
    let before = master.memory()?;
    let left = |recorder: &mut Recorder<'_>| {
        let tasks = size.running + size.completed;
        let after = master.memory()?;
        if tasks > 0 {
            let memory = kilobytes(after.anonymous_bytes, before.anonymous_bytes, tasks);
            recorder.less("memory that reads leave behind", "KB/task", memory, None);
        }
        Ok::<_, String>(())
    };
    let mut lengths = Vec::new();
    for (name, read) in READS.into_iter().take(if size.state_alone { 1 } else { READS.len() }) {
        let length = first(&master, (name, read), size, &mut recorder)?;
        let (seen, span) = again(&master, read, (1, size.rounds), length, None)?;
        for time in seen.answers {
            recorder.less(name, "ms", time, goal(name));
        }
        recorder.less(&format!("{name}, CPU"), "ms", millis(span.master) / size.rounds as f64, None);
        recorder.less(&format!("{name}, longest delay of /health"), "ms", worst(&seen.health), None);
        recorder.tell(&format!("{name}, size"), "MB", length as f64 / 1e6);
        recorder.span_of(name, span);
        lengths.push(length);
    }
    if PUBLISHED.0 == (size.agents, size.running, size.completed) {
        recorder.published(READS[0].0, PUBLISHED.1);
    }
    if size.state_alone {
        left(&mut recorder)?;
        return board.close();
    }
    let clients = size.clients;
    for at in [0, 3] {
        let (name, read) = READS[at];
        let (seen, span) = again(&master, read, (clients, 1), lengths[at], None)?;
        let what = format!("{name}, {clients} clients at once");
        recorder.less(&format!("{what}, the last"), "ms", worst(&seen.answers), goal(name));
        recorder.less(&format!("{what}, CPU of each"), "ms", millis(span.master) / clients as f64, None);
        recorder.less(&format!("{what}, longest delay of /health"), "ms", worst(&seen.health), None);
        recorder.span_of(&what, span);
    }
    if let Some(scheduler) = &scheduler {
        offers_meanwhile(&master, (scheduler, &board), size, lengths[0], &mut recorder)?;
        let changes = Changes { fleet: &fleet, board: &board, tasks: size.running };
        while_it_changes(&master, &changes, size, lengths[0], &mut recorder)?;
    }
    left(&mut recorder)?;
    board.close()
}
