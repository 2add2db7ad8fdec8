//! The payment provider of a replay: the test gateway, with the bad luck of whoever calls it, and counted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use rideplane_core::ids::{BookingId, GatewayKey, PaymentIntentId, PaymentMethodId, RefundId};
use rideplane_core::money::Money;
use rideplane_core::payment::{GatewayCall, IntentSnapshot, IntentStatus, RefundSnapshot};
use rideplane_memory::TestGateway;
use rideplane_memory::gateway::GatewayFault;
use rideplane_ports::{PaymentGateway, PortError};

use super::scope;

/// The test gateway, and what it decided so far.
pub(crate) struct Bank {
    gateway: TestGateway,
    declined: AtomicU64,
    requires_action: AtomicU64,
}

impl fmt::Debug for Bank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bank(..)")
    }
}

impl Bank {
    pub(crate) fn new(gateway: TestGateway) -> Self {
        gateway.set_faults(Some(Arc::new(fault)));
        Self { gateway, declined: AtomicU64::new(0), requires_action: AtomicU64::new(0) }
    }

    /// The provider itself.
    pub(crate) const fn gateway(&self) -> &TestGateway {
        &self.gateway
    }

    /// Payments that were declined, whether or not the answer arrived.
    pub(crate) fn declined(&self) -> u64 {
        self.declined.load(Ordering::Relaxed)
    }

    /// Payments that asked the customer to act.
    pub(crate) fn requires_action(&self) -> u64 {
        self.requires_action.load(Ordering::Relaxed)
    }

    /// Counts a change of an intent. A repeat under the same key changes nothing.
    pub(crate) fn count(&self, before: Option<&IntentSnapshot>, after: Option<&IntentSnapshot>) {
        let Some(after) = after.filter(|after| before != Some(*after)) else { return };
        let counter = match after.status {
            IntentStatus::RequiresAction => &self.requires_action,
            IntentStatus::RequiresPaymentMethod if after.decline.is_some() => &self.declined,
            IntentStatus::RequiresPaymentMethod
            | IntentStatus::RequiresConfirmation
            | IntentStatus::Processing
            | IntentStatus::RequiresCapture
            | IntentStatus::Succeeded
            | IntentStatus::Canceled
            | IntentStatus::Other(_) => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the dice of the calling task say about a call.
fn fault(_: &GatewayCall, _: u32) -> GatewayFault {
    let Some(dice) = scope::next_call_fails() else { return GatewayFault::None };
    let how = dice.roll("how the gateway fails");
    let (name, fault) = if how < 0.5 {
        ("gateway_answer_lost", GatewayFault::LoseAnswer)
    } else if how < 0.7 {
        ("gateway_unavailable", GatewayFault::Unavailable)
    } else if how < 0.85 {
        ("gateway_error_before_effect", GatewayFault::ServerError { after_effect: false })
    } else {
        ("gateway_error_after_effect", GatewayFault::ServerError { after_effect: true })
    };
    scope::meet(name);
    fault
}

#[async_trait]
impl PaymentGateway for Bank {
    async fn create_intent(
        &self,
        key: &GatewayKey,
        amount: Money,
        reference: BookingId,
    ) -> Result<IntentSnapshot, PortError> {
        self.gateway.create_intent(key, amount, reference).await
    }

    async fn confirm_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        method: &PaymentMethodId,
    ) -> Result<IntentSnapshot, PortError> {
        let before = self.gateway.intent(intent);
        let answer = self.gateway.confirm_intent(key, intent, method).await;
        self.count(before.as_ref(), self.gateway.intent(intent).as_ref());
        answer
    }

    async fn capture_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        amount: Money,
    ) -> Result<IntentSnapshot, PortError> {
        self.gateway.capture_intent(key, intent, amount).await
    }

    async fn cancel_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
    ) -> Result<IntentSnapshot, PortError> {
        self.gateway.cancel_intent(key, intent).await
    }

    async fn create_refund(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        amount: Money,
    ) -> Result<RefundSnapshot, PortError> {
        self.gateway.create_refund(key, intent, amount).await
    }

    async fn fetch_intent(&self, intent: &PaymentIntentId) -> Result<IntentSnapshot, PortError> {
        self.gateway.fetch_intent(intent).await
    }

    async fn fetch_refund(&self, refund: &RefundId) -> Result<RefundSnapshot, PortError> {
        self.gateway.fetch_refund(refund).await
    }
}
