//! The line to the vehicles.

use async_trait::async_trait;
use rideplane_core::ids::VehicleId;
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::VehicleKey;

use crate::{PortError, Telemetry};

/// What comes from a vehicle.
#[derive(Clone, Debug, PartialEq)]
pub enum FromVehicle {
    /// A signed ack, not verified yet.
    Ack {
        /// The vehicle on whose topic it came.
        vehicle_id: VehicleId,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A heartbeat.
    Telemetry(Telemetry),
}

/// Commands out. At least once, and a promise of nothing: only the vehicle's signed ack says that it acted.
#[async_trait]
pub trait VehicleLink: Send + Sync {
    /// Hands the command over. After `expires_at` it need not be delivered any more.
    async fn deliver(
        &self,
        vehicle: &VehicleId,
        command: &[u8],
        expires_at: Timestamp,
    ) -> Result<(), PortError>;

    /// Where the line builds its vehicles itself (agents in the process), makes one and answers with its public key,
    /// always the same for the same id. `None` where vehicles are real: the operator knows their keys.
    async fn provision(&self, _vehicle: &VehicleId) -> Result<Option<VehicleKey>, PortError> {
        Ok(None)
    }
}

/// Acks and telemetry in.
#[async_trait]
pub trait VehicleInbox: Send + Sync {
    /// Waits for the next message; `None` when the line is closed.
    async fn next(&self) -> Result<Option<FromVehicle>, PortError>;
}
