//! One seed, from the first booking to the last settled payment: a safety phase with faults, then a liveness phase
//! without.

mod surroundings;

use std::sync::Arc;

use rideplane_app::AppError;
use rideplane_core::booking::Status;
use rideplane_core::ids::UserId;
use rideplane_core::time::{Span, Timestamp};
use rideplane_ports::{FromVehicle, Kind, Outbox as _, Store as _};

use crate::actors::rider::Rider;
use crate::coverage::{Coverage, Task};
use crate::defects::Defect;
use crate::faults::{Fault, Profile, Rates};
use crate::net::{Happening, Net, Owner, Part, Slot};
use crate::oracle::{Rule, Violation};
use crate::rng::Rng;
use crate::signatures::Scheme;
use crate::trace::{Line, Trace};
use crate::world::{Executor, START, Shared, Size};

const S: i64 = 1_000_000;
/// How often a worker looks at what is due, at most.
const EVERY: i64 = 6 * S;
/// How long after the last fault everything must have come to its end: the longest chain of deadlines of DESIGN.md,
/// section 7 (a quote of 15 minutes, an unlock window of 15, a look-up every 5) and some.
pub(crate) const BOUND: Span = Span::from_minutes(90);
/// How long a hold may stand on a dead booking once the faults are over.
const HOLD_BOUND: Span = Span::from_minutes(60);

/// What to simulate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The seed of everything.
    pub seed: u64,
    /// The mix of faults.
    pub profile: Profile,
    /// Faults that are left out of the mix.
    pub without: Vec<Fault>,
    /// At most so many servers; the seed draws 1 to 3.
    pub servers: Option<usize>,
    /// At most so many vehicles; the seed draws 1 to 8.
    pub vehicles: Option<usize>,
    /// At most so many riders; the seed draws 2 to 10.
    pub riders: Option<usize>,
    /// At most so many journeys; the seed draws 40 to 120.
    pub journeys: Option<u64>,
    /// A defect to plant.
    pub defect: Option<Defect>,
    /// How messages are signed; no history depends on it.
    pub signatures: Scheme,
    /// Whether to write down what happens.
    pub traced: bool,
}

impl Plan {
    /// The plan of a seed as it is.
    #[must_use]
    pub const fn new(seed: u64, profile: Profile) -> Self {
        Self {
            seed,
            profile,
            without: Vec::new(),
            servers: None,
            vehicles: None,
            riders: None,
            journeys: None,
            defect: None,
            signatures: Scheme::of_seed(seed),
            traced: false,
        }
    }

    pub(crate) fn rates(&self) -> Rates {
        self.without.iter().fold(self.profile.rates(self.seed), |rates, fault| rates.without(*fault))
    }

    pub(crate) fn size(&self) -> Size {
        let mut rng = Rng::new(self.seed, 2);
        let mut draw = |low: i64, high: i64, most: Option<u64>| {
            let drawn = rng.between(low, high) as u64;
            most.map_or(drawn, |most| drawn.min(most))
        };
        let servers = draw(1, 3, self.servers.map(|most| most as u64)) as usize;
        let vehicles = draw(1, 8, self.vehicles.map(|most| most as u64)) as usize;
        let riders = draw(2, 10, self.riders.map(|most| most as u64)) as usize;
        let bookings = draw(40, 120, self.journeys);
        Size { servers, vehicles, riders, bookings }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Bookings that were made.
    pub bookings: u64,
    /// Events that were committed.
    pub events: u64,
    /// Calls of ports.
    pub calls: u64,
    /// Times that a task was polled.
    pub polls: u64,
    /// Faults by [`Fault`].
    pub faults: Vec<u64>,
    /// Checks by [`Rule`].
    pub checks: Vec<u64>,
    /// Bookings by their last status, in the order of [`Status::ALL`].
    pub ends: [u64; Status::ALL.len()],
    /// Which faults met what.
    pub coverage: Coverage,
    /// The virtual time that passed.
    pub lasted: Span,
    /// From the last fault to the end of everything.
    pub recovery: Span,
    /// What was broken; a run stops at the first.
    pub violations: Vec<Violation>,
    /// What happened, when it was written down.
    pub trace: Option<Trace>,
}

/// Runs one seed.
#[must_use]
pub fn run(plan: &Plan) -> Outcome {
    let mut episode = Episode::new(plan);
    episode.open();
    episode.safety();
    let calm_since = episode.shared.net.now();
    episode.liveness();
    episode.close(calm_since)
}

struct Episode {
    shared: Arc<Shared>,
    executor: Executor,
    size: Size,
    rng: Rng,
    riders_left: Arc<parking_lot::Mutex<u64>>,
    lives: u64,
    working: Vec<Option<Arc<Slot<()>>>>,
    /// When each server's worker looks at what is due.
    looks_at: Vec<Option<i64>>,
    relay_looks: bool,
    consumer_looks: bool,
    relaying: Option<Arc<Slot<()>>>,
    consuming: Option<Arc<Slot<()>>>,
}

impl Episode {
    fn new(plan: &Plan) -> Self {
        let size = plan.size();
        let shared = Shared::new(plan.seed, plan.rates(), size, plan.defect, plan.signatures, plan.traced);
        Self {
            shared,
            executor: Executor::default(),
            size,
            rng: Rng::new(plan.seed, 3),
            riders_left: Arc::new(parking_lot::Mutex::new(0)),
            lives: 0,
            working: vec![None; size.servers],
            looks_at: vec![None; size.servers],
            relay_looks: false,
            consumer_looks: false,
            relaying: None,
            consuming: None,
        }
    }

    fn net(&self) -> &Arc<Net> {
        &self.shared.net
    }

    fn spawn(&self, owner: Owner, task: Task, run: impl Future<Output = ()> + Send + 'static) {
        self.net().spawn(owner, task, None, Box::pin(run));
    }

    /// Registers the fleet, starts what runs all the time, and sends the riders out.
    fn open(&mut self) {
        for n in 0..self.size.vehicles {
            let (app, (id, put)) = (self.shared.app(0), self.shared.registration(n));
            let net = Arc::clone(self.net());
            self.spawn(Owner::World, Task::Operator, async move {
                while app.put_vehicle(&id, &put).await.is_err() {
                    net.sleep(S).await;
                }
            });
            let first = self.rng.between(S, 60 * S);
            self.net().after(first, Happening::Heartbeat(n));
        }
        for server in 0..self.size.servers {
            let wait = self.rng.between(S, 240 * S);
            self.net().after(wait, Happening::Patrol(server));
        }
        for what in [Happening::Operate, Happening::Trouble] {
            let wait = self.rng.between(S, 5 * S);
            self.net().after(wait, what);
        }
        self.send_riders();
    }

    fn send_riders(&mut self) {
        let each = self.size.bookings.div_ceil(self.size.riders as u64);
        for rider in 0..self.size.riders {
            let user = UserId::new(format!("rider-{rider}")).unwrap();
            let (world, left) = (Arc::clone(&self.shared), Arc::clone(&self.riders_left));
            let mut rng = Rng::new(self.rng.next(), 4);
            *left.lock() += 1;
            self.spawn(Owner::World, Task::World, async move {
                world.net.sleep(rng.between(2 * S, 120 * S)).await;
                for number in 0..each {
                    let person = |rng: &mut Rng| Rider {
                        world: Arc::clone(&world),
                        user: user.clone(),
                        number,
                        rng: Rng::new(rng.next(), 5),
                    };
                    if world.net.strikes(Fault::SharedCode) {
                        person(&mut rng).trespass().await;
                    }
                    let began = person(&mut rng).journey().await;
                    // Who got none may stand beside the vehicle and try again at once.
                    let pause = if !began && rng.chance(400) { 15 * S } else { 200 * S };
                    world.net.sleep(rng.between(S, pause)).await;
                }
                *left.lock() -= 1;
            });
        }
    }

    fn broken(&self) -> bool {
        !self.shared.oracle.lock().violations.is_empty()
    }

    /// Lets things happen until `end` says so.
    fn go(&mut self, latest: i64, mut end: impl FnMut(&mut Self) -> bool) {
        loop {
            let net = Arc::clone(self.net());
            for server in self.executor.run(&net) {
                self.died(server);
            }
            if self.broken() || end(self) {
                return;
            }
            if net.take_moved() {
                self.look();
            }
            let Some((at, what)) = net.next(latest) else { return };
            net.advance_to(at);
            self.happen(what);
        }
    }

    fn safety(&mut self) {
        let latest = START.plus(Span::from_minutes(60 * 48)).as_micros();
        self.go(latest, |episode| *episode.riders_left.lock() == 0);
    }

    fn liveness(&mut self) {
        if self.broken() {
            return;
        }
        self.net().calm_down();
        self.net().note(|| Line::at(Part::Riders, "the faults stop"));
        for server in 0..self.size.servers {
            if !self.net().is_alive(server) {
                self.lives += 1;
                self.shared.restart(server, self.lives);
            }
        }
        for n in 0..self.size.vehicles {
            self.shared.fleet.calm_down(n);
        }
        let latest = self.net().now().plus(BOUND).as_micros();
        self.net().has_moved();
        self.go(latest, |episode| episode.net().has_moved_lately() && episode.unfinished().is_empty());
    }

    fn died(&mut self, server: usize) {
        self.net().note(|| Line::at(Part::Server(server), "the process dies"));
        let wait = self.rng.between(S / 2, 20 * S);
        self.net().after(wait, Happening::Restart(server));
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Wake(waker) => waker.wake(),
            Happening::Reaches { vehicle, bytes } => self.shared.fleet.reached(vehicle, &bytes),
            Happening::Ack { vehicle, bytes, tries } => self.acked(vehicle, bytes, tries),
            Happening::Heartbeat(n) => self.heartbeat(n),
            Happening::PowerBack(n) => self.shared.fleet.power_back(n),
            Happening::NetworkBack(n) => self.shared.fleet.set_online(n, true),
            Happening::Worker(server) => self.work(server),
            Happening::Patrol(server) => self.patrol(server),
            Happening::Relay => self.relay(),
            Happening::Consume => self.consume(),
            Happening::Operate => self.operate(),
            Happening::Trouble => self.trouble(),
            Happening::Restart(server) => {
                if !self.net().is_alive(server) {
                    self.lives += 1;
                    self.shared.restart(server, self.lives);
                    self.net().has_moved();
                    self.net().note(|| Line::at(Part::Server(server), "the process starts again"));
                }
            }
            Happening::Hint { reference, tries } => self.hint(reference, tries),
        }
    }

    /// A server that is up, if there is one.
    fn any_server(&mut self) -> Option<usize> {
        let first = self.rng.below(self.size.servers as u64) as usize;
        (0..self.size.servers)
            .map(|n| (first + n) % self.size.servers)
            .find(|server| self.net().is_alive(*server))
    }

    /// The broker hands an ack to a server until one has taken it.
    fn acked(&mut self, vehicle: usize, bytes: Vec<u8>, tries: u8) {
        let again = Happening::Ack { vehicle, bytes: bytes.clone(), tries: tries + 1 };
        let Some(server) =
            self.any_server().filter(|server| !self.net().apart(Part::Broker, Part::Server(*server)))
        else {
            if tries < 20 {
                self.net().after(3 * S, again);
            }
            return;
        };
        let (app, net, id) =
            (self.shared.app(server), Arc::clone(self.net()), self.shared.fleet.ids[vehicle].clone());
        self.spawn(Owner::Server(server), Task::Ack, async move {
            let said = FromVehicle::Ack { vehicle_id: id, bytes };
            let taken = match app.vehicle_said(&said).await {
                Ok(()) => true,
                Err(AppError::Internal { source }) => source.kind() == Kind::Rejected,
                Err(error) => !matches!(error, AppError::Unavailable { .. }),
            };
            if !taken && tries < 20 {
                net.after(2 * S, again);
            }
        });
    }

    fn heartbeat(&mut self, n: usize) {
        let wait = self.rng.between(90 * S, 150 * S);
        self.net().after(wait, Happening::Heartbeat(n));
        let Some(report) = self.shared.fleet.heartbeat(n) else { return };
        if self.net().strikes(Fault::LostMessage) {
            return;
        }
        let Some(server) = self.any_server() else { return };
        let app = self.shared.app(server);
        self.spawn(Owner::Server(server), Task::Telemetry, async move {
            drop(app.vehicle_said(&FromVehicle::Telemetry(report)).await);
        });
    }

    /// Workers, relays and consumers look every few seconds. What they would not find is not looked for: after a write
    /// they are told when to look next.
    fn look(&mut self) {
        let now = self.net().now().as_micros();
        let deadline = now_or_never(self.shared.truth.next_deadline()).and_then(Result::ok).flatten();
        if let Some(deadline) = deadline {
            let due = deadline.as_micros().max(now);
            for server in 0..self.size.servers {
                if self.net().is_alive(server)
                    && self.looks_at[server].is_none_or(|at| at > due.saturating_add(EVERY))
                {
                    let wait = due.saturating_sub(now).saturating_add(self.rng.between(0, EVERY));
                    self.work_after(server, wait);
                }
            }
        }
        if !self.relay_looks && self.is_pending() {
            self.relay_looks = true;
            let wait = self.rng.between(S, 8 * S);
            self.net().after(wait, Happening::Relay);
        }
        if !self.consumer_looks && self.shared.bus.lag() > 0 {
            self.consumer_looks = true;
            let wait = self.rng.between(S, 8 * S);
            self.net().after(wait, Happening::Consume);
        }
    }

    fn work_after(&mut self, server: usize, wait: i64) {
        self.looks_at[server] = Some(self.net().now().as_micros().saturating_add(wait));
        self.net().after(wait, Happening::Worker(server));
    }

    fn is_pending(&self) -> bool {
        now_or_never(self.shared.truth.pending_count()).is_none_or(|count| count.unwrap_or(1) > 0)
    }

    /// The worker looks after deadlines.
    fn work(&mut self, server: usize) {
        if self.looks_at[server] != Some(self.net().now().as_micros()) {
            return;
        }
        self.looks_at[server] = None;
        if self.shared.defect == Some(Defect::WorkerAsleep) || !self.net().is_alive(server) {
            return;
        }
        let now = self.net().clock_of(server);
        let deadline = now_or_never(self.shared.truth.next_deadline()).and_then(Result::ok).flatten();
        let Some(deadline) = deadline else { return };
        let busy = self.working[server].as_ref().is_some_and(|slot| Arc::strong_count(slot) > 1);
        if deadline <= now && !busy {
            let slot = Slot::new();
            self.working[server] = Some(Arc::clone(&slot));
            let app = self.shared.app(server);
            self.spawn(Owner::Server(server), Task::Tick, async move {
                let _running = slot;
                drop(app.run_deadlines(20, 2).await);
            });
        }
        let wait = deadline.since(now).as_micros().max(0) + self.rng.between(EVERY / 3, EVERY);
        self.work_after(server, wait);
    }

    /// Less often it also looks for vehicles that have gone silent.
    fn patrol(&mut self, server: usize) {
        let wait = self.rng.between(60 * S, 240 * S);
        self.net().after(wait, Happening::Patrol(server));
        if self.shared.defect == Some(Defect::WorkerAsleep) || !self.net().is_alive(server) {
            return;
        }
        let app = self.shared.app(server);
        self.spawn(Owner::Server(server), Task::Tick, async move {
            drop(app.run_due(20, 2).await);
        });
    }

    fn relay(&mut self) {
        self.relay_looks = self.is_pending();
        if !self.relay_looks {
            return;
        }
        let wait = self.rng.between(S, 8 * S);
        self.net().after(wait, Happening::Relay);
        // One relay has the lease; a second one is what a lease that ran out brings.
        let busy = self.relaying.as_ref().is_some_and(|slot| Arc::strong_count(slot) > 1);
        if busy && !self.rng.chance(50) {
            return;
        }
        let Some(server) = self.any_server() else { return };
        let slot = Slot::new();
        self.relaying = Some(Arc::clone(&slot));
        let (app, publisher) = (self.shared.app(server), self.shared.publisher(server));
        self.spawn(Owner::Server(server), Task::Relay, async move {
            let _running = slot;
            drop(app.relay_once(&publisher, 200).await);
        });
    }

    fn consume(&mut self) {
        if self.net().strikes(Fault::DuplicateMessage) {
            let by = self.rng.below(6) as usize;
            self.shared.bus.rewind(by);
        }
        self.consumer_looks = self.shared.bus.lag() > 0;
        if !self.consumer_looks {
            return;
        }
        let wait = self.rng.between(S, 8 * S);
        self.net().after(wait, Happening::Consume);
        if self.consuming.as_ref().is_some_and(|slot| Arc::strong_count(slot) > 1) {
            return;
        }
        let Some(server) = self.any_server() else { return };
        let (from, events) = self.shared.bus.read(50);
        let slot = Slot::new();
        self.consuming = Some(Arc::clone(&slot));
        let (app, world) = (self.shared.app(server), Arc::clone(&self.shared));
        self.spawn(Owner::Server(server), Task::Notify, async move {
            let _running = slot;
            for (n, event) in events.iter().enumerate() {
                if app.notify(event).await.is_err() {
                    return;
                }
                world.oracle.lock().handled(&event.id());
                world.bus.acknowledge(from + n + 1);
                world.net.has_moved();
            }
        });
    }

    fn hint(&mut self, reference: rideplane_core::ids::BookingId, tries: u8) {
        if self.net().strikes(Fault::LostMessage) {
            return;
        }
        let Some(server) = self.any_server() else { return };
        let (app, net) = (self.shared.app(server), Arc::clone(self.net()));
        let status = self.shared.oracle.lock().status_of(reference);
        let run = async move {
            if app.payment_hint(reference).await.is_err() && tries < 3 {
                net.after(20 * S, Happening::Hint { reference, tries: tries + 1 });
            }
        };
        self.net().spawn(Owner::Server(server), Task::Webhook, status, Box::pin(run));
    }
}

/// What a future that needs no waiting answers.
pub(crate) fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

impl Episode {
    /// What has not come to its end yet.
    fn unfinished(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        let oracle = self.shared.oracle.lock();
        for (id, booked) in &oracle.model.bookings {
            if !booked.wire.is_terminal() {
                left.push(format!("booking {id} is {}", booked.wire.as_str()));
            } else if !booked.settled {
                left.push(format!("the money of booking {id} is not settled"));
            }
        }
        drop(oracle);
        for record in self.vehicles() {
            let vehicle = &record.vehicle.state;
            if vehicle.holder().is_some() {
                left.push(format!("vehicle {} is held", vehicle.id));
            }
        }
        if self.is_pending() {
            left.push("events wait in the outbox".to_owned());
        }
        if self.shared.bus.lag() > 0 {
            left.push("events wait on the bus".to_owned());
        }
        left
    }

    fn close(mut self, calm_since: Timestamp) -> Outcome {
        let now = self.net().now();
        if !self.broken() {
            let left = self.unfinished();
            let mut oracle = self.shared.oracle.lock();
            oracle.check(Rule::Liveness);
            if !left.is_empty() {
                let about =
                    left.iter().filter_map(|text| text.split(' ').nth(1).map(str::to_owned)).collect();
                oracle.broken(Rule::Liveness, now, about, left.join("; "));
            }
            oracle.all_published(now);
            let books = self.shared.provider.books.lock();
            oracle.dead_holds(&books, HOLD_BOUND, now);
            oracle.books_agree(&books, now);
            let truth = Arc::clone(&self.shared.truth);
            let stayed = now_or_never(oracle.bookings_stay(&truth, now));
            debug_assert!(stayed.is_some(), "the memory store never waits");
        }
        let oracle = self.shared.oracle.lock();
        let inner = self.net().inner.lock();
        let mut ends = [0; Status::ALL.len()];
        oracle.model.bookings.values().for_each(|booked| ends[booked.wire as usize] += 1);
        Outcome {
            bookings: oracle.model.bookings.len() as u64,
            events: oracle.events_committed(),
            calls: inner.calls,
            polls: self.executor.polls,
            faults: inner.counts.to_vec(),
            checks: oracle.checks.to_vec(),
            ends,
            coverage: inner.coverage.clone(),
            lasted: now.since(START),
            recovery: now.since(calm_since),
            violations: oracle.violations.clone(),
            trace: self.net().trace.as_ref().map(|trace| trace.lock().clone()),
        }
    }
}
