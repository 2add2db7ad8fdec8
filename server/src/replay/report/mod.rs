//! What a replay reports: `report.json`, and whether its numbers add up.
//!
//! A [`Recorder`] is told what happens and becomes a [`Report`]; [`Report::check`] lists the identities
//! that do not hold; `Display` is the summary for a terminal; [`super::html`] draws the page.

mod recorder;
mod series;
mod summary;
#[cfg(test)]
pub(super) mod tests;
pub(super) mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use rideplane_core::money::{Currency, Decimal, Money};
use rideplane_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::fold::Fold;
use super::trips::{Format, Point, SkipReason};

pub use recorder::{Counter, JourneyEnd, MoneyFlow, Recorder};

/// Everything a replay has to say. Field names are those of `report.json`.
///
/// Equal arguments and seed give equal reports but for `latency_us`, `wall_s` and `bookings_per_s`
/// ([`Report::without_times`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was asked for.
    pub parameters: Parameters,
    /// The rows of the trip file.
    pub trips_read: u64,
    /// The rows that can't be ridden, by reason; every reason is listed.
    pub trips_skipped: BTreeMap<SkipReason, u64>,
    /// The trips whose distance is an estimate.
    pub trips_distance_estimated: u64,
    /// The trips that found no vehicle within reach.
    pub no_vehicle_nearby: u64,
    /// The bookings that came to be.
    pub bookings_created: u64,
    /// Bookings refused because somebody else had the vehicle first; an alternative may have been taken.
    pub conflicts: u64,
    /// Payments that the gateway declined.
    pub payments_declined: u64,
    /// Payments that asked the customer to act (3-D Secure).
    pub payments_requires_action: u64,
    /// Unlocks that the vehicle refused or did not answer.
    pub unlocks_failed: u64,
    /// Bookings ridden and paid.
    pub bookings_completed: u64,
    /// Bookings cancelled, by anyone.
    pub bookings_cancelled: u64,
    /// Bookings whose time ran out.
    pub bookings_expired: u64,
    /// The cancelled ones by reason.
    pub cancelled_by_reason: BTreeMap<String, u64>,
    /// The expired ones by reason.
    pub expired_by_reason: BTreeMap<String, u64>,
    /// The faults that were met, by kind.
    pub faults_met: BTreeMap<String, u64>,
    /// What happened to the money.
    pub money: MoneyTotals,
    /// The events that reached the bus.
    pub events_published: u64,
    /// The events that are still waiting for it.
    pub outbox_pending: u64,
    /// The findings of the store's audit.
    pub audit_violations: u64,
    /// The first of those findings, in words.
    pub audit_findings: Vec<String>,
    /// How long each phase took, in microseconds of real time.
    pub latency_us: BTreeMap<Phase, Percentiles>,
    /// The replay in seconds of real time.
    pub wall_s: f64,
    /// Bookings created per second of real time.
    pub bookings_per_s: f64,
    /// Demand and fleet over the replayed time.
    pub timeline: Timeline,
    /// Demand over the map.
    pub demand: DemandMap,
}

/// What a replay was asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The version of the binary.
    pub version: String,
    /// The trip file.
    pub trips: String,
    /// Its format.
    pub format: Format,
    /// Where bookings are kept: `sqlite`, `memory`, ...
    pub store: String,
    /// How trips were laid onto the time line.
    pub fold: Fold,
    /// The faults that were asked for: `none`, `everyday` or `storm`.
    pub faults: String,
    /// The vehicles.
    pub fleet: u64,
    /// The seed of everything random.
    pub seed: u64,
}

/// A phase of the journey whose time is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Finding vehicles nearby.
    Search,
    /// Creating the booking: quote, hold and the reservation of the vehicle.
    Reserve,
    /// Confirming the payment.
    Confirm,
    /// The signed command and the vehicle's ack.
    Unlock,
    /// Ending the trip: lock, fare, capture.
    End,
}

/// The distribution of one phase, in microseconds; the percentiles are within 0.1 % of the exact ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median.
    pub p50: u64,
    /// 95 of 100 were at most this.
    pub p95: u64,
    /// 99 of 100 were at most this.
    pub p99: u64,
    /// The longest.
    pub max: u64,
    /// How many were measured.
    pub count: u64,
}

/// Money by what became of it. Holds are authorised; of each a part may be captured and the rest is
/// released; what is neither is open; refunds come out of what was captured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyTotals {
    /// Held on payment methods.
    pub authorized: Totals,
    /// Taken out of holds.
    pub captured: Totals,
    /// Holds, or the rest of them, given back.
    pub released: Totals,
    /// Captured money given back.
    pub refunded: Totals,
    /// Held to this moment.
    pub open: Totals,
}

/// Exact sums by currency: `{"USD": "123.45"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Totals(BTreeMap<Currency, Decimal>);

/// Demand and fleet in steps of equal length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// The length of a step: an hour, or more where hours would be too many to look at.
    pub step_s: u64,
    /// The steps in order; one without demand or sample is there all the same.
    pub steps: Vec<Step>,
}

/// One step of a [`Timeline`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When it begins.
    pub from: Timestamp,
    /// The trips that looked for a vehicle in it.
    pub searched: u64,
    /// Those of them that found none.
    pub unmet: u64,
    /// The mean of the fleet's samples in it, if there was one.
    pub fleet: Option<FleetSample>,
}

/// What the vehicles were doing at one moment. Each vehicle is in exactly one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetSample {
    /// Free to be booked.
    pub available: u64,
    /// Held for a booking.
    pub reserved: u64,
    /// Being ridden.
    pub in_use: u64,
    /// Not heard of, in quarantine or out of service.
    pub offline: u64,
}

/// Demand in hexagonal cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DemandMap {
    /// The middle of the map; cells tile the equirectangular projection around it.
    pub origin: Option<Point>,
    /// From the middle of a cell to its corners, in metres.
    pub cell_m: f64,
    /// The cells with demand, from south to north.
    pub cells: Vec<DemandCell>,
}

/// One cell of a [`DemandMap`]: its middle is `east_m`, `north_m` from the origin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DemandCell {
    /// Metres east of the origin, at the origin's latitude.
    pub east_m: f64,
    /// Metres north of the origin.
    pub north_m: f64,
    /// The trips that looked for a vehicle here.
    pub searched: u64,
    /// Those of them that found none.
    pub unmet: u64,
}

impl Phase {
    /// All of them, in the order of the journey.
    pub const ALL: [Self; 5] = [Self::Search, Self::Reserve, Self::Confirm, Self::Unlock, Self::End];

    /// The name in `report.json`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Reserve => "reserve",
            Self::Confirm => "confirm",
            Self::Unlock => "unlock",
            Self::End => "end",
        }
    }
}

impl Totals {
    /// Adds an amount. A sum beyond 28 digits stays at the limit, where [`Report::check`] will find it.
    pub fn add(&mut self, money: Money) {
        let sum = self.0.entry(money.currency()).or_insert(Money::zero(money.currency()).amount());
        *sum = sum.checked_add(money.amount()).unwrap_or(Decimal::MAX);
    }

    /// The sum in one currency.
    #[must_use]
    pub fn get(&self, currency: Currency) -> Decimal {
        self.0.get(&currency).copied().unwrap_or_default()
    }

    /// The sums by currency.
    pub fn iter(&self) -> impl Iterator<Item = (Currency, Decimal)> + '_ {
        self.0.iter().map(|(currency, sum)| (*currency, *sum))
    }
}

impl MoneyTotals {
    /// The currencies that occur anywhere.
    #[must_use]
    pub fn currencies(&self) -> BTreeSet<Currency> {
        let all = [&self.authorized, &self.captured, &self.released, &self.refunded, &self.open];
        all.into_iter().flat_map(Totals::iter).map(|(currency, _)| currency).collect()
    }
}

impl FleetSample {
    /// All vehicles.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.available + self.reserved + self.in_use + self.offline
    }
}

impl Report {
    /// The trips that were skipped, for whatever reason.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.trips_skipped.values().sum()
    }

    /// The trips that looked for a vehicle.
    #[must_use]
    pub fn searched(&self) -> u64 {
        self.trips_read.saturating_sub(self.skipped())
    }

    /// Whether the audit found nothing and all numbers add up.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.audit_violations == 0 && self.check().is_empty()
    }

    /// The identities that do not hold, in words; none is what it should be.
    ///
    /// - every trip read is skipped, unmet, or a booking in a terminal state;
    /// - every booking created reached a terminal state, and the reasons sum to their totals;
    /// - per currency authorised = captured + released + open, nothing is open, nothing is negative, and no
    ///   more was refunded than captured;
    /// - the map and the time line show every search and every unmet one.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let ended = self.bookings_completed + self.bookings_cancelled + self.bookings_expired;
        let by_reason = |reasons: &BTreeMap<String, u64>| reasons.values().sum::<u64>();
        let over_cells = |of: fn(&DemandCell) -> u64| self.demand.cells.iter().map(of).sum::<u64>();
        let over_steps = |of: fn(&Step) -> u64| self.timeline.steps.iter().map(of).sum::<u64>();
        for (left, a, right, b) in [
            (
                "trips_read",
                self.trips_read,
                "trips_skipped + no_vehicle_nearby + bookings that ended",
                self.skipped() + self.no_vehicle_nearby + ended,
            ),
            ("bookings_created", self.bookings_created, "completed + cancelled + expired", ended),
            (
                "bookings_cancelled",
                self.bookings_cancelled,
                "cancelled_by_reason",
                by_reason(&self.cancelled_by_reason),
            ),
            (
                "bookings_expired",
                self.bookings_expired,
                "expired_by_reason",
                by_reason(&self.expired_by_reason),
            ),
            (
                "trips_read - trips_skipped",
                self.searched(),
                "searches on the map",
                over_cells(|c| c.searched),
            ),
            ("trips_read - trips_skipped", self.searched(), "searches over time", over_steps(|s| s.searched)),
            ("no_vehicle_nearby", self.no_vehicle_nearby, "unmet on the map", over_cells(|c| c.unmet)),
            ("no_vehicle_nearby", self.no_vehicle_nearby, "unmet over time", over_steps(|s| s.unmet)),
        ] {
            if a != b {
                broken.push(format!("{left} is {a}, but {right} is {b}"));
            }
        }
        for currency in self.money.currencies() {
            self.money.check(currency, &mut broken);
        }
        broken
    }

    /// The same report as if no time had passed: what two runs with one seed must agree on.
    #[must_use]
    pub fn without_times(&self) -> Self {
        let mut report = self.clone();
        for percentiles in report.latency_us.values_mut() {
            *percentiles = Percentiles { count: percentiles.count, ..Percentiles::default() };
        }
        report.wall_s = 0.0;
        report.bookings_per_s = 0.0;
        report
    }

    /// Writes `report.json` and `report.html` into a folder, which is made if need be, and names them.
    ///
    /// # Errors
    /// When one of them can't be written.
    pub fn write(&self, folder: &Path) -> io::Result<[PathBuf; 2]> {
        fs::create_dir_all(folder)?;
        let json = serde_json::to_string_pretty(self)? + "\n";
        let paths = [folder.join("report.json"), folder.join("report.html")];
        let [json_path, html_path] = &paths;
        fs::write(json_path, json)?;
        fs::write(html_path, super::html::render(self))?;
        Ok(paths)
    }
}

impl MoneyTotals {
    /// Writes every currency into every sum: `"open": {"USD": "0.00"}` says more than `{}`.
    fn fill(&mut self) {
        for currency in self.currencies() {
            let Self { authorized, captured, released, refunded, open } = self;
            for totals in [authorized, captured, released, refunded, open] {
                totals.add(Money::zero(currency));
            }
        }
    }

    fn check(&self, currency: Currency, broken: &mut Vec<String>) {
        let of = |totals: &Totals| totals.get(currency);
        let (authorized, captured) = (of(&self.authorized), of(&self.captured));
        let (released, refunded, open) = (of(&self.released), of(&self.refunded), of(&self.open));
        let sum = captured.checked_add(released).and_then(|sum| sum.checked_add(open));
        if sum != Some(authorized) {
            broken.push(format!(
                "{currency}: authorized is {authorized}, but captured {captured} + released {released} + open {open} is {}",
                sum.map_or_else(|| "out of range".to_owned(), |sum| sum.to_string())
            ));
        }
        if !open.is_zero() {
            broken.push(format!("{currency}: {open} is still held"));
        }
        if refunded > captured {
            broken.push(format!("{currency}: refunded {refunded} is more than captured {captured}"));
        }
        if [authorized, captured, released, refunded, open].iter().any(|sum| *sum < Decimal::ZERO) {
            broken.push(format!("{currency}: a sum is negative"));
        }
    }
}
