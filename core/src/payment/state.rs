//! What is remembered of a payment, and what can be read off it.

use core::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::facts::{ClientSecret, Decline, DeclineClass, NextAction, Op};
use crate::ids::{BookingId, PaymentIntentId, PaymentMethodId, RefundId};
use crate::money::{Currency, Money};
use crate::time::Timestamp;

/// The payment of one booking: one intent, one hold, at most one capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub(super) reference: BookingId,
    pub(super) limit: Money,
    pub(super) desired: Desired,
    /// The number of the latest call.
    pub(super) calls: u32,
    /// The one call whose outcome is not settled.
    pub(super) flight: Option<Flight>,
    pub(super) intent: Option<Intent>,
    /// The method chosen last.
    pub(super) method: Option<PaymentMethodId>,
    /// `method` is yet to be confirmed, or the outcome of that is not settled.
    pub(super) confirming: bool,
    pub(super) failure: Option<Failure>,
    /// Every decline ever shown: an old one shown again says nothing about a new attempt.
    pub(super) declines: Vec<Decline>,
    pub(super) authorized: Money,
    pub(super) captured: Money,
    /// When the capture was first shown.
    pub(super) captured_at: Option<Timestamp>,
    pub(super) released: Money,
    pub(super) refund_total: Money,
    pub(super) refunds: Vec<Refund>,
    pub(super) shortfall: Option<Money>,
    /// A release was reported; nothing stood at that time.
    pub(super) closed: bool,
    pub(super) quarantine: Option<QuarantineReason>,
}

/// What the booking wants of the money. It starts as a hold and never goes back to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// The limit is to be held.
    Hold,
    /// This final price is to be taken, the rest given back.
    Settle {
        /// More than nothing.
        amount: Money,
    },
    /// Nothing is to be held and nothing kept.
    Release,
}

impl fmt::Display for Desired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hold => f.write_str("a hold"),
            Self::Settle { amount } => write!(f, "a capture of {amount}"),
            Self::Release => f.write_str("a release"),
        }
    }
}

/// The intent as far as the provider has shown it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    pub(super) id: PaymentIntentId,
    pub(super) client_secret: Option<ClientSecret>,
    pub(super) stage: Stage,
}

/// How far the intent has come. Facts only ever move it down this list, except that a failed attempt leads back
/// to `Open`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Nothing is held.
    Open,
    /// The customer authenticates.
    AwaitingCustomer { action: Option<NextAction>, deadline: Timestamp, watch: Watch },
    /// The provider takes its time.
    Processing { watch: Watch },
    /// The limit is held.
    Held { capture_before: Timestamp, use_before: Timestamp, expiring: bool },
    /// `capture_before` has passed; the intent is being cancelled.
    Lapsed,
    /// Money was taken.
    Captured,
    /// Nothing stands at the provider.
    Canceled { lapsed: bool },
}

/// When something that proceeds without us is looked up next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Watch {
    pub(super) tries: u32,
    pub(super) look_at: Timestamp,
}

/// A call with everything that makes it up, so that one number always means one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Task {
    Create,
    Confirm { method: PaymentMethodId },
    Capture { amount: Money },
    Cancel,
    Refund { amount: Money },
}

impl Task {
    pub(super) const fn op(&self) -> Op {
        match self {
            Self::Create => Op::Create,
            Self::Confirm { .. } => Op::Confirm,
            Self::Capture { .. } => Op::Capture,
            Self::Cancel => Op::Cancel,
            Self::Refund { .. } => Op::Refund,
        }
    }
}

/// The call whose outcome is not settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Flight {
    pub(super) task: Task,
    pub(super) seq: u32,
    pub(super) tries: u32,
    /// When the key was first used, at the earliest.
    pub(super) since: Timestamp,
    pub(super) phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// Decided and persisted; sent now or already.
    Sent { retry_at: Timestamp },
    /// Not carried out; to be sent from `due_at`.
    Deferred { due_at: Timestamp },
    /// Nobody knows; to be looked up from `retry_at`.
    Unknown { retry_at: Timestamp },
    /// Refused; to be looked up from `retry_at`, because a refusal often means that another call was faster.
    Refused { code: SmolStr, retry_at: Timestamp },
}

/// One refund that the provider took on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refund {
    pub(super) seq: u32,
    pub(super) refund: Option<RefundId>,
    pub(super) amount: Money,
    pub(super) state: RefundState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RefundState {
    Pending { watch: Watch },
    Succeeded,
    Failed,
}

/// Why no money is held, as far as the customer may know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A short code: Stripe's `decline_code` or error code; `card_declined` for everything the customer
    /// must not know more about.
    pub reason: SmolStr,
    /// Whether another [`Command::Confirm`](super::Command::Confirm) is allowed.
    pub retryable: bool,
}

impl Failure {
    /// What a decline means to the customer.
    #[must_use]
    pub fn of(decline: &Decline) -> Self {
        match decline.class {
            DeclineClass::Retryable | DeclineClass::AuthenticationRequired => {
                Self { reason: decline.code.clone(), retryable: true }
            }
            DeclineClass::HardStop => Self { reason: SmolStr::new_static("card_declined"), retryable: false },
        }
    }
}

/// A contradiction between the provider and us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineReason {
    /// An amount is not what was asked for.
    AmountMismatch,
    /// An amount is in another currency.
    CurrencyMismatch,
    /// Our intent names another booking.
    ReferenceMismatch,
    /// The intent was shown both cancelled and captured.
    CanceledAndCaptured,
    /// Another intent of this booking holds or took money.
    SecondHold,
    /// Refunds fail again and again, the outcome of one can't be learnt, or one turned up that nobody asked for.
    RefundFailed,
}

/// The payment in one word, as customers and operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Nothing is held, and nothing was confirmed yet.
    None,
    /// The intent is being created or confirmed.
    Authorizing,
    /// The customer must authenticate.
    RequiresAction,
    /// The money is held.
    Authorized,
    /// The money is being taken.
    Capturing,
    /// The money was taken (refunds show as an amount).
    Captured,
    /// The hold is being voided.
    Releasing,
    /// Nothing is held any more.
    Released,
    /// The attempt failed.
    Declined,
    /// Nobody knows the outcome of a call yet.
    Unknown,
    /// The hold ended without a capture.
    Expired,
    /// A person must look.
    Quarantined,
}

impl PaymentStatus {
    /// As it is written on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Authorizing => "authorizing",
            Self::RequiresAction => "requires_action",
            Self::Authorized => "authorized",
            Self::Capturing => "capturing",
            Self::Captured => "captured",
            Self::Releasing => "releasing",
            Self::Released => "released",
            Self::Declined => "declined",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Quarantined => "quarantined",
        }
    }
}

impl fmt::Display for PaymentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Payment {
    /// A payment that may hold `limit` for the booking. With nothing to hold (0 or less) it is as good as
    /// authorised, and settling 0 ends it.
    #[must_use]
    pub fn new(reference: BookingId, limit: Money) -> Self {
        let zero = Money::zero(limit.currency());
        Self {
            reference,
            limit: if limit.is_positive() { limit } else { zero },
            desired: Desired::Hold,
            calls: 0,
            flight: None,
            intent: None,
            method: None,
            confirming: false,
            failure: None,
            declines: Vec::new(),
            authorized: zero,
            captured: zero,
            captured_at: None,
            released: zero,
            refund_total: zero,
            refunds: Vec::new(),
            shortfall: None,
            closed: false,
            quarantine: None,
        }
    }

    /// The booking that is paid for.
    #[must_use]
    pub const fn reference(&self) -> BookingId {
        self.reference
    }

    /// The most that may be held and captured.
    #[must_use]
    pub const fn limit(&self) -> Money {
        self.limit
    }

    /// What the booking wants of the money.
    #[must_use]
    pub const fn desired(&self) -> Desired {
        self.desired
    }

    /// The payment in one word.
    #[must_use]
    pub fn status(&self) -> PaymentStatus {
        if self.quarantine.is_some() {
            return PaymentStatus::Quarantined;
        }
        if self.limit.is_zero() {
            return PaymentStatus::None;
        }
        match &self.flight {
            Some(flight) => self.status_in_flight(flight),
            None => self.status_at_rest(),
        }
    }

    fn status_in_flight(&self, flight: &Flight) -> PaymentStatus {
        let unknown = match flight.phase {
            Phase::Unknown { .. } => true,
            Phase::Sent { .. } | Phase::Deferred { .. } | Phase::Refused { .. } => false,
        };
        match flight.task {
            // A refund whose outcome is open does not undo the capture.
            Task::Refund { .. } => PaymentStatus::Captured,
            Task::Create | Task::Confirm { .. } | Task::Capture { .. } | Task::Cancel if unknown => {
                PaymentStatus::Unknown
            }
            Task::Create | Task::Confirm { .. } => PaymentStatus::Authorizing,
            Task::Capture { .. } => PaymentStatus::Capturing,
            Task::Cancel if self.stage() == Some(&Stage::Lapsed) && self.desired != Desired::Release => {
                PaymentStatus::Expired
            }
            Task::Cancel => PaymentStatus::Releasing,
        }
    }

    fn status_at_rest(&self) -> PaymentStatus {
        match self.stage() {
            None if self.closed => PaymentStatus::Released,
            None | Some(Stage::Open) if self.failure.is_some() => PaymentStatus::Declined,
            None | Some(Stage::Open) => PaymentStatus::None,
            Some(Stage::AwaitingCustomer { .. }) => PaymentStatus::RequiresAction,
            Some(Stage::Processing { .. }) => PaymentStatus::Authorizing,
            Some(Stage::Held { .. }) => PaymentStatus::Authorized,
            Some(Stage::Lapsed) => PaymentStatus::Expired,
            Some(Stage::Captured) => PaymentStatus::Captured,
            Some(Stage::Canceled { lapsed: true }) if self.desired != Desired::Release => {
                PaymentStatus::Expired
            }
            Some(Stage::Canceled { .. }) => PaymentStatus::Released,
        }
    }

    /// The intent at the provider, once known.
    #[must_use]
    pub fn intent(&self) -> Option<&PaymentIntentId> {
        self.intent.as_ref().map(|intent| &intent.id)
    }

    /// The secret for the customer's device.
    #[must_use]
    pub fn client_secret(&self) -> Option<&ClientSecret> {
        self.intent.as_ref().and_then(|intent| intent.client_secret.as_ref())
    }

    /// What the customer must do next, while that is awaited.
    #[must_use]
    pub fn next_action(&self) -> Option<&NextAction> {
        match self.stage()? {
            Stage::AwaitingCustomer { action, .. } => action.as_ref(),
            Stage::Open
            | Stage::Processing { .. }
            | Stage::Held { .. }
            | Stage::Lapsed
            | Stage::Captured
            | Stage::Canceled { .. } => None,
        }
    }

    /// Why the last attempt failed, until the next one starts.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// The method that was chosen last.
    #[must_use]
    pub const fn method(&self) -> Option<&PaymentMethodId> {
        self.method.as_ref()
    }

    /// What the provider has shown to be held, ever: always `captured + released + open`.
    #[must_use]
    pub const fn authorized(&self) -> Money {
        self.authorized
    }

    /// What was taken, refunds not subtracted.
    #[must_use]
    pub const fn captured(&self) -> Money {
        self.captured
    }

    /// What was held and given back without being taken.
    #[must_use]
    pub const fn released(&self) -> Money {
        self.released
    }

    /// What was paid back for certain; pending refunds are not in it.
    #[must_use]
    pub fn refunded(&self) -> Money {
        self.refund_sum(|state| matches!(state, RefundState::Succeeded))
    }

    /// What is held now, or was held when last heard of.
    #[must_use]
    pub fn open(&self) -> Money {
        minus(minus(self.authorized, self.captured), self.released)
    }

    /// What of the final price could not be captured, once that is certain.
    #[must_use]
    pub const fn shortfall(&self) -> Option<Money> {
        self.shortfall
    }

    /// When the capture was first shown to us.
    #[must_use]
    pub const fn captured_at(&self) -> Option<Timestamp> {
        self.captured_at
    }

    /// Why a person must look.
    #[must_use]
    pub const fn quarantine(&self) -> Option<QuarantineReason> {
        self.quarantine
    }

    /// Whether an unlock is paid for: the provider has shown the hold, it is wanted, and it ends late enough after
    /// `now` (by `policy.capture_margin` of the time of authorisation). With nothing to hold: as long as no end was
    /// decided.
    #[must_use]
    pub fn is_authorised(&self, now: Timestamp) -> bool {
        if self.quarantine.is_some() || self.desired != Desired::Hold {
            return false;
        }
        if self.limit.is_zero() {
            return true;
        }
        match self.stage() {
            Some(Stage::Held { use_before, .. }) => self.flight.is_none() && now < *use_before,
            None
            | Some(
                Stage::Open
                | Stage::AwaitingCustomer { .. }
                | Stage::Processing { .. }
                | Stage::Lapsed
                | Stage::Captured
                | Stage::Canceled { .. },
            ) => false,
        }
    }

    /// Whether the booking may forget about the money: an end was decided, it is reached, no call is in flight, no
    /// hold is open and every refund has ended. A quarantined payment is not settled.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let pending = self.refunds.iter().any(|refund| matches!(refund.state, RefundState::Pending { .. }));
        let ended = match self.stage() {
            None => self.closed,
            Some(Stage::Captured | Stage::Canceled { .. }) => true,
            Some(
                Stage::Open
                | Stage::AwaitingCustomer { .. }
                | Stage::Processing { .. }
                | Stage::Held { .. }
                | Stage::Lapsed,
            ) => false,
        };
        self.desired != Desired::Hold
            && self.quarantine.is_none()
            && self.flight.is_none()
            && ended
            && !pending
            && self.refund_due().is_zero()
    }

    pub(super) fn stage(&self) -> Option<&Stage> {
        self.intent.as_ref().map(|intent| &intent.stage)
    }

    pub(super) fn currency(&self) -> Currency {
        self.limit.currency()
    }

    pub(super) fn zero(&self) -> Money {
        Money::zero(self.currency())
    }

    /// What will be paid back without another call: succeeded and pending refunds.
    pub(super) fn refunds_covered(&self) -> Money {
        self.refund_sum(|state| !matches!(state, RefundState::Failed))
    }

    /// What must still be asked back for: a release pays everything back, a settlement what was taken beyond it.
    pub(super) fn refund_due(&self) -> Money {
        let total = match self.desired {
            Desired::Hold => self.refund_total,
            Desired::Settle { amount } => larger(self.refund_total, minus(self.captured, amount)),
            Desired::Release => self.captured,
        };
        minus(total, self.refunds_covered())
    }

    fn refund_sum(&self, counts: impl Fn(&RefundState) -> bool) -> Money {
        self.refunds
            .iter()
            .filter(|refund| counts(&refund.state))
            .fold(self.zero(), |sum, refund| plus(sum, refund.amount))
    }
}

/// `a - b`, at least nothing. Amounts that reach the state are all in the limit's currency.
pub(super) fn minus(a: Money, b: Money) -> Money {
    match a.sub(b) {
        Ok(difference) if difference.to_minor() > 0 => difference,
        Ok(_) | Err(_) => Money::zero(a.currency()),
    }
}

/// `a + b`; `a` when that does not fit.
pub(super) fn plus(a: Money, b: Money) -> Money {
    a.add(b).unwrap_or(a)
}

pub(super) fn smaller(a: Money, b: Money) -> Money {
    a.min(b).unwrap_or(a)
}

pub(super) fn larger(a: Money, b: Money) -> Money {
    a.max(b).unwrap_or(a)
}
