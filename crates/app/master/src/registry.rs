//! The registrar's log: in memory, or a replica of the replicated log whose answers come back as inputs.

use messor_http_api::Machine;
use messor_master_core::View;
use messor_net::Net;
use messor_registry::MemoryLog;
use messor_replica::{Outcome, Replica};
use messor_replog::Command;

use crate::input::Input;

/// Where the registry is kept.
pub enum RegistryLog {
    Memory(MemoryLog),
    Replicated(Replica),
}

impl RegistryLog {
    /// Opens the files and begins to answer other replicas.
    pub fn replicated(
        net: &Net,
        options: &messor_replica::Options,
        own: Machine<Input, View>,
    ) -> Result<RegistryLog, messor_replica::StartError> {
        let replica = Replica::start(net, options, move |outcome| {
            own.event(match outcome {
                Outcome::Done { ticket, outcome } => Input::Log { ticket, outcome },
                Outcome::Failed { reason } => Input::Over { reason },
            });
        })?;
        Ok(RegistryLog::Replicated(replica))
    }

    /// Answered by `Input::Log`.
    pub fn command(&mut self, ticket: u64, command: Command, own: &Machine<Input, View>) {
        match self {
            RegistryLog::Memory(log) => own.event(Input::Log { ticket, outcome: Ok(log.answer(command)) }),
            RegistryLog::Replicated(replica) => replica.commands().command(ticket, command),
        }
    }

    /// `registrar/log/*`.
    pub fn metrics(&self) -> Vec<(String, f64)> {
        match self {
            RegistryLog::Memory(_) => Vec::new(),
            RegistryLog::Replicated(replica) => vec![
                ("registrar/log/ensemble_size".to_string(), replica.ensemble_size() as f64),
                ("registrar/log/recovered".to_string(), f64::from(u8::from(replica.recovered()))),
            ],
        }
    }
}
