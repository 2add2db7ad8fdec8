//! A provider written from Stripe's documentation alone: integers, its own statuses, saved answers per key.

use std::collections::BTreeMap;

use super::*;
use crate::ids::RefundId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Open,
    Action,
    Processing,
    Held,
    Captured,
    Canceled,
}

#[derive(Clone, Debug)]
pub(super) struct PaymentIntent {
    pub(super) status: Status,
    pub(super) received: i64,
    pub(super) refunded: i64,
    pub(super) capture_before: Option<Timestamp>,
    decline: Option<Decline>,
    /// How often each happened: a capture and a void together would be a contradiction.
    pub(super) captures: u32,
    pub(super) voids: u32,
}

#[derive(Clone, Debug)]
struct PaidBack {
    intent: usize,
    amount: i64,
    status: RefundStatus,
}

#[derive(Clone, Debug)]
pub(super) enum Reply {
    Intent(IntentSnapshot),
    Refund(RefundSnapshot),
    Refused(&'static str),
    Error500,
}

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The call never leaves, and we know.
    NotSent,
    /// The call is lost on the way there.
    CallLost,
    /// The call is carried out, the answer is lost.
    AnswerLost,
    /// The call arrives much later.
    Late,
    /// The provider fails before the effect, and saves that answer.
    FailsBefore,
    /// The provider fails after the effect, and saves that answer.
    FailsAfter,
}

#[derive(Default)]
pub(super) struct Provider {
    pub(super) intents: Vec<PaymentIntent>,
    refunds: Vec<PaidBack>,
    saved: BTreeMap<String, (GatewayCall, Reply)>,
    requests: BTreeMap<String, GatewayCall>,
    refunds_are_slow: bool,
    charges: u32,
}

fn key_of(call: &GatewayCall) -> Option<&str> {
    match call {
        GatewayCall::CreateIntent { key, .. }
        | GatewayCall::ConfirmIntent { key, .. }
        | GatewayCall::CaptureIntent { key, .. }
        | GatewayCall::CancelIntent { key, .. }
        | GatewayCall::CreateRefund { key, .. } => Some(key.as_str()),
        GatewayCall::FetchIntent { .. } | GatewayCall::FetchRefund { .. } => None,
    }
}

fn index(text: &str) -> usize {
    text.split('_').nth(1).unwrap().parse().unwrap()
}

impl Provider {
    pub(super) fn new(refunds_are_slow: bool) -> Self {
        Self { refunds_are_slow, ..Self::default() }
    }

    /// One key, one request: also for calls that are never sent.
    pub(super) fn register(&mut self, call: &GatewayCall) {
        if let Some(key) = key_of(call) {
            let first = self.requests.entry(key.to_owned()).or_insert_with(|| call.clone());
            assert_eq!(first, call, "one key stands for two requests");
        }
    }

    pub(super) fn carry_out(&mut self, call: &GatewayCall, now: Timestamp, fault: Fault) -> Reply {
        self.expire(now);
        let Some(key) = key_of(call) else { return self.effect(call, now) };
        if let Some((_, reply)) = self.saved.get(key) {
            return reply.clone();
        }
        let reply = match fault {
            Fault::FailsBefore => Reply::Error500,
            Fault::FailsAfter => {
                self.effect(call, now);
                Reply::Error500
            }
            Fault::None | Fault::NotSent | Fault::CallLost | Fault::AnswerLost | Fault::Late => {
                self.effect(call, now)
            }
        };
        self.saved.insert(key.to_owned(), (call.clone(), reply.clone()));
        reply
    }

    pub(super) fn expire(&mut self, now: Timestamp) {
        for intent in &mut self.intents {
            if intent.status == Status::Held && intent.capture_before.is_some_and(|end| end <= now) {
                intent.status = Status::Canceled;
            }
        }
    }

    fn effect(&mut self, call: &GatewayCall, now: Timestamp) -> Reply {
        match call {
            GatewayCall::CreateIntent { amount, .. } => {
                assert_eq!(amount.to_minor(), LIMIT);
                self.intents.push(PaymentIntent {
                    status: Status::Open,
                    received: 0,
                    refunded: 0,
                    capture_before: None,
                    decline: None,
                    captures: 0,
                    voids: 0,
                });
                Reply::Intent(self.show(self.intents.len() - 1))
            }
            GatewayCall::ConfirmIntent { intent, method, .. } => {
                self.confirm(index(intent.as_str()), method.as_str(), now)
            }
            GatewayCall::CaptureIntent { intent, amount, .. } => {
                self.capture(index(intent.as_str()), amount.to_minor(), now)
            }
            GatewayCall::CancelIntent { intent, .. } => self.cancel(index(intent.as_str())),
            GatewayCall::CreateRefund { intent, amount, .. } => {
                self.refund(index(intent.as_str()), amount.to_minor())
            }
            GatewayCall::FetchIntent { intent } => Reply::Intent(self.show(index(intent.as_str()))),
            GatewayCall::FetchRefund { refund } => Reply::Refund(self.show_refund(index(refund.as_str()))),
        }
    }

    fn confirm(&mut self, at: usize, method: &str, now: Timestamp) -> Reply {
        let intent = &mut self.intents[at];
        match intent.status {
            Status::Open | Status::Action => {
                self.charges += 1;
                intent.decline = None;
                match method {
                    "pm_visa" => intent.hold(now),
                    "pm_action" => intent.status = Status::Action,
                    "pm_slow" => intent.status = Status::Processing,
                    "pm_poor" => intent.decline(Some(self.charges), DeclineClass::Retryable),
                    other => {
                        assert_eq!(other, "pm_stolen");
                        intent.decline(Some(self.charges), DeclineClass::HardStop);
                    }
                }
                Reply::Intent(self.show(at))
            }
            Status::Processing | Status::Held | Status::Captured | Status::Canceled => {
                Reply::Refused("payment_intent_unexpected_state")
            }
        }
    }

    fn capture(&mut self, at: usize, amount: i64, now: Timestamp) -> Reply {
        let intent = &mut self.intents[at];
        assert!(amount > 0 && amount <= LIMIT, "captured {amount} of {LIMIT}");
        if intent.status != Status::Held || intent.capture_before.is_some_and(|end| end <= now) {
            return Reply::Refused("payment_intent_unexpected_state");
        }
        intent.status = Status::Captured;
        intent.received = amount;
        intent.captures += 1;
        Reply::Intent(self.show(at))
    }

    fn cancel(&mut self, at: usize) -> Reply {
        let intent = &mut self.intents[at];
        match intent.status {
            Status::Open | Status::Action | Status::Held => {
                intent.status = Status::Canceled;
                intent.voids += 1;
                Reply::Intent(self.show(at))
            }
            Status::Processing | Status::Captured | Status::Canceled => {
                Reply::Refused("payment_intent_unexpected_state")
            }
        }
    }

    fn refund(&mut self, at: usize, amount: i64) -> Reply {
        let intent = &mut self.intents[at];
        if intent.status != Status::Captured || intent.refunded + amount > intent.received {
            return Reply::Refused("charge_already_refunded");
        }
        intent.refunded += amount;
        let status = if self.refunds_are_slow { RefundStatus::Pending } else { RefundStatus::Succeeded };
        self.refunds.push(PaidBack { intent: at, amount, status });
        Reply::Refund(self.show_refund(self.refunds.len() - 1))
    }

    pub(super) fn show(&self, at: usize) -> IntentSnapshot {
        let intent = &self.intents[at];
        let status = match intent.status {
            Status::Open => IntentStatus::RequiresPaymentMethod,
            Status::Action => IntentStatus::RequiresAction,
            Status::Processing => IntentStatus::Processing,
            Status::Held => IntentStatus::RequiresCapture,
            Status::Captured => IntentStatus::Succeeded,
            Status::Canceled => IntentStatus::Canceled,
        };
        IntentSnapshot {
            intent: PaymentIntentId::new(format!("pi_{at}")).unwrap(),
            client_secret: Some(ClientSecret::new(format!("pi_{at}_secret"))),
            status,
            amount: eur(LIMIT),
            amount_capturable: eur(if intent.status == Status::Held { LIMIT } else { 0 }),
            amount_received: eur(intent.received),
            amount_refunded: Some(eur(intent.refunded)),
            capture_before: intent.capture_before,
            next_action: (intent.status == Status::Action)
                .then(|| NextAction { kind: "use_stripe_sdk".into(), url: None }),
            decline: intent.decline.clone(),
            reference: Some(reference()),
        }
    }

    fn show_refund(&self, at: usize) -> RefundSnapshot {
        let refund = &self.refunds[at];
        RefundSnapshot {
            refund: RefundId::new(format!("re_{at}")).unwrap(),
            intent: Some(PaymentIntentId::new(format!("pi_{}", refund.intent)).unwrap()),
            amount: eur(refund.amount),
            status: refund.status.clone(),
        }
    }

    /// The customer finishes authenticating. A failed authentication has no charge: two look the same.
    pub(super) fn authenticate(&mut self, at: usize, success: bool, now: Timestamp) {
        let intent = &mut self.intents[at];
        if intent.status == Status::Action {
            if success {
                intent.hold(now)
            } else {
                intent.decline(None, DeclineClass::AuthenticationRequired)
            }
        }
    }

    /// What was processing has been processed.
    pub(super) fn process(&mut self, success: bool, now: Timestamp) {
        self.charges += 1;
        for intent in &mut self.intents {
            if intent.status == Status::Processing {
                if success {
                    intent.hold(now)
                } else {
                    intent.decline(Some(self.charges), DeclineClass::Retryable)
                }
            }
        }
        for refund in &mut self.refunds {
            if refund.status == RefundStatus::Pending {
                refund.status = RefundStatus::Succeeded;
            }
        }
    }

    /// The bank sends the first refund back.
    pub(super) fn fail_a_refund(&mut self) -> Option<RefundSnapshot> {
        let refund = self.refunds.first_mut()?;
        refund.status = RefundStatus::Failed;
        self.intents[refund.intent].refunded -= refund.amount;
        Some(self.show_refund(0))
    }
}

impl PaymentIntent {
    fn hold(&mut self, now: Timestamp) {
        self.status = Status::Held;
        self.capture_before = Some(now.plus(Span::from_seconds(days(7))));
    }

    fn decline(&mut self, charge: Option<u32>, class: DeclineClass) {
        self.status = Status::Open;
        let charge = charge.map(|n| smol_str::SmolStr::from(format!("ch_{n}")));
        self.decline = Some(Decline { charge, code: "do_not_honor".into(), class });
    }
}
