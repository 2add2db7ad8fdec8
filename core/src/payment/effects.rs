//! What is due, read off the state: calls to the gateway and the next deadline. Nothing is remembered on the side,
//! so a process that died between persisting and sending leaves nothing to recover.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::facts::{CallId, Op};
use super::state::{Desired, Flight, Payment, Phase, RefundState, Stage, Task, Watch};
use crate::ids::{BookingId, GatewayKey, PaymentIntentId, PaymentMethodId, RefundId};
use crate::money::Money;
use crate::policy::Policy;
use crate::time::{Span, Timestamp};

/// So many times a creation or refund is asked for under one key before something else is tried. Stripe saves the
/// answer to a key, a 500 included, and would repeat it for ever.
pub(super) const TRIES_PER_KEY: u32 = 3;

/// So long a refund without an answer is asked for again under its key; well within the 24 h after which Stripe may
/// forget the key and pay twice.
pub(super) const REFUND_SAME_KEY: Span = Span::from_minutes(60);

/// From here on a read that shows no refund settles that there is none: neither a request nor a read is under way
/// for half an hour.
pub(super) const REFUND_SURELY_LOST: Span = Span::from_minutes(120);

/// One call to the gateway. Equal keys always come with equal calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields say what their types and names say")]
pub enum GatewayCall {
    /// Create an intent with `capture_method=manual`, unconfirmed, the booking in its metadata.
    CreateIntent { key: GatewayKey, amount: Money, reference: BookingId },
    /// Confirm the intent with a method.
    ConfirmIntent { key: GatewayKey, intent: PaymentIntentId, method: PaymentMethodId },
    /// Capture this much, once; the remainder of the hold is released.
    CaptureIntent { key: GatewayKey, intent: PaymentIntentId, amount: Money },
    /// Cancel the intent, which voids what it holds.
    CancelIntent { key: GatewayKey, intent: PaymentIntentId },
    /// Pay this much of the captured money back.
    CreateRefund { key: GatewayKey, intent: PaymentIntentId, amount: Money },
    /// Read the intent.
    FetchIntent { intent: PaymentIntentId },
    /// Read a refund.
    FetchRefund { refund: RefundId },
}

/// Why the machine wants a `Tick`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadlineReason {
    /// A call has had no answer.
    CallTimeout,
    /// A call that was not carried out is due again.
    CallDue,
    /// An outcome, an authentication or a refund is to be looked up.
    LookUp,
    /// The customer has not finished authenticating.
    CustomerDeadline,
    /// The hold ends soon.
    HoldEndsSoon,
    /// The hold ends.
    HoldEnds,
}

impl Payment {
    /// The call that is due at `now`, and the name under which its result is told as a
    /// [`Fact`](super::Fact). At most one call that changes anything is ever under way.
    ///
    /// The same call may be handed out more than once, to two workers or before and after a crash: it then carries
    /// the same key, under which the provider carries it out once. A call without an answer stops being due at its
    /// `retry_at`; from there on a read settles it. The result of a read that failed is told with
    /// [`Op::Fetch`] and the given number.
    #[must_use]
    pub fn due_call(&self, now: Timestamp) -> Option<(GatewayCall, CallId)> {
        if self.quarantine.is_some() {
            return None;
        }
        let Some(flight) = &self.flight else { return self.due_watch(now) };
        match flight.phase {
            Phase::Sent { retry_at } if now < retry_at => self.call(flight, now),
            Phase::Unknown { retry_at } | Phase::Refused { retry_at, .. } if now >= retry_at => {
                if self.asks_again(flight, now) {
                    self.call(flight, now)
                } else {
                    let intent = self.intent()?.clone();
                    Some((GatewayCall::FetchIntent { intent }, CallId { op: Op::Fetch, seq: flight.seq }))
                }
            }
            Phase::Sent { .. } | Phase::Deferred { .. } | Phase::Unknown { .. } | Phase::Refused { .. } => {
                None
            }
        }
    }

    /// Whether an unknown outcome is looked up by asking again under the same key. A creation has nothing to read
    /// yet. A refund is asked for again because a new key could pay twice; every fourth time, and after an hour, the
    /// intent is read for what was refunded.
    fn asks_again(&self, flight: &Flight, now: Timestamp) -> bool {
        let unknown = matches!(flight.phase, Phase::Unknown { .. });
        match flight.task {
            Task::Create => true,
            Task::Confirm { .. } | Task::Capture { .. } | Task::Cancel => false,
            Task::Refund { .. } => {
                let read = flight.tries.checked_rem(TRIES_PER_KEY.saturating_add(1)) == Some(TRIES_PER_KEY);
                unknown && !read && now.since(flight.since) < REFUND_SAME_KEY
            }
        }
    }

    fn call(&self, flight: &Flight, now: Timestamp) -> Option<(GatewayCall, CallId)> {
        let id = CallId { op: flight.task.op(), seq: flight.seq };
        let key = self.key(id)?;
        let call = match &flight.task {
            Task::Create => GatewayCall::CreateIntent { key, amount: self.limit, reference: self.reference },
            Task::Confirm { method } => {
                GatewayCall::ConfirmIntent { key, intent: self.intent()?.clone(), method: method.clone() }
            }
            Task::Capture { amount } => {
                if !self.holds_at(now) {
                    return None;
                }
                GatewayCall::CaptureIntent { key, intent: self.intent()?.clone(), amount: *amount }
            }
            Task::Cancel => GatewayCall::CancelIntent { key, intent: self.intent()?.clone() },
            Task::Refund { amount } => {
                GatewayCall::CreateRefund { key, intent: self.intent()?.clone(), amount: *amount }
            }
        };
        Some((call, id))
    }

    /// `booking:op:number`, put together by hand, for `format!` took more time than all the rest of a call.
    fn key(&self, id: CallId) -> Option<GatewayKey> {
        let mut text = String::with_capacity(64);
        text.push_str(self.reference.as_uuid().hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        text.push(':');
        text.push_str(id.op.as_str());
        text.push(':');
        let mut divisor = 10_u32.checked_pow(id.seq.checked_ilog10().unwrap_or(0))?;
        while divisor > 0 {
            let digit = id.seq.checked_div(divisor)?.checked_rem(10)?;
            text.push(char::from_digit(digit, 10)?);
            divisor = divisor.checked_div(10)?;
        }
        GatewayKey::new(text).ok()
    }

    /// What proceeds without us is looked up: webhooks get lost.
    fn due_watch(&self, now: Timestamp) -> Option<(GatewayCall, CallId)> {
        if self.watch().is_some_and(|watch| watch.look_at <= now) {
            let intent = self.intent()?.clone();
            return Some((GatewayCall::FetchIntent { intent }, CallId { op: Op::Fetch, seq: self.calls }));
        }
        self.refunds.iter().find_map(|refund| {
            let RefundState::Pending { watch } = refund.state else { return None };
            let due = watch.look_at <= now;
            let call = GatewayCall::FetchRefund { refund: refund.refund.clone().filter(|_| due)? };
            Some((call, CallId { op: Op::Fetch, seq: refund.seq }))
        })
    }

    /// The look-up of an intent that waits for the customer or the provider.
    pub(super) fn watch(&self) -> Option<Watch> {
        match self.stage()? {
            Stage::AwaitingCustomer { watch, .. } | Stage::Processing { watch } => Some(*watch),
            Stage::Open | Stage::Held { .. } | Stage::Lapsed | Stage::Captured | Stage::Canceled { .. } => {
                None
            }
        }
    }

    /// Whether a capture may be asked for: the hold was shown and has not ended.
    pub(super) fn holds_at(&self, now: Timestamp) -> bool {
        matches!(self.stage(), Some(Stage::Held { capture_before, .. }) if now < *capture_before)
    }

    /// Whether the hold has ended without our knowing what became of it.
    pub(super) fn hold_lapsed(&self, now: Timestamp) -> bool {
        matches!(self.stage(), Some(Stage::Held { capture_before, .. }) if *capture_before <= now)
    }
}

/// When the host must next send `Tick`. While a call is in flight, only its own deadline counts: nothing else could
/// be done about the money.
pub(super) fn next_deadline(payment: &Payment) -> Option<(Timestamp, DeadlineReason)> {
    if payment.quarantine.is_some() {
        return None;
    }
    if let Some(flight) = &payment.flight {
        return Some(match flight.phase {
            Phase::Sent { retry_at } => (retry_at, DeadlineReason::CallTimeout),
            Phase::Deferred { due_at } => (due_at, DeadlineReason::CallDue),
            Phase::Unknown { retry_at } | Phase::Refused { retry_at, .. } => {
                (retry_at, DeadlineReason::LookUp)
            }
        });
    }
    match payment.stage()? {
        Stage::AwaitingCustomer { deadline, watch, .. } => {
            let wanted = payment.desired == Desired::Hold;
            Some(if wanted && *deadline <= watch.look_at {
                (*deadline, DeadlineReason::CustomerDeadline)
            } else {
                (watch.look_at, DeadlineReason::LookUp)
            })
        }
        Stage::Processing { watch } => Some((watch.look_at, DeadlineReason::LookUp)),
        Stage::Held { capture_before, use_before, expiring } => {
            Some(if *expiring || payment.desired != Desired::Hold {
                (*capture_before, DeadlineReason::HoldEnds)
            } else {
                (*use_before, DeadlineReason::HoldEndsSoon)
            })
        }
        Stage::Captured => {
            let pending = payment.refunds.iter().filter_map(|refund| match refund.state {
                RefundState::Pending { watch } => Some(watch.look_at),
                RefundState::Succeeded | RefundState::Failed => None,
            });
            pending.min().map(|look_at| (look_at, DeadlineReason::LookUp))
        }
        Stage::Open | Stage::Lapsed | Stage::Canceled { .. } => None,
    }
}

/// The wait after the `tries`-th try: `gateway_retry`, doubled each time up to `gateway_retry_max`, and never
/// nothing.
pub(super) fn backoff(policy: &Policy, tries: u32) -> Span {
    let factor = 1_i64.checked_shl(tries.saturating_sub(1).min(40)).unwrap_or(i64::MAX);
    policy.gateway_retry.times(factor).min(policy.gateway_retry_max).max(Span::from_millis(1))
}
