//! Your own service around the use cases: ports that you choose, tasks that you run, and no HTTP at all.
//!
//! `cargo run -p rideplane-examples --bin service`
//!
//! The use cases never sleep, spawn or log. A host brings a runtime and three tasks: a worker for deadlines, a relay from
//! the outbox to the bus, and a pump from the vehicles. Here the clock is moved by hand, so that a ride of twelve minutes
//! takes none.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rideplane_app::{
    App, CreateBooking, EndTrip, Ports, PutVehicle, RideCommand, SearchQuery, Sent, Settings,
};
use rideplane_core::fleet::{FormFactor, PropulsionType};
use rideplane_core::ids::{KeyId, PaymentMethodId, PlanId, UserId, VehicleId, VehicleTypeId};
use rideplane_core::pricing::{PlanCatalogue, PricingPlan};
use rideplane_core::time::Span;
use rideplane_core::unlock::TrustedKeys;
use rideplane_memory::{
    Agents, IndexAvailability, LocalSigner, LogNotifier, ManualClock, MemoryBus, MemoryStore, NoSurge,
    SeededIds, TestGateway,
};
use rideplane_ports::{Clock, EventSource as _, IdempotencyKey, VehicleInbox as _};
use tokio::task::JoinHandle;

const PLAN: &str = r#"{"plan_id":"scooter","name":[],"description":[],"currency":"EUR","price":"1.00",
    "is_taxable":false,"per_min_pricing":[{"start":0,"rate":"0.23","interval":1}],
    "vat":{"rate":"0.19","inclusive":true}}"#;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let service = Service::build()?;
    let tasks = service.run();
    for (name, lat, lon) in [("sc-1", 50.1109, 8.6821), ("sc-2", 50.1120, 8.6840), ("sc-3", 50.2, 8.9)] {
        service.app.put_vehicle(&VehicleId::new(name)?, &scooter(lat, lon)?).await?;
    }
    one_ride(&service).await?;

    // Let the relay catch up, then read what everybody else would have heard.
    while service.app.ports().outbox.pending_count().await? > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    service.bus.close();
    let mut names = Vec::new();
    while let Some(delivery) = service.bus.next("example").await? {
        names.push(delivery.envelope.name.clone());
        service.bus.acknowledge("example", &delivery).await?;
    }
    println!("on the bus: {}", names.join(", "));
    tasks.iter().for_each(JoinHandle::abort);
    Ok(())
}

/// What this service is made of. Another store, bus or provider is another line in [`Service::build`].
struct Service {
    app: App,
    clock: Arc<ManualClock>,
    agents: Arc<Agents>,
    bus: Arc<MemoryBus>,
}

impl Service {
    fn build() -> anyhow::Result<Self> {
        let clock = Arc::new(ManualClock::new("2026-05-01T08:00:00Z".parse()?));
        let time = || Arc::clone(&clock) as Arc<dyn Clock>;
        let signer = LocalSigner::new(KeyId::new("example-1")?, &[1; 32]);
        let trusted = TrustedKeys::new(KeyId::new("example-1")?, signer.public_key())?;
        let agents = Arc::new(Agents::new([2; 32], trusted, time()));
        let store = Arc::new(MemoryStore::new());
        let ports = Ports {
            store: store.clone(),
            outbox: store.clone(),
            inbox: store,
            availability: Arc::new(IndexAvailability::new()),
            gateway: Arc::new(TestGateway::in_memory(time(), [3; 32])),
            link: agents.clone(),
            notifier: Arc::new(LogNotifier),
            signer: Arc::new(signer),
            demand: Arc::new(NoSurge),
            clock: time(),
            ids: Arc::new(SeededIds::new(7)),
        };
        let mut plans = PlanCatalogue::default();
        plans.insert(serde_json::from_str::<PricingPlan>(PLAN)?);
        let app = App::new(ports, Settings { plans, ..Settings::default() });
        Ok(Self { app, clock, agents, bus: Arc::new(MemoryBus::new(1_000)) })
    }

    /// The tasks of every host. Any number of processes may run them over one store.
    fn run(&self) -> [JoinHandle<()>; 3] {
        let (worker, relay, pump) = (self.app.clone(), self.app.clone(), self.app.clone());
        let (bus, agents) = (Arc::clone(&self.bus), Arc::clone(&self.agents));
        let worker = tokio::spawn(async move {
            loop {
                if let Err(error) = worker.run_due(100, 8).await {
                    eprintln!("worker: {error}");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let relay = tokio::spawn(async move {
            loop {
                if let Err(error) = relay.relay_once(&*bus, 100).await {
                    eprintln!("relay: {error}");
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let pump = tokio::spawn(async move {
            while let Ok(Some(message)) = agents.next().await {
                if let Err(error) = pump.vehicle_said(&message).await {
                    eprintln!("a vehicle said: {error}");
                }
            }
        });
        [worker, relay, pump]
    }

    /// Time passes, and the vehicles are heard in it.
    fn pass(&self, span: Span) {
        let now = self.clock.advance(span);
        self.agents.heartbeat_all(now);
    }
}

fn scooter(lat: f64, lon: f64) -> anyhow::Result<PutVehicle> {
    Ok(PutVehicle {
        vehicle_type: VehicleTypeId::new("scooter")?,
        form_factor: FormFactor::ScooterStanding,
        propulsion_type: PropulsionType::Electric,
        plan_id: PlanId::new("scooter")?,
        public_key: None,
        max_range_meters: Some(40_000),
        lat: Some(lat),
        lon: Some(lon),
        current_fuel_percent: None,
        current_range_meters: None,
    })
}

async fn one_ride(service: &Service) -> anyhow::Result<()> {
    let Service { app, .. } = service;
    let rider = UserId::new("ada")?;
    let query = SearchQuery {
        lat: 50.111,
        lon: 8.682,
        vehicle_type: None,
        radius_m: Some(500.0),
        limit: None,
        min_battery: None,
        min_range_m: None,
    };
    let found = app.search(&query).await?;
    for vehicle in &found.vehicles {
        println!("free: {} in {} m", vehicle.vehicle_id, vehicle.distance_m);
    }
    let nearest = found.vehicles.first().context("no vehicle is near")?.vehicle_id.clone();

    let body = CreateBooking { vehicle_id: nearest.clone(), start_time: None, estimated_duration: None };
    let key = IdempotencyKey::new("order-1")?;
    let answer = app.create_booking(&rider, key, [0; 32], &body, None).await?;
    let booking = answer.booking_id.context("the vehicle was gone")?;
    println!("booked {nearest}: {}", answer.status);

    let card = PaymentMethodId::new("pm_card_visa")?;
    let paid = app.confirm_payment(&rider, booking, Some(card)).await?.0;
    println!("paid: {}", paid.status.as_str());

    service.pass(Span::from_minutes(2));
    if let Sent::Pending(command) = app.unlock(&rider, &nearest).await? {
        let command = obeyed(command).await?;
        let riding = app.unlock_result(&rider, &command).await?.context("the vehicle is still silent")?;
        println!("unlocked: {}", riding.status.as_str());
    }
    for _ in 0..3 {
        service.pass(Span::from_minutes(4));
    }
    if let Sent::Pending(command) = app.end_trip(&rider, booking, &EndTrip::default()).await? {
        let command = obeyed(command).await?;
        let ended = app.end_trip_result(&rider, &command).await?;
        let total = ended.receipt.as_ref().map(|receipt| receipt.total.to_string()).context("no receipt")?;
        println!(
            "ended: {}, {total} for {:?} s",
            ended.status.as_str(),
            ended.trip.and_then(|trip| trip.duration_s)
        );
    }
    Ok(())
}

/// Waits until the vehicle's signed ack was heard. Give it a limit of your own: silence is no answer.
async fn obeyed(mut command: RideCommand) -> anyhow::Result<RideCommand> {
    tokio::time::timeout(Duration::from_secs(5), &mut command.ticket)
        .await
        .context("the vehicle is silent")??;
    Ok(command)
}
