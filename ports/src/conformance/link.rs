//! The suite of [`VehicleLink`] and [`VehicleInbox`]: signed commands out, signed acks in.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a suite reports by panicking"
)]

use rideplane_core::ids::{BookingId, CommandId, Epoch, VehicleId};
use rideplane_core::time::{Span, Timestamp};
use rideplane_core::unlock::{
    AckClaims, AckResult, Action, CommandClaims, Refusal, Unsigned, VehicleKey, counter, verify_ack,
};

use crate::{CommandSigner, FromVehicle, VehicleInbox, VehicleLink};

/// A line with vehicles at its end that obey [`signer`](Self::signer).
pub trait Harness: Send + Sync {
    /// Commands out.
    fn link(&self) -> &dyn VehicleLink;
    /// Acks and telemetry in; nothing but the suite may read from it.
    fn inbox(&self) -> &dyn VehicleInbox;
    /// The server that the vehicles trust.
    fn signer(&self) -> &dyn CommandSigner;
    /// The vehicles' time.
    fn now(&self) -> Timestamp;
    /// A number that was never given before, also by another run against the same vehicles.
    fn fresh(&self) -> u128;
    /// A vehicle that was never commanded, and its public key where the line does not provision it.
    fn vehicle(&self) -> (VehicleId, Option<VehicleKey>);
}

/// Runs the whole suite.
pub async fn all(harness: &dyn Harness) {
    provisioning_repeats_its_answer(harness).await;
    a_command_is_carried_out_and_acked(harness).await;
    a_command_that_comes_twice_is_carried_out_once(harness).await;
    a_forged_command_is_not_acked(harness).await;
    an_expired_command_is_refused(harness).await;
    a_lower_epoch_is_refused(harness).await;
}

struct Rider<'a> {
    harness: &'a dyn Harness,
    vehicle: VehicleId,
    key: VehicleKey,
}

impl<'a> Rider<'a> {
    async fn new(harness: &'a dyn Harness) -> Self {
        let (vehicle, known) = harness.vehicle();
        let provisioned = harness.link().provision(&vehicle).await.expect("a vehicle");
        let key = provisioned.or(known).expect("a key from the line or from the harness");
        Self { harness, vehicle, key }
    }

    fn uuid(&self) -> String {
        let hex = format!("{:032x}", self.harness.fresh());
        let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
        parts.iter().filter_map(|(from, to)| hex.get(*from..*to)).collect::<Vec<_>>().join("-")
    }

    fn command(&self, action: Action, epoch: u64, seq: u16) -> CommandClaims {
        let epoch = Epoch(epoch);
        let now = self.harness.now();
        CommandClaims {
            vehicle_id: self.vehicle.clone(),
            booking_id: self.uuid().parse::<BookingId>().expect("a UUID"),
            command_id: self.uuid().parse::<CommandId>().expect("a UUID"),
            action,
            epoch,
            counter: counter(epoch, seq).expect("a counter"),
            issued_at: now,
            expires_at: now.plus(Span::from_seconds(30)),
        }
    }

    async fn signed(&self, claims: &CommandClaims) -> Vec<u8> {
        let unsigned = Unsigned::command(claims, self.harness.signer().key_id());
        let signature = self.harness.signer().sign(unsigned.to_be_signed()).await.expect("a signature");
        unsigned.finish(signature)
    }

    async fn send(&self, claims: &CommandClaims, bytes: &[u8]) {
        self.harness.link().deliver(&self.vehicle, bytes, claims.expires_at).await.expect("it is taken over");
    }

    /// The next ack of this vehicle, as bytes and as claims.
    async fn ack(&self) -> (Vec<u8>, AckClaims) {
        loop {
            match self.harness.inbox().next().await.expect("the line works").expect("the line is open") {
                FromVehicle::Ack { vehicle_id, bytes } if vehicle_id == self.vehicle => {
                    let claims = verify_ack(&bytes, &self.vehicle, &self.key).expect("an authentic ack");
                    return (bytes, claims);
                }
                FromVehicle::Ack { .. } | FromVehicle::Telemetry(_) => {}
            }
        }
    }

    async fn obeys(&self, claims: &CommandClaims) -> AckClaims {
        self.send(claims, &self.signed(claims).await).await;
        let (_, ack) = self.ack().await;
        assert_eq!((ack.command_id, ack.request_hash), (claims.command_id, claims.hash()));
        ack
    }
}

/// A vehicle has one key.
pub async fn provisioning_repeats_its_answer(harness: &dyn Harness) {
    let (vehicle, _) = harness.vehicle();
    let first = harness.link().provision(&vehicle).await.expect("a vehicle");
    assert_eq!(harness.link().provision(&vehicle).await.expect("the same vehicle"), first);
}

/// The ack names the command, and is signed by the vehicle.
pub async fn a_command_is_carried_out_and_acked(harness: &dyn Harness) {
    let rider = Rider::new(harness).await;
    for (seq, action) in [(1, Action::Unlock), (2, Action::Lock)] {
        let command = rider.command(action, 1, seq);
        let ack = rider.obeys(&command).await;
        assert_eq!((ack.result, ack.action, ack.counter), (AckResult::Done, action, command.counter));
        assert_eq!(ack.booking_id, command.booking_id);
    }
}

/// At least once on the line is once at the lock: the second ack is the first one, byte for byte.
pub async fn a_command_that_comes_twice_is_carried_out_once(harness: &dyn Harness) {
    let rider = Rider::new(harness).await;
    let command = rider.command(Action::Unlock, 1, 1);
    let bytes = rider.signed(&command).await;
    rider.send(&command, &bytes).await;
    let (first, ack) = rider.ack().await;
    assert_eq!(ack.result, AckResult::Done);
    // Also when another command was carried out in between.
    rider.obeys(&rider.command(Action::Lock, 1, 2)).await;
    rider.send(&command, &bytes).await;
    let (again, _) = rider.ack().await;
    assert_eq!(first, again, "carried out a second time");
}

/// What is not authentic is not answered: the next ack is for the next genuine command.
pub async fn a_forged_command_is_not_acked(harness: &dyn Harness) {
    let rider = Rider::new(harness).await;
    let other = Rider::new(harness).await;
    let command = rider.command(Action::Unlock, 1, 1);
    let genuine = rider.signed(&command).await;
    let unsigned = Unsigned::command(&command, harness.signer().key_id());
    let forged = unsigned.finish([7; 64]);
    let mut changed = genuine.clone();
    if let Some(last) = changed.last_mut() {
        *last ^= 1;
    }
    let misdirected = other.signed(&other.command(Action::Unlock, 9, 1)).await;
    for bytes in [&forged, &changed, &misdirected, &vec![0; 3]] {
        rider.send(&command, bytes).await;
    }
    let next = rider.command(Action::Unlock, 1, 2);
    let ack = rider.obeys(&next).await;
    assert_eq!(ack.result, AckResult::Done, "something forged was believed");
}

/// The vehicle judges the expiry, whatever the line does. A line that drops what has expired is as good.
pub async fn an_expired_command_is_refused(harness: &dyn Harness) {
    let rider = Rider::new(harness).await;
    let mut command = rider.command(Action::Unlock, 1, 1);
    command.issued_at = harness.now().minus(Span::from_seconds(60));
    command.expires_at = harness.now().minus(Span::from_seconds(40));
    rider.send(&command, &rider.signed(&command).await).await;
    let next = rider.command(Action::Unlock, 1, 2);
    rider.send(&next, &rider.signed(&next).await).await;
    loop {
        let (_, ack) = rider.ack().await;
        if ack.command_id == next.command_id {
            assert_eq!(ack.result, AckResult::Done);
            return;
        }
        assert_eq!((ack.command_id, ack.result), (command.command_id, AckResult::Refused(Refusal::Expired)));
    }
}

/// A former holder's command is refused, however fresh it is.
pub async fn a_lower_epoch_is_refused(harness: &dyn Harness) {
    let rider = Rider::new(harness).await;
    let ack = rider.obeys(&rider.command(Action::Lock, 2, 1)).await;
    assert_eq!(ack.result, AckResult::Done);
    let ack = rider.obeys(&rider.command(Action::Unlock, 1, 5)).await;
    assert_eq!(ack.result, AckResult::Refused(Refusal::StaleEpoch));
    let ack = rider.obeys(&rider.command(Action::Unlock, 2, 1)).await;
    assert_eq!(ack.result, AckResult::Refused(Refusal::StaleCounter));
    let ack = rider.obeys(&rider.command(Action::Unlock, 2, 2)).await;
    assert_eq!(ack.result, AckResult::Done);
}
