//! How many commits a second: `cargo run --release -p rideplane-sqlite --example bench_commits [COMMITTERS] [BOOKINGS]`
//!
//! Each committer takes its own vehicles through register, reserve, pay and ride, one commit after another.
//! Set `DURABILITY=process` to leave the disk unsynced.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Instant;

use rideplane_ports::conformance::fixtures::{Journey, at};
use rideplane_ports::{Commit, Outbox as _, Store as _};
use rideplane_sqlite::{Durability, SqliteConfig, SqliteStore};

fn argument(number: usize, default: u32) -> u32 {
    std::env::args().nth(number).map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let (committers, bookings) = (argument(1, 128), argument(2, 10_000));
    let durability = match std::env::var("DURABILITY").as_deref() {
        Ok("process") => Durability::ProcessCrash,
        _ => Durability::PowerLoss,
    };
    let folder = tempfile::tempdir_in(".").unwrap();
    let config = SqliteConfig::new(folder.path().join("bench.db")).with_durability(durability);
    let store = Arc::new(SqliteStore::open(config).await.unwrap());

    let journeys: Vec<Vec<Commit>> = (0..bookings).map(journey).collect();
    let commits: usize = journeys.iter().map(Vec::len).sum();
    let mut shares: Vec<Vec<Vec<Commit>>> = (0..committers).map(|_| Vec::new()).collect();
    for (journey, to) in journeys.into_iter().zip((0..shares.len()).cycle()) {
        shares[to].push(journey);
    }

    let start = Instant::now();
    let running: Vec<_> = shares
        .into_iter()
        .map(|share| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for commit in share.into_iter().flatten() {
                    store.commit(commit).await.unwrap();
                }
            })
        })
        .collect();
    for committer in running {
        committer.await.unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    let batches = store.batches();
    println!(
        "{durability:?}, {committers} committers: {commits} commits in {seconds:.2} s = {:.0}/s, {:.1} commits per \
         transaction, {:.1} ms per transaction",
        commits as f64 / seconds,
        commits as f64 / batches as f64,
        seconds * 1000.0 / batches as f64,
    );

    let start = Instant::now();
    let mut published = 0;
    loop {
        let pending = store.pending(512).await.unwrap();
        if pending.is_empty() {
            break;
        }
        published += pending.len();
        store.mark_published(&pending, at(1)).await.unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "outbox: {published} events read and marked in {seconds:.2} s = {:.0}/s",
        published as f64 / seconds
    );
    store.close().await;
}

fn journey(number: u32) -> Vec<Commit> {
    let (mut journey, registered) = Journey::register(number, at(0));
    let mut commits = vec![registered, journey.reserve(number, at(1))];
    commits.extend(journey.confirm(at(2)));
    commits.extend(journey.ride(at(3)));
    commits
}
