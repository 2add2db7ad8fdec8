//! Measures both vehicle indexes side by side and prints the ratio.
//!
//! `cargo run --release -p rideplane-core --example bench_geo [repeats]`
//!
//! 50,000 vehicles of 5 types; "nearest 20 of one type within 10 km" is asked from places near vehicles, in
//! three worlds: a city of 20 km with hot spots, the same city evenly filled, and the whole globe (there
//! without a radius). The R*-tree is bulk loaded, its best shape. The column "per type" keeps one R*-tree for each
//! vehicle type, which spares it the vehicles of other types. The work is cut into batches of a millisecond or
//! so; a number is the sum of each batch's best time over the repeats, which alternate between the sides, so that
//! other programs on the machine disturb neither. The sides' answers are compared before any number is printed.

use std::collections::HashMap;
use std::time::Instant;

use rideplane_core::geo::{CellIndex, IndexEntry, NearestQuery, Neighbour, Point, RstarIndex, VehicleIndex};
use rideplane_core::ids::{VehicleId, VehicleTypeId};

type Failure = Box<dyn std::error::Error>;

const VEHICLES: usize = 50_000;
const KINDS: usize = 5;
const QUERIES: usize = 4_000;
const MOVES: usize = 100_000;
const LIMIT: usize = 20;

/// What was measured in one world, all per second.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The world.
    pub world: &'static str,
    /// Queries per second of the cells.
    pub cells_queries: f64,
    /// Queries per second of the R*-trees.
    pub rstar_queries: f64,
    /// Queries per second of an R*-tree that holds the vehicles of the wanted type alone.
    pub rstar_queries_per_type: f64,
    /// Moves per second of the cells: upserts of a known vehicle 0 to 100 m away.
    pub cells_moves: f64,
    /// Moves per second of the R*-trees.
    pub rstar_moves: f64,
}

fn main() -> Result<(), Failure> {
    let repeats = std::env::args().nth(1).map_or(Ok(15), |text| text.parse())?;
    println!("{VEHICLES} vehicles of {KINDS} types, nearest {LIMIT} of one type; best of {repeats}");
    for row in measure(repeats)? {
        println!(
            "{:<10} queries/s: cells {:>7.0}, rstar {:>6.0} (x {:.1}), per type {:>6.0} (x {:.1})   moves/s: cells {:>7.0}, rstar {:>6.0} (x {:.1})",
            row.world,
            row.cells_queries,
            row.rstar_queries,
            row.cells_queries / row.rstar_queries,
            row.rstar_queries_per_type,
            row.cells_queries / row.rstar_queries_per_type,
            row.cells_moves,
            row.rstar_moves,
            row.cells_moves / row.rstar_moves,
        );
    }
    Ok(())
}

/// Measures every world `repeats` times.
///
/// # Errors
/// When the two indexes answer differently: then there is nothing to compare.
pub fn measure(repeats: usize) -> Result<Vec<Measured>, Failure> {
    [World::Hotspots, World::EvenCity, World::Globe]
        .into_iter()
        .map(|world| measure_world(world, repeats))
        .collect()
}

fn measure_world(world: World, repeats: usize) -> Result<Measured, Failure> {
    let mut random = SplitMix(7);
    let kinds = (0..KINDS).map(|n| VehicleTypeId::new(format!("type-{n}"))).collect::<Result<Vec<_>, _>>()?;
    let mut entries = Vec::with_capacity(VEHICLES);
    for number in 0..VEHICLES {
        let kind = kinds.get(number % KINDS).ok_or("no types")?;
        entries.push(IndexEntry {
            id: VehicleId::new(format!("vehicle-{number}"))?,
            point: world.place(&mut random)?,
            vehicle_type: kind.clone(),
            charge: None,
            range_m: None,
        });
    }
    let mut asks = Vec::with_capacity(QUERIES);
    for _ in 0..QUERIES {
        let near = pick(&entries, &mut random)?.point;
        asks.push((nudge(near, 500.0, &mut random)?, pick(&kinds, &mut random)?));
    }
    let mut moves = Vec::with_capacity(MOVES);
    for _ in 0..MOVES {
        let entry = pick(&entries, &mut random)?;
        moves.push(IndexEntry { point: nudge(entry.point, 100.0, &mut random)?, ..entry.clone() });
    }
    let cells: CellIndex = entries.iter().cloned().collect();
    let rstar: RstarIndex = entries.iter().cloned().collect();
    let mut per_type: HashMap<&VehicleTypeId, RstarIndex> = HashMap::new();
    for kind in &kinds {
        let part = entries.iter().filter(|entry| entry.vehicle_type == *kind).cloned().collect();
        per_type.insert(kind, part);
    }
    let radius_m = world.radius_m();
    let [mut ask_cells, mut ask_rstar, mut ask_parts, mut move_cells, mut move_rstar] =
        [(); 5].map(|()| Times::default());
    for _ in 0..repeats.max(1) {
        let ours = ask_all(&asks, radius_m, &mut ask_cells, |_| &cells);
        let theirs = ask_all(&asks, radius_m, &mut ask_rstar, |_| &rstar);
        let parts = ask_all(&asks, radius_m, &mut ask_parts, |kind| per_type.get(kind).unwrap_or(&rstar));
        if ours != theirs || ours != parts {
            return Err(format!("{}: the indexes answer differently", world.name()).into());
        }
        move_all(cells.clone(), &moves, &mut move_cells);
        move_all(rstar.clone(), &moves, &mut move_rstar);
    }
    Ok(Measured {
        world: world.name(),
        cells_queries: ask_cells.rate(),
        rstar_queries: ask_rstar.rate(),
        rstar_queries_per_type: ask_parts.rate(),
        cells_moves: move_cells.rate(),
        rstar_moves: move_rstar.rate(),
    })
}

fn ask_all<'i, I: VehicleIndex + 'i>(
    asks: &[(Point, &VehicleTypeId)],
    radius_m: f64,
    times: &mut Times,
    index: impl Fn(&VehicleTypeId) -> &'i I,
) -> Vec<Vec<Neighbour>> {
    let mut answers = Vec::with_capacity(asks.len());
    for (batch, part) in asks.chunks(100).enumerate() {
        times.time(batch, part.len(), || {
            for (center, kind) in part {
                answers.push(index(kind).nearest(&NearestQuery {
                    center: *center,
                    radius_m,
                    limit: LIMIT,
                    vehicle_type: Some(kind),
                    min_charge: None,
                    min_range_m: None,
                }));
            }
        });
    }
    answers
}

fn move_all(mut index: impl VehicleIndex, moves: &[IndexEntry], times: &mut Times) {
    for (batch, part) in moves.chunks(1_000).enumerate() {
        let part = part.to_vec();
        times.time(batch, part.len(), || part.into_iter().for_each(|entry| index.upsert(entry)));
    }
}

/// The best time of every batch.
#[derive(Default)]
struct Times(Vec<(usize, f64)>);

impl Times {
    fn time(&mut self, batch: usize, count: usize, work: impl FnOnce()) {
        let seconds = timed(work);
        match self.0.get_mut(batch) {
            Some((_, best)) => *best = best.min(seconds),
            None => self.0.push((count, seconds)),
        }
    }

    fn rate(&self) -> f64 {
        let count: usize = self.0.iter().map(|(count, _)| count).sum();
        count as f64 / self.0.iter().map(|(_, seconds)| seconds).sum::<f64>()
    }
}

#[allow(clippy::disallowed_methods, reason = "a measurement reads a clock; the core does not")]
fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

#[derive(Clone, Copy)]
enum World {
    Hotspots,
    EvenCity,
    Globe,
}

impl World {
    const fn name(self) -> &'static str {
        match self {
            Self::Hotspots => "hot spots",
            Self::EvenCity => "even city",
            Self::Globe => "globe",
        }
    }

    const fn radius_m(self) -> f64 {
        match self {
            Self::Hotspots | Self::EvenCity => 10_000.0,
            Self::Globe => f64::INFINITY,
        }
    }

    /// A vehicle's place.
    fn place(self, random: &mut SplitMix) -> Result<Point, Failure> {
        let (lat, lon) = match self {
            Self::Hotspots => {
                // 40 hot spots whose places follow from their number, each a bell of 700 m.
                let mut spot = SplitMix(1_000 + (random.next() % 40));
                let bell = |random: &mut SplitMix| (0..6).map(|_| random.unit() - 0.5).sum::<f64>() * 0.009;
                (52.43 + spot.unit() * 0.18 + bell(random), 13.25 + spot.unit() * 0.295 + bell(random) / 0.61)
            }
            Self::EvenCity => (52.43 + random.unit() * 0.18, 13.25 + random.unit() * 0.295),
            // Equal areas have equal shares of the axis (Archimedes).
            Self::Globe => ((random.unit() * 2.0 - 1.0).asin().to_degrees(), random.unit() * 360.0 - 180.0),
        };
        Ok(Point::new(lat, lon)?)
    }
}

/// A place up to `metres` north or south and up to `metres` east or west.
fn nudge(point: Point, metres: f64, random: &mut SplitMix) -> Result<Point, Failure> {
    let degrees = metres / 111_195.0;
    let lat = point.lat() + (random.unit() * 2.0 - 1.0) * degrees;
    let lon = point.lon() + (random.unit() * 2.0 - 1.0) * degrees / point.lat().to_radians().cos().max(0.01);
    Ok(Point::new(lat.clamp(-90.0, 90.0), lon.clamp(-180.0, 180.0))?)
}

fn pick<'a, T>(from: &'a [T], random: &mut SplitMix) -> Result<&'a T, Failure> {
    let index = random.next() as usize % from.len().max(1);
    from.get(index).ok_or_else(|| "nothing to pick from".into())
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers in every run.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
