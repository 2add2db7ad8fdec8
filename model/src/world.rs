//! A state of the world, and every step that leads on from it.

use rideplane_core::booking::{Booking, journey};
use rideplane_core::fleet::{Service, Vehicle};
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{AckClaims, Action as Bolt, CommandClaims};

use crate::action::{Action, Card, Press};
use crate::defects::Defect;
use crate::lock::{Lock, hear};
use crate::print::{Print, Printed};
use crate::provider::Provider;
use crate::rig::{HORIZON, Rig, START};
use crate::rules::{self, Rule};
use crate::scope::{Budget, Clocks};
use crate::server::{Ask, Busy, Task};

/// Between a server and the vehicle.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Command(Printed<CommandClaims>),
    Ack(usize, Printed<AckClaims>),
}

impl Message {
    fn print(&self) -> u128 {
        match self {
            Self::Command(claims) => claims.print(),
            Self::Ack(_, claims) => claims.print(),
        }
    }
}

/// Everything there is.
#[derive(Clone)]
pub(crate) struct World {
    /// The true time.
    pub(crate) now: Timestamp,
    /// What is wrong about clocks, for the whole of a history.
    pub(crate) clocks: Clocks,
    pub(crate) vehicle: Printed<Vehicle>,
    pub(crate) bookings: [Option<Printed<Booking>>; 2],
    /// What each server is at. A version is not kept: that nobody has committed since it was read says as much, and
    /// histories of other lengths meet in one state.
    pub(crate) servers: [Option<Busy>; 2],
    pub(crate) provider: Printed<Provider>,
    pub(crate) lock: Printed<Lock>,
    /// Messages under way, each once, in the order of their prints.
    pub(crate) air: Vec<Message>,
    budget: Budget,
    /// Whether the provider's word about each booking's intent is under way.
    hints: [bool; 2],
    /// Whether the vehicle ever stood open by a command of each booking.
    pub(crate) opened: [bool; 2],
    /// A rule that the step which led here broke.
    pub(crate) broken: Option<Rule>,
}

type Steps = Vec<(Action, World)>;

const SERVERS: [u8; 2] = [0, 1];
const RIDERS: [u8; 2] = [0, 1];

impl World {
    /// A vehicle, two riders, and nothing has happened: once for everything that may be wrong about clocks.
    pub(crate) fn beginnings(rig: &Rig) -> Vec<Self> {
        rig.clocks().iter().map(|clocks| Self::new(rig, *clocks)).collect()
    }

    fn new(rig: &Rig, clocks: Clocks) -> Self {
        Self {
            now: START,
            clocks,
            vehicle: Printed::new(rig.vehicle()),
            bookings: [None, None],
            servers: [None, None],
            provider: Printed::new(Provider::default()),
            lock: Printed::new(Lock::default()),
            air: Vec::new(),
            budget: rig.scope.budget(),
            hints: [false; 2],
            opened: [false; 2],
            broken: None,
        }
    }

    /// The bookings that are stored.
    pub(crate) fn stored(&self) -> impl Iterator<Item = &Booking> {
        self.bookings.iter().flatten().map(|booking| &**booking)
    }

    /// The time by the clock of a server.
    pub(crate) const fn clock_of(&self, server: usize) -> Timestamp {
        self.clocks.of_server(server, self.now)
    }

    /// What tells this state from others. Servers whose clocks agree are alike, so which of them is at what does not matter.
    pub(crate) fn print(&self, print: &mut Print) -> u128 {
        print.clear();
        print.word(u128::from(self.now.as_micros().unsigned_abs()));
        for part in [self.vehicle.print(), self.provider.print(), self.lock.print()] {
            print.word(part);
        }
        for booking in &self.bookings {
            print.word(booking.as_ref().map_or(0, Printed::print));
        }
        let mut servers = self.servers.each_ref().map(|task| task.as_ref().map_or(0, Busy::print));
        if self.clocks.servers_agree() {
            servers.sort_unstable();
        }
        servers.into_iter().for_each(|server| print.word(server));
        print.word(self.air.len() as u128);
        self.air.iter().for_each(|message| print.word(message.print()));
        print.bytes(&self.budget.bytes());
        print.bytes(&self.clocks.bytes());
        print.bytes(&self.hints.map(u8::from));
        print.bytes(&self.opened.map(u8::from));
        // A state that may be reached rightly is another one when it is reached by a breach.
        print.bytes(&[u8::from(self.broken.is_some())]);
        print.finish()
    }

    pub(crate) fn send(&mut self, message: Message) {
        let print = message.print();
        if let Err(place) = self.air.binary_search_by_key(&print, Message::print) {
            self.air.insert(place, message);
        }
    }

    /// Every step that is possible, with the state after it.
    pub(crate) fn steps(&self, rig: &Rig) -> Steps {
        let mut steps = Vec::with_capacity(16);
        for server in self.idle() {
            for rider in RIDERS {
                self.presses(rig, server, rider, &mut steps);
            }
            self.deadlines(rig, server, &mut steps);
        }
        self.customers(&mut steps);
        self.messages(rig, &mut steps);
        for server in SERVERS {
            self.server(rig, server, &mut steps);
        }
        steps.extend(self.later(rig).map(|after| (Action::Time, after)));
        steps
    }

    /// The servers that may be asked: of two that are alike, one.
    fn idle(&self) -> impl Iterator<Item = u8> {
        let most = if self.clocks.servers_agree() { 1 } else { 2 };
        SERVERS.into_iter().filter(|server| self.servers[usize::from(*server)].is_none()).take(most)
    }

    /// What an idle server is asked. What it would refuse is not asked: it would change nothing.
    fn ask(&self, rig: &Rig, server: u8, press: Press, steps: &mut Steps, spend: impl FnOnce(&mut Self)) {
        if let Some(mut after) = self.start(rig, usize::from(server), &Ask::Press(press)) {
            spend(&mut after);
            steps.push((Action::Asked { server, press }, after));
        }
    }

    /// What a rider wants of a server, or the operator for a rider, or the provider.
    fn presses(&self, rig: &Rig, server: u8, rider: u8, steps: &mut Steps) {
        let r = usize::from(rider);
        let left = self.budget.riders[r];
        let Some(booking) = &self.bookings[r] else {
            // The riders are alike: the first is the one who asks first.
            if left.reserve > 0 && (rider == 0 || self.budget.riders[0].reserve == 0) {
                self.ask(rig, server, Press::Reserve(rider), steps, |after| {
                    after.budget.riders[r].reserve -= 1;
                });
            }
            return;
        };
        let cards = [
            (Card::Good, true),
            (Card::Empty, self.budget.declines > 0),
            (Card::Challenged, self.budget.challenges > 0),
        ];
        for (card, _) in cards.into_iter().filter(|(_, there)| left.pay > 0 && *there) {
            self.ask(rig, server, Press::Pay(rider, card), steps, |after| after.budget.pays(r, card));
        }
        if left.cancel > 0 {
            self.ask(rig, server, Press::Cancel(rider), steps, |after| after.budget.riders[r].cancel -= 1);
        }
        if left.unlock > 0 {
            self.ask(rig, server, Press::Unlock(rider), steps, |after| after.budget.riders[r].unlock -= 1);
        }
        let rides = booking.trip.as_ref().is_some_and(|trip| trip.end.is_none());
        if rides && left.end > 0 {
            self.ask(rig, server, Press::End(rider), steps, |after| after.budget.riders[r].end -= 1);
        } else if rides {
            self.ask(rig, server, Press::OperatorEnds(rider), steps, |_| {});
        }
        if self.budget.withdrawals > 0 && journey::holds(&self.vehicle, booking) {
            self.ask(rig, server, Press::Withdraw(rider), steps, |after| after.budget.withdrawals -= 1);
        }
        if self.hints[r] {
            self.ask(rig, server, Press::Hint(rider), steps, |after| after.hints[r] = false);
        }
    }

    /// Whether a booking is due by a clock.
    fn overdue(&self, rider: usize, now: Timestamp) -> bool {
        let deadline = self.bookings[rider].as_ref().and_then(|booking| booking.deadline());
        deadline.is_some_and(|(at, _)| at <= now)
    }

    fn vehicle_overdue(&self, now: Timestamp) -> bool {
        self.vehicle.deadline().is_some_and(|(at, _)| at <= now)
    }

    /// What is due by a server's clock, and the operator's wish for the vehicle.
    fn deadlines(&self, rig: &Rig, server: u8, steps: &mut Steps) {
        let now = self.clock_of(usize::from(server));
        for rider in RIDERS {
            if self.overdue(usize::from(rider), now) && !rig.has(Defect::WorkerAsleep) {
                self.ask(rig, server, Press::Tick(rider), steps, |_| {});
            }
        }
        let withdrawn = matches!(self.vehicle.service, Service::Maintenance { .. });
        if withdrawn && rig.scope.budget().withdrawals > 0 {
            self.ask(rig, server, Press::Return, steps, |_| {});
        }
        if self.vehicle_overdue(now) {
            self.ask(rig, server, Press::VehicleTick, steps, |_| {});
        }
    }

    /// What riders do at the provider, and what becomes of its word about it.
    fn customers(&self, steps: &mut Steps) {
        for rider in RIDERS {
            let r = usize::from(rider);
            let Some(booking) = &self.bookings[r] else { continue };
            for success in [true, false].into_iter().filter(|_| self.provider.challenges(booking.id)) {
                let mut provider = (*self.provider).clone();
                provider.authenticate(booking.id, success);
                let mut after = Self { provider: Printed::new(provider), ..self.clone() };
                after.hints[r] = true;
                steps.push((Action::Authenticate { rider, success }, after));
            }
            if let (true, Some(budget)) = (self.hints[r], self.budget.spend(|budget| &mut budget.losses)) {
                let mut after = Self { budget, ..self.clone() };
                after.hints[r] = false;
                steps.push((Action::HintLost(rider), after));
            }
        }
    }

    fn messages(&self, rig: &Rig, steps: &mut Steps) {
        for (message, what) in (0_u8..).zip(&self.air) {
            match what {
                Message::Command(claims) => self.command(rig, message, claims, steps),
                Message::Ack(r, ack) => self.ack(rig, message, &Ask::Ack(*r, ack.clone()), steps),
            }
            if let Some(budget) = self.budget.spend(|budget| &mut budget.losses) {
                steps.push((Action::Lose(message), Self { budget, ..self.without(message) }));
            }
        }
        // A vehicle that keeps its memory is the same afterwards.
        if rig.has(Defect::MemoryLostWithPower)
            && let Some(budget) = self.budget.spend(|budget| &mut budget.power)
        {
            let lock = Printed::new(self.lock.forgetful());
            steps.push((Action::IdlePowerCut, Self { budget, lock, ..self.clone() }));
        }
    }

    fn without(&self, message: u8) -> Self {
        let mut after = self.clone();
        after.air.remove(usize::from(message));
        after
    }

    /// The state after a message has left the air, and the one where a copy stays in it, if there may be one.
    fn arrivals(&self, message: u8) -> impl Iterator<Item = (bool, Self)> {
        let copied = self.budget.spend(|budget| &mut budget.duplicates);
        let copied = copied.map(|budget| (true, Self { budget, ..self.clone() }));
        std::iter::once((false, self.without(message))).chain(copied)
    }

    fn command(&self, rig: &Rig, message: u8, claims: &Printed<CommandClaims>, steps: &mut Steps) {
        let Some(r) = self.stored_at(claims) else { return };
        let now = self.clocks.of_vehicle(self.now);
        let heard = hear(rig, &self.lock, claims, now);
        let broken = rules::acted(self, claims, now);
        let moves = |after: &mut Self| {
            after.broken = broken;
            after.opened[r] |= claims.action == Bolt::Unlock;
        };
        for (again, mut after) in self.arrivals(message) {
            if heard.acted {
                moves(&mut after);
            }
            after.opened[r] |= heard.stands_open;
            after.lock = heard.lock.clone();
            if let Some(ack) = &heard.ack {
                after.send(Message::Ack(r, ack.clone()));
            }
            steps.push((Action::Arrive { message, again, server: 0 }, after));
        }
        let (Some(begun), Some(budget)) = (&heard.begun, self.budget.spend(|budget| &mut budget.power))
        else {
            return;
        };
        for (moved, lock) in [(false, &begun.still), (true, &begun.moved)] {
            for again in [false, true] {
                let air = if again { self.clone() } else { self.without(message) };
                let mut after = Self { budget, lock: lock.clone(), ..air };
                if moved {
                    moves(&mut after);
                }
                steps.push((Action::PowerCut { message, moved, again }, after));
            }
        }
    }

    /// An ack that means nothing to its booking is dropped.
    fn ack(&self, rig: &Rig, message: u8, ask: &Ask, steps: &mut Steps) {
        for server in self.idle() {
            for (again, after) in self.arrivals(message) {
                let told = after.start(rig, usize::from(server), ask).unwrap_or(after);
                steps.push((Action::Arrive { message, again, server }, told));
            }
        }
    }

    pub(crate) fn stored_at(&self, claims: &CommandClaims) -> Option<usize> {
        let named = |booking: &Option<Printed<Booking>>| {
            booking.as_ref().is_some_and(|booking| booking.id == claims.booking_id)
        };
        self.bookings.iter().position(named)
    }

    fn server(&self, rig: &Rig, server: u8, steps: &mut Steps) {
        let s = usize::from(server);
        let Some(busy) = &self.servers[s] else { return };
        steps.push((Action::Go(server), self.go(rig, s, busy)));
        if let Some(budget) = self.budget.spend(|budget| &mut budget.crashes) {
            let mut after = Self { budget, ..self.clone() };
            after.servers[s] = None;
            steps.push((Action::Crash(server), after));
        }
        if let (Task::Calling { .. }, Some(budget)) =
            (&*busy.task, self.budget.spend(|budget| &mut budget.losses))
        {
            for (action, reaches) in [(Action::CallLost(server), false), (Action::AnswerLost(server), true)] {
                let after = Self { budget, ..self.clone() };
                steps.push((action, after.unanswered(rig, s, &busy.task, reaches)));
            }
        }
    }

    /// Time jumps to the next instant at which it changes anything by any clock. While a server is at something, or
    /// something is due by every clock, that is a fault; a message may take as long as it likes.
    fn later(&self, rig: &Rig) -> Option<Self> {
        let slowest = SERVERS.map(|server| self.clock_of(usize::from(server))).into_iter().min()?;
        let awake = !rig.has(Defect::WorkerAsleep);
        let due = RIDERS.iter().any(|rider| awake && self.overdue(usize::from(*rider), slowest));
        let busy = self.servers.iter().any(Option::is_some);
        let mut after = self.clone();
        if due || busy || self.vehicle_overdue(slowest) {
            after.budget = self.budget.spend(|budget| &mut budget.delays)?;
        }
        let bookings = self.stored().filter_map(Booking::deadline).map(|(at, _)| at);
        let vehicle = self.vehicle.deadline().map(|(at, _)| at);
        let deadlines =
            bookings.chain(vehicle).flat_map(|at| [0, 1].map(|server| self.clocks.when_server(server, at)));
        let commands = self.air.iter().filter_map(|message| match message {
            Message::Command(claims) => Some(self.clocks.when_vehicle(claims.expires_at)),
            Message::Ack(..) => None,
        });
        let instants = deadlines.chain(commands);
        after.now = instants.filter(|at| *at > self.now && *at < HORIZON).min()?;
        Some(after)
    }
}
