//! How many reservations a second: `cargo run --release -p rideplane-postgres --example bench_reserve [RESERVATIONS]`
//!
//! 128 callers reserve through the adapter and pgbench does the same writes as one statement each with 32 clients, in turns,
//! on the same database of 50,000 vehicles; at last 500 reservations a second arrive whether or not the others are done.
//! Then every vehicle reports where it is. The server is a private one, which is durable.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use rideplane_ports::conformance::fixtures::{Journey, at, idempotency_id, telemetry};
use rideplane_ports::{Commit, IdempotencyRecord, IdempotencyWrite, Store as _};
use rideplane_postgres::{PostgresConfig, PostgresStore};
use rideplane_services::{Postgres, PostgresOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// The server's: with the system's, callers and writers wait for each other's memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const VEHICLES: u32 = 50_000;
const CALLERS: u32 = 128;
const CLIENTS: u32 = 32;
const ROUNDS: usize = 2;
const PER_SECOND: u32 = 500;
const OPEN_LOOP_SECONDS: u32 = 10;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let reservations: u32 = std::env::args().nth(1).map_or(20_000, |text| text.parse().expect("a number"));
    let arrivals = PER_SECOND * OPEN_LOOP_SECONDS;
    assert!(reservations * 2 + arrivals <= VEHICLES, "each reservation takes a vehicle of its own");
    // Durable, as in production: a server for tests may forget what it acknowledged, and so may not be measured.
    let server = Postgres::start(&PostgresOptions { fsync: true, ..PostgresOptions::default() });
    let server = server.expect("Postgres is installed and starts");
    measure(&server.url(), reservations, arrivals).await;
}

async fn run(connection: &mut PgConnection, sql: &str) {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("the server does it");
}

async fn measure(url: &str, reservations: u32, arrivals: u32) {
    let config: PostgresConfig = url.parse().expect("a Postgres URL");
    PostgresStore::migrate(&config).await.expect("the schema is made");
    let store = Arc::new(PostgresStore::open(config).await.expect("the store opens"));
    let registered = stream::iter(0..VEHICLES)
        .map(|n| {
            let store = Arc::clone(&store);
            async move {
                let (journey, registered) = Journey::register(n, at(0));
                store.commit(registered).await.expect("a vehicle is registered");
                journey
            }
        })
        .buffered(CALLERS as usize);
    let mut claims: Vec<Commit> =
        registered.zip(stream::iter(0..)).map(|(journey, n)| claim(journey, n)).collect().await;
    let mut server = PgConnection::connect(url).await.expect("the server answers");
    run(&mut server, "VACUUM ANALYZE").await;

    let script = statement(&claims[0], reservations);
    let late = claims.split_off(claims.len() - arrivals as usize);
    claims.truncate(reservations as usize);
    let (count, before) = (f64::from(reservations), store.batches());
    let (mut ours, mut theirs) = (0.0, 0.0);
    // In turns: a machine that is shared is not equally fast all the time.
    let round = claims.len().div_ceil(ROUNDS);
    while !claims.is_empty() {
        let share = claims.split_off(claims.len().saturating_sub(round));
        run(&mut server, "CHECKPOINT").await;
        ours += through_the_adapter(&store, share).await.as_secs_f64();
        run(&mut server, "CHECKPOINT").await;
        // Its connections are new: enough for each that their start does not count.
        theirs += count / through_pgbench(url, &script, reservations);
    }
    let each = count / (store.batches() - before) as f64;
    println!(
        "reserve, adapter {:>8.0} /s   {CALLERS} callers, {each:.1} commits per transaction",
        count / ours
    );
    println!(
        "reserve, pgbench {:>8.0} /s   {CLIENTS} clients, the same writes as one statement each",
        count * ROUNDS as f64 / theirs
    );
    println!("reserve, ratio   {:>8.2}", theirs / ROUNDS as f64 / ours);
    run(&mut server, "CHECKPOINT").await;
    open_loop(&store, late).await;
    reports(&store).await;
    store.close().await;
}

/// A reservation with its idempotency record.
fn claim(mut journey: Journey, n: u32) -> Commit {
    let claim = journey.reserve(n, at(1));
    let booking_id = journey.booking_id();
    let record = IdempotencyRecord::InFlight { request_hash: [7; 32], booking_id, locked_until: at(31) };
    let idempotency = Some(IdempotencyWrite { id: idempotency_id(n, "reserve"), expected: None, record });
    Commit { idempotency, ..claim }
}

async fn through_the_adapter(store: &Arc<PostgresStore>, claims: Vec<Commit>) -> Duration {
    let mut shares: Vec<Vec<Commit>> = (0..CALLERS).map(|_| Vec::new()).collect();
    for (claim, to) in claims.into_iter().zip((0..shares.len()).cycle()) {
        shares[to].push(claim);
    }
    let start = Instant::now();
    let callers = shares.into_iter().map(|share| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for claim in share {
                store.commit(claim).await.expect("the vehicle is free");
            }
        })
    });
    join_all(callers).await.into_iter().for_each(|caller| caller.expect("a caller ends"));
    start.elapsed()
}

async fn open_loop(store: &Arc<PostgresStore>, claims: Vec<Commit>) {
    let start = tokio::time::Instant::now();
    let gap = Duration::from_secs(1) / PER_SECOND;
    let mut running = Vec::with_capacity(claims.len());
    for (n, claim) in (0_u32..).zip(claims) {
        let due = start + gap * n;
        tokio::time::sleep_until(due).await;
        let store = Arc::clone(store);
        running.push(tokio::spawn(async move {
            store.commit(claim).await.expect("the vehicle is free");
            // From when it should have begun, so that a stall counts for all who wait behind it.
            due.elapsed()
        }));
    }
    let mut times: Vec<Duration> =
        join_all(running).await.into_iter().map(|time| time.expect("an arrival ends")).collect();
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "reserve, open    {PER_SECOND:>8} /s   p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms",
        at(0.50),
        at(0.95),
        at(0.99)
    );
}

/// Every vehicle reports once, each in a call of its own.
async fn reports(store: &PostgresStore) {
    let start = Instant::now();
    let told = stream::iter(0..VEHICLES)
        .map(|n| async move { store.record_telemetry(&[telemetry(n, at(60))]).await.expect("it is written") })
        .buffer_unordered(CALLERS as usize);
    told.collect::<()>().await;
    let rate = f64::from(VEHICLES) / start.elapsed().as_secs_f64();
    println!(
        "reports          {rate:>8.0} /s   {CALLERS} callers, a report each; {VEHICLES} a minute are {}",
        VEHICLES / 60
    );
}

/// The writes of the claim as one statement for pgbench, on a vehicle behind those of the adapter.
fn statement(claim: &Commit, reservations: u32) -> String {
    // A colon with a word behind it would be a variable of pgbench; with a space the JSON says the same.
    let literal = |text: String| text.replace('\'', "''").replace(':', ": ");
    let json = |value: serde_json::Result<String>| literal(value.expect("a state is JSON"));
    let (vehicle, booking) = (&claim.vehicles[0], &claim.bookings[0]);
    let mut logged = String::new();
    let events = claim.envelopes().expect("events are JSON");
    let mut own = [0; 2];
    for event in &events {
        let booked = event.aggregate.kind() == "booking";
        own[usize::from(booked)] += 1;
        let (id, version, from) =
            if booked { ("id::text", "0", "booked") } else { ("id", "version - 1", "claimed") };
        let union = if logged.is_empty() { "" } else { " UNION ALL " };
        let _ = write!(
            logged,
            "{union}SELECT '{}', {id}, {version} + {}, '{}', '{}', 1, '{}'::json FROM {from}",
            event.aggregate.kind(),
            own[usize::from(booked)],
            event.topic.as_str(),
            event.name,
            literal(event.data.clone()),
        );
    }
    format!(
        "\\set n random({reservations}, {})\n\\set u random(1, 1000000000)\n\
         WITH claimed AS (UPDATE vehicles SET version = version + {}, epoch = epoch + 1, state = '{}'::json \
         WHERE id = 'sc-' || lpad((:n)::text, 5, '0') AND version > 0 RETURNING id, version), \
         booked AS (INSERT INTO bookings SELECT gen_random_uuid(), 'rider-' || (:u)::text, 1, {}, \
         'pending_payment', 1, '{}'::json FROM claimed RETURNING id), \
         logged AS (INSERT INTO events {logged} RETURNING aggregate_type, aggregate_id, aggregate_version), \
         queued AS (INSERT INTO outbox (aggregate_type, aggregate_id, aggregate_version, partition) \
         SELECT aggregate_type, aggregate_id, aggregate_version, hashtext(aggregate_id) & 15 FROM logged) \
         INSERT INTO idempotency SELECT 'rider-' || (:u)::text, id::text, '\\x{}', id, 1 FROM booked;\n",
        reservations * 2 - 1,
        own[0],
        json(serde_json::to_string(&vehicle.state)),
        booking.events.len(),
        json(serde_json::to_string(&booking.state)),
        "07".repeat(32),
    )
}

fn through_pgbench(url: &str, script: &str, reservations: u32) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("reserve.sql");
    std::fs::write(&file, script).expect("the script is written");
    let debian = "/usr/lib/postgresql/15/bin/pgbench";
    let program = if std::path::Path::new(debian).exists() { debian } else { "pgbench" };
    let each = (reservations / CLIENTS).max(1);
    let output = Command::new(program)
        .args(["-n", "-M", "prepared", "-j", "2", "-c", &CLIENTS.to_string(), "-t", &each.to_string(), "-f"])
        .arg(&file)
        .arg(url)
        .output()
        .expect("pgbench is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.unwrap_or_else(|| panic!("pgbench failed: {text}{}", String::from_utf8_lossy(&output.stderr)))
}
