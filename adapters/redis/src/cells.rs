//! Geohash cells of six characters: 1.2 km by 0.6 km at the equator, 0.8 km by 0.6 km in Frankfurt.

use std::collections::{BTreeMap, BTreeSet};

use rideplane_core::geo::{EARTH_RADIUS_M, Point, distance_m};

/// Cells around the globe and from pole to pole: 30 bits, half of them longitude's.
const STEPS: i64 = 1 << 15;
const LENGTH: usize = 6;
/// Characters of the region, which is the hash tag: 39 km by 20 km at the equator.
const REGION: usize = 4;
/// The most cells of one search: near the poles cells are slivers.
const MOST: usize = 64;
/// Columns and rows of a block: cells of one are read together.
const BLOCK: i64 = 4;
/// Beyond what rounding does to a distance, and to the nearest point of a cell.
const MARGIN: f64 = 1.01;

/// A geohash cell, by its column from the meridian -180 and its row from the south pole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Cell {
    column: i64,
    row: i64,
}

impl Cell {
    /// The cell that holds the point. The meridian 180 is -180, so that it has one cell.
    pub(crate) fn of(point: Point) -> Self {
        let step = |degrees: f64, whole: f64| (degrees / whole * STEPS as f64).floor() as i64;
        let column = step(point.lon() + 180.0, 360.0).rem_euclid(STEPS);
        Self { column, row: step(point.lat() + 90.0, 180.0).clamp(0, STEPS - 1) }
    }

    /// Its geohash.
    pub(crate) fn name(self) -> String {
        let lon = (self.column as f64 + 0.5) / STEPS as f64 * 360.0 - 180.0;
        let lat = (self.row as f64 + 0.5) / STEPS as f64 * 180.0 - 90.0;
        geohash::encode(geohash::Coord { x: lon, y: lat }, LENGTH).unwrap_or_default()
    }

    /// The cell of a name that [`name`](Self::name) gave.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let (center, _, _) = geohash::decode(name).ok()?;
        (name.len() == LENGTH).then_some(())?;
        Point::new(center.y, center.x).ok().map(Self::of)
    }

    /// The middle of the rectangle with the two cells in its corners.
    fn middle(self, north_east: Self) -> Option<Point> {
        let ([(south, west), _], [_, (north, east)]) = (self.corners(), north_east.corners());
        Point::new((south + north) / 2.0, (west + east) / 2.0).ok()
    }

    /// South-west and north-east corner in degrees.
    fn corners(self) -> [(f64, f64); 2] {
        [0, 1].map(|one| {
            let lat = (self.row + one) as f64 / STEPS as f64 * 180.0 - 90.0;
            let lon = (self.column + one) as f64 / STEPS as f64 * 360.0 - 180.0;
            (lat, lon)
        })
    }

    /// The distance from a point to the nearest point of the cell, metres, a margin too small at most.
    fn nearest_m(self, from: Point) -> f64 {
        let [(south, west), (north, east)] = self.corners();
        // The way around the globe that is the shorter one.
        let turn = ((from.lon() - (west + east) / 2.0) / 360.0).round() * 360.0;
        let lon = (from.lon() - turn).clamp(west, east);
        Point::new(from.lat().clamp(south, north), lon).map_or(0.0, |near| distance_m(from, near)) / MARGIN
    }

    /// The distance from a point to the farthest point of the cell, metres, a margin too large at most.
    pub(crate) fn farthest_m(self, from: Point) -> f64 {
        let [(south, west), (north, east)] = self.corners();
        [(south, west), (south, east), (north, west), (north, east)]
            .into_iter()
            .filter_map(|(lat, lon)| Point::new(lat, lon).ok())
            .map(|corner| distance_m(from, corner) * MARGIN)
            .fold(0.0, f64::max)
    }
}

/// The cells that a circle touches, in order. `None` when they are too many.
pub(crate) fn cover(center: Point, radius_m: f64) -> Option<Vec<Cell>> {
    let angle = radius_m * MARGIN / EARTH_RADIUS_M;
    let rows = angle.to_degrees() / 180.0 * STEPS as f64;
    let middle = Cell::of(center);
    // The meridians that touch a circle around `center` (Bronshtein, spherical right triangle).
    let sine = angle.sin() / center.lat().to_radians().cos();
    if !(0.0..1.0).contains(&sine) || center.lat().abs() + angle.to_degrees() >= 90.0 {
        return None;
    }
    let columns = sine.asin().to_degrees() / 360.0 * STEPS as f64;
    if !(rows < MOST as f64 && columns < MOST as f64) {
        return None;
    }
    let (rows, columns) = (rows.ceil() as i64, columns.ceil() as i64);
    let mut cells = Vec::new();
    for row in (middle.row - rows).max(0)..=(middle.row + rows).min(STEPS - 1) {
        for column in middle.column - columns..=middle.column + columns {
            let cell = Cell { column: column.rem_euclid(STEPS), row };
            if cell.nearest_m(center) <= radius_m {
                cells.push(cell);
            }
        }
    }
    (cells.len() <= MOST).then_some(cells)
}

/// Shares out cells into groups, each to be read by one circle around its point. Cells of a block go together when they
/// fill half of the rectangle around them: a circle around fewer reads mostly what nobody asked for.
pub(crate) fn groups(cells: &[Cell]) -> Vec<(Point, Vec<Cell>)> {
    let mut blocks: BTreeMap<(i64, i64), BTreeSet<Cell>> = BTreeMap::new();
    for cell in cells {
        blocks.entry((cell.column / BLOCK, cell.row / BLOCK)).or_default().insert(*cell);
    }
    let mut groups = Vec::new();
    for block in blocks.into_values() {
        let block: Vec<Cell> = block.into_iter().collect();
        let area = around(&block)
            .map_or(0, |(low, high)| (high.column - low.column + 1).saturating_mul(high.row - low.row + 1));
        let dense = i64::try_from(block.len()).is_ok_and(|count| count.saturating_mul(2) >= area);
        let size = if dense { block.len().max(1) } else { 1 };
        for group in block.chunks(size) {
            let middle = around(group).and_then(|(low, high)| low.middle(high));
            groups.extend(middle.map(|middle| (middle, group.to_vec())));
        }
    }
    groups
}

/// The cells in the south-west and north-east corner of the rectangle around cells.
fn around(cells: &[Cell]) -> Option<(Cell, Cell)> {
    let columns = || cells.iter().map(|cell| cell.column);
    let rows = || cells.iter().map(|cell| cell.row);
    let low = Cell { column: columns().min()?, row: rows().min()? };
    Some((low, Cell { column: columns().max()?, row: rows().max()? }))
}

/// The names of the keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// What the cell holds, and the token of its fills. Both have the region as their hash tag, so that Redis Cluster
    /// keeps a region on one shard.
    pub(crate) fn cell(&self, cell: Cell) -> (String, String) {
        let (name, prefix) = (cell.name(), &self.prefix);
        let region = name.get(..REGION).unwrap_or_default();
        (format!("{prefix}:{{{region}}}:cell:{name}"), format!("{prefix}:{{{region}}}:fill:{name}"))
    }

    /// A hash: in which cell each vehicle was last cached.
    pub(crate) fn places(&self) -> String {
        format!("{}:places", self.prefix)
    }

    /// A hash: when each vehicle changed last.
    pub(crate) fn changes(&self) -> String {
        format!("{}:changes", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(lat: f64, lon: f64) -> Point {
        Point::new(lat, lon).unwrap()
    }

    #[test]
    fn names_are_geohashes_and_lead_back() {
        // The worked example of the geohash article: 57.64911, 10.40744 is u4pruydqqvj.
        assert_eq!(Cell::of(point(57.649_11, 10.407_44)).name(), "u4pruy");
        for (lat, lon) in [(0.0, 0.0), (-90.0, -180.0), (90.0, 179.999), (50.11, 8.68), (-33.9, 151.2)] {
            let cell = Cell::of(point(lat, lon));
            assert_eq!(Cell::from_name(&cell.name()), Some(cell), "{lat},{lon}");
        }
        assert_eq!(Cell::of(point(1.0, 180.0)), Cell::of(point(1.0, -180.0)));
        assert_eq!(Cell::from_name("u4pru"), None);
    }

    #[test]
    fn a_region_is_the_hash_tag() {
        let (cell, fill) = Keys::new("p").cell(Cell::of(point(57.649_11, 10.407_44)));
        assert_eq!((cell.as_str(), fill.as_str()), ("p:{u4pr}:cell:u4pruy", "p:{u4pr}:fill:u4pruy"));
    }

    #[test]
    fn every_point_of_a_circle_is_in_its_cover_and_no_farther_than_the_farthest() {
        for (lat, lon) in [(0.0, 0.0), (50.11, 8.68), (-17.0, 179.999), (69.6, -179.999), (-54.8, -68.3)] {
            let center = point(lat, lon);
            for radius in [1.0, 300.0, 1_000.0, 1_500.0] {
                let cells = cover(center, radius).unwrap();
                let reach = cells.iter().map(|cell| cell.farthest_m(center)).fold(0.0, f64::max);
                for step in 0..2_000 {
                    let (turn, share) = (f64::from(step) * 0.37, f64::from(step % 41) / 40.0);
                    let degrees = radius * share / 111_195.0;
                    let lat = lat + degrees * turn.sin();
                    let lon = lon + degrees * turn.cos() / lat.to_radians().cos();
                    let there = point(lat, (lon + 540.0).rem_euclid(360.0) - 180.0);
                    if distance_m(center, there) <= radius {
                        assert!(cells.contains(&Cell::of(there)), "{there} within {radius} m of {center}");
                        assert!(distance_m(center, there) <= reach);
                    }
                }
            }
        }
    }

    #[test]
    fn a_block_is_read_at_once_and_scattered_cells_each_for_itself() {
        let cell = |column: i64, row: i64| Cell { column: 17_600 + column, row: 25_500 + row };
        let block: Vec<Cell> = (0..16).map(|n| cell(n % 4, n / 4)).collect();
        let together = groups(&block);
        assert_eq!(together.len(), 1);
        let (middle, cells) = &together[0];
        assert_eq!(cells.len(), 16);
        let reach = cells.iter().map(|cell| cell.farthest_m(*middle)).fold(0.0, f64::max);
        let corners = [cell(0, 0), cell(3, 0), cell(0, 3), cell(3, 3)].map(|cell| cell.farthest_m(*middle));
        assert!(corners.iter().all(|corner| (reach - corner).abs() < reach * 0.01), "{corners:?}");

        let scattered = [cell(0, 0), cell(3, 3), cell(0, 0), cell(4, 0), cell(5, 0)];
        let found: Vec<_> = groups(&scattered).into_iter().map(|(_, cells)| cells).collect();
        assert_eq!(found, [vec![cell(0, 0)], vec![cell(3, 3)], vec![cell(4, 0), cell(5, 0)]]);
        for (middle, cells) in groups(&scattered) {
            assert!(cells.contains(&Cell::of(middle)) || cells.len() > 1);
        }
        assert!(groups(&[]).is_empty());
    }

    #[test]
    fn circles_that_touch_a_pole_or_too_many_cells_have_no_cover() {
        assert_eq!(cover(point(89.999, 0.0), 1_000.0), None);
        assert_eq!(cover(point(50.0, 8.0), 50_000.0), None);
        assert!(cover(point(50.0, 8.0), 0.0).is_some_and(|cells| cells.len() == 1));
    }
}
