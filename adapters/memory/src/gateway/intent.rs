//! One payment intent, as Stripe's documentation says it moves with `capture_method=manual`
//! (<https://docs.stripe.com/payments/paymentintents/lifecycle>).

use rideplane_core::ids::{BookingId, PaymentIntentId, PaymentMethodId};
use rideplane_core::money::{Currency, Money};
use rideplane_core::payment::{
    ClientSecret, Decline, DeclineClass, IntentSnapshot, IntentStatus, NextAction,
};
use rideplane_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::book::Refusal;

/// For how long a card payment that the customer made online can be captured.
const HOLD_LASTS: Span = Span::from_minutes(7 * 24 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    RequiresCapture,
    Succeeded,
    Canceled,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Intent {
    pub(super) id: PaymentIntentId,
    pub(super) client_secret: ClientSecret,
    pub(super) reference: BookingId,
    pub(super) currency: Currency,
    /// Minor units, like all amounts here.
    pub(super) amount: i64,
    pub(super) status: Status,
    /// Whether money was ever held.
    pub(super) authorized: bool,
    pub(super) received: i64,
    pub(super) refunded: i64,
    pub(super) capture_before: Option<Timestamp>,
    pub(super) next_action: Option<NextAction>,
    pub(super) decline: Option<Decline>,
    pub(super) attempts: u32,
    /// Reads so far, for the fault plan; starts again with the process.
    #[serde(skip)]
    pub(super) reads: u32,
}

/// What a test payment method does when it is confirmed.
enum Card {
    Holds,
    Authenticates,
    Declines(&'static str, DeclineClass),
    /// Stripe answers 400 `resource_missing`. The rider is told a clear failure and may name another method.
    Missing,
}

impl Card {
    /// Stripe's test payment methods (<https://docs.stripe.com/testing>), with and without the brand in the name.
    fn of(method: &PaymentMethodId) -> Self {
        let name = method.as_str();
        match name.strip_prefix("pm_card_visa_").or(name.strip_prefix("pm_card_")) {
            Some("visa" | "visa_debit" | "mastercard" | "amex") => Self::Holds,
            Some("authenticationRequired" | "threeDSecure2Required" | "threeDSecureRequired") => {
                Self::Authenticates
            }
            Some("chargeDeclined") => Self::Declines("card_declined", DeclineClass::Retryable),
            Some("chargeDeclinedInsufficientFunds") => {
                Self::Declines("insufficient_funds", DeclineClass::Retryable)
            }
            Some("chargeDeclinedExpiredCard") => Self::Declines("expired_card", DeclineClass::Retryable),
            Some("chargeDeclinedProcessingError") => {
                Self::Declines("processing_error", DeclineClass::Retryable)
            }
            Some("chargeDeclinedLostCard") => Self::Declines("lost_card", DeclineClass::HardStop),
            Some("chargeDeclinedStolenCard") => Self::Declines("stolen_card", DeclineClass::HardStop),
            Some("chargeDeclinedFraudulent") => Self::Declines("fraudulent", DeclineClass::HardStop),
            Some(_) | None => Self::Missing,
        }
    }
}

impl Intent {
    pub(super) fn new(
        id: PaymentIntentId,
        client_secret: ClientSecret,
        reference: BookingId,
        amount: Money,
    ) -> Self {
        Self {
            id,
            client_secret,
            reference,
            currency: amount.currency(),
            amount: amount.to_minor(),
            status: Status::RequiresPaymentMethod,
            authorized: false,
            received: 0,
            refunded: 0,
            capture_before: None,
            next_action: None,
            decline: None,
            attempts: 0,
            reads: 0,
        }
    }

    /// The intent as it stands at `now`: a hold that was not captured in time is cancelled.
    pub(super) fn at(mut self, now: Timestamp) -> Self {
        if self.status == Status::RequiresCapture && self.capture_before.is_some_and(|end| end <= now) {
            self.status = Status::Canceled;
        }
        self
    }

    pub(super) fn confirm(
        &mut self,
        method: &PaymentMethodId,
        now: Timestamp,
        action: impl FnOnce(&PaymentIntentId) -> NextAction,
    ) -> Result<(), Refusal> {
        match self.status {
            Status::RequiresPaymentMethod | Status::RequiresConfirmation | Status::RequiresAction => {}
            Status::RequiresCapture | Status::Succeeded | Status::Canceled => {
                return Err(self.unexpected("confirmed"));
            }
        }
        self.attempts += 1;
        self.decline = None;
        self.next_action = None;
        match Card::of(method) {
            Card::Holds => self.hold(now),
            Card::Authenticates => {
                self.status = Status::RequiresAction;
                self.next_action = Some(action(&self.id));
            }
            Card::Declines(code, class) => {
                let charge = format!("ch_{}_{}", self.id.as_str().trim_start_matches("pi_"), self.attempts);
                self.fail(Decline { charge: Some(charge.into()), code: code.into(), class });
            }
            Card::Missing => self.fail(Decline {
                charge: None,
                code: "payment_method_not_available".into(),
                class: DeclineClass::Retryable,
            }),
        }
        Ok(())
    }

    pub(super) fn attach(&mut self) -> Result<(), Refusal> {
        match self.status {
            Status::RequiresPaymentMethod | Status::RequiresConfirmation | Status::RequiresAction => {
                self.status = Status::RequiresConfirmation;
                self.next_action = None;
                Ok(())
            }
            Status::RequiresCapture | Status::Succeeded | Status::Canceled => {
                Err(self.unexpected("given another method"))
            }
        }
    }

    pub(super) fn authenticate(&mut self, success: bool, now: Timestamp) -> Result<(), Refusal> {
        match self.status {
            Status::RequiresAction => {}
            Status::RequiresPaymentMethod
            | Status::RequiresConfirmation
            | Status::RequiresCapture
            | Status::Succeeded
            | Status::Canceled => return Err(self.unexpected("authenticated")),
        }
        self.next_action = None;
        if success {
            self.hold(now);
        } else {
            self.fail(Decline {
                charge: None,
                code: "payment_intent_authentication_failure".into(),
                class: DeclineClass::AuthenticationRequired,
            });
        }
        Ok(())
    }

    pub(super) fn capture(&mut self, amount: Money) -> Result<(), Refusal> {
        match self.status {
            Status::RequiresCapture => {}
            Status::RequiresPaymentMethod
            | Status::RequiresConfirmation
            | Status::RequiresAction
            | Status::Succeeded
            | Status::Canceled => return Err(self.unexpected("captured")),
        }
        self.same_currency(amount)?;
        if amount.to_minor() > self.amount {
            let most = self.money(self.amount);
            return Err(Refusal::rejected(format!(
                "amount_too_large: {amount} is more than the {most} that can be captured"
            )));
        }
        self.status = Status::Succeeded;
        self.received = amount.to_minor();
        Ok(())
    }

    pub(super) fn cancel(&mut self) -> Result<(), Refusal> {
        match self.status {
            Status::RequiresPaymentMethod
            | Status::RequiresConfirmation
            | Status::RequiresAction
            | Status::RequiresCapture => {
                self.status = Status::Canceled;
                self.next_action = None;
                Ok(())
            }
            Status::Succeeded | Status::Canceled => Err(self.unexpected("canceled")),
        }
    }

    pub(super) fn refund(&mut self, amount: Money) -> Result<(), Refusal> {
        self.same_currency(amount)?;
        let left = self.received - self.refunded;
        if self.status != Status::Succeeded {
            return Err(self.unexpected("refunded"));
        }
        if amount.to_minor() > left {
            let left = self.money(left);
            return Err(Refusal::rejected(format!(
                "charge_already_refunded: {amount} is more than the {left} that is left to refund"
            )));
        }
        self.refunded += amount.to_minor();
        Ok(())
    }

    pub(super) fn snapshot(&self) -> IntentSnapshot {
        let status = match self.status {
            Status::RequiresPaymentMethod => IntentStatus::RequiresPaymentMethod,
            Status::RequiresConfirmation => IntentStatus::RequiresConfirmation,
            Status::RequiresAction => IntentStatus::RequiresAction,
            Status::RequiresCapture => IntentStatus::RequiresCapture,
            Status::Succeeded => IntentStatus::Succeeded,
            Status::Canceled => IntentStatus::Canceled,
        };
        IntentSnapshot {
            intent: self.id.clone(),
            client_secret: Some(self.client_secret.clone()),
            status,
            amount: self.money(self.amount),
            amount_capturable: self.money(self.open()),
            amount_received: self.money(self.received),
            amount_refunded: Some(self.money(self.refunded)),
            capture_before: self.capture_before,
            next_action: self.next_action.clone(),
            decline: self.decline.clone(),
            reference: Some(self.reference),
        }
    }

    /// What is held now.
    pub(super) fn open(&self) -> i64 {
        if self.status == Status::RequiresCapture { self.amount } else { 0 }
    }

    pub(super) fn money(&self, minor: i64) -> Money {
        Money::from_minor(minor, self.currency)
    }

    fn hold(&mut self, now: Timestamp) {
        self.status = Status::RequiresCapture;
        self.authorized = true;
        self.capture_before = Some(now.plus(HOLD_LASTS));
    }

    fn fail(&mut self, decline: Decline) {
        self.status = Status::RequiresPaymentMethod;
        self.decline = Some(decline);
    }

    fn same_currency(&self, amount: Money) -> Result<(), Refusal> {
        if amount.currency() == self.currency {
            return Ok(());
        }
        Err(Refusal::rejected(format!("currency_mismatch: {amount} is not in {:?}", self.currency.code())))
    }

    fn unexpected(&self, wish: &str) -> Refusal {
        let Self { id, status, .. } = self;
        Refusal::rejected(format!(
            "payment_intent_unexpected_state: {id} is {status:?}, which can't be {wish}"
        ))
    }
}
