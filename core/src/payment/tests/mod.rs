//! The machine against its table, an independent model of the provider, and the known races.

mod provider;
mod races;
mod rules;
mod sim;
mod table;

use super::*;
use crate::ids::{BookingId, PaymentIntentId, PaymentMethodId, RefundId};
use crate::money::{Currency, Money};
use crate::policy::Policy;
use crate::time::Span;

const LIMIT: i64 = 1_000;

fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

fn reference() -> BookingId {
    "018f3a5e-0000-7000-8000-000000000001".parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000 + seconds)
}

fn days(n: i64) -> i64 {
    n * 24 * 60 * 60
}

fn method(name: &str) -> PaymentMethodId {
    PaymentMethodId::new(name).unwrap()
}

fn confirm(name: &str) -> Command {
    Command::Confirm { method: method(name) }
}

fn snapshot(status: IntentStatus) -> IntentSnapshot {
    let (capturable, received) = match status {
        IntentStatus::RequiresCapture => (LIMIT, 0),
        IntentStatus::Succeeded => (0, 600),
        IntentStatus::RequiresPaymentMethod
        | IntentStatus::RequiresConfirmation
        | IntentStatus::RequiresAction
        | IntentStatus::Processing
        | IntentStatus::Canceled
        | IntentStatus::Other(_) => (0, 0),
    };
    IntentSnapshot {
        intent: PaymentIntentId::new("pi_1").unwrap(),
        client_secret: Some(ClientSecret::new("pi_1_secret")),
        status,
        amount: eur(LIMIT),
        amount_capturable: eur(capturable),
        amount_received: eur(received),
        amount_refunded: Some(eur(0)),
        capture_before: None,
        next_action: None,
        decline: None,
        reference: Some(reference()),
    }
}

fn declined(charge: &str, class: DeclineClass) -> IntentSnapshot {
    IntentSnapshot {
        decline: Some(Decline { charge: Some(charge.into()), code: "insufficient_funds".into(), class }),
        ..snapshot(IntentStatus::RequiresPaymentMethod)
    }
}

fn answer(op: Op, seq: u32, snapshot: IntentSnapshot) -> Command {
    Command::Observe(Fact::Answer { op, seq, snapshot })
}

fn fetched(snapshot: IntentSnapshot) -> Command {
    Command::Observe(Fact::Fetched(snapshot))
}

fn unknown(op: Op, seq: u32) -> Command {
    Command::Observe(Fact::Unknown { op, seq })
}

fn refused(op: Op, seq: u32) -> Command {
    Command::Observe(Fact::Refused { op, seq, code: "payment_intent_unexpected_state".into() })
}

/// A payment that is led by commands at given seconds.
#[derive(Clone)]
struct Led {
    payment: Payment,
    events: Vec<Event>,
    policy: Policy,
}

impl Led {
    fn new() -> Self {
        Self { payment: Payment::new(reference(), eur(LIMIT)), events: vec![], policy: Policy::default() }
    }

    fn judge(&self, now: Timestamp, command: &Command) -> Result<Vec<Event>, Rejection> {
        Payment::decide(&self.payment, command, &Context::new(now, 1, &self.policy))
    }

    fn at(mut self, second: i64, command: Command) -> Self {
        let events = self.judge(at(second), &command).unwrap();
        for event in &events {
            self.payment = Payment::evolve(self.payment, event);
        }
        self.events.extend(events);
        self
    }

    fn names(&self) -> Vec<&'static str> {
        self.events.iter().map(Event::name).collect()
    }

    fn due(&self, second: i64) -> Option<(Op, u32, GatewayCall)> {
        self.payment.due_call(at(second)).map(|(call, id)| (id.op, id.seq, call))
    }

    fn due_op(&self, second: i64) -> Option<(Op, u32)> {
        self.due(second).map(|(op, seq, _)| (op, seq))
    }

    fn held() -> Self {
        Self::new()
            .at(0, Command::Begin)
            .at(1, answer(Op::Create, 1, snapshot(IntentStatus::RequiresPaymentMethod)))
            .at(2, confirm("pm_card_visa"))
            .at(3, answer(Op::Confirm, 2, snapshot(IntentStatus::RequiresCapture)))
    }

    fn captured() -> Self {
        Self::held()
            .at(4, Command::Settle { amount: eur(600) })
            .at(5, answer(Op::Capture, 3, snapshot(IntentStatus::Succeeded)))
    }
}

fn created() -> Led {
    Led::new()
        .at(0, Command::Begin)
        .at(1, answer(Op::Create, 1, snapshot(IntentStatus::RequiresPaymentMethod)))
}

fn confirming() -> Led {
    created().at(2, confirm("pm_card_visa"))
}

fn awaiting() -> Led {
    confirming().at(3, answer(Op::Confirm, 2, snapshot(IntentStatus::RequiresAction)))
}

fn refund(id: &str, minor: i64, status: RefundStatus) -> RefundSnapshot {
    RefundSnapshot {
        refund: RefundId::new(id).unwrap(),
        intent: Some(PaymentIntentId::new("pi_1").unwrap()),
        amount: eur(minor),
        status,
    }
}

#[test]
fn events_and_states_survive_json_and_the_secret_stays_out_of_debug() {
    let led = Led::captured();
    let json = serde_json::to_string(&led.payment).unwrap();
    assert_eq!(serde_json::from_str::<Payment>(&json).unwrap(), led.payment);
    let json = serde_json::to_string(&led.events).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Event>>(&json).unwrap(), led.events);
    assert!(!format!("{:?}{:?}", led.payment, led.events).contains("pi_1_secret"));
    assert_eq!(led.payment.client_secret().unwrap().expose(), "pi_1_secret");
}

#[test]
fn with_nothing_to_hold_a_ride_may_start_and_settling_nothing_ends_it() {
    let mut led = Led::new();
    led.payment = Payment::new(reference(), eur(0));
    let led = led.at(0, Command::Begin);
    assert!(led.payment.is_authorised(at(0)) && !led.payment.is_settled());
    assert_eq!((led.payment.status(), led.due_op(0)), (PaymentStatus::None, None));
    assert_eq!(led.judge(at(0), &confirm("pm_card_visa")), Err(Rejection::NothingToPay));
    let done = led.clone().at(1, Command::Settle { amount: eur(0) });
    assert!(done.payment.is_settled() && !done.payment.is_authorised(at(1)));
    assert_eq!((done.payment.status(), done.due_op(1)), (PaymentStatus::None, None));
    let owing = led.at(1, Command::Settle { amount: eur(300) });
    assert_eq!(owing.payment.shortfall(), Some(eur(300)));
    assert!(owing.payment.is_settled());
}

#[test]
fn a_status_reads_the_same_everywhere() {
    for led in [Led::new(), Led::held(), Led::captured()] {
        let status = led.payment.status();
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
    }
}

#[test]
fn amounts_that_make_no_sense_are_refused() {
    let usd = Money::from_minor(1, Currency::USD);
    let held = Led::held();
    for amount in [usd, eur(-1)] {
        assert!(held.judge(at(4), &Command::Settle { amount }).is_err());
    }
    let captured = Led::captured();
    for amount in [usd, eur(-1), eur(0), eur(601)] {
        assert!(captured.judge(at(6), &Command::Refund { amount }).is_err());
    }
    assert!(held.judge(at(4), &Command::Refund { amount: eur(1) }).is_err());
}

#[test]
fn a_difference_is_at_least_nothing() {
    assert_eq!(state::minus(eur(5), eur(3)), eur(2));
    assert_eq!(state::minus(eur(3), eur(5)), eur(0));
}

#[test]
fn waits_double_up_to_the_maximum() {
    let policy = Policy::default();
    let waits: Vec<i64> = (0..12).map(|n| effects::backoff(&policy, n).as_seconds()).collect();
    assert_eq!(waits, [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    assert_eq!(effects::backoff(&policy, u32::MAX).as_seconds(), 300);
    let zero = Policy { gateway_retry: Span::ZERO, gateway_retry_max: Span::ZERO, ..policy };
    assert!(effects::backoff(&zero, 3) > Span::ZERO);
}
