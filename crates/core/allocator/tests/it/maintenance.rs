//! Agents that are to be unavailable: who is asked to leave, and when again.

use std::collections::BTreeMap;
use std::time::Duration;

use messor_allocator::{Effect, Event, Options};
use messor_proto::mesos::{TimeInfo, Unavailability};
use messor_types::{AgentId, FrameworkId};

use crate::cluster::{Cluster, agent, resources};

fn at(nanoseconds: i64) -> Unavailability {
    Unavailability { start: TimeInfo { nanoseconds }, duration: None }
}

fn plan(cluster: &mut Cluster, id: &str, unavailability: Option<Unavailability>) {
    cluster.tell(Event::UpdateUnavailability { agent_id: AgentId::new(id), unavailability });
}

fn close(cluster: &mut Cluster, framework: &str, id: &str, refuse_secs: Option<u64>) {
    cluster.tell(Event::UpdateInverseOffer {
        agent_id: AgentId::new(id),
        framework_id: FrameworkId::new(framework),
        refuse: refuse_secs.map(Duration::from_secs),
    });
}

/// Who was asked to leave which agents, and by when, with the next event.
fn asked(cluster: &mut Cluster, event: Event) -> Vec<(String, String, i64)> {
    cluster.tell(event);
    let (_, rest) = cluster.said();
    let inverse = rest.into_iter().filter_map(|effect| match effect {
        Effect::InverseOffer { framework_id, agents } => Some((framework_id, agents)),
        Effect::Inconsistent { reason } => panic!("{reason}"),
        _ => None,
    });
    inverse
        .flat_map(|(framework, agents)| {
            agents.into_iter().map(move |(agent, planned)| {
                (framework.to_string(), agent.to_string(), planned.start.nanoseconds)
            })
        })
        .collect()
}

fn tick(cluster: &mut Cluster) -> Vec<(String, String, i64)> {
    cluster.pass(1.0);
    asked(cluster, Event::Tick)
}

fn is(framework: &str, agent: &str, start: i64) -> (String, String, i64) {
    (framework.to_string(), agent.to_string(), start)
}

/// f1 uses something on s1 and s2; f2 has nothing.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new(Options::default());
    cluster.add_framework("f1", "role");
    for id in ["s1", "s2"] {
        cluster.add_agent(id, "cpus:1;mem:100");
        for offer in cluster.settle() {
            cluster.use_all(&offer);
        }
    }
    cluster.add_framework("f2", "role");
    cluster
}

#[test]
fn whoever_holds_something_is_asked_once() {
    let mut cluster = cluster();
    assert!(tick(&mut cluster).is_empty());
    plan(&mut cluster, "s1", Some(at(5)));
    // At once, not only with the next interval.
    assert!(cluster.said().1.contains(&Effect::Wake));
    assert_eq!(asked(&mut cluster, Event::Allocate), [is("f1", "s1", 5)]);
    assert!(tick(&mut cluster).is_empty());
    // The same plan again is no question; another time is.
    plan(&mut cluster, "s1", Some(at(5)));
    assert!(tick(&mut cluster).is_empty());
    plan(&mut cluster, "s1", Some(at(6)));
    plan(&mut cluster, "s2", Some(at(7)));
    assert_eq!(tick(&mut cluster), [is("f1", "s1", 6), is("f1", "s2", 7)]);
    plan(&mut cluster, "s1", None);
    close(&mut cluster, "f1", "s1", None);
    assert!(tick(&mut cluster).is_empty());
}

#[test]
fn answers_count_for_a_while() {
    let mut cluster = cluster();
    plan(&mut cluster, "s1", Some(at(5)));
    assert_eq!(tick(&mut cluster).len(), 1);
    close(&mut cluster, "f1", "s1", Some(10));
    // What is not outstanding is not answered.
    close(&mut cluster, "f1", "s1", Some(10_000));
    close(&mut cluster, "f1", "s2", Some(10_000));
    close(&mut cluster, "nobody", "s1", Some(10_000));
    assert!(tick(&mut cluster).is_empty());
    cluster.pass(10.0);
    assert_eq!(tick(&mut cluster).len(), 1);
    // Rescinded, or answered with a filter of nothing.
    for refuse in [None, Some(0)] {
        close(&mut cluster, "f1", "s1", refuse);
        assert_eq!(tick(&mut cluster).len(), 1);
    }
    // REVIVE and another plan take filters off; an answer to the plan before is none.
    close(&mut cluster, "f1", "s1", Some(1000));
    cluster.revive("f1", "");
    assert_eq!(tick(&mut cluster).len(), 1);
    close(&mut cluster, "f1", "s1", Some(1000));
    plan(&mut cluster, "s1", Some(at(6)));
    close(&mut cluster, "f1", "s1", Some(1000));
    assert_eq!(tick(&mut cluster), [is("f1", "s1", 6)]);
}

#[test]
fn inactive_agents_and_frameworks_are_left_alone() {
    let mut cluster = cluster();
    let (f1, s1) = (FrameworkId::new("f1"), AgentId::new("s1"));
    cluster.tell(Event::DeactivateAgent { agent_id: s1.clone() });
    plan(&mut cluster, "s1", Some(at(5)));
    assert!(tick(&mut cluster).is_empty());
    cluster.tell(Event::ActivateAgent { agent_id: s1.clone() });
    cluster.tell(Event::DeactivateFramework { framework_id: f1.clone() });
    assert!(tick(&mut cluster).is_empty());
    cluster.tell(Event::ActivateFramework { framework_id: f1.clone() });
    assert_eq!(tick(&mut cluster).len(), 1);

    // With the agent its plan goes, and with the framework what it was asked.
    cluster.tell(Event::RemoveAgent { agent_id: s1.clone() });
    assert!(tick(&mut cluster).is_empty());
    let details = messor_allocator::AgentDetails { unavailability: Some(at(8)), ..agent() };
    let used = resources("cpus:1").allocated_to(&messor_types::Role::new("role"));
    cluster.add_agent_with("s1", details.clone(), resources("cpus:1;mem:100"), &[("f1", used)]);
    assert!(tick(&mut cluster).contains(&is("f1", "s1", 8)));
    cluster.tell(Event::RemoveFramework { framework_id: f1.clone() });
    let used = BTreeMap::from([(s1, resources("cpus:1").allocated_to(&messor_types::Role::new("role")))]);
    let details = crate::cluster::framework("role");
    cluster.tell(Event::AddFramework { framework_id: f1, details, active: true, used });
    tick(&mut cluster);
    close(&mut cluster, "f1", "s1", None);
    assert!(tick(&mut cluster).iter().all(|(_, agent, _)| agent == "s1"));
}
