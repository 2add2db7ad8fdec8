//! How much may happen in one history.

use rideplane_core::time::Timestamp;

use crate::action::Card;
use crate::rig::units;

/// A scope: everything within it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// No fault but late messages; the second rider only claims. For tests without optimisation.
    Tiny,
    /// One fault in a history: a crash, a loss, a duplicate or a delay. The second rider claims and pays.
    Small,
    /// The same, and the first rider's card may be declined, after which another try claims the vehicle again.
    Full,
    /// Two faults in a history. The second rider claims and pays.
    Faults,
    /// One fault, and both riders ride, one after the other.
    Rides,
    /// The operator may take the vehicle from a rider and let it be hired again. One fault.
    Operator,
    /// The vehicle's clock is off by what the policy allows for. The operator may take the vehicle; one fault; the second
    /// rider only claims.
    VehicleClock,
    /// The second server's clock is off by as much. No other fault; the second rider only claims.
    ServerClock,
    /// The first rider's card may ask for authentication, after which another try may follow. One fault; the second rider
    /// only claims.
    Challenge,
}

impl Scope {
    /// Every scope, the small ones first.
    pub const ALL: [Self; 9] = [
        Self::Tiny,
        Self::Small,
        Self::VehicleClock,
        Self::Full,
        Self::ServerClock,
        Self::Operator,
        Self::Faults,
        Self::Challenge,
        Self::Rides,
    ];
}

/// How far clocks are off, in units of time, for a whole history. The first server's is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clocks {
    /// How far the second server's is ahead.
    pub(crate) server: i8,
    /// How far the vehicle's is ahead.
    pub(crate) vehicle: i8,
}

impl Clocks {
    pub(crate) const fn servers_agree(self) -> bool {
        self.server == 0
    }

    /// What a server's clock shows.
    pub(crate) const fn of_server(self, server: usize, now: Timestamp) -> Timestamp {
        if server == 0 { now } else { now.plus(units(self.server as i64)) }
    }

    /// What the vehicle's clock shows.
    pub(crate) const fn of_vehicle(self, now: Timestamp) -> Timestamp {
        now.plus(units(self.vehicle as i64))
    }

    /// When a server's clock shows a time.
    pub(crate) const fn when_server(self, server: usize, shown: Timestamp) -> Timestamp {
        if server == 0 { shown } else { shown.minus(units(self.server as i64)) }
    }

    /// When the vehicle's clock shows a time.
    pub(crate) const fn when_vehicle(self, shown: Timestamp) -> Timestamp {
        shown.minus(units(self.vehicle as i64))
    }

    /// All of it, to tell states apart.
    pub(crate) const fn bytes(self) -> [u8; 2] {
        [self.server.cast_unsigned(), self.vehicle.cast_unsigned()]
    }
}

/// What is left of everything that is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub(crate) faults: u8,
    pub(crate) crashes: u8,
    pub(crate) losses: u8,
    pub(crate) duplicates: u8,
    /// Time passes although a server, a message or a deadline is not done with.
    pub(crate) delays: u8,
    /// The vehicle's power fails while it carries a command out.
    pub(crate) power: u8,
    /// A card that has no money is tried.
    pub(crate) declines: u8,
    /// A card whose owner must authenticate is tried.
    pub(crate) challenges: u8,
    /// The operator takes the vehicle out of service.
    pub(crate) withdrawals: u8,
    pub(crate) riders: [Presses; 2],
}

/// How often a rider still presses each button.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Presses {
    pub(crate) reserve: u8,
    pub(crate) pay: u8,
    pub(crate) cancel: u8,
    pub(crate) unlock: u8,
    pub(crate) end: u8,
}

impl Scope {
    pub(crate) const fn budget(self) -> Budget {
        let once = Presses { reserve: 1, pay: 1, cancel: 1, unlock: 1, end: 1 };
        let claims = Presses { pay: 0, cancel: 0, unlock: 0, end: 0, ..once };
        let pays = Presses { pay: 1, ..claims };
        let one_fault = Budget {
            faults: 1,
            crashes: 1,
            losses: 1,
            duplicates: 1,
            delays: 1,
            power: 1,
            declines: 0,
            challenges: 0,
            withdrawals: 0,
            riders: [once; 2],
        };
        match self {
            Self::Tiny => Budget { faults: 0, riders: [once, claims], ..one_fault },
            Self::Small => Budget { riders: [once, pays], ..one_fault },
            Self::Full => Budget { declines: 1, riders: [Presses { pay: 2, ..once }, pays], ..one_fault },
            Self::Challenge => {
                Budget { challenges: 1, riders: [Presses { pay: 2, ..once }, claims], ..one_fault }
            }
            Self::Operator => Budget { withdrawals: 1, riders: [once, pays], ..one_fault },
            Self::VehicleClock => Budget { withdrawals: 1, riders: [once, claims], ..one_fault },
            Self::ServerClock => Budget { faults: 0, riders: [once, claims], ..one_fault },
            Self::Faults => Budget { faults: 2, riders: [once, pays], ..one_fault },
            Self::Rides => one_fault,
        }
    }

    /// What may be wrong about clocks: one of these in each history.
    pub(crate) const fn clocks(self) -> &'static [Clocks] {
        match self {
            Self::Tiny
            | Self::Small
            | Self::Full
            | Self::Faults
            | Self::Rides
            | Self::Operator
            | Self::Challenge => &[Clocks { server: 0, vehicle: 0 }],
            Self::VehicleClock => &[Clocks { server: 0, vehicle: 1 }, Clocks { server: 0, vehicle: -1 }],
            Self::ServerClock => &[Clocks { server: 1, vehicle: 0 }, Clocks { server: -1, vehicle: 0 }],
        }
    }

    /// The name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Full => "full",
            Self::Faults => "faults",
            Self::Rides => "rides",
            Self::Operator => "operator",
            Self::VehicleClock => "vehicle-clock",
            Self::ServerClock => "server-clock",
            Self::Challenge => "challenge",
        }
    }
}

impl Budget {
    /// The budget after one more fault of a kind, if there may be one.
    pub(crate) fn spend(&self, kind: impl Fn(&mut Self) -> &mut u8) -> Option<Self> {
        let mut after = *self;
        after.faults = after.faults.checked_sub(1)?;
        let left = kind(&mut after);
        *left = left.checked_sub(1)?;
        Some(after)
    }

    /// One more payment of a rider.
    pub(crate) const fn pays(&mut self, rider: usize, card: Card) {
        self.riders[rider].pay -= 1;
        match card {
            Card::Good => {}
            Card::Empty => self.declines -= 1,
            Card::Challenged => self.challenges -= 1,
        }
    }

    /// All of it, to tell states apart.
    pub(crate) fn bytes(&self) -> [u8; 19] {
        let [[a, b, c, d, e], [f, g, h, i, j]] =
            self.riders.map(|left| [left.reserve, left.pay, left.cancel, left.unlock, left.end]);
        let Self { faults, crashes, losses, duplicates, delays, power, .. } = *self;
        let Self { declines, challenges, withdrawals, .. } = *self;
        let kinds = [faults, crashes, losses, duplicates, delays, power, declines, challenges, withdrawals];
        let presses = [a, b, c, d, e, f, g, h, i, j];
        let mut bytes = [0; 19];
        kinds.into_iter().chain(presses).zip(&mut bytes).for_each(|(left, byte)| *byte = left);
        bytes
    }
}
