//! `kill -9` of a serving process under load, again and again: what was acknowledged is there, and the audit is clean.
//!
//! `CRASH_ROUNDS=30 CRASH_SEED=7 cargo test -p rideplane --test crash` runs as many rounds of that seed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::riders::{Acknowledged, RIDERS, Round, check, mix, number};
use support::{Server, audit, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let (rounds, seed) = (number("CRASH_ROUNDS", 4), number("CRASH_SEED", 7));
    println!("replay with: CRASH_ROUNDS={rounds} CRASH_SEED={seed} cargo test -p rideplane --test crash");
    let data = tempfile::tempdir().unwrap();
    let seen = Arc::new(Acknowledged::default());
    // New riders each round: one alone may not book as often as this test does.
    let mut tokens: Vec<String> = Vec::new();
    for round in 0..rounds {
        let mut server = Server::start(data.path(), 400).await;
        let first = tokens.len();
        tokens.extend((first..first + RIDERS).map(|rider| token(data.path(), &format!("rider-{rider}"))));
        let riders =
            Round::begin(&server.base, first, &tokens[first..], &seen, mix(seed, round * 1_000)).await;
        tokio::time::sleep(Duration::from_millis(600 + mix(seed, round) % 900)).await;
        server.kill_9();
        riders.end().await;
    }
    let server = Server::start(data.path(), 400).await;
    check(&server, &tokens, &seen).await;
    drop(server);
    let (clean, report) = audit(data.path());
    assert!(clean, "{report}");
    println!("{rounds} kills, {} acknowledged bookings: {report}", seen.bookings.lock().len());
}
