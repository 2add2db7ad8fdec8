//! One simulated vehicle: core's agent with a lock, an odometer, a place and a battery.

use ed25519_dalek::{Signer as _, SigningKey};
use rideplane_core::charge::Charge;
use rideplane_core::ids::VehicleId;
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{
    AckClaims, AckResult, Action, Agent, AgentMemory, CommandClaims, PositionE7, Refusal, Telemetry,
    Unsigned, Verdict,
};
use serde::{Deserialize, Serialize};

use super::VehicleFault;

/// A ridden vehicle's speed, metres a second.
const SPEED_M_PER_S: i64 = 4;
/// How far a ten-thousandth of the battery goes: a full one takes a vehicle 40 km.
const METRES_PER_BASIS_POINT: u64 = 4;
/// A degree of latitude, metres.
const DEGREE_M: f64 = 111_195.0;

/// What a vehicle must not forget: one line of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Memory {
    pub(super) vehicle: VehicleId,
    pub(super) agent: AgentMemory,
    pub(super) measured: Measured,
    /// Since when it has been unlocked.
    pub(super) unlocked_at: Option<Timestamp>,
}

/// What its instruments show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) odometer_m: u64,
    pub(super) position: Option<PositionE7>,
    pub(super) charge: Option<Charge>,
}

impl Measured {
    pub(super) fn after(self, distance_m: u64, position: Option<PositionE7>) -> Self {
        let used = u16::try_from(distance_m / METRES_PER_BASIS_POINT).unwrap_or(u16::MAX);
        let charge = self
            .charge
            .map(|charge| Charge::from_basis_points(charge.as_basis_points().saturating_sub(used)));
        Self { odometer_m: self.odometer_m.saturating_add(distance_m), position, charge }
    }

    fn drifted(self, seconds: i64, heading: f64) -> Self {
        let distance = seconds.max(0).saturating_mul(SPEED_M_PER_S);
        let position = self.position.map(|from| {
            let degrees = distance as f64 / DEGREE_M;
            // Near a pole a metre is many degrees of longitude; no fleet is there.
            let narrow = from.lat().to_radians().cos().max(0.01);
            let (east, north) = heading.sin_cos();
            PositionE7::from_degrees(from.lat() + degrees * north, from.lon() + degrees * east / narrow)
                .unwrap_or(from)
        });
        self.after(distance.unsigned_abs(), position)
    }
}

pub(super) struct Body {
    pub(super) agent: Agent,
    pub(super) key: SigningKey,
    pub(super) measured: Measured,
    pub(super) unlocked_at: Option<Timestamp>,
    /// Where it is ridden to, radians from north.
    pub(super) heading: f64,
    pub(super) fault: Option<(VehicleFault, bool)>,
    /// Acks that are held back.
    pub(super) late: Vec<Vec<u8>>,
}

/// An answer to a command, and what to remember before it is given.
pub(super) struct Answer {
    ack: AckClaims,
    pub(super) memory: Option<Memory>,
}

impl Body {
    /// What the instruments show at `now`; a vehicle that is unlocked is ridden.
    pub(super) fn measured(&self, now: Timestamp, drifts: bool) -> Measured {
        match self.unlocked_at {
            Some(since) if drifts => self.measured.drifted(now.since(since).as_seconds(), self.heading),
            Some(_) | None => self.measured,
        }
    }

    pub(super) fn memory(&self) -> Memory {
        Memory {
            vehicle: self.agent.vehicle_id().clone(),
            agent: self.agent.memory().clone(),
            measured: self.measured,
            unlocked_at: self.unlocked_at,
        }
    }

    pub(super) fn adopt(&mut self, memory: Memory) {
        self.agent.adopt(memory.agent);
        self.measured = memory.measured;
        self.unlocked_at = memory.unlocked_at;
    }

    /// What it says to a message; nothing to one that is not authentic.
    ///
    /// The lock is a part of the memory here, so beginning a command, moving the lock and reporting are one step, made
    /// durable by one line: a command is never found half done.
    pub(super) fn answer(&self, bytes: &[u8], now: Timestamp, drifts: bool) -> Option<Answer> {
        match self.agent.judge(bytes, now) {
            Verdict::Execute { claims, memory: _ } => Some(match self.fault {
                Some((VehicleFault::Jammed, _)) => self.refuse(&claims, Refusal::Jammed, now, drifts),
                Some((
                    VehicleFault::Offline
                    | VehicleFault::LostAck
                    | VehicleFault::DuplicateAck
                    | VehicleFault::LateAck,
                    _,
                ))
                | None => self.execute(&claims, now, drifts),
            }),
            Verdict::Repeat { ack } => Some(Answer { ack, memory: None }),
            Verdict::Interrupted { claims } => Some(self.refuse(&claims, Refusal::Interrupted, now, drifts)),
            Verdict::Refuse { claims, reason } => Some(self.refuse(&claims, reason, now, drifts)),
            Verdict::Ignore(error) => {
                tracing::debug!(vehicle = %self.agent.vehicle_id(), %error, "a message is not authentic");
                None
            }
        }
    }

    fn execute(&self, claims: &CommandClaims, now: Timestamp, drifts: bool) -> Answer {
        let (measured, unlocked_at) = match claims.action {
            Action::Unlock => (self.measured, Some(self.unlocked_at.unwrap_or(now))),
            Action::Lock => (self.measured(now, drifts), None),
        };
        self.report(claims, AckResult::Done, now, measured, unlocked_at)
    }

    fn refuse(&self, claims: &CommandClaims, reason: Refusal, now: Timestamp, drifts: bool) -> Answer {
        let mut answer = self.report(
            claims,
            AckResult::Refused(reason),
            now,
            self.measured(now, drifts),
            self.unlocked_at,
        );
        if let Some(memory) = &mut answer.memory {
            // It is still being ridden from where it was unlocked.
            memory.measured = self.measured;
        }
        answer
    }

    fn report(
        &self,
        claims: &CommandClaims,
        result: AckResult,
        at: Timestamp,
        measured: Measured,
        unlocked_at: Option<Timestamp>,
    ) -> Answer {
        let Measured { odometer_m, position, charge } = measured;
        let report = self.agent.report(claims, result, Telemetry { at, odometer_m, position, charge });
        let vehicle = self.agent.vehicle_id().clone();
        let memory = Memory { vehicle, agent: report.memory, measured, unlocked_at };
        Answer { ack: report.ack, memory: Some(memory) }
    }

    pub(super) fn sign(&self, answer: &Answer) -> Vec<u8> {
        let unsigned = Unsigned::ack(&answer.ack);
        let signature = self.key.sign(unsigned.to_be_signed()).to_bytes();
        unsigned.finish(signature)
    }
}
