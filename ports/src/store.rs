//! The store: aggregates, and the one atomic commit that changes them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use rideplane_core::booking::{self, Booking, Status};
use rideplane_core::charge::Charge;
use rideplane_core::fleet::{self, Vehicle};
use rideplane_core::geo::Point;
use rideplane_core::ids::{BookingId, PaymentMethodId, UserId, VehicleId, Version};
use rideplane_core::money::Money;
use rideplane_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Envelope, PortError, UnknownName};

/// A state and the number of events that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// The state, shared by whoever reads it: a decision makes a new one.
    pub state: Arc<T>,
    /// The version, which the next commit must expect.
    pub version: Version,
}

/// Names an aggregate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AggregateKey {
    /// A booking.
    Booking(BookingId),
    /// A vehicle.
    Vehicle(VehicleId),
}

/// A vehicle's change in a commit.
#[derive(Clone, Debug)]
pub struct VehicleChange {
    /// The version that was read; [`Version::NONE`] for a new vehicle.
    pub expected: Version,
    /// The state after the events.
    pub state: Arc<Vehicle>,
    /// What happened, at least one event.
    pub events: Vec<fleet::Event>,
    /// When the vehicle must next be ticked.
    pub deadline: Option<Timestamp>,
}

/// A booking's change in a commit.
#[derive(Clone, Debug)]
pub struct BookingChange {
    /// The version that was read; [`Version::NONE`] for a new booking.
    pub expected: Version,
    /// The state after the events.
    pub state: Arc<Booking>,
    /// What happened, at least one event.
    pub events: Vec<booking::Event>,
    /// When the booking must next be ticked.
    pub deadline: Option<Timestamp>,
}

/// The accounts of the ledger: a hold is authorised, then captured or released; captured money may be refunded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerAccount {
    /// Held on a rider's means of payment.
    Authorized,
    /// Charged.
    Captured,
    /// Given back without a charge.
    Released,
    /// Given back after a charge.
    Refunded,
}

/// One posting. Append-only; a correction is another posting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Whose money.
    pub booking_id: BookingId,
    /// The booking's version after the commit that posted it.
    pub version: Version,
    /// Which account.
    pub account: LedgerAccount,
    /// How much, more than nothing.
    pub amount: Money,
    /// When.
    pub at: Timestamp,
}

/// A limit that holds atomically with the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Whose.
    pub user_id: UserId,
    /// Bookings created after this instant count.
    pub since: Timestamp,
    /// The commit is refused when this many exist already.
    pub max: u32,
}

/// A client's name for a request: 1 to 255 printable ASCII characters (IETF `Idempotency-Key`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdempotencyKey(String);

/// A text that can't be an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an Idempotency-Key has 1 to 255 printable ASCII characters; this one has {length} bytes")]
pub struct InvalidIdempotencyKey {
    length: usize,
}

/// A request by one user under one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IdempotencyId {
    /// Whose key; users can't meet each other's.
    pub user_id: UserId,
    /// The key.
    pub key: IdempotencyKey,
}

/// What is remembered of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdempotencyRecord {
    /// Its effect is committed, its answer not yet known.
    InFlight {
        /// SHA-256 of method, path and body.
        request_hash: [u8; 32],
        /// The booking that it made.
        booking_id: BookingId,
        /// Until then another request with the key is told to wait; afterwards it finishes the work.
        locked_until: Timestamp,
    },
    /// Answered.
    Done {
        /// SHA-256 of method, path and body.
        request_hash: [u8; 32],
        /// The HTTP status of the answer.
        status: u16,
        /// Its body, to be repeated byte for byte.
        body: Vec<u8>,
    },
}

/// A change of an idempotency record within a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyWrite {
    /// Which.
    pub id: IdempotencyId,
    /// What must be there: `None` for nothing, otherwise exactly this.
    pub expected: Option<IdempotencyRecord>,
    /// What is there afterwards.
    pub record: IdempotencyRecord,
}

/// All that changes at once. A commit is atomic: every expectation holds and everything is written durably, or nothing
/// is written at all.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// When it was decided.
    pub at: Timestamp,
    /// Vehicles, each at most once.
    pub vehicles: Vec<VehicleChange>,
    /// Bookings, each at most once.
    pub bookings: Vec<BookingChange>,
    /// Postings.
    pub ledger: Vec<LedgerEntry>,
    /// The idempotency record.
    pub idempotency: Option<IdempotencyWrite>,
    /// The limit on new bookings.
    pub quota: Option<Quota>,
}

/// Why a commit did not happen. After [`CommitError::Port`] of kind
/// [`OutcomeUnknown`](crate::Kind::OutcomeUnknown) it may have happened.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// An aggregate has another version than expected: load and decide again.
    #[error("{key} is not at version {expected} any more")]
    VersionConflict {
        /// Which aggregate.
        key: AggregateKey,
        /// What the commit expected.
        expected: Version,
    },
    /// The idempotency record is not as expected: another request with the key was first.
    #[error("another request with the same Idempotency-Key was first")]
    IdempotencyConflict,
    /// The user has made as many bookings as allowed.
    #[error("the user has made as many bookings as allowed in this window")]
    QuotaExceeded {
        /// When the oldest booking that counts was created; it stops counting one window later.
        oldest: Timestamp,
    },
    /// The store failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// An aggregate whose deadline has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub key: AggregateKey,
    /// Its deadline.
    pub deadline: Timestamp,
}

/// What a vehicle last said of itself. Kept apart from the vehicle's versioned state, so that a heartbeat never
/// competes with a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telemetry {
    /// Which vehicle.
    pub vehicle_id: VehicleId,
    /// Where it is; `None` leaves the last known position.
    pub position: Option<Point>,
    /// GBFS `current_fuel_percent`; `None` leaves the last known.
    pub charge: Option<Charge>,
    /// GBFS `current_range_meters`; `None` leaves the last known.
    pub range_m: Option<u32>,
    /// GBFS `last_reported`.
    pub last_reported: Timestamp,
}

/// A vehicle with what it last said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VehicleRecord {
    /// The vehicle.
    pub vehicle: Stored<Vehicle>,
    /// Its last telemetry.
    pub telemetry: Option<Telemetry>,
}

/// A rider's profile.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Who.
    pub user_id: UserId,
    /// Where receipts go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// For SMS, E.164.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// For push messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_token: Option<String>,
    /// BCP 47.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// IANA time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Serves a payment that names no method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_payment_method_id: Option<PaymentMethodId>,
}

/// Which of a user's bookings, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookingFilter {
    /// Only in this status.
    pub status: Option<Status>,
    /// Only older than this one.
    pub before: Option<BookingId>,
    /// At most this many.
    pub limit: u32,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// Everything about one aggregate.
#[derive(Clone, Debug)]
pub struct AggregateDump {
    /// Which.
    pub key: AggregateKey,
    /// Its stored version.
    pub version: Version,
    /// Its stored state, as JSON.
    pub state: String,
    /// Its events, oldest first.
    pub events: Vec<Envelope>,
    /// Its postings (bookings only), oldest first.
    pub ledger: Vec<LedgerEntry>,
}

/// Aggregates and the commit that changes them.
///
/// Reads see every commit that was acknowledged before they began (strong consistency). A call whose future is dropped
/// leaves everything or nothing behind.
#[async_trait]
pub trait Store: Send + Sync {
    /// The vehicle, or `None`.
    async fn vehicle(&self, id: &VehicleId) -> Result<Option<Stored<Vehicle>>, PortError>;

    /// The booking, or `None`.
    async fn booking(&self, id: &BookingId) -> Result<Option<Stored<Booking>>, PortError>;

    /// The user's booking; somebody else's is `None`.
    async fn booking_of(&self, user: &UserId, id: &BookingId) -> Result<Option<Stored<Booking>>, PortError>;

    /// Writes all of it or nothing. Events get the versions after `expected`, without a gap, and become
    /// [`Outbox`](crate::Outbox) rows in the same transaction, in the order vehicles, then bookings. An empty commit
    /// succeeds.
    async fn commit(&self, commit: Commit) -> Result<(), CommitError>;

    /// Aggregates with a deadline at or before `now`, the earliest first.
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, PortError>;

    /// The earliest deadline of any aggregate, or `None`.
    async fn next_deadline(&self) -> Result<Option<Timestamp>, PortError>;

    /// Online, unretired vehicles that last reported before `before`, or never did.
    async fn silent_vehicles(&self, before: Timestamp, limit: usize) -> Result<Vec<VehicleId>, PortError>;

    /// The user's bookings, newest first.
    async fn bookings_of(
        &self,
        user: &UserId,
        filter: &BookingFilter,
    ) -> Result<Page<Stored<Booking>>, PortError>;

    /// Vehicles in order of id, after `after`.
    async fn vehicles(
        &self,
        after: Option<&VehicleId>,
        limit: usize,
    ) -> Result<Vec<VehicleRecord>, PortError>;

    /// What a vehicle last said.
    async fn telemetry(&self, id: &VehicleId) -> Result<Option<Telemetry>, PortError>;

    /// Remembers what vehicles said. What is older than what is known changes nothing of that, and fills only what nobody
    /// has said yet: reports may come in any order, and none that knows more is lost. Touches no version.
    async fn record_telemetry(&self, reports: &[Telemetry]) -> Result<(), PortError>;

    /// What is remembered of a request.
    async fn idempotency(&self, id: &IdempotencyId) -> Result<Option<IdempotencyRecord>, PortError>;

    /// The user's profile, or `None`.
    async fn profile(&self, user: &UserId) -> Result<Option<Profile>, PortError>;

    /// Writes the user's profile.
    async fn put_profile(&self, profile: &Profile) -> Result<(), PortError>;

    /// Whether the store can serve.
    async fn ping(&self) -> Result<(), PortError>;
}

/// Everything there is, for proofs.
#[async_trait]
pub trait AuditSource: Send + Sync {
    /// Aggregates in order of key, after `after`, each consistent in itself.
    async fn aggregates(
        &self,
        after: Option<&AggregateKey>,
        limit: usize,
    ) -> Result<Vec<AggregateDump>, PortError>;
}

impl Telemetry {
    /// Adds another report of the same vehicle: of what both say the younger stands, and each fills what the other leaves
    /// open ([`Store::record_telemetry`]).
    ///
    /// ```
    /// use rideplane_core::time::Timestamp;
    /// use rideplane_ports::Telemetry;
    /// let said = |range_m, at| Telemetry {
    ///     vehicle_id: "sc-1".parse().unwrap(),
    ///     position: None,
    ///     charge: None,
    ///     range_m,
    ///     last_reported: Timestamp::from_unix_seconds(at),
    /// };
    /// let mut known = said(None, 20);
    /// known.take_in(&said(Some(9_000), 10));
    /// assert_eq!(known, said(Some(9_000), 20));
    /// known.take_in(&said(Some(8_000), 30));
    /// assert_eq!(known, said(Some(8_000), 30));
    /// ```
    pub fn take_in(&mut self, report: &Self) {
        if report.last_reported < self.last_reported {
            self.position = self.position.or(report.position);
            self.charge = self.charge.or(report.charge);
            self.range_m = self.range_m.or(report.range_m);
            return;
        }
        self.position = report.position.or(self.position);
        self.charge = report.charge.or(self.charge);
        self.range_m = report.range_m.or(self.range_m);
        self.last_reported = report.last_reported;
    }
}

impl VehicleChange {
    /// The version after the change.
    #[must_use]
    pub fn version(&self) -> Version {
        self.expected.after(self.events.len())
    }
}

impl BookingChange {
    /// The version after the change.
    #[must_use]
    pub fn version(&self) -> Version {
        self.expected.after(self.events.len())
    }
}

impl Commit {
    /// An empty commit decided at `at`.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self { at, ..Self::default() }
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vehicles.is_empty()
            && self.bookings.is_empty()
            && self.ledger.is_empty()
            && self.idempotency.is_none()
    }

    /// The outbox rows of this commit, in order: what every store writes.
    ///
    /// # Errors
    /// When an event can't be written as JSON.
    pub fn envelopes(&self) -> Result<Vec<Envelope>, PortError> {
        let mut rows = Vec::new();
        for change in &self.vehicles {
            for (n, event) in change.events.iter().enumerate() {
                rows.push(Envelope::of_vehicle(
                    &change.state.id,
                    change.expected.after(n + 1),
                    event,
                    self.at,
                )?);
            }
        }
        for change in &self.bookings {
            for (n, event) in change.events.iter().enumerate() {
                rows.push(Envelope::of_booking(
                    change.state.id,
                    change.expected.after(n + 1),
                    event,
                    self.at,
                )?);
            }
        }
        Ok(rows)
    }
}

impl IdempotencyRecord {
    /// The hash of the request that is remembered.
    #[must_use]
    pub const fn request_hash(&self) -> &[u8; 32] {
        match self {
            Self::InFlight { request_hash, .. } | Self::Done { request_hash, .. } => request_hash,
        }
    }
}

impl IdempotencyKey {
    /// Checks the text and takes it as a key.
    ///
    /// # Errors
    /// When it is empty, longer than 255 bytes or not printable ASCII.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidIdempotencyKey> {
        let text = text.into();
        let printable = text.bytes().all(|b| (0x20..0x7f).contains(&b));
        if (1..=255).contains(&text.len()) && printable {
            return Ok(Self(text));
        }
        Err(InvalidIdempotencyKey { length: text.len() })
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = InvalidIdempotencyKey;
    fn try_from(text: String) -> Result<Self, InvalidIdempotencyKey> {
        Self::new(text)
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> Self {
        key.0
    }
}

impl Profile {
    /// A profile that says nothing yet.
    #[must_use]
    pub const fn new(user_id: UserId) -> Self {
        Self {
            user_id,
            email: None,
            phone: None,
            push_token: None,
            locale: None,
            time_zone: None,
            default_payment_method_id: None,
        }
    }
}

impl fmt::Debug for Profile {
    /// Without contact data, so that no log can hold any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

impl LedgerAccount {
    /// Every account.
    pub const ALL: [Self; 4] = [Self::Authorized, Self::Captured, Self::Released, Self::Refunded];

    /// The name in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorized => "authorized",
            Self::Captured => "captured",
            Self::Released => "released",
            Self::Refunded => "refunded",
        }
    }
}

impl FromStr for LedgerAccount {
    type Err = UnknownName;
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|account| account.as_str() == text).ok_or_else(|| UnknownName::new(text))
    }
}

impl AggregateKey {
    /// `vehicle` or `booking`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Booking(_) => "booking",
            Self::Vehicle(_) => "vehicle",
        }
    }

    /// The id as text.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Booking(id) => id.to_string(),
            Self::Vehicle(id) => id.to_string(),
        }
    }
}

impl fmt::Display for AggregateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.id())
    }
}
