//! The payment provider.

use async_trait::async_trait;
use rideplane_core::ids::{BookingId, GatewayKey, PaymentIntentId, PaymentMethodId, RefundId};
use rideplane_core::money::Money;
use rideplane_core::payment::{IntentSnapshot, RefundSnapshot};

use crate::PortError;

/// A provider with two-phase payments (Stripe's payment intents, `capture_method=manual`).
///
/// Every call that changes something carries a key that was persisted before. The same key with the same request has
/// one effect and repeats its first answer; with another request it is [`Rejected`](crate::Kind::Rejected). A card
/// declined is an answer, not an error: the snapshot says it. An error of kind
/// [`OutcomeUnknown`](crate::Kind::OutcomeUnknown) means that the call may have had its effect: fetch, then decide.
/// [`Unavailable`](crate::Kind::Unavailable) and [`RateLimited`](crate::Kind::RateLimited) mean that it had none.
#[async_trait]
pub trait PaymentGateway: Send + Sync {
    /// Creates an unconfirmed intent. Holds no money.
    async fn create_intent(
        &self,
        key: &GatewayKey,
        amount: Money,
        reference: BookingId,
    ) -> Result<IntentSnapshot, PortError>;

    /// Confirms the intent with a method: asks for the hold.
    async fn confirm_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        method: &PaymentMethodId,
    ) -> Result<IntentSnapshot, PortError>;

    /// Captures part of the hold or all of it; the provider releases the rest.
    async fn capture_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        amount: Money,
    ) -> Result<IntentSnapshot, PortError>;

    /// Cancels the intent: releases the hold.
    async fn cancel_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
    ) -> Result<IntentSnapshot, PortError>;

    /// Gives captured money back.
    async fn create_refund(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        amount: Money,
    ) -> Result<RefundSnapshot, PortError>;

    /// What the provider knows of the intent now. Changes nothing.
    async fn fetch_intent(&self, intent: &PaymentIntentId) -> Result<IntentSnapshot, PortError>;

    /// What the provider knows of a refund now. Changes nothing.
    async fn fetch_refund(&self, refund: &RefundId) -> Result<RefundSnapshot, PortError>;
}
