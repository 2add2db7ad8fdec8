//! What the way through a pooler costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rideplane_ports::conformance::fixtures::{Journey, at};
use rideplane_ports::{CommitError, Store as _};
use rideplane_postgres::{PostgresConfig, PostgresStore};
use support::{Databases, Way, url_of_pooler};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A relay that counts how often the client speaks after the server did, or first: its round trips.
struct Relay {
    address: SocketAddr,
    round_trips: Arc<AtomicUsize>,
}

impl Relay {
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let round_trips = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&round_trips);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                relay(client, server, Arc::clone(&counted));
            }
        });
        Self { address, round_trips }
    }
}

fn relay(client: TcpStream, server: TcpStream, round_trips: Arc<AtomicUsize>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answered = Arc::new(AtomicBool::new(true));
    let answers = Arc::clone(&answered);
    tokio::spawn(async move {
        let mut bytes = vec![0; 65_536];
        while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
            if answered.swap(false, Ordering::SeqCst) {
                round_trips.fetch_add(1, Ordering::SeqCst);
            }
            to_server.write_all(&bytes[..count]).await.unwrap();
        }
    });
    tokio::spawn(async move {
        let mut bytes = vec![0; 65_536];
        while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
            // Before it is passed on: the client may speak at once.
            answers.store(true, Ordering::SeqCst);
            if to_client.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    });
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
