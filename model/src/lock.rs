//! The vehicle: core's agent with real signatures, and a bolt.

use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{
    AckClaims, AckResult, Action, Agent, AgentMemory, CommandClaims, Telemetry, Verdict,
};

use crate::defects::Defect;
use crate::print::Printed;
use crate::rig::Rig;

/// What survives at the vehicle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lock {
    memory: AgentMemory,
    pub(crate) open: bool,
}

/// What a command did to the vehicle.
#[derive(Clone)]
pub(crate) struct Heard {
    pub(crate) lock: Printed<Lock>,
    /// Whether it was carried out just now.
    pub(crate) acted: bool,
    pub(crate) ack: Option<Printed<AckClaims>>,
}

/// The vehicle hears a command. Its clock is right; a crash of the vehicle is not modelled.
pub(crate) fn hear(
    rig: &Rig,
    lock: &Printed<Lock>,
    claims: &Printed<CommandClaims>,
    now: Timestamp,
) -> Heard {
    let question = (lock.print(), claims.print(), now.as_micros());
    rig.memo.heard.ask(question, || judge(rig, lock, claims, now))
}

fn judge(rig: &Rig, lock: &Printed<Lock>, claims: &CommandClaims, now: Timestamp) -> Heard {
    let agent = agent(rig, lock.memory.clone());
    let (result, claims) = match verdict(rig, &agent, claims, now) {
        Verdict::Execute { claims, .. } => (AckResult::Done, claims),
        Verdict::Refuse { claims, reason } => (AckResult::Refused(reason), claims),
        Verdict::Repeat { ack } => {
            return Heard { lock: lock.clone(), acted: false, ack: Some(Printed::new(ack)) };
        }
        Verdict::Interrupted { .. } | Verdict::Ignore(_) => {
            return Heard { lock: lock.clone(), acted: false, ack: None };
        }
    };
    let acted = result == AckResult::Done;
    let telemetry = Telemetry { at: now, odometer_m: 0, position: None, charge: None };
    let report = agent.report(&claims, result, telemetry);
    let open = if acted { claims.action == Action::Unlock } else { lock.open };
    let lock = Printed::new(Lock { memory: report.memory, open });
    Heard { lock, acted, ack: Some(Printed::new(report.ack)) }
}

fn agent(rig: &Rig, memory: AgentMemory) -> Agent {
    Agent::new(rig.vehicle_id.clone(), rig.trusted.clone(), rig.limits, memory)
}

fn verdict(rig: &Rig, agent: &Agent, claims: &CommandClaims, now: Timestamp) -> Verdict {
    let bytes = rig.sign(claims);
    let now = if rig.has(Defect::ExpiryNotChecked) { claims.issued_at } else { now };
    if rig.has(Defect::MemoryLost) {
        self::agent(rig, AgentMemory::default()).judge(&bytes, now)
    } else {
        agent.judge(&bytes, now)
    }
}
