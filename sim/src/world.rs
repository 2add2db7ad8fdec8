//! One world from one seed: its parts, put together, and the loop that lets things happen.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake, Waker};

use parking_lot::Mutex;
use rideplane_app::{App, Ports, PutVehicle, Settings};
use rideplane_core::booking::Status;
use rideplane_core::fleet::{FormFactor, PropulsionType, VehicleSpec};
use rideplane_core::ids::{BookingId, UserId, VehicleId};
use rideplane_core::pricing::PlanCatalogue;
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::VehicleKey;
use rideplane_memory::{MemoryStore, NoSurge};
use rideplane_ports::{CommandSigner, DemandModel, Notifier, PaymentGateway, VehicleLink};
use serde_json::json;

use crate::actors::fleet::{Fleet, place};
use crate::coverage::Task;
use crate::defects::{Defect, MutantGateway, StoreMutant};
use crate::faults::Rates;
use crate::net::{Net, Owner, Part, Run, Spawn, Wire};
use crate::oracle::Oracle;
use crate::ports::bus::Bus;
use crate::ports::database::Database;
use crate::ports::faulty::Faulty;
use crate::ports::host::{Broker, Messages, ServerClock, SimIds, SimSigner};
use crate::ports::provider::Provider;
use crate::ports::search::ListSearch;
use crate::rng::Rng;
use crate::signatures::{Scheme, Signatures};

/// What everybody in a world knows.
pub(crate) struct Shared {
    pub(crate) net: Arc<Net>,
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) provider: Arc<Provider>,
    pub(crate) bus: Arc<Bus>,
    pub(crate) truth: Arc<MemoryStore>,
    pub(crate) defect: Option<Defect>,
    database: Arc<Database>,
    search: Arc<ListSearch>,
    signatures: Arc<Signatures>,
    apps: Mutex<Vec<App>>,
    seed: u64,
}

/// How large a world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) servers: usize,
    pub(crate) vehicles: usize,
    pub(crate) riders: usize,
    pub(crate) bookings: u64,
}

/// When every world begins.
pub(crate) const START: Timestamp = Timestamp::from_unix_seconds(1_760_000_000);

pub(crate) fn plans() -> PlanCatalogue {
    static PLANS: OnceLock<PlanCatalogue> = OnceLock::new();
    PLANS
        .get_or_init(|| {
            let text = |text: &str| json!([{ "text": text, "language": "en" }]);
            let plans = json!([{
                "plan_id": "scooter", "name": text("Scooter"), "currency": "EUR", "is_taxable": false,
                "price": "1.00", "per_min_pricing": [{ "start": 0, "rate": "0.23", "interval": 1 }],
                "description": text("1.00 to unlock, 0.23 a minute"),
            }]);
            serde_json::from_value(plans).unwrap()
        })
        .clone()
}

/// A scooter that signs with this key.
pub(crate) fn spec(key: VehicleKey) -> VehicleSpec {
    VehicleSpec {
        vehicle_type: "scooter".parse().unwrap(),
        form_factor: FormFactor::ScooterStanding,
        propulsion_type: PropulsionType::Electric,
        plan_id: "scooter".parse().unwrap(),
        max_range_m: Some(40_000),
        key,
    }
}

/// How the operator registers a vehicle of a fleet.
pub(crate) fn registration(fleet: &Fleet, signatures: &Signatures, n: usize) -> (VehicleId, PutVehicle) {
    let (at, spec) = (place(n), spec(signatures.of_vehicle(n)));
    let put = PutVehicle {
        vehicle_type: spec.vehicle_type,
        form_factor: spec.form_factor,
        propulsion_type: spec.propulsion_type,
        plan_id: spec.plan_id,
        public_key: Some(spec.key),
        max_range_meters: spec.max_range_m,
        lat: Some(at.lat()),
        lon: Some(at.lon()),
        current_fuel_percent: None,
        current_range_meters: None,
    };
    (fleet.ids[n].clone(), put)
}

impl Shared {
    pub(crate) fn new(
        seed: u64,
        rates: Rates,
        size: Size,
        defect: Option<Defect>,
        signatures: Scheme,
        traced: bool,
    ) -> Arc<Self> {
        let net = Net::new(seed, rates, size.servers, START, traced);
        let oracle = Arc::new(Mutex::new(Oracle::default()));
        let signatures = Signatures::shared(signatures);
        let fleet =
            Fleet::new(Arc::clone(&net), Arc::clone(&oracle), Arc::clone(&signatures), size.vehicles, defect);
        let truth = Arc::new(MemoryStore::new());
        let bus = Arc::new(Bus::new(Arc::clone(&net), Arc::clone(&oracle), defect));
        let mutant = defect
            .filter(|defect| defect.in_store())
            .map(|defect| StoreMutant::new(Arc::clone(&truth), Arc::clone(&bus), defect));
        let database = Database::new(Arc::clone(&truth), Arc::clone(&oracle), Arc::clone(&net), mutant);
        let shared = Arc::new(Self {
            provider: Arc::new(Provider::new(Arc::clone(&net), Arc::clone(&oracle), defect)),
            net,
            oracle,
            fleet: Arc::new(fleet),
            bus,
            truth,
            defect,
            database: Arc::new(database),
            search: Arc::default(),
            signatures,
            apps: Mutex::default(),
            seed,
        });
        let apps = (0..size.servers).map(|server| shared.build(server, 0)).collect();
        *shared.apps.lock() = apps;
        shared
    }

    pub(crate) fn servers(&self) -> usize {
        self.apps.lock().len()
    }

    pub(crate) fn app(&self, server: usize) -> App {
        self.apps.lock()[server].clone()
    }

    /// A server begins again, with nothing but what is durable.
    pub(crate) fn restart(&self, server: usize, life: u64) {
        let app = self.build(server, life);
        self.apps.lock()[server] = app;
        self.net.inner.lock().alive[server] = true;
    }

    pub(crate) fn wire(&self, server: usize, part: Part) -> Wire {
        Wire { net: Arc::clone(&self.net), server, part }
    }

    pub(crate) fn publisher(&self, server: usize) -> Faulty<dyn rideplane_ports::EventPublisher> {
        Faulty { wire: self.wire(server, Part::Bus), inner: Arc::clone(&self.bus) as _ }
    }

    fn build(&self, server: usize, life: u64) -> App {
        let wire = |part| self.wire(server, part);
        let database = Arc::new(Faulty { wire: wire(Part::Store), inner: Arc::clone(&self.database) });
        let gateway = Faulty { wire: wire(Part::Provider), inner: Arc::clone(&self.provider) };
        let gateway: Arc<dyn PaymentGateway> = match self.defect {
            Some(defect) if defect.in_gateway() => Arc::new(MutantGateway::new(Arc::new(gateway), defect)),
            Some(_) | None => Arc::new(gateway),
        };
        let broker: Arc<dyn VehicleLink> = Arc::new(Broker { fleet: Arc::clone(&self.fleet) });
        let messages: Arc<dyn Notifier> =
            Arc::new(Messages { oracle: Arc::clone(&self.oracle), net: Arc::clone(&self.net) });
        let signer: Arc<dyn CommandSigner> = Arc::new(SimSigner { signatures: Arc::clone(&self.signatures) });
        let rng = Rng::new(self.seed, 0x1d00 + server as u64 * 4_096 + life);
        let ports = Ports {
            store: Arc::clone(&database) as _,
            outbox: Arc::clone(&database) as _,
            inbox: database,
            availability: Arc::new(Faulty { wire: wire(Part::Search), inner: Arc::clone(&self.search) }),
            gateway,
            link: Arc::new(Faulty { wire: wire(Part::Broker), inner: broker }),
            notifier: Arc::new(Faulty { wire: wire(Part::Notifier), inner: messages }),
            signer: Arc::new(Faulty { wire: wire(Part::Signer), inner: signer }),
            demand: Arc::new(Faulty {
                wire: wire(Part::Search),
                inner: Arc::new(NoSurge) as Arc<dyn DemandModel>,
            }),
            clock: Arc::new(ServerClock { net: Arc::clone(&self.net), server }),
            ids: Arc::new(SimIds { rng: Mutex::new(rng) }),
        };
        App::new(ports, Settings { plans: plans(), ..Settings::default() })
    }

    /// How the operator registers a vehicle.
    pub(crate) fn registration(&self, n: usize) -> (VehicleId, PutVehicle) {
        registration(&self.fleet, &self.signatures, n)
    }

    /// Who has a vehicle, by its history.
    pub(crate) fn holder(&self, vehicle: &VehicleId) -> Option<(BookingId, UserId)> {
        let oracle = self.oracle.lock();
        let booking = oracle.holder_of(vehicle)?;
        oracle.model.bookings.get(&booking).map(|booked| (booking, booked.user.clone()))
    }
}

struct Running {
    owner: Owner,
    task: Task,
    status: Option<Status>,
    run: Run,
}

type Ready = Arc<Mutex<Vec<usize>>>;

struct TaskWaker {
    id: usize,
    ready: Ready,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.lock().push(self.id);
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.lock().push(self.id);
    }
}

/// Runs futures in one thread, in an order that only the seed decides.
#[derive(Default)]
pub(crate) struct Executor {
    tasks: Vec<Option<Running>>,
    /// One for each place in `tasks`, for whichever task is there.
    wakers: Vec<Waker>,
    free: Vec<usize>,
    ready: Ready,
    turn: Vec<usize>,
    pub(crate) polls: u64,
}

impl Executor {
    fn take_in(&mut self, spawn: Spawn) {
        let running = Running { owner: spawn.owner, task: spawn.task, status: spawn.status, run: spawn.run };
        let id = self.free.pop().unwrap_or(self.tasks.len());
        if id == self.tasks.len() {
            self.tasks.push(Some(running));
            self.wakers.push(Waker::from(Arc::new(TaskWaker { id, ready: Arc::clone(&self.ready) })));
        } else {
            self.tasks[id] = Some(running);
        }
        self.ready.lock().push(id);
    }

    /// Runs everything that can go on now; tells which servers died.
    pub(crate) fn run(&mut self, net: &Net) -> Vec<usize> {
        let mut died = Vec::new();
        loop {
            let spawned = std::mem::take(&mut net.inner.lock().spawned);
            spawned.into_iter().for_each(|spawn| self.take_in(spawn));
            let mut turn = std::mem::take(&mut self.turn);
            std::mem::swap(&mut turn, &mut *self.ready.lock());
            if turn.is_empty() {
                return died;
            }
            for id in turn.drain(..) {
                self.poll(id, net, &mut died);
            }
            self.turn = turn;
        }
    }

    fn poll(&mut self, id: usize, net: &Net, died: &mut Vec<usize>) {
        // A wake-up of a task that is over may meet the next one in its place, which looks and goes on waiting.
        let Some(running) = &mut self.tasks[id] else { return };
        net.inner.lock().running = (running.task, running.status);
        self.polls += 1;
        let polled = running.run.as_mut().poll(&mut Context::from_waker(&self.wakers[id]));
        let mut inner = net.inner.lock();
        running.status = inner.running.1;
        let crashed = if inner.crashed.is_empty() { Vec::new() } else { std::mem::take(&mut inner.crashed) };
        drop(inner);
        if polled.is_ready() {
            self.tasks[id] = None;
            self.free.push(id);
        }
        for server in crashed {
            self.kill(server);
            died.push(server);
        }
    }

    fn kill(&mut self, server: usize) {
        for id in 0..self.tasks.len() {
            if self.tasks[id].as_ref().is_some_and(|task| task.owner == Owner::Server(server)) {
                self.tasks[id] = None;
                self.free.push(id);
            }
        }
    }
}
