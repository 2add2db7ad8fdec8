//! Load, decide, commit: the loop under every use case that changes something.

use rideplane_core::Context;
use rideplane_core::booking::Booking;
use rideplane_core::booking::journey::{self, Outcome};
use rideplane_core::fleet::Vehicle;
use rideplane_core::ids::{BookingId, Version};
use rideplane_core::money::Money;
use rideplane_core::payment::Payment;
use rideplane_core::time::Timestamp;
use rideplane_ports::{
    AvailabilityUpdate, BookingChange, Commit, CommitError, IdempotencyWrite, Kind, LedgerAccount,
    LedgerEntry, Listing, PortError, Quota, Stored, Telemetry, VehicleChange, VehicleRecord,
};

use crate::{App, AppError};

/// How often a decision is made again because somebody else committed first. Claims are refused, not retried, once the
/// vehicle is gone, so only a storm of harmless changes can use this up.
pub(crate) const CONFLICT_RETRIES: usize = 16;

/// A booking with its vehicle, as read or as just written.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) vehicle: Stored<Vehicle>,
    pub(crate) booking: Stored<Booking>,
}

/// What else goes into a commit.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) quota: Option<Quota>,
    pub(crate) idempotency: Option<IdempotencyWrite>,
}

impl App {
    pub(crate) async fn load_pair(&self, id: BookingId) -> Result<Option<Pair>, AppError> {
        match self.ports.store.booking(&id).await? {
            Some(booking) => Ok(Some(self.with_vehicle(booking).await?)),
            None => Ok(None),
        }
    }

    pub(crate) async fn with_vehicle(&self, booking: Stored<Booking>) -> Result<Pair, AppError> {
        let id = &booking.state.vehicle_id;
        match self.ports.store.vehicle(id).await? {
            Some(vehicle) => Ok(Pair { vehicle, booking }),
            None => {
                let message = format!("booking {} names vehicle {id}, which is not stored", booking.state.id);
                Err(PortError::new(Kind::Corrupt, "store.vehicle", message).into())
            }
        }
    }

    /// Decides on the pair as it is now and commits, again and again while others commit in between.
    pub(crate) async fn execute(
        &self,
        mut pair: Pair,
        decide: impl Fn(&Pair, &Context<'_>) -> Result<Outcome, journey::Rejection> + Send,
    ) -> Result<Pair, AppError> {
        for _ in 0..CONFLICT_RETRIES {
            let outcome = decide(&pair, &self.context())?;
            if outcome.is_empty() {
                return Ok(pair);
            }
            let id = pair.booking.state.id;
            match self.commit_pair(pair, outcome, Extras::default()).await {
                Ok(after) => return Ok(after),
                Err(CommitError::VersionConflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            pair = self.load_pair(id).await?.ok_or(AppError::NotFound)?;
        }
        Err(contention())
    }

    /// Commits what was decided on a pair.
    pub(crate) async fn commit_pair(
        &self,
        pair: Pair,
        outcome: Outcome,
        extras: Extras,
    ) -> Result<Pair, CommitError> {
        let versions = (pair.vehicle.version, pair.booking.version);
        let (vehicle, booking) =
            self.commit(Some(&pair.booking.state.payment), versions, outcome, extras).await?;
        Ok(Pair { vehicle: vehicle.unwrap_or(pair.vehicle), booking: booking.unwrap_or(pair.booking) })
    }

    /// Commits the new states of a vehicle and of a booking, with the events that made them, and tells search. What has
    /// no events stays as it was, and is not in the answer.
    pub(crate) async fn commit(
        &self,
        paid_before: Option<&Payment>,
        (vehicle_version, booking_version): (Version, Version),
        outcome: Outcome,
        extras: Extras,
    ) -> Result<(Option<Stored<Vehicle>>, Option<Stored<Booking>>), CommitError> {
        let now = self.now();
        let mut commit = Commit::new(now);
        commit.quota = extras.quota;
        commit.idempotency = extras.idempotency;
        let vehicle = outcome
            .vehicle_after
            .map(|state| Stored { version: vehicle_version.after(outcome.vehicle.len()), state });
        let booking = outcome
            .booking_after
            .map(|state| Stored { version: booking_version.after(outcome.booking.len()), state });
        if let Some(after) = &vehicle {
            commit.vehicles.push(VehicleChange {
                expected: vehicle_version,
                deadline: after.state.deadline().map(|(at, _)| at),
                state: after.state.clone(),
                events: outcome.vehicle,
            });
        }
        if let Some(after) = &booking {
            commit.ledger = postings(paid_before, after, now);
            commit.bookings.push(BookingChange {
                expected: booking_version,
                deadline: after.state.deadline().map(|(at, _)| at),
                state: after.state.clone(),
                events: outcome.booking,
            });
        }
        self.ports.store.commit(commit).await?;
        if let Some(vehicle) = &vehicle {
            self.tell_search(vehicle).await;
        }
        Ok((vehicle, booking))
    }

    /// Shows search these vehicles as the store has them, in one call: what a host does with all of them when it starts.
    ///
    /// # Errors
    /// Those of [`Availability::apply`](rideplane_ports::Availability::apply).
    pub async fn list_vehicles(&self, records: &[VehicleRecord]) -> Result<(), PortError> {
        let seen = |record: &VehicleRecord| self.seen(&record.vehicle, record.telemetry.as_ref());
        let updates: Vec<_> = records.iter().map(seen).collect();
        self.ports.availability.apply(&updates).await
    }

    /// Search learns at once in this process. It is allowed to be behind, so its trouble never fails a commit: the claim
    /// is what decides, and telemetry lists the vehicle again.
    pub(crate) async fn tell_search(&self, vehicle: &Stored<Vehicle>) {
        let free = vehicle.state.is_listable(self.now());
        let telemetry = if free { self.ports.store.telemetry(&vehicle.state.id).await } else { Ok(None) };
        if let Ok(telemetry) = telemetry {
            self.show(vehicle, telemetry.as_ref()).await;
        }
    }

    pub(crate) async fn show(&self, vehicle: &Stored<Vehicle>, telemetry: Option<&Telemetry>) {
        drop(self.ports.availability.apply(&[self.seen(vehicle, telemetry)]).await);
    }

    /// A vehicle is shown when it is free, it is known where it stands, and rides may start there.
    fn seen(&self, vehicle: &Stored<Vehicle>, telemetry: Option<&Telemetry>) -> AvailabilityUpdate {
        let Stored { state, version } = vehicle;
        let free = telemetry.filter(|_| state.is_listable(self.now()));
        let listing = free.and_then(|said| listing(state, said)).filter(|listing| {
            let zones = &self.settings.zones;
            zones.verdict(listing.position, &listing.vehicle_type, self.now()).ride_start_allowed
        });
        match listing {
            Some(listing) => AvailabilityUpdate::Free(listing, *version),
            None => AvailabilityUpdate::Taken {
                vehicle_id: state.id.clone(),
                version: *version,
                last_reported: free.map(|said| said.last_reported),
            },
        }
    }
}

/// What search shows of a vehicle; nothing when nobody knows where it is.
fn listing(vehicle: &Vehicle, telemetry: &Telemetry) -> Option<Listing> {
    Some(Listing {
        vehicle_id: vehicle.id.clone(),
        vehicle_type: vehicle.spec.vehicle_type.clone(),
        form_factor: vehicle.spec.form_factor,
        propulsion_type: vehicle.spec.propulsion_type,
        plan_id: vehicle.spec.plan_id.clone(),
        position: telemetry.position?,
        charge: telemetry.charge,
        range_m: telemetry.range_m,
        last_reported: telemetry.last_reported,
    })
}

pub(crate) fn contention() -> AppError {
    let message = "too many changes at once on one booking: nothing was done, try again";
    PortError::new(Kind::Unavailable, "app.commit", message).into()
}

type Balance = fn(&Payment) -> Money;

/// The postings of a commit: how far each account moved.
fn postings(before: Option<&Payment>, after: &Stored<Booking>, at: Timestamp) -> Vec<LedgerEntry> {
    let payment = &after.state.payment;
    let accounts: [(LedgerAccount, Balance); 4] = [
        (LedgerAccount::Authorized, Payment::authorized),
        (LedgerAccount::Captured, Payment::captured),
        (LedgerAccount::Released, Payment::released),
        (LedgerAccount::Refunded, Payment::refunded),
    ];
    let moved = |balance: Balance| {
        let now = balance(payment);
        let then = before.map_or(Money::zero(now.currency()), balance);
        now.sub(then).ok().filter(|moved| !moved.is_zero())
    };
    accounts
        .into_iter()
        .filter_map(|(account, balance)| {
            let amount = moved(balance)?;
            Some(LedgerEntry { booking_id: after.state.id, version: after.version, account, amount, at })
        })
        .collect()
}
