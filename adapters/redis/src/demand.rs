//! Where riders search: the zones that are kept warm.

use std::collections::{BTreeSet, HashMap, HashSet};

use parking_lot::Mutex;

use crate::cells::Cell;

/// A zone that nobody asks for is halved with every round, and forgotten below this.
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

    /// The cells of the zones with the most recent demand, zone by zone, most demand first; and lets all demand fade.
    pub(crate) fn top(&self, count: usize, fade: f64) -> Vec<(Cell, Vec<Cell>)> {
        let mut zones = self.zones.lock();
        let mut order: Vec<(f64, Cell)> = zones.iter().map(|(cell, zone)| (zone.searches, *cell)).collect();
        order.sort_by(|(a, x), (b, y)| b.total_cmp(a).then(x.cmp(y)));
        order.truncate(count);
        let cells = |around: &Cell| zones.get(around).map(|zone| zone.cells.iter().copied().collect());
        let top: Vec<(Cell, Vec<Cell>)> =
            order.iter().map(|(_, around)| (*around, cells(around).unwrap_or_default())).collect();
        zones.retain(|_, zone| {
            zone.searches *= fade;
            zone.searches > FORGOTTEN
        });
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
        for (n, times) in [(1, 2), (2, 5), (3, 1)] {
            for _ in 0..times {
                demand.searched(cell(n), &[cell(n), cell(n + 10)]);
            }
        }
        let top: Vec<Cell> = demand.top(2, 0.5).into_iter().map(|(around, _)| around).collect();
        assert_eq!(top, [cell(2), cell(1)]);
        assert!(!demand.cooled(&[cell(3), cell(13)]), "the third is not hot");
        assert!(demand.cooled(&[cell(12), cell(3)]), "a cell around a busy place is");
        assert_eq!(demand.take_cooled(), [cell(12)]);
        assert_eq!(demand.take_cooled(), []);
        for _ in 0..3 {
            demand.searched(cell(3), &[cell(3)]);
        }
        let top: Vec<Cell> = demand.top(1, 0.5).into_iter().map(|(around, _)| around).collect();
        assert_eq!(top, [cell(3)], "5 of the last round count as 2.5 now, 1 and 3 as 3.5");
        for _ in 0..10 {
            demand.top(1, 0.5);
        }
        assert!(demand.top(9, 0.5).is_empty(), "what nobody asks for is forgotten");
    }
}
