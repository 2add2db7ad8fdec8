//! A new booking, once for each Idempotency-Key.

use rideplane_core::Context;
use rideplane_core::booking::journey::{self, Outcome};
use rideplane_core::booking::{Booking, Command};
use rideplane_core::fleet::{self, Vehicle};
use rideplane_core::ids::{BookingId, UserId, VehicleId, Version};
use rideplane_core::pricing::{Quote, Surge};
use rideplane_core::time::{Span, Timestamp};
use rideplane_ports::{
    Commit, CommitError, IdempotencyId, IdempotencyKey, IdempotencyRecord, IdempotencyWrite, Kind, PortError,
    Quota, Stored,
};
use serde::{Deserialize, Serialize};

use crate::execute::{CONFLICT_RETRIES, Extras, Pair, contention};
use crate::view::BookingView;
use crate::{App, AppError};

/// A request that died in the middle is finished by its repeat after this long.
const REQUEST_LOCK: Span = Span::from_seconds(30);

/// What a rider asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateBooking {
    /// Which vehicle.
    pub vehicle_id: VehicleId,
    /// When they mean to start; now when absent, at most 15 minutes ahead.
    #[serde(default)]
    pub start_time: Option<Timestamp>,
    /// How long they mean to ride, whole seconds.
    #[serde(default)]
    pub estimated_duration: Option<i64>,
}

/// The answer to a request that is repeated byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// JSON: a booking, or a problem when `status` is not 200.
    pub body: Vec<u8>,
    /// Whether this is the first answer again.
    pub replayed: bool,
    /// The booking, when this call made or finished it.
    pub booking_id: Option<BookingId>,
}

/// The request on its way.
struct Request<'a> {
    user: &'a UserId,
    id: IdempotencyId,
    hash: [u8; 32],
    body: &'a CreateBooking,
    request_id: Option<&'a str>,
}

impl App {
    /// Claims a vehicle for the user and opens a payment. The claim, the booking, its events and the record of the key
    /// are one commit; the provider's trouble does not undo it.
    ///
    /// `hash` is the SHA-256 of the request as the client sent it.
    ///
    /// # Errors
    /// As the contract of `POST /bookings`; a lost race is an [`Answer`] of status 409, remembered under the key.
    pub async fn create_booking(
        &self,
        user: &UserId,
        key: IdempotencyKey,
        hash: [u8; 32],
        body: &CreateBooking,
        request_id: Option<&str>,
    ) -> Result<Answer, AppError> {
        let id = IdempotencyId { user_id: user.clone(), key };
        let request = Request { user, id, hash, body, request_id };
        match self.ports.store.idempotency(&request.id).await? {
            Some(record) => self.repeat(&request, record).await,
            None => self.first(&request).await,
        }
    }

    async fn repeat(&self, request: &Request<'_>, record: IdempotencyRecord) -> Result<Answer, AppError> {
        if *record.request_hash() != request.hash {
            return Err(AppError::IdempotencyKeyReused);
        }
        match &record {
            IdempotencyRecord::Done { status, body, .. } => {
                Ok(Answer { status: *status, body: body.clone(), replayed: true, booking_id: None })
            }
            IdempotencyRecord::InFlight { locked_until, .. } if self.now() < *locked_until => {
                Err(AppError::RequestInFlight)
            }
            IdempotencyRecord::InFlight { booking_id, .. } => {
                let pair = self.load_pair(*booking_id).await?.ok_or_else(|| {
                    let message =
                        format!("an idempotency record names booking {booking_id}, which is not stored");
                    PortError::new(Kind::Corrupt, "store.idempotency", message)
                })?;
                self.finish(request, pair, record).await
            }
        }
    }

    async fn first(&self, request: &Request<'_>) -> Result<Answer, AppError> {
        let ride = self.estimated_duration(request.body)?;
        for _ in 0..CONFLICT_RETRIES {
            let vehicle_id = &request.body.vehicle_id;
            let vehicle = self.ports.store.vehicle(vehicle_id).await?.ok_or(AppError::NotFound)?;
            let cx = self.context();
            let quote = self.quote(&vehicle.state, ride, &cx).await?;
            let start_time = request.body.start_time;
            let outcome = match journey::reserve(&vehicle.state, request.user, start_time, quote, &cx) {
                Ok(outcome) => outcome,
                Err(journey::Rejection::Vehicle(why @ fleet::Rejection::Unavailable { .. })) => {
                    return self.lost(request, &why).await;
                }
                Err(rejection) => return Err(rejection.into()),
            };
            match self.claim(request, &vehicle, outcome).await {
                Ok((pair, record)) => return self.finish(request, pair, record).await,
                Err(CommitError::VersionConflict { .. }) => {}
                Err(CommitError::IdempotencyConflict) => {
                    let record = self.ports.store.idempotency(&request.id).await?;
                    let record = record.ok_or(AppError::RequestInFlight)?;
                    return self.repeat(request, record).await;
                }
                Err(CommitError::QuotaExceeded { oldest }) => return Err(self.rate_limited(oldest)),
                Err(CommitError::Port(error)) => return Err(error.into()),
            }
        }
        Err(contention())
    }

    async fn quote(&self, vehicle: &Vehicle, ride: Span, cx: &Context<'_>) -> Result<Quote, AppError> {
        let plan = self.settings.plans.get(&vehicle.spec.plan_id).ok_or_else(|| {
            let message =
                format!("vehicle {} has plan {}, which is not configured", vehicle.id, vehicle.spec.plan_id);
            PortError::new(Kind::Rejected, "app.quote", message)
        })?;
        let surge = if plan.surge_pricing() {
            match self.ports.store.telemetry(&vehicle.id).await?.and_then(|telemetry| telemetry.position) {
                Some(at) => self.surge(at, &vehicle.spec.vehicle_type, plan).await,
                None => Surge::NONE,
            }
        } else {
            Surge::NONE
        };
        let usage = self.estimated_usage(vehicle.spec.form_factor, ride);
        Quote::make(plan, usage, surge, cx.now.plus(cx.policy.quote_ttl), cx)
            .map_err(|error| AppError::Invalid(format!("estimated_duration: {error}")))
    }

    fn estimated_duration(&self, body: &CreateBooking) -> Result<Span, AppError> {
        let policy = &self.settings.policy;
        let longest = policy.max_duration.as_seconds();
        match body.estimated_duration {
            None => Ok(policy.default_duration),
            Some(seconds) if (1..=longest).contains(&seconds) => Ok(Span::from_seconds(seconds)),
            Some(seconds) => {
                let text = format!("estimated_duration {seconds} is out of range: 1 to {longest} seconds");
                Err(AppError::Invalid(text))
            }
        }
    }

    async fn claim(
        &self,
        request: &Request<'_>,
        vehicle: &Stored<Vehicle>,
        outcome: Outcome,
    ) -> Result<(Pair, IdempotencyRecord), CommitError> {
        let Some(booking) = &outcome.booking_after else {
            let message = "a claim made no booking";
            return Err(PortError::new(Kind::Corrupt, "app.claim", message).into());
        };
        let record = IdempotencyRecord::InFlight {
            request_hash: request.hash,
            booking_id: booking.id,
            locked_until: self.now().plus(REQUEST_LOCK),
        };
        let policy = &self.settings.policy;
        let extras = Extras {
            quota: Some(Quota {
                user_id: request.user.clone(),
                since: self.now().minus(policy.bookings_window),
                max: policy.bookings_per_window,
            }),
            idempotency: Some(IdempotencyWrite {
                id: request.id.clone(),
                expected: None,
                record: record.clone(),
            }),
        };
        let versions = (vehicle.version, Version::NONE);
        let (Some(vehicle), Some(booking)) = self.commit(None, versions, outcome, extras).await? else {
            let message = "a claim was committed without its booking or its vehicle";
            return Err(PortError::new(Kind::Corrupt, "app.claim", message).into());
        };
        Ok((Pair { vehicle, booking }, record))
    }

    /// Opens the payment and remembers the answer, both in one commit when the provider answers at once.
    async fn finish(
        &self,
        request: &Request<'_>,
        mut pair: Pair,
        record: IdempotencyRecord,
    ) -> Result<Answer, AppError> {
        if let Some((call, id)) = pair.booking.state.effects(self.now()).gateway {
            let fact = self.call_gateway(&call, id).await;
            let command = Command::Observe(fact.clone());
            let outcome =
                journey::decide(&pair.vehicle.state, &pair.booking.state, &command, &self.context())?;
            let version = pair.booking.version.after(outcome.booking.len());
            if let Some(state) = outcome.booking_after.clone() {
                let (answer, write) = done(request, &Stored { state, version }, record.clone())?;
                let extras = Extras { quota: None, idempotency: Some(write) };
                let id = pair.booking.state.id;
                match self.commit_pair(pair, outcome, extras).await {
                    Ok(_) => return Ok(answer),
                    // A worker was faster with the same call: its result is in the store.
                    Err(CommitError::VersionConflict { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                pair = self.load_pair(id).await?.ok_or(AppError::NotFound)?;
                pair = self.observe(pair, fact).await?;
            }
        }
        let (answer, write) = done(request, &pair.booking, record)?;
        let mut commit = Commit::new(self.now());
        commit.idempotency = Some(write);
        self.ports.store.commit(commit).await?;
        Ok(answer)
    }

    /// Somebody else has the vehicle: the rider is offered others, and a repeat is told the same.
    async fn lost(&self, request: &Request<'_>, why: &fleet::Rejection) -> Result<Answer, AppError> {
        let vehicle_id = &request.body.vehicle_id;
        let error = AppError::VehicleUnavailable {
            vehicle_id: vehicle_id.to_string(),
            why: why.to_string(),
            alternatives: self.alternatives(vehicle_id).await,
        };
        let mut problem = error.problem();
        problem.request_id = request.request_id.map(str::to_owned);
        let body = json(&problem)?;
        let mut commit = Commit::new(self.now());
        commit.idempotency = Some(IdempotencyWrite {
            id: request.id.clone(),
            expected: None,
            record: IdempotencyRecord::Done {
                request_hash: request.hash,
                status: problem.status,
                body: body.clone(),
            },
        });
        self.ports.store.commit(commit).await?;
        Ok(Answer { status: problem.status, body, replayed: false, booking_id: None })
    }

    fn rate_limited(&self, oldest: Timestamp) -> AppError {
        let policy = &self.settings.policy;
        let free = oldest.plus(policy.bookings_window).since(self.now());
        AppError::RateLimited {
            limit: policy.bookings_per_window,
            window_s: policy.bookings_window.as_seconds(),
            retry_after_s: free.as_seconds().saturating_add(1).max(1),
        }
    }
}

fn done(
    request: &Request<'_>,
    booking: &Stored<Booking>,
    expected: IdempotencyRecord,
) -> Result<(Answer, IdempotencyWrite), AppError> {
    let body = json(&BookingView::new(booking))?;
    let record = IdempotencyRecord::Done { request_hash: request.hash, status: 200, body: body.clone() };
    let write = IdempotencyWrite { id: request.id.clone(), expected: Some(expected), record };
    Ok((Answer { status: 200, body, replayed: false, booking_id: Some(booking.state.id) }, write))
}

pub(crate) fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, AppError> {
    serde_json::to_vec(value).map_err(|error| {
        PortError::new(Kind::Corrupt, "app.encode", "an answer can't be written as JSON")
            .with_source(error)
            .into()
    })
}
