//! `kill -9` of the server, of Postgres and of Redis under load, in an order by seed: what was acknowledged is there, and
//! the audit is clean.
//!
//! `CHAOS_ROUNDS=60 CHAOS_SEED=7 cargo test -p rideplane --features production --test chaos` kills 60 times in that order.
#![cfg(all(feature = "postgres", feature = "redis"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rideplane_services::{Postgres, PostgresOptions, Redis};
use support::riders::{Acknowledged, RIDERS, Round, check, mix, number};
use support::{Server, rideplane, token};

const FLEET: u32 = 400;
/// A store that was away is asked again after the breaker's time.
const BACK: Duration = Duration::from_secs(60);

/// Whom a round kills.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Server,
    Postgres,
    Redis,
}

/// Each of the three in every three rounds, in an order of its own.
fn victim(seed: u64, round: u64) -> Victim {
    let mut left = vec![Victim::Server, Victim::Postgres, Victim::Redis];
    let mut order = mix(seed, round / 3);
    let mut chosen = Victim::Server;
    for _ in 0..=round % 3 {
        let place = usize::try_from(order % left.len() as u64).unwrap();
        chosen = left.remove(place);
        order /= 7;
    }
    chosen
}

async fn ready_again(server: &Server) {
    let start = Instant::now();
    loop {
        let ready = reqwest::get(format!("{}/readyz", server.base)).await;
        if ready.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        assert!(start.elapsed() < BACK, "the server is not ready {BACK:?} after Postgres came back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_whoever_is_killed() {
    let (rounds, seed) = (number("CHAOS_ROUNDS", 6), number("CHAOS_SEED", 7));
    println!(
        "replay with: CHAOS_ROUNDS={rounds} CHAOS_SEED={seed} cargo test -p rideplane --features production --test chaos"
    );
    let options = PostgresOptions { fsync: true, ..PostgresOptions::default() };
    let (mut postgres, mut redis) = (Postgres::start(&options).unwrap(), Redis::start(&[]).unwrap());
    let data = tempfile::tempdir().unwrap();
    let (store, cache) = (postgres.url(), redis.url());
    let env = [("RIDEPLANE_STORE", store.as_str()), ("RIDEPLANE_CACHE", cache.as_str())];
    let migrated =
        rideplane().args(["migrate", "--store", &store]).current_dir(data.path()).status().unwrap();
    assert!(migrated.success());
    let mut server = Server::start_with(data.path(), FLEET, &env).await;
    let seen = Arc::new(Acknowledged::default());
    // New riders each round: one alone may not book as often as this test does.
    let mut tokens: Vec<String> = Vec::new();
    for round in 0..rounds {
        let first = tokens.len();
        tokens.extend((first..first + RIDERS).map(|rider| token(data.path(), &format!("rider-{rider}"))));
        let riders =
            Round::begin(&server.base, first, &tokens[first..], &seen, mix(seed, round * 1_000)).await;
        tokio::time::sleep(Duration::from_millis(1_000 + mix(seed, round) % 900)).await;
        let victim = victim(seed, round);
        println!("round {round}: kill -9 of {victim:?}");
        match victim {
            Victim::Server => server.kill_9(),
            Victim::Postgres => postgres.kill9().unwrap(),
            Victim::Redis => redis.kill9().unwrap(),
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        match victim {
            Victim::Server => {}
            Victim::Postgres => postgres.restart().unwrap(),
            Victim::Redis => redis.restart().unwrap(),
        }
        riders.end().await;
        match victim {
            Victim::Server => server = Server::start_with(data.path(), FLEET, &env).await,
            Victim::Postgres | Victim::Redis => ready_again(&server).await,
        }
    }
    check(&server, &tokens, &seen).await;
    drop(server);
    let audit = rideplane().args(["audit", "--store", &store]).current_dir(data.path()).output().unwrap();
    let report = String::from_utf8_lossy(&[audit.stdout, audit.stderr].concat()).into_owned();
    assert!(audit.status.success(), "{report}");
    println!("{rounds} kills, {} acknowledged bookings: {report}", seen.bookings.lock().len());
}
