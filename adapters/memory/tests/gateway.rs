//! The test gateway: the suite of the port, its journal, its faults, and core's payment machine driven against it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test reports by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use proptest::prelude::*;
use rideplane_core::ids::{BookingId, GatewayKey, PaymentIntentId, PaymentMethodId};
use rideplane_core::money::{Currency, Money};
use rideplane_core::payment::{
    CallId, Command, DeclineClass, Desired, Fact, GatewayCall, IntentStatus, Op, Payment, PaymentStatus,
};
use rideplane_core::policy::Policy;
use rideplane_core::time::{Span, Timestamp};
use rideplane_core::{Context, Machine as _};
use rideplane_memory::gateway::{FaultPlan, GatewayFault, SeededFaults, TestGateway};
use rideplane_ports::conformance::gateway::{self as suite, Method};
use rideplane_ports::{Clock, Kind, PaymentGateway, PortError};

const LIMIT: i64 = 750;

struct TestClock(AtomicI64);

impl TestClock {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_700_000_000_000_000)))
    }

    fn advance(&self, span: Span) {
        self.0.fetch_add(span.as_micros(), Ordering::SeqCst);
    }

    fn reach(&self, at: Timestamp) {
        self.0.fetch_max(at.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

fn key(text: &str) -> GatewayKey {
    GatewayKey::new(text).unwrap()
}

fn method(text: &str) -> PaymentMethodId {
    PaymentMethodId::new(text).unwrap()
}

fn booking() -> BookingId {
    "018f3a5e-0000-7000-8000-000000000001".parse().unwrap()
}

/// No call of the gateway waits for anything.
fn now<T>(call: impl Future<Output = T>) -> T {
    call.now_or_never().unwrap()
}

fn fault(fault: GatewayFault) -> Option<Arc<dyn FaultPlan>> {
    Some(Arc::new(move |_: &GatewayCall, _: u32| fault))
}

fn held(gateway: &TestGateway, name: &str) -> PaymentIntentId {
    let intent = now(gateway.create_intent(&key(&format!("{name}:create")), eur(LIMIT), booking())).unwrap();
    let confirm = key(&format!("{name}:confirm"));
    now(gateway.confirm_intent(&confirm, &intent.intent, &method("pm_card_visa"))).unwrap();
    intent.intent
}

struct Harness {
    gateway: TestGateway,
    numbers: AtomicU64,
    lose: Arc<AtomicBool>,
}

#[async_trait]
impl suite::Harness for Harness {
    fn gateway(&self) -> &dyn PaymentGateway {
        &self.gateway
    }
    fn fresh(&self) -> u128 {
        self.numbers.fetch_add(1, Ordering::SeqCst).into()
    }
    fn method(&self, wanted: Method) -> PaymentMethodId {
        method(match wanted {
            Method::Holds => "pm_card_visa",
            Method::Declined => "pm_card_chargeDeclinedInsufficientFunds",
            Method::Authenticates => "pm_card_authenticationRequired",
        })
    }
    async fn authenticate(&self, intent: &PaymentIntentId, success: bool) {
        self.gateway.authenticate(intent, success).unwrap();
    }
    fn lose_next_answer(&self) -> bool {
        self.lose.store(true, Ordering::SeqCst);
        true
    }
}

#[tokio::test]
async fn the_suite_of_the_port() {
    let dir = tempfile::tempdir().unwrap();
    for gateway in [
        TestGateway::in_memory(TestClock::new(), [7; 32]),
        TestGateway::open(dir.path().join("gateway.jsonl"), TestClock::new(), [7; 32]).unwrap(),
    ] {
        let lose = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&lose);
        gateway.set_faults(Some(Arc::new(move |_: &GatewayCall, _: u32| {
            if flag.swap(false, Ordering::SeqCst) { GatewayFault::LoseAnswer } else { GatewayFault::None }
        })));
        suite::all(&Harness { gateway, numbers: AtomicU64::new(1), lose }).await;
    }
}

#[test]
fn a_hold_lasts_seven_days() {
    let clock = TestClock::new();
    let gateway = TestGateway::in_memory(clock.clone(), [7; 32]);
    let intent = held(&gateway, "a");
    let days = Span::from_minutes(7 * 24 * 60);
    assert_eq!(gateway.intent(&intent).unwrap().capture_before, Some(clock.now().plus(days)));
    clock.advance(Span::from_micros(days.as_micros() - 1));
    assert_eq!(gateway.intent(&intent).unwrap().status, IntentStatus::RequiresCapture);
    clock.advance(Span::from_micros(1));
    let shown = now(gateway.fetch_intent(&intent)).unwrap();
    assert_eq!((shown.status, shown.amount_capturable), (IntentStatus::Canceled, eur(0)));
    let late = now(gateway.capture_intent(&key("a:capture"), &intent, eur(1))).unwrap_err();
    assert_eq!(late.kind(), Kind::Rejected);
    let totals = gateway.totals()[&Currency::EUR];
    assert_eq!((totals.authorized, totals.released, totals.open), (eur(LIMIT), eur(LIMIT), eur(0)));
}

#[test]
fn every_test_method_does_what_its_name_says() {
    let gateway =
        TestGateway::in_memory(TestClock::new(), [7; 32]).with_authentication_url("http://rider/3ds");
    let intent = now(gateway.create_intent(&key("c"), eur(LIMIT), booking())).unwrap().intent;
    for (name, code, class) in [
        ("pm_card_chargeDeclined", "card_declined", DeclineClass::Retryable),
        ("pm_card_visa_chargeDeclined", "card_declined", DeclineClass::Retryable),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds", DeclineClass::Retryable),
        ("pm_card_chargeDeclinedLostCard", "lost_card", DeclineClass::HardStop),
        ("pm_card_nonsense", "payment_method_not_available", DeclineClass::Retryable),
        ("pm_1234", "payment_method_not_available", DeclineClass::Retryable),
    ] {
        let shown = now(gateway.confirm_intent(&key(name), &intent, &method(name))).unwrap();
        let decline = shown.decline.unwrap();
        assert_eq!((decline.code.as_str(), decline.class), (code, class), "{name}");
        assert_eq!(shown.status, IntentStatus::RequiresPaymentMethod);
    }
    assert_eq!(gateway.attach(&intent).unwrap().status, IntentStatus::RequiresConfirmation);
    let shown =
        now(gateway.confirm_intent(&key("3ds"), &intent, &method("pm_card_authenticationRequired"))).unwrap();
    let action = shown.next_action.unwrap();
    assert_eq!(action.kind, "redirect_to_url");
    assert_eq!(action.url, Some(format!("http://rider/3ds/{intent}")));
    assert_eq!(gateway.authenticate(&intent, false).unwrap().next_action, None);
    assert_eq!(gateway.authenticate(&intent, true).unwrap_err().kind(), Kind::Rejected);
}

#[test]
fn equal_calls_give_equal_ids_and_other_secrets_other_client_secrets() {
    let create = |secret| {
        let gateway = TestGateway::in_memory(TestClock::new(), secret);
        now(gateway.create_intent(&key("b:create:1"), eur(LIMIT), booking())).unwrap()
    };
    let (first, again, other) = (create([7; 32]), create([7; 32]), create([8; 32]));
    assert_eq!(first, again);
    assert_eq!(first.intent, other.intent);
    assert_ne!(first.client_secret, other.client_secret);
    // printf 'b:create:1' | sha256sum
    assert_eq!(first.intent.as_str(), "pi_48a88dc8106acd523a4f732d");
    let secret = first.client_secret.unwrap();
    assert!(secret.expose().starts_with("pi_48a88dc8106acd523a4f732d_secret_"));
}

#[test]
fn faults_have_the_effect_that_they_say() {
    let gateway = TestGateway::in_memory(TestClock::new(), [7; 32]);
    let intent = held(&gateway, "a");
    let capture = |name: &str| now(gateway.capture_intent(&key(name), &intent, eur(500)));
    for (trouble, kind) in [
        (GatewayFault::Unavailable, Kind::Unavailable),
        (GatewayFault::RateLimited, Kind::RateLimited),
        (GatewayFault::KeyInUse, Kind::Conflict),
    ] {
        gateway.set_faults(fault(trouble));
        assert_eq!(capture("not-sent").unwrap_err().kind(), kind);
        assert_eq!(gateway.intent(&intent).unwrap().status, IntentStatus::RequiresCapture);
    }
    gateway.set_faults(fault(GatewayFault::ServerError { after_effect: false }));
    assert_eq!(capture("fails").unwrap_err().kind(), Kind::OutcomeUnknown);
    assert_eq!(now(gateway.fetch_intent(&intent)).unwrap_err().kind(), Kind::OutcomeUnknown);
    gateway.set_faults(None);
    assert_eq!(now(gateway.fetch_intent(&intent)).unwrap().status, IntentStatus::RequiresCapture);
    assert_eq!(capture("fails").unwrap_err().kind(), Kind::OutcomeUnknown, "the 500 is saved");
    gateway.set_faults(fault(GatewayFault::ServerError { after_effect: true }));
    assert_eq!(capture("fails-after").unwrap_err().kind(), Kind::OutcomeUnknown);
    gateway.set_faults(None);
    assert_eq!(gateway.intent(&intent).unwrap().amount_received, eur(500));
    assert_eq!(capture("fails-after").unwrap_err().kind(), Kind::OutcomeUnknown, "the 500 is saved");
    assert_eq!(
        capture("not-sent").unwrap_err().kind(),
        Kind::Rejected,
        "nothing was saved, so it is executed"
    );
}

#[test]
fn a_key_is_forgotten_after_a_day() {
    let clock = TestClock::new();
    let gateway = TestGateway::in_memory(clock.clone(), [7; 32]);
    let intent = held(&gateway, "a");
    let again = || now(gateway.confirm_intent(&key("a:confirm"), &intent, &method("pm_card_visa")));
    clock.advance(Span::from_minutes(24 * 60 - 1));
    assert_eq!(again().unwrap().status, IntentStatus::RequiresCapture);
    clock.advance(Span::from_minutes(1));
    assert_eq!(again().unwrap_err().kind(), Kind::Rejected, "it is executed again, and the intent is held");
    // The creation finds its own intent.
    let shown = now(gateway.create_intent(&key("a:create"), eur(LIMIT), booking())).unwrap();
    assert_eq!((shown.intent, shown.status), (intent, IntentStatus::RequiresCapture));
}

#[test]
fn the_journal_survives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.jsonl");
    let clock = TestClock::new();
    let open = |secret| TestGateway::open(&path, clock.clone(), secret).unwrap();
    let gateway = open([7; 32]);
    let intent = held(&gateway, "a");
    let other = held(&gateway, "b");
    let waits = now(gateway.create_intent(&key("c"), eur(LIMIT), booking())).unwrap();
    let three_ds = method("pm_card_authenticationRequired");
    now(gateway.confirm_intent(&key("c:confirm"), &waits.intent, &three_ds)).unwrap();
    now(gateway.capture_intent(&key("capture"), &intent, eur(500))).unwrap();
    let refund = now(gateway.create_refund(&key("refund"), &intent, eur(200))).unwrap();
    gateway.set_faults(fault(GatewayFault::ServerError { after_effect: true }));
    now(gateway.cancel_intent(&key("cancel"), &other)).unwrap_err();
    gateway.set_faults(None);
    gateway.authenticate(&waits.intent, true).unwrap();
    let (before, totals) = (gateway.intent(&waits.intent), gateway.totals());
    assert_eq!(TestGateway::open(&path, clock.clone(), [7; 32]).unwrap_err().kind(), Kind::Unavailable);
    drop(gateway);

    // Killed in the middle of a line; started again with another secret.
    let mut torn = std::fs::read(&path).unwrap();
    torn.extend_from_slice(br#"{"at":"2023-11-14T2"#);
    std::fs::write(&path, torn).unwrap();
    let gateway = open([8; 32]);
    assert_eq!((gateway.intent(&waits.intent), gateway.totals()), (before, totals));
    let again = now(gateway.create_intent(&key("c"), eur(LIMIT), booking())).unwrap();
    assert_eq!(again, waits, "the first answer, with the client secret that the customer has");
    assert_eq!(now(gateway.fetch_refund(&refund.refund)).unwrap(), refund);
    assert_eq!(now(gateway.create_refund(&key("refund"), &intent, eur(200))).unwrap(), refund);
    let saved = now(gateway.cancel_intent(&key("cancel"), &other)).unwrap_err();
    assert_eq!(saved.kind(), Kind::OutcomeUnknown, "the 500 is saved");
    assert_eq!(gateway.intent(&other).unwrap().status, IntentStatus::Canceled);

    // Long histories are shortened when they are opened, and mean the same.
    for n in 0..600 {
        let id = now(gateway.create_intent(&key(&format!("n:{n}")), eur(LIMIT), booking())).unwrap().intent;
        now(gateway.cancel_intent(&key(&format!("x:{n}")), &id)).unwrap();
    }
    clock.advance(Span::from_minutes(25 * 60));
    drop(gateway);
    let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
    let (before, gateway) = (lines(), open([8; 32]));
    assert!(lines() < before * 2 / 3, "{} of {before} lines are left", lines());
    assert_eq!(gateway.intent(&intent).unwrap().amount_refunded, Some(eur(200)));
    assert_eq!(now(gateway.fetch_refund(&refund.refund)).unwrap(), refund);
}

/// Core's machine with the gateway as its provider, as an application joins them.
struct World {
    gateway: TestGateway,
    clock: Arc<TestClock>,
    policy: Policy,
    payment: Payment,
    /// Whether a customer authenticated: then money can be held, and released, without the machine's seeing it.
    authenticated: bool,
}

impl World {
    fn new(faults: SeededFaults) -> Self {
        let clock = TestClock::new();
        let gateway = TestGateway::in_memory(clock.clone(), [7; 32]);
        gateway.set_faults(Some(Arc::new(faults)));
        let payment = Payment::new(booking(), eur(LIMIT));
        Self { gateway, clock, policy: Policy::default(), payment, authenticated: false }
    }

    fn tell(&mut self, command: &Command) {
        let cx = Context::new(self.clock.now(), 1, &self.policy);
        for event in Payment::decide(&self.payment, command, &cx).unwrap_or_default() {
            self.payment = Payment::evolve(self.payment.clone(), &event);
        }
        assert_ne!(self.payment.status(), PaymentStatus::Quarantined, "{:?}", self.payment);
    }

    fn call(&self, call: &GatewayCall, id: CallId) -> Fact {
        let CallId { op, seq } = id;
        let gateway = &self.gateway;
        let answer = match call {
            GatewayCall::CreateIntent { key, amount, reference } => {
                now(gateway.create_intent(key, *amount, *reference))
            }
            GatewayCall::ConfirmIntent { key, intent, method } => {
                now(gateway.confirm_intent(key, intent, method))
            }
            GatewayCall::CaptureIntent { key, intent, amount } => {
                now(gateway.capture_intent(key, intent, *amount))
            }
            GatewayCall::CancelIntent { key, intent } => now(gateway.cancel_intent(key, intent)),
            GatewayCall::FetchIntent { intent } => now(gateway.fetch_intent(intent)),
            GatewayCall::CreateRefund { key, intent, amount } => {
                let answer = now(gateway.create_refund(key, intent, *amount));
                return answer
                    .map_or_else(|error| said(id, &error), |snapshot| Fact::RefundAnswer { seq, snapshot });
            }
            GatewayCall::FetchRefund { refund } => {
                let answer = now(gateway.fetch_refund(refund));
                return answer.map_or_else(|error| said(id, &error), Fact::RefundFetched);
            }
        };
        match answer {
            Ok(snapshot) if op == Op::Fetch => Fact::Fetched(snapshot),
            Ok(snapshot) => Fact::Answer { op, seq, snapshot },
            Err(error) => said(id, &error),
        }
    }

    /// Makes the calls that are due now.
    fn settle(&mut self) {
        for _ in 0..20 {
            let Some((call, id)) = self.payment.due_call(self.clock.now()) else { return };
            let (fact, before) = (self.call(&call, id), self.payment.clone());
            self.tell(&Command::Observe(fact));
            if before == self.payment {
                return;
            }
        }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Confirm(method) => {
                self.tell(&Command::Confirm { method: self::method(METHODS[*method]) });
                self.settle();
            }
            Step::Authenticate(success) => {
                if let Some(intent) = self.payment.intent() {
                    self.authenticated |= self.gateway.authenticate(intent, *success).is_ok() && *success;
                }
            }
            Step::Wait(seconds) => self.clock.advance(Span::from_seconds(*seconds)),
            Step::Deadline => self.deadline(),
        }
    }

    fn deadline(&mut self) {
        if let Some((at, _)) = Payment::next_deadline(&self.payment) {
            self.clock.reach(at);
            self.tell(&Command::Tick);
            self.settle();
        }
    }
}

fn said(id: CallId, error: &PortError) -> Fact {
    let CallId { op, seq } = id;
    match error.kind() {
        Kind::OutcomeUnknown | Kind::Corrupt => Fact::Unknown { op, seq },
        Kind::Unavailable | Kind::RateLimited | Kind::Conflict => Fact::NotSent { op, seq },
        Kind::Rejected | Kind::NotFound => Fact::Refused { op, seq, code: "rejected".into() },
    }
}

const METHODS: [&str; 5] = [
    "pm_card_visa",
    "pm_card_authenticationRequired",
    "pm_card_chargeDeclined",
    "pm_card_chargeDeclinedLostCard",
    "pm_unheard_of",
];

#[derive(Clone, Debug)]
enum Step {
    Confirm(usize),
    Authenticate(bool),
    Wait(i64),
    Deadline,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop_oneof![3 => Just(0), 2 => 1..METHODS.len()].prop_map(Step::Confirm),
        2 => any::<bool>().prop_map(Step::Authenticate),
        1 => (0..400_i64).prop_map(Step::Wait),
        3 => Just(Step::Deadline),
    ]
}

fn faults() -> impl Strategy<Value = SeededFaults> {
    (any::<u64>(), 0..300_u16, 0..250_u16, 0..150_u16, 0..150_u16).prop_map(|(seed, a, b, c, d)| {
        SeededFaults {
            seed,
            unavailable_per_mille: a,
            lost_answer_per_mille: b,
            error_before_per_mille: c,
            error_after_per_mille: d,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever gets lost, in the end nothing is held, and the provider and the machine agree on every cent.
    #[test]
    fn the_machine_and_the_provider_agree(
        faults in faults(),
        before in prop::collection::vec(step(), 0..12),
        price in prop::option::weighted(0.7, 0..LIMIT * 3 / 2),
        after in prop::collection::vec(step(), 0..4),
        refund in prop::option::weighted(0.3, 1..LIMIT),
    ) {
        let mut world = World::new(faults);
        world.tell(&Command::Begin);
        world.settle();
        before.iter().for_each(|step| world.run(step));
        let held = world.payment.is_authorised(world.clock.now());
        world.tell(&price.map_or(Command::Release, |price| Command::Settle { amount: eur(price) }));
        world.settle();
        after.iter().for_each(|step| world.run(step));
        for _ in 0..3_000 {
            if let (true, Some(amount)) = (world.payment.is_settled(), refund) {
                world.tell(&Command::Refund { amount: eur(amount) });
                world.settle();
            }
            if world.payment.is_settled() {
                break;
            }
            world.deadline();
        }
        let p = &world.payment;
        prop_assert!(p.is_settled(), "{p:?}");
        world.gateway.set_faults(None);
        let zero = eur(0);
        let shown = world.gateway.totals().get(&Currency::EUR).map_or([zero; 5], |totals| {
            [totals.authorized, totals.captured, totals.released, totals.refunded, totals.open]
        });
        let seen = [p.authorized(), p.captured(), p.released(), p.refunded(), zero];
        let unseen = [eur(LIMIT), zero, eur(LIMIT), zero, zero];
        prop_assert!(shown == seen || (world.authenticated && seen == [zero; 5] && shown == unseen), "{shown:?} {p:?}");
        match (p.desired(), price) {
            (Desired::Settle { .. }, Some(price)) => {
                let taken = p.captured();
                prop_assert!(taken == zero || taken == eur(price.min(LIMIT)));
                prop_assert!(!held || taken == eur(price.min(LIMIT)), "a standing hold was not captured");
                let back = refund.map_or(0, |amount| if eur(amount).compare(taken).unwrap().is_le() { amount } else { 0 });
                prop_assert_eq!(p.refunded(), eur(back));
            }
            (Desired::Release, _) => prop_assert_eq!(p.captured(), p.refunded()),
            (Desired::Hold | Desired::Settle { .. }, _) => prop_assert!(false, "an end was decided"),
        }
    }
}
