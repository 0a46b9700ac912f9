//! Recovery, batches, time limits.

use std::time::Duration;

use messor_proto::Wire;
use messor_proto::mesos::internal::{Registry, registry, state};
use messor_registry::{MemoryLog, Operation};
use messor_replog::{Answer, Command, Failure};
use messor_types::AgentId;

use crate::world::{World, admit, names};

/// A world whose log is all done.
fn settled(world: &mut World, log: &mut MemoryLog) {
    while world.answer(|command| Ok(log.answer(command))) {}
}

fn leading(log: &mut MemoryLog) -> World {
    let mut world = World::new(1);
    world.start("m1");
    settled(&mut world, log);
    assert!(world.recovered.is_some());
    world
}

fn append(log: &mut MemoryLog, registry: &Registry) {
    let entry = state::Entry { name: "registry".into(), uuid: vec![1; 16], value: registry.encode_bytes() };
    let snapshot = Some(state::operation::Snapshot { entry });
    let operation =
        state::Operation { r#type: state::operation::Type::Snapshot.into(), snapshot, ..Default::default() };
    log.answer(Command::Append(operation.encode_bytes()));
}

#[test]
fn an_empty_log_becomes_a_registry_with_its_master() {
    let mut log = MemoryLog::default();
    let world = leading(&mut log);
    let state = world.registrar.state().unwrap();
    assert_eq!((state.master().unwrap().id.as_str(), state.agents().len()), ("m1", 0));
    assert_eq!(world.metric("registrar/queued_operations"), Some(0.0));
    assert_eq!(world.metric("registrar/state_fetch_ms"), Some(0.0));
    assert!(world.metric("registrar/registry_size_bytes").unwrap() > 0.0);
    // The log holds one entry, and the next master finds all of it.
    let mut next = World::new(2);
    next.start("m2");
    settled(&mut next, &mut log);
    assert_eq!(next.registrar.state().unwrap().master().unwrap().id, "m2");
}

#[test]
fn what_waits_goes_into_one_write_in_order() {
    let mut log = MemoryLog::default();
    let mut world = leading(&mut log);
    world.apply(1, admit("S1"));
    // These come while the first is written.
    world.apply(2, admit("S2"));
    world.apply(3, admit("S1"));
    world.apply(4, Operation::RemoveAgent { id: AgentId::new("S2") });
    assert_eq!(world.metric("registrar/queued_operations"), Some(3.0));
    let mut writes = 0;
    while world.answer(|command| {
        writes += usize::from(matches!(command, Command::Append(_)));
        Ok(log.answer(command))
    }) {}
    assert_eq!(writes, 2);
    assert_eq!(world.applied, [(1, Ok(true)), (2, Ok(true)), (3, Ok(false)), (4, Ok(true))]);
    assert_eq!(names(world.registrar.state().unwrap()), ["S1"]);
    assert!(world.metric("registrar/state_store_ms/count").unwrap() >= 2.0);
}

#[test]
fn operations_wait_for_the_recovery() {
    let mut log = MemoryLog::default();
    let mut world = World::new(1);
    world.apply(1, admit("S1"));
    world.start("m1");
    world.apply(2, admit("S2"));
    settled(&mut world, &mut log);
    assert_eq!(world.applied, [(1, Ok(true)), (2, Ok(true))]);
    // The master hears first how the registry was.
    assert_eq!(names(&world.recovered.unwrap()), Vec::<String>::new());
}

#[test]
fn a_long_log_is_read_in_pieces_and_its_newest_entry_counts() {
    let mut log = MemoryLog::default();
    for number in 0..50 {
        let info = messor_proto::mesos::MasterInfo { id: format!("old-{number}"), ..Default::default() };
        append(&mut log, &Registry { master: Some(registry::Master { info }), ..Default::default() });
    }
    let mut world = World::new(1);
    world.start("m1");
    let mut reads = 0;
    while world.answer(|command| {
        reads += usize::from(matches!(command, Command::Read { .. }));
        Ok(log.answer(command))
    }) {}
    assert_eq!(reads, 4);
    assert_eq!(log.answer(Command::Ends), Answer::Ends { begin: 51, end: 52 });
}

#[test]
fn a_registry_that_needs_more_is_left_alone() {
    let mut log = MemoryLog::default();
    let capability = "FROM_THE_FUTURE".to_string();
    let minimum_capabilities = vec![registry::MinimumCapability { capability }];
    append(&mut log, &Registry { minimum_capabilities, ..Default::default() });
    let mut world = World::new(1);
    world.start("m1");
    settled(&mut world, &mut log);
    assert!(world.recovered.is_none());
    assert!(world.failed.as_deref().unwrap().contains("FROM_THE_FUTURE"));
    assert_eq!(log.answer(Command::Ends), Answer::Ends { begin: 1, end: 1 });
    world.apply(1, admit("S1"));
    assert!(world.applied[0].1.is_err());
}

#[test]
fn what_cannot_be_read_is_not_written_over() {
    for entry in [&b"\xff\xff"[..], b""] {
        let mut log = MemoryLog::default();
        log.answer(Command::Append(entry.to_vec()));
        let mut world = World::new(1);
        world.start("m1");
        settled(&mut world, &mut log);
        assert!(world.failed.as_deref().unwrap().contains("cannot read the registry"));
        assert_eq!(log.answer(Command::Ends), Answer::Ends { begin: 1, end: 1 });
    }
}

#[test]
fn reading_has_its_time() {
    let mut world = World::new(1);
    world.start("m1");
    assert_eq!(world.commands[0].1, Command::Elect);
    let ticket = world.commands[0].0;
    assert!(world.next_timer());
    assert!(world.failed.as_deref().unwrap().contains("--registry_fetch_timeout"));
    // An answer that comes late changes nothing.
    let outcome = Ok(Answer::Elected { begin: 0, end: 0 });
    world.handle(messor_registry::RegistrarEvent::Log { ticket, outcome });
    assert_eq!(world.commands.len(), 1);
}

#[test]
fn a_log_that_fails_is_the_end() {
    let mut world = World::new(1);
    world.start("m1");
    world.apply(1, admit("S1"));
    assert!(world.answer(|_| Err(Failure::Storage("no disk".into()))));
    assert_eq!(world.failed.as_deref(), Some("cannot read the registry: the log's storage failed: no disk"));
    assert!(world.applied[0].1.is_err());
    let mut log = MemoryLog::default();
    let mut world = leading(&mut log);
    world.apply(1, admit("S1"));
    assert!(world.answer(|_| Err(Failure::Lost)));
    assert!(world.failed.as_deref().unwrap().starts_with("cannot write the registry: another writer"));
    assert!(world.applied[0].1.is_err());
}

#[test]
fn writing_has_its_time() {
    let mut log = MemoryLog::default();
    let mut world = leading(&mut log);
    world.apply(1, admit("S1"));
    world.advance(Duration::from_secs(19));
    world.apply(2, admit("S2"));
    assert!(world.next_timer());
    assert!(world.failed.as_deref().unwrap().contains("--registry_store_timeout"));
    assert!(world.applied.iter().all(|(_, outcome)| outcome.is_err()));
    assert_eq!(world.applied.len(), 2);
    assert_eq!(names(world.registrar.state().unwrap()), Vec::<String>::new());
}

#[test]
fn a_truncation_that_hangs_holds_nobody_for_ever() {
    let mut log = MemoryLog::default();
    let mut world = leading(&mut log);
    world.apply(1, admit("S1"));
    assert!(world.answer(|command| Ok(log.answer(command))));
    assert_eq!(world.applied, [(1, Ok(true))]);
    assert!(matches!(world.commands[0].1, Command::Truncate { .. }));
    // Nobody waits: there is no hurry.
    assert!(!world.next_timer());
    world.apply(2, admit("S2"));
    assert!(world.next_timer());
    assert!(world.failed.as_deref().unwrap().contains("--registry_store_timeout"));
}
