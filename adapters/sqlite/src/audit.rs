//! Everything there is: each page is one snapshot of the file.

use std::collections::HashMap;

use async_trait::async_trait;
use rideplane_core::ids::BookingId;
use rideplane_ports::{AggregateDump, AggregateKey, AuditSource, Envelope, LedgerEntry, PortError};
use rusqlite::{Connection, params};

use crate::SqliteStore;
use crate::rows::{self, Source, failed_read};
use crate::store::at_most;

const OPERATION: &str = "audit.aggregates";

#[async_trait]
impl AuditSource for SqliteStore {
    async fn aggregates(
        &self,
        after: Option<&AggregateKey>,
        limit: usize,
    ) -> Result<Vec<AggregateDump>, PortError> {
        let after = after.cloned();
        self.readers.apart(OPERATION, move |connection| dumps(connection, after.as_ref(), limit)).await
    }
}

fn dumps(
    connection: &Connection,
    after: Option<&AggregateKey>,
    limit: usize,
) -> Result<Vec<AggregateDump>, PortError> {
    // A transaction sees one state of the file; dropped, it ends.
    let snapshot = connection.unchecked_transaction().map_err(|error| failed_read(OPERATION, &error))?;
    let mut dumps = match after {
        None => page(&snapshot, "bookings", "booking", "", limit)?,
        Some(AggregateKey::Booking(id)) => page(&snapshot, "bookings", "booking", &id.to_string(), limit)?,
        Some(AggregateKey::Vehicle(_)) => Vec::new(),
    };
    let rest = limit - dumps.len().min(limit);
    if rest > 0 {
        let after = match after {
            Some(AggregateKey::Vehicle(id)) => id.as_str(),
            Some(AggregateKey::Booking(_)) | None => "",
        };
        dumps.extend(page(&snapshot, "vehicles", "vehicle", after, rest)?);
    }
    Ok(dumps)
}

/// Bookings sort by their UUID's text as by its bytes, and before vehicles: the order of [`AggregateKey`].
fn page(
    snapshot: &Connection,
    table: &'static str,
    kind: &'static str,
    after: &str,
    limit: usize,
) -> Result<Vec<AggregateDump>, PortError> {
    let sql = format!("SELECT id, '{kind}', version, state FROM {table} WHERE id > ?1 ORDER BY id LIMIT ?2");
    let source = Source::new(OPERATION, table);
    let mut dumps = source.all(snapshot, &sql, params![after, at_most(limit)], |row| {
        Ok(AggregateDump {
            key: row.key(1, 0)?,
            version: row.version(2)?,
            state: row.get(3)?,
            events: Vec::new(),
            ledger: Vec::new(),
        })
    })?;
    let (Some(first), Some(last)) = (dumps.first(), dumps.last()) else {
        return Ok(dumps);
    };
    let (first, last) = (first.key.id(), last.key.id());
    let mut events = events(snapshot, kind, &first, &last)?;
    let mut ledger = match kind {
        "booking" => ledger(snapshot, &first, &last)?,
        _ => HashMap::new(),
    };
    for dump in &mut dumps {
        dump.events = events.remove(&dump.key).unwrap_or_default();
        if let AggregateKey::Booking(id) = &dump.key {
            dump.ledger = ledger.remove(id).unwrap_or_default();
        }
    }
    Ok(dumps)
}

fn events(
    snapshot: &Connection,
    kind: &'static str,
    first: &str,
    last: &str,
) -> Result<HashMap<AggregateKey, Vec<Envelope>>, PortError> {
    let sql = format!(
        "SELECT {} FROM events WHERE aggregate_type = ?1 AND aggregate_id >= ?2 AND aggregate_id <= ?3
         ORDER BY aggregate_id, aggregate_version",
        rows::EVENT
    );
    let found = Source::new(OPERATION, "events").all(snapshot, &sql, [kind, first, last], rows::event)?;
    let mut events: HashMap<AggregateKey, Vec<Envelope>> = HashMap::new();
    for event in found {
        events.entry(event.aggregate.clone()).or_default().push(event);
    }
    Ok(events)
}

fn ledger(
    snapshot: &Connection,
    first: &str,
    last: &str,
) -> Result<HashMap<BookingId, Vec<LedgerEntry>>, PortError> {
    let sql = format!(
        "SELECT {} FROM ledger WHERE booking_id >= ?1 AND booking_id <= ?2 ORDER BY booking_id, seq",
        rows::POSTING
    );
    let found = Source::new(OPERATION, "ledger").all(snapshot, &sql, [first, last], rows::posting)?;
    let mut ledger: HashMap<BookingId, Vec<LedgerEntry>> = HashMap::new();
    for entry in found {
        ledger.entry(entry.booking_id).or_default().push(entry);
    }
    Ok(ledger)
}
