//! The index that is made for moving vehicles.

mod shape;
mod tree;

use std::collections::BTreeMap;

use self::tree::{CellTree, Place};
use super::nearest::{Item, Nearest};
use super::roster::Roster;
use super::{IndexEntry, NearestQuery, Neighbour, VehicleIndex};
use crate::ids::{VehicleId, VehicleTypeId};

/// A [`VehicleIndex`] of adaptive cells on the unit sphere, one set of cells per vehicle type.
///
/// The six faces of a cube around the earth are quartered again and again until a cell holds a few vehicles, so cells are small in a city
/// and wide at sea, and neither the poles nor the antimeridian are special. Most moves stay within their cell and
/// change three numbers. A search compares squared chords: it computes no sine but those of its centre, and one
/// arcsine per vehicle it answers.
#[derive(Clone, Debug, Default)]
pub struct CellIndex {
    roster: Roster,
    /// By slot: the tree and where in it.
    places: Vec<Place>,
    kinds: BTreeMap<VehicleTypeId, usize>,
    trees: Vec<CellTree>,
}

impl CellIndex {
    fn tree_of(&mut self, kind: &VehicleTypeId) -> usize {
        if let Some(tree) = self.kinds.get(kind) {
            return *tree;
        }
        let tree = self.trees.len();
        self.kinds.insert(kind.clone(), tree);
        self.trees.push(CellTree::default());
        tree
    }

    /// Puts a vehicle that is in no tree into the one of its type.
    fn put(&mut self, slot: usize, entry_kind: &VehicleTypeId, item: Item) {
        let tree = self.tree_of(entry_kind);
        if slot >= self.places.len() {
            self.places.resize(slot.saturating_add(1), Place::default());
        }
        if let Some(place) = self.places.get_mut(slot) {
            place.tree = tree;
        }
        if let Some(tree) = self.trees.get_mut(tree) {
            tree.insert(item, &mut self.places);
        }
    }

    fn take(&mut self, slot: usize) {
        if let Some(place) = self.places.get(slot).copied()
            && let Some(tree) = self.trees.get_mut(place.tree)
        {
            tree.remove(place, &mut self.places);
        }
    }

    /// Brings the cells up to date with a vehicle that was known before.
    fn shift(&mut self, slot: usize, entry: &IndexEntry) {
        let Some(old) = self.roster.entry(slot) else { return };
        let same_kind = old.vehicle_type == entry.vehicle_type;
        if same_kind && old.point == entry.point {
            return;
        }
        let item = Item { unit: entry.point.unit(), slot };
        if same_kind
            && let Some(place) = self.places.get(slot).copied()
            && let Some(tree) = self.trees.get_mut(place.tree)
        {
            if !tree.shift(place, item.unit) {
                tree.remove(place, &mut self.places);
                tree.insert(item, &mut self.places);
            }
            return;
        }
        self.take(slot);
        self.put(slot, &entry.vehicle_type, item);
    }
}

impl FromIterator<IndexEntry> for CellIndex {
    fn from_iter<I: IntoIterator<Item = IndexEntry>>(entries: I) -> Self {
        let mut index = Self::default();
        for entry in entries {
            index.upsert(entry);
        }
        index
    }
}

impl VehicleIndex for CellIndex {
    fn upsert(&mut self, entry: IndexEntry) {
        if let Some(slot) = self.roster.slot_of(&entry.id) {
            self.shift(slot, &entry);
            self.roster.replace(slot, entry);
        } else {
            let (unit, kind) = (entry.point.unit(), entry.vehicle_type.clone());
            let slot = self.roster.insert(entry);
            self.put(slot, &kind, Item { unit, slot });
        }
    }

    fn remove(&mut self, id: &VehicleId) -> bool {
        let Some((slot, _)) = self.roster.remove(id) else { return false };
        self.take(slot);
        true
    }

    fn nearest(&self, query: &NearestQuery<'_>) -> Vec<Neighbour> {
        let Some(mut nearest) = Nearest::new(query) else { return Vec::new() };
        let mut search = |tree: &CellTree| {
            if query.admits_all() {
                tree.search(&mut nearest, &|_| true);
            } else {
                tree.search(&mut nearest, &|slot| self.roster.entry(slot).is_some_and(|e| query.admits(e)));
            }
        };
        match query.vehicle_type {
            Some(kind) => {
                if let Some(tree) = self.kinds.get(kind).and_then(|tree| self.trees.get(*tree)) {
                    search(tree);
                }
            }
            None => self.trees.iter().for_each(search),
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

#[cfg(test)]
impl CellIndex {
    /// Every vehicle is where its place says, and the trees are in order.
    pub(super) fn check(&self) {
        let mut seen = 0;
        for (number, tree) in self.trees.iter().enumerate() {
            for (place, item) in tree.check() {
                assert_eq!(self.places[item.slot], Place { tree: number, ..place });
                let entry = self.roster.entry(item.slot).unwrap();
                assert_eq!(item.unit, entry.point.unit());
                assert_eq!(self.kinds[&entry.vehicle_type], number);
                seen += 1;
            }
        }
        assert_eq!(seen, self.len());
    }
}
