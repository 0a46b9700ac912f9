//! One resource: a name, a value and what is said about it. Whether two may be added or taken from each other is
//! decided here and nowhere else (U098: different metadata never merge).

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use messor_proto::mesos::{self, resource::DiskInfo, resource::disk_info::source};
use messor_proto::{Version, WireEnum};

use crate::{Ranges, ResourceProviderId, Role, Scalar, Set, Value};

/// The name of a resource. The usual ones cost nothing to copy and compare.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ResourceName(Name);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Name {
    Cpus,
    Mem,
    Disk,
    Gpus,
    Ports,
    Other(Arc<str>),
}

impl ResourceName {
    pub const CPUS: ResourceName = ResourceName(Name::Cpus);
    pub const MEM: ResourceName = ResourceName(Name::Mem);
    pub const DISK: ResourceName = ResourceName(Name::Disk);
    pub const GPUS: ResourceName = ResourceName(Name::Gpus);
    pub const PORTS: ResourceName = ResourceName(Name::Ports);

    pub fn new(name: &str) -> ResourceName {
        ResourceName(match name {
            "cpus" => Name::Cpus,
            "mem" => Name::Mem,
            "disk" => Name::Disk,
            "gpus" => Name::Gpus,
            "ports" => Name::Ports,
            other => Name::Other(other.into()),
        })
    }

    /// The place of a usual name in the order of names.
    fn rank(&self) -> Option<u8> {
        match &self.0 {
            Name::Cpus => Some(0),
            Name::Disk => Some(1),
            Name::Gpus => Some(2),
            Name::Mem => Some(3),
            Name::Ports => Some(4),
            Name::Other(_) => None,
        }
    }

    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Cpus => "cpus",
            Name::Mem => "mem",
            Name::Disk => "disk",
            Name::Gpus => "gpus",
            Name::Ports => "ports",
            Name::Other(name) => name,
        }
    }
}

impl PartialOrd for ResourceName {
    fn partial_cmp(&self, other: &ResourceName) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourceName {
    fn cmp(&self, other: &ResourceName) -> std::cmp::Ordering {
        match (self.rank(), other.rank()) {
            (Some(mine), Some(others)) => mine.cmp(&others),
            _ => self.as_str().cmp(other.as_str()),
        }
    }
}

impl From<&str> for ResourceName {
    fn from(name: &str) -> ResourceName {
        ResourceName::new(name)
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

impl fmt::Debug for ResourceName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), out)
    }
}

/// Who made a reservation: the agent's operator in its flags, or a call at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservationKind {
    Static,
    Dynamic,
}

/// One level of the stack of reservations.
#[derive(Clone, Debug)]
pub struct Reservation {
    pub kind: ReservationKind,
    pub role: Role,
    pub principal: Option<String>,
    pub labels: Option<mesos::Labels>,
}

impl Reservation {
    pub fn new(kind: ReservationKind, role: &str) -> Reservation {
        Reservation { kind, role: Role::new(role), principal: None, labels: None }
    }
}

/// The order of labels means nothing.
fn labels_equal(left: &mesos::Labels, right: &mesos::Labels) -> bool {
    left.labels.len() == right.labels.len() && left.labels.iter().all(|label| right.labels.contains(label))
}

fn optional_labels_equal(left: Option<&mesos::Labels>, right: Option<&mesos::Labels>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => labels_equal(left, right),
        (None, None) => true,
        _ => false,
    }
}

impl PartialEq for Reservation {
    fn eq(&self, other: &Reservation) -> bool {
        self.kind == other.kind
            && self.role == other.role
            && self.principal == other.principal
            && optional_labels_equal(self.labels.as_ref(), other.labels.as_ref())
    }
}

/// What is said about a resource, its allocation apart.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// From the widest role to the finest; empty for unreserved resources.
    pub reservations: Vec<Reservation>,
    pub disk: Option<DiskInfo>,
    pub revocable: bool,
    pub shared: bool,
    pub provider_id: Option<ResourceProviderId>,
}

/// Neither where a volume is mounted nor who created it belongs to a disk's identity.
fn disks_equal(left: &DiskInfo, right: &DiskInfo) -> bool {
    let persistence = |disk: &DiskInfo| disk.persistence.as_ref().map(|found| found.id.clone());
    let sources_equal = match (&left.source, &right.source) {
        (Some(a), Some(b)) => {
            a.r#type == b.r#type
                && a.path == b.path
                && a.mount == b.mount
                && a.vendor == b.vendor
                && a.id == b.id
                && a.profile == b.profile
                && optional_labels_equal(a.metadata.as_ref(), b.metadata.as_ref())
        }
        (None, None) => true,
        _ => false,
    };
    sources_equal && persistence(left) == persistence(right)
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Metadata) -> bool {
        self.revocable == other.revocable
            && self.shared == other.shared
            && self.reservations == other.reservations
            && self.provider_id == other.provider_id
            && match (&self.disk, &other.disk) {
                (Some(left), Some(right)) => disks_equal(left, right),
                (None, None) => true,
                _ => false,
            }
    }
}

impl Metadata {
    /// Equal for equal metadata: of what tells many resources apart.
    fn digest(&self) -> u32 {
        let of = |part: &dyn Fn(&mut DefaultHasher)| {
            let mut hasher = DefaultHasher::new();
            part(&mut hasher);
            hasher.finish()
        };
        let mut result = of(&|hasher| {
            self.revocable.hash(hasher);
            self.shared.hash(hasher);
            let persistence = self.disk.as_ref().and_then(|disk| disk.persistence.as_ref());
            persistence.map(|persistence| &persistence.id).hash(hasher);
            for reservation in &self.reservations {
                (reservation.kind == ReservationKind::Static).hash(hasher);
                reservation.role.as_str().hash(hasher);
                reservation.principal.hash(hasher);
            }
        });
        // Labels are equal in any order.
        for label in
            self.reservations.iter().filter_map(|one| one.labels.as_ref()).flat_map(|list| &list.labels)
        {
            let one = of(&|hasher| (&label.key, &label.value).hash(hasher));
            result = result.wrapping_add(one);
        }
        (result ^ (result >> 32)) as u32
    }

    fn is_plain(&self) -> bool {
        self.reservations.is_empty()
            && self.disk.is_none()
            && !self.revocable
            && !self.shared
            && self.provider_id.is_none()
    }
}

/// One resource in post-reservation-refinement form (U044).
#[derive(Clone)]
pub struct Resource {
    name: ResourceName,
    pub(crate) value: Value,
    allocation: Option<Role>,
    /// `None` for the plain resources that are most of all.
    metadata: Option<Arc<Metadata>>,
    /// Differs only if the metadata do: thousands are told apart without a look at these.
    digest: u32,
    /// How many times a shared resource is here; 1 for all others.
    pub(crate) copies: u32,
}

impl Resource {
    pub fn new(name: ResourceName, value: Value) -> Resource {
        Resource { name, value, allocation: None, metadata: None, digest: 0, copies: 1 }
    }

    pub fn scalar(name: &str, value: f64) -> Resource {
        Resource::new(name.into(), Value::Scalar(Scalar::from_f64(value)))
    }

    pub fn ranges(name: &str, ranges: impl IntoIterator<Item = (u64, u64)>) -> Resource {
        Resource::new(name.into(), Value::Ranges(ranges.into_iter().collect()))
    }

    pub fn set<'a>(name: &str, items: impl IntoIterator<Item = &'a str>) -> Resource {
        Resource::new(name.into(), Value::Set(items.into_iter().collect()))
    }

    pub fn with_metadata(mut self, metadata: Metadata) -> Resource {
        self.set_metadata(metadata);
        self
    }

    /// With one more reservation on top of its stack.
    pub fn with_reservation(self, reservation: Reservation) -> Resource {
        self.with_changed(|metadata| metadata.reservations.push(reservation))
    }

    pub fn with_disk(self, disk: DiskInfo) -> Resource {
        self.with_changed(|metadata| metadata.disk = Some(disk))
    }

    pub fn with_revocable(self) -> Resource {
        self.with_changed(|metadata| metadata.revocable = true)
    }

    pub fn with_shared(self) -> Resource {
        self.with_changed(|metadata| metadata.shared = true)
    }

    pub fn with_allocation(mut self, role: &Role) -> Resource {
        self.allocation = Some(role.clone());
        self
    }

    pub fn without_allocation(mut self) -> Resource {
        self.allocation = None;
        self
    }

    pub fn with_value(mut self, value: Value) -> Resource {
        self.value = value;
        self
    }

    pub(crate) fn with_changed(mut self, change: impl FnOnce(&mut Metadata)) -> Resource {
        let mut metadata = self.metadata.take().map_or_else(Metadata::default, Arc::unwrap_or_clone);
        change(&mut metadata);
        self.set_metadata(metadata);
        self
    }

    fn set_metadata(&mut self, metadata: Metadata) {
        let is_plain = metadata.is_plain();
        // What became plain is as what always was.
        self.digest = if is_plain { 0 } else { metadata.digest() };
        self.metadata = (!is_plain).then(|| Arc::new(metadata));
    }

    pub(crate) fn set_allocation(&mut self, role: Option<&Role>) {
        self.allocation = role.cloned();
    }

    pub fn name(&self) -> &ResourceName {
        &self.name
    }

    pub fn value(&self) -> &Value {
        &self.value
    }

    pub fn as_scalar(&self) -> Option<Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(*scalar),
            _ => None,
        }
    }

    pub fn as_ranges(&self) -> Option<&Ranges> {
        match &self.value {
            Value::Ranges(ranges) => Some(ranges),
            _ => None,
        }
    }

    pub fn as_set(&self) -> Option<&Set> {
        match &self.value {
            Value::Set(set) => Some(set),
            _ => None,
        }
    }

    pub fn is_scalar(&self) -> bool {
        matches!(self.value, Value::Scalar(_))
    }

    /// The role that the resource is offered or allocated to.
    pub fn allocation_role(&self) -> Option<&Role> {
        self.allocation.as_ref()
    }

    pub fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_deref()
    }

    /// How many times a shared resource is here; 1 for all others.
    pub fn copies(&self) -> u32 {
        self.copies
    }

    pub fn reservations(&self) -> &[Reservation] {
        self.metadata().map_or(&[], |metadata| &metadata.reservations)
    }

    /// The finest role that the resource is reserved for.
    pub fn reservation_role(&self) -> Option<&Role> {
        self.reservations().last().map(|reservation| &reservation.role)
    }

    pub fn is_unreserved(&self) -> bool {
        self.reservations().is_empty()
    }

    pub fn is_reserved(&self) -> bool {
        !self.is_unreserved()
    }

    pub fn is_reserved_to(&self, role: &Role) -> bool {
        self.reservation_role() == Some(role)
    }

    /// The reservation on top was made at run time.
    pub fn is_dynamically_reserved(&self) -> bool {
        self.reservations().last().is_some_and(|top| top.kind == ReservationKind::Dynamic)
    }

    pub fn has_refined_reservations(&self) -> bool {
        self.reservations().len() > 1
    }

    /// Reserved resources are for their role and its subroles only.
    pub fn is_allocatable_to(&self, role: &Role) -> bool {
        self.reservation_role().is_none_or(|reserved| role.is_same_or_subrole_of(reserved))
    }

    pub fn disk(&self) -> Option<&DiskInfo> {
        self.metadata().and_then(|metadata| metadata.disk.as_ref())
    }

    pub fn persistence_id(&self) -> Option<&str> {
        self.disk().and_then(|disk| disk.persistence.as_ref()).map(|persistence| persistence.id.as_str())
    }

    pub fn is_persistent_volume(&self) -> bool {
        self.persistence_id().is_some()
    }

    /// Made at run time, so that the agent has to keep it on disk: a dynamic reservation or a persistent volume.
    pub fn needs_checkpoint(&self) -> bool {
        self.is_dynamically_reserved() || self.is_persistent_volume()
    }

    /// The disk that a persistent volume is made of.
    pub fn without_volume(self) -> Resource {
        self.with_changed(|metadata| {
            metadata.shared = false;
            let source = metadata.disk.take().and_then(|disk| disk.source);
            metadata.disk = source.map(|source| DiskInfo { source: Some(source), ..DiskInfo::default() });
        })
    }

    pub fn disk_source_type(&self) -> Option<source::Type> {
        let source = self.disk()?.source.as_ref()?;
        source::Type::try_from(source.r#type).ok()
    }

    pub fn is_revocable(&self) -> bool {
        self.metadata().is_some_and(|metadata| metadata.revocable)
    }

    pub fn is_shared(&self) -> bool {
        self.metadata().is_some_and(|metadata| metadata.shared)
    }

    pub fn provider_id(&self) -> Option<&ResourceProviderId> {
        self.metadata().and_then(|metadata| metadata.provider_id.as_ref())
    }

    pub fn is_empty(&self) -> bool {
        self.copies == 0 || self.value.is_empty()
    }

    /// Exists as a whole or not at all: a persistent volume, a disk of its own.
    pub fn is_indivisible(&self) -> bool {
        let Some(disk) = self.disk() else { return false };
        disk.persistence.is_some()
            || match self.disk_source_type() {
                Some(source::Type::Mount | source::Type::Block) => true,
                Some(source::Type::Raw) => disk.source.as_ref().is_some_and(|source| source.id.is_some()),
                _ => false,
            }
    }

    /// Alike in everything but the value.
    pub fn same_kind(&self, other: &Resource) -> bool {
        self.digest == other.digest
            && self.name == other.name
            && self.value.same_type(&other.value)
            && self.allocation == other.allocation
            && match (&self.metadata, &other.metadata) {
                (None, None) => true,
                (Some(left), Some(right)) => Arc::ptr_eq(left, right) || left == right,
                _ => false,
            }
    }

    /// Equal, however many copies there are.
    pub fn same_thing(&self, other: &Resource) -> bool {
        self.same_kind(other) && self.value == other.value
    }

    pub(crate) fn can_add(&self, other: &Resource) -> bool {
        self.same_kind(other)
            && if self.is_shared() { self.value == other.value } else { !self.is_indivisible() }
    }

    pub(crate) fn can_subtract(&self, other: &Resource) -> bool {
        self.same_kind(other) && ((!self.is_shared() && !self.is_indivisible()) || self.value == other.value)
    }

    pub fn contains(&self, other: &Resource) -> bool {
        if !self.can_subtract(other) {
            return false;
        }
        if self.is_shared() { self.copies >= other.copies } else { self.value.contains(&other.value) }
    }
}

impl PartialEq for Resource {
    fn eq(&self, other: &Resource) -> bool {
        self.copies == other.copies && self.same_thing(other)
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")?;
        if self.is_shared() { write!(out, "<{}>", self.copies) } else { Ok(()) }
    }
}

fn write_labels(out: &mut fmt::Formatter<'_>, labels: &mesos::Labels) -> fmt::Result {
    out.write_str("{")?;
    for (i, label) in labels.labels.iter().enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        write!(out, "{comma}{}", label.key)?;
        if let Some(value) = &label.value {
            write!(out, ": {value}")?;
        }
    }
    out.write_str("}")
}

fn write_disk(out: &mut fmt::Formatter<'_>, disk: &DiskInfo) -> fmt::Result {
    if let Some(source) = &disk.source {
        let kind = source::Type::try_from(source.r#type).unwrap_or(source::Type::Unknown);
        out.write_str(kind.wire_name(Version::V0))?;
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let root = match kind {
            source::Type::Mount => source.mount.as_ref().and_then(|mount| mount.root.as_ref()),
            source::Type::Path => source.path.as_ref().and_then(|path| path.root.as_ref()),
            _ => None,
        };
        if source.id.is_some() || source.profile.is_some() {
            write!(out, "({},{},{})", text(&source.vendor), text(&source.id), text(&source.profile))?;
        } else if let Some(root) = root {
            write!(out, ":{root}")?;
        }
    }
    if let Some(persistence) = &disk.persistence {
        let comma = if disk.source.is_some() { "," } else { "" };
        write!(out, "{comma}{}", persistence.id)?;
    }
    if let Some(volume) = &disk.volume {
        out.write_str(":")?;
        if let Some(host_path) = &volume.host_path {
            write!(out, "{host_path}:")?;
        }
        out.write_str(&volume.container_path)?;
        if volume.host_path.is_some() {
            let mode = mesos::volume::Mode::try_from(volume.mode).ok();
            out.write_str(if mode == Some(mesos::volume::Mode::Ro) { ":ro" } else { ":rw" })?;
        }
    }
    Ok(())
}

impl fmt::Display for Resource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.name)?;
        if let Some(role) = &self.allocation {
            write!(out, "(allocated: {role})")?;
        }
        if self.is_reserved() {
            out.write_str("(reservations: [")?;
            for (i, reservation) in self.reservations().iter().enumerate() {
                let comma = if i > 0 { "," } else { "" };
                let kind = match reservation.kind {
                    ReservationKind::Static => "STATIC",
                    ReservationKind::Dynamic => "DYNAMIC",
                };
                write!(out, "{comma}({kind},{}", reservation.role)?;
                if let Some(principal) = &reservation.principal {
                    write!(out, ",{principal}")?;
                }
                if let Some(labels) = &reservation.labels {
                    out.write_str(",")?;
                    write_labels(out, labels)?;
                }
                out.write_str(")")?;
            }
            out.write_str("])")?;
        }
        if let Some(disk) = self.disk() {
            out.write_str("[")?;
            write_disk(out, disk)?;
            out.write_str("]")?;
        }
        if self.is_revocable() {
            out.write_str("{REV}")?;
        }
        if self.is_shared() {
            out.write_str("<SHARED>")?;
        }
        write!(out, ":{}", self.value)
    }
}
