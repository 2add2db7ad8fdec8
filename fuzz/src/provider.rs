//! A payment provider after Stripe's documentation, which tells the truth and loses messages.

use std::collections::BTreeMap;

use rideplane_core::ids::{BookingId, PaymentIntentId, RefundId};
use rideplane_core::money::{Currency, Money};
use rideplane_core::payment::{
    CallId, Decline, DeclineClass, Fact, GatewayCall, IntentSnapshot, IntentStatus, Op, RefundSnapshot,
    RefundStatus,
};
use rideplane_core::time::{Span, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Open,
    Action,
    Processing,
    Held,
    Captured,
    Canceled,
}

#[derive(Clone, Debug)]
struct Intent {
    reference: BookingId,
    amount: i64,
    status: Status,
    received: i64,
    refunded: i64,
    capture_before: Option<Timestamp>,
    decline: Option<Decline>,
}

#[derive(Clone, Debug)]
struct PaidBack {
    intent: usize,
    amount: i64,
    pending: bool,
}

#[derive(Clone, Debug)]
enum Reply {
    Intent(usize),
    Refund(usize),
    Refused(&'static str),
    Error500,
}

/// What becomes of a call on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Answered,
    LostThere,
    LostBack,
    NotSent,
    /// The provider fails before the effect and repeats that answer to the key for ever.
    Fails,
    /// We die before any answer.
    Crash,
}

#[derive(Default)]
pub(crate) struct Provider {
    intents: Vec<Intent>,
    refunds: Vec<PaidBack>,
    saved: BTreeMap<String, Reply>,
    requests: BTreeMap<String, GatewayCall>,
    charges: u32,
}

fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

fn number(text: &str) -> usize {
    text.split('_').nth(1).and_then(|digits| digits.parse().ok()).expect("an id that this provider gave")
}

fn key_of(call: &GatewayCall) -> Option<String> {
    match call {
        GatewayCall::CreateIntent { key, .. }
        | GatewayCall::ConfirmIntent { key, .. }
        | GatewayCall::CaptureIntent { key, .. }
        | GatewayCall::CancelIntent { key, .. }
        | GatewayCall::CreateRefund { key, .. } => Some(key.as_str().to_owned()),
        GatewayCall::FetchIntent { .. } | GatewayCall::FetchRefund { .. } => None,
    }
}

impl Provider {
    /// Makes a call, and says what we learn of it.
    pub(crate) fn call(&mut self, call: &GatewayCall, id: CallId, way: Way, now: Timestamp) -> Option<Fact> {
        let (op, seq) = (id.op, id.seq);
        if let Some(key) = key_of(call) {
            let first = self.requests.entry(key).or_insert_with(|| call.clone());
            assert_eq!(first, call, "one key stands for two requests");
        }
        match way {
            Way::Crash => return None,
            Way::LostThere => return Some(Fact::Unknown { op, seq }),
            Way::NotSent => return Some(Fact::NotSent { op, seq }),
            Way::Answered | Way::LostBack | Way::Fails => {}
        }
        let reply = self.carry_out(call, way == Way::Fails, now);
        if way == Way::LostBack {
            return Some(Fact::Unknown { op, seq });
        }
        Some(match reply {
            Reply::Intent(at) if op == Op::Fetch => Fact::Fetched(self.show(at)),
            Reply::Intent(at) => Fact::Answer { op, seq, snapshot: self.show(at) },
            Reply::Refund(at) if op == Op::Fetch => Fact::RefundFetched(self.show_refund(at)),
            Reply::Refund(at) => Fact::RefundAnswer { seq, snapshot: self.show_refund(at) },
            Reply::Refused(code) => Fact::Refused { op, seq, code: code.into() },
            Reply::Error500 => Fact::Unknown { op, seq },
        })
    }

    fn carry_out(&mut self, call: &GatewayCall, fails: bool, now: Timestamp) -> Reply {
        self.expire(now);
        let Some(key) = key_of(call) else { return self.effect(call, now) };
        if let Some(reply) = self.saved.get(&key) {
            return reply.clone();
        }
        let reply = if fails { Reply::Error500 } else { self.effect(call, now) };
        self.saved.insert(key, reply.clone());
        reply
    }

    fn expire(&mut self, now: Timestamp) {
        for intent in &mut self.intents {
            if intent.status == Status::Held && intent.capture_before.is_some_and(|end| end <= now) {
                intent.status = Status::Canceled;
            }
        }
    }

    fn effect(&mut self, call: &GatewayCall, now: Timestamp) -> Reply {
        match call {
            GatewayCall::CreateIntent { amount, reference, .. } => {
                assert!(amount.is_positive(), "an intent over {amount}");
                self.intents.push(Intent {
                    reference: *reference,
                    amount: amount.to_minor(),
                    status: Status::Open,
                    received: 0,
                    refunded: 0,
                    capture_before: None,
                    decline: None,
                });
                Reply::Intent(self.intents.len() - 1)
            }
            GatewayCall::ConfirmIntent { intent, method, .. } => {
                self.confirm(number(intent.as_str()), method.as_str(), now)
            }
            GatewayCall::CaptureIntent { intent, amount, .. } => {
                self.capture(number(intent.as_str()), amount.to_minor())
            }
            GatewayCall::CancelIntent { intent, .. } => self.cancel(number(intent.as_str())),
            GatewayCall::CreateRefund { intent, amount, .. } => {
                self.refund(number(intent.as_str()), amount.to_minor())
            }
            GatewayCall::FetchIntent { intent } => Reply::Intent(number(intent.as_str())),
            GatewayCall::FetchRefund { refund } => Reply::Refund(number(refund.as_str())),
        }
    }

    fn confirm(&mut self, at: usize, method: &str, now: Timestamp) -> Reply {
        self.charges += 1;
        let charges = self.charges;
        let intent = &mut self.intents[at];
        if !matches!(intent.status, Status::Open | Status::Action) {
            return Reply::Refused("payment_intent_unexpected_state");
        }
        intent.decline = None;
        match method {
            "pm_visa" => intent.hold(now),
            "pm_action" => intent.status = Status::Action,
            "pm_slow" => intent.status = Status::Processing,
            "pm_stolen" => intent.decline(charges, DeclineClass::HardStop),
            _ => intent.decline(charges, DeclineClass::Retryable),
        }
        Reply::Intent(at)
    }

    fn capture(&mut self, at: usize, amount: i64) -> Reply {
        let intent = &mut self.intents[at];
        assert!(amount > 0 && amount <= intent.amount, "captured {amount} of {}", intent.amount);
        if intent.status != Status::Held {
            return Reply::Refused("payment_intent_unexpected_state");
        }
        intent.status = Status::Captured;
        intent.received = amount;
        Reply::Intent(at)
    }

    fn cancel(&mut self, at: usize) -> Reply {
        let intent = &mut self.intents[at];
        match intent.status {
            Status::Open | Status::Action | Status::Held => {
                intent.status = Status::Canceled;
                Reply::Intent(at)
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
        self.refunds.push(PaidBack { intent: at, amount, pending: true });
        Reply::Refund(self.refunds.len() - 1)
    }

    fn show(&self, at: usize) -> IntentSnapshot {
        let intent = &self.intents[at];
        let status = match intent.status {
            Status::Open => IntentStatus::RequiresPaymentMethod,
            Status::Action => IntentStatus::RequiresAction,
            Status::Processing => IntentStatus::Processing,
            Status::Held => IntentStatus::RequiresCapture,
            Status::Captured => IntentStatus::Succeeded,
            Status::Canceled => IntentStatus::Canceled,
        };
        let capturable = if intent.status == Status::Held { intent.amount } else { 0 };
        IntentSnapshot {
            intent: PaymentIntentId::new(format!("pi_{at}")).expect("an id"),
            client_secret: None,
            status,
            amount: eur(intent.amount),
            amount_capturable: eur(capturable),
            amount_received: eur(intent.received),
            amount_refunded: Some(eur(intent.refunded)),
            capture_before: intent.capture_before,
            next_action: None,
            decline: intent.decline.clone(),
            reference: Some(intent.reference),
        }
    }

    fn show_refund(&self, at: usize) -> RefundSnapshot {
        let refund = &self.refunds[at];
        RefundSnapshot {
            refund: RefundId::new(format!("re_{at}")).expect("an id"),
            intent: Some(PaymentIntentId::new(format!("pi_{}", refund.intent)).expect("an id")),
            amount: eur(refund.amount),
            status: if refund.pending { RefundStatus::Pending } else { RefundStatus::Succeeded },
        }
    }

    /// What a read of the latest intent of a booking shows.
    pub(crate) fn read(&mut self, reference: BookingId, now: Timestamp) -> Option<Fact> {
        self.expire(now);
        let at = self.intents.iter().rposition(|intent| intent.reference == reference)?;
        Some(Fact::Fetched(self.show(at)))
    }

    /// The customers that were asked to do something do it.
    pub(crate) fn authenticate(&mut self, success: bool, now: Timestamp) {
        self.charges += 1;
        let charges = self.charges;
        for intent in self.intents.iter_mut().filter(|intent| intent.status == Status::Action) {
            if success {
                intent.hold(now)
            } else {
                intent.decline(charges, DeclineClass::AuthenticationRequired)
            }
        }
    }

    /// What was processing has been processed.
    pub(crate) fn process(&mut self, success: bool, now: Timestamp) {
        self.charges += 1;
        let charges = self.charges;
        for intent in self.intents.iter_mut().filter(|intent| intent.status == Status::Processing) {
            if success { intent.hold(now) } else { intent.decline(charges, DeclineClass::Retryable) }
        }
        self.refunds.iter_mut().for_each(|refund| refund.pending = false);
    }

    /// Money held or kept for a booking, refunds subtracted, in minor units.
    pub(crate) fn standing(&self, reference: BookingId) -> (i64, i64) {
        let of_booking = self.intents.iter().filter(|intent| intent.reference == reference);
        of_booking.fold((0, 0), |(held, kept), intent| {
            let holds = if intent.status == Status::Held { intent.amount } else { 0 };
            (held + holds, kept + intent.received - intent.refunded)
        })
    }
}

impl Intent {
    fn hold(&mut self, now: Timestamp) {
        self.status = Status::Held;
        self.capture_before = Some(now.plus(Span::from_minutes(7 * 24 * 60)));
    }

    fn decline(&mut self, charge: u32, class: DeclineClass) {
        self.status = Status::Open;
        self.decline =
            Some(Decline { charge: Some(format!("ch_{charge}").into()), code: "no".into(), class });
    }
}
