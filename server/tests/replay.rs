//! The replay as a whole: the first trips of the real log, on both stores, under all faults.

#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that fails")]

use std::path::PathBuf;

use rideplane::replay::driver::{self, CHICAGO, Options};
use rideplane::replay::faults::Faults;
use rideplane::replay::fold::Fold;
use rideplane::replay::report::Report;
use rideplane::replay::trips::Format;
use rideplane::replay::world::StoreKind;

/// The first `rows` rows of the trips that come with Rideplane.
fn first(rows: usize) -> tempfile::NamedTempFile {
    let log = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(CHICAGO);
    let log = std::fs::read_to_string(log).unwrap();
    let head: Vec<&str> = log.lines().take(rows + 1).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), head.join("\n")).unwrap();
    file
}

fn replay(rows: usize, change: impl FnOnce(&mut Options)) -> Report {
    let file = first(rows);
    let mut options = Options {
        trips: Some(file.path().to_owned()),
        format: Format::ChicagoTaxi,
        store: StoreKind::Memory,
        data: None,
        fleet: Some(40),
        seed: 7,
        faults: Faults::Everyday,
        fold: Fold::Day,
        progress: false,
    };
    change(&mut options);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut report = runtime.block_on(driver::run(&options)).unwrap().without_times();
    // The name of a temporary file is no part of what is compared.
    report.parameters.trips = "first rows".to_owned();
    report
}

#[track_caller]
fn assert_clean(report: &Report) {
    assert_eq!(report.check(), Vec::<String>::new(), "{report}");
    assert_eq!(report.audit_findings, Vec::<String>::new(), "{report}");
    assert_eq!((report.audit_violations, report.outbox_pending), (0, 0));
}

#[test]
fn without_faults_every_booking_is_ridden_and_paid() {
    let report = replay(300, |options| options.faults = Faults::None);
    assert_clean(&report);
    assert!(report.bookings_completed > 50, "{report}");
    assert_eq!(report.bookings_completed, report.bookings_created);
    assert!(report.no_vehicle_nearby > 0 && report.faults_met.is_empty(), "{report}");
    assert_eq!(report.trips_read, 300);
}

#[test]
fn a_storm_breaks_nothing() {
    for seed in [1, 2, 3] {
        let report = replay(300, |options| (options.faults, options.seed) = (Faults::Storm, seed));
        assert_clean(&report);
        assert!(report.payments_declined > 0 && report.payments_requires_action > 0, "{report}");
        assert!(report.bookings_cancelled > 0 && report.bookings_expired > 0, "{report}");
        assert!(report.bookings_completed > 0 && report.unlocks_failed > 0, "{report}");
    }
}

#[test]
fn riders_compete_for_vehicles() {
    // Everybody at once: every trip of ten days in one day, and hardly a vehicle.
    let report = replay(1_000, |options| (options.fleet, options.faults) = (Some(60), Faults::None));
    assert_clean(&report);
    assert!(report.conflicts > 0, "{report}");
}

#[test]
fn the_same_seed_gives_the_same_report_on_either_store() {
    let on = |store, seed| {
        replay(300, |options| (options.store, options.faults, options.seed) = (store, Faults::Storm, seed))
    };
    let first = on(StoreKind::Memory, 7);
    let again = on(StoreKind::Memory, 7);
    assert_eq!(first, again);
    let mut sqlite = on(StoreKind::Sqlite, 7);
    assert_eq!(sqlite.parameters.store, "sqlite");
    sqlite.parameters.store = "memory".to_owned();
    assert_eq!(first, sqlite);
    assert_ne!(first.faults_met, on(StoreKind::Memory, 8).faults_met);
}

#[test]
fn threads_decide_nothing_however_many_riders_compete() {
    let crowd = || replay(2_000, |options| (options.fleet, options.faults) = (Some(150), Faults::Everyday));
    let first = crowd();
    assert!(first.conflicts > 200, "{first}");
    for _ in 0..3 {
        assert_eq!(first, crowd());
    }
}

#[test]
fn a_loss_shows() {
    let mut report = replay(100, |_| {});
    assert_clean(&report);
    report.bookings_completed -= 1;
    assert!(!report.check().is_empty() && !report.is_clean());
}

#[test]
fn a_store_that_is_kept_is_not_used_twice() {
    let folder = tempfile::tempdir().unwrap();
    let file = first(20);
    let options = Options {
        trips: Some(file.path().to_owned()),
        format: Format::ChicagoTaxi,
        store: StoreKind::Sqlite,
        data: Some(folder.path().to_owned()),
        fleet: Some(5),
        seed: 1,
        faults: Faults::None,
        fold: Fold::Day,
        progress: false,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(driver::run(&options)).unwrap();
    let error = runtime.block_on(driver::run(&options)).unwrap_err();
    assert!(error.to_string().contains("replay.db exists"), "{error}");
}
