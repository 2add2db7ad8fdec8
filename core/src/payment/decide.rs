//! Commands judged: what they change at once, and then whatever drives the observed towards the desired.

use super::effects::{REFUND_SAME_KEY, backoff};
use super::event::{Event, ReleaseReason, Request};
use super::evolve::apply;
use super::facts::{Command, Fact, Op};
use super::observe;
use super::state::{
    Desired, Flight, Payment, PaymentStatus, Phase, QuarantineReason, RefundState, Stage, Task, minus,
    smaller,
};
use crate::ids::PaymentMethodId;
use crate::machine::Context;
use crate::money::{Currency, Money};

/// After so many failed refunds a person must look.
const FAILED_REFUNDS_MAX: usize = 3;

/// One command leads to fewer steps than this; a bound in place of a proof that the loop ends.
const STEPS_MAX: usize = 8;

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The provider and we contradict each other.
    #[error("the payment is quarantined ({0:?}): an operator must look at it first")]
    Quarantined(QuarantineReason),
    /// There is nothing to hold.
    #[error("nothing is to be paid up front for this booking: leave the confirmation out")]
    NothingToPay,
    /// The status does not admit the command.
    #[error("a payment whose status is {status} can't be {wish}")]
    WrongState {
        /// The status.
        status: PaymentStatus,
        /// What was asked, as a participle.
        wish: &'static str,
    },
    /// The end of the payment was decided, differently.
    #[error("{0} was decided on already, and that is final")]
    AlreadyDecided(Desired),
    /// Another method is being confirmed.
    #[error("another payment method is being confirmed: wait for its outcome")]
    ConfirmationInFlight,
    /// The card was refused for good.
    #[error("the payment failed for good ({reason}): start another booking with another payment method")]
    NotRetryable {
        /// The reason that was told with the failure.
        reason: smol_str::SmolStr,
    },
    /// An amount of nothing or less where more is needed.
    #[error("{0} is not an amount that can be moved: give 0 or more, and more than 0 to refund")]
    InvalidAmount(Money),
    /// An amount in another currency.
    #[error("the payment is in {expected}, the amount in {given}: convert it first")]
    WrongCurrency {
        /// The currency of the payment.
        expected: Currency,
        /// The currency of the amount.
        given: Currency,
    },
    /// More is to be paid back than was taken.
    #[error("{asked} can't be paid back: {captured} was captured in all")]
    RefundTooHigh {
        /// The total to pay back.
        asked: Money,
        /// What was captured.
        captured: Money,
    },
}

/// Events and the state they lead to.
pub(super) struct Story<'a> {
    pub(super) state: &'a mut Payment,
    events: Vec<Event>,
}

impl<'a> Story<'a> {
    const fn new(state: &'a mut Payment) -> Self {
        Self { state, events: Vec::new() }
    }

    pub(super) fn tell(&mut self, events: Vec<Event>) {
        for event in &events {
            apply(self.state, event);
        }
        if self.events.is_empty() {
            self.events = events;
        } else {
            self.events.extend(events);
        }
    }

    /// On from here, step by step, until nothing is left to do now.
    fn finish(mut self, cx: &Context<'_>) -> Vec<Event> {
        for _ in 0..STEPS_MAX {
            let next = step(self.state, cx);
            if next.is_empty() {
                break;
            }
            self.tell(next);
        }
        self.events
    }
}

pub(super) fn learn(p: &mut Payment, fact: &Fact, cx: &Context<'_>) -> Vec<Event> {
    let mut story = Story::new(p);
    observe::observe(&mut story, fact, cx);
    story.finish(cx)
}

/// What a command leads to, applied already; a refusal comes before anything is.
pub(super) fn advance(p: &mut Payment, command: &Command, cx: &Context<'_>) -> Result<Vec<Event>, Rejection> {
    let first = match command {
        Command::Begin => begin(p, cx)?,
        Command::Confirm { method } => confirm(p, method)?,
        Command::Settle { amount } => settle(p, *amount)?,
        Command::Release => release(p),
        Command::Refund { amount } => refund(p, *amount)?,
        Command::Observe(fact) => return Ok(learn(p, fact, cx)),
        Command::Tick => tick(p, cx),
    };
    let mut story = Story::new(p);
    story.tell(first);
    Ok(story.finish(cx))
}

fn begin(p: &Payment, cx: &Context<'_>) -> Result<Vec<Event>, Rejection> {
    if let Some(reason) = p.quarantine {
        return Err(Rejection::Quarantined(reason));
    }
    if p.limit.is_zero() || p.calls > 0 {
        return Ok(vec![]);
    }
    match p.desired {
        Desired::Hold => Ok(request(p, &Task::Create, 0, cx)),
        Desired::Settle { .. } | Desired::Release => Err(Rejection::AlreadyDecided(p.desired)),
    }
}

fn confirm(p: &Payment, method: &PaymentMethodId) -> Result<Vec<Event>, Rejection> {
    if let Some(reason) = p.quarantine {
        return Err(Rejection::Quarantined(reason));
    }
    if p.limit.is_zero() {
        return Err(Rejection::NothingToPay);
    }
    if p.desired != Desired::Hold {
        return Err(Rejection::AlreadyDecided(p.desired));
    }
    let same = p.method.as_ref() == Some(method);
    let chosen = vec![Event::PaymentMethodChosen { method: method.clone() }];
    let wrong = Err(Rejection::WrongState { status: p.status(), wish: "confirmed" });
    match p.stage() {
        None if p.calls == 0 => wrong,
        // Before the intent is known, the choice is only remembered and may be changed.
        None | Some(Stage::Open) => match &p.failure {
            Some(failure) if !failure.retryable => {
                Err(Rejection::NotRetryable { reason: failure.reason.clone() })
            }
            Some(_) => Ok(chosen),
            None if p.confirming && same => Ok(vec![]),
            None if p.confirming && p.intent.is_some() => Err(Rejection::ConfirmationInFlight),
            None => Ok(chosen),
        },
        Some(Stage::AwaitingCustomer { .. } | Stage::Processing { .. } | Stage::Held { .. }) if same => {
            Ok(vec![])
        }
        Some(
            Stage::AwaitingCustomer { .. }
            | Stage::Processing { .. }
            | Stage::Held { .. }
            | Stage::Lapsed
            | Stage::Captured
            | Stage::Canceled { .. },
        ) => wrong,
    }
}

fn check_amount(p: &Payment, amount: Money) -> Result<(), Rejection> {
    if amount.currency() != p.currency() {
        return Err(Rejection::WrongCurrency { expected: p.currency(), given: amount.currency() });
    }
    if amount.is_zero() || amount.is_positive() { Ok(()) } else { Err(Rejection::InvalidAmount(amount)) }
}

/// The end of a trip is a fact whatever became of the money, so this is legal wherever a hold was wanted, also when
/// nothing is held: then it leads to a shortfall.
fn settle(p: &Payment, amount: Money) -> Result<Vec<Event>, Rejection> {
    check_amount(p, amount)?;
    match p.desired {
        Desired::Hold if amount.is_zero() => Ok(release(p)),
        Desired::Hold => Ok(vec![Event::PaymentSettlementDecided { amount }]),
        Desired::Settle { amount: decided } if decided == amount => Ok(vec![]),
        Desired::Release if amount.is_zero() => Ok(vec![]),
        Desired::Settle { .. } | Desired::Release => Err(Rejection::AlreadyDecided(p.desired)),
    }
}

fn release(p: &Payment) -> Vec<Event> {
    match p.desired {
        Desired::Hold | Desired::Settle { .. } => {
            vec![Event::PaymentReleaseDecided { reason: ReleaseReason::Requested }]
        }
        Desired::Release => vec![],
    }
}

fn refund(p: &Payment, amount: Money) -> Result<Vec<Event>, Rejection> {
    check_amount(p, amount)?;
    if let Some(reason) = p.quarantine {
        return Err(Rejection::Quarantined(reason));
    }
    if amount.is_zero() {
        return Err(Rejection::InvalidAmount(amount));
    }
    if p.captured.is_zero() {
        return Err(Rejection::WrongState { status: p.status(), wish: "refunded" });
    }
    if minus(amount, p.captured).is_positive() {
        return Err(Rejection::RefundTooHigh { asked: amount, captured: p.captured });
    }
    match p.desired {
        Desired::Release => Ok(vec![]),
        Desired::Hold | Desired::Settle { .. } if minus(amount, p.refund_total).is_positive() => {
            Ok(vec![Event::RefundDecided { total: amount }])
        }
        Desired::Hold | Desired::Settle { .. } => Ok(vec![]),
    }
}

fn tick(p: &Payment, cx: &Context<'_>) -> Vec<Event> {
    if p.quarantine.is_some() {
        return vec![];
    }
    if let Some(flight) = &p.flight {
        let (op, seq) = (flight.task.op(), flight.seq);
        return match flight.phase {
            Phase::Sent { retry_at } if retry_at <= cx.now => {
                let tries = flight.tries.saturating_add(1);
                vec![Event::PaymentOutcomeUnknown { op, seq, tries, retry_at: cx.now }]
            }
            Phase::Deferred { due_at } if due_at <= cx.now => vec![due_again(p, flight, cx)],
            // These wait for the result of the look-up that is due.
            Phase::Sent { .. } | Phase::Deferred { .. } | Phase::Unknown { .. } | Phase::Refused { .. } => {
                vec![]
            }
        };
    }
    match p.stage() {
        Some(Stage::AwaitingCustomer { deadline, .. })
            if *deadline <= cx.now && p.desired == Desired::Hold =>
        {
            vec![Event::PaymentReleaseDecided { reason: ReleaseReason::CustomerDeadline }]
        }
        Some(Stage::Held { capture_before, use_before, expiring: false })
            if *use_before <= cx.now && cx.now < *capture_before && p.desired == Desired::Hold =>
        {
            vec![Event::PaymentExpiring { capture_before: *capture_before }]
        }
        None
        | Some(
            Stage::Open
            | Stage::AwaitingCustomer { .. }
            | Stage::Processing { .. }
            | Stage::Held { .. }
            | Stage::Lapsed
            | Stage::Captured
            | Stage::Canceled { .. },
        ) => vec![],
    }
}

/// A call that was put off is due. A refund whose key has grown old is looked up instead: another worker may have
/// sent it after all.
fn due_again(p: &Payment, flight: &Flight, cx: &Context<'_>) -> Event {
    let (op, seq, tries) = (flight.task.op(), flight.seq, flight.tries);
    let old = op == Op::Refund && REFUND_SAME_KEY <= cx.now.since(flight.since);
    match goal(p, cx) {
        Some(task) if task.op() == op && old => {
            Event::PaymentOutcomeUnknown { op, seq, tries, retry_at: cx.now }
        }
        Some(task) if task.op() == op => {
            Event::PaymentCallResumed { op, seq, retry_at: cx.now.plus(cx.policy.gateway_timeout) }
        }
        Some(_) | None => Event::PaymentCallDropped { op, seq },
    }
}

/// The one call that would bring what is observed nearer to what is desired, as if none were in flight.
pub(super) fn goal(p: &Payment, cx: &Context<'_>) -> Option<Task> {
    match p.stage() {
        None => match p.desired {
            Desired::Hold => (p.calls > 0 && p.failure.is_none()).then_some(Task::Create),
            // An intent that was never created holds nothing.
            Desired::Settle { .. } | Desired::Release => None,
        },
        Some(Stage::Open) => match p.desired {
            Desired::Hold => p.method.clone().filter(|_| p.confirming).map(|method| Task::Confirm { method }),
            // Nothing is held, but the customer's device could still confirm.
            Desired::Settle { .. } | Desired::Release => Some(Task::Cancel),
        },
        Some(Stage::AwaitingCustomer { .. }) => match p.desired {
            Desired::Hold => None,
            Desired::Settle { .. } | Desired::Release => Some(Task::Cancel),
        },
        Some(Stage::Processing { .. }) => match p.desired {
            Desired::Hold | Desired::Settle { .. } => None,
            Desired::Release => Some(Task::Cancel),
        },
        Some(Stage::Held { .. }) => match p.desired {
            Desired::Hold => None,
            Desired::Settle { amount } => {
                p.holds_at(cx.now).then(|| Task::Capture { amount: smaller(amount, p.limit) })
            }
            Desired::Release => Some(Task::Cancel),
        },
        Some(Stage::Lapsed) => Some(Task::Cancel),
        Some(Stage::Captured) => {
            let amount = p.refund_due();
            amount.is_positive().then_some(Task::Refund { amount })
        }
        Some(Stage::Canceled { .. }) => None,
    }
}

/// One step from the observed towards the desired; nothing when a call is in flight or nothing is left to do. A call
/// that waits to be made gives way to another kind of call, but not to another amount: a second worker may have sent
/// it after all, which a void or a refund makes good and a second refund would not.
fn step(p: &Payment, cx: &Context<'_>) -> Vec<Event> {
    if p.quarantine.is_some() {
        return vec![];
    }
    let waiting = match &p.flight {
        None => None,
        Some(flight) => match flight.phase {
            Phase::Deferred { .. } => Some(flight),
            Phase::Sent { .. } | Phase::Unknown { .. } | Phase::Refused { .. } => return vec![],
        },
    };
    match (goal(p, cx), waiting) {
        (Some(task), Some(flight)) if task.op() == flight.task.op() => vec![],
        (Some(Task::Refund { .. }), _) if failed_refunds(p) >= FAILED_REFUNDS_MAX => {
            vec![Event::PaymentQuarantined { reason: QuarantineReason::RefundFailed }]
        }
        (Some(task @ Task::Refund { .. }), _) if failed_refunds(p) > 0 => {
            let tries = u32::try_from(failed_refunds(p)).unwrap_or(u32::MAX);
            request_later(p, &task, tries, cx)
        }
        (
            Some(
                task @ (Task::Create
                | Task::Confirm { .. }
                | Task::Capture { .. }
                | Task::Cancel
                | Task::Refund { .. }),
            ),
            _,
        ) => request(p, &task, 0, cx),
        (None, Some(flight)) => {
            vec![Event::PaymentCallDropped { op: flight.task.op(), seq: flight.seq }]
        }
        (None, None) if p.hold_lapsed(cx.now) => vec![Event::PaymentExpired { amount: p.open() }],
        (None, None) => close(p),
    }
}

fn failed_refunds(p: &Payment) -> usize {
    p.refunds.iter().filter(|refund| matches!(refund.state, RefundState::Failed)).count()
}

/// What there is to say when nothing is left to do.
fn close(p: &Payment) -> Vec<Event> {
    let ended = match p.stage() {
        None if !p.closed => match p.desired {
            Desired::Hold => false,
            Desired::Settle { .. } | Desired::Release => {
                return vec![Event::PaymentReleased { amount: p.zero() }];
            }
        },
        None | Some(Stage::Captured | Stage::Canceled { .. }) => true,
        Some(
            Stage::Open
            | Stage::AwaitingCustomer { .. }
            | Stage::Processing { .. }
            | Stage::Held { .. }
            | Stage::Lapsed,
        ) => false,
    };
    match p.desired {
        Desired::Settle { amount } if ended && p.shortfall.is_none() => {
            let missing = minus(amount, p.captured);
            if missing.is_positive() { vec![Event::PaymentShortfall { amount: missing }] } else { vec![] }
        }
        Desired::Hold | Desired::Settle { .. } | Desired::Release => vec![],
    }
}

/// The event that puts a call in flight under a new number.
pub(super) fn request(p: &Payment, task: &Task, tries: u32, cx: &Context<'_>) -> Vec<Event> {
    let request = Request {
        seq: p.calls.saturating_add(1),
        tries,
        at: cx.now,
        retry_at: cx.now.plus(cx.policy.gateway_timeout),
    };
    vec![match task {
        Task::Create => Event::PaymentIntentRequested { request },
        Task::Confirm { method } => Event::PaymentConfirmationRequested { request, method: method.clone() },
        Task::Capture { amount } => Event::PaymentCaptureRequested { request, amount: *amount },
        Task::Cancel => Event::PaymentReleaseRequested { request },
        Task::Refund { amount } => Event::RefundRequested { request, amount: *amount },
    }]
}

/// The same, but not before a pause: the provider has just said no.
pub(super) fn request_later(p: &Payment, task: &Task, tries: u32, cx: &Context<'_>) -> Vec<Event> {
    let mut events = request(p, task, tries, cx);
    let (op, seq) = (task.op(), p.calls.saturating_add(1));
    let due_at = cx.now.plus(backoff(cx.policy, tries));
    events.push(Event::PaymentCallDeferred { op, seq, tries, due_at });
    events
}
