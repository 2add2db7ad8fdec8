//! Messages that go nowhere: into the log, or into a list.

use async_trait::async_trait;
use parking_lot::Mutex;
use rideplane_ports::{Channel, Notification, NotificationKind, Notifier, PortError};

/// Writes each message into the log: its id, channel, kind and booking, never contact data.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogNotifier;

/// Keeps each message, for tests to look at.
#[derive(Debug, Default)]
pub struct RecordingNotifier {
    sent: Mutex<Vec<Notification>>,
}

impl RecordingNotifier {
    /// One that has sent nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was sent, in order, each id once.
    #[must_use]
    pub fn sent(&self) -> Vec<Notification> {
        self.sent.lock().clone()
    }
}

#[async_trait]
impl Notifier for LogNotifier {
    async fn send(&self, notification: &Notification) -> Result<(), PortError> {
        tracing::info!(
            id = %notification.id,
            channel = channel(notification.channel),
            kind = kind(&notification.kind),
            booking_id = %notification.booking_id,
            "notification"
        );
        Ok(())
    }
}

#[async_trait]
impl Notifier for RecordingNotifier {
    async fn send(&self, notification: &Notification) -> Result<(), PortError> {
        let mut sent = self.sent.lock();
        if sent.iter().all(|before| before.id != notification.id) {
            sent.push(notification.clone());
        }
        Ok(())
    }
}

const fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::Push => "push",
        Channel::Email => "email",
        Channel::Sms => "sms",
    }
}

const fn kind(kind: &NotificationKind) -> &'static str {
    match kind {
        NotificationKind::BookingConfirmed { .. } => "booking_confirmed",
        NotificationKind::BookingEnded { .. } => "booking_ended",
        NotificationKind::VehicleOffline => "vehicle_offline",
        NotificationKind::Receipt { .. } => "receipt",
    }
}
