//! How fast commands are signed and verified, next to the bare signature over the same bytes.
//!
//! `cargo run --release -p rideplane-core --example bench_unlock`
//!
//! Ours and the bare library take turns in rounds of milliseconds. The first ratio compares the best round of
//! each, which a busy machine disturbs least; the second is the median of the rounds' ratios. 1.00 means that
//! encoding, decoding and every check cost nothing.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ed25519_dalek::{Signer as _, SigningKey};
use rideplane_core::charge::Charge;
use rideplane_core::ids::{BookingId, CommandId, Epoch, KeyId, VehicleId};
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{
    AckClaims, AckResult, Action, CommandClaims, PositionE7, TrustedKeys, Unsigned, VehicleKey, verify_ack,
    verify_ack_with, verify_command,
};
use uuid::Uuid;

const ROUNDS: usize = 600;
const ROUND: Duration = Duration::from_millis(4);

type AnyError = Box<dyn std::error::Error>;

fn main() -> Result<(), AnyError> {
    let (server, vehicle) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
    let (key_id, vehicle_id) = (KeyId::new("server-2026-01")?, VehicleId::new("sc-000001")?);
    let trusted = TrustedKeys::new(key_id.clone(), server.verifying_key().to_bytes())?;
    let enrolled = VehicleKey::from_bytes(vehicle.verifying_key().to_bytes());
    let prepared = enrolled.prepare()?;

    let command = command(&vehicle_id);
    let unsigned = Unsigned::command(&command, &key_id);
    let message = unsigned.to_be_signed().to_vec();
    let signature = server.sign(&message);
    let signed = unsigned.finish(signature.to_bytes());
    verify_command(&signed, &trusted, &vehicle_id)?;
    println!("command: {} bytes signed over, {} bytes sent", message.len(), signed.len());
    compare(
        "sign command",
        || {
            let unsigned = Unsigned::command(black_box(&command), &key_id);
            let signature = server.sign(unsigned.to_be_signed()).to_bytes();
            unsigned.finish(signature)
        },
        || server.sign(black_box(&message)),
    );
    compare(
        "verify command",
        || verify_command(black_box(&signed), &trusted, &vehicle_id).is_ok(),
        || server.verifying_key().verify_strict(black_box(&message), &signature).is_ok(),
    );

    let ack = ack(&command)?;
    let unsigned = Unsigned::ack(&ack);
    let message = unsigned.to_be_signed().to_vec();
    let signature = vehicle.sign(&message);
    let signed = unsigned.finish(signature.to_bytes());
    verify_ack(&signed, &vehicle_id, &enrolled)?;
    println!("ack: {} bytes signed over, {} bytes sent", message.len(), signed.len());
    compare(
        "verify ack, key prepared",
        || verify_ack_with(black_box(&signed), &vehicle_id, &prepared).is_ok(),
        || vehicle.verifying_key().verify_strict(black_box(&message), &signature).is_ok(),
    );
    compare(
        "verify ack, key as stored",
        || verify_ack(black_box(&signed), &vehicle_id, &enrolled).is_ok(),
        || {
            let key = ed25519_dalek::VerifyingKey::from_bytes(enrolled.as_bytes());
            key.and_then(|key| key.verify_strict(black_box(&message), &signature)).is_ok()
        },
    );
    Ok(())
}

fn command(vehicle_id: &VehicleId) -> CommandClaims {
    CommandClaims {
        vehicle_id: vehicle_id.clone(),
        booking_id: BookingId::from_uuid(Uuid::from_u128(1 << 100)),
        command_id: CommandId::from_uuid(Uuid::from_u128(2 << 100)),
        action: Action::Unlock,
        epoch: Epoch(1_234),
        counter: 1_234 << 16 | 1,
        issued_at: Timestamp::from_unix_seconds(1_700_000_000),
        expires_at: Timestamp::from_unix_seconds(1_700_000_030),
    }
}

fn ack(command: &CommandClaims) -> Result<AckClaims, AnyError> {
    Ok(AckClaims {
        vehicle_id: command.vehicle_id.clone(),
        booking_id: command.booking_id,
        command_id: command.command_id,
        request_hash: command.hash(),
        action: command.action,
        result: AckResult::Done,
        epoch: command.epoch,
        counter: command.counter,
        executed_at: command.issued_at,
        odometer_m: 1_234_567,
        position: Some(PositionE7::from_degrees(47.376_888, 8.541_694)?),
        charge: Some(Charge::from_fraction(0.87)?),
    })
}

fn compare<A, B>(name: &str, mut ours: impl FnMut() -> A, mut bare: impl FnMut() -> B) {
    let mut rounds: Vec<(f64, f64)> =
        (0..ROUNDS).map(|_| (per_second(&mut ours), per_second(&mut bare))).collect();
    rounds.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    let ratio = rounds.get(ROUNDS / 2).map_or(f64::NAN, |(ours, bare)| ours / bare);
    let best = |pick: fn(&(f64, f64)) -> f64| rounds.iter().map(pick).fold(0.0, f64::max);
    let (ours, bare) = (best(|round| round.0), best(|round| round.1));
    println!(
        "{name:26} ours {ours:>8.0}/s   bare {bare:>8.0}/s   ratio {:.3} (best), {ratio:.3} (median)",
        ours / bare
    );
}

fn per_second<T>(work: &mut impl FnMut() -> T) -> f64 {
    // The core may not read a clock; a benchmark must.
    #[allow(clippy::disallowed_methods)]
    let start = Instant::now();
    let mut done = 0_u32;
    while start.elapsed() < ROUND {
        for _ in 0..16 {
            black_box(work());
        }
        done += 16;
    }
    f64::from(done) / start.elapsed().as_secs_f64()
}
