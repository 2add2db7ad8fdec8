//! The data plane put together: a store, the embedded adapters around it, and the tasks that keep it going.
//!
//! | Part | `serve` without further installation |
//! |---|---|
//! | store, outbox, inbox | one SQLite file (or memory) |
//! | search | the index in this process, rebuilt on start, told of every commit (in the database with Postgres, cached in Redis if wanted) |
//! | bus | in process; the relay fills it from the outbox, the notifier empties it |
//! | vehicles | agents in this process that verify real signed commands |
//! | payments | a gateway that behaves like Stripe's test mode |
//! | notifications | the log |

mod breakers;
mod cache;
pub mod demo;
pub(crate) mod postgres;
mod tasks;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rideplane_app::{App, Ports, Settings};
use rideplane_core::geo::Zones;
use rideplane_core::ids::VehicleId;
use rideplane_core::pricing::PlanCatalogue;
use rideplane_core::unlock::TrustedKeys;
use rideplane_memory::{
    Agents, LocalSigner, LogNotifier, MemoryBus, MemoryStore, NoSurge, RandomIds, SystemClock, TestGateway,
};
use rideplane_ports::{AuditSource, Availability, Clock, Inbox, Outbox, Store, VehicleRecord};
use rideplane_sqlite::{SqliteConfig, SqliteStore};

use crate::config::{Config, StoreUrl};
use crate::{defaults, keys};

/// Vehicles read at a time when search is rebuilt.
const PAGE: usize = 1_000;

/// A store, seen through each of its ports.
#[derive(Clone)]
pub struct AnyStore {
    /// Aggregates.
    pub store: Arc<dyn Store>,
    /// Events for the bus.
    pub outbox: Arc<dyn Outbox>,
    /// Events handled.
    pub inbox: Arc<dyn Inbox>,
    /// Everything, for proofs.
    pub audit: Arc<dyn AuditSource>,
    /// Search in the store itself, where it can.
    pub search: Option<Arc<dyn Availability>>,
    /// The store again, for what only Postgres needs.
    #[cfg(feature = "postgres")]
    pub(crate) postgres: Option<Arc<rideplane_postgres::PostgresStore>>,
}

/// The running data plane, without its HTTP face.
pub struct Host {
    /// The use cases.
    pub app: App,
    /// The store.
    pub store: AnyStore,
    /// The bus.
    pub bus: Arc<MemoryBus>,
    /// The vehicles.
    pub agents: Arc<Agents>,
    /// The payment gateway.
    pub gateway: Arc<TestGateway>,
    /// The breakers before the ports.
    pub(crate) breakers: Arc<breakers::Breakers>,
    /// The cache of search, when there is one.
    pub(crate) cache: Option<cache::Cache>,
}

impl AnyStore {
    fn of<S: Store + Outbox + Inbox + AuditSource + 'static>(store: S) -> Self {
        let store = Arc::new(store);
        Self {
            outbox: store.clone(),
            inbox: store.clone(),
            audit: store.clone(),
            store,
            search: None,
            #[cfg(feature = "postgres")]
            postgres: None,
        }
    }

    /// Opens the store of the configuration.
    ///
    /// # Errors
    /// When another process has it, its schema is newer, or the file can't be used.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        match &config.store {
            StoreUrl::Memory => Ok(Self::of(MemoryStore::new())),
            StoreUrl::Sqlite(_) => {
                keys::create_data_dir(&config.data)?;
                let file = config.store_file().context("a sqlite store has a file")?;
                Ok(Self::of(SqliteStore::open(SqliteConfig::new(file)).await?))
            }
            StoreUrl::Postgres(url) => postgres::open(url, &config.store_replicas).await,
        }
    }
}

impl AnyStore {
    /// Opens the store of the configuration for reading, beside a server that may be running.
    ///
    /// # Errors
    /// When there is none, or it can't be read.
    pub async fn open_read_only(config: &Config) -> anyhow::Result<Self> {
        if let StoreUrl::Postgres(url) = &config.store {
            return postgres::open(url, &[]).await;
        }
        let file =
            config.store_file().context("a memory store lives in its process only: name a sqlite one")?;
        if !file.exists() {
            anyhow::bail!("{}: there is no such store; name it with --data or --store", file.display());
        }
        Ok(Self::of(SqliteStore::open_read_only(&file).await?))
    }
}

impl Host {
    /// Opens everything that the configuration names and rebuilds search.
    ///
    /// # Errors
    /// Whatever can't be opened or read, said for a person.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        config.check_files()?;
        keys::create_data_dir(&config.data)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = AnyStore::open(config).await?;
        let command_key = keys::command_key(&config.data)?;
        let embedded = keys::embedded_secrets(&config.data)?;
        let trusted = TrustedKeys::new(command_key.id().clone(), command_key.verifying().to_bytes())?;
        let in_memory = config.store == StoreUrl::Memory;
        let (gateway, agents) = if in_memory {
            (
                TestGateway::in_memory(clock.clone(), embedded.gateway),
                Agents::new(embedded.fleet, trusted, clock.clone()),
            )
        } else {
            (
                TestGateway::open(config.data.join("test-gateway.jsonl"), clock.clone(), embedded.gateway)?,
                Agents::open(config.data.join("agents.jsonl"), embedded.fleet, trusted, clock.clone())?,
            )
        };
        let (gateway, agents) = (Arc::new(gateway), Arc::new(agents));
        let (breakers, mut search) =
            breakers::Breakers::around(store.store.clone(), store.search.clone(), gateway.clone(), &clock);
        let cache = match &config.cache {
            Some(url) => Some(cache::Cache::open(&mut search, url, clock.clone()).await?),
            None => None,
        };
        let ports = Ports {
            store: breakers.store.clone(),
            outbox: store.outbox.clone(),
            inbox: store.inbox.clone(),
            availability: search,
            gateway: breakers.gateway.clone(),
            link: agents.clone(),
            notifier: Arc::new(LogNotifier),
            signer: Arc::new(LocalSigner::new(command_key.id().clone(), command_key.signing().as_bytes())),
            demand: Arc::new(NoSurge),
            clock,
            ids: Arc::new(RandomIds::new()),
        };
        let app = App::new(ports, settings(config)?);
        let (bus, breakers) = (Arc::new(MemoryBus::default()), Arc::new(breakers));
        let host = Self { app, store, bus, agents, gateway, breakers, cache };
        host.rebuild().await?;
        Ok(host)
    }

    /// Shows search every free vehicle of the store, and the agents where their vehicles stand.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn rebuild(&self) -> anyhow::Result<()> {
        let mut after: Option<VehicleId> = None;
        loop {
            let page = self.store.store.vehicles(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.vehicle.state.id.clone());
            // As with a change that search was not told of: a vehicle that is heard is listed again.
            if let Err(error) = self.app.list_vehicles(&page).await {
                tracing::warn!(%error, "search does not know all vehicles yet; each is listed when it is heard");
            }
            for record in &page {
                self.place(record).await?;
            }
        }
    }

    async fn place(&self, record: &VehicleRecord) -> anyhow::Result<()> {
        use rideplane_ports::VehicleLink as _;
        let vehicle = &record.vehicle.state;
        // A vehicle with a key of its own is a real one: it has no agent here.
        let is_ours = self.agents.provision(&vehicle.id).await? == Some(vehicle.spec.key);
        let said = record.telemetry.as_ref();
        let position = said.and_then(|said| said.position);
        if let (true, Some(position), None) = (is_ours, position, self.agents.position_of(&vehicle.id)) {
            self.agents.place(&vehicle.id, position, said.and_then(|said| said.charge), 0)?;
        }
        Ok(())
    }
}

/// What the operator decides, from the files that the configuration names.
///
/// # Errors
/// A file that can't be read or does not hold what it should.
pub fn settings(config: &Config) -> anyhow::Result<Settings> {
    let plans = match &config.pricing_file {
        Some(path) => read_plans(path)?,
        None => defaults::default_plans(defaults::CURRENCY)?,
    };
    let zones = match &config.zones_file {
        Some(path) => {
            Zones::from_geojson(&read(path)?).with_context(|| format!("zones_file {}", path.display()))?
        }
        None => Zones::default(),
    };
    Ok(Settings { policy: config.policy.clone(), plans, zones })
}

fn read_plans(path: &Path) -> anyhow::Result<PlanCatalogue> {
    serde_json::from_str(&read(path)?).with_context(|| format!("pricing_file {}", path.display()))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))
}

#[cfg(test)]
mod tests {
    use rideplane_ports::{FromVehicle, Listing, Nearest, Telemetry};

    use super::*;
    use crate::lat_lon::LatLon;

    /// No task runs, so no heartbeat lists them again.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn search_knows_every_vehicle_of_the_store_from_the_start() {
        let count = u32::try_from(PAGE + 3).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = Config { data: folder.path().to_owned(), ..Config::default() };
        let around = LatLon::FRANKFURT;
        let host = Host::open(&config).await.unwrap();
        demo::make(&host.app, count, around).await.unwrap();
        drop(host);
        let host = Host::open(&config).await.unwrap();
        assert_eq!(found(&host, around).await, PAGE + 3);
    }

    async fn found(host: &Host, around: LatLon) -> usize {
        listed(host, around).await.len()
    }

    async fn listed(host: &Host, around: LatLon) -> Vec<Listing> {
        let query = Nearest {
            center: rideplane_core::geo::Point::new(around.lat(), around.lon()).unwrap(),
            radius_m: 10_000.0,
            limit: 10_000,
            vehicle_type: None,
            min_charge: None,
            min_range_m: None,
        };
        let nearby = host.app.ports().availability.nearest(&query, host.app.now()).await.unwrap();
        nearby.vehicles.into_iter().map(|(listing, _)| listing).collect()
    }

    /// The heartbeat of a vehicle without a fix, or without a range: what is known stays in search.
    #[tokio::test]
    async fn a_report_that_leaves_something_open_takes_nothing_from_search() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { data: folder.path().to_owned(), store: StoreUrl::Memory, ..Config::default() };
        let host = Host::open(&config).await.unwrap();
        demo::make(&host.app, 10, LatLon::FRANKFURT).await.unwrap();
        let before = listed(&host, LatLon::FRANKFURT).await;
        assert_eq!(before.len(), 10);
        for Listing { vehicle_id, .. } in before.clone() {
            let (position, charge, range_m) = (None, None, None);
            let last_reported = host.app.now();
            let report = Telemetry { vehicle_id, position, charge, range_m, last_reported };
            host.app.vehicle_said(&FromVehicle::Telemetry(report)).await.unwrap();
        }
        let mut after = listed(&host, LatLon::FRANKFURT).await;
        for (after, before) in after.iter_mut().zip(&before) {
            assert!(after.last_reported >= before.last_reported, "a younger report");
            after.last_reported = before.last_reported;
        }
        assert_eq!(after, before);
    }

    /// A vehicle that does not know where it is says so a moment after the operator began to say where.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_vehicle_that_reports_while_it_is_registered_is_found_where_the_operator_says() {
        let count = 500;
        let folder = tempfile::tempdir().unwrap();
        let config = Config { data: folder.path().to_owned(), ..Config::default() };
        let host = Host::open(&config).await.unwrap();
        let ids: Vec<VehicleId> =
            (0..count).map(|n| demo::vehicle(n, count, LatLon::FRANKFURT).unwrap().0).collect();
        let reporting = tokio::spawn({
            let app = host.app.clone();
            async move {
                for vehicle_id in ids.iter().cycle() {
                    let report = Telemetry {
                        vehicle_id: vehicle_id.clone(),
                        position: None,
                        charge: None,
                        range_m: None,
                        last_reported: app.now(),
                    };
                    // One that is not registered yet is refused.
                    let _ = app.vehicle_said(&FromVehicle::Telemetry(report)).await;
                    tokio::task::yield_now().await;
                }
            }
        });
        demo::make(&host.app, count, LatLon::FRANKFURT).await.unwrap();
        reporting.abort();
        assert!(reporting.await.unwrap_err().is_cancelled());
        // As `serve` does. Search alone may have heard a report's older news last, until the vehicle is heard again.
        host.rebuild().await.unwrap();
        assert_eq!(found(&host, LatLon::FRANKFURT).await, count as usize);
    }
}
