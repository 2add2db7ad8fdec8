//! The vehicle's side: what its controller runs. No IO and no clock of its own; the host brings both.
//!
//! The order of things is what makes a command run at most once, whenever power fails:
//!
//! 1. [`Agent::judge`] the bytes.
//! 2. On [`Verdict::Execute`], make the given memory durable, [`Agent::adopt`] it, and only then move the lock.
//! 3. [`Agent::report`] what came of it, make that memory durable, adopt it, and only then send the ack.
//!
//! Power lost between 2 and 3 leaves a command that was begun and never reported. It is not begun again: when
//! it comes again, the verdict is [`Verdict::Interrupted`], and the host reads how the lock stands and reports
//! that.
//!
//! Clocks: a vehicle whose clock is ahead sees commands expire sooner. One whose clock is behind by more than
//! the skew refuses fresh commands as [`Refusal::NotYetValid`]; behind by less, it may accept a command for
//! that much longer, which is why a server waits for expiry plus skew before it gives the vehicle to another.

use serde::{Deserialize, Serialize};

use super::claims::{AckClaims, AckResult, Action, CommandClaims, PositionE7, Refusal};
use super::cose::{Verify, WireError, verify_command};
use super::keys::{RequestHash, TrustedKeys};
use crate::charge::Charge;
use crate::ids::{CommandId, Epoch, VehicleId};
use crate::time::{Span, Timestamp};

/// How many commands a vehicle remembers, so that a repeat gets its first answer.
pub const AGENT_REMEMBERS: usize = 8;

/// What a vehicle allows a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The longest life from issue to expiry; the default is 30 s, as the server's.
    pub life_max: Span,
    /// How far the vehicle's clock may be behind the server's; the default is 15 s, as the server's.
    pub clock_skew: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self { life_max: Span::from_seconds(30), clock_skew: Span::from_seconds(15) }
    }
}

/// What a vehicle must not forget, even without power. A new vehicle starts with the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentMemory {
    highest_epoch: Epoch,
    highest_counter: u64,
    /// The latest last, at most [`AGENT_REMEMBERS`].
    commands: Vec<Remembered>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    command_id: CommandId,
    hash: RequestHash,
    /// `None` from the moment the command is begun until its outcome is reported.
    ack: Option<AckClaims>,
}

/// What the vehicle shall do with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Make `memory` durable and adopt it, then move the lock, then report. A lock that already stands as
    /// commanded is `Done`.
    Execute {
        /// What to do.
        claims: CommandClaims,
        /// What to remember before doing it.
        memory: AgentMemory,
    },
    /// It has been answered before: send the same ack again and do nothing.
    Repeat {
        /// That ack.
        ack: AckClaims,
    },
    /// It was begun before power was lost. Do not move the lock: report `Done` if it stands as commanded, else
    /// [`Refusal::Interrupted`].
    Interrupted {
        /// What was to be done.
        claims: CommandClaims,
    },
    /// Do nothing and report this refusal.
    Refuse {
        /// What is refused.
        claims: CommandClaims,
        /// Why.
        reason: Refusal,
    },
    /// It is not authentic: do nothing and stay silent.
    Ignore(WireError),
}

/// What the vehicle measures when it reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Now, by the vehicle's clock.
    pub at: Timestamp,
    /// Its odometer, metres.
    pub odometer_m: u64,
    /// Where it is, if it knows.
    pub position: Option<PositionE7>,
    /// How full its battery is, if it knows.
    pub charge: Option<Charge>,
}

/// An ack, and what to remember before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The ack, to be signed by the vehicle's key ([`Unsigned::ack`](super::Unsigned::ack)) and sent.
    pub ack: AckClaims,
    /// What to make durable and adopt before that.
    pub memory: AgentMemory,
}

/// The part of a vehicle that decides whether it obeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent<K = TrustedKeys> {
    vehicle_id: VehicleId,
    trusted: K,
    limits: Limits,
    memory: AgentMemory,
}

impl<K: Verify> Agent<K> {
    /// The agent of `vehicle_id` with the memory that was last made durable.
    #[must_use]
    pub const fn new(vehicle_id: VehicleId, trusted: K, limits: Limits, memory: AgentMemory) -> Self {
        Self { vehicle_id, trusted, limits, memory }
    }

    /// The vehicle.
    #[must_use]
    pub const fn vehicle_id(&self) -> &VehicleId {
        &self.vehicle_id
    }

    /// What it remembers.
    #[must_use]
    pub const fn memory(&self) -> &AgentMemory {
        &self.memory
    }

    /// Takes a memory that has been made durable.
    pub fn adopt(&mut self, memory: AgentMemory) {
        self.memory = memory;
    }

    /// Trusts other keys from now on: the step of a key rotation on the vehicle.
    pub fn trust(&mut self, trusted: K) {
        self.trusted = trusted;
    }

    /// Judges a message that arrived on the vehicle's command topic at `now`, by the vehicle's clock.
    #[must_use]
    pub fn judge(&self, bytes: &[u8], now: Timestamp) -> Verdict {
        let claims = match verify_command(bytes, &self.trusted, &self.vehicle_id) {
            Ok(claims) => claims,
            Err(error) => return Verdict::Ignore(error),
        };
        let hash = claims.hash();
        if let Some(known) = self.memory.find(claims.command_id) {
            return match &known.ack {
                _ if known.hash != hash => Verdict::Refuse { claims, reason: Refusal::CommandIdReused },
                Some(ack) => Verdict::Repeat { ack: ack.clone() },
                None => Verdict::Interrupted { claims },
            };
        }
        if let Some(reason) = self.refusal(&claims, now) {
            return Verdict::Refuse { claims, reason };
        }
        let memory = self.memory.clone().with(&claims, hash, None);
        Verdict::Execute { claims, memory }
    }

    /// What came of a command that [`judge`](Self::judge) gave out, as the ack to send and the memory to keep.
    ///
    /// A refusal of a command that is not stale is remembered like an execution, so that every refusal is
    /// final: a command refused by a wrong clock does not come to life when the clock is put right.
    #[must_use]
    pub fn report(&self, claims: &CommandClaims, result: AckResult, telemetry: Telemetry) -> Report {
        let hash = claims.hash();
        let ack = AckClaims {
            vehicle_id: self.vehicle_id.clone(),
            booking_id: claims.booking_id,
            command_id: claims.command_id,
            request_hash: hash,
            action: claims.action,
            result,
            epoch: claims.epoch,
            counter: claims.counter,
            executed_at: telemetry.at,
            odometer_m: telemetry.odometer_m,
            position: telemetry.position,
            charge: telemetry.charge,
        };
        let memory = self.memory.clone().with(claims, hash, Some(&ack));
        Report { ack, memory }
    }

    fn refusal(&self, claims: &CommandClaims, now: Timestamp) -> Option<Refusal> {
        if claims.epoch < self.memory.highest_epoch {
            return Some(Refusal::StaleEpoch);
        }
        if claims.counter <= self.memory.highest_counter {
            return Some(Refusal::StaleCounter);
        }
        if claims.life() > self.limits.life_max {
            return Some(Refusal::LifeTooLong);
        }
        if claims.issued_at > now.plus(self.limits.clock_skew) {
            return Some(Refusal::NotYetValid);
        }
        if now >= claims.expires_at {
            return Some(Refusal::Expired);
        }
        None
    }
}

impl AgentMemory {
    /// The highest fence that the vehicle has seen.
    #[must_use]
    pub const fn highest_epoch(&self) -> Epoch {
        self.highest_epoch
    }

    /// The highest counter that the vehicle has seen.
    #[must_use]
    pub const fn highest_counter(&self) -> u64 {
        self.highest_counter
    }

    /// What the vehicle last did with its lock, as far as it remembers.
    #[must_use]
    pub fn last_done(&self) -> Option<Action> {
        let done = |ack: &&AckClaims| ack.result == AckResult::Done;
        self.commands.iter().rev().filter_map(|known| known.ack.as_ref()).find(done).map(|ack| ack.action)
    }

    fn find(&self, command_id: CommandId) -> Option<&Remembered> {
        self.commands.iter().find(|known| known.command_id == command_id)
    }

    /// This memory after a command was begun (no ack) or answered. The first answer stays; what is stale, or
    /// is another command under a known id, leaves no trace.
    fn with(mut self, claims: &CommandClaims, hash: RequestHash, ack: Option<&AckClaims>) -> Self {
        if let Some(known) = self.commands.iter_mut().find(|known| known.command_id == claims.command_id) {
            if known.hash == hash && known.ack.is_none() {
                known.ack = ack.cloned();
            }
            return self;
        }
        if claims.epoch < self.highest_epoch || claims.counter <= self.highest_counter {
            return self;
        }
        let surplus = self.commands.len().saturating_add(1).saturating_sub(AGENT_REMEMBERS);
        self.commands.drain(..surplus);
        self.commands.push(Remembered { command_id: claims.command_id, hash, ack: ack.cloned() });
        self.highest_epoch = claims.epoch;
        self.highest_counter = claims.counter;
        self
    }
}
