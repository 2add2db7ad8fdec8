//! What only a real server can show: many processes at once, a connection that is cut, a disk that is full, a schema that
//! grows, a primary that dies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rideplane_core::ids::Version;
use rideplane_ports::conformance::fixtures::{Journey, at, idempotency_id, telemetry, user, vehicle_id};
use rideplane_ports::{
    AggregateKey, AuditSource as _, Commit, CommitError, IdempotencyRecord, IdempotencyWrite, Kind,
    Outbox as _, Quota, Store as _,
};
use rideplane_postgres::{PostgresConfig, PostgresStore};
use support::{Databases, Way, config, connect, execute, url_of};

fn database(config: &PostgresConfig) -> String {
    config.address().rsplit_once('/').expect("a database").1.to_owned()
}

async fn open(config: &PostgresConfig) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::open(config.clone()).await.unwrap())
}

/// Each racer claims the same vehicle; half of them ask one process, half another.
async fn race(config: &PostgresConfig, racers: u32) {
    let stores = [open(config).await, open(config).await];
    let (journey, registered) = Journey::register(1, at(0));
    stores[0].commit(registered).await.unwrap();
    let claims = (0..racers).map(|rider| {
        let store = Arc::clone(&stores[rider as usize % 2]);
        let claim = journey.clone().reserve(rider, at(1 + i64::from(rider)));
        tokio::spawn(async move { store.commit(claim).await })
    });
    let results: Vec<_> = join_all(claims).await.into_iter().map(|result| result.unwrap()).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    let lost = |result: &&Result<(), CommitError>| matches!(result, Err(CommitError::VersionConflict { .. }));
    assert_eq!(
        results.iter().filter(lost).count() as u32,
        racers - 1,
        "who loses meets a conflict: {results:?}"
    );
    let dumps = stores[1].aggregates(None, 100).await.unwrap();
    assert_eq!(dumps.len(), 2, "the vehicle and the winner's booking");
    assert_eq!(deadlocks(config).await, 0, "nobody waited in a circle");
    join_all(stores.iter().map(|store| store.close())).await;
}

async fn deadlocks(config: &PostgresConfig) -> i64 {
    let mut server = connect(&database(config)).await;
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    sqlx::query_scalar(sql).fetch_one(&mut server).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_32_and_256_racers_in_two_processes_one_wins() {
    let databases = Databases::new(Way::Direct);
    for racers in [32, 256] {
        let mut config = databases.fresh().await;
        race(&config, racers).await;
        databases.clear(&config).await;
        // Every claim in a transaction of its own: the row lock decides.
        (config.max_batch, config.writers) = (1, 8);
        race(&config, racers).await;
    }
}

/// Two processes, each with batches that overlap in vehicles, riders and keys, in opposite order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_overlap_do_not_wait_in_a_circle() {
    let databases = Databases::new(Way::Direct);
    let config = databases.fresh().await;
    let stores = [open(&config).await, open(&config).await];
    for round in 0..5_u32 {
        let numbers: Vec<u32> = (round * 40..round * 40 + 40).collect();
        let journeys = join_all(numbers.iter().map(|n| async {
            let (journey, registered) = Journey::register(*n, at(0));
            stores[0].commit(registered).await.unwrap();
            journey
        }))
        .await;
        let claims = |backwards: bool| {
            let mut own: Vec<_> =
                journeys.iter().zip(&numbers).map(|(journey, n)| (journey.clone(), *n)).collect();
            if backwards {
                own.reverse();
            }
            let store = Arc::clone(&stores[usize::from(backwards)]);
            own.into_iter().map(move |(mut journey, n)| {
                let claim = journey.reserve(n % 4, at(1));
                let record = IdempotencyRecord::InFlight {
                    request_hash: [u8::from(backwards); 32],
                    booking_id: journey.booking_id(),
                    locked_until: at(31),
                };
                let id = idempotency_id(n % 4, &format!("k{n}"));
                let idempotency = Some(IdempotencyWrite { id, expected: None, record });
                let quota = Some(Quota { user_id: user(n % 4), since: at(0), max: 1_000 });
                let store = Arc::clone(&store);
                tokio::spawn(async move { store.commit(Commit { idempotency, quota, ..claim }).await })
            })
        };
        let results: Vec<_> = join_all(claims(false).chain(claims(true)).collect::<Vec<_>>()).await;
        let won = results.iter().filter(|result| matches!(result, Ok(Ok(())))).count();
        assert_eq!(won, 40, "each vehicle is claimed once: {results:?}");
    }
    assert_eq!(deadlocks(&config).await, 0);
    join_all(stores.iter().map(|store| store.close())).await;
}

/// The connection is cut while the commit waits within the server: nobody knows, until the retry asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_unknown_and_the_retry_finds_the_truth() {
    let databases = Databases::new(Way::Direct);
    let config = databases.fresh().await;
    let store = open(&config).await;
    let (mut journey, registered) = Journey::register(1, at(0));
    store.commit(registered).await.unwrap();
    let mut server = connect(&database(&config)).await;
    execute(
        &mut server,
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(30); RETURN NEW; END$$;
         CREATE TRIGGER wait BEFORE INSERT ON bookings FOR EACH ROW EXECUTE FUNCTION wait()",
    )
    .await;
    let claim = journey.reserve(1, at(1));
    let waiting = tokio::spawn({
        let (store, claim) = (Arc::clone(&store), claim.clone());
        async move { store.commit(claim).await }
    });
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event = 'PgSleep'";
    while sqlx::query_scalar::<_, i64>(cut).fetch_one(&mut server).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    match waiting.await.unwrap() {
        Err(CommitError::Port(error)) => assert_eq!(error.kind(), Kind::OutcomeUnknown, "{error}"),
        other => panic!("nobody knows whether it happened, yet the answer is {other:?}"),
    }
    execute(&mut server, "DROP TRIGGER wait ON bookings").await;
    assert_eq!(
        store.booking(&journey.booking_id()).await.unwrap(),
        None,
        "the read tells: it did not happen"
    );
    store.commit(claim.clone()).await.expect("the retry does it");
    let again = store.commit(claim).await;
    assert!(matches!(again, Err(CommitError::VersionConflict { .. })), "and once only: {again:?}");
    store.close().await;
}

/// A row that can't be written fails its own commit only; the disk that is full fails all, and they may be repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_commit_leaves_its_neighbours_alone_and_a_full_disk_is_an_outage() {
    let databases = Databases::new(Way::Direct);
    let mut config = databases.fresh().await;
    config.writers = 1;
    let store = open(&config).await;
    let mut server = connect(&database(&config)).await;
    execute(&mut server, "ALTER TABLE vehicles ADD CHECK (id <> 'sc-00007')").await;
    let registered = |n| Journey::register(n, at(0)).1;
    let results = join_all((0..20).map(|n| store.commit(registered(n)))).await;
    for (n, result) in results.iter().enumerate() {
        match result {
            Ok(()) => assert_ne!(n, 7),
            Err(CommitError::Port(error)) => assert_eq!((n, error.kind()), (7, Kind::Corrupt), "{error}"),
            other => panic!("{n}: {other:?}"),
        }
    }
    assert!(store.batches() < 20, "they shared transactions");

    execute(
        &mut server,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END$$;
         CREATE TRIGGER full_disk BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION full_disk()",
    )
    .await;
    match store.commit(registered(30)).await {
        Err(CommitError::Port(error)) => {
            assert_eq!(error.kind(), Kind::Unavailable, "{error}");
            assert!(error.to_string().contains("free disk space"), "{error}");
        }
        other => panic!("there is no room, yet the answer is {other:?}"),
    }
    assert_eq!(store.vehicle(&vehicle_id(30)).await.unwrap(), None, "nothing was written");
    execute(&mut server, "DROP TRIGGER full_disk ON events").await;
    store.commit(registered(30)).await.expect("there is room again");
    store.close().await;
}

/// With every connection taken a call fails in time and as an outage; afterwards the store serves on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_free_connection_calls_fail_in_time() {
    let databases = Databases::new(Way::Direct);
    let mut config = databases.fresh().await;
    (config.max_connections, config.acquire_timeout) = (1, Duration::from_millis(300));
    let store = open(&config).await;
    store.record_telemetry(&[telemetry(1, at(0))]).await.unwrap();
    let mut server = connect(&database(&config)).await;
    execute(&mut server, "BEGIN; LOCK TABLE profiles IN ACCESS EXCLUSIVE MODE").await;
    let slow = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.profile(&user(1)).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let error = store.telemetry(&vehicle_id(1)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    execute(&mut server, "COMMIT").await;
    slow.await.unwrap().expect("who had the connection is answered");
    assert!(store.telemetry(&vehicle_id(1)).await.unwrap().is_some(), "the store serves on");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_is_made_once_whoever_begins_and_a_newer_one_is_refused() {
    let databases = Databases::new(Way::Direct);
    let name = databases.empty().await;
    let config = config(Way::Direct, &name);
    let error = PostgresStore::open(config.clone()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Rejected);
    assert!(error.to_string().contains("run `rideplane migrate`"), "{error}");

    let all = join_all((0..4).map(|_| PostgresStore::migrate(&config))).await;
    let done: Vec<_> = all.into_iter().map(|one| one.expect("migrating together succeeds")).collect();
    assert_eq!(done.iter().filter(|one| one.from < one.to).count(), 1, "one does it: {done:?}");
    let again = PostgresStore::migrate(&config).await.unwrap();
    assert_eq!(again.from, again.to, "a second time does nothing");

    let store = open(&config).await;
    let (_, registered) = Journey::register(1, at(0));
    store.commit(registered).await.unwrap();
    store.close().await;
    PostgresStore::migrate(&config).await.unwrap();
    let store = open(&config).await;
    let kept = store.vehicle(&vehicle_id(1)).await.unwrap().expect("data stay");
    assert_eq!(kept.version, Version(2));
    store.close().await;

    let mut server = connect(&name).await;
    execute(&mut server, "INSERT INTO rideplane_schema VALUES (99, now())").await;
    for result in
        [PostgresStore::migrate(&config).await.map(drop), PostgresStore::open(config).await.map(drop)]
    {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Rejected);
        assert!(
            error.to_string().contains("version 99") && error.to_string().contains("newer rideplane"),
            "{error}"
        );
    }
}

/// What a person reads who got the URL wrong: one sentence, what to do, no password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_addresses_and_passwords_are_told_in_a_sentence_without_the_password() {
    let databases = Databases::new(Way::Direct);
    let name = databases.empty().await;
    let right = url_of(&name);
    let (credentials, address) = right.rsplit_once('@').unwrap();
    let (user, _) = credentials.rsplit_once(':').unwrap();
    let other = databases.empty().await;
    let mut server = connect(&other).await;
    execute(&mut server, "CREATE TABLE bookings (n integer)").await;
    for (url, hint) in [
        (format!("{user}:s3cr3t@{address}"), "user or password are wrong"),
        (format!("{user}:s3cr3t@127.0.0.1:1/{name}"), "can't be reached"),
        (url_of("no_such_database"), "no such database"),
        (url_of(&other), "database of another program"),
    ] {
        let mut config: PostgresConfig = url.parse().unwrap();
        config.acquire_timeout = Duration::from_secs(5);
        let error = PostgresStore::migrate(&config).await.unwrap_err().to_string();
        assert!(error.contains(hint), "{error}");
        assert!(!error.contains("s3cr3t") && !error.contains('\n'), "{error}");
    }
}

/// Two relays share the aggregates; when one goes the other takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_relays_never_hold_one_aggregate_and_one_takes_over_for_the_other() {
    let databases = Databases::new(Way::Direct);
    let mut config = databases.fresh().await;
    config.lease = Duration::from_secs(1);
    let (one, other) = (open(&config).await, open(&config).await);
    join_all((0..64).map(|n| one.commit(Journey::register(n, at(0)).1))).await;
    assert_eq!(one.pending(1_000).await.unwrap().len(), 128, "alone it has all");
    assert_eq!(other.pending(1_000).await.unwrap(), [], "what is leased is left alone");
    tokio::time::sleep(Duration::from_millis(400)).await;
    let (of_one, of_other) = (one.pending(1_000).await.unwrap(), other.pending(1_000).await.unwrap());
    assert!(!of_one.is_empty() && !of_other.is_empty(), "they share");
    assert_eq!(of_one.len() + of_other.len(), 128, "every event is somebody's");
    let taken =
        |event: &rideplane_ports::Envelope| of_other.iter().any(|held| held.aggregate == event.aggregate);
    assert!(!of_one.iter().any(taken), "no aggregate is held by both");
    one.mark_published(&of_one, at(5)).await.unwrap();
    one.close().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(other.pending(1_000).await.unwrap(), of_other, "what was published does not come again");
    assert_eq!(other.prune_outbox(at(5)).await.unwrap(), 0, "published at 5 is not before 5");
    assert_eq!(other.prune_outbox(at(6)).await.unwrap(), of_one.len() as u64);
    let dumps = other.aggregates(None, 1_000).await.unwrap();
    assert_eq!(dumps.iter().map(|dump| dump.events.len()).sum::<usize>(), 128, "the log is whole");
    other.close().await;
}

/// Who listens is woken by another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_wakes_who_listens() {
    let databases = Databases::new(Way::Direct);
    let config = databases.fresh().await;
    let (one, other) = (open(&config).await, open(&config).await);
    let mut wakeups = other.listen().await.unwrap().expect("without a pooler one can listen");
    one.commit(Journey::register(1, at(0)).1).await.unwrap();
    let woken = tokio::time::timeout(Duration::from_secs(20), wakeups.next()).await;
    woken.expect("it is woken").unwrap();
    drop(wakeups);
    join_all([one.close(), other.close()]).await;
}

/// Telemetry is apart from what claims compare: it waits for no claim that is under way, and no claim fails for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_never_touch_what_claims_compare() {
    let databases = Databases::new(Way::Direct);
    let config = databases.fresh().await;
    let store = open(&config).await;
    let (mut journey, registered) = Journey::register(1, at(0));
    store.commit(registered).await.unwrap();
    let mut server = connect(&database(&config)).await;
    // The row's place and its writer: any write to it changes them.
    let row = "SELECT ctid::text || ' ' || xmin::text FROM vehicles";
    let before: String = sqlx::query_scalar(row).fetch_one(&mut server).await.unwrap();
    let claim = journey.reserve(1, at(1));
    execute(&mut server, "BEGIN; SELECT FROM vehicles FOR UPDATE").await;
    for second in 1..=20 {
        let report = [telemetry(1, at(second)), telemetry(2, at(second))];
        let told = tokio::time::timeout(Duration::from_secs(10), store.record_telemetry(&report)).await;
        told.expect("a heartbeat does not wait for who holds the vehicle's row").unwrap();
    }
    execute(&mut server, "COMMIT").await;
    let after: String = sqlx::query_scalar(row).fetch_one(&mut server).await.unwrap();
    assert_eq!(after, before, "the vehicle's row was not written");
    let known = store.telemetry(&vehicle_id(1)).await.unwrap().expect("its heartbeats were");
    assert_eq!(known.last_reported, at(20));
    store.commit(claim).await.expect("a claim that was decided before the heartbeats holds");
    store.close().await;
}

/// What a commit is told is about itself, wherever it stands in its batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_stale_commit_of_a_batch_is_told_what_was_stale() {
    let databases = Databases::new(Way::Direct);
    let mut config = databases.fresh().await;
    config.writers = 1;
    let stores = [open(&config).await, open(&config).await];
    let journeys = join_all((0..30).map(|n| async move { (n, Journey::register(n, at(0))) })).await;
    let mut claims = Vec::new();
    for (n, (mut journey, registered)) in journeys {
        stores[0].commit(registered).await.unwrap();
        if n % 3 == 0 {
            // Another process is first, so only the database can tell.
            stores[1].commit(journey.clone().reserve(n + 100, at(1))).await.unwrap();
        }
        claims.push((n, journey.reserve(n, at(2))));
    }
    let before = stores[0].batches();
    let results = join_all(claims.into_iter().map(|(n, claim)| {
        let store = Arc::clone(&stores[0]);
        async move { (n, store.commit(claim).await) }
    }))
    .await;
    assert!(stores[0].batches() - before < 10, "they shared transactions");
    for (n, result) in results {
        match result {
            Ok(()) => assert_ne!(n % 3, 0, "vehicle {n} was taken"),
            Err(CommitError::VersionConflict { key, expected }) => {
                assert_eq!(n % 3, 0, "vehicle {n} was free");
                assert_eq!((key, expected), (AggregateKey::Vehicle(vehicle_id(n)), Version(2)));
            }
            Err(other) => panic!("vehicle {n}: {other:?}"),
        }
    }
    join_all(stores.iter().map(|store| store.close())).await;
}

/// A connection keeps its plans. Those that it made while there was nothing must still go by the right index when there is
/// much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_of_an_empty_database_hold_for_a_full_one() {
    let databases = Databases::new(Way::Direct);
    let mut config = databases.fresh().await;
    config.writers = 1;
    let mut server = connect(&database(&config)).await;
    // Empty and known to be empty: every index costs the same, and a table may seem cheaper than the batch. Nothing may
    // make the server plan anew.
    for table in ["vehicles", "bookings", "events", "outbox", "idempotency", "telemetry", "ledger"] {
        execute(&mut server, &format!("ALTER TABLE {table} SET (autovacuum_enabled = off)")).await;
        execute(&mut server, &format!("VACUUM ANALYZE {table}")).await;
    }
    let store = open(&config).await;
    let mut journeys = Vec::new();
    for n in 0..500 {
        let (mut journey, registered) = Journey::register(n, at(0));
        let claim = journey.reserve(n, at(1));
        let (id, booking_id) = (idempotency_id(n, "k"), journey.booking_id());
        let record = IdempotencyRecord::InFlight { request_hash: [7; 32], booking_id, locked_until: at(31) };
        let idempotency = Some(IdempotencyWrite { id, expected: None, record });
        let quota = Some(Quota { user_id: user(n), since: at(0), max: 1_000 });
        let mut commits = vec![registered, Commit { idempotency, quota, ..claim }];
        commits.extend(journey.confirm(at(2)));
        journeys.push(commits);
    }
    let of_each = journeys[0].len();
    for commits in &journeys[..100] {
        for commit in commits {
            store.commit(commit.clone()).await.unwrap();
        }
    }
    let rest = journeys.split_off(100).into_iter().map(|commits| async {
        for commit in commits {
            store.commit(commit).await.unwrap();
        }
    });
    join_all(rest).await;
    // A session tells what it has done when it ends, or a while later.
    store.close().await;
    let told =
        "SELECT coalesce(sum(n_tup_ins), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'bookings'";
    while sqlx::query_scalar::<_, i64>(told).fetch_one(&mut server).await.unwrap() < 500 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let read = "SELECT (sum(coalesce(seq_tup_read, 0)) + sum(coalesce(idx_tup_fetch, 0)))::bigint
                FROM pg_stat_user_tables WHERE relname <> 'rideplane_schema'";
    let read: i64 = sqlx::query_scalar(read).fetch_one(&mut server).await.unwrap();
    let commits = (500 * of_each) as i64;
    assert!((commits / 2..commits * 3).contains(&read), "{commits} commits read {read} rows");
    let of_riders = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'bookings_of_user'";
    let of_riders: i64 = sqlx::query_scalar(of_riders).fetch_one(&mut server).await.unwrap();
    assert_eq!(
        of_riders, 500,
        "it serves the quota of a claim; whoever looks for a booking's id in it reads all of it"
    );
}
