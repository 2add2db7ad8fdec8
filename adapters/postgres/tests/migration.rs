//! A database of the first schema version, full of what that version wrote, becomes one of this build's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;

use futures_util::future::join_all;
use rideplane_core::ids::Version;
use rideplane_ports::conformance::fixtures::{
    Journey, at, idempotency_id, listing, place, telemetry, user, vehicle_id,
};
use rideplane_ports::{
    AggregateDump, AuditSource as _, Availability as _, AvailabilityUpdate, BookingFilter, Commit,
    CommitError, IdempotencyRecord, IdempotencyWrite, Inbox as _, Listing, Nearest, Outbox as _, Profile,
    Store as _,
};
use rideplane_postgres::{PostgresAvailability, PostgresConfig, PostgresStore};
use sqlx::PgConnection;
use support::{Databases, Way, config, connect, execute};

const FIRST: &str = include_str!("../migrations/0001_initial.sql");
const TABLES: [&str; 10] = [
    "vehicles",
    "bookings",
    "events",
    "outbox",
    "ledger",
    "idempotency",
    "telemetry",
    "listings",
    "profiles",
    "inbox",
];
const VEHICLES: u32 = 24;

/// Every row of a table as text, whatever order it lies in.
async fn rows(server: &mut PgConnection, table: &str) -> Vec<String> {
    let sql = format!("SELECT t::text FROM {table} t ORDER BY 1");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(server).await.unwrap()
}

async fn contents(server: &mut PgConnection) -> Vec<(&'static str, Vec<String>)> {
    let mut all = Vec::new();
    for table in TABLES {
        all.push((table, rows(server, table).await));
    }
    all
}

fn in_flight(journey: &Journey) -> IdempotencyRecord {
    IdempotencyRecord::InFlight {
        request_hash: [7; 32],
        booking_id: journey.booking_id(),
        locked_until: at(31),
    }
}

fn done() -> IdempotencyRecord {
    let body = br#"{"line_items":"long enough to be compressed"}"#.repeat(100);
    IdempotencyRecord::Done { request_hash: [7; 32], status: 200, body }
}

fn profile() -> Profile {
    Profile {
        user_id: user(1),
        email: Some("rider@example.org".to_owned()),
        phone: None,
        push_token: None,
        locale: Some("de-DE".to_owned()),
        time_zone: None,
        default_payment_method_id: None,
    }
}

fn free(version: Version) -> AvailabilityUpdate {
    AvailabilityUpdate::Free(Listing { charge: None, ..listing(1, place(10.0)) }, version)
}

/// Journeys at every stage, with what belongs to them.
async fn fill(store: &PostgresStore) -> Vec<Journey> {
    let mut journeys = Vec::new();
    for n in 0..VEHICLES {
        let (mut journey, registered) = Journey::register(n, at(0));
        store.commit(registered).await.unwrap();
        let claim = journey.reserve(n % 5, at(1));
        let id = idempotency_id(n % 5, &format!("k{n}"));
        let record = in_flight(&journey);
        let write = IdempotencyWrite { id: id.clone(), expected: None, record: record.clone() };
        store.commit(Commit { idempotency: Some(write), ..claim }).await.unwrap();
        if n % 2 == 0 {
            let answered = IdempotencyWrite { id, expected: Some(record), record: done() };
            let answered = Commit { idempotency: Some(answered), ..Commit::new(at(2)) };
            store.commit(answered).await.unwrap();
        }
        let mut more = Vec::new();
        match n % 4 {
            1 => more = journey.confirm(at(3)),
            2 => {
                more = journey.confirm(at(3));
                more.extend(journey.ride(at(60)));
            }
            3 => more.push(journey.cancel(at(3))),
            _ => {}
        }
        for commit in more {
            store.commit(commit).await.unwrap();
        }
        journeys.push(journey);
    }
    let reports: Vec<_> = (0..VEHICLES).map(|n| telemetry(n, at(5))).collect();
    store.record_telemetry(&reports).await.unwrap();
    let published = store.pending(40).await.unwrap();
    store.mark_published(&published, at(6)).await.unwrap();
    assert!(store.mark_handled("notify", "an-event", at(6)).await.unwrap());
    store.put_profile(&profile()).await.unwrap();
    PostgresAvailability::new(store, &[]).apply(&[free(Version(1))]).await.unwrap();
    journeys
}

/// A database of version 1 as a build of that time left it, with the store of a process that is still running. What is
/// written goes through the first version's function: the parameters of the call have not changed.
async fn first_version(databases: &Databases) -> (PostgresConfig, PostgresStore, Vec<Journey>) {
    let name = databases.empty().await;
    let mut server = connect(&name).await;
    execute(&mut server, FIRST).await;
    let versions =
        "CREATE TABLE rideplane_schema (version integer NOT NULL, applied_at timestamptz NOT NULL);
                    INSERT INTO rideplane_schema VALUES (1, now())";
    execute(&mut server, versions).await;
    let config = config(Way::Direct, &name);
    let error = PostgresStore::open(config.clone()).await.unwrap_err().to_string();
    assert!(
        error.contains("has schema version 1, this build needs version 3: run `rideplane migrate`"),
        "{error}"
    );
    // This build opens no old schema, so for the moment of opening it is called a new one.
    execute(&mut server, "INSERT INTO rideplane_schema VALUES (2, now()), (3, now())").await;
    let old = PostgresStore::open(config.clone()).await.unwrap();
    execute(&mut server, "DELETE FROM rideplane_schema WHERE version > 1").await;
    let journeys = fill(&old).await;
    (config, old, journeys)
}

async fn everything(store: &PostgresStore) -> Vec<AggregateDump> {
    store.aggregates(None, 1_000).await.unwrap()
}

fn told(dumps: &[AggregateDump]) -> Vec<String> {
    dumps.iter().map(|dump| format!("{dump:?}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_first_version_wrote_is_read_and_goes_on() {
    let databases = Databases::new(Way::Direct);
    let (config, old, journeys) = first_version(&databases).await;
    let name = config.address().rsplit_once('/').unwrap().1.to_owned();
    let mut server = connect(&name).await;
    let (before, dumps) = (contents(&mut server).await, everything(&old).await);
    for (table, rows) in &before {
        assert!(!rows.is_empty(), "the test has rows in {table}");
    }

    let all = join_all((0..4).map(|_| PostgresStore::migrate(&config))).await;
    let all: Vec<_> = all.into_iter().map(|one| one.expect("migrating together succeeds")).collect();
    let did = all.iter().filter(|one| (one.from, one.to) == (1, 3)).count();
    assert_eq!(did, 1, "one does it, the others find it done: {all:?}");
    let again = PostgresStore::migrate(&config).await.unwrap();
    assert_eq!((again.from, again.to), (3, 3), "a second time does nothing");
    for ((table, rows), (_, now)) in before.iter().zip(contents(&mut server).await) {
        let changed = rows.iter().zip(&now).find(|(before, now)| before != now);
        assert!(changed.is_none() && rows.len() == now.len(), "{table} is not what it was: {changed:?}");
    }
    let versions: Vec<i32> = sqlx::query_scalar("SELECT version FROM rideplane_schema ORDER BY 1")
        .fetch_all(&mut server)
        .await
        .unwrap();
    assert_eq!(versions, [1, 2, 3]);
    let functions: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_proc WHERE proname = 'commit_batch'")
        .fetch_one(&mut server)
        .await
        .unwrap();
    assert_eq!(functions, 1, "the old function is replaced, not one more put beside it");

    let new = Arc::new(PostgresStore::open(config.clone()).await.unwrap());
    assert_eq!(told(&everything(&new).await), told(&dumps), "it is read as before");
    goes_on(&new, &old, journeys).await;
    join_all([new.close(), old.close()]).await;
}

/// Reads and changes what the old version wrote, by a new process and by one that began before the migration.
async fn goes_on(new: &PostgresStore, old: &PostgresStore, journeys: Vec<Journey>) {
    for (n, mut journey) in (0..).zip(journeys) {
        let stored = new.booking(&journey.booking_id()).await.unwrap().expect("the booking is there");
        assert_eq!(&stored, journey.booking());
        assert_eq!(new.telemetry(&vehicle_id(n)).await.unwrap(), Some(telemetry(n, at(5))));
        let id = idempotency_id(n % 5, &format!("k{n}"));
        let known = if n % 2 == 0 { done() } else { in_flight(&journey) };
        assert_eq!(new.idempotency(&id).await.unwrap().as_ref(), Some(&known));

        let store = if n % 3 == 0 { old } else { new };
        let write = IdempotencyWrite { id: id.clone(), expected: None, record: done() };
        let again = Commit { idempotency: Some(write), ..Commit::new(at(90)) };
        let refused = store.commit(again).await;
        assert!(matches!(refused, Err(CommitError::IdempotencyConflict)), "an old key is known: {refused:?}");
        if n % 2 == 1 {
            let write = IdempotencyWrite { id: id.clone(), expected: Some(known), record: done() };
            store.commit(Commit { idempotency: Some(write), ..Commit::new(at(90)) }).await.unwrap();
            assert_eq!(new.idempotency(&id).await.unwrap(), Some(done()));
        }
        let commits = match n % 4 {
            0 => journey.confirm(at(4)),
            1 => journey.ride(at(60)),
            _ => Vec::new(),
        };
        for commit in commits {
            store.commit(commit.clone()).await.unwrap();
            let stale = store.commit(commit).await;
            assert!(matches!(stale, Err(CommitError::VersionConflict { .. })), "once only: {stale:?}");
        }
        assert_eq!(new.booking(&journey.booking_id()).await.unwrap().as_ref(), Some(journey.booking()));
    }
    let filter = BookingFilter { status: None, before: None, limit: 100 };
    let mut listed = 0;
    for n in 0..5 {
        listed += new.bookings_of(&user(n), &filter).await.unwrap().items.len();
    }
    assert_eq!(listed, VEHICLES as usize, "riders find their bookings");
    assert!(new.is_handled("notify", "an-event").await.unwrap());
    let waiting = new.pending_count().await.unwrap();
    let logged: usize = everything(new).await.iter().map(|dump| dump.events.len()).sum();
    assert_eq!(waiting, logged as u64 - 40, "what was published stays published, the rest waits");
    for dump in everything(new).await {
        let versions: Vec<u64> = dump.events.iter().map(|event| event.version.0).collect();
        assert!(versions.iter().copied().eq(1..=dump.version.0), "{}: the log has no gap", dump.key);
    }
    assert_eq!(new.profile(&user(1)).await.unwrap(), Some(profile()));
    let search = PostgresAvailability::new(new, &[]);
    assert_eq!(search.nearest(&around(), at(90)).await.unwrap().vehicles.len(), 1);
    search
        .apply(&[AvailabilityUpdate::Taken {
            vehicle_id: vehicle_id(1),
            version: Version(2),
            last_reported: None,
        }])
        .await
        .unwrap();
    assert_eq!(search.nearest(&around(), at(90)).await.unwrap().vehicles, []);
}

fn around() -> Nearest {
    let (vehicle_type, min_charge, min_range_m) = (None, None, None);
    Nearest { center: place(0.0), radius_m: 500.0, limit: 10, vehicle_type, min_charge, min_range_m }
}
