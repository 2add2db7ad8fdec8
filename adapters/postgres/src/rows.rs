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
use serde::de::DeserializeOwned;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments as _, Column as _, Decode, Encode, Postgres, Row as _, Type};

/// The result of a port.
pub(crate) type Result<T> = std::result::Result<T, PortError>;

/// A row whose first column is its id.
#[derive(Clone, Copy)]
pub(crate) struct Row<'r> {
    row: &'r PgRow,
    operation: &'static str,
    table: &'static str,
}

impl<'r> Row<'r> {
    pub(crate) const fn new(row: &'r PgRow, operation: &'static str, table: &'static str) -> Self {
        Self { row, operation, table }
    }

    /// The error that names table, row and column. Never the value: it may be a person's.
    pub(crate) fn corrupt(&self, column: usize, why: impl Display) -> PortError {
        let name = self.row.columns().get(column).map_or("?", |column| column.name());
        let id = self.row.try_get::<&str, _>(0).unwrap_or("?");
        let message = format!(
            "the row {id} of table {} is corrupt: its {name} {why}; restore the database from a backup",
            self.table
        );
        PortError::new(Kind::Corrupt, self.operation, message)
    }

    pub(crate) fn get<T: Decode<'r, Postgres> + Type<Postgres>>(&self, column: usize) -> Result<T> {
        self.row.try_get(column).map_err(|_| self.corrupt(column, "is missing or of another type"))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: usize) -> Result<T> {
        serde_json::from_str(self.get(column)?).map_err(|error| {
            let why =
                format!("is not the JSON expected ({:?} at column {})", error.classify(), error.column());
            self.corrupt(column, why)
        })
    }

    pub(crate) fn parse<T: FromStr>(&self, column: usize) -> Result<T> {
        self.get::<&str>(column)?.parse().map_err(|_| self.corrupt(column, "can't be read"))
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
        match self.get::<&str>(kind)? {
            "booking" => Ok(AggregateKey::Booking(self.parse::<BookingId>(id)?)),
            "vehicle" => Ok(AggregateKey::Vehicle(self.parse::<VehicleId>(id)?)),
            _ => Err(self.corrupt(kind, "is neither booking nor vehicle")),
        }
    }
}

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

pub(crate) fn posting(row: &Row<'_>) -> Result<LedgerEntry> {
    Ok(LedgerEntry {
        booking_id: row.parse(0)?,
        version: row.version(1)?,
        account: row.parse(2)?,
        amount: Money::from_minor(row.get(3)?, row.parse::<Currency>(4)?),
        at: row.time(5)?,
    })
}

/// From `column` on; `None` when the vehicle never reported.
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

pub(crate) fn idempotency(row: &Row<'_>) -> Result<IdempotencyRecord> {
    let request_hash =
        row.get::<&[u8]>(2)?.try_into().map_err(|_| row.corrupt(2, "is not a SHA-256 hash of 32 bytes"))?;
    Ok(match row.optional::<u16>(5)? {
        Some(status) => IdempotencyRecord::Done { request_hash, status, body: row.get(6)? },
        None => IdempotencyRecord::InFlight {
            request_hash,
            booking_id: row.parse(3)?,
            locked_until: row.time(4)?,
        },
    })
}

/// Binds a value.
pub(crate) fn bind<'q, T>(operation: &'static str, arguments: &mut PgArguments, value: T) -> Result<()>
where
    T: Encode<'q, Postgres> + Type<Postgres>,
{
    arguments.add(value).map_err(|error| unbindable(operation, &error))
}

/// A value that the driver can't send.
pub(crate) fn unbindable(operation: &'static str, error: &BoxDynError) -> PortError {
    PortError::new(Kind::Rejected, operation, format!("nothing was done, a value can't be stored: {error}"))
}

/// The arguments of a statement, in order; leaves with an error when one can't be sent.
macro_rules! arguments {
    ($operation:expr, $($value:expr),+ $(,)?) => {{
        let mut arguments = sqlx::postgres::PgArguments::default();
        $($crate::rows::bind($operation, &mut arguments, $value)?;)+
        arguments
    }};
}
pub(crate) use arguments;
