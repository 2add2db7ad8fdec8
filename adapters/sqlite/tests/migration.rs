//! A file of an older schema is brought up to date with everything that is in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;

use rideplane_app::audit::audit;
use rideplane_core::time::Span;
use rideplane_ports::conformance::fixtures::{Journey, at, idempotency_id, telemetry, user, vehicle_id};
use rideplane_ports::{
    AuditSource as _, IdempotencyRecord, IdempotencyWrite, Inbox as _, Kind, Outbox as _, Profile, Store as _,
};
use rideplane_sqlite::{SqliteConfig, SqliteStore};

/// Writes what `newer` holds into a file of the first schema.
fn as_version_1(newer: &Path, older: &Path) {
    let connection = rusqlite::Connection::open(older).unwrap();
    let script = format!(
        "{}
         ATTACH '{}' AS newer;
         INSERT INTO vehicles SELECT * FROM newer.vehicles;
         INSERT INTO bookings SELECT * FROM newer.bookings;
         INSERT INTO ledger SELECT * FROM newer.ledger;
         INSERT INTO idempotency SELECT * FROM newer.idempotency;
         INSERT INTO telemetry SELECT * FROM newer.telemetry;
         INSERT INTO profiles SELECT * FROM newer.profiles;
         INSERT INTO inbox SELECT * FROM newer.inbox;
         INSERT INTO events SELECT seq, aggregate_type, aggregate_id, aggregate_version, topic, name, at,
             CASE WHEN seq IN (SELECT seq FROM newer.outbox) THEN NULL ELSE at END, data FROM newer.events;
         PRAGMA application_id = 1380994126;
         PRAGMA user_version = 1;",
        include_str!("../migrations/0001_initial.sql"),
        newer.display()
    );
    connection.execute_batch(&script).unwrap();
    connection.close().unwrap();
}

/// Every aggregate with its state, events and postings.
async fn dumps(store: &SqliteStore) -> Vec<String> {
    let dumps = store.aggregates(None, 99).await.unwrap();
    assert_eq!(dumps.len(), 6, "three vehicles and three bookings");
    dumps.iter().map(|dump| format!("{dump:?}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_first_schema_is_carried_over() {
    let folder = tempfile::tempdir().unwrap();
    let (made, old) = (folder.path().join("made.db"), folder.path().join("old.db"));
    let store = SqliteStore::open(SqliteConfig::new(&made)).await.unwrap();
    let in_flight = IdempotencyRecord::InFlight {
        request_hash: [7; 32],
        booking_id: "018cc25f-afa0-7f88-9420-52a8abf360d1".parse().unwrap(),
        locked_until: at(90),
    };
    let done = IdempotencyRecord::Done { request_hash: [8; 32], status: 201, body: vec![b'x'; 6_000] };
    for number in 1..=3 {
        let (mut journey, registered) = Journey::register(number, at(0));
        store.commit(registered).await.unwrap();
        let mut reserved = journey.reserve(number, at(1));
        let record = if number == 1 { in_flight.clone() } else { done.clone() };
        reserved.idempotency =
            Some(IdempotencyWrite { id: idempotency_id(number, "key"), expected: None, record });
        store.commit(reserved).await.unwrap();
        for commit in journey.confirm(at(2)).into_iter().chain(journey.ride(at(3))) {
            store.commit(commit).await.unwrap();
        }
    }
    store.record_telemetry(&[telemetry(1, at(4))]).await.unwrap();
    store.put_profile(&Profile::new(user(1))).await.unwrap();
    store.mark_published(&store.pending(5).await.unwrap(), at(5)).await.unwrap();
    assert!(store.mark_handled("notifier", "booking:1:1", at(6)).await.unwrap());
    let (dumps, waiting) = (dumps(&store).await, store.pending(999).await.unwrap());
    assert!(waiting.len() > 5, "some wait, five are published");
    store.close().await;
    as_version_1(&made, &old);

    let error = SqliteStore::open_read_only(&old).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Rejected);
    assert!(error.to_string().contains("has schema version 1, this build reads version 2"), "{error}");
    for _ in 0..2 {
        let store = SqliteStore::open(SqliteConfig::new(&old)).await.unwrap();
        assert_eq!(self::dumps(&store).await, dumps);
        assert_eq!(store.pending(999).await.unwrap(), waiting);
        assert_eq!(store.pending_count().await.unwrap(), waiting.len() as u64);
        assert_eq!(store.idempotency(&idempotency_id(1, "key")).await.unwrap(), Some(in_flight.clone()));
        assert_eq!(store.idempotency(&idempotency_id(2, "key")).await.unwrap(), Some(done.clone()));
        assert_eq!(store.idempotency(&idempotency_id(2, "other")).await.unwrap(), None);
        assert_eq!(store.telemetry(&vehicle_id(1)).await.unwrap(), Some(telemetry(1, at(4))));
        assert_eq!(store.profile(&user(1)).await.unwrap(), Some(Profile::new(user(1))));
        assert!(store.is_handled("notifier", "booking:1:1").await.unwrap());
        assert!(!store.mark_handled("notifier", "booking:1:1", at(7)).await.unwrap());
        store.close().await;
    }
    let reader = SqliteStore::open_read_only(&old).await.unwrap();
    assert_eq!(self::dumps(&reader).await, dumps);
    let report = audit(&reader, at(10), Span::from_seconds(0)).await.unwrap();
    assert_eq!(report.violations, []);
    assert_eq!((report.bookings, report.vehicles), (3, 3));
}
