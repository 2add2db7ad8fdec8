//! Signed messages: raw bytes, and bytes with a good signature around them.

use ed25519_dalek::{Signer as _, SigningKey};
use rideplane_core::ids::{KeyId, VehicleId};
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{
    AckClaims, Agent, AgentMemory, CommandClaims, Limits, TrustedKeys, Unsigned, VehicleKey, Verdict,
    ack_topic, command_topic, peek_ack_vehicle, verify_ack, verify_command,
};

const VEHICLE: &str = "sc-1";
const KID: &str = "k1";

/// The first byte says what the rest is: a command, an ack, or the claims of either to be signed.
///
/// # Panics
/// When something is believed that would not be written so.
pub fn unlock_decode(bytes: &[u8]) {
    let Some((mode, rest)) = bytes.split_first() else { return };
    match mode % 4 {
        0 => command(rest),
        1 => ack(rest),
        2 => command(&sign(&server_key(), "rideplane/command/v1", &command_topic(&vehicle()), KID, rest)),
        _ => ack(&sign(&vehicle_key(), "rideplane/ack/v1", &ack_topic(&vehicle()), VEHICLE, rest)),
    }
}

fn vehicle() -> VehicleId {
    VehicleId::new(VEHICLE).expect("an id")
}

fn server_key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn vehicle_key() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

/// A command as the server signs it.
#[must_use]
pub fn signed_command(claims: &CommandClaims) -> Vec<u8> {
    let unsigned = Unsigned::command(claims, &KeyId::new(KID).expect("an id"));
    let signature = server_key().sign(unsigned.to_be_signed()).to_bytes();
    unsigned.finish(signature)
}

/// An ack as the vehicle signs it.
#[must_use]
pub fn signed_ack(claims: &AckClaims) -> Vec<u8> {
    let unsigned = Unsigned::ack(claims);
    let signature = vehicle_key().sign(unsigned.to_be_signed()).to_bytes();
    unsigned.finish(signature)
}

fn command(bytes: &[u8]) {
    let kid = KeyId::new(KID).expect("an id");
    let trusted = TrustedKeys::new(kid, server_key().verifying_key().to_bytes()).expect("a key");
    let read = verify_command(bytes, &trusted, &vehicle());
    if let Ok(claims) = &read {
        assert_eq!(signed_command(claims), bytes, "{claims:?} has two spellings");
        assert_eq!(claims.vehicle_id, vehicle());
        assert!(claims.life().as_micros() > 0);
    }
    let agent = Agent::new(vehicle(), trusted, Limits::default(), AgentMemory::default());
    let now = Timestamp::from_unix_seconds(1_760_000_010);
    match agent.judge(bytes, now) {
        Verdict::Ignore(error) => assert_eq!(Err(error), read),
        Verdict::Execute { claims, .. } | Verdict::Refuse { claims, .. } => assert_eq!(Ok(claims), read),
        Verdict::Repeat { .. } | Verdict::Interrupted { .. } => {
            panic!("a new vehicle has heard nothing before")
        }
    }
}

fn ack(bytes: &[u8]) {
    let key = VehicleKey::from_bytes(vehicle_key().verifying_key().to_bytes());
    let named = peek_ack_vehicle(bytes);
    if let Ok(claims) = verify_ack(bytes, &vehicle(), &key) {
        assert_eq!(signed_ack(&claims), bytes, "{claims:?} has two spellings");
        assert_eq!(named, Ok(claims.vehicle_id));
    }
}

/// A COSE_Sign1 around any claims, written from RFC 9052 and not with the code under test.
fn sign(key: &SigningKey, context: &str, topic: &str, kid: &str, payload: &[u8]) -> Vec<u8> {
    let protected = [&[0xa2, 0x01, 0x27, 0x04][..], &item(0x40, kid.as_bytes())].concat();
    let aad = [
        &[0x83][..],
        &item(0x60, context.as_bytes()),
        &item(0x60, VEHICLE.as_bytes()),
        &item(0x60, topic.as_bytes()),
    ]
    .concat();
    let message = [
        &[0x84][..],
        &item(0x60, b"Signature1"),
        &item(0x40, &protected),
        &item(0x40, &aad),
        &item(0x40, payload),
    ]
    .concat();
    let signature = key.sign(&message).to_bytes();
    [&[0xd2, 0x84][..], &item(0x40, &protected), &[0xa0], &item(0x40, payload), &item(0x40, &signature)]
        .concat()
}

/// A CBOR string (RFC 8949, section 3) with the shortest head.
fn item(major: u8, bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len();
    let head = match len {
        0..24 => vec![major | len as u8],
        24..0x100 => vec![major | 24, len as u8],
        _ => [&[major | 25][..], &u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()].concat(),
    };
    [&head, bytes].concat()
}
