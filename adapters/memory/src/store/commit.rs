//! The commit: first every expectation, then, with no way to fail, every change.

use std::sync::Arc;

use rideplane_core::booking::Booking;
use rideplane_core::fleet::Vehicle;
use rideplane_core::ids::{VehicleId, Version};
use rideplane_core::time::Timestamp;
use rideplane_ports::{
    AggregateKey, BookingChange, Commit, CommitError, IdempotencyWrite, Kind, LedgerEntry, PortError, Quota,
    Stored, VehicleChange,
};

use super::rows::{Body, Fact, Row, Tables};

/// What a commit put aside, to be freed without the lock.
pub(super) type Replaced = (Vec<Stored<Vehicle>>, Vec<Stored<Booking>>);

/// Refuses what no caller may ask for.
pub(super) fn check_shape(commit: &Commit) -> Result<(), CommitError> {
    let vehicles = commit.vehicles.iter().enumerate().map(|(n, change)| {
        let again = commit.vehicles.iter().skip(n + 1).any(|other| other.state.id == change.state.id);
        (AggregateKey::Vehicle(change.state.id.clone()), change.events.is_empty(), again)
    });
    let bookings = commit.bookings.iter().enumerate().map(|(n, change)| {
        let again = commit.bookings.iter().skip(n + 1).any(|other| other.state.id == change.state.id);
        (AggregateKey::Booking(change.state.id), change.events.is_empty(), again)
    });
    for (key, without_event, again) in vehicles.chain(bookings) {
        let wrong = match (without_event, again) {
            (true, _) => "changes without an event",
            (false, true) => "is changed twice in one commit",
            (false, false) => continue,
        };
        return Err(PortError::new(Kind::Rejected, "store.commit", format!("{key} {wrong}")).into());
    }
    Ok(())
}

impl Tables {
    /// Whether every expectation of the commit holds.
    pub(super) fn check(&self, commit: &Commit) -> Result<(), CommitError> {
        if let Some(write) = &commit.idempotency {
            self.check_idempotency(write)?;
        }
        for change in &commit.vehicles {
            let stored = self.vehicles.get(&change.state.id).map_or(Version::NONE, |row| row.current.version);
            if stored != change.expected {
                let key = AggregateKey::Vehicle(change.state.id.clone());
                return Err(CommitError::VersionConflict { key, expected: change.expected });
            }
        }
        for change in &commit.bookings {
            let stored = self.bookings.get(&change.state.id).map_or(Version::NONE, |row| row.current.version);
            if stored != change.expected {
                let key = AggregateKey::Booking(change.state.id);
                return Err(CommitError::VersionConflict { key, expected: change.expected });
            }
        }
        self.check_ledger(commit)?;
        commit.quota.as_ref().map_or(Ok(()), |quota| self.check_quota(quota))
    }

    fn check_idempotency(&self, write: &IdempotencyWrite) -> Result<(), CommitError> {
        if self.idempotency.get(&write.id) == write.expected.as_ref() {
            return Ok(());
        }
        Err(CommitError::IdempotencyConflict)
    }

    fn check_ledger(&self, commit: &Commit) -> Result<(), CommitError> {
        for entry in &commit.ledger {
            let id = entry.booking_id;
            if !self.bookings.contains_key(&id) && commit.bookings.iter().all(|change| change.state.id != id)
            {
                let message = format!("a posting names booking {id}, which is not stored");
                return Err(PortError::new(Kind::Rejected, "store.commit", message).into());
            }
        }
        Ok(())
    }

    fn check_quota(&self, quota: &Quota) -> Result<(), CommitError> {
        let Some(made) = self.by_user.get(&quota.user_id) else { return Ok(()) };
        let max = usize::try_from(quota.max).unwrap_or(usize::MAX);
        if made.len() < max {
            return Ok(());
        }
        let counted = made.iter().rev().take_while(|(at, _)| *at > quota.since);
        let (count, oldest) = counted.fold((0, None), |(count, _), (at, _)| (count + 1, Some(*at)));
        match oldest {
            Some(oldest) if count >= max => Err(CommitError::QuotaExceeded { oldest }),
            Some(_) | None => Ok(()),
        }
    }

    /// Writes a commit whose expectations hold.
    pub(super) fn write(&mut self, commit: Commit) -> Replaced {
        let mut replaced = Replaced::default();
        for change in commit.vehicles {
            replaced.0.extend(self.write_vehicle(change, commit.at));
        }
        for change in commit.bookings {
            replaced.1.extend(self.write_booking(change, commit.at));
        }
        for entry in commit.ledger {
            self.post(entry);
        }
        if let Some(write) = commit.idempotency {
            self.idempotency.insert(write.id, write.record);
        }
        replaced
    }

    fn write_vehicle(&mut self, change: VehicleChange, at: Timestamp) -> Option<Stored<Vehicle>> {
        let id = change.state.id.clone();
        let version = change.version();
        let facts = self.enqueue(
            change.expected,
            at,
            change.events.into_iter().map(|event| Body::Vehicle(id.clone(), event)),
        );
        let now = change.state.is_watched();
        let current = Stored { state: change.state, version };
        let (before, moved) = match self.vehicles.get_mut(&id) {
            Some(row) => row.replace(current, change.deadline, facts),
            None => {
                self.vehicles.insert(id.clone(), Row::new(current, change.deadline, facts));
                (None, (None, change.deadline))
            }
        };
        self.move_deadline(moved, || AggregateKey::Vehicle(id.clone()));
        let listened = before.as_ref().is_some_and(|stored| stored.state.is_watched());
        if listened != now {
            self.listen(&id, now);
        }
        before
    }

    fn write_booking(&mut self, change: BookingChange, at: Timestamp) -> Option<Stored<Booking>> {
        let id = change.state.id;
        let version = change.version();
        let facts = self.enqueue(
            change.expected,
            at,
            change.events.into_iter().map(|event| Body::Booking(id, event)),
        );
        let current = Stored { state: change.state, version };
        let (before, moved) = match self.bookings.get_mut(&id) {
            Some(row) => row.replace(current, change.deadline, facts),
            None => {
                let made = (current.state.created_at, id);
                self.by_user.entry(current.state.user_id.clone()).or_default().insert(made);
                self.bookings.insert(id, Row::new(current, change.deadline, facts));
                (None, (None, change.deadline))
            }
        };
        self.move_deadline(moved, || AggregateKey::Booking(id));
        before
    }

    fn enqueue(
        &mut self,
        expected: Version,
        at: Timestamp,
        bodies: impl Iterator<Item = Body>,
    ) -> Vec<Arc<Fact>> {
        let mut facts = Vec::with_capacity(bodies.size_hint().0);
        for (n, body) in bodies.enumerate() {
            let version = expected.after(n + 1);
            let fact = Arc::new(Fact { number: self.next_number(), version, at, body });
            self.queue.push_back(Arc::clone(&fact));
            facts.push(fact);
        }
        facts
    }

    fn move_deadline(
        &mut self,
        (from, to): (Option<Timestamp>, Option<Timestamp>),
        key: impl Fn() -> AggregateKey,
    ) {
        if from == to {
            return;
        }
        if let Some(from) = from {
            self.deadlines.remove(&(from, key()));
        }
        if let Some(to) = to {
            self.deadlines.insert((to, key()));
        }
    }

    fn listen(&mut self, id: &VehicleId, listens: bool) {
        let reported = self.telemetry.get(id).map(|telemetry| telemetry.last_reported);
        let entry = (reported, id.clone());
        if listens {
            self.listening.insert(entry);
        } else {
            self.listening.remove(&entry);
        }
    }

    fn post(&mut self, entry: LedgerEntry) {
        if let Some(row) = self.bookings.get_mut(&entry.booking_id) {
            row.ledger.push(entry);
        }
    }
}

type Moved = (Option<Timestamp>, Option<Timestamp>);

impl<T> Row<T> {
    fn new(current: Stored<T>, deadline: Option<Timestamp>, facts: Vec<Arc<Fact>>) -> Self {
        Self { current, deadline, facts, ledger: Vec::new() }
    }

    /// Takes a new state in; returns the old one, and from when to when the deadline moved.
    fn replace(
        &mut self,
        current: Stored<T>,
        deadline: Option<Timestamp>,
        facts: Vec<Arc<Fact>>,
    ) -> (Option<Stored<T>>, Moved) {
        let before = std::mem::replace(&mut self.current, current);
        let moved = (std::mem::replace(&mut self.deadline, deadline), deadline);
        self.facts.extend(facts);
        (Some(before), moved)
    }
}
