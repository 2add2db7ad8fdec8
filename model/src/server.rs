//! A server: it loads, decides, commits on condition of the versions it read, and carries out what is due, as
//! `rideplane-app` does. Between any two of these steps anything else may happen; that a provider's call, its answer and
//! the read of its booking are one step loses nothing but answers that come late and alone, for who is overtaken reads again.

use rideplane_core::booking::journey::{self, Outcome};
use rideplane_core::booking::{Booking, Command, Party};
use rideplane_core::fleet::{self, Vehicle};
use rideplane_core::payment::{CallId, Fact, GatewayCall};
use rideplane_core::reservation::ReleaseReason;
use rideplane_core::unlock::AckClaims;

use crate::defects::{Defect, spoil};
use crate::print::Printed;
use crate::rig::Rig;
use crate::world::{Message, World};

/// What a server is asked, with the number of the booking.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there are two at a time")]
pub(crate) enum Ask {
    Reserve(usize),
    Pay(usize, bool),
    Cancel(usize),
    Unlock(usize),
    End(usize),
    OperatorEnds(usize),
    Tick(usize),
    VehicleTick,
    Ack(usize, Printed<AckClaims>),
    Told(usize, Fact),
}

/// What a server is at.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// It has decided on what it read, and is about to commit.
    Decided { ask: Ask, vehicle: Option<Change<Vehicle>>, booking: Option<Change<Booking>> },
    /// It is about to call the provider.
    Calling { booking: usize, call: GatewayCall, id: CallId },
    /// It has waited in vain for an answer, which its booking is yet to be told.
    Unanswered { booking: usize, fact: Fact },
}

/// A new state, to be written on condition that nobody has written since the old one was read.
#[derive(Clone, Debug)]
pub(crate) struct Change<T> {
    after: Printed<T>,
    current: bool,
}

impl Ask {
    const fn booking(&self) -> Option<usize> {
        match self {
            Self::Reserve(r)
            | Self::Pay(r, _)
            | Self::Cancel(r)
            | Self::Unlock(r)
            | Self::End(r)
            | Self::OperatorEnds(r)
            | Self::Tick(r)
            | Self::Ack(r, _)
            | Self::Told(r, _) => Some(*r),
            Self::VehicleTick => None,
        }
    }

    /// Whether the command that is out, if any, is sent to the vehicle afterwards.
    const fn delivers(&self) -> bool {
        match self {
            Self::Unlock(_) | Self::End(_) | Self::Tick(_) => true,
            Self::Reserve(_)
            | Self::Pay(..)
            | Self::Cancel(_)
            | Self::OperatorEnds(_)
            | Self::VehicleTick
            | Self::Ack(..)
            | Self::Told(..) => false,
        }
    }

    fn words(&self) -> String {
        let (what, r) = match self {
            Self::Reserve(r) => ("the claim", r),
            Self::Pay(r, _) => ("the payment", r),
            Self::Cancel(r) => ("the cancellation", r),
            Self::Unlock(r) => ("the unlock", r),
            Self::End(r) => ("the end of the ride", r),
            Self::OperatorEnds(r) => ("the operator's end of the ride", r),
            Self::Tick(r) => ("the deadline", r),
            Self::Ack(r, _) => ("the ack", r),
            Self::Told(r, _) => ("the provider's answer", r),
            Self::VehicleTick => return "the vehicle's deadline".to_owned(),
        };
        format!("{what} of booking {}", r + 1)
    }
}

impl Task {
    /// What it does next.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Decided { ask, vehicle, booking } => {
                let current = vehicle.as_ref().is_none_or(|change| change.current)
                    && booking.as_ref().is_none_or(|change| change.current);
                let base = if current { "" } else { ", whose version has moved on" };
                format!("commits {}{base}", ask.words())
            }
            Self::Calling { booking, id, .. } => {
                format!("calls the provider: {} {} of booking {}", id.op.as_str(), id.seq, booking + 1)
            }
            Self::Unanswered { booking, .. } => {
                format!("tells booking {} that there is no answer", booking + 1)
            }
        }
    }
}

/// The core's judgement of what is stored now; `None` when it refuses.
fn decide(world: &World, rig: &Rig, ask: &Ask) -> Option<Outcome> {
    let vehicle = &*world.vehicle;
    if let Ask::VehicleTick = ask {
        let cx = rig.context(world.now, 0);
        return journey::decide_vehicle(&Some(vehicle.clone()), None, &fleet::Command::Tick, &cx).ok();
    }
    if let Ask::Reserve(r) = ask {
        let cx = rig.context(world.now, *r as u128 + 1);
        return journey::reserve(vehicle, &rig.users[*r], None, rig.quote(&cx), &cx).ok();
    }
    let r = ask.booking()?;
    let booking: &Booking = world.bookings[r].as_ref()?;
    // One name for each command of each booking, so that equal states are equal.
    let fresh = ((r as u128 + 1) << 32) | (u128::from(booking.commands.seq()) + 1);
    let cx = rig.context(world.now, fresh);
    let command = match ask {
        Ask::Pay(_, good) => {
            return journey::confirm_payment(vehicle, booking, &Rig::method(*good), &cx).ok();
        }
        Ask::Unlock(_) => return journey::unlock(vehicle, booking, &cx).ok(),
        Ask::Cancel(_) => Command::Cancel(ReleaseReason::CancelledByRider),
        Ask::End(_) => Command::EndTrip { by: Party::Rider, ride_end_allowed: true },
        Ask::OperatorEnds(_) => Command::EndTrip { by: Party::Operator, ride_end_allowed: true },
        Ask::Tick(_) => Command::Tick,
        Ask::Ack(_, ack) => Command::VehicleAck((**ack).clone()),
        Ask::Told(_, fact) => Command::Observe(fact.clone()),
        Ask::Reserve(_) | Ask::VehicleTick => return None,
    };
    journey::decide(vehicle, booking, &command, &cx).ok()
}

impl World {
    /// A server reads what is stored and decides; `None` when that is a refusal.
    pub(crate) fn start(&self, rig: &Rig, slot: usize, ask: &Ask) -> Option<Self> {
        let outcome = decide(self, rig, ask)?;
        let mut after = self.clone();
        if outcome.is_empty() {
            after.carry_on(slot, ask, false);
            return Some(after);
        }
        let outcome = spoil(rig, outcome);
        if let (true, Ask::Unlock(_), Some(booking)) =
            (rig.has(Defect::SentBeforeCommit), ask, &outcome.booking_after)
        {
            let command = booking.effects(self.now).command;
            after.send_all(command);
        }
        after.servers[slot] = Some(Printed::new(Task::Decided {
            ask: ask.clone(),
            vehicle: outcome.vehicle_after.map(|after| Change { after: Printed::new(*after), current: true }),
            booking: outcome.booking_after.map(|after| Change { after: Printed::new(*after), current: true }),
        }));
        Some(after)
    }

    /// A server makes its next step.
    pub(crate) fn go(&self, rig: &Rig, slot: usize, task: &Task) -> Self {
        match task {
            Task::Decided { ask, vehicle, booking } => self.commit(rig, slot, ask, vehicle, booking),
            Task::Calling { booking, call, id } => {
                let mut after = self.clone();
                let fact = after.called(rig, call, *id);
                after.servers[slot] = None;
                after.start(rig, slot, &Ask::Told(*booking, fact)).unwrap_or(after)
            }
            Task::Unanswered { booking, fact } => {
                let mut free = self.clone();
                free.servers[slot] = None;
                free.start(rig, slot, &Ask::Told(*booking, fact.clone())).unwrap_or(free)
            }
        }
    }

    /// A call whose answer does not arrive, whether or not the provider got it.
    pub(crate) fn unanswered(mut self, rig: &Rig, slot: usize, task: &Task, reaches: bool) -> Self {
        if let Task::Calling { booking, call, id } = task {
            if reaches {
                self.called(rig, call, *id);
            }
            let fact = Fact::Unknown { op: id.op, seq: id.seq };
            self.servers[slot] = Some(Printed::new(Task::Unanswered { booking: *booking, fact }));
        }
        self
    }

    fn called(&mut self, rig: &Rig, call: &GatewayCall, id: CallId) -> Fact {
        let mut provider = (*self.provider).clone();
        let fact = provider.call(call, id, rig.defect);
        self.provider = Printed::new(provider);
        fact
    }

    /// Writes both states or none. Who comes too late reads and decides again.
    fn commit(
        &self,
        rig: &Rig,
        slot: usize,
        ask: &Ask,
        vehicle: &Option<Change<Vehicle>>,
        booking: &Option<Change<Booking>>,
    ) -> Self {
        let stale = |change: bool, defect| !change && !rig.has(defect);
        if vehicle.as_ref().is_some_and(|change| stale(change.current, Defect::ClaimWithoutPredicate))
            || booking.as_ref().is_some_and(|change| stale(change.current, Defect::LostUpdate))
        {
            let mut free = self.clone();
            free.servers[slot] = None;
            return free.start(rig, slot, ask).unwrap_or(free);
        }
        let mut after = self.clone();
        let number = ask.booking();
        if let Some(change) = vehicle {
            after.vehicle = change.after.clone();
        }
        if let (Some(change), Some(r)) = (booking, number) {
            after.bookings[r] = Some(change.after.clone());
        }
        let other = slot ^ 1;
        after.servers[other] = after.servers[other]
            .take()
            .map(|task| overtaken(task, vehicle.is_some(), number.filter(|_| booking.is_some())));
        after.carry_on(slot, ask, true);
        after
    }

    /// What follows a commit: what the stored state calls for.
    fn carry_on(&mut self, slot: usize, ask: &Ask, changed: bool) {
        self.servers[slot] = None;
        let Some((r, booking)) = ask.booking().and_then(|r| Some((r, self.bookings[r].clone()?))) else {
            return;
        };
        let effects = booking.effects(self.now);
        if ask.delivers() {
            self.send_all(effects.command);
        }
        // An answer that taught nothing must not be asked for at once again.
        let goes_on = changed || !matches!(ask, Ask::Told(..));
        if let (true, Some((call, id))) = (goes_on, effects.gateway) {
            self.servers[slot] = Some(Printed::new(Task::Calling { booking: r, call, id }));
        }
    }

    fn send_all(&mut self, command: Option<rideplane_core::unlock::CommandClaims>) {
        if let Some(claims) = command {
            self.send(Message::Command(Printed::new(claims)));
        }
    }
}

/// What another server's commit makes of a decision: what it read is no longer what is stored.
fn overtaken(task: Printed<Task>, vehicle_moved: bool, booking_moved: Option<usize>) -> Printed<Task> {
    match &*task {
        Task::Decided { ask, vehicle, booking } => {
            let mut vehicle = vehicle.clone();
            let mut booking = booking.clone();
            if let (Some(change), true) = (&mut vehicle, vehicle_moved) {
                change.current = false;
            }
            if let (Some(change), true) =
                (&mut booking, booking_moved.is_some() && booking_moved == ask.booking())
            {
                change.current = false;
            }
            Printed::new(Task::Decided { ask: ask.clone(), vehicle, booking })
        }
        Task::Calling { .. } | Task::Unanswered { .. } => task,
    }
}
