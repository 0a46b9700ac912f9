//! Places for what may take long: so many at a time, and for one address no more than its share, so that nobody keeps all
//! others out. It must not know what is done there.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Places are given out for as long as the program runs: a static of each kind.
pub struct Places {
    all: usize,
    share: usize,
    taken: Mutex<BTreeMap<Holder, usize>>,
}

/// Whoever has a network of IPv6 has more addresses in it than there are places: it counts as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    /// Not by the network.
    Nowhere,
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    #[error("{0} go on already: try again")]
    All(usize),
    #[error("{0} of your address go on already: try again when one has ended")]
    Share(usize),
}

impl Places {
    pub const fn new(all: usize, share: usize) -> Places {
        Places { all, share, taken: Mutex::new(BTreeMap::new()) }
    }

    /// A place, until it is dropped.
    pub fn take(&'static self, peer: Option<IpAddr>) -> Result<Place, NoPlace> {
        let holder = holder(peer);
        let mut taken = self.lock();
        if taken.get(&holder).is_some_and(|count| *count >= self.share) {
            return Err(NoPlace::Share(self.share));
        }
        // At most as many holders as there are places.
        if taken.values().sum::<usize>() >= self.all {
            return Err(NoPlace::All(self.all));
        }
        *taken.entry(holder).or_default() += 1;
        Ok(Place { places: self, holder })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Holder, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn holder(peer: Option<IpAddr>) -> Holder {
    match peer.map(|address| address.to_canonical()) {
        None => Holder::Nowhere,
        Some(IpAddr::V6(address)) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            Holder::Address(Ipv6Addr::from_bits(network).into())
        }
        Some(address) => Holder::Address(address),
    }
}

pub struct Place {
    places: &'static Places,
    holder: Holder,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(count) = taken.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn one_address_has_its_share_and_leaves_the_rest_to_others() {
        static PLACES: Places = Places::new(5, 2);
        let mut held: Vec<Place> = (0..2).map(|_| PLACES.take(ip("10.0.0.1")).unwrap()).collect();
        assert_eq!(PLACES.take(ip("10.0.0.1")).err(), Some(NoPlace::Share(2)));
        // The same address by another notation.
        assert_eq!(PLACES.take(ip("::ffff:10.0.0.1")).err(), Some(NoPlace::Share(2)));
        held.extend((0..2).map(|_| PLACES.take(ip("10.0.0.2")).unwrap()));
        held.push(PLACES.take(None).unwrap());
        assert_eq!(PLACES.take(ip("10.0.0.3")).err(), Some(NoPlace::All(5)));
        held.remove(0);
        assert!(PLACES.take(ip("10.0.0.3")).is_ok());
        let again = PLACES.take(ip("10.0.0.1")).unwrap();
        drop((held, again));
        assert!(PLACES.lock().is_empty(), "nothing is kept of those that are gone");
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        static PLACES: Places = Places::new(5, 1);
        let _held = PLACES.take(ip("2001:db8:0:1::1")).unwrap();
        assert_eq!(PLACES.take(ip("2001:db8:0:1:ffff::2")).err(), Some(NoPlace::Share(1)));
        assert!(PLACES.take(ip("2001:db8:0:2::1")).is_ok());
    }
}
