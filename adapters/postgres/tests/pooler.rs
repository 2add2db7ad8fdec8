//! What the way through a pooler costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rideplane_ports::conformance::fixtures::{Journey, at};
use rideplane_ports::{CommitError, Kind, Store as _};
use rideplane_postgres::{PostgresConfig, PostgresStore};
use rideplane_services::PgBouncer;
use support::{Databases, Way, url_of_pooler};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A relay that counts how often the client speaks after the server did, or first: its round trips. And that can cut
/// its connections.
struct Relay {
    address: SocketAddr,
    round_trips: Arc<AtomicUsize>,
    cut: Arc<Notify>,
}

impl Relay {
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let round_trips = Arc::new(AtomicUsize::new(0));
        let cut = Arc::new(Notify::new());
        let (counted, ended) = (Arc::clone(&round_trips), Arc::clone(&cut));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                let (counted, ended) = (Arc::clone(&counted), Arc::clone(&ended));
                tokio::spawn(async move {
                    tokio::select! {
                        () = relay(client, server, counted) => {}
                        () = ended.notified() => {}
                    }
                });
            }
        });
        Self { address, round_trips, cut }
    }
}

async fn relay(client: TcpStream, server: TcpStream, round_trips: Arc<AtomicUsize>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answered = AtomicBool::new(true);
    let asking = async {
        let mut bytes = vec![0; 65_536];
        while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
            if answered.swap(false, Ordering::SeqCst) {
                round_trips.fetch_add(1, Ordering::SeqCst);
            }
            if to_server.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    let answering = async {
        let mut bytes = vec![0; 65_536];
        while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
            // Before it is passed on: the client may speak at once.
            answered.store(true, Ordering::SeqCst);
            if to_client.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    // Who has no more to say is gone, and so is the other.
    tokio::select! {
        () = asking => {}
        () = answering => {}
    }
}

/// The pooler answers for a server that it lost: an answer that sounds as if nothing had been done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_server_the_pooler_lost_has_no_known_end() {
    let databases = Databases::new(Way::Direct);
    let name = databases.empty().await;
    PostgresStore::migrate(&support::config(Way::Direct, &name)).await.unwrap();
    let server = support::url_of(&name);
    let (user, host) = server.rsplit_once('@').unwrap();
    let relay = Relay::to(host.split('/').next().unwrap().to_owned()).await;
    let port = relay.address.port();
    let pooler = tokio::task::spawn_blocking(move || PgBouncer::start(port, 4).unwrap()).await.unwrap();
    let url = format!("{user}@{}/{name}?pool_mode=transaction", pooler.address());
    let mut config: PostgresConfig = url.parse().unwrap();
    (config.writers, config.statement_timeout) = (1, Duration::from_secs(60));
    let store = Arc::new(PostgresStore::open(config).await.unwrap());
    let (mut journey, registered) = Journey::register(0, at(0));
    store.commit(registered).await.unwrap();

    let mut other = support::connect(&name).await;
    support::execute(&mut other, "BEGIN; SELECT 1 FROM vehicles FOR UPDATE").await;
    let claim = journey.reserve(0, at(1));
    let committing = tokio::spawn({
        let (store, claim) = (Arc::clone(&store), claim.clone());
        async move { store.commit(claim).await }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    // Within a transaction the first look would be the only one: Postgres keeps what it saw until the end of it.
    let mut watcher = support::connect(&name).await;
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut watcher).await.unwrap() == 0 {
        assert!(!committing.is_finished(), "the commit waits for the row");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    relay.cut.notify_waiters();
    let error = committing.await.unwrap().unwrap_err();
    let CommitError::Port(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), Kind::OutcomeUnknown, "{error}");
    // The server goes on with what it was told.
    support::execute(&mut other, "COMMIT").await;
    let written = "SELECT version FROM vehicles";
    while sqlx::query_scalar::<_, i64>(written).fetch_one(&mut other).await.unwrap() == 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_takes_two_round_trips_at_most() {
    const COMMITS: u32 = 20;
    for way in [Way::Direct, Way::Pooler] {
        let databases = Databases::new(way);
        let name = databases.empty().await;
        PostgresStore::migrate(&support::config(Way::Direct, &name)).await.unwrap();
        let (server, mode) = match way {
            Way::Direct => (support::url_of(&name), "session"),
            Way::Pooler => (url_of_pooler(&name), "transaction"),
        };
        let (user, host) = server.rsplit_once('@').unwrap();
        let relay = Relay::to(host.split('/').next().unwrap().to_owned()).await;
        let url = format!("{user}@{}/{name}?pool_mode={mode}&sslmode=disable", relay.address);
        let mut config: PostgresConfig = url.parse().unwrap();
        config.writers = 1;
        let store = PostgresStore::open(config).await.unwrap();
        // Opens the connection of the writer.
        let (mut journey, registered) = Journey::register(0, at(0));
        store.commit(registered).await.unwrap();
        let before = relay.round_trips.load(Ordering::SeqCst);
        for n in 1..COMMITS {
            store.commit(Journey::register(n, at(0)).1).await.unwrap();
        }
        let claim = journey.reserve(0, at(1));
        store.commit(claim.clone()).await.unwrap();
        let lost = store.commit(claim).await.unwrap_err();
        assert!(matches!(lost, CommitError::VersionConflict { .. }), "{lost}");
        let round_trips = relay.round_trips.load(Ordering::SeqCst) - before;
        // One each. A second one where the writer had nothing to do for so long that it asks whether its connection is there.
        let commits = COMMITS as usize + 1;
        assert!(
            (commits..=2 * commits).contains(&round_trips),
            "{way:?}: {commits} commits took {round_trips} round trips"
        );
        store.close().await;
    }
}
