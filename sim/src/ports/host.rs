//! What the host of a server supplies: its clock, its ids, its signer, the line, the messages.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use rideplane_core::ids::{KeyId, VehicleId};
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{AckClaims, VehicleKey, WireError};
use rideplane_ports::{Clock, CommandSigner, Ids, Notification, Notifier, PortError, VehicleLink};

use crate::actors::fleet::Fleet;
use crate::net::Net;
use crate::oracle::Oracle;
use crate::rng::Rng;
use crate::signatures::Signatures;

/// The clock of one server.
pub(crate) struct ServerClock {
    pub(crate) net: Arc<Net>,
    pub(crate) server: usize,
}

impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        self.net.clock_of(self.server)
    }
}

/// Ids from the seed.
pub(crate) struct SimIds {
    pub(crate) rng: Mutex<Rng>,
}

impl Ids for SimIds {
    fn fresh(&self) -> u128 {
        let mut rng = self.rng.lock();
        u128::from(rng.next()) << 64 | u128::from(rng.next())
    }
}

/// The key of the servers.
pub(crate) struct SimSigner {
    pub(crate) signatures: Arc<Signatures>,
}

#[async_trait]
impl CommandSigner for SimSigner {
    fn key_id(&self) -> &KeyId {
        self.signatures.key_id()
    }
    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], PortError> {
        Ok(self.signatures.sign_as_server(message))
    }
    fn verify_ack(
        &self,
        bytes: &[u8],
        vehicle_id: &VehicleId,
        key: &VehicleKey,
    ) -> Result<AckClaims, WireError> {
        self.signatures.verify_ack(bytes, vehicle_id, key)
    }
}

/// The broker: what it takes it delivers later, twice, or never.
pub(crate) struct Broker {
    pub(crate) fleet: Arc<Fleet>,
}

#[async_trait]
impl VehicleLink for Broker {
    async fn deliver(
        &self,
        vehicle: &VehicleId,
        command: &[u8],
        expires_at: Timestamp,
    ) -> Result<(), PortError> {
        self.fleet.send(vehicle, command, expires_at);
        Ok(())
    }
}

/// Counts what riders are told.
pub(crate) struct Messages {
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    pub(crate) net: Arc<Net>,
}

#[async_trait]
impl Notifier for Messages {
    async fn send(&self, notification: &Notification) -> Result<(), PortError> {
        self.oracle.lock().notified(&notification.id, self.net.now());
        Ok(())
    }
}
