//! The payment provider: its own books, kept by its own rules (Stripe's payment intents with manual capture).

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use rideplane_core::ids::{BookingId, GatewayKey, PaymentIntentId, PaymentMethodId, RefundId};
use rideplane_core::money::{Currency, Money};
use rideplane_core::payment::{
    ClientSecret, Decline, DeclineClass, GatewayCall, IntentSnapshot, IntentStatus, NextAction,
    RefundSnapshot, RefundStatus,
};
use rideplane_core::time::Span;
use rideplane_ports::{Kind, PaymentGateway, PortError};

use crate::defects::Defect;
use crate::net::{Happening, Net, Part};
use crate::oracle::Oracle;
use crate::trace::{Line, name};

/// A card that works.
pub(crate) const GOOD: &str = "pm_good";
/// A card whose customer must authenticate.
pub(crate) const CHALLENGED: &str = "pm_challenged";
/// A card without money.
pub(crate) const POOR: &str = "pm_poor";
/// A card that was stolen.
pub(crate) const STOLEN: &str = "pm_stolen";

/// For how long a hold can be captured.
const HOLD_LASTS: Span = Span::from_minutes(7 * 24 * 60);

/// What the provider knows of an intent.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) booking: BookingId,
    pub(crate) amount: i64,
    pub(crate) held: i64,
    pub(crate) received: i64,
    pub(crate) refunded: i64,
    pub(crate) captures: u32,
    snapshot: IntentSnapshot,
    before: Option<IntentSnapshot>,
    attempts: u32,
}

#[derive(Clone)]
enum Answer {
    Intent(IntentSnapshot),
    Refund(RefundSnapshot),
    Refused(String),
}

/// The books.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) intents: BTreeMap<PaymentIntentId, Intent>,
    refunds: BTreeMap<RefundId, RefundSnapshot>,
    keys: BTreeMap<GatewayKey, (GatewayCall, Answer)>,
}

/// The provider.
pub(crate) struct Provider {
    net: Arc<Net>,
    oracle: Arc<Mutex<Oracle>>,
    defect: Option<Defect>,
    pub(crate) books: Mutex<Books>,
}

impl Provider {
    pub(crate) fn new(net: Arc<Net>, oracle: Arc<Mutex<Oracle>>, defect: Option<Defect>) -> Self {
        Self { net, oracle, defect, books: Mutex::default() }
    }

    /// What was true before the last change; of an intent that nobody changed yet, what is true.
    pub(crate) fn stale(&self, intent: &PaymentIntentId) -> Option<IntentSnapshot> {
        let books = self.books.lock();
        let known = books.intents.get(intent)?;
        Some(known.before.as_ref().unwrap_or(&known.snapshot).clone())
    }

    /// The customer finishes what the provider asked for, or fails at it.
    pub(crate) fn authenticate(&self, intent: &PaymentIntentId, success: bool) {
        let mut books = self.books.lock();
        let Some(known) = books.intents.get_mut(intent) else { return };
        if known.snapshot.status != IntentStatus::RequiresAction {
            return;
        }
        known.remember();
        known.snapshot.next_action = None;
        if success {
            known.hold(&self.net);
        } else {
            known.fail("authentication_failure", DeclineClass::AuthenticationRequired);
        }
        self.note(format!("customer authenticates: {success}"));
        let reference = known.booking;
        drop(books);
        self.hint(reference);
    }

    fn hint(&self, reference: BookingId) {
        let wait = self.net.draw(|rng| rng.between(10_000, 3_000_000));
        self.net.after(wait, Happening::Hint { reference, tries: 0 });
    }

    fn note(&self, text: String) {
        self.net.note(|| Line::at(Part::Provider, text));
    }

    /// Carries a call out once for each key.
    fn once(&self, key: &GatewayKey, call: GatewayCall) -> Answer {
        let mut books = self.books.lock();
        if let Some((first, answer)) = books.keys.get(key) {
            if *first == call {
                return answer.clone();
            }
            self.oracle.lock().key_reused(key, self.net.now());
            return Answer::Refused("this key was used for another request".to_owned());
        }
        let answer = self.carry_out(&mut books, &call);
        self.net.note(|| {
            let text = match &answer {
                Answer::Intent(snapshot) => format!("{}: {:?}", words(&call), snapshot.status),
                Answer::Refund(refund) => format!("{}: {:?}", words(&call), refund.status),
                Answer::Refused(why) => format!("{}: refused, {why}", words(&call)),
            };
            Line::between("Server", name(Part::Provider), text)
        });
        books.keys.insert(key.clone(), (call, answer.clone()));
        answer
    }

    fn carry_out(&self, books: &mut Books, call: &GatewayCall) -> Answer {
        match call {
            GatewayCall::CreateIntent { amount, reference, .. } => {
                let id = PaymentIntentId::new(format!("pi_{}", books.intents.len() + 1)).unwrap();
                let intent = Intent::new(&id, *amount, *reference);
                let answer = Answer::Intent(intent.snapshot.clone());
                books.intents.insert(id, intent);
                answer
            }
            GatewayCall::ConfirmIntent { intent, method, .. } => {
                let answer = self.change(books, intent, |known| known.confirm(method, &self.net));
                self.holds_once(books, intent);
                answer
            }
            GatewayCall::CaptureIntent { intent, amount, .. } => {
                let again = self.defect == Some(Defect::DoubleCapture);
                self.change(books, intent, |known| known.capture(amount.to_minor(), again))
            }
            GatewayCall::CancelIntent { intent, .. } => {
                if self.defect == Some(Defect::VoidLost) {
                    let known = books.intents.get(intent).map(|known| known.snapshot.clone());
                    return known.map_or_else(
                        || Answer::Refused("no such intent".to_owned()),
                        |mut snapshot| {
                            snapshot.status = IntentStatus::Canceled;
                            snapshot.amount_capturable = Money::zero(Currency::EUR);
                            Answer::Intent(snapshot)
                        },
                    );
                }
                self.change(books, intent, Intent::cancel)
            }
            GatewayCall::CreateRefund { intent, amount, .. } => self.refund(books, intent, *amount),
            GatewayCall::FetchIntent { .. } | GatewayCall::FetchRefund { .. } => {
                Answer::Refused("a read has no key".to_owned())
            }
        }
    }

    fn change(
        &self,
        books: &mut Books,
        id: &PaymentIntentId,
        change: impl FnOnce(&mut Intent) -> Result<(), String>,
    ) -> Answer {
        let Some(known) = books.intents.get_mut(id) else {
            return Answer::Refused("no such intent".to_owned());
        };
        let before = known.clone();
        known.remember();
        match change(known) {
            Ok(()) => {
                self.oracle.lock().provider_moved(&before, known, self.net.now());
                self.hint(known.booking);
                Answer::Intent(known.snapshot.clone())
            }
            Err(why) => Answer::Refused(why),
        }
    }

    fn holds_once(&self, books: &Books, intent: &PaymentIntentId) {
        let Some(confirmed) = books.intents.get(intent) else { return };
        let holding = |other: &&Intent| other.booking == confirmed.booking && other.held > 0;
        let holds = books.intents.values().filter(holding).count();
        self.oracle.lock().held(confirmed.booking, holds, self.net.now());
    }

    fn refund(&self, books: &mut Books, id: &PaymentIntentId, amount: Money) -> Answer {
        let Some(known) = books.intents.get_mut(id) else {
            return Answer::Refused("no such intent".to_owned());
        };
        let minor = amount.to_minor();
        if minor <= 0 || minor > known.received - known.refunded {
            return Answer::Refused("more than is left to refund".to_owned());
        }
        known.remember();
        known.refunded += minor;
        known.snapshot.amount_refunded = Some(Money::from_minor(known.refunded, Currency::EUR));
        let refund = RefundId::new(format!("re_{}", books.refunds.len() + 1)).unwrap();
        let snapshot =
            RefundSnapshot { refund, intent: Some(id.clone()), amount, status: RefundStatus::Succeeded };
        books.refunds.insert(snapshot.refund.clone(), snapshot.clone());
        Answer::Refund(snapshot)
    }

    fn intent_call(&self, key: &GatewayKey, call: GatewayCall) -> Result<IntentSnapshot, PortError> {
        match self.once(key, call) {
            Answer::Intent(snapshot) => Ok(snapshot),
            Answer::Refund(_) => Err(PortError::new(Kind::Corrupt, "gateway", "another kind of answer")),
            Answer::Refused(why) => Err(PortError::new(Kind::Rejected, "gateway", why)),
        }
    }
}

impl Intent {
    fn new(id: &PaymentIntentId, amount: Money, booking: BookingId) -> Self {
        let snapshot = fresh_intent(id, amount, booking);
        let amount = amount.to_minor();
        let (held, received, refunded, captures, attempts) = (0, 0, 0, 0, 0);
        Self { booking, amount, held, received, refunded, captures, snapshot, before: None, attempts }
    }

    fn remember(&mut self) {
        self.before = Some(self.snapshot.clone());
    }

    fn confirm(&mut self, method: &PaymentMethodId, net: &Net) -> Result<(), String> {
        match self.snapshot.status {
            IntentStatus::RequiresPaymentMethod
            | IntentStatus::RequiresConfirmation
            | IntentStatus::RequiresAction => {}
            IntentStatus::Processing
            | IntentStatus::RequiresCapture
            | IntentStatus::Succeeded
            | IntentStatus::Canceled
            | IntentStatus::Other(_) => return Err("payment_intent_unexpected_state".to_owned()),
        }
        self.attempts += 1;
        self.snapshot.decline = None;
        self.snapshot.next_action = None;
        match method.as_str() {
            GOOD => self.hold(net),
            CHALLENGED => {
                self.snapshot.status = IntentStatus::RequiresAction;
                self.snapshot.next_action = Some(NextAction { kind: "use_stripe_sdk".into(), url: None });
            }
            STOLEN => self.fail("stolen_card", DeclineClass::HardStop),
            _ => self.fail("insufficient_funds", DeclineClass::Retryable),
        }
        Ok(())
    }

    fn hold(&mut self, net: &Net) {
        self.held = self.amount;
        self.snapshot.status = IntentStatus::RequiresCapture;
        self.snapshot.amount_capturable = self.snapshot.amount;
        self.snapshot.capture_before = Some(net.now().plus(HOLD_LASTS));
    }

    fn fail(&mut self, code: &str, class: DeclineClass) {
        self.snapshot.status = IntentStatus::RequiresPaymentMethod;
        let charge = Some(format!("ch_{}", self.attempts).into());
        self.snapshot.decline = Some(Decline { charge, code: code.into(), class });
    }

    fn capture(&mut self, minor: i64, again: bool) -> Result<(), String> {
        let may = self.snapshot.status == IntentStatus::RequiresCapture;
        if !may || minor <= 0 || minor > self.held {
            return Err("payment_intent_unexpected_state".to_owned());
        }
        self.received += if again { 2 * minor } else { minor };
        self.captures += if again { 2 } else { 1 };
        self.held = 0;
        self.snapshot.status = IntentStatus::Succeeded;
        self.snapshot.amount_capturable = Money::zero(Currency::EUR);
        self.snapshot.amount_received = Money::from_minor(minor, Currency::EUR);
        Ok(())
    }

    fn cancel(&mut self) -> Result<(), String> {
        match self.snapshot.status {
            IntentStatus::Succeeded | IntentStatus::Canceled => {
                Err("payment_intent_unexpected_state".to_owned())
            }
            IntentStatus::RequiresPaymentMethod
            | IntentStatus::RequiresConfirmation
            | IntentStatus::RequiresAction
            | IntentStatus::Processing
            | IntentStatus::RequiresCapture
            | IntentStatus::Other(_) => {
                self.held = 0;
                self.snapshot.status = IntentStatus::Canceled;
                self.snapshot.amount_capturable = Money::zero(Currency::EUR);
                self.snapshot.next_action = None;
                Ok(())
            }
        }
    }
}

/// An intent that nobody has confirmed yet.
pub(crate) fn fresh_intent(id: &PaymentIntentId, amount: Money, booking: BookingId) -> IntentSnapshot {
    let zero = Money::zero(Currency::EUR);
    IntentSnapshot {
        intent: id.clone(),
        client_secret: Some(ClientSecret::new("secret")),
        status: IntentStatus::RequiresPaymentMethod,
        amount,
        amount_capturable: zero,
        amount_received: zero,
        amount_refunded: Some(zero),
        capture_before: None,
        next_action: None,
        decline: None,
        reference: Some(booking),
    }
}

fn words(call: &GatewayCall) -> &'static str {
    match call {
        GatewayCall::CreateIntent { .. } => "create intent",
        GatewayCall::ConfirmIntent { .. } => "confirm intent",
        GatewayCall::CaptureIntent { .. } => "capture",
        GatewayCall::CancelIntent { .. } => "cancel intent",
        GatewayCall::CreateRefund { .. } => "refund",
        GatewayCall::FetchIntent { .. } => "fetch intent",
        GatewayCall::FetchRefund { .. } => "fetch refund",
    }
}

fn missing(operation: &'static str) -> PortError {
    PortError::new(Kind::NotFound, operation, "resource_missing")
}

#[async_trait]
impl PaymentGateway for Provider {
    async fn create_intent(
        &self,
        key: &GatewayKey,
        amount: Money,
        reference: BookingId,
    ) -> Result<IntentSnapshot, PortError> {
        self.intent_call(key, GatewayCall::CreateIntent { key: key.clone(), amount, reference })
    }
    async fn confirm_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        method: &PaymentMethodId,
    ) -> Result<IntentSnapshot, PortError> {
        let (intent, method) = (intent.clone(), method.clone());
        self.intent_call(key, GatewayCall::ConfirmIntent { key: key.clone(), intent, method })
    }
    async fn capture_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        amount: Money,
    ) -> Result<IntentSnapshot, PortError> {
        self.intent_call(key, GatewayCall::CaptureIntent { key: key.clone(), intent: intent.clone(), amount })
    }
    async fn cancel_intent(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
    ) -> Result<IntentSnapshot, PortError> {
        self.intent_call(key, GatewayCall::CancelIntent { key: key.clone(), intent: intent.clone() })
    }
    async fn create_refund(
        &self,
        key: &GatewayKey,
        intent: &PaymentIntentId,
        amount: Money,
    ) -> Result<RefundSnapshot, PortError> {
        match self.once(key, GatewayCall::CreateRefund { key: key.clone(), intent: intent.clone(), amount }) {
            Answer::Refund(snapshot) => Ok(snapshot),
            Answer::Intent(_) => Err(PortError::new(Kind::Corrupt, "gateway", "another kind of answer")),
            Answer::Refused(why) => Err(PortError::new(Kind::Rejected, "gateway", why)),
        }
    }
    async fn fetch_intent(&self, intent: &PaymentIntentId) -> Result<IntentSnapshot, PortError> {
        let books = self.books.lock();
        let known = books.intents.get(intent).ok_or_else(|| missing("gateway.fetch_intent"))?;
        Ok(known.snapshot.clone())
    }
    async fn fetch_refund(&self, refund: &RefundId) -> Result<RefundSnapshot, PortError> {
        self.books.lock().refunds.get(refund).cloned().ok_or_else(|| missing("gateway.fetch_refund"))
    }
}
