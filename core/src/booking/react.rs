//! What follows from the state of the children: the process manager's rules.

use super::Rejection;
use super::machine::Steps;
use crate::payment::{self, PaymentStatus};
use crate::reservation::{self, Phase, ReleaseReason};

/// Each consequence moves the booking towards its end, and no chain of them is longer than this.
const LONGEST_CHAIN: usize = 8;

/// Applies consequences until there is none left.
pub(super) fn react(steps: &mut Steps<'_>) -> Result<(), Rejection> {
    for _ in 0..LONGEST_CHAIN {
        let before = steps.events.len();
        consequence(steps)?;
        if steps.events.len() == before {
            break;
        }
    }
    Ok(())
}

fn consequence(steps: &mut Steps<'_>) -> Result<(), Rejection> {
    match steps.booking.reservation.phase {
        Phase::Held { .. } => held(steps),
        Phase::Confirmed { .. } => confirmed(steps),
        // A ride goes on whatever the money does; what can't be captured is a shortfall.
        Phase::InUse => Ok(()),
        Phase::Closed => match steps.booking.trip_end().map(|end| end.fare.total) {
            Some(amount) => steps.payment(&payment::Command::Settle { amount }),
            None => Ok(()),
        },
        Phase::Released { reason, .. } => {
            let may_retry =
                reason == ReleaseReason::PaymentDeclined && steps.booking.is_reclaimable(steps.cx.now);
            if may_retry { Ok(()) } else { steps.payment(&payment::Command::Release) }
        }
    }
}

fn held(steps: &mut Steps<'_>) -> Result<(), Rejection> {
    match steps.booking.payment.status() {
        PaymentStatus::RequiresAction => steps.reservation(&reservation::Command::Extend),
        PaymentStatus::Declined => release(steps, ReleaseReason::PaymentDeclined),
        PaymentStatus::Expired
        | PaymentStatus::Quarantined
        | PaymentStatus::Releasing
        | PaymentStatus::Released => release(steps, ReleaseReason::PaymentLost),
        PaymentStatus::None
        | PaymentStatus::Authorizing
        | PaymentStatus::Authorized
        | PaymentStatus::Capturing
        | PaymentStatus::Captured
        | PaymentStatus::Unknown => {
            if steps.booking.payment.is_authorised(steps.cx.now) {
                let start_time = steps.booking.start_time;
                return steps.reservation(&reservation::Command::Confirm { start_time });
            }
            Ok(())
        }
    }
}

fn confirmed(steps: &mut Steps<'_>) -> Result<(), Rejection> {
    match steps.booking.payment.status() {
        PaymentStatus::Expired
        | PaymentStatus::Quarantined
        | PaymentStatus::Declined
        | PaymentStatus::Releasing
        | PaymentStatus::Released => release(steps, ReleaseReason::PaymentLost),
        PaymentStatus::None
        | PaymentStatus::Authorizing
        | PaymentStatus::RequiresAction
        | PaymentStatus::Authorized
        | PaymentStatus::Capturing
        | PaymentStatus::Captured
        | PaymentStatus::Unknown => Ok(()),
    }
}

fn release(steps: &mut Steps<'_>, reason: ReleaseReason) -> Result<(), Rejection> {
    steps.reservation(&reservation::Command::Release(reason))
}
