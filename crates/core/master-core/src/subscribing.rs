//! SUBSCRIBE, by HTTP and by driver: new frameworks, frameworks that come back, and moves from one way to the other
//! (U093).

use std::collections::BTreeSet;

use messor_allocator::{Event as Allocation, OfferConstraints};
use messor_proto::mesos::FrameworkInfo;
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler::{self, Call, call};
use messor_stdx::Time;
use messor_types::{FrameworkId, Pid};
use messor_validation::{
    framework_roles, preserve_immutable_fields, validate_framework, validate_framework_update,
    validate_scheduler_call, validate_suppressed_roles,
};

use crate::effect::{Effect, Outcome};
use crate::event::{ReplyId, StreamId, Timer};
use crate::master::Master;
use crate::notice::{self, FRAMEWORK_FAILED_OVER, FRAMEWORK_REMOVED, Notice};
use crate::state::Framework;
use crate::turn::Turn;
use crate::view::FrameworkRecord;

/// Where a subscription comes from.
#[derive(Clone, Debug)]
enum Caller {
    Stream(StreamId),
    Driver(Pid),
}

/// What a framework says of its offers when it subscribes, beside its FrameworkInfo. What it does not say again is over.
pub(crate) struct Wishes {
    pub suppressed_roles: Vec<String>,
    pub offer_constraints: OfferConstraints,
}

impl Master {
    pub(crate) fn subscribe_by_http(
        &mut self,
        turn: &mut Turn<'_>,
        stream: StreamId,
        reply: ReplyId,
        principal: Option<String>,
        call: Call,
    ) {
        if let Err(error) = validate_scheduler_call(&call, principal.as_deref()) {
            return turn.reply(reply, Outcome::Invalid(error.to_string()));
        }
        let Some(mut subscribe) = call.subscribe else {
            return turn.reply(reply, Outcome::Invalid("expecting 'subscribe' to be present".to_string()));
        };
        if subscribe.framework_info.principal.is_none() {
            subscribe.framework_info.principal = principal;
        }
        // A refusal travels on the stream too: as its only event.
        turn.push(Effect::StreamOpened { stream, reply });
        self.subscribe(turn, &Caller::Stream(stream), subscribe);
    }

    pub(crate) fn subscribe_by_driver(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        subscribe: call::Subscribe,
    ) {
        self.subscribe(turn, &Caller::Driver(from.clone()), subscribe);
    }

    /// The older message of a driver that registers for the first time.
    pub(crate) fn register_framework(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: wire::RegisterFrameworkMessage,
    ) {
        if message.framework.id.as_ref().is_some_and(|id| !id.value.is_empty()) {
            let error = "a framework registers without 'id'; with one it reregisters".to_string();
            return turn.send(from, &wire::FrameworkErrorMessage { message: error });
        }
        let subscribe = call::Subscribe { framework_info: message.framework, ..Default::default() };
        self.subscribe_by_driver(turn, from, subscribe);
    }

    /// The older message of a driver that comes back.
    pub(crate) fn reregister_framework(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: wire::ReregisterFrameworkMessage,
    ) {
        if message.framework.id.as_ref().is_none_or(|id| id.value.is_empty()) {
            let error = "a framework reregisters with its 'id'".to_string();
            return turn.send(from, &wire::FrameworkErrorMessage { message: error });
        }
        let subscribe = call::Subscribe {
            framework_info: message.framework,
            force: Some(message.failover),
            ..Default::default()
        };
        self.subscribe_by_driver(turn, from, subscribe);
    }

    fn subscribe(&mut self, turn: &mut Turn<'_>, caller: &Caller, subscribe: call::Subscribe) {
        let force = subscribe.force();
        let mut info = subscribe.framework_info;
        let id = info.id.as_ref().map(FrameworkId::from).filter(|id| !id.as_str().is_empty());
        match id {
            None => self.counters.messages_register_framework.increment(),
            Some(_) => self.counters.messages_reregister_framework.increment(),
        }
        let name = info.name.clone();
        let checked =
            self.check_framework(&info, &subscribe.suppressed_roles, subscribe.offer_constraints.as_ref());
        let offer_constraints = match checked {
            Ok(constraints) => constraints,
            Err(error) => {
                turn.info(format!("refusing the subscription of framework '{name}': {error}"));
                return refuse(turn, caller, error);
            }
        };
        let wishes = Wishes { suppressed_roles: subscribe.suppressed_roles, offer_constraints };
        let Some(id) = id else {
            return self.subscribe_new(turn, caller, info, wishes);
        };
        if let Caller::Driver(from) = caller
            && let Some(other) = self.frameworks.by_pid.get(from).filter(|other| **other != id)
        {
            return turn.warning(format!(
                "dropping the subscription of framework {id}: {other} is connected at {from}"
            ));
        }
        if self.frameworks.get(&id).is_none() {
            self.recover_framework(turn, info.clone());
        }
        let Some(framework) = self.frameworks.get(&id) else { return };
        let kept = preserve_immutable_fields(framework.info(), &mut info);
        if !kept.is_empty() {
            turn.warning(format!(
                "framework {} cannot change {kept:?}: the old values stay",
                framework.name()
            ));
        }
        if let Err(error) = validate_framework_update(framework.info(), &info) {
            return refuse(turn, caller, error.to_string());
        }
        let recovered = framework.record.recovered;
        self.count_call(&id, call::Type::Subscribe);
        let Some(framework) = self.frameworks.get(&id) else { return };
        if let Caller::Driver(from) = caller
            && !recovered
            && !force
            && framework.record.pid.as_ref() != Some(from)
        {
            turn.warning(format!(
                "refusing the subscription of framework {} from {from}: it is elsewhere",
                framework.name()
            ));
            return refuse(turn, caller, FRAMEWORK_FAILED_OVER.to_string());
        }
        self.update_framework(turn, &id, info, wishes);
        match caller {
            _ if recovered => self.recovered_framework_subscribes(turn, &id, caller),
            Caller::Driver(_) if !force => self.same_driver_subscribes(turn, &id, caller),
            _ => self.fail_over(turn, &id, caller),
        }
        self.send_framework_updates(turn, &id);
    }

    /// What has to hold for every FrameworkInfo that comes here; gives its constraints, ready to be asked.
    pub(crate) fn check_framework(
        &self,
        info: &FrameworkInfo,
        suppressed: &[String],
        constraints: Option<&scheduler::OfferConstraints>,
    ) -> Result<OfferConstraints, String> {
        validate_framework(info).map_err(|error| format!("'framework_info' is invalid: {error}"))?;
        let roles: BTreeSet<String> = framework_roles(info);
        if let Some(role) = roles.iter().find(|role| !self.config.allows_role(role)) {
            return Err(format!("role '{role}' is not in the master's --roles"));
        }
        if info.user == "root" && !self.config.root_submissions {
            return Err(
                "user 'root' may not run frameworks: the master has --no-root_submissions".to_string()
            );
        }
        let id = info.id.as_ref().map(|id| id.value.as_str()).unwrap_or_default();
        if self.frameworks.completed.contains_key(id) {
            return Err(FRAMEWORK_REMOVED.to_string());
        }
        validate_suppressed_roles(&roles, suppressed).map_err(|error| error.to_string())?;
        let Some(constraints) = constraints else { return Ok(OfferConstraints::default()) };
        OfferConstraints::parse(constraints, self.config.regex_limits).map_err(|error| error.to_string())
    }

    fn subscribe_new(
        &mut self,
        turn: &mut Turn<'_>,
        caller: &Caller,
        mut info: FrameworkInfo,
        wishes: Wishes,
    ) {
        if let Caller::Driver(from) = caller
            && let Some(id) = self.frameworks.by_pid.get(from).cloned()
        {
            turn.info(format!("framework {id} at {from} is subscribed already: telling it again"));
            // It may have been taken for gone before it heard of its id: it is there, as this shows.
            if self.frameworks.get(&id).is_some_and(|framework| !framework.connected()) {
                self.connect(turn, &id, caller);
                self.activate(turn, &id);
            }
            return self.tell(
                turn,
                &id,
                Notice::Subscribed { master: self.info.clone(), reregistered: false },
            );
        }
        let id = self.new_framework_id();
        info.id = Some((&id).into());
        let mut record = new_record(id.clone(), info, turn.now);
        record.suppressed_roles = wishes.suppressed_roles;
        record.offer_constraints = wishes.offer_constraints;
        record.active = true;
        let framework = Framework::new(record);
        turn.info(format!("subscribed framework {}", framework.name()));
        self.frameworks.registered.insert(id.clone(), framework);
        self.count_call(&id, call::Type::Subscribe);
        self.connect(turn, &id, caller);
        self.allocate_to(turn, &id);
        self.tell(turn, &id, Notice::Subscribed { master: self.info.clone(), reregistered: false });
        self.first_heartbeat(turn, &id, caller);
        self.publish_framework(turn, &id, true);
    }

    fn new_framework_id(&mut self) -> FrameworkId {
        loop {
            let id = FrameworkId::numbered(&self.info.id, self.next_framework);
            self.next_framework += 1;
            // A framework may have come with an id of this form by itself.
            let taken = self.frameworks.get(&id).is_some() || self.frameworks.completed.contains_key(&id);
            if !taken {
                return id;
            }
        }
    }

    /// A framework that is known from agents, or from nowhere but its own words.
    pub(crate) fn recover_framework(&mut self, turn: &mut Turn<'_>, info: FrameworkInfo) {
        let Some(id) = info.id.as_ref().map(FrameworkId::from) else { return };
        let record = FrameworkRecord { recovered: true, ..new_record(id.clone(), info, Time::ZERO) };
        self.frameworks.registered.insert(id.clone(), Framework::new(record));
        self.allocate_to(turn, &id);
        self.wait_for_recovered_framework(turn, &id);
        self.publish_framework(turn, &id, true);
    }

    fn allocate_to(&mut self, turn: &mut Turn<'_>, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(id) else { return };
        turn.allocator(Allocation::AddFramework {
            framework_id: id.clone(),
            details: framework.details(),
            active: framework.record.active,
            used: framework.used_on.clone(),
        });
    }

    /// The framework is at `caller` from now on.
    fn connect(&mut self, turn: &mut Turn<'_>, id: &FrameworkId, caller: &Caller) {
        let Some(framework) = self.frameworks.registered.get_mut(id) else { return };
        turn.push(Effect::CancelTimer { timer: Timer::FrameworkFailover(id.clone()) });
        if let Some(stream) = framework.stream.take() {
            self.frameworks.by_stream.remove(&stream);
            turn.push(Effect::CloseStream { stream });
        }
        let old_pid = framework.record.pid.clone();
        let new_pid = match caller {
            Caller::Stream(stream) => {
                framework.stream = Some(*stream);
                self.frameworks.by_stream.insert(*stream, id.clone());
                None
            }
            Caller::Driver(pid) => {
                self.frameworks.by_pid.insert(pid.clone(), id.clone());
                turn.push(Effect::Link { pid: pid.clone() });
                Some(pid.clone())
            }
        };
        if let Some(old) = old_pid.filter(|old| Some(old) != new_pid.as_ref()) {
            self.frameworks.by_pid.remove(&old);
            turn.push(Effect::Unlink { pid: old });
        }
        let record = framework.change();
        record.pid = new_pid;
        record.connected = true;
        record.recovered = false;
        if let Some(principal) = &record.principal {
            self.counters.know_principal(principal);
        }
    }

    fn activate(&mut self, turn: &mut Turn<'_>, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        if !framework.record.active {
            framework.change().active = true;
            turn.allocator(Allocation::ActivateFramework { framework_id: id.clone() });
        }
    }

    fn recovered_framework_subscribes(&mut self, turn: &mut Turn<'_>, id: &FrameworkId, caller: &Caller) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            let record = framework.change();
            record.registered_time = turn.now;
            record.reregistered_time = Some(turn.now);
        }
        self.connect(turn, id, caller);
        self.activate(turn, id);
        let reregistered = matches!(caller, Caller::Stream(_));
        self.tell(turn, id, Notice::Subscribed { master: self.info.clone(), reregistered });
        self.first_heartbeat(turn, id, caller);
        turn.info(format!("framework {id} is back"));
    }

    /// The driver lost its connection, or was not answered, and asks again from the same place.
    fn same_driver_subscribes(&mut self, turn: &mut Turn<'_>, id: &FrameworkId, caller: &Caller) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        framework.change().reregistered_time = Some(turn.now);
        let offers = framework.offers.clone();
        for offer in &offers {
            self.rescind(turn, offer);
        }
        self.withdraw_inverse_offers(turn, id, true);
        self.connect(turn, id, caller);
        self.activate(turn, id);
        self.tell(turn, id, Notice::Subscribed { master: self.info.clone(), reregistered: true });
    }

    /// Another scheduler takes the framework over.
    fn fail_over(&mut self, turn: &mut Turn<'_>, id: &FrameworkId, caller: &Caller) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        framework.change().reregistered_time = Some(turn.now);
        let same = matches!(caller, Caller::Driver(pid) if framework.record.pid.as_ref() == Some(pid));
        if framework.connected() && !same {
            framework.tell(turn, Notice::Error(FRAMEWORK_FAILED_OVER.to_string()));
        }
        turn.info(format!("framework {} failed over", framework.name()));
        let offers = framework.offers.clone();
        self.connect(turn, id, caller);
        for offer in &offers {
            self.discard(turn, offer, None);
        }
        self.withdraw_inverse_offers(turn, id, false);
        self.activate(turn, id);
        self.tell(turn, id, Notice::Subscribed { master: self.info.clone(), reregistered: false });
        self.first_heartbeat(turn, id, caller);
    }

    /// HTTP schedulers measure the interval from the first one.
    fn first_heartbeat(&self, turn: &mut Turn<'_>, id: &FrameworkId, caller: &Caller) {
        if matches!(caller, Caller::Stream(_)) {
            self.tell(turn, id, Notice::Heartbeat);
        }
    }
}

fn refuse(turn: &mut Turn<'_>, caller: &Caller, error: String) {
    // The framework has no id that could be told: the events and messages of a refusal carry none.
    let nobody = FrameworkId::new("");
    match caller {
        Caller::Stream(stream) => {
            notice::to_stream(turn, *stream, &nobody, Notice::Error(error));
            turn.push(Effect::CloseStream { stream: *stream });
        }
        Caller::Driver(pid) => notice::to_driver(turn, pid, &nobody, Notice::Error(error)),
    }
}

/// A framework that is subscribing; `connect` says where it is.
fn new_record(id: FrameworkId, info: FrameworkInfo, now: Time) -> FrameworkRecord {
    FrameworkRecord {
        id,
        principal: info.principal.clone(),
        info,
        pid: None,
        connected: false,
        active: false,
        recovered: false,
        registered_time: now,
        reregistered_time: None,
        unregistered_time: None,
        suppressed_roles: Vec::new(),
        offer_constraints: OfferConstraints::default(),
    }
}
