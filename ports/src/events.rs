//! Events on their way out, and what was handled already.

use std::str::FromStr;

use async_trait::async_trait;
use rideplane_core::booking;
use rideplane_core::fleet;
use rideplane_core::ids::{BookingId, VehicleId, Version};
use rideplane_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AggregateKey, Kind, PortError, UnknownName};

/// The topics of the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Topic {
    /// `rideplane.bookings.v1`
    #[serde(rename = "rideplane.bookings.v1")]
    Bookings,
    /// `rideplane.payments.v1`
    #[serde(rename = "rideplane.payments.v1")]
    Payments,
    /// `rideplane.vehicles.v1`
    #[serde(rename = "rideplane.vehicles.v1")]
    Vehicles,
}

/// An event with its address: a row of the outbox, a message of the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Where it goes.
    pub topic: Topic,
    /// Whose event; its id is the message key, so that one aggregate's events stay in order.
    pub aggregate: AggregateKey,
    /// The aggregate's version after the event. Without a gap.
    pub version: Version,
    /// The event's name: CloudEvents `type` without its prefix.
    pub name: String,
    /// When it was decided: CloudEvents `time`.
    pub at: Timestamp,
    /// The event, as JSON.
    pub data: String,
}

/// What became of a batch that was published: the first `count` events are on the bus for sure.
#[derive(Debug, Default)]
pub struct Published {
    /// How many, from the front.
    pub count: usize,
    /// Why not all.
    pub error: Option<PortError>,
}

/// An event that a consumer received and must acknowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The event.
    pub envelope: Envelope,
    /// The source's handle for the acknowledgement.
    pub handle: u64,
}

/// Events waiting for the bus: written by [`Store::commit`](crate::Store::commit), read by the relay.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Unpublished events, for each aggregate oldest first and without a gap.
    async fn pending(&self, limit: usize) -> Result<Vec<Envelope>, PortError>;

    /// How many are unpublished.
    async fn pending_count(&self) -> Result<u64, PortError>;

    /// Marks events as published. A repeat changes nothing.
    async fn mark_published(&self, events: &[Envelope], at: Timestamp) -> Result<(), PortError>;
}

/// What a consumer has handled already, so that a message that comes twice has one effect.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Whether `consumer` has handled the event.
    async fn is_handled(&self, consumer: &str, event_id: &str) -> Result<bool, PortError>;

    /// Remembers that `consumer` has handled the event. Returns whether that is news.
    async fn mark_handled(&self, consumer: &str, event_id: &str, at: Timestamp) -> Result<bool, PortError>;
}

/// The way onto the bus. At least once; in order per aggregate; a batch is published from the front.
#[async_trait]
pub trait EventPublisher: Send + Sync {
    /// Publishes in order. What `count` covers is durable on the bus; behind it anything may be true.
    async fn publish(&self, events: &[Envelope]) -> Published;
}

/// The way off the bus.
#[async_trait]
pub trait EventSource: Send + Sync {
    /// Waits for the next event for `consumer`; `None` when the bus is closed. An event that was not acknowledged comes
    /// again after a restart.
    async fn next(&self, consumer: &str) -> Result<Option<Delivery>, PortError>;

    /// Acknowledges a delivery and all before it.
    async fn acknowledge(&self, consumer: &str, delivery: &Delivery) -> Result<(), PortError>;
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 3] = [Self::Bookings, Self::Payments, Self::Vehicles];

    /// The topic's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bookings => "rideplane.bookings.v1",
            Self::Payments => "rideplane.payments.v1",
            Self::Vehicles => "rideplane.vehicles.v1",
        }
    }
}

impl FromStr for Topic {
    type Err = UnknownName;
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|topic| topic.as_str() == text).ok_or_else(|| UnknownName::new(text))
    }
}

impl Envelope {
    /// A vehicle's event.
    ///
    /// # Errors
    /// When the event can't be written as JSON.
    pub fn of_vehicle(
        id: &VehicleId,
        version: Version,
        event: &fleet::Event,
        at: Timestamp,
    ) -> Result<Self, PortError> {
        let aggregate = AggregateKey::Vehicle(id.clone());
        let name = event.name().to_owned();
        Ok(Self { topic: Topic::Vehicles, aggregate, version, name, at, data: json(event, SMALL)? })
    }

    /// A booking's event; the money's goes to the payments topic.
    ///
    /// # Errors
    /// When the event can't be written as JSON.
    pub fn of_booking(
        id: BookingId,
        version: Version,
        event: &booking::Event,
        at: Timestamp,
    ) -> Result<Self, PortError> {
        let topic = match event {
            booking::Event::Payment(_) => Topic::Payments,
            booking::Event::Created(_)
            | booking::Event::Reservation(_)
            | booking::Event::Reclaimed { .. }
            | booking::Event::Command(_)
            | booking::Event::TripStarted { .. }
            | booking::Event::TripEnded(_) => Topic::Bookings,
        };
        let room = if matches!(event, booking::Event::Created(_)) { LARGE } else { SMALL };
        let aggregate = AggregateKey::Booking(id);
        let name = event.name().to_owned();
        Ok(Self { topic, aggregate, version, name, at, data: json(event, room)? })
    }

    /// Names the event for ever: CloudEvents `id`. The same event always has the same.
    #[must_use]
    pub fn id(&self) -> String {
        let (aggregate, version) = (self.aggregate.id(), self.version.0.to_string());
        [self.aggregate.kind(), aggregate.as_str(), version.as_str()].join(":")
    }
}

/// Bytes that most events fit in, and those that hold a whole booking. A text that grows is moved each time, and with many
/// callers the allocator's lock for it costs more than the text.
const SMALL: usize = 512;
const LARGE: usize = 4_096;

fn json<T: Serialize>(event: &T, room: usize) -> Result<String, PortError> {
    crate::json::text(event, room).map_err(|error| {
        PortError::new(Kind::Corrupt, "outbox.encode", "an event can't be written as JSON").with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LedgerAccount;

    #[test]
    fn names_in_tables_read_as_they_are_written() {
        for topic in Topic::ALL {
            assert_eq!(topic.as_str().parse(), Ok(topic));
            assert_eq!(serde_json::to_value(topic).unwrap(), topic.as_str());
        }
        for account in LedgerAccount::ALL {
            assert_eq!(account.as_str().parse(), Ok(account));
            assert_eq!(serde_json::to_value(account).unwrap(), account.as_str());
        }
        assert!(
            "rideplane.bookings".parse::<Topic>().is_err() && "Captured".parse::<LedgerAccount>().is_err()
        );
    }
}
