//! Reading and cancelling bookings.

use rideplane_core::booking::{Command, Status, journey};
use rideplane_core::ids::{BookingId, UserId};
use rideplane_core::reservation::ReleaseReason;
use rideplane_ports::BookingFilter;

use crate::view::{BookingView, BookingsView};
use crate::{App, AppError};

/// Bookings on a page when no limit is named.
const LIMIT: u32 = 20;
/// Most bookings on a page.
const LIMIT_MAX: u32 = 100;

/// Which bookings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListBookings {
    /// Only in this status.
    pub status: Option<Status>,
    /// Where the page before ended.
    pub cursor: Option<BookingId>,
    /// How many.
    pub limit: Option<u32>,
}

impl App {
    /// The user's booking.
    ///
    /// # Errors
    /// [`AppError::NotFound`] also when it is somebody else's.
    pub async fn booking(&self, user: &UserId, id: BookingId) -> Result<BookingView, AppError> {
        let booking = self.ports.store.booking_of(user, &id).await?.ok_or(AppError::NotFound)?;
        Ok(BookingView::new(&booking))
    }

    /// The user's bookings, newest first.
    ///
    /// # Errors
    /// [`AppError::Invalid`] on a limit out of range.
    pub async fn bookings(&self, user: &UserId, list: &ListBookings) -> Result<BookingsView, AppError> {
        let limit = list.limit.unwrap_or(LIMIT);
        if limit == 0 || limit > LIMIT_MAX {
            return Err(AppError::Invalid(format!("limit {limit} is out of range: 1 to {LIMIT_MAX}")));
        }
        let filter = BookingFilter { status: list.status, before: list.cursor, limit };
        let page = self.ports.store.bookings_of(user, &filter).await?;
        let bookings: Vec<BookingView> = page.items.iter().map(BookingView::new).collect();
        let next_cursor = bookings.last().filter(|_| page.more).map(|booking| booking.booking_id);
        Ok(BookingsView { bookings, next_cursor })
    }

    /// Ends the user's booking without a ride and gives the hold on the card back.
    ///
    /// # Errors
    /// [`AppError::WrongState`] once a trip has begun, or while the vehicle may be opening.
    pub async fn cancel(&self, user: &UserId, id: BookingId) -> Result<BookingView, AppError> {
        let booking = self.ports.store.booking_of(user, &id).await?.ok_or(AppError::NotFound)?;
        let pair = self.with_vehicle(booking).await?;
        let command = Command::Cancel(ReleaseReason::CancelledByRider);
        let pair = self
            .execute(pair, |pair, cx| journey::decide(&pair.vehicle.state, &pair.booking.state, &command, cx))
            .await?;
        let pair = self.settle_payment(pair).await?;
        Ok(BookingView::new(&pair.booking))
    }
}
