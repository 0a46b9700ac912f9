//! An agent with a past: what it takes over of it.

use std::collections::BTreeMap;

use messor_types::ContainerId;

use crate::agent::Agent;
use crate::effect::{ContainerCommand, Effect};
use crate::recovered::Recovered;
use crate::turn::Turn;

impl Agent {
    pub(crate) fn recover(&mut self, turn: &mut Turn<'_>, recovered: Recovered) {
        if recovered.agent.is_some() {
            turn.error("not supported yet: recovering what an agent of before left".to_string());
        }
        turn.effect(Effect::Container(ContainerCommand::Recover { runs: Vec::new() }));
    }

    pub(crate) fn containers_recovered(
        &mut self,
        turn: &mut Turn<'_>,
        running: &BTreeMap<ContainerId, u32>,
        destroyed: usize,
    ) {
        turn.info(format!("{} containers run on; {destroyed} of no executor were destroyed", running.len()));
    }
}
