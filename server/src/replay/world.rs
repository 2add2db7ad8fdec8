//! The world of a replay: every port, in this process, on virtual time.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use rideplane_app::{App, Ports, Settings};
use rideplane_core::charge::Charge;
use rideplane_core::geo::{Point, Zones};
use rideplane_core::ids::{PaymentIntentId, VehicleId};
use rideplane_core::money::Currency;
use rideplane_core::policy::Policy;
use rideplane_core::unlock::TrustedKeys;
use rideplane_memory::vehicles::{Lasts, VehicleFault};
use rideplane_memory::{
    Agents, IndexAvailability, LocalSigner, LogNotifier, MemoryBus, MemoryStore, NoSurge, TestGateway,
};
use rideplane_ports::{
    AuditSource, Clock, EventPublisher, EventSource, FromVehicle, Inbox, Outbox, PortError, Store,
};
use rideplane_sqlite::{Durability, SqliteConfig, SqliteStore};
use sha2::{Digest as _, Sha256};

use super::driver::gateway::Bank;
use super::driver::scope::{VirtualClock, VirtualIds};
use crate::config::DatabaseUrl;
use crate::defaults::default_plans;
use crate::host::postgres;
use crate::keys::CommandKey;

/// The store of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// A SQLite file, as `serve` uses it
    #[default]
    Sqlite,
    /// In memory
    Memory,
    /// A Postgres database that holds nothing yet
    Postgres(DatabaseUrl),
}

impl StoreKind {
    /// The name on the command line.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Memory => "memory",
            Self::Postgres(_) => "postgres",
        }
    }
}

/// A text that is no store of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a replay's store is sqlite, memory or postgres://USER:PASSWORD@HOST/DATABASE")]
pub struct InvalidStoreKind;

impl FromStr for StoreKind {
    type Err = InvalidStoreKind;

    fn from_str(text: &str) -> Result<Self, InvalidStoreKind> {
        match text {
            "sqlite" => Ok(Self::Sqlite),
            "memory" => Ok(Self::Memory),
            _ if DatabaseUrl::is_postgres(text) => Ok(Self::Postgres(DatabaseUrl::new(text))),
            _ => Err(InvalidStoreKind),
        }
    }
}

/// The notifier reads along, so the bus keeps next to nothing.
const RETENTION: usize = 0;

/// A store by all its sides.
struct Sides {
    store: Arc<dyn Store>,
    outbox: Arc<dyn Outbox>,
    inbox: Arc<dyn Inbox>,
    audit: Arc<dyn AuditSource>,
}

/// Everything outside the core.
pub(super) struct World {
    pub(super) app: App,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) bank: Arc<Bank>,
    pub(super) publisher: Arc<dyn EventPublisher>,
    pub(super) source: Arc<dyn EventSource>,
    pub(super) audit: Arc<dyn AuditSource>,
    agents: Arc<Agents>,
    /// After everything that has files open in it.
    _folder: Option<Temporary>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World(..)")
    }
}

impl World {
    /// Builds it; everything secret in it is made from the seed.
    pub(super) async fn build(kind: &StoreKind, data: Option<&Path>, seed: u64) -> anyhow::Result<Self> {
        let (sides, folder) = open(kind, data).await?;
        let clock = Arc::new(VirtualClock::default());
        let shared: Arc<dyn Clock> = clock.clone();
        let key = CommandKey::from_seed(&secret(seed, "command key"));
        let trusted = TrustedKeys::new(key.id().clone(), key.verifying().to_bytes())?;
        let agents = Agents::new(secret(seed, "fleet"), trusted, shared.clone()).manual().without_riding();
        let agents = Arc::new(agents);
        let bank = Arc::new(Bank::new(TestGateway::in_memory(shared.clone(), secret(seed, "gateway"))));
        let bus = Arc::new(MemoryBus::new(RETENTION));
        let ports = Ports {
            store: sides.store,
            outbox: sides.outbox,
            inbox: sides.inbox,
            availability: Arc::new(IndexAvailability::new()),
            gateway: bank.clone(),
            link: agents.clone(),
            notifier: Arc::new(LogNotifier),
            signer: Arc::new(LocalSigner::new(key.id().clone(), &key.signing().to_bytes())),
            demand: Arc::new(NoSurge),
            clock: shared,
            ids: Arc::new(VirtualIds::default()),
        };
        let plans = default_plans(Currency::USD).context("the default plans are refused")?;
        let settings = Settings { policy: Policy::default(), plans, zones: Zones::default() };
        Ok(Self {
            app: App::new(ports, settings),
            clock,
            bank,
            publisher: bus.clone(),
            source: bus,
            audit: sides.audit,
            agents,
            _folder: folder,
        })
    }

    /// Puts a vehicle somewhere.
    pub(super) fn place(&self, vehicle: &VehicleId, at: Point, charge: Charge) -> Result<(), PortError> {
        self.agents.place(vehicle, at, Some(charge), 0)
    }

    /// Rides a vehicle to a place.
    pub(super) fn ride(&self, vehicle: &VehicleId, to: Point, distance_m: u64) -> anyhow::Result<()> {
        Ok(self.agents.ride(vehicle, distance_m, to)?)
    }

    /// What the vehicle has said since this was last asked.
    pub(super) fn take_messages(&self, vehicle: &VehicleId) -> Vec<FromVehicle> {
        self.agents.take_messages(vehicle)
    }

    /// Its lock does not move at the next command.
    pub(super) fn jam(&self, vehicle: &VehicleId) {
        self.agents.set_fault(vehicle, VehicleFault::Jammed, Lasts::Once);
    }

    /// Its next answer gets lost.
    pub(super) fn lose_answer(&self, vehicle: &VehicleId) {
        self.agents.set_fault(vehicle, VehicleFault::LostAck, Lasts::Once);
    }

    /// It hears nothing and says nothing, or is back.
    pub(super) fn set_offline(&self, vehicle: &VehicleId, offline: bool) {
        if offline {
            self.agents.set_fault(vehicle, VehicleFault::Offline, Lasts::UntilCleared);
        } else {
            self.agents.clear_fault(vehicle);
        }
    }

    /// The customer authenticates, or fails to.
    pub(super) fn authenticate(&self, intent: &PaymentIntentId, success: bool) -> Result<(), PortError> {
        let before = self.bank.gateway().intent(intent);
        let after = self.bank.gateway().authenticate(intent, success)?;
        self.bank.count(before.as_ref(), Some(&after));
        Ok(())
    }
}

async fn open(kind: &StoreKind, data: Option<&Path>) -> anyhow::Result<(Sides, Option<Temporary>)> {
    match kind {
        StoreKind::Memory => Ok((sides(Arc::new(MemoryStore::new())), None)),
        StoreKind::Postgres(url) => Ok((sides(postgres::open_for_replay(url).await?), None)),
        StoreKind::Sqlite => {
            let temporary = if data.is_none() { Some(Temporary::new()?) } else { None };
            let folder =
                temporary.as_ref().map(|folder| folder.0.as_path()).or(data).unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
            let file = folder.join("replay.db");
            anyhow::ensure!(
                !file.exists(),
                "{} exists: a replay begins with an empty store, so name another folder or remove it",
                file.display()
            );
            // A replay that a power cut ends is begun again: there is nothing to sync for.
            let config = SqliteConfig::new(&file).with_durability(Durability::ProcessCrash);
            Ok((sides(Arc::new(SqliteStore::open(config).await?)), temporary))
        }
    }
}

fn sides<S: Store + Outbox + Inbox + AuditSource + 'static>(store: Arc<S>) -> Sides {
    Sides { store: store.clone(), outbox: store.clone(), inbox: store.clone(), audit: store }
}

fn secret(seed: u64, purpose: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"rideplane replay")
        .chain_update(seed.to_be_bytes())
        .chain_update(purpose)
        .finalize()
        .into()
}

/// A folder that goes with its owner.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> anyhow::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).context("the system has no entropy")?;
        let path = std::env::temp_dir().join(format!("rideplane-replay-{:016x}", u64::from_be_bytes(random)));
        std::fs::create_dir(&path).with_context(|| format!("{} can't be made", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What can't be removed now is left to the system's own cleaning.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
