//! What is written is read.

use rideplane_core::booking::{Booking, Status};
use rideplane_core::fleet::Vehicle;
use rideplane_core::ids::Version;

use super::{Backend, Factory, commit, commit_all, dumps, pending};
use crate::conformance::fixtures::{Journey, at, user, vehicle_id};
use crate::{AggregateKey, Commit, Envelope, LedgerEntry};

/// "The vehicle, or `None`", and so for bookings, telemetry and the rest.
pub async fn unknown_aggregates_are_none(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut journey, _) = Journey::register(1, at(0));
    drop(journey.reserve(1, at(1)));
    let store = &backend.store;
    assert_eq!(store.vehicle(&vehicle_id(1)).await.unwrap(), None);
    assert_eq!(store.booking(&journey.booking_id()).await.unwrap(), None);
    assert_eq!(store.booking_of(&user(1), &journey.booking_id()).await.unwrap(), None);
    assert_eq!(store.telemetry(&vehicle_id(1)).await.unwrap(), None);
    assert_eq!(store.profile(&user(1)).await.unwrap(), None);
    assert_eq!(store.next_deadline().await.unwrap(), None);
    assert!(store.vehicles(None, 10).await.unwrap().is_empty(), "a fresh store is empty");
    assert!(dumps(&backend).await.is_empty(), "a fresh store is empty");
    store.ping().await.expect("a fresh store can serve");
}

/// A vehicle is read as it was written, every field, in each state of its rental.
pub async fn vehicles_round_trip(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut journey, registered) = Journey::register(1, at(0));
    commit(&backend, registered).await;
    reads_back(&backend, &journey).await;
    commit(&backend, journey.reserve(1, at(1))).await;
    reads_back(&backend, &journey).await;
    for next in journey.confirm(at(2)) {
        commit(&backend, next).await;
    }
    for next in journey.ride(at(30)) {
        commit(&backend, next).await;
    }
    reads_back(&backend, &journey).await;
}

/// A booking is read as it was written, every field: quote, hold, payment, commands, ride and fare.
pub async fn bookings_round_trip(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut journey, registered) = Journey::register(1, at(0));
    commit(&backend, registered).await;
    commit(&backend, journey.reserve(1, at(1))).await;
    reads_back(&backend, &journey).await;
    commit_all(&backend, journey.confirm(at(2))).await;
    reads_back(&backend, &journey).await;
    let mut cancelled = journey.clone();
    commit_all(&backend, journey.ride(at(30))).await;
    reads_back(&backend, &journey).await;
    assert_eq!(journey.booking().state.status(), Status::Ended);

    let other = factory.fresh().await;
    let (mut again, registered) = Journey::register(1, at(0));
    commit(&other, registered).await;
    commit(&other, again.reserve(1, at(1))).await;
    commit_all(&other, again.confirm(at(2))).await;
    commit(&other, cancelled.cancel(at(20))).await;
    reads_back(&other, &cancelled).await;
}

/// "Events get the versions after `expected`, without a gap, and become outbox rows, in the order vehicles, then bookings."
pub async fn events_have_no_gap(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut journey, registered) = Journey::register(1, at(0));
    let mut commits = vec![registered, journey.reserve(1, at(1))];
    commits.extend(journey.confirm(at(2)));
    commits.extend(journey.ride(at(30)));
    let rows = rows(&commits);
    commit_all(&backend, commits).await;
    assert_eq!(pending(&backend).await, rows, "the outbox has every event, in the order of the commits");
    for key in [AggregateKey::Vehicle(vehicle_id(1)), AggregateKey::Booking(journey.booking_id())] {
        let versions: Vec<u64> =
            rows.iter().filter(|row| row.aggregate == key).map(|row| row.version.0).collect();
        let gapless: Vec<u64> = (1..=versions.len() as u64).collect();
        assert_eq!(versions, gapless, "events of the {key} have no gap");
    }
}

/// "Its postings, oldest first", each as it was written.
pub async fn ledger_rows_are_kept_in_order(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let mut written: Vec<LedgerEntry> = Vec::new();
    for n in 1..=2 {
        let (mut journey, registered) = Journey::register(n, at(0));
        let mut commits = vec![registered, journey.reserve(n, at(1))];
        commits.extend(journey.confirm(at(2)));
        commits.extend(journey.ride(at(30)));
        let held = commits.iter().flat_map(|commit| commit.ledger.clone()).next().expect("a hold is posted");
        if let Some(last) = commits.last_mut() {
            let version = last.bookings[0].version();
            for account in [crate::LedgerAccount::Captured, crate::LedgerAccount::Released] {
                last.ledger.push(LedgerEntry { account, version, at: last.at, ..held.clone() });
            }
        }
        written.extend(commits.iter().flat_map(|commit| commit.ledger.clone()));
        commit_all(&backend, commits).await;
    }
    for dump in dumps(&backend).await {
        let own: Vec<LedgerEntry> = match &dump.key {
            AggregateKey::Booking(id) => {
                written.iter().filter(|row| row.booking_id == *id).cloned().collect()
            }
            AggregateKey::Vehicle(_) => Vec::new(),
        };
        assert_eq!(dump.ledger, own, "the ledger of the {} is as posted", dump.key);
    }
}

/// The audit sees state, version and every event of every aggregate, published or not.
pub async fn audit_shows_what_was_written(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let (mut journey, registered) = Journey::register(1, at(0));
    let mut commits = vec![registered, journey.reserve(1, at(1))];
    commits.extend(journey.confirm(at(2)));
    let rows = rows(&commits);
    commit_all(&backend, commits).await;
    backend.outbox.mark_published(&rows, at(9)).await.unwrap();

    let dumps = dumps(&backend).await;
    assert_eq!(dumps.len(), 2, "one booking and one vehicle");
    for dump in &dumps {
        let own: Vec<Envelope> = rows.iter().filter(|row| row.aggregate == dump.key).cloned().collect();
        assert_eq!(dump.events, own, "the events of the {} are as committed", dump.key);
        assert_eq!(dump.version, Version(own.len() as u64), "the version counts the events");
    }
    let booking: Booking = serde_json::from_str(&dumps[0].state).expect("the state is JSON");
    let vehicle: Vehicle = serde_json::from_str(&dumps[1].state).expect("the state is JSON");
    assert_eq!(booking, *journey.booking().state);
    assert_eq!(vehicle, *journey.vehicle.state);
}

/// "Aggregates in order of key, after `after`."
pub async fn audit_pages_in_order_of_key(factory: &dyn Factory) {
    let backend = factory.fresh().await;
    let mut keys = Vec::new();
    for n in [3, 1, 2, 5, 4] {
        let (mut journey, registered) = Journey::register(n, at(0));
        commit(&backend, registered).await;
        commit(&backend, journey.reserve(n, at(i64::from(n)))).await;
        keys.push(AggregateKey::Vehicle(vehicle_id(n)));
        keys.push(AggregateKey::Booking(journey.booking_id()));
    }
    keys.sort();
    let mut seen: Vec<AggregateKey> = Vec::new();
    loop {
        let page = backend.audit.aggregates(seen.last(), 3).await.unwrap();
        assert!(page.len() <= 3, "a page has at most as many as were asked for");
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|dump| dump.key));
        assert!(seen.len() <= keys.len(), "paging ends");
    }
    assert_eq!(seen, keys, "bookings, then vehicles, each by id");
}

fn rows(commits: &[Commit]) -> Vec<Envelope> {
    commits.iter().flat_map(|commit| commit.envelopes().expect("events are JSON")).collect()
}

async fn reads_back(backend: &Backend, journey: &Journey) {
    let vehicle = backend.store.vehicle(&journey.vehicle.state.id).await.unwrap();
    assert_eq!(vehicle.as_ref(), Some(&journey.vehicle), "the vehicle is read as it was written");
    if let Some(written) = &journey.booking {
        let booking = backend.store.booking(&written.state.id).await.unwrap();
        assert_eq!(booking.as_ref(), Some(written), "the booking is read as it was written");
        let own = backend.store.booking_of(&written.state.user_id, &written.state.id).await.unwrap();
        assert_eq!(own, booking, "its rider reads the same");
    }
}
