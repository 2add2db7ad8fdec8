//! A state of the world, and every step that leads on from it.

use rideplane_core::booking::Booking;
use rideplane_core::fleet::{Rental, Service, Vehicle};
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{AckClaims, AckResult, Action as Bolt, CommandClaims};

use crate::defects::Defect;
use crate::lock::{Lock, hear};
use crate::print::{Print, Printed};
use crate::provider::Provider;
use crate::rig::{HORIZON, Rig, START, clock};
use crate::rules::{self, Rule};
use crate::scope::Budget;
use crate::server::{Ask, Busy, Task};

/// A step. Riders and servers are numbered; a message is numbered by its place in the air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Reserve(u8),
    Pay(u8, bool),
    Cancel(u8),
    Unlock(u8),
    End(u8),
    OperatorEnds(u8),
    Tick(u8),
    VehicleTick,
    /// A message arrives; with `again` a copy of it stays in the air.
    Arrive {
        message: u8,
        again: bool,
    },
    Lose(u8),
    /// A server makes its next step.
    Go(u8),
    /// The provider never hears of a call, and its server not of the answer.
    CallLost(u8),
    /// The provider carries a call out, and its server does not hear of it.
    AnswerLost(u8),
    Crash(u8),
    Time,
}

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
    pub(crate) now: Timestamp,
    pub(crate) vehicle: Printed<Vehicle>,
    pub(crate) bookings: [Option<Printed<Booking>>; 2],
    /// What each server is at. A version is not kept: that nobody has committed since it was read says as much, and
    /// histories of other lengths meet in one state.
    pub(crate) servers: [Option<Busy>; 2],
    pub(crate) provider: Printed<Provider>,
    pub(crate) lock: Printed<Lock>,
    /// Messages under way, each once, in the order of their prints.
    air: Vec<Message>,
    budget: Budget,
    /// Whether the vehicle ever opened for each booking.
    pub(crate) opened: [bool; 2],
    /// A rule that the step which led here broke.
    pub(crate) broken: Option<Rule>,
}

type Steps = Vec<(Action, World)>;

const SERVERS: [u8; 2] = [0, 1];
const RIDERS: [u8; 2] = [0, 1];

impl Action {
    /// Whether a rider may as well leave it. A trip that was begun is ended, by the rider or by the operator.
    pub(crate) const fn is_voluntary(self) -> bool {
        match self {
            Self::Reserve(_) | Self::Pay(..) | Self::Cancel(_) | Self::Unlock(_) => true,
            Self::End(_)
            | Self::OperatorEnds(_)
            | Self::Tick(_)
            | Self::VehicleTick
            | Self::Arrive { .. }
            | Self::Lose(_)
            | Self::Go(_)
            | Self::CallLost(_)
            | Self::AnswerLost(_)
            | Self::Crash(_)
            | Self::Time => false,
        }
    }
}

impl World {
    /// A vehicle, two riders, and nothing has happened.
    pub(crate) fn new(rig: &Rig) -> Self {
        Self {
            now: START,
            vehicle: Printed::new(rig.vehicle()),
            bookings: [None, None],
            servers: [None, None],
            provider: Printed::new(Provider::default()),
            lock: Printed::new(Lock::default()),
            air: Vec::new(),
            budget: rig.scope.budget(),
            opened: [false; 2],
            broken: None,
        }
    }

    /// The bookings that are stored.
    pub(crate) fn stored(&self) -> impl Iterator<Item = &Booking> {
        self.bookings.iter().flatten().map(|booking| &**booking)
    }

    /// What tells this state from others. The servers are alike, so which of them is at what does not matter.
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
        servers.sort_unstable();
        servers.into_iter().for_each(|server| print.word(server));
        print.word(self.air.len() as u128);
        self.air.iter().for_each(|message| print.word(message.print()));
        print.bytes(&self.budget.bytes());
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
        if let Some(idle) = self.servers.iter().position(Option::is_none) {
            for rider in RIDERS {
                self.presses(rig, idle, rider, &mut steps);
            }
            self.deadlines(rig, idle, &mut steps);
        }
        self.messages(rig, &mut steps);
        for slot in SERVERS {
            self.server(rig, slot, &mut steps);
        }
        steps.extend(self.later(rig).map(|after| (Action::Time, after)));
        steps
    }

    /// What a rider may ask of an idle server. What would be refused is not asked: it would change nothing.
    fn presses(&self, rig: &Rig, idle: usize, rider: u8, steps: &mut Steps) {
        let r = usize::from(rider);
        let left = self.budget.riders[r];
        let mut press = |action, ask, spend: fn(&mut Budget, usize)| {
            if let Some(mut after) = self.start(rig, idle, &ask) {
                spend(&mut after.budget, r);
                steps.push((action, after));
            }
        };
        let Some(booking) = &self.bookings[r] else {
            // The riders are alike: the first is the one who asks first.
            if left.reserve > 0 && (rider == 0 || self.budget.riders[0].reserve == 0) {
                press(Action::Reserve(rider), Ask::Reserve(r), |budget, r| budget.riders[r].reserve -= 1);
            }
            return;
        };
        if left.pay > 0 {
            press(Action::Pay(rider, true), Ask::Pay(r, true), |budget, r| budget.riders[r].pay -= 1);
            if self.budget.declines > 0 {
                press(Action::Pay(rider, false), Ask::Pay(r, false), |budget, r| {
                    budget.riders[r].pay -= 1;
                    budget.declines -= 1;
                });
            }
        }
        if left.cancel > 0 {
            press(Action::Cancel(rider), Ask::Cancel(r), |budget, r| budget.riders[r].cancel -= 1);
        }
        if left.unlock > 0 {
            press(Action::Unlock(rider), Ask::Unlock(r), |budget, r| budget.riders[r].unlock -= 1);
        }
        let rides = booking.trip.as_ref().is_some_and(|trip| trip.end.is_none());
        if rides && left.end > 0 {
            press(Action::End(rider), Ask::End(r), |budget, r| budget.riders[r].end -= 1);
        } else if rides {
            press(Action::OperatorEnds(rider), Ask::OperatorEnds(r), |_, _| {});
        }
    }

    fn overdue(&self, rider: usize) -> bool {
        let deadline = self.bookings[rider].as_ref().and_then(|booking| booking.deadline());
        deadline.is_some_and(|(at, _)| at <= self.now)
    }

    fn vehicle_overdue(&self) -> bool {
        self.vehicle.deadline().is_some_and(|(at, _)| at <= self.now)
    }

    fn deadlines(&self, rig: &Rig, idle: usize, steps: &mut Steps) {
        for rider in RIDERS {
            let r = usize::from(rider);
            if self.overdue(r) && !rig.has(Defect::WorkerAsleep) {
                steps.extend(self.start(rig, idle, &Ask::Tick(r)).map(|after| (Action::Tick(rider), after)));
            }
        }
        if self.vehicle_overdue() {
            steps.extend(self.start(rig, idle, &Ask::VehicleTick).map(|after| (Action::VehicleTick, after)));
        }
    }

    fn messages(&self, rig: &Rig, steps: &mut Steps) {
        for message in (0_u8..).take(self.air.len()) {
            if let Some(after) = self.arrive(rig, message, false) {
                steps.push((Action::Arrive { message, again: false }, after));
            }
            if let Some(budget) = self.budget.spend(|budget| &mut budget.duplicates)
                && let Some(after) = self.arrive(rig, message, true)
            {
                steps.push((Action::Arrive { message, again: true }, Self { budget, ..after }));
            }
            if let Some(budget) = self.budget.spend(|budget| &mut budget.losses) {
                let mut after = Self { budget, ..self.clone() };
                after.air.remove(usize::from(message));
                steps.push((Action::Lose(message), after));
            }
        }
    }

    fn arrive(&self, rig: &Rig, message: u8, again: bool) -> Option<Self> {
        let mut after = self.clone();
        let message = match again {
            true => after.air.get(usize::from(message))?.clone(),
            false => after.air.remove(usize::from(message)),
        };
        match message {
            Message::Command(claims) => {
                let heard = hear(rig, &self.lock, &claims, self.now);
                let r = self.stored_at(&claims)?;
                if heard.acted {
                    after.broken = rules::acted(self, &claims, self.now);
                    after.opened[r] |= claims.action == Bolt::Unlock;
                }
                after.lock = heard.lock;
                if let Some(ack) = heard.ack {
                    after.send(Message::Ack(r, ack));
                }
                Some(after)
            }
            Message::Ack(r, ack) => {
                let idle = self.servers.iter().position(Option::is_none)?;
                // An ack that means nothing to its booking is dropped.
                Some(after.start(rig, idle, &Ask::Ack(r, ack)).unwrap_or(after))
            }
        }
    }

    fn stored_at(&self, claims: &CommandClaims) -> Option<usize> {
        let named = |booking: &Option<Printed<Booking>>| {
            booking.as_ref().is_some_and(|booking| booking.id == claims.booking_id)
        };
        self.bookings.iter().position(named)
    }

    fn server(&self, rig: &Rig, slot: u8, steps: &mut Steps) {
        let s = usize::from(slot);
        let Some(busy) = &self.servers[s] else { return };
        steps.push((Action::Go(slot), self.go(rig, s, busy)));
        if let Some(budget) = self.budget.spend(|budget| &mut budget.crashes) {
            let mut after = Self { budget, ..self.clone() };
            after.servers[s] = None;
            steps.push((Action::Crash(slot), after));
        }
        if let (Task::Calling { .. }, Some(budget)) =
            (&*busy.task, self.budget.spend(|budget| &mut budget.losses))
        {
            for (action, reaches) in [(Action::CallLost(slot), false), (Action::AnswerLost(slot), true)] {
                let after = Self { budget, ..self.clone() };
                steps.push((action, after.unanswered(rig, s, &busy.task, reaches)));
            }
        }
    }

    /// Time jumps to the next instant at which it changes anything. While a server is at
    /// something, or something is due, that is a fault; a message may take as long as it likes.
    fn later(&self, rig: &Rig) -> Option<Self> {
        let due =
            RIDERS.iter().any(|rider| self.overdue(usize::from(*rider))) && !rig.has(Defect::WorkerAsleep);
        let busy = self.servers.iter().any(Option::is_some);
        let mut after = self.clone();
        if due || busy || self.vehicle_overdue() {
            after.budget = self.budget.spend(|budget| &mut budget.delays)?;
        }
        let bookings = self.stored().filter_map(Booking::deadline).map(|(at, _)| at);
        let vehicle = self.vehicle.deadline().map(|(at, _)| at);
        let commands = self.air.iter().filter_map(|message| match message {
            Message::Command(claims) => Some(claims.expires_at),
            Message::Ack(..) => None,
        });
        let instants = bookings.chain(vehicle).chain(commands);
        after.now = instants.filter(|at| *at > self.now && *at < HORIZON).min()?;
        Some(after)
    }

    /// A step in words, as seen from the state before it.
    pub(crate) fn tell(&self, action: Action) -> String {
        let server = |slot: u8| if slot == 0 { "server A" } else { "server B" };
        let idle = if self.servers[0].is_none() { server(0) } else { server(1) };
        let asks = |rider: u8, what: &str| format!("rider {} {what}: {idle} decides", rider + 1);
        let task = |slot: u8| {
            let words = self.servers[usize::from(slot)].as_ref().map_or_else(String::new, Busy::words);
            format!("{} {words}", server(slot))
        };
        let words = match action {
            Action::Reserve(rider) => asks(rider, "reserves"),
            Action::Pay(rider, true) => asks(rider, "pays"),
            Action::Pay(rider, false) => asks(rider, "pays with an empty card"),
            Action::Cancel(rider) => asks(rider, "cancels"),
            Action::Unlock(rider) => asks(rider, "unlocks"),
            Action::End(rider) => asks(rider, "ends the ride"),
            Action::OperatorEnds(rider) => format!("the operator ends ride {}: {idle} decides", rider + 1),
            Action::Tick(rider) => format!("booking {} is due: {idle} decides", rider + 1),
            Action::VehicleTick => format!("the vehicle is due: {idle} decides"),
            Action::Arrive { message, again } => {
                let copy = if again { ", and a copy stays under way" } else { "" };
                format!("{} arrives{copy}", self.message(message))
            }
            Action::Lose(message) => format!("{} is LOST", self.message(message)),
            Action::Go(slot) => task(slot),
            Action::CallLost(slot) => format!("{}: the call is LOST", task(slot)),
            Action::AnswerLost(slot) => format!("{}: done, the answer is LOST", task(slot)),
            Action::Crash(slot) => format!("{} CRASHES where it {}", server(slot), {
                self.servers[usize::from(slot)].as_ref().map_or_else(String::new, Busy::words)
            }),
            Action::Time => "time passes".to_owned(),
        };
        format!("t+{:<2} {words}", clock(self.now))
    }

    fn message(&self, message: u8) -> String {
        let bolt = |action: Bolt| match action {
            Bolt::Unlock => "unlock",
            Bolt::Lock => "lock",
        };
        match self.air.get(usize::from(message)) {
            Some(Message::Command(claims)) => {
                let rider = self.stored_at(claims).map_or(0, |r| r + 1);
                let (what, epoch) = (bolt(claims.action), claims.epoch.0);
                format!("{what} for booking {rider} (epoch {epoch}, until t+{})", clock(claims.expires_at))
            }
            Some(Message::Ack(r, ack)) => {
                let result = match ack.result {
                    AckResult::Done => "done".to_owned(),
                    AckResult::Refused(reason) => format!("refused, {reason:?}"),
                };
                format!("ack of {} for booking {} ({result})", bolt(ack.action), r + 1)
            }
            None => "nothing".to_owned(),
        }
    }

    /// The state in one line.
    pub(crate) fn summary(&self) -> String {
        let holder = |id| self.stored().position(|booking| booking.id == id).map_or(0, |r| r + 1);
        let vehicle = match &self.vehicle.rental {
            Rental::Available => "free".to_owned(),
            Rental::Reserved(by) => format!("reserved by {}", holder(by.booking_id)),
            Rental::InUse(by) => format!("in use by {}", holder(by.booking_id)),
            Rental::Quarantined { until } => format!("quarantined until t+{}", clock(*until)),
        };
        let service = match self.vehicle.service {
            Service::InService => "",
            Service::Maintenance { .. } => ", in maintenance",
            Service::Retired => ", retired",
        };
        let bolt = if self.lock.open { ", OPEN" } else { "" };
        let bookings = self.bookings.iter().map(|booking| match booking {
            Some(booking) => format!(" | {} {}", booking.status().as_str(), booking.payment.status()),
            None => " | -".to_owned(),
        });
        format!("[{vehicle}, epoch {}{service}{bolt}{}]", self.vehicle.epoch.0, bookings.collect::<String>())
    }
}
