//! What the machine is told: commands of the booking and facts of the gateway.

use core::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::ids::{BookingId, PaymentIntentId, PaymentMethodId, RefundId};
use crate::money::Money;
use crate::time::Timestamp;

/// What is asked of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "a command lives for one decision")]
pub enum Command {
    /// Create the intent, unconfirmed: no money is held by it yet.
    Begin,
    /// The customer confirms with a method. A repeat with the same method changes nothing; after a retryable
    /// decline it is a new attempt on the same intent.
    Confirm {
        /// The method to charge.
        method: PaymentMethodId,
    },
    /// The final price is known: take it. Nothing at all (0) is a release.
    Settle {
        /// The final price, which may exceed the hold; what exceeds it becomes a shortfall.
        amount: Money,
    },
    /// No money is wanted: void what is held, refund what was taken. Legal in every state, also after
    /// [`Command::Settle`], and it never goes back.
    Release,
    /// Pay back. The amount is the *total* that the customer shall have got back, so that a repeat pays nothing
    /// twice.
    Refund {
        /// The total to pay back, at most what was captured.
        amount: Money,
    },
    /// Something that the gateway said.
    Observe(Fact),
    /// A deadline of the machine has passed.
    Tick,
}

/// Something the gateway said, or failed to say, about one of our calls. Facts may arrive late, twice and in any
/// order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The answer to one of our calls on the intent (a decline of the card is an answer, too).
    Answer {
        /// Which call.
        op: Op,
        /// Which of our calls, as [`CallId`] named it.
        seq: u32,
        /// The intent as the answer shows it.
        snapshot: IntentSnapshot,
    },
    /// The answer to a read of the intent. A webhook only ever triggers such a read. It is to be told when it is
    /// read: one that is older than half an hour must be dropped.
    Fetched(IntentSnapshot),
    /// The answer to a refund call.
    RefundAnswer {
        /// Which of our calls.
        seq: u32,
        /// The refund as the answer shows it.
        snapshot: RefundSnapshot,
    },
    /// The answer to a read of a refund.
    RefundFetched(RefundSnapshot),
    /// Definite: the provider did not do it (a 4xx that is no decline).
    Refused {
        /// Which call.
        op: Op,
        /// Which of our calls.
        seq: u32,
        /// The provider's short code, such as `payment_intent_unexpected_state`.
        code: SmolStr,
    },
    /// Nobody knows: a time-out, a lost connection, a 5xx.
    Unknown {
        /// Which call.
        op: Op,
        /// Which of our calls.
        seq: u32,
    },
    /// Known not to have been carried out: connection refused, 429 (which Stripe answers before its idempotency
    /// layer), an open breaker.
    NotSent {
        /// Which call.
        op: Op,
        /// Which of our calls.
        seq: u32,
    },
}

/// A kind of gateway call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Create the intent, unconfirmed.
    Create,
    /// Confirm the intent with a method.
    Confirm,
    /// Take money out of the hold.
    Capture,
    /// Cancel the intent, which voids the hold.
    Cancel,
    /// Pay captured money back.
    Refund,
    /// Read; changes nothing at the provider.
    Fetch,
}

impl Op {
    /// As it stands in a key.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Confirm => "confirm",
            Self::Capture => "capture",
            Self::Cancel => "cancel",
            Self::Refund => "refund",
            Self::Fetch => "fetch",
        }
    }
}

/// Names one of our calls, so that its result can be told as a [`Fact`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallId {
    /// The kind of call.
    pub op: Op,
    /// Its number within the payment.
    pub seq: u32,
}

/// The secret with which the customer's device talks to the provider about this one intent
/// (Stripe `client_secret`). It is for the customer alone: `Debug` hides it, and it does not belong in a published
/// event.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientSecret(SmolStr);

impl ClientSecret {
    /// Takes the provider's text.
    #[must_use]
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(SmolStr::new(text))
    }

    /// The text, to be given to the customer.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(..)")
    }
}

/// An intent as the provider showed it once (Stripe `PaymentIntent` with its `latest_charge`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentSnapshot {
    /// Stripe `id`.
    pub intent: PaymentIntentId,
    /// Stripe `client_secret`.
    pub client_secret: Option<ClientSecret>,
    /// Stripe `status`.
    pub status: IntentStatus,
    /// Stripe `amount`: what the intent was created for.
    pub amount: Money,
    /// Stripe `amount_capturable`: what the hold still covers.
    pub amount_capturable: Money,
    /// Stripe `amount_received`: what was captured.
    pub amount_received: Money,
    /// Stripe `latest_charge.amount_refunded`, pending refunds included; `None` when the provider does not say.
    pub amount_refunded: Option<Money>,
    /// Stripe `latest_charge.payment_method_details.card.capture_before`.
    pub capture_before: Option<Timestamp>,
    /// Stripe `next_action`.
    pub next_action: Option<NextAction>,
    /// Stripe `last_payment_error`.
    pub decline: Option<Decline>,
    /// The booking that the intent's metadata names.
    pub reference: Option<BookingId>,
}

/// The status of an intent, in Stripe's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentStatus {
    /// No usable method: not confirmed yet, or the last attempt failed.
    RequiresPaymentMethod,
    /// A method is attached, the confirmation is to come.
    RequiresConfirmation,
    /// The customer must authenticate (3-D Secure).
    RequiresAction,
    /// The provider is still at it.
    Processing,
    /// The money is held and can be captured.
    RequiresCapture,
    /// The money is captured.
    Succeeded,
    /// Nothing is held any more.
    Canceled,
    /// A status this build does not know: kept, and concluded nothing from.
    Other(SmolStr),
}

/// What the customer must do next (Stripe `next_action`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextAction {
    /// Stripe `next_action.type`: `redirect_to_url` or `use_stripe_sdk`.
    pub kind: SmolStr,
    /// Where to send the customer, when it is a redirect.
    pub url: Option<String>,
}

/// A failed attempt to hold money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decline {
    /// Whatever tells this attempt from the others (Stripe `last_payment_error.charge`).
    pub charge: Option<SmolStr>,
    /// Stripe `decline_code`, else `code`.
    pub code: SmolStr,
    /// What may be done about it.
    pub class: DeclineClass,
}

/// What may be done about a decline (Stripe `decline_code` and `advice_code`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclineClass {
    /// Another try or another card may pass (`insufficient_funds`, `try_again_later`).
    Retryable,
    /// The customer did not, or must first, authenticate.
    AuthenticationRequired,
    /// Never again (`lost_card`, `stolen_card`, `fraudulent`); the customer is told no more than "declined".
    HardStop,
}

/// A refund as the provider showed it once (Stripe `Refund`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundSnapshot {
    /// Stripe `id`.
    pub refund: RefundId,
    /// Stripe `payment_intent`.
    pub intent: Option<PaymentIntentId>,
    /// Stripe `amount`.
    pub amount: Money,
    /// Stripe `status`.
    pub status: RefundStatus,
}

/// The status of a refund, in Stripe's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// Under way.
    Pending,
    /// Waits for the customer.
    RequiresAction,
    /// Paid back.
    Succeeded,
    /// Came back; this can follow a success.
    Failed,
    /// Withdrawn.
    Canceled,
    /// A status this build does not know: taken as pending.
    Other(SmolStr),
}
