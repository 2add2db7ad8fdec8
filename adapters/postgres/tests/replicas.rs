//! Search on standbys: they are asked, and one that fails costs riders nothing but a moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rideplane_core::ids::Version;
use rideplane_ports::conformance::fixtures::{at, listing, nearest, place, vehicle_id};
use rideplane_ports::{Availability as _, AvailabilityUpdate, Kind};
use rideplane_postgres::{PostgresAvailability, PostgresConfig, PostgresStore};
use rideplane_services::{DATABASE, PASSWORD, Postgres, PostgresOptions, Proxy, Toxiproxy, USER};
use serde_json::json;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

fn config(address: SocketAddr) -> PostgresConfig {
    let url = format!("postgres://{USER}:{PASSWORD}@{address}/{DATABASE}");
    let mut config: PostgresConfig = url.parse().unwrap();
    (config.acquire_timeout, config.statement_timeout) = (Duration::from_secs(2), Duration::from_secs(2));
    config
}

/// A vehicle so many metres north of where everybody looks.
fn free(n: u32) -> AvailabilityUpdate {
    AvailabilityUpdate::Free(listing(n, place(f64::from(n))), Version(1))
}

async fn found_if_any(search: &PostgresAvailability) -> Option<Vec<String>> {
    let nearby = search.nearest(&nearest(500.0), at(0)).await.ok()?;
    Some(nearby.vehicles.iter().map(|(listing, _)| listing.vehicle_id.to_string()).collect())
}

async fn found(search: &PostgresAvailability) -> Vec<String> {
    found_if_any(search).await.expect("a search is answered")
}

fn named(numbers: &[u32]) -> Vec<String> {
    numbers.iter().map(|n| vehicle_id(*n).to_string()).collect()
}

/// Searches until the answer is as wanted: a standby lags behind.
async fn find(search: &PostgresAvailability, wanted: &[u32]) {
    let start = Instant::now();
    loop {
        let found = found(search).await;
        if found == named(wanted) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{wanted:?} are not found, but {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_standby_is_asked_while_it_is_there_whatever_becomes_of_the_primary() {
    let mut primary = Postgres::start(&PostgresOptions::default()).unwrap();
    let mut standby = primary.standby().unwrap();
    let toxics = Toxiproxy::start().unwrap();
    let between: Proxy = toxics.proxy("standby", standby.address()).unwrap();
    PostgresStore::migrate(&config(primary.address())).await.unwrap();
    let store = PostgresStore::open(config(primary.address())).await.unwrap();
    let search = PostgresAvailability::new(&store, &[config(between.address())]);
    search.check_replicas().await.unwrap();
    search.apply(&[free(1)]).await.unwrap();
    // A search before the standby has the table would fail there, and pass it by for a while.
    let start = Instant::now();
    while standby.psql(DATABASE, "SELECT count(*) FROM listings").ok().as_deref() != Some("1") {
        assert!(start.elapsed() < PATIENCE, "the standby does not follow");
    }
    assert_eq!(found(&search).await, named(&[1]));

    // What is written now reaches the standby's disk and stays unseen there, so who sees it asked the primary.
    standby.psql(DATABASE, "SELECT pg_wal_replay_pause()").unwrap();
    search.apply(&[free(2)]).await.unwrap();
    for _ in 0..4 {
        assert_eq!(found(&search).await, named(&[1]), "the standby is asked, not the primary");
    }

    // Nothing comes and nothing ends: the first search waits for it, the next ones pass it by.
    between.add("timeout", &json!({ "timeout": 0 })).unwrap();
    assert_eq!(found(&search).await, named(&[1, 2]), "the primary is asked for a silent standby");
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(found(&search).await, named(&[1, 2]));
    }
    assert!(start.elapsed() < PATIENCE, "20 searches waited for a silent standby: {:?}", start.elapsed());
    between.remove("timeout").unwrap();
    find(&search, &[1]).await;

    standby.kill9().unwrap();
    assert_eq!(found(&search).await, named(&[1, 2]), "the primary is asked for a dead standby");
    standby.restart().unwrap();
    find(&search, &[1, 2]).await;

    primary.kill9().unwrap();
    let start = Instant::now();
    while found_if_any(&search).await.as_deref() != Some(&named(&[1, 2])[..]) {
        assert!(start.elapsed() < PATIENCE, "the standby is not asked");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for _ in 0..10 {
        assert_eq!(found(&search).await, named(&[1, 2]), "searches go on without the primary");
    }
    store.close().await;
}

/// A replica that is down is waited for; one whose URL is wrong never comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_refuses_is_told_at_start_up_and_one_that_is_down_is_not() {
    let primary = Postgres::start(&PostgresOptions::default()).unwrap();
    PostgresStore::migrate(&config(primary.address())).await.unwrap();
    let store = PostgresStore::open(config(primary.address())).await.unwrap();
    let down = config((std::net::Ipv4Addr::LOCALHOST, 1).into());
    PostgresAvailability::new(&store, &[down]).check_replicas().await.expect("it may come back");
    let wrong = format!("postgres://{USER}:s3cr3t@{}/{DATABASE}", primary.address());
    let search = PostgresAvailability::new(&store, &[wrong.parse().unwrap()]);
    let error = search.check_replicas().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Rejected, "{error}");
    let text = error.to_string();
    assert!(text.contains("user or password are wrong") && !text.contains("s3cr3t"), "{text}");
    store.close().await;
}
