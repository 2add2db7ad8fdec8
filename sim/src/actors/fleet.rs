//! The vehicles as things: a bolt, a battery, a radio, and core's agent with a memory that survives them.

use std::sync::Arc;

use parking_lot::Mutex;
use rideplane_core::charge::Charge;
use rideplane_core::geo::Point;
use rideplane_core::ids::VehicleId;
use rideplane_core::time::{Span, Timestamp};
use rideplane_core::unlock::{
    AckClaims, AckResult, Action, Agent, AgentMemory, CommandClaims, Limits, PositionE7, Refusal, Telemetry,
    Unsigned, Verdict,
};
use rideplane_ports::Telemetry as Report;

use crate::defects::Defect;
use crate::faults::Fault;
use crate::net::{Happening, Net, Part};
use crate::oracle::Oracle;
use crate::signatures::{Signatures, Trust};
use crate::trace::{Line, name};

/// A second, in microseconds.
const S: i64 = 1_000_000;

struct Bike {
    agent: Agent<Trust>,
    /// What is left when power is lost.
    durable: AgentMemory,
    open: bool,
    odometer_m: u64,
    powered: bool,
    online: bool,
    jammed: bool,
    clock_off: i64,
}

/// All vehicles.
pub(crate) struct Fleet {
    net: Arc<Net>,
    oracle: Arc<Mutex<Oracle>>,
    signatures: Arc<Signatures>,
    defect: Option<Defect>,
    pub(crate) ids: Vec<VehicleId>,
    bikes: Vec<Mutex<Bike>>,
}

/// Where power is lost, if it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Never,
    AfterMemory,
    AfterBolt,
    AfterReport,
}

impl Fleet {
    pub(crate) fn new(
        net: Arc<Net>,
        oracle: Arc<Mutex<Oracle>>,
        signatures: Arc<Signatures>,
        vehicles: usize,
        defect: Option<Defect>,
    ) -> Self {
        let ids: Vec<VehicleId> =
            (0..vehicles).map(|n| VehicleId::new(format!("Vehicle{n}")).unwrap()).collect();
        let bikes = ids
            .iter()
            .map(|id| {
                let memory = AgentMemory::default();
                Mutex::new(Bike {
                    agent: Agent::new(id.clone(), signatures.trust(), limits(defect), memory.clone()),
                    durable: memory,
                    open: false,
                    odometer_m: 1_000,
                    powered: true,
                    online: true,
                    jammed: false,
                    clock_off: skewed(defect),
                })
            })
            .collect();
        Self { net, oracle, signatures, defect, ids, bikes }
    }

    pub(crate) fn number(&self, id: &VehicleId) -> Option<usize> {
        self.ids.iter().position(|known| known == id)
    }

    /// What the vehicle's clock shows.
    fn clock(&self, bike: &Bike) -> Timestamp {
        self.net.now().plus(Span::from_micros(bike.clock_off))
    }

    /// The broker takes a command.
    pub(crate) fn send(&self, vehicle: &VehicleId, command: &[u8], expires_at: Timestamp) {
        let Some(n) = self.number(vehicle) else { return };
        self.net.note(|| Line::between(name(Part::Broker), name(Part::Vehicle(n)), "command"));
        if self.net.strikes(Fault::LostMessage) {
            return;
        }
        let mut waits = vec![self.way()];
        if self.net.strikes(Fault::DuplicateMessage) {
            waits.push(self.way() + S);
        }
        let ends = expires_at.since(self.net.now()).as_micros();
        // The broker drops what has expired (MQTT 5 message expiry); a defective one does not.
        let keeps = self.defect.is_some_and(Defect::needs_late_messages);
        for wait in waits.into_iter().filter(|wait| keeps || *wait <= ends + 4 * S) {
            self.net.after(wait, Happening::Reaches { vehicle: n, bytes: command.to_vec() });
        }
    }

    fn way(&self) -> i64 {
        if self.net.strikes(Fault::LateMessage) {
            let late = if self.defect.is_some_and(Defect::needs_late_messages) { 200 } else { 50 };
            return self.net.draw(|rng| rng.between(S, late * S));
        }
        self.net.draw(|rng| rng.between(20_000, 400_000))
    }

    /// A command arrives at the vehicle, if it can be reached.
    pub(crate) fn reached(&self, n: usize, bytes: &[u8]) {
        let mut bike = self.bikes[n].lock();
        if !bike.powered || !bike.online || self.net.apart(Part::Broker, Part::Vehicle(n)) {
            return;
        }
        let now = self.clock(&bike);
        let cut = self.cut();
        let claims_result = match bike.agent.judge(bytes, now) {
            Verdict::Execute { claims, memory } => {
                bike.durable = memory.clone();
                bike.agent.adopt(memory);
                if cut == Cut::AfterMemory {
                    return self.dies(n, &mut bike);
                }
                let result = self.act(n, &mut bike, &claims);
                if cut == Cut::AfterBolt {
                    return self.dies(n, &mut bike);
                }
                Some((claims, result))
            }
            Verdict::Repeat { ack } => {
                if self.defect == Some(Defect::CommandActsTwice) {
                    self.again(n, &mut bike, bytes);
                }
                self.answer(n, &ack);
                None
            }
            Verdict::Interrupted { claims } => {
                let stands = bike.open == (claims.action == Action::Unlock);
                if stands {
                    self.net.note(|| Line::at(Part::Vehicle(n), "the bolt stands as commanded"));
                    self.oracle.lock().bolt_stood(&claims);
                }
                let result = if stands { AckResult::Done } else { AckResult::Refused(Refusal::Interrupted) };
                Some((claims, result))
            }
            Verdict::Refuse { claims, reason } => Some(self.refused(n, &mut bike, claims, reason)),
            Verdict::Ignore(_) => None,
        };
        let Some((claims, result)) = claims_result else { return };
        let telemetry = telemetry(&bike, self.clock(&bike));
        let report = bike.agent.report(&claims, result, telemetry);
        bike.durable = report.memory.clone();
        bike.agent.adopt(report.memory);
        if cut == Cut::AfterReport {
            return self.dies(n, &mut bike);
        }
        self.answer(n, &report.ack);
    }

    fn cut(&self) -> Cut {
        if !self.net.strikes(Fault::PowerCut) {
            return Cut::Never;
        }
        self.net.draw(|rng| rng.pick(&[Cut::AfterMemory, Cut::AfterBolt, Cut::AfterReport]))
    }

    fn dies(&self, n: usize, bike: &mut Bike) {
        bike.powered = false;
        self.net.note(|| Line::at(Part::Vehicle(n), "power lost"));
        let wait = self.net.draw(|rng| rng.between(S, 60 * S));
        self.net.after(wait, Happening::PowerBack(n));
    }

    /// Moves the bolt.
    fn act(&self, n: usize, bike: &mut Bike, claims: &CommandClaims) -> AckResult {
        bike.jammed = self.net.strikes(Fault::Jam);
        if bike.jammed {
            self.net.note(|| Line::at(Part::Vehicle(n), "the lock is jammed"));
            return AckResult::Refused(Refusal::Jammed);
        }
        bike.open = claims.action == Action::Unlock;
        self.net
            .note(|| Line::at(Part::Vehicle(n), format!("{:?} for {}", claims.action, claims.booking_id)));
        self.oracle.lock().bolt_moved(&self.ids[n], claims, self.net.now());
        AckResult::Done
    }

    /// What a sound vehicle answers to a command that it refuses; a defective one has ideas of its own.
    fn refused(
        &self,
        n: usize,
        bike: &mut Bike,
        claims: CommandClaims,
        reason: Refusal,
    ) -> (CommandClaims, AckResult) {
        let obeys = match self.defect {
            Some(Defect::ExpiredAccepted) => reason == Refusal::Expired,
            Some(Defect::EpochNotChecked) => reason == Refusal::StaleEpoch || reason == Refusal::StaleCounter,
            Some(_) | None => false,
        };
        let result = if obeys { self.act(n, bike, &claims) } else { AckResult::Refused(reason) };
        (claims, result)
    }

    fn again(&self, n: usize, bike: &mut Bike, bytes: &[u8]) {
        let fresh =
            Agent::new(self.ids[n].clone(), self.signatures.trust(), limits(None), AgentMemory::default());
        if let Verdict::Execute { claims, .. } = fresh.judge(bytes, self.clock(bike)) {
            self.act(n, bike, &claims);
        }
    }

    fn answer(&self, n: usize, ack: &AckClaims) {
        let mut ack = ack.clone();
        if self.defect == Some(Defect::AckWithoutAct) {
            ack.result = AckResult::Done;
        }
        let unsigned = Unsigned::ack(&ack);
        let signature = self.signatures.sign_as_vehicle(n, unsigned.to_be_signed());
        let bytes = unsigned.finish(signature);
        self.net.note(|| {
            Line::between(name(Part::Vehicle(n)), name(Part::Broker), format!("ack {:?}", ack.result))
        });
        if self.net.strikes(Fault::LostMessage) {
            return;
        }
        if self.net.strikes(Fault::DuplicateMessage) {
            let wait = self.way() + S;
            self.net.after(wait, Happening::Ack { vehicle: n, bytes: bytes.clone(), tries: 0 });
        }
        let wait = self.way();
        self.net.after(wait, Happening::Ack { vehicle: n, bytes, tries: 0 });
    }

    /// Power is back: what was durable is what it knows.
    pub(crate) fn power_back(&self, n: usize) {
        let mut bike = self.bikes[n].lock();
        if self.defect == Some(Defect::MemoryLost) {
            bike.durable = AgentMemory::default();
        }
        bike.powered = true;
        bike.agent = Agent::new(
            self.ids[n].clone(),
            self.signatures.trust(),
            limits(self.defect),
            bike.durable.clone(),
        );
        self.net.note(|| Line::at(Part::Vehicle(n), "power is back"));
    }

    pub(crate) fn set_online(&self, n: usize, online: bool) {
        self.bikes[n].lock().online = online;
        self.net.note(|| Line::at(Part::Vehicle(n), if online { "network is back" } else { "network lost" }));
    }

    /// A clock ahead only makes commands expire sooner; one behind is allowed for up to the skew.
    pub(crate) fn drift(&self, n: usize) {
        if self.defect == Some(Defect::ClockRaw) {
            return;
        }
        let off = self.net.draw(|rng| rng.between(-11 * S, 40 * S));
        self.bikes[n].lock().clock_off = off;
        self.net.note(|| Line::at(Part::Vehicle(n), format!("clock is off by {} ms", off / 1_000)));
    }

    pub(crate) fn calm_down(&self, n: usize) {
        let mut bike = self.bikes[n].lock();
        bike.online = true;
        bike.clock_off = 0;
        let dead = !bike.powered;
        drop(bike);
        if dead {
            self.power_back(n);
        }
    }

    /// Its heartbeat, if it can say anything.
    pub(crate) fn heartbeat(&self, n: usize) -> Option<Report> {
        let bike = self.bikes[n].lock();
        if !bike.powered || !bike.online || self.net.apart(Part::Broker, Part::Vehicle(n)) {
            return None;
        }
        Some(Report {
            vehicle_id: self.ids[n].clone(),
            position: Some(place(n)),
            charge: Some(Charge::from_basis_points(8_000)),
            range_m: Some(20_000),
            // The broker stamps what it hears, so that a vehicle's wrong clock does not make it look silent.
            last_reported: self.net.now(),
        })
    }

    pub(crate) fn ride(&self, vehicle: &VehicleId, metres: u64) {
        if let Some(n) = self.number(vehicle) {
            self.bikes[n].lock().odometer_m += metres;
        }
    }

    /// A person looks at it and locks it by hand.
    pub(crate) fn lock_by_hand(&self, n: usize) {
        self.bikes[n].lock().open = false;
    }
}

fn limits(defect: Option<Defect>) -> Limits {
    match defect {
        Some(Defect::ClockRaw) => {
            Limits { life_max: Span::from_minutes(10), clock_skew: Span::from_minutes(10) }
        }
        Some(_) | None => Limits::default(),
    }
}

/// A clock that nobody ever set is minutes behind.
fn skewed(defect: Option<Defect>) -> i64 {
    if defect == Some(Defect::ClockRaw) { -150 * S } else { 0 }
}

/// Where a vehicle stands: all within a few hundred metres of each other.
pub(crate) fn place(n: usize) -> Point {
    Point::new(50.11 + n as f64 * 0.0005, 8.68).unwrap()
}

fn telemetry(bike: &Bike, at: Timestamp) -> Telemetry {
    Telemetry {
        at,
        odometer_m: bike.odometer_m,
        position: PositionE7::from_degrees(50.11, 8.68).ok(),
        charge: Some(Charge::from_basis_points(8_000)),
    }
}
