//! Databases of a test's own on the shared test server.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Mutex;
use std::time::Duration;

use rideplane_postgres::{PostgresConfig, PostgresStore};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};

const DIRECT: (&str, &str) =
    ("RIDEPLANE_TEST_POSTGRES", "postgres://rideplane:rideplane@127.0.0.1:55432/rideplane");
const POOLER: (&str, &str) =
    ("RIDEPLANE_TEST_PGBOUNCER", "postgres://rideplane:rideplane@127.0.0.1:56432/rideplane");

/// How a test reaches its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The server itself.
    Direct,
    /// PgBouncer in transaction mode.
    Pooler,
}

/// Databases that go when the test ends, however it ends.
pub(crate) struct Databases {
    way: Way,
    made: Mutex<Vec<String>>,
}

fn url((variable, default): (&str, &str)) -> String {
    std::env::var(variable).unwrap_or_else(|_| default.to_owned())
}

/// The URL of a database on the server itself.
pub(crate) fn url_of(database: &str) -> String {
    let url = url(DIRECT);
    let (server, _) = url.rsplit_once('/').expect("a URL names a database");
    format!("{server}/{database}")
}

/// The URL of a database through PgBouncer.
pub(crate) fn url_of_pooler(database: &str) -> String {
    let url = url(POOLER);
    let (server, _) = url.rsplit_once('/').expect("a URL names a database");
    format!("{server}/{database}")
}

/// A connection to a database of the server itself.
pub(crate) async fn connect(database: &str) -> PgConnection {
    let options: PgConnectOptions = url_of(database).parse().expect("a Postgres URL");
    options.disable_statement_logging().connect().await.unwrap_or_else(|error| {
        panic!("the test server does not answer ({error}): start it with `cargo xtask services up`")
    })
}

/// Runs statements, without parameters.
pub(crate) async fn execute(connection: &mut PgConnection, sql: &str) {
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(sql)))
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

impl Databases {
    pub(crate) fn new(way: Way) -> Self {
        Self { way, made: Mutex::default() }
    }

    /// An empty database, without a schema.
    pub(crate) async fn empty(&self) -> String {
        let name = unique();
        let mut server = connect("rideplane").await;
        execute(&mut server, &format!("CREATE DATABASE {name}")).await;
        drop(server.close().await);
        self.made.lock().unwrap().push(name.clone());
        name
    }

    /// Forgets what the database holds.
    pub(crate) async fn clear(&self, config: &PostgresConfig) {
        let name = config.address();
        let (_, name) = name.rsplit_once('/').expect("an address names a database");
        let mut server = connect(name).await;
        let sql: String = TABLES.iter().map(|table| format!("DELETE FROM {table};")).collect();
        execute(&mut server, &sql).await;
        drop(server.close().await);
    }

    /// A database with the schema of this build.
    pub(crate) async fn fresh(&self) -> PostgresConfig {
        let name = self.empty().await;
        PostgresStore::migrate(&config(Way::Direct, &name)).await.expect("the schema is made");
        config(self.way, &name)
    }
}

/// Every table that holds what a store was told.
const TABLES: [&str; 10] = [
    "vehicles",
    "bookings",
    "events",
    "outbox",
    "ledger",
    "idempotency",
    "telemetry",
    "listings",
    "profiles",
    "inbox",
];

/// How to open a database.
pub(crate) fn config(way: Way, database: &str) -> PostgresConfig {
    let url = match way {
        Way::Direct => url_of(database),
        Way::Pooler => {
            format!("{}?pool_mode=transaction", url_of_pooler(database))
        }
    };
    let mut config: PostgresConfig = url.parse().expect("a Postgres URL");
    config.max_connections = 4;
    config.acquire_timeout = Duration::from_secs(20);
    config.statement_timeout = Duration::from_secs(20);
    config
}

fn unique() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("entropy");
    format!("rideplane_test_{:016x}", u64::from_be_bytes(bytes))
}

impl Drop for Databases {
    fn drop(&mut self) {
        let names = std::mem::take(&mut *self.made.lock().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let ended = std::thread::spawn(move || {
            runtime.expect("a runtime").block_on(async {
                let mut server = connect("rideplane").await;
                for name in names {
                    execute(&mut server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
                }
            });
        });
        ended.join().expect("the databases are dropped");
    }
}
