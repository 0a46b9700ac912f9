//! Operations on the resources of an agent: what they consume and what stands in its place then. Whether somebody may
//! ask for one is for the validation to say.

use std::fmt;

use messor_proto::mesos::offer::{Operation, operation::Type};
use messor_proto::mesos::{self, OperationState, resource};

use crate::{
    ConversionError, Resource, ResourceConversion, ResourceError, ResourceProviderId, Resources, Role,
    Scalar, Value, resource_to_post_refinement,
};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    #[error("an operation of type {0} does not change the resources of an agent")]
    Type(&'static str),
    #[error("the operation lacks the field '{0}'")]
    Missing(&'static str),
    #[error("{0} of a resource provider cannot change its size")]
    Provider(String),
    #[error("the volume '{0}' is no scalar")]
    Scalar(String),
    #[error(transparent)]
    Resource(#[from] ResourceError),
    #[error(transparent)]
    Conversion(#[from] ConversionError),
}

/// By what the master and the agents know an operation: 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationUuid([u8; 16]);

impl OperationUuid {
    pub const fn new(bytes: [u8; 16]) -> OperationUuid {
        OperationUuid(bytes)
    }

    /// None: these are not 16 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<OperationUuid> {
        bytes.try_into().ok().map(OperationUuid)
    }

    pub fn from_proto(uuid: &mesos::Uuid) -> Option<OperationUuid> {
        OperationUuid::from_bytes(&uuid.value)
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<OperationUuid> for mesos::Uuid {
    fn from(uuid: OperationUuid) -> mesos::Uuid {
        mesos::Uuid { value: uuid.0.to_vec() }
    }
}

impl fmt::Display for OperationUuid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(out, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for OperationUuid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Whether nothing comes after this state.
pub fn is_terminal_operation(state: OperationState) -> bool {
    use OperationState::*;
    match state {
        OperationFinished | OperationFailed | OperationError | OperationDropped | OperationGoneByOperator => {
            true
        }
        OperationUnsupported | OperationPending | OperationUnreachable | OperationRecovering
        | OperationUnknown => false,
    }
}

/// Whether masters count on the outcome before the agent says a word: all operations but those of resource providers.
pub fn is_speculative_operation(kind: Type) -> bool {
    matches!(
        kind,
        Type::Reserve
            | Type::Unreserve
            | Type::Create
            | Type::Destroy
            | Type::GrowVolume
            | Type::ShrinkVolume
    )
}

/// All resources that an operation names; none of LAUNCH and LAUNCH_GROUP.
pub fn operation_resources(operation: &mut Operation) -> Vec<&mut mesos::Resource> {
    let mut list: Vec<&mut mesos::Resource> = Vec::new();
    match operation.r#type() {
        Type::Reserve => {
            if let Some(reserve) = &mut operation.reserve {
                list.extend(reserve.source.iter_mut().chain(&mut reserve.resources));
            }
        }
        Type::Unreserve => {
            list.extend(operation.unreserve.iter_mut().flat_map(|unreserve| &mut unreserve.resources));
        }
        Type::Create => list.extend(operation.create.iter_mut().flat_map(|create| &mut create.volumes)),
        Type::Destroy => list.extend(operation.destroy.iter_mut().flat_map(|destroy| &mut destroy.volumes)),
        Type::GrowVolume => {
            list.extend(
                operation.grow_volume.iter_mut().flat_map(|grow| [&mut grow.volume, &mut grow.addition]),
            );
        }
        Type::ShrinkVolume => {
            list.extend(operation.shrink_volume.iter_mut().map(|shrink| &mut shrink.volume))
        }
        Type::CreateDisk => list.extend(operation.create_disk.iter_mut().map(|create| &mut create.source)),
        Type::DestroyDisk => {
            list.extend(operation.destroy_disk.iter_mut().map(|destroy| &mut destroy.source))
        }
        Type::Launch | Type::LaunchGroup | Type::Unknown => {}
    }
    list
}

/// Brings the operation's resources into post-refinement form (U044), after a look at each.
pub fn upgrade_operation(operation: &mut Operation) -> Result<(), ResourceError> {
    for resource in operation_resources(operation) {
        crate::validate_resource(resource)?;
        resource_to_post_refinement(resource);
    }
    Ok(())
}

/// Says of what carries no allocation role that it is allocated to `role`: older frameworks leave that out.
pub fn allocate_operation(operation: &mut Operation, role: &Role) {
    for resource in operation_resources(operation) {
        if resource.allocation_info.is_none() {
            resource.allocation_info = Some(resource::AllocationInfo { role: Some(role.to_string()) });
        }
    }
}

/// The same operation on the total of an agent, which is allocated to nobody.
pub fn unallocated_operation(operation: &Operation) -> Operation {
    let mut result = operation.clone();
    operation_resources(&mut result).into_iter().for_each(|resource| resource.allocation_info = None);
    result
}

/// The resource provider that the operation is for; none: the agent itself.
pub fn operation_provider(operation: &Operation) -> Option<ResourceProviderId> {
    let mut operation = operation.clone();
    // The first of them names it; the source of a reservation comes before.
    let list = operation_resources(&mut operation);
    list.last().and_then(|resource| resource.provider_id.as_ref()).map(Into::into)
}

/// What the operation makes of what, step by step.
pub fn operation_conversions(operation: &Operation) -> Result<Vec<ResourceConversion>, OperationError> {
    let kind = operation.r#type();
    let missing = |field| OperationError::Missing(field);
    let read = Resource::from_proto;
    match kind {
        Type::Reserve => {
            let reserve = operation.reserve.as_ref().ok_or(missing("reserve"))?;
            let converted = Resources::from_proto(&reserve.resources)?;
            // Without a source the reservation on top of each stack is the new one.
            let consumed = match reserve.source.as_slice() {
                [] => converted.pop_reservation(),
                source => Resources::from_proto(source)?,
            };
            Ok(vec![ResourceConversion { consumed, converted }])
        }
        Type::Unreserve => {
            let unreserve = operation.unreserve.as_ref().ok_or(missing("unreserve"))?;
            each(&unreserve.resources, |reserved| {
                let consumed = Resources::from(reserved);
                ResourceConversion { converted: consumed.pop_reservation(), consumed }
            })
        }
        Type::Create => {
            let create = operation.create.as_ref().ok_or(missing("create"))?;
            each(&create.volumes, |volume| ResourceConversion {
                consumed: volume.clone().without_volume().into(),
                converted: volume.into(),
            })
        }
        Type::Destroy => {
            let destroy = operation.destroy.as_ref().ok_or(missing("destroy"))?;
            each(&destroy.volumes, |volume| ResourceConversion {
                consumed: volume.clone().into(),
                converted: volume.without_volume().into(),
            })
        }
        Type::GrowVolume => {
            let grow = operation.grow_volume.as_ref().ok_or(missing("grow_volume"))?;
            let (volume, addition) = (read(&grow.volume)?, read(&grow.addition)?);
            let size = resizable(&volume)? + addition.as_scalar().ok_or_else(|| not_scalar(&addition))?;
            let converted = volume.clone().with_value(Value::Scalar(size));
            Ok(vec![ResourceConversion {
                consumed: Resources::from(volume) + &addition.into(),
                converted: converted.into(),
            }])
        }
        Type::ShrinkVolume => {
            let shrink = operation.shrink_volume.as_ref().ok_or(missing("shrink_volume"))?;
            let volume = read(&shrink.volume)?;
            let less = Scalar::from_f64(shrink.subtract.value);
            let size = resizable(&volume)? - less;
            let freed = volume.clone().without_volume().with_value(Value::Scalar(less));
            let shrunk = volume.clone().with_value(Value::Scalar(size));
            Ok(vec![ResourceConversion {
                consumed: volume.into(),
                converted: Resources::from(shrunk) + &freed.into(),
            }])
        }
        Type::Launch | Type::LaunchGroup | Type::CreateDisk | Type::DestroyDisk | Type::Unknown => {
            Err(OperationError::Type(kind.as_str_name()))
        }
    }
}

/// What has to be there for the operation. Steps that follow on one another need it only once.
pub fn operation_consumes(operation: &Operation) -> Result<Resources, OperationError> {
    Ok(operation_conversions(operation)?.iter().map(|conversion| &conversion.consumed).sum())
}

fn each(
    list: &[mesos::Resource],
    convert: impl Fn(Resource) -> ResourceConversion,
) -> Result<Vec<ResourceConversion>, OperationError> {
    list.iter().map(|resource| Ok(convert(Resource::from_proto(resource)?))).collect()
}

fn not_scalar(resource: &Resource) -> OperationError {
    OperationError::Scalar(resource.to_string())
}

fn resizable(volume: &Resource) -> Result<Scalar, OperationError> {
    if volume.provider_id().is_some() {
        return Err(OperationError::Provider(volume.to_string()));
    }
    volume.as_scalar().ok_or_else(|| not_scalar(volume))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reservation, ReservationKind, ResourceFormat};
    use messor_proto::mesos::offer::operation::{
        Create, Destroy, GrowVolume, Reserve, ShrinkVolume, Unreserve,
    };
    use messor_proto::mesos::resource::disk_info::Persistence;

    fn reserved(name: &str, amount: f64, roles: &[&str]) -> Resource {
        roles.iter().fold(Resource::scalar(name, amount), |resource, role| {
            resource.with_reservation(Reservation::new(ReservationKind::Dynamic, role))
        })
    }

    fn volume(amount: f64) -> Resource {
        let persistence = Persistence { id: "v".to_string(), principal: None };
        let disk = resource::DiskInfo { persistence: Some(persistence), ..Default::default() };
        reserved("disk", amount, &["r"]).with_disk(disk)
    }

    fn wire(resource: &Resource) -> mesos::Resource {
        resource.to_proto(ResourceFormat::PostRefinement)
    }

    fn typed(kind: Type) -> Operation {
        Operation { r#type: Some(kind.into()), ..Default::default() }
    }

    fn apply(total: &Resources, operation: &Operation) -> Result<Resources, OperationError> {
        Ok(total.convert(&operation_conversions(operation)?)?)
    }

    #[test]
    fn each_operation_and_its_opposite_leave_what_was_there() {
        let pairs = [
            (
                Resource::scalar("cpus", 4.0).into(),
                Operation {
                    reserve: Some(Reserve {
                        source: vec![],
                        resources: vec![wire(&reserved("cpus", 1.0, &["r"]))],
                    }),
                    ..typed(Type::Reserve)
                },
                Operation {
                    unreserve: Some(Unreserve { resources: vec![wire(&reserved("cpus", 1.0, &["r"]))] }),
                    ..typed(Type::Unreserve)
                },
            ),
            (
                reserved("cpus", 4.0, &["r"]).into(),
                Operation {
                    reserve: Some(Reserve {
                        source: vec![],
                        resources: vec![wire(&reserved("cpus", 1.0, &["r", "r/s"]))],
                    }),
                    ..typed(Type::Reserve)
                },
                Operation {
                    unreserve: Some(Unreserve {
                        resources: vec![wire(&reserved("cpus", 1.0, &["r", "r/s"]))],
                    }),
                    ..typed(Type::Unreserve)
                },
            ),
            (
                reserved("disk", 64.0, &["r"]).into(),
                Operation {
                    create: Some(Create { volumes: vec![wire(&volume(32.0))] }),
                    ..typed(Type::Create)
                },
                Operation {
                    destroy: Some(Destroy { volumes: vec![wire(&volume(32.0))] }),
                    ..typed(Type::Destroy)
                },
            ),
            (
                [volume(32.0), reserved("disk", 64.0, &["r"])].into_iter().collect::<Resources>(),
                Operation {
                    grow_volume: Some(GrowVolume {
                        volume: wire(&volume(32.0)),
                        addition: wire(&reserved("disk", 8.0, &["r"])),
                    }),
                    ..typed(Type::GrowVolume)
                },
                Operation {
                    shrink_volume: Some(ShrinkVolume {
                        volume: wire(&volume(40.0)),
                        subtract: mesos::value::Scalar { value: 8.0 },
                    }),
                    ..typed(Type::ShrinkVolume)
                },
            ),
        ];
        for (total, there, back) in pairs {
            let total: Resources = total;
            let changed = apply(&total, &there).unwrap();
            assert_ne!(changed, total, "{:?}", there.r#type());
            assert_eq!(changed.quantities(), total.quantities(), "{:?}", there.r#type());
            assert_eq!(apply(&changed, &back).unwrap(), total, "{:?}", there.r#type());
            assert!(apply(&Resources::new(), &there).is_err());
        }
    }

    #[test]
    fn a_reservation_moves_from_its_source() {
        let source = reserved("cpus", 1.0, &["a"]);
        let target = reserved("cpus", 1.0, &["b", "b/c"]);
        let operation = Operation {
            reserve: Some(Reserve { source: vec![wire(&source)], resources: vec![wire(&target)] }),
            ..typed(Type::Reserve)
        };
        assert_eq!(apply(&source.into(), &operation).unwrap(), target.into());
        assert!(apply(&Resource::scalar("cpus", 1.0).into(), &operation).is_err());
    }

    #[test]
    fn a_shared_volume_is_not_destroyed_while_there_are_more_copies() {
        let shared = volume(32.0).with_shared();
        let operation =
            Operation { destroy: Some(Destroy { volumes: vec![wire(&shared)] }), ..typed(Type::Destroy) };
        let one = Resources::from(shared.clone());
        let two = &one + &one;
        assert_eq!(apply(&one, &operation).unwrap(), reserved("disk", 32.0, &["r"]).into());
        let error = apply(&two, &operation).unwrap_err();
        assert!(matches!(error, OperationError::Conversion(ConversionError::Copies(_))), "{error}");
    }

    #[test]
    fn uuids_print_as_uuids() {
        let uuid = OperationUuid::from_bytes(&[0xab; 16]).unwrap();
        assert_eq!(uuid.to_string(), "abababab-abab-abab-abab-abababababab");
        assert_eq!(OperationUuid::from_bytes(&[1; 15]), None);
    }
}
