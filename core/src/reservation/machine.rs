//! The transitions of a hold.

use super::{Command, DeadlineReason, Event, Phase, Rejection, ReleaseReason, Reservation};
use crate::machine::{Context, Machine};
use crate::time::Timestamp;

impl Reservation {
    /// A hold that begins now and lasts `policy.hold`.
    #[must_use]
    pub fn hold(cx: &Context<'_>) -> Self {
        Self {
            since: cx.now,
            phase: Phase::Held { reserve_until: cx.now.plus(cx.policy.hold), extended: false },
            vehicle_offline_since: None,
        }
    }

    /// Whether the vehicle is this booking's at the moment.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        match self.phase {
            Phase::Held { .. } | Phase::Confirmed { .. } | Phase::InUse => true,
            Phase::Closed | Phase::Released { .. } => false,
        }
    }
}

type Decision = Result<Vec<Event>, Rejection>;

const fn refuse(phase: &Phase, command: &'static str) -> Decision {
    Err(Rejection::WrongPhase { phase: phase.name(), command })
}

fn release(reason: ReleaseReason, cx: &Context<'_>) -> Decision {
    Ok(vec![Event::Released { reason, at: cx.now }])
}

fn notice(since: Timestamp, cx: &Context<'_>) -> Decision {
    Ok(vec![Event::OfflineNoticed { since, expires_at: cx.now.plus(cx.policy.offline_expiry) }])
}

impl Machine for Reservation {
    type State = Self;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;
    type DeadlineReason = DeadlineReason;

    fn decide(state: &Self, command: &Command, cx: &Context<'_>) -> Decision {
        match command {
            Command::VehicleWentOffline { since } => return went_offline(state, *since, cx),
            Command::VehicleCameOnline => {
                let seen = state.vehicle_offline_since.is_some() && state.is_live();
                return Ok(if seen { vec![Event::OnlineNoticed] } else { vec![] });
            }
            Command::Extend
            | Command::Confirm { .. }
            | Command::Start
            | Command::Close
            | Command::Release(_)
            | Command::Reclaim
            | Command::Tick => {}
        }
        match &state.phase {
            Phase::Held { reserve_until, extended } => held(state, *reserve_until, *extended, command, cx),
            Phase::Confirmed { unlock_expires_at, offline_expires_at } => {
                confirmed(state, *unlock_expires_at, *offline_expires_at, command, cx)
            }
            Phase::InUse => in_use(state, command),
            Phase::Closed => closed(state, command),
            Phase::Released { reason, .. } => released(state, *reason, command, cx),
        }
    }

    fn apply(state: &mut Self, event: &Event) {
        match event {
            Event::Extended { reserve_until: until } => {
                if let Phase::Held { reserve_until, extended, .. } = &mut state.phase {
                    *reserve_until = *until;
                    *extended = true;
                }
            }
            Event::Confirmed { unlock_expires_at, offline_expires_at } => {
                state.phase = Phase::Confirmed {
                    unlock_expires_at: *unlock_expires_at,
                    offline_expires_at: *offline_expires_at,
                };
            }
            Event::OfflineNoticed { since, expires_at } => {
                state.vehicle_offline_since = Some(*since);
                if let Phase::Confirmed { offline_expires_at, .. } = &mut state.phase {
                    *offline_expires_at = Some(*expires_at);
                }
            }
            Event::OnlineNoticed => {
                state.vehicle_offline_since = None;
                if let Phase::Confirmed { offline_expires_at, .. } = &mut state.phase {
                    *offline_expires_at = None;
                }
            }
            Event::Started => state.phase = Phase::InUse,
            Event::Closed => state.phase = Phase::Closed,
            Event::Released { reason, at } => {
                state.phase = Phase::Released { reason: *reason, at: *at };
            }
            Event::Reclaimed { since, reserve_until } => {
                state.since = *since;
                state.phase = Phase::Held { reserve_until: *reserve_until, extended: false };
                state.vehicle_offline_since = None;
            }
        }
    }

    fn next_deadline(state: &Self) -> Option<(Timestamp, DeadlineReason)> {
        match &state.phase {
            Phase::Held { reserve_until, .. } => Some((*reserve_until, DeadlineReason::Payment)),
            Phase::Confirmed { unlock_expires_at, offline_expires_at } => match offline_expires_at {
                Some(offline) if offline < unlock_expires_at => Some((*offline, DeadlineReason::Offline)),
                Some(_) | None => Some((*unlock_expires_at, DeadlineReason::Unlock)),
            },
            Phase::InUse | Phase::Closed | Phase::Released { .. } => None,
        }
    }
}

fn went_offline(state: &Reservation, since: Timestamp, cx: &Context<'_>) -> Decision {
    match &state.phase {
        Phase::Held { .. } | Phase::Confirmed { .. } | Phase::InUse => match state.vehicle_offline_since {
            Some(_) => Ok(vec![]),
            None => notice(since, cx),
        },
        Phase::Closed | Phase::Released { .. } => Ok(vec![]),
    }
}

fn held(
    state: &Reservation,
    reserve_until: Timestamp,
    extended: bool,
    command: &Command,
    cx: &Context<'_>,
) -> Decision {
    match command {
        Command::Extend => {
            let longest = state.since.plus(cx.policy.hold_max);
            let until = cx.now.plus(cx.policy.hold).min(longest);
            if extended || cx.now >= reserve_until || until <= reserve_until {
                return Ok(vec![]);
            }
            Ok(vec![Event::Extended { reserve_until: until }])
        }
        Command::Confirm { .. } if cx.now >= reserve_until => {
            Err(Rejection::TooLate { deadline: reserve_until })
        }
        Command::Confirm { start_time } => Ok(vec![Event::Confirmed {
            unlock_expires_at: cx.now.max(*start_time).plus(cx.policy.unlock_window),
            offline_expires_at: state.vehicle_offline_since.map(|_| cx.now.plus(cx.policy.offline_expiry)),
        }]),
        Command::Release(reason) => release(*reason, cx),
        Command::Tick if cx.now >= reserve_until => release(ReleaseReason::PaymentDeadline, cx),
        Command::Reclaim
        | Command::Tick
        | Command::VehicleWentOffline { .. }
        | Command::VehicleCameOnline => Ok(vec![]),
        Command::Start => refuse(&state.phase, "start before the payment is authorised"),
        Command::Close => refuse(&state.phase, "end a trip that has not begun"),
    }
}

fn confirmed(
    state: &Reservation,
    unlock_expires_at: Timestamp,
    offline_expires_at: Option<Timestamp>,
    command: &Command,
    cx: &Context<'_>,
) -> Decision {
    match command {
        Command::Start => Ok(vec![Event::Started]),
        Command::Release(reason) => release(*reason, cx),
        Command::Tick => match offline_expires_at {
            Some(deadline) if cx.now >= deadline => release(ReleaseReason::VehicleOffline, cx),
            Some(_) | None if cx.now >= unlock_expires_at => release(ReleaseReason::UnlockWindowOver, cx),
            Some(_) | None => Ok(vec![]),
        },
        Command::Extend
        | Command::Confirm { .. }
        | Command::Reclaim
        | Command::VehicleWentOffline { .. }
        | Command::VehicleCameOnline => Ok(vec![]),
        Command::Close => refuse(&state.phase, "end a trip that has not begun"),
    }
}

fn in_use(state: &Reservation, command: &Command) -> Decision {
    match command {
        Command::Close => Ok(vec![Event::Closed]),
        Command::Start
        | Command::Tick
        | Command::Extend
        | Command::Confirm { .. }
        | Command::Reclaim
        | Command::VehicleWentOffline { .. }
        | Command::VehicleCameOnline => Ok(Vec::new()),
        Command::Release(_) => refuse(&state.phase, "be released during a trip: end the trip"),
    }
}

const fn closed(state: &Reservation, command: &Command) -> Decision {
    match command {
        Command::Close
        | Command::Start
        | Command::Tick
        | Command::Extend
        | Command::Confirm { .. }
        | Command::VehicleWentOffline { .. }
        | Command::VehicleCameOnline => Ok(Vec::new()),
        Command::Release(_) => refuse(&state.phase, "be released after the trip"),
        Command::Reclaim => refuse(&state.phase, "be claimed again after the trip"),
    }
}

fn released(state: &Reservation, reason: ReleaseReason, command: &Command, cx: &Context<'_>) -> Decision {
    match command {
        Command::Reclaim => match reason {
            ReleaseReason::PaymentDeclined => {
                Ok(vec![Event::Reclaimed { since: cx.now, reserve_until: cx.now.plus(cx.policy.hold) }])
            }
            ReleaseReason::PaymentLost
            | ReleaseReason::CancelledByRider
            | ReleaseReason::CancelledByOperator
            | ReleaseReason::VehicleWithdrawn
            | ReleaseReason::PaymentDeadline
            | ReleaseReason::UnlockWindowOver
            | ReleaseReason::VehicleOffline => {
                refuse(&state.phase, "be claimed again: only a declined payment can be retried")
            }
        },
        Command::Release(_)
        | Command::Tick
        | Command::VehicleWentOffline { .. }
        | Command::VehicleCameOnline => Ok(vec![]),
        Command::Extend => refuse(&state.phase, "be extended"),
        Command::Confirm { .. } => refuse(&state.phase, "be confirmed"),
        Command::Start => refuse(&state.phase, "start"),
        Command::Close => refuse(&state.phase, "end a trip that has not begun"),
    }
}
