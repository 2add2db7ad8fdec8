//! The payment machine against a provider that may say anything.

use std::collections::BTreeMap;

use rideplane_core::ids::{BookingId, PaymentIntentId, PaymentMethodId, RefundId};
use rideplane_core::money::{Currency, Money};
use rideplane_core::payment::{
    Command, Decline, DeclineClass, Fact, GatewayCall, IntentSnapshot, IntentStatus, NextAction, Op, Payment,
    PaymentStatus, RefundSnapshot, RefundStatus,
};
use rideplane_core::policy::Policy;
use rideplane_core::time::{Span, Timestamp};
use rideplane_core::{Context, Machine};
use uuid::Uuid;

use crate::input::Input;

const LIMIT: i64 = 1_000;
const MOST_STEPS: usize = 200;
const OPS: [Op; 6] = [Op::Create, Op::Confirm, Op::Capture, Op::Cancel, Op::Refund, Op::Fetch];

/// Bytes are commands, and facts that no honest provider would state.
///
/// # Panics
/// When a promise of the payment machine is broken.
pub fn payment_facts(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let policy = Policy::default();
    let limit = input.pick(&[LIMIT, 1, 0, i64::MAX]);
    let mut desk = Desk {
        first: Payment::new(
            BookingId::from_uuid(Uuid::from_u128(1)),
            Money::from_minor(limit, Currency::EUR),
        ),
        log: Vec::new(),
        calls: BTreeMap::new(),
        made: 0,
        now: Timestamp::from_unix_seconds(1_760_000_000),
    };
    let mut payment = desk.first.clone();
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        let command = match input.byte() % 12 {
            0 => Command::Begin,
            1 => Command::Confirm { method: method(&mut input) },
            2 => Command::Settle { amount: money(&mut input) },
            3 => Command::Release,
            4 => Command::Refund { amount: money(&mut input) },
            5 => Command::Tick,
            6 => {
                let seconds = input.pick(&[1, 10, 60, 600, 3_600, 86_400, 604_800, -5]);
                desk.now = desk.now.plus(Span::from_seconds(seconds));
                Command::Tick
            }
            _ => Command::Observe(fact(&mut input, &payment, &desk)),
        };
        payment = desk.tell(payment, &command, &policy);
    }
    desk.check_log(&payment);
}

struct Desk {
    first: Payment,
    log: Vec<rideplane_core::payment::Event>,
    calls: BTreeMap<String, GatewayCall>,
    /// The highest number of a call so far.
    made: u32,
    now: Timestamp,
}

impl Desk {
    fn tell(&mut self, mut payment: Payment, command: &Command, policy: &Policy) -> Payment {
        let cx = Context::new(self.now, 1, policy);
        if let Ok(events) = Payment::decide(&payment, command, &cx) {
            for event in events {
                payment = Payment::evolve(payment, &event);
                check(&payment);
                self.log.push(event);
            }
            let again = Payment::decide(&payment, command, &cx);
            assert_eq!(again, Ok(vec![]), "{command:?} counts twice on {payment:?}");
        } else {
            assert!(!matches!(command, Command::Observe(_) | Command::Tick), "{command:?} was refused");
        }
        if *command == Command::Tick {
            // What is due now stays due until somebody says what came of it.
            let next = Payment::next_deadline(&payment).filter(|(at, _)| *at <= self.now);
            let due = payment.due_call(self.now);
            assert!(next.is_none() || due.is_some(), "after a tick at {} comes {next:?}", self.now);
        }
        self.check_call(&payment);
        payment
    }

    fn check_call(&mut self, payment: &Payment) {
        let Some((call, id)) = payment.due_call(self.now) else { return };
        self.made = self.made.max(id.seq);
        assert_eq!(payment.quarantine(), None);
        assert_eq!(id.op == Op::Fetch, key(&call).is_none());
        if let Some(key) = key(&call) {
            let first = self.calls.entry(key).or_insert_with(|| call.clone());
            assert_eq!(*first, call, "one key stands for two requests");
        }
    }

    fn check_log(&self, payment: &Payment) {
        let folded = self.log.iter().fold(self.first.clone(), |state, event| {
            let json = serde_json::to_string(event).expect("events are stored as JSON");
            Payment::evolve(state, &serde_json::from_str(&json).expect("what was written"))
        });
        assert_eq!(folded, *payment);
        let json = serde_json::to_string(payment).expect("states are stored as JSON");
        assert_eq!(serde_json::from_str::<Payment>(&json).expect("what was written"), *payment);
        // Total in any order.
        self.log.iter().rev().fold(self.first.clone(), Payment::evolve);
        self.log.iter().rev().fold(payment.clone(), Payment::evolve);
    }
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

fn check(payment: &Payment) {
    let minor = [payment.authorized(), payment.captured(), payment.released(), payment.open()];
    let [authorized, captured, released, open] = minor.map(|money| i128::from(money.to_minor()));
    assert_eq!(authorized, captured + released + open, "{payment:?}");
    assert!([authorized, captured, released, open].iter().all(|minor| *minor >= 0), "{payment:?}");
    assert!(captured <= i128::from(payment.limit().to_minor()), "{payment:?}");
    assert!(i128::from(payment.refunded().to_minor()) <= captured, "{payment:?}");
    assert_eq!(payment.status() == PaymentStatus::Quarantined, payment.quarantine().is_some());
    assert!(payment.shortfall().is_none_or(|money| money.currency() == payment.limit().currency()));
}

fn method(input: &mut Input<'_>) -> PaymentMethodId {
    PaymentMethodId::new(input.pick(&["pm_a", "pm_b"])).expect("an id")
}

/// Mostly the amounts at which something changes.
fn money(input: &mut Input<'_>) -> Money {
    let minor = match input.byte() % 12 {
        0..=2 => LIMIT,
        3 | 4 => 0,
        5 => 600,
        6 => 1,
        7 => LIMIT + 1,
        8 => -1,
        9 => i64::MAX,
        10 => i64::from(input.short()),
        _ => return Money::from_minor(LIMIT, Currency::USD),
    };
    Money::from_minor(minor, Currency::EUR)
}

fn intent(input: &mut Input<'_>) -> PaymentIntentId {
    PaymentIntentId::new(input.pick(&["pi_1", "pi_1", "pi_1", "pi_2"])).expect("an id")
}

/// The number of the call that is due, or of any that was made: what answers a call before it is made counts again once it
/// is, and nobody can know its number.
fn call_id(input: &mut Input<'_>, payment: &Payment, desk: &Desk) -> (Op, u32) {
    let choice = input.byte();
    match payment.due_call(desk.now) {
        Some((_, id)) if choice < 192 => (id.op, id.seq),
        Some(_) | None => (OPS[usize::from(choice) % OPS.len()], u32::from(choice % 7).min(desk.made)),
    }
}

fn fact(input: &mut Input<'_>, payment: &Payment, desk: &Desk) -> Fact {
    let ((op, seq), now) = (call_id(input, payment, desk), desk.now);
    match input.byte() % 10 {
        0..=2 => Fact::Answer { op, seq, snapshot: snapshot(input, now) },
        3 | 4 => Fact::Fetched(snapshot(input, now)),
        5 => Fact::RefundAnswer { seq, snapshot: refund(input) },
        6 => Fact::RefundFetched(refund(input)),
        7 => Fact::Refused { op, seq, code: input.pick(&["no", "payment_intent_unexpected_state"]).into() },
        8 => Fact::Unknown { op, seq },
        _ => Fact::NotSent { op, seq },
    }
}

fn snapshot(input: &mut Input<'_>, now: Timestamp) -> IntentSnapshot {
    let status = input.pick(&[
        IntentStatus::RequiresCapture,
        IntentStatus::Succeeded,
        IntentStatus::Canceled,
        IntentStatus::RequiresPaymentMethod,
        IntentStatus::RequiresConfirmation,
        IntentStatus::RequiresAction,
        IntentStatus::Processing,
        IntentStatus::Other("brand_new".into()),
    ]);
    let full = Money::from_minor(LIMIT, Currency::EUR);
    let zero = Money::zero(Currency::EUR);
    let honest = input.byte() < 128;
    let own = BookingId::from_uuid(Uuid::from_u128(1));
    let (capturable, received) = match status {
        IntentStatus::RequiresCapture => (full, zero),
        IntentStatus::Succeeded => (zero, Money::from_minor(600, Currency::EUR)),
        IntentStatus::Canceled
        | IntentStatus::RequiresPaymentMethod
        | IntentStatus::RequiresConfirmation
        | IntentStatus::RequiresAction
        | IntentStatus::Processing
        | IntentStatus::Other(_) => (zero, zero),
    };
    let decline = input.pick(&[None, None, Some(DeclineClass::Retryable), Some(DeclineClass::HardStop)]);
    let charge = format!("ch_{}", input.byte() % 4);
    IntentSnapshot {
        intent: intent(input),
        client_secret: None,
        status,
        amount: if honest { full } else { money(input) },
        amount_capturable: if honest { capturable } else { money(input) },
        amount_received: if honest { received } else { money(input) },
        amount_refunded: if honest { Some(zero) } else { input.flag().then(|| money(input)) },
        capture_before: input
            .pick(&[None, Some(0), Some(1_800), Some(604_800), Some(i64::MAX / 1_000_000)])
            .map(|seconds| now.plus(Span::from_seconds(seconds))),
        next_action: input.flag().then(|| NextAction { kind: "use_stripe_sdk".into(), url: None }),
        decline: decline.map(|class| Decline { charge: Some(charge.into()), code: "no".into(), class }),
        reference: input.pick(&[Some(own), Some(own), None, Some(BookingId::from_uuid(Uuid::from_u128(2)))]),
    }
}

fn refund(input: &mut Input<'_>) -> RefundSnapshot {
    RefundSnapshot {
        refund: RefundId::new(input.pick(&["re_1", "re_2", "re_3"])).expect("an id"),
        intent: input.flag().then(|| intent(input)),
        amount: money(input),
        status: input.pick(&[
            RefundStatus::Succeeded,
            RefundStatus::Pending,
            RefundStatus::Failed,
            RefundStatus::Canceled,
            RefundStatus::RequiresAction,
            RefundStatus::Other("brand_new".into()),
        ]),
    }
}
