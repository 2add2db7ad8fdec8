//! States and steps in words.

use rideplane_core::fleet::{Rental, Service};
use rideplane_core::unlock::{AckResult, Action as Bolt};

use crate::action::{Action, Card, Press};
use crate::rig::clock;
use crate::server::Busy;
use crate::world::{Message, World};

fn name(server: u8) -> &'static str {
    if server == 0 { "server A" } else { "server B" }
}

fn asked(press: Press) -> String {
    let (rider, what) = match press {
        Press::Reserve(rider) => (rider, "reserves"),
        Press::Pay(rider, Card::Good) => (rider, "pays"),
        Press::Pay(rider, Card::Empty) => (rider, "pays with an empty card"),
        Press::Pay(rider, Card::Challenged) => (rider, "pays with a card that asks for more"),
        Press::Cancel(rider) => (rider, "cancels"),
        Press::Unlock(rider) => (rider, "unlocks"),
        Press::End(rider) => (rider, "ends the ride"),
        Press::OperatorEnds(rider) => return format!("the operator ends ride {}", rider + 1),
        Press::Withdraw(rider) => {
            return format!("the operator withdraws the vehicle of booking {}", rider + 1);
        }
        Press::Return => return "the operator lets the vehicle be hired again".to_owned(),
        Press::Hint(rider) => return format!("a webhook about booking {}", rider + 1),
        Press::Tick(rider) => return format!("booking {} is due", rider + 1),
        Press::VehicleTick => return "the vehicle is due".to_owned(),
    };
    format!("rider {} {what}", rider + 1)
}

impl World {
    /// The clock that is off, if one is.
    pub(crate) fn wrong_clock(&self) -> Option<String> {
        let off = |whose: &str, by: i8| {
            let way = if by > 0 { "ahead" } else { "behind" };
            (by != 0).then(|| format!("the clock of {whose} is {way} by {}", by.unsigned_abs()))
        };
        off("server B", self.clocks.server).or_else(|| off("the vehicle", self.clocks.vehicle))
    }

    /// A step in words, as seen from the state before it.
    pub(crate) fn tell(&self, action: Action) -> String {
        let task = |server: u8| {
            let words = self.servers[usize::from(server)].as_ref().map_or_else(String::new, Busy::words);
            format!("{} {words}", name(server))
        };
        let words = match action {
            Action::Asked { server, press } => format!("{}: {} decides", asked(press), name(server)),
            Action::Arrive { message, again, server } => {
                let copy = if again { ", and a copy stays under way" } else { "" };
                format!("{} arrives{}{copy}", self.message(message), self.at(message, server))
            }
            Action::PowerCut { message, moved, again } => {
                let bolt = if moved { "the bolt has moved" } else { "the bolt has not moved" };
                let copy = if again { ", a copy stays under way" } else { "" };
                format!("{} arrives, POWER FAILS, {bolt}{copy}", self.message(message))
            }
            Action::IdlePowerCut => "the vehicle's POWER FAILS".to_owned(),
            Action::Lose(message) => format!("{} is LOST", self.message(message)),
            Action::Go(server) => task(server),
            Action::CallLost(server) => format!("{}: the call is LOST", task(server)),
            Action::AnswerLost(server) => format!("{}: done, the answer is LOST", task(server)),
            Action::Crash(server) => format!("{} CRASHES where it {}", name(server), {
                self.servers[usize::from(server)].as_ref().map_or_else(String::new, Busy::words)
            }),
            Action::Authenticate { rider, success: true } => format!("rider {} authenticates", rider + 1),
            Action::Authenticate { rider, success: false } => {
                format!("rider {} fails to authenticate", rider + 1)
            }
            Action::HintLost(rider) => format!("the webhook about booking {} is LOST", rider + 1),
            Action::Time => "time passes".to_owned(),
        };
        format!("t+{:<2} {words}", clock(self.now))
    }

    fn at(&self, message: u8, server: u8) -> String {
        match self.air.get(usize::from(message)) {
            Some(Message::Ack(..)) => format!(" at {}", name(server)),
            Some(Message::Command(_)) | None => String::new(),
        }
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
