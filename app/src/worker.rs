//! Time as a command: whatever has a deadline is told when it has passed.

use futures_util::stream::{self, StreamExt as _};
use rideplane_core::booking::{Command, journey};
use rideplane_core::fleet;
use rideplane_core::ids::{BookingId, VehicleId};
use rideplane_ports::AggregateKey;

use crate::{App, AppError};

/// What one visit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worked {
    /// Aggregates that were ticked.
    pub ticked: usize,
    /// Vehicles that were found silent.
    pub went_offline: usize,
    /// Aggregates whose tick failed; they stay due.
    pub failed: usize,
}

impl App {
    /// Ticks everything whose deadline has passed, at most `limit` aggregates, `parallel` at a time, and marks silent
    /// vehicles as offline. Any number of workers may run: the versions decide who was first, and effects carried out
    /// twice are one.
    ///
    /// # Errors
    /// When the store can't say what is due.
    pub async fn run_due(&self, limit: usize, parallel: usize) -> Result<Worked, AppError> {
        let mut worked = self.run_deadlines(limit, parallel).await?;
        let silent_since = self.now().minus(self.settings.policy.heartbeat_timeout);
        let silent = self.ports.store.silent_vehicles(silent_since, limit).await?;
        worked.went_offline = silent.len();
        let marks = silent.into_iter().map(|id| async move { self.check_presence(&id).await });
        worked.failed += self.all(marks, parallel).await;
        Ok(worked)
    }

    /// The deadlines of [`run_due`](Self::run_due) alone.
    ///
    /// # Errors
    /// When the store can't say what is due.
    pub async fn run_deadlines(&self, limit: usize, parallel: usize) -> Result<Worked, AppError> {
        let due = self.ports.store.due(self.now(), limit).await?;
        let mut worked = Worked { ticked: due.len(), ..Worked::default() };
        let ticks = due.into_iter().map(|due| async move {
            match due.key {
                AggregateKey::Booking(id) => self.tick_booking(id).await,
                AggregateKey::Vehicle(id) => self.command_vehicle(&id, &fleet::Command::Tick).await.map(drop),
            }
        });
        worked.failed += self.all(ticks, parallel).await;
        Ok(worked)
    }

    /// Marks a vehicle as offline if it has been silent for too long; the booking that has it follows.
    ///
    /// # Errors
    /// When the store is down, or the vehicle does not exist.
    pub async fn check_presence(&self, id: &VehicleId) -> Result<(), AppError> {
        let silent_since = self.now().minus(self.settings.policy.heartbeat_timeout);
        let last_reported = match self.ports.store.telemetry(id).await? {
            Some(telemetry) if telemetry.last_reported > silent_since => return Ok(()),
            Some(telemetry) => telemetry.last_reported,
            None => silent_since,
        };
        self.command_vehicle(id, &fleet::Command::WentOffline { last_reported }).await.map(drop)
    }

    /// Tells a booking the time and makes the calls that are due.
    ///
    /// # Errors
    /// When the store is down, or the booking does not exist.
    pub async fn tick_booking(&self, id: BookingId) -> Result<(), AppError> {
        let pair = self.load_pair(id).await?.ok_or(AppError::NotFound)?;
        let pair = self
            .execute(pair, |pair, cx| {
                journey::decide(&pair.vehicle.state, &pair.booking.state, &Command::Tick, cx)
            })
            .await?;
        let pair = self.settle_payment(pair).await?;
        // A command that is still out goes again: the line promises at least once, the vehicle acts at most once.
        if let Some(claims) = pair.booking.state.effects(self.now()).command {
            drop(self.deliver(&claims).await);
        }
        Ok(())
    }

    async fn all<F: Future<Output = Result<(), AppError>>>(
        &self,
        futures: impl Iterator<Item = F>,
        parallel: usize,
    ) -> usize {
        stream::iter(futures)
            .buffer_unordered(parallel.max(1))
            .fold(0, |failed, result| async move { failed + usize::from(result.is_err()) })
            .await
    }
}
