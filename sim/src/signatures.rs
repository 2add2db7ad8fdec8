//! The keys of the servers and of the vehicles.

use std::sync::{Arc, OnceLock};

use ed25519_dalek::{Signer as _, SigningKey};
use rideplane_core::ids::KeyId;
use rideplane_core::unlock::{TrustedKeys, VehicleKey};

/// All keys of a simulation.
pub(crate) struct Signatures {
    server: SigningKey,
    trusted: TrustedKeys,
    vehicles: Vec<(SigningKey, VehicleKey)>,
}

/// As many vehicles as any world has.
const VEHICLES: u8 = 8;

impl Signatures {
    /// The same in every world: making keys costs more than a booking.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Signatures>> = OnceLock::new();
        Arc::clone(SHARED.get_or_init(|| Arc::new(Self::new())))
    }

    fn new() -> Self {
        let server = SigningKey::from_bytes(&[7; 32]);
        let trusted = TrustedKeys::new(Self::key_id(), server.verifying_key().to_bytes()).unwrap();
        let vehicles = (0..VEHICLES).map(|n| {
            let key = SigningKey::from_bytes(&[n + 100; 32]);
            let public = VehicleKey::from_bytes(key.verifying_key().to_bytes());
            (key, public)
        });
        Self { server, trusted, vehicles: vehicles.collect() }
    }

    pub(crate) fn key_id() -> KeyId {
        KeyId::new("server-1").unwrap()
    }

    pub(crate) fn trusted(&self) -> TrustedKeys {
        self.trusted.clone()
    }

    pub(crate) fn of_vehicle(&self, n: usize) -> VehicleKey {
        self.vehicles[n].1
    }

    pub(crate) fn sign_as_server(&self, message: &[u8]) -> [u8; 64] {
        self.server.sign(message).to_bytes()
    }

    pub(crate) fn sign_as_vehicle(&self, n: usize, message: &[u8]) -> [u8; 64] {
        self.vehicles[n].0.sign(message).to_bytes()
    }
}
