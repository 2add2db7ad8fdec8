//! What happened.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::facts::{ClientSecret, Decline, NextAction, Op};
use super::state::{Failure, QuarantineReason};
use crate::ids::{PaymentIntentId, PaymentMethodId, RefundId};
use crate::money::Money;
use crate::time::Timestamp;

/// The frame of a call that was decided on: persisted before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The number of the call within the payment; with the kind of call it makes the key.
    pub seq: u32,
    /// How often the same thing was tried before without a settled outcome.
    pub tries: u32,
    /// When it was decided.
    pub at: Timestamp,
    /// When its outcome counts as unknown.
    pub retry_at: Timestamp,
}

/// Why no money is wanted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseReason {
    /// The booking asked for it.
    Requested,
    /// The customer did not finish authenticating in time.
    CustomerDeadline,
}

/// What happened to a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields say what their types and names say")]
pub enum Event {
    /// The intent is to be created.
    PaymentIntentRequested { request: Request },
    /// The provider knows the intent; it holds nothing yet.
    PaymentIntentCreated { intent: PaymentIntentId, client_secret: Option<ClientSecret> },
    /// The customer chose a method; it is confirmed as soon as there is an intent.
    PaymentMethodChosen { method: PaymentMethodId },
    /// The intent is to be confirmed.
    PaymentConfirmationRequested { request: Request, method: PaymentMethodId },
    /// The customer must authenticate before `deadline`.
    PaymentActionRequired { action: Option<NextAction>, deadline: Timestamp, look_at: Timestamp },
    /// The provider takes its time with the attempt.
    PaymentProcessing { look_at: Timestamp },
    /// The money is held: capturable before `capture_before`, good for an unlock before `use_before`.
    PaymentAuthorized { amount: Money, capture_before: Timestamp, use_before: Timestamp },
    /// The attempt to hold money failed; nothing is held.
    PaymentFailed { failure: Failure, decline: Option<Decline> },
    /// A look-up of a waiting intent showed nothing new; the next is at `look_at`.
    PaymentLookedUp { tries: u32, look_at: Timestamp },
    /// The final price was named.
    PaymentSettlementDecided { amount: Money },
    /// No money is wanted any more.
    PaymentReleaseDecided { reason: ReleaseReason },
    /// The hold is to be captured.
    PaymentCaptureRequested { request: Request, amount: Money },
    /// The intent is to be cancelled, which voids its hold.
    PaymentReleaseRequested { request: Request },
    /// Nobody knows what became of the call; it is looked up at `retry_at`. `seq` is the number under which a
    /// creation is asked for next.
    PaymentOutcomeUnknown { op: Op, seq: u32, tries: u32, retry_at: Timestamp },
    /// The provider refused the call; the intent is read again at `retry_at` before anything is concluded.
    PaymentCallRefused { op: Op, seq: u32, code: SmolStr, tries: u32, retry_at: Timestamp },
    /// The call was not carried out; it is made at `due_at`.
    PaymentCallDeferred { op: Op, seq: u32, tries: u32, due_at: Timestamp },
    /// The wait is over: the call is due, its outcome unknown from `retry_at`.
    PaymentCallResumed { op: Op, seq: u32, retry_at: Timestamp },
    /// The call is not wanted any more.
    PaymentCallDropped { op: Op, seq: u32 },
    /// The money was captured.
    PaymentCompleted { amount: Money, at: Timestamp },
    /// This much of the hold was given back; 0 when nothing had been held.
    PaymentReleased { amount: Money },
    /// The hold ends at `capture_before`, soon: whoever rides on it should come to an end.
    PaymentExpiring { capture_before: Timestamp },
    /// The hold ended without a capture.
    PaymentExpired { amount: Money },
    /// This much of the final price could not be captured.
    PaymentShortfall { amount: Money },
    /// The customer shall have got `total` back.
    RefundDecided { total: Money },
    /// A refund is to be made.
    RefundRequested { request: Request, amount: Money },
    /// The provider took the refund on.
    RefundPending { seq: u32, refund: RefundId, amount: Money, look_at: Timestamp },
    /// A look-up of a pending refund showed nothing new.
    RefundLookedUp { seq: u32, tries: u32, look_at: Timestamp },
    /// The money was paid back.
    RefundCompleted { seq: u32, refund: Option<RefundId>, amount: Money },
    /// The refund failed, possibly after it had succeeded: the money is ours again, and still owed.
    RefundFailed { seq: u32, refund: Option<RefundId>, amount: Money, code: SmolStr },
    /// What the provider shows contradicts what we know: a person must look.
    PaymentQuarantined { reason: QuarantineReason },
}

impl Event {
    /// The name of the event, as published.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PaymentIntentRequested { .. } => "PaymentIntentRequested",
            Self::PaymentIntentCreated { .. } => "PaymentIntentCreated",
            Self::PaymentMethodChosen { .. } => "PaymentMethodChosen",
            Self::PaymentConfirmationRequested { .. } => "PaymentConfirmationRequested",
            Self::PaymentActionRequired { .. } => "PaymentActionRequired",
            Self::PaymentProcessing { .. } => "PaymentProcessing",
            Self::PaymentAuthorized { .. } => "PaymentAuthorized",
            Self::PaymentFailed { .. } => "PaymentFailed",
            Self::PaymentLookedUp { .. } => "PaymentLookedUp",
            Self::PaymentSettlementDecided { .. } => "PaymentSettlementDecided",
            Self::PaymentReleaseDecided { .. } => "PaymentReleaseDecided",
            Self::PaymentCaptureRequested { .. } => "PaymentCaptureRequested",
            Self::PaymentReleaseRequested { .. } => "PaymentReleaseRequested",
            Self::PaymentOutcomeUnknown { .. } => "PaymentOutcomeUnknown",
            Self::PaymentCallRefused { .. } => "PaymentCallRefused",
            Self::PaymentCallDeferred { .. } => "PaymentCallDeferred",
            Self::PaymentCallResumed { .. } => "PaymentCallResumed",
            Self::PaymentCallDropped { .. } => "PaymentCallDropped",
            Self::PaymentCompleted { .. } => "PaymentCompleted",
            Self::PaymentReleased { .. } => "PaymentReleased",
            Self::PaymentExpiring { .. } => "PaymentExpiring",
            Self::PaymentExpired { .. } => "PaymentExpired",
            Self::PaymentShortfall { .. } => "PaymentShortfall",
            Self::RefundDecided { .. } => "RefundDecided",
            Self::RefundRequested { .. } => "RefundRequested",
            Self::RefundPending { .. } => "RefundPending",
            Self::RefundLookedUp { .. } => "RefundLookedUp",
            Self::RefundCompleted { .. } => "RefundCompleted",
            Self::RefundFailed { .. } => "RefundFailed",
            Self::PaymentQuarantined { .. } => "PaymentQuarantined",
        }
    }
}
