//! The file: who may open it, what happens when it is full or damaged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;
use std::sync::Arc;

use rideplane_core::time::Timestamp;
use rideplane_ports::conformance::fixtures::{Journey, at, telemetry, user, vehicle_id};
use rideplane_ports::{
    AuditSource as _, BookingFilter, CommitError, Inbox as _, Kind, Outbox as _, Store as _,
};
use rideplane_sqlite::{SqliteConfig, SqliteStore};
use tempfile::TempDir;

fn sql(path: &Path, script: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch(script).unwrap();
    connection.close().unwrap();
}

fn folder() -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rideplane.db");
    (folder, path)
}

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(SqliteConfig::new(path)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_is_refused_and_readers_are_not() {
    let (_folder, path) = folder();
    let store = open(&path).await;
    let (mut journey, registered) = Journey::register(1, at(0));
    store.commit(registered).await.unwrap();
    store.commit(journey.reserve(1, at(1))).await.unwrap();
    store.record_telemetry(&[telemetry(1, at(2))]).await.unwrap();

    let error = SqliteStore::open(SqliteConfig::new(&path)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("rideplane.db.lock: stop it first, or open read-only"), "{error}");

    let reader = SqliteStore::open_read_only(&path).await.unwrap();
    assert_eq!(reader.aggregates(None, 10).await.unwrap().len(), 2);
    assert_eq!(reader.booking(&journey.booking_id()).await.unwrap().as_ref(), Some(journey.booking()));
    for store in [&store, &reader] {
        assert_eq!(store.vehicle(&vehicle_id(1)).await.unwrap().as_ref(), Some(&journey.vehicle));
        assert_eq!(store.telemetry(&vehicle_id(1)).await.unwrap(), Some(telemetry(1, at(2))));
    }
    let error = reader.commit(journey.cancel(at(3))).await.unwrap_err();
    assert!(error.to_string().contains("opened for reading only"), "{error}");
    let late = Timestamp::MAX;
    assert_eq!(reader.due(late, 9).await.unwrap(), store.due(late, 9).await.unwrap());
    assert_eq!(reader.next_deadline().await.unwrap(), store.next_deadline().await.unwrap());
    assert!(store.next_deadline().await.unwrap().is_some());

    store.close().await;
    assert_eq!(store.ping().await.unwrap_err().kind(), Kind::Unavailable);
    let again = open(&path).await;
    assert_eq!(again.due(late, 9).await.unwrap(), reader.due(late, 9).await.unwrap());
}

#[tokio::test]
async fn a_newer_schema_and_a_foreign_file_are_refused() {
    let (folder, path) = folder();
    open(&path).await.close().await;
    sql(&path, "PRAGMA user_version = 7");
    for error in [
        SqliteStore::open(SqliteConfig::new(&path)).await.unwrap_err(),
        SqliteStore::open_read_only(&path).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Rejected);
        let text = "has schema version 7, this build knows up to version 2: run a newer rideplane";
        assert!(error.to_string().contains(text), "{error}");
    }

    let other = folder.path().join("other.db");
    std::fs::File::create(&other).unwrap();
    sql(&other, "CREATE TABLE notes (text TEXT)");
    let error = SqliteStore::open(SqliteConfig::new(&other)).await.unwrap_err();
    assert!(error.to_string().contains("the database of another program"), "{error}");

    let text = folder.path().join("text.db");
    std::fs::write(&text, "not a database, but long enough to look at. ".repeat(100)).unwrap();
    let error = SqliteStore::open(SqliteConfig::new(&text)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(error.to_string().contains("is not an SQLite database"), "{error}");

    let error = SqliteStore::open(SqliteConfig::new(folder.path().join("no/such.db"))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("no/such.db.lock"), "{error}");
    assert!(SqliteStore::open_read_only(folder.path().join("none.db")).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_nothing_half_done_and_passes() {
    let (_folder, path) = folder();
    let store = open(&path).await;
    store.limit_pages(60).await.unwrap();
    let mut made = Vec::new();
    let mut number = 0;
    let (mut journey, refused) = 'full: loop {
        number += 1;
        let (mut journey, registered) = Journey::register(number, at(0));
        for commit in [registered, journey.reserve(1, at(i64::from(number)))] {
            match store.commit(commit.clone()).await {
                Ok(()) => made.extend(commit.envelopes().unwrap()),
                Err(CommitError::Port(error)) => {
                    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
                    assert!(error.to_string().contains("free disk space"), "{error}");
                    break 'full (journey, commit);
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(number < 10_000, "60 pages are never full");
    };
    assert!(number > 5, "some fitted");
    assert_eq!(store.pending(100_000).await.unwrap(), made, "what was acknowledged, and nothing else");
    for change in &refused.bookings {
        assert_eq!(store.booking(&change.state.id).await.unwrap(), None);
    }
    let expected = refused.vehicles.first().map(|change| change.expected.0);
    let vehicle = store.vehicle(&refused.vehicles[0].state.id).await.unwrap();
    assert_eq!(vehicle.map_or(0, |stored| stored.version.0), expected.unwrap());
    assert!(store.commit(refused.clone()).await.is_err(), "still full");

    store.limit_pages(100_000).await.unwrap();
    let booked = !refused.bookings.is_empty();
    store.commit(refused).await.unwrap();
    if !booked {
        store.commit(journey.reserve(1, at(i64::from(number)))).await.unwrap();
    }
    store.commit(journey.cancel(at(i64::from(number) + 1))).await.unwrap();
    drop(store);
    let store = open(&path).await;
    assert_eq!(store.booking(&journey.booking_id()).await.unwrap().as_ref(), Some(journey.booking()));
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_never_a_panic() {
    let (_folder, path) = folder();
    let store = open(&path).await;
    let (mut journey, registered) = Journey::register(1, at(0));
    store.commit(registered).await.unwrap();
    store.commit(journey.reserve(1, at(1))).await.unwrap();
    store.record_telemetry(&[telemetry(1, at(2))]).await.unwrap();
    store.close().await;
    sql(
        &path,
        "UPDATE bookings SET state = replace(state, 'reservation', 'secret@example.org');
         UPDATE vehicles SET state = '{'; UPDATE telemetry SET lat = 91.5;
         UPDATE events SET topic = 'rideplane.cats.v1' WHERE seq = 1",
    );
    let store = open(&path).await;
    let id = journey.booking_id();
    let filter = BookingFilter { status: None, before: None, limit: 5 };
    let booking = format!("the row {id} of table bookings is corrupt: its state");
    let vehicle = "the row sc-00001 of table vehicles is corrupt: its state".to_owned();
    for (error, text) in [
        (store.booking(&id).await.unwrap_err(), &booking),
        (store.bookings_of(&user(1), &filter).await.unwrap_err(), &booking),
        (store.vehicle(&vehicle_id(1)).await.unwrap_err(), &vehicle),
        (
            store.vehicles(None, 5).await.unwrap_err(),
            &"sc-00001 of table vehicles is corrupt: its lat".into(),
        ),
        (store.telemetry(&vehicle_id(1)).await.unwrap_err(), &"sc-00001 of table telemetry".into()),
        (
            store.pending(9).await.unwrap_err(),
            &"the row sc-00001 of table events is corrupt: its topic".into(),
        ),
        (store.aggregates(None, 9).await.unwrap_err(), &"the row sc-00001 of table events".into()),
    ] {
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(error.to_string().contains(text.as_str()), "{error}");
        assert!(!error.to_string().contains("example.org"), "no contents in an error: {error}");
    }
}

/// A row that can't be there fails the one commit that meets it, not those that share its transaction.
#[tokio::test(flavor = "multi_thread")]
async fn one_bad_row_leaves_its_neighbours_alone() {
    let (_folder, path) = folder();
    let store = open(&path).await;
    let mut journeys = Vec::new();
    for number in 0..40 {
        let (journey, registered) = Journey::register(number, at(0));
        store.commit(registered).await.unwrap();
        journeys.push(journey);
    }
    store.close().await;
    sql(
        &path,
        "INSERT INTO events (aggregate_type, aggregate_id, aggregate_version, topic, name, at, data)
         SELECT 'vehicle', id, version + 1, 'rideplane.vehicles.v1', 'Ghost', 0, '{}'
         FROM vehicles WHERE id = 'sc-00007'",
    );
    let store = Arc::new(open(&path).await);
    let commits: Vec<_> = (0..).zip(&mut journeys).map(|(n, journey)| journey.reserve(n, at(1))).collect();
    let running: Vec<_> = commits
        .into_iter()
        .map(|commit| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.commit(commit).await })
        })
        .collect();
    for (number, running) in running.into_iter().enumerate() {
        match running.await.unwrap() {
            Ok(()) => assert_ne!(number, 7),
            Err(error) => {
                assert_eq!(number, 7, "{error}");
                assert!(
                    matches!(&error, CommitError::Port(error) if error.kind() == Kind::Corrupt),
                    "{error}"
                );
            }
        }
    }
    for (number, journey) in journeys.iter().enumerate() {
        let found = store.booking(&journey.booking_id()).await.unwrap();
        assert_eq!(found.is_some(), number != 7);
    }
    assert!(store.mark_handled("notifier", "event", at(1)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_memory_is_what_waits_in_the_file() {
    let (_folder, path) = folder();
    // Room for the events of one journey, not of two: in turn memory knows and the file is asked.
    let store =
        SqliteStore::open(SqliteConfig { cached_rows: 24, ..SqliteConfig::new(&path) }).await.unwrap();
    let reader = SqliteStore::open_read_only(&path).await.unwrap();
    let mut most = 0;
    for number in 1..=6 {
        let (mut journey, registered) = Journey::register(number, at(0));
        let mut commits = vec![registered, journey.reserve(number, at(1))];
        commits.extend(journey.confirm(at(2)).into_iter().chain(journey.ride(at(3))));
        for commit in commits {
            store.commit(commit).await.unwrap();
            let waiting = reader.pending(999).await.unwrap();
            most = waiting.len().max(most);
            assert_eq!(store.pending(999).await.unwrap(), waiting);
            assert_eq!(store.pending(3).await.unwrap(), waiting[..waiting.len().min(3)]);
            assert_eq!(store.pending_count().await.unwrap(), waiting.len() as u64);
        }
        let published = match number % 3 {
            0 => store.pending(999).await.unwrap(),
            1 => store.pending(999).await.unwrap().split_off(1),
            _ => store.pending(2).await.unwrap(),
        };
        store.mark_published(&published, at(4)).await.unwrap();
        assert_eq!(store.pending(999).await.unwrap(), reader.pending(999).await.unwrap());
    }
    assert!(most > 24, "memory has room for all {most} events");
    assert_eq!(store.pending_count().await.unwrap(), 0);
}
