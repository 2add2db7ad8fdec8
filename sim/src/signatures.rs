//! The keys of the servers and of the vehicles, and how they sign: by Ed25519, or in bulk by a keyed hash.
//!
//! Signatures decide nothing but whether a message is authentic, and here nobody forges one. So a hash that costs a
//! hundredth shows the same histories (a test compares them), and every thirty-second seed runs the real thing.

use std::sync::{Arc, OnceLock};

use ed25519_dalek::{Signer as _, SigningKey};
use rideplane_core::ids::{KeyId, VehicleId};
use rideplane_core::unlock::{
    AckClaims, SIGNATURE_BYTES, TrustedKeys, VehicleKey, Verify, WireError, verify_ack, verify_ack_with,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// How commands and acks are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// As in production.
    Ed25519,
    /// SHA-256 over the key and the message.
    KeyedHash,
}

/// One seed of so many runs Ed25519.
const REAL: u64 = 32;

impl Scheme {
    /// What a seed runs unless it is told otherwise.
    #[must_use]
    pub const fn of_seed(seed: u64) -> Self {
        if seed.is_multiple_of(REAL) { Self::Ed25519 } else { Self::KeyedHash }
    }
}

type Signature = [u8; SIGNATURE_BYTES];

fn keyed_hash(key: &[u8; 32], message: &[u8]) -> Signature {
    let digest = Sha256::new().chain_update(key).chain_update(message).finalize();
    let mut signature = [0; SIGNATURE_BYTES];
    signature[..32].copy_from_slice(&digest);
    signature
}

/// One key that whoever knows it can sign and verify with.
struct HashKey<'a>(&'a [u8; 32]);

impl Verify for HashKey<'_> {
    fn verify(&self, _kid: &[u8], message: &[u8], signature: &Signature) -> Result<(), WireError> {
        if keyed_hash(self.0, message) == *signature { Ok(()) } else { Err(WireError::BadSignature) }
    }
}

/// What a vehicle trusts.
#[derive(Clone)]
pub(crate) struct Trust(Arc<Signatures>);

impl Verify for Trust {
    fn verify(&self, kid: &[u8], message: &[u8], signature: &Signature) -> Result<(), WireError> {
        match self.0.scheme {
            Scheme::Ed25519 => self.0.trusted.verify(kid, message, signature),
            Scheme::KeyedHash if kid == self.0.key_id.as_str().as_bytes() => {
                HashKey(self.0.server.as_bytes()).verify(kid, message, signature)
            }
            Scheme::KeyedHash => {
                Err(WireError::UnknownKey { kid: String::from_utf8_lossy(kid).into_owned() })
            }
        }
    }
}

/// All keys of a simulation.
pub(crate) struct Signatures {
    scheme: Scheme,
    key_id: KeyId,
    server: SigningKey,
    trusted: TrustedKeys,
    vehicles: Vec<(SigningKey, VehicleKey)>,
}

/// As many vehicles as any world has.
const VEHICLES: u8 = 8;

impl Signatures {
    /// The same in every world: making keys costs more than a booking.
    pub(crate) fn shared(scheme: Scheme) -> Arc<Self> {
        static SHARED: OnceLock<[Arc<Signatures>; 2]> = OnceLock::new();
        let [real, hashed] = SHARED
            .get_or_init(|| [Scheme::Ed25519, Scheme::KeyedHash].map(|scheme| Arc::new(Self::new(scheme))));
        Arc::clone(match scheme {
            Scheme::Ed25519 => real,
            Scheme::KeyedHash => hashed,
        })
    }

    fn new(scheme: Scheme) -> Self {
        let key_id = KeyId::new("server-1").unwrap();
        let server = SigningKey::from_bytes(&[7; 32]);
        let trusted = TrustedKeys::new(key_id.clone(), server.verifying_key().to_bytes()).unwrap();
        let vehicles = (0..VEHICLES).map(|n| {
            let key = SigningKey::from_bytes(&[n + 100; 32]);
            let public = VehicleKey::from_bytes(key.verifying_key().to_bytes());
            (key, public)
        });
        Self { scheme, key_id, server, trusted, vehicles: vehicles.collect() }
    }

    pub(crate) const fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    pub(crate) fn trust(self: &Arc<Self>) -> Trust {
        Trust(Arc::clone(self))
    }

    pub(crate) fn of_vehicle(&self, n: usize) -> VehicleKey {
        self.vehicles[n].1
    }

    pub(crate) fn sign_as_server(&self, message: &[u8]) -> Signature {
        self.sign(&self.server, message)
    }

    pub(crate) fn sign_as_vehicle(&self, n: usize, message: &[u8]) -> Signature {
        match self.scheme {
            Scheme::Ed25519 => self.sign(&self.vehicles[n].0, message),
            // The server knows of a vehicle's key only the public half.
            Scheme::KeyedHash => keyed_hash(self.vehicles[n].1.as_bytes(), message),
        }
    }

    fn sign(&self, key: &SigningKey, message: &[u8]) -> Signature {
        match self.scheme {
            Scheme::Ed25519 => key.sign(message).to_bytes(),
            Scheme::KeyedHash => keyed_hash(key.as_bytes(), message),
        }
    }

    pub(crate) fn verify_ack(
        &self,
        bytes: &[u8],
        vehicle_id: &VehicleId,
        key: &VehicleKey,
    ) -> Result<AckClaims, WireError> {
        match self.scheme {
            Scheme::Ed25519 => verify_ack(bytes, vehicle_id, key),
            Scheme::KeyedHash => verify_ack_with(bytes, vehicle_id, &HashKey(key.as_bytes())),
        }
    }
}
