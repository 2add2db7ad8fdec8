//! How many whole journeys one core of this machine decides, signatures and IO aside.
//!
//! `cargo run --release -p rideplane-core --example bench_journey`
//!
//! Time is the time on the CPU, as Linux counts it for this thread, so that a busy machine measures the same; elsewhere
//! it is the time on the wall. An argument gives a number of passes over the scripts instead of a measurement: under
//! `valgrind --tool=callgrind`, the difference between two such runs is the count of instructions, which repeats.
//!
//! A journey is a quote and a claim, the intent's creation, the confirmation, the authorisation, the unlock and its ack,
//! the end of the trip and its ack, and the capture: nine decisions. Each makes new states of the booking and of
//! its vehicle, which are asked for their effects and deadlines, as a host does before it commits: beside the old ones,
//! because those stand until the commit has gone through. What the provider and the
//! vehicle say is worked out before the clock starts: equal arguments give equal answers, so it fits every round.

#![allow(clippy::wildcard_enum_match_arm, reason = "the script of one journey, not a rule")]

use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rideplane_core::booking::journey::{self, Outcome};
use rideplane_core::booking::{Booking, Command, Effects, Party, Status};
use rideplane_core::fleet::{self, FormFactor, PropulsionType, Vehicle, VehicleKey, VehicleSpec};
use rideplane_core::ids::{PaymentIntentId, PaymentMethodId, UserId};
use rideplane_core::money::{Currency, Money};
use rideplane_core::payment::{ClientSecret, Fact, GatewayCall, IntentSnapshot, IntentStatus};
use rideplane_core::policy::Policy;
use rideplane_core::pricing::{PricingPlan, Quote, Surge, Usage};
use rideplane_core::time::{Span, Timestamp};
use rideplane_core::unlock::{AckClaims, AckResult, CommandClaims};
use rideplane_core::{Context, Machine as _};

const NOTHING: &str = "nothing was claimed";

type AnyError = Box<dyn std::error::Error>;

const PLAN: &str = r#"{"plan_id":"city","currency":"EUR","is_taxable":false,"price":"1.00",
    "per_min_pricing":[{"start":0,"rate":"0.23","interval":1}],"vat":{"rate":"0.19","inclusive":true}}"#;
const DIFFERENT: u64 = 64;
/// Between two looks at the clock, which costs as much as a few journeys.
const PASSES: u64 = 16;
const ROUNDS: usize = 40;
const ROUND: Duration = Duration::from_millis(100);
static START: OnceLock<Instant> = OnceLock::new();

/// What the rider, the provider and the vehicle say, in order.
struct Script {
    fresh: u128,
    said: Vec<Command>,
}

struct Setting {
    policy: Policy,
    plan: Arc<PricingPlan>,
    vehicle: Vehicle,
    rider: UserId,
    method: PaymentMethodId,
}

/// Both are there once a journey has begun.
struct State {
    vehicle: Option<Arc<Vehicle>>,
    booking: Option<Arc<Booking>>,
    effects: Effects,
}

impl State {
    fn both(&self) -> Result<(&Vehicle, &Booking), AnyError> {
        Ok((self.vehicle.as_deref().ok_or(NOTHING)?, self.booking.as_deref().ok_or(NOTHING)?))
    }

    /// What a host does with what was decided: the new states are there beside the old ones, which stand until the
    /// commit has gone through, and this is what it asks of them before it commits. A state that has no events is the
    /// old one.
    fn commit(&mut self, outcome: Outcome, cx: &Context<'_>) -> usize {
        let Outcome { vehicle, vehicle_after, booking, booking_after } = black_box(outcome);
        if let Some(after) = vehicle_after {
            black_box(after.deadline());
            self.vehicle = Some(after);
        }
        if let Some(after) = booking_after {
            black_box(after.deadline());
            self.effects = after.effects(cx.now);
            self.booking = Some(after);
        }
        vehicle.len() + booking.len()
    }
}

fn main() -> Result<(), AnyError> {
    let setting = setting()?;
    let scripts = (0..DIFFERENT).map(|n| script(&setting, n)).collect::<Result<Vec<_>, _>>()?;
    if let Some(passes) = std::env::args().nth(1) {
        for _ in 0..passes.parse()? {
            pass(&setting, &scripts)?;
        }
        return Ok(());
    }
    let mut rounds = Vec::with_capacity(ROUNDS);
    let mut events = 0;
    for _ in 0..ROUNDS {
        let (start, mut done) = (spent(), 0);
        while spent() - start < ROUND {
            for _ in 0..PASSES {
                events = pass(&setting, &scripts)?;
            }
            done += PASSES * DIFFERENT;
        }
        rounds.push(done as f64 / (spent() - start).as_secs_f64());
    }
    rounds.sort_by(f64::total_cmp);
    let (best, median) = (rounds.last().copied(), rounds.get(ROUNDS / 2).copied());
    let (best, median) = (best.unwrap_or(f64::NAN), median.unwrap_or(f64::NAN));
    println!("journeys on one core: {median:.0}/s (median of {ROUNDS} rounds), {best:.0}/s (best)");
    println!("that is {:.2} us for 9 decisions and {events} events", 1e6 / median);
    Ok(())
}

/// How long this thread has been on a CPU, from some beginning on.
fn spent() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = stat.and_then(|stat| stat.split_whitespace().next()?.parse().ok());
    // The core may not read a clock; a benchmark must.
    #[allow(clippy::disallowed_methods)]
    nanos.map_or_else(|| START.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

/// Every script once; the number of events of the last.
fn pass(setting: &Setting, scripts: &[Script]) -> Result<usize, AnyError> {
    let mut events = 0;
    for script in scripts {
        events = black_box(travel(setting, black_box(script))?);
    }
    Ok(events)
}

/// One whole journey; the number of its events.
fn travel(setting: &Setting, script: &Script) -> Result<usize, AnyError> {
    let mut events = 0;
    let mut state = claim(setting, script.fresh, &mut events)?;
    for (step, said) in script.said.iter().enumerate() {
        advance(setting, &mut state, script.fresh, step, said, &mut events)?;
    }
    if state.both()?.1.status() == Status::Completed {
        Ok(events)
    } else {
        Err("the journey is not complete".into())
    }
}

fn context(setting: &Setting, fresh: u128, step: usize) -> Context<'_> {
    let now = Timestamp::from_unix_seconds(1_700_000_000 + 20 * step as i64);
    Context::new(now, fresh + step as u128, &setting.policy)
}

fn claim(setting: &Setting, fresh: u128, events: &mut usize) -> Result<State, AnyError> {
    let cx = context(setting, fresh, 0);
    let usage = Usage { ride: Span::from_minutes(30), distance_m: 9_000, reserved: Span::ZERO };
    let quote = Quote::make(&setting.plan, usage, Surge::NONE, cx.now.plus(setting.policy.quote_ttl), &cx)?;
    let outcome = journey::reserve(&setting.vehicle, &setting.rider, None, quote, &cx)?;
    let mut state = State { vehicle: None, booking: None, effects: Effects::default() };
    *events += state.commit(outcome, &cx);
    Ok(state)
}

fn advance(
    setting: &Setting,
    state: &mut State,
    fresh: u128,
    step: usize,
    said: &Command,
    events: &mut usize,
) -> Result<(), AnyError> {
    let cx = context(setting, fresh, step + 1);
    let (vehicle, booking) = state.both()?;
    let outcome = match said {
        Command::ConfirmPayment { method } => journey::confirm_payment(vehicle, booking, method, &cx)?,
        Command::Unlock => journey::unlock(vehicle, booking, &cx)?,
        said => journey::decide(vehicle, booking, said, &cx)?,
    };
    *events += state.commit(outcome, &cx);
    Ok(())
}

/// Lives through one journey with an obedient provider and vehicle, and writes down what they say.
fn script(setting: &Setting, n: u64) -> Result<Script, AnyError> {
    let fresh = u128::from(n) << 70 | u128::from(n * 1_000_003);
    let mut script = Script { fresh, said: Vec::new() };
    let mut events = 0;
    let mut state = claim(setting, fresh, &mut events)?;
    let end = Command::EndTrip { by: Party::Rider, ride_end_allowed: true };
    let pay = Command::ConfirmPayment { method: setting.method.clone() };
    for wish in [None, Some(pay), None, Some(Command::Unlock), None, Some(end), None, None] {
        let said = match (wish, &state.effects) {
            (Some(wish), _) => wish,
            (None, Effects { command: Some(command), .. }) => Command::VehicleAck(obeyed(command)),
            (None, Effects { gateway: Some((call, id)), .. }) => {
                let snapshot = carried_out(call, state.both()?.1)?;
                Command::Observe(Fact::Answer { op: id.op, seq: id.seq, snapshot })
            }
            (None, Effects { .. }) => return Err("nothing is due".into()),
        };
        let step = script.said.len();
        advance(setting, &mut state, fresh, step, &said, &mut events)?;
        script.said.push(said);
    }
    Ok(script)
}

fn obeyed(command: &CommandClaims) -> AckClaims {
    AckClaims {
        vehicle_id: command.vehicle_id.clone(),
        booking_id: command.booking_id,
        command_id: command.command_id,
        request_hash: command.hash(),
        action: command.action,
        result: AckResult::Done,
        epoch: command.epoch,
        counter: command.counter,
        executed_at: command.issued_at,
        odometer_m: 1_000 * command.counter,
        position: None,
        charge: None,
    }
}

fn carried_out(call: &GatewayCall, booking: &Booking) -> Result<IntentSnapshot, AnyError> {
    let zero = Money::zero(Currency::EUR);
    let (status, held, taken) = match call {
        GatewayCall::CreateIntent { .. } => (IntentStatus::RequiresPaymentMethod, zero, zero),
        GatewayCall::ConfirmIntent { .. } => (IntentStatus::RequiresCapture, booking.quote.hold, zero),
        GatewayCall::CaptureIntent { amount, .. } => (IntentStatus::Succeeded, zero, *amount),
        other => return Err(format!("an obedient provider is not asked for {other:?}").into()),
    };
    Ok(IntentSnapshot {
        intent: PaymentIntentId::new("pi_3MtwBwLkdIwHu7ix28a3tqPa")?,
        client_secret: Some(ClientSecret::new(
            "pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_YrKJUKribcBjcG8HVhfZluoGH",
        )),
        status,
        amount: booking.quote.hold,
        amount_capturable: held,
        amount_received: taken,
        amount_refunded: Some(zero),
        capture_before: None,
        next_action: None,
        decline: None,
        reference: Some(booking.id),
    })
}

fn setting() -> Result<Setting, AnyError> {
    let policy = Policy::default();
    let plan: PricingPlan = serde_json::from_str(PLAN)?;
    let spec = VehicleSpec {
        vehicle_type: "scooter".parse()?,
        form_factor: FormFactor::ScooterStanding,
        propulsion_type: PropulsionType::Electric,
        plan_id: plan.plan_id().clone(),
        max_range_m: Some(40_000),
        key: VehicleKey::from_bytes([7; 32]),
    };
    let cx = Context::new(Timestamp::from_unix_seconds(1_699_999_000), 1, &policy);
    let mut state = None;
    for command in [fleet::Command::Register { id: "sc-000001".parse()?, spec }, fleet::Command::CameOnline] {
        state = Vehicle::decide(&state, &command, &cx)?.iter().fold(state, Vehicle::evolve);
    }
    let vehicle = state.ok_or("the vehicle was not registered")?;
    let (rider, method) = ("rider-000001".parse()?, "pm_card_visa".parse()?);
    Ok(Setting { policy, plan: Arc::new(plan), vehicle, rider, method })
}
