//! Everything there is: each page is one snapshot of the file.

use std::collections::HashMap;

use async_trait::async_trait;
use rideplane_core::ids::BookingId;
use rideplane_ports::{AggregateDump, AggregateKey, AuditSource, Envelope, LedgerEntry, PortError};
use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::SqliteStore;
use crate::rows::{self, Row, failed_read};
use crate::store::at_most;

const OPERATION: &str = "audit.aggregates";

#[async_trait]
impl AuditSource for SqliteStore {
    async fn aggregates(
        &self,
        after: Option<&AggregateKey>,
        limit: usize,
    ) -> Result<Vec<AggregateDump>, PortError> {
        let mut snapshot = self.pool.begin().await.map_err(failed_read(OPERATION))?;
        let mut dumps = match after {
            None => page(&mut snapshot, "bookings", "booking", "", limit).await?,
            Some(AggregateKey::Booking(id)) => {
                page(&mut snapshot, "bookings", "booking", &id.to_string(), limit).await?
            }
            Some(AggregateKey::Vehicle(_)) => Vec::new(),
        };
        let rest = limit - dumps.len().min(limit);
        if rest > 0 {
            let after = match after {
                Some(AggregateKey::Vehicle(id)) => id.as_str(),
                Some(AggregateKey::Booking(_)) | None => "",
            };
            dumps.extend(page(&mut snapshot, "vehicles", "vehicle", after, rest).await?);
        }
        snapshot.rollback().await.map_err(failed_read(OPERATION))?;
        Ok(dumps)
    }
}

/// Bookings sort by their UUID's text as by its bytes, and before vehicles: the order of [`AggregateKey`].
async fn page(
    snapshot: &mut SqliteConnection,
    table: &'static str,
    kind: &'static str,
    after: &str,
    limit: usize,
) -> Result<Vec<AggregateDump>, PortError> {
    let sql = format!("SELECT id, '{kind}', version, state FROM {table} WHERE id > ?1 ORDER BY id LIMIT ?2");
    let found = sqlx::query(AssertSqlSafe(sql))
        .bind(after)
        .bind(at_most(limit))
        .fetch_all(&mut *snapshot)
        .await
        .map_err(failed_read(OPERATION))?;
    let mut dumps = Vec::with_capacity(found.len());
    for row in &found {
        let row = Row::new(row, OPERATION, table);
        dumps.push(AggregateDump {
            key: row.key(1, 0)?,
            version: row.version(2)?,
            state: row.get(3)?,
            events: Vec::new(),
            ledger: Vec::new(),
        });
    }
    let (Some(first), Some(last)) = (dumps.first(), dumps.last()) else {
        return Ok(dumps);
    };
    let (first, last) = (first.key.id(), last.key.id());
    let mut events = events(snapshot, kind, &first, &last).await?;
    let mut ledger = match kind {
        "booking" => ledger(snapshot, &first, &last).await?,
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

async fn events(
    snapshot: &mut SqliteConnection,
    kind: &'static str,
    first: &str,
    last: &str,
) -> Result<HashMap<AggregateKey, Vec<Envelope>>, PortError> {
    let sql = format!(
        "SELECT {} FROM events WHERE aggregate_type = ?1 AND aggregate_id >= ?2 AND aggregate_id <= ?3
         ORDER BY aggregate_id, aggregate_version",
        rows::EVENT
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(kind).bind(first).bind(last);
    let mut events: HashMap<AggregateKey, Vec<Envelope>> = HashMap::new();
    for row in query.fetch_all(snapshot).await.map_err(failed_read(OPERATION))? {
        let event = rows::event(&Row::new(&row, OPERATION, "events"))?;
        events.entry(event.aggregate.clone()).or_default().push(event);
    }
    Ok(events)
}

async fn ledger(
    snapshot: &mut SqliteConnection,
    first: &str,
    last: &str,
) -> Result<HashMap<BookingId, Vec<LedgerEntry>>, PortError> {
    let sql = format!(
        "SELECT {} FROM ledger WHERE booking_id >= ?1 AND booking_id <= ?2 ORDER BY booking_id, seq",
        rows::POSTING
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(first).bind(last);
    let mut ledger: HashMap<BookingId, Vec<LedgerEntry>> = HashMap::new();
    for row in query.fetch_all(snapshot).await.map_err(failed_read(OPERATION))? {
        let entry = rows::posting(&Row::new(&row, OPERATION, "ledger"))?;
        ledger.entry(entry.booking_id).or_default().push(entry);
    }
    Ok(ledger)
}
