//! Everything about an aggregate, taken under the lock and written as JSON without it.

use std::ops::Bound;
use std::sync::Arc;

use rideplane_core::booking::Booking;
use rideplane_core::fleet::Vehicle;
use rideplane_core::ids::Version;
use rideplane_ports::{AggregateDump, AggregateKey, Kind, LedgerEntry, PortError, Stored};
use serde::Serialize;

use super::rows::{self, Fact, Tables};

/// An aggregate at one moment.
pub(super) struct Row {
    key: AggregateKey,
    state: State,
    facts: Vec<Arc<Fact>>,
    ledger: Vec<LedgerEntry>,
}

enum State {
    Booking(Stored<Booking>),
    Vehicle(Stored<Vehicle>),
}

impl Tables {
    /// Bookings, then vehicles, each by id.
    pub(super) fn aggregates(&self, after: Option<&AggregateKey>, limit: usize) -> Vec<Row> {
        let (bookings_from, vehicles_from) = match after {
            None => (Some(Bound::Unbounded), Bound::Unbounded),
            Some(AggregateKey::Booking(id)) => (Some(Bound::Excluded(id)), Bound::Unbounded),
            Some(AggregateKey::Vehicle(id)) => (None, Bound::Excluded(id)),
        };
        let bookings = bookings_from
            .into_iter()
            .flat_map(|from| self.bookings.range((from, Bound::Unbounded)))
            .map(|(id, row)| Row::of(AggregateKey::Booking(*id), State::Booking(row.current.clone()), row));
        let vehicles = self.vehicles.range((vehicles_from, Bound::Unbounded)).map(|(id, row)| {
            Row::of(AggregateKey::Vehicle(id.clone()), State::Vehicle(row.current.clone()), row)
        });
        bookings.chain(vehicles).take(limit).collect()
    }
}

impl Row {
    fn of<T>(key: AggregateKey, state: State, row: &rows::Row<T>) -> Self {
        Self { key, state, facts: row.facts.clone(), ledger: row.ledger.clone() }
    }

    pub(super) fn dump(&self) -> Result<AggregateDump, PortError> {
        let (version, state) = match &self.state {
            State::Booking(stored) => (stored.version, json(&stored.state)?),
            State::Vehicle(stored) => (stored.version, json(&stored.state)?),
        };
        self.dumped(version, state)
    }

    fn dumped(&self, version: Version, state: String) -> Result<AggregateDump, PortError> {
        let events = self.facts.iter().map(|fact| fact.envelope()).collect::<Result<_, _>>()?;
        Ok(AggregateDump { key: self.key.clone(), version, state, events, ledger: self.ledger.clone() })
    }
}

fn json<T: Serialize>(state: &T) -> Result<String, PortError> {
    serde_json::to_string(state).map_err(|error| {
        PortError::new(Kind::Corrupt, "store.aggregates", "a state can't be written as JSON")
            .with_source(error)
    })
}
