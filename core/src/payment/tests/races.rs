//! One test per race that the provider, the customer and the network can run against each other.

use super::*;

fn release() -> Command {
    Command::Release
}

fn settle(minor: i64) -> Command {
    Command::Settle { amount: eur(minor) }
}

fn shown(status: IntentStatus) -> Command {
    fetched(snapshot(status))
}

#[test]
fn a_time_out_and_then_a_success_is_read_and_after_a_release_voided() {
    let lost = confirming().at(3, unknown(Op::Confirm, 2));
    assert_eq!((lost.payment.status(), lost.due_op(3)), (PaymentStatus::Unknown, None));
    assert_eq!(lost.due_op(4), Some((Op::Fetch, 2)));
    let found = lost.clone().at(4, shown(IntentStatus::RequiresCapture));
    assert_eq!(found.payment.status(), PaymentStatus::Authorized);

    let unwanted = lost.at(4, release());
    assert_eq!(unwanted.due_op(4), Some((Op::Fetch, 2)), "one call at a time");
    let voiding = unwanted.at(5, shown(IntentStatus::RequiresCapture));
    assert_eq!(
        (voiding.payment.status(), voiding.due_op(5)),
        (PaymentStatus::Releasing, Some((Op::Cancel, 3)))
    );
    let gone = voiding.at(6, answer(Op::Cancel, 3, snapshot(IntentStatus::Canceled)));
    assert!(gone.payment.is_settled());
    assert_eq!((gone.payment.authorized(), gone.payment.released()), (eur(LIMIT), eur(LIMIT)));
}

#[test]
fn a_webhook_before_the_response_makes_the_response_a_duplicate() {
    let told = confirming().at(3, shown(IntentStatus::RequiresCapture));
    assert_eq!(told.payment.status(), PaymentStatus::Authorized);
    let response = answer(Op::Confirm, 2, snapshot(IntentStatus::RequiresCapture));
    assert_eq!(told.judge(at(4), &response), Ok(vec![]));

    // Of a creation, too; but another booking's intent, or one that names none, is not ours.
    let begun = Led::new().at(0, Command::Begin);
    let nameless = IntentSnapshot { reference: None, ..snapshot(IntentStatus::RequiresPaymentMethod) };
    assert_eq!(begun.judge(at(1), &fetched(nameless)), Ok(vec![]));
    let adopted = begun.at(1, shown(IntentStatus::RequiresPaymentMethod));
    assert_eq!(adopted.payment.intent().unwrap().as_str(), "pi_1");
}

#[test]
fn a_void_that_lost_against_a_capture_becomes_a_refund() {
    let lost = Led::held().at(4, release()).at(5, refused(Op::Cancel, 3));
    assert_eq!(lost.due_op(5), Some((Op::Fetch, 3)), "a refusal is read up before it is believed");
    let refunding = lost.at(6, shown(IntentStatus::Succeeded));
    let Some((Op::Refund, 4, GatewayCall::CreateRefund { amount, .. })) = refunding.due(6) else {
        panic!("{:?}", refunding.due(6));
    };
    assert_eq!((amount, refunding.payment.captured()), (eur(600), eur(600)));
    let back = Command::Observe(Fact::RefundAnswer {
        seq: 4,
        snapshot: refund("re_1", 600, RefundStatus::Succeeded),
    });
    let back = refunding.at(7, back);
    assert!(back.payment.is_settled());
    assert_eq!(back.payment.refunded(), eur(600));
}

#[test]
fn a_capture_that_lost_against_a_void_becomes_a_shortfall() {
    let lost = Led::held().at(4, settle(600)).at(5, refused(Op::Capture, 3));
    let owing = lost.at(6, shown(IntentStatus::Canceled));
    assert_eq!(owing.payment.shortfall(), Some(eur(600)));
    assert!(owing.payment.is_settled());
}

#[test]
fn a_refused_capture_with_the_hold_alive_is_tried_again_after_a_pause() {
    let refused = Led::held().at(4, settle(600)).at(5, refused(Op::Capture, 3));
    let waiting = refused.at(5, shown(IntentStatus::RequiresCapture));
    assert_eq!((waiting.due_op(5), waiting.payment.open()), (None, eur(LIMIT)));
    let again = waiting.at(6, Command::Tick);
    assert_eq!(again.due_op(6), Some((Op::Capture, 4)));
    let given_up = again.at(7, release());
    assert_eq!(given_up.due_op(7), Some((Op::Capture, 4)), "what may be under way is not overtaken");
}

#[test]
fn a_call_that_was_never_sent_gives_way_to_a_release() {
    let off = Command::Observe(Fact::NotSent { op: Op::Confirm, seq: 2 });
    let waiting = confirming().at(3, off);
    assert_eq!(waiting.due_op(3), None);
    let again = waiting.clone().at(4, Command::Tick);
    assert_eq!(again.due(4), confirming().due(2), "not sent: the same call under the same key");
    let released = waiting.at(4, release());
    assert_eq!(released.due_op(4), Some((Op::Cancel, 3)));

    let off = Command::Observe(Fact::NotSent { op: Op::Create, seq: 1 });
    let never = Led::new().at(0, Command::Begin).at(1, off).at(2, release());
    assert!(never.payment.is_settled(), "an intent that was never created needs no cancelling");
    let after_all = never.at(3, answer(Op::Create, 1, snapshot(IntentStatus::RequiresPaymentMethod)));
    assert_eq!(after_all.due_op(3), Some((Op::Cancel, 2)));
}

#[test]
fn a_double_confirmation_is_one_and_another_method_waits_its_turn() {
    let confirming = confirming();
    assert_eq!(confirming.judge(at(3), &confirm("pm_card_visa")), Ok(vec![]));
    assert_eq!(confirming.judge(at(3), &confirm("pm_other")), Err(Rejection::ConfirmationInFlight));
    let held = confirming.at(3, answer(Op::Confirm, 2, snapshot(IntentStatus::RequiresCapture)));
    assert_eq!(held.judge(at(4), &confirm("pm_card_visa")), Ok(vec![]));
    assert!(matches!(held.judge(at(4), &confirm("pm_other")), Err(Rejection::WrongState { .. })));
}

#[test]
fn a_confirmation_before_the_intent_is_known_follows_it() {
    let early = Led::new().at(0, Command::Begin).at(1, confirm("pm_a")).at(1, confirm("pm_b"));
    assert_eq!(early.due_op(1), Some((Op::Create, 1)));
    let known = early.at(2, answer(Op::Create, 1, snapshot(IntentStatus::RequiresPaymentMethod)));
    let Some((Op::Confirm, 2, GatewayCall::ConfirmIntent { key, method, .. })) = known.due(2) else {
        panic!("{:?}", known.due(2));
    };
    assert_eq!(key.as_str(), format!("{}:confirm:2", reference()));
    assert_eq!(method.as_str(), "pm_b");
}

#[test]
fn an_abandoned_authentication_is_cancelled_and_a_late_one_voided() {
    let waiting = awaiting();
    assert_eq!((waiting.payment.status(), waiting.due_op(3)), (PaymentStatus::RequiresAction, None));
    assert_eq!(waiting.due_op(4), Some((Op::Fetch, 2)), "webhooks get lost");
    let deadline = 3 + 10 * 60;
    let abandoned = waiting.at(deadline, Command::Tick);
    assert_eq!(abandoned.due_op(deadline), Some((Op::Cancel, 3)));
    let late = abandoned.at(deadline + 1, shown(IntentStatus::RequiresCapture));
    assert_eq!(late.payment.open(), eur(LIMIT));
    assert!(!late.payment.is_authorised(at(deadline + 1)));
    let gone = late.at(deadline + 2, answer(Op::Cancel, 3, snapshot(IntentStatus::Canceled)));
    assert_eq!((gone.payment.open(), gone.payment.is_settled()), (eur(0), true));
}

#[test]
fn two_failed_authentications_that_look_the_same_are_two() {
    let failed = IntentSnapshot {
        decline: Some(Decline {
            charge: None,
            code: "payment_intent_authentication_failure".into(),
            class: DeclineClass::AuthenticationRequired,
        }),
        ..snapshot(IntentStatus::RequiresPaymentMethod)
    };
    let second = awaiting()
        .at(4, fetched(failed.clone()))
        .at(5, confirm("pm_card_visa"))
        .at(6, answer(Op::Confirm, 3, snapshot(IntentStatus::RequiresAction)));
    assert_eq!(second.judge(at(6), &fetched(failed.clone())), Ok(vec![]), "it may be the first, read before");
    let declined = second.at(7, fetched(failed));
    assert_eq!(declined.payment.status(), PaymentStatus::Declined);
    assert!(declined.payment.failure().unwrap().retryable);
}

#[test]
fn a_decline_leads_to_a_new_attempt_that_the_old_decline_does_not_touch() {
    let poor = answer(Op::Confirm, 2, declined("ch_1", DeclineClass::Retryable));
    let retry = confirming().at(3, poor.clone()).at(4, confirm("pm_card_visa"));
    assert_eq!(retry.due_op(4), Some((Op::Confirm, 3)));
    assert_eq!(retry.judge(at(5), &poor), Ok(vec![]));
    assert_eq!(retry.judge(at(5), &fetched(declined("ch_1", DeclineClass::Retryable))), Ok(vec![]));
    let lost = retry.at(5, unknown(Op::Confirm, 3));
    let again = lost.clone().at(6, fetched(declined("ch_1", DeclineClass::Retryable)));
    assert_eq!(again.due_op(6), Some((Op::Confirm, 4)), "no effect: again, under a new key");
    let news = lost.at(6, fetched(declined("ch_2", DeclineClass::HardStop)));
    assert_eq!(news.payment.failure().unwrap().reason, "card_declined", "the customer learns no more");
    assert!(matches!(news.judge(at(7), &confirm("pm_card_visa")), Err(Rejection::NotRetryable { .. })));
}

#[test]
fn a_hold_that_ends_before_the_trip_is_announced_and_then_owed() {
    let held = Led::held();
    let soon = 3 + days(7) - 60 * 60;
    assert!(held.payment.is_authorised(at(soon - 1)) && !held.payment.is_authorised(at(soon)));
    let warned = held.at(soon, Command::Tick);
    assert_eq!(warned.names().last(), Some(&"PaymentExpiring"));
    let just = warned.clone().at(soon + 1, settle(600));
    assert_eq!(just.due_op(soon + 1), Some((Op::Capture, 3)), "there is still time to capture");
    let end = 3 + days(7);
    let last = warned.clone().at(end - 1, settle(600));
    assert_eq!(last.due_op(end - 1), Some((Op::Capture, 3)));
    assert_eq!(last.due_op(end), None, "no capture after the end");

    let expired = warned.at(end, Command::Tick);
    assert_eq!(
        (expired.payment.status(), expired.due_op(end)),
        (PaymentStatus::Expired, Some((Op::Cancel, 3)))
    );
    let owing =
        expired.at(end + 1, answer(Op::Cancel, 3, snapshot(IntentStatus::Canceled))).at(end + 2, settle(600));
    assert_eq!((owing.payment.status(), owing.payment.shortfall()), (PaymentStatus::Expired, Some(eur(600))));
    assert!(owing.payment.is_settled());
}

#[test]
fn a_price_above_the_hold_takes_the_hold_and_names_the_rest() {
    let taking = Led::held().at(4, settle(LIMIT + 250));
    let Some((Op::Capture, 3, GatewayCall::CaptureIntent { amount, .. })) = taking.due(4) else {
        panic!("{:?}", taking.due(4));
    };
    assert_eq!((amount, taking.payment.shortfall()), (eur(LIMIT), None));
    let all = IntentSnapshot { amount_received: eur(LIMIT), ..snapshot(IntentStatus::Succeeded) };
    let taken = taking.at(5, answer(Op::Capture, 3, all));
    assert_eq!(taken.payment.shortfall(), Some(eur(250)));
    assert_eq!((taken.payment.captured(), taken.payment.released()), (eur(LIMIT), eur(0)));
}

#[test]
fn an_old_snapshot_after_a_new_one_changes_nothing() {
    for status in [
        IntentStatus::RequiresPaymentMethod,
        IntentStatus::RequiresConfirmation,
        IntentStatus::RequiresAction,
        IntentStatus::Processing,
        IntentStatus::RequiresCapture,
        IntentStatus::Other("requires_a_miracle".into()),
    ] {
        for led in [Led::held(), Led::captured()] {
            assert_eq!(led.judge(at(6), &shown(status.clone())), Ok(vec![]), "{status:?}");
        }
    }
}

#[test]
fn after_a_crash_between_persisting_and_sending_the_same_call_goes_out() {
    let confirming = confirming();
    let stored = serde_json::to_string(&confirming.payment).unwrap();
    let loaded: Payment = serde_json::from_str(&stored).unwrap();
    assert_eq!(loaded.due_call(at(3)), confirming.payment.due_call(at(2)));
    // Much later nobody knows whether it was sent: read first.
    assert_eq!(loaded.due_call(at(12)), None);
    let late = Led { payment: loaded, ..confirming }.at(days(2), Command::Tick);
    assert_eq!(late.due_op(days(2)), Some((Op::Fetch, 2)));
    let again = late.at(days(2), shown(IntentStatus::RequiresPaymentMethod));
    assert_eq!(again.due_op(days(2)), Some((Op::Confirm, 3)));
}

#[test]
fn a_creation_nobody_answers_is_repeated_under_its_key_and_then_under_another() {
    let mut led = Led::new().at(0, Command::Begin);
    let mut keys = vec![];
    let mut now = 0;
    for _ in 0..7 {
        let (op, seq) = led.due_op(now).unwrap();
        keys.push(seq);
        led = led.at(now, unknown(op, seq));
        now = Payment::next_deadline(&led.payment).unwrap().0.since(at(0)).as_seconds();
    }
    assert_eq!(keys, [1, 1, 1, 2, 2, 2, 3]);
    assert_eq!(led.payment.status(), PaymentStatus::Unknown);
    let first = led.at(now, answer(Op::Create, 1, snapshot(IntentStatus::RequiresPaymentMethod)));
    assert_eq!((first.payment.status(), first.due_op(now)), (PaymentStatus::None, None));
    // The other one is never confirmed; if somebody did, a person must look.
    let mut other = snapshot(IntentStatus::RequiresPaymentMethod);
    other.intent = PaymentIntentId::new("pi_2").unwrap();
    assert_eq!(first.judge(at(now), &answer(Op::Create, 2, other.clone())), Ok(vec![]));
    let second = first.at(now, fetched(IntentSnapshot { status: IntentStatus::RequiresCapture, ..other }));
    assert_eq!(second.payment.quarantine(), Some(QuarantineReason::SecondHold));
}

#[test]
fn a_refund_is_a_total_and_one_that_fails_after_it_succeeded_is_made_again() {
    let asked = Led::captured().at(6, Command::Refund { amount: eur(200) });
    assert_eq!(asked.judge(at(6), &Command::Refund { amount: eur(200) }), Ok(vec![]));
    assert_eq!(asked.due_op(6), Some((Op::Refund, 4)));
    let answer =
        |status| Command::Observe(Fact::RefundAnswer { seq: 4, snapshot: refund("re_1", 200, status) });
    let pending = asked.at(7, answer(RefundStatus::Pending));
    assert_eq!((pending.payment.refunded(), pending.payment.is_settled()), (eur(0), false));
    assert_eq!(pending.due_op(8), Some((Op::Fetch, 4)));
    let paid = pending.at(8, answer(RefundStatus::Succeeded));
    assert_eq!((paid.payment.refunded(), paid.payment.is_settled()), (eur(200), true));
    assert_eq!(paid.judge(at(9), &answer(RefundStatus::Pending)), Ok(vec![]));
    let failed = paid.at(10, answer(RefundStatus::Failed));
    assert_eq!((failed.payment.refunded(), failed.payment.is_settled()), (eur(0), false));
    let again = failed.at(11, Command::Tick);
    assert_eq!(again.due_op(11), Some((Op::Refund, 5)));
}

#[test]
fn a_refund_that_was_put_off_keeps_its_key_even_when_more_is_to_be_paid_back() {
    // One worker's call was carried out, another worker's was not sent: the key makes them one.
    let off = Command::Observe(Fact::NotSent { op: Op::Refund, seq: 4 });
    let asked = Led::captured().at(6, Command::Refund { amount: eur(100) });
    let more = asked.clone().at(7, off).at(7, Command::Refund { amount: eur(200) });
    let again = more.clone().at(8, Command::Tick);
    assert_eq!(again.due(8), asked.due(6));
    let done = RefundSnapshot { amount: eur(100), ..refund("re_1", 100, RefundStatus::Succeeded) };
    let rest = again.at(9, Command::Observe(Fact::RefundAnswer { seq: 4, snapshot: done }));
    let Some((Op::Refund, 5, GatewayCall::CreateRefund { amount, .. })) = rest.due(9) else {
        panic!("{:?}", rest.due(9));
    };
    assert_eq!(amount, eur(100));
    let old = more.at(6 + 60 * 60, Command::Tick);
    assert_eq!(old.due_op(6 + 60 * 60), Some((Op::Fetch, 4)), "the key may be forgotten: read");
}

#[test]
fn a_refund_without_an_answer_is_found_by_what_the_intent_shows() {
    let mut led = Led::captured().at(6, Command::Refund { amount: eur(200) });
    let mut asked = vec![];
    let mut now = 6;
    for _ in 0..4 {
        let (op, seq) = led.due_op(now).unwrap();
        asked.push((op, seq));
        led = led.at(now, unknown(op, seq));
        now = Payment::next_deadline(&led.payment).unwrap().0.since(at(0)).as_seconds();
    }
    assert_eq!(asked, [(Op::Refund, 4), (Op::Refund, 4), (Op::Refund, 4), (Op::Fetch, 4)]);
    let refunded =
        |minor| IntentSnapshot { amount_refunded: Some(eur(minor)), ..snapshot(IntentStatus::Succeeded) };
    let almost = 6 + 2 * 60 * 60 - 1;
    for second in [now, almost] {
        let not_yet = led.clone().at(second, fetched(refunded(0)));
        let next = Payment::next_deadline(&not_yet.payment).unwrap().0.since(at(0)).as_seconds();
        let (op, seq) = not_yet.due_op(next).unwrap();
        assert_eq!((seq, second == now), (4, op == Op::Refund), "the old key may still pay: no other one");
    }
    let later = 6 + 2 * 60 * 60;
    let lost = led.clone().at(later, fetched(refunded(0)));
    assert_eq!(lost.due_op(later), Some((Op::Refund, 5)), "surely lost: a new key is safe");
    let found = led.at(now, fetched(refunded(200)));
    assert_eq!((found.payment.refunded(), found.payment.is_settled()), (eur(200), true));
}

#[test]
fn contradictions_are_quarantined_and_make_no_calls() {
    let usd = Money::from_minor(LIMIT, Currency::USD);
    let other = "018f3a5e-0000-7000-8000-000000000002".parse().unwrap();
    let wrong = [
        (IntentSnapshot { amount: eur(1), ..snapshot(IntentStatus::RequiresCapture) }, "amount_mismatch"),
        (
            IntentSnapshot { amount_capturable: eur(1), ..snapshot(IntentStatus::RequiresCapture) },
            "amount_mismatch",
        ),
        (
            IntentSnapshot { amount_received: eur(LIMIT + 1), ..snapshot(IntentStatus::Succeeded) },
            "amount_mismatch",
        ),
        (IntentSnapshot { amount_received: eur(0), ..snapshot(IntentStatus::Succeeded) }, "amount_mismatch"),
        (IntentSnapshot { amount: usd, ..snapshot(IntentStatus::RequiresCapture) }, "currency_mismatch"),
        (
            IntentSnapshot { amount_refunded: Some(usd), ..snapshot(IntentStatus::RequiresCapture) },
            "currency_mismatch",
        ),
        (
            IntentSnapshot { reference: Some(other), ..snapshot(IntentStatus::RequiresCapture) },
            "reference_mismatch",
        ),
        (
            IntentSnapshot { amount_received: eur(5), ..snapshot(IntentStatus::Canceled) },
            "canceled_and_captured",
        ),
    ];
    for (snapshot, reason) in wrong {
        let led = confirming().at(3, fetched(snapshot));
        let shown = serde_json::to_value(led.payment.quarantine()).unwrap();
        assert_eq!((led.payment.status(), shown), (PaymentStatus::Quarantined, reason.into()));
        assert_eq!((led.due_op(3), Payment::next_deadline(&led.payment)), (None, None));
        assert!(!led.payment.is_settled() && !led.payment.is_authorised(at(3)));
        let led = led.at(4, release()).at(5, Command::Tick);
        assert_eq!(led.due_op(5), None);
    }
    let both = Led::captured().at(6, shown(IntentStatus::Canceled));
    assert_eq!(both.payment.quarantine(), Some(QuarantineReason::CanceledAndCaptured));
    let more =
        Led::held().at(4, settle(500)).at(5, answer(Op::Capture, 3, snapshot(IntentStatus::Succeeded)));
    assert_eq!(more.payment.quarantine(), Some(QuarantineReason::AmountMismatch));
}

#[test]
fn a_read_that_was_due_is_believed_over_an_older_snapshot_but_a_late_answer_is_not() {
    let waiting = confirming().at(3, answer(Op::Confirm, 2, snapshot(IntentStatus::Processing)));
    let asked = waiting.clone().at(4, shown(IntentStatus::RequiresAction));
    assert_eq!(asked.payment.status(), PaymentStatus::RequiresAction);
    let failed = waiting.clone().at(4, shown(IntentStatus::RequiresPaymentMethod));
    assert_eq!(failed.payment.status(), PaymentStatus::Declined);
    let late = answer(Op::Create, 1, snapshot(IntentStatus::RequiresPaymentMethod));
    assert_eq!(waiting.judge(at(4), &late), Ok(vec![]));
    assert_eq!(waiting.judge(at(3), &shown(IntentStatus::RequiresPaymentMethod)), Ok(vec![]));
}
