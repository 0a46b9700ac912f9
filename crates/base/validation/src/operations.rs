//! Operations of an ACCEPT and of operators: RESERVE, UNRESERVE, CREATE, DESTROY, GROW_VOLUME, SHRINK_VOLUME. Whether
//! the resources are there is not known here.

use std::collections::BTreeSet;

use messor_proto::mesos::offer::operation::{Create, Destroy, GrowVolume, Reserve, ShrinkVolume, Unreserve};
use messor_proto::mesos::{self, FrameworkInfo, resource::disk_info::source};
use messor_types::{
    AgentCapabilities, FrameworkCapabilities, Resource, ResourceError, Resources, Role, Scalar,
};

use crate::framework::framework_roles;
use crate::resources::{ResourcesError, validate_one_role, validate_resources};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationProblem {
    #[error("'{field}' is invalid: {problem}")]
    Resources { field: &'static str, problem: ResourcesError },
    #[error("'{field}' is invalid: {problem}")]
    Resource { field: &'static str, problem: ResourceError },
    #[error("'{0}' must name resources")]
    Empty(&'static str),
    #[error("'{0}' must have resources of one reservation only")]
    MixedReservations(&'static str),
    #[error("'source' and 'resources' must be of the same amounts: {source_amounts} is not {target_amounts}")]
    Amounts { source_amounts: String, target_amounts: String },
    #[error("'{0}' must have resources of one resource provider only")]
    Providers(&'static str),
    #[error("{0} is not dynamically reserved")]
    NotDynamic(String),
    #[error("{resource} is reserved for '{role}', and the agent lacks the capability HIERARCHICAL_ROLE")]
    Hierarchical { resource: String, role: Role },
    #[error("{0} has a refined reservation, and the agent lacks the capability RESERVATION_REFINEMENT")]
    Refined(String),
    #[error("{resource} must have the principal '{expected}' in '{field}'")]
    Principal { resource: String, expected: String, field: &'static str },
    #[error("{0} is not allocated to a role: frameworks reserve what they were offered")]
    NotAllocated(String),
    #[error("{0} is allocated to a role: operators reserve what is not")]
    Allocated(String),
    #[error("the resource is allocated to role '{allocated}' and reserved for role '{reserved}'")]
    OtherRole { allocated: Role, reserved: Role },
    #[error("the framework does not have the role '{0}'")]
    ForeignRole(Role),
    #[error("the volume {0} must be destroyed before its resources can be unreserved")]
    VolumeReserved(String),
    #[error("{0} is not a persistent volume")]
    NotVolume(String),
    #[error("the persistent volume '{0}' exists already")]
    VolumeExists(String),
    #[error("'disk.volume.container_path' is '{0}', which leaves the sandbox or is the sandbox itself")]
    ContainerPath(String),
    #[error("{0} is shared, and the framework lacks the capability SHARED_RESOURCES")]
    Shared(String),
    #[error("the agent has no persistent volume {0}")]
    VolumeUnknown(String),
    #[error("the persistent volume {0} is in use")]
    VolumeInUse(String),
    #[error("'{0}' must be greater than zero")]
    NotPositive(&'static str),
    #[error("{0} of a resource provider cannot change its size")]
    ProviderSize(String),
    #[error("{0} is shared and cannot change its size")]
    SharedSize(String),
    #[error("'addition' is not of the same kind as the disk of 'volume'")]
    Incompatible,
    #[error("{0} is on a disk of type MOUNT and cannot shrink")]
    MountSize(String),
    #[error("'subtract' must be less than the size of the volume")]
    TooMuch,
    #[error("the size of {0} cannot change: the agent lacks the capability RESIZE_VOLUME")]
    ResizeNotSupported(String),
}

/// Who asks. Principals are compared where one is known, roles where a framework asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asker<'a> {
    pub principal: Option<&'a str>,
    /// None: an operator.
    pub framework: Option<&'a FrameworkInfo>,
}

type Outcome = Result<(), OperationProblem>;

/// Resources are in post-refinement form in all of these (`upgrade_operation`), and those of frameworks are allocated.
pub fn validate_reserve(reserve: &Reserve, asker: Asker<'_>, agent: AgentCapabilities) -> Outcome {
    let target = read("resources", &reserve.resources)?;
    let source = read("source", &reserve.source)?;
    if !reserve.source.is_empty() {
        for (field, list) in [("source", &source), ("resources", &target)] {
            let mut reservations = list.iter().map(Resource::reservations);
            let first = reservations.next().ok_or(OperationProblem::Empty(field))?;
            if reservations.any(|other| other != first) {
                return Err(OperationProblem::MixedReservations(field));
            }
        }
        let (from, to) = (source.to_unreserved(), target.to_unreserved());
        if from != to {
            let (source_amounts, target_amounts) = (from.to_string(), to.to_string());
            return Err(OperationProblem::Amounts { source_amounts, target_amounts });
        }
    }
    one_provider("resources", &target)?;
    let roles: Option<BTreeSet<Role>> =
        asker.framework.map(|info| framework_roles(info).iter().map(|role| Role::new(role)).collect());
    for resource in &target {
        let (Some(top), true) = (resource.reservations().last(), resource.is_dynamically_reserved()) else {
            return Err(OperationProblem::NotDynamic(resource.to_string()));
        };
        understood(resource, agent)?;
        if let Some(principal) = asker.principal
            && top.principal.as_deref() != Some(principal)
        {
            return Err(OperationProblem::Principal {
                resource: resource.to_string(),
                expected: principal.to_string(),
                field: "reservations.principal",
            });
        }
        match (&roles, resource.allocation_role()) {
            (None, None) => {}
            (None, Some(_)) => return Err(OperationProblem::Allocated(resource.to_string())),
            (Some(_), None) => return Err(OperationProblem::NotAllocated(resource.to_string())),
            (Some(_), Some(allocated)) if *allocated != top.role => {
                let (allocated, reserved) = (allocated.clone(), top.role.clone());
                return Err(OperationProblem::OtherRole { allocated, reserved });
            }
            (Some(roles), Some(allocated)) if !roles.contains(allocated) => {
                return Err(OperationProblem::ForeignRole(allocated.clone()));
            }
            (Some(_), Some(_)) => {}
        }
    }
    of_one_role("resources", &target, asker)
}

/// Who may unreserve what others reserved is for authorization to say.
pub fn validate_unreserve(unreserve: &Unreserve) -> Outcome {
    let resources = read("resources", &unreserve.resources)?;
    one_provider("resources", &resources)?;
    for resource in &resources {
        if !resource.is_dynamically_reserved() {
            return Err(OperationProblem::NotDynamic(resource.to_string()));
        }
        if resource.is_persistent_volume() {
            return Err(OperationProblem::VolumeReserved(resource.to_string()));
        }
    }
    Ok(())
}

/// `checkpointed`: the reservations and volumes that the agent has.
pub fn validate_create(
    create: &Create,
    checkpointed: &Resources,
    asker: Asker<'_>,
    agent: AgentCapabilities,
) -> Outcome {
    let volumes = read("volumes", &create.volumes)?;
    one_provider("volumes", &volumes)?;
    let mut known: BTreeSet<(Option<&Role>, &str)> = checkpointed.iter().filter_map(volume_name).collect();
    for volume in &volumes {
        let name = volume_name(volume).ok_or_else(|| OperationProblem::NotVolume(volume.to_string()))?;
        let path =
            volume.disk().and_then(|disk| disk.volume.as_ref()).map_or("", |volume| &volume.container_path);
        if matches!(path, "" | ".") || path.split('/').any(|part| part == "..") {
            return Err(OperationProblem::ContainerPath(path.to_string()));
        }
        // Several copies of one that is shared, too, are one too many.
        if !known.insert(name) || volume.copies() > 1 {
            return Err(OperationProblem::VolumeExists(name.1.to_string()));
        }
    }
    let shares = asker
        .framework
        .is_none_or(|info| FrameworkCapabilities::from_proto(&info.capabilities).shared_resources);
    for volume in &volumes {
        if volume.is_shared() && !shares {
            return Err(OperationProblem::Shared(volume.to_string()));
        }
        understood(volume, agent)?;
        let persistence = volume.disk().and_then(|disk| disk.persistence.as_ref());
        let given = persistence.and_then(|persistence| persistence.principal.as_deref());
        if let Some(principal) = asker.principal
            && given != Some(principal)
        {
            return Err(OperationProblem::Principal {
                resource: volume.to_string(),
                expected: principal.to_string(),
                field: "disk.persistence.principal",
            });
        }
    }
    of_one_role("volumes", &volumes, asker)
}

/// `used`: what tasks and executors of each framework use on the agent.
pub fn validate_destroy<'a>(
    destroy: &Destroy,
    checkpointed: &Resources,
    used: impl IntoIterator<Item = &'a Resources>,
) -> Outcome {
    let volumes = read("volumes", &destroy.volumes)?.unallocated();
    one_provider("volumes", &volumes)?;
    for volume in &volumes {
        if !volume.is_persistent_volume() {
            return Err(OperationProblem::NotVolume(volume.to_string()));
        }
        if volume.provider_id().is_none() && !checkpointed.contains_resource(volume) {
            return Err(OperationProblem::VolumeUnknown(volume.to_string()));
        }
    }
    // Only something shared can be offered while it is used.
    for resources in used {
        let resources = resources.clone().unallocated();
        if let Some(volume) = volumes.iter().find(|volume| resources.contains_resource(volume)) {
            return Err(OperationProblem::VolumeInUse(volume.to_string()));
        }
    }
    Ok(())
}

pub fn validate_grow_volume(grow: &GrowVolume, agent: AgentCapabilities) -> Outcome {
    let volume = read_one("volume", &grow.volume)?;
    let addition = read_one("addition", &grow.addition)?;
    if addition.as_scalar().is_none_or(|amount| amount <= Scalar::ZERO) {
        return Err(OperationProblem::NotPositive("addition"));
    }
    resizable(&grow.volume, &volume)?;
    if !volume.clone().without_volume().same_kind(&addition) || addition.is_indivisible() {
        return Err(OperationProblem::Incompatible);
    }
    resize_supported(&volume, agent)
}

pub fn validate_shrink_volume(shrink: &ShrinkVolume, agent: AgentCapabilities) -> Outcome {
    let volume = read_one("volume", &shrink.volume)?;
    let less = Scalar::from_f64(shrink.subtract.value);
    if less <= Scalar::ZERO {
        return Err(OperationProblem::NotPositive("subtract"));
    }
    if volume.as_scalar().is_none_or(|size| size <= less) {
        return Err(OperationProblem::TooMuch);
    }
    if volume.disk_source_type() == Some(source::Type::Mount) {
        return Err(OperationProblem::MountSize(volume.to_string()));
    }
    resizable(&shrink.volume, &volume)?;
    resize_supported(&volume, agent)
}

fn read(field: &'static str, list: &[mesos::Resource]) -> Result<Resources, OperationProblem> {
    validate_resources(list).map_err(|problem| OperationProblem::Resources { field, problem })
}

fn read_one(field: &'static str, resource: &mesos::Resource) -> Result<Resource, OperationProblem> {
    Resource::from_proto(resource).map_err(|problem| OperationProblem::Resource { field, problem })
}

fn one_provider(field: &'static str, resources: &Resources) -> Outcome {
    let mut providers = resources.iter().map(Resource::provider_id);
    let first = providers.next().ok_or(OperationProblem::Empty(field))?;
    match providers.all(|provider| provider == first) {
        true => Ok(()),
        false => Err(OperationProblem::Providers(field)),
    }
}

/// The role and the id that a volume is known by on its agent.
fn volume_name(volume: &Resource) -> Option<(Option<&Role>, &str)> {
    volume.persistence_id().map(|id| (volume.reservation_role(), id))
}

/// Older agents know neither roles of several levels nor several reservations.
fn understood(resource: &Resource, agent: AgentCapabilities) -> Outcome {
    if let Some(role) = resource.reservation_role().filter(|role| role.as_str().contains('/'))
        && !agent.hierarchical_role
    {
        return Err(OperationProblem::Hierarchical { resource: resource.to_string(), role: role.clone() });
    }
    match resource.has_refined_reservations() && !agent.reservation_refinement {
        true => Err(OperationProblem::Refined(resource.to_string())),
        false => Ok(()),
    }
}

fn of_one_role(field: &'static str, resources: &Resources, asker: Asker<'_>) -> Outcome {
    match asker.framework {
        Some(_) => {
            validate_one_role(resources).map_err(|problem| OperationProblem::Resources { field, problem })
        }
        None => Ok(()),
    }
}

fn resizable(wire: &mesos::Resource, volume: &Resource) -> Outcome {
    if volume.provider_id().is_some() {
        return Err(OperationProblem::ProviderSize(volume.to_string()));
    }
    if !volume.is_persistent_volume() {
        return Err(OperationProblem::NotVolume(volume.to_string()));
    }
    read("volume", std::slice::from_ref(wire))?;
    match volume.is_shared() {
        true => Err(OperationProblem::SharedSize(volume.to_string())),
        false => Ok(()),
    }
}

fn resize_supported(volume: &Resource, agent: AgentCapabilities) -> Outcome {
    match agent.resize_volume {
        true => Ok(()),
        false => Err(OperationProblem::ResizeNotSupported(volume.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::resource::DiskInfo;
    use messor_proto::mesos::resource::disk_info::{Persistence, Source};
    use messor_proto::mesos::{Volume, framework_info, value, volume};
    use messor_types::{Reservation, ReservationKind, ResourceFormat};

    const ALL: AgentCapabilities = AgentCapabilities {
        multi_role: true,
        hierarchical_role: true,
        reservation_refinement: true,
        resource_provider: true,
        resize_volume: true,
        agent_operation_feedback: true,
        agent_draining: true,
        task_resource_limits: true,
    };

    fn dynamic(name: &str, amount: f64, roles: &[&str]) -> Resource {
        roles.iter().fold(Resource::scalar(name, amount), |resource, role| {
            let principal = Some("p".to_string());
            resource.with_reservation(Reservation {
                principal,
                ..Reservation::new(ReservationKind::Dynamic, role)
            })
        })
    }

    fn disk(id: &str) -> DiskInfo {
        let persistence = Persistence { id: id.to_string(), principal: Some("p".to_string()) };
        let volume = Volume {
            container_path: "data".to_string(),
            mode: volume::Mode::Rw.into(),
            ..Default::default()
        };
        DiskInfo { persistence: Some(persistence), volume: Some(volume), ..Default::default() }
    }

    fn volume(id: &str) -> Resource {
        dynamic("disk", 32.0, &["r"]).with_disk(disk(id))
    }

    fn wire(resource: &Resource) -> mesos::Resource {
        resource.to_proto(ResourceFormat::PostRefinement)
    }

    fn reserve(resources: &[Resource]) -> Reserve {
        Reserve { source: Vec::new(), resources: resources.iter().map(wire).collect() }
    }

    #[test]
    fn operators_reserve_what_is_nobodys() {
        let check = |resource: &Resource, principal: Option<&str>| {
            let asker = Asker { principal, framework: None };
            validate_reserve(&reserve(std::slice::from_ref(resource)), asker, ALL)
        };
        let good = dynamic("cpus", 1.0, &["r"]);
        assert_eq!(check(&good, None), Ok(()));
        assert_eq!(check(&good, Some("p")), Ok(()));
        assert!(matches!(check(&good, Some("q")), Err(OperationProblem::Principal { .. })));
        assert!(matches!(
            check(&good.clone().with_allocation(&Role::new("r")), None),
            Err(OperationProblem::Allocated(_))
        ));
        assert!(matches!(check(&Resource::scalar("cpus", 1.0), None), Err(OperationProblem::NotDynamic(_))));
        assert!(matches!(
            check(&good.with_revocable(), None),
            Err(OperationProblem::Resources { problem: ResourcesError::RevocableReservation, .. })
        ));
        let nothing = validate_reserve(&reserve(&[]), Asker::default(), ALL);
        assert_eq!(nothing, Err(OperationProblem::Empty("resources")));
    }

    #[test]
    fn frameworks_reserve_for_the_role_of_the_offer() {
        let info = FrameworkInfo {
            roles: vec!["r".to_string(), "s".to_string()],
            capabilities: vec![framework_info::Capability {
                r#type: Some(framework_info::capability::Type::MultiRole.into()),
            }],
            ..Default::default()
        };
        let asker = Asker { principal: None, framework: Some(&info) };
        let check = |reserved: &str, allocated: Option<&str>| {
            let mut resource = dynamic("cpus", 1.0, &[reserved]);
            if let Some(allocated) = allocated {
                resource = resource.with_allocation(&Role::new(allocated));
            }
            validate_reserve(&reserve(&[resource]), asker, ALL)
        };
        assert_eq!(check("r", Some("r")), Ok(()));
        assert!(matches!(check("r", None), Err(OperationProblem::NotAllocated(_))));
        assert!(matches!(check("s", Some("r")), Err(OperationProblem::OtherRole { .. })));
        assert_eq!(check("t", Some("t")), Err(OperationProblem::ForeignRole(Role::new("t"))));
        let role = |role: &str| dynamic("cpus", 1.0, &[role]).with_allocation(&Role::new(role));
        assert!(matches!(
            validate_reserve(&reserve(&[role("r"), role("s")]), asker, ALL),
            Err(OperationProblem::Resources { problem: ResourcesError::Roles(..), .. })
        ));
    }

    /// U044: what an older agent does not understand is not sent to it.
    #[test]
    fn older_agents_are_spared() {
        let old = AgentCapabilities::default();
        let refined = reserve(&[dynamic("cpus", 1.0, &["r", "r/s"])]);
        let only_flat = AgentCapabilities { hierarchical_role: true, ..old };
        assert!(matches!(
            validate_reserve(&refined, Asker::default(), old),
            Err(OperationProblem::Hierarchical { .. })
        ));
        assert!(matches!(
            validate_reserve(&refined, Asker::default(), only_flat),
            Err(OperationProblem::Refined(_))
        ));
        assert_eq!(validate_reserve(&refined, Asker::default(), ALL), Ok(()));
        let grow = GrowVolume { volume: wire(&volume("v")), addition: wire(&dynamic("disk", 1.0, &["r"])) };
        assert!(matches!(validate_grow_volume(&grow, old), Err(OperationProblem::ResizeNotSupported(_))));
    }

    #[test]
    fn a_reservation_with_a_source_keeps_the_amounts() {
        let (one, two) = (dynamic("cpus", 1.0, &["a"]), dynamic("cpus", 2.0, &["b"]));
        let check = |source: &[&Resource], target: &[&Resource]| {
            let list = |list: &[&Resource]| list.iter().map(|resource| wire(resource)).collect();
            let reserve = Reserve { source: list(source), resources: list(target) };
            validate_reserve(&reserve, Asker::default(), ALL)
        };
        assert_eq!(check(&[&one], &[&dynamic("cpus", 1.0, &["b"])]), Ok(()));
        assert!(matches!(check(&[&one], &[&two]), Err(OperationProblem::Amounts { .. })));
        let other = dynamic("mem", 1.0, &["c"]);
        assert_eq!(check(&[&one, &other], &[&two]), Err(OperationProblem::MixedReservations("source")));
    }

    #[test]
    fn reservations_end_before_their_volumes_never() {
        let unreserve =
            |resource: &Resource| validate_unreserve(&Unreserve { resources: vec![wire(resource)] });
        assert_eq!(unreserve(&dynamic("disk", 1.0, &["r"])), Ok(()));
        assert!(matches!(unreserve(&volume("v")), Err(OperationProblem::VolumeReserved(_))));
        assert!(matches!(unreserve(&Resource::scalar("disk", 1.0)), Err(OperationProblem::NotDynamic(_))));
    }

    #[test]
    fn volumes_are_created_once() {
        let there = Resources::from(volume("v"));
        let check = |volumes: &[Resource], framework: Option<&FrameworkInfo>| {
            let create = Create { volumes: volumes.iter().map(wire).collect() };
            validate_create(&create, &there, Asker { principal: Some("p"), framework }, ALL)
        };
        assert_eq!(check(&[volume("w")], None), Ok(()));
        assert_eq!(check(&[volume("v")], None), Err(OperationProblem::VolumeExists("v".to_string())));
        for path in ["", ".", "..", "../x", "a/../../y", "/tmp/.."] {
            let mut disk = disk("w");
            disk.volume.as_mut().unwrap().container_path = path.to_string();
            let told = check(&[dynamic("disk", 32.0, &["r"]).with_disk(disk)], None);
            assert_eq!(told, Err(OperationProblem::ContainerPath(path.to_string())));
        }
        assert_eq!(
            check(&[volume("w"), volume("w")], None),
            Err(OperationProblem::VolumeExists("w".to_string()))
        );
        let shared = volume("w").with_shared();
        assert_eq!(check(std::slice::from_ref(&shared), None), Ok(()));
        assert_eq!(
            check(&[shared.clone(), shared.clone()], None),
            Err(OperationProblem::VolumeExists("w".to_string()))
        );
        let framework = FrameworkInfo::default();
        assert!(matches!(check(&[shared], Some(&framework)), Err(OperationProblem::Shared(_))));
        assert!(matches!(check(&[dynamic("disk", 1.0, &["r"])], None), Err(OperationProblem::NotVolume(_))));
        let unnamed = dynamic("disk", 1.0, &["r"]).with_disk(DiskInfo {
            persistence: Some(Persistence { id: "w".to_string(), principal: None }),
            ..disk("w")
        });
        assert!(matches!(check(&[unnamed], None), Err(OperationProblem::Principal { .. })));
    }

    #[test]
    fn volumes_in_use_are_not_destroyed() {
        let there = Resources::from(volume("v").with_shared());
        let destroy = |id: &str| Destroy { volumes: vec![wire(&volume(id).with_shared())] };
        assert_eq!(validate_destroy(&destroy("v"), &there, []), Ok(()));
        assert!(matches!(
            validate_destroy(&destroy("w"), &there, []),
            Err(OperationProblem::VolumeUnknown(_))
        ));
        let used = there.clone().allocated_to(&Role::new("r"));
        assert!(matches!(
            validate_destroy(&destroy("v"), &there, [&used]),
            Err(OperationProblem::VolumeInUse(_))
        ));
    }

    #[test]
    fn volumes_grow_and_shrink_within_reason() {
        let grow = |volume: &Resource, addition: &Resource| {
            validate_grow_volume(&GrowVolume { volume: wire(volume), addition: wire(addition) }, ALL)
        };
        let more = dynamic("disk", 1.0, &["r"]);
        assert_eq!(grow(&volume("v"), &more), Ok(()));
        assert_eq!(
            grow(&volume("v"), &dynamic("disk", 0.0, &["r"])),
            Err(OperationProblem::NotPositive("addition"))
        );
        assert_eq!(grow(&volume("v"), &dynamic("disk", 1.0, &["s"])), Err(OperationProblem::Incompatible));
        assert!(matches!(grow(&more, &more), Err(OperationProblem::NotVolume(_))));
        assert!(matches!(grow(&volume("v").with_shared(), &more), Err(OperationProblem::SharedSize(_))));

        let shrink = |volume: &Resource, subtract: f64| {
            let subtract = value::Scalar { value: subtract };
            validate_shrink_volume(&ShrinkVolume { volume: wire(volume), subtract }, ALL)
        };
        assert_eq!(shrink(&volume("v"), 8.0), Ok(()));
        assert_eq!(shrink(&volume("v"), 32.0), Err(OperationProblem::TooMuch));
        assert_eq!(shrink(&volume("v"), 0.0), Err(OperationProblem::NotPositive("subtract")));
        let source = Source { r#type: source::Type::Mount.into(), ..Default::default() };
        let mount = dynamic("disk", 32.0, &["r"]).with_disk(DiskInfo { source: Some(source), ..disk("v") });
        assert!(matches!(shrink(&mount, 8.0), Err(OperationProblem::MountSize(_))));
    }
}
