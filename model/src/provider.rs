//! The payment provider's book: one answer per key, and an intent is open, held, captured or cancelled.

use std::collections::BTreeMap;

use rideplane_core::ids::{BookingId, PaymentIntentId, PaymentMethodId};
use rideplane_core::money::Money;
use rideplane_core::payment::{
    CallId, Decline, DeclineClass, Fact, GatewayCall, IntentSnapshot, IntentStatus, NextAction, Op,
};

use crate::action::Card;
use crate::defects::Defect;

#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) reference: BookingId,
    amount: Money,
    status: IntentStatus,
    /// Money is held, whatever the provider says.
    pub(crate) holds: bool,
    pub(crate) captured: Vec<Money>,
    failures: u8,
    decline: Option<Decline>,
}

/// The answer that a key has; `None` is a refusal.
type Reply = Option<IntentSnapshot>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Provider {
    pub(crate) intents: BTreeMap<PaymentIntentId, Intent>,
    replies: BTreeMap<String, Reply>,
}

impl Provider {
    /// Carries a call out, once per key, and says what came of it.
    pub(crate) fn call(&mut self, call: &GatewayCall, id: CallId, defect: Option<Defect>) -> Fact {
        let key = key(call).filter(|_| defect != Some(Defect::RetryWithNewKey));
        let known = key.as_ref().and_then(|key| self.replies.get(key));
        let again =
            matches!(call, GatewayCall::CaptureIntent { .. }) && defect == Some(Defect::CapturedTwice);
        let reply = match known {
            Some(reply) if !again => reply.clone(),
            Some(_) | None => {
                let reply = self.carry_out(call, defect);
                if let Some(key) = key {
                    self.replies.insert(key, reply.clone());
                }
                reply
            }
        };
        match (reply, id.op) {
            (Some(snapshot), Op::Fetch) => Fact::Fetched(snapshot),
            (Some(snapshot), Op::Create | Op::Confirm | Op::Capture | Op::Cancel | Op::Refund) => {
                Fact::Answer { op: id.op, seq: id.seq, snapshot }
            }
            (None, _) => Fact::Refused { op: id.op, seq: id.seq, code: "unexpected_state".into() },
        }
    }

    /// Whether the provider waits for a customer.
    pub(crate) fn challenges(&self, reference: BookingId) -> bool {
        self.intents.values().any(|intent| intent.is_challenged(reference))
    }

    /// A customer does what the provider asked for, or fails at it.
    pub(crate) fn authenticate(&mut self, reference: BookingId, success: bool) {
        let Some(intent) = self.intents.values_mut().find(|intent| intent.is_challenged(reference)) else {
            return;
        };
        if success {
            intent.hold();
        } else {
            intent.fail("authentication_failure", DeclineClass::AuthenticationRequired);
        }
    }

    fn carry_out(&mut self, call: &GatewayCall, defect: Option<Defect>) -> Reply {
        let (name, intent) = match call {
            GatewayCall::CreateIntent { amount, reference, .. } => {
                let name = self.create(*amount, *reference);
                return self.show(&name);
            }
            GatewayCall::ConfirmIntent { intent, .. }
            | GatewayCall::CaptureIntent { intent, .. }
            | GatewayCall::CancelIntent { intent, .. }
            | GatewayCall::FetchIntent { intent } => (intent, self.intents.get_mut(intent)?),
            // No ride is paid back here: what is not captured is voided.
            GatewayCall::CreateRefund { .. } | GatewayCall::FetchRefund { .. } => return None,
        };
        let done = match call {
            GatewayCall::ConfirmIntent { method, .. } => intent.confirm(method),
            GatewayCall::CaptureIntent { amount, .. } => {
                let whole = defect == Some(Defect::WholeHoldCaptured);
                let amount = if whole { intent.amount } else { *amount };
                intent.capture(amount, defect == Some(Defect::CapturedTwice))
            }
            GatewayCall::CancelIntent { .. }
                if defect == Some(Defect::CaptureInsteadOfVoid) && intent.holds =>
            {
                intent.capture(intent.amount, false)
            }
            GatewayCall::CancelIntent { .. } => intent.cancel(defect == Some(Defect::VoidLost)),
            GatewayCall::FetchIntent { .. } => true,
            GatewayCall::CreateIntent { .. }
            | GatewayCall::CreateRefund { .. }
            | GatewayCall::FetchRefund { .. } => false,
        };
        let name = name.clone();
        if done { self.show(&name) } else { None }
    }

    /// Named by its booking, so that the order in which riders come makes no other state.
    fn create(&mut self, amount: Money, reference: BookingId) -> PaymentIntentId {
        let before = self.intents.values().filter(|intent| intent.reference == reference).count();
        let name = PaymentIntentId::new(format!("pi_{reference}_{before}")).unwrap();
        let status = IntentStatus::RequiresPaymentMethod;
        let intent = Intent {
            reference,
            amount,
            status,
            holds: false,
            captured: Vec::new(),
            failures: 0,
            decline: None,
        };
        self.intents.insert(name.clone(), intent);
        name
    }

    fn show(&self, name: &PaymentIntentId) -> Reply {
        let intent = self.intents.get(name)?;
        let zero = Money::zero(intent.amount.currency());
        let held = intent.status == IntentStatus::RequiresCapture;
        let challenged = intent.status == IntentStatus::RequiresAction;
        Some(IntentSnapshot {
            intent: name.clone(),
            client_secret: None,
            status: intent.status.clone(),
            amount: intent.amount,
            amount_capturable: if held { intent.amount } else { zero },
            amount_received: intent.captured.first().copied().unwrap_or(zero),
            amount_refunded: Some(zero),
            capture_before: None,
            next_action: challenged.then(|| NextAction { kind: "use_stripe_sdk".into(), url: None }),
            decline: intent.decline.clone(),
            reference: Some(intent.reference),
        })
    }
}

impl Intent {
    fn is_challenged(&self, reference: BookingId) -> bool {
        self.reference == reference && self.status == IntentStatus::RequiresAction
    }

    fn confirm(&mut self, method: &PaymentMethodId) -> bool {
        if self.status != IntentStatus::RequiresPaymentMethod && self.status != IntentStatus::RequiresAction {
            return false;
        }
        self.decline = None;
        if method.as_str() == Card::Good.method() {
            self.hold();
        } else if method.as_str() == Card::Challenged.method() {
            self.status = IntentStatus::RequiresAction;
        } else {
            self.fail("insufficient_funds", DeclineClass::Retryable);
        }
        true
    }

    fn hold(&mut self) {
        self.holds = true;
        self.status = IntentStatus::RequiresCapture;
    }

    fn fail(&mut self, code: &str, class: DeclineClass) {
        self.failures = self.failures.saturating_add(1);
        self.status = IntentStatus::RequiresPaymentMethod;
        let charge = Some(format!("ch_{}", self.failures).into());
        self.decline = Some(Decline { charge, code: code.into(), class });
    }

    fn capture(&mut self, amount: Money, again: bool) -> bool {
        let open = self.status == IntentStatus::RequiresCapture;
        let repeated = again && self.status == IntentStatus::Succeeded;
        if !open && !repeated {
            return false;
        }
        self.status = IntentStatus::Succeeded;
        self.holds = false;
        self.captured.push(amount);
        true
    }

    fn cancel(&mut self, lost: bool) -> bool {
        if self.status == IntentStatus::Succeeded || self.status == IntentStatus::Canceled {
            return false;
        }
        self.status = IntentStatus::Canceled;
        self.holds = self.holds && lost;
        true
    }
}

fn key(call: &GatewayCall) -> Option<String> {
    match call {
        GatewayCall::CreateIntent { key, .. }
        | GatewayCall::ConfirmIntent { key, .. }
        | GatewayCall::CaptureIntent { key, .. }
        | GatewayCall::CancelIntent { key, .. }
        | GatewayCall::CreateRefund { key, .. } => Some(key.to_string()),
        GatewayCall::FetchIntent { .. } | GatewayCall::FetchRefund { .. } => None,
    }
}
