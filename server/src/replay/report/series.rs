//! Demand and fleet, gathered over time and over the map.

use std::collections::BTreeMap;

use rideplane_core::time::{Span, Timestamp};

use super::super::trips::Point;
use super::{DemandCell, DemandMap, FleetSample, Step, Timeline};

/// More steps than this can't be told apart on a page.
const MOST_STEPS: i64 = 400;

/// How many hours a step may have: from an hour to four weeks, then years.
const STEP_HOURS: [i64; 8] = [1, 3, 6, 12, 24, 7 * 24, 28 * 24, 364 * 24];

/// Cells across the longer side of the map.
const CELLS_ACROSS: f64 = 44.0;

/// Metres of a degree of latitude on the mean sphere.
const DEGREE_M: f64 = 111_195.08;

/// Hours since the epoch, each with its demand and the sum of its samples.
#[derive(Clone, Debug, Default)]
pub(super) struct Series(BTreeMap<i64, Hour>);

#[derive(Clone, Debug, Default)]
struct Hour {
    searched: u64,
    unmet: u64,
    samples: u64,
    fleet: FleetSample,
}

/// Searches and unmet ones by place, to a ten-thousandth of a degree (about 11 m).
#[derive(Clone, Debug, Default)]
pub(super) struct Places(BTreeMap<(i32, i32), (u64, u64)>);

impl Series {
    pub(super) fn searched(&mut self, at: Timestamp) {
        self.hour(at).searched += 1;
    }

    pub(super) fn unmet(&mut self, at: Timestamp) {
        self.hour(at).unmet += 1;
    }

    pub(super) fn fleet(&mut self, at: Timestamp, sample: FleetSample) {
        let hour = self.hour(at);
        hour.samples += 1;
        hour.fleet.add(sample);
    }

    fn hour(&mut self, at: Timestamp) -> &mut Hour {
        self.0.entry(at.as_unix_seconds().div_euclid(3_600)).or_default()
    }

    pub(super) fn finish(self) -> Timeline {
        let (Some((first, _)), Some((last, _))) = (self.0.first_key_value(), self.0.last_key_value()) else {
            return Timeline { step_s: 3_600, steps: Vec::new() };
        };
        let (first, last) = (*first, *last);
        let longest = STEP_HOURS[STEP_HOURS.len() - 1];
        let step = STEP_HOURS.into_iter().find(|step| (last - first) / step < MOST_STEPS).unwrap_or(longest);
        // Steps begin at whole multiples of themselves, counted from a Monday.
        let monday = 4 * 24;
        let first = (first - monday).div_euclid(step) * step + monday;
        let mut steps: Vec<Hour> = Vec::new();
        for (hour, seen) in self.0 {
            let at = usize::try_from((hour - first).div_euclid(step)).unwrap_or(0);
            if steps.len() <= at {
                steps.resize(at + 1, Hour::default());
            }
            if let Some(sum) = steps.get_mut(at) {
                sum.searched += seen.searched;
                sum.unmet += seen.unmet;
                sum.samples += seen.samples;
                sum.fleet.add(seen.fleet);
            }
        }
        let length = Span::from_seconds(step * 3_600);
        let steps = steps.into_iter().zip(0..).map(|(sum, at)| Step {
            from: Timestamp::from_unix_seconds(first * 3_600).plus(length.times(at)),
            searched: sum.searched,
            unmet: sum.unmet,
            fleet: sum.fleet.mean(sum.samples),
        });
        Timeline { step_s: step.unsigned_abs() * 3_600, steps: steps.collect() }
    }
}

impl FleetSample {
    fn add(&mut self, other: Self) {
        self.available += other.available;
        self.reserved += other.reserved;
        self.in_use += other.in_use;
        self.offline += other.offline;
    }

    /// The mean of `samples`, rounded; the rounding's rest goes to the available so that the total holds.
    fn mean(self, samples: u64) -> Option<Self> {
        let half = samples / 2;
        let of = |sum: u64| (sum + half).checked_div(samples);
        let (reserved, in_use, offline) = (of(self.reserved)?, of(self.in_use)?, of(self.offline)?);
        let available = of(self.total())?.saturating_sub(reserved + in_use + offline);
        Some(Self { available, reserved, in_use, offline })
    }
}

impl Places {
    pub(super) fn searched(&mut self, at: Point) {
        self.0.entry(key(at)).or_default().0 += 1;
    }

    pub(super) fn unmet(&mut self, at: Point) {
        self.0.entry(key(at)).or_default().1 += 1;
    }

    pub(super) fn finish(self) -> DemandMap {
        let Some(((lat, lon), _)) = self.0.first_key_value() else {
            return DemandMap { origin: None, cell_m: 0.0, cells: Vec::new() };
        };
        // Degrees from the first place, the short way around, so that a town on the antimeridian is one.
        let (lat, lon) = (degrees(*lat), degrees(*lon));
        let placed = self.0.into_iter().map(|((a, b), seen)| (degrees(a), around(degrees(b) - lon), seen));
        let placed: Vec<_> = placed.collect();
        let (south, north) = bounds(lat, placed.iter().map(|(lat, ..)| *lat));
        let (west, east) = bounds(0.0, placed.iter().map(|(_, lon, _)| *lon));
        let (mid_lat, mid_lon) = (f64::midpoint(south, north), f64::midpoint(west, east));
        let (north_m, east_m) = (DEGREE_M, DEGREE_M * mid_lat.to_radians().cos());
        let across = ((east - west) * east_m).max((north - south) * north_m);
        // A hexagon on its tip is sqrt(3) corner radii wide.
        let cell_m = (across / CELLS_ACROSS / 3_f64.sqrt()).max(50.0).round();
        let mut cells: BTreeMap<(i64, i64), (u64, u64)> = BTreeMap::new();
        for (lat, lon, (searched, unmet)) in placed {
            let cell = hexagon((lon - mid_lon) * east_m / cell_m, (lat - mid_lat) * north_m / cell_m);
            let sum = cells.entry(cell).or_default();
            sum.0 += searched;
            sum.1 += unmet;
        }
        let cells = cells.into_iter().map(|((r, q), (searched, unmet))| DemandCell {
            east_m: (cell_m * 3_f64.sqrt() * (q as f64 + r as f64 / 2.0)).round(),
            north_m: (cell_m * 1.5 * r as f64).round(),
            searched,
            unmet,
        });
        let cells = cells.collect();
        DemandMap { origin: Point::new(round5(mid_lat), round5(around(mid_lon + lon))).ok(), cell_m, cells }
    }
}

fn key(at: Point) -> (i32, i32) {
    ((at.lat() * 10_000.0).round() as i32, (at.lon() * 10_000.0).round() as i32)
}

fn degrees(key: i32) -> f64 {
    f64::from(key) / 10_000.0
}

/// The same angle from -180 to 180.
fn around(degrees: f64) -> f64 {
    (degrees + 540.0).rem_euclid(360.0) - 180.0
}

fn round5(degrees: f64) -> f64 {
    (degrees * 100_000.0).round() / 100_000.0
}

fn bounds(first: f64, all: impl Iterator<Item = f64>) -> (f64, f64) {
    all.fold((first, first), |(low, high), value| (low.min(value), high.max(value)))
}

/// The axial row and column of the hexagon (tip up, corner radius 1) that holds a point: the usual rounding
/// of cube coordinates, where the coordinate that was rounded most gives way.
fn hexagon(x: f64, y: f64) -> (i64, i64) {
    let (q, r) = (3_f64.sqrt() / 3.0 * x - y / 3.0, 2.0 / 3.0 * y);
    let (mut column, mut row, third) = (q.round(), r.round(), (-q - r).round());
    let (dq, dr, ds) = ((column - q).abs(), (row - r).abs(), (third + q + r).abs());
    if dq > dr && dq > ds {
        column = -row - third;
    } else if dr > ds {
        row = -column - third;
    }
    (row as i64, column as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_week_has_168_steps_and_four_years_fewer_than_400() {
        let hours = |count: i64| {
            let mut series = Series::default();
            for hour in 0..count {
                series.searched(Timestamp::from_unix_seconds(1_704_067_200 + hour * 3_600));
            }
            series.finish()
        };
        let week = hours(168);
        assert_eq!((week.step_s, week.steps.len()), (3_600, 168));
        assert_eq!(week.steps[0].from.to_string(), "2024-01-01T00:00:00Z");
        let years = hours(4 * 365 * 24);
        assert_eq!(years.step_s, 7 * 86_400);
        assert!(years.steps.len() <= 400);
        assert_eq!(years.steps.iter().map(|step| step.searched).sum::<u64>(), 4 * 365 * 24);
    }

    #[test]
    fn samples_of_one_step_are_averaged_and_gaps_stay_empty() {
        let mut series = Series::default();
        let at = |minutes| Timestamp::EPOCH.plus(Span::from_minutes(minutes));
        series.fleet(at(0), FleetSample { available: 10, reserved: 0, in_use: 0, offline: 0 });
        series.fleet(at(30), FleetSample { available: 5, reserved: 2, in_use: 2, offline: 1 });
        series.unmet(at(150));
        let steps = series.finish().steps;
        assert_eq!(steps[0].fleet, Some(FleetSample { available: 7, reserved: 1, in_use: 1, offline: 1 }));
        assert_eq!((steps.len(), steps[1].fleet, steps[2].unmet), (3, None, 1));
    }

    #[test]
    fn a_town_on_the_antimeridian_is_one_town() {
        let mut places = Places::default();
        for lon in [179.99, -179.99] {
            places.searched(Point::new(-16.5, lon).unwrap());
        }
        let map = places.finish();
        assert!(map.cells.iter().all(|cell| cell.east_m.abs() < 2_000.0), "{map:?}");
        assert_eq!(map.origin.unwrap().lon().abs(), 180.0);
    }

    proptest! {
        #[test]
        fn every_point_lies_in_its_hexagon(x in -1_000.0_f64..1_000.0, y in -1_000.0_f64..1_000.0) {
            let (row, column) = hexagon(x, y);
            let middle = |row: i64, column: i64| (3_f64.sqrt() * (column as f64 + row as f64 / 2.0), 1.5 * row as f64);
            let away = |(a, b): (f64, f64)| (x - a).hypot(y - b);
            let own = away(middle(row, column));
            prop_assert!(own <= 1.0 + 1e-9);
            for (dr, dq) in [(0, 1), (1, 0), (1, -1), (0, -1), (-1, 0), (-1, 1)] {
                prop_assert!(own <= away(middle(row + dr, column + dq)) + 1e-9);
            }
        }

        #[test]
        fn no_place_is_lost(points in proptest::collection::vec((-90.0_f64..=90.0, -180.0_f64..=180.0), 1..40)) {
            let mut places = Places::default();
            for (lat, lon) in &points {
                places.searched(Point::new(*lat, *lon).unwrap());
                places.unmet(Point::new(*lat, *lon).unwrap());
            }
            let map = places.finish();
            prop_assert_eq!(map.cells.iter().map(|cell| cell.searched).sum::<u64>(), points.len() as u64);
            prop_assert_eq!(map.cells.iter().map(|cell| cell.unmet).sum::<u64>(), points.len() as u64);
            prop_assert!(map.origin.is_some());
        }
    }
}
