//! Facts of the gateway judged: what they move, and what they leave open.
//!
//! The fold is monotone: open -> waiting -> held -> captured or cancelled. A snapshot that is behind what was already
//! shown changes nothing; one that contradicts it quarantines the payment.

use smol_str::SmolStr;

use super::decide::{Story, goal, request, request_later};
use super::effects::{TRIES_PER_KEY, backoff};
use super::event::Event;
use super::facts::{Decline, Fact, IntentSnapshot, IntentStatus, Op};
use super::refunds::{refund_looked_for, refund_looked_up, refund_shown};
use super::state::{Desired, Failure, Flight, Payment, Phase, QuarantineReason, Stage, Task, minus, smaller};
use crate::machine::Context;
use crate::money::Money;

/// Where a snapshot came from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Answer { op: Op, seq: u32 },
    Fetched,
}

/// What a snapshot shows.
enum Shown {
    Open,
    Customer,
    Processing,
    Held,
    Captured(Money),
    Canceled,
    Unclear,
}

impl Shown {
    fn of(snapshot: &IntentSnapshot) -> Self {
        match &snapshot.status {
            IntentStatus::RequiresPaymentMethod | IntentStatus::RequiresConfirmation => Self::Open,
            IntentStatus::RequiresAction => Self::Customer,
            IntentStatus::Processing => Self::Processing,
            IntentStatus::RequiresCapture => Self::Held,
            IntentStatus::Succeeded => Self::Captured(snapshot.amount_received),
            IntentStatus::Canceled => Self::Canceled,
            IntentStatus::Other(_) => Self::Unclear,
        }
    }
}

pub(super) fn observe(story: &mut Story<'_>, fact: &Fact, cx: &Context<'_>) {
    let p = &*story.state;
    if p.quarantine.is_some() || p.calls == 0 {
        return;
    }
    let events = match fact {
        Fact::Answer { op, seq, snapshot } => {
            return intent_shown(story, snapshot, Source::Answer { op: *op, seq: *seq }, cx);
        }
        Fact::Fetched(snapshot) => return intent_shown(story, snapshot, Source::Fetched, cx),
        Fact::RefundAnswer { seq, snapshot } => refund_shown(p, Some(*seq), snapshot, cx),
        Fact::RefundFetched(snapshot) => refund_shown(p, None, snapshot, cx),
        Fact::Refused { op, seq, code } => refused(p, *op, *seq, code, cx),
        Fact::Unknown { op, seq } => unknown(p, *op, *seq, cx),
        Fact::NotSent { op, seq } => not_sent(p, *op, *seq, cx),
    };
    story.tell(events);
}

pub(super) fn quarantined(reason: QuarantineReason) -> Vec<Event> {
    vec![Event::PaymentQuarantined { reason }]
}

fn intent_shown(story: &mut Story<'_>, shown: &IntentSnapshot, source: Source, cx: &Context<'_>) {
    let p = &*story.state;
    match p.intent() {
        Some(known) if *known != shown.intent => return story.tell(second_intent(p, shown)),
        Some(_) => {}
        None => {
            let ours = shown.reference == Some(p.reference);
            let answered = matches!(source, Source::Answer { op: Op::Create, .. });
            if !ours && !answered {
                return;
            }
        }
    }
    if let Some(reason) = mismatch(p, shown) {
        return story.tell(quarantined(reason));
    }
    let before = p.flight.clone();
    if p.intent.is_none() {
        story.tell(vec![Event::PaymentIntentCreated {
            intent: shown.intent.clone(),
            client_secret: shown.client_secret.clone(),
        }]);
    }
    story.tell(moved(story.state, shown, source, cx));
    story.tell(unresolved(story.state, before.as_ref(), shown, source, cx));
}

/// A creation that was asked for under two keys can leave a second intent behind. Nobody was given its secret, so it
/// is never confirmed and holds nothing; if it does, something is wrong.
fn second_intent(p: &Payment, shown: &IntentSnapshot) -> Vec<Event> {
    let ours = shown.reference == Some(p.reference);
    match Shown::of(shown) {
        Shown::Held | Shown::Captured(_) if ours => quarantined(QuarantineReason::SecondHold),
        Shown::Held
        | Shown::Captured(_)
        | Shown::Open
        | Shown::Customer
        | Shown::Processing
        | Shown::Canceled
        | Shown::Unclear => vec![],
    }
}

fn mismatch(p: &Payment, shown: &IntentSnapshot) -> Option<QuarantineReason> {
    let amounts = [Some(shown.amount), Some(shown.amount_capturable), Some(shown.amount_received)];
    let mut all = amounts.into_iter().chain([shown.amount_refunded]).flatten();
    if all.any(|amount| amount.currency() != p.currency()) {
        return Some(QuarantineReason::CurrencyMismatch);
    }
    if shown.reference.is_some_and(|reference| reference != p.reference) {
        return Some(QuarantineReason::ReferenceMismatch);
    }
    let off = shown.amount != p.limit
        || minus(shown.amount_received, p.limit).is_positive()
        || match Shown::of(shown) {
            Shown::Held => shown.amount_capturable != p.limit,
            Shown::Captured(amount) => !amount.is_positive(),
            Shown::Canceled => return taken(shown).then_some(QuarantineReason::CanceledAndCaptured),
            Shown::Open | Shown::Customer | Shown::Processing | Shown::Unclear => false,
        };
    off.then_some(QuarantineReason::AmountMismatch)
}

fn taken(shown: &IntentSnapshot) -> bool {
    shown.amount_received.is_positive()
}

/// What the snapshot moves.
fn moved(p: &Payment, snapshot: &IntentSnapshot, source: Source, cx: &Context<'_>) -> Vec<Event> {
    let Some(stage) = p.stage() else { return vec![] };
    let shown = Shown::of(snapshot);
    match stage {
        Stage::Open => match shown {
            Shown::Open => declined_while_open(p, snapshot, source),
            Shown::Customer if attempt_shows(p, source) => action_required(snapshot, cx),
            Shown::Processing if attempt_shows(p, source) => processing(cx),
            Shown::Customer | Shown::Processing | Shown::Unclear => vec![],
            Shown::Held => authorized(p, snapshot, cx),
            Shown::Captured(amount) => completed(p, amount, snapshot, cx),
            Shown::Canceled => canceled(p),
        },
        Stage::AwaitingCustomer { .. } | Stage::Processing { .. } => match shown {
            Shown::Open => declined_while_waiting(p, snapshot, source, cx),
            Shown::Processing if matches!(stage, Stage::AwaitingCustomer { .. }) => processing(cx),
            // Not Stripe's order, so what was believed before was an older snapshot.
            Shown::Customer if matches!(stage, Stage::Processing { .. }) && read_was_due(p, source, cx) => {
                action_required(snapshot, cx)
            }
            Shown::Customer | Shown::Processing | Shown::Unclear if read_was_due(p, source, cx) => {
                looked_up(p, cx)
            }
            Shown::Customer | Shown::Processing | Shown::Unclear => vec![],
            Shown::Held => authorized(p, snapshot, cx),
            Shown::Captured(amount) => completed(p, amount, snapshot, cx),
            Shown::Canceled => canceled(p),
        },
        Stage::Held { .. } | Stage::Lapsed => match shown {
            Shown::Open | Shown::Customer | Shown::Processing | Shown::Held | Shown::Unclear => vec![],
            Shown::Captured(amount) => completed(p, amount, snapshot, cx),
            Shown::Canceled => canceled(p),
        },
        Stage::Captured => match shown {
            Shown::Captured(amount) if amount != p.captured => quarantined(QuarantineReason::AmountMismatch),
            Shown::Canceled => quarantined(QuarantineReason::CanceledAndCaptured),
            Shown::Open
            | Shown::Customer
            | Shown::Processing
            | Shown::Held
            | Shown::Captured(_)
            | Shown::Unclear => vec![],
        },
        Stage::Canceled { .. } => match shown {
            Shown::Captured(_) => quarantined(QuarantineReason::CanceledAndCaptured),
            Shown::Open
            | Shown::Customer
            | Shown::Processing
            | Shown::Held
            | Shown::Canceled
            | Shown::Unclear => vec![],
        },
    }
}

/// Whether a snapshot without money in it tells how the current attempt goes. It does when it answers that very
/// call or when the outcome is being looked up; a read that crossed an unanswered call may be older than it. With no
/// attempt of ours, the customer's device may have made one.
fn attempt_shows(p: &Payment, source: Source) -> bool {
    let Some(flight) = &p.flight else { return p.desired == Desired::Hold && p.failure.is_none() };
    match source {
        Source::Answer { op, seq } => op == Op::Confirm && names(flight, op, seq),
        Source::Fetched => flight.task.op() == Op::Confirm && looking(flight),
    }
}

pub(super) fn names(flight: &Flight, op: Op, seq: u32) -> bool {
    flight.task.op() == op && flight.seq == seq
}

fn looking(flight: &Flight) -> bool {
    match flight.phase {
        Phase::Unknown { .. } | Phase::Refused { .. } => true,
        Phase::Sent { .. } | Phase::Deferred { .. } => false,
    }
}

fn unseen<'a>(p: &Payment, shown: &'a IntentSnapshot) -> Option<&'a Decline> {
    shown.decline.as_ref().filter(|decline| !p.declines.contains(decline))
}

fn payment_failed(decline: Option<&Decline>) -> Vec<Event> {
    let unnamed = || Failure { reason: SmolStr::new_static("card_declined"), retryable: true };
    let failure = decline.map_or_else(unnamed, Failure::of);
    vec![Event::PaymentFailed { failure, decline: decline.cloned() }]
}

fn declined_while_open(p: &Payment, shown: &IntentSnapshot, source: Source) -> Vec<Event> {
    let news = unseen(p, shown);
    match &p.flight {
        Some(flight) if flight.task.op() == Op::Confirm => {
            let Source::Answer { op, seq } = source else {
                return news.map_or_else(Vec::new, |decline| payment_failed(Some(decline)));
            };
            if names(flight, op, seq) && shown.status == IntentStatus::RequiresPaymentMethod {
                payment_failed(shown.decline.as_ref())
            } else {
                news.map_or_else(Vec::new, |decline| payment_failed(Some(decline)))
            }
        }
        Some(_) => vec![],
        None if p.desired == Desired::Hold => {
            news.map_or_else(Vec::new, |decline| payment_failed(Some(decline)))
        }
        None => vec![],
    }
}

/// A decline that was shown before, or none at all, may be an old snapshot, or the same failure again (a failed
/// authentication has no charge to tell it by). A read that was due is new enough to believe.
fn declined_while_waiting(
    p: &Payment,
    shown: &IntentSnapshot,
    source: Source,
    cx: &Context<'_>,
) -> Vec<Event> {
    match unseen(p, shown) {
        Some(decline) if p.flight.is_none() => payment_failed(Some(decline)),
        Some(_) | None if read_was_due(p, source, cx) => payment_failed(shown.decline.as_ref()),
        Some(_) | None => vec![],
    }
}

fn read_was_due(p: &Payment, source: Source, cx: &Context<'_>) -> bool {
    let due = match &p.flight {
        Some(flight) => match flight.phase {
            Phase::Unknown { retry_at } | Phase::Refused { retry_at, .. } => retry_at <= cx.now,
            Phase::Sent { .. } | Phase::Deferred { .. } => false,
        },
        None => p.watch().is_some_and(|watch| watch.look_at <= cx.now),
    };
    due && source == Source::Fetched
}

fn looked_up(p: &Payment, cx: &Context<'_>) -> Vec<Event> {
    p.watch().map_or_else(Vec::new, |watch| {
        let tries = watch.tries.saturating_add(1);
        let look_at = cx.now.plus(backoff(cx.policy, tries));
        vec![Event::PaymentLookedUp { tries, look_at }]
    })
}

fn action_required(shown: &IntentSnapshot, cx: &Context<'_>) -> Vec<Event> {
    vec![Event::PaymentActionRequired {
        action: shown.next_action.clone(),
        deadline: cx.now.plus(cx.policy.hold_max),
        look_at: cx.now.plus(backoff(cx.policy, 1)),
    }]
}

fn processing(cx: &Context<'_>) -> Vec<Event> {
    vec![Event::PaymentProcessing { look_at: cx.now.plus(backoff(cx.policy, 1)) }]
}

fn authorized(p: &Payment, shown: &IntentSnapshot, cx: &Context<'_>) -> Vec<Event> {
    let capture_before = shown.capture_before.unwrap_or(cx.now.plus(cx.policy.capture_validity));
    let use_before = capture_before.minus(cx.policy.capture_margin);
    vec![Event::PaymentAuthorized { amount: p.limit, capture_before, use_before }]
}

/// A capture of another amount than was asked for is a contradiction. One that nobody asked for is not: the wish
/// may have changed while it was under way, and a release pays it back.
fn completed(p: &Payment, amount: Money, shown: &IntentSnapshot, cx: &Context<'_>) -> Vec<Event> {
    match p.desired {
        Desired::Settle { amount: price } if amount != smaller(price, p.limit) => {
            return quarantined(QuarantineReason::AmountMismatch);
        }
        Desired::Hold | Desired::Settle { .. } | Desired::Release => {}
    }
    let mut events = if p.authorized.is_zero() { authorized(p, shown, cx) } else { vec![] };
    events.push(Event::PaymentCompleted { amount, at: cx.now });
    let rest = minus(p.limit, amount);
    if rest.is_positive() {
        events.push(Event::PaymentReleased { amount: rest });
    }
    events
}

fn canceled(p: &Payment) -> Vec<Event> {
    let mut events = vec![];
    if p.open().is_positive() && p.desired == Desired::Hold && p.stage() != Some(&Stage::Lapsed) {
        events.push(Event::PaymentExpired { amount: p.open() });
    }
    events.push(Event::PaymentReleased { amount: p.open() });
    events
}

/// What becomes of a call that the snapshot did not bring to an end.
fn unresolved(
    p: &Payment,
    before: Option<&Flight>,
    shown: &IntentSnapshot,
    source: Source,
    cx: &Context<'_>,
) -> Vec<Event> {
    let Some(flight) = p.flight.as_ref().filter(|flight| before == Some(flight) && p.quarantine.is_none())
    else {
        return vec![];
    };
    match source {
        Source::Answer { op, seq } => {
            if names(flight, op, seq) && !looking(flight) {
                // An answer that leaves the intent as it was: as good as none.
                return bump(p, flight, cx);
            }
            vec![]
        }
        Source::Fetched => match &flight.phase {
            Phase::Unknown { retry_at } if *retry_at <= cx.now => no_effect(p, flight, None, shown, cx),
            Phase::Refused { code, retry_at } if *retry_at <= cx.now => {
                no_effect(p, flight, Some(code), shown, cx)
            }
            Phase::Sent { .. } | Phase::Deferred { .. } | Phase::Unknown { .. } | Phase::Refused { .. } => {
                vec![]
            }
        },
    }
}

/// A due read shows no effect of the call. It is made again under a new number: Stripe repeats a saved 500 for the
/// old key. Should the first one arrive after all, the intent still gives one hold and one capture at most.
fn no_effect(
    p: &Payment,
    flight: &Flight,
    code: Option<&SmolStr>,
    shown: &IntentSnapshot,
    cx: &Context<'_>,
) -> Vec<Event> {
    let undecided = match Shown::of(shown) {
        Shown::Unclear => true,
        Shown::Processing => matches!(flight.task, Task::Capture { .. }),
        Shown::Open | Shown::Customer | Shown::Held | Shown::Captured(_) | Shown::Canceled => false,
    };
    match (&flight.task, code) {
        (Task::Refund { amount }, _) => refund_looked_for(p, flight, *amount, code, shown, cx),
        (Task::Create | Task::Confirm { .. } | Task::Capture { .. } | Task::Cancel, _) if undecided => {
            bump(p, flight, cx)
        }
        (Task::Confirm { .. }, Some(code)) => {
            let failure = Failure { reason: code.clone(), retryable: true };
            vec![Event::PaymentFailed { failure, decline: None }]
        }
        (Task::Create | Task::Confirm { .. } | Task::Capture { .. } | Task::Cancel, _) => match goal(p, cx) {
            Some(task) if task.op() == flight.task.op() && code.is_some() => {
                request_later(p, &task, flight.tries, cx)
            }
            Some(task) if task.op() == flight.task.op() => request(p, &task, flight.tries, cx),
            Some(task) => request(p, &task, 0, cx),
            None => vec![Event::PaymentCallDropped { op: flight.task.op(), seq: flight.seq }],
        },
    }
}

/// Still open: counted, and looked up later. A creation goes on under a new key from time to time, because the old
/// one may repeat a saved 500; at worst that leaves an unconfirmed intent behind, which holds no money and whose
/// secret nobody has.
pub(super) fn bump(p: &Payment, flight: &Flight, cx: &Context<'_>) -> Vec<Event> {
    let tries = flight.tries.saturating_add(1);
    let retry_at = cx.now.plus(backoff(cx.policy, tries));
    let op = flight.task.op();
    if let Phase::Refused { code, .. } = &flight.phase {
        let code = code.clone();
        return vec![Event::PaymentCallRefused { op, seq: flight.seq, code, tries, retry_at }];
    }
    let new_key = op == Op::Create && tries.checked_rem(TRIES_PER_KEY) == Some(0);
    let seq = if new_key { p.calls.saturating_add(1) } else { flight.seq };
    vec![Event::PaymentOutcomeUnknown { op, seq, tries, retry_at }]
}

fn refused(p: &Payment, op: Op, seq: u32, code: &SmolStr, cx: &Context<'_>) -> Vec<Event> {
    if op == Op::Fetch {
        return read_failed(p, seq, cx);
    }
    let Some(flight) = p.flight.as_ref().filter(|flight| names(flight, op, seq)) else { return vec![] };
    match flight.phase {
        Phase::Refused { .. } => vec![],
        Phase::Sent { .. } | Phase::Deferred { .. } | Phase::Unknown { .. } => match flight.task {
            Task::Create => {
                let failure = Failure { reason: code.clone(), retryable: false };
                vec![Event::PaymentFailed { failure, decline: None }]
            }
            Task::Confirm { .. } | Task::Capture { .. } | Task::Cancel | Task::Refund { .. } => {
                let tries = flight.tries.saturating_add(1);
                vec![Event::PaymentCallRefused { op, seq, code: code.clone(), tries, retry_at: cx.now }]
            }
        },
    }
}

fn unknown(p: &Payment, op: Op, seq: u32, cx: &Context<'_>) -> Vec<Event> {
    if op == Op::Fetch {
        return read_failed(p, seq, cx);
    }
    let Some(flight) = p.flight.as_ref().filter(|flight| names(flight, op, seq)) else { return vec![] };
    match flight.phase {
        Phase::Sent { .. } | Phase::Deferred { .. } => bump(p, flight, cx),
        Phase::Unknown { retry_at } if retry_at <= cx.now => bump(p, flight, cx),
        Phase::Unknown { .. } | Phase::Refused { .. } => vec![],
    }
}

fn not_sent(p: &Payment, op: Op, seq: u32, cx: &Context<'_>) -> Vec<Event> {
    if op == Op::Fetch {
        return read_failed(p, seq, cx);
    }
    let Some(flight) = p.flight.as_ref().filter(|flight| names(flight, op, seq)) else { return vec![] };
    match flight.phase {
        Phase::Sent { .. } => {
            let tries = flight.tries.saturating_add(1);
            let due_at = cx.now.plus(backoff(cx.policy, tries));
            vec![Event::PaymentCallDeferred { op, seq, tries, due_at }]
        }
        Phase::Unknown { retry_at } if retry_at <= cx.now => bump(p, flight, cx),
        Phase::Unknown { .. } | Phase::Deferred { .. } | Phase::Refused { .. } => vec![],
    }
}

/// A read that was due brought nothing: the next one is later.
fn read_failed(p: &Payment, seq: u32, cx: &Context<'_>) -> Vec<Event> {
    match &p.flight {
        Some(flight) => match flight.phase {
            Phase::Unknown { retry_at } | Phase::Refused { retry_at, .. } if retry_at <= cx.now => {
                bump(p, flight, cx)
            }
            Phase::Sent { .. } | Phase::Deferred { .. } | Phase::Unknown { .. } | Phase::Refused { .. } => {
                vec![]
            }
        },
        None if p.watch().is_some_and(|watch| watch.look_at <= cx.now) => looked_up(p, cx),
        None if p.watch().is_some() => vec![],
        None => p
            .refunds
            .iter()
            .find(|refund| refund.seq == seq)
            .map_or_else(Vec::new, |refund| refund_looked_up(refund, cx)),
    }
}
