//! Where riders search: the zones that are kept warm.

use std::collections::{BTreeSet, HashMap, HashSet};

use parking_lot::Mutex;

use rideplane_core::time::Timestamp;

use crate::cells::Cell;

/// The demand of a zone that nobody asks for fades, and is forgotten below this.
const FORGOTTEN: f64 = 0.01;
/// Zones that are counted at most; a new one takes the place of nothing.
const COUNTED: usize = 10_000;

/// The searches around one cell: how many of late, and the cells they read.
#[derive(Default)]
struct Zone {
    searches: f64,
    cells: BTreeSet<Cell>,
}

#[derive(Default)]
pub(crate) struct Demand {
    zones: Mutex<HashMap<Cell, Zone>>,
    /// When demand faded last.
    faded: Mutex<Option<Timestamp>>,
    /// The cells of the zones that were warmed last.
    hot: Mutex<HashSet<Cell>>,
    /// Hot cells that a change removed.
    cooled: Mutex<BTreeSet<Cell>>,
}

impl Demand {
    /// A search in the zone `around` read these cells.
    pub(crate) fn searched(&self, around: Cell, cells: &[Cell]) {
        let mut zones = self.zones.lock();
        if zones.len() < COUNTED || zones.contains_key(&around) {
            let zone = zones.entry(around).or_default();
            zone.searches += 1.0;
            zone.cells.extend(cells);
        }
    }

    /// The cells of the zones with the most recent demand, zone by zone, most demand first; and lets all demand fade
    /// by the time since the last call, half of it in `half_life` seconds.
    pub(crate) fn top(&self, count: usize, half_life: f64, now: Timestamp) -> Vec<(Cell, Vec<Cell>)> {
        let before = self.faded.lock().replace(now).unwrap_or(now);
        let seconds = now.since(before).as_micros().max(0) as f64 / 1e6;
        let fade = 0.5_f64.powf(seconds / half_life);
        let mut zones = self.zones.lock();
        zones.retain(|_, zone| {
            zone.searches *= fade;
            zone.searches > FORGOTTEN
        });
        let mut order: Vec<(f64, Cell)> = zones.iter().map(|(cell, zone)| (zone.searches, *cell)).collect();
        order.sort_by(|(a, x), (b, y)| b.total_cmp(a).then(x.cmp(y)));
        order.truncate(count);
        let cells = |around: &Cell| zones.get(around).map(|zone| zone.cells.iter().copied().collect());
        let top: Vec<(Cell, Vec<Cell>)> =
            order.iter().map(|(_, around)| (*around, cells(around).unwrap_or_default())).collect();
        *self.hot.lock() = top.iter().flat_map(|(_, cells)| cells.iter().copied()).collect();
        top
    }

    /// Notes which of the removed cells are hot. `true` when one is.
    pub(crate) fn cooled(&self, removed: &[Cell]) -> bool {
        let hot = self.hot.lock();
        let mut cooled = self.cooled.lock();
        cooled.extend(removed.iter().filter(|cell| hot.contains(cell)));
        !cooled.is_empty()
    }

    /// Takes the hot cells that were removed.
    pub(crate) fn take_cooled(&self) -> Vec<Cell> {
        std::mem::take(&mut *self.cooled.lock()).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use rideplane_core::geo::Point;

    use super::*;

    fn cell(n: i32) -> Cell {
        Cell::of(Point::new(50.0, f64::from(n)).unwrap())
    }

    #[test]
    fn the_busiest_zones_are_hot_until_others_are_busier() {
        let demand = Demand::default();
        let top = |count, second| -> Vec<Cell> {
            let zones = demand.top(count, 60.0, Timestamp::from_unix_seconds(second));
            zones.into_iter().map(|(around, _)| around).collect()
        };
        for (n, times) in [(1, 2), (2, 5), (3, 1)] {
            for _ in 0..times {
                demand.searched(cell(n), &[cell(n), cell(n + 10)]);
            }
        }
        assert_eq!(top(2, 0), [cell(2), cell(1)]);
        assert!(!demand.cooled(&[cell(3), cell(13)]), "the third is not hot");
        assert!(demand.cooled(&[cell(12), cell(3)]), "a cell around a busy place is");
        assert_eq!(demand.take_cooled(), [cell(12)]);
        assert_eq!(demand.take_cooled(), []);
        assert_eq!(top(1, 60), [cell(2)], "all fade alike");
        for _ in 0..3 {
            demand.searched(cell(3), &[cell(3)]);
        }
        assert_eq!(top(1, 60), [cell(3)], "5 a minute ago count as 2.5");
        assert_eq!(top(9, 50), [cell(3), cell(2), cell(1)], "a clock that steps back fades nothing");
        assert!(top(9, 3_600).is_empty(), "what nobody asks for is forgotten");
    }
}
