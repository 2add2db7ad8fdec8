//! Opening the file: the lock, the settings, the schema.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rideplane_ports::{Kind, PortError};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};

use crate::config::{Durability, SqliteConfig};
use crate::rows::{Result, SQLITE_NOTADB, primary_code};

/// The schema's history: each is applied once, in its own transaction; `user_version` remembers how many were.
const MIGRATIONS: [&str; 2] =
    [include_str!("../migrations/0001_initial.sql"), include_str!("../migrations/0002_outbox.sql")];

/// "RPLN" in SQLite's header: whose file this is.
const APPLICATION_ID: i64 = 0x5250_4c4e;

/// How long a store that was dropped a moment ago gets to let go of the file.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

const OPEN: &str = "store.open";

/// Takes the lock that makes this process the only writer. Held as long as the file is open.
pub(crate) async fn lock(database: &Path) -> Result<File> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(|error| {
        let message = format!("can't make the lock file {}: {error}", path.display());
        PortError::new(Kind::Unavailable, OPEN, message)
    })?;
    let started = std::time::Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_PATIENCE => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(TryLockError::WouldBlock) => {
                let message = format!(
                    "another process writes to {} and holds {}: stop it first, or open read-only",
                    database.display(),
                    path.display()
                );
                return Err(PortError::new(Kind::Conflict, OPEN, message));
            }
            Err(TryLockError::Error(error)) => {
                let message = format!(
                    "can't lock {}: {error}; put the database on a file system with locks",
                    path.display()
                );
                return Err(PortError::new(Kind::Unavailable, OPEN, message));
            }
        }
    }
}

/// The settings of the one connection that writes.
pub(crate) fn write_options(config: &SqliteConfig) -> SqliteConnectOptions {
    let synchronous = match config.durability {
        Durability::PowerLoss => SqliteSynchronous::Full,
        Durability::ProcessCrash => SqliteSynchronous::Normal,
    };
    SqliteConnectOptions::new()
        .filename(&config.path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(Duration::from_secs(5))
        // 32 MB of log between check-points, each of which syncs the file.
        .pragma("wal_autocheckpoint", "8000")
        .pragma("journal_size_limit", "67108864")
        .pragma("cache_size", "-32000")
        // A statement of many rows keeps what it must undo when it fails halfway: without this in a file of its own.
        .pragma("temp_store", "MEMORY")
        .statement_cache_capacity(1024)
        .disable_statement_logging()
}

/// The connections that read.
pub(crate) async fn read_pool(path: &Path, readers: u32) -> Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        // A full buffer stops the reading thread: pages of events are larger than sqlx's 50 rows.
        .row_buffer_size(1024)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(readers.max(1))
        .min_connections(1)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await
        .map_err(|error| cannot_open(path, &error))
}

/// Connects for writing and brings the schema up to date.
pub(crate) async fn connect(config: &SqliteConfig) -> Result<SqliteConnection> {
    let path = &config.path;
    let options = write_options(config);
    let mut connection = options.connect().await.map_err(|error| cannot_open(path, &error))?;
    let found = found(&mut connection, path).await?;
    for (script, version) in MIGRATIONS.iter().zip(1_usize..).skip(found) {
        let script = format!(
            "BEGIN IMMEDIATE;\n{script}\nPRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {version};\nCOMMIT;"
        );
        connection
            .execute(sqlx::raw_sql(AssertSqlSafe(script)))
            .await
            .map_err(|error| cannot_open(path, &error))?;
    }
    Ok(connection)
}

/// Checks the schema for reading.
pub(crate) async fn check(pool: &SqlitePool, path: &Path) -> Result<()> {
    let mut connection = pool.acquire().await.map_err(|error| cannot_open(path, &error))?;
    let found = found(&mut connection, path).await?;
    if found < MIGRATIONS.len() {
        let message = format!(
            "{} has schema version {found}, this build reads version {}: open it for writing once to bring it up to date",
            path.display(),
            MIGRATIONS.len()
        );
        return Err(PortError::new(Kind::Rejected, OPEN, message));
    }
    Ok(())
}

/// How many migrations the file has seen; refuses a file that is another's or newer.
async fn found(connection: &mut SqliteConnection, path: &Path) -> Result<usize> {
    let (version, application, tables): (i64, i64, i64) = sqlx::query_as(
        "SELECT v.user_version, a.application_id, (SELECT count(*) FROM sqlite_schema)
         FROM pragma_user_version v, pragma_application_id a",
    )
    .fetch_one(connection)
    .await
    .map_err(|error| cannot_open(path, &error))?;
    if application != APPLICATION_ID && (tables > 0 || version != 0) {
        let message = format!("{} is the database of another program: name another file", path.display());
        return Err(PortError::new(Kind::Rejected, OPEN, message));
    }
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    if version > MIGRATIONS.len() {
        let message = format!(
            "{} has schema version {version}, this build knows up to version {}: run a newer rideplane on it",
            path.display(),
            MIGRATIONS.len()
        );
        return Err(PortError::new(Kind::Rejected, OPEN, message));
    }
    Ok(version)
}

fn cannot_open(path: &Path, error: &sqlx::Error) -> PortError {
    if primary_code(error) == Some(SQLITE_NOTADB) {
        let message = format!("{} is not an SQLite database: name another file", path.display());
        return PortError::new(Kind::Corrupt, OPEN, message);
    }
    PortError::new(Kind::Unavailable, OPEN, format!("can't open {}: {error}", path.display()))
}
