//! Facts about refunds judged.

use smol_str::SmolStr;

use super::decide::request;
use super::effects::{REFUND_SURELY_LOST, backoff};
use super::event::Event;
use super::facts::{IntentSnapshot, Op, RefundSnapshot, RefundStatus};
use super::observe::{bump, names, quarantined};
use super::state::{Flight, Payment, QuarantineReason, Refund, RefundState, Task, minus, plus};
use crate::machine::Context;
use crate::money::Money;

/// The intent tells how much was refunded in all, which settles a refund whose answer was lost. When it shows
/// nothing, a new key is safe only if no second refund could be paid on top: when it is all that is left of the
/// charge, or when the first request can't be under way any more. A provider that does not tell what was refunded
/// then leaves it to a person.
pub(super) fn refund_looked_for(
    p: &Payment,
    flight: &Flight,
    amount: Money,
    code: Option<&SmolStr>,
    shown: &IntentSnapshot,
    cx: &Context<'_>,
) -> Vec<Event> {
    let covered = p.refunds_covered();
    let with_it = plus(covered, amount);
    let seq = flight.seq;
    match (shown.amount_refunded, code) {
        (Some(refunded), _) if !minus(with_it, refunded).is_positive() => {
            vec![Event::RefundCompleted { seq, refund: None, amount }]
        }
        (_, Some(code)) => vec![Event::RefundFailed { seq, refund: None, amount, code: code.clone() }],
        (told, None) => {
            let age = cx.now.since(flight.since);
            let all_that_is_left = with_it == p.captured;
            let surely_lost = REFUND_SURELY_LOST <= age;
            if all_that_is_left || (surely_lost && told.is_some()) {
                request(p, &flight.task, flight.tries, cx)
            } else if surely_lost {
                quarantined(QuarantineReason::RefundFailed)
            } else {
                bump(p, flight, cx)
            }
        }
    }
}

pub(super) fn refund_looked_up(refund: &Refund, cx: &Context<'_>) -> Vec<Event> {
    match refund.state {
        RefundState::Pending { watch } if watch.look_at <= cx.now => {
            let tries = watch.tries.saturating_add(1);
            let look_at = cx.now.plus(backoff(cx.policy, tries));
            vec![Event::RefundLookedUp { seq: refund.seq, tries, look_at }]
        }
        RefundState::Pending { .. } | RefundState::Succeeded | RefundState::Failed => vec![],
    }
}

/// A refund is matched by the provider's id, else by the number of the call. It moves pending -> succeeded -> failed:
/// a refund can still fail after it succeeded, and never comes back from that.
pub(super) fn refund_shown(
    p: &Payment,
    seq: Option<u32>,
    shown: &RefundSnapshot,
    cx: &Context<'_>,
) -> Vec<Event> {
    if shown.intent.as_ref().is_some_and(|intent| p.intent() != Some(intent)) {
        return vec![];
    }
    if shown.amount.currency() != p.currency() {
        return quarantined(QuarantineReason::CurrencyMismatch);
    }
    let known = known_as(p, seq, shown);
    if let Some(known) = known {
        return if known.amount == shown.amount {
            known_refund(known, shown, cx)
        } else {
            quarantined(QuarantineReason::AmountMismatch)
        };
    }
    // A webhook can be faster than the answer to our call: then the amount has to do.
    let seq = seq.filter(|seq| *seq <= p.calls).or_else(|| refund_in_flight(p, shown.amount));
    let Some(seq) = seq else { return vec![] };
    let named = p.flight.as_ref().filter(|flight| names(flight, Op::Refund, seq));
    match named.map(|flight| &flight.task) {
        Some(Task::Refund { amount }) if *amount != shown.amount => {
            quarantined(QuarantineReason::AmountMismatch)
        }
        Some(
            Task::Refund { .. } | Task::Create | Task::Confirm { .. } | Task::Capture { .. } | Task::Cancel,
        ) => vec![refund_event(seq, shown, cx)],
        None => late_refund(p, seq, shown, cx),
    }
}

fn known_as<'a>(p: &'a Payment, seq: Option<u32>, shown: &RefundSnapshot) -> Option<&'a Refund> {
    let by_id = p.refunds.iter().find(|refund| refund.refund.as_ref() == Some(&shown.refund));
    by_id.or_else(|| {
        // Its answer was lost and it was found by the refunded amount alone: no id yet.
        let unnamed = |refund: &&Refund| {
            refund.refund.is_none() && refund.amount == shown.amount && refund.state != RefundState::Failed
        };
        p.refunds.iter().filter(unnamed).find(|refund| seq.is_none_or(|seq| refund.seq == seq))
    })
}

fn refund_in_flight(p: &Payment, shown: Money) -> Option<u32> {
    let flight = p.flight.as_ref()?;
    (flight.task == Task::Refund { amount: shown }).then_some(flight.seq)
}

fn refund_event(seq: u32, shown: &RefundSnapshot, cx: &Context<'_>) -> Event {
    let (refund, amount) = (shown.refund.clone(), shown.amount);
    match shown.status {
        RefundStatus::Succeeded => Event::RefundCompleted { seq, refund: Some(refund), amount },
        RefundStatus::Pending | RefundStatus::RequiresAction | RefundStatus::Other(_) => {
            let look_at = cx.now.plus(backoff(cx.policy, 1));
            Event::RefundPending { seq, refund, amount, look_at }
        }
        RefundStatus::Failed | RefundStatus::Canceled => {
            let code = SmolStr::new_static("refund_failed");
            Event::RefundFailed { seq, refund: Some(refund), amount, code }
        }
    }
}

fn known_refund(known: &Refund, shown: &RefundSnapshot, cx: &Context<'_>) -> Vec<Event> {
    let ended = match shown.status {
        RefundStatus::Failed | RefundStatus::Canceled => true,
        RefundStatus::Pending
        | RefundStatus::RequiresAction
        | RefundStatus::Succeeded
        | RefundStatus::Other(_) => false,
    };
    match known.state {
        RefundState::Pending { .. } if ended || shown.status == RefundStatus::Succeeded => {
            vec![refund_event(known.seq, shown, cx)]
        }
        RefundState::Pending { .. } => refund_looked_up(known, cx),
        RefundState::Succeeded if ended => vec![refund_event(known.seq, shown, cx)],
        RefundState::Succeeded | RefundState::Failed => vec![],
    }
}

/// The answer to a refund that was given up for lost and asked for again under a new key: it counts, and what asks
/// for the same money once more gives way.
fn late_refund(p: &Payment, seq: u32, shown: &RefundSnapshot, cx: &Context<'_>) -> Vec<Event> {
    match shown.status {
        RefundStatus::Failed | RefundStatus::Canceled => return vec![],
        RefundStatus::Pending
        | RefundStatus::RequiresAction
        | RefundStatus::Succeeded
        | RefundStatus::Other(_) => {}
    }
    // One key makes one refund. A second one under it is money that left, and no state could count it.
    if p.refunds.iter().any(|refund| refund.seq == seq) {
        return quarantined(QuarantineReason::RefundFailed);
    }
    // We never ask for nothing: it would leave no trace in the state, and count again each time it is shown.
    let room = minus(p.captured, p.refunds_covered());
    if !shown.amount.is_positive() || minus(shown.amount, room).is_positive() {
        return quarantined(QuarantineReason::RefundFailed);
    }
    let mut events = vec![refund_event(seq, shown, cx)];
    if let Some(flight) = p.flight.as_ref().filter(|flight| flight.task.op() == Op::Refund) {
        events.push(Event::PaymentCallDropped { op: Op::Refund, seq: flight.seq });
    }
    events
}
