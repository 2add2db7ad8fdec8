//! Every port as a server meets it: behind a network that loses, delays, repeats and forgets.

use std::sync::Arc;

use async_trait::async_trait;
use rideplane_core::booking::Booking;
use rideplane_core::fleet::Vehicle;
use rideplane_core::geo::Point;
use rideplane_core::ids::{
    BookingId, GatewayKey, KeyId, PaymentIntentId, PaymentMethodId, RefundId, UserId, VehicleId,
    VehicleTypeId,
};
use rideplane_core::money::Money;
use rideplane_core::payment::{IntentSnapshot, RefundSnapshot};
use rideplane_core::pricing::Surge;
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{AckClaims, VehicleKey, WireError};
use rideplane_ports::{
    Availability, AvailabilityUpdate, BookingFilter, CommandSigner, Commit, CommitError, DemandModel, Due,
    Envelope, EventPublisher, IdempotencyId, IdempotencyRecord, Inbox, Nearby, Nearest, Notification,
    Notifier, Outbox, Page, PaymentGateway, PortError, Profile, Published, Store, Stored, Telemetry,
    VehicleLink, VehicleRecord,
};

use super::database::Database;
use super::provider::Provider;
use super::search::ListSearch;
use crate::faults::Fault;
use crate::net::{Fate, Mode, Wire};

/// A port behind a wire.
pub(crate) struct Faulty<P: ?Sized> {
    pub(crate) wire: Wire,
    pub(crate) inner: Arc<P>,
}

const TWICE: Fate = Fate::Struck(Fault::Duplicate);
const OLD: Fate = Fate::Struck(Fault::StaleRead);

impl<P: ?Sized> Faulty<P> {
    fn saw(&self, found: &Result<Option<Stored<Booking>>, PortError>) {
        if let Ok(Some(booking)) = found {
            self.wire.net.saw(booking.state.status());
        }
    }
}

macro_rules! call {
    ($self:ident, $operation:literal, $mode:ident, $call:expr) => {{
        let fate = $self.wire.go($operation, Mode::$mode).await?;
        let mut answer = $call.await;
        if fate == TWICE {
            answer = $call.await;
        }
        // What is read of one strongly consistent place can be old in one way only: by the time that it arrives.
        if fate == OLD {
            $self.wire.grow_old($operation).await;
        }
        $self.wire.back(fate, $operation).await?;
        answer
    }};
}
#[async_trait]
impl Store for Faulty<Database> {
    async fn vehicle(&self, id: &VehicleId) -> Result<Option<Stored<Vehicle>>, PortError> {
        call!(self, "store.vehicle", Read, self.inner.store.vehicle(id))
    }
    async fn booking(&self, id: &BookingId) -> Result<Option<Stored<Booking>>, PortError> {
        let found = call!(self, "store.booking", Read, self.inner.store.booking(id));
        self.saw(&found);
        found
    }
    async fn booking_of(&self, user: &UserId, id: &BookingId) -> Result<Option<Stored<Booking>>, PortError> {
        let found = call!(self, "store.booking_of", Read, self.inner.booking_of(user, id));
        self.saw(&found);
        found
    }
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let fate = self.wire.go("store.commit", Mode::Write).await?;
        // A driver that repeats a commit whose answer it did not get hears of the conflict with itself.
        let again = (fate == TWICE).then(|| commit.clone());
        let mut answer = self.inner.commit(commit).await;
        if let Some(again) = again {
            answer = self.inner.commit(again).await;
        }
        self.wire.net.has_moved();
        self.wire.back(fate, "store.commit").await?;
        answer
    }
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, PortError> {
        call!(self, "store.due", Read, self.inner.store.due(now, limit))
    }
    async fn next_deadline(&self) -> Result<Option<Timestamp>, PortError> {
        call!(self, "store.next_deadline", Read, self.inner.store.next_deadline())
    }
    async fn silent_vehicles(&self, before: Timestamp, limit: usize) -> Result<Vec<VehicleId>, PortError> {
        call!(self, "store.silent_vehicles", Read, self.inner.store.silent_vehicles(before, limit))
    }
    async fn bookings_of(
        &self,
        user: &UserId,
        filter: &BookingFilter,
    ) -> Result<Page<Stored<Booking>>, PortError> {
        call!(self, "store.bookings_of", Read, self.inner.store.bookings_of(user, filter))
    }
    async fn vehicles(
        &self,
        after: Option<&VehicleId>,
        limit: usize,
    ) -> Result<Vec<VehicleRecord>, PortError> {
        call!(self, "store.vehicles", Read, self.inner.store.vehicles(after, limit))
    }
    async fn telemetry(&self, id: &VehicleId) -> Result<Option<Telemetry>, PortError> {
        call!(self, "store.telemetry", Read, self.inner.store.telemetry(id))
    }
    async fn record_telemetry(&self, reports: &[Telemetry]) -> Result<(), PortError> {
        call!(self, "store.record_telemetry", Write, self.inner.store.record_telemetry(reports))
    }
    async fn idempotency(&self, id: &IdempotencyId) -> Result<Option<IdempotencyRecord>, PortError> {
        call!(self, "store.idempotency", Read, self.inner.store.idempotency(id))
    }
    async fn profile(&self, user: &UserId) -> Result<Option<Profile>, PortError> {
        call!(self, "store.profile", Read, self.inner.store.profile(user))
    }
    async fn put_profile(&self, profile: &Profile) -> Result<(), PortError> {
        call!(self, "store.put_profile", Write, self.inner.store.put_profile(profile))
    }
    async fn ping(&self) -> Result<(), PortError> {
        call!(self, "store.ping", Pure, self.inner.store.ping())
    }
}

#[async_trait]
impl Outbox for Faulty<Database> {
    async fn pending(&self, limit: usize) -> Result<Vec<Envelope>, PortError> {
        call!(self, "outbox.pending", Read, self.inner.pending(limit))
    }
    async fn pending_count(&self) -> Result<u64, PortError> {
        call!(self, "outbox.pending_count", Read, self.inner.store.pending_count())
    }
    async fn mark_published(&self, events: &[Envelope], at: Timestamp) -> Result<(), PortError> {
        let marked = call!(self, "outbox.mark_published", Write, self.inner.store.mark_published(events, at));
        self.wire.net.has_moved();
        marked
    }
}

#[async_trait]
impl Inbox for Faulty<Database> {
    async fn is_handled(&self, consumer: &str, event_id: &str) -> Result<bool, PortError> {
        call!(self, "inbox.is_handled", Read, self.inner.is_handled(consumer, event_id))
    }
    async fn mark_handled(&self, consumer: &str, event_id: &str, at: Timestamp) -> Result<bool, PortError> {
        call!(self, "inbox.mark_handled", Write, self.inner.store.mark_handled(consumer, event_id, at))
    }
}

#[async_trait]
impl PaymentGateway for Faulty<Provider> {
    async fn create_intent(
        &self,
        key: &GatewayKey,
        amount: Money,
        reference: BookingId,
    ) -> Result<IntentSnapshot, PortError> {
        call!(self, "gateway.create_intent", Write, self.inner.create_intent(key, amount, reference))
    }
    async fn confirm_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        method: &PaymentMethodId,
    ) -> Result<IntentSnapshot, PortError> {
        call!(self, "gateway.confirm_intent", Write, self.inner.confirm_intent(key, intent, method))
    }
    async fn capture_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        amount: Money,
    ) -> Result<IntentSnapshot, PortError> {
        call!(self, "gateway.capture_intent", Write, self.inner.capture_intent(key, intent, amount))
    }
    async fn cancel_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
    ) -> Result<IntentSnapshot, PortError> {
        call!(self, "gateway.cancel_intent", Write, self.inner.cancel_intent(key, intent))
    }
    async fn create_refund(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        amount: Money,
    ) -> Result<RefundSnapshot, PortError> {
        call!(self, "gateway.create_refund", Write, self.inner.create_refund(key, intent, amount))
    }
    async fn fetch_intent(&self, intent: &PaymentIntentId) -> Result<IntentSnapshot, PortError> {
        let fate = self.wire.go("gateway.fetch_intent", Mode::Read).await?;
        let before = if fate == OLD { self.inner.stale(intent) } else { None };
        let answer = match before {
            Some(before) => {
                self.wire.struck("gateway.fetch_intent", Fault::StaleRead);
                Ok(before)
            }
            None => self.inner.fetch_intent(intent).await,
        };
        self.wire.back(fate, "gateway.fetch_intent").await?;
        answer
    }
    async fn fetch_refund(&self, refund: &RefundId) -> Result<RefundSnapshot, PortError> {
        call!(self, "gateway.fetch_refund", Read, self.inner.fetch_refund(refund))
    }
}

#[async_trait]
impl Availability for Faulty<ListSearch> {
    async fn nearest(&self, query: &Nearest, now: Timestamp) -> Result<Nearby, PortError> {
        let fate = self.wire.go("availability.nearest", Mode::Read).await?;
        let answer = if fate == OLD {
            self.wire.struck("availability.nearest", Fault::StaleRead);
            Ok(self.inner.stale(query, now))
        } else {
            self.inner.nearest(query, now).await
        };
        self.wire.back(fate, "availability.nearest").await?;
        answer
    }
    async fn apply(&self, updates: &[AvailabilityUpdate]) -> Result<(), PortError> {
        call!(self, "availability.apply", Write, self.inner.apply(updates))
    }
}

#[async_trait]
impl VehicleLink for Faulty<dyn VehicleLink> {
    async fn deliver(
        &self,
        vehicle: &VehicleId,
        command: &[u8],
        expires_at: Timestamp,
    ) -> Result<(), PortError> {
        call!(self, "link.deliver", Write, self.inner.deliver(vehicle, command, expires_at))
    }
}

#[async_trait]
impl Notifier for Faulty<dyn Notifier> {
    async fn send(&self, notification: &Notification) -> Result<(), PortError> {
        call!(self, "notifier.send", Write, self.inner.send(notification))
    }
}

#[async_trait]
impl CommandSigner for Faulty<dyn CommandSigner> {
    fn key_id(&self) -> &KeyId {
        self.inner.key_id()
    }
    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], PortError> {
        call!(self, "signer.sign", Pure, self.inner.sign(message))
    }
    fn verify_ack(
        &self,
        bytes: &[u8],
        vehicle_id: &VehicleId,
        key: &VehicleKey,
    ) -> Result<AckClaims, WireError> {
        self.inner.verify_ack(bytes, vehicle_id, key)
    }
}

#[async_trait]
impl DemandModel for Faulty<dyn DemandModel> {
    async fn surge(
        &self,
        at: Point,
        vehicle_type: &VehicleTypeId,
        now: Timestamp,
    ) -> Result<Surge, PortError> {
        call!(self, "demand.surge", Pure, self.inner.surge(at, vehicle_type, now))
    }
}

#[async_trait]
impl EventPublisher for Faulty<dyn EventPublisher> {
    async fn publish(&self, events: &[Envelope]) -> Published {
        let fate = match self.wire.go("bus.publish", Mode::Write).await {
            Ok(fate) => fate,
            Err(error) => return Published { count: 0, error: Some(error) },
        };
        // A broker may take the front of a batch and fail behind it.
        let taken = match fate {
            Fate::Struck(Fault::Delay) => {
                self.wire.net.draw(|rng| rng.below(events.len() as u64 + 1)) as usize
            }
            Fate::Struck(_) | Fate::Clean => events.len(),
        };
        let published = self.inner.publish(&events[..taken]).await;
        if fate == TWICE {
            drop(self.inner.publish(&events[..taken]).await);
        }
        self.wire.net.has_moved();
        match self.wire.back(fate, "bus.publish").await {
            Ok(()) => published,
            Err(error) => Published { count: 0, error: Some(error) },
        }
    }
}
