//! A server: it loads, decides, commits on condition of the versions it read, and carries out what is due, as
//! `rideplane-app` does. Between any two of these steps anything else may happen; that a provider's call, its answer and
//! the read of its booking are one step loses nothing but answers that come late and alone, for who is overtaken reads again.

use std::sync::Arc;

use rideplane_core::booking::journey::{self, Outcome};
use rideplane_core::booking::{Booking, Command, Party};
use rideplane_core::fleet::{self, MaintenanceReason, Vehicle};
use rideplane_core::ids::PaymentMethodId;
use rideplane_core::payment::{CallId, Fact, GatewayCall, Op};
use rideplane_core::reservation::ReleaseReason;
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{AckClaims, CommandClaims};

use crate::action::Press;
use crate::defects::{Defect, spoil};
use crate::print::Printed;
use crate::rig::Rig;
use crate::world::{Message, World};

/// What a server decides on.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Press(Press),
    /// The vehicle's answer to a command of this booking.
    Ack(usize, Printed<AckClaims>),
    /// What came of a call to the provider for this booking.
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
    Next(Printed<Task>),
}

/// What a stored booking calls for.
#[derive(Clone)]
pub(crate) struct CallsFor {
    command: Option<Printed<CommandClaims>>,
    gateway: Option<Printed<Task>>,
}

impl Ask {
    fn booking(&self) -> Option<usize> {
        match self {
            Self::Press(
                Press::Reserve(r)
                | Press::Pay(r, _)
                | Press::Cancel(r)
                | Press::Unlock(r)
                | Press::End(r)
                | Press::OperatorEnds(r)
                | Press::Withdraw(r)
                | Press::Hint(r)
                | Press::Tick(r),
            ) => Some(usize::from(*r)),
            Self::Ack(r, _) | Self::Told(r, _) => Some(*r),
            Self::Press(Press::VehicleTick | Press::Return) => None,
        }
    }

    /// Whether the command that is out, if any, is sent to the vehicle afterwards.
    const fn delivers(&self) -> bool {
        matches!(self, Self::Press(Press::Unlock(_) | Press::End(_) | Press::Tick(_)))
    }

    /// What tells it from others.
    fn print(&self) -> u128 {
        let (kind, r, with) = match self {
            Self::Press(Press::Reserve(r)) => (0, *r, 0),
            Self::Press(Press::Pay(r, card)) => (1, *r, *card as u128),
            Self::Press(Press::Cancel(r)) => (2, *r, 0),
            Self::Press(Press::Unlock(r)) => (3, *r, 0),
            Self::Press(Press::End(r)) => (4, *r, 0),
            Self::Press(Press::OperatorEnds(r)) => (5, *r, 0),
            Self::Press(Press::Hint(r)) => (6, *r, 0),
            Self::Press(Press::Tick(r)) => (7, *r, 0),
            Self::Press(Press::VehicleTick) => (8, 0, 0),
            Self::Press(Press::Withdraw(r)) => (9, *r, 0),
            Self::Press(Press::Return) => (10, 0, 0),
            Self::Ack(r, ack) => return ack.print() ^ *r as u128,
            Self::Told(r, fact) => return fact.print() ^ *r as u128,
        };
        kind << 16 | with << 8 | u128::from(r)
    }

    fn words(&self) -> String {
        let what = match self {
            Self::Press(Press::Reserve(_)) => "the claim",
            Self::Press(Press::Pay(..)) => "the payment",
            Self::Press(Press::Cancel(_)) => "the cancellation",
            Self::Press(Press::Unlock(_)) => "the unlock",
            Self::Press(Press::End(_)) => "the end of the ride",
            Self::Press(Press::OperatorEnds(_)) => "the operator's end of the ride",
            Self::Press(Press::Hint(_)) => "the webhook",
            Self::Press(Press::Tick(_)) => "the deadline",
            Self::Ack(..) => "the ack",
            Self::Told(..) => "the provider's answer",
            Self::Press(Press::VehicleTick) => "the deadline",
            Self::Press(Press::Withdraw(_)) => "the withdrawal",
            Self::Press(Press::Return) => "the return",
        };
        self.booking()
            .map_or_else(|| format!("{what} of the vehicle"), |r| format!("{what} of booking {}", r + 1))
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

/// The core's judgement of what is stored now, by a server's clock; `None` when it refuses.
fn decide(world: &World, rig: &Rig, ask: &Ask, now: Timestamp) -> Option<Outcome> {
    let vehicle = &*world.vehicle;
    let operated = match ask {
        Ask::Press(Press::VehicleTick) => Some(fleet::Command::Tick),
        Ask::Press(Press::Return) => Some(fleet::Command::EnterService),
        Ask::Press(Press::Withdraw(_)) => {
            Some(fleet::Command::EnterMaintenance { reason: MaintenanceReason::Operator })
        }
        Ask::Press(_) | Ask::Ack(..) | Ask::Told(..) => None,
    };
    if let Some(command) = operated {
        let holder = ask.booking().and_then(|r| world.bookings[r].as_deref());
        let cx = rig.context(now, 0);
        return journey::decide_vehicle(&Some(vehicle.clone()), holder, &command, &cx).ok();
    }
    let r = ask.booking()?;
    if let Ask::Press(Press::Reserve(_)) = ask {
        let cx = rig.context(now, r as u128 + 1);
        return journey::reserve(vehicle, &rig.users[r], None, rig.quote(&cx), &cx).ok();
    }
    let booking: &Booking = world.bookings[r].as_ref()?;
    // One name for each command of each booking, so that equal states are equal.
    let fresh = ((r as u128 + 1) << 32) | (u128::from(booking.commands.seq()) + 1);
    let cx = rig.context(now, fresh);
    let command = match ask {
        Ask::Press(Press::Pay(_, card)) => {
            let method = PaymentMethodId::new(card.method()).unwrap();
            return journey::confirm_payment(vehicle, booking, &method, &cx).ok();
        }
        Ask::Press(Press::Unlock(_)) => return journey::unlock(vehicle, booking, &cx).ok(),
        Ask::Press(Press::Cancel(_)) => Command::Cancel(ReleaseReason::CancelledByRider),
        Ask::Press(Press::End(_)) => Command::EndTrip { by: Party::Rider, ride_end_allowed: true },
        Ask::Press(Press::OperatorEnds(_)) => {
            Command::EndTrip { by: Party::Operator, ride_end_allowed: true }
        }
        Ask::Press(Press::Tick(_)) => Command::Tick,
        Ask::Ack(_, ack) => Command::VehicleAck((**ack).clone()),
        Ask::Told(_, fact) => Command::Observe((**fact).clone()),
        Ask::Press(
            Press::Reserve(_) | Press::Withdraw(_) | Press::Return | Press::Hint(_) | Press::VehicleTick,
        ) => return None,
    };
    journey::decide(vehicle, booking, &command, &cx).ok()
}

/// What a server with the rig's defect makes of the core's judgement.
fn judge(world: &World, rig: &Rig, ask: &Ask, now: Timestamp) -> Decision {
    if let Ask::Press(Press::Hint(r)) = ask {
        // A webhook is believed in nothing but that there is something to read.
        return look_up(world, usize::from(*r)).map_or(Decision::Refused, Decision::Next);
    }
    let Some(outcome) = decide(world, rig, ask, now) else { return Decision::Refused };
    if outcome.is_empty() {
        return Decision::Nothing;
    }
    let outcome = spoil(rig, outcome);
    Decision::Next(Printed::new(Task::Decided {
        ask: ask.clone(),
        vehicle: outcome.vehicle_after.map(|after| Printed::new(Arc::unwrap_or_clone(after))),
        booking: outcome.booking_after.map(|after| Printed::new(Arc::unwrap_or_clone(after))),
    }))
}

fn look_up(world: &World, r: usize) -> Option<Printed<Task>> {
    let intent = world.bookings[r].as_ref()?.payment.intent()?.clone();
    let (call, id) = (GatewayCall::FetchIntent { intent }, CallId { op: Op::Fetch, seq: 0 });
    Some(Printed::new(Task::Calling { booking: r, call, id }))
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
        let now = self.clock_of(slot);
        let question = (ask.print(), self.vehicle.print(), booking, now.as_micros());
        let decision = rig.memo.decisions.ask(question, || judge(self, rig, ask, now));
        match decision {
            Decision::Refused => None,
            Decision::Nothing => {
                let mut after = self.clone();
                after.carry_on(rig, slot, ask, false);
                Some(after)
            }
            Decision::Next(task) => {
                let mut after = self.clone();
                let unlocks = matches!(ask, Ask::Press(Press::Unlock(_)));
                if let (true, Task::Decided { ask, booking: Some(booking), .. }) =
                    (unlocks && rig.has(Defect::SentBeforeCommit), &*task)
                    && let Some(r) = ask.booking()
                {
                    let command = after.calls_for(rig, r, booking, now).command;
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
        let calls_for = self.calls_for(rig, r, &booking, self.clock_of(slot));
        if ask.delivers() {
            self.send_all(calls_for.command);
        }
        // An answer that taught nothing must not be asked for at once again.
        if changed || !matches!(ask, Ask::Told(..)) {
            self.servers[slot] = calls_for.gateway.map(Busy::at);
        }
    }

    fn calls_for(&self, rig: &Rig, r: usize, booking: &Printed<Booking>, now: Timestamp) -> CallsFor {
        rig.memo.effects.ask((booking.print(), now.as_micros()), || calls_for(r, booking, now))
    }

    fn send_all(&mut self, command: Option<Printed<CommandClaims>>) {
        if let Some(claims) = command {
            self.send(Message::Command(claims));
        }
    }
}
