//! The server's side: the commands of one booking, one at a time, each with one outcome.
//!
//! A child of the booking: its state is embedded there and its events are wrapped by the booking's.
//!
//! The counter of a command is `(epoch << 16) | seq`. The epoch rises with every change of holder and `seq`
//! with every command of a booking, so counters increase strictly over the life of a vehicle although nobody
//! keeps a counter per vehicle.

use serde::{Deserialize, Serialize};

use super::claims::{AckClaims, AckResult, Action, CommandClaims, PositionE7, Refusal};
use crate::charge::Charge;
use crate::ids::{BookingId, CommandId, Epoch, VehicleId};
use crate::machine::{Context, Machine};
use crate::time::Timestamp;

/// How many settled commands a booking remembers, so that late and repeated acks find theirs.
pub const REMEMBERED: usize = 8;

/// The slot of [`Context::uuid`] from which a command id is made: away from the slots that a booking uses in
/// the same decision.
const COMMAND_ID_SLOT: u8 = 64;

/// The bits of a counter that hold `seq`.
const SEQ_BITS: u32 = 16;

/// The counter of the `seq`-th command of a booking that holds the vehicle under `epoch`; `None` from epoch
/// 2^48 on.
///
/// ```
/// use rideplane_core::{ids::Epoch, unlock::counter};
/// assert_eq!(counter(Epoch(3), 1), Some(0x3_0001));
/// assert!(counter(Epoch(3), u16::MAX) < counter(Epoch(4), 1));
/// assert_eq!(counter(Epoch(1 << 48), 1), None);
/// ```
#[must_use]
pub const fn counter(epoch: Epoch, seq: u16) -> Option<u64> {
    if epoch.0 > u64::MAX >> SEQ_BITS { None } else { Some((epoch.0 << SEQ_BITS) | seq as u64) }
}

/// The commands of one booking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commands {
    current: Current,
    /// How many commands there have been.
    seq: u16,
    /// The settled ones, the latest last, at most [`REMEMBERED`].
    settled: Vec<Settled>,
    last_expiry: Option<Timestamp>,
}

/// The command under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Current {
    /// None.
    #[default]
    Idle,
    /// This one is to be delivered, again and again, until the vehicle answers or time runs out.
    Pending {
        /// What is delivered. Signed again it gives the same bytes.
        command: CommandClaims,
        /// When no vehicle accepts it any more, whatever its clock says: expiry plus clock skew.
        gives_up_at: Timestamp,
    },
}

/// A command that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// The command.
    pub command: CommandClaims,
    /// What came of it, as far as is known.
    pub outcome: Outcome,
}

/// What came of a command, as far as the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The vehicle did it.
    Done,
    /// The vehicle did not and will not do it.
    Refused(Refusal),
    /// No answer came in time. The vehicle may have done it: its ack may be lost or late.
    Unknown,
}

/// What is asked of the attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AttemptCommand {
    /// Command the vehicle. Asking for what is already under way changes nothing: that command is delivered again.
    Request {
        /// What it shall do.
        action: Action,
        /// The vehicle.
        vehicle_id: VehicleId,
        /// The booking that this state belongs to.
        booking_id: BookingId,
        /// The fence under which the booking holds the vehicle.
        epoch: Epoch,
        /// The command must expire `command_margin` before this, the end of the booking's unlock window.
        deadline: Option<Timestamp>,
    },
    /// The vehicle answered; the ack has been verified.
    Ack(AckClaims),
    /// Time has passed.
    Tick,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AttemptEvent {
    /// A command was given and is to be delivered.
    Requested {
        /// Its claims.
        command: CommandClaims,
        /// When it counts as unanswered.
        gives_up_at: Timestamp,
    },
    /// The vehicle says that it did what it was told.
    Acknowledged(Execution),
    /// The same, about a command that had already been given up or refused. The lock did move; whether the
    /// booking still wants that is the booking's to say.
    LateAcknowledged(Execution),
    /// The vehicle says that it did not and will not do it.
    Refused {
        /// The command.
        command_id: CommandId,
        /// What it asked for.
        action: Action,
        /// Why not.
        reason: Refusal,
    },
    /// No answer came, and no vehicle accepts the command any more. The outcome is unknown: the lock may have
    /// moved.
    TimedOut {
        /// The command.
        command_id: CommandId,
        /// What it asked for.
        action: Action,
    },
}

/// That and how a vehicle carried a command out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Execution {
    /// The command.
    pub command_id: CommandId,
    /// What it asked for.
    pub action: Action,
    /// When, by the vehicle's clock, yet never before the command was issued nor after its ack was received
    /// by ours: a vehicle's wrong clock must not move a bill.
    pub executed_at: Timestamp,
    /// The vehicle's odometer then, metres.
    pub odometer_m: u64,
    /// Where it was then, if it knew.
    pub position: Option<PositionE7>,
    /// How full its battery was then, if it knew.
    pub charge: Option<Charge>,
}

impl AttemptEvent {
    /// The name under which the event is published.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Requested { command, .. } => match command.action {
                Action::Unlock => "UnlockRequested",
                Action::Lock => "LockRequested",
            },
            Self::Acknowledged(execution) => match execution.action {
                Action::Unlock => "UnlockAcknowledged",
                Action::Lock => "LockAcknowledged",
            },
            Self::LateAcknowledged(execution) => match execution.action {
                Action::Unlock => "UnlockAcknowledgedLate",
                Action::Lock => "LockAcknowledgedLate",
            },
            Self::Refused { action, .. } | Self::TimedOut { action, .. } => match action {
                Action::Unlock => "UnlockFailed",
                Action::Lock => "LockFailed",
            },
        }
    }
}

/// Why a command to the attempt is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttemptRejection {
    /// Another command is under way; a vehicle gets one at a time.
    #[error(
        "command {command_id} ({action:?}) is under way: wait for its answer, at the latest until {until}"
    )]
    CommandInFlight {
        /// That command.
        command_id: CommandId,
        /// What it asks for.
        action: Action,
        /// When it counts as unanswered at the latest.
        until: Timestamp,
    },
    /// The command would be dead on arrival.
    #[error("a command would expire at {expires_at}, which is not after {now}: the time to give it is over")]
    TooLate {
        /// When it would expire.
        expires_at: Timestamp,
        /// Now.
        now: Timestamp,
    },
    /// The booking has given as many commands as a booking can.
    #[error("this booking has given {} commands, the most there can be: end it and book again", u16::MAX)]
    SequenceExhausted,
    /// The epoch leaves no room for a counter.
    #[error("epoch {} is too high to make a counter from: enrol the vehicle under a new id", .0.0)]
    EpochOutOfRange(Epoch),
    /// The ack answers a command that this booking never gave or has forgotten.
    #[error("no command {command_id} is remembered in this booking")]
    UnknownCommand {
        /// The command id in the ack.
        command_id: CommandId,
    },
    /// The ack names a command of this booking, yet not as it was given.
    #[error("the ack of command {command_id} does not fit the command: its {field} differs")]
    AckMismatch {
        /// The command.
        command_id: CommandId,
        /// What differs.
        field: &'static str,
    },
}

/// Why the attempt needs a `Tick`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptDeadline {
    /// The command under way counts as unanswered.
    AckOverdue,
}

/// The machine of a booking's commands.
#[derive(Clone, Copy, Debug)]
pub struct Attempt;

impl Machine for Attempt {
    type State = Commands;
    type Command = AttemptCommand;
    type Event = AttemptEvent;
    type Rejection = AttemptRejection;
    type DeadlineReason = AttemptDeadline;

    fn decide(
        state: &Commands,
        command: &AttemptCommand,
        cx: &Context<'_>,
    ) -> Result<Vec<AttemptEvent>, AttemptRejection> {
        match &state.current {
            Current::Idle => match command {
                AttemptCommand::Request { action, vehicle_id, booking_id, epoch, deadline } => {
                    state.request(*action, vehicle_id, *booking_id, *epoch, *deadline, cx)
                }
                AttemptCommand::Ack(ack) => state.acknowledged(ack, cx),
                AttemptCommand::Tick => Ok(vec![]),
            },
            Current::Pending { command: pending, gives_up_at } => match command {
                AttemptCommand::Request { action, vehicle_id, booking_id, epoch, deadline } => {
                    if cx.now >= *gives_up_at {
                        let mut events = vec![timed_out(pending)];
                        events.extend(state.request(
                            *action,
                            vehicle_id,
                            *booking_id,
                            *epoch,
                            *deadline,
                            cx,
                        )?);
                        return Ok(events);
                    }
                    let same = (&pending.vehicle_id, pending.booking_id, pending.epoch, pending.action)
                        == (vehicle_id, *booking_id, *epoch, *action);
                    if same {
                        return Ok(vec![]);
                    }
                    Err(AttemptRejection::CommandInFlight {
                        command_id: pending.command_id,
                        action: pending.action,
                        until: *gives_up_at,
                    })
                }
                AttemptCommand::Ack(ack) => state.acknowledged(ack, cx),
                AttemptCommand::Tick if cx.now >= *gives_up_at => Ok(vec![timed_out(pending)]),
                AttemptCommand::Tick => Ok(vec![]),
            },
        }
    }

    fn apply(state: &mut Commands, event: &AttemptEvent) {
        match &state.current {
            Current::Idle => match event {
                AttemptEvent::Requested { command, gives_up_at } => {
                    // The low bits of a counter are the sequence number by construction.
                    state.seq = command.counter as u16;
                    state.last_expiry = state.last_expiry.max(Some(command.expires_at));
                    state.current = Current::Pending { command: command.clone(), gives_up_at: *gives_up_at };
                }
                AttemptEvent::LateAcknowledged(execution) => state.correct(execution.command_id),
                AttemptEvent::Acknowledged(_)
                | AttemptEvent::Refused { .. }
                | AttemptEvent::TimedOut { .. } => {}
            },
            Current::Pending { .. } => match event {
                AttemptEvent::Requested { .. } => {}
                AttemptEvent::LateAcknowledged(execution) => state.correct(execution.command_id),
                AttemptEvent::Acknowledged(execution) => state.settle(execution.command_id, Outcome::Done),
                AttemptEvent::Refused { command_id, reason, .. } => {
                    state.settle(*command_id, Outcome::Refused(*reason));
                }
                AttemptEvent::TimedOut { command_id, .. } => state.settle(*command_id, Outcome::Unknown),
            },
        }
    }

    fn next_deadline(state: &Commands) -> Option<(Timestamp, AttemptDeadline)> {
        match &state.current {
            Current::Idle => None,
            Current::Pending { gives_up_at, .. } => Some((*gives_up_at, AttemptDeadline::AckOverdue)),
        }
    }
}

impl Commands {
    /// The command under way.
    #[must_use]
    pub const fn current(&self) -> &Current {
        &self.current
    }

    /// The effect that is due: sign these claims and deliver them. Delivering twice does no harm.
    #[must_use]
    pub const fn due_command(&self) -> Option<&CommandClaims> {
        match &self.current {
            Current::Idle => None,
            Current::Pending { command, .. } => Some(command),
        }
    }

    /// The latest expiry of all commands of this booking; `None` when there was none. A released vehicle may
    /// obey the last of them until this plus the clock skew.
    #[must_use]
    pub const fn last_expiry(&self) -> Option<Timestamp> {
        self.last_expiry
    }

    /// Whether the vehicle may be told nothing else yet: until then a command is under way.
    #[must_use]
    pub const fn pending_until(&self) -> Option<Timestamp> {
        match &self.current {
            Current::Idle => None,
            Current::Pending { gives_up_at, .. } => Some(*gives_up_at),
        }
    }

    /// Until when a vehicle with a true clock could still accept a command of this booking: the latest expiry of
    /// those whose outcome is open. One that was given before another was carried out is dead, because the
    /// vehicle's counter has passed it. `None` when nothing can be accepted any more.
    #[must_use]
    pub fn outstanding_until(&self) -> Option<Timestamp> {
        let done = self.settled.iter().filter(|settled| settled.outcome == Outcome::Done);
        let passed = done.map(|settled| settled.command.counter).max().unwrap_or(0);
        let open = self.settled.iter().filter(|settled| settled.outcome == Outcome::Unknown);
        open.map(|settled| &settled.command)
            .chain(self.due_command())
            .filter(|command| command.counter > passed)
            .map(|command| command.expires_at)
            .max()
    }

    /// How many commands the booking has given.
    #[must_use]
    pub const fn seq(&self) -> u16 {
        self.seq
    }

    /// The settled commands that are remembered, the latest last.
    #[must_use]
    pub fn settled(&self) -> &[Settled] {
        &self.settled
    }

    /// What the latest settled command asked for, and what came of it.
    #[must_use]
    pub fn last_outcome(&self) -> Option<(Action, Outcome)> {
        self.settled.last().map(|settled| (settled.command.action, settled.outcome))
    }

    /// The command of this booking that has this id, as far as it is remembered.
    #[must_use]
    pub fn find(&self, command_id: CommandId) -> Option<&CommandClaims> {
        let settled = self.settled.iter().map(|settled| &settled.command);
        self.due_command().into_iter().chain(settled).find(|command| command.command_id == command_id)
    }

    fn request(
        &self,
        action: Action,
        vehicle_id: &VehicleId,
        booking_id: BookingId,
        epoch: Epoch,
        deadline: Option<Timestamp>,
        cx: &Context<'_>,
    ) -> Result<Vec<AttemptEvent>, AttemptRejection> {
        let longest = cx.now.plus(cx.policy.command_ttl);
        let expires_at = deadline.map_or(longest, |end| longest.min(end.minus(cx.policy.command_margin)));
        if expires_at <= cx.now {
            return Err(AttemptRejection::TooLate { expires_at, now: cx.now });
        }
        let seq = self.seq.checked_add(1).ok_or(AttemptRejection::SequenceExhausted)?;
        let command = CommandClaims {
            vehicle_id: vehicle_id.clone(),
            booking_id,
            command_id: CommandId::from_uuid(cx.uuid(COMMAND_ID_SLOT)),
            action,
            epoch,
            counter: counter(epoch, seq).ok_or(AttemptRejection::EpochOutOfRange(epoch))?,
            issued_at: cx.now,
            expires_at,
        };
        Ok(vec![AttemptEvent::Requested { command, gives_up_at: expires_at.plus(cx.policy.clock_skew) }])
    }

    /// What an ack leads to, without the copy of it that an [`AttemptCommand`] needs.
    pub(crate) fn acknowledged(
        &self,
        ack: &AckClaims,
        cx: &Context<'_>,
    ) -> Result<Vec<AttemptEvent>, AttemptRejection> {
        match self.due_command() {
            Some(pending) if ack.command_id == pending.command_id => answer(pending, ack, cx),
            Some(_) | None => self.settled_ack(ack, cx),
        }
    }

    /// An ack of a command that is over. What a vehicle did is true however late it is told; what it did not
    /// do changes nothing any more.
    fn settled_ack(&self, ack: &AckClaims, cx: &Context<'_>) -> Result<Vec<AttemptEvent>, AttemptRejection> {
        let settled = self
            .settled
            .iter()
            .find(|settled| settled.command.command_id == ack.command_id)
            .ok_or(AttemptRejection::UnknownCommand { command_id: ack.command_id })?;
        fits(&settled.command, ack)?;
        match settled.outcome {
            Outcome::Done => Ok(vec![]),
            Outcome::Refused(_) | Outcome::Unknown => match ack.result {
                AckResult::Done => {
                    Ok(vec![AttemptEvent::LateAcknowledged(execution(&settled.command, ack, cx))])
                }
                AckResult::Refused(_) => Ok(vec![]),
            },
        }
    }

    fn settle(&mut self, command_id: CommandId, outcome: Outcome) {
        match core::mem::take(&mut self.current) {
            Current::Pending { command, .. } if command.command_id == command_id => {
                let surplus = self.settled.len().saturating_add(1).saturating_sub(REMEMBERED);
                self.settled.drain(..surplus);
                self.settled.push(Settled { command, outcome });
            }
            other @ (Current::Pending { .. } | Current::Idle) => self.current = other,
        }
    }

    fn correct(&mut self, command_id: CommandId) {
        for settled in &mut self.settled {
            if settled.command.command_id == command_id {
                settled.outcome = Outcome::Done;
            }
        }
    }
}

fn answer(
    pending: &CommandClaims,
    ack: &AckClaims,
    cx: &Context<'_>,
) -> Result<Vec<AttemptEvent>, AttemptRejection> {
    fits(pending, ack)?;
    Ok(vec![match ack.result {
        AckResult::Done => AttemptEvent::Acknowledged(execution(pending, ack, cx)),
        AckResult::Refused(reason) => {
            AttemptEvent::Refused { command_id: pending.command_id, action: pending.action, reason }
        }
    }])
}

fn timed_out(pending: &CommandClaims) -> AttemptEvent {
    AttemptEvent::TimedOut { command_id: pending.command_id, action: pending.action }
}

fn execution(command: &CommandClaims, ack: &AckClaims, cx: &Context<'_>) -> Execution {
    Execution {
        command_id: ack.command_id,
        action: ack.action,
        // Not `clamp`, which panics should our own clock have gone back behind the time of issue.
        executed_at: ack.executed_at.min(cx.now).max(command.issued_at),
        odometer_m: ack.odometer_m,
        position: ack.position,
        charge: ack.charge,
    }
}

fn fits(command: &CommandClaims, ack: &AckClaims) -> Result<(), AttemptRejection> {
    let checks = [
        ("vehicle", ack.vehicle_id == command.vehicle_id),
        ("booking", ack.booking_id == command.booking_id),
        ("action", ack.action == command.action),
        ("epoch", ack.epoch == command.epoch),
        ("counter", ack.counter == command.counter),
        ("request hash", ack.request_hash == command.hash()),
    ];
    match checks.into_iter().find(|(_, fits)| !fits) {
        None => Ok(()),
        Some((field, _)) => Err(AttemptRejection::AckMismatch { command_id: command.command_id, field }),
    }
}
