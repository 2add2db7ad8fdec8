//! Rules that no race needs, each held by a test of its own.

use super::*;

fn refund_answer(seq: u32, snapshot: RefundSnapshot) -> Command {
    Command::Observe(Fact::RefundAnswer { seq, snapshot })
}

fn deadline(led: &Led) -> (i64, DeadlineReason) {
    let (time, reason) = Payment::next_deadline(&led.payment).unwrap();
    (time.since(at(0)).as_seconds(), reason)
}

#[test]
fn a_refund_that_fails_is_made_again_later_and_later_and_left_to_a_person_after_the_third_time() {
    let mut led = Led::captured().at(6, Command::Refund { amount: eur(200) });
    let mut now = 6;
    let mut waits = vec![];
    for n in 0..3_u32 {
        assert_eq!(led.due_op(now), Some((Op::Refund, 4 + n)));
        let failed = refund(&format!("re_{n}"), 200, RefundStatus::Failed);
        led = led.at(now, refund_answer(4 + n, failed));
        if n < 2 {
            assert_eq!(led.due_op(now), None, "the provider has just said no");
            let (due, reason) = deadline(&led);
            assert_eq!(reason, DeadlineReason::CallDue);
            waits.push(due - now);
            now = due;
            led = led.at(now, Command::Tick);
        }
    }
    assert_eq!(waits, [1, 2]);
    assert_eq!(led.payment.quarantine(), Some(QuarantineReason::RefundFailed));
    assert_eq!((led.due_op(now), Payment::next_deadline(&led.payment)), (None, None));
}

#[test]
fn a_pending_refund_is_read_when_it_is_due_and_later_after_a_read_that_brought_nothing() {
    let pending = Led::captured()
        .at(6, Command::Refund { amount: eur(200) })
        .at(7, refund_answer(4, refund("re_1", 200, RefundStatus::Pending)));
    assert_eq!(deadline(&pending), (8, DeadlineReason::LookUp));
    assert_eq!(pending.judge(at(7), &unknown(Op::Fetch, 4)), Ok(vec![]), "none was due");
    assert_eq!(pending.judge(at(8), &unknown(Op::Fetch, 9)), Ok(vec![]), "there is no such refund");
    let still = Command::Observe(Fact::RefundFetched(refund("re_1", 200, RefundStatus::Pending)));
    for nothing in [unknown(Op::Fetch, 4), still] {
        let later = pending.clone().at(8, nothing);
        assert_eq!(deadline(&later), (9, DeadlineReason::LookUp));
        let later = later.at(9, unknown(Op::Fetch, 4));
        assert_eq!(deadline(&later), (11, DeadlineReason::LookUp));
    }
}

#[test]
fn a_refund_is_known_by_its_id_and_one_without_an_id_by_its_amount_and_call() {
    let asked = |led: Led, second, total| led.at(second, Command::Refund { amount: eur(total) });
    let first = asked(Led::captured(), 6, 100);
    let wrong = first.clone().at(7, refund_answer(4, refund("re_1", 99, RefundStatus::Succeeded)));
    assert_eq!(wrong.payment.quarantine(), Some(QuarantineReason::AmountMismatch));

    // The answer is lost; the intent shows the money gone.
    let mut lost = first;
    let mut now = 6;
    for _ in 0..4 {
        let (op, seq) = lost.due_op(now).unwrap();
        lost = lost.at(now, unknown(op, seq));
        now = deadline(&lost).0;
    }
    let gone = IntentSnapshot { amount_refunded: Some(eur(100)), ..snapshot(IntentStatus::Succeeded) };
    let found = lost.at(now, fetched(gone));
    assert_eq!(found.payment.refunded(), eur(100));
    let late = refund_answer(4, refund("re_1", 100, RefundStatus::Succeeded));
    assert_eq!(found.judge(at(now), &late), Ok(vec![]), "its own answer is no other refund");
    let shown = |minor, status| Command::Observe(Fact::RefundFetched(refund("re_1", minor, status)));
    let other = shown(50, RefundStatus::Failed);
    assert_eq!(found.judge(at(now), &other), Ok(vec![]), "a refund of another amount is none of ours");
    let failed = found.at(now, shown(100, RefundStatus::Failed));
    assert_eq!(failed.payment.refunded(), eur(0), "what was found by its amount has a name now, and failed");
    let again = failed.judge(at(now), &shown(100, RefundStatus::Succeeded));
    assert_eq!(again, Ok(vec![]), "what has failed never comes back");
}

#[test]
fn a_second_refund_under_the_key_of_one_that_failed_is_left_to_a_person() {
    let failed = Led::captured()
        .at(6, Command::Refund { amount: eur(200) })
        .at(7, refund_answer(4, refund("re_1", 200, RefundStatus::Failed)));
    let again = refund_answer(4, refund("re_2", 200, RefundStatus::Failed));
    assert_eq!(failed.judge(at(8), &again), Ok(vec![]), "no money left by it");
    let paid = failed.at(8, refund_answer(4, refund("re_2", 200, RefundStatus::Succeeded)));
    assert_eq!(paid.payment.quarantine(), Some(QuarantineReason::RefundFailed));
    assert_eq!(paid.due_op(60), None, "and no third one is asked for");
}

#[test]
fn a_refund_that_was_given_up_and_paid_after_all_takes_the_place_of_the_next_one() {
    let mut led = Led::captured().at(6, Command::Refund { amount: eur(200) });
    let mut now = 6;
    for _ in 0..4 {
        let (op, seq) = led.due_op(now).unwrap();
        led = led.at(now, unknown(op, seq));
        now = deadline(&led).0;
    }
    let later = 6 + 2 * 60 * 60;
    let again = led.at(later, fetched(snapshot(IntentStatus::Succeeded)));
    assert_eq!(again.due_op(later), Some((Op::Refund, 5)));
    let paid = again.at(later, refund_answer(4, refund("re_1", 200, RefundStatus::Succeeded)));
    assert_eq!((paid.due_op(later), paid.payment.refunded()), (None, eur(200)), "nothing is paid twice");
    assert!(paid.payment.is_settled());
}

#[test]
fn what_the_customer_must_do_and_when_the_money_was_taken_is_told() {
    let action = NextAction { kind: "redirect_to_url".into(), url: Some("https://bank.example/3ds".into()) };
    let asked =
        IntentSnapshot { next_action: Some(action.clone()), ..snapshot(IntentStatus::RequiresAction) };
    let asked = confirming().at(3, answer(Op::Confirm, 2, asked));
    assert_eq!(asked.payment.next_action(), Some(&action));
    assert_eq!(Led::captured().payment.captured_at(), Some(at(5)));
    assert_eq!(Led::held().payment.captured_at(), None);
}

#[test]
fn the_same_capture_shown_with_another_amount_is_a_contradiction() {
    let captured = Led::captured();
    assert_eq!(captured.judge(at(6), &fetched(snapshot(IntentStatus::Succeeded))), Ok(vec![]));
    let less = IntentSnapshot { amount_received: eur(599), ..snapshot(IntentStatus::Succeeded) };
    let less = captured.at(6, fetched(less));
    assert_eq!(less.payment.quarantine(), Some(QuarantineReason::AmountMismatch));
    let taken = answer(Op::Capture, 3, snapshot(IntentStatus::Succeeded));
    let other = Led::held().at(4, Command::Settle { amount: eur(500) }).at(5, taken);
    assert_eq!(other.names().last(), Some(&"PaymentQuarantined"), "and nothing is told after it");
}

#[test]
fn an_intent_of_somebody_else_is_nobodys_second_hold() {
    let other = "018f3a5e-0000-7000-8000-000000000002".parse().unwrap();
    let stranger = IntentSnapshot {
        intent: PaymentIntentId::new("pi_2").unwrap(),
        reference: Some(other),
        ..snapshot(IntentStatus::RequiresCapture)
    };
    assert_eq!(Led::held().judge(at(4), &fetched(stranger)), Ok(vec![]));
}

#[test]
fn the_secret_says_only_that_it_is_one() {
    assert_eq!(format!("{:?}", ClientSecret::new("pi_1_secret")), "ClientSecret(..)");
}

#[test]
fn a_customer_who_must_answer_before_the_next_look_is_waited_for_until_then() {
    let mut led = confirming();
    led.policy.hold_max = Span::from_millis(500);
    let led = led.at(3, answer(Op::Confirm, 2, snapshot(IntentStatus::RequiresAction)));
    let (time, reason) = Payment::next_deadline(&led.payment).unwrap();
    assert_eq!((time, reason), (at(3).plus(Span::from_millis(500)), DeadlineReason::CustomerDeadline));
    assert_eq!(deadline(&awaiting()), (4, DeadlineReason::LookUp));
}

#[test]
fn a_hold_that_has_ended_is_not_about_to_end() {
    let ends =
        IntentSnapshot { capture_before: Some(at(days(6))), ..snapshot(IntentStatus::RequiresCapture) };
    let held = confirming().at(3, answer(Op::Confirm, 2, ends));
    let last = held.clone().at(days(6) - 1, Command::Tick);
    assert_eq!(last.names().last(), Some(&"PaymentExpiring"));
    let over = held.at(days(6), Command::Tick);
    assert!(!over.names().contains(&"PaymentExpiring"), "{:?}", over.names());
    assert!(over.names().contains(&"PaymentExpired"), "{:?}", over.names());
}

#[test]
fn a_decline_that_nobody_has_seen_is_believed_while_the_customer_is_waited_for() {
    let news = declined("ch_1", DeclineClass::Retryable);
    let failed = awaiting().at(3, fetched(news.clone()));
    assert_eq!(failed.payment.status(), PaymentStatus::Declined, "no read was due, and it is news");
    let releasing = awaiting().at(3, Command::Release);
    assert_eq!(releasing.due_op(3), Some((Op::Cancel, 3)));
    assert_eq!(releasing.judge(at(3), &fetched(news)), Ok(vec![]), "nobody wants the money any more");
}

#[test]
fn a_read_is_believed_when_it_was_due_and_not_before() {
    let lost = confirming().at(3, unknown(Op::Confirm, 2));
    let nothing = fetched(snapshot(IntentStatus::RequiresPaymentMethod));
    assert_eq!(lost.judge(at(3), &nothing), Ok(vec![]));
    let again = lost.at(4, nothing);
    assert_eq!(again.due_op(4), Some((Op::Confirm, 3)), "it left no trace: made again under a new number");
    // Of a call that is made again the tries are counted on; of another one they begin.
    assert_eq!(tries(&again), Some((Op::Confirm, 1)));
    let denied = confirming().at(3, refused(Op::Confirm, 2)).at(3, unknown(Op::Fetch, 2));
    let nothing = fetched(snapshot(IntentStatus::RequiresPaymentMethod));
    assert_eq!(
        denied.judge(at(3), &nothing),
        Ok(vec![]),
        "the read after a refusal failed: the next one is due later"
    );
    let gone = confirming().at(3, unknown(Op::Confirm, 2)).at(3, Command::Release);
    let gone = gone.at(4, fetched(snapshot(IntentStatus::RequiresPaymentMethod)));
    assert_eq!(tries(&gone), Some((Op::Cancel, 0)));
}

/// The call in flight and its tries.
fn tries(led: &Led) -> Option<(Op, u32)> {
    led.payment.flight.as_ref().map(|flight| (flight.task.op(), flight.tries))
}

#[test]
fn an_answer_counts_for_its_own_call_only() {
    let late = answer(Op::Create, 1, snapshot(IntentStatus::RequiresPaymentMethod));
    assert_eq!(confirming().judge(at(3), &late), Ok(vec![]), "the answer to an earlier call");
    let plain = answer(Op::Confirm, 2, snapshot(IntentStatus::RequiresPaymentMethod));
    let failed = confirming().at(3, plain);
    assert_eq!(failed.payment.status(), PaymentStatus::Declined, "no charge, and still an answer: it failed");
    let second = failed.at(4, confirm("pm_card_visa"));
    assert_eq!(second.due_op(4), Some((Op::Confirm, 3)));
    let late = answer(Op::Confirm, 2, snapshot(IntentStatus::RequiresAction));
    assert_eq!(second.judge(at(5), &late), Ok(vec![]), "the answer to the first attempt");

    let unmoved = answer(Op::Capture, 3, snapshot(IntentStatus::RequiresCapture));
    let capturing = Led::held().at(4, Command::Settle { amount: eur(600) }).at(5, unmoved.clone());
    assert_eq!(capturing.names().last(), Some(&"PaymentOutcomeUnknown"), "as good as no answer");
    assert_eq!(capturing.judge(at(5), &unmoved), Ok(vec![]), "which is looked up already");
}

#[test]
fn while_an_intent_is_cancelled_a_decline_is_no_news() {
    let releasing = created().at(2, Command::Release);
    assert_eq!(releasing.due_op(2), Some((Op::Cancel, 2)));
    assert_eq!(releasing.judge(at(3), &fetched(declined("ch_1", DeclineClass::Retryable))), Ok(vec![]));
}

#[test]
fn an_event_that_does_not_fit_changes_nothing() {
    let usd = Money::from_minor(1, Currency::USD);
    let held = Led::held().payment;
    let same = |payment: &Payment, event: &Event| {
        assert_eq!(&Payment::evolve(payment.clone(), event), payment, "{event:?}");
    };
    same(&held, &Event::PaymentSettlementDecided { amount: usd });
    let settling = Payment::evolve(held.clone(), &Event::PaymentSettlementDecided { amount: eur(5) });
    same(&settling, &Event::PaymentSettlementDecided { amount: eur(6) });
    let taken = |payment: Payment, amount| {
        Payment::evolve(payment, &Event::PaymentCompleted { amount, at: at(5) }).captured()
    };
    for amount in [eur(0), eur(LIMIT + 1)] {
        assert_eq!(taken(held.clone(), amount), eur(0));
    }
    assert_eq!(taken(created().payment, eur(5)), eur(0), "nothing was held");
    assert_eq!(taken(held.clone(), eur(5)), eur(5));
    let confirming = confirming().payment;
    for (op, seq) in [(Op::Confirm, 9), (Op::Capture, 2)] {
        same(&confirming, &Event::PaymentCallDeferred { op, seq, tries: 1, due_at: at(9) });
    }
}

#[test]
fn a_call_that_was_put_off_gives_way_to_another_kind_and_a_young_refund_keeps_its_key() {
    let off = |op, seq| Command::Observe(Fact::NotSent { op, seq });
    let capture = Led::held().at(4, Command::Settle { amount: eur(600) });
    let old = capture.at(5, off(Op::Capture, 3));
    let resumed = old.at(5 + 60 * 60, Command::Tick);
    assert_eq!(resumed.due_op(5 + 60 * 60), Some((Op::Capture, 3)), "only a refund's key grows too old");
    let young = Led::captured().at(6, Command::Refund { amount: eur(100) }).at(7, off(Op::Refund, 4));
    let young = young.at(60 * 60 + 5, Command::Tick);
    assert_eq!(young.due_op(60 * 60 + 5), Some((Op::Refund, 4)));
}
