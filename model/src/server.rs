//! A server: it loads, decides, commits on condition of the versions it read, and carries out what is due, as
//! `rideplane-app` does. Between any two of these steps anything else may happen; that a provider's call, its answer and
//! the read of its booking are one step loses nothing but answers that come late and alone, for who is overtaken reads again.

use rideplane_core::booking::journey::{self, Outcome};
use rideplane_core::booking::{Booking, Command, Party};
use rideplane_core::fleet::{self, Vehicle};
use rideplane_core::payment::{CallId, Fact, GatewayCall};
use rideplane_core::reservation::ReleaseReason;
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{AckClaims, CommandClaims};

use crate::defects::{Defect, spoil};
use crate::print::Printed;
use crate::rig::Rig;
use crate::world::{Message, World};

/// What a server is asked, with the number of the booking.
#[derive(Clone, Debug)]
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
    Told(usize, Printed<Fact>),
}

/// What a server is at.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// It has decided on what it read, and is about to commit these states on condition that nobody has written since.
    Decided { ask: Ask, vehicle: Option<Printed<Vehicle>>, booking: Option<Printed<Booking>> },
    /// It is about to call the provider.
    Calling { booking: usize, call: GatewayCall, id: CallId },
    /// It has waited in vain for an answer, which its booking is yet to be told.
    Unanswered { booking: usize, fact: Printed<Fact> },
}

/// A server at a task, and whether somebody has written what it is about to write since it read it.
#[derive(Clone)]
pub(crate) struct Busy {
    pub(crate) task: Printed<Task>,
    vehicle_moved: bool,
    booking_moved: bool,
}

/// What a server makes of what it was asked.
#[derive(Clone)]
pub(crate) enum Decision {
    Refused,
    Nothing,
    Commit(Printed<Task>),
}

/// What a stored booking calls for.
#[derive(Clone)]
pub(crate) struct CallsFor {
    command: Option<Printed<CommandClaims>>,
    gateway: Option<Printed<Task>>,
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

    /// What tells it from others.
    fn print(&self) -> u128 {
        let (kind, booking, with) = match self {
            Self::Reserve(r) => (0, *r, 0),
            Self::Pay(r, good) => (1, *r, u128::from(*good)),
            Self::Cancel(r) => (2, *r, 0),
            Self::Unlock(r) => (3, *r, 0),
            Self::End(r) => (4, *r, 0),
            Self::OperatorEnds(r) => (5, *r, 0),
            Self::Tick(r) => (6, *r, 0),
            Self::VehicleTick => (7, 0, 0),
            Self::Ack(r, ack) => (8, *r, ack.print()),
            Self::Told(r, fact) => (9, *r, fact.print()),
        };
        with ^ (kind << 4 | booking as u128)
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

impl Busy {
    const fn at(task: Printed<Task>) -> Self {
        Self { task, vehicle_moved: false, booking_moved: false }
    }

    /// What tells it from others.
    pub(crate) fn print(&self) -> u128 {
        self.task.print() ^ (u128::from(self.vehicle_moved) << 1) ^ u128::from(self.booking_moved)
    }

    /// Somebody else has committed: what this server read may no longer be what is stored.
    fn overtaken(&mut self, vehicle_moved: bool, booking_moved: Option<usize>) {
        if let Task::Decided { ask, vehicle, booking } = &*self.task {
            self.vehicle_moved |= vehicle.is_some() && vehicle_moved;
            self.booking_moved |=
                booking.is_some() && booking_moved.is_some() && booking_moved == ask.booking();
        }
    }

    /// What it does next.
    pub(crate) fn words(&self) -> String {
        match &*self.task {
            Task::Decided { ask, .. } => {
                let current = !self.vehicle_moved && !self.booking_moved;
                let base = if current { "" } else { ", whose version has moved on" };
                format!("commits {}{base}", ask.words())
            }
            Task::Calling { booking, id, .. } => {
                format!("calls the provider: {} {} of booking {}", id.op.as_str(), id.seq, booking + 1)
            }
            Task::Unanswered { booking, .. } => {
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
        Ask::Told(_, fact) => Command::Observe((**fact).clone()),
        Ask::Reserve(_) | Ask::VehicleTick => return None,
    };
    journey::decide(vehicle, booking, &command, &cx).ok()
}

/// What a server with the rig's defect makes of the core's judgement.
fn judge(world: &World, rig: &Rig, ask: &Ask) -> Decision {
    let Some(outcome) = decide(world, rig, ask) else { return Decision::Refused };
    if outcome.is_empty() {
        return Decision::Nothing;
    }
    let outcome = spoil(rig, outcome);
    Decision::Commit(Printed::new(Task::Decided {
        ask: ask.clone(),
        vehicle: outcome.vehicle_after.map(|after| Printed::new(*after)),
        booking: outcome.booking_after.map(|after| Printed::new(*after)),
    }))
}

/// What a booking calls for at a time.
fn calls_for(r: usize, booking: &Booking, now: Timestamp) -> CallsFor {
    let effects = booking.effects(now);
    CallsFor {
        command: effects.command.map(Printed::new),
        gateway: effects.gateway.map(|(call, id)| Printed::new(Task::Calling { booking: r, call, id })),
    }
}

impl World {
    /// A server reads what is stored and decides; `None` when that is a refusal.
    pub(crate) fn start(&self, rig: &Rig, slot: usize, ask: &Ask) -> Option<Self> {
        let booking = ask.booking().and_then(|r| self.bookings[r].as_ref()).map_or(0, Printed::print);
        let question = (ask.print(), self.vehicle.print(), booking, self.now.as_micros());
        let decision = rig.memo.decisions.ask(question, || judge(self, rig, ask));
        match decision {
            Decision::Refused => None,
            Decision::Nothing => {
                let mut after = self.clone();
                after.carry_on(rig, slot, ask, false);
                Some(after)
            }
            Decision::Commit(task) => {
                let mut after = self.clone();
                if let (true, Task::Decided { ask: Ask::Unlock(r), booking: Some(booking), .. }) =
                    (rig.has(Defect::SentBeforeCommit), &*task)
                {
                    let command = after.calls_for(rig, *r, booking).command;
                    after.send_all(command);
                }
                after.servers[slot] = Some(Busy::at(task));
                Some(after)
            }
        }
    }

    /// A server makes its next step.
    pub(crate) fn go(&self, rig: &Rig, slot: usize, busy: &Busy) -> Self {
        match &*busy.task {
            Task::Decided { ask, vehicle, booking } => {
                let stale = |moved: bool, defect| moved && !rig.has(defect);
                if stale(busy.vehicle_moved, Defect::ClaimWithoutPredicate)
                    || stale(busy.booking_moved, Defect::LostUpdate)
                {
                    return self.retry(rig, slot, ask);
                }
                self.commit(rig, slot, ask, (vehicle, booking))
            }
            Task::Calling { booking, call, id } => {
                let mut after = self.clone();
                let fact = after.called(rig, &busy.task, call, *id);
                after.servers[slot] = None;
                after.start(rig, slot, &Ask::Told(*booking, fact)).unwrap_or(after)
            }
            Task::Unanswered { booking, fact } => self.retry(rig, slot, &Ask::Told(*booking, fact.clone())),
        }
    }

    /// Who comes too late reads and decides again.
    fn retry(&self, rig: &Rig, slot: usize, ask: &Ask) -> Self {
        let mut free = self.clone();
        free.servers[slot] = None;
        free.start(rig, slot, ask).unwrap_or(free)
    }

    /// A call whose answer does not arrive, whether or not the provider got it.
    pub(crate) fn unanswered(mut self, rig: &Rig, slot: usize, task: &Printed<Task>, reaches: bool) -> Self {
        if let Task::Calling { booking, call, id } = &**task {
            if reaches {
                self.called(rig, task, call, *id);
            }
            let fact = Printed::new(Fact::Unknown { op: id.op, seq: id.seq });
            self.servers[slot] = Some(Busy::at(Printed::new(Task::Unanswered { booking: *booking, fact })));
        }
        self
    }

    fn called(&mut self, rig: &Rig, task: &Printed<Task>, call: &GatewayCall, id: CallId) -> Printed<Fact> {
        let (fact, provider) = rig.memo.calls.ask((task.print(), self.provider.print()), || {
            let mut provider = (*self.provider).clone();
            let fact = provider.call(call, id, rig.defect);
            (Printed::new(fact), Printed::new(provider))
        });
        self.provider = provider;
        fact
    }

    /// Writes both states or none.
    fn commit(
        &self,
        rig: &Rig,
        slot: usize,
        ask: &Ask,
        (vehicle, booking): (&Option<Printed<Vehicle>>, &Option<Printed<Booking>>),
    ) -> Self {
        let mut after = self.clone();
        let number = ask.booking();
        if let Some(vehicle) = vehicle {
            after.vehicle = vehicle.clone();
        }
        if let (Some(booking), Some(r)) = (booking, number) {
            after.bookings[r] = Some(booking.clone());
        }
        if let Some(other) = &mut after.servers[slot ^ 1] {
            other.overtaken(vehicle.is_some(), number.filter(|_| booking.is_some()));
        }
        after.carry_on(rig, slot, ask, true);
        after
    }

    /// What follows a commit: what the stored state calls for.
    fn carry_on(&mut self, rig: &Rig, slot: usize, ask: &Ask, changed: bool) {
        self.servers[slot] = None;
        let Some((r, booking)) = ask.booking().and_then(|r| Some((r, self.bookings[r].clone()?))) else {
            return;
        };
        let calls_for = self.calls_for(rig, r, &booking);
        if ask.delivers() {
            self.send_all(calls_for.command);
        }
        // An answer that taught nothing must not be asked for at once again.
        if changed || !matches!(ask, Ask::Told(..)) {
            self.servers[slot] = calls_for.gateway.map(Busy::at);
        }
    }

    fn calls_for(&self, rig: &Rig, r: usize, booking: &Printed<Booking>) -> CallsFor {
        let question = (booking.print(), self.now.as_micros());
        rig.memo.effects.ask(question, || calls_for(r, booking, self.now))
    }

    fn send_all(&mut self, command: Option<Printed<CommandClaims>>) {
        if let Some(claims) = command {
            self.send(Message::Command(claims));
        }
    }
}
