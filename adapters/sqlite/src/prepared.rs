//! What a caller prepares on its own thread, so that the writer only has to check and to write.

use std::sync::Arc;

use rideplane_core::booking::Booking;
use rideplane_core::fleet::{Presence, Service, Vehicle};
use rideplane_core::ids::Version;
use rideplane_core::money::Money;
use rideplane_core::time::Timestamp;
use rideplane_ports::{Commit, Envelope, IdempotencyWrite, Kind, LedgerEntry, PortError, Quota, Stored};
use serde::Serialize;

use crate::rows::Result;

const COMMIT: &str = "store.commit";

/// An aggregate's new row.
#[derive(Debug)]
pub(crate) struct Changed<T> {
    pub(crate) expected: Version,
    pub(crate) stored: Stored<T>,
    pub(crate) json: String,
    pub(crate) deadline: Option<Timestamp>,
}

/// A commit with everything written as it will lie in the file.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) vehicles: Vec<Changed<Vehicle>>,
    pub(crate) bookings: Vec<Changed<Booking>>,
    pub(crate) events: Vec<Arc<Envelope>>,
    pub(crate) ledger: Vec<LedgerEntry>,
    pub(crate) idempotency: Option<IdempotencyWrite>,
    pub(crate) quota: Option<Quota>,
}

impl Prepared {
    pub(crate) fn new(commit: Commit) -> Result<Self> {
        let events = commit.envelopes()?.into_iter().map(Arc::new).collect();
        for entry in &commit.ledger {
            if Money::from_minor(entry.amount.to_minor(), entry.amount.currency()) != entry.amount {
                return Err(rejected(format!("the posting of {} is too large to be stored", entry.amount)));
            }
        }
        let vehicles: Result<_> = commit
            .vehicles
            .into_iter()
            .map(|change| {
                let version = change.version();
                changed(change.expected, version, change.state, change.deadline)
            })
            .collect();
        let bookings: Result<_> = commit
            .bookings
            .into_iter()
            .map(|change| {
                let version = change.version();
                changed(change.expected, version, change.state, change.deadline)
            })
            .collect();
        Ok(Self {
            vehicles: vehicles?,
            bookings: bookings?,
            events,
            ledger: commit.ledger,
            idempotency: commit.idempotency,
            quota: commit.quota,
        })
    }
}

impl Changed<Vehicle> {
    /// Whether its silence would be news.
    pub(crate) fn is_watched(&self) -> bool {
        let vehicle = &self.stored.state;
        let retired = match vehicle.service {
            Service::Retired => true,
            Service::InService | Service::Maintenance { .. } => false,
        };
        let online = match vehicle.presence {
            Presence::Online => true,
            Presence::Offline { .. } => false,
        };
        online && !retired
    }
}

fn changed<T: Serialize>(
    expected: Version,
    version: Version,
    state: Arc<T>,
    deadline: Option<Timestamp>,
) -> Result<Changed<T>> {
    if version <= expected {
        return Err(rejected("a change has at least one event".to_owned()));
    }
    if i64::try_from(version.0).is_err() {
        return Err(rejected(format!("version {version} is too large to be stored")));
    }
    let json = serde_json::to_string(&*state).map_err(|error| {
        PortError::new(Kind::Corrupt, COMMIT, "a state can't be written as JSON").with_source(error)
    })?;
    Ok(Changed { expected, stored: Stored { state, version }, json, deadline })
}

fn rejected(message: String) -> PortError {
    PortError::new(Kind::Rejected, COMMIT, message)
}
