//! The two-phase payment of a booking: a hold before the ride, a capture after it, a void or a refund when there is
//! no ride to pay for.
//!
//! What the provider has shown is kept apart from what the booking wants (`Hold -> Settle | Release`), and every
//! decision ends with the one call, if any, that brings the first nearer to the second. The words are Stripe's
//! (`capture_method=manual`, <https://docs.stripe.com/payments/place-a-hold-on-a-payment-method>).
//!
//! ```
//! use rideplane_core::{Context, Machine, ids::BookingId, money::{Currency, Money}, policy::Policy, time::Timestamp};
//! use rideplane_core::payment::{Command, GatewayCall, Op, Payment, PaymentStatus};
//!
//! let policy = Policy::default();
//! let now = Timestamp::from_unix_seconds(1_700_000_000);
//! let cx = Context::new(now, 7, &policy);
//! let mut payment = Payment::new(BookingId::from_uuid(cx.uuid(0)), Money::from_minor(750, Currency::EUR));
//! for event in Payment::decide(&payment, &Command::Begin, &cx)? {
//!     payment = Payment::evolve(payment, &event);
//! }
//! let (call, id) = payment.due_call(now).ok_or("a call is due")?;
//! assert!(matches!(call, GatewayCall::CreateIntent { .. }));
//! assert_eq!((id.op, id.seq), (Op::Create, 1));
//! assert_eq!(payment.status(), PaymentStatus::Authorizing);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How a host drives it
//! Persist the events of a command, ask [`Payment::due_call`], make the call, tell its result as a [`Fact`] with
//! the returned [`CallId`], and repeat until nothing is due. Send [`Command::Tick`] at
//! [`next_deadline`](crate::Machine::next_deadline), then ask for the due call again. A webhook only triggers a
//! read, which is told as [`Fact::Fetched`].
//!
//! # The rules
//! - **Created unconfirmed, then confirmed.** No money is held before the intent's id is known and persisted, so a
//!   read can always tell what became of it. At most one intent is ever confirmed, so at most one hold stands.
//! - **One call in flight.** A call is persisted with its number before it is sent; `booking:op:number` is its key, and
//!   a number always means one request, byte for byte. A process that died in between sends the same again.
//! - **No answer is no failure.** After a time-out the outcome is unknown: the intent is read, and only what it shows
//!   moves the payment. When it shows no effect, the call is made again under a new number, because Stripe saves
//!   the answer to a key, a 500 included. A creation (nothing to read yet) and a refund (a new key could pay
//!   twice) are first asked for again under the same key.
//! - **A refusal is not believed before a read.** It often means that another call was faster: a void that lost
//!   against a capture leads to a refund in full, a capture that lost against a void to a shortfall.
//! - **Nothing goes backwards.** Open, waiting, held, captured or cancelled: an older snapshot changes nothing, and
//!   a decline that was shown before says nothing about a new attempt. Contradictions (amount, currency, booking,
//!   cancelled and captured) quarantine the payment for a person to look at; it then makes no calls.
//! - **Void beats refund.** A release cancels the intent, even when nothing is held, so that the customer's device
//!   can't confirm it later; only what was captured is refunded. A success that arrives late is voided.
//! - **A price above the hold** captures the whole hold and reports the rest as a shortfall; there is no increment.
//! - **The end of the hold** (`capture_before`) is announced `capture_margin` earlier with `PaymentExpiring`: the
//!   booking can settle then. There is no new authorisation. When it ends uncaptured the payment expires, the intent
//!   is cancelled, and a price that is named later is a shortfall.
//! - **A customer who does not finish authenticating** within `hold_max` is not waited for: the payment releases
//!   itself. The booking's own deadline usually comes first.

mod decide;
mod effects;
mod event;
mod evolve;
mod facts;
mod observe;
mod refunds;
mod state;
#[cfg(test)]
mod tests;

pub use decide::Rejection;
pub use effects::{DeadlineReason, GatewayCall};
pub use event::{Event, ReleaseReason, Request};
pub use facts::{
    CallId, ClientSecret, Command, Decline, DeclineClass, Fact, IntentSnapshot, IntentStatus, NextAction, Op,
    RefundSnapshot, RefundStatus,
};
pub use state::{Desired, Failure, Payment, PaymentStatus, QuarantineReason};

use crate::machine::{Context, Machine};
use crate::time::Timestamp;

impl Payment {
    /// Judges a command and applies what it leads to, for a caller that would fold the events at once. A command that
    /// is refused changes nothing.
    pub(crate) fn advance(&mut self, command: &Command, cx: &Context<'_>) -> Result<Vec<Event>, Rejection> {
        decide::advance(self, command, cx)
    }

    /// The same for something that the gateway said, which is never refused.
    pub(crate) fn learn(&mut self, fact: &Fact, cx: &Context<'_>) -> Vec<Event> {
        decide::learn(self, fact, cx)
    }
}

impl Machine for Payment {
    type State = Self;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;
    type DeadlineReason = DeadlineReason;

    fn decide(state: &Self, command: &Command, cx: &Context<'_>) -> Result<Vec<Event>, Rejection> {
        state.clone().advance(command, cx)
    }

    fn apply(state: &mut Self, event: &Event) {
        evolve::apply(state, event);
    }

    fn next_deadline(state: &Self) -> Option<(Timestamp, DeadlineReason)> {
        effects::next_deadline(state)
    }
}
