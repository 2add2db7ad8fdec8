//! Vehicles in the process: each runs core's [`Agent`] on the very bytes that a real one would get, remembers what it
//! must, and answers with acks that it signs itself.
//!
//! A vehicle exists from the moment that it is named, by a command or by [`Agents::place`]; its key is derived from the
//! fleet's secret and its id, so it is the same in every process. One that nobody placed knows neither where it is nor
//! how full its battery is.
//!
//! A command is judged, carried out and answered inside [`VehicleLink::deliver`]; the ack waits in the [`VehicleInbox`],
//! or, with [`Agents::manual`], until [`Agents::take_messages`] asks for it.
//!
//! While it is unlocked a vehicle is ridden: 4 m/s, always the same way, a full battery lasting
//! 40 km. [`Agents::without_riding`] leaves the riding to [`Agents::ride`].

mod body;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use ed25519_dalek::SigningKey;
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::StreamExt as _;
use futures_util::lock::Mutex as AsyncMutex;
use parking_lot::{Mutex, RwLock};
use rideplane_core::charge::Charge;
use rideplane_core::geo::Point;
use rideplane_core::ids::VehicleId;
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{Agent, AgentMemory, Limits, PositionE7, TrustedKeys, VehicleKey};
use rideplane_ports::{Clock, FromVehicle, PortError, Telemetry, VehicleInbox, VehicleLink};
use sha2::{Digest as _, Sha256};

use crate::journal::Journal;
use body::{Body, Measured, Memory};

/// What goes wrong with a vehicle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VehicleFault {
    /// It hears nothing and says nothing: commands are swallowed, heartbeats fail.
    Offline,
    /// Its lock does not move: it refuses with [`Jammed`](rideplane_core::unlock::Refusal::Jammed).
    Jammed,
    /// It obeys, and its ack gets lost.
    LostAck,
    /// It obeys, and its ack arrives twice.
    DuplicateAck,
    /// It obeys, and its ack arrives with the next heartbeat, or with [`Agents::release_late`].
    LateAck,
}

/// How long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// For one command.
    Once,
    /// Until [`Agents::clear_fault`].
    UntilCleared,
}

/// The fleet in the process. See the [module](self).
pub struct Agents {
    fleet_secret: [u8; 32],
    trusted: TrustedKeys,
    clock: Arc<dyn Clock>,
    limits: Limits,
    ridden: bool,
    bodies: RwLock<HashMap<VehicleId, Arc<Mutex<Body>>>>,
    journal: Option<Mutex<Journal>>,
    sender: UnboundedSender<FromVehicle>,
    receiver: AsyncMutex<UnboundedReceiver<FromVehicle>>,
    /// Messages by vehicle, in manual mode.
    waiting: Option<Mutex<HashMap<VehicleId, VecDeque<FromVehicle>>>>,
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agents").field("vehicles", &self.bodies.read().len()).finish_non_exhaustive()
    }
}

impl Agents {
    /// A fleet that obeys `trusted` and forgets everything with the process.
    #[must_use]
    pub fn new(fleet_secret: [u8; 32], trusted: TrustedKeys, clock: Arc<dyn Clock>) -> Self {
        let (sender, receiver) = unbounded();
        Self {
            fleet_secret,
            trusted,
            clock,
            limits: Limits::default(),
            ridden: true,
            bodies: RwLock::default(),
            journal: None,
            sender,
            receiver: AsyncMutex::new(receiver),
            waiting: None,
        }
    }

    /// A fleet that keeps a journal at `path`: counters, odometers and locks survive the process, also one that was
    /// killed. Acks that nobody had taken are lost, as on a radio link; the same command is answered again.
    ///
    /// # Errors
    /// [`Unavailable`](rideplane_ports::Kind::Unavailable) when the file can't be used,
    /// [`Corrupt`](rideplane_ports::Kind::Corrupt) when a line other than a torn last one can't be read.
    pub fn open(
        path: impl AsRef<Path>,
        fleet_secret: [u8; 32],
        trusted: TrustedKeys,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PortError> {
        let mut agents = Self::new(fleet_secret, trusted, clock);
        let mut last: HashMap<VehicleId, Memory> = HashMap::new();
        let mut journal = Journal::open(path.as_ref(), "vehicles.open", |line: Memory| {
            last.insert(line.vehicle.clone(), line);
        })?;
        journal.shorten(last.len(), last.values())?;
        for memory in last.into_values() {
            agents.body(&memory.vehicle.clone()).lock().adopt(memory);
        }
        agents.journal = Some(Mutex::new(journal));
        Ok(agents)
    }

    /// Keeps messages until [`take_messages`](Self::take_messages) asks for them; the inbox stays empty. For runs that
    /// must be repeatable.
    #[must_use]
    pub fn manual(mut self) -> Self {
        self.waiting = Some(Mutex::default());
        self
    }

    /// Vehicles move only by [`ride`](Self::ride).
    #[must_use]
    pub fn without_riding(mut self) -> Self {
        self.ridden = false;
        self
    }

    /// The limits of vehicles that are made from now on.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The public key of a vehicle.
    #[must_use]
    pub fn key_of(&self, vehicle: &VehicleId) -> VehicleKey {
        VehicleKey::from_bytes(self.body(vehicle).lock().key.verifying_key().to_bytes())
    }

    /// Puts a vehicle somewhere, as an operator would.
    ///
    /// # Errors
    /// [`Unavailable`](rideplane_ports::Kind::Unavailable) when the journal can't be written.
    pub fn place(
        &self,
        vehicle: &VehicleId,
        at: Point,
        charge: Option<Charge>,
        odometer_m: u64,
    ) -> Result<(), PortError> {
        self.change(vehicle, |_| Measured { odometer_m, position: e7(at), charge })
    }

    /// Where a vehicle stands; `None` when it was never placed.
    #[must_use]
    pub fn position_of(&self, vehicle: &VehicleId) -> Option<PositionE7> {
        self.body(vehicle).lock().measured.position
    }

    /// Rides a vehicle `distance_m` metres to a place.
    ///
    /// # Errors
    /// [`Unavailable`](rideplane_ports::Kind::Unavailable) when the journal can't be written.
    pub fn ride(&self, vehicle: &VehicleId, distance_m: u64, to: Point) -> Result<(), PortError> {
        self.change(vehicle, |measured| measured.after(distance_m, e7(to)))
    }

    /// Makes something go wrong, in place of what went wrong before.
    pub fn set_fault(&self, vehicle: &VehicleId, fault: VehicleFault, lasts: Lasts) {
        self.body(vehicle).lock().fault = Some((fault, lasts == Lasts::Once));
    }

    /// Puts a vehicle right again.
    pub fn clear_fault(&self, vehicle: &VehicleId) {
        self.body(vehicle).lock().fault = None;
    }

    /// Lets the acks go that a vehicle holds back, and says how many they were.
    pub fn release_late(&self, vehicle: &VehicleId) -> usize {
        let late = std::mem::take(&mut self.body(vehicle).lock().late);
        let count = late.len();
        late.into_iter().for_each(|bytes| self.ack(vehicle, bytes));
        count
    }

    /// Every vehicle that is online says where it is and how full its battery is, in the order of their ids; how many
    /// did.
    pub fn heartbeat_all(&self, now: Timestamp) -> usize {
        let mut all: Vec<_> =
            self.bodies.read().iter().map(|(id, body)| (id.clone(), Arc::clone(body))).collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut count = 0;
        for (vehicle_id, body) in all {
            let body = body.lock();
            if matches!(body.fault, Some((VehicleFault::Offline, _))) {
                continue;
            }
            let Measured { position, charge, .. } = body.measured(now, self.ridden);
            drop(body);
            self.release_late(&vehicle_id);
            let position = position.and_then(|at| Point::new(at.lat(), at.lon()).ok());
            let telemetry = Telemetry {
                vehicle_id: vehicle_id.clone(),
                position,
                charge,
                range_m: None,
                last_reported: now,
            };
            self.say(&vehicle_id, FromVehicle::Telemetry(telemetry));
            count += 1;
        }
        count
    }

    /// What a vehicle has said since the last time, in manual mode; else nothing.
    #[must_use]
    pub fn take_messages(&self, vehicle: &VehicleId) -> Vec<FromVehicle> {
        let waiting = self.waiting.as_ref();
        waiting.and_then(|waiting| waiting.lock().remove(vehicle)).map(Vec::from).unwrap_or_default()
    }

    /// Closes the line: the inbox gives what is left in it, then `None`.
    pub fn close(&self) {
        self.sender.close_channel();
    }

    fn body(&self, vehicle: &VehicleId) -> Arc<Mutex<Body>> {
        if let Some(body) = self.bodies.read().get(vehicle) {
            return Arc::clone(body);
        }
        let mut bodies = self.bodies.write();
        Arc::clone(bodies.entry(vehicle.clone()).or_insert_with(|| Arc::new(Mutex::new(self.build(vehicle)))))
    }

    fn build(&self, vehicle: &VehicleId) -> Body {
        let seed: [u8; 32] =
            Sha256::new().chain_update(self.fleet_secret).chain_update(vehicle.as_str()).finalize().into();
        let [turn, ..]: [u8; 32] = Sha256::digest(vehicle.as_str()).into();
        Body {
            agent: Agent::new(vehicle.clone(), self.trusted.clone(), self.limits, AgentMemory::default()),
            key: SigningKey::from_bytes(&seed),
            measured: Measured::default(),
            unlocked_at: None,
            heading: f64::from(turn) / 256.0 * std::f64::consts::TAU,
            fault: None,
            late: Vec::new(),
        }
    }

    fn change(
        &self,
        vehicle: &VehicleId,
        change: impl FnOnce(Measured) -> Measured,
    ) -> Result<(), PortError> {
        let body = self.body(vehicle);
        let mut body = body.lock();
        let measured = change(body.measured);
        let memory = Memory { measured, ..body.memory() };
        self.remember(&memory)?;
        body.adopt(memory);
        Ok(())
    }

    fn remember(&self, memory: &Memory) -> Result<(), PortError> {
        self.journal.as_ref().map_or(Ok(()), |journal| journal.lock().append(memory))
    }

    fn obey(&self, vehicle: &VehicleId, command: &[u8]) -> Result<(), PortError> {
        let body = self.body(vehicle);
        let mut body = body.lock();
        let fault = body.fault;
        let answer = match fault {
            Some((VehicleFault::Offline, _)) => None,
            Some(_) | None => body.answer(command, self.clock.now(), self.ridden),
        };
        // A message that is not authentic is no command: it uses no fault up.
        let heard = answer.is_some() || matches!(fault, Some((VehicleFault::Offline, _)));
        if heard && matches!(fault, Some((_, true))) {
            body.fault = None;
        }
        let Some(mut answer) = answer else { return Ok(()) };
        if let Some(memory) = answer.memory.take() {
            self.remember(&memory)?;
            body.adopt(memory);
        }
        let bytes = body.sign(&answer);
        match fault {
            Some((VehicleFault::LostAck, _)) => {}
            Some((VehicleFault::LateAck, _)) => body.late.push(bytes),
            Some((VehicleFault::DuplicateAck, _)) => {
                self.ack(vehicle, bytes.clone());
                self.ack(vehicle, bytes);
            }
            Some((VehicleFault::Offline | VehicleFault::Jammed, _)) | None => self.ack(vehicle, bytes),
        }
        Ok(())
    }

    fn ack(&self, vehicle: &VehicleId, bytes: Vec<u8>) {
        self.say(vehicle, FromVehicle::Ack { vehicle_id: vehicle.clone(), bytes });
    }

    fn say(&self, vehicle: &VehicleId, message: FromVehicle) {
        match &self.waiting {
            Some(waiting) => waiting.lock().entry(vehicle.clone()).or_default().push_back(message),
            // A line that was closed carries nothing.
            None => drop(self.sender.unbounded_send(message)),
        }
    }
}

/// A point always fits: its ranges are those of a position.
fn e7(at: Point) -> Option<PositionE7> {
    PositionE7::from_degrees(at.lat(), at.lon()).ok()
}

#[async_trait]
impl VehicleLink for Agents {
    /// Never waits for the expiry: the vehicle judges that itself.
    async fn deliver(
        &self,
        vehicle: &VehicleId,
        command: &[u8],
        _expires_at: Timestamp,
    ) -> Result<(), PortError> {
        self.obey(vehicle, command)
    }

    async fn provision(&self, vehicle: &VehicleId) -> Result<Option<VehicleKey>, PortError> {
        Ok(Some(self.key_of(vehicle)))
    }
}

#[async_trait]
impl VehicleInbox for Agents {
    async fn next(&self) -> Result<Option<FromVehicle>, PortError> {
        Ok(self.receiver.lock().await.next().await)
    }
}
