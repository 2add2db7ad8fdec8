//! The rules without a server, a store or a runtime: one ride through the pure core, in forty lines of decisions.
//!
//! `cargo run -p rideplane-examples --bin core_alone`
//!
//! Time and entropy are values that you pass in, so the same run gives the same answers anywhere: in a test, in a
//! browser, on a phone.

use std::sync::Arc;

use rideplane_core::booking::{Booking, Command, Event, journey};
use rideplane_core::fleet::{self, FormFactor, PropulsionType, Vehicle, VehicleSpec};
use rideplane_core::ids::{PaymentIntentId, PaymentMethodId, PlanId, UserId, VehicleId, VehicleTypeId};
use rideplane_core::money::{Currency, Money};
use rideplane_core::payment::{Fact, GatewayCall, IntentSnapshot, IntentStatus};
use rideplane_core::policy::Policy;
use rideplane_core::pricing::{PricingPlan, Quote, Surge, Usage};
use rideplane_core::time::{Span, Timestamp};
use rideplane_core::unlock::{AckClaims, AckResult, VehicleKey};
use rideplane_core::{Context, Machine};

// tidy: allow-long-fn one ride, read from top to bottom
fn main() -> anyhow::Result<()> {
    let policy = Policy::default();
    let mut now: Timestamp = "2026-05-01T08:00:00Z".parse()?;
    let at = |now: Timestamp| Context::new(now, now.as_micros() as u128, &policy);

    // A vehicle enters the fleet and is heard.
    let id = VehicleId::new("sc-0001")?;
    let spec = VehicleSpec {
        vehicle_type: VehicleTypeId::new("scooter")?,
        form_factor: FormFactor::ScooterStanding,
        propulsion_type: PropulsionType::Electric,
        plan_id: PlanId::new("scooter")?,
        max_range_m: Some(40_000),
        key: VehicleKey::from_bytes([7; 32]),
    };
    let mut vehicle = None;
    for command in [fleet::Command::Register { id, spec }, fleet::Command::CameOnline] {
        let events = Vehicle::decide(&vehicle, &command, &at(now))?;
        vehicle = events.iter().fold(vehicle, Vehicle::evolve);
    }

    // A rider is promised a price, and claims the vehicle.
    let plan: PricingPlan = serde_json::from_str(
        r#"{"plan_id":"scooter","name":[],"description":[],"currency":"EUR","price":"1.00","is_taxable":false,
            "per_min_pricing":[{"start":0,"rate":"0.23","interval":1}],"vat":{"rate":"0.19","inclusive":true}}"#,
    )?;
    let ten_minutes = Usage { ride: Span::from_minutes(10), distance_m: 0, reserved: Span::ZERO };
    let quote = Quote::make(&Arc::new(plan), ten_minutes, Surge::NONE, now.plus(policy.quote_ttl), &at(now))?;
    println!("{now}  quoted {}, {} will be held", quote.estimate, quote.hold);
    let outcome = journey::reserve(
        vehicle.as_ref().ok_or_else(|| anyhow::anyhow!("no vehicle"))?,
        &UserId::new("rider-1")?,
        None,
        quote,
        &at(now),
    )?;
    let mut ride = Ride { vehicle, booking: None };
    ride.take(now, &outcome);

    // What is due follows from the state. Here you would call your payment provider; we are the provider.
    for _ in 0..2 {
        let Some((call, id)) = ride.booking()?.effects(now).gateway else { break };
        let snapshot = provider(&call, ride.booking()?)?;
        let fact = Fact::Answer { op: id.op, seq: id.seq, snapshot };
        ride.tell(now, &Command::Observe(fact), &policy)?;
        let method = PaymentMethodId::new("pm_card_visa")?;
        ride.tell(now, &Command::ConfirmPayment { method }, &policy)?;
    }

    // Five minutes later at the vehicle: open, ride for twelve minutes, lock.
    now = now.plus(Span::from_minutes(5));
    ride.tell(now, &Command::Unlock, &policy)?;
    let opened = ride.vehicle_obeys(now, 120_000)?;
    ride.tell(now, &Command::VehicleAck(opened), &policy)?;
    now = now.plus(Span::from_minutes(12));
    let by = rideplane_core::booking::Party::Rider;
    ride.tell(now, &Command::EndTrip { by, ride_end_allowed: true }, &policy)?;
    let locked = ride.vehicle_obeys(now, 123_400)?;
    ride.tell(now, &Command::VehicleAck(locked), &policy)?;
    if let Some((call, id)) = ride.booking()?.effects(now).gateway {
        let snapshot = provider(&call, ride.booking()?)?;
        ride.tell(now, &Command::Observe(Fact::Answer { op: id.op, seq: id.seq, snapshot }), &policy)?;
    }

    let booking = ride.booking()?;
    println!(
        "\n{} after {} m:",
        booking.status().as_str(),
        booking.trip_end().map_or(0, |end| end.distance_m)
    );
    for item in booking.trip_end().iter().flat_map(|end| &end.fare.line_items) {
        println!(
            "  {:<32} {:>6} x {:>5} = {}",
            item.description, item.quantity, item.unit_amount, item.amount
        );
    }
    let payment = &booking.payment;
    println!(
        "  held {}, charged {}, given back {}",
        payment.authorized(),
        payment.captured(),
        payment.released()
    );
    Ok(())
}

/// Your service's state: a store would keep it.
struct Ride {
    vehicle: Option<Vehicle>,
    booking: Option<Booking>,
}

impl Ride {
    fn booking(&self) -> anyhow::Result<&Booking> {
        self.booking.as_ref().ok_or_else(|| anyhow::anyhow!("no booking yet"))
    }

    fn tell(&mut self, now: Timestamp, command: &Command, policy: &Policy) -> anyhow::Result<()> {
        let vehicle = self.vehicle.as_ref().ok_or_else(|| anyhow::anyhow!("no vehicle"))?;
        let cx = Context::new(now, now.as_micros() as u128, policy);
        let outcome = journey::decide(vehicle, self.booking()?, command, &cx)?;
        self.take(now, &outcome);
        Ok(())
    }

    /// One commit of your store: both states and all events, or nothing.
    fn take(&mut self, now: Timestamp, outcome: &journey::Outcome) {
        let names =
            outcome.vehicle.iter().map(fleet::Event::name).chain(outcome.booking.iter().map(Event::name));
        names.for_each(|name| println!("{now}  {name}"));
        self.vehicle = outcome.vehicle.iter().fold(self.vehicle.take(), Vehicle::evolve);
        self.booking = outcome.booking.iter().fold(self.booking.take(), Booking::evolve);
    }

    /// What a vehicle answers. Here you would sign the command and verify the ack: see `rideplane_core::unlock`.
    fn vehicle_obeys(&self, now: Timestamp, odometer_m: u64) -> anyhow::Result<AckClaims> {
        let command = self.booking()?.effects(now).command;
        let command = command.ok_or_else(|| anyhow::anyhow!("no command is out"))?;
        Ok(AckClaims {
            vehicle_id: command.vehicle_id.clone(),
            booking_id: command.booking_id,
            command_id: command.command_id,
            request_hash: command.hash(),
            action: command.action,
            result: AckResult::Done,
            epoch: command.epoch,
            counter: command.counter,
            executed_at: now,
            odometer_m,
            position: None,
            charge: None,
        })
    }
}

/// A provider that always says yes.
fn provider(call: &GatewayCall, booking: &Booking) -> anyhow::Result<IntentSnapshot> {
    let held = booking.payment.limit();
    let nothing = Money::zero(Currency::EUR);
    let (status, capturable, received) = match call {
        GatewayCall::CreateIntent { .. } => (IntentStatus::RequiresConfirmation, nothing, nothing),
        GatewayCall::ConfirmIntent { .. } => (IntentStatus::RequiresCapture, held, nothing),
        GatewayCall::CaptureIntent { amount, .. } => (IntentStatus::Succeeded, nothing, *amount),
        GatewayCall::CancelIntent { .. }
        | GatewayCall::CreateRefund { .. }
        | GatewayCall::FetchIntent { .. }
        | GatewayCall::FetchRefund { .. } => anyhow::bail!("a ride that goes well needs no {call:?}"),
    };
    Ok(IntentSnapshot {
        intent: PaymentIntentId::new("pi_1")?,
        client_secret: None,
        status,
        amount: held,
        amount_capturable: capturable,
        amount_received: received,
        amount_refunded: None,
        capture_before: None,
        next_action: None,
        decline: None,
        reference: Some(booking.id),
    })
}
