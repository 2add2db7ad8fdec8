//! What a process leaves behind that is killed in the middle of its work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rideplane_core::Machine as _;
use rideplane_core::booking::{self, Booking};
use rideplane_core::fleet::{self, Vehicle};
use rideplane_ports::conformance::fixtures::{Journey, at};
use rideplane_ports::{AggregateKey, AuditSource as _, Outbox as _, Store as _};
use rideplane_sqlite::{SqliteConfig, SqliteStore};

const FILE: &str = "RIDEPLANE_CRASH_FILE";
const ROUND: &str = "RIDEPLANE_CRASH_ROUND";
const KILLS: u32 = 10;
const RIDERS: u32 = 8;

/// By itself a short shift of the riders below. Started by the crash test as its own process, a shift without end: the
/// process that is killed.
#[test]
fn riders_say_what_was_acknowledged() {
    let shift = |path: &Path, round, bookings| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(book(path, round, bookings))
    };
    if let Ok(path) = std::env::var(FILE) {
        let round: u32 = std::env::var(ROUND).unwrap().parse().unwrap();
        shift(Path::new(&path), round, u32::MAX);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let said = shift(&folder.path().join("rideplane.db"), 0, 2);
    assert!(said >= 2 * RIDERS as usize, "only {said} commits were acknowledged");
}

/// Books as fast as it can, says what was acknowledged, and counts it.
async fn book(path: &Path, round: u32, bookings: u32) -> usize {
    let store = Arc::new(SqliteStore::open(SqliteConfig::new(path)).await.unwrap());
    let riders: Vec<_> = (0..RIDERS)
        .map(|rider| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut said = 0;
                for n in 0..bookings {
                    let number = (round * RIDERS + rider) * 1_000 + n;
                    let (mut journey, registered) = Journey::register(number, at(0));
                    let mut commits = vec![registered, journey.reserve(rider, at(1))];
                    commits.extend(journey.confirm(at(2)));
                    for commit in commits {
                        let keys: Vec<String> = commit
                            .envelopes()
                            .unwrap()
                            .iter()
                            .map(|event| format!("ack {} {}", event.aggregate, event.version))
                            .collect();
                        store.commit(commit).await.unwrap();
                        let mut out = std::io::stdout().lock();
                        out.write_all((keys.join("\n") + "\n").as_bytes()).unwrap();
                        out.flush().unwrap();
                        said += 1;
                    }
                }
                said
            })
        })
        .collect();
    let mut said = 0;
    for rider in riders {
        said += rider.await.unwrap();
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rideplane.db");
    let mut acknowledged: HashMap<String, u64> = HashMap::new();
    let mut seed: u64 = 0x5eed;
    for round in 0..KILLS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let lines = 20 + usize::try_from((seed >> 33) % 400).unwrap();
        for (key, version) in run_and_kill(&path, round, lines) {
            let known = acknowledged.entry(key).or_default();
            *known = version.max(*known);
        }
        let store = SqliteStore::open(SqliteConfig::new(&path)).await.unwrap();
        let versions = audit(&store).await;
        for (key, version) in &acknowledged {
            let found = versions.get(key).copied().unwrap_or(0);
            assert!(
                found >= *version,
                "round {round}: {key} was acknowledged at {version}, found at {found}"
            );
        }
        store.close().await;
        integrity(&path);
    }
    assert!(acknowledged.len() > 100, "the victims did something: {}", acknowledged.len());
}

/// Returns what the victim said was acknowledged before it died.
fn run_and_kill(path: &Path, round: u32, lines: usize) -> Vec<(String, u64)> {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "riders_say_what_was_acknowledged", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(victim.stdout.take().unwrap());
    let mut said = Vec::new();
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 {
        // A line that was cut by the kill is not an acknowledgement.
        if let Some(text) = line.strip_suffix('\n').and_then(|line| line.split_once("ack ")) {
            let (key, version) = text.1.rsplit_once(' ').unwrap();
            said.push((key.to_owned(), version.parse().unwrap()));
        }
        if said.len() == lines {
            victim.kill().unwrap();
        }
        line.clear();
    }
    victim.wait().unwrap();
    assert!(said.len() >= lines, "the victim died by itself after {} acknowledgements", said.len());
    said
}

/// Proves every aggregate: no gap, and its events make its state. Returns the versions.
async fn audit(store: &SqliteStore) -> HashMap<String, u64> {
    let mut versions = HashMap::new();
    let mut after: Option<AggregateKey> = None;
    loop {
        let page = store.aggregates(after.as_ref(), 500).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        for dump in page {
            let numbers: Vec<u64> = dump.events.iter().map(|event| event.version.0).collect();
            assert_eq!(numbers, (1..=dump.version.0).collect::<Vec<_>>(), "{} has a gap", dump.key);
            let made = match &dump.key {
                AggregateKey::Booking(_) => {
                    serde_json::to_string(&dump.events.iter().fold(None, |state, event| {
                        Booking::evolve(state, &serde_json::from_str::<booking::Event>(&event.data).unwrap())
                    }))
                }
                AggregateKey::Vehicle(_) => {
                    serde_json::to_string(&dump.events.iter().fold(None, |state, event| {
                        Vehicle::evolve(state, &serde_json::from_str::<fleet::Event>(&event.data).unwrap())
                    }))
                }
            };
            assert_eq!(made.unwrap(), dump.state, "{} is not what its events make", dump.key);
            versions.insert(dump.key.to_string(), dump.version.0);
        }
    }
    let events: u64 = versions.values().sum();
    assert_eq!(store.pending_count().await.unwrap(), events, "every event waits for the bus, and no other");
    versions
}

fn integrity(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}
