//! Mutants between the app and the provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use rideplane_core::ids::{BookingId, GatewayKey, PaymentIntentId, PaymentMethodId, RefundId};
use rideplane_core::money::Money;
use rideplane_core::payment::{IntentSnapshot, IntentStatus, RefundSnapshot};
use rideplane_ports::{PaymentGateway, PortError};

use super::Defect;

pub(crate) struct MutantGateway {
    inner: Arc<dyn PaymentGateway>,
    defect: Defect,
    calls: AtomicU64,
}

impl MutantGateway {
    pub(crate) fn new(inner: Arc<dyn PaymentGateway>, defect: Defect) -> Self {
        Self { inner, defect, calls: AtomicU64::new(0) }
    }

    fn key(&self, key: &GatewayKey) -> GatewayKey {
        if self.defect != Defect::RetryWithNewKey {
            return key.clone();
        }
        let n = self.calls.fetch_add(1, Relaxed);
        GatewayKey::new(format!("{key}.{n}")).unwrap_or_else(|_| key.clone())
    }
}

#[async_trait]
impl PaymentGateway for MutantGateway {
    async fn create_intent(
        &self,
        key: &GatewayKey,
        amount: Money,
        reference: BookingId,
    ) -> Result<IntentSnapshot, PortError> {
        self.inner.create_intent(&self.key(key), amount, reference).await
    }
    async fn confirm_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        method: &PaymentMethodId,
    ) -> Result<IntentSnapshot, PortError> {
        self.inner.confirm_intent(&self.key(key), intent, method).await
    }
    async fn capture_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        amount: Money,
    ) -> Result<IntentSnapshot, PortError> {
        let mut amount = amount;
        if self.defect == Defect::WholeHoldCaptured {
            amount = self.inner.fetch_intent(intent).await?.amount;
        }
        self.inner.capture_intent(&self.key(key), intent, amount).await
    }
    async fn cancel_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
    ) -> Result<IntentSnapshot, PortError> {
        if self.defect == Defect::CaptureAfterExpiry {
            let known = self.inner.fetch_intent(intent).await?;
            if known.status == IntentStatus::RequiresCapture {
                return self.inner.capture_intent(key, intent, known.amount).await;
            }
        }
        self.inner.cancel_intent(&self.key(key), intent).await
    }
    async fn create_refund(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        amount: Money,
    ) -> Result<RefundSnapshot, PortError> {
        self.inner.create_refund(&self.key(key), intent, amount).await
    }
    async fn fetch_intent(&self, intent: &PaymentIntentId) -> Result<IntentSnapshot, PortError> {
        self.inner.fetch_intent(intent).await
    }
    async fn fetch_refund(&self, refund: &RefundId) -> Result<RefundSnapshot, PortError> {
        self.inner.fetch_refund(refund).await
    }
}
