//! What can go wrong, how often, and how often it did.

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// Everything that the simulator does to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A port call fails and has no effect.
    ErrorBefore,
    /// A port call has its effect and its answer is lost.
    LostAnswer,
    /// A port call times out without an effect, which the caller can't know.
    TimeOut,
    /// A port call is carried out twice, and the second answer is the one that arrives.
    Duplicate,
    /// A port call takes long, so that others overtake it.
    Delay,
    /// A read shows what was true a moment ago: search and the provider before their last change; a store, whose reads are
    /// strongly consistent, when the answer set out.
    StaleRead,
    /// The process dies before the effect of a port call.
    CrashBefore,
    /// The process dies after the effect of a port call, before it hears of it.
    CrashAfter,
    /// Two parts can't reach each other for a while.
    Partition,
    /// A clock jumps or drifts, within what the policy allows for.
    Clock,
    /// A message to or from a vehicle is lost.
    LostMessage,
    /// A message to or from a vehicle comes twice.
    DuplicateMessage,
    /// A message to or from a vehicle comes late and out of order.
    LateMessage,
    /// A vehicle loses power, possibly between two steps of one command.
    PowerCut,
    /// A vehicle has no network for a while.
    NoNetwork,
    /// A lock is jammed.
    Jam,
    /// A card is declined.
    Decline,
    /// The customer must authenticate.
    Challenge,
    /// A rider taps twice.
    DoubleTap,
    /// A rider walks away, for good or for a while.
    Abandon,
    /// A rider tries the vehicle of another.
    SharedCode,
    /// A request of a rider, or the answer to it, gets lost.
    LostRequest,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 22] = [
        Self::ErrorBefore,
        Self::LostAnswer,
        Self::TimeOut,
        Self::Duplicate,
        Self::Delay,
        Self::StaleRead,
        Self::CrashBefore,
        Self::CrashAfter,
        Self::Partition,
        Self::Clock,
        Self::LostMessage,
        Self::DuplicateMessage,
        Self::LateMessage,
        Self::PowerCut,
        Self::NoNetwork,
        Self::Jam,
        Self::Decline,
        Self::Challenge,
        Self::DoubleTap,
        Self::Abandon,
        Self::SharedCode,
        Self::LostRequest,
    ];

    /// The name on the command line and in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ErrorBefore => "error before effect",
            Self::LostAnswer => "answer lost",
            Self::TimeOut => "time-out without effect",
            Self::Duplicate => "call carried out twice",
            Self::Delay => "call delayed",
            Self::StaleRead => "stale read",
            Self::CrashBefore => "crash before effect",
            Self::CrashAfter => "crash after effect",
            Self::Partition => "partition",
            Self::Clock => "clock jump or drift",
            Self::LostMessage => "vehicle message lost",
            Self::DuplicateMessage => "vehicle message twice",
            Self::LateMessage => "vehicle message late",
            Self::PowerCut => "vehicle power cut",
            Self::NoNetwork => "vehicle offline",
            Self::Jam => "lock jammed",
            Self::Decline => "card declined",
            Self::Challenge => "3-D Secure",
            Self::DoubleTap => "double tap",
            Self::Abandon => "rider walks away",
            Self::SharedCode => "another rider's vehicle",
            Self::LostRequest => "request or answer lost",
        }
    }
}

/// Faults per thousand occasions, by [`Fault`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates([u32; Fault::ALL.len()]);

/// A mix of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Nothing goes wrong; riders still race each other.
    None,
    /// What a good day brings.
    Everyday,
    /// Everything at once.
    Storm,
    /// For each seed another subset of the faults at rates of its own: what one fault would hide, another seed shows.
    Swarm,
}

impl Profile {
    /// The name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Everyday => "everyday",
            Self::Storm => "storm",
            Self::Swarm => "swarm",
        }
    }

    /// The rates of this profile for a seed.
    #[must_use]
    pub fn rates(self, seed: u64) -> Rates {
        match self {
            Self::None => Rates([0; Fault::ALL.len()]),
            Self::Everyday => Rates(Fault::ALL.map(everyday)),
            Self::Storm => Rates(Fault::ALL.map(storm)),
            Self::Swarm => {
                let mut rng = Rng::new(seed, 0x5a);
                let mut rates = [0; Fault::ALL.len()];
                for (rate, fault) in rates.iter_mut().zip(Fault::ALL) {
                    let most = u64::from(storm(fault)) * 2;
                    *rate = if rng.chance(500) { rng.below(most + 1) as u32 } else { 0 };
                }
                Rates(rates)
            }
        }
    }
}

impl Rates {
    /// How often of a thousand.
    #[must_use]
    pub const fn of(&self, fault: Fault) -> u32 {
        self.0[fault as usize]
    }

    /// Without this fault.
    #[must_use]
    pub const fn without(mut self, fault: Fault) -> Self {
        self.0[fault as usize] = 0;
        self
    }

    /// The faults that happen at all.
    pub fn active(&self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(|fault| self.of(*fault) > 0)
    }
}

const fn everyday(fault: Fault) -> u32 {
    match fault {
        Fault::ErrorBefore | Fault::LostAnswer | Fault::Duplicate | Fault::StaleRead => 2,
        Fault::TimeOut | Fault::Partition => 1,
        Fault::Delay => 60,
        Fault::CrashBefore | Fault::CrashAfter => 1,
        Fault::Clock | Fault::PowerCut | Fault::Jam => 5,
        Fault::LostMessage | Fault::DuplicateMessage | Fault::NoNetwork => 10,
        Fault::LateMessage | Fault::LostRequest => 15,
        Fault::Decline | Fault::Challenge | Fault::DoubleTap => 60,
        Fault::Abandon | Fault::SharedCode => 40,
    }
}

const fn storm(fault: Fault) -> u32 {
    match fault {
        Fault::ErrorBefore | Fault::LostAnswer | Fault::Duplicate | Fault::StaleRead => 25,
        Fault::TimeOut => 15,
        Fault::Delay => 300,
        Fault::CrashBefore | Fault::CrashAfter => 5,
        Fault::Partition => 60,
        Fault::Clock => 150,
        Fault::PowerCut | Fault::Jam | Fault::NoNetwork => 60,
        Fault::LostMessage | Fault::DuplicateMessage | Fault::LostRequest => 80,
        Fault::LateMessage => 150,
        Fault::Decline | Fault::Challenge | Fault::DoubleTap => 150,
        Fault::Abandon | Fault::SharedCode => 120,
    }
}
