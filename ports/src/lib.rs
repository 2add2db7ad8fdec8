//! What the booking core needs from the world.
//!
//! A port is an async trait whose documentation is its contract: what it promises, what is atomic, what an error means.
//! Each has a conformance suite in `conformance` (a feature of that name) that every implementation and every
//! decorator runs, the real servers' among them. Ports are object-safe and know no runtime.
//!
//! | Port | Promise |
//! |---|---|
//! | [`Store`] | aggregates, one atomic [`Commit`], due timers, users, idempotency records |
//! | [`Outbox`], [`Inbox`] | events waiting for the bus; events already handled |
//! | [`AuditSource`] | everything there is, for proofs |
//! | [`Availability`] | nearest free vehicles |
//! | [`PaymentGateway`] | holds, captures, voids, refunds; each under a persisted key |
//! | [`EventPublisher`], [`EventSource`] | at least once, in order per key |
//! | [`VehicleLink`], [`VehicleInbox`] | command bytes out, acks and telemetry in |
//! | [`Notifier`] | push, e-mail, SMS |
//! | [`CommandSigner`], [`Clock`], [`Ids`], [`DemandModel`] | signatures, time, entropy, surge |

mod availability;
mod breaker;
#[cfg(feature = "conformance")]
pub mod conformance;
mod decorators;
mod error;
mod events;
mod host;
mod json;
mod notify;
mod payment;
mod prepared;
mod retry;
mod store;
mod vehicle;

pub use availability::{Availability, AvailabilityUpdate, Listing, Nearby, Nearest, Source, Stamp};
pub use breaker::{Breaker, BreakerState, Guarded};
pub use error::{Kind, PortError, Retry, UnknownName};
pub use events::{Delivery, Envelope, EventPublisher, EventSource, Inbox, Outbox, Published, Topic};
pub use host::{Clock, CommandSigner, DemandModel, Ids};
pub use notify::{Channel, Notification, NotificationKind, Notifier};
pub use payment::PaymentGateway;
pub use prepared::{PreparedChange, PreparedCommit};
pub use retry::{Backoff, Retried, Sleep};
pub use store::{
    AggregateDump, AggregateKey, AuditSource, BookingChange, BookingFilter, Commit, CommitError, Due,
    IdempotencyId, IdempotencyKey, IdempotencyRecord, IdempotencyWrite, InvalidIdempotencyKey, LedgerAccount,
    LedgerEntry, Page, Profile, Quota, Store, Stored, Telemetry, VehicleChange, VehicleRecord,
};
pub use vehicle::{FromVehicle, VehicleInbox, VehicleLink};
