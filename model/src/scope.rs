//! How much may happen in one history.

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
    /// A card that has no money is tried.
    pub(crate) declines: u8,
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
            declines: 0,
            riders: [once; 2],
        };
        match self {
            Self::Tiny => Budget { faults: 0, riders: [once, claims], ..one_fault },
            Self::Small => Budget { riders: [once, pays], ..one_fault },
            Self::Full => Budget { declines: 1, riders: [Presses { pay: 2, ..once }, pays], ..one_fault },
            Self::Faults => Budget { faults: 2, riders: [once, pays], ..one_fault },
            Self::Rides => one_fault,
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

    /// All of it, to tell states apart.
    pub(crate) fn bytes(&self) -> [u8; 16] {
        let [[a, b, c, d, e], [f, g, h, i, j]] =
            self.riders.map(|left| [left.reserve, left.pay, left.cancel, left.unlock, left.end]);
        let Self { faults, crashes, losses, duplicates, delays, declines, riders: _ } = *self;
        [faults, crashes, losses, duplicates, delays, declines, a, b, c, d, e, f, g, h, i, j]
    }
}
