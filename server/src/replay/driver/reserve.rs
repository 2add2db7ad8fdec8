//! Riders looking for a vehicle, and the races between them.

use std::time::Instant;

use rideplane_app::{Answer, AppError, CreateBooking, SearchQuery};
use rideplane_core::ids::{UserId, VehicleId};
use rideplane_core::time::{Span, Timestamp};
use rideplane_ports::IdempotencyKey;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::Env;
use super::journey::Journey;
use super::notes::{Note, Notes};
use super::scope;
use crate::replay::faults::{Dice, Plan};
use crate::replay::report::{Counter, Phase};
use crate::replay::trips::Trip;

/// How many vehicles a rider tries before they walk.
const TRIES: usize = 5;

/// What a rider takes between being refused and trying another vehicle.
const HESITATION: Span = Span::from_seconds(4);

/// A rider who has no vehicle yet.
#[derive(Debug)]
pub(super) struct Seeker {
    pub(super) trip: Trip,
    user: UserId,
    dice: Dice,
    /// What they would take, best last.
    wanted: Vec<VehicleId>,
    tried: Vec<VehicleId>,
}

/// What came of one try.
pub(super) enum Tried {
    /// They have it.
    Booked(Box<Journey>),
    /// Somebody else has it.
    Lost(Box<Seeker>),
}

/// The member of a 409 that matters here.
#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    alternatives: Vec<Alternative>,
}

#[derive(Deserialize)]
struct Alternative {
    vehicle_id: VehicleId,
}

#[derive(Deserialize)]
struct Created {
    booking_id: rideplane_core::ids::BookingId,
}

impl Seeker {
    pub(super) fn new(env: &Env, trip: Trip) -> anyhow::Result<Self> {
        let user = UserId::new(format!("rider-{}", trip.index))?;
        let dice = Dice::new(env.seed, trip.index);
        Ok(Self { trip, user, dice, wanted: Vec::new(), tried: Vec::new() })
    }

    /// The vehicle that they try next.
    pub(super) fn next(&self) -> Option<&VehicleId> {
        self.wanted.last().filter(|_| self.tried.len() < TRIES)
    }

    /// Looks around.
    pub(super) async fn search(&mut self, env: &Env, notes: &mut Notes) {
        scope::enter(self.trip.started_at, self.dice, 0.0);
        let at = self.trip.pickup;
        let query = SearchQuery {
            lat: at.lat(),
            lon: at.lon(),
            vehicle_type: self.trip.vehicle_type.as_ref().map(ToString::to_string),
            ..SearchQuery::default()
        };
        let started = Instant::now();
        let found = env.world.app.search(&query).await;
        notes.took(Phase::Search, started);
        match found {
            Ok(view) => {
                let liking = |id: &VehicleId, kind: &str, distance_m: f64| {
                    // Nobody walks by the metre: near enough is near enough, and tastes differ.
                    let taste = self.dice.roll(id.as_str()) * 200.0;
                    let wrong_kind = if kind == self.favourite() { 0.0 } else { 250.0 };
                    distance_m + taste + wrong_kind
                };
                let mut liked: Vec<(f64, VehicleId)> = view
                    .vehicles
                    .into_iter()
                    .map(|v| (liking(&v.vehicle_id, v.vehicle_type.as_str(), v.distance_m), v.vehicle_id))
                    .collect();
                liked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| b.1.cmp(&a.1)));
                self.wanted = liked.into_iter().map(|(_, id)| id).collect();
            }
            Err(error) => notes.add(Note::Wrong(format!("search for trip {}: {error}", self.trip.index))),
        }
    }

    /// What suits the distance.
    const fn favourite(&self) -> &'static str {
        match self.trip.distance_m {
            0..2_500 => "scooter",
            2_500..6_000 => "ebike",
            _ => "car",
        }
    }

    /// Tries to book the vehicle they like best.
    pub(super) async fn reserve(mut self, env: &Env, notes: &mut Notes) -> Tried {
        let Some(vehicle_id) = self.wanted.pop() else { return Tried::Lost(Box::new(self)) };
        let tries = self.tried.len();
        self.tried.push(vehicle_id.clone());
        let now = self.trip.started_at.plus(HESITATION.times(tries as i64));
        scope::enter(now, self.dice.nth(tries as u64), env.rates.gateway);
        let answer = self.ask(env, &vehicle_id, tries, notes).await;
        for fault in scope::met() {
            notes.add(Note::Fault(fault));
        }
        match answer {
            Ok(answer) if answer.status == 200 => match serde_json::from_slice::<Created>(&answer.body) {
                Ok(created) => {
                    notes.add(Note::Count(Counter::BookingCreated));
                    let plan = Plan::draw(&env.rates, self.dice);
                    let Self { trip, user, dice, .. } = self;
                    let journey = Journey::new(trip, user, dice, plan, vehicle_id, created.booking_id, now);
                    Tried::Booked(Box::new(journey))
                }
                Err(error) => {
                    notes.add(Note::Wrong(format!("a booking's answer is unreadable: {error}")));
                    Tried::Lost(Box::new(self))
                }
            },
            Ok(answer) => {
                notes.add(Note::Count(Counter::Conflict));
                self.consider(&answer.body);
                Tried::Lost(Box::new(self))
            }
            Err(error) => {
                notes.add(Note::Wrong(format!("booking {vehicle_id} for trip {}: {error}", self.trip.index)));
                Tried::Lost(Box::new(self))
            }
        }
    }

    async fn ask(
        &self,
        env: &Env,
        vehicle_id: &VehicleId,
        tries: usize,
        notes: &mut Notes,
    ) -> Result<Answer, AppError> {
        let body = CreateBooking {
            vehicle_id: vehicle_id.clone(),
            start_time: None,
            estimated_duration: Some(self.estimate(env)),
        };
        let request = serde_json::to_vec(&body).unwrap_or_default();
        let hash: [u8; 32] = Sha256::digest(&request).into();
        let key = IdempotencyKey::new(format!("trip-{}-{tries}", self.trip.index))
            .map_err(|error| AppError::Invalid(error.to_string()))?;
        let started = Instant::now();
        let answer = env.world.app.create_booking(&self.user, key, hash, &body, None).await;
        notes.took(Phase::Reserve, started);
        answer
    }

    /// How long the rider thinks that they will ride.
    fn estimate(&self, env: &Env) -> i64 {
        let truth = self.trip.duration.as_seconds() as f64;
        let guess = truth * (0.8 + 0.6 * self.dice.roll("estimate"));
        let longest = env.world.app.settings().policy.max_duration.as_seconds();
        (guess as i64).clamp(60, longest)
    }

    /// Takes the alternatives that they were offered into account: those known to be free now come first.
    fn consider(&mut self, body: &[u8]) {
        let Ok(refused) = serde_json::from_slice::<Refused>(body) else { return };
        let offered: Vec<VehicleId> = refused
            .alternatives
            .into_iter()
            .map(|alternative| alternative.vehicle_id)
            .filter(|id| !self.tried.contains(id))
            .collect();
        self.wanted.retain(|id| !offered.contains(id));
        self.wanted.extend(offered.into_iter().rev());
    }
}

/// When the first step after the booking comes.
pub(super) fn first_step(dice: Dice, booked: Timestamp) -> Timestamp {
    booked.plus(dice.seconds("pays after", 10, 45))
}
