//! Questions to the tables.

use std::ops::Bound;
use std::sync::Arc;

use rideplane_core::booking::Booking;
use rideplane_core::fleet::Vehicle;
use rideplane_core::ids::{BookingId, UserId, VehicleId};
use rideplane_core::time::Timestamp;
use rideplane_ports::{
    BookingFilter, Due, Envelope, IdempotencyId, IdempotencyRecord, Page, Profile, Stored, Telemetry,
    VehicleRecord,
};

use super::rows::{Fact, Tables};

impl Tables {
    pub(super) fn vehicle(&self, id: &VehicleId) -> Option<Stored<Vehicle>> {
        self.vehicles.get(id).map(|row| row.current.clone())
    }

    pub(super) fn booking(&self, id: &BookingId) -> Option<Stored<Booking>> {
        self.bookings.get(id).map(|row| row.current.clone())
    }

    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Vec<Due> {
        let due = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now).take(limit);
        due.map(|(deadline, key)| Due { key: key.clone(), deadline: *deadline }).collect()
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    pub(super) fn silent(&self, before: Timestamp, limit: usize) -> Vec<VehicleId> {
        let overdue = |reported: &Option<Timestamp>| reported.is_none_or(|reported| reported < before);
        let silent = self.listening.iter().take_while(|(reported, _)| overdue(reported)).take(limit);
        silent.map(|(_, id)| id.clone()).collect()
    }

    /// Behind a cursor that names no booking there is nothing.
    pub(super) fn bookings_of(&self, user: &UserId, filter: &BookingFilter) -> Page<Stored<Booking>> {
        let mut page = Page { items: Vec::new(), more: false };
        let Some(made) = self.by_user.get(user) else { return page };
        let end = match filter.before {
            None => Bound::Unbounded,
            Some(before) => match self.bookings.get(&before) {
                Some(row) => Bound::Excluded((row.current.state.created_at, before)),
                None => return page,
            },
        };
        let rows = made.range((Bound::Unbounded, end)).rev().filter_map(|(_, id)| self.bookings.get(id));
        let wanted = |row: &Stored<Booking>| filter.status.is_none_or(|status| row.state.status() == status);
        for current in rows.map(|row| &row.current).filter(|row| wanted(row)) {
            if page.items.len() as u64 >= u64::from(filter.limit) {
                page.more = true;
                break;
            }
            page.items.push(current.clone());
        }
        page
    }

    pub(super) fn vehicles(&self, after: Option<&VehicleId>, limit: usize) -> Vec<VehicleRecord> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.vehicles.range::<VehicleId, _>((start, Bound::Unbounded)).take(limit);
        rows.map(|(id, row)| VehicleRecord {
            vehicle: row.current.clone(),
            telemetry: self.telemetry.get(id).cloned(),
        })
        .collect()
    }

    pub(super) fn telemetry(&self, id: &VehicleId) -> Option<Telemetry> {
        self.telemetry.get(id).cloned()
    }

    pub(super) fn record(&mut self, report: &Telemetry) {
        let id = &report.vehicle_id;
        let Some(known) = self.telemetry.get_mut(id) else {
            self.telemetry.insert(id.clone(), report.clone());
            if self.listening.remove(&(None, id.clone())) {
                self.listening.insert((Some(report.last_reported), id.clone()));
            }
            return;
        };
        let before = known.last_reported;
        known.take_in(report);
        let after = known.last_reported;
        if before != after && self.listening.remove(&(Some(before), id.clone())) {
            self.listening.insert((Some(after), id.clone()));
        }
    }

    pub(super) fn idempotency(&self, id: &IdempotencyId) -> Option<IdempotencyRecord> {
        self.idempotency.get(id).cloned()
    }

    pub(super) fn profile(&self, user: &UserId) -> Option<Profile> {
        self.profiles.get(user).cloned()
    }

    pub(super) fn put_profile(&mut self, profile: Profile) {
        self.profiles.insert(profile.user_id.clone(), profile);
    }

    pub(super) fn pending(&self, limit: usize) -> Vec<Arc<Fact>> {
        let waiting = self.queue.iter().filter(|fact| !self.published.contains(&fact.number));
        waiting.take(limit).cloned().collect()
    }

    pub(super) fn pending_count(&self) -> u64 {
        (self.queue.len() as u64).saturating_sub(self.published.len() as u64)
    }

    pub(super) fn mark_published(&mut self, events: &[Envelope]) {
        for event in events {
            let number = self.fact(&event.aggregate, event.version).map(|fact| fact.number);
            self.published.extend(number.filter(|number| *number >= self.queue_start));
        }
        while self.published.remove(&self.queue_start) {
            drop(self.queue.pop_front());
            self.queue_start += 1;
        }
    }

    pub(super) fn is_handled(&self, consumer: &str, event_id: &str) -> bool {
        self.handled.get(consumer).is_some_and(|events| events.contains(event_id))
    }

    pub(super) fn mark_handled(&mut self, consumer: &str, event_id: &str) -> bool {
        match self.handled.get_mut(consumer) {
            Some(events) => events.insert(event_id.to_owned()),
            None => {
                self.handled.insert(consumer.to_owned(), [event_id.to_owned()].into());
                true
            }
        }
    }
}
