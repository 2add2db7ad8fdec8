//! From the bus to the riders.

use rideplane_core::booking::Booking;
use rideplane_core::ids::BookingId;
use rideplane_ports::{AggregateKey, Channel, Envelope, Notification, NotificationKind, PortError, Profile};

use crate::{App, AppError};

/// The consumer's name on the bus and in the inbox.
pub const NOTIFIER: &str = "notifier";

impl App {
    /// Tells the rider what an event means for them, over every channel they gave. Returns how many messages went out.
    /// The event is remembered as handled once all of them are handed over; before that it comes again, and a message
    /// may be repeated under its id.
    ///
    /// # Errors
    /// When the store or a channel is down: the event must come again.
    pub async fn notify(&self, envelope: &Envelope) -> Result<usize, AppError> {
        let AggregateKey::Booking(id) = envelope.aggregate else {
            return Ok(0);
        };
        if !speaks(&envelope.name) {
            return Ok(0);
        }
        let event_id = envelope.id();
        if self.ports.inbox.is_handled(NOTIFIER, &event_id).await? {
            return Ok(0);
        }
        let sent = self.tell(id, envelope).await?;
        self.ports.inbox.mark_handled(NOTIFIER, &event_id, self.now()).await?;
        Ok(sent)
    }

    async fn tell(&self, id: BookingId, envelope: &Envelope) -> Result<usize, AppError> {
        let Some(booking) = self.ports.store.booking(&id).await? else {
            return Ok(0);
        };
        let booking = booking.state;
        let Some(kind) = kind(&booking, &envelope.name) else {
            return Ok(0);
        };
        let profile = self.ports.store.profile(&booking.user_id).await?;
        let profile = profile.unwrap_or_else(|| Profile::new(booking.user_id.clone()));
        let mut sent = 0;
        for channel in channels(&profile, &kind) {
            let notification = Notification {
                id: format!("{}:{channel:?}", envelope.id()).to_lowercase(),
                channel,
                to: profile.clone(),
                booking_id: id,
                vehicle_id: booking.vehicle_id.clone(),
                kind: kind.clone(),
            };
            self.ports
                .notifier
                .send(&notification)
                .await
                .map_err(|error: PortError| AppError::from(error))?;
            sent += 1;
        }
        Ok(sent)
    }
}

fn speaks(name: &str) -> bool {
    [
        "BookingConfirmed",
        "BookingCancelled",
        "BookingExpired",
        "BookingVehicleWentOffline",
        "PaymentCompleted",
    ]
    .contains(&name)
}

/// What to say now. A message about a state that is over already is not sent.
fn kind(booking: &Booking, name: &str) -> Option<NotificationKind> {
    match name {
        "BookingConfirmed" => Some(NotificationKind::BookingConfirmed {
            unlock_expires_at: booking.unlock_expires_at()?,
            authorized: booking.payment.authorized(),
        }),
        "BookingCancelled" | "BookingExpired" => {
            Some(NotificationKind::BookingEnded { reason: booking.status_reason()? })
        }
        "BookingVehicleWentOffline" => {
            booking.reservation.vehicle_offline_since?;
            Some(NotificationKind::VehicleOffline)
        }
        "PaymentCompleted" => Some(NotificationKind::Receipt { captured: booking.payment.captured() }),
        _ => None,
    }
}

/// Push always: the app is where the rider is. E-mail for what they keep, where they gave an address.
fn channels(profile: &Profile, kind: &NotificationKind) -> Vec<Channel> {
    let mut channels = vec![Channel::Push];
    let keeps = match kind {
        NotificationKind::BookingConfirmed { .. } | NotificationKind::Receipt { .. } => true,
        NotificationKind::BookingEnded { .. } | NotificationKind::VehicleOffline => false,
    };
    if keeps && profile.email.is_some() {
        channels.push(Channel::Email);
    }
    channels
}
