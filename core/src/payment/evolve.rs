//! Facts folded into the state. Total: an event that does not belong to the state leaves it unchanged, and no
//! sequence of events makes `authorized` differ from `captured + released + open`.

use super::event::{Event, Request};
use super::facts::{ClientSecret, Decline, Op};
use super::state::{
    Desired, Failure, Flight, Intent, Payment, Phase, Refund, RefundState, Stage, Task, Watch, larger, minus,
    plus, smaller,
};
use crate::ids::{PaymentIntentId, PaymentMethodId, RefundId};
use crate::money::Money;
use crate::time::Timestamp;

pub(super) fn apply(state: &mut Payment, event: &Event) {
    match event {
        Event::PaymentIntentRequested { request } => launch(state, Task::Create, request),
        Event::PaymentIntentCreated { intent, client_secret } => {
            created(state, intent, client_secret.as_ref())
        }
        Event::PaymentMethodChosen { method } => chosen(state, method),
        Event::PaymentConfirmationRequested { request, method } => {
            chosen(state, method);
            launch(state, Task::Confirm { method: method.clone() }, request);
        }
        Event::PaymentActionRequired { action, deadline, look_at } => {
            let (action, watch) = (action.clone(), Watch { tries: 0, look_at: *look_at });
            attempt_led_to(state, Stage::AwaitingCustomer { action, deadline: *deadline, watch });
        }
        Event::PaymentProcessing { look_at } => {
            attempt_led_to(state, Stage::Processing { watch: Watch { tries: 0, look_at: *look_at } });
        }
        Event::PaymentAuthorized { amount, capture_before, use_before } => {
            authorized(state, *amount, *capture_before, *use_before);
        }
        Event::PaymentFailed { failure, decline } => failed(state, failure, decline.as_ref()),
        Event::PaymentLookedUp { tries, look_at } => looked_up(state, *tries, *look_at),
        Event::PaymentSettlementDecided { amount } => settlement_decided(state, *amount),
        Event::PaymentReleaseDecided { .. } => {
            state.desired = Desired::Release;
            state.shortfall = None;
        }
        Event::PaymentCaptureRequested { request, amount } => {
            launch(state, Task::Capture { amount: *amount }, request);
        }
        Event::PaymentReleaseRequested { request } => launch(state, Task::Cancel, request),
        Event::PaymentOutcomeUnknown { op, seq, tries, retry_at } => {
            outcome_unknown(state, *op, *seq, *tries, *retry_at);
        }
        Event::PaymentCallRefused { op, seq, code, tries, retry_at } => {
            let phase = Phase::Refused { code: code.clone(), retry_at: *retry_at };
            call_is(state, *op, *seq, *tries, phase);
        }
        Event::PaymentCallDeferred { op, seq, tries, due_at } => {
            call_is(state, *op, *seq, *tries, Phase::Deferred { due_at: *due_at });
        }
        Event::PaymentCallResumed { op, seq, retry_at } => resumed(state, *op, *seq, *retry_at),
        Event::PaymentCallDropped { op, seq } => drop_call(state, *op, *seq),
        Event::PaymentCompleted { amount, at } => {
            captured(state, *amount);
            state.captured_at = state.captured_at.or(Some(*at));
        }
        Event::PaymentReleased { amount } => released(state, *amount),
        Event::PaymentExpiring { .. } => expiring(state),
        Event::PaymentExpired { .. } => expired(state),
        Event::PaymentShortfall { amount } => state.shortfall = Some(*amount),
        Event::RefundDecided { total } => refund_decided(state, *total),
        Event::RefundRequested { request, amount } => {
            launch(state, Task::Refund { amount: *amount }, request);
        }
        Event::RefundPending { seq, refund, amount, look_at } => {
            let watch = Watch { tries: 0, look_at: *look_at };
            refund_is(state, *seq, Some(refund), *amount, RefundState::Pending { watch });
        }
        Event::RefundLookedUp { seq, tries, look_at } => refund_looked_up(state, *seq, *tries, *look_at),
        Event::RefundCompleted { seq, refund, amount } => {
            refund_is(state, *seq, refund.as_ref(), *amount, RefundState::Succeeded);
        }
        Event::RefundFailed { seq, refund, amount, .. } => {
            refund_is(state, *seq, refund.as_ref(), *amount, RefundState::Failed);
        }
        Event::PaymentQuarantined { reason } => state.quarantine = Some(*reason),
    }
}

fn refund_decided(p: &mut Payment, total: Money) {
    p.refund_total = smaller(larger(p.refund_total, total), p.captured);
}

fn launch(p: &mut Payment, task: Task, request: &Request) {
    let Request { seq, tries, at, retry_at } = *request;
    p.calls = p.calls.max(seq);
    p.flight = Some(Flight { task, seq, tries, since: at, phase: Phase::Sent { retry_at } });
}

fn named(p: &mut Payment, op: Op, seq: u32) -> Option<&mut Flight> {
    p.flight.as_mut().filter(|flight| flight.task.op() == op && flight.seq == seq)
}

fn stage(p: &mut Payment) -> Option<&mut Stage> {
    p.intent.as_mut().map(|intent| &mut intent.stage)
}

fn call_is(p: &mut Payment, op: Op, seq: u32, tries: u32, phase: Phase) {
    if let Some(flight) = named(p, op, seq) {
        flight.tries = tries;
        flight.phase = phase;
    }
}

fn resumed(p: &mut Payment, op: Op, seq: u32, retry_at: Timestamp) {
    if let Some(flight) = named(p, op, seq) {
        flight.phase = Phase::Sent { retry_at };
    }
}

/// A creation may go on under another number, because an unconfirmed intent holds nothing.
fn outcome_unknown(p: &mut Payment, op: Op, seq: u32, tries: u32, retry_at: Timestamp) {
    p.calls = p.calls.max(seq);
    if let Some(flight) = p.flight.as_mut().filter(|flight| flight.task.op() == op) {
        flight.seq = seq;
        flight.tries = tries;
        flight.phase = Phase::Unknown { retry_at };
    }
}

fn drop_call(p: &mut Payment, op: Op, seq: u32) {
    if named(p, op, seq).is_some() {
        p.flight = None;
    }
}

/// The flight ends when it is one of these.
fn land(p: &mut Payment, ops: &[Op]) {
    if p.flight.as_ref().is_some_and(|flight| ops.contains(&flight.task.op())) {
        p.flight = None;
    }
}

fn created(p: &mut Payment, id: &PaymentIntentId, client_secret: Option<&ClientSecret>) {
    if p.intent.is_none() {
        let client_secret = client_secret.cloned();
        p.intent = Some(Intent { id: id.clone(), client_secret, stage: Stage::Open });
        p.failure = None;
        land(p, &[Op::Create]);
    }
}

/// Whether an attempt to hold money can still lead anywhere.
fn attempting(p: &Payment) -> bool {
    match p.stage() {
        Some(Stage::Open | Stage::AwaitingCustomer { .. } | Stage::Processing { .. }) => true,
        Some(Stage::Held { .. } | Stage::Lapsed | Stage::Captured | Stage::Canceled { .. }) | None => false,
    }
}

fn attempt_led_to(p: &mut Payment, next: Stage) {
    if !attempting(p) {
        return;
    }
    if let Some(stage) = stage(p) {
        *stage = next;
    }
    p.confirming = false;
    p.failure = None;
    land(p, &[Op::Confirm]);
}

fn chosen(p: &mut Payment, method: &PaymentMethodId) {
    p.method = Some(method.clone());
    p.confirming = true;
    p.failure = None;
}

fn settlement_decided(p: &mut Payment, amount: Money) {
    if p.desired == Desired::Hold && amount.currency() == p.currency() {
        p.desired = Desired::Settle { amount };
    }
}

fn authorized(p: &mut Payment, amount: Money, capture_before: Timestamp, use_before: Timestamp) {
    let fits = amount.is_positive() && amount.compare(p.limit).is_ok_and(core::cmp::Ordering::is_le);
    if fits && attempting(p) {
        p.authorized = amount;
        attempt_led_to(p, Stage::Held { capture_before, use_before, expiring: false });
    }
}

fn looked_up(p: &mut Payment, tries: u32, look_at: Timestamp) {
    if let Some(Stage::AwaitingCustomer { watch, .. } | Stage::Processing { watch }) = stage(p) {
        *watch = Watch { tries, look_at };
    }
}

fn expiring(p: &mut Payment) {
    if let Some(Stage::Held { expiring, .. }) = stage(p) {
        *expiring = true;
    }
}

fn expired(p: &mut Payment) {
    if let Some(stage @ Stage::Held { .. }) = stage(p) {
        *stage = Stage::Lapsed;
    }
}

fn failed(p: &mut Payment, failure: &Failure, decline: Option<&Decline>) {
    if p.intent.is_some() && !attempting(p) {
        return;
    }
    attempt_led_to(p, Stage::Open);
    p.confirming = false;
    p.failure = Some(failure.clone());
    if let Some(decline) = decline.filter(|decline| !p.declines.contains(decline)) {
        p.declines.push(decline.clone());
    }
    land(p, &[Op::Create, Op::Confirm]);
}

fn captured(p: &mut Payment, amount: Money) {
    let fits = amount.is_positive() && amount.compare(p.open()).is_ok_and(core::cmp::Ordering::is_le);
    let held = match p.stage() {
        Some(Stage::Held { .. } | Stage::Lapsed) => true,
        Some(
            Stage::Open
            | Stage::AwaitingCustomer { .. }
            | Stage::Processing { .. }
            | Stage::Captured
            | Stage::Canceled { .. },
        )
        | None => false,
    };
    if fits && held {
        p.captured = amount;
        if let Some(stage) = stage(p) {
            *stage = Stage::Captured;
        }
        land(p, &[Op::Confirm, Op::Capture, Op::Cancel]);
    }
}

fn released(p: &mut Payment, amount: Money) {
    if amount.is_positive() {
        p.released = plus(p.released, smaller(amount, p.open()));
    }
    p.closed = true;
    p.confirming = false;
    match p.stage() {
        None => land(p, &[Op::Create]),
        Some(Stage::Captured | Stage::Canceled { .. }) => {}
        Some(now) => {
            let lapsed = matches!(now, Stage::Lapsed);
            if let Some(stage) = stage(p) {
                *stage = Stage::Canceled { lapsed };
            }
            land(p, &[Op::Confirm, Op::Capture, Op::Cancel]);
        }
    }
}

fn refund_is(p: &mut Payment, seq: u32, id: Option<&RefundId>, amount: Money, next: RefundState) {
    if named(p, Op::Refund, seq).is_some() {
        p.flight = None;
    }
    let room = minus(p.captured, p.refunds_covered());
    let fits = amount.is_positive() && amount.compare(room).is_ok_and(core::cmp::Ordering::is_le);
    if let Some(refund) = p.refunds.iter_mut().find(|refund| refund.seq == seq) {
        if !matches!(refund.state, RefundState::Failed) {
            refund.state = next;
            refund.refund = id.cloned().or(refund.refund.take());
        }
    } else if fits || matches!(next, RefundState::Failed) {
        p.refunds.push(Refund { seq, refund: id.cloned(), amount, state: next });
    }
}

fn refund_looked_up(p: &mut Payment, seq: u32, tries: u32, look_at: Timestamp) {
    if let Some(Refund { state: RefundState::Pending { watch }, .. }) =
        p.refunds.iter_mut().find(|refund| refund.seq == seq)
    {
        *watch = Watch { tries, look_at };
    }
}
