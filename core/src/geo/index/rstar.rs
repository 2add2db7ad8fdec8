//! The index over the `rstar` crate.

use ::rstar::RTree;
use ::rstar::primitives::GeomWithData;

use super::super::point::{Unit, chord_squared};
use super::nearest::{Item, Nearest};
use super::roster::Roster;
use super::{IndexEntry, NearestQuery, Neighbour, VehicleIndex};
use crate::ids::VehicleId;

/// A [`VehicleIndex`] over one R*-tree (Beckmann et al. 1990) of unit vectors: the general solution, and the
/// measure of [`CellIndex`](super::CellIndex).
///
/// The tree answers nearest first, whatever the type; vehicles that do not qualify are passed over.
#[derive(Clone, Debug, Default)]
pub struct RstarIndex {
    roster: Roster,
    tree: RTree<GeomWithData<Unit, usize>>,
}

impl FromIterator<IndexEntry> for RstarIndex {
    /// Packs the tree in bulk, which gives a better one than single upserts do. Of two entries with one id the
    /// later counts.
    fn from_iter<I: IntoIterator<Item = IndexEntry>>(entries: I) -> Self {
        let mut roster = Roster::default();
        for entry in entries {
            match roster.slot_of(&entry.id) {
                Some(slot) => roster.replace(slot, entry),
                None => {
                    roster.insert(entry);
                }
            }
        }
        let items = (0..roster.len())
            .filter_map(|slot| Some(GeomWithData::new(roster.entry(slot)?.point.unit(), slot)))
            .collect();
        Self { roster, tree: RTree::bulk_load(items) }
    }
}

impl VehicleIndex for RstarIndex {
    fn upsert(&mut self, entry: IndexEntry) {
        let unit = entry.point.unit();
        let slot = match self.roster.slot_of(&entry.id) {
            Some(slot) => {
                if let Some(old) = self.roster.entry(slot) {
                    self.tree.remove(&GeomWithData::new(old.point.unit(), slot));
                }
                self.roster.replace(slot, entry);
                slot
            }
            None => self.roster.insert(entry),
        };
        self.tree.insert(GeomWithData::new(unit, slot));
    }

    fn remove(&mut self, id: &VehicleId) -> bool {
        let Some((slot, entry)) = self.roster.remove(id) else { return false };
        self.tree.remove(&GeomWithData::new(entry.point.unit(), slot));
        true
    }

    fn nearest(&self, query: &NearestQuery<'_>) -> Vec<Neighbour> {
        let Some(mut nearest) = Nearest::new(query) else { return Vec::new() };
        let center = *nearest.center();
        for item in self.tree.nearest_neighbor_iter(center) {
            let chord = chord_squared(&center, item.geom());
            // The tree adds its squares up in its own order: one part in 10^12 covers the difference.
            if chord > nearest.bound() * (1.0 + 1e-12) {
                break;
            }
            let wanted = |entry: &IndexEntry| {
                query.vehicle_type.is_none_or(|kind| *kind == entry.vehicle_type) && query.admits(entry)
            };
            if self.roster.entry(item.data).is_some_and(wanted) {
                nearest.offer_all(&[Item { unit: *item.geom(), slot: item.data }], &|_| true);
            }
        }
        nearest.finish(&self.roster)
    }

    fn get(&self, id: &VehicleId) -> Option<&IndexEntry> {
        self.roster.entry(self.roster.slot_of(id)?)
    }

    fn len(&self) -> usize {
        self.roster.len()
    }
}
