//! Rows that are kept in memory.
//!
//! Only the writer changes rows, and it changes them here between the COMMIT and the acknowledgement. A reader that
//! had to ask the file brings its row along; that row is taken only when nothing can have happened to it in between.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rideplane_core::booking::Booking;
use rideplane_core::fleet::Vehicle;
use rideplane_core::ids::{BookingId, UserId, VehicleId};
use rideplane_core::time::Timestamp;
use rideplane_ports::{
    AggregateKey, IdempotencyId, IdempotencyRecord, PreparedCommit, Profile, Stored, Telemetry,
};

use crate::waiting::Waiting;

/// A bounded map that forgets what was not used for long: two generations, the older of which goes as a whole.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
    /// Rises whenever a row that is not here may have changed since somebody read it.
    losses: u64,
}

/// A moment in a cache's life: taken before a read of the file, given back with the row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(u64);

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        let half = (capacity / 2).max(1);
        Self { young: HashMap::new(), old: HashMap::new(), half, losses: 0 }
    }

    /// The row, or the moment of its absence.
    pub(crate) fn get(&mut self, key: &K) -> Result<V, Moment> {
        if let Some(value) = self.young.get(key) {
            return Ok(value.clone());
        }
        let Some(value) = self.old.remove(key) else {
            return Err(Moment(self.losses));
        };
        self.put(key.clone(), value.clone());
        Ok(value)
    }

    /// The writer's word: the row is this now.
    pub(crate) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
            self.losses += 1;
        }
        self.young.insert(key, value);
    }

    /// A reader's word: the row was this after `since`.
    pub(crate) fn fill(&mut self, key: K, value: V, since: Moment) {
        let absent = !self.young.contains_key(&key) && !self.old.contains_key(&key);
        if absent && since.0 == self.losses {
            self.put(key, value);
        }
    }

    /// The writer's word: the row changed by `change`, whatever it was.
    fn change(&mut self, key: &K, change: impl FnOnce(V) -> V) {
        match self.get(key) {
            Ok(value) => self.put(key.clone(), change(value)),
            Err(_) => self.losses += 1,
        }
    }

    fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.losses += 1;
    }
}

/// Every deadline there is, in order.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    of: HashMap<AggregateKey, Timestamp>,
    order: BTreeSet<(Timestamp, AggregateKey)>,
}

impl Deadlines {
    pub(crate) fn set(&mut self, key: AggregateKey, deadline: Option<Timestamp>) {
        let before = match deadline {
            Some(at) => self.of.insert(key.clone(), at),
            None => self.of.remove(&key),
        };
        if before == deadline {
            return;
        }
        if let Some(before) = before {
            self.order.remove(&(before, key.clone()));
        }
        if let Some(at) = deadline {
            self.order.insert((at, key));
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Timestamp, AggregateKey)> {
        self.order.iter()
    }
}

/// Everything that is kept.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) vehicles: Cache<VehicleId, Stored<Vehicle>>,
    pub(crate) bookings: Cache<BookingId, Stored<Booking>>,
    pub(crate) idempotency: Cache<IdempotencyId, Option<Arc<IdempotencyRecord>>>,
    pub(crate) telemetry: Cache<VehicleId, Option<Telemetry>>,
    pub(crate) profiles: Cache<UserId, Option<Arc<Profile>>>,
    pub(crate) handled: Cache<(String, String), bool>,
    pub(crate) waiting: Waiting,
    /// `None` while they may be wrong: then the file is asked.
    pub(crate) deadlines: Option<Deadlines>,
}

/// [`Rows`] behind a lock that is never held across an await.
#[derive(Debug)]
pub(crate) struct Memory(Mutex<Rows>);

impl Memory {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Mutex::new(Rows {
            vehicles: Cache::new(capacity),
            bookings: Cache::new(capacity),
            idempotency: Cache::new(capacity),
            telemetry: Cache::new(capacity),
            profiles: Cache::new(capacity),
            handled: Cache::new(capacity),
            waiting: Waiting::new(capacity),
            deadlines: None,
        }))
    }

    pub(crate) fn rows(&self) -> MutexGuard<'_, Rows> {
        // No code that runs under the lock panics halfway through a change; what is there is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    /// Forgets everything: nobody knows what the file holds.
    pub(crate) fn clear(&mut self) {
        self.vehicles.clear();
        self.bookings.clear();
        self.idempotency.clear();
        self.telemetry.clear();
        self.profiles.clear();
        self.handled.clear();
        self.waiting.forget();
        self.deadlines = None;
    }

    /// The same as the statements that write a commit.
    pub(crate) fn take(&mut self, commit: &PreparedCommit, first_event: i64) {
        for change in &commit.vehicles {
            let id = change.stored.state.id.clone();
            if let Some(deadlines) = &mut self.deadlines {
                deadlines.set(AggregateKey::Vehicle(id.clone()), change.deadline);
            }
            self.vehicles.put(id, change.stored.clone());
        }
        for change in &commit.bookings {
            let id = change.stored.state.id;
            if let Some(deadlines) = &mut self.deadlines {
                deadlines.set(AggregateKey::Booking(id), change.deadline);
            }
            self.bookings.put(id, change.stored.clone());
        }
        self.waiting.add(first_event, &commit.events);
        if let Some(write) = &commit.idempotency {
            self.idempotency.put(write.id.clone(), Some(Arc::new(write.record.clone())));
        }
    }

    /// The same as the statement that writes telemetry.
    pub(crate) fn report(&mut self, report: &Telemetry) {
        self.telemetry.change(&report.vehicle_id, |known| {
            let Some(mut known) = known else {
                return Some(report.clone());
            };
            known.take_in(report);
            Some(known)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_never_brings_back_what_the_writer_has_changed() {
        let mut cache: Cache<u32, u32> = Cache::new(4);
        let before = cache.get(&1).unwrap_err();
        cache.put(1, 11);
        cache.fill(1, 10, before);
        assert_eq!(cache.get(&1).unwrap(), 11, "present: the writer is right");

        let before = cache.get(&2).unwrap_err();
        cache.put(2, 21);
        for other in 10..20 {
            cache.put(other, 0);
        }
        cache.fill(2, 20, before);
        assert!(cache.get(&2).is_err(), "changed and forgotten: the reader's row is not taken");

        let before = cache.get(&3).unwrap_err();
        cache.change(&3, |old| old + 1);
        cache.fill(3, 30, before);
        assert!(cache.get(&3).is_err(), "changed while absent");

        let before = cache.get(&4).unwrap_err();
        cache.fill(4, 40, before);
        assert_eq!(cache.get(&4).unwrap(), 40);
    }

    #[test]
    fn a_cache_stays_within_its_bound_and_keeps_what_is_used() {
        let mut cache: Cache<u32, u32> = Cache::new(100);
        for key in 0..10_000 {
            cache.put(key, key);
            assert!(cache.young.len() + cache.old.len() <= 100);
            assert_eq!(cache.get(&0).unwrap(), 0);
        }
    }

    #[test]
    fn deadlines_stay_in_order() {
        let key = |n: u32| AggregateKey::Vehicle(VehicleId::new(format!("v{n}")).unwrap());
        let mut deadlines = Deadlines::default();
        for n in 0..5 {
            deadlines.set(key(n), Some(Timestamp::from_micros(i64::from(10 - n))));
        }
        deadlines.set(key(4), None);
        deadlines.set(key(0), Some(Timestamp::from_micros(1)));
        let order: Vec<i64> = deadlines.iter().map(|(at, _)| at.as_micros()).collect();
        assert_eq!(order, [1, 7, 8, 9]);
    }
}
