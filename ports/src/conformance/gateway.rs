//! The suite of [`PaymentGateway`]: two-phase payments under keys.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a suite reports by panicking"
)]

use async_trait::async_trait;
use rideplane_core::ids::{BookingId, GatewayKey, PaymentIntentId, PaymentMethodId, RefundId};
use rideplane_core::money::{Currency, Money};
use rideplane_core::payment::{DeclineClass, IntentSnapshot, IntentStatus, RefundStatus};

use crate::{Kind, PaymentGateway, PortError};

/// A payment method that the suite needs, whatever the provider calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Holds the money at once (Stripe `pm_card_visa`).
    Holds,
    /// Is declined and may be tried again (Stripe `pm_card_chargeDeclinedInsufficientFunds`).
    Declined,
    /// Asks the customer to authenticate (Stripe `pm_card_authenticationRequired`).
    Authenticates,
}

/// A provider under test.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The gateway.
    fn gateway(&self) -> &dyn PaymentGateway;
    /// A number that was never given before, also by another run against the same provider.
    fn fresh(&self) -> u128;
    /// The method's id at this provider.
    fn method(&self, method: Method) -> PaymentMethodId;
    /// The customer finishes authenticating.
    async fn authenticate(&self, intent: &PaymentIntentId, success: bool);
    /// The answer to the next call gets lost after the call was carried out: it ends as
    /// [`OutcomeUnknown`](Kind::OutcomeUnknown). `false` where that can't be brought about.
    fn lose_next_answer(&self) -> bool;
}

/// Runs the whole suite.
pub async fn all(harness: &dyn Harness) {
    an_intent_is_created_unconfirmed(harness).await;
    a_key_has_one_effect_and_repeats_its_answer(harness).await;
    a_key_of_another_request_is_rejected(harness).await;
    a_decline_is_an_answer(harness).await;
    authentication_ends_either_way(harness).await;
    a_capture_takes_part_and_releases_the_rest(harness).await;
    a_capture_of_more_than_is_held_is_rejected(harness).await;
    a_cancel_voids_the_hold(harness).await;
    a_refund_gives_back_at_most_what_was_captured(harness).await;
    what_is_not_there_is_not_found(harness).await;
    a_lost_answer_is_found_by_a_read(harness).await;
}

const LIMIT: i64 = 750;

fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

fn key(harness: &dyn Harness, op: &str) -> GatewayKey {
    GatewayKey::new(format!("conformance:{op}:{:032x}", harness.fresh())).expect("a key")
}

fn booking(harness: &dyn Harness) -> BookingId {
    let hex = format!("{:032x}", harness.fresh());
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    let parts: Vec<_> = parts.iter().filter_map(|(from, to)| hex.get(*from..*to)).collect();
    parts.join("-").parse().expect("a UUID")
}

async fn created(harness: &dyn Harness) -> IntentSnapshot {
    let (key, reference) = (key(harness, "create"), booking(harness));
    harness.gateway().create_intent(&key, eur(LIMIT), reference).await.expect("an intent")
}

async fn confirmed(harness: &dyn Harness, intent: &PaymentIntentId, method: Method) -> IntentSnapshot {
    let (key, method) = (key(harness, "confirm"), harness.method(method));
    harness.gateway().confirm_intent(&key, intent, &method).await.expect("a confirmation is answered")
}

async fn held(harness: &dyn Harness) -> PaymentIntentId {
    let intent = created(harness).await.intent;
    let shown = confirmed(harness, &intent, Method::Holds).await;
    assert_held(&shown);
    intent
}

fn assert_held(shown: &IntentSnapshot) {
    assert_eq!(shown.status, IntentStatus::RequiresCapture);
    assert_eq!((shown.amount_capturable, shown.amount_received), (eur(LIMIT), eur(0)));
    assert_eq!(shown.decline, None);
}

async fn captured(harness: &dyn Harness, intent: &PaymentIntentId, minor: i64) -> IntentSnapshot {
    let key = key(harness, "capture");
    harness.gateway().capture_intent(&key, intent, eur(minor)).await.expect("a capture")
}

async fn fetched(harness: &dyn Harness, intent: &PaymentIntentId) -> IntentSnapshot {
    harness.gateway().fetch_intent(intent).await.expect("a read")
}

fn assert_kind<T>(answer: Result<T, PortError>, kind: Kind, what: &str) {
    match answer {
        Ok(_) => panic!("{what} was done, expected {kind:?}"),
        Err(error) => assert_eq!(error.kind(), kind, "{what}: {error}"),
    }
}

/// Nothing is held before the confirmation, and a read shows what the creation answered.
pub async fn an_intent_is_created_unconfirmed(harness: &dyn Harness) {
    let (key, reference) = (key(harness, "create"), booking(harness));
    let shown = harness.gateway().create_intent(&key, eur(LIMIT), reference).await.expect("an intent");
    assert_eq!(shown.status, IntentStatus::RequiresPaymentMethod);
    assert_eq!((shown.amount, shown.amount_capturable, shown.amount_received), (eur(LIMIT), eur(0), eur(0)));
    assert_eq!(shown.reference, Some(reference), "the booking travels in the metadata");
    assert!(shown.client_secret.is_some(), "the customer's device needs the secret");
    let read = fetched(harness, &shown.intent).await;
    assert_eq!((&read.status, read.reference), (&shown.status, Some(reference)));
}

/// The same key and request: one intent, one capture, one refund, and the first answer.
pub async fn a_key_has_one_effect_and_repeats_its_answer(harness: &dyn Harness) {
    let gateway = harness.gateway();
    let (create, reference) = (key(harness, "create"), booking(harness));
    let first = gateway.create_intent(&create, eur(LIMIT), reference).await.expect("an intent");
    let again = gateway.create_intent(&create, eur(LIMIT), reference).await.expect("the same answer");
    assert_eq!(first, again);

    let (confirm, method) = (key(harness, "confirm"), harness.method(Method::Holds));
    let held = gateway.confirm_intent(&confirm, &first.intent, &method).await.expect("a hold");
    let capture = key(harness, "capture");
    let taken = gateway.capture_intent(&capture, &first.intent, eur(500)).await.expect("a capture");
    // After the capture the intent stands elsewhere; the keys still say what they said.
    let again = gateway.confirm_intent(&confirm, &first.intent, &method).await.expect("the same answer");
    assert_eq!(held, again);
    let again = gateway.capture_intent(&capture, &first.intent, eur(500)).await.expect("the same answer");
    assert_eq!(taken, again);

    let refund = key(harness, "refund");
    let back = gateway.create_refund(&refund, &first.intent, eur(300)).await.expect("a refund");
    let again = gateway.create_refund(&refund, &first.intent, eur(300)).await.expect("the same answer");
    assert_eq!(back, again);
    let shown = fetched(harness, &first.intent).await;
    assert!(shown.amount_refunded.is_none_or(|refunded| refunded == eur(300)), "refunded twice: {shown:?}");
}

/// A key means one request.
pub async fn a_key_of_another_request_is_rejected(harness: &dyn Harness) {
    let gateway = harness.gateway();
    let (key, reference) = (key(harness, "create"), booking(harness));
    let intent = gateway.create_intent(&key, eur(LIMIT), reference).await.expect("an intent").intent;
    let other = gateway.create_intent(&key, eur(LIMIT + 1), reference).await;
    assert_kind(other, Kind::Rejected, "another amount under the key");
    let other = gateway.cancel_intent(&key, &intent).await;
    assert_kind(other, Kind::Rejected, "another operation under the key");
    assert_eq!(fetched(harness, &intent).await.status, IntentStatus::RequiresPaymentMethod);
}

/// A decline is told in the snapshot, and another method may be tried.
pub async fn a_decline_is_an_answer(harness: &dyn Harness) {
    let intent = created(harness).await.intent;
    let shown = confirmed(harness, &intent, Method::Declined).await;
    assert_eq!(shown.status, IntentStatus::RequiresPaymentMethod);
    assert_eq!(shown.amount_capturable, eur(0));
    let decline = shown.decline.expect("the decline");
    assert_eq!(decline.class, DeclineClass::Retryable);
    assert!(!decline.code.is_empty());
    assert_held(&confirmed(harness, &intent, Method::Holds).await);
}

/// Authenticating leads to the hold, failing to leads back to the start.
pub async fn authentication_ends_either_way(harness: &dyn Harness) {
    for success in [true, false] {
        let intent = created(harness).await.intent;
        let shown = confirmed(harness, &intent, Method::Authenticates).await;
        assert_eq!(shown.status, IntentStatus::RequiresAction);
        assert_eq!(shown.amount_capturable, eur(0), "nothing is held yet");
        assert!(shown.next_action.is_some(), "the customer must be told what to do");
        harness.authenticate(&intent, success).await;
        let shown = fetched(harness, &intent).await;
        assert_eq!(shown.next_action, None);
        if success {
            assert_held(&shown);
        } else {
            assert_eq!(shown.status, IntentStatus::RequiresPaymentMethod);
            let class = shown.decline.map(|decline| decline.class);
            assert_eq!(class, Some(DeclineClass::AuthenticationRequired));
            assert_held(&confirmed(harness, &intent, Method::Holds).await);
        }
    }
}

/// One capture, of a part; then nothing is held, and no second capture or cancel is possible.
pub async fn a_capture_takes_part_and_releases_the_rest(harness: &dyn Harness) {
    let intent = held(harness).await;
    let shown = captured(harness, &intent, 500).await;
    assert_eq!(shown.status, IntentStatus::Succeeded);
    assert_eq!((shown.amount_capturable, shown.amount_received), (eur(0), eur(500)));
    let again = harness.gateway().capture_intent(&key(harness, "capture"), &intent, eur(250)).await;
    assert_kind(again, Kind::Rejected, "a second capture");
    let cancel = harness.gateway().cancel_intent(&key(harness, "cancel"), &intent).await;
    assert_kind(cancel, Kind::Rejected, "a cancel after the capture");
    assert_eq!(fetched(harness, &intent).await.amount_received, eur(500));
}

/// The hold is the limit, and without a hold there is nothing to capture.
pub async fn a_capture_of_more_than_is_held_is_rejected(harness: &dyn Harness) {
    let gateway = harness.gateway();
    let open = created(harness).await.intent;
    let early = gateway.capture_intent(&key(harness, "capture"), &open, eur(1)).await;
    assert_kind(early, Kind::Rejected, "a capture without a hold");
    let intent = held(harness).await;
    let more = gateway.capture_intent(&key(harness, "capture"), &intent, eur(LIMIT + 1)).await;
    assert_kind(more, Kind::Rejected, "a capture of more than is held");
    assert_held(&fetched(harness, &intent).await);
    assert_eq!(captured(harness, &intent, LIMIT).await.amount_received, eur(LIMIT));
}

/// A cancelled intent holds nothing and comes back to nothing; an unconfirmed one can be cancelled, too.
pub async fn a_cancel_voids_the_hold(harness: &dyn Harness) {
    let gateway = harness.gateway();
    for intent in [held(harness).await, created(harness).await.intent] {
        let shown = gateway.cancel_intent(&key(harness, "cancel"), &intent).await.expect("a cancel");
        assert_eq!(shown.status, IntentStatus::Canceled);
        assert_eq!((shown.amount_capturable, shown.amount_received), (eur(0), eur(0)));
        let capture = gateway.capture_intent(&key(harness, "capture"), &intent, eur(1)).await;
        assert_kind(capture, Kind::Rejected, "a capture after the cancel");
        let (confirm, method) = (key(harness, "confirm"), harness.method(Method::Holds));
        let confirm = gateway.confirm_intent(&confirm, &intent, &method).await;
        assert_kind(confirm, Kind::Rejected, "a confirmation after the cancel");
    }
}

/// In parts, up to what was captured, and never without a capture.
pub async fn a_refund_gives_back_at_most_what_was_captured(harness: &dyn Harness) {
    let gateway = harness.gateway();
    let intent = held(harness).await;
    let early = gateway.create_refund(&key(harness, "refund"), &intent, eur(1)).await;
    assert_kind(early, Kind::Rejected, "a refund without a capture");
    captured(harness, &intent, 500).await;
    for part in [200, 300] {
        let shown =
            gateway.create_refund(&key(harness, "refund"), &intent, eur(part)).await.expect("a refund");
        assert_eq!((shown.amount, shown.intent.as_ref()), (eur(part), Some(&intent)));
        assert!(matches!(shown.status, RefundStatus::Succeeded | RefundStatus::Pending), "{shown:?}");
        let read = gateway.fetch_refund(&shown.refund).await.expect("a read");
        assert_eq!((read.refund, read.amount), (shown.refund, eur(part)));
    }
    let more = gateway.create_refund(&key(harness, "refund"), &intent, eur(1)).await;
    assert_kind(more, Kind::Rejected, "a refund of more than was captured");
    let shown = fetched(harness, &intent).await;
    assert!(shown.amount_refunded.is_none_or(|refunded| refunded == eur(500)), "{shown:?}");
}

/// A wrong id is no outage and no unknown outcome.
pub async fn what_is_not_there_is_not_found(harness: &dyn Harness) {
    let gateway = harness.gateway();
    let intent = PaymentIntentId::new("pi_conformance_missing").expect("an id");
    let refund = RefundId::new("re_conformance_missing").expect("an id");
    assert_kind(gateway.fetch_intent(&intent).await, Kind::NotFound, "a read of no intent");
    assert_kind(gateway.fetch_refund(&refund).await, Kind::NotFound, "a read of no refund");
    let cancel = gateway.cancel_intent(&key(harness, "cancel"), &intent).await;
    assert_kind(cancel, Kind::NotFound, "a cancel of no intent");
}

/// An unknown outcome may have had its effect: a read shows it, and the same key tells the answer after all.
pub async fn a_lost_answer_is_found_by_a_read(harness: &dyn Harness) {
    let gateway = harness.gateway();
    let intent = created(harness).await.intent;
    let (confirm, method) = (key(harness, "confirm"), harness.method(Method::Holds));
    if !harness.lose_next_answer() {
        return;
    }
    let lost = gateway.confirm_intent(&confirm, &intent, &method).await;
    assert_kind(lost, Kind::OutcomeUnknown, "a confirmation without an answer");
    assert_held(&fetched(harness, &intent).await);
    let again = gateway.confirm_intent(&confirm, &intent, &method).await.expect("the saved answer");
    assert_held(&again);
}
