//! The vehicle, its bookings, the provider and the lock, with every message that is under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use rideplane_core::booking::{Booking, Command, Event, Status, journey};
use rideplane_core::fleet::{self, FormFactor, PropulsionType, Vehicle, VehicleSpec};
use rideplane_core::ids::{CommandId, Epoch, PaymentMethodId, PlanId, UserId, VehicleId, VehicleTypeId};
use rideplane_core::payment::Fact;
use rideplane_core::policy::Policy;
use rideplane_core::pricing::{PricingPlan, Quote, Surge, Usage};
use rideplane_core::time::{Span, Timestamp};
use rideplane_core::unlock::{AckClaims, AckResult, CommandClaims, Refusal, VehicleKey};
use rideplane_core::{Context, Machine};

use crate::provider::{Provider, Way};

const PLANS: [&str; 3] = [
    r#"{"plan_id":"a","currency":"EUR","price":"1.00","is_taxable":false,
        "per_min_pricing":[{"start":0,"rate":"0.23","interval":1}],"vat":{"rate":"0.19","inclusive":true}}"#,
    r#"{"plan_id":"free","currency":"EUR","price":"0","is_taxable":false}"#,
    r#"{"plan_id":"b","currency":"EUR","price":"0","is_taxable":true,"vat":{"rate":"0.077","inclusive":false},
        "per_km_pricing":[{"start":0,"rate":"0.5","interval":1}],"reservation_price_per_min":"0.1",
        "fare_capping":{"duration":1440,"price":"20"}}"#,
];
const MOST_BOOKINGS: usize = 8;
/// A read older than this is dropped by its carrier: the payment module says so.
const STALE: Span = Span::from_minutes(30);

/// A booking, all that ever happened to it, and what was said to it and has not arrived.
pub(super) struct Ride {
    pub(super) booking: Option<Booking>,
    pub(super) log: Vec<Event>,
    mail: Vec<(Timestamp, Fact)>,
}

/// The lock, as its controller remembers it.
#[derive(Default)]
struct Lock {
    epoch: Epoch,
    counter: u64,
    odometer_m: u64,
    answers: BTreeMap<CommandId, AckClaims>,
}

pub(super) struct World {
    pub(super) policy: Policy,
    now: Timestamp,
    fresh: u128,
    pub(super) vehicle: Option<Vehicle>,
    pub(super) vehicle_log: Vec<fleet::Event>,
    pub(super) rides: Vec<Ride>,
    pub(super) provider: Provider,
    lock: Lock,
    commands: Vec<CommandClaims>,
    acks: Vec<AckClaims>,
    plans: Vec<Arc<PricingPlan>>,
}

impl World {
    pub(super) fn new() -> Self {
        let plans = PLANS.iter().map(|json| serde_json::from_str(json).expect("a plan of ours"));
        let mut world = Self {
            policy: Policy::default(),
            now: Timestamp::from_unix_seconds(1_760_000_000),
            fresh: 0,
            vehicle: None,
            vehicle_log: Vec::new(),
            rides: Vec::new(),
            provider: Provider::default(),
            lock: Lock::default(),
            commands: Vec::new(),
            acks: Vec::new(),
            plans: plans.collect(),
        };
        let spec = VehicleSpec {
            vehicle_type: VehicleTypeId::new("scooter").expect("an id"),
            form_factor: FormFactor::ScooterStanding,
            propulsion_type: PropulsionType::Electric,
            plan_id: PlanId::new("a").expect("an id"),
            max_range_m: None,
            key: VehicleKey::from_bytes([7; 32]),
        };
        world.ask_vehicle(&fleet::Command::Register { id: VehicleId::new("v").expect("an id"), spec });
        world.ask_vehicle(&fleet::Command::CameOnline);
        world
    }

    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }

    fn cx(&self) -> Context<'_> {
        Context::new(self.now, self.fresh, &self.policy)
    }

    /// The booking that a byte means: 0 the latest.
    fn ride(&self, byte: u8) -> Option<usize> {
        let back = usize::from(byte) % self.rides.len().max(1);
        self.rides.len().checked_sub(back + 1)
    }

    pub(super) fn vehicle(&self) -> &Vehicle {
        self.vehicle.as_ref().expect("it is registered first of all")
    }

    fn holder(&self) -> Option<usize> {
        let holder = self.vehicle.as_ref()?.holder()?.booking_id;
        self.rides.iter().position(|ride| ride.booking.as_ref().is_some_and(|booking| booking.id == holder))
    }

    fn take(&mut self, ride: Option<usize>, outcome: &journey::Outcome) {
        self.fresh += 1;
        self.vehicle = outcome.vehicle.iter().fold(self.vehicle.take(), Vehicle::evolve);
        let handed_on = self.vehicle.as_ref().filter(|_| !outcome.vehicle.is_empty());
        assert_eq!(outcome.vehicle_after.as_deref(), handed_on, "the vehicle is what its events make");
        self.vehicle_log.extend(outcome.vehicle.iter().cloned());
        let Some(ride) = ride.and_then(|at| self.rides.get_mut(at)) else {
            assert_eq!(outcome.booking, [], "events of a booking that there is not");
            return;
        };
        ride.booking = outcome.booking.iter().fold(ride.booking.take(), Booking::evolve);
        let handed_on = ride.booking.as_ref().filter(|_| !outcome.booking.is_empty());
        assert_eq!(outcome.booking_after.as_deref(), handed_on, "the booking is what its events make");
        ride.log.extend(outcome.booking.iter().cloned());
        let due = ride.booking.as_ref().and_then(|booking| booking.effects(self.now).command);
        self.commands.extend(due.filter(|command| !self.commands.contains(command)));
    }

    /// Judges, applies, and judges again: a repeat is accepted and changes nothing.
    fn judge(
        &mut self,
        at: usize,
        what: &dyn core::fmt::Debug,
        decide: impl Fn(&Vehicle, &Booking, &Context<'_>) -> Result<journey::Outcome, journey::Rejection>,
    ) -> bool {
        let decided = |world: &Self| {
            let booking = world.rides[at].booking.as_ref().expect("a ride begins with its booking");
            decide(world.vehicle(), booking, &world.cx())
        };
        let Ok(outcome) = decided(self) else { return false };
        self.take(Some(at), &outcome);
        let again = decided(self);
        assert_eq!(again, Ok(journey::Outcome::default()), "a repeat of {what:?} after {outcome:?}");
        true
    }

    fn tell(&mut self, at: usize, command: &Command) -> bool {
        self.judge(at, command, |vehicle, booking, cx| journey::decide(vehicle, booking, command, cx))
    }

    pub(super) fn reserve(&mut self, plan: u8, user: u8, ahead_s: Option<i64>) {
        if self.rides.len() >= MOST_BOOKINGS {
            return;
        }
        let usage =
            Usage { ride: Span::from_minutes(10), distance_m: 2_000, reserved: Span::from_minutes(2) };
        let expires_at = self.now.plus(self.policy.quote_ttl);
        let plan = &self.plans[usize::from(plan) % self.plans.len()];
        let quote = Quote::make(plan, usage, Surge::NONE, expires_at, &self.cx()).expect("a small trip");
        let user = UserId::new(format!("u{}", user % 3)).expect("an id");
        let start_time = ahead_s.map(|seconds| self.now.plus(Span::from_seconds(seconds)));
        let free = self.vehicle().is_claimable(self.now);
        let outcome = journey::reserve(self.vehicle(), &user, start_time, quote, &self.cx());
        assert!(free || outcome.is_err(), "a vehicle that is not free was claimed");
        if let Ok(outcome) = outcome {
            self.rides.push(Ride { booking: None, log: Vec::new(), mail: Vec::new() });
            self.take(Some(self.rides.len() - 1), &outcome);
        }
    }

    pub(super) fn pay(&mut self, byte: u8, method: &str) {
        let Some(at) = self.ride(byte) else { return };
        let method = PaymentMethodId::new(method).expect("an id");
        self.judge(at, &method, |vehicle, booking, cx| {
            journey::confirm_payment(vehicle, booking, &method, cx)
        });
    }

    pub(super) fn unlock(&mut self, byte: u8) {
        let Some(at) = self.ride(byte) else { return };
        self.judge(at, &"unlock", journey::unlock);
    }

    pub(super) fn ask(&mut self, byte: u8, command: &Command) {
        let Some(at) = self.ride(byte) else { return };
        self.tell(at, command);
    }

    pub(super) fn tick(&mut self, byte: u8) {
        let Some(at) = self.ride(byte) else { return };
        self.tick_ride(at);
    }

    pub(super) fn tick_ride(&mut self, at: usize) {
        assert!(self.tell(at, &Command::Tick), "a tick was refused");
        // What is due now stays due until somebody says what came of it.
        let next = Booking::next_deadline(&self.rides[at].booking).filter(|(at, _)| *at <= self.now);
        let due = self.booking(at).effects(self.now).gateway;
        assert!(next.is_none() || due.is_some(), "after a tick at {} comes {next:?}", self.now);
    }

    pub(super) fn ask_vehicle(&mut self, command: &fleet::Command) {
        for first in [true, false] {
            let holder = self.holder();
            let booking = holder.and_then(|at| self.rides[at].booking.clone());
            let outcome = journey::decide_vehicle(&self.vehicle, booking.as_ref(), command, &self.cx());
            match outcome {
                Ok(outcome) if first => self.take(holder, &outcome),
                Ok(outcome) => assert!(outcome.is_empty(), "{command:?} counts twice: {outcome:?}"),
                Err(error) => {
                    assert!(first, "a repeat of {command:?} is refused: {error}");
                    return;
                }
            }
        }
    }

    pub(super) fn call_gateway(&mut self, byte: u8, way: Way, late: bool) {
        let Some(at) = self.ride(byte) else { return };
        let Some((call, id)) = self.booking(at).effects(self.now).gateway else { return };
        if let Some(fact) = self.provider.call(&call, id, way, self.now) {
            self.post(at, fact, late);
        }
    }

    pub(super) fn booking(&self, at: usize) -> &Booking {
        self.rides[at].booking.as_ref().expect("a ride begins with its booking")
    }

    fn post(&mut self, at: usize, fact: Fact, late: bool) {
        if late {
            self.rides[at].mail.push((self.now, fact));
        } else {
            assert!(self.tell(at, &Command::Observe(fact.clone())), "a fact was refused: {fact:?}");
        }
    }

    pub(super) fn open_mail(&mut self, byte: u8, again: bool) {
        let Some(at) = self.ride(byte) else { return };
        let mail = &mut self.rides[at].mail;
        if mail.is_empty() {
            return;
        }
        let letter = mail.remove(usize::from(byte) % mail.len());
        if again {
            mail.push(letter.clone());
        }
        if self.now.since(letter.0) < STALE {
            self.post(at, letter.1, false);
        }
    }

    pub(super) fn webhook(&mut self, byte: u8, late: bool) {
        let Some(at) = self.ride(byte) else { return };
        if let Some(fact) = self.provider.read(self.booking(at).id, self.now) {
            self.post(at, fact, late);
        }
    }

    pub(super) fn customers_authenticate(&mut self, success: bool) {
        self.provider.authenticate(success, self.now);
    }

    pub(super) fn provider_processes(&mut self, success: bool) {
        self.provider.process(success, self.now);
    }

    /// The line delivers one of the commands that were ever signed.
    pub(super) fn vehicle_hears(&mut self, which: u8, metres: u8, jammed: bool) {
        let back = usize::from(which) % self.commands.len().max(1);
        let Some(command) = self.commands.iter().rev().nth(back) else { return };
        let ack = self.lock.obey(command, u64::from(metres) * 16, jammed, self.now);
        self.acks.push(ack);
    }

    /// One of the acks that were ever sent arrives.
    pub(super) fn ack_arrives(&mut self, which: u8) {
        let back = usize::from(which) % self.acks.len().max(1);
        let Some(ack) = self.acks.iter().rev().nth(back).cloned() else { return };
        let Some(at) = self
            .rides
            .iter()
            .position(|ride| ride.booking.as_ref().is_some_and(|booking| booking.id == ack.booking_id))
        else {
            return;
        };
        let before = self.rides[at].log.len();
        self.tell(at, &Command::VehicleAck(ack));
        let opened = self.rides[at].log[before..].iter().any(|event| match event {
            Event::Command(event) => is_done_unlock(event),
            Event::Created(_)
            | Event::Reservation(_)
            | Event::Reclaimed { .. }
            | Event::Payment(_)
            | Event::TripStarted { .. }
            | Event::TripEnded(_) => false,
        });
        if opened && self.booking(at).status() != Status::Active {
            assert!(!self.vehicle().is_claimable(self.now), "it stands open and may be hired");
        }
    }

    pub(super) fn advance(&mut self, span: Span) {
        self.now = self.now.plus(span);
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let bookings = self.rides.iter().filter_map(|ride| Booking::next_deadline(&ride.booking));
        let vehicle = Vehicle::next_deadline(&self.vehicle).map(|(at, _)| at);
        bookings.map(|(at, _)| at).chain(vehicle).min()
    }

    pub(super) fn skip_to_next_deadline(&mut self) {
        if let Some(at) = self.next_deadline() {
            self.now = self.now.max(at);
        }
        for at in 0..self.rides.len() {
            self.tick_ride(at);
        }
        self.ask_vehicle(&fleet::Command::Tick);
    }

    pub(super) fn pay_calls(&mut self, at: usize) {
        for calls in 0.. {
            let Some((call, id)) = self.booking(at).effects(self.now).gateway else { return };
            assert!(calls < 12, "it calls and calls: {call:?}");
            let fact = self.provider.call(&call, id, Way::Answered, self.now).expect("an answer");
            self.post(at, fact, false);
        }
    }
}

fn is_done_unlock(event: &rideplane_core::unlock::AttemptEvent) -> bool {
    use rideplane_core::unlock::{Action, AttemptEvent};
    match event {
        AttemptEvent::Acknowledged(done) | AttemptEvent::LateAcknowledged(done) => {
            done.action == Action::Unlock
        }
        AttemptEvent::Requested { .. } | AttemptEvent::Refused { .. } | AttemptEvent::TimedOut { .. } => {
            false
        }
    }
}

impl Lock {
    /// Once, in order, in time, and only for the latest holder: as `rideplane_core::unlock::Agent` does.
    fn obey(&mut self, command: &CommandClaims, metres: u64, jammed: bool, now: Timestamp) -> AckClaims {
        if let Some(ack) = self.answers.get(&command.command_id) {
            return ack.clone();
        }
        let result = if now >= command.expires_at {
            AckResult::Refused(Refusal::Expired)
        } else if command.epoch < self.epoch {
            AckResult::Refused(Refusal::StaleEpoch)
        } else if command.counter <= self.counter {
            AckResult::Refused(Refusal::StaleCounter)
        } else {
            (self.epoch, self.counter) = (command.epoch, command.counter);
            if jammed { AckResult::Refused(Refusal::Jammed) } else { AckResult::Done }
        };
        self.odometer_m += metres;
        let ack = AckClaims {
            vehicle_id: command.vehicle_id.clone(),
            booking_id: command.booking_id,
            command_id: command.command_id,
            request_hash: command.hash(),
            action: command.action,
            result,
            epoch: command.epoch,
            counter: command.counter,
            executed_at: now,
            odometer_m: self.odometer_m,
            position: None,
            charge: None,
        };
        self.answers.insert(command.command_id, ack.clone());
        ack
    }
}
