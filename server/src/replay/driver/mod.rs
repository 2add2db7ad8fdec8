//! Drives every trip through the whole journey: search, reserve, pay, unlock, ride, end, capture.
//!
//! # Why the same seed gives the same report
//! Journeys run side by side on several threads, and yet nothing depends on who comes first:
//!
//! - Time goes in windows of half a virtual hour. A window has three parts, each ended by a barrier.
//!   1. The trips that begin in it look for vehicles; all see the index as it was when the window began. Then they reserve
//!      in rounds: of those who want the same vehicle in one round the first in the trip log gets it; the others ask after
//!      that, really are refused, hear of alternatives, and try one of them in the next round.
//!   2. Everything else that is due in the window happens: each vehicle's journeys are one task, in order of virtual time.
//!      Tasks touch different vehicles and different bookings.
//!   3. The worker does what is due, and once an hour vehicles report and the silent are missed. What was freed in this
//!      window is found in the next.
//! - The time is the task's own (`scope`), and so are ids and bad luck: drawn from the seed, the trip and the step.
//! - The relay and the notifier run alongside; whatever their pace, each event is published once, and they decide nothing.

mod fleet;
pub(crate) mod gateway;
mod journey;
mod notes;
mod progress;
mod relay;
mod reserve;
pub(crate) mod scope;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use parking_lot::Mutex;
use rideplane_core::ids::VehicleId;
use rideplane_core::time::{Span, Timestamp};
use rideplane_ports::Telemetry;
use tokio::task::JoinSet;

use super::faults::{Dice, Faults, Rates};
use super::fold::Fold;
use super::report::{FleetSample, Parameters, Recorder, Report};
use super::trips::{Format, Row, Trip, TripReader};
use super::world::{StoreKind, World};
use journey::Journey;
use notes::{Note, Notes};
use progress::Progress;
use reserve::{Seeker, Tried};
use scope::Scope;

/// The trips that come with Rideplane.
pub const CHICAGO: &str = "data/chicago-taxi-trips.csv";
static CHICAGO_BYTES: &[u8] = include_bytes!("../../../../data/chicago-taxi-trips.csv");

/// How far virtual time goes between two barriers.
const WINDOW: Span = Span::from_minutes(30);

/// How many pictures are taken of the fleet: one for each hour of a week.
const SAMPLES: i64 = 7 * 24;

/// The worker takes so many at a time, and so many side by side.
const DUE: usize = 1_000;
const DUE_PARALLEL: usize = 64;

/// Deadlines that remain after the last journey; there are none but of vehicles.
const LAST_VISITS: usize = 1_000;

/// What is to be replayed, and against what.
#[derive(Clone, Debug)]
pub struct Options {
    /// The trip log; the one that comes with Rideplane when absent.
    pub trips: Option<PathBuf>,
    /// Its form.
    pub format: Format,
    /// The store.
    pub store: StoreKind,
    /// Where to keep the store's files; a temporary folder, removed afterwards, when absent.
    pub data: Option<PathBuf>,
    /// How many vehicles; chosen from the trips when absent.
    pub fleet: Option<u64>,
    /// What everything random is drawn from.
    pub seed: u64,
    /// How much goes wrong.
    pub faults: Faults,
    /// How trips are laid onto the time line.
    pub fold: Fold,
    /// Whether to say how far it is.
    pub progress: bool,
}

/// What every task needs.
pub(crate) struct Env {
    world: World,
    seed: u64,
    rates: Rates,
    /// Vehicles that send nothing.
    silent: Mutex<BTreeSet<VehicleId>>,
}

impl Env {
    /// Lets a vehicle fall silent, or speak again.
    fn hush(&self, vehicle: &VehicleId, silent: bool) {
        self.world.set_offline(vehicle, silent);
        let mut all = self.silent.lock();
        if silent {
            all.insert(vehicle.clone());
        } else {
            all.remove(vehicle);
        }
    }
}

struct Driver {
    env: Arc<Env>,
    recorder: Recorder,
    fleet: Vec<VehicleId>,
    /// The journeys under way, by vehicle.
    lanes: BTreeMap<VehicleId, Vec<Journey>>,
    sample_every: Span,
    next_sample: Timestamp,
}

/// Replays a trip log.
///
/// # Errors
/// When the log can't be read, or the store fails. What is wrong with the outcome is in the report.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let (name, rows) = read(options)?;
    let trips = rows.iter().filter_map(|row| match row {
        Row::Trip(trip) => Some(trip.clone()),
        Row::Skipped(_) => None,
    });
    let trips = options.fold.lay(trips.collect());
    let size = options.fleet.unwrap_or_else(|| fleet::size(trips.len()));
    let mut recorder = Recorder::new(Parameters {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        trips: name,
        format: options.format,
        store: options.store.as_str().to_owned(),
        fold: options.fold,
        faults: options.faults.as_str().to_owned(),
        fleet: size,
        seed: options.seed,
    });
    rows.iter().for_each(|row| recorder.row(row));
    drop(rows);
    let begin = trips.first().map_or(super::fold::REFERENCE, |trip| floor(trip.started_at));
    let end = trips.last().map_or(begin, |trip| trip.started_at);
    let world = World::build(&options.store, options.data.as_deref(), options.seed).await?;
    world.clock.set(begin);
    let env =
        Arc::new(Env { world, seed: options.seed, rates: options.faults.rates(), silent: Mutex::default() });
    let fleet = fleet::place(&env, size, &trips, begin).await.context("the fleet can't be placed")?;
    let hours = end.since(begin).as_seconds() / 3_600;
    let mut driver = Driver {
        env: Arc::clone(&env),
        recorder,
        fleet,
        lanes: BTreeMap::new(),
        sample_every: Span::from_minutes(60 * (hours / SAMPLES).max(1)),
        next_sample: begin,
    };
    let started = Instant::now();
    let relay = relay::start(&env);
    driver.ride(trips, begin, options.progress, &relay).await?;
    let published = relay.finish().await?;
    let wall = started.elapsed();
    verdict::judge(&env, &mut driver.recorder, published).await?;
    Ok(driver.recorder.finish(wall))
}

/// The rows of the log, and what to call it.
fn read(options: &Options) -> anyhow::Result<(String, Vec<Row>)> {
    let rows = match &options.trips {
        Some(path) => {
            let rows = TripReader::open(options.format, path)?.collect::<Result<_, _>>()?;
            return Ok((path.display().to_string(), rows));
        }
        None if Path::new(CHICAGO).is_file() => {
            TripReader::open(Format::ChicagoTaxi, Path::new(CHICAGO))?.collect::<Result<_, _>>()?
        }
        None => super::trips::read_bytes(Format::ChicagoTaxi, CHICAGO, CHICAGO_BYTES)?,
    };
    Ok((CHICAGO.to_owned(), rows))
}

/// The beginning of the window in which an instant lies.
fn floor(at: Timestamp) -> Timestamp {
    at.minus(Span::from_micros(at.as_micros().rem_euclid(WINDOW.as_micros())))
}

impl Driver {
    /// All windows, and then the deadlines that are left.
    async fn ride(
        &mut self,
        trips: Vec<Trip>,
        begin: Timestamp,
        progress: bool,
        relay: &relay::Relay,
    ) -> anyhow::Result<()> {
        let mut progress = Progress::new(trips.len() as u64, progress);
        let mut trips = trips.into_iter().peekable();
        let (mut begun, mut now) = (0_u64, begin);
        loop {
            let steps = self.lanes.values().flatten().filter_map(Journey::due).min();
            let next_trip = trips.peek().map(|trip| trip.started_at);
            let Some(next) = steps.into_iter().chain(next_trip).min() else { break };
            let end = floor(next).max(now).plus(WINDOW);
            let mut starting = Vec::new();
            while let Some(trip) = trips.next_if(|trip| trip.started_at < end) {
                starting.push(trip);
            }
            begun += starting.len() as u64;
            self.seek(starting).await?;
            self.advance(end).await?;
            if self.work(end).await? {
                relay.wake();
            }
            progress.show(begun, self.recorder.bookings_created(), end);
            now = end;
        }
        for _ in 0..LAST_VISITS {
            let Some(deadline) = self.env.world.app.ports().store.next_deadline().await? else { break };
            self.env.world.clock.set(deadline);
            self.visit(deadline, false).await?;
        }
        progress.done();
        Ok(())
    }

    /// The trips that begin look for vehicles and reserve them.
    async fn seek(&mut self, trips: Vec<Trip>) -> anyhow::Result<()> {
        let mut searches = JoinSet::new();
        for trip in trips {
            self.recorder.searched(&trip);
            let env = Arc::clone(&self.env);
            let scope = Scope::new(trip.started_at, Dice::new(env.seed, trip.index));
            searches.spawn(scope.run(async move {
                let mut notes = Notes::default();
                let mut seeker = Seeker::new(&env, trip)?;
                seeker.search(&env, &mut notes).await;
                anyhow::Ok((seeker, notes))
            }));
        }
        let mut seekers = Vec::new();
        while let Some(done) = searches.join_next().await {
            let (seeker, notes) = done??;
            notes.record(&mut self.recorder);
            seekers.push(seeker);
        }
        let mut taken = BTreeSet::new();
        while !seekers.is_empty() {
            seekers = self.round(seekers, &mut taken).await?;
        }
        Ok(())
    }

    /// Everybody tries the vehicle they like best; who lost it comes back.
    async fn round(
        &mut self,
        mut seekers: Vec<Seeker>,
        taken: &mut BTreeSet<VehicleId>,
    ) -> anyhow::Result<Vec<Seeker>> {
        seekers.sort_by_key(|seeker| seeker.trip.index);
        let mut wanted: BTreeMap<VehicleId, Vec<Seeker>> = BTreeMap::new();
        for seeker in seekers {
            match seeker.next() {
                Some(vehicle) => wanted.entry(vehicle.clone()).or_default().push(seeker),
                None => self.recorder.no_vehicle_nearby(&seeker.trip),
            }
        }
        // First those who get theirs, then those who come too late: what the latter are offered instead is then the
        // same, whoever was quicker elsewhere.
        let mut lost = Vec::new();
        let (mut first, mut late) = (Vec::with_capacity(wanted.len()), Vec::new());
        for (vehicle, riders) in wanted {
            let mut riders = riders.into_iter();
            if taken.insert(vehicle) {
                first.extend(riders.next().map(|rider| vec![rider]));
            }
            let riders: Vec<Seeker> = riders.collect();
            if !riders.is_empty() {
                late.push(riders);
            }
        }
        self.attempt(first, &mut lost).await?;
        self.attempt(late, &mut lost).await?;
        Ok(lost)
    }

    /// Riders of one group ask one after another, groups side by side.
    async fn attempt(&mut self, groups: Vec<Vec<Seeker>>, lost: &mut Vec<Seeker>) -> anyhow::Result<()> {
        let mut tries = JoinSet::new();
        for riders in groups {
            let env = Arc::clone(&self.env);
            let scope = Scope::new(self.env.world.app.now(), Dice::new(env.seed, 0));
            tries.spawn(scope.run(async move {
                let mut notes = Notes::default();
                let mut tried = Vec::with_capacity(riders.len());
                for rider in riders {
                    tried.push(rider.reserve(&env, &mut notes).await);
                }
                (tried, notes)
            }));
        }
        while let Some(done) = tries.join_next().await {
            let (tried, notes) = done?;
            notes.record(&mut self.recorder);
            for tried in tried {
                match tried {
                    Tried::Booked(journey) => {
                        self.lanes.entry(journey.vehicle_id.clone()).or_default().push(*journey);
                    }
                    Tried::Lost(seeker) => lost.push(*seeker),
                }
            }
        }
        Ok(())
    }

    /// All that is due before `end` happens.
    async fn advance(&mut self, end: Timestamp) -> anyhow::Result<()> {
        let due = |journeys: &Vec<Journey>| journeys.iter().filter_map(Journey::due).any(|at| at < end);
        let lanes: Vec<VehicleId> =
            self.lanes.iter().filter(|(_, journeys)| due(journeys)).map(|(id, _)| id.clone()).collect();
        let mut tasks = JoinSet::new();
        for vehicle in lanes {
            let Some(journeys) = self.lanes.remove(&vehicle) else { continue };
            let env = Arc::clone(&self.env);
            let scope = Scope::new(end, Dice::new(env.seed, 0));
            tasks.spawn(scope.run(lane(env, vehicle, journeys, end)));
        }
        while let Some(done) = tasks.join_next().await {
            let (vehicle, journeys, notes) = done?;
            notes.record(&mut self.recorder);
            if !journeys.is_empty() {
                self.lanes.insert(vehicle, journeys);
            }
        }
        Ok(())
    }

    /// The end of a window: the worker does what is left to do, and now and then (then it says so) the fleet is looked at.
    async fn work(&mut self, end: Timestamp) -> anyhow::Result<bool> {
        let world = &self.env.world;
        world.clock.set(end);
        let sample = self.next_sample <= end;
        let due = world.app.ports().store.next_deadline().await?.is_some_and(|deadline| deadline <= end);
        if sample {
            self.heartbeat(end).await?;
        }
        if sample || due {
            self.visit(end, sample).await?;
        }
        if sample {
            self.sample(end).await?;
            while self.next_sample <= end {
                self.next_sample = self.next_sample.plus(self.sample_every);
            }
        }
        Ok(sample)
    }

    /// Every vehicle that can reports.
    async fn heartbeat(&self, now: Timestamp) -> anyhow::Result<()> {
        let silent = self.env.silent.lock().clone();
        let reports: Vec<Telemetry> = self
            .fleet
            .iter()
            .filter(|id| !silent.contains(*id))
            .map(|id| Telemetry {
                vehicle_id: id.clone(),
                position: None,
                charge: None,
                range_m: None,
                last_reported: now,
            })
            .collect();
        self.env.world.app.ports().store.record_telemetry(&reports).await?;
        Ok(())
    }

    /// The worker does everything that is due, and looks for silent vehicles where all others have just reported.
    async fn visit(&mut self, now: Timestamp, presence: bool) -> anyhow::Result<()> {
        let env = Arc::clone(&self.env);
        let dice = Dice::new(env.seed, u64::MAX).nth(now.as_micros() as u64);
        let failed = Scope::new(now, dice)
            .run(async {
                let mut failed = 0;
                loop {
                    let worked = if presence {
                        env.world.app.run_due(DUE, DUE_PARALLEL).await?
                    } else {
                        env.world.app.run_deadlines(DUE, DUE_PARALLEL).await?
                    };
                    failed += worked.failed;
                    if worked.ticked < DUE || worked.failed > 0 {
                        return anyhow::Ok(failed);
                    }
                }
            })
            .await?;
        if failed > 0 {
            let mut notes = Notes::default();
            notes.add(Note::Wrong(format!("{failed} deadlines could not be carried out at {now}")));
            notes.record(&mut self.recorder);
        }
        Ok(())
    }

    async fn sample(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let store = &self.env.world.app.ports().store;
        let mut sample = FleetSample::default();
        let mut after: Option<VehicleId> = None;
        loop {
            let page = store.vehicles(after.as_ref(), 1_000).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.vehicle.state.id.clone());
            for record in &page {
                *match record.vehicle.state.status(now).as_str() {
                    "available" => &mut sample.available,
                    "reserved" => &mut sample.reserved,
                    "in_use" => &mut sample.in_use,
                    _ => &mut sample.offline,
                } += 1;
            }
        }
        self.recorder.fleet(now, sample);
        Ok(())
    }
}

/// One vehicle's journeys, in order of time.
async fn lane(
    env: Arc<Env>,
    vehicle: VehicleId,
    mut journeys: Vec<Journey>,
    end: Timestamp,
) -> (VehicleId, Vec<Journey>, Notes) {
    let mut notes = Notes::default();
    loop {
        let next = journeys
            .iter_mut()
            .filter_map(|journey| journey.due().map(|at| ((at, journey.trip.index), journey)))
            .min_by_key(|(order, _)| *order);
        match next {
            Some(((at, _), journey)) if at < end => journey.step(&env, &mut notes).await,
            Some(_) | None => break,
        }
    }
    journeys.retain(|journey| journey.due().is_some());
    (vehicle, journeys, notes)
}
