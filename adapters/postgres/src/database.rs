//! The way to the server: which host takes writes, the pool of connections, and one statement on one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use rideplane_ports::{Kind, PortError};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Postgres, Transaction};
use tokio::time::timeout;

use crate::config::PostgresConfig;
use crate::failure::Failure;
use crate::rows::Result;

/// How long one host gets to show that it takes writes, when there are others.
const PROBE: Duration = Duration::from_secs(2);
/// How long the client waits beyond the server's own time-out: for an answer that is on its way.
const GRACE: Duration = Duration::from_secs(1);

/// The database, on whichever of its hosts takes writes.
pub(crate) struct Database {
    pub(crate) config: PostgresConfig,
    pool: RwLock<Pool>,
    host: RwLock<PgConnectOptions>,
    searching: AtomicBool,
    /// How many connections broke. Whatever broke one may have broken the others too, unnoticed.
    breaks: AtomicU64,
}

/// Connections made since so many had broken.
struct Pool {
    connections: PgPool,
    breaks: u64,
}

impl Database {
    /// Finds the host that takes writes.
    pub(crate) async fn open(config: PostgresConfig) -> Result<Arc<Self>> {
        let (host, connection) = find(&config, config.acquire_timeout.max(PROBE)).await?;
        drop(connection.close().await);
        Ok(Self::on(config, host))
    }

    /// A host that only reads, such as a standby.
    pub(crate) fn replica(config: &PostgresConfig) -> Option<Arc<Self>> {
        let host = options(config, config.hosts.first()?);
        let config = PostgresConfig { hosts: vec![host.clone()], ..config.clone() };
        Some(Self::on(config, host))
    }

    fn on(config: PostgresConfig, host: PgConnectOptions) -> Arc<Self> {
        let pool = RwLock::new(Pool { connections: pool(&config, host.clone()), breaks: 0 });
        Arc::new(Self {
            config,
            pool,
            host: RwLock::new(host),
            searching: AtomicBool::new(false),
            breaks: AtomicU64::new(0),
        })
    }

    /// Whether its host lets this user in.
    pub(crate) async fn greet(&self) -> Result<()> {
        let host = self.host.read().clone();
        let failure = match timeout(self.config.acquire_timeout, host.connect()).await {
            Ok(Ok(connection)) => {
                drop(connection.close().await);
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::PoolTimedOut,
        };
        Err(cannot_open(&self.config, &failure))
    }

    /// How many connections have broken so far: one that was made at a lower count is not to be trusted.
    pub(crate) fn breaks(&self) -> u64 {
        self.breaks.load(Ordering::Acquire)
    }

    /// A connection broke.
    pub(crate) fn broke(self: &Arc<Self>) {
        self.breaks.fetch_add(1, Ordering::AcqRel);
        self.look_elsewhere();
    }

    pub(crate) async fn close(&self) {
        self.pool().close().await;
    }

    /// The pool to the host that takes writes now, without a connection from before the last break.
    pub(crate) fn pool(&self) -> PgPool {
        let breaks = self.breaks();
        let known = self.pool.read();
        if known.breaks == breaks {
            return known.connections.clone();
        }
        drop(known);
        let host = self.host.read().clone();
        self.renew(host, breaks)
    }

    fn renew(&self, host: PgConnectOptions, breaks: u64) -> PgPool {
        let new = Pool { connections: pool(&self.config, host), breaks };
        let connections = new.connections.clone();
        let old = std::mem::replace(&mut *self.pool.write(), new);
        tokio::spawn(async move { old.connections.close().await });
        connections
    }

    /// One statement on a connection of the pool.
    pub(crate) async fn fetch(
        self: &Arc<Self>,
        sql: &'static str,
        arguments: PgArguments,
    ) -> std::result::Result<Vec<PgRow>, Failure> {
        match self.pool().acquire().await {
            Ok(mut connection) => {
                let result = exchange(&mut connection, &self.config, sql, arguments).await;
                if result.as_ref().is_err_and(Failure::is_broken) {
                    connection.close_on_drop();
                    self.broke();
                }
                result
            }
            Err(error) => {
                self.look_elsewhere();
                Err(Failure::NoConnection(error))
            }
        }
    }

    /// [`fetch`](Self::fetch) for a read. A connection that broke while nobody used it shows so only now: then it is read
    /// once more, on a new one.
    pub(crate) async fn read(
        self: &Arc<Self>,
        operation: &'static str,
        sql: &'static str,
        arguments: PgArguments,
    ) -> Result<Vec<PgRow>> {
        let result = match self.fetch(sql, arguments.clone()).await {
            Err(Failure::Lost(_)) => self.fetch(sql, arguments).await,
            result => result,
        };
        result.map_err(|failure| failure.nothing_was_done(operation))
    }

    /// A transaction in which every statement sees the same.
    pub(crate) async fn snapshot(&self, operation: &'static str) -> Result<Snapshot> {
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {}",
            self.config.statement_timeout.as_millis()
        );
        let transaction = self.pool().begin_with(AssertSqlSafe(begin)).await.map_err(failed(operation))?;
        Ok(Snapshot { transaction, persistent: !self.config.transaction_pooling })
    }

    /// A connection of one's own, to the host that takes writes.
    pub(crate) async fn connect(self: &Arc<Self>) -> std::result::Result<PgConnection, Failure> {
        let host = self.host.read().clone();
        let connected = timeout(self.config.acquire_timeout, host.connect()).await;
        let failure = match connected {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => Failure::NoConnection(error),
            Err(_) => Failure::NoConnection(sqlx::Error::PoolTimedOut),
        };
        self.look_elsewhere();
        Err(failure)
    }

    /// Looks for the host that takes writes now, unless somebody does already. Calls fail meanwhile, and are free to
    /// try again.
    pub(crate) fn look_elsewhere(self: &Arc<Self>) {
        if self.config.hosts.len() < 2 || self.searching.swap(true, Ordering::AcqRel) {
            return;
        }
        let database = Arc::clone(self);
        tokio::spawn(async move {
            if let Ok((host, connection)) = find(&database.config, PROBE).await {
                drop(connection.close().await);
                database.move_to(host);
            }
            database.searching.store(false, Ordering::Release);
        });
    }

    fn move_to(&self, host: PgConnectOptions) {
        let same = {
            let known = self.host.read();
            known.get_host() == host.get_host() && known.get_port() == host.get_port()
        };
        if same {
            return;
        }
        tracing::warn!(host = host.get_host(), port = host.get_port(), "another host takes writes now");
        *self.host.write() = host.clone();
        self.renew(host, self.breaks());
    }
}

/// See [`Database::snapshot`].
pub(crate) struct Snapshot {
    transaction: Transaction<'static, Postgres>,
    persistent: bool,
}

impl Snapshot {
    pub(crate) async fn read(
        &mut self,
        operation: &'static str,
        sql: &'static str,
        arguments: PgArguments,
    ) -> Result<Vec<PgRow>> {
        let query = sqlx::query_with(sql, arguments).persistent(self.persistent);
        query.fetch_all(&mut *self.transaction).await.map_err(failed(operation))
    }

    pub(crate) async fn end(self, operation: &'static str) -> Result<()> {
        self.transaction.rollback().await.map_err(failed(operation))
    }
}

fn failed(operation: &'static str) -> impl FnOnce(sqlx::Error) -> PortError {
    move |error| Failure::before_commit(error).nothing_was_done(operation)
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("address", &self.config.address()).finish_non_exhaustive()
    }
}

/// One statement in a transaction of its own, on a connection that nobody else uses.
pub(crate) async fn exchange(
    connection: &mut PgConnection,
    config: &PostgresConfig,
    sql: &'static str,
    arguments: PgArguments,
) -> std::result::Result<Vec<PgRow>, Failure> {
    let patience = config.statement_timeout + GRACE;
    let asked = async {
        if !config.transaction_pooling {
            let query = sqlx::query_with(sql, arguments);
            return query.fetch_all(connection).await.map_err(Failure::of_statement);
        }
        // A pooler keeps the connection together for one transaction only: what is prepared must be used within.
        let begin = format!("BEGIN; SET LOCAL statement_timeout = {}", config.statement_timeout.as_millis());
        let mut transaction =
            connection.begin_with(AssertSqlSafe(begin)).await.map_err(Failure::before_commit)?;
        let query = sqlx::query_with(sql, arguments).persistent(false);
        let rows = query.fetch_all(&mut *transaction).await.map_err(Failure::before_commit)?;
        transaction.commit().await.map_err(Failure::of_statement)?;
        Ok(rows)
    };
    timeout(patience, asked).await.unwrap_or(Err(Failure::Silent(patience)))
}

/// One statement without parameters, which is one round trip and one transaction also through a pooler: the server takes
/// what is sent together as a whole.
pub(crate) async fn exchange_text(
    connection: &mut PgConnection,
    config: &PostgresConfig,
    sql: &str,
) -> std::result::Result<Vec<PgRow>, Failure> {
    let patience = config.statement_timeout + GRACE;
    let text = format!("SET LOCAL statement_timeout = {}; {sql}", config.statement_timeout.as_millis());
    let asked = sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(connection);
    let rows = timeout(patience, asked).await.map_err(|_| Failure::Silent(patience))?;
    rows.map_err(Failure::of_statement)
}

fn pool(config: &PostgresConfig, host: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(config.max_connections.max(1))
        .acquire_timeout(config.acquire_timeout)
        .test_before_acquire(false)
        .connect_lazy_with(host)
}

/// The driver's settings for a host of the configuration.
fn options(config: &PostgresConfig, host: &PgConnectOptions) -> PgConnectOptions {
    let options =
        host.clone().application_name("rideplane").extra_float_digits(None).disable_statement_logging();
    if config.transaction_pooling {
        return options.statement_cache_capacity(0);
    }
    options.options([("statement_timeout", config.statement_timeout.as_millis().to_string())])
}

/// The first host that takes writes, with a connection to it.
pub(crate) async fn find(
    config: &PostgresConfig,
    patience: Duration,
) -> Result<(PgConnectOptions, PgConnection)> {
    let mut failed = None;
    for host in &config.hosts {
        let host = options(config, host);
        match timeout(patience, probe(&host)).await {
            Ok(Ok(Some(connection))) => return Ok((host, connection)),
            Ok(Ok(None)) => failed = failed.or(Some(standby(config))),
            Ok(Err(error)) => failed = Some(cannot_open(config, &error)),
            Err(_) => failed = Some(cannot_open(config, &sqlx::Error::PoolTimedOut)),
        }
    }
    Err(failed.unwrap_or_else(|| standby(config)))
}

async fn probe(host: &PgConnectOptions) -> sqlx::Result<Option<PgConnection>> {
    let mut connection = host.connect().await?;
    // Without a prepared statement: a pooler may stand in between.
    let row =
        sqlx::Executor::fetch_one(&mut connection, sqlx::raw_sql("SELECT NOT pg_is_in_recovery()")).await?;
    let takes_writes: bool = sqlx::Row::try_get(&row, 0)?;
    Ok(takes_writes.then_some(connection))
}

fn standby(config: &PostgresConfig) -> PortError {
    let message = format!("{config} only reads: it is a standby; name the primary, or all hosts");
    PortError::new(Kind::Unavailable, "store.open", message)
}

/// Why the database can't be opened, and what mends it.
pub(crate) fn cannot_open(config: &PostgresConfig, error: &sqlx::Error) -> PortError {
    let (kind, why) = match crate::failure::sqlstate(error).as_deref() {
        Some("28P01" | "28000") => {
            (Kind::Rejected, "user or password are wrong: check them in the store's URL".to_owned())
        }
        Some("3D000") => (Kind::Rejected, "there is no such database: create it, or name another".to_owned()),
        Some("53300") => (
            Kind::Unavailable,
            "it has no connection to spare: raise max_connections, or use a pooler".to_owned(),
        ),
        Some(code) => {
            let message = error.as_database_error().map_or("", |error| error.message());
            (Kind::Unavailable, format!("it answers {message} ({code})"))
        }
        None if matches!(error, sqlx::Error::PoolTimedOut) => {
            (Kind::Unavailable, "it does not answer: check host, port and firewall".to_owned())
        }
        None => (Kind::Unavailable, format!("it can't be reached: {error}; check that it runs")),
    };
    PortError::new(kind, "store.open", format!("{config} can't be opened, {why}"))
}
