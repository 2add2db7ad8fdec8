//! The transitions of a booking: one child machine after another, then the consequences.

use std::sync::Arc;

use super::react::react;
use super::{Booking, Command, Create, DeadlineReason, Event, Party, Rejection, Status, Trip, TripEnd};
use crate::ids::{BookingId, Epoch, PaymentMethodId, ReservationToken};
use crate::machine::{Context, Machine};
use crate::payment::{self, Desired, Payment};
use crate::pricing::{Fare, Usage};
use crate::reservation::{self, Phase, ReleaseReason, Reservation};
use crate::time::{Span, Timestamp};
use crate::unlock::{AckClaims, Action, Attempt, AttemptCommand, AttemptEvent, Execution, PositionE7};

/// Faster than any shared vehicle, metres per second: an odometer that says more is not believed.
const SPEED_LIMIT_M_PER_S: u64 = 70;

/// A decision in progress: every event is applied as soon as it is made, so that the next child sees it.
pub(super) struct Steps<'a> {
    pub(super) booking: &'a mut Booking,
    pub(super) events: Vec<Event>,
    pub(super) cx: &'a Context<'a>,
}

impl<'a> Steps<'a> {
    fn new(booking: &'a mut Booking, cx: &'a Context<'a>) -> Self {
        Self { booking, events: Vec::with_capacity(4), cx }
    }

    fn apply(&mut self, event: Event) {
        apply(self.booking, &event);
        self.events.push(event);
    }

    pub(super) fn reservation(&mut self, command: &reservation::Command) -> Result<(), Rejection> {
        for event in Reservation::decide(&self.booking.reservation, command, self.cx)? {
            self.apply(Event::Reservation(event));
        }
        Ok(())
    }

    pub(super) fn payment(&mut self, command: &payment::Command) -> Result<(), Rejection> {
        // A payment applies its own events: it judges in several steps, each of which sees the one before.
        let events = self.booking.payment.advance(command, self.cx)?;
        self.events.extend(events.into_iter().map(Event::Payment));
        Ok(())
    }

    fn learn(&mut self, fact: &payment::Fact) {
        let events = self.booking.payment.learn(fact, self.cx);
        self.events.extend(events.into_iter().map(Event::Payment));
    }

    fn commands(&mut self, command: &AttemptCommand) -> Result<(), Rejection> {
        let events = Attempt::decide(&self.booking.commands, command, self.cx)?;
        self.commanded(events)
    }

    fn acked(&mut self, ack: &AckClaims) -> Result<(), Rejection> {
        let events = self.booking.commands.acknowledged(ack, self.cx)?;
        self.commanded(events)
    }

    fn commanded(&mut self, events: Vec<AttemptEvent>) -> Result<(), Rejection> {
        for event in events {
            let done = match &event {
                AttemptEvent::Acknowledged(done) | AttemptEvent::LateAcknowledged(done) => Some(done.clone()),
                AttemptEvent::Requested { .. }
                | AttemptEvent::Refused { .. }
                | AttemptEvent::TimedOut { .. } => None,
            };
            self.apply(Event::Command(event));
            if let Some(done) = done {
                self.executed(&done)?;
            }
        }
        Ok(())
    }

    /// The vehicle did what it was told: the only thing that starts a trip, or ends one for the rider.
    fn executed(&mut self, done: &Execution) -> Result<(), Rejection> {
        match (done.action, &self.booking.reservation.phase) {
            (Action::Unlock, Phase::Confirmed { .. }) => {
                self.apply(Event::TripStarted { started_at: self.cx.now, start_odometer_m: done.odometer_m });
                Ok(())
            }
            (Action::Lock, Phase::InUse) => {
                let asked = self.booking.commands.find(done.command_id);
                let ended_at = asked.map_or(done.executed_at, |command| command.issued_at);
                self.end_trip(ended_at, done.odometer_m, done.position, Party::Rider)
            }
            // Opened after the claim was gone: the journey takes the vehicle out of service.
            (Action::Unlock, Phase::Held { .. } | Phase::InUse | Phase::Closed | Phase::Released { .. })
            | (
                Action::Lock,
                Phase::Held { .. } | Phase::Confirmed { .. } | Phase::Closed | Phase::Released { .. },
            ) => Ok(()),
        }
    }

    fn end_trip(
        &mut self,
        ended_at: Timestamp,
        odometer_m: u64,
        position: Option<PositionE7>,
        by: Party,
    ) -> Result<(), Rejection> {
        let Some(trip) = &self.booking.trip else {
            return Ok(());
        };
        let ended_at = ended_at.max(trip.started_at);
        let ride = ended_at.since(trip.started_at);
        let distance_m = plausible_distance(trip.start_odometer_m, odometer_m, ride);
        let reserved = trip.started_at.since(self.booking.reservation.since);
        let fare = self.fare(&Usage { ride, distance_m, reserved })?;
        self.apply(Event::TripEnded(Box::new(TripEnd { ended_at, distance_m, by, position, fare })));
        Ok(())
    }

    /// A fare that can't be computed must not keep a rider in a trip: the estimate they agreed to stands in.
    fn fare(&self, usage: &Usage) -> Result<Fare, Rejection> {
        let quote = &self.booking.quote;
        Ok(quote.settle(usage).or_else(|_| quote.settle(&quote.usage))?)
    }

    const fn refuse<T>(&self, status: Status, asked: &'static str) -> Result<T, Rejection> {
        Err(Rejection::WrongStatus { status, asked })
    }
}

fn plausible_distance(start_m: u64, end_m: u64, ride: Span) -> u64 {
    let seconds = u64::try_from(ride.as_seconds()).unwrap_or(0).saturating_add(60);
    end_m.saturating_sub(start_m).min(seconds.saturating_mul(SPEED_LIMIT_M_PER_S))
}

/// Applies an event in place. Total.
fn apply(booking: &mut Booking, event: &Event) {
    match event {
        // It exists already, and a booking is made once.
        Event::Created(_) => {}
        Event::Reservation(event) => Reservation::apply(&mut booking.reservation, event),
        Event::Reclaimed { epoch, hold } => {
            booking.epoch = *epoch;
            Reservation::apply(&mut booking.reservation, hold);
        }
        Event::Payment(event) => Payment::apply(&mut booking.payment, event),
        Event::Command(event) => Attempt::apply(&mut booking.commands, event),
        Event::TripStarted { started_at, start_odometer_m } => {
            Reservation::apply(&mut booking.reservation, &reservation::Event::Started);
            booking.trip =
                Some(Trip { started_at: *started_at, start_odometer_m: *start_odometer_m, end: None });
        }
        Event::TripEnded(end) => {
            Reservation::apply(&mut booking.reservation, &reservation::Event::Closed);
            if let Some(trip) = &mut booking.trip {
                trip.end = Some((**end).clone());
            }
        }
    }
}

type Deadline = Option<(Timestamp, DeadlineReason)>;

/// The sooner of the two, the first when they come together.
const fn sooner(first: Deadline, second: Deadline) -> Deadline {
    match (first, second) {
        (Some((at, _)), Some((other, _))) if other.as_micros() < at.as_micros() => second,
        (Some(_), _) => first,
        (None, second) => second,
    }
}

impl Machine for Booking {
    type State = Option<Self>;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;
    type DeadlineReason = DeadlineReason;

    fn decide(state: &Option<Self>, command: &Command, cx: &Context<'_>) -> Result<Vec<Event>, Rejection> {
        match (state, command) {
            (None, Command::Create(create)) => Self::create(create, cx).map(|(_, events)| events),
            (None, _) => Err(Rejection::NotFound),
            (Some(booking), command) => booking.clone().advance(command, cx),
        }
    }

    fn apply(state: &mut Option<Self>, event: &Event) {
        match (state, event) {
            (state @ None, Event::Created(created)) => *state = Some((**created).clone()),
            (None, _) => {}
            (Some(booking), event) => apply(booking, event),
        }
    }

    fn next_deadline(state: &Option<Self>) -> Option<(Timestamp, DeadlineReason)> {
        state.as_ref()?.deadline()
    }
}

impl Booking {
    /// [`next_deadline`](Machine::next_deadline) of a booking that there is.
    #[must_use]
    pub fn deadline(&self) -> Option<(Timestamp, DeadlineReason)> {
        let quote = (self.status_reason() == Some(ReleaseReason::PaymentDeclined)
            && self.payment.desired() == Desired::Hold)
            .then_some((self.quote.expires_at, DeadlineReason::Quote));
        let reservation = Reservation::next_deadline(&self.reservation)
            .map(|(at, why)| (at, DeadlineReason::Reservation(why)));
        let payment =
            Payment::next_deadline(&self.payment).map(|(at, why)| (at, DeadlineReason::Payment(why)));
        let command =
            Attempt::next_deadline(&self.commands).map(|(at, why)| (at, DeadlineReason::Command(why)));
        sooner(sooner(reservation, payment), sooner(command, quote))
    }

    /// Makes a booking: as it is after the events that come with it.
    pub(super) fn create(create: &Create, cx: &Context<'_>) -> Result<(Self, Vec<Event>), Rejection> {
        let id = BookingId::from_uuid(cx.uuid(0));
        let mut booking = Self {
            id,
            user_id: create.user_id.clone(),
            vehicle_id: create.vehicle_id.clone(),
            epoch: create.epoch,
            reservation_token: ReservationToken::from_uuid(cx.uuid(1)),
            created_at: cx.now,
            start_time: create.start_time.unwrap_or(cx.now),
            quote: Arc::clone(&create.quote),
            reservation: Reservation::hold(cx),
            payment: Payment::new(id, create.quote.hold),
            commands: crate::unlock::Commands::default(),
            trip: None,
        };
        let created = Event::Created(Box::new(booking.clone()));
        let mut steps = Steps::new(&mut booking, cx);
        steps.events.push(created);
        steps.payment(&payment::Command::Begin)?;
        react(&mut steps)?;
        let events = steps.events;
        Ok((booking, events))
    }

    /// Judges a command and applies what it leads to. A booking that refused may be left half changed: this is for a
    /// copy, which is then dropped.
    pub(super) fn advance(&mut self, command: &Command, cx: &Context<'_>) -> Result<Vec<Event>, Rejection> {
        let mut steps = Steps::new(self, cx);
        decide(&mut steps, command)?;
        Ok(steps.events)
    }

    /// What the passing of time leads to in the children, whether or not there is a deadline.
    #[cfg(test)]
    pub(super) fn elapse(&mut self, cx: &Context<'_>) -> Result<Vec<Event>, Rejection> {
        let mut steps = Steps::new(self, cx);
        elapsed(&mut steps)?;
        Ok(steps.events)
    }
}

fn decide(steps: &mut Steps<'_>, command: &Command) -> Result<(), Rejection> {
    // A deadline that has passed has passed, whether or not anybody came to say so.
    tick(steps)?;
    match command {
        // A booking that exists was created: the repeat is answered by the idempotency record.
        Command::Create(_) | Command::Tick => {}
        Command::Observe(fact) => steps.learn(fact),
        Command::VehicleAck(ack) => steps.acked(ack)?,
        Command::VehicleWentOffline { since } => {
            steps.reservation(&reservation::Command::VehicleWentOffline { since: *since })?;
        }
        Command::VehicleCameOnline => steps.reservation(&reservation::Command::VehicleCameOnline)?,
        Command::ConfirmPayment { method } => confirm_payment(steps, method)?,
        Command::Reclaim { epoch, method } => reclaim(steps, *epoch, method)?,
        Command::Cancel(reason) => cancel(steps, *reason)?,
        Command::Unlock => unlock(steps)?,
        Command::EndTrip { by, ride_end_allowed } => end_trip(steps, *by, *ride_end_allowed)?,
    }
    react(steps)
}

fn tick(steps: &mut Steps<'_>) -> Result<(), Rejection> {
    match steps.booking.deadline() {
        Some((at, _)) if at <= steps.cx.now => {
            elapsed(steps)?;
            react(steps)
        }
        Some(_) | None => Ok(()),
    }
}

/// What the passing of time leads to in the children: nothing before the deadline, and the tests hold that.
fn elapsed(steps: &mut Steps<'_>) -> Result<(), Rejection> {
    steps.commands(&AttemptCommand::Tick)?;
    steps.reservation(&reservation::Command::Tick)?;
    steps.payment(&payment::Command::Tick)
}

fn confirm_payment(steps: &mut Steps<'_>, method: &PaymentMethodId) -> Result<(), Rejection> {
    match steps.booking.status() {
        Status::PendingPayment => steps.payment(&payment::Command::Confirm { method: method.clone() }),
        // Paid already: a repeat has the same outcome.
        Status::Confirmed | Status::Active | Status::Ended | Status::Completed => Ok(()),
        status @ (Status::Cancelled | Status::Expired) => steps.refuse(status, "be paid"),
    }
}

fn reclaim(steps: &mut Steps<'_>, epoch: Epoch, method: &PaymentMethodId) -> Result<(), Rejection> {
    if !steps.booking.is_reclaimable(steps.cx.now) {
        let status = steps.booking.status();
        return steps.refuse(status, "be claimed again: the quote is over or no payment was declined");
    }
    for hold in Reservation::decide(&steps.booking.reservation, &reservation::Command::Reclaim, steps.cx)? {
        steps.apply(Event::Reclaimed { epoch, hold });
    }
    steps.payment(&payment::Command::Confirm { method: method.clone() })
}

fn cancel(steps: &mut Steps<'_>, reason: ReleaseReason) -> Result<(), Rejection> {
    match steps.booking.status() {
        Status::PendingPayment => steps.reservation(&reservation::Command::Release(reason)),
        Status::Confirmed => {
            // The rider's vehicle may be opening this very moment: "cancelled" would be a guess.
            if let (ReleaseReason::CancelledByRider, Some(until)) =
                (reason, steps.booking.commands.pending_until())
            {
                return Err(Rejection::CommandPending { until });
            }
            steps.reservation(&reservation::Command::Release(reason))
        }
        Status::Cancelled => steps.payment(&payment::Command::Release),
        // Its deadline passed before the vehicle was taken away: the vehicle must not be kept in service for that.
        Status::Expired if reason == ReleaseReason::VehicleWithdrawn => Ok(()),
        status @ (Status::Active | Status::Ended | Status::Completed | Status::Expired) => {
            steps.refuse(status, "be cancelled")
        }
    }
}

fn unlock(steps: &mut Steps<'_>) -> Result<(), Rejection> {
    match steps.booking.status() {
        Status::Confirmed if !steps.booking.payment.is_authorised(steps.cx.now) => {
            steps.refuse(Status::Confirmed, "be unlocked: its payment no longer holds")
        }
        Status::Confirmed => {
            let deadline = steps.booking.unlock_expires_at();
            request(steps, Action::Unlock, deadline)
        }
        Status::Active => Ok(()),
        status @ (Status::PendingPayment
        | Status::Ended
        | Status::Completed
        | Status::Cancelled
        | Status::Expired) => steps.refuse(status, "be unlocked"),
    }
}

fn request(steps: &mut Steps<'_>, action: Action, deadline: Option<Timestamp>) -> Result<(), Rejection> {
    let command = AttemptCommand::Request {
        action,
        vehicle_id: steps.booking.vehicle_id.clone(),
        booking_id: steps.booking.id,
        epoch: steps.booking.epoch,
        deadline,
    };
    steps.commands(&command)
}

fn end_trip(steps: &mut Steps<'_>, by: Party, ride_end_allowed: bool) -> Result<(), Rejection> {
    match (steps.booking.status(), by) {
        // While a command is out the vehicle may be locked already: a repeat waits for that.
        (Status::Active, Party::Rider)
            if !ride_end_allowed && steps.booking.commands.pending_until().is_none() =>
        {
            Err(Rejection::ParkingNotAllowed)
        }
        (Status::Active, Party::Rider) => request(steps, Action::Lock, None),
        (Status::Active, Party::Operator) => {
            let start = steps.booking.trip.as_ref().map_or(0, |trip| trip.start_odometer_m);
            let now = steps.cx.now;
            steps.end_trip(now, start, None, Party::Operator)
        }
        (Status::Ended | Status::Completed, Party::Rider | Party::Operator) => Ok(()),
        (
            status @ (Status::PendingPayment | Status::Confirmed | Status::Cancelled | Status::Expired),
            Party::Rider | Party::Operator,
        ) => steps.refuse(status, "end a trip: none has begun"),
    }
}
