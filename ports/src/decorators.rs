//! The ports through their decorators: one line a call.

use async_trait::async_trait;
use rideplane_core::booking::Booking;
use rideplane_core::fleet::Vehicle;
use rideplane_core::ids::{
    BookingId, GatewayKey, PaymentIntentId, PaymentMethodId, RefundId, UserId, VehicleId,
};
use rideplane_core::money::Money;
use rideplane_core::payment::{IntentSnapshot, RefundSnapshot};
use rideplane_core::time::Timestamp;

use crate::{
    Availability, AvailabilityUpdate, BookingFilter, Commit, CommitError, Due, Guarded, IdempotencyId,
    IdempotencyRecord, Nearby, Nearest, Page, PaymentGateway, PortError, Profile, Retried, Store, Stored,
    Telemetry, VehicleRecord,
};

fn outage(error: &PortError) -> bool {
    error.is_outage()
}

fn commit_outage(error: &CommitError) -> bool {
    match error {
        CommitError::Port(error) => error.is_outage(),
        CommitError::VersionConflict { .. }
        | CommitError::IdempotencyConflict
        | CommitError::QuotaExceeded { .. } => false,
    }
}

#[async_trait]
impl<S: Store + ?Sized> Store for Guarded<S> {
    async fn vehicle(&self, id: &VehicleId) -> Result<Option<Stored<Vehicle>>, PortError> {
        self.guard("store.vehicle", outage, self.inner().vehicle(id)).await
    }
    async fn booking(&self, id: &BookingId) -> Result<Option<Stored<Booking>>, PortError> {
        self.guard("store.booking", outage, self.inner().booking(id)).await
    }
    async fn booking_of(&self, user: &UserId, id: &BookingId) -> Result<Option<Stored<Booking>>, PortError> {
        self.guard("store.booking_of", outage, self.inner().booking_of(user, id)).await
    }
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.guard("store.commit", commit_outage, self.inner().commit(commit)).await
    }
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, PortError> {
        self.guard("store.due", outage, self.inner().due(now, limit)).await
    }
    async fn next_deadline(&self) -> Result<Option<Timestamp>, PortError> {
        self.guard("store.next_deadline", outage, self.inner().next_deadline()).await
    }
    async fn silent_vehicles(&self, before: Timestamp, limit: usize) -> Result<Vec<VehicleId>, PortError> {
        self.guard("store.silent_vehicles", outage, self.inner().silent_vehicles(before, limit)).await
    }
    async fn bookings_of(
        &self,
        user: &UserId,
        filter: &BookingFilter,
    ) -> Result<Page<Stored<Booking>>, PortError> {
        self.guard("store.bookings_of", outage, self.inner().bookings_of(user, filter)).await
    }
    async fn vehicles(
        &self,
        after: Option<&VehicleId>,
        limit: usize,
    ) -> Result<Vec<VehicleRecord>, PortError> {
        self.guard("store.vehicles", outage, self.inner().vehicles(after, limit)).await
    }
    async fn telemetry(&self, id: &VehicleId) -> Result<Option<Telemetry>, PortError> {
        self.guard("store.telemetry", outage, self.inner().telemetry(id)).await
    }
    async fn record_telemetry(&self, reports: &[Telemetry]) -> Result<(), PortError> {
        self.guard("store.record_telemetry", outage, self.inner().record_telemetry(reports)).await
    }
    async fn idempotency(&self, id: &IdempotencyId) -> Result<Option<IdempotencyRecord>, PortError> {
        self.guard("store.idempotency", outage, self.inner().idempotency(id)).await
    }
    async fn profile(&self, user: &UserId) -> Result<Option<Profile>, PortError> {
        self.guard("store.profile", outage, self.inner().profile(user)).await
    }
    async fn put_profile(&self, profile: &Profile) -> Result<(), PortError> {
        self.guard("store.put_profile", outage, self.inner().put_profile(profile)).await
    }
    async fn ping(&self) -> Result<(), PortError> {
        self.guard("store.ping", outage, self.inner().ping()).await
    }
}

#[async_trait]
impl<A: Availability + ?Sized> Availability for Guarded<A> {
    async fn nearest(&self, query: &Nearest, now: Timestamp) -> Result<Nearby, PortError> {
        self.guard("availability.nearest", outage, self.inner().nearest(query, now)).await
    }
    async fn apply(&self, updates: &[AvailabilityUpdate]) -> Result<(), PortError> {
        self.guard("availability.apply", outage, self.inner().apply(updates)).await
    }
}

#[async_trait]
impl<G: PaymentGateway + ?Sized> PaymentGateway for Guarded<G> {
    async fn create_intent(
        &self,
        key: &GatewayKey,
        amount: Money,
        reference: BookingId,
    ) -> Result<IntentSnapshot, PortError> {
        self.guard("gateway.create_intent", outage, self.inner().create_intent(key, amount, reference)).await
    }
    async fn confirm_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        method: &PaymentMethodId,
    ) -> Result<IntentSnapshot, PortError> {
        self.guard("gateway.confirm_intent", outage, self.inner().confirm_intent(key, intent, method)).await
    }
    async fn capture_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        amount: Money,
    ) -> Result<IntentSnapshot, PortError> {
        self.guard("gateway.capture_intent", outage, self.inner().capture_intent(key, intent, amount)).await
    }
    async fn cancel_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
    ) -> Result<IntentSnapshot, PortError> {
        self.guard("gateway.cancel_intent", outage, self.inner().cancel_intent(key, intent)).await
    }
    async fn create_refund(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        amount: Money,
    ) -> Result<RefundSnapshot, PortError> {
        self.guard("gateway.create_refund", outage, self.inner().create_refund(key, intent, amount)).await
    }
    async fn fetch_intent(&self, intent: &PaymentIntentId) -> Result<IntentSnapshot, PortError> {
        self.guard("gateway.fetch_intent", outage, self.inner().fetch_intent(intent)).await
    }
    async fn fetch_refund(&self, refund: &RefundId) -> Result<RefundSnapshot, PortError> {
        self.guard("gateway.fetch_refund", outage, self.inner().fetch_refund(refund)).await
    }
}

#[async_trait]
impl<G: PaymentGateway + ?Sized> PaymentGateway for Retried<G> {
    async fn create_intent(
        &self,
        key: &GatewayKey,
        amount: Money,
        reference: BookingId,
    ) -> Result<IntentSnapshot, PortError> {
        self.retry(|| self.inner().create_intent(key, amount, reference)).await
    }
    async fn confirm_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        method: &PaymentMethodId,
    ) -> Result<IntentSnapshot, PortError> {
        self.retry(|| self.inner().confirm_intent(key, intent, method)).await
    }
    async fn capture_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        amount: Money,
    ) -> Result<IntentSnapshot, PortError> {
        self.retry(|| self.inner().capture_intent(key, intent, amount)).await
    }
    async fn cancel_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
    ) -> Result<IntentSnapshot, PortError> {
        self.retry(|| self.inner().cancel_intent(key, intent)).await
    }
    async fn create_refund(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        amount: Money,
    ) -> Result<RefundSnapshot, PortError> {
        self.retry(|| self.inner().create_refund(key, intent, amount)).await
    }
    async fn fetch_intent(&self, intent: &PaymentIntentId) -> Result<IntentSnapshot, PortError> {
        self.retry(|| self.inner().fetch_intent(intent)).await
    }
    async fn fetch_refund(&self, refund: &RefundId) -> Result<RefundSnapshot, PortError> {
        self.retry(|| self.inner().fetch_refund(refund)).await
    }
}
