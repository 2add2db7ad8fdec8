//! The schema's versions: each migration is applied once, whoever is first.

use rideplane_ports::{Kind, PortError};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};

use crate::config::PostgresConfig;
use crate::database::{cannot_open, find};
use crate::failure::sqlstate;
use crate::rows::Result;

/// The schema's history: all that are new are applied in one transaction; `rideplane_schema` remembers how many were.
pub(crate) const MIGRATIONS: [&str; 3] = [
    include_str!("../migrations/0001_initial.sql"),
    include_str!("../migrations/0002_commits_in_sets.sql"),
    include_str!("../migrations/0003_cheaper_batches.sql"),
];

/// Who migrates holds it: "RPLN".
const LOCK: i64 = 0x5250_4c4e;

/// A migration of a large table may take long, and may wait long for another process that does the same.
const NO_TIMEOUT: &str = "BEGIN; SET LOCAL statement_timeout = 0";

/// What a call of [`migrate`](crate::PostgresStore::migrate) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The schema's version before.
    pub from: usize,
    /// The schema's version now.
    pub to: usize,
}

pub(crate) async fn migrate(config: &PostgresConfig) -> Result<Migrated> {
    let (_, mut connection) = find(config, config.acquire_timeout).await?;
    let migrated = apply(config, &mut connection).await;
    drop(connection.close().await);
    migrated
}

async fn apply(config: &PostgresConfig, connection: &mut PgConnection) -> Result<Migrated> {
    let failed = |error: sqlx::Error| cannot_migrate(config, &error);
    let mut transaction = connection.begin_with(NO_TIMEOUT).await.map_err(failed)?;
    let lock = format!("SELECT pg_advisory_xact_lock({LOCK})");
    transaction.execute(sqlx::raw_sql(AssertSqlSafe(lock))).await.map_err(failed)?;
    let from = found(config, &mut transaction).await?;
    for script in MIGRATIONS.iter().skip(from) {
        transaction.execute(sqlx::raw_sql(*script)).await.map_err(failed)?;
    }
    if from < MIGRATIONS.len() {
        let to = MIGRATIONS.len();
        let remember = format!(
            "CREATE TABLE IF NOT EXISTS rideplane_schema (version integer NOT NULL, applied_at timestamptz NOT NULL);
             INSERT INTO rideplane_schema SELECT n, now() FROM generate_series({}, {to}) n",
            from + 1
        );
        transaction.execute(sqlx::raw_sql(AssertSqlSafe(remember))).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    Ok(Migrated { from, to: MIGRATIONS.len() })
}

/// Whether the schema is the one of this build.
pub(crate) async fn check(config: &PostgresConfig) -> Result<()> {
    let (_, mut connection) = find(config, config.acquire_timeout).await?;
    let found = found(config, &mut connection).await;
    drop(connection.close().await);
    let version = found?;
    if version < MIGRATIONS.len() {
        let message = format!(
            "{config} has schema version {version}, this build needs version {}: run `rideplane migrate` on it",
            MIGRATIONS.len()
        );
        return Err(PortError::new(Kind::Rejected, "store.open", message));
    }
    Ok(())
}

/// How many migrations the database has seen; refuses one that is another's or newer.
async fn found(config: &PostgresConfig, connection: &mut PgConnection) -> Result<usize> {
    let failed = |error: sqlx::Error| cannot_open(config, &error);
    let sql = "SELECT to_regclass('rideplane_schema') IS NOT NULL, to_regclass('bookings') IS NOT NULL";
    let row: PgRow = connection.fetch_one(sqlx::raw_sql(sql)).await.map_err(failed)?;
    let (ours, taken): (bool, bool) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
    if !ours {
        if taken {
            let message = format!("{config} is the database of another program: name another one");
            return Err(PortError::new(Kind::Rejected, "store.open", message));
        }
        return Ok(0);
    }
    let sql = "SELECT coalesce(max(version), 0) FROM rideplane_schema";
    let row = connection.fetch_one(sqlx::raw_sql(sql)).await.map_err(failed)?;
    let version = usize::try_from(row.try_get::<i32, _>(0).map_err(failed)?).unwrap_or(0);
    if version > MIGRATIONS.len() {
        let message = format!(
            "{config} has schema version {version}, this build knows up to version {}: run a newer rideplane on it",
            MIGRATIONS.len()
        );
        return Err(PortError::new(Kind::Rejected, "store.open", message));
    }
    Ok(version)
}

fn cannot_migrate(config: &PostgresConfig, error: &sqlx::Error) -> PortError {
    let message = error.as_database_error().map_or("", |error| error.message());
    let why = match sqlstate(error).as_deref() {
        Some("0A000" | "58P01" | "42704") if message.contains("postgis") => {
            "PostGIS is not installed on its server: install the package postgresql-15-postgis-3, or its like"
        }
        Some("42501") if message.contains("extension") => {
            "PostGIS is missing in it and this user may not add it: let a superuser run `CREATE EXTENSION postgis` in it, once"
        }
        Some("42501") => {
            "the user may not change the schema: let the owner of the database run `rideplane migrate`"
        }
        _ => return cannot_open(config, error),
    };
    PortError::new(Kind::Rejected, "store.migrate", format!("{config} can't be brought up to date, {why}"))
}
