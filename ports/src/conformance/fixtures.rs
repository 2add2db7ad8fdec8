//! Genuine states: vehicles and bookings as the machines make them.

use std::sync::Arc;

use rideplane_core::booking::{self, Booking, Party, journey};
use rideplane_core::charge::Charge;
use rideplane_core::fleet::{self, FormFactor, PropulsionType, Vehicle, VehicleKey, VehicleSpec};
use rideplane_core::geo::Point;
use rideplane_core::ids::{
    BookingId, PaymentIntentId, PaymentMethodId, PlanId, UserId, VehicleId, VehicleTypeId, Version,
};
use rideplane_core::money::{Decimal, Money};
use rideplane_core::payment::{ClientSecret, Fact, IntentSnapshot, IntentStatus};
use rideplane_core::policy::Policy;
use rideplane_core::pricing::{PricingPlan, Quote, Surge, Usage};
use rideplane_core::reservation::ReleaseReason;
use rideplane_core::time::{Span, Timestamp};
use rideplane_core::unlock::{AckClaims, AckResult, PositionE7};
use rideplane_core::{Context, Machine};

use crate::{
    BookingChange, Commit, IdempotencyId, IdempotencyKey, LedgerAccount, LedgerEntry, Listing, Nearest,
    Stored, Telemetry, VehicleChange,
};

/// `second` seconds and a few microseconds after the beginning of the fixtures' time, which is in 2023.
#[must_use]
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_123_456).plus(Span::from_seconds(second))
}

/// The `n`-th rider.
#[must_use]
pub fn user(n: u32) -> UserId {
    UserId::new(format!("rider-{n}")).expect("an id")
}

/// The `n`-th vehicle. Ids sort as their numbers do.
#[must_use]
pub fn vehicle_id(n: u32) -> VehicleId {
    VehicleId::new(format!("sc-{n:05}")).expect("an id")
}

/// A place some metres north of the first.
#[must_use]
pub fn place(north_m: f64) -> Point {
    Point::new(52.52 + north_m / 111_195.08, 13.405).expect("a point")
}

/// What a vehicle says of itself.
#[must_use]
pub fn telemetry(vehicle: u32, reported: Timestamp) -> Telemetry {
    Telemetry {
        vehicle_id: vehicle_id(vehicle),
        position: Some(Point::new(52.520_008_123_456_78, 13.404_954_000_000_1).expect("a point")),
        charge: Some(Charge::from_basis_points(7_251)),
        range_m: Some(23_450),
        last_reported: reported,
    }
}

/// What search shows of a scooter that stands there.
#[must_use]
pub fn listing(n: u32, position: Point) -> Listing {
    Listing {
        vehicle_id: vehicle_id(n),
        vehicle_type: VehicleTypeId::new("scooter").expect("an id"),
        form_factor: FormFactor::ScooterStanding,
        propulsion_type: PropulsionType::Electric,
        plan_id: PlanId::new("standard").expect("an id"),
        position,
        charge: Some(Charge::from_basis_points(8_000)),
        range_m: Some(20_000),
        last_reported: at(0),
    }
}

/// The nearest 50 vehicles around `place(0.0)`, whatever they are.
#[must_use]
pub fn nearest(radius_m: f64) -> Nearest {
    Nearest {
        center: place(0.0),
        radius_m,
        limit: 50,
        vehicle_type: None,
        min_charge: None,
        min_range_m: None,
    }
}

/// A client's key.
#[must_use]
pub fn idempotency_id(rider: u32, key: &str) -> IdempotencyId {
    IdempotencyId { user_id: user(rider), key: IdempotencyKey::new(key).expect("a key") }
}

/// A plan with every kind of charge, so that quotes and fares have many lines.
#[must_use]
pub fn plan() -> Arc<PricingPlan> {
    let plan: PricingPlan = serde_json::from_str(
        r#"{
            "plan_id": "standard", "currency": "EUR", "price": "1.00", "is_taxable": false, "surge_pricing": true,
            "name": [{"text": "Größe \"S\"; -- 日本", "language": "de"}],
            "reservation_price_per_min": "0.05",
            "per_min_pricing": [{"start": 0, "rate": "0.23", "interval": 1}],
            "per_km_pricing": [{"start": 0, "rate": "0.115", "interval": 1}],
            "vat": {"rate": "0.19", "inclusive": true}
        }"#,
    )
    .expect("a plan");
    Arc::new(plan)
}

/// A journey in the making: a vehicle and its booking as they are stored, moved on by real decisions. Each step returns
/// the commit that stores it and takes it as stored.
#[derive(Clone, Debug)]
pub struct Journey {
    /// The vehicle.
    pub vehicle: Stored<Vehicle>,
    /// The booking, once there is one.
    pub booking: Option<Stored<Booking>>,
    entropy: u128,
    policy: Policy,
}

impl Journey {
    /// The `n`-th vehicle is registered and reports for the first time.
    #[must_use]
    pub fn register(n: u32, now: Timestamp) -> (Self, Commit) {
        let policy = Policy::default();
        let cx = Context::new(now, u128::from(n), &policy);
        let spec = VehicleSpec {
            vehicle_type: VehicleTypeId::new("scooter").expect("an id"),
            form_factor: FormFactor::ScooterStanding,
            propulsion_type: PropulsionType::Electric,
            plan_id: PlanId::new("standard").expect("an id"),
            max_range_m: Some(40_000),
            key: VehicleKey::from_bytes([7; 32]),
        };
        let mut state = None;
        let mut events = Vec::new();
        for command in [fleet::Command::Register { id: vehicle_id(n), spec }, fleet::Command::CameOnline] {
            for event in Vehicle::decide(&state, &command, &cx).expect("the vehicle accepts") {
                state = Vehicle::evolve(state, &event);
                events.push(event);
            }
        }
        let state = state.expect("a vehicle");
        let change = vehicle_change(Version::NONE, state.clone(), events);
        let journey = Self {
            vehicle: Stored { state: Arc::new(state), version: change.version() },
            booking: None,
            entropy: u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
            policy,
        };
        (journey, Commit { vehicles: vec![change], ..Commit::new(now) })
    }

    /// The `rider`-th rider claims it.
    #[must_use]
    pub fn reserve(&mut self, rider: u32, now: Timestamp) -> Commit {
        let usage = Usage { ride: Span::from_minutes(20), distance_m: 4_200, reserved: Span::ZERO };
        let policy = self.policy.clone();
        let cx = self.context(now, &policy);
        let surge = Surge::new(Decimal::new(125, 2)).expect("a surge");
        let quote = Quote::make(&plan(), usage, surge, now.plus(policy.quote_ttl), &cx).expect("a quote");
        let start = Some(now.plus(Span::from_seconds(90)));
        let outcome = journey::reserve(&self.vehicle.state, &user(rider), start, quote, &cx)
            .expect("the vehicle is free");
        self.booking = None;
        self.store(outcome, now)
    }

    /// The rider claims and pays: the hold stands, the booking is confirmed. Ends with the ledger's first posting.
    #[must_use]
    pub fn confirm(&mut self, now: Timestamp) -> Vec<Commit> {
        let mut commits = vec![self.answer(IntentStatus::RequiresPaymentMethod, now)];
        let method = PaymentMethodId::new("pm_card_visa").expect("an id");
        let policy = self.policy.clone();
        let cx = self.context(now, &policy);
        let outcome = journey::confirm_payment(&self.vehicle.state, &self.booking().state, &method, &cx)
            .expect("the booking takes a method");
        commits.push(self.store(outcome, now));
        commits.push(self.answer(IntentStatus::RequiresCapture, now));
        assert_eq!(self.booking().state.status(), booking::Status::Confirmed, "the fixture is confirmed");
        commits
    }

    /// The rider rides for twenty minutes. Ends in `ended`, with a fare.
    #[must_use]
    pub fn ride(&mut self, now: Timestamp) -> Vec<Commit> {
        let ended = now.plus(Span::from_minutes(20));
        let end = booking::Command::EndTrip { by: Party::Rider, ride_end_allowed: true };
        let commits = vec![
            self.command(&booking::Command::Unlock, now),
            self.acknowledge(12_345, now),
            self.command(&end, ended),
            self.acknowledge(16_545, ended),
        ];
        assert_eq!(self.booking().state.status(), booking::Status::Ended, "the fixture has ended");
        commits
    }

    /// The rider changes their mind.
    #[must_use]
    pub fn cancel(&mut self, now: Timestamp) -> Commit {
        self.command(&booking::Command::Cancel(ReleaseReason::CancelledByRider), now)
    }

    /// A command on the vehicle alone.
    #[must_use]
    pub fn vehicle_command(&mut self, command: &fleet::Command, now: Timestamp) -> Commit {
        let policy = self.policy.clone();
        let cx = self.context(now, &policy);
        let outcome = journey::decide_vehicle(&Some((*self.vehicle.state).clone()), None, command, &cx);
        self.store(outcome.expect("accepted"), now)
    }

    /// The booking.
    #[must_use]
    pub fn booking(&self) -> &Stored<Booking> {
        self.booking.as_ref().expect("the journey has a booking")
    }

    /// The booking's id.
    #[must_use]
    pub fn booking_id(&self) -> BookingId {
        self.booking().state.id
    }

    fn command(&mut self, command: &booking::Command, now: Timestamp) -> Commit {
        let policy = self.policy.clone();
        let cx = self.context(now, &policy);
        let outcome = journey::decide(&self.vehicle.state, &self.booking().state, command, &cx)
            .expect("the booking accepts the command");
        self.store(outcome, now)
    }

    fn acknowledge(&mut self, odometer_m: u64, now: Timestamp) -> Commit {
        let asked = self.booking().state.effects(now).command.expect("a command is due");
        let ack = AckClaims {
            vehicle_id: asked.vehicle_id.clone(),
            booking_id: asked.booking_id,
            command_id: asked.command_id,
            request_hash: asked.hash(),
            action: asked.action,
            result: AckResult::Done,
            epoch: asked.epoch,
            counter: asked.counter,
            executed_at: now,
            odometer_m,
            position: PositionE7::new(525_200_081, 134_049_540).ok(),
            charge: Some(Charge::from_basis_points(6_500)),
        };
        self.command(&booking::Command::VehicleAck(ack), now)
    }

    fn answer(&mut self, status: IntentStatus, now: Timestamp) -> Commit {
        let state = &self.booking().state;
        let (_, call) = state.effects(now).gateway.expect("a call to the provider is due");
        let none = Money::zero(state.quote.hold.currency());
        let held = if status == IntentStatus::RequiresCapture { state.quote.hold } else { none };
        let snapshot = IntentSnapshot {
            intent: PaymentIntentId::new(format!("pi_{}", state.id)).expect("an id"),
            client_secret: Some(ClientSecret::new("pi_1_secret_2")),
            status,
            amount: state.quote.hold,
            amount_capturable: held,
            amount_received: Money::zero(state.quote.hold.currency()),
            amount_refunded: None,
            capture_before: Some(now.plus(Span::from_minutes(60 * 24 * 5))),
            next_action: None,
            decline: None,
            reference: Some(state.id),
        };
        let fact = Fact::Answer { op: call.op, seq: call.seq, snapshot };
        self.command(&booking::Command::Observe(fact), now)
    }

    fn context<'a>(&mut self, now: Timestamp, policy: &'a Policy) -> Context<'a> {
        self.entropy = self.entropy.wrapping_mul(0xda94_2042_e4dd_58b5).wrapping_add(1);
        Context::new(now, self.entropy, policy)
    }

    fn store(&mut self, outcome: journey::Outcome, now: Timestamp) -> Commit {
        let mut commit = Commit::new(now);
        if !outcome.vehicle.is_empty() {
            let state = outcome.vehicle.iter().fold(Some((*self.vehicle.state).clone()), Vehicle::evolve);
            let change = vehicle_change(self.vehicle.version, state.expect("a vehicle"), outcome.vehicle);
            self.vehicle = Stored { state: change.state.clone(), version: change.version() };
            commit.vehicles.push(change);
        }
        if !outcome.booking.is_empty() {
            let before = self.booking.as_ref().map(|stored| (*stored.state).clone());
            let held = before.as_ref().map(|booking| booking.payment.authorized());
            let expected = self.booking.as_ref().map_or(Version::NONE, |stored| stored.version);
            let state = outcome.booking.iter().fold(before, Booking::evolve);
            let change = booking_change(expected, state.expect("a booking"), outcome.booking);
            let amount = change.state.payment.authorized();
            if !amount.is_zero() && held != Some(amount) {
                commit.ledger.push(LedgerEntry {
                    booking_id: change.state.id,
                    version: change.version(),
                    account: LedgerAccount::Authorized,
                    amount,
                    at: now,
                });
            }
            self.booking = Some(Stored { state: change.state.clone(), version: change.version() });
            commit.bookings.push(change);
        }
        commit
    }
}

fn vehicle_change(expected: Version, state: Vehicle, events: Vec<fleet::Event>) -> VehicleChange {
    let deadline = Vehicle::next_deadline(&Some(state.clone())).map(|(at, _)| at);
    VehicleChange { expected, state: Arc::new(state), events, deadline }
}

fn booking_change(expected: Version, state: Booking, events: Vec<booking::Event>) -> BookingChange {
    let deadline = Booking::next_deadline(&Some(state.clone())).map(|(at, _)| at);
    BookingChange { expected, state: Arc::new(state), events, deadline }
}
