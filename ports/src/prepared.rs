//! A commit as rows: what every store writes that keeps states as JSON.

use std::sync::Arc;

use rideplane_core::booking::Booking;
use rideplane_core::fleet::Vehicle;
use rideplane_core::ids::Version;
use rideplane_core::money::Money;
use rideplane_core::time::Timestamp;
use serde::Serialize;

use crate::{Commit, Envelope, IdempotencyWrite, Kind, LedgerEntry, PortError, Quota, Stored};

const COMMIT: &str = "store.commit";

/// Bytes that most states fit in: a text that grows is moved each time, and with many callers the allocator's lock for it
/// costs more than the text.
const VEHICLE: usize = 1_024;
const BOOKING: usize = 4_096;

/// An aggregate's new row.
#[derive(Clone, Debug)]
pub struct PreparedChange<T> {
    /// The version that was read; [`Version::NONE`] for a new aggregate.
    pub expected: Version,
    /// The state after the events, with its version.
    pub stored: Stored<T>,
    /// The state as JSON.
    pub json: String,
    /// When the aggregate must next be ticked.
    pub deadline: Option<Timestamp>,
}

/// A [`Commit`] with everything written as it will lie in the tables. A caller prepares on its own thread, so that a writer
/// only has to check and to write.
#[derive(Clone, Debug)]
pub struct PreparedCommit {
    /// The vehicles' rows.
    pub vehicles: Vec<PreparedChange<Vehicle>>,
    /// The bookings' rows.
    pub bookings: Vec<PreparedChange<Booking>>,
    /// Whether [`Vehicle::is_watched`] may be another than before for one of the vehicles.
    pub moves_watch: bool,
    /// The outbox's rows, in order.
    pub events: Vec<Arc<Envelope>>,
    /// The postings.
    pub ledger: Vec<LedgerEntry>,
    /// What is remembered of the request.
    pub idempotency: Option<IdempotencyWrite>,
    /// How many bookings the user may have made.
    pub quota: Option<Quota>,
}

impl TryFrom<Commit> for PreparedCommit {
    type Error = PortError;

    /// # Errors
    /// [`Kind::Rejected`] when a change has no event, or a version or an amount is too large for a 64-bit column;
    /// [`Kind::Corrupt`] when something can't be written as JSON. Nothing was stored then.
    fn try_from(commit: Commit) -> Result<Self, PortError> {
        let events = commit.envelopes()?.into_iter().map(Arc::new).collect();
        for entry in &commit.ledger {
            if Money::from_minor(entry.amount.to_minor(), entry.amount.currency()) != entry.amount {
                return Err(rejected(format!("the posting of {} is too large to be stored", entry.amount)));
            }
        }
        let moves_watch =
            commit.vehicles.iter().flat_map(|change| &change.events).any(|event| event.moves_watch());
        let vehicles: Result<_, PortError> = commit
            .vehicles
            .into_iter()
            .map(|change| prepared(change.expected, change.version(), change.state, change.deadline, VEHICLE))
            .collect();
        let bookings: Result<_, PortError> = commit
            .bookings
            .into_iter()
            .map(|change| prepared(change.expected, change.version(), change.state, change.deadline, BOOKING))
            .collect();
        Ok(Self {
            vehicles: vehicles?,
            bookings: bookings?,
            moves_watch,
            events,
            ledger: commit.ledger,
            idempotency: commit.idempotency,
            quota: commit.quota,
        })
    }
}

fn prepared<T: Serialize>(
    expected: Version,
    version: Version,
    state: Arc<T>,
    deadline: Option<Timestamp>,
    room: usize,
) -> Result<PreparedChange<T>, PortError> {
    if version <= expected {
        return Err(rejected("a change has at least one event".to_owned()));
    }
    if i64::try_from(version.0).is_err() {
        return Err(rejected(format!("version {version} is too large to be stored")));
    }
    let json = crate::json::text(&*state, room).map_err(|error| {
        PortError::new(Kind::Corrupt, COMMIT, "a state can't be written as JSON").with_source(error)
    })?;
    Ok(PreparedChange { expected, stored: Stored { state, version }, json, deadline })
}

fn rejected(message: String) -> PortError {
    PortError::new(Kind::Rejected, COMMIT, message)
}
