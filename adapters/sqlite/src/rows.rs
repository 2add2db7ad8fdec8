//! Between rows and values: every value that is not what was written is [`Kind::Corrupt`], never a panic.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use rideplane_core::charge::Charge;
use rideplane_core::geo::Point;
use rideplane_core::ids::{BookingId, VehicleId, Version};
use rideplane_core::money::{Currency, Money};
use rideplane_core::time::Timestamp;
use rideplane_ports::{
    AggregateKey, Envelope, IdempotencyRecord, Kind, LedgerEntry, PortError, Stored, Telemetry,
};
use rusqlite::types::FromSql;
use rusqlite::{Connection, Params};
use serde::de::DeserializeOwned;

/// The result of a port.
pub(crate) type Result<T> = std::result::Result<T, PortError>;

/// Who reads which table: what an error names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) operation: &'static str,
    pub(crate) table: &'static str,
}

impl Source {
    pub(crate) const fn new(operation: &'static str, table: &'static str) -> Self {
        Self { operation, table }
    }

    /// Every row that the statement finds, in its order.
    pub(crate) fn all<T>(
        self,
        connection: &Connection,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let failed = |error| failed_read(self.operation, &error);
        let mut statement = connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(params).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            found.push(read(&Row { row, source: self })?);
        }
        Ok(found)
    }

    /// The first row that the statement finds.
    pub(crate) fn first<T>(
        self,
        connection: &Connection,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let failed = |error| failed_read(self.operation, &error);
        let mut statement = connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(params).map_err(failed)?;
        let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
        read(&Row { row, source: self }).map(Some)
    }
}

/// A row whose first column is its id.
#[derive(Clone, Copy)]
pub(crate) struct Row<'r> {
    row: &'r rusqlite::Row<'r>,
    source: Source,
}

impl Row<'_> {
    /// The error that names table, row and column. Never the value: it may be a person's.
    pub(crate) fn corrupt(&self, column: usize, why: impl Display) -> PortError {
        let name = self.row.as_ref().column_name(column).unwrap_or("?");
        let id = self.row.get_ref(0).ok().and_then(|id| id.as_str().ok()).unwrap_or("?");
        let message = format!(
            "the row {id} of table {} is corrupt: its {name} {why}; restore the file from a backup",
            self.source.table
        );
        PortError::new(Kind::Corrupt, self.source.operation, message)
    }

    pub(crate) fn get<T: FromSql>(&self, column: usize) -> Result<T> {
        self.row.get(column).map_err(|_| self.wrong_type(column))
    }

    pub(crate) fn text(&self, column: usize) -> Result<&str> {
        let value = self.row.get_ref(column).map_err(|_| self.wrong_type(column))?;
        value.as_str().map_err(|_| self.wrong_type(column))
    }

    fn wrong_type(&self, column: usize) -> PortError {
        self.corrupt(column, "is missing or of another type")
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: usize) -> Result<T> {
        serde_json::from_str(self.text(column)?).map_err(|error| {
            let why =
                format!("is not the JSON expected ({:?} at column {})", error.classify(), error.column());
            self.corrupt(column, why)
        })
    }

    pub(crate) fn parse<T: FromStr>(&self, column: usize) -> Result<T> {
        self.text(column)?.parse().map_err(|_| self.corrupt(column, "can't be read"))
    }

    pub(crate) fn number<T: TryFrom<i64>>(&self, column: usize) -> Result<T> {
        T::try_from(self.get(column)?).map_err(|_| self.corrupt(column, "is out of range"))
    }

    pub(crate) fn optional<T: TryFrom<i64>>(&self, column: usize) -> Result<Option<T>> {
        match self.get::<Option<i64>>(column)? {
            Some(_) => self.number(column).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn version(&self, column: usize) -> Result<Version> {
        self.number(column).map(Version)
    }

    pub(crate) fn time(&self, column: usize) -> Result<Timestamp> {
        self.get(column).map(Timestamp::from_micros)
    }

    /// `version, state` from `column` on.
    pub(crate) fn stored<T: DeserializeOwned>(&self, column: usize) -> Result<Stored<T>> {
        Ok(Stored { version: self.version(column)?, state: Arc::new(self.json(column + 1)?) })
    }

    /// A key of two columns.
    pub(crate) fn key(&self, kind: usize, id: usize) -> Result<AggregateKey> {
        match self.text(kind)? {
            "booking" => Ok(AggregateKey::Booking(self.parse::<BookingId>(id)?)),
            "vehicle" => Ok(AggregateKey::Vehicle(self.parse::<VehicleId>(id)?)),
            _ => Err(self.corrupt(kind, "is neither booking nor vehicle")),
        }
    }
}

/// The columns of [`event`].
pub(crate) const EVENT: &str = "aggregate_id, aggregate_type, aggregate_version, topic, name, at, data";

pub(crate) fn event(row: &Row<'_>) -> Result<Envelope> {
    Ok(Envelope {
        topic: row.parse(3)?,
        aggregate: row.key(1, 0)?,
        version: row.version(2)?,
        name: row.get(4)?,
        at: row.time(5)?,
        data: row.get(6)?,
    })
}

/// The columns of [`posting`].
pub(crate) const POSTING: &str = "booking_id, version, account, minor, currency, at";

pub(crate) fn posting(row: &Row<'_>) -> Result<LedgerEntry> {
    Ok(LedgerEntry {
        booking_id: row.parse(0)?,
        version: row.version(1)?,
        account: row.parse(2)?,
        amount: Money::from_minor(row.get(3)?, row.parse::<Currency>(4)?),
        at: row.time(5)?,
    })
}

/// `last_reported` and what follows it, from `column` on; `None` when the vehicle never reported.
pub(crate) fn telemetry(row: &Row<'_>, vehicle_id: VehicleId, column: usize) -> Result<Option<Telemetry>> {
    let Some(last_reported) = row.get::<Option<i64>>(column)? else {
        return Ok(None);
    };
    let position = match (row.get::<Option<f64>>(column + 1)?, row.get::<Option<f64>>(column + 2)?) {
        (Some(lat), Some(lon)) => Some(
            Point::new(lat, lon)
                .map_err(|_| row.corrupt(column + 1, "and lon are not a place on the earth"))?,
        ),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(row.corrupt(column + 1, "or lon is missing")),
    };
    Ok(Some(Telemetry {
        vehicle_id,
        position,
        charge: row.optional::<u16>(column + 3)?.map(Charge::from_basis_points),
        range_m: row.optional(column + 4)?,
        last_reported: Timestamp::from_micros(last_reported),
    }))
}

/// `user_id, key, request_hash, booking_id, locked_until, status, body`.
pub(crate) fn idempotency(row: &Row<'_>) -> Result<IdempotencyRecord> {
    let request_hash =
        row.get::<[u8; 32]>(2).map_err(|_| row.corrupt(2, "is not a SHA-256 hash of 32 bytes"))?;
    Ok(match row.optional::<u16>(5)? {
        Some(status) => IdempotencyRecord::Done { request_hash, status, body: row.get(6)? },
        None => IdempotencyRecord::InFlight {
            request_hash,
            booking_id: row.parse(3)?,
            locked_until: row.time(4)?,
        },
    })
}

/// A failed read: nothing was done.
pub(crate) fn failed_read(operation: &'static str, error: &rusqlite::Error) -> PortError {
    let (kind, what) = match primary_code(error) {
        Some(SQLITE_CORRUPT | SQLITE_NOTADB) => {
            (Kind::Corrupt, "the database file is damaged; restore it from a backup")
        }
        Some(_) | None => (Kind::Unavailable, "the database can't be read"),
    };
    PortError::new(kind, operation, format!("{what}: {error}"))
}

pub(crate) const SQLITE_BUSY: i32 = 5;
pub(crate) const SQLITE_CORRUPT: i32 = 11;
pub(crate) const SQLITE_FULL: i32 = 13;
pub(crate) const SQLITE_CONSTRAINT: i32 = 19;
pub(crate) const SQLITE_NOTADB: i32 = 26;

/// SQLite's primary result code, when SQLite it was that failed.
pub(crate) fn primary_code(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code & 0xff)
}
