//! The keys of the servers and of the vehicles.

use ed25519_dalek::{Signer as _, SigningKey};
use rideplane_core::ids::KeyId;
use rideplane_core::unlock::{TrustedKeys, VehicleKey};

/// All keys of a simulation.
pub(crate) struct Signatures {
    server: SigningKey,
    vehicles: Vec<SigningKey>,
}

impl Signatures {
    pub(crate) fn new(vehicles: usize) -> Self {
        let vehicles = (0..vehicles).map(|n| SigningKey::from_bytes(&[n as u8 + 100; 32])).collect();
        Self { server: SigningKey::from_bytes(&[7; 32]), vehicles }
    }

    pub(crate) fn key_id() -> KeyId {
        KeyId::new("server-1").unwrap()
    }

    pub(crate) fn trusted(&self) -> TrustedKeys {
        TrustedKeys::new(Self::key_id(), self.server.verifying_key().to_bytes()).unwrap()
    }

    pub(crate) fn of_vehicle(&self, n: usize) -> VehicleKey {
        VehicleKey::from_bytes(self.vehicles[n].verifying_key().to_bytes())
    }

    pub(crate) fn sign_as_server(&self, message: &[u8]) -> [u8; 64] {
        self.server.sign(message).to_bytes()
    }

    pub(crate) fn sign_as_vehicle(&self, n: usize, message: &[u8]) -> [u8; 64] {
        self.vehicles[n].sign(message).to_bytes()
    }
}
