//! Opening the file: the lock, the settings, the schema.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rideplane_ports::{Kind, PortError};
use rusqlite::{Connection, OpenFlags};

use crate::config::{Durability, SqliteConfig};
use crate::rows::{Result, SQLITE_NOTADB, primary_code};

/// The schema's history: each is applied once, in its own transaction; `user_version` remembers how many were.
const MIGRATIONS: [&str; 2] =
    [include_str!("../migrations/0001_initial.sql"), include_str!("../migrations/0002_outbox.sql")];

/// "RPLN" in SQLite's header: whose file this is.
const APPLICATION_ID: i64 = 0x5250_4c4e;

/// How long a store that was dropped a moment ago gets to let go of the file.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// How long a statement waits for a check-point of another process.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than there are statements: each is prepared once.
const STATEMENTS: usize = 64;

const OPEN: &str = "store.open";

/// Takes the lock that makes this process the only writer. Held as long as the file is open.
pub(crate) fn lock(database: &Path) -> Result<File> {
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
                std::thread::sleep(Duration::from_millis(10));
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

/// Connects for writing and brings the schema up to date.
pub(crate) fn connect(config: &SqliteConfig) -> Result<Connection> {
    let path = &config.path;
    let connect = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        configure(&connection, config.durability)?;
        Ok(connection)
    };
    let connection = connect().map_err(|error| cannot_open(path, &error))?;
    let found = found(&connection, path)?;
    for (script, version) in MIGRATIONS.iter().zip(1_usize..).skip(found) {
        let script = format!(
            "BEGIN IMMEDIATE;\n{script}\nPRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {version};\nCOMMIT;"
        );
        connection.execute_batch(&script).map_err(|error| cannot_open(path, &error))?;
    }
    Ok(connection)
}

/// The settings of the one connection that writes.
fn configure(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let synchronous = match durability {
        Durability::PowerLoss => "FULL",
        Durability::ProcessCrash => "NORMAL",
    };
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    // 32 MB of log between check-points, each of which syncs the file.
    connection.pragma_update(None, "wal_autocheckpoint", 8_000)?;
    connection.pragma_update(None, "journal_size_limit", 67_108_864)?;
    // A commit that split a page walks the whole table of cached pages (`sqlite3PcacheTruncate`), so a large cache costs
    // each of them more than the pages beyond 8 MB save; those come from the system's cache.
    connection.pragma_update(None, "cache_size", -8_000)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// A connection that reads.
pub(crate) fn reader(path: &Path) -> Result<Connection> {
    let connect = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    };
    connect().map_err(|error| cannot_open(path, &error))
}

/// Checks the schema for reading.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<()> {
    let found = found(connection, path)?;
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
fn found(connection: &Connection, path: &Path) -> Result<usize> {
    let sql = "SELECT v.user_version, a.application_id, (SELECT count(*) FROM sqlite_schema)
               FROM pragma_user_version v, pragma_application_id a";
    let (version, application, tables): (i64, i64, i64) = connection
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
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

fn cannot_open(path: &Path, error: &rusqlite::Error) -> PortError {
    if primary_code(error) == Some(SQLITE_NOTADB) {
        let message = format!("{} is not an SQLite database: name another file", path.display());
        return PortError::new(Kind::Corrupt, OPEN, message);
    }
    PortError::new(Kind::Unavailable, OPEN, format!("can't open {}: {error}", path.display()))
}
