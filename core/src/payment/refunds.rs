//! Facts about refunds judged.

use smol_str::SmolStr;

use super::decide::request;
use super::effects::{KEY_LIFE, backoff};
use super::event::Event;
use super::facts::{IntentSnapshot, Op, RefundSnapshot, RefundStatus};
use super::observe::{bump, names, quarantined};
use super::state::{Flight, Payment, QuarantineReason, Refund, RefundState, Task, minus, plus};
use crate::machine::Context;
use crate::money::Money;

/// The intent tells how much was refunded in all, which settles a refund whose answer was lost. When it shows
/// nothing, a new key is safe only if a second refund could not be paid on top: when it is all that is left of the
/// charge, or when a day has passed.
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
            let all_that_is_left = with_it == p.captured;
            let a_day_old = KEY_LIFE <= cx.now.since(flight.since) && told.is_some();
            if all_that_is_left || a_day_old {
                request(p, &flight.task, flight.tries, cx)
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
    let known = p
        .refunds
        .iter()
        .find(|refund| refund.refund.as_ref().map_or(Some(refund.seq) == seq, |id| *id == shown.refund));
    if let Some(known) = known {
        return if known.amount == shown.amount {
            known_refund(known, shown, cx)
        } else {
            quarantined(QuarantineReason::AmountMismatch)
        };
    }
    let Some(seq) = seq.filter(|seq| *seq <= p.calls) else { return vec![] };
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
    let room = minus(p.captured, p.refunds_covered());
    if minus(shown.amount, room).is_positive() {
        return quarantined(QuarantineReason::RefundFailed);
    }
    let mut events = vec![refund_event(seq, shown, cx)];
    if let Some(flight) = p.flight.as_ref().filter(|flight| flight.task.op() == Op::Refund) {
        events.push(Event::PaymentCallDropped { op: Op::Refund, seq: flight.seq });
    }
    events
}
