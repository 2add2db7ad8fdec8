//! Reads of single rows that memory could not answer: those that wait are read together.
//!
//! A statement costs two switches of threads, and after each commit a reading connection begins with an empty page cache:
//! both are more than the row. So one task takes all the lookups that are waiting and asks once for each table. Whoever
//! asks alone is answered at once.

use rideplane_ports::{Kind, PortError};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _, SqlitePool};
use tokio::sync::{mpsc, oneshot};

use crate::rows::{self, Result, why_failed};

/// How many lookups may wait before callers wait to be heard, and how many are read together.
const QUEUE: usize = 1024;
const TOGETHER: usize = 256;

/// Where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Vehicles,
    Bookings,
    Telemetry,
    Idempotency,
    Profiles,
    Inbox,
}

const TABLES: [Table; 6] =
    [Table::Vehicles, Table::Bookings, Table::Telemetry, Table::Idempotency, Table::Profiles, Table::Inbox];

impl Table {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Vehicles => "vehicles",
            Self::Bookings => "bookings",
            Self::Telemetry => "telemetry",
            Self::Idempotency => "idempotency",
            Self::Profiles => "profiles",
            Self::Inbox => "inbox",
        }
    }

    const fn operation(self) -> &'static str {
        match self {
            Self::Vehicles => "store.vehicle",
            Self::Bookings => "store.booking",
            Self::Telemetry => "store.telemetry",
            Self::Idempotency => "store.idempotency",
            Self::Profiles => "store.profile",
            Self::Inbox => "inbox.is_handled",
        }
    }

    /// Of an array of keys, each an array of strings. The last column is the place of the key.
    fn sql(self) -> String {
        let (columns, on) = match self {
            Self::Vehicles | Self::Bookings => ("t.id, t.version, t.state", "t.id = x.value ->> 0"),
            Self::Telemetry => (rows::TELEMETRY, "t.vehicle_id = x.value ->> 0"),
            Self::Idempotency => (rows::IDEMPOTENCY, "t.user_id = x.value ->> 0 AND t.key = x.value ->> 1"),
            Self::Profiles => ("t.user_id, t.profile", "t.user_id = x.value ->> 0"),
            Self::Inbox => ("t.event_id", "t.consumer = x.value ->> 0 AND t.event_id = x.value ->> 1"),
        };
        format!("SELECT {columns}, x.key FROM json_each(?1) x CROSS JOIN {} t ON {on}", self.name())
    }
}

/// A question and who waits for its answer.
#[derive(Debug)]
struct Lookup {
    table: Table,
    key: Vec<String>,
    answer: oneshot::Sender<Result<Option<SqliteRow>>>,
}

/// Where lookups are asked.
#[derive(Clone, Debug)]
pub(crate) struct Lookups(mpsc::Sender<Lookup>);

impl Lookups {
    /// Starts the task. It ends with the last [`Lookups`].
    pub(crate) fn start(pool: SqlitePool) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(run(pool, receiver));
        Self(sender)
    }

    /// The row with this key, as it was at some moment after the call.
    pub(crate) async fn row(&self, table: Table, key: &[&str]) -> Result<Option<SqliteRow>> {
        let gone = || PortError::new(Kind::Unavailable, table.operation(), "the store is closed");
        let (answer, waiting) = oneshot::channel();
        let key = key.iter().map(|part| (*part).to_owned()).collect();
        self.0.send(Lookup { table, key, answer }).await.map_err(|_| gone())?;
        waiting.await.map_err(|_| gone())?
    }
}

async fn run(pool: SqlitePool, mut waiting: mpsc::Receiver<Lookup>) {
    let sql = TABLES.map(|table| (table, table.sql()));
    let mut lookups = Vec::new();
    while waiting.recv_many(&mut lookups, TOGETHER).await > 0 {
        for (table, sql) in &sql {
            let asked: Vec<Lookup> = lookups.extract_if(.., |lookup| lookup.table == *table).collect();
            if !asked.is_empty() {
                answer(&pool, *table, sql, asked).await;
            }
        }
    }
}

async fn answer(pool: &SqlitePool, table: Table, sql: &str, asked: Vec<Lookup>) {
    let mut found: Vec<Option<SqliteRow>> = asked.iter().map(|_| None).collect();
    let read = read(pool, sql, &asked, &mut found).await;
    let failure = read.err().map(|error| why_failed(&error));
    for (lookup, row) in asked.into_iter().zip(found) {
        let answer = match &failure {
            None => Ok(row),
            Some((kind, message)) => Err(PortError::new(*kind, table.operation(), message.clone())),
        };
        // Who no longer waits does not need the answer.
        drop(lookup.answer.send(answer));
    }
}

async fn read(
    pool: &SqlitePool,
    sql: &str,
    asked: &[Lookup],
    found: &mut [Option<SqliteRow>],
) -> sqlx::Result<()> {
    let keys: Vec<&[String]> = asked.iter().map(|lookup| lookup.key.as_slice()).collect();
    let keys = serde_json::to_string(&keys).map_err(|error| sqlx::Error::Encode(error.into()))?;
    for row in sqlx::query(AssertSqlSafe(sql)).bind(keys).fetch_all(pool).await? {
        let place: i64 = row.try_get(row.len() - 1)?;
        if let Some(slot) = usize::try_from(place).ok().and_then(|place| found.get_mut(place)) {
            *slot = Some(row);
        }
    }
    Ok(())
}
