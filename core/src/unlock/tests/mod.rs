//! What the tests of this module share: keys from fixed seeds, and claims at a fixed time.

mod agent;
mod attempt;
mod canonical;
mod wire;

use ed25519_dalek::{Signer as _, SigningKey};
use uuid::Uuid;

use super::*;
use crate::charge::Charge;
use crate::ids::{BookingId, CommandId, Epoch, KeyId, VehicleId};
use crate::time::Timestamp;

/// 2023-11-14T22:13:20Z.
const T0: i64 = 1_700_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(T0 + seconds)
}

fn server_key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn vehicle_key() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

fn enrolled() -> VehicleKey {
    VehicleKey::from_bytes(vehicle_key().verifying_key().to_bytes())
}

fn key_id() -> KeyId {
    KeyId::new("server-2026-01").unwrap()
}

fn scooter() -> VehicleId {
    VehicleId::new("sc-001").unwrap()
}

fn booking() -> BookingId {
    BookingId::from_uuid(Uuid::from_u128(0x018f_3a5e_0000_7000_8000_0000_0000_0001))
}

fn trusted() -> TrustedKeys {
    TrustedKeys::new(key_id(), server_key().verifying_key().to_bytes()).unwrap()
}

fn command() -> CommandClaims {
    CommandClaims {
        vehicle_id: scooter(),
        booking_id: booking(),
        command_id: CommandId::from_uuid(Uuid::from_u128(0x018f_3a5e_0000_7000_8000_0000_0000_0002)),
        action: Action::Unlock,
        epoch: Epoch(7),
        counter: 0x7_0001,
        issued_at: at(0),
        expires_at: at(30),
    }
}

fn ack_of(command: &CommandClaims, result: AckResult, at: Timestamp) -> AckClaims {
    AckClaims {
        vehicle_id: command.vehicle_id.clone(),
        booking_id: command.booking_id,
        command_id: command.command_id,
        request_hash: command.hash(),
        action: command.action,
        result,
        epoch: command.epoch,
        counter: command.counter,
        executed_at: at,
        odometer_m: 12_345,
        position: Some(PositionE7::new(473_768_887, -85_416_940).unwrap()),
        charge: Some(Charge::from_basis_points(8_750)),
    }
}

fn sign_command(claims: &CommandClaims, key: &SigningKey) -> Vec<u8> {
    let unsigned = Unsigned::command(claims, &key_id());
    let signature = key.sign(unsigned.to_be_signed()).to_bytes();
    unsigned.finish(signature)
}

fn sign_ack(claims: &AckClaims, key: &SigningKey) -> Vec<u8> {
    let unsigned = Unsigned::ack(claims);
    let signature = key.sign(unsigned.to_be_signed()).to_bytes();
    unsigned.finish(signature)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
