//! The vehicles of an index: each has a slot, a small number that stays its own until it is removed.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use super::IndexEntry;
use crate::ids::VehicleId;

/// Fixed keys: the default `RandomState` would draw entropy. The ids are the operator's own, not a stranger's.
type Slots = HashMap<VehicleId, usize, BuildHasherDefault<DefaultHasher>>;

#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    slots: Slots,
    entries: Vec<Option<IndexEntry>>,
    /// The ids once more, close together: an answer needs nothing else of an entry. Stale in a free slot.
    ids: Vec<VehicleId>,
    free: Vec<usize>,
}

impl Roster {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn slot_of(&self, id: &VehicleId) -> Option<usize> {
        self.slots.get(id).copied()
    }

    pub(super) fn entry(&self, slot: usize) -> Option<&IndexEntry> {
        self.entries.get(slot)?.as_ref()
    }

    pub(super) fn id(&self, slot: usize) -> Option<&VehicleId> {
        self.ids.get(slot)
    }

    /// Replaces the entry of a slot that is taken.
    pub(super) fn replace(&mut self, slot: usize, entry: IndexEntry) {
        if let Some(Some(old)) = self.entries.get_mut(slot) {
            *old = entry;
        }
    }

    /// Gives a vehicle that has none a slot.
    pub(super) fn insert(&mut self, entry: IndexEntry) -> usize {
        let slot = self.free.pop().unwrap_or(self.entries.len());
        self.slots.insert(entry.id.clone(), slot);
        if let (Some(id), Some(place)) = (self.ids.get_mut(slot), self.entries.get_mut(slot)) {
            *id = entry.id.clone();
            *place = Some(entry);
        } else {
            self.ids.push(entry.id.clone());
            self.entries.push(Some(entry));
        }
        slot
    }

    /// Takes a vehicle's slot away.
    pub(super) fn remove(&mut self, id: &VehicleId) -> Option<(usize, IndexEntry)> {
        let slot = self.slots.remove(id)?;
        self.free.push(slot);
        Some((slot, self.entries.get_mut(slot)?.take()?))
    }
}
