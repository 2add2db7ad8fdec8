//! What can happen next.

/// A step. Riders and servers are numbered; a message is numbered by its place in the air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// An idle server is asked for something, and decides.
    Asked {
        server: u8,
        press: Press,
    },
    /// A message arrives; with `again` a copy of it stays in the air. The server matters to an ack only.
    Arrive {
        message: u8,
        again: bool,
        server: u8,
    },
    /// The vehicle's power fails while it carries a command out, before the bolt has moved or after; it comes back with
    /// the memory that was durable. With `again` the broker, which never heard that it arrived, keeps the command.
    PowerCut {
        message: u8,
        moved: bool,
        again: bool,
    },
    /// The vehicle's power fails while it does nothing.
    IdlePowerCut,
    Lose(u8),
    /// A server makes its next step.
    Go(u8),
    /// The provider never hears of a call, and its server not of the answer.
    CallLost(u8),
    /// The provider carries a call out, and its server does not hear of it.
    AnswerLost(u8),
    Crash(u8),
    /// A rider does what the provider asked for (3-D Secure), or fails at it.
    Authenticate {
        rider: u8,
        success: bool,
    },
    /// The provider's webhook is lost.
    HintLost(u8),
    Time,
}

/// What a server is asked for. The last three are nobody's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Press {
    Reserve(u8),
    Pay(u8, Card),
    Cancel(u8),
    Unlock(u8),
    End(u8),
    OperatorEnds(u8),
    /// The operator takes the vehicle out of service while this booking has it.
    Withdraw(u8),
    /// The operator lets it be hired again.
    Return,
    /// The provider says that something about a booking's intent has changed.
    Hint(u8),
    Tick(u8),
    VehicleTick,
}

/// What a rider pays with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Card {
    Good,
    /// There is no money on it.
    Empty,
    /// The provider asks its owner to authenticate.
    Challenged,
}

impl Action {
    /// Whether a rider may as well leave it. A trip that was begun is ended, by the rider or by the operator.
    pub(crate) const fn is_voluntary(self) -> bool {
        match self {
            Self::Asked { press, .. } => match press {
                Press::Reserve(_)
                | Press::Pay(..)
                | Press::Cancel(_)
                | Press::Unlock(_)
                | Press::Withdraw(_)
                | Press::Return => true,
                Press::End(_)
                | Press::OperatorEnds(_)
                | Press::Hint(_)
                | Press::Tick(_)
                | Press::VehicleTick => false,
            },
            Self::Authenticate { .. } => true,
            Self::Arrive { .. }
            | Self::PowerCut { .. }
            | Self::IdlePowerCut
            | Self::Lose(_)
            | Self::Go(_)
            | Self::CallLost(_)
            | Self::AnswerLost(_)
            | Self::Crash(_)
            | Self::HintLost(_)
            | Self::Time => false,
        }
    }
}

impl Card {
    /// The payment method's name.
    pub(crate) const fn method(self) -> &'static str {
        match self {
            Self::Good => "pm_good",
            Self::Empty => "pm_empty",
            Self::Challenged => "pm_challenged",
        }
    }
}
