//! The order of things around the provider: a call is persisted with its key before it is sent, and calls come one after
//! another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use mockall::{Sequence, mock};
use rideplane_app::{App, CreateBooking, Ports, PutVehicle, Settings};
use rideplane_core::booking::Status;
use rideplane_core::fleet::{FormFactor, PropulsionType};
use rideplane_core::ids::{
    BookingId, GatewayKey, KeyId, PaymentIntentId, PaymentMethodId, PlanId, RefundId, UserId, VehicleId,
    VehicleTypeId,
};
use rideplane_core::money::{Currency, Money};
use rideplane_core::payment::{GatewayCall, IntentSnapshot, IntentStatus, RefundSnapshot};
use rideplane_core::pricing::{PlanCatalogue, PricingPlan};
use rideplane_core::unlock::TrustedKeys;
use rideplane_memory::{
    Agents, IndexAvailability, LocalSigner, LogNotifier, ManualClock, MemoryStore, NoSurge, SeededIds,
};
use rideplane_ports::{Clock, IdempotencyKey, PaymentGateway, PortError, Store as _};

mock! {
    Provider {}

    #[async_trait]
    impl PaymentGateway for Provider {
        async fn create_intent(&self, key: &GatewayKey, amount: Money, reference: BookingId)
            -> Result<IntentSnapshot, PortError>;
        async fn confirm_intent(&self, key: &GatewayKey, intent: &PaymentIntentId, method: &PaymentMethodId)
            -> Result<IntentSnapshot, PortError>;
        async fn capture_intent(&self, key: &GatewayKey, intent: &PaymentIntentId, amount: Money)
            -> Result<IntentSnapshot, PortError>;
        async fn cancel_intent(&self, key: &GatewayKey, intent: &PaymentIntentId)
            -> Result<IntentSnapshot, PortError>;
        async fn create_refund(&self, key: &GatewayKey, intent: &PaymentIntentId, amount: Money)
            -> Result<RefundSnapshot, PortError>;
        async fn fetch_intent(&self, intent: &PaymentIntentId) -> Result<IntentSnapshot, PortError>;
        async fn fetch_refund(&self, refund: &RefundId) -> Result<RefundSnapshot, PortError>;
    }
}

const PLAN: &str = r#"{"plan_id":"scooter","name":[],"description":[],"currency":"EUR","price":"1.00",
    "is_taxable":false,"per_min_pricing":[{"start":0,"rate":"0.23","interval":1}]}"#;
const NOW: &str = "2026-05-01T08:00:00Z";

/// The key of the call that the stored booking says is due.
fn persisted(store: &MemoryStore, booking: BookingId) -> GatewayKey {
    let stored = store.booking(&booking).now_or_never().expect("memory does not wait");
    let stored = stored.unwrap().expect("the booking is stored before its provider is called");
    match stored.state.effects(NOW.parse().unwrap()).gateway.expect("a call is due").0 {
        GatewayCall::CreateIntent { key, .. }
        | GatewayCall::ConfirmIntent { key, .. }
        | GatewayCall::CaptureIntent { key, .. }
        | GatewayCall::CancelIntent { key, .. }
        | GatewayCall::CreateRefund { key, .. } => key,
        call @ (GatewayCall::FetchIntent { .. } | GatewayCall::FetchRefund { .. }) => {
            panic!("{call:?} changes nothing")
        }
    }
}

fn shown(reference: BookingId, amount: Money, status: IntentStatus) -> IntentSnapshot {
    let nothing = Money::zero(Currency::EUR);
    let held = status == IntentStatus::RequiresCapture;
    IntentSnapshot {
        intent: PaymentIntentId::new(format!("pi_{reference}")).unwrap(),
        client_secret: None,
        status,
        amount,
        amount_capturable: if held { amount } else { nothing },
        amount_received: nothing,
        amount_refunded: None,
        capture_before: None,
        next_action: None,
        decline: None,
        reference: Some(reference),
    }
}

/// A provider that is called in this order, each time with what is in the store already, and never otherwise.
fn provider(store: &Arc<MemoryStore>) -> MockProvider {
    let (mut provider, mut order) = (MockProvider::new(), Sequence::new());
    let seen = Arc::new(std::sync::Mutex::new(None));
    let (here, first) = (Arc::clone(store), Arc::clone(&seen));
    provider.expect_create_intent().once().in_sequence(&mut order).returning(
        move |key, amount, reference| {
            assert_eq!(*key, persisted(&here, reference));
            *first.lock().unwrap() = Some((reference, amount));
            Ok(shown(reference, amount, IntentStatus::RequiresConfirmation))
        },
    );
    let here = Arc::clone(store);
    provider.expect_confirm_intent().once().in_sequence(&mut order).returning(move |key, _, _| {
        let (reference, amount) = seen.lock().unwrap().expect("created before");
        assert_eq!(*key, persisted(&here, reference));
        Ok(shown(reference, amount, IntentStatus::RequiresCapture))
    });
    provider
}

fn app(store: &Arc<MemoryStore>, gateway: MockProvider) -> App {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW.parse().unwrap()));
    let key = KeyId::new("test-1").unwrap();
    let signer = LocalSigner::new(key.clone(), &[1; 32]);
    let trusted = TrustedKeys::new(key, signer.public_key()).unwrap();
    let ports = Ports {
        store: store.clone(),
        outbox: store.clone(),
        inbox: store.clone(),
        availability: Arc::new(IndexAvailability::new()),
        gateway: Arc::new(gateway),
        link: Arc::new(Agents::new([2; 32], trusted, clock.clone())),
        notifier: Arc::new(LogNotifier),
        signer: Arc::new(signer),
        demand: Arc::new(NoSurge),
        clock,
        ids: Arc::new(SeededIds::new(7)),
    };
    let mut plans = PlanCatalogue::default();
    plans.insert(serde_json::from_str::<PricingPlan>(PLAN).unwrap());
    App::new(ports, Settings { plans, ..Settings::default() })
}

#[tokio::test]
async fn a_call_is_in_the_store_with_its_key_before_the_provider_hears_it() {
    let store = Arc::new(MemoryStore::new());
    let app = app(&store, provider(&store));
    let (rider, scooter) = (UserId::new("rider-1").unwrap(), VehicleId::new("sc-1").unwrap());
    let put = PutVehicle {
        vehicle_type: VehicleTypeId::new("scooter").unwrap(),
        form_factor: FormFactor::ScooterStanding,
        propulsion_type: PropulsionType::Electric,
        plan_id: PlanId::new("scooter").unwrap(),
        public_key: None,
        max_range_meters: None,
        lat: Some(50.1109),
        lon: Some(8.6821),
        current_fuel_percent: None,
        current_range_meters: None,
    };
    app.put_vehicle(&scooter, &put).await.unwrap();
    let body = CreateBooking { vehicle_id: scooter, start_time: None, estimated_duration: None };
    let key = || IdempotencyKey::new("one").unwrap();
    let answer = app.create_booking(&rider, key(), [0; 32], &body, None).await.unwrap();
    let id = answer.booking_id.unwrap();
    // A repeat is answered from the record: the mock would panic at a second creation.
    let again = app.create_booking(&rider, key(), [0; 32], &body, None).await.unwrap();
    assert_eq!((again.replayed, again.body), (true, answer.body));
    let method = || Some(PaymentMethodId::new("pm_card_visa").unwrap());
    for _ in 0..2 {
        let paid = app.confirm_payment(&rider, id, method()).await.unwrap();
        assert_eq!(paid.0.status, Status::Confirmed, "and a repeat never asks for a second hold");
    }
}
