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
    /// Each with its number in the file, which rises.
    events: Option<VecDeque<(i64, Arc<Envelope>)>>,
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

    /// They are in the file now, numbered one by one from `first` on. When there are too many to keep, none is kept until
    /// the file holds none that waits.
    pub(crate) fn add(&mut self, first: i64, events: &[Arc<Envelope>]) {
        let Some(known) = &mut self.events else { return };
        if known.len() + events.len() > self.capacity {
            self.events = None;
            return;
        }
        known.extend((first..).zip(events.iter().cloned()));
    }

    /// The numbers of those of them that wait, in rising order; `None` when the file must be asked. The relay publishes
    /// the oldest first, so most often no other one is looked at.
    pub(crate) fn numbers(&self, published: &[EventKey]) -> Option<Vec<i64>> {
        let known = self.events.as_ref()?;
        let mut names: HashSet<&EventKey> = published.iter().collect();
        let mut numbers = Vec::with_capacity(names.len());
        for (number, event) in known {
            if names.is_empty() {
                break;
            }
            if names.remove(&(event.aggregate.clone(), event.version)) {
                numbers.push(*number);
            }
        }
        Some(numbers)
    }

    /// They are out of the file now: numbers in rising order.
    pub(crate) fn remove(&mut self, numbers: &[i64]) {
        let Some(known) = &mut self.events else { return };
        let mut rest = numbers;
        while let (Some((number, _)), Some((next, others))) = (known.front(), rest.split_first())
            && number == next
        {
            known.pop_front();
            rest = others;
        }
        if !rest.is_empty() {
            known.retain(|(number, _)| rest.binary_search(number).is_err());
        }
    }

    /// The oldest ones; `None` when the file must be asked.
    pub(crate) fn oldest(&self, limit: usize) -> Option<Vec<Arc<Envelope>>> {
        Some(self.events.as_ref()?.iter().take(limit).map(|(_, event)| Arc::clone(event)).collect())
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
        waiting.add(1, &[event(1)]);
        assert_eq!(versions(&waiting), None, "an event before the beginning: the file is asked");
        assert_eq!(waiting.numbers(&names(&[1])), None);
        waiting.begin();
        waiting.add(11, &[1, 2, 3].map(event));
        waiting.add(21, &[4, 5, 6].map(event));
        let numbers = waiting.numbers(&names(&[2, 1, 5, 77])).unwrap();
        assert_eq!(numbers, [11, 12, 22]);
        waiting.remove(&numbers);
        assert_eq!(versions(&waiting), Some(vec![3, 4, 6]));
        assert_eq!(waiting.oldest(2).unwrap().len(), 2);
        assert_eq!(waiting.count(), Some(3));
    }

    #[test]
    fn too_many_are_left_to_the_file_until_it_holds_none() {
        let mut waiting = Waiting::new(3);
        waiting.begin();
        waiting.add(1, &[1, 2, 3].map(event));
        waiting.add(4, &[event(4)]);
        waiting.remove(&[1, 2, 3]);
        waiting.add(5, &[event(5)]);
        assert_eq!((versions(&waiting), waiting.count()), (None, None));
        waiting.begin();
        waiting.add(6, &[event(6)]);
        assert_eq!(versions(&waiting), Some(vec![6]));
    }
}
