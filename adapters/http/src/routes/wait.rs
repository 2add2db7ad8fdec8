//! Waiting for a vehicle's signed answer.

use std::time::Duration;

use rideplane_app::view::BookingView;
use rideplane_app::{App, AppError, RideCommand, Sent};
use rideplane_core::ids::{CommandId, UserId};
use tokio::time::{Instant, sleep_until, timeout_at};

/// How often the store is asked, for answers that another process hears.
const POLL: Duration = Duration::from_millis(250);

/// How a wait for an unlock ended.
pub(super) enum Unlocked {
    /// The vehicle opened.
    Yes(Box<BookingView>),
    /// Not known yet.
    Pending(CommandId),
}

/// Waits until the vehicle has opened, refused, or `wait` is over.
pub(super) async fn unlocked(
    app: &App,
    user: &UserId,
    sent: Sent,
    wait: Duration,
) -> Result<Unlocked, AppError> {
    let mut command = match sent {
        Sent::Already(booking) => return Ok(Unlocked::Yes(booking)),
        Sent::Pending(command) => command,
    };
    let mut turns = Turns::new(wait);
    loop {
        let last = turns.next(&mut command).await;
        if let Some(booking) = app.unlock_result(user, &command).await? {
            return Ok(Unlocked::Yes(Box::new(booking)));
        }
        if last {
            return Ok(Unlocked::Pending(command.command_id));
        }
    }
}

/// Waits until the vehicle has locked, refused, or `wait` is over.
pub(super) async fn ended(
    app: &App,
    user: &UserId,
    sent: Sent,
    wait: Duration,
) -> Result<BookingView, AppError> {
    let mut command = match sent {
        Sent::Already(booking) => return Ok(*booking),
        Sent::Pending(command) => command,
    };
    let mut turns = Turns::new(wait);
    loop {
        let last = turns.next(&mut command).await;
        match app.end_trip_result(user, &command).await {
            // "Not yet" and "no" look alike from outside this process; only its own ticket tells them apart.
            Err(AppError::LockFailed(_)) if !last => {}
            result => return result,
        }
    }
}

/// The instants at which to look at the booking.
struct Turns {
    end: Instant,
    ticket_lost: bool,
}

impl Turns {
    fn new(wait: Duration) -> Self {
        Self { end: Instant::now() + wait, ticket_lost: false }
    }

    /// Waits for the next look; `true` when it is the last.
    async fn next(&mut self, command: &mut RideCommand) -> bool {
        let turn = self.end.min(Instant::now() + POLL);
        if self.ticket_lost {
            sleep_until(turn).await;
        } else {
            match timeout_at(turn, &mut command.ticket).await {
                Ok(Ok(_)) => return true,
                Ok(Err(_)) => {
                    self.ticket_lost = true;
                    sleep_until(turn).await;
                }
                Err(_) => {}
            }
        }
        turn >= self.end
    }
}
