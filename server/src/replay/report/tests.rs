use std::time::Duration;

use rideplane_core::time::Span;

use super::super::trips::{Row, Trip, TripReader};
use super::*;

const USD: Currency = Currency::USD;

fn parameters() -> Parameters {
    Parameters {
        version: "0.1.0".to_owned(),
        trips: "data/chicago-taxi-trips.csv".to_owned(),
        format: Format::ChicagoTaxi,
        store: "sqlite".to_owned(),
        fold: Fold::Week,
        faults: "everyday".to_owned(),
        fleet: 1_200,
        seed: 1,
    }
}

/// A plausible replay without an app: the real trips, and chances in place of everything else.
pub(in super::super) fn sample() -> Report {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/chicago-taxi-trips.csv"));
    let mut recorder = Recorder::new(parameters());
    let mut trips = Vec::new();
    for row in TripReader::open(Format::ChicagoTaxi, path).unwrap() {
        let row = row.unwrap();
        recorder.row(&row);
        if let Row::Trip(trip) = row {
            trips.push(trip);
        }
    }
    let mut dice = Dice(7);
    let mut busy: Vec<Timestamp> = Vec::new();
    let mut next_sample = super::super::fold::REFERENCE;
    for trip in Fold::Week.lay(trips) {
        while next_sample <= trip.started_at {
            busy.retain(|until| *until > next_sample);
            let in_use = busy.len() as u64;
            let offline = 20 + dice.below(12);
            let reserved = in_use / 5;
            let available = 1_200 - in_use - offline - reserved;
            recorder.fleet(next_sample, FleetSample { available, reserved, in_use, offline });
            next_sample = next_sample.plus(Span::from_minutes(60));
        }
        busy.push(trip.started_at.plus(trip.duration.times(6)));
        journey(&mut recorder, &mut dice, &trip);
    }
    recorder.finish(Duration::from_millis(11_437))
}

fn journey(recorder: &mut Recorder, dice: &mut Dice, trip: &Trip) {
    recorder.searched(trip);
    recorder.latency(Phase::Search, Duration::from_micros(18 + dice.skewed(30)));
    // Far from the centre vehicles are rarer.
    let away = super::super::trips::distance_m(trip.pickup, Point::new(41.885, -87.632).unwrap()) / 1_000.0;
    if dice.below(1_000) as f64 <= 25.0 + away * 14.0 {
        return recorder.no_vehicle_nearby(trip);
    }
    recorder.count(Counter::BookingCreated);
    recorder.add(Counter::EventPublished, 11);
    recorder.latency(Phase::Reserve, Duration::from_micros(310 + dice.skewed(500)));
    recorder.latency(Phase::Confirm, Duration::from_micros(650 + dice.skewed(900)));
    let hold = Money::from_minor(2_500, USD);
    let end = match dice.below(1_000) {
        0..45 => {
            recorder.count(Counter::PaymentDeclined);
            recorder.fault("card_declined");
            return recorder.booking_ended(JourneyEnd::Cancelled("payment_declined".to_owned()));
        }
        45..70 => {
            recorder.fault("customer_cancels");
            JourneyEnd::Cancelled("customer".to_owned())
        }
        70..84 => {
            recorder.count(Counter::UnlockFailed);
            recorder.fault("unlock_failed");
            JourneyEnd::Cancelled("unlock_failed".to_owned())
        }
        84..110 => {
            recorder.fault("no_show");
            JourneyEnd::Expired("unlock_window".to_owned())
        }
        110..118 => {
            recorder.fault("vehicle_offline");
            JourneyEnd::Expired("vehicle_offline".to_owned())
        }
        118..170 => {
            recorder.count(Counter::PaymentRequiresAction);
            JourneyEnd::Completed
        }
        170..200 => {
            recorder.fault("gateway_answer_lost");
            JourneyEnd::Completed
        }
        200..230 => {
            recorder.count(Counter::Conflict);
            JourneyEnd::Completed
        }
        _ => JourneyEnd::Completed,
    };
    recorder.money(MoneyFlow::Authorized, hold);
    if end == JourneyEnd::Completed {
        let fare = Money::from_minor((100 + trip.duration.as_seconds() / 60 * 23).min(2_500), USD);
        recorder.money(MoneyFlow::Captured, fare);
        recorder.money(MoneyFlow::Released, hold.sub(fare).unwrap());
        recorder.latency(Phase::Unlock, Duration::from_micros(420 + dice.skewed(350)));
        recorder.latency(Phase::End, Duration::from_micros(800 + dice.skewed(1_400)));
        if dice.below(300) == 0 {
            recorder.money(MoneyFlow::Refunded, fare);
        }
    } else {
        recorder.money(MoneyFlow::Released, hold);
    }
    recorder.booking_ended(end);
}

/// A small generator (SplitMix64): the sample needs no dependency for its dice.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ (b >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Mostly small, now and then twenty times the usual.
    fn skewed(&mut self, usual: u64) -> u64 {
        let a = self.below(1_000).max(1) as f64 / 1_000.0;
        (usual as f64 * 0.5 * -a.ln() * if self.below(60) == 0 { 12.0 } else { 1.0 }) as u64
    }
}

/// Not a check but a way to look: `RIDEPLANE_REPORT_SAMPLE=/tmp/report cargo test -p rideplane sample`.
#[test]
fn the_sample_is_clean_and_written_where_asked() {
    let report = sample();
    assert_eq!(report.check(), Vec::<String>::new());
    let folder = std::env::var_os("RIDEPLANE_REPORT_SAMPLE").map(PathBuf::from);
    let temporary = tempfile::tempdir().unwrap();
    let folder = folder.unwrap_or_else(|| temporary.path().join("made/on/the/way"));
    let [json, html] = report.write(&folder).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&fs::read_to_string(json).unwrap()).unwrap(), report);
    assert!(fs::read_to_string(html).unwrap().contains("</html>"));
}

#[test]
fn the_summary_reads_well() {
    insta::assert_snapshot!(sample());
    let mut broken = sample();
    broken.audit_violations = 3;
    broken.audit_findings = vec!["vehicle v7 has two live holders".to_owned()];
    broken.bookings_completed -= 1;
    insta::assert_snapshot!("broken", broken);
}

#[test]
fn report_json_has_the_promised_fields() {
    let json = serde_json::to_value(sample()).unwrap();
    for field in [
        "trips_read",
        "no_vehicle_nearby",
        "bookings_created",
        "conflicts",
        "payments_declined",
        "payments_requires_action",
        "unlocks_failed",
        "bookings_completed",
        "bookings_cancelled",
        "bookings_expired",
        "events_published",
        "outbox_pending",
        "audit_violations",
    ] {
        assert!(json[field].is_u64(), "{field}");
    }
    assert!(json["wall_s"].is_f64() && json["bookings_per_s"].is_f64());
    assert_eq!(json["trips_read"], 15_002);
    assert_eq!(json["trips_skipped"]["no_dropoff_coordinates"], 481);
    for flow in ["authorized", "captured", "released", "refunded"] {
        assert!(json["money"][flow]["USD"].is_string(), "{flow}");
    }
    assert_eq!(json["money"]["open"], serde_json::json!({"USD": "0.00"}));
    for phase in ["search", "reserve", "confirm", "unlock", "end"] {
        for percentile in ["p50", "p95", "p99"] {
            assert!(json["latency_us"][phase][percentile].is_u64(), "{phase} {percentile}");
        }
    }
    assert_eq!(json["parameters"]["format"], "chicago-taxi");
}

#[test]
fn every_identity_can_fail() {
    let one = Money::from_minor(1, USD);
    type Break = (&'static str, fn(&mut Report, Money));
    let breaks: [Break; 12] = [
        ("trips_read is 15003, but trips_skipped + no_vehicle_nearby", |r, _| r.trips_read += 1),
        ("bookings that ended is 15001", |r, _| r.no_vehicle_nearby -= 1),
        ("bookings_created is 12892, but", |r, _| r.bookings_created += 1),
        ("cancelled_by_reason is", |r, _| {
            r.bookings_cancelled += 1;
            r.bookings_completed -= 1;
        }),
        ("expired_by_reason is", |r, _| {
            r.bookings_expired += 1;
            r.bookings_completed -= 1;
        }),
        ("searches on the map is", |r, _| r.demand.cells[0].searched += 1),
        ("unmet over time is", |r, _| r.timeline.steps[0].unmet += 1),
        ("USD: authorized is", |r, one| r.money.authorized.add(one)),
        ("USD: 0.01 is still held", |r, one| {
            r.money.authorized.add(one);
            r.money.open.add(one);
        }),
        ("USD: authorized is", |r, one| r.money.captured.add(one)),
        ("USD: refunded", |r, _| r.money.refunded.add(Money::from_minor(1_000_000_000, USD))),
        ("EUR: a sum is negative", |r, _| r.money.released.add(Money::from_minor(-1, Currency::EUR))),
    ];
    let report = sample();
    for (says, breaks) in breaks {
        let mut broken = report.clone();
        breaks(&mut broken, one);
        let found = broken.check();
        assert!(found.iter().any(|broken| broken.contains(says)), "{says}: {found:?}");
        assert!(!broken.is_clean());
    }
}

#[test]
fn only_times_are_left_out_of_a_comparison() {
    let report = sample();
    let mut slower = report.clone();
    slower.wall_s = 99.0;
    slower.bookings_per_s = 1.0;
    slower.latency_us.get_mut(&Phase::End).unwrap().p99 = 7;
    assert_ne!(slower, report);
    assert_eq!(slower.without_times(), report.without_times());
    slower.conflicts += 1;
    assert_ne!(slower.without_times(), report.without_times());
}

#[test]
fn percentiles_are_those_of_the_measurements() {
    let mut recorder = Recorder::new(parameters());
    for micros in 1..=10_000 {
        recorder.latency(Phase::Unlock, Duration::from_micros(micros));
    }
    recorder.latency(Phase::End, Duration::from_secs(86_400));
    recorder.latency(Phase::Search, Duration::ZERO);
    let report = recorder.finish(Duration::from_secs(1));
    let unlock = report.latency_us[&Phase::Unlock];
    for (value, exact) in [(unlock.p50, 5_000_u64), (unlock.p95, 9_500), (unlock.p99, 9_900)] {
        assert!(value.abs_diff(exact) <= exact / 1_000, "{value} for {exact}");
    }
    assert_eq!(unlock.count, 10_000);
    assert_eq!(report.latency_us[&Phase::Search].p50, 1);
    assert!(report.latency_us[&Phase::End].max >= 600_000_000);
    assert_eq!(report.latency_us[&Phase::Reserve], Percentiles::default());
}

#[test]
fn sums_are_exact_and_keep_their_decimals() {
    let mut totals = Totals::default();
    for _ in 0..3 {
        totals.add(Money::from_minor(10, USD));
        totals.add(Money::from_minor(7, Currency::JPY));
    }
    assert_eq!(serde_json::to_string(&totals).unwrap(), r#"{"JPY":"21","USD":"0.30"}"#);
}
