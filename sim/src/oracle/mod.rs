//! Oracles: what must be true, said in the words of the spec and judged by what really happened.
//!
//! They watch four places and no code of the system: the commits that the store really took, the books of the payment
//! provider, the bolts of the vehicles, and what riders were told.

mod events;
mod fleet;
mod model;
mod money;
mod riders;

use std::collections::{BTreeMap, BTreeSet};

use rideplane_core::booking::Status;
use rideplane_core::ids::{BookingId, CommandId, GatewayKey, UserId, VehicleId};
use rideplane_core::time::{Span, Timestamp};
use rideplane_ports::{AggregateKey, Commit, IdempotencyRecord};
use serde::{Deserialize, Serialize};

pub(crate) use model::{Model, Phase};
pub(crate) use riders::Told;

/// One thing that must always be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// At most one live holder per vehicle, and both sides name each other (linearizable register).
    OneHolder,
    /// The store's states are those of the reference model.
    Model,
    /// A vehicle that may still obey an old command is given to nobody.
    Quarantine,
    /// A lock opens only for the holder, by a command that was really given, in time, and once.
    Unlock,
    /// A trip begins only with the vehicle's own answer to a command that is still wanted.
    TripStart,
    /// The ledger adds up and equals the provider's books (bank).
    Bank,
    /// At most one effective capture, and none without a ride.
    OneCapture,
    /// At most one hold for a booking.
    OneHold,
    /// No hold stands on a dead booking after its bound.
    NoHoldLeft,
    /// A booking that a rider was told of is there and stays (set-full).
    BookingsStay,
    /// What goes into the outbox comes out: nothing lost, nothing invented (total-queue).
    Outbox,
    /// The events of one aggregate arrive in order and without a gap.
    EventOrder,
    /// No id is given twice, and a key names one request.
    UniqueIds,
    /// A rider never hears of a failure that was a success, nor of a success that was none.
    RiderTruth,
    /// Nobody sees or moves what belongs to another.
    Ownership,
    /// An event that was handled is not handled again.
    Inbox,
    /// Everything comes to its end once the faults stop.
    Liveness,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 17] = [
        Self::OneHolder,
        Self::Model,
        Self::Quarantine,
        Self::Unlock,
        Self::TripStart,
        Self::Bank,
        Self::OneCapture,
        Self::OneHold,
        Self::NoHoldLeft,
        Self::BookingsStay,
        Self::Outbox,
        Self::EventOrder,
        Self::UniqueIds,
        Self::RiderTruth,
        Self::Ownership,
        Self::Inbox,
        Self::Liveness,
    ];

    /// The rule in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneHolder => "one live holder per vehicle",
            Self::Model => "the store agrees with the reference model",
            Self::Quarantine => "quarantine respected",
            Self::Unlock => "no unlock for a non-holder, late, forged or twice",
            Self::TripStart => "a trip begins with the vehicle's answer",
            Self::Bank => "ledger equals the provider's books",
            Self::OneCapture => "at most one capture, none without a ride",
            Self::OneHold => "at most one hold for a booking",
            Self::NoHoldLeft => "no hold on a dead booking",
            Self::BookingsStay => "bookings that riders know of stay",
            Self::Outbox => "outbox: nothing lost, nothing invented",
            Self::EventOrder => "events in order, without a gap",
            Self::UniqueIds => "ids and keys are unique",
            Self::RiderTruth => "riders are told the truth",
            Self::Ownership => "nobody moves what is another's",
            Self::Inbox => "an event has one effect",
            Self::Liveness => "everything comes to its end",
        }
    }
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// The true time.
    pub at: Timestamp,
    /// Of what, as the trace names it.
    pub about: Vec<String>,
    /// What was found.
    pub found: String,
}

/// The largest difference between a vehicle's clock and a server's that is counted with (DESIGN.md, section 7).
const SKEW: Span = Span::from_seconds(15);
/// How far the clocks of two servers may differ here, which no rule of a single server can know.
const SERVERS_DIFFER: Span = Span::from_seconds(5);

/// Everything that the oracles know.
#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) violations: Vec<Violation>,
    pub(crate) checks: [u64; Rule::ALL.len()],
    pub(crate) model: Model,
    fleet: BTreeMap<VehicleId, fleet::Register>,
    issued: BTreeMap<CommandId, fleet::Issued>,
    accounts: BTreeMap<BookingId, money::Account>,
    keys: BTreeMap<(UserId, String), BTreeSet<BookingId>>,
    events: events::Events,
    ids: BTreeSet<u128>,
    told: riders::Tales,
}

impl Oracle {
    pub(crate) fn check(&mut self, rule: Rule) {
        self.checks[rule as usize] += 1;
    }

    pub(crate) fn broken(&mut self, rule: Rule, at: Timestamp, about: Vec<String>, found: impl Into<String>) {
        self.violations.push(Violation { rule, at, about, found: found.into() });
    }

    pub(crate) fn require(
        &mut self,
        rule: Rule,
        holds: bool,
        at: Timestamp,
        about: impl FnOnce() -> Vec<String>,
        found: impl FnOnce() -> String,
    ) {
        self.check(rule);
        if !holds {
            self.broken(rule, at, about(), found());
        }
    }

    /// The store has taken a commit.
    pub(crate) fn committed(&mut self, commit: &Commit, now: Timestamp) {
        for change in &commit.vehicles {
            self.vehicle_changed(change, commit.at, now);
        }
        for change in &commit.bookings {
            self.booking_changed(change, now);
        }
        self.pair_agrees(commit, now);
        self.posted(commit, now);
        self.enqueued(commit, now);
        if let Some(write) = &commit.idempotency
            && let IdempotencyRecord::InFlight { booking_id, .. } = &write.record
        {
            let key = (write.id.user_id.clone(), write.id.key.as_str().to_owned());
            let made = self.keys.entry(key).or_default();
            made.insert(*booking_id);
            let count = made.len();
            self.require(
                Rule::UniqueIds,
                count == 1,
                now,
                || vec![booking_id.to_string()],
                || format!("{count} bookings under one Idempotency-Key"),
            );
        }
    }

    /// The provider got one key for two requests.
    pub(crate) fn key_reused(&mut self, key: &GatewayKey, now: Timestamp) {
        let found = format!("key {key} came with another request");
        self.broken(Rule::UniqueIds, now, vec!["Provider".to_owned()], found);
    }

    /// A booking's status as everybody outside would say it.
    pub(crate) fn status_of(&self, booking: BookingId) -> Option<Status> {
        self.model.bookings.get(&booking).map(|booking| booking.wire)
    }

    fn fresh_id(&mut self, id: u128, what: &str, now: Timestamp) {
        let new = self.ids.insert(id);
        self.require(Rule::UniqueIds, new, now, Vec::new, || format!("{what} {id:032x} was given before"));
    }
}

fn about(key: &AggregateKey) -> Vec<String> {
    vec![key.id()]
}
