//! The vehicle: core's agent with real signatures, and a bolt.

use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{
    AckClaims, AckResult, Action, Agent, AgentMemory, CommandClaims, Refusal, Telemetry, Verdict,
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

impl Lock {
    /// The same bolt at a vehicle that has forgotten everything.
    pub(crate) fn forgetful(&self) -> Self {
        Self { memory: AgentMemory::default(), open: self.open }
    }
}

/// What a command did to the vehicle.
#[derive(Clone)]
pub(crate) struct Heard {
    pub(crate) lock: Printed<Lock>,
    /// Whether it was carried out just now.
    pub(crate) acted: bool,
    /// Whether it had begun to open before its power failed, and was found open afterwards: by this command or, when an
    /// earlier one's answer came too late for anybody to know of it, by that.
    pub(crate) stands_open: bool,
    pub(crate) ack: Option<Printed<AckClaims>>,
    /// How the vehicle comes back when its power fails while it carries the command out.
    pub(crate) begun: Option<Begun>,
}

/// A command that was begun and never reported.
#[derive(Clone)]
pub(crate) struct Begun {
    /// The bolt had not moved.
    pub(crate) still: Printed<Lock>,
    /// It had.
    pub(crate) moved: Printed<Lock>,
}

/// The vehicle hears a command at a time by its clock.
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
    let open = claims.action == Action::Unlock;
    match verdict(rig, &agent(rig, lock.memory.clone()), claims, now) {
        Verdict::Execute { claims, memory } => {
            let kept =
                if rig.has(Defect::MemoryLostWithPower) { AgentMemory::default() } else { memory.clone() };
            let begun = |open| Printed::new(Lock { memory: kept.clone(), open });
            let begun = Some(Begun { still: begun(lock.open), moved: begun(open) });
            let acted = !rig.has(Defect::AckWithoutAct);
            let open = if acted { open } else { lock.open };
            Heard { begun, acted, ..report(rig, Lock { memory, open }, &claims, AckResult::Done, now) }
        }
        Verdict::Refuse { claims, reason } => {
            report(rig, (**lock).clone(), &claims, AckResult::Refused(reason), now)
        }
        Verdict::Interrupted { claims } => {
            let stands = lock.open == open;
            let result = if stands { AckResult::Done } else { AckResult::Refused(Refusal::Interrupted) };
            Heard { stands_open: stands && open, ..report(rig, (**lock).clone(), &claims, result, now) }
        }
        Verdict::Repeat { ack } => {
            let acted = rig.has(Defect::CommandActsTwice) && ack.result == AckResult::Done;
            let open = if acted { open } else { lock.open };
            let lock = Printed::new(Lock { memory: lock.memory.clone(), open });
            Heard { lock, acted, stands_open: false, ack: Some(Printed::new(ack)), begun: None }
        }
        Verdict::Ignore(_) => {
            Heard { lock: lock.clone(), acted: false, stands_open: false, ack: None, begun: None }
        }
    }
}

/// What came of a command, remembered before it is told.
fn report(rig: &Rig, lock: Lock, claims: &CommandClaims, result: AckResult, now: Timestamp) -> Heard {
    let telemetry = Telemetry { at: now, odometer_m: 0, position: None, charge: None };
    let report = agent(rig, lock.memory).report(claims, result, telemetry);
    let lock = Printed::new(Lock { memory: report.memory, open: lock.open });
    Heard { lock, acted: false, stands_open: false, ack: Some(Printed::new(report.ack)), begun: None }
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
