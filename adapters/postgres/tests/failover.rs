//! The primary dies and a synchronous standby is promoted: the store goes on by itself, and what was acknowledged is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use rideplane_ports::conformance::fixtures::{Journey, at, vehicle_id};
use rideplane_ports::{CommitError, Kind, Store as _};
use rideplane_postgres::{PostgresConfig, PostgresStore};
use rideplane_services::{DATABASE, PASSWORD, Postgres, PostgresOptions, USER};

/// How long the store may take to go on.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(primary: &Postgres, standby: &Postgres) -> PostgresConfig {
    let url = format!("postgres://{USER}:{PASSWORD}@{},{}/{DATABASE}", primary.address(), standby.address());
    let mut config: PostgresConfig = url.parse().unwrap();
    config.acquire_timeout = Duration::from_secs(2);
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_promotion_the_store_goes_on_with_everything_acknowledged() {
    let mut primary = Postgres::start(&PostgresOptions::default()).unwrap();
    let standby = primary.standby().unwrap();
    let config = config(&primary, &standby);
    PostgresStore::migrate(&config).await.unwrap();
    let store = Arc::new(PostgresStore::open(config).await.unwrap());
    let writing = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let (mut acknowledged, mut failures) = (Vec::new(), 0);
            let mut since_failure = 0;
            let start = Instant::now();
            for n in 0.. {
                match store.commit(Journey::register(n, at(0)).1).await {
                    Ok(()) => {
                        acknowledged.push(n);
                        since_failure += 1;
                    }
                    Err(CommitError::Port(error)) => {
                        assert!(matches!(error.kind(), Kind::Unavailable | Kind::OutcomeUnknown), "{error}");
                        (failures, since_failure) = (failures + 1, 0);
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    Err(other) => panic!("an outage is no conflict: {other}"),
                }
                if failures > 0 && since_failure >= 20 {
                    break;
                }
                assert!(start.elapsed() < PATIENCE * 2, "the store does not go on: {failures} failures");
            }
            (acknowledged, failures)
        }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let servers = tokio::task::spawn_blocking(move || {
        primary.kill9().unwrap();
        std::thread::sleep(Duration::from_secs(1));
        standby.promote().unwrap();
        (primary, standby)
    });
    let servers = servers.await.unwrap();
    let (acknowledged, failures) = writing.await.unwrap();
    assert!(failures > 0 && acknowledged.len() > 20, "the primary died while it was written to");
    for n in &acknowledged {
        assert!(store.vehicle(&vehicle_id(*n)).await.unwrap().is_some(), "{n} was acknowledged");
    }
    store.close().await;
    drop(servers);
}
