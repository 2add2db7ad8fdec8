//! Events that wait for the bus, kept from their COMMIT until they are published, so that the relay need not read back
//! what was written a moment ago.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use rideplane_core::ids::Version;
use rideplane_ports::{AggregateKey, Envelope};

/// An event's name.
pub(crate) type EventKey = (AggregateKey, Version);

/// All that wait, in the order of the file, or nothing: then the file is asked.
#[derive(Debug)]
pub(crate) struct Waiting {
    events: Option<VecDeque<Arc<Envelope>>>,
    capacity: usize,
}

impl Waiting {
    pub(crate) const fn new(capacity: usize) -> Self {
        Self { events: None, capacity }
    }

    pub(crate) const fn is_known(&self) -> bool {
        self.events.is_some()
    }

    /// The file holds none that waits: from now on all that come are known.
    pub(crate) fn begin(&mut self) {
        self.events = Some(VecDeque::new());
    }

    /// Nobody knows what the file holds.
    pub(crate) fn forget(&mut self) {
        self.events = None;
    }

    /// They are in the file now. When there are too many to keep, none is kept until the file holds none that waits.
    pub(crate) fn add(&mut self, events: &[Arc<Envelope>]) {
        let Some(known) = &mut self.events else { return };
        if known.len() + events.len() > self.capacity {
            self.events = None;
            return;
        }
        known.extend(events.iter().cloned());
    }

    /// They are out of the file now. The relay publishes the oldest first, so most often no other one is looked at.
    pub(crate) fn remove(&mut self, published: &[EventKey]) {
        let Some(known) = &mut self.events else { return };
        let mut published: HashSet<&EventKey> = published.iter().collect();
        while let Some(event) = known.front()
            && published.remove(&(event.aggregate.clone(), event.version))
        {
            known.pop_front();
        }
        if !published.is_empty() {
            known.retain(|event| !published.contains(&(event.aggregate.clone(), event.version)));
        }
    }

    /// The oldest ones; `None` when the file must be asked.
    pub(crate) fn oldest(&self, limit: usize) -> Option<Vec<Arc<Envelope>>> {
        Some(self.events.as_ref()?.iter().take(limit).cloned().collect())
    }

    /// How many; `None` when the file must be asked.
    pub(crate) fn count(&self) -> Option<usize> {
        self.events.as_ref().map(VecDeque::len)
    }
}

#[cfg(test)]
mod tests {
    use rideplane_core::ids::VehicleId;
    use rideplane_core::time::Timestamp;
    use rideplane_ports::Topic;

    use super::*;

    fn event(number: u64) -> Arc<Envelope> {
        Arc::new(Envelope {
            topic: Topic::Vehicles,
            aggregate: AggregateKey::Vehicle(VehicleId::new("v1").unwrap()),
            version: Version(number),
            name: "VehicleRegistered".to_owned(),
            at: Timestamp::from_micros(0),
            data: "{}".to_owned(),
        })
    }

    fn names(numbers: &[u64]) -> Vec<EventKey> {
        numbers.iter().map(|number| (event(*number).aggregate.clone(), Version(*number))).collect()
    }

    fn versions(waiting: &Waiting) -> Option<Vec<u64>> {
        Some(waiting.oldest(99)?.iter().map(|event| event.version.0).collect())
    }

    #[test]
    fn what_is_published_in_any_order_waits_no_longer() {
        let mut waiting = Waiting::new(8);
        waiting.add(&[event(1)]);
        assert_eq!(versions(&waiting), None, "an event before the beginning: the file is asked");
        waiting.begin();
        waiting.add(&[1, 2, 3, 4, 5, 6].map(event));
        waiting.remove(&names(&[2, 1, 5, 77]));
        assert_eq!(versions(&waiting), Some(vec![3, 4, 6]));
        assert_eq!(waiting.oldest(2).unwrap().len(), 2);
        assert_eq!(waiting.count(), Some(3));
    }

    #[test]
    fn too_many_are_left_to_the_file_until_it_holds_none() {
        let mut waiting = Waiting::new(3);
        waiting.begin();
        waiting.add(&[1, 2, 3].map(event));
        waiting.add(&[event(4)]);
        waiting.remove(&names(&[1, 2, 3]));
        waiting.add(&[event(5)]);
        assert_eq!((versions(&waiting), waiting.count()), (None, None));
        waiting.begin();
        waiting.add(&[event(6)]);
        assert_eq!(versions(&waiting), Some(vec![6]));
    }
}
