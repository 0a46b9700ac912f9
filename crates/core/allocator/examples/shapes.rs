//! How long allocation takes in the shapes of Apache Mesos's own benchmark: every offer is declined for ever, until
//! nobody is left to offer to. Run with `cargo run --release -p messor-allocator --example shapes`.
//!
//! Columns: adding everything; the first run, which offers all agents; the mean of the runs that follow, in which
//! all agents changed; a run after all have declined everything; a run in which nothing changed.

use std::collections::BTreeMap;
use std::time::Duration;

use messor_allocator::{AgentDetails, Allocator, Effect, Event, FrameworkDetails, Options};
use messor_stdx::Time;
use messor_types::{AgentCapabilities, AgentId, FrameworkCapabilities, FrameworkId, Role, parse_resources};

/// This is the one place of the crate that reads a clock: it measures.
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = std::time::Instant::now();
    let result = work();
    (start.elapsed().as_secs_f64() * 1e3, result)
}

const AGENT: &str = "cpus:24;mem:4096;disk:4096;ports:[31000-32000]";

fn run(agents: usize, frameworks: usize, roles: usize, rounds: usize) {
    let mut allocator = Allocator::new(Options::default());
    let mut effects = Vec::new();
    let mut now = Time::from_nanos(1_000_000_000);
    let total = parse_resources(AGENT, &Role::star()).expect("the constant is valid");
    let (adding, ()) = timed(|| {
        for number in 0..frameworks {
            let role = Role::new(&format!("role{}", number % roles));
            let details = FrameworkDetails {
                roles: [role].into(),
                capabilities: FrameworkCapabilities { multi_role: true, ..Default::default() },
                ..Default::default()
            };
            let framework_id = FrameworkId::numbered("master", number as u64);
            let event = Event::AddFramework { framework_id, details, active: true, used: BTreeMap::new() };
            allocator.handle(now, event, &mut effects);
        }
        for number in 0..agents {
            let details = AgentDetails {
                hostname: format!("host{number}"),
                capabilities: AgentCapabilities { multi_role: true, ..Default::default() },
                ..Default::default()
            };
            let agent_id = AgentId::numbered("master", number as u64);
            let event = Event::AddAgent { agent_id, details, total: total.clone(), used: BTreeMap::new() };
            allocator.handle(now, event, &mut effects);
        }
    });
    effects.clear();

    let mut times = Vec::new();
    let mut declining = 0.0;
    let mut offered = 0;
    for _ in 0..rounds {
        now = now + Duration::from_secs(1);
        let (time, ()) = timed(|| allocator.handle(now, Event::Tick, &mut effects));
        times.push(time);
        let made = std::mem::take(&mut effects);
        let (time, count) = timed(|| {
            let mut count = 0;
            for effect in made {
                let Effect::Offer { framework_id, offers } = effect else { continue };
                for (agent_id, resources) in offers.into_values().flatten() {
                    count += 1;
                    let event = Event::RecoverResources {
                        framework_id: framework_id.clone(),
                        agent_id,
                        resources,
                        refuse: Some(Duration::from_secs(365 * 24 * 3600)),
                        allocated: false,
                    };
                    allocator.handle(now, event, &mut effects);
                }
            }
            count
        });
        declining += time;
        offered += count;
    }
    now = now + Duration::from_secs(1);
    let (after, ()) = timed(|| allocator.handle(now, Event::Tick, &mut effects));
    effects.clear();
    let (idle, ()) = timed(|| allocator.handle(now, Event::Tick, &mut effects));
    let worst = times.iter().copied().fold(0.0, f64::max);
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    println!(
        "{agents:>7} agents {frameworks:>5} frameworks {roles:>5} roles: add {adding:8.1} ms, first {:7.2} ms, \
         mean of {rounds} {mean:7.2} ms, worst {worst:7.2} ms, decline {:5.2} us, last {after:7.2} ms, idle {idle:.4} ms, {offered} offers",
        times[0],
        declining * 1e3 / offered.max(1) as f64,
    );
}

fn main() {
    // A shape of one's own: agents, frameworks, roles, rounds.
    let own: Vec<usize> = std::env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    if let [agents, frameworks, roles, rounds] = own[..] {
        run(agents, frameworks, roles, rounds);
        return;
    }
    for (agents, frameworks, roles, rounds) in [
        (1_000, 10, 10, 11),
        (1_000, 200, 200, 201),
        (10_000, 10, 10, 11),
        (10_000, 200, 1, 201),
        (10_000, 200, 200, 201),
        (10_000, 1_000, 1_000, 100),
        (50_000, 6_000, 100, 10),
    ] {
        run(agents, frameworks, roles, rounds);
    }
}
