//! Random lives of a payment against the independent provider: every fault, any order, and the invariants at each
//! step.

use proptest::prelude::*;

use super::provider::{Fault, Provider, Reply, Status};
use super::*;
use crate::payment::facts::CallId;

const METHODS: [&str; 5] = ["pm_visa", "pm_action", "pm_slow", "pm_poor", "pm_stolen"];

#[derive(Clone, Debug)]
enum Step {
    Confirm(usize),
    Settle(i64),
    Release,
    Refund(i64),
    /// Make the due call, with a fault; what comes of it arrives at once.
    Go(Fault),
    /// Make the due call, with a fault; what comes of it arrives some time.
    Call(Fault),
    /// A fact in the mail arrives; it stays there if it is to arrive again.
    Deliver(usize, bool),
    /// A webhook: the intent is read now, the fact arrives some time.
    Webhook,
    Authenticate(bool),
    Process(bool),
    /// A late call reaches the provider.
    Arrive,
    Advance(i64),
    /// To the next deadline, and `Tick`.
    Deadline,
    Tick,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        8 => Just(Fault::None),
        1 => Just(Fault::NotSent),
        1 => Just(Fault::CallLost),
        2 => Just(Fault::AnswerLost),
        1 => Just(Fault::Late),
        1 => Just(Fault::FailsBefore),
        1 => Just(Fault::FailsAfter),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => prop_oneof![3 => Just(0), 2 => Just(1), 2 => 2..METHODS.len()].prop_map(Step::Confirm),
        2 => (1..LIMIT).prop_map(Step::Refund),
        10 => fault().prop_map(Step::Go),
        3 => fault().prop_map(Step::Call),
        4 => (0..8_usize, any::<bool>()).prop_map(|(n, again)| Step::Deliver(n, again)),
        2 => Just(Step::Webhook),
        2 => any::<bool>().prop_map(Step::Authenticate),
        1 => any::<bool>().prop_map(Step::Process),
        1 => Just(Step::Arrive),
        3 => (0..20_000_000_i64).prop_map(Step::Advance),
        1 => (0..days(2) * 1_000_000).prop_map(Step::Advance),
        6 => Just(Step::Deadline),
        1 => Just(Step::Tick),
    ]
}

/// A price, one above the hold among them, or no ride.
fn end() -> impl Strategy<Value = Step> {
    prop_oneof![3 => (0..LIMIT * 3 / 2).prop_map(Step::Settle), 2 => Just(Step::Release)]
}

struct World {
    payment: Payment,
    provider: Provider,
    policy: Policy,
    now: Timestamp,
    mail: Vec<(Timestamp, Fact)>,
    late: Vec<(Timestamp, GatewayCall)>,
    events: Vec<Event>,
}

impl World {
    fn new(refunds_are_slow: bool) -> Self {
        let mut world = Self {
            payment: Payment::new(reference(), eur(LIMIT)),
            provider: Provider::new(refunds_are_slow),
            policy: Policy::default(),
            now: at(0),
            mail: vec![],
            late: vec![],
            events: vec![],
        };
        world.tell(&Command::Begin);
        world
    }

    fn judge(&self, command: &Command) -> Result<Vec<Event>, Rejection> {
        Payment::decide(&self.payment, command, &Context::new(self.now, 1, &self.policy))
    }

    fn tell(&mut self, command: &Command) {
        let before = self.payment.status();
        let Ok(events) = self.judge(command) else { return };
        for event in events {
            self.payment = Payment::evolve(self.payment.clone(), &event);
            self.check_sums();
            self.events.push(event);
        }
        if let Ok(again) = self.judge(command) {
            assert_eq!(again, vec![], "{command:?} counts twice on {:?}", self.payment);
        }
        let fact = matches!(
            command,
            Command::Observe(Fact::Answer { .. } | Fact::Fetched(_) | Fact::Refused { .. })
        );
        let declined = self.payment.status() == PaymentStatus::Declined;
        assert!(
            !(before == PaymentStatus::Unknown && declined) || fact,
            "declined without a fact: {command:?}"
        );
        self.check_truth();
    }

    fn check_sums(&self) {
        let p = &self.payment;
        let sum = p.captured().add(p.released()).unwrap().add(p.open()).unwrap();
        assert_eq!(p.authorized(), sum, "{p:?}");
        assert!(p.captured().to_minor() <= LIMIT);
        assert!(p.refunds_covered().to_minor() <= p.captured().to_minor());
        for amount in [p.authorized(), p.captured(), p.released(), p.open(), p.refunded()] {
            assert!(!amount.amount().is_sign_negative());
        }
    }

    fn check_truth(&mut self) {
        self.provider.expire(self.now);
        let intents = &self.provider.intents;
        let live = intents.iter().filter(|intent| matches!(intent.status, Status::Held | Status::Captured));
        assert!(live.count() <= 1, "two holds");
        for intent in intents {
            assert!(intent.captures + intent.voids <= 1, "captured and voided");
            assert!(intent.refunded <= intent.received);
        }
        assert_ne!(self.payment.status(), PaymentStatus::Quarantined, "the provider is honest");
        if self.payment.is_authorised(self.now) {
            assert!(intents.iter().any(|intent| intent.status == Status::Held), "an unlock without a hold");
        }
    }

    /// Makes the due call. What comes of it goes to the mail, or is returned for a call without fault.
    fn call(&mut self, fault: Fault) -> Option<Fact> {
        let (call, id) = self.payment.due_call(self.now)?;
        self.provider.register(&call);
        let CallId { op, seq } = id;
        Some(match fault {
            Fault::NotSent => Fact::NotSent { op, seq },
            Fault::CallLost => Fact::Unknown { op, seq },
            Fault::Late => {
                self.late.push((self.now, call));
                Fact::Unknown { op, seq }
            }
            Fault::AnswerLost => {
                self.carry_out(&call, fault);
                Fact::Unknown { op, seq }
            }
            Fault::None | Fault::FailsBefore | Fault::FailsAfter => match self.carry_out(&call, fault) {
                Reply::Intent(snapshot) if op == Op::Fetch => Fact::Fetched(snapshot),
                Reply::Intent(snapshot) => Fact::Answer { op, seq, snapshot },
                Reply::Refund(snapshot) if op == Op::Fetch => Fact::RefundFetched(snapshot),
                Reply::Refund(snapshot) => Fact::RefundAnswer { seq, snapshot },
                Reply::Refused(code) => Fact::Refused { op, seq, code: code.into() },
                Reply::Error500 => Fact::Unknown { op, seq },
            },
        })
    }

    fn carry_out(&mut self, call: &GatewayCall, fault: Fault) -> Reply {
        if let GatewayCall::CaptureIntent { intent, .. } = call {
            let at: usize = intent.as_str()[3..].parse().unwrap();
            let end = self.provider.intents[at].capture_before;
            assert!(end.is_none_or(|end| self.now < end), "a capture after the end of the hold");
        }
        self.provider.carry_out(call, self.now, fault)
    }

    fn intent(&self) -> Option<usize> {
        self.payment.intent().map(|intent| intent.as_str()[3..].parse().unwrap())
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Confirm(n) => self.tell(&confirm(METHODS[*n])),
            Step::Settle(n) => self.tell(&Command::Settle { amount: eur(*n) }),
            Step::Release => self.tell(&Command::Release),
            Step::Refund(n) => self.tell(&Command::Refund { amount: eur(*n) }),
            Step::Go(fault) => {
                if let Some(fact) = self.call(*fault) {
                    self.mail.push((self.now, fact.clone()));
                    self.tell(&Command::Observe(fact));
                }
            }
            Step::Call(fault) => {
                let fact = self.call(*fault);
                self.mail.extend(fact.map(|fact| (self.now, fact)));
            }
            Step::Deliver(n, again) => {
                if !self.mail.is_empty() {
                    let n = n % self.mail.len();
                    let fact = if *again { self.mail[n].clone() } else { self.mail.swap_remove(n) };
                    self.receive(fact);
                }
            }
            Step::Webhook => {
                self.provider.expire(self.now);
                let shown = self.intent().map(|at| Fact::Fetched(self.provider.show(at)));
                self.mail.extend(shown.map(|fact| (self.now, fact)));
            }
            Step::Authenticate(success) => {
                if let Some(at) = self.intent() {
                    self.provider.authenticate(at, *success, self.now);
                }
            }
            Step::Process(success) => self.provider.process(*success, self.now),
            Step::Arrive => {
                self.arrive();
            }
            Step::Advance(micros) => self.now = self.now.plus(Span::from_micros(*micros)),
            // The end of a hold is days away; few lives shall reach it.
            Step::Deadline => {
                let soon = self.now.plus(Span::from_minutes(60));
                if Payment::next_deadline(&self.payment).is_some_and(|(deadline, _)| deadline < soon) {
                    self.deadline();
                }
            }
            Step::Tick => self.tell(&Command::Tick),
        }
    }

    /// Reads are told within half an hour, or not at all.
    fn receive(&mut self, (read, fact): (Timestamp, Fact)) {
        let stale = Span::from_minutes(30) <= self.now.since(read);
        if !(stale && matches!(fact, Fact::Fetched(_))) {
            self.tell(&Command::Observe(fact));
        }
    }

    /// No network delays a request for longer than half an hour.
    fn arrive(&mut self) {
        let Some((sent, call)) = self.late.pop() else { return };
        if self.now.since(sent) < Span::from_minutes(30) {
            self.provider.carry_out(&call, self.now, Fault::None);
        }
    }

    fn deadline(&mut self) {
        if let Some((deadline, _)) = Payment::next_deadline(&self.payment) {
            self.now = self.now.max(deadline);
            self.tell(&Command::Tick);
        }
    }

    /// No more faults: late calls and the mail arrive, then calls and deadlines alternate to the end.
    fn fair(&mut self) {
        while !self.late.is_empty() {
            self.arrive();
        }
        for fact in std::mem::take(&mut self.mail) {
            self.receive(fact);
        }
        for _ in 0..200 {
            self.provider.process(true, self.now);
            if let Some(fact) = self.call(Fault::None) {
                let before = (self.payment.clone(), self.now);
                self.tell(&Command::Observe(fact.clone()));
                assert_ne!(
                    before.0, self.payment,
                    "{fact:?} moved nothing, so the same call is due for ever"
                );
            } else if let Some((deadline, reason)) = Payment::next_deadline(&self.payment) {
                let idle = reason == DeadlineReason::HoldEnds && self.now < deadline;
                assert!(!idle, "an end was decided, and the hold is left to run out");
                let before = (self.payment.clone(), self.now);
                self.deadline();
                let moved = before != (self.payment.clone(), self.now);
                assert!(moved || self.payment.due_call(self.now).is_some(), "a deadline that spins");
            } else {
                return;
            }
        }
        panic!("no end: {:?}", self.payment);
    }

    fn check_end(&self, covered: bool) {
        let p = &self.payment;
        assert!(p.is_settled(), "{p:?}");
        let intents = &self.provider.intents;
        assert!(intents.iter().all(|intent| intent.status != Status::Held), "a hold is left standing");
        let received: i64 = intents.iter().map(|intent| intent.received).sum();
        let refunded: i64 = intents.iter().map(|intent| intent.refunded).sum();
        assert_eq!((p.captured(), p.refunded(), p.open()), (eur(received), eur(refunded), eur(0)));
        match p.desired() {
            Desired::Hold => panic!("an end was decided"),
            Desired::Release => assert_eq!(received, refunded, "money is kept after a release"),
            Desired::Settle { amount } => {
                let price = amount.to_minor();
                assert!(received == 0 || received == price.min(LIMIT));
                assert!(!covered || received == price.min(LIMIT), "a standing hold was not captured");
                let missing = (price > received).then(|| eur(price - received));
                assert_eq!(p.shortfall(), missing);
            }
        }
        let replayed = self.events.iter().fold(Payment::new(reference(), eur(LIMIT)), Payment::evolve);
        assert_eq!(&replayed, p, "the events do not tell the state");
        let json = serde_json::to_string(p).unwrap();
        assert_eq!(&serde_json::from_str::<Payment>(&json).unwrap(), p);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn money_is_never_lost_and_never_taken_twice(
        start in 0..6_usize,
        chosen in prop_oneof![3 => Just(0), 2 => 1..METHODS.len()],
        before in prop::collection::vec(step(), 0..30),
        end in end(),
        after in prop::collection::vec(step(), 0..20),
        changed in prop::option::weighted(0.2, end()),
        rest in prop::collection::vec(step(), 0..10),
        slow in any::<bool>(),
        fails in any::<bool>(),
    ) {
        let mut world = World::new(slow);
        // Most lives begin well, or few would get far.
        let well = [Step::Go(Fault::None), Step::Confirm(chosen), Step::Go(Fault::None)];
        well.iter().take(start).chain(&before).for_each(|step| world.run(step));
        let standing = world.payment.is_authorised(world.now.plus(Span::from_seconds(days(6))));
        world.run(&end);
        let quick = after.iter().chain(&rest).all(|step| !matches!(step, Step::Advance(_)));
        after.iter().for_each(|step| world.run(step));
        changed.iter().chain(&rest).for_each(|step| world.run(step));
        let covered = standing && quick;
        world.fair();
        world.check_end(covered);
        if let Some(failed) = world.provider.fail_a_refund().filter(|_| fails) {
            world.tell(&Command::Observe(Fact::RefundFetched(failed)));
            prop_assert!(!world.payment.is_settled());
            world.fair();
            world.check_end(false);
        }
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let amount = prop_oneof![(-5..LIMIT * 2).prop_map(eur), Just(Money::from_minor(7, Currency::USD))];
    (0..22_usize, amount, 0..6_u32).prop_map(|(n, amount, seq)| {
        let request = Request { seq, tries: 0, at: at(0), retry_at: at(10) };
        let refund = crate::ids::RefundId::new("re_1").unwrap();
        let failure = Failure { reason: "x".into(), retryable: true };
        let op = [Op::Create, Op::Confirm, Op::Capture, Op::Cancel, Op::Refund][n % 5];
        match n {
            0 => Event::PaymentIntentRequested { request },
            1 => Event::PaymentIntentCreated {
                intent: PaymentIntentId::new("pi_1").unwrap(),
                client_secret: None,
            },
            2 => Event::PaymentConfirmationRequested { request, method: method("pm_visa") },
            3 => Event::PaymentActionRequired { action: None, deadline: at(60), look_at: at(1) },
            4 | 5 => Event::PaymentAuthorized { amount, capture_before: at(900), use_before: at(800) },
            6 => Event::PaymentFailed { failure, decline: None },
            7 => Event::PaymentCaptureRequested { request, amount },
            8 => Event::PaymentReleaseRequested { request },
            9 => Event::PaymentOutcomeUnknown { op, seq, tries: 1, retry_at: at(20) },
            10 => Event::PaymentCallDeferred { op, seq, tries: 1, due_at: at(20) },
            11 | 12 => Event::PaymentCompleted { amount, at: Timestamp::EPOCH },
            13 | 14 => Event::PaymentReleased { amount },
            15 => Event::PaymentExpired { amount },
            16 => Event::RefundDecided { total: amount },
            17 => Event::RefundRequested { request, amount },
            18 => Event::RefundCompleted { seq, refund: Some(refund), amount },
            19 => Event::RefundFailed { seq, refund: None, amount, code: "x".into() },
            20 => Event::PaymentSettlementDecided { amount },
            _ => Event::PaymentCallDropped { op, seq },
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_history_folds_and_the_sums_hold(events in prop::collection::vec(any_event(), 0..80)) {
        let mut world = World::new(false);
        for event in &events {
            world.payment = Payment::evolve(world.payment.clone(), event);
            world.check_sums();
            let _ = (world.payment.status(), world.payment.due_call(at(5)), Payment::next_deadline(&world.payment));
        }
    }

    /// The same reads in any order tell the same story.
    #[test]
    fn the_order_of_facts_does_not_matter(order in Just((0..5_usize).collect::<Vec<_>>()).prop_shuffle(), void in any::<bool>()) {
        let end = if void { IntentStatus::Canceled } else { IntentStatus::Succeeded };
        let facts = [
            snapshot(IntentStatus::RequiresPaymentMethod),
            snapshot(IntentStatus::RequiresAction),
            declined("ch_1", DeclineClass::Retryable),
            snapshot(IntentStatus::RequiresCapture),
            snapshot(end),
        ];
        let mut led = Led::new()
            .at(0, Command::Begin)
            .at(1, answer(Op::Create, 1, snapshot(IntentStatus::RequiresPaymentMethod)))
            .at(2, confirm("pm_card_visa"));
        for n in order {
            led = led.at(3, fetched(facts[n].clone()));
        }
        let p = &led.payment;
        prop_assert_eq!(p.open(), eur(0));
        prop_assert_eq!(p.captured(), eur(if void { 0 } else { 600 }));
        let ended = match p.status() {
            PaymentStatus::Captured => !void,
            // Whether it had been held is told only if the hold was shown before its end.
            PaymentStatus::Released | PaymentStatus::Expired => void,
            PaymentStatus::None | PaymentStatus::Authorizing | PaymentStatus::RequiresAction | PaymentStatus::Authorized
            | PaymentStatus::Capturing | PaymentStatus::Releasing | PaymentStatus::Declined | PaymentStatus::Unknown
            | PaymentStatus::Quarantined => false,
        };
        prop_assert!(ended, "{:?}", p);
    }
}
