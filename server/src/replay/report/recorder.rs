//! The recorder: told what happens while a replay runs.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use rideplane_core::money::Money;
use rideplane_core::time::Timestamp;

use super::super::trips::{DistanceSource, Row, SkipReason, Trip};
use super::series::{Places, Series};
use super::{FleetSample, MoneyTotals, Parameters, Percentiles, Phase, Report};

/// The audit's findings that are kept in words; all are counted.
const FINDINGS: usize = 50;

/// The longest latency that is told apart: ten minutes.
const LONGEST_US: u64 = 600_000_000;

/// Gathers a [`Report`] in memory that does not grow with the number of bookings.
///
/// The numbers are taken down independently of each other, so that a trip or a booking that a driver
/// loses shows in [`Report::check`].
#[derive(Clone, Debug)]
pub struct Recorder {
    report: Report,
    phases: [Histogram<u64>; 5],
    series: Series,
    places: Places,
}

/// Something that is only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// A booking came to be.
    BookingCreated,
    /// A booking was refused because the vehicle was taken.
    Conflict,
    /// The gateway declined a payment.
    PaymentDeclined,
    /// The gateway asked the customer to act.
    PaymentRequiresAction,
    /// A vehicle refused an unlock or did not answer it.
    UnlockFailed,
    /// An event reached the bus.
    EventPublished,
}

/// How a booking ended, with the reason as the store has it (`payment_declined`, `no_show`, ...).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JourneyEnd {
    /// Ridden and paid.
    Completed,
    /// Cancelled, by whom or why.
    Cancelled(String),
    /// Out of time: which deadline.
    Expired(String),
}

/// What became of an amount; see [`MoneyTotals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoneyFlow {
    /// Held.
    Authorized,
    /// Taken out of a hold.
    Captured,
    /// A hold, or the rest of one, given back.
    Released,
    /// Captured money given back.
    Refunded,
    /// Still held when the replay ended; read it from the store, don't compute it from the others.
    Open,
}

impl Recorder {
    /// An empty record.
    #[must_use]
    pub fn new(parameters: Parameters) -> Self {
        let report = Report {
            parameters,
            trips_read: 0,
            trips_skipped: SkipReason::ALL.iter().map(|reason| (*reason, 0)).collect(),
            trips_distance_estimated: 0,
            no_vehicle_nearby: 0,
            bookings_created: 0,
            conflicts: 0,
            payments_declined: 0,
            payments_requires_action: 0,
            unlocks_failed: 0,
            bookings_completed: 0,
            bookings_cancelled: 0,
            bookings_expired: 0,
            cancelled_by_reason: BTreeMap::new(),
            expired_by_reason: BTreeMap::new(),
            faults_met: BTreeMap::new(),
            money: MoneyTotals::default(),
            events_published: 0,
            outbox_pending: 0,
            audit_violations: 0,
            audit_findings: Vec::new(),
            latency_us: BTreeMap::new(),
            wall_s: 0.0,
            bookings_per_s: 0.0,
            timeline: Default::default(),
            demand: super::DemandMap { origin: None, cell_m: 0.0, cells: Vec::new() },
        };
        let phases = Phase::ALL.map(|_| histogram());
        Self { report, phases, series: Series::default(), places: Places::default() }
    }

    /// A row was read from the trip file: counts it, and the reason when it is skipped.
    pub fn row(&mut self, row: &Row) {
        self.report.trips_read += 1;
        match row {
            Row::Trip(trip) => {
                let estimated = trip.distance_source == DistanceSource::Estimated;
                self.report.trips_distance_estimated += u64::from(estimated);
            }
            Row::Skipped(skipped) => *self.report.trips_skipped.entry(skipped.reason).or_default() += 1,
        }
    }

    /// A (folded) trip looks for a vehicle.
    pub fn searched(&mut self, trip: &Trip) {
        self.series.searched(trip.started_at);
        self.places.searched(trip.pickup);
    }

    /// A (folded) trip found no vehicle, or none that was left after a conflict, and ends here.
    pub fn no_vehicle_nearby(&mut self, trip: &Trip) {
        self.report.no_vehicle_nearby += 1;
        self.series.unmet(trip.started_at);
        self.places.unmet(trip.pickup);
    }

    /// Something happened once.
    pub fn count(&mut self, what: Counter) {
        self.add(what, 1);
    }

    /// Something happened `times`.
    pub fn add(&mut self, what: Counter, times: u64) {
        let report = &mut self.report;
        *match what {
            Counter::BookingCreated => &mut report.bookings_created,
            Counter::Conflict => &mut report.conflicts,
            Counter::PaymentDeclined => &mut report.payments_declined,
            Counter::PaymentRequiresAction => &mut report.payments_requires_action,
            Counter::UnlockFailed => &mut report.unlocks_failed,
            Counter::EventPublished => &mut report.events_published,
        } += times;
    }

    /// A booking reached a terminal state.
    pub fn booking_ended(&mut self, end: JourneyEnd) {
        let report = &mut self.report;
        match end {
            JourneyEnd::Completed => report.bookings_completed += 1,
            JourneyEnd::Cancelled(reason) => {
                report.bookings_cancelled += 1;
                *report.cancelled_by_reason.entry(reason).or_default() += 1;
            }
            JourneyEnd::Expired(reason) => {
                report.bookings_expired += 1;
                *report.expired_by_reason.entry(reason).or_default() += 1;
            }
        }
    }

    /// A fault was met (`gateway_answer_lost`, `vehicle_offline`, ...).
    pub fn fault(&mut self, kind: &str) {
        *self.report.faults_met.entry(kind.to_owned()).or_default() += 1;
    }

    /// Money moved.
    pub fn money(&mut self, flow: MoneyFlow, money: Money) {
        let totals = &mut self.report.money;
        match flow {
            MoneyFlow::Authorized => &mut totals.authorized,
            MoneyFlow::Captured => &mut totals.captured,
            MoneyFlow::Released => &mut totals.released,
            MoneyFlow::Refunded => &mut totals.refunded,
            MoneyFlow::Open => &mut totals.open,
        }
        .add(money);
    }

    /// A phase took this long; more than ten minutes count as ten.
    pub fn latency(&mut self, phase: Phase, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).clamp(1, LONGEST_US);
        if let Some(histogram) = self.phases.get_mut(phase as usize) {
            histogram.saturating_record(micros);
        }
    }

    /// What the fleet is doing at this moment of the replay; once per replayed hour is enough.
    pub fn fleet(&mut self, at: Timestamp, sample: FleetSample) {
        self.series.fleet(at, sample);
    }

    /// A finding of the audit.
    pub fn audit_violation(&mut self, finding: impl Into<String>) {
        self.report.audit_violations += 1;
        if self.report.audit_findings.len() < FINDINGS {
            self.report.audit_findings.push(finding.into());
        }
    }

    /// The events that never reached the bus.
    pub fn outbox_pending(&mut self, events: u64) {
        self.report.outbox_pending = events;
    }

    /// The bookings created so far, for a progress bar.
    #[must_use]
    pub fn bookings_created(&self) -> u64 {
        self.report.bookings_created
    }

    /// The report of a replay that took `wall` of real time.
    #[must_use]
    pub fn finish(self, wall: Duration) -> Report {
        let mut report = self.report;
        let measured = Phase::ALL.into_iter().zip(&self.phases);
        report.latency_us = measured.map(|(phase, histogram)| (phase, percentiles(histogram))).collect();
        report.timeline = self.series.finish();
        report.demand = self.places.finish();
        report.money.fill();
        let seconds = wall.as_secs_f64();
        report.wall_s = (seconds * 1_000.0).round() / 1_000.0;
        if seconds > 0.0 {
            report.bookings_per_s = (report.bookings_created as f64 / seconds * 10.0).round() / 10.0;
        }
        report
    }
}

#[expect(clippy::expect_used, reason = "the bounds are constants; the tests make one")]
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("1 to ten minutes at three digits is a valid range")
}

fn percentiles(of: &Histogram<u64>) -> Percentiles {
    Percentiles {
        p50: of.value_at_quantile(0.50),
        p95: of.value_at_quantile(0.95),
        p99: of.value_at_quantile(0.99),
        max: of.max(),
        count: of.len(),
    }
}
