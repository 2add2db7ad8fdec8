//! A provider in a few rules: one answer per key, and an intent is open, held, captured or cancelled.

use std::collections::BTreeMap;

use crate::ids::{BookingId, PaymentIntentId, RefundId};
use crate::money::{Currency, Money};
use crate::payment::{
    CallId, ClientSecret, Decline, DeclineClass, Fact, GatewayCall, IntentSnapshot, IntentStatus,
    RefundSnapshot, RefundStatus,
};

pub(super) const GOOD: &str = "pm_good";
pub(super) const POOR: &str = "pm_poor";
pub(super) const STOLEN: &str = "pm_stolen";
pub(super) const CAUTIOUS: &str = "pm_cautious";
pub(super) const METHODS: [&str; 4] = [GOOD, POOR, STOLEN, CAUTIOUS];

#[derive(Clone, Debug)]
pub(super) struct Intent {
    pub(super) reference: BookingId,
    pub(super) amount: i64,
    pub(super) received: i64,
    pub(super) refunded: i64,
    pub(super) status: IntentStatus,
    decline: Option<Decline>,
}

#[derive(Clone, Debug)]
enum Reply {
    Intent(IntentSnapshot),
    Refund(RefundSnapshot),
    Refused,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Gateway {
    pub(super) intents: Vec<Intent>,
    replies: BTreeMap<String, Reply>,
    attempts: u32,
}

fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

impl Gateway {
    pub(super) fn call(&mut self, call: &GatewayCall, id: CallId) -> Fact {
        let reply = match key(call) {
            Some(key) => match self.replies.get(&key) {
                Some(reply) => reply.clone(),
                None => {
                    let reply = self.carry_out(call);
                    self.replies.insert(key, reply.clone());
                    reply
                }
            },
            None => self.carry_out(call),
        };
        match (reply, call) {
            (Reply::Intent(snapshot), GatewayCall::FetchIntent { .. }) => Fact::Fetched(snapshot),
            (Reply::Intent(snapshot), _) => Fact::Answer { op: id.op, seq: id.seq, snapshot },
            (Reply::Refund(snapshot), GatewayCall::FetchRefund { .. }) => Fact::RefundFetched(snapshot),
            (Reply::Refund(snapshot), _) => Fact::RefundAnswer { seq: id.seq, snapshot },
            (Reply::Refused, _) => Fact::Refused { op: id.op, seq: id.seq, code: "unexpected_state".into() },
        }
    }

    /// The customer comes back from the bank.
    pub(super) fn authenticate(&mut self, intent: &PaymentIntentId, passed: bool) {
        let attempt = self.attempt();
        let intent = self.find(intent);
        if intent.status == IntentStatus::RequiresAction {
            if passed {
                intent.status = IntentStatus::RequiresCapture;
            } else {
                intent.decline(attempt, DeclineClass::AuthenticationRequired);
            }
        }
    }

    pub(super) fn show(&self, intent: &PaymentIntentId) -> IntentSnapshot {
        let index = index(intent);
        let shown = &self.intents[index];
        let held = shown.status == IntentStatus::RequiresCapture;
        IntentSnapshot {
            intent: intent.clone(),
            client_secret: Some(ClientSecret::new(format!("pi_{index}_secret"))),
            status: shown.status.clone(),
            amount: eur(shown.amount),
            amount_capturable: eur(if held { shown.amount } else { 0 }),
            amount_received: eur(shown.received),
            amount_refunded: Some(eur(shown.refunded)),
            capture_before: None,
            next_action: None,
            decline: shown.decline.clone(),
            reference: Some(shown.reference),
        }
    }

    fn attempt(&mut self) -> u32 {
        self.attempts += 1;
        self.attempts
    }

    fn find(&mut self, intent: &PaymentIntentId) -> &mut Intent {
        &mut self.intents[index(intent)]
    }

    fn carry_out(&mut self, call: &GatewayCall) -> Reply {
        let attempt = self.attempt();
        let intent = match call {
            GatewayCall::CreateIntent { amount, reference, .. } => {
                self.intents.push(Intent {
                    reference: *reference,
                    amount: amount.to_minor(),
                    received: 0,
                    refunded: 0,
                    status: IntentStatus::RequiresPaymentMethod,
                    decline: None,
                });
                PaymentIntentId::new(format!("pi_{}", self.intents.len() - 1)).unwrap()
            }
            GatewayCall::ConfirmIntent { intent, method, .. } => {
                let found = self.find(intent);
                if found.status != IntentStatus::RequiresPaymentMethod {
                    return Reply::Refused;
                }
                match method.as_str() {
                    POOR => found.decline(attempt, DeclineClass::Retryable),
                    STOLEN => found.decline(attempt, DeclineClass::HardStop),
                    CAUTIOUS => found.status = IntentStatus::RequiresAction,
                    _ => found.status = IntentStatus::RequiresCapture,
                }
                intent.clone()
            }
            GatewayCall::CaptureIntent { intent, amount, .. } => {
                let found = self.find(intent);
                if found.status != IntentStatus::RequiresCapture {
                    return Reply::Refused;
                }
                found.status = IntentStatus::Succeeded;
                found.received = amount.to_minor();
                intent.clone()
            }
            GatewayCall::CancelIntent { intent, .. } => {
                let found = self.find(intent);
                if found.status == IntentStatus::Succeeded || found.status == IntentStatus::Canceled {
                    return Reply::Refused;
                }
                found.status = IntentStatus::Canceled;
                intent.clone()
            }
            GatewayCall::CreateRefund { intent, amount, .. } => {
                self.find(intent).refunded += amount.to_minor();
                return Reply::Refund(RefundSnapshot {
                    refund: RefundId::new(format!("re_{attempt}")).unwrap(),
                    intent: Some(intent.clone()),
                    amount: *amount,
                    status: RefundStatus::Succeeded,
                });
            }
            GatewayCall::FetchIntent { intent } => intent.clone(),
            GatewayCall::FetchRefund { .. } => return Reply::Refused,
        };
        Reply::Intent(self.show(&intent))
    }
}

impl Intent {
    fn decline(&mut self, attempt: u32, class: DeclineClass) {
        self.status = IntentStatus::RequiresPaymentMethod;
        let charge = Some(format!("ch_{attempt}").into());
        self.decline = Some(Decline { charge, code: "insufficient_funds".into(), class });
    }
}

fn index(intent: &PaymentIntentId) -> usize {
    intent.as_str().strip_prefix("pi_").unwrap().parse().unwrap()
}

fn key(call: &GatewayCall) -> Option<String> {
    match call {
        GatewayCall::CreateIntent { key, .. }
        | GatewayCall::ConfirmIntent { key, .. }
        | GatewayCall::CaptureIntent { key, .. }
        | GatewayCall::CancelIntent { key, .. }
        | GatewayCall::CreateRefund { key, .. } => Some(key.as_str().to_owned()),
        GatewayCall::FetchIntent { .. } | GatewayCall::FetchRefund { .. } => None,
    }
}
