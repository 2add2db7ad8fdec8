//! Paying for a booking, and hearing from the provider.

use rideplane_core::booking::{Status, journey};
use rideplane_core::ids::{BookingId, PaymentIntentId, PaymentMethodId, UserId};
use rideplane_core::payment::{Fact, PaymentStatus};

use crate::execute::Pair;
use crate::view::BookingView;
use crate::{App, AppError};

/// The payment was carried as far as it goes now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid(pub BookingView);

impl App {
    /// Pays with `method`, or with the profile's default. A repeat has the same outcome and never a second charge.
    /// After a declined payment it claims the same vehicle again.
    ///
    /// # Errors
    /// As the contract of `POST /bookings/{id}/confirm-payment`.
    pub async fn confirm_payment(
        &self,
        user: &UserId,
        id: BookingId,
        method: Option<PaymentMethodId>,
    ) -> Result<Paid, AppError> {
        let booking = self.ports.store.booking_of(user, &id).await?.ok_or(AppError::NotFound)?;
        let mut pair = self.with_vehicle(booking).await?;
        if pair.booking.state.payment.status() == PaymentStatus::RequiresAction {
            // The customer may have finished at the provider in the meantime.
            pair = self.look_up(pair).await?;
            pair = self.settle_payment(pair).await?;
            if pair.booking.state.payment.status() == PaymentStatus::RequiresAction {
                return Ok(Paid(BookingView::new(&pair.booking)));
            }
            return self.paid(pair).await;
        }
        let method = self.method(user, method).await?;
        let vehicle_id = pair.booking.state.vehicle_id.clone();
        let decided = self
            .execute(pair, |pair, cx| {
                journey::confirm_payment(&pair.vehicle.state, &pair.booking.state, &method, cx)
            })
            .await;
        let pair = match decided {
            Ok(pair) => pair,
            Err(AppError::VehicleUnavailable { why, .. }) => {
                let alternatives = self.alternatives(&vehicle_id).await;
                let vehicle_id = vehicle_id.to_string();
                return Err(AppError::VehicleUnavailable { vehicle_id, why, alternatives });
            }
            Err(error) => return Err(error),
        };
        let pair = self.settle_payment(pair).await?;
        self.paid(pair).await
    }

    /// Asks the provider how a payment stands: a webhook says no more than that it is time to ask. Unknown bookings are
    /// none of ours.
    ///
    /// # Errors
    /// When the store is down.
    pub async fn payment_hint(&self, booking: BookingId) -> Result<(), AppError> {
        if let Some(pair) = self.load_pair(booking).await? {
            let pair = self.look_up(pair).await?;
            self.settle_payment(pair).await?;
        }
        Ok(())
    }

    /// The booking that an intent belongs to, by the provider's own word.
    ///
    /// # Errors
    /// When the provider does not answer.
    pub async fn booking_of_intent(&self, intent: &PaymentIntentId) -> Result<Option<BookingId>, AppError> {
        Ok(self.ports.gateway.fetch_intent(intent).await?.reference)
    }

    async fn look_up(&self, pair: Pair) -> Result<Pair, AppError> {
        let Some(intent) = pair.booking.state.payment.intent().cloned() else {
            return Ok(pair);
        };
        match self.ports.gateway.fetch_intent(&intent).await {
            Ok(snapshot) => self.observe(pair, Fact::Fetched(snapshot)).await,
            // Nothing new is known; the worker goes on asking.
            Err(_) => Ok(pair),
        }
    }

    async fn method(
        &self,
        user: &UserId,
        method: Option<PaymentMethodId>,
    ) -> Result<PaymentMethodId, AppError> {
        if let Some(method) = method {
            return Ok(method);
        }
        let profile = self.ports.store.profile(user).await?;
        profile.and_then(|profile| profile.default_payment_method_id).ok_or_else(|| {
            let text =
                "payment_method_id is missing and the profile has no default_payment_method_id: name one";
            AppError::Invalid(text.to_owned())
        })
    }

    async fn paid(&self, pair: Pair) -> Result<Paid, AppError> {
        let booking = &pair.booking.state;
        let view = BookingView::new(&pair.booking);
        match booking.status() {
            Status::Confirmed | Status::Active | Status::Ended | Status::Completed => Ok(Paid(view)),
            Status::PendingPayment => match booking.payment.status() {
                PaymentStatus::RequiresAction => Ok(Paid(view)),
                PaymentStatus::None
                | PaymentStatus::Authorizing
                | PaymentStatus::Authorized
                | PaymentStatus::Capturing
                | PaymentStatus::Captured
                | PaymentStatus::Releasing
                | PaymentStatus::Released
                | PaymentStatus::Declined
                | PaymentStatus::Unknown
                | PaymentStatus::Expired
                | PaymentStatus::Quarantined => Err(AppError::PaymentProviderUnavailable),
            },
            status @ (Status::Cancelled | Status::Expired) => match booking.payment.failure() {
                Some(failure) => Err(AppError::PaymentFailed {
                    reason: failure.reason.to_string(),
                    retryable: failure.retryable && booking.is_reclaimable(self.now()),
                }),
                None => {
                    Err(AppError::WrongState(format!("the booking is {}: it can't be paid", status.as_str())))
                }
            },
        }
    }
}
