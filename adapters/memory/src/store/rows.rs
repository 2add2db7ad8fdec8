//! The tables and the indexes over them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use rideplane_core::booking::{self, Booking};
use rideplane_core::fleet::{self, Vehicle};
use rideplane_core::ids::{BookingId, UserId, VehicleId, Version};
use rideplane_core::time::Timestamp;
use rideplane_ports::{
    AggregateKey, Envelope, IdempotencyId, IdempotencyRecord, LedgerEntry, PortError, Profile, Stored,
    Telemetry,
};

/// Everything there is.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) vehicles: BTreeMap<VehicleId, Row<Vehicle>>,
    pub(super) bookings: BTreeMap<BookingId, Row<Booking>>,
    /// Each user's bookings, the oldest first.
    pub(super) by_user: HashMap<UserId, BTreeSet<(Timestamp, BookingId)>>,
    pub(super) deadlines: BTreeSet<(Timestamp, AggregateKey)>,
    pub(super) telemetry: HashMap<VehicleId, Telemetry>,
    /// Online, unretired vehicles by when they last reported; who never did comes first.
    pub(super) listening: BTreeSet<(Option<Timestamp>, VehicleId)>,
    pub(super) idempotency: HashMap<IdempotencyId, IdempotencyRecord>,
    pub(super) profiles: HashMap<UserId, Profile>,
    pub(super) handled: HashMap<String, HashSet<String>>,
    /// The outbox: in the order of commits, those published in between included until they come to the front.
    pub(super) queue: VecDeque<Arc<Fact>>,
    /// By the queue's numbering: the number of its front.
    pub(super) queue_start: u64,
    /// What is published, though not at the front.
    pub(super) published: BTreeSet<u64>,
}

/// An aggregate with its history.
pub(super) struct Row<T> {
    pub(super) current: Stored<T>,
    pub(super) deadline: Option<Timestamp>,
    /// The event that made version `n` is at `n - 1`.
    pub(super) facts: Vec<Arc<Fact>>,
    pub(super) ledger: Vec<LedgerEntry>,
}

/// An event with its address.
pub(super) struct Fact {
    /// Its number in the outbox.
    pub(super) number: u64,
    pub(super) version: Version,
    pub(super) at: Timestamp,
    pub(super) body: Body,
}

pub(super) enum Body {
    Vehicle(VehicleId, fleet::Event),
    Booking(BookingId, booking::Event),
}

impl Fact {
    /// As the bus sees it.
    pub(super) fn envelope(&self) -> Result<Envelope, PortError> {
        match &self.body {
            Body::Vehicle(id, event) => Envelope::of_vehicle(id, self.version, event, self.at),
            Body::Booking(id, event) => Envelope::of_booking(*id, self.version, event, self.at),
        }
    }
}

impl Tables {
    /// The number of the next event in the outbox.
    pub(super) fn next_number(&self) -> u64 {
        self.queue_start + self.queue.len() as u64
    }

    /// The event that made `version` of an aggregate.
    pub(super) fn fact(&self, key: &AggregateKey, version: Version) -> Option<&Arc<Fact>> {
        let facts = match key {
            AggregateKey::Booking(id) => &self.bookings.get(id)?.facts,
            AggregateKey::Vehicle(id) => &self.vehicles.get(id)?.facts,
        };
        facts.get(usize::try_from(version.0.checked_sub(1)?).ok()?)
    }
}
