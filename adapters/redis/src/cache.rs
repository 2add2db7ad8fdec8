//! The decorator: what a search reads, and how a miss is filled.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rideplane_core::geo::Point;
use rideplane_core::ids::VehicleId;
use rideplane_core::time::{Span, Timestamp};
use rideplane_ports::{
    Availability, AvailabilityUpdate, BreakerState, Clock, Nearby, Nearest, PortError, Source, Stamp,
};
use tokio::sync::{Notify, Semaphore};

use crate::cells::{Cell, Keys, cover, groups};
use crate::config::CacheConfig;
use crate::demand::Demand;
use crate::flight::{Flights, Landed, Shares, wait};
use crate::link::Link;
use crate::metrics::{CacheMetrics, Counters, add};
use crate::wire::{Ranking, decode};

/// Cells of one reading round trip when zones are warmed: many, and no search waits behind them for long.
const READ_AT_ONCE: usize = 128;
/// Searches that read cells at once. A fill reads fifty times what its search shows: a crowd that meets an empty cache
/// must not multiply the inner search's work, so the others go to it with their own question.
const FILLS_AT_ONCE: usize = 4;
/// A cell must outlast the next round, which may be late.
const SLACK: Span = Span::from_seconds(1);

/// A cache in Redis before another [`Availability`]. See the [crate].
pub struct CachedAvailability<A: ?Sized> {
    pub(crate) config: CacheConfig,
    pub(crate) keys: Keys,
    pub(crate) link: Link,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) flights: Flights,
    /// One for each search that may read cells now.
    filling: Semaphore,
    pub(crate) demand: Demand,
    /// Wakes [`run`](Self::run): hot cells were removed.
    pub(crate) cooled: Notify,
    /// What is known of each vehicle in this process: how new it is, and the cell where it is free.
    pub(crate) known: Mutex<HashMap<VehicleId, (Stamp, Option<Cell>)>>,
    /// Cells that changed while Redis could not be told.
    pub(crate) untold: Mutex<BTreeSet<Cell>>,
    /// Makes the tokens of this process differ from all others'.
    pub(crate) process: u64,
    pub(crate) counters: Arc<Counters>,
    pub(crate) inner: Arc<A>,
}

/// A cell's bytes as they came from Redis, if it is there.
type Read = (Cell, Option<Vec<u8>>);

impl<A: Availability + ?Sized> CachedAvailability<A> {
    /// Puts a cache before `inner`. Connects when it is first needed: a Redis that is down keeps nobody from starting.
    ///
    /// # Errors
    /// When the URL is not one of Redis; the message does not quote it.
    pub fn new(inner: Arc<A>, config: CacheConfig, clock: Arc<dyn Clock>) -> Result<Self, PortError> {
        let counters = Arc::new(Counters::default());
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| {
            let text = format!("the system gives no random numbers: {error}");
            PortError::new(rideplane_ports::Kind::Unavailable, "cache.open", text)
        })?;
        Ok(Self {
            keys: Keys::new(&config.prefix),
            link: Link::new(&config, Arc::clone(&clock), Arc::clone(&counters))?,
            config,
            clock,
            flights: Flights::default(),
            filling: Semaphore::new(FILLS_AT_ONCE),
            demand: Demand::default(),
            cooled: Notify::new(),
            known: Mutex::default(),
            untold: Mutex::default(),
            process: u64::from_ne_bytes(random),
            counters,
            inner,
        })
    }

    /// Whether Redis answers, for a start-up that wants to warn; searches do without it.
    ///
    /// # Errors
    /// What is wrong, with host and port and without the password.
    pub async fn ping(&self) -> Result<(), PortError> {
        self.link.ping().await
    }

    /// What the cache did so far.
    #[must_use]
    pub fn metrics(&self) -> CacheMetrics {
        self.counters.snapshot()
    }

    /// Where the breaker around Redis stands.
    #[must_use]
    pub fn breaker(&self) -> BreakerState {
        self.link.state()
    }

    /// Keeps the cache warm for as long as it is awaited: [`prewarm`](Self::prewarm) in every interval, and
    /// [`refill`](Self::refill) whenever a hot cell was removed.
    pub async fn run(&self) {
        let mut round = tokio::time::interval(self.config.prewarm_every);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = round.tick() => { self.prewarm().await; }
                () = self.cooled.notified() => { self.refill().await; }
            }
        }
    }

    /// Fills the cells of the zones with the most recent searches that would end before the next call. Returns how
    /// many were written. Zones are the searches around one cell.
    pub async fn prewarm(&self) -> usize {
        self.tell_untold().await;
        let now = self.clock.now();
        let next = now.plus(span(self.config.prewarm_every)).plus(SLACK);
        let ends = |bytes: &[u8]| decode(bytes).is_none_or(|content| content.expires_at < next.as_micros());
        let zones = self.demand.top(self.config.zones, self.config.demand_half_life.as_secs_f64(), now);
        let cells: BTreeSet<Cell> = zones.into_iter().flat_map(|(_, cells)| cells).collect();
        let cells: Vec<Cell> = cells.into_iter().collect();
        let mut written = 0;
        for part in cells.chunks(READ_AT_ONCE) {
            let Some(read) = self.read(part).await else { break };
            let due = read.iter().filter(|(_, bytes)| bytes.as_deref().is_none_or(ends));
            let due: Vec<Cell> = due.map(|(cell, _)| *cell).collect();
            written += self.warm(&due, now).await;
        }
        written
    }

    /// Fills the hot cells that changes have removed since the last call. Returns how many were written.
    pub async fn refill(&self) -> usize {
        let cells = self.demand.take_cooled();
        self.warm(&cells, self.clock.now()).await
    }

    /// Reads cells from the inner search, near ones together, and writes them.
    async fn warm(&self, cells: &[Cell], now: Timestamp) -> usize {
        let mut written = 0;
        for (center, group) in groups(cells) {
            if let Some(flight) = self.flights.share(&group).own {
                // A search that meets the same failure reports it.
                let outcome = self.fill(&flight, center, now).await;
                written += outcome.ok().flatten().map_or(0, |(_, count)| count);
            }
        }
        written
    }

    /// Reads cells from Redis in one round trip. `None` when it can't be had.
    async fn read(&self, cells: &[Cell]) -> Option<Vec<Read>> {
        if cells.is_empty() {
            return Some(Vec::new());
        }
        // One MGET for each region, since a shard answers for its own slots only.
        let mut regions: HashMap<String, Vec<(Cell, String)>> = HashMap::new();
        for cell in cells {
            let (key, _) = self.keys.cell(*cell);
            let region = key.split('}').next().unwrap_or_default().to_owned();
            regions.entry(region).or_default().push((*cell, key));
        }
        let mut pipeline = redis::pipe();
        let mut order = Vec::with_capacity(cells.len());
        for asked in regions.into_values() {
            let mget = pipeline.cmd("MGET");
            for (cell, key) in asked {
                mget.arg(key);
                order.push(cell);
            }
        }
        let answers: Vec<Vec<Option<Vec<u8>>>> = self.link.send(&pipeline).await?;
        let untold = self.untold.lock();
        // A change that Redis was not told of: what it holds is old.
        let bytes = |cell: &Cell, bytes: Option<Vec<u8>>| bytes.filter(|_| !untold.contains(cell));
        Some(
            order
                .into_iter()
                .zip(answers.into_iter().flatten())
                .map(|(cell, value)| (cell, bytes(&cell, value)))
                .collect(),
        )
    }

    /// Answers from cells. `None` when they can't answer: then the inner search does.
    async fn search(&self, query: &Nearest, now: Timestamp) -> Result<Option<Nearby>, PortError> {
        let radius_m = query.radius_m.min(self.config.radius_m);
        let Some(cells) = cover(query.center, radius_m) else { return Ok(None) };
        self.demand.searched(Cell::of(query.center), &cells);
        let Some(read) = self.read(&cells).await else { return Ok(None) };
        let within = Nearest { radius_m, ..query.clone() };
        let mut ranking = Ranking::new(&within);
        let mut as_of = now;
        let mut missing = Vec::new();
        for (cell, bytes) in &read {
            match bytes.as_deref().and_then(decode).filter(|content| now.as_micros() < content.expires_at) {
                Some(content) => {
                    as_of = as_of.min(Timestamp::from_micros(content.as_of));
                    ranking.offer(content);
                }
                None => missing.push(*cell),
            }
        }
        let mut source = Source::Cache;
        let filled = match missing.as_slice() {
            [] => Vec::new(),
            missing => match self.fetch(missing, query.center, now).await? {
                Some(filled) => filled,
                None => return Ok(None),
            },
        };
        for (landed, cells) in &filled {
            source = landed.source;
            as_of = as_of.min(landed.as_of);
            cells
                .iter()
                .filter_map(|cell| landed.parts.get(cell))
                .for_each(|part| ranking.offer_listings(part));
        }
        // Beyond the cells there may be more: only a full answer is known to be the nearest.
        if query.radius_m > radius_m && ranking.len() < query.limit {
            return Ok(None);
        }
        let counter = if missing.is_empty() { &self.counters.hits } else { &self.counters.misses };
        let Some(vehicles) = ranking.finish() else { return Ok(None) };
        add(counter, 1);
        Ok(Some(Nearby { vehicles, source, as_of }))
    }

    /// The content of missing cells, each read once however many searches miss it, with the cells that it is for. `None`
    /// when there are too many vehicles, too many searches read already, or who read for this search gave up.
    async fn fetch(
        &self,
        missing: &[Cell],
        center: Point,
        now: Timestamp,
    ) -> Result<Option<Vec<(Arc<Landed>, Vec<Cell>)>>, PortError> {
        let Shares { own, others } = self.flights.share(missing);
        add(&self.counters.joined, usize::from(!others.is_empty()));
        let mut parts = Vec::new();
        if let Some(flight) = own {
            let Ok(_one_of_few) = self.filling.try_acquire() else { return Ok(None) };
            let Some((landed, _)) = self.fill(&flight, center, now).await? else { return Ok(None) };
            parts.push((landed, flight.cells.clone()));
        }
        for (cell, landing) in others {
            let Some(landed) = wait(landing).await else { return Ok(None) };
            parts.push((landed, vec![cell]));
        }
        Ok(Some(parts))
    }
}

#[async_trait]
impl<A: Availability + ?Sized> Availability for CachedAvailability<A> {
    async fn nearest(&self, query: &Nearest, now: Timestamp) -> Result<Nearby, PortError> {
        match self.search(query, now).await? {
            Some(nearby) => Ok(nearby),
            None => {
                add(&self.counters.bypassed, 1);
                self.inner.nearest(query, now).await
            }
        }
    }

    async fn apply(&self, updates: &[AvailabilityUpdate]) -> Result<(), PortError> {
        let told = self.inner.apply(updates).await;
        // Also after an error, which may come from the last of many changes.
        self.invalidate(updates).await;
        told
    }
}

pub(crate) fn span(duration: Duration) -> Span {
    Span::from_micros(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}
