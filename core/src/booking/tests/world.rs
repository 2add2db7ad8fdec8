//! A few vehicles, their bookings, a provider and the locks. Every commit is folded twice, once from events that went
//! through JSON, and the invariants are looked at after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::gateway::Gateway;
use super::lock::{Lock, ack};
use crate::booking::journey::{self, Outcome, Rejection};
use crate::booking::{Booking, Command, Event, Party, Status};
use crate::fleet::{self, FormFactor, PropulsionType, Rental, Vehicle, VehicleKey, VehicleSpec};
use crate::ids::{BookingId, PaymentMethodId, PlanId, UserId, VehicleId, VehicleTypeId};
use crate::machine::{Context, Machine as _};
use crate::payment::Fact;
use crate::policy::Policy;
use crate::pricing::{PricingPlan, Quote, Surge, Usage};
use crate::reservation::ReleaseReason;
use crate::time::{Span, Timestamp};
use crate::unlock::{AckResult, Action, CommandClaims};

pub(super) const PLAN: &str = r#"{"plan_id":"p","currency":"EUR","is_taxable":false,"price":"1.00",
    "reservation_price_per_min":"0.05","per_min_pricing":[{"start":0,"rate":"0.20","interval":1}]}"#;

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000 + seconds)
}

pub(super) fn method(name: &str) -> PaymentMethodId {
    PaymentMethodId::new(name).unwrap()
}

pub(super) fn rider(n: usize) -> UserId {
    UserId::new(format!("rider-{n}")).unwrap()
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) policy: Policy,
    pub(super) now: Timestamp,
    pub(super) vehicles: Vec<Vehicle>,
    pub(super) bookings: Vec<Booking>,
    pub(super) gateway: Gateway,
    pub(super) locks: Vec<Lock>,
    /// The last instant at which each booking's rider could ever unlock.
    pub(super) unlock_by: BTreeMap<BookingId, Timestamp>,
    /// Names of the booking's events, in order.
    pub(super) told: BTreeMap<BookingId, Vec<&'static str>>,
    plan: Arc<PricingPlan>,
    fresh: u128,
}

impl World {
    pub(super) fn new(vehicles: usize) -> Self {
        let mut world = Self {
            policy: Policy::default(),
            now: at(0),
            vehicles: Vec::new(),
            bookings: Vec::new(),
            gateway: Gateway::default(),
            locks: vec![Lock::default(); vehicles],
            unlock_by: BTreeMap::new(),
            told: BTreeMap::new(),
            plan: Arc::new(serde_json::from_str(PLAN).unwrap()),
            fresh: 0,
        };
        for n in 0..vehicles {
            let spec = VehicleSpec {
                vehicle_type: VehicleTypeId::new("scooter").unwrap(),
                form_factor: FormFactor::ScooterStanding,
                propulsion_type: PropulsionType::Electric,
                plan_id: PlanId::new("p").unwrap(),
                max_range_m: None,
                key: VehicleKey::from_bytes([7; 32]),
            };
            let id = VehicleId::new(format!("sc-{n}")).unwrap();
            let cx = Context::new(world.now, 0, &world.policy);
            let mut state = None;
            for command in [fleet::Command::Register { id, spec }, fleet::Command::CameOnline] {
                let events = Vehicle::decide(&state, &command, &cx).unwrap();
                state = events.iter().fold(state, Vehicle::evolve);
            }
            world.vehicles.push(state.unwrap());
        }
        world
    }

    pub(super) fn pass(&mut self, seconds: i64) {
        self.now = self.now.plus(Span::from_seconds(seconds));
    }

    fn next_id(&mut self) -> u128 {
        self.fresh += 1;
        self.fresh
    }

    pub(super) fn vehicle_of(&self, booking: usize) -> usize {
        let id = &self.bookings[booking].vehicle_id;
        self.vehicles.iter().position(|vehicle| vehicle.id == *id).unwrap()
    }

    pub(super) fn holder_of(&self, vehicle: usize) -> Option<usize> {
        let holder = self.vehicles[vehicle].holder()?;
        self.bookings.iter().position(|booking| booking.id == holder.booking_id)
    }

    pub(super) fn reserve_at(
        &mut self,
        who: usize,
        vehicle: usize,
        start_time: Option<Timestamp>,
    ) -> Result<usize, Rejection> {
        let id = self.next_id();
        let cx = Context::new(self.now, id, &self.policy);
        let usage = Usage { ride: Span::from_minutes(30), distance_m: 0, reserved: Span::ZERO };
        let expires_at = self.now.plus(self.policy.quote_ttl);
        let quote = Quote::make(&self.plan, usage, Surge::NONE, expires_at, &cx).unwrap();
        let outcome = journey::reserve(&self.vehicles[vehicle], &rider(who), start_time, quote, &cx)?;
        let booking = outcome.booking.iter().fold(None, Booking::evolve).unwrap();
        self.bookings.push(booking);
        let index = self.bookings.len() - 1;
        self.commit(vehicle, index, &outcome, None);
        Ok(index)
    }

    pub(super) fn reserve(&mut self, who: usize, vehicle: usize) -> Result<usize, Rejection> {
        self.reserve_at(who, vehicle, None)
    }

    /// Judges without a commit.
    pub(super) fn ask(
        &mut self,
        booking: usize,
        judge: impl Fn(&Vehicle, &Booking, &Context<'_>) -> Result<Outcome, Rejection>,
    ) -> Result<Outcome, Rejection> {
        let id = self.next_id();
        let cx = Context::new(self.now, id, &self.policy);
        judge(&self.vehicles[self.vehicle_of(booking)], &self.bookings[booking], &cx)
    }

    pub(super) fn run(
        &mut self,
        booking: usize,
        judge: impl Fn(&Vehicle, &Booking, &Context<'_>) -> Result<Outcome, Rejection>,
    ) -> Result<Outcome, Rejection> {
        let outcome = self.ask(booking, judge)?;
        let before = self.bookings[booking].clone();
        self.commit(self.vehicle_of(booking), booking, &outcome, Some(before));
        Ok(outcome)
    }

    pub(super) fn send(&mut self, booking: usize, command: &Command) -> Result<Outcome, Rejection> {
        self.run(booking, |vehicle, booking, cx| journey::decide(vehicle, booking, command, cx))
    }

    pub(super) fn pay(&mut self, booking: usize, name: &str) -> Result<Outcome, Rejection> {
        let chosen = method(name);
        self.run(booking, |vehicle, booking, cx| journey::confirm_payment(vehicle, booking, &chosen, cx))
    }

    pub(super) fn unlock(&mut self, booking: usize) -> Result<Outcome, Rejection> {
        self.run(booking, journey::unlock)
    }

    pub(super) fn cancel(&mut self, booking: usize) -> Result<Outcome, Rejection> {
        self.send(booking, &Command::Cancel(ReleaseReason::CancelledByRider))
    }

    pub(super) fn end(&mut self, booking: usize, by: Party) -> Result<Outcome, Rejection> {
        self.send(booking, &Command::EndTrip { by, ride_end_allowed: true })
    }

    pub(super) fn tick(&mut self, booking: usize) -> Outcome {
        self.send(booking, &Command::Tick).unwrap()
    }

    pub(super) fn observe(&mut self, booking: usize, fact: Fact) -> Outcome {
        self.send(booking, &Command::Observe(fact)).unwrap()
    }

    /// A command to the vehicle, with its holder following.
    pub(super) fn tell(&mut self, vehicle: usize, command: &fleet::Command) -> Result<Outcome, Rejection> {
        let id = self.next_id();
        let cx = Context::new(self.now, id, &self.policy);
        let state = Some(self.vehicles[vehicle].clone());
        let index = self.holder_of(vehicle);
        let holder = index.map(|index| self.bookings[index].clone());
        let outcome = journey::decide_vehicle(&state, holder.as_ref(), command, &cx)?;
        self.commit(vehicle, index.unwrap_or(usize::MAX), &outcome, holder);
        Ok(outcome)
    }

    /// Makes the provider's calls that are due; `reply` says whether each answer arrives.
    pub(super) fn settle(&mut self, booking: usize) {
        for _ in 0..12 {
            if !self.call(booking, true) {
                return;
            }
        }
        panic!("the provider is called again and again: {:?}", self.bookings[booking].payment);
    }

    /// Makes the one call that is due, if any. An answer that does not arrive is told as unknown.
    pub(super) fn call(&mut self, booking: usize, arrives: bool) -> bool {
        let Some((call, id)) = self.bookings[booking].effects(self.now).gateway else { return false };
        let fact = self.gateway.call(&call, id);
        let fact = if arrives { fact } else { Fact::Unknown { op: id.op, seq: id.seq } };
        self.observe(booking, fact);
        true
    }

    pub(super) fn due_command(&self, booking: usize) -> Option<CommandClaims> {
        self.bookings[booking].effects(self.now).command
    }

    /// The vehicle gets a command now.
    pub(super) fn arrive(&mut self, command: &CommandClaims) -> crate::unlock::AckClaims {
        let index = self.vehicles.iter().position(|vehicle| vehicle.id == command.vehicle_id).unwrap();
        let (answer, moved) = self.locks[index].hear(command, self.now);
        if moved && command.action == Action::Unlock {
            let vehicle = &self.vehicles[index];
            assert!(!vehicle.is_claimable(self.now), "it opened while anybody might take it: {vehicle:?}");
            if let Some(holder) = vehicle.holder() {
                assert_eq!(holder.booking_id, command.booking_id, "it opened for somebody else");
            }
            let deadline = self.unlock_by[&command.booking_id];
            assert!(self.now < deadline, "it opened at {} after the deadline {deadline}", self.now);
        }
        answer
    }

    /// The vehicle gets what is due and its answer arrives.
    pub(super) fn obey(&mut self, booking: usize) -> Outcome {
        let command = self.due_command(booking).unwrap();
        let answer = self.arrive(&command);
        self.send(booking, &Command::VehicleAck(answer)).unwrap()
    }

    pub(super) fn refuse(&mut self, booking: usize, reason: crate::unlock::Refusal) -> Outcome {
        let command = self.due_command(booking).unwrap();
        let answer = ack(&command, AckResult::Refused(reason), self.now, 0);
        self.send(booking, &Command::VehicleAck(answer)).unwrap()
    }

    /// Folds what was decided, once as it is and once from JSON.
    fn commit(&mut self, vehicle: usize, booking: usize, outcome: &Outcome, before: Option<Booking>) {
        let start = Some(self.vehicles[vehicle].clone());
        let after = outcome.vehicle.iter().fold(start.clone(), Vehicle::evolve);
        let stored = outcome
            .vehicle
            .iter()
            .map(through_json)
            .fold(start, |state, event| through_json(&Vehicle::evolve(state, &event)));
        assert_eq!(after, stored);
        let handed_on = (!outcome.vehicle.is_empty()).then(|| after.clone()).flatten();
        assert_eq!(outcome.vehicle_after.as_deref(), handed_on.as_ref());
        self.vehicles[vehicle] = after.unwrap();
        if !outcome.booking.is_empty() {
            let after = outcome.booking.iter().fold(before.clone(), Booking::evolve);
            let stored = outcome
                .booking
                .iter()
                .map(through_json)
                .fold(before, |state, event: Event| through_json(&Booking::evolve(state, &event)));
            assert_eq!(after, stored);
            assert_eq!(after.as_ref(), outcome.booking_after.as_deref());
            let after = after.unwrap();
            self.check_idle(&after);
            if let Some(deadline) = after.unlock_expires_at() {
                self.unlock_by.insert(after.id, deadline);
            }
            self.told.entry(after.id).or_default().extend(outcome.booking.iter().map(Event::name));
            self.bookings[booking] = after;
        } else {
            assert_eq!(outcome.booking_after, None);
        }
        self.check();
    }

    pub(super) fn status(&self, booking: usize) -> Status {
        self.bookings[booking].status()
    }

    /// Until its deadline the passing of time changes nothing in a booking; without one it never does.
    fn check_idle(&self, booking: &Booking) {
        let deadline = booking.deadline().map(|(at, _)| at);
        let last = deadline.map_or(self.now.plus(Span::from_minutes(60 * 24 * 365)), |at| {
            Timestamp::from_micros(at.as_micros() - 1)
        });
        for now in [self.now, last].into_iter().filter(|now| deadline.is_none_or(|at| *now < at)) {
            let cx = Context::new(now, 7, &self.policy);
            let events = booking.clone().elapse(&cx);
            assert_eq!(events, Ok(vec![]), "at {now}, its deadline is {deadline:?}: {booking:?}");
        }
    }

    /// What must hold after every commit.
    fn check(&self) {
        for vehicle in &self.vehicles {
            let of_it = self.bookings.iter().filter(|booking| booking.vehicle_id == vehicle.id);
            let live: Vec<_> = of_it.filter(|booking| booking.reservation.is_live()).collect();
            assert!(live.len() <= 1, "two bookings with one vehicle: {live:?}");
            assert_eq!(
                live.first().map(|booking| booking.id),
                vehicle.holder().map(|holder| holder.booking_id)
            );
            for booking in live {
                assert!(journey::holds(vehicle, booking), "{vehicle:?} {booking:?}");
                let riding = matches!(vehicle.rental, Rental::InUse(_));
                assert_eq!(booking.status() == Status::Active, riding);
            }
        }
        for booking in &self.bookings {
            let money = &booking.payment;
            let [authorized, captured, released, open] =
                [money.authorized(), money.captured(), money.released(), money.open()]
                    .map(|sum| sum.to_minor());
            assert_eq!(authorized, captured + released + open);
            assert!(captured == 0 || booking.trip_end().is_some(), "charged without a ride: {booking:?}");
            assert_eq!(money.quarantine(), None, "{booking:?}");
        }
        for intent in self.gateway.intents.iter().filter(|intent| intent.received > 0) {
            let booking = self.bookings.iter().find(|booking| booking.id == intent.reference).unwrap();
            let price = booking.trip_end().map_or(0, |end| end.fare.total.to_minor());
            assert!(intent.received <= price.min(intent.amount), "{intent:?} {booking:?}");
        }
    }
}

fn through_json<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(
    value: &T,
) -> T {
    let text = serde_json::to_string(value).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
