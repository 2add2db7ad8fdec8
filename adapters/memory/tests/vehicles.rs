//! The vehicles in the process: the suite of the port, their journal, their faults, their rides.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test reports by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use ed25519_dalek::{Signer as _, SigningKey};
use futures_util::FutureExt as _;
use rideplane_core::charge::Charge;
use rideplane_core::geo::Point;
use rideplane_core::ids::{BookingId, CommandId, Epoch, KeyId, VehicleId};
use rideplane_core::time::{Span, Timestamp};
use rideplane_core::unlock::{
    AckClaims, AckResult, Action, CommandClaims, Refusal, TrustedKeys, Unsigned, VehicleKey, counter,
    verify_ack,
};
use rideplane_memory::vehicles::{Agents, Lasts, VehicleFault};
use rideplane_ports::conformance::link as suite;
use rideplane_ports::{Clock, CommandSigner, FromVehicle, PortError, VehicleInbox, VehicleLink};

struct TestClock(AtomicI64);

impl TestClock {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_700_000_000_000_000)))
    }

    fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

struct Signer(SigningKey, KeyId);

#[async_trait]
impl CommandSigner for Signer {
    fn key_id(&self) -> &KeyId {
        &self.1
    }
    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], PortError> {
        Ok(self.0.sign(message).to_bytes())
    }
}

fn signer() -> Signer {
    Signer(SigningKey::from_bytes(&[1; 32]), KeyId::new("server-1").unwrap())
}

fn trusted() -> TrustedKeys {
    let Signer(key, id) = signer();
    TrustedKeys::new(id, key.verifying_key().to_bytes()).unwrap()
}

fn id(text: &str) -> VehicleId {
    VehicleId::new(text).unwrap()
}

fn uuid(n: u64) -> String {
    format!("018f3a5e-0000-7000-8000-{n:012x}")
}

struct Fleet {
    agents: Agents,
    clock: Arc<TestClock>,
    signer: Signer,
    numbers: AtomicU64,
}

impl Fleet {
    fn new(agents: impl FnOnce(Arc<TestClock>) -> Agents) -> Self {
        let clock = TestClock::new();
        let agents = agents(Arc::clone(&clock));
        Self { agents, clock, signer: signer(), numbers: AtomicU64::new(1) }
    }

    fn command(&self, vehicle: &VehicleId, action: Action, seq: u16) -> Vec<u8> {
        let now = self.clock.now();
        let claims = CommandClaims {
            vehicle_id: vehicle.clone(),
            booking_id: uuid(1).parse::<BookingId>().unwrap(),
            command_id: uuid(seq.into()).parse::<CommandId>().unwrap(),
            action,
            epoch: Epoch(1),
            counter: counter(Epoch(1), seq).unwrap(),
            issued_at: now,
            expires_at: now.plus(Span::from_seconds(30)),
        };
        let unsigned = Unsigned::command(&claims, &self.signer.1);
        let signature = self.signer.0.sign(unsigned.to_be_signed()).to_bytes();
        unsigned.finish(signature)
    }

    fn deliver(&self, vehicle: &VehicleId, bytes: &[u8]) {
        self.agents.deliver(vehicle, bytes, self.clock.now()).now_or_never().unwrap().unwrap();
    }

    fn acks(&self, vehicle: &VehicleId) -> Vec<AckClaims> {
        let key = self.agents.key_of(vehicle);
        let authentic = |message: FromVehicle| match message {
            FromVehicle::Ack { bytes, .. } => Some(verify_ack(&bytes, vehicle, &key).unwrap()),
            FromVehicle::Telemetry(_) => None,
        };
        self.agents.take_messages(vehicle).into_iter().filter_map(authentic).collect()
    }

    fn results(&self, vehicle: &VehicleId, action: Action, seq: u16) -> Vec<AckResult> {
        self.deliver(vehicle, &self.command(vehicle, action, seq));
        self.acks(vehicle).into_iter().map(|ack| ack.result).collect()
    }
}

impl suite::Harness for Fleet {
    fn link(&self) -> &dyn VehicleLink {
        &self.agents
    }
    fn inbox(&self) -> &dyn VehicleInbox {
        &self.agents
    }
    fn signer(&self) -> &dyn CommandSigner {
        &self.signer
    }
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
    fn fresh(&self) -> u128 {
        self.numbers.fetch_add(1, Ordering::SeqCst).into()
    }
    fn vehicle(&self) -> (VehicleId, Option<VehicleKey>) {
        (id(&format!("sc-{}", self.numbers.fetch_add(1, Ordering::SeqCst))), None)
    }
}

fn manual() -> Fleet {
    Fleet::new(|clock| Agents::new([7; 32], trusted(), clock).manual())
}

#[tokio::test]
async fn the_suite_of_the_port() {
    let dir = tempfile::tempdir().unwrap();
    suite::all(&Fleet::new(|clock| Agents::new([7; 32], trusted(), clock))).await;
    let path = dir.path().join("vehicles.jsonl");
    suite::all(&Fleet::new(|clock| Agents::open(path, [7; 32], trusted(), clock).unwrap())).await;
}

#[tokio::test]
async fn the_inbox_waits_and_ends() {
    let fleet = Fleet::new(|clock| Agents::new([7; 32], trusted(), clock));
    let scooter = id("sc-1");
    assert!(fleet.agents.next().now_or_never().is_none(), "nothing was said yet");
    fleet.deliver(&scooter, &fleet.command(&scooter, Action::Unlock, 1));
    assert_eq!(fleet.agents.heartbeat_all(fleet.clock.now()), 1);
    assert!(matches!(fleet.agents.next().await, Ok(Some(FromVehicle::Ack { .. }))));
    fleet.agents.close();
    assert!(matches!(fleet.agents.next().await, Ok(Some(FromVehicle::Telemetry(_)))));
    assert!(matches!(fleet.agents.next().await, Ok(None)));
}

#[test]
fn faults_have_the_effect_that_they_say() {
    let fleet = manual();
    let scooter = id("sc-1");
    let done = AckResult::Done;
    let mut seq = 0;
    for (fault, expected) in [
        (VehicleFault::Offline, vec![]),
        (VehicleFault::Jammed, vec![AckResult::Refused(Refusal::Jammed)]),
        (VehicleFault::LostAck, vec![]),
        (VehicleFault::DuplicateAck, vec![done, done]),
        (VehicleFault::LateAck, vec![]),
    ] {
        fleet.agents.set_fault(&scooter, fault, Lasts::Once);
        seq += 2;
        // What is forged uses no fault up, and a fault is over after one command.
        if fault != VehicleFault::Offline {
            fleet.deliver(&scooter, b"forged");
        }
        assert_eq!(fleet.results(&scooter, Action::Unlock, seq), expected, "{fault:?}");
        assert_eq!(fleet.results(&scooter, Action::Lock, seq + 1), [done], "{fault:?} is over");
    }
    assert_eq!(fleet.agents.release_late(&scooter), 1);
    assert_eq!(fleet.acks(&scooter).len(), 1);

    fleet.agents.set_fault(&scooter, VehicleFault::Offline, Lasts::UntilCleared);
    let lost = fleet.command(&scooter, Action::Unlock, 50);
    fleet.deliver(&scooter, &lost);
    fleet.deliver(&scooter, &lost);
    assert_eq!(fleet.agents.heartbeat_all(fleet.clock.now()), 0);
    assert!(fleet.agents.take_messages(&scooter).is_empty());
    fleet.agents.clear_fault(&scooter);
    assert_eq!(fleet.agents.heartbeat_all(fleet.clock.now()), 1);
    fleet.deliver(&scooter, &lost);
    assert_eq!(fleet.acks(&scooter).len(), 1);
}

#[test]
fn an_ack_that_was_lost_is_told_by_the_repeat() {
    let fleet = manual();
    let scooter = id("sc-1");
    fleet.agents.set_fault(&scooter, VehicleFault::LostAck, Lasts::Once);
    let unlock = fleet.command(&scooter, Action::Unlock, 1);
    fleet.deliver(&scooter, &unlock);
    let obeyed_at = fleet.clock.now();
    fleet.clock.advance(100);
    fleet.deliver(&scooter, &unlock);
    let acks = fleet.acks(&scooter);
    assert_eq!((acks[0].result, acks[0].executed_at), (AckResult::Done, obeyed_at));
}

#[test]
fn an_unlocked_vehicle_is_ridden() {
    let fleet = manual();
    let scooter = id("sc-1");
    let gate = Point::new(52.516_27, 13.377_72).unwrap();
    fleet.agents.place(&scooter, gate, Some(Charge::from_basis_points(8_000)), 1_000).unwrap();
    assert_eq!(fleet.results(&scooter, Action::Unlock, 1), [AckResult::Done]);
    fleet.clock.advance(300);
    fleet.agents.heartbeat_all(fleet.clock.now());
    let said = fleet.agents.take_messages(&scooter);
    fleet.deliver(&scooter, &fleet.command(&scooter, Action::Lock, 2));
    let ack = fleet.acks(&scooter).remove(0);
    // 300 s at 4 m/s are 1200 m, and 4 m use a ten-thousandth.
    assert_eq!(ack.odometer_m, 2_200);
    assert_eq!(ack.charge, Some(Charge::from_basis_points(7_700)));
    let at = ack.position.unwrap();
    let away = rideplane_core::geo::distance_m(gate, Point::new(at.lat(), at.lon()).unwrap());
    assert!((1_190.0..1_210.0).contains(&away), "{away} m");
    let [FromVehicle::Telemetry(telemetry)] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((telemetry.charge, telemetry.position.map(Point::lat)), (ack.charge, Some(at.lat())));
    fleet.clock.advance(300);
    assert_eq!(fleet.results(&scooter, Action::Lock, 3), [AckResult::Done], "locked already, and not ridden");
    fleet.deliver(&scooter, &fleet.command(&scooter, Action::Unlock, 4));
    assert_eq!(fleet.acks(&scooter)[0].odometer_m, 2_200);
}

#[test]
fn a_replay_rides_by_hand() {
    let fleet = Fleet::new(|clock| Agents::new([7; 32], trusted(), clock).manual().without_riding());
    let scooter = id("sc-1");
    let (from, to) = (Point::new(41.88, -87.63).unwrap(), Point::new(41.9, -87.65).unwrap());
    fleet.agents.place(&scooter, from, Some(Charge::FULL), 0).unwrap();
    fleet.results(&scooter, Action::Unlock, 1);
    fleet.clock.advance(600);
    fleet.agents.ride(&scooter, 3_000, to).unwrap();
    fleet.deliver(&scooter, &fleet.command(&scooter, Action::Lock, 2));
    let ack = fleet.acks(&scooter).remove(0);
    assert_eq!((ack.odometer_m, ack.charge), (3_000, Some(Charge::from_basis_points(9_250))));
    assert_eq!(ack.position.map(|at| (at.lat(), at.lon())), Some((41.9, -87.65)));
}

#[test]
fn the_journal_survives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vehicles.jsonl");
    let open = || Fleet::new(|clock| Agents::open(&path, [7; 32], trusted(), clock).unwrap().manual());
    let scooter = id("sc-1");
    let gate = Point::new(52.516_27, 13.377_72).unwrap();
    let fleet = open();
    let key = fleet.agents.key_of(&scooter);
    fleet.agents.place(&scooter, gate, Some(Charge::FULL), 1_000).unwrap();
    let unlock = fleet.command(&scooter, Action::Unlock, 5);
    fleet.deliver(&scooter, &unlock);
    let first = fleet.agents.take_messages(&scooter);
    drop(fleet);

    let fleet = open();
    assert_eq!(fleet.agents.key_of(&scooter), key);
    fleet.clock.advance(10);
    let stale = AckResult::Refused(Refusal::StaleCounter);
    assert_eq!(fleet.results(&scooter, Action::Lock, 4), [stale], "the counter was forgotten");
    fleet.deliver(&scooter, &unlock);
    assert_eq!(fleet.agents.take_messages(&scooter), first, "carried out a second time");
    fleet.clock.advance(90);
    fleet.deliver(&scooter, &fleet.command(&scooter, Action::Lock, 6));
    assert_eq!(fleet.acks(&scooter)[0].odometer_m, 1_400, "it was unlocked all the time");

    for seq in 7..1_200 {
        fleet.results(&scooter, Action::Lock, seq);
    }
    drop(fleet);
    let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
    assert!(lines() > 1_000);
    let fleet = open();
    assert_eq!(lines(), 1);
    assert_eq!(fleet.results(&scooter, Action::Lock, 1_199).len(), 1);
    assert_eq!(fleet.results(&scooter, Action::Unlock, 1_200), [AckResult::Done]);
}
