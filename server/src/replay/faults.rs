//! What goes wrong in a replay, and which trips it meets: drawn from the seed and the trip alone, so that neither the
//! store nor the order in which tasks run has a say in it.

use clap::ValueEnum;
use rideplane_core::time::Span;

/// How much goes wrong in a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Faults {
    /// Nothing
    None,
    /// What a normal day brings: declines, 3-D Secure, lost answers, no-shows
    #[default]
    Everyday,
    /// Ten times that
    Storm,
}

/// How likely each thing is, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// A card is declined.
    pub declined: f64,
    /// The bank asks for 3-D Secure.
    pub three_d_secure: f64,
    /// The rider cancels before unlocking.
    pub cancelled: f64,
    /// The rider never comes.
    pub no_show: f64,
    /// The vehicle falls silent while it is reserved.
    pub offline: f64,
    /// The lock jams, or the vehicle's answer is lost.
    pub unlock: f64,
    /// A call to the payment provider fails or loses its answer; for each call.
    pub gateway: f64,
}

/// How the rider pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paying {
    /// With a card that is good.
    Good,
    /// With one that is declined, and then, if they try again, with a good one.
    Declined {
        /// Whether they try again.
        again: bool,
    },
    /// With one that asks for 3-D Secure.
    ThreeDSecure(Authentication),
}

/// What the rider does when asked for 3-D Secure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Authenticates.
    Done,
    /// Fails.
    Failed,
    /// Closes the window and never comes back.
    Abandoned,
}

/// What happens between payment and ride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pickup {
    /// The rider walks there and rides.
    Rides,
    /// The rider cancels on the way.
    Cancels,
    /// The rider never comes.
    NeverComes,
    /// The vehicle is not heard of for this long.
    VehicleSilent(Span),
    /// The lock jams; the rider tries again, or gives up.
    LockJams {
        /// Whether they give up after the first try.
        gives_up: bool,
    },
    /// The lock opens, but the answer is lost; the next try gets it.
    AnswerLost,
}

/// Everything random about one trip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// How the rider pays.
    pub paying: Paying,
    /// What happens between payment and ride.
    pub pickup: Pickup,
    /// Whether the answer to the lock command is lost once.
    pub lock_answer_lost: bool,
}

/// A source of chances: equal seed, trip and purpose give equal draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dice(u64);

impl Faults {
    /// The name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Everyday => "everyday",
            Self::Storm => "storm",
        }
    }

    /// How likely each thing is.
    #[must_use]
    pub const fn rates(self) -> Rates {
        let everyday = Rates {
            declined: 0.04,
            three_d_secure: 0.05,
            cancelled: 0.03,
            no_show: 0.02,
            offline: 0.015,
            unlock: 0.02,
            gateway: 0.02,
        };
        match self {
            Self::None => everyday.times(0.0),
            Self::Everyday => everyday,
            Self::Storm => everyday.times(10.0),
        }
    }
}

impl Rates {
    const fn times(self, factor: f64) -> Self {
        Self {
            declined: self.declined * factor,
            three_d_secure: self.three_d_secure * factor,
            cancelled: self.cancelled * factor,
            no_show: self.no_show * factor,
            offline: self.offline * factor,
            unlock: self.unlock * factor,
            gateway: self.gateway * factor,
        }
    }
}

impl Plan {
    /// What happens on the trip that the dice are for.
    #[must_use]
    pub fn draw(rates: &Rates, dice: Dice) -> Self {
        Self {
            paying: paying(rates, dice),
            pickup: pickup(rates, dice),
            lock_answer_lost: dice.chance("lock answer lost", rates.unlock / 4.0),
        }
    }
}

fn paying(rates: &Rates, dice: Dice) -> Paying {
    let roll = dice.roll("paying");
    if roll < rates.declined {
        return Paying::Declined { again: dice.chance("pays again", 0.6) };
    }
    if roll < rates.declined + rates.three_d_secure {
        let how = dice.roll("3-D Secure");
        let authentication = if how < 0.2 {
            Authentication::Abandoned
        } else if how < 0.3 {
            Authentication::Failed
        } else {
            Authentication::Done
        };
        return Paying::ThreeDSecure(authentication);
    }
    Paying::Good
}

fn pickup(rates: &Rates, dice: Dice) -> Pickup {
    let roll = dice.roll("pickup");
    let mut upto = rates.cancelled;
    if roll < upto {
        return Pickup::Cancels;
    }
    upto += rates.no_show;
    if roll < upto {
        return Pickup::NeverComes;
    }
    upto += rates.offline;
    if roll < upto {
        return Pickup::VehicleSilent(dice.seconds("silence", 120, 2_400));
    }
    upto += rates.unlock;
    if roll < upto {
        let how = dice.roll("unlock");
        return if how < 0.5 { Pickup::AnswerLost } else { Pickup::LockJams { gives_up: how > 0.85 } };
    }
    Pickup::Rides
}

impl Dice {
    /// The dice of a trip.
    #[must_use]
    pub const fn new(seed: u64, trip: u64) -> Self {
        Self(mix(mix(seed ^ 0x5269_6465_706c_616e).wrapping_add(trip)))
    }

    /// 64 bits for a purpose.
    #[must_use]
    pub fn bits(self, purpose: &str) -> u64 {
        // FNV-1a, then mixed: purposes are few and short.
        let hash = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        mix(self.0 ^ hash)
    }

    /// The dice for the `n`-th of something.
    #[must_use]
    pub const fn nth(self, n: u64) -> Self {
        Self(mix(self.0.wrapping_add(mix(n))))
    }

    /// From 0 to 1, without 1.
    #[must_use]
    pub fn roll(self, purpose: &str) -> f64 {
        (self.bits(purpose) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    #[must_use]
    pub fn chance(self, purpose: &str, probability: f64) -> bool {
        self.roll(purpose) < probability
    }

    /// Whole seconds from `least` up to, without, `most`.
    #[must_use]
    pub fn seconds(self, purpose: &str, least: u32, most: u32) -> Span {
        let width = u64::from(most.saturating_sub(least).max(1));
        Span::from_seconds(i64::from(least) + (self.bits(purpose) % width) as i64)
    }
}

/// The finaliser of SplitMix64.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(faults: Faults, of: impl Fn(&Plan) -> bool) -> f64 {
        let rates = faults.rates();
        let met = (0..20_000).filter(|trip| of(&Plan::draw(&rates, Dice::new(1, *trip)))).count();
        met as f64 / 20_000.0
    }

    #[test]
    fn rates_are_what_they_say() {
        let declined = |plan: &Plan| matches!(plan.paying, Paying::Declined { .. });
        let abandoned = |plan: &Plan| plan.paying == Paying::ThreeDSecure(Authentication::Abandoned);
        let silent = |plan: &Plan| matches!(plan.pickup, Pickup::VehicleSilent(_));
        for (share, expected) in [
            (share(Faults::Everyday, declined), 0.04),
            (share(Faults::Storm, declined), 0.4),
            (share(Faults::Everyday, abandoned), 0.01),
            (share(Faults::Everyday, silent), 0.015),
            (share(Faults::Storm, silent), 0.15),
        ] {
            assert!((share - expected).abs() < expected * 0.15 + 0.001, "{share} for {expected}");
        }
    }

    #[test]
    fn nothing_happens_without_faults() {
        assert_eq!(
            share(Faults::None, |plan| {
                plan.paying == Paying::Good && plan.pickup == Pickup::Rides && !plan.lock_answer_lost
            }),
            1.0
        );
    }

    #[test]
    fn draws_depend_on_seed_trip_and_purpose() {
        let bits = |seed, trip, purpose| Dice::new(seed, trip).bits(purpose);
        assert_eq!(bits(1, 2, "a"), bits(1, 2, "a"));
        assert_ne!(bits(1, 2, "a"), bits(2, 2, "a"));
        assert_ne!(bits(1, 2, "a"), bits(1, 3, "a"));
        assert_ne!(bits(1, 2, "a"), bits(1, 2, "b"));
    }
}
