//! Fills and invalidations, and why an old fill never overwrites a newer invalidation.
//!
//! **A fill** takes a token of each cell from Redis (the first makes it), reads the inner search, notes for every
//! vehicle in which cell it will be cached, and writes the cell on condition that the token is still there (Lua). It
//! gives a cell up when one of its vehicles changed since the fill began.
//!
//! **An invalidation** comes after the inner search knows the change. It marks the vehicle as changed, looks up in which
//! cell it is cached, and removes that cell, the one where it is now, and both tokens.
//!
//! Token against token: whatever was read before the change carries a token that is gone, and a new one is never equal
//! to it. Mark against note: the cell where the vehicle was is known from the note, or, when the fill had not written the note
//! yet, the fill sees the mark, since each writes its own before it reads the other's. An evicted
//! cell or token counts as removed, so a server short of memory loses hits; should it evict the notes or marks
//! themselves, the TTL is the bound for changes told by a process that never heard of the vehicle.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rideplane_core::geo::Point;
use rideplane_core::ids::VehicleId;
use rideplane_core::time::Timestamp;
use rideplane_ports::{Availability, AvailabilityUpdate, Listing, Nearest, PortError};
use tokio::time::Instant;

use crate::CachedAvailability;
use crate::cache::span;
use crate::cells::Cell;
use crate::flight::{Flight, Landed};
use crate::metrics::add;
use crate::wire::encode;

/// The most vehicles of one reading; a place with more of them is not cached.
const MOST: usize = 20_000;
/// A fill that took longer is not written: its token is about to end.
const SLOWEST: Duration = Duration::from_secs(5);
/// How long a token waits for its fill.
const TOKEN_MS: u64 = 60_000;
/// Cells whose changes are remembered while Redis is away. Beyond them the TTL is the bound.
const UNTOLD: usize = 100_000;
/// Writes a cell on condition that its token is still the one that the fill began with.
const WRITE: &str = "if redis.call('GET', KEYS[2]) == ARGV[1] then \
                     redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1 end return 0";

/// Marks vehicles as changed at the server's time, microseconds.
const MARK: &str = "local now = redis.call('TIME') \
                    local at = string.format('%d%06d', now[1], now[2]) \
                    for _, vehicle in ipairs(ARGV) do redis.call('HSET', KEYS[1], vehicle, at) end";

/// What a fill read, and how many cells of it were written.
pub(crate) type Outcome = (Arc<Landed>, usize);

/// What Redis says before the inner search is read.
struct Begun {
    /// The server's time, microseconds.
    at: u64,
    tokens: Vec<(Cell, String)>,
}

impl<A: Availability + ?Sized> CachedAvailability<A> {
    /// Reads the cells of a flight from the inner search, lands it, and writes them. `None` when there are too many
    /// vehicles to be sure that all were read.
    pub(crate) async fn fill(
        &self,
        flight: &Flight<'_>,
        center: Point,
        now: Timestamp,
    ) -> Result<Option<Outcome>, PortError> {
        let started = Instant::now();
        let begun = self.begin(&flight.cells).await;
        let reach = flight.cells.iter().map(|cell| cell.farthest_m(center)).fold(0.0, f64::max);
        let everything = Nearest {
            center,
            radius_m: reach,
            limit: MOST,
            vehicle_type: None,
            min_charge: None,
            min_range_m: None,
        };
        let nearby = self.inner.nearest(&everything, now).await?;
        if nearby.vehicles.len() >= MOST {
            return Ok(None);
        }
        let mut parts: HashMap<Cell, Vec<Listing>> =
            flight.cells.iter().map(|cell| (*cell, Vec::new())).collect();
        for (listing, _) in nearby.vehicles {
            if let Some(part) = parts.get_mut(&Cell::of(listing.position)) {
                part.push(listing);
            }
        }
        let as_of = nearby.as_of.min(now);
        let landed = Arc::new(Landed { parts, source: nearby.source, as_of });
        flight.land(&landed);
        let written = match begun {
            Some(begun) if started.elapsed() < SLOWEST => self.write(&begun, &landed).await,
            Some(_) | None => 0,
        };
        Ok(Some((landed, written)))
    }

    /// The time and the tokens of a fill, made where there are none. `None` when Redis can't be had.
    async fn begin(&self, cells: &[Cell]) -> Option<Begun> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let fresh = format!("{:016x}-{number}", self.process);
        let untold: Vec<Cell> = {
            let untold = self.untold.lock();
            cells.iter().filter(|cell| untold.contains(cell)).copied().collect()
        };
        let mut pipeline = redis::pipe();
        pipeline.cmd("TIME");
        for cell in &untold {
            let (key, token) = self.keys.cell(*cell);
            pipeline.cmd("DEL").arg(key).arg(token).ignore();
        }
        for cell in cells {
            let (_, token) = self.keys.cell(*cell);
            pipeline.cmd("SET").arg(&token).arg(&fresh).arg("NX").arg("PX").arg(TOKEN_MS).ignore();
            pipeline.cmd("GET").arg(&token);
        }
        let answers: Vec<redis::Value> = self.link.send(&pipeline).await?;
        let mut answers = answers.into_iter();
        let (seconds, micros): (u64, u64) = redis::from_redis_value(answers.next()?).ok()?;
        let tokens = answers.map(|token| redis::from_redis_value::<Option<String>>(token).ok().flatten());
        let mut left = self.untold.lock();
        untold.iter().for_each(|cell| {
            left.remove(cell);
        });
        // One that was evicted between the two commands is none.
        let tokens = cells.iter().zip(tokens).filter_map(|(cell, token)| Some((*cell, token?))).collect();
        Some(Begun { at: seconds * 1_000_000 + micros, tokens })
    }

    /// Writes cells whose tokens hold. Returns how many.
    async fn write(&self, begun: &Begun, landed: &Landed) -> usize {
        let ttl = u64::try_from(self.config.ttl.as_millis()).unwrap_or(u64::MAX);
        let expires_at = landed.as_of.plus(span(self.config.ttl));
        let parts =
            || begun.tokens.iter().filter_map(|(cell, token)| Some((*cell, token, landed.parts.get(cell)?)));
        let vehicles: Vec<&Listing> = parts().flat_map(|(_, _, part)| part).collect();
        let marks = if vehicles.is_empty() { Some(Vec::new()) } else { self.note(&vehicles).await };
        let Some(marks) = marks else { return 0 };
        let mut marks = marks.into_iter();
        let mut pipeline = redis::pipe();
        let (mut sent, mut stale) = (0, 0);
        for (cell, token, part) in parts() {
            let since = marks.by_ref().take(part.len()).filter(|mark| mark.is_some_and(|at| at >= begun.at));
            let changed = since.count() > 0;
            let Some(bytes) = encode(part, landed.as_of, expires_at) else { continue };
            if changed {
                stale += 1;
                continue;
            }
            let (key, fill) = self.keys.cell(cell);
            pipeline.cmd("EVAL").arg(WRITE).arg(2).arg(key).arg(fill).arg(token).arg(bytes).arg(ttl);
            sent += 1;
        }
        let written: Vec<bool> =
            if sent == 0 { Vec::new() } else { self.link.send(&pipeline).await.unwrap_or_default() };
        let refused = written.iter().filter(|written| !**written).count();
        add(&self.counters.stale_drops, stale + refused);
        add(&self.counters.fills, written.len() - refused);
        written.len() - refused
    }

    /// Notes in which cells vehicles will be cached, then asks when they changed last, microseconds of the server.
    async fn note(&self, vehicles: &[&Listing]) -> Option<Vec<Option<u64>>> {
        let mut pipeline = redis::pipe();
        let note = pipeline.cmd("HSET").arg(self.keys.places());
        for listing in vehicles {
            note.arg(listing.vehicle_id.as_str()).arg(Cell::of(listing.position).name());
        }
        note.ignore();
        let ask = pipeline.cmd("HMGET").arg(self.keys.changes());
        for listing in vehicles {
            ask.arg(listing.vehicle_id.as_str());
        }
        let (marks,) = self.link.send(&pipeline).await?;
        Some(marks)
    }

    /// Removes what the changes made old. The inner search knows them already.
    pub(crate) async fn invalidate(&self, updates: &[AvailabilityUpdate]) {
        let (changed, mut cells) = self.learn(updates);
        if changed.is_empty() {
            return;
        }
        self.flights.forget(&cells);
        let mut marks = redis::pipe();
        let ids = || changed.iter().map(VehicleId::as_str);
        marks.cmd("EVAL").arg(MARK).arg(1).arg(self.keys.changes()).arg(ids().collect::<Vec<_>>()).ignore();
        marks.cmd("HMGET").arg(self.keys.places()).arg(ids().collect::<Vec<_>>());
        if let Some((places,)) = self.link.send::<(Vec<Option<String>>,)>(&marks).await {
            cells.extend(places.iter().flatten().filter_map(|name| Cell::from_name(name)));
            cells.sort_unstable();
            cells.dedup();
            self.flights.forget(&cells);
        }
        add(&self.counters.invalidations, cells.len());
        self.remove(&cells).await;
        if self.demand.cooled(&cells) {
            self.cooled.notify_one();
        }
    }

    /// Takes changes into what this process knows. Returns the vehicles that search shows differently, with the cells
    /// where they were and are. A free vehicle that says where it stands, in the same cell and at the same version, is
    /// none of them: heartbeats would leave nothing cached.
    fn learn(&self, updates: &[AvailabilityUpdate]) -> (Vec<VehicleId>, Vec<Cell>) {
        let mut known = self.known.lock();
        let (mut changed, mut cells) = (Vec::new(), Vec::new());
        for update in updates {
            let (id, stamp) = (update.vehicle_id(), update.stamp());
            let now = update.listing().map(|listing| Cell::of(listing.position));
            let before = known.get(id).copied();
            if before.is_none_or(|(newest, _)| newest <= stamp) {
                known.insert(id.clone(), (stamp, now));
            }
            if before.is_some_and(|(newest, cell)| (newest.version, cell) == (stamp.version, now)) {
                continue;
            }
            cells.extend(now.into_iter().chain(before.and_then(|(_, cell)| cell)));
            changed.push(id.clone());
        }
        cells.sort_unstable();
        cells.dedup();
        (changed, cells)
    }

    async fn remove(&self, cells: &[Cell]) {
        if cells.is_empty() {
            return;
        }
        let mut pipeline = redis::pipe();
        for cell in cells {
            let (key, token) = self.keys.cell(*cell);
            pipeline.cmd("DEL").arg(key).arg(token).ignore();
        }
        let told: Option<()> = self.link.send(&pipeline).await;
        let mut untold = self.untold.lock();
        if told.is_some() {
            cells.iter().for_each(|cell| {
                untold.remove(cell);
            });
        } else if untold.len() < UNTOLD {
            untold.extend(cells);
        }
    }

    /// Tells Redis of the changes that it missed.
    pub(crate) async fn tell_untold(&self) {
        let cells: Vec<Cell> = self.untold.lock().iter().copied().collect();
        self.remove(&cells).await;
    }
}
