//! What the host itself supplies: time, entropy, signatures, demand.

use async_trait::async_trait;
use rideplane_core::geo::Point;
use rideplane_core::ids::{KeyId, VehicleId, VehicleTypeId};
use rideplane_core::pricing::Surge;
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{AckClaims, VehicleKey, WireError, verify_ack};

use crate::PortError;

/// The current time. May jump; the core never relies on its going forward.
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;
}

/// Fresh ids.
pub trait Ids: Send + Sync {
    /// 128 bits that were never given before: random in production, seeded in a simulation.
    fn fresh(&self) -> u128;
}

/// Signs commands to vehicles. The key may live elsewhere (a KMS, an HSM).
#[async_trait]
pub trait CommandSigner: Send + Sync {
    /// The name of the key (COSE `kid`) under which vehicles know it.
    fn key_id(&self) -> &KeyId;

    /// The Ed25519 signature (RFC 8032) of `message`. Deterministic: the same message has the same signature, so that a
    /// command that is sent again is byte for byte the same.
    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], PortError>;

    /// Reads an ack of the vehicle `vehicle_id`, whose enrolled key is `key`: core's [`verify_ack`], unless the keys of
    /// the vehicles are ones that only this host can judge.
    ///
    /// # Errors
    /// [`WireError`]; such an ack says nothing about the vehicle.
    fn verify_ack(
        &self,
        bytes: &[u8],
        vehicle_id: &VehicleId,
        key: &VehicleKey,
    ) -> Result<AckClaims, WireError> {
        verify_ack(bytes, vehicle_id, key)
    }
}

/// The demand at a place, as a multiplier of the price.
#[async_trait]
pub trait DemandModel: Send + Sync {
    /// The surge for a vehicle type at a point. A model that knows nothing answers [`Surge::NONE`]; an error is treated
    /// as that.
    async fn surge(
        &self,
        at: Point,
        vehicle_type: &VehicleTypeId,
        now: Timestamp,
    ) -> Result<Surge, PortError>;
}
