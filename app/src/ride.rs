//! Unlocking, hearing from vehicles, ending the trip.

use rideplane_core::booking::{Booking, Command, Party, Status, journey};
use rideplane_core::fleet::{self, Presence, Service};
use rideplane_core::geo::Point;
use rideplane_core::ids::{BookingId, CommandId, UserId, VehicleId};
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{AckClaims, AckResult, Outcome};
use rideplane_ports::{FromVehicle, Kind, PortError, Telemetry};
use serde::{Deserialize, Serialize};

use crate::execute::Pair;
use crate::search::point;
use crate::view::BookingView;
use crate::{App, AppError, CommandEnd, Ticket};

/// Where the rider says the vehicle is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Degrees.
    pub lat: f64,
    /// Degrees.
    pub lon: f64,
}

/// What a rider says when ending a trip.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndTrip {
    /// Degrees; with `lon` or not at all.
    #[serde(default)]
    pub lat: Option<f64>,
    /// Degrees; with `lat` or not at all.
    #[serde(default)]
    pub lon: Option<f64>,
}

/// A command to a vehicle that is out.
#[derive(Debug)]
pub struct RideCommand {
    /// The booking.
    pub booking_id: BookingId,
    /// The command.
    pub command_id: CommandId,
    /// Resolves when this process hears the end of it.
    pub ticket: Ticket,
}

/// What became of a request to unlock or to end a trip.
#[derive(Debug)]
pub enum Sent {
    /// It was so already.
    Already(Box<BookingView>),
    /// The vehicle has been told; its answer is awaited.
    Pending(RideCommand),
}

impl App {
    /// Tells the vehicle to open for the rider who has it. A repeat while the command is out sends the same command
    /// again; a vehicle never executes it twice.
    ///
    /// # Errors
    /// As the contract of `POST /vehicles/{id}/unlock`.
    pub async fn unlock(&self, user: &UserId, vehicle_id: &VehicleId) -> Result<Sent, AppError> {
        let vehicle = self.ports.store.vehicle(vehicle_id).await?.ok_or(AppError::NotFound)?;
        let holder = vehicle.state.holder().filter(|holder| holder.user_id == *user);
        let booking_id = holder.ok_or(AppError::NotFound)?.booking_id;
        let booking = self.ports.store.booking_of(user, &booking_id).await?.ok_or(AppError::NotFound)?;
        let pair = Pair { vehicle, booking };
        let pair = self
            .execute(pair, |pair, cx| journey::unlock(&pair.vehicle.state, &pair.booking.state, cx))
            .await?;
        let told = self.send(&pair).await;
        told.map_err(|error| {
            AppError::UnlockFailed(format!("the vehicle could not be told to open ({error}): try again"))
        })
    }

    /// What became of an unlock: the booking once the trip runs, `None` while the answer is awaited.
    ///
    /// # Errors
    /// [`AppError::UnlockFailed`] when the vehicle refused, or did not answer in time; then it may have opened, and its
    /// ack, should it still come, begins the trip.
    pub async fn unlock_result(
        &self,
        user: &UserId,
        command: &RideCommand,
    ) -> Result<Option<BookingView>, AppError> {
        let booking =
            self.ports.store.booking_of(user, &command.booking_id).await?.ok_or(AppError::NotFound)?;
        match booking.state.status() {
            Status::Active | Status::Ended | Status::Completed => Ok(Some(BookingView::new(&booking))),
            Status::PendingPayment | Status::Confirmed | Status::Cancelled | Status::Expired => {
                if is_out(&booking.state, command.command_id) {
                    return Ok(None);
                }
                let text = match outcome(&booking.state, command.command_id) {
                    Some(Outcome::Unknown) => {
                        "the vehicle has not answered in time and may have opened all the same; nothing is \
                         charged before it says so: look at it, and try again if it is shut"
                    }
                    Some(Outcome::Done | Outcome::Refused(_)) | None => {
                        "the vehicle did not open; no trip has begun and nothing is charged: try again"
                    }
                };
                Err(AppError::UnlockFailed(text.to_owned()))
            }
        }
    }

    /// Tells the vehicle to lock. The trip is over when its signed ack comes.
    ///
    /// # Errors
    /// As the contract of `POST /bookings/{id}/end-trip`.
    pub async fn end_trip(&self, user: &UserId, id: BookingId, asked: &EndTrip) -> Result<Sent, AppError> {
        let booking = self.ports.store.booking_of(user, &id).await?.ok_or(AppError::NotFound)?;
        let rider_at = match (asked.lat, asked.lon) {
            (Some(lat), Some(lon)) => Some(point("lat", lat, lon)?),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(AppError::Invalid(
                    "lat and lon belong together: give both or neither".to_owned(),
                ));
            }
        };
        let pair = self.with_vehicle(booking).await?;
        let ride_end_allowed = self.may_end(&pair, rider_at).await?;
        let command = Command::EndTrip { by: Party::Rider, ride_end_allowed };
        let pair = self
            .execute(pair, |pair, cx| journey::decide(&pair.vehicle.state, &pair.booking.state, &command, cx))
            .await?;
        let told = self.send(&pair).await;
        told.map_err(|error| {
            AppError::LockFailed(format!("the vehicle could not be told to lock ({error}): try again"))
        })
    }

    /// What became of an end of trip.
    ///
    /// # Errors
    /// [`AppError::LockFailed`] when the vehicle has not locked: the trip goes on.
    pub async fn end_trip_result(
        &self,
        user: &UserId,
        command: &RideCommand,
    ) -> Result<BookingView, AppError> {
        let booking =
            self.ports.store.booking_of(user, &command.booking_id).await?.ok_or(AppError::NotFound)?;
        match booking.state.status() {
            Status::Ended | Status::Completed => Ok(BookingView::new(&booking)),
            Status::Active if is_out(&booking.state, command.command_id) => Err(AppError::LockFailed(
                "the vehicle has not answered yet; the trip ends when it does: ask again shortly".to_owned(),
            )),
            Status::Active
            | Status::PendingPayment
            | Status::Confirmed
            | Status::Cancelled
            | Status::Expired => Err(AppError::LockFailed(
                "the vehicle did not lock; the trip goes on: check the lock and try again".to_owned(),
            )),
        }
    }

    /// Takes in what a vehicle said. What is not authentic, or makes no sense, changes nothing.
    ///
    /// # Errors
    /// [`AppError::Internal`] with the reason for a message that was refused; else when the store is down, and the
    /// message should come again.
    pub async fn vehicle_said(&self, message: &FromVehicle) -> Result<(), AppError> {
        match message {
            // Most messages are reports: they must not carry the room that an answer needs.
            FromVehicle::Ack { vehicle_id, bytes } => Box::pin(self.acked(vehicle_id, bytes)).await,
            FromVehicle::Telemetry(telemetry) => self.reported(telemetry).await,
        }
    }

    async fn acked(&self, vehicle_id: &VehicleId, bytes: &[u8]) -> Result<(), AppError> {
        let vehicle = self.ports.store.vehicle(vehicle_id).await?;
        let vehicle =
            vehicle.ok_or_else(|| refused(format!("an ack for {vehicle_id}, which is not registered")))?;
        let claims = self
            .ports
            .signer
            .verify_ack(bytes, vehicle_id, &vehicle.state.spec.key)
            .map_err(|error| refused(format!("an ack for {vehicle_id} is not authentic: {error}")))?;
        let booking = self.ports.store.booking(&claims.booking_id).await?;
        let booking = booking
            .filter(|booking| booking.state.vehicle_id == *vehicle_id)
            .ok_or_else(|| refused(format!("an ack for {vehicle_id} names a booking that is not of it")))?;
        self.ports.store.record_telemetry(&[reported_by(&claims)]).await?;
        let pair = Pair { vehicle, booking };
        let command_id = claims.command_id;
        let end = match &claims.result {
            AckResult::Done => CommandEnd::Done,
            AckResult::Refused(_) => CommandEnd::Refused,
        };
        let command = Command::VehicleAck(claims);
        let pair = self
            .execute(pair, |pair, cx| journey::decide(&pair.vehicle.state, &pair.booking.state, &command, cx))
            .await?;
        self.tickets.settle(command_id, end);
        let pair = self.settle_payment(pair).await?;
        self.after_ack(&pair).await
    }

    /// A vehicle that answers is heard; and one that was found open for nobody must not wait for the rider who has
    /// claimed it since.
    async fn after_ack(&self, pair: &Pair) -> Result<(), AppError> {
        let vehicle = &pair.vehicle.state;
        match vehicle.presence {
            Presence::Offline { .. } => {
                self.command_vehicle(&vehicle.id, &fleet::Command::CameOnline).await?;
            }
            Presence::Online => {}
        }
        let holder = vehicle.holder().map(|holder| holder.booking_id);
        match (&vehicle.service, holder) {
            (Service::Maintenance { reason }, Some(holder)) if holder != pair.booking.state.id => {
                let command = fleet::Command::EnterMaintenance { reason: *reason };
                self.command_vehicle(&vehicle.id, &command).await.map(drop)
            }
            (Service::Maintenance { .. } | Service::InService | Service::Retired, _) => Ok(()),
        }
    }

    async fn reported(&self, telemetry: &Telemetry) -> Result<(), AppError> {
        let id = &telemetry.vehicle_id;
        let vehicle = self.ports.store.vehicle(id).await?;
        let vehicle =
            vehicle.ok_or_else(|| refused(format!("telemetry of {id}, which is not registered")))?;
        self.ports.store.record_telemetry(std::slice::from_ref(telemetry)).await?;
        match vehicle.state.presence {
            Presence::Offline { .. } => self.command_vehicle(id, &fleet::Command::CameOnline).await.map(drop),
            Presence::Online => {
                // A report that leaves something open must not make search forget it.
                let known = match telemetry {
                    Telemetry { position: Some(_), charge: Some(_), range_m: Some(_), .. } => {
                        Some(telemetry.clone())
                    }
                    Telemetry { .. } => self.ports.store.telemetry(id).await?,
                };
                self.show(&vehicle, known.as_ref()).await;
                Ok(())
            }
        }
    }

    /// Every place that the vehicle is said to be at must allow it: the rider's phone and the vehicle itself.
    async fn may_end(&self, pair: &Pair, rider_at: Option<Point>) -> Result<bool, AppError> {
        let vehicle = &pair.vehicle.state;
        let fresh = self.now().minus(self.settings.policy.heartbeat_timeout);
        let telemetry = self.ports.store.telemetry(&vehicle.id).await?;
        let vehicle_at = telemetry.filter(|said| said.last_reported >= fresh).and_then(|said| said.position);
        let allowed = |at: Point| {
            self.settings.zones.verdict(at, &vehicle.spec.vehicle_type, self.now()).ride_end_allowed
        };
        Ok(rider_at.into_iter().chain(vehicle_at).all(allowed))
    }

    /// Delivers the command that is out, with a ticket taken before, so that no answer is missed.
    async fn send(&self, pair: &Pair) -> Result<Sent, PortError> {
        let Some(claims) = pair.booking.state.effects(self.now()).command else {
            return Ok(Sent::Already(Box::new(BookingView::new(&pair.booking))));
        };
        let booking_id = pair.booking.state.id;
        let ticket = self.tickets.take(claims.command_id);
        match self.deliver(&claims).await {
            Err(error) if error.kind() != Kind::OutcomeUnknown => Err(error),
            Ok(_) | Err(_) => {
                Ok(Sent::Pending(RideCommand { booking_id, command_id: claims.command_id, ticket }))
            }
        }
    }
}

fn is_out(booking: &Booking, command: CommandId) -> bool {
    booking.commands.due_command().is_some_and(|claims| claims.command_id == command)
}

/// What came of a command that is over, as far as is known.
fn outcome(booking: &Booking, command: CommandId) -> Option<Outcome> {
    let mut settled = booking.commands.settled().iter().rev();
    settled.find(|settled| settled.command.command_id == command).map(|settled| settled.outcome)
}

fn reported_by(ack: &AckClaims) -> Telemetry {
    let at: Timestamp = ack.executed_at;
    Telemetry {
        vehicle_id: ack.vehicle_id.clone(),
        position: ack.position.and_then(|position| Point::new(position.lat(), position.lon()).ok()),
        charge: ack.charge,
        range_m: None,
        last_reported: at,
    }
}

fn refused(message: String) -> AppError {
    PortError::new(Kind::Rejected, "vehicle.message", message).into()
}
