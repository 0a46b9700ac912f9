//! The algebra of Resources: collections in which what can be added is added, and nothing else (U098).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::sync::Arc;

use messor_proto::mesos;
use smallvec::SmallVec;

use crate::{
    Ranges, Reservation, Resource, ResourceError, ResourceFormat, ResourceName, ResourceQuantities, Role,
    Scalar, Value,
};

/// Four are what most agents have: a list and its count of owners lie together.
type List = SmallVec<[Resource; 4]>;

/// A collection of valid, non-empty resources. Order means nothing.
///
/// What was copied is shared until one of the copies is changed: the same resources are in offers, in what is held, in what
/// was refused and in what an agent has, and are compared again and again. Copying and comparing them then costs next to
/// nothing.
#[derive(Clone, Default)]
pub struct Resources(Option<Arc<List>>);

impl Resources {
    pub fn new() -> Resources {
        Resources::default()
    }

    /// Reads resources in any format of reservations (U044); one that is not valid fails them all.
    pub fn from_proto(list: &[mesos::Resource]) -> Result<Resources, ResourceError> {
        let mut result = Resources::new();
        for resource in list {
            result.insert(Resource::from_proto(resource)?);
        }
        Ok(result)
    }

    /// As protobuf; of a shared resource one copy, however many there are, as Mesos does.
    pub fn to_proto(&self, format: ResourceFormat) -> Vec<mesos::Resource> {
        self.iter().map(|resource| resource.to_proto(format)).collect()
    }

    fn list(&self) -> &[Resource] {
        self.0.as_ref().map_or(&[], |list| list.as_slice())
    }

    /// The list of this collection alone.
    fn own_list(&mut self) -> &mut List {
        Arc::make_mut(self.0.get_or_insert_default())
    }

    fn of_list(list: List) -> Resources {
        Resources((!list.is_empty()).then(|| Arc::new(list)))
    }

    /// Both are copies of one that did not change since. Others may be equal, too: this asks no more than an address.
    pub fn is_copy_of(&self, other: &Resources) -> bool {
        match (&self.0, &other.0) {
            (Some(mine), Some(others)) => Arc::ptr_eq(mine, others),
            (None, None) => true,
            _ => false,
        }
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Resource> {
        self.list().iter()
    }

    pub fn len(&self) -> usize {
        self.list().len()
    }

    pub fn is_empty(&self) -> bool {
        self.list().is_empty()
    }

    /// Adds one resource; empty ones and negative numbers add nothing.
    pub fn insert(&mut self, resource: Resource) {
        let negative = resource.as_scalar().is_some_and(Scalar::is_negative);
        if negative || resource.is_empty() {
            return;
        }
        let place = self.iter().position(|mine| mine.can_add(&resource));
        let list = self.own_list();
        match place.map(|at| &mut list[at]) {
            Some(mine) if mine.is_shared() => mine.copies = mine.copies.saturating_add(resource.copies),
            Some(mine) => mine.value.add(&resource.value),
            None => list.push(resource),
        }
    }

    /// Takes one resource away. What is more than there is vanishes: ask `contains` first.
    pub fn subtract(&mut self, resource: &Resource) {
        if resource.is_empty() {
            return;
        }
        let Some(at) = self.iter().position(|mine| mine.can_subtract(resource)) else { return };
        let list = self.own_list();
        let mine = &mut list[at];
        if mine.is_shared() {
            mine.copies = mine.copies.saturating_sub(resource.copies);
        } else {
            mine.value.subtract(&resource.value);
        }
        if mine.is_empty() || mine.as_scalar().is_some_and(Scalar::is_negative) {
            list.swap_remove(at);
        }
    }

    pub fn contains_resource(&self, resource: &Resource) -> bool {
        resource.is_empty() || self.iter().any(|mine| mine.contains(resource))
    }

    pub fn contains(&self, other: &Resources) -> bool {
        if self.is_copy_of(other) {
            return true;
        }
        // Only things that exist as a whole can be listed several times over; the others are merged already.
        if !other.iter().any(|resource| resource.is_indivisible() && !resource.is_shared()) {
            return other.iter().all(|resource| self.contains_resource(resource));
        }
        let mut remaining = self.clone();
        other.iter().all(|resource| {
            let found = remaining.contains_resource(resource);
            if found && resource.is_indivisible() && !resource.is_shared() {
                remaining.subtract(resource);
            }
            found
        })
    }

    /// Whether there is at least this much under each name; ranges and sets count their items.
    pub fn contains_quantities(&self, quantities: &ResourceQuantities) -> bool {
        quantities.iter().all(|(name, amount)| {
            let mut sum = Scalar::ZERO;
            self.iter().filter(|resource| resource.name() == name).any(|resource| {
                sum += match resource.value() {
                    Value::Scalar(scalar) => *scalar,
                    Value::Ranges(ranges) => {
                        Scalar::from_units(i64::try_from(ranges.count()).unwrap_or(i64::MAX))
                    }
                    Value::Set(set) => Scalar::from_units(i64::try_from(set.len()).unwrap_or(i64::MAX)),
                };
                sum >= amount
            })
        })
    }

    /// Sums of the scalars by name; a shared resource counts once, however many copies there are.
    pub fn quantities(&self) -> ResourceQuantities {
        let mut result = ResourceQuantities::new();
        for resource in self {
            if let Some(scalar) = resource.as_scalar() {
                result.add(resource.name(), scalar);
            }
        }
        result
    }

    pub fn filter(&self, mut predicate: impl FnMut(&Resource) -> bool) -> Resources {
        let Some(first) = self.iter().position(|resource| !predicate(resource)) else { return self.clone() };
        let (before, after) = self.list().split_at(first);
        let rest = after[1..].iter().filter(|resource| predicate(resource));
        Resources::of_list(before.iter().chain(rest).cloned().collect())
    }

    pub fn retain(&mut self, predicate: impl FnMut(&Resource) -> bool) {
        *self = self.filter(predicate);
    }

    pub fn named(&self, name: &ResourceName) -> Resources {
        self.filter(|resource| resource.name() == name)
    }

    pub fn scalars(&self) -> Resources {
        self.filter(Resource::is_scalar)
    }

    pub fn reserved(&self) -> Resources {
        self.filter(Resource::is_reserved)
    }

    pub fn reserved_to(&self, role: &Role) -> Resources {
        self.filter(|resource| resource.is_reserved_to(role))
    }

    pub fn unreserved(&self) -> Resources {
        self.filter(Resource::is_unreserved)
    }

    /// What may be offered to `role`: the unreserved, and what is reserved for it or for a role above it.
    pub fn allocatable_to(&self, role: &Role) -> Resources {
        self.filter(|resource| resource.is_allocatable_to(role))
    }

    pub fn revocable(&self) -> Resources {
        self.filter(Resource::is_revocable)
    }

    pub fn non_revocable(&self) -> Resources {
        self.filter(|resource| !resource.is_revocable())
    }

    pub fn shared(&self) -> Resources {
        self.filter(Resource::is_shared)
    }

    pub fn non_shared(&self) -> Resources {
        self.filter(|resource| !resource.is_shared())
    }

    pub fn persistent_volumes(&self) -> Resources {
        self.filter(Resource::is_persistent_volume)
    }

    /// Marks everything as offered or allocated to `role`.
    pub fn allocate(&mut self, role: &Role) {
        self.rebuild_allocations(Some(role));
    }

    pub fn unallocate(&mut self) {
        self.rebuild_allocations(None);
    }

    pub fn allocated_to(mut self, role: &Role) -> Resources {
        self.allocate(role);
        self
    }

    pub fn unallocated(mut self) -> Resources {
        self.unallocate();
        self
    }

    fn rebuild_allocations(&mut self, role: Option<&Role>) {
        let first = self.list().first().and_then(Resource::allocation_role);
        let uniform = self.iter().all(|resource| resource.allocation_role() == first);
        if uniform && first == role {
            return;
        }
        for resource in self.own_list() {
            resource.set_allocation(role);
        }
        // What differed in nothing but its allocation is the same now.
        if !uniform {
            *self = std::mem::take(self).into_iter().collect();
        }
    }

    /// Parts by allocation role; what is not allocated is in none of them.
    pub fn allocations(&self) -> BTreeMap<Role, Resources> {
        let mut result: BTreeMap<Role, Resources> = BTreeMap::new();
        for resource in self {
            if let Some(role) = resource.allocation_role() {
                result.entry(role.clone()).or_default().own_list().push(resource.clone());
            }
        }
        result
    }

    /// The one role that all of this is allocated to; none if there are several, or if something is unallocated.
    pub fn allocation_role(&self) -> Option<&Role> {
        let role = self.list().first()?.allocation_role()?;
        self.iter().all(|resource| resource.allocation_role() == Some(role)).then_some(role)
    }

    /// Parts by the finest role they are reserved for.
    pub fn reservations(&self) -> BTreeMap<Role, Resources> {
        let mut result: BTreeMap<Role, Resources> = BTreeMap::new();
        for resource in self {
            if let Some(role) = resource.reservation_role() {
                result.entry(role.clone()).or_default().own_list().push(resource.clone());
            }
        }
        result
    }

    /// With `reservation` on top of every stack. Whether that is a refinement is for the caller to validate.
    pub fn push_reservation(&self, reservation: &Reservation) -> Resources {
        self.iter().map(|resource| resource.clone().with_reservation(reservation.clone())).collect()
    }

    /// Without the topmost reservation of every stack.
    pub fn pop_reservation(&self) -> Resources {
        self.change_metadata(|reservations| drop(reservations.pop()))
    }

    pub fn to_unreserved(&self) -> Resources {
        self.change_metadata(Vec::clear)
    }

    fn change_metadata(&self, change: impl Fn(&mut Vec<Reservation>)) -> Resources {
        self.iter()
            .map(|resource| {
                if resource.is_reserved() {
                    resource.clone().with_changed(|metadata| change(&mut metadata.reservations))
                } else {
                    resource.clone()
                }
            })
            .collect()
    }

    /// Finds resources like `targets`, whatever their reservations: first those of the target's own role, then
    /// unreserved ones, then any. `None` if there is not enough.
    pub fn find(&self, targets: &Resources) -> Option<Resources> {
        let mut result = Resources::new();
        for target in targets {
            result += &self.find_one(target)?;
        }
        Some(result)
    }

    fn find_one(&self, target: &Resource) -> Option<Resources> {
        let bare =
            |resource: &Resource| resource.clone().with_changed(|metadata| metadata.reservations.clear());
        let mut remaining: Resources = std::iter::once(bare(target)).collect();
        let mut total = self.clone();
        let mut found = Resources::new();
        let role = target.reservation_role();
        let preferences: [&dyn Fn(&Resource) -> bool; 3] = [
            &|candidate| role.is_some() && candidate.reservation_role() == role,
            &Resource::is_unreserved,
            &|_| true,
        ];
        for preferred in preferences {
            for candidate in self.iter().filter(|candidate| preferred(candidate)) {
                if !total.contains_resource(candidate) {
                    continue;
                }
                let unreserved: Resources = std::iter::once(bare(candidate)).collect();
                if unreserved.contains(&remaining) {
                    for part in &remaining {
                        found.insert(part.clone().with_changed(|metadata| {
                            metadata.reservations = candidate.reservations().to_vec();
                        }));
                    }
                    return Some(found);
                }
                if remaining.contains(&unreserved) {
                    found.insert(candidate.clone());
                    total.subtract(candidate);
                    remaining -= &unreserved;
                }
            }
        }
        None
    }

    /// The sum of the scalars of that name, if there are any.
    pub fn scalar(&self, name: &ResourceName) -> Option<Scalar> {
        let found = self.iter().filter(|resource| resource.name() == name).filter_map(Resource::as_scalar);
        found.reduce(Scalar::add)
    }

    pub fn cpus(&self) -> Option<Scalar> {
        self.scalar(&ResourceName::CPUS)
    }

    pub fn gpus(&self) -> Option<Scalar> {
        self.scalar(&ResourceName::GPUS)
    }

    /// Memory in MB.
    pub fn mem(&self) -> Option<Scalar> {
        self.scalar(&ResourceName::MEM)
    }

    /// Disk in MB.
    pub fn disk(&self) -> Option<Scalar> {
        self.scalar(&ResourceName::DISK)
    }

    pub fn ports(&self) -> Option<Ranges> {
        self.ranges(&ResourceName::PORTS)
    }

    /// The union of the ranges of that name, if there are any.
    pub fn ranges(&self, name: &ResourceName) -> Option<Ranges> {
        let found = self.iter().filter(|resource| resource.name() == name).filter_map(Resource::as_ranges);
        found.fold(None, |sum: Option<Ranges>, ranges| {
            Some(sum.map_or_else(|| ranges.clone(), |sum| sum.union(ranges)))
        })
    }

    pub fn names(&self) -> BTreeSet<ResourceName> {
        self.iter().map(|resource| resource.name().clone()).collect()
    }
}

impl FromIterator<Resource> for Resources {
    fn from_iter<I: IntoIterator<Item = Resource>>(list: I) -> Resources {
        let mut result = Resources::new();
        for resource in list {
            result.insert(resource);
        }
        result
    }
}

impl From<Resource> for Resources {
    fn from(resource: Resource) -> Resources {
        std::iter::once(resource).collect()
    }
}

impl<'a> std::iter::Sum<&'a Resources> for Resources {
    fn sum<I: Iterator<Item = &'a Resources>>(list: I) -> Resources {
        list.fold(Resources::new(), |mut sum, part| {
            sum += part;
            sum
        })
    }
}

impl<'a> IntoIterator for &'a Resources {
    type Item = &'a Resource;
    type IntoIter = std::slice::Iter<'a, Resource>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Resources {
    type Item = Resource;
    type IntoIter = smallvec::IntoIter<[Resource; 4]>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.map(Arc::unwrap_or_clone).unwrap_or_default().into_iter()
    }
}

impl AddAssign<&Resources> for Resources {
    fn add_assign(&mut self, other: &Resources) {
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        for resource in other {
            self.insert(resource.clone());
        }
    }
}

impl SubAssign<&Resources> for Resources {
    fn sub_assign(&mut self, other: &Resources) {
        if self.is_copy_of(other) {
            self.0 = None;
            return;
        }
        for resource in other {
            self.subtract(resource);
        }
    }
}

impl Add<&Resources> for Resources {
    type Output = Resources;

    fn add(mut self, other: &Resources) -> Resources {
        self += other;
        self
    }
}

impl Sub<&Resources> for Resources {
    type Output = Resources;

    fn sub(mut self, other: &Resources) -> Resources {
        self -= other;
        self
    }
}

impl Add<&Resources> for &Resources {
    type Output = Resources;

    fn add(self, other: &Resources) -> Resources {
        self.clone() + other
    }
}

impl Sub<&Resources> for &Resources {
    type Output = Resources;

    fn sub(self, other: &Resources) -> Resources {
        self.clone() - other
    }
}

impl PartialEq for Resources {
    fn eq(&self, other: &Resources) -> bool {
        self.is_copy_of(other) || (self.len() == other.len() && self.contains(other) && other.contains(self))
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return out.write_str("{}");
        }
        for (i, resource) in self.iter().enumerate() {
            let separator = if i > 0 { "; " } else { "" };
            write!(out, "{separator}{resource}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.iter()).finish()
    }
}
