//! One rider's way from the booking to its end, step by step in virtual time.

use std::time::Instant;

use rideplane_app::view::BookingView;
use rideplane_app::{AppError, EndTrip, Sent};
use rideplane_core::booking::Status;
use rideplane_core::ids::{BookingId, CommandId, PaymentIntentId, PaymentMethodId, UserId, VehicleId};
use rideplane_core::payment::PaymentStatus;
use rideplane_core::time::{Span, Timestamp};
use rideplane_ports::{FromVehicle, Kind, Telemetry};

use super::Env;
use super::notes::{Note, Notes};
use super::reserve::first_step;
use super::scope;
use crate::replay::faults::{Authentication, Dice, Paying, Pickup, Plan};
use crate::replay::report::{Counter, JourneyEnd, Phase};
use crate::replay::trips::Trip;

/// A rider gives up paying after this many tries, opening after this many.
const PAY_TRIES: u32 = 6;
const UNLOCK_TRIES: u32 = 40;
const LOCK_TRIES: u32 = 20;

/// A journey that is not over after this many steps never will be.
const STEPS_MAX: u64 = 600;

const MOMENT: Span = Span::from_seconds(1);

/// What the rider, or the worker on their behalf, does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Pay,
    Authenticate,
    Cancel,
    Unlock,
    EndTrip,
    /// Nothing any more: the deadlines do the rest.
    Settle,
}

/// What the vehicle does next, whatever the rider does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    /// It falls silent.
    Begins,
    /// It is missed.
    Noticed,
    /// It is heard again.
    Ends,
}

/// A booking on its way.
#[derive(Debug)]
pub(super) struct Journey {
    pub(super) trip: Trip,
    pub(super) vehicle_id: VehicleId,
    user: UserId,
    dice: Dice,
    plan: Plan,
    booking: BookingId,
    next: Option<(Timestamp, Step)>,
    silence: Option<(Timestamp, Silence)>,
    now: Timestamp,
    steps: u64,
    tries: u32,
    card_changed: bool,
    arrived: bool,
    intent: Option<PaymentIntentId>,
    unanswered: Option<CommandId>,
}

impl Journey {
    pub(super) fn new(
        trip: Trip,
        user: UserId,
        dice: Dice,
        plan: Plan,
        vehicle_id: VehicleId,
        booking: BookingId,
        now: Timestamp,
    ) -> Self {
        let next = Some((first_step(dice, now), Step::Pay));
        Self {
            trip,
            vehicle_id,
            user,
            dice,
            plan,
            booking,
            next,
            silence: None,
            now,
            steps: 0,
            tries: 0,
            card_changed: false,
            arrived: false,
            intent: None,
            unanswered: None,
        }
    }

    /// When something happens next; `None` once all is over.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let rider = self.next.map(|(at, _)| at);
        let vehicle = self.silence.map(|(at, _)| at);
        rider.into_iter().chain(vehicle).min()
    }

    /// Does what is due first.
    pub(super) async fn step(&mut self, env: &Env, notes: &mut Notes) {
        let Some(now) = self.due() else { return };
        self.now = now;
        self.steps += 1;
        scope::enter(now, self.dice.nth(1_000 + self.steps), env.rates.gateway);
        match (self.silence, self.next) {
            (Some((at, silence)), _) if at == now => self.vehicle_step(env, silence, notes).await,
            (_, Some((_, step))) => self.rider_step(env, step, notes).await,
            (Some(_) | None, None) => {}
        }
        for fault in scope::met() {
            notes.add(Note::Fault(fault));
        }
        if self.steps > STEPS_MAX && self.next.is_some() {
            let (next, booking) = (self.next, self.booking);
            notes.add(Note::Wrong(format!("booking {booking} does not end: still at {next:?}")));
            self.next = None;
        }
    }

    async fn rider_step(&mut self, env: &Env, step: Step, notes: &mut Notes) {
        match step {
            Step::Pay => self.pay(env, notes).await,
            Step::Authenticate => self.authenticate(env, notes),
            Step::Cancel => self.cancel(env, notes).await,
            Step::Unlock => self.unlock(env, notes).await,
            Step::EndTrip => self.end_trip(env, notes).await,
            Step::Settle => self.settle(env, notes).await,
        }
    }

    fn then(&mut self, after: Span, step: Step) {
        self.next = Some((self.now.plus(after), step));
    }

    fn at(&mut self, at: Timestamp, step: Step) {
        self.next = Some((at.max(self.now.plus(MOMENT)), step));
    }

    fn wrong(&self, notes: &mut Notes, what: &str, error: &AppError) {
        notes.add(Note::Wrong(format!("{what} booking {}: {error}", self.booking)));
    }

    /// 2, 4, 8 s and so on.
    fn backoff(&mut self) -> Span {
        self.tries += 1;
        Span::from_seconds(1 << self.tries.min(6))
    }

    fn method(&self) -> &'static str {
        match self.plan.paying {
            Paying::Good => "pm_card_visa",
            Paying::Declined { .. } if self.card_changed => "pm_card_visa",
            Paying::Declined { .. } => "pm_card_visa_chargeDeclined",
            Paying::ThreeDSecure(_) => "pm_card_authenticationRequired",
        }
    }

    async fn pay(&mut self, env: &Env, notes: &mut Notes) {
        let Ok(method) = PaymentMethodId::new(self.method()) else { return };
        let started = Instant::now();
        let paid = env.world.app.confirm_payment(&self.user, self.booking, Some(method)).await;
        notes.took(Phase::Confirm, started);
        match paid {
            Ok(paid) => self.paid(&paid.0, notes),
            Err(AppError::PaymentFailed { retryable, .. }) => {
                let again = matches!(self.plan.paying, Paying::Declined { again: true });
                if retryable && again && !self.card_changed {
                    self.card_changed = true;
                    notes.add(Note::Fault("declined_then_paid_again"));
                    self.then(Span::from_seconds(30), Step::Pay);
                } else {
                    self.then(MOMENT, Step::Settle);
                }
            }
            Err(AppError::PaymentProviderUnavailable | AppError::Unavailable { .. })
                if self.tries < PAY_TRIES =>
            {
                let wait = self.backoff();
                self.then(wait, Step::Pay);
            }
            // Gone in the meantime: another rider has the vehicle, or time is over.
            Err(
                AppError::PaymentProviderUnavailable
                | AppError::Unavailable { .. }
                | AppError::VehicleUnavailable { .. }
                | AppError::WrongState(_),
            ) => self.then(MOMENT, Step::Settle),
            Err(error) => {
                self.wrong(notes, "paying for", &error);
                self.then(MOMENT, Step::Settle);
            }
        }
    }

    fn paid(&mut self, view: &BookingView, notes: &mut Notes) {
        if view.payment.status == PaymentStatus::RequiresAction {
            self.intent = view.payment.payment_intent_id.clone();
            match self.plan.paying {
                Paying::ThreeDSecure(Authentication::Abandoned) => {
                    notes.add(Note::Fault("authentication_abandoned"));
                    let until = view.reserve_until.unwrap_or(self.now);
                    self.at(until, Step::Settle);
                }
                Paying::ThreeDSecure(_) | Paying::Good | Paying::Declined { .. } => {
                    let takes = self.dice.seconds("authenticates", 20, 90);
                    self.then(takes, Step::Authenticate);
                }
            }
            return;
        }
        self.tries = 0;
        match self.plan.pickup {
            Pickup::Cancels => {
                notes.add(Note::Fault("rider_cancelled"));
                let after = self.dice.seconds("cancels", 30, 240);
                self.then(after, Step::Cancel);
            }
            Pickup::NeverComes => {
                notes.add(Note::Fault("no_show"));
                self.at(view.unlock_expires_at.unwrap_or(self.now), Step::Settle);
            }
            Pickup::VehicleSilent(_) => {
                self.silence = Some((self.now.plus(Span::from_seconds(10)), Silence::Begins));
                self.walk();
            }
            Pickup::Rides | Pickup::LockJams { .. } | Pickup::AnswerLost => self.walk(),
        }
    }

    fn walk(&mut self) {
        let walk = self.dice.seconds("walks", 30, 240);
        self.then(walk, Step::Unlock);
    }

    fn authenticate(&mut self, env: &Env, notes: &mut Notes) {
        let ok = self.plan.paying != Paying::ThreeDSecure(Authentication::Failed);
        if !ok {
            notes.add(Note::Fault("authentication_failed"));
        }
        match self.intent.take().map(|intent| env.world.authenticate(&intent, ok)) {
            // Too late: the hold was over, or the same customer is asked twice.
            Some(Ok(())) | None => {}
            Some(Err(error)) if error.kind() == Kind::Rejected => {}
            Some(Err(error)) => {
                notes.add(Note::Wrong(format!("authenticating booking {}: {error}", self.booking)));
            }
        }
        self.then(Span::from_seconds(2), Step::Pay);
    }

    async fn cancel(&mut self, env: &Env, notes: &mut Notes) {
        match env.world.app.cancel(&self.user, self.booking).await {
            // A command that is still out must come to its end first; or time has ended the booking already.
            Ok(_) | Err(AppError::WrongState(_)) => {}
            Err(error) => self.wrong(notes, "cancelling", &error),
        }
        self.then(MOMENT, Step::Settle);
    }

    async fn unlock(&mut self, env: &Env, notes: &mut Notes) {
        self.tries += 1;
        match (self.plan.pickup, self.tries) {
            (Pickup::LockJams { .. }, 1) => {
                env.world.jam(&self.vehicle_id);
                notes.add(Note::Fault("lock_jammed"));
            }
            (Pickup::AnswerLost, 1) => self.lose_answer(env, notes),
            (_, _) => {}
        }
        let started = Instant::now();
        let sent = env.world.app.unlock(&self.user, &self.vehicle_id).await;
        let command = match sent {
            Ok(Sent::Pending(command)) => command,
            Ok(Sent::Already(view)) if view.status == Status::Active => return self.ride(),
            Ok(Sent::Already(_)) | Err(AppError::WrongState(_) | AppError::NotFound) => {
                return self.wait_for_the_lock(env, notes).await;
            }
            Err(AppError::VehicleOffline(_) | AppError::UnlockFailed(_) | AppError::Unavailable { .. }) => {
                return self.unlock_again(Span::from_seconds(45));
            }
            Err(error) => {
                self.wrong(notes, "unlocking", &error);
                return self.then(MOMENT, Step::Settle);
            }
        };
        self.hear(env, notes).await;
        match env.world.app.unlock_result(&self.user, &command).await {
            Ok(Some(_)) => {
                notes.took(Phase::Unlock, started);
                self.ride();
            }
            Ok(None) => {
                // The same command goes out again while it may still be answered: that is no other unlock.
                if self.unanswered.replace(command.command_id) != Some(command.command_id) {
                    notes.add(Note::Count(Counter::UnlockFailed));
                }
                // First at once, then with patience.
                let wait = if self.tries <= 2 { 12 } else { 120 };
                self.unlock_again(Span::from_seconds(wait));
            }
            Err(AppError::UnlockFailed(_)) => {
                notes.took(Phase::Unlock, started);
                notes.add(Note::Count(Counter::UnlockFailed));
                if self.plan.pickup == (Pickup::LockJams { gives_up: true }) {
                    notes.add(Note::Fault("gave_up_after_jam"));
                    return self.then(Span::from_seconds(20), Step::Cancel);
                }
                self.unlock_again(Span::from_seconds(15));
            }
            Err(error) => {
                self.wrong(notes, "unlocking", &error);
                self.then(MOMENT, Step::Settle);
            }
        }
    }

    /// The booking can't be unlocked just now: a command is at its end, or the booking is.
    async fn wait_for_the_lock(&mut self, env: &Env, notes: &mut Notes) {
        if let Err(error) = env.world.app.tick_booking(self.booking).await {
            return self.wrong(notes, "ticking", &error);
        }
        match env.world.app.booking(&self.user, self.booking).await {
            Ok(view) if view.status == Status::Confirmed => self.unlock_again(Span::from_seconds(20)),
            Ok(view) if view.status == Status::Active => self.ride(),
            Ok(_) => self.then(MOMENT, Step::Settle),
            Err(error) => self.wrong(notes, "reading", &error),
        }
    }

    fn unlock_again(&mut self, after: Span) {
        let step = if self.tries < UNLOCK_TRIES { Step::Unlock } else { Step::Settle };
        self.then(after, step);
    }

    fn ride(&mut self) {
        self.tries = 0;
        let duration = self.trip.duration;
        self.then(duration, Step::EndTrip);
    }

    fn lose_answer(&self, env: &Env, notes: &mut Notes) {
        env.world.lose_answer(&self.vehicle_id);
        notes.add(Note::Fault("vehicle_answer_lost"));
    }

    /// Hands over what the vehicle answered.
    async fn hear(&self, env: &Env, notes: &mut Notes) {
        for message in env.world.take_messages(&self.vehicle_id) {
            if let Err(error) = env.world.app.vehicle_said(&message).await {
                self.wrong(notes, "hearing the vehicle of", &error);
            }
        }
    }

    async fn end_trip(&mut self, env: &Env, notes: &mut Notes) {
        self.tries += 1;
        if !std::mem::replace(&mut self.arrived, true) {
            let (to, distance_m) = (self.trip.dropoff, self.trip.distance_m);
            if let Err(error) = env.world.ride(&self.vehicle_id, to, distance_m) {
                notes.add(Note::Wrong(format!("riding {}: {error}", self.vehicle_id)));
            }
            if self.plan.lock_answer_lost {
                self.lose_answer(env, notes);
            }
        }
        let asked = EndTrip { lat: Some(self.trip.dropoff.lat()), lon: Some(self.trip.dropoff.lon()) };
        let started = Instant::now();
        let sent = env.world.app.end_trip(&self.user, self.booking, &asked).await;
        let command = match sent {
            Ok(Sent::Pending(command)) => command,
            Ok(Sent::Already(_)) => return self.then(MOMENT, Step::Settle),
            Err(AppError::WrongState(_) | AppError::LockFailed(_) | AppError::Unavailable { .. })
                if self.tries < LOCK_TRIES =>
            {
                return self.then(Span::from_seconds(20), Step::EndTrip);
            }
            Err(error) => {
                self.wrong(notes, "ending", &error);
                return self.then(MOMENT, Step::Settle);
            }
        };
        self.hear(env, notes).await;
        match env.world.app.end_trip_result(&self.user, &command).await {
            Ok(view) => {
                notes.took(Phase::End, started);
                if view.status == Status::Completed {
                    notes.add(Note::Ended(JourneyEnd::Completed));
                    self.next = None;
                } else {
                    self.then(MOMENT, Step::Settle);
                }
            }
            Err(AppError::LockFailed(_)) if self.tries < LOCK_TRIES => {
                self.then(Span::from_seconds(10), Step::EndTrip);
            }
            Err(error) => {
                self.wrong(notes, "ending", &error);
                self.then(MOMENT, Step::Settle);
            }
        }
    }

    /// Does what the worker would do, at the very moment that it is due, until booking and money are at rest.
    async fn settle(&mut self, env: &Env, notes: &mut Notes) {
        if let Err(error) = env.world.app.tick_booking(self.booking).await {
            return self.wrong(notes, "ticking", &error);
        }
        let stored = match env.world.app.ports().store.booking(&self.booking).await {
            Ok(Some(stored)) => stored,
            Ok(None) => {
                self.next = None;
                return notes.add(Note::Wrong(format!("booking {} is gone", self.booking)));
            }
            Err(error) => {
                self.then(MOMENT, Step::Settle);
                return notes.add(Note::Wrong(format!("reading booking {}: {error}", self.booking)));
            }
        };
        let status = stored.state.status();
        let reason = stored.state.status_reason().map_or("", |reason| reason.as_str()).to_owned();
        match stored.state.deadline() {
            Some((deadline, _)) => self.at(deadline, Step::Settle),
            None => {
                self.next = None;
                notes.add(match status {
                    Status::Completed => Note::Ended(JourneyEnd::Completed),
                    Status::Cancelled => Note::Ended(JourneyEnd::Cancelled(reason)),
                    Status::Expired => Note::Ended(JourneyEnd::Expired(reason)),
                    Status::PendingPayment | Status::Confirmed | Status::Active | Status::Ended => {
                        Note::Wrong(format!("booking {} rests as {}", self.booking, status.as_str()))
                    }
                });
            }
        }
    }

    async fn vehicle_step(&mut self, env: &Env, silence: Silence, notes: &mut Notes) {
        let timeout = env.world.app.settings().policy.heartbeat_timeout;
        let Pickup::VehicleSilent(lasts) = self.plan.pickup else {
            self.silence = None;
            return;
        };
        let result = match silence {
            Silence::Begins => {
                notes.add(Note::Fault("vehicle_silent"));
                let said = self.heartbeat(env).await;
                env.hush(&self.vehicle_id, true);
                // Missed after the time-out, unless it is back by then.
                self.silence = Some(if lasts > timeout {
                    (self.now.plus(timeout).plus(MOMENT), Silence::Noticed)
                } else {
                    (self.now.plus(lasts), Silence::Ends)
                });
                said
            }
            Silence::Noticed => {
                let missed = env.world.app.check_presence(&self.vehicle_id).await.map(drop);
                let back = self.now.plus(Span::from_micros(lasts.as_micros() - timeout.as_micros()));
                self.silence = Some((back.max(self.now.plus(MOMENT)), Silence::Ends));
                missed
            }
            Silence::Ends => {
                notes.add(Note::Fault("vehicle_heard_again"));
                env.hush(&self.vehicle_id, false);
                self.silence = None;
                self.heartbeat(env).await
            }
        };
        if let Err(error) = result {
            self.wrong(notes, "the vehicle of", &error);
        }
    }

    async fn heartbeat(&self, env: &Env) -> Result<(), AppError> {
        let telemetry = Telemetry {
            vehicle_id: self.vehicle_id.clone(),
            position: None,
            charge: None,
            range_m: None,
            last_reported: self.now,
        };
        env.world.app.vehicle_said(&FromVehicle::Telemetry(telemetry)).await
    }
}
