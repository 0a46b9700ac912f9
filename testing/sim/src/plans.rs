//! What can be done with resources that are at hand: the operations, by whoever asks for them. It knows nothing of who
//! does, nor how.

use messor_proto::mesos::offer::operation::{
    Create, Destroy, GrowVolume, Reserve, ShrinkVolume, Type, Unreserve,
};
use messor_proto::mesos::{Resource, offer, value};
use messor_stdx::Random as Rng;

use crate::keeper::{allocated, refined, reserved, volume};
use crate::scheduler::scalar;

/// Roles that things are kept for.
pub const ROLES: [&str; 2] = ["keep/a", "keep/b"];
pub const PARENT: &str = "keep";

/// What a reservation takes of each.
const PART: [(&str, f64); 3] = [("cpus", 0.25), ("mem", 32.0), ("disk", 64.0)];
const VOLUME: f64 = 32.0;
const STEP: f64 = 8.0;
/// More than that is not reserved on an agent: others need room.
const MOST_RESERVED: f64 = 0.75;

/// What is there for one role, sorted by what can be done with it.
pub struct Holding {
    role: String,
    plain: Vec<Resource>,
    /// Reserved for the role above it: it may use that, or keep some of it to itself.
    inherited: Vec<Resource>,
    reserved: Vec<Resource>,
    volumes: Vec<Resource>,
    revocable: Vec<Resource>,
}

fn amount(resource: &Resource) -> f64 {
    resource.scalar.map_or(0.0, |scalar| scalar.value)
}

fn typed(kind: Type) -> offer::Operation {
    offer::Operation { r#type: Some(kind.into()), ..Default::default() }
}

/// Takes some of a resource of that name, if there is so much.
fn take(from: &mut [Resource], name: &str, wanted: f64) -> Option<Resource> {
    let found = from.iter_mut().find(|resource| resource.name == name && amount(resource) >= wanted)?;
    let rest = amount(found) - wanted;
    found.scalar = Some(value::Scalar { value: rest });
    Some(Resource { scalar: Some(value::Scalar { value: wanted }), ..found.clone() })
}

fn put(into: &mut Vec<Resource>, resource: Resource) {
    let same = |known: &Resource| known.name == resource.name && known.reservations == resource.reservations;
    match into.iter_mut().find(|known| same(known)) {
        Some(known) => known.scalar = Some(value::Scalar { value: amount(known) + amount(&resource) }),
        None => into.push(resource),
    }
}

impl Holding {
    pub fn of(resources: &[Resource], role: &str) -> Holding {
        let mut holding = Holding {
            role: role.to_string(),
            plain: Vec::new(),
            inherited: Vec::new(),
            reserved: Vec::new(),
            volumes: Vec::new(),
            revocable: Vec::new(),
        };
        for resource in resources {
            let persistent = resource.disk.as_ref().is_some_and(|disk| disk.persistence.is_some());
            let reserved_for =
                |role: &str| resource.reservations.last().is_some_and(|top| top.role() == role);
            let of_role = reserved_for(role);
            match () {
                () if resource.revocable.is_some() => holding.revocable.push(resource.clone()),
                () if persistent && of_role => holding.volumes.push(resource.clone()),
                () if of_role => holding.reserved.push(resource.clone()),
                () if reserved_for(PARENT) && !persistent => holding.inherited.push(resource.clone()),
                () if resource.reservations.is_empty() => holding.plain.push(resource.clone()),
                () => {}
            }
        }
        holding
    }

    pub fn reserve(&mut self, rng: &mut Rng) -> Option<offer::Operation> {
        let cpus = self.reserved.iter().filter(|resource| resource.name == "cpus").map(amount).sum::<f64>();
        if cpus >= MOST_RESERVED {
            return None;
        }
        let parts: Vec<&(&str, f64)> = PART.iter().filter(|_| !rng.one_in(3)).collect();
        let mut resources = Vec::new();
        for (name, wanted) in parts {
            resources.push(reserved(take(&mut self.plain, name, *wanted)?, &self.role));
        }
        if resources.is_empty() {
            return None;
        }
        resources.iter().for_each(|resource| put(&mut self.reserved, resource.clone()));
        let reserve = Reserve { source: Vec::new(), resources };
        Some(offer::Operation { reserve: Some(reserve), ..typed(Type::Reserve) })
    }

    /// Some of what is reserved for the role above becomes its own, on top of the reservation that is there.
    pub fn refine(&mut self, rng: &mut Rng) -> Option<offer::Operation> {
        let parts: Vec<&(&str, f64)> = PART.iter().filter(|_| !rng.one_in(3)).collect();
        let taken = parts.iter().filter_map(|(name, wanted)| take(&mut self.inherited, name, *wanted));
        let resources: Vec<Resource> = taken.map(|resource| refined(resource, &self.role)).collect();
        if resources.is_empty() {
            return None;
        }
        resources.iter().for_each(|resource| put(&mut self.reserved, resource.clone()));
        let reserve = Reserve { source: Vec::new(), resources };
        Some(offer::Operation { reserve: Some(reserve), ..typed(Type::Reserve) })
    }

    pub fn unreserve(&mut self) -> Option<offer::Operation> {
        let resources: Vec<Resource> =
            PART.iter().filter_map(|(name, wanted)| take(&mut self.reserved, name, *wanted)).collect();
        let unreserve = Some(Unreserve { resources }).filter(|unreserve| !unreserve.resources.is_empty())?;
        Some(offer::Operation { unreserve: Some(unreserve), ..typed(Type::Unreserve) })
    }

    pub fn create(&mut self, name: &str, shared: bool) -> Option<offer::Operation> {
        if self.volumes.len() >= 3 {
            return None;
        }
        let made = volume(take(&mut self.reserved, "disk", VOLUME)?, name, shared);
        self.volumes.push(made.clone());
        let create = Create { volumes: vec![made] };
        Some(offer::Operation { create: Some(create), ..typed(Type::Create) })
    }

    fn pick(&self, rng: &mut Rng) -> Option<usize> {
        let at = usize::try_from(rng.below(self.volumes.len() as u64)).unwrap_or(0);
        (at < self.volumes.len()).then_some(at)
    }

    pub fn destroy(&mut self, rng: &mut Rng) -> Option<offer::Operation> {
        let at = self.pick(rng)?;
        let destroy = Destroy { volumes: vec![self.volumes.remove(at)] };
        Some(offer::Operation { destroy: Some(destroy), ..typed(Type::Destroy) })
    }

    pub fn grow(&mut self, rng: &mut Rng) -> Option<offer::Operation> {
        let at = self.pick(rng).filter(|at| self.volumes[*at].shared.is_none())?;
        let addition = take(&mut self.reserved, "disk", STEP)?;
        // What it becomes is for the next offer.
        let grow = GrowVolume { volume: self.volumes.remove(at), addition };
        Some(offer::Operation { grow_volume: Some(grow), ..typed(Type::GrowVolume) })
    }

    pub fn shrink(&mut self, rng: &mut Rng) -> Option<offer::Operation> {
        let at = self.pick(rng).filter(|at| self.volumes[*at].shared.is_none())?;
        if amount(&self.volumes[at]) <= STEP {
            return None;
        }
        let shrink =
            ShrinkVolume { volume: self.volumes.remove(at), subtract: value::Scalar { value: STEP } };
        Some(offer::Operation { shrink_volume: Some(shrink), ..typed(Type::ShrinkVolume) })
    }

    /// Resources for one more task: some processor, some memory, and a volume if there is one.
    pub fn task(&mut self, rng: &mut Rng, with_revocable: bool) -> Option<Vec<Resource>> {
        let revocable = if with_revocable { take(&mut self.revocable, "cpus", 0.25) } else { None };
        let mut some = |name: &str, wanted: f64| {
            take(&mut self.reserved, name, wanted)
                .or_else(|| take(&mut self.inherited, name, wanted))
                .or_else(|| take(&mut self.plain, name, wanted))
        };
        let cpus = revocable.or_else(|| some("cpus", 0.25))?;
        let mut resources = vec![cpus, some("mem", 32.0)?];
        if let Some(at) = self.pick(rng) {
            // A shared one stays for others.
            let taken = match self.volumes[at].shared.is_some() {
                true => self.volumes[at].clone(),
                false => self.volumes.remove(at),
            };
            resources.push(taken);
        }
        Some(resources.into_iter().map(|resource| allocated(resource, &self.role)).collect())
    }

    /// Hands what is reserved to another role: for operators alone.
    pub fn hand_over(&mut self, to: &str) -> Option<offer::Operation> {
        let source = vec![take(&mut self.reserved, "mem", 32.0)?];
        let resources = source.iter().map(|resource| reserved(resource.clone(), to)).collect();
        Some(offer::Operation { reserve: Some(Reserve { source, resources }), ..typed(Type::Reserve) })
    }
}

/// Something that cannot be.
pub fn wrong(role: &str) -> offer::Operation {
    let resources = vec![reserved(scalar("cpus", 100.0), role)];
    offer::Operation { unreserve: Some(Unreserve { resources }), ..typed(Type::Unreserve) }
}
