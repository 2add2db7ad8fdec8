//! Judging the commits of a batch: each by its own expectations, and after the effects of those before it.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use rideplane_core::ids::{BookingId, UserId, VehicleId, Version};
use rideplane_core::time::Timestamp;
use rideplane_ports::{
    AggregateKey, CommitError, IdempotencyId, IdempotencyRecord, Kind, PortError, PreparedChange,
    PreparedCommit, Quota,
};
use rusqlite::Connection;

use crate::cache::Memory;
use crate::lookups;
use crate::writer::Work;

const COMMIT: &str = "store.commit";

/// What the commits of a batch refer to, as it is after those that were accepted already.
#[derive(Debug, Default)]
pub(crate) struct Known {
    vehicles: HashMap<VehicleId, Version>,
    bookings: HashMap<BookingId, Version>,
    idempotency: HashMap<IdempotencyId, Option<Arc<IdempotencyRecord>>>,
    created: HashMap<UserId, Vec<Timestamp>>,
    handled: HashSet<(String, String)>,
}

impl Known {
    /// Takes what memory knows and asks the file for the rest. What neither knows is at version 0, or was never there.
    ///
    /// # Errors
    /// When the file can't be read, or holds a row that is not what was written.
    pub(crate) fn load(works: &[&Work], memory: &Memory, connection: &Connection) -> Result<Self, PortError> {
        let mut known = Self::default();
        let unknown = known.recall(works, memory);
        for id in unknown.vehicles {
            if let Some(version) = lookups::vehicle_version(connection, &id)? {
                known.vehicles.insert(id, version);
            }
        }
        for id in unknown.bookings {
            if let Some(version) = lookups::booking_version(connection, &id)? {
                known.bookings.insert(id, version);
            }
        }
        for id in unknown.keys {
            if let Some(record) = lookups::idempotency(connection, &id)? {
                known.idempotency.insert(id, Some(Arc::new(record)));
            }
        }
        for (consumer, event) in unknown.handled {
            if lookups::is_handled(connection, &consumer, &event)? {
                known.handled.insert((consumer, event));
            }
        }
        for (user, since) in since(works) {
            known.created.insert(user.clone(), lookups::created_after(connection, user, since)?);
        }
        Ok(known)
    }

    /// Returns what memory does not know.
    fn recall(&mut self, works: &[&Work], memory: &Memory) -> Unknown {
        let mut unknown = Unknown::default();
        let mut rows = memory.rows();
        for work in works {
            if let Work::Handled { consumer, event_id, .. } = work {
                let key = (consumer.clone(), event_id.clone());
                match rows.handled.get(&key) {
                    Ok(true) => drop(self.handled.insert(key)),
                    Ok(false) => {}
                    Err(_) => unknown.handled.push(key),
                }
            }
            let Some(commit) = work.commit() else { continue };
            for change in &commit.vehicles {
                let id = &change.stored.state.id;
                match rows.vehicles.get(id) {
                    Ok(stored) => drop(self.vehicles.insert(id.clone(), stored.version)),
                    Err(_) => unknown.vehicles.push(id.clone()),
                }
            }
            for change in &commit.bookings {
                let id = change.stored.state.id;
                match rows.bookings.get(&id) {
                    Ok(stored) => drop(self.bookings.insert(id, stored.version)),
                    Err(_) => unknown.bookings.push(id),
                }
            }
            if let Some(write) = &commit.idempotency {
                match rows.idempotency.get(&write.id) {
                    Ok(record) => drop(self.idempotency.insert(write.id.clone(), record)),
                    Err(_) => unknown.keys.push(write.id.clone()),
                }
            }
        }
        unknown
    }

    /// Whether it is news that the event was handled.
    pub(crate) fn is_news(&mut self, consumer: &str, event_id: &str) -> bool {
        self.handled.insert((consumer.to_owned(), event_id.to_owned()))
    }

    /// Accepts the commit and takes its effects into account, or says why not and leaves everything as it was.
    pub(crate) fn judge(&mut self, commit: &PreparedCommit) -> Result<(), CommitError> {
        if let Some(write) = &commit.idempotency {
            let current = self.idempotency.get(&write.id).cloned().flatten();
            if current.as_deref() != write.expected.as_ref() {
                return Err(CommitError::IdempotencyConflict);
            }
        }
        once(&commit.vehicles, |vehicle| vehicle.id.clone())?;
        once(&commit.bookings, |booking| booking.id)?;
        for change in &commit.vehicles {
            let id = &change.stored.state.id;
            expect(self.vehicles.get(id), change.expected, || AggregateKey::Vehicle(id.clone()))?;
        }
        for change in &commit.bookings {
            let id = change.stored.state.id;
            expect(self.bookings.get(&id), change.expected, || AggregateKey::Booking(id))?;
        }
        if let Some(quota) = &commit.quota {
            self.within(quota)?;
        }
        self.accept(commit);
        Ok(())
    }

    fn within(&self, quota: &Quota) -> Result<(), CommitError> {
        let created = self.created.get(&quota.user_id).map_or(&[][..], Vec::as_slice);
        let counted = || created.iter().filter(|at| **at > quota.since);
        if (counted().count() as u64) < u64::from(quota.max) {
            return Ok(());
        }
        Err(CommitError::QuotaExceeded { oldest: counted().min().copied().unwrap_or(quota.since) })
    }

    fn accept(&mut self, commit: &PreparedCommit) {
        for change in &commit.vehicles {
            self.vehicles.insert(change.stored.state.id.clone(), change.stored.version);
        }
        for change in &commit.bookings {
            let booking = &change.stored.state;
            self.bookings.insert(booking.id, change.stored.version);
            if change.expected == Version::NONE {
                self.created.entry(booking.user_id.clone()).or_default().push(booking.created_at);
            }
        }
        if let Some(write) = &commit.idempotency {
            self.idempotency.insert(write.id.clone(), Some(Arc::new(write.record.clone())));
        }
    }
}

fn expect(
    current: Option<&Version>,
    expected: Version,
    key: impl FnOnce() -> AggregateKey,
) -> Result<(), CommitError> {
    if current.copied().unwrap_or(Version::NONE) == expected {
        return Ok(());
    }
    Err(CommitError::VersionConflict { key: key(), expected })
}

fn once<T, K: Hash + Eq>(changes: &[PreparedChange<T>], id: impl Fn(&T) -> K) -> Result<(), PortError> {
    let mut seen = HashSet::new();
    if changes.len() < 2 || changes.iter().all(|change| seen.insert(id(&change.stored.state))) {
        return Ok(());
    }
    Err(PortError::new(Kind::Rejected, COMMIT, "a commit changes an aggregate at most once"))
}

/// What memory does not know of a batch.
#[derive(Default)]
struct Unknown {
    vehicles: Vec<VehicleId>,
    bookings: Vec<BookingId>,
    keys: Vec<IdempotencyId>,
    handled: Vec<(String, String)>,
}

/// From when on the bookings of each user count against a quota.
fn since<'w>(works: &[&'w Work]) -> HashMap<&'w UserId, Timestamp> {
    let mut since: HashMap<&UserId, Timestamp> = HashMap::new();
    for quota in works.iter().filter_map(|work| work.commit()?.quota.as_ref()) {
        since
            .entry(&quota.user_id)
            .and_modify(|earliest| *earliest = quota.since.min(*earliest))
            .or_insert(quota.since);
    }
    since
}
