//! A payment provider in the process that behaves like Stripe with `capture_method=manual`: the same statuses, the same
//! test payment methods, the same idempotency.
//!
//! | Method | What comes of confirming it |
//! |---|---|
//! | `pm_card_visa` | the money is held for 7 days |
//! | `pm_card_authenticationRequired` | the customer must authenticate: [`TestGateway::authenticate`] |
//! | `pm_card_chargeDeclined` | declined, `card_declined`; may be tried again |
//! | `pm_card_chargeDeclinedInsufficientFunds` | declined, `insufficient_funds`; may be tried again |
//! | `pm_card_chargeDeclinedLostCard` | declined for good, `lost_card` |
//! | any that is not known | declined, `payment_method_not_available`; may be tried again |
//!
//! The last line departs from Stripe, which answers 400 `resource_missing`: the machine would take that as a refusal of
//! unknown cause, read the intent, and tell the rider no more than `rejected`. As a decline it is told at once, with a
//! reason, and another method may be named.
//!
//! # Idempotency
//! The first answer to a key is saved once execution begins and is repeated to the same request, a refusal and a 500
//! among them; another request under the key is rejected. An invalid amount saves nothing. Keys are forgotten after 24
//! hours. Calls are carried out one after another, so a key is in use twice at once only as a
//! [fault](GatewayFault::KeyInUse).
//!
//! # Reproducible
//! Ids are hashes of the key and client secrets are hashes of the id and the gateway's secret: equal calls give equal
//! answers. So a creation whose key was forgotten finds its own intent again, instead of making a second one.

mod book;
mod fault;
mod intent;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use rideplane_core::ids::{BookingId, GatewayKey, PaymentIntentId, PaymentMethodId, RefundId};
use rideplane_core::money::{Currency, Money};
use rideplane_core::payment::{ClientSecret, GatewayCall, IntentSnapshot, NextAction, RefundSnapshot};
use rideplane_core::time::Timestamp;
use rideplane_ports::{Clock, Kind, PaymentGateway, PortError, Retry};
use sha2::{Digest as _, Sha256};

use book::{Answer, Book, Change, Refusal, operation};
pub use fault::{FaultPlan, GatewayFault, SeededFaults};
use intent::Intent;

/// The money of one currency, as the provider sees it: always `authorized = captured + released + open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// What was ever held.
    pub authorized: Money,
    /// What was taken, refunds not subtracted.
    pub captured: Money,
    /// What was held and given back without being taken.
    pub released: Money,
    /// What was paid back.
    pub refunded: Money,
    /// What is held now.
    pub open: Money,
}

/// The test gateway. See the [module](self).
pub struct TestGateway {
    book: Mutex<Book>,
    clock: Arc<dyn Clock>,
    secret: [u8; 32],
    authentication_url: Option<String>,
    faults: RwLock<Option<Arc<dyn FaultPlan>>>,
}

impl fmt::Debug for TestGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestGateway(..)")
    }
}

impl TestGateway {
    /// A gateway that forgets everything with the process. Client secrets are derived from `secret`.
    #[must_use]
    pub fn in_memory(clock: Arc<dyn Clock>, secret: [u8; 32]) -> Self {
        Self::with(Book::default(), clock, secret)
    }

    /// A gateway that keeps a journal at `path`: what it answered survives the process, also one that was killed; a
    /// power cut may lose the last answers. One process at a time.
    ///
    /// # Errors
    /// [`Unavailable`](Kind::Unavailable) when the file can't be used, [`Corrupt`](Kind::Corrupt) when a line other
    /// than a torn last one can't be read.
    pub fn open(path: impl AsRef<Path>, clock: Arc<dyn Clock>, secret: [u8; 32]) -> Result<Self, PortError> {
        let book = Book::open(path.as_ref(), clock.now())?;
        Ok(Self::with(book, clock, secret))
    }

    fn with(book: Book, clock: Arc<dyn Clock>, secret: [u8; 32]) -> Self {
        let (book, faults) = (Mutex::new(book), RwLock::new(None));
        Self { book, clock, secret, authentication_url: None, faults }
    }

    /// Sends customers who must authenticate to `url` followed by `/` and the id of the intent
    /// (`redirect_to_url`). Without it the next action is `use_stripe_sdk`.
    #[must_use]
    pub fn with_authentication_url(mut self, url: impl Into<String>) -> Self {
        self.authentication_url = Some(url.into());
        self
    }

    /// Starts or ends the trouble.
    pub fn set_faults(&self, plan: Option<Arc<dyn FaultPlan>>) {
        *self.faults.write() = plan;
    }

    /// The customer has finished authenticating, or failed to.
    ///
    /// # Errors
    /// [`NotFound`](Kind::NotFound), or [`Rejected`](Kind::Rejected) when the intent does not wait for that.
    pub fn authenticate(&self, intent: &PaymentIntentId, success: bool) -> Result<IntentSnapshot, PortError> {
        let now = self.clock.now();
        let mut book = self.book.lock();
        book.change(intent, now, "gateway.authenticate", |intent| intent.authenticate(success, now))
    }

    /// The customer's device attaches a method without confirming it: `requires_confirmation`.
    ///
    /// # Errors
    /// [`NotFound`](Kind::NotFound), or [`Rejected`](Kind::Rejected) when it is too late for that.
    pub fn attach(&self, intent: &PaymentIntentId) -> Result<IntentSnapshot, PortError> {
        self.book.lock().change(intent, self.clock.now(), "gateway.attach", Intent::attach)
    }

    /// The intent as it stands, without faults.
    #[must_use]
    pub fn intent(&self, intent: &PaymentIntentId) -> Option<IntentSnapshot> {
        self.book.lock().intent(intent, self.clock.now()).ok().map(|intent| intent.snapshot())
    }

    /// All money that ever moved, per currency: what an audit compares the ledger with.
    #[must_use]
    pub fn totals(&self) -> BTreeMap<Currency, Totals> {
        self.book.lock().totals(self.clock.now())
    }

    fn call(&self, call: GatewayCall) -> Result<Answer, PortError> {
        let operation = operation(&call);
        let plan = self.faults.read().clone();
        let now = self.clock.now();
        let mut book = self.book.lock();
        let fault = plan.map_or(GatewayFault::None, |plan| {
            let earlier = book.count(&call, now);
            plan.decide(&call, earlier)
        });
        match fault {
            GatewayFault::Unavailable => {
                return Err(PortError::new(Kind::Unavailable, operation, "the provider can't be reached"));
            }
            GatewayFault::RateLimited => {
                return Err(PortError::new(Kind::RateLimited, operation, "too many requests: ask later"));
            }
            GatewayFault::KeyInUse => {
                let message = "idempotency_key_in_use: the same request is under way, ask again shortly";
                return Err(PortError::new(Kind::Conflict, operation, message).with_retry(Retry::Safe));
            }
            GatewayFault::None | GatewayFault::LoseAnswer | GatewayFault::ServerError { .. } => {}
        }
        let answer = book.carry_out(call, now, fault, |book, call| self.effect(book, call, now))?;
        drop(book);
        if fault == GatewayFault::LoseAnswer {
            return Err(PortError::new(
                Kind::OutcomeUnknown,
                operation,
                "the answer got lost: read, then decide",
            ));
        }
        match answer {
            Answer::Refused(refusal) => Err(refusal.error(operation)),
            Answer::Failed => Err(PortError::new(
                Kind::OutcomeUnknown,
                operation,
                "the provider failed (500): read, then decide",
            )),
            Answer::Intent(_) | Answer::Refund(_) => Ok(answer),
        }
    }

    fn effect(&self, book: &Book, call: &GatewayCall, now: Timestamp) -> Result<Change, Refusal> {
        match call {
            GatewayCall::CreateIntent { key, amount, reference } => {
                self.create(book, key, *amount, *reference, now)
            }
            GatewayCall::ConfirmIntent { intent, method, .. } => {
                let mut intent = book.intent(intent, now)?;
                intent.confirm(method, now, |id| self.next_action(id))?;
                Ok(Change::intent(intent))
            }
            GatewayCall::CaptureIntent { intent, amount, .. } => {
                let mut intent = book.intent(intent, now)?;
                intent.capture(*amount)?;
                Ok(Change::intent(intent))
            }
            GatewayCall::CancelIntent { intent, .. } => {
                let mut intent = book.intent(intent, now)?;
                intent.cancel()?;
                Ok(Change::intent(intent))
            }
            GatewayCall::CreateRefund { key, intent, amount } => {
                let id = RefundId::new(format!("re_{}", short_hash(&[key.as_str().as_bytes()])))
                    .map_err(|error| Refusal::rejected(error.to_string()))?;
                if book.refund(&id).is_ok() {
                    return Err(Refusal::rejected(format!("{id} exists: use a new key for another refund")));
                }
                let mut intent = book.intent(intent, now)?;
                intent.refund(*amount)?;
                Ok(Change::refund(id, *amount, intent))
            }
            GatewayCall::FetchIntent { intent } => {
                let intent = book.intent(intent, now)?;
                Ok(Change::none(Answer::Intent(intent.snapshot())))
            }
            GatewayCall::FetchRefund { refund } => book.refund(refund).map(Answer::Refund).map(Change::none),
        }
    }

    fn create(
        &self,
        book: &Book,
        key: &GatewayKey,
        amount: Money,
        reference: BookingId,
        now: Timestamp,
    ) -> Result<Change, Refusal> {
        let id = PaymentIntentId::new(format!("pi_{}", short_hash(&[key.as_str().as_bytes()])))
            .map_err(|error| Refusal::rejected(error.to_string()))?;
        if let Ok(known) = book.intent(&id, now) {
            if known.reference == reference && known.money(known.amount) == amount {
                return Ok(Change::intent(known));
            }
            return Err(Refusal::rejected(format!("{id} exists: use a new key for another intent")));
        }
        let secret = short_hash(&[&self.secret, id.as_str().as_bytes()]);
        let secret = ClientSecret::new(format!("{id}_secret_{secret}"));
        Ok(Change::intent(Intent::new(id, secret, reference, amount)))
    }

    fn next_action(&self, intent: &PaymentIntentId) -> NextAction {
        match &self.authentication_url {
            Some(url) => NextAction { kind: "redirect_to_url".into(), url: Some(format!("{url}/{intent}")) },
            None => NextAction { kind: "use_stripe_sdk".into(), url: None },
        }
    }

    fn intent_call(&self, call: GatewayCall) -> Result<IntentSnapshot, PortError> {
        let operation = operation(&call);
        match self.call(call)? {
            Answer::Intent(snapshot) => Ok(snapshot),
            Answer::Refund(_) | Answer::Refused(_) | Answer::Failed => Err(mixed_up(operation)),
        }
    }

    fn refund_call(&self, call: GatewayCall) -> Result<RefundSnapshot, PortError> {
        let operation = operation(&call);
        match self.call(call)? {
            Answer::Refund(snapshot) => Ok(snapshot),
            Answer::Intent(_) | Answer::Refused(_) | Answer::Failed => Err(mixed_up(operation)),
        }
    }
}

fn mixed_up(operation: &'static str) -> PortError {
    PortError::new(Kind::Corrupt, operation, "the saved answer is of another kind: the journal is damaged")
}

/// 24 hexadecimal digits of the SHA-256 of the parts.
fn short_hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize()
        .iter()
        .take(12)
        .fold(String::with_capacity(24), |text, byte| text + &format!("{byte:02x}"))
}

#[async_trait]
impl PaymentGateway for TestGateway {
    async fn create_intent(
        &self,
        key: &GatewayKey,
        amount: Money,
        reference: BookingId,
    ) -> Result<IntentSnapshot, PortError> {
        self.intent_call(GatewayCall::CreateIntent { key: key.clone(), amount, reference })
    }

    async fn confirm_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        method: &PaymentMethodId,
    ) -> Result<IntentSnapshot, PortError> {
        let (key, intent, method) = (key.clone(), intent.clone(), method.clone());
        self.intent_call(GatewayCall::ConfirmIntent { key, intent, method })
    }

    async fn capture_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        amount: Money,
    ) -> Result<IntentSnapshot, PortError> {
        self.intent_call(GatewayCall::CaptureIntent { key: key.clone(), intent: intent.clone(), amount })
    }

    async fn cancel_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
    ) -> Result<IntentSnapshot, PortError> {
        self.intent_call(GatewayCall::CancelIntent { key: key.clone(), intent: intent.clone() })
    }

    async fn create_refund(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        amount: Money,
    ) -> Result<RefundSnapshot, PortError> {
        self.refund_call(GatewayCall::CreateRefund { key: key.clone(), intent: intent.clone(), amount })
    }

    async fn fetch_intent(&self, intent: &PaymentIntentId) -> Result<IntentSnapshot, PortError> {
        self.intent_call(GatewayCall::FetchIntent { intent: intent.clone() })
    }

    async fn fetch_refund(&self, refund: &RefundId) -> Result<RefundSnapshot, PortError> {
        self.refund_call(GatewayCall::FetchRefund { refund: refund.clone() })
    }
}
