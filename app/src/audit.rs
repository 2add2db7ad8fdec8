//! Proofs over a store: what must be true of everything that was ever written.

use std::collections::BTreeMap;
use std::fmt;

use rideplane_core::Machine;
use rideplane_core::booking::{self, Booking, Status};
use rideplane_core::fleet::{self, Vehicle};
use rideplane_core::ids::{BookingId, VehicleId, Version};
use rideplane_core::money::{Currency, Money};
use rideplane_core::payment::PaymentStatus;
use rideplane_core::time::{Span, Timestamp};
use rideplane_ports::{AggregateDump, AggregateKey, AuditSource, LedgerAccount, PortError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Aggregates read at a time.
const PAGE: usize = 500;

/// One thing that is not true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which proof failed.
    pub rule: &'static str,
    /// Of which aggregate.
    pub aggregate: String,
    /// What was found.
    pub found: String,
}

/// The result of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// Bookings that were looked at.
    pub bookings: u64,
    /// Vehicles that were looked at.
    pub vehicles: u64,
    /// Events that were folded.
    pub events: u64,
    /// Sums of the ledger, in minor units.
    pub money: BTreeMap<&'static str, BTreeMap<String, i64>>,
    /// What is not true.
    pub violations: Vec<Violation>,
}

/// Reads a whole store and proves: the events of each aggregate have no gap and fold to its stored state; a vehicle is
/// held by at most one live booking, and by the one it names; for each booking authorized = captured + released + open,
/// refunds never exceed captures, and the ledger says the same; no money is held for a booking that is dead, beyond the
/// time it takes to give it back (`grace`).
///
/// # Errors
/// When the store can't be read.
pub async fn audit(source: &dyn AuditSource, now: Timestamp, grace: Span) -> Result<AuditReport, PortError> {
    let mut audit =
        Audit { now, grace, report: AuditReport::default(), live: BTreeMap::new(), held: BTreeMap::new() };
    let mut after: Option<AggregateKey> = None;
    loop {
        let page = source.aggregates(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        for dump in &page {
            audit.aggregate(dump);
        }
    }
    audit.holders();
    Ok(audit.report)
}

struct Audit {
    now: Timestamp,
    grace: Span,
    report: AuditReport,
    /// Live bookings by vehicle.
    live: BTreeMap<VehicleId, Vec<BookingId>>,
    /// Holders by vehicle.
    held: BTreeMap<VehicleId, BookingId>,
}

impl Audit {
    fn violation(&mut self, rule: &'static str, key: &AggregateKey, found: impl Into<String>) {
        self.report.violations.push(Violation { rule, aggregate: key.to_string(), found: found.into() });
    }

    fn aggregate(&mut self, dump: &AggregateDump) {
        self.report.events += dump.events.len() as u64;
        self.gapless(dump);
        match &dump.key {
            AggregateKey::Booking(_) => {
                self.report.bookings += 1;
                if let Some(booking) = self.folds::<Booking, booking::Event>(dump) {
                    self.booking(dump, &booking);
                }
            }
            AggregateKey::Vehicle(id) => {
                self.report.vehicles += 1;
                let vehicle = self.folds::<Vehicle, fleet::Event>(dump);
                if let Some(holder) = vehicle.as_ref().and_then(Vehicle::holder) {
                    self.held.insert(id.clone(), holder.booking_id);
                }
            }
        }
    }

    fn gapless(&mut self, dump: &AggregateDump) {
        for (n, event) in dump.events.iter().enumerate() {
            let expected = Version::NONE.after(n + 1);
            if event.version != expected {
                let found =
                    format!("event {} has version {}, expected {expected}", event.name, event.version);
                return self.violation("outbox is gapless", &dump.key, found);
            }
        }
        let last = Version::NONE.after(dump.events.len());
        if last != dump.version {
            let found = format!("{last} events, stored version {}", dump.version);
            self.violation("outbox is gapless", &dump.key, found);
        }
    }

    fn folds<S, E>(&mut self, dump: &AggregateDump) -> Option<S>
    where
        S: Machine<State = Option<S>, Event = E> + DeserializeOwned + PartialEq,
        E: DeserializeOwned,
    {
        const RULE: &str = "folding the events gives the stored state";
        let stored: S = match serde_json::from_str(&dump.state) {
            Ok(state) => state,
            Err(error) => {
                self.violation(RULE, &dump.key, format!("the stored state is unreadable: {error}"));
                return None;
            }
        };
        let mut folded = None;
        for event in &dump.events {
            match serde_json::from_str::<E>(&event.data) {
                Ok(data) => folded = S::evolve(folded, &data),
                Err(error) => {
                    let found =
                        format!("event {} (version {}) is unreadable: {error}", event.name, event.version);
                    self.violation(RULE, &dump.key, found);
                    return Some(stored);
                }
            }
        }
        if folded.as_ref() != Some(&stored) {
            self.violation(RULE, &dump.key, "they differ");
        }
        Some(stored)
    }

    fn booking(&mut self, dump: &AggregateDump, booking: &Booking) {
        if booking.reservation.is_live() {
            self.live.entry(booking.vehicle_id.clone()).or_default().push(booking.id);
        }
        self.money(dump, booking);
        let ended = dump.events.last().map_or(self.now, |event| event.at);
        let overdue = ended.plus(self.grace) < self.now;
        if booking.status().is_terminal() && overdue && !booking.payment.open().is_zero() {
            let found =
                format!("{} still held, payment {:?}", booking.payment.open(), booking.payment.status());
            self.violation("no live hold on a dead booking", &dump.key, found);
        }
        if booking.trip.is_none() && !booking.payment.captured().is_zero() {
            let net = booking.payment.captured().sub(booking.payment.refunded());
            if net.map_or(true, |net| !net.is_zero()) {
                self.violation("no charge without a ride", &dump.key, booking.payment.captured().to_string());
            }
        }
        if booking.payment.status() == PaymentStatus::Quarantined {
            self.violation("no payment contradicts itself", &dump.key, "payment is quarantined");
        }
        if booking.status() == Status::Active && booking.trip.is_none() {
            self.violation("an active booking has a trip", &dump.key, "it has none");
        }
    }

    fn money(&mut self, dump: &AggregateDump, booking: &Booking) {
        const RULE: &str = "authorized = captured + released + open";
        let payment = &booking.payment;
        let accounts = [
            (LedgerAccount::Authorized, "authorized", payment.authorized()),
            (LedgerAccount::Captured, "captured", payment.captured()),
            (LedgerAccount::Released, "released", payment.released()),
            (LedgerAccount::Refunded, "refunded", payment.refunded()),
        ];
        let [authorized, captured, released, refunded] = accounts.map(|(_, _, amount)| amount.to_minor());
        let open = payment.open().to_minor();
        let parts = captured.checked_add(released).and_then(|sum| sum.checked_add(open));
        if parts != Some(authorized) {
            let found = format!("{authorized} != {captured} + {released} + {open} (minor units)");
            self.violation(RULE, &dump.key, found);
        }
        if refunded > captured {
            self.violation(
                "refunded <= captured",
                &dump.key,
                format!("{refunded} > {captured} (minor units)"),
            );
        }
        for (account, name, amount) in accounts {
            let posted = posted(dump, account, amount.currency());
            if posted != Some(amount.to_minor()) {
                let found = format!("{name}: state says {amount}, ledger says {posted:?} (minor units)");
                self.violation("the ledger equals the state", &dump.key, found);
            }
            self.add(name, amount);
        }
        self.add("open", payment.open());
    }

    fn add(&mut self, name: &'static str, amount: Money) {
        let sums = self.report.money.entry(name).or_default();
        let sum = sums.entry(amount.currency().to_string()).or_default();
        *sum = sum.saturating_add(amount.to_minor());
    }

    /// Each vehicle and the bookings that live on it name each other, one to one.
    fn holders(&mut self) {
        const RULE: &str = "at most one live holder per vehicle";
        for (vehicle, bookings) in std::mem::take(&mut self.live) {
            let key = AggregateKey::Vehicle(vehicle.clone());
            let holder = self.held.remove(&vehicle);
            if bookings.len() > 1 {
                let ids: Vec<String> = bookings.iter().map(BookingId::to_string).collect();
                self.violation(RULE, &key, format!("live bookings {}", ids.join(", ")));
            } else if holder.as_ref() != bookings.first() {
                let found = format!("booking {bookings:?} is live, the vehicle names {holder:?}");
                self.violation(RULE, &key, found);
            }
        }
        for (vehicle, booking) in std::mem::take(&mut self.held) {
            let key = AggregateKey::Vehicle(vehicle);
            self.violation(RULE, &key, format!("held by {booking}, which is not live"));
        }
    }
}

/// The sum of an account in minor units; `None` when another currency is posted, or it overflows.
fn posted(dump: &AggregateDump, account: LedgerAccount, currency: Currency) -> Option<i64> {
    dump.ledger.iter().filter(|entry| entry.account == account).try_fold(0_i64, |sum, entry| {
        (entry.amount.currency() == currency).then(|| sum.checked_add(entry.amount.to_minor())).flatten()
    })
}

impl AuditReport {
    /// Whether everything is true.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} bookings, {} vehicles, {} events", self.bookings, self.vehicles, self.events)?;
        for violation in &self.violations {
            writeln!(f, "VIOLATION {}: {}: {}", violation.rule, violation.aggregate, violation.found)?;
        }
        write!(f, "{} violations", self.violations.len())
    }
}
