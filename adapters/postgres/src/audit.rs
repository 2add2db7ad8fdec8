//! Everything there is: each page is one snapshot of the database.

use std::collections::HashMap;

use async_trait::async_trait;
use rideplane_core::ids::BookingId;
use rideplane_ports::{AggregateDump, AggregateKey, AuditSource, Envelope, LedgerEntry, PortError};
use sqlx::postgres::PgRow;

use crate::database::Snapshot;
use crate::rows::{self, Row, arguments};
use crate::store::at_most;
use crate::{PostgresStore, sql};

const OPERATION: &str = "audit.aggregates";

#[async_trait]
impl AuditSource for PostgresStore {
    async fn aggregates(
        &self,
        after: Option<&AggregateKey>,
        limit: usize,
    ) -> Result<Vec<AggregateDump>, PortError> {
        let mut snapshot = self.database.snapshot(OPERATION).await?;
        let mut dumps = match after {
            None => bookings(&mut snapshot, None, limit).await?,
            Some(AggregateKey::Booking(id)) => bookings(&mut snapshot, Some(id.to_string()), limit).await?,
            Some(AggregateKey::Vehicle(_)) => Vec::new(),
        };
        let rest = limit - dumps.len().min(limit);
        if rest > 0 {
            let after = match after {
                Some(AggregateKey::Vehicle(id)) => Some(id.to_string()),
                Some(AggregateKey::Booking(_)) | None => None,
            };
            dumps.extend(vehicles(&mut snapshot, after, rest).await?);
        }
        snapshot.end(OPERATION).await?;
        Ok(dumps)
    }
}

/// Bookings come before vehicles and sort by their UUID's bytes: the order of [`AggregateKey`].
async fn bookings(
    snapshot: &mut Snapshot,
    after: Option<String>,
    limit: usize,
) -> Result<Vec<AggregateDump>, PortError> {
    let found =
        snapshot.read(OPERATION, sql::AUDIT_BOOKINGS, arguments!(OPERATION, after, at_most(limit))).await?;
    let mut dumps = dumps(&found, "bookings")?;
    with_events(snapshot, "booking", &mut dumps).await?;
    let (Some(first), Some(last)) = (dumps.first(), dumps.last()) else { return Ok(dumps) };
    let arguments = arguments!(OPERATION, first.key.id(), last.key.id());
    let mut ledger: HashMap<BookingId, Vec<LedgerEntry>> = HashMap::new();
    for row in snapshot.read(OPERATION, sql::AUDIT_LEDGER, arguments).await? {
        let entry = rows::posting(&Row::new(&row, OPERATION, "ledger"))?;
        ledger.entry(entry.booking_id).or_default().push(entry);
    }
    for dump in &mut dumps {
        if let AggregateKey::Booking(id) = &dump.key {
            dump.ledger = ledger.remove(id).unwrap_or_default();
        }
    }
    Ok(dumps)
}

async fn vehicles(
    snapshot: &mut Snapshot,
    after: Option<String>,
    limit: usize,
) -> Result<Vec<AggregateDump>, PortError> {
    let found =
        snapshot.read(OPERATION, sql::AUDIT_VEHICLES, arguments!(OPERATION, after, at_most(limit))).await?;
    let mut dumps = dumps(&found, "vehicles")?;
    with_events(snapshot, "vehicle", &mut dumps).await?;
    Ok(dumps)
}

fn dumps(found: &[PgRow], table: &'static str) -> Result<Vec<AggregateDump>, PortError> {
    let dump = |row: &PgRow| {
        let row = Row::new(row, OPERATION, table);
        Ok(AggregateDump {
            key: row.key(1, 0)?,
            version: row.version(2)?,
            state: row.get(3)?,
            events: Vec::new(),
            ledger: Vec::new(),
        })
    };
    found.iter().map(dump).collect()
}

async fn with_events(
    snapshot: &mut Snapshot,
    kind: &'static str,
    dumps: &mut [AggregateDump],
) -> Result<(), PortError> {
    let (Some(first), Some(last)) = (dumps.first(), dumps.last()) else { return Ok(()) };
    let arguments = arguments!(OPERATION, kind, first.key.id(), last.key.id());
    let mut events: HashMap<AggregateKey, Vec<Envelope>> = HashMap::new();
    for row in snapshot.read(OPERATION, sql::AUDIT_EVENTS, arguments).await? {
        let event = rows::event(&Row::new(&row, OPERATION, "events"))?;
        events.entry(event.aggregate.clone()).or_default().push(event);
    }
    for dump in dumps {
        dump.events = events.remove(&dump.key).unwrap_or_default();
    }
    Ok(())
}
