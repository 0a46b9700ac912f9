//! Operations on agents.

use std::collections::BTreeSet;

use messor_proto::mesos::internal::registry;
use messor_proto::mesos::master_info::capability;
use messor_proto::mesos::{AgentInfo, DrainConfig, DrainInfo, DrainState, DurationInfo, TimeInfo};
use messor_proto::{Version, WireEnum, raw};
use messor_stdx::Time;
use messor_types::{AgentId, Resource, ResourceFormat};

use crate::kept::{Kept, Packed};
use crate::operation::Refusal;
use crate::state::State;

/// Read only where it says anything of that: there may be very many.
fn is_deactivated(agent: &Packed<registry::Agent>) -> bool {
    let says = |field: raw::RawField<'_>| field.number == DEACTIVATED;
    raw::fields(agent.bytes()).any(|field| field.is_ok_and(says)) && agent.message().deactivated()
}

/// The number of the field of `Agent`.
const DEACTIVATED: u32 = 3;

type Applied = Result<bool, Refusal>;

impl State {
    pub(crate) fn admit(&mut self, info: &AgentInfo) -> Applied {
        let id = id_of(info)?;
        if self.agents.contains_key(&id) {
            return Err(Refusal::Admitted(id));
        }
        let agent = registry::Agent { info: stored_form(info), ..Default::default() };
        self.agents.insert(id, Packed::new(&agent));
        Ok(true)
    }

    pub(crate) fn update(&mut self, info: &AgentInfo) -> Applied {
        let id = id_of(info)?;
        let agent = self.agents.get_mut(&id).ok_or(Refusal::NotAdmitted(id))?;
        let info = stored_form(info);
        if agent.message().info == info {
            return Ok(false);
        }
        agent.change(|agent| agent.info = info);
        Ok(true)
    }

    pub(crate) fn mark_unreachable(&mut self, id: &AgentId, time: Time) -> Applied {
        let agent = self.agents.shift_remove(id).ok_or_else(|| Refusal::NotAdmitted(id.clone()))?;
        let agent = agent.message();
        let unreachable = registry::UnreachableAgent {
            id: id.into(),
            timestamp: time_info(time),
            deactivated: Some(agent.deactivated()),
            drain_info: agent.drain_info,
        };
        // Marked again after it came back: it counts as the newest.
        self.unreachable.shift_remove(id);
        self.unreachable.insert(id.clone(), Kept::new(unreachable));
        Ok(true)
    }

    pub(crate) fn mark_reachable(&mut self, info: &AgentInfo) -> Applied {
        let id = id_of(info)?;
        if self.agents.contains_key(&id) {
            return Ok(false);
        }
        let mut agent = registry::Agent { info: stored_form(info), ..Default::default() };
        // An agent the registry does not know any more is let in: its record may have been pruned.
        if let Some(unreachable) = self.unreachable.shift_remove(&id) {
            agent.deactivated = Some(unreachable.deactivated());
            agent.drain_info = unreachable.drain_info;
        }
        self.agents.insert(id, Packed::new(&agent));
        Ok(true)
    }

    pub(crate) fn remove(&mut self, id: &AgentId) -> Applied {
        self.agents.shift_remove(id).map(|_| true).ok_or_else(|| Refusal::NotAdmitted(id.clone()))
    }

    pub(crate) fn mark_gone(&mut self, id: &AgentId, time: Time) -> Applied {
        if self.gone.contains_key(id) {
            return Err(Refusal::Gone(id.clone()));
        }
        if self.agents.shift_remove(id).is_none() && self.unreachable.shift_remove(id).is_none() {
            return Err(Refusal::Unknown(id.clone()));
        }
        let gone = registry::GoneAgent { id: id.into(), timestamp: time_info(time) };
        self.gone.insert(id.clone(), Kept::new(gone));
        Ok(true)
    }

    pub(crate) fn prune(&mut self, unreachable: &[AgentId], gone: &[AgentId]) -> bool {
        let before = self.unreachable.len() + self.gone.len();
        // Sets, since a large cluster may forget thousands at once.
        let unreachable: BTreeSet<_> = unreachable.iter().collect();
        let gone: BTreeSet<_> = gone.iter().collect();
        self.unreachable.retain(|id, _| !unreachable.contains(id));
        self.gone.retain(|id, _| !gone.contains(id));
        self.unreachable.len() + self.gone.len() != before
    }

    /// Changes how an agent is drained, be it admitted or unreachable.
    fn change_draining(
        &mut self,
        id: &AgentId,
        change: impl FnOnce(&mut Option<DrainInfo>, &mut Option<bool>),
    ) -> Result<(), Refusal> {
        if let Some(agent) = self.agents.get_mut(id) {
            agent.change(|agent| change(&mut agent.drain_info, &mut agent.deactivated));
        } else if let Some(agent) = self.unreachable.get_mut(id) {
            agent.change(|agent| change(&mut agent.drain_info, &mut agent.deactivated));
        } else {
            return Err(Refusal::Unknown(id.clone()));
        }
        Ok(())
    }

    pub(crate) fn drain(
        &mut self,
        id: &AgentId,
        max_grace_period: Option<DurationInfo>,
        mark_gone: bool,
    ) -> Applied {
        self.change_draining(id, |drain_info, deactivated| {
            // What was asked for before does not count any more.
            let config = DrainConfig { max_grace_period, mark_gone: Some(mark_gone) };
            *drain_info = Some(DrainInfo { state: DrainState::Draining.number(), config });
            *deactivated = Some(true);
        })?;
        self.need(capability::Type::AgentDraining);
        Ok(true)
    }

    pub(crate) fn mark_drained(&mut self, id: &AgentId) -> Applied {
        let admitted = self.agents.get(id).map(|agent| agent.message().drain_info);
        let info = admitted.or_else(|| self.unreachable.get(id).map(|agent| agent.drain_info));
        let info = info.ok_or_else(|| Refusal::Unknown(id.clone()))?;
        if info.is_none_or(|info| info.state() != DrainState::Draining) {
            return Err(Refusal::NotDraining(id.clone()));
        }
        self.change_draining(id, |drain_info, _| {
            if let Some(info) = drain_info {
                info.state = DrainState::Drained.number();
            }
        })?;
        Ok(true)
    }

    pub(crate) fn deactivate(&mut self, id: &AgentId) -> Applied {
        self.change_draining(id, |_, deactivated| *deactivated = Some(true))?;
        self.need(capability::Type::AgentDraining);
        Ok(true)
    }

    pub(crate) fn reactivate(&mut self, id: &AgentId) -> Applied {
        self.change_draining(id, |drain_info, deactivated| {
            *drain_info = None;
            *deactivated = None;
        })?;
        let admitted = self.agents.values().any(is_deactivated);
        if !admitted && !self.unreachable.values().any(|agent| agent.deactivated()) {
            self.need_no_more(capability::Type::AgentDraining);
        }
        Ok(true)
    }

    /// A master without this capability may not lead from now on.
    pub(crate) fn need(&mut self, kind: capability::Type) {
        let capability = kind.wire_name(Version::V0).to_string();
        if !self.minimum_capabilities.iter().any(|needed| needed.capability == capability) {
            self.minimum_capabilities.push(Kept::new(registry::MinimumCapability { capability }));
        }
    }

    pub(crate) fn need_no_more(&mut self, kind: capability::Type) {
        self.minimum_capabilities.retain(|needed| needed.capability != kind.wire_name(Version::V0));
    }
}

fn id_of(info: &AgentInfo) -> Result<AgentId, Refusal> {
    info.id.as_ref().map(AgentId::from).ok_or(Refusal::NoId)
}

/// The registry keeps resources in the older form (`role` and `reservation`), so that older masters read them too.
fn stored_form(info: &AgentInfo) -> AgentInfo {
    let mut info = info.clone();
    for resource in &mut info.resources {
        if let Ok(read) = Resource::from_proto(resource) {
            *resource = read.to_proto(ResourceFormat::PreRefinement);
        }
    }
    info
}

fn time_info(time: Time) -> TimeInfo {
    TimeInfo { nanoseconds: i64::try_from(time.as_nanos()).unwrap_or(i64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;
    use messor_proto::mesos::internal::Registry;

    fn info(id: &str) -> Box<AgentInfo> {
        Box::new(AgentInfo {
            hostname: format!("host-{id}"),
            id: Some(AgentId::new(id).into()),
            ..Default::default()
        })
    }

    fn admitted(ids: &[&str]) -> State {
        let mut state = State::default();
        for id in ids {
            assert_eq!(state.apply(&Operation::AdmitAgent { info: info(id) }), Ok(true));
        }
        state
    }

    fn ids<'a, T: 'a>(list: impl Iterator<Item = (&'a AgentId, T)>) -> Vec<&'a str> {
        list.map(|(id, _)| id.as_str()).collect()
    }

    #[test]
    fn an_agent_is_admitted_once() {
        let mut state = admitted(&["S0", "S1"]);
        let again = state.apply(&Operation::AdmitAgent { info: info("S0") });
        assert_eq!(again, Err(Refusal::Admitted(AgentId::new("S0"))));
        assert_eq!(ids(state.agents()), ["S0", "S1"]);
        let without_id = Box::new(AgentInfo::default());
        assert_eq!(state.apply(&Operation::AdmitAgent { info: without_id }), Err(Refusal::NoId));
    }

    #[test]
    fn an_update_that_says_nothing_new_is_not_written() {
        let mut state = admitted(&["S0"]);
        assert_eq!(state.apply(&Operation::UpdateAgent { info: info("S0") }), Ok(false));
        let mut changed = info("S0");
        changed.hostname = "other".into();
        assert_eq!(state.apply(&Operation::UpdateAgent { info: changed }), Ok(true));
        assert_eq!(state.agents().next().unwrap().1.info.hostname, "other");
        let unknown = state.apply(&Operation::UpdateAgent { info: info("S9") });
        assert_eq!(unknown, Err(Refusal::NotAdmitted(AgentId::new("S9"))));
    }

    #[test]
    fn an_agent_is_lost_and_comes_back() {
        let mut state = admitted(&["S0", "S1"]);
        let lost = Operation::MarkAgentUnreachable { id: AgentId::new("S0"), time: Time::from_nanos(7) };
        assert_eq!(state.apply(&lost), Ok(true));
        assert_eq!(state.apply(&lost), Err(Refusal::NotAdmitted(AgentId::new("S0"))));
        assert_eq!((ids(state.agents()), ids(state.unreachable())), (vec!["S1"], vec!["S0"]));
        assert_eq!(state.unreachable().next().unwrap().1.timestamp.nanoseconds, 7);
        assert_eq!(state.apply(&Operation::MarkAgentReachable { info: info("S0") }), Ok(true));
        assert_eq!(state.apply(&Operation::MarkAgentReachable { info: info("S0") }), Ok(false));
        assert_eq!((ids(state.agents()), ids(state.unreachable())), (vec!["S1", "S0"], vec![]));
        assert_eq!(state.apply(&Operation::MarkAgentReachable { info: info("forgotten") }), Ok(true));
    }

    #[test]
    fn draining_survives_being_unreachable() {
        let mut registry = admitted(&["S0"]).to_proto();
        let agent = &mut registry.agents.as_mut().unwrap().agents[0];
        agent.deactivated = Some(true);
        agent.drain_info = Some(messor_proto::mesos::DrainInfo { state: 1, ..Default::default() });
        let mut state = State::from_proto(&registry).unwrap();
        let id = AgentId::new("S0");
        state.apply(&Operation::MarkAgentUnreachable { id, time: Time::ZERO }).unwrap();
        state.apply(&Operation::MarkAgentReachable { info: info("S0") }).unwrap();
        let agent = state.agents().next().unwrap().1;
        assert!(agent.deactivated() && agent.drain_info.is_some());
    }

    #[test]
    fn gone_is_for_ever() {
        let mut state = admitted(&["S0", "S1"]);
        let id = AgentId::new("S1");
        state.apply(&Operation::MarkAgentUnreachable { id, time: Time::ZERO }).unwrap();
        for id in ["S0", "S1"] {
            let gone = Operation::MarkAgentGone { id: AgentId::new(id), time: Time::from_nanos(1) };
            assert_eq!(state.apply(&gone), Ok(true));
            assert_eq!(state.apply(&gone), Err(Refusal::Gone(AgentId::new(id))));
        }
        let unknown = Operation::MarkAgentGone { id: AgentId::new("S9"), time: Time::ZERO };
        assert_eq!(state.apply(&unknown), Err(Refusal::Unknown(AgentId::new("S9"))));
        assert_eq!((ids(state.agents()).len(), ids(state.unreachable()).len()), (0, 0));
        assert_eq!(ids(state.gone()), ["S0", "S1"]);
    }

    #[test]
    fn prune_and_remove_forget() {
        let mut state = admitted(&["S0", "S1", "S2"]);
        for id in ["S0", "S1"] {
            let id = AgentId::new(id);
            state.apply(&Operation::MarkAgentUnreachable { id, time: Time::ZERO }).unwrap();
        }
        let prune =
            Operation::Prune { unreachable: vec![AgentId::new("S0")], gone: vec![AgentId::new("S9")] };
        assert_eq!(state.apply(&prune), Ok(true));
        assert_eq!(state.apply(&prune), Ok(false));
        assert_eq!(ids(state.unreachable()), ["S1"]);
        let remove = Operation::RemoveAgent { id: AgentId::new("S2") };
        assert_eq!(state.apply(&remove), Ok(true));
        assert_eq!(state.apply(&remove), Err(Refusal::NotAdmitted(AgentId::new("S2"))));
    }

    /// U112: Apache Mesos reads this registry too.
    #[test]
    #[allow(deprecated)] // `Resource.role` is the older form.
    fn resources_are_stored_in_the_older_form() {
        use messor_types::{Reservation, ReservationKind};
        let reserved =
            Resource::scalar("cpus", 2.0).with_reservation(Reservation::new(ReservationKind::Static, "r"));
        let mut agent = info("S0");
        agent.resources = vec![reserved.to_proto(ResourceFormat::PostRefinement)];
        let mut state = State::default();
        state.apply(&Operation::AdmitAgent { info: agent.clone() }).unwrap();
        let stored = &state.agents().next().unwrap().1.info.resources[0];
        assert_eq!((stored.role.as_deref(), stored.reservations.len()), (Some("r"), 0));
        assert_eq!(state.apply(&Operation::UpdateAgent { info: agent }), Ok(false));
    }

    #[test]
    fn draining_and_what_it_needs_of_a_master() {
        let mut state = admitted(&["S0", "S1"]);
        let id = |name: &str| AgentId::new(name);
        let drained = |id| Operation::MarkAgentDrained { id };
        assert_eq!(state.apply(&drained(id("S0"))), Err(Refusal::NotDraining(id("S0"))));
        let drain = |grace: Option<i64>| Operation::DrainAgent {
            id: id("S0"),
            max_grace_period: grace.map(|nanoseconds| DurationInfo { nanoseconds }),
            mark_gone: true,
        };
        state.apply(&drain(Some(5))).unwrap();
        state.apply(&drain(None)).unwrap();
        let info = state.agents().next().unwrap().1.drain_info.unwrap();
        assert_eq!(info.state(), DrainState::Draining);
        assert_eq!(info.config.max_grace_period, None);
        assert!(info.config.mark_gone());
        assert_eq!(state.minimum_capabilities().collect::<Vec<_>>(), ["AGENT_DRAINING"]);
        // An unreachable agent is drained as well.
        state.apply(&Operation::MarkAgentUnreachable { id: id("S0"), time: Time::ZERO }).unwrap();
        assert_eq!(state.apply(&drained(id("S0"))), Ok(true));
        assert_eq!(state.apply(&drained(id("S0"))), Err(Refusal::NotDraining(id("S0"))));
        state.apply(&Operation::DeactivateAgent { id: id("S1") }).unwrap();
        for name in ["S0", "S1"] {
            assert_eq!(state.minimum_capabilities().len(), 1, "before {name}");
            state.apply(&Operation::ReactivateAgent { id: id(name) }).unwrap();
        }
        assert_eq!(state.minimum_capabilities().len(), 0);
        let agent = state.unreachable().next().unwrap().1;
        assert_eq!((agent.deactivated, agent.drain_info), (None, None));
        for operation in [
            drained(id("S9")),
            Operation::DeactivateAgent { id: id("S9") },
            Operation::ReactivateAgent { id: id("S9") },
            Operation::DrainAgent { id: id("S9"), max_grace_period: None, mark_gone: false },
        ] {
            assert_eq!(state.apply(&operation), Err(Refusal::Unknown(id("S9"))));
        }
        assert_eq!(state.minimum_capabilities().len(), 0);
    }

    /// U112: a registry of another version loses nothing by being led by this one.
    #[test]
    fn what_a_newer_version_wrote_is_handed_on() {
        use messor_proto::Wire;
        let with_unknown = |mut bytes: Vec<u8>| {
            messor_proto::raw::put(&mut bytes, 900, b"new");
            bytes
        };
        let agent = registry::Agent { info: *info("S0"), ..Default::default() };
        let mut agents = Vec::new();
        messor_proto::raw::put(&mut agents, 1, &with_unknown(agent.encode_bytes()));
        let without_id = registry::Agent { info: AgentInfo::default(), ..Default::default() };
        messor_proto::raw::put(&mut agents, 1, &without_id.encode_bytes());
        let mut bytes = Vec::new();
        messor_proto::raw::put(&mut bytes, 2, &with_unknown(agents.clone()));
        let machines = registry::Machines::default().encode_bytes();
        messor_proto::raw::put(&mut bytes, 3, &with_unknown(machines));
        messor_proto::raw::put(&mut bytes, 9, b"");
        let bytes = with_unknown(bytes);
        let mut state = State::decode(&bytes).unwrap();
        assert_eq!(state.encode(), bytes);
        // A change of the agent itself keeps what is not known of it.
        state.apply(&Operation::DeactivateAgent { id: AgentId::new("S0") }).unwrap();
        let written = state.encode();
        assert_eq!(written.windows(3).filter(|bytes| bytes == b"new").count(), 4);
        assert_eq!(State::decode(&written).unwrap(), state);
        assert!(state.to_proto().resource_provider_registry.is_some());
        assert!(State::decode(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn the_message_round_trips() {
        let registry = admitted(&["S0"]).to_proto();
        assert_eq!(State::from_proto(&registry).unwrap().to_proto(), registry);
        let mut state = State::from_proto(&registry).unwrap();
        state.apply(&Operation::RemoveAgent { id: AgentId::new("S0") }).unwrap();
        assert_eq!(state.to_proto().agents, Some(registry::Agents::default()));
        assert_eq!(State::from_proto(&Registry::default()).unwrap().to_proto(), Registry::default());
    }

    #[test]
    fn a_master_must_have_what_the_registry_needs() {
        let mut state = State::default();
        let able = |kinds: &[capability::Type]| messor_proto::mesos::MasterInfo {
            capabilities: kinds
                .iter()
                .map(|kind| messor_proto::mesos::master_info::Capability { r#type: Some(kind.number()) })
                .collect(),
            ..Default::default()
        };
        use capability::Type::{AgentDraining, AgentUpdate, QuotaV2, Unknown};
        state.need(AgentDraining);
        state.need(AgentDraining);
        state.need(QuotaV2);
        for name in ["FROM_THE_FUTURE", "UNKNOWN"] {
            let capability = name.to_string();
            state.minimum_capabilities.push(Kept::new(registry::MinimumCapability { capability }));
        }
        assert_eq!(
            state.missing_capabilities(&able(&[AgentUpdate, AgentDraining, Unknown])),
            ["QUOTA_V2", "FROM_THE_FUTURE", "UNKNOWN"]
        );
    }
}
