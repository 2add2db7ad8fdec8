//! Signed commands to vehicles, and the vehicles' signed answers.
//!
//! A broker's receipt proves nothing about a lock, and silence does not prove that it stayed shut. So a command
//! carries everything that a vehicle needs to judge it alone (which vehicle, whose fence, which counter, until
//! when), and only the vehicle's own signed ack, which names the command by its hash, says what came of it.
//!
//! | Part | Who runs it |
//! |---|---|
//! | [`CommandClaims`], [`AckClaims`] | what is said; deterministic CBOR (RFC 8949, section 4.2.1) |
//! | [`Unsigned`], [`verify_command`], [`verify_ack`] | COSE_Sign1 (RFC 9052) with Ed25519, checked strictly |
//! | [`Attempt`] | the server: one command at a time, each with one outcome |
//! | [`Agent`] | the vehicle: obeys each command at most once, in order, in time, and only the present holder's |
//!
//! ```
//! use ed25519_dalek::{Signer as _, SigningKey};
//! use rideplane_core::ids::{BookingId, CommandId, Epoch, KeyId, VehicleId};
//! use rideplane_core::time::Timestamp;
//! use rideplane_core::unlock::*;
//! # use uuid::Uuid;
//!
//! // The server signs a command; the key may as well live in a KMS.
//! let (server, vehicle) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
//! let vehicle_id = VehicleId::new("sc-001")?;
//! let claims = CommandClaims {
//!     vehicle_id: vehicle_id.clone(),
//!     booking_id: BookingId::from_uuid(Uuid::from_u128(1)),
//!     command_id: CommandId::from_uuid(Uuid::from_u128(2)),
//!     action: Action::Unlock,
//!     epoch: Epoch(7),
//!     counter: counter(Epoch(7), 1).ok_or("epoch too high")?,
//!     issued_at: Timestamp::from_unix_seconds(1_700_000_000),
//!     expires_at: Timestamp::from_unix_seconds(1_700_000_030),
//! };
//! let unsigned = Unsigned::command(&claims, &KeyId::new("server-1")?);
//! let signature = server.sign(unsigned.to_be_signed()).to_bytes();
//! let command = unsigned.finish(signature);
//!
//! // The vehicle judges it, remembers it, moves the lock, and answers.
//! let trusted = TrustedKeys::new(KeyId::new("server-1")?, server.verifying_key().to_bytes())?;
//! let mut agent = Agent::new(vehicle_id.clone(), trusted, Limits::default(), AgentMemory::default());
//! let now = Timestamp::from_unix_seconds(1_700_000_002);
//! let Verdict::Execute { claims, memory } = agent.judge(&command, now) else { return Err("refused".into()) };
//! agent.adopt(memory);
//! let telemetry = Telemetry { at: now, odometer_m: 12_345, position: None, charge: None };
//! let report = agent.report(&claims, AckResult::Done, telemetry);
//! agent.adopt(report.memory);
//! let unsigned = Unsigned::ack(&report.ack);
//! let signature = vehicle.sign(unsigned.to_be_signed()).to_bytes();
//! let ack = unsigned.finish(signature);
//!
//! // The server knows the vehicle by its enrolled key.
//! let key = VehicleKey::from_bytes(vehicle.verifying_key().to_bytes()).check()?;
//! let answer = verify_ack(&ack, &peek_ack_vehicle(&ack)?, &key)?;
//! assert_eq!((answer.result, answer.request_hash), (AckResult::Done, claims.hash()));
//!
//! // The same command again is answered again, and not carried out again.
//! assert_eq!(agent.judge(&command, now), Verdict::Repeat { ack: answer });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attempt;
mod cbor;
mod claims;
mod cose;
mod keys;
#[cfg(test)]
mod tests;
mod vehicle;

pub use attempt::{
    Attempt, AttemptCommand, AttemptDeadline, AttemptEvent, AttemptRejection, Commands, Current, Execution,
    Outcome, REMEMBERED, Settled, counter,
};
pub use claims::{AckClaims, AckResult, Action, CommandClaims, InvalidPosition, PositionE7, Refusal};
pub use cose::{
    MAX_BYTES, SIGNATURE_BYTES, Unsigned, Verify, WireError, ack_topic, command_topic, peek_ack_vehicle,
    verify_ack, verify_ack_with, verify_command,
};
pub use keys::{InvalidKey, PreparedKey, RequestHash, TrustedKeys, VehicleKey};
pub use vehicle::{AGENT_REMEMBERS, Agent, AgentMemory, Limits, Report, Telemetry, Verdict};
