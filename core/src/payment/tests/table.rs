//! Every state against every command.

use core::fmt::Write as _;

use super::*;

fn begun() -> Led {
    Led::new().at(0, Command::Begin)
}

fn open() -> Led {
    begun().at(1, answer(Op::Create, 1, snapshot(IntentStatus::RequiresPaymentMethod)))
}

fn states() -> Vec<(&'static str, Led)> {
    let confirming = open().at(2, confirm("pm_a"));
    let off = |op| Command::Observe(Fact::NotSent { op, seq: 2 });
    let lapsed = Led::held().at(days(7) + 3, Command::Tick);
    let gone = |led: Led, seq, now| led.at(now, answer(Op::Cancel, seq, snapshot(IntentStatus::Canceled)));
    vec![
        ("new", Led::new()),
        ("creating", begun()),
        ("creation unknown", begun().at(1, unknown(Op::Create, 1))),
        ("creation refused", begun().at(1, refused(Op::Create, 1))),
        ("open", open()),
        ("confirming", confirming.clone()),
        ("confirmation put off", confirming.clone().at(3, off(Op::Confirm))),
        ("confirmation unknown", confirming.clone().at(3, unknown(Op::Confirm, 2))),
        ("confirmation refused", confirming.clone().at(3, refused(Op::Confirm, 2))),
        (
            "declined",
            confirming.clone().at(3, answer(Op::Confirm, 2, declined("c", DeclineClass::Retryable))),
        ),
        ("stopped", confirming.clone().at(3, answer(Op::Confirm, 2, declined("c", DeclineClass::HardStop)))),
        (
            "awaiting customer",
            confirming.clone().at(3, answer(Op::Confirm, 2, snapshot(IntentStatus::RequiresAction))),
        ),
        ("processing", confirming.at(3, answer(Op::Confirm, 2, snapshot(IntentStatus::Processing)))),
        ("held", Led::held()),
        ("capturing", Led::held().at(4, Command::Settle { amount: eur(600) })),
        (
            "capture unknown",
            Led::held().at(4, Command::Settle { amount: eur(600) }).at(5, unknown(Op::Capture, 3)),
        ),
        ("voiding", Led::held().at(4, Command::Release)),
        ("void refused", Led::held().at(4, Command::Release).at(5, refused(Op::Cancel, 3))),
        ("captured", Led::captured()),
        ("refunding", Led::captured().at(6, Command::Refund { amount: eur(200) })),
        ("voided", gone(Led::held().at(4, Command::Release), 3, 5)),
        ("expiring", Led::held().at(days(7) - 3_000, Command::Tick)),
        ("lapsed", lapsed.clone()),
        ("expired", gone(lapsed, 3, days(7) + 4)),
        ("quarantined", Led::captured().at(6, fetched(snapshot(IntentStatus::Canceled)))),
    ]
}

fn commands(seq: u32) -> Vec<(&'static str, Command)> {
    let refund = crate::ids::RefundId::new("re_1").unwrap();
    let back = RefundSnapshot { refund, intent: None, amount: eur(200), status: RefundStatus::Succeeded };
    let code = || "resource_missing".into();
    vec![
        ("begin", Command::Begin),
        ("confirm a", confirm("pm_a")),
        ("confirm b", confirm("pm_b")),
        ("settle 6.00", Command::Settle { amount: eur(600) }),
        ("settle 0", Command::Settle { amount: eur(0) }),
        ("release", Command::Release),
        ("refund 2.00", Command::Refund { amount: eur(200) }),
        ("tick", Command::Tick),
        ("shows open", fetched(snapshot(IntentStatus::RequiresPaymentMethod))),
        ("shows decline", fetched(declined("ch_new", DeclineClass::Retryable))),
        ("shows customer", fetched(snapshot(IntentStatus::RequiresAction))),
        ("shows processing", fetched(snapshot(IntentStatus::Processing))),
        ("shows held", fetched(snapshot(IntentStatus::RequiresCapture))),
        ("shows captured", fetched(snapshot(IntentStatus::Succeeded))),
        ("shows canceled", fetched(snapshot(IntentStatus::Canceled))),
        ("shows other", fetched(snapshot(IntentStatus::Other("new".into())))),
        ("create answered", answer(Op::Create, seq, snapshot(IntentStatus::RequiresPaymentMethod))),
        ("confirm answered", answer(Op::Confirm, seq, snapshot(IntentStatus::RequiresCapture))),
        ("capture answered", answer(Op::Capture, seq, snapshot(IntentStatus::Succeeded))),
        ("cancel answered", answer(Op::Cancel, seq, snapshot(IntentStatus::Canceled))),
        ("refund answered", Command::Observe(Fact::RefundAnswer { seq, snapshot: back.clone() })),
        ("refund shown", Command::Observe(Fact::RefundFetched(back))),
        ("confirm refused", Command::Observe(Fact::Refused { op: Op::Confirm, seq, code: code() })),
        ("cancel refused", Command::Observe(Fact::Refused { op: Op::Cancel, seq, code: code() })),
        ("capture unknown", unknown(Op::Capture, seq)),
        ("refund unknown", unknown(Op::Refund, seq)),
        ("create not sent", Command::Observe(Fact::NotSent { op: Op::Create, seq })),
        ("read failed", unknown(Op::Fetch, seq)),
    ]
}

/// The facts arrive when the state's own deadline has passed, so that look-ups count.
fn second_of(led: &Led) -> i64 {
    let reached = led.events.len().min(7) as i64;
    match Payment::next_deadline(&led.payment) {
        Some((deadline, DeadlineReason::LookUp)) => deadline.since(at(0)).as_seconds(),
        Some((_, DeadlineReason::HoldEnds)) => days(7) - 2_000,
        Some((
            _,
            DeadlineReason::CallTimeout
            | DeadlineReason::CallDue
            | DeadlineReason::CustomerDeadline
            | DeadlineReason::HoldEndsSoon,
        ))
        | None => reached,
    }
}

#[test]
fn every_state_answers_every_command() {
    let mut table = String::new();
    for (name, led) in states() {
        let p = &led.payment;
        let (deadline, due) =
            (Payment::next_deadline(p).map(|(_, reason)| reason), p.due_call(at(second_of(&led))));
        let due = due.map(|(_, id)| (id.op, id.seq));
        writeln!(table, "{name}: {}, due {due:?}, deadline {deadline:?}", p.status()).unwrap();
        for (wish, command) in commands(p.calls) {
            let outcome = match led.judge(at(second_of(&led)), &command) {
                Ok(events) if events.is_empty() => "-".to_owned(),
                Ok(_) => {
                    let after = led.clone().at(second_of(&led), command);
                    let names = after.names().split_off(led.events.len()).join(" ");
                    format!("{names} -> {}", after.payment.status())
                }
                Err(rejection) => format!("! {rejection}"),
            };
            writeln!(table, "    {wish}: {outcome}").unwrap();
        }
    }
    insta::assert_snapshot!(table);
}
