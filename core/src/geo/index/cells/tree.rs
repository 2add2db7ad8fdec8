//! Adaptive cells: a bucket octree of unit vectors.

use super::super::super::point::{Unit, chord_squared};
use super::super::nearest::Nearest;

/// A cell with more vehicles than this is divided.
const SPLIT_ABOVE: usize = 24;
/// Sibling cells with together no more than this become one; well below the above, so that a vehicle that goes
/// to and fro does not divide and join at every step.
const MERGE_UP_TO: usize = 12;
/// A cell is looked at for joining only when it has become this empty.
const MERGE_LOOK: usize = 3;
/// Half the edge of the smallest cell: 2^-23, three quarters of a metre. Vehicles piled up on one spot share a
/// cell of any number. Corners of cells are multiples of this, so halving is exact.
const SMALLEST: f64 = 1.0 / 8_388_608.0;
const ROOT: usize = 0;
const NONE: usize = usize::MAX;

/// A vehicle in a cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) unit: Unit,
    pub(super) slot: usize,
}

/// Where a vehicle is: which tree, which of its cells, which of that cell's vehicles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) tree: usize,
    pub(super) cell: usize,
    pub(super) at: usize,
}

/// Cubes in cubes. The outermost holds the unit sphere; each is either a leaf with vehicles or divided into
/// eight, of which only those that hold a vehicle exist.
///
/// A search needs a lower bound of the squared chord to anything in a cube: the squared gap between centre and
/// cube, axis by axis. It holds to the last bit, without any margin: corners are exact, and the bound is added
/// up in the order of [`chord_squared`], where every rounding is monotone.
#[derive(Clone, Debug)]
pub(super) struct CellTree {
    cells: Vec<Cell>,
    free: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Cell {
    center: Unit,
    half: f64,
    parent: usize,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Leaf(Vec<Item>),
    /// By octant, [`NONE`] where nothing is.
    Divided([usize; 8]),
}

impl Default for CellTree {
    fn default() -> Self {
        let root = Cell { center: [0.0; 3], half: 1.0, parent: NONE, content: Content::Leaf(Vec::new()) };
        Self { cells: vec![root], free: Vec::new() }
    }
}

impl Cell {
    fn contains(&self, unit: &Unit) -> bool {
        unit.iter().zip(&self.center).all(|(u, c)| (u - c).abs() <= self.half)
    }

    fn octant(&self, unit: &Unit) -> usize {
        let ([x, y, z], [cx, cy, cz]) = (unit, &self.center);
        usize::from(x >= cx) | usize::from(y >= cy) << 1 | usize::from(z >= cz) << 2
    }

    fn child(&self, own: usize, octant: usize) -> Self {
        let half = self.half / 2.0;
        let step = |bit: usize| if octant >> bit & 1 == 1 { half } else { -half };
        let [x, y, z] = self.center;
        let center = [x + step(0), y + step(1), z + step(2)];
        Self { center, half, parent: own, content: Content::Leaf(Vec::new()) }
    }

    /// The squared gaps from `at` to the lower and the upper half of the cube along one axis.
    fn gaps(&self, at: f64, center: f64) -> [f64; 2] {
        let below = (center - self.half - at).max(0.0);
        let above = (at - (center + self.half)).max(0.0);
        let low = below.max(at - center);
        let high = above.max(center - at);
        [low * low, high * high]
    }
}

impl CellTree {
    /// Puts a vehicle in and notes its place, and that of every vehicle that makes room for it.
    pub(super) fn insert(&mut self, item: Item, places: &mut [Place]) {
        let mut at = ROOT;
        while let Some(cell) = self.cells.get(at) {
            let Content::Divided(children) = &cell.content else { break };
            let octant = cell.octant(&item.unit);
            at = match children.get(octant) {
                Some(&child) if child != NONE => child,
                _ => self.grow(at, octant),
            };
        }
        self.push(at, item, places);
        self.divide_if_full(at, places);
    }

    /// Moves a vehicle within its cell; `false` when the cell does not reach that far.
    pub(super) fn shift(&mut self, place: Place, unit: Unit) -> bool {
        match self.cells.get_mut(place.cell) {
            Some(cell) if cell.contains(&unit) => match &mut cell.content {
                Content::Leaf(items) => items.get_mut(place.at).map(|item| item.unit = unit).is_some(),
                Content::Divided(_) => false,
            },
            Some(_) | None => false,
        }
    }

    /// Takes a vehicle out and notes the place of every vehicle that moves up for it.
    pub(super) fn remove(&mut self, place: Place, places: &mut [Place]) {
        let Some(Cell { content: Content::Leaf(items), .. }) = self.cells.get_mut(place.cell) else { return };
        if place.at >= items.len() {
            return;
        }
        items.swap_remove(place.at);
        if let Some(moved) = items.get(place.at) {
            note(places, moved.slot, place.cell, place.at);
        }
        if items.len() <= MERGE_LOOK {
            self.join_upwards(place.cell, places);
        }
    }

    /// Offers every vehicle that could be among the nearest.
    pub(super) fn search(&self, nearest: &mut Nearest<'_>, admits: &impl Fn(usize) -> bool) {
        let center = *nearest.center();
        self.search_cell(ROOT, &center, nearest, admits);
    }

    fn search_cell(
        &self,
        cell: usize,
        center: &Unit,
        nearest: &mut Nearest<'_>,
        admits: &impl Fn(usize) -> bool,
    ) {
        let Some(cell) = self.cells.get(cell) else { return };
        let children = match &cell.content {
            Content::Leaf(items) => {
                for item in items {
                    let chord = chord_squared(center, &item.unit);
                    if chord <= nearest.bound() && admits(item.slot) {
                        nearest.offer(chord, item.slot);
                    }
                }
                return;
            }
            Content::Divided(children) => children,
        };
        let ([x, y, z], [cx, cy, cz]) = (*center, cell.center);
        let ([x0, x1], [y0, y1], [z0, z1]) = (cell.gaps(x, cx), cell.gaps(y, cy), cell.gaps(z, cz));
        let bounds = [
            x0 + y0 + z0,
            x1 + y0 + z0,
            x0 + y1 + z0,
            x1 + y1 + z0,
            x0 + y0 + z1,
            x1 + y0 + z1,
            x0 + y1 + z1,
            x1 + y1 + z1,
        ];
        let here = cell.octant(center);
        for step in [0, 1, 2, 4, 3, 5, 6, 7] {
            let octant = here ^ step;
            if let (Some(&child), Some(&bound)) = (children.get(octant), bounds.get(octant))
                && child != NONE
                && bound <= nearest.bound()
            {
                self.search_cell(child, center, nearest, admits);
            }
        }
    }

    fn push(&mut self, at: usize, item: Item, places: &mut [Place]) {
        if let Some(Cell { content: Content::Leaf(items), .. }) = self.cells.get_mut(at) {
            note(places, item.slot, at, items.len());
            items.push(item);
        }
    }

    /// Makes the missing child of a divided cell.
    fn grow(&mut self, parent: usize, octant: usize) -> usize {
        let own = self.free.pop().unwrap_or(self.cells.len());
        let Some(cell) = self.cells.get_mut(parent) else { return NONE };
        let child = cell.child(parent, octant);
        if let Content::Divided(children) = &mut cell.content
            && let Some(place) = children.get_mut(octant)
        {
            *place = own;
        }
        match self.cells.get_mut(own) {
            Some(place) => *place = child,
            None => self.cells.push(child),
        }
        own
    }

    fn divide_if_full(&mut self, at: usize, places: &mut [Place]) {
        let Some(cell) = self.cells.get_mut(at) else { return };
        let Content::Leaf(items) = &mut cell.content else { return };
        if items.len() <= SPLIT_ABOVE || cell.half <= SMALLEST {
            return;
        }
        let items = core::mem::take(items);
        cell.content = Content::Divided([NONE; 8]);
        for item in items {
            let Some(cell) = self.cells.get(at) else { return };
            let Content::Divided(children) = &cell.content else { return };
            let octant = cell.octant(&item.unit);
            let child = match children.get(octant) {
                Some(&child) if child != NONE => child,
                _ => self.grow(at, octant),
            };
            self.push(child, item, places);
        }
        for child in self.children(at) {
            self.divide_if_full(child, places);
        }
    }

    fn children(&self, at: usize) -> impl Iterator<Item = usize> + use<> {
        let children = match self.cells.get(at).map(|cell| &cell.content) {
            Some(Content::Divided(children)) => *children,
            Some(Content::Leaf(_)) | None => [NONE; 8],
        };
        children.into_iter().filter(|child| *child != NONE)
    }

    /// How many vehicles a leaf holds; `None` for a divided cell.
    fn held(&self, at: usize) -> Option<usize> {
        match &self.cells.get(at)?.content {
            Content::Leaf(items) => Some(items.len()),
            Content::Divided(_) => None,
        }
    }

    /// Joins a leaf that has become nearly empty with its siblings, and the outcome with its own, as far as
    /// they are few. No leaf but the root stays empty.
    fn join_upwards(&mut self, leaf: usize, places: &mut [Place]) {
        let mut at = leaf;
        while let Some(parent) = self.cells.get(at).map(|cell| cell.parent).filter(|parent| *parent != NONE) {
            let together = self
                .children(parent)
                .try_fold(0_usize, |sum, child| Some(sum.saturating_add(self.held(child)?)));
            match together {
                Some(few) if few <= MERGE_UP_TO => self.join(parent, places),
                Some(_) | None => {
                    if self.held(at) == Some(0) {
                        self.prune(parent, at);
                    }
                    return;
                }
            }
            at = parent;
        }
    }

    fn join(&mut self, parent: usize, places: &mut [Place]) {
        let mut joined = Vec::with_capacity(MERGE_UP_TO);
        for child in self.children(parent) {
            if let Some(Cell { content: Content::Leaf(items), .. }) = self.cells.get_mut(child) {
                joined.append(items);
            }
            self.free.push(child);
        }
        for (at, item) in joined.iter().enumerate() {
            note(places, item.slot, parent, at);
        }
        if let Some(cell) = self.cells.get_mut(parent) {
            cell.content = Content::Leaf(joined);
        }
    }

    fn prune(&mut self, parent: usize, child: usize) {
        if let Some(Cell { content: Content::Divided(children), .. }) = self.cells.get_mut(parent) {
            for place in children.iter_mut().filter(|place| **place == child) {
                *place = NONE;
            }
            self.free.push(child);
        }
    }
}

fn note(places: &mut [Place], slot: usize, cell: usize, at: usize) {
    if let Some(place) = places.get_mut(slot) {
        place.cell = cell;
        place.at = at;
    }
}

#[cfg(test)]
impl CellTree {
    /// Checks what must always hold and answers every vehicle with its place.
    pub(super) fn check(&self) -> Vec<(Place, Item)> {
        let (mut found, mut todo, mut reached) = (Vec::new(), vec![ROOT], 0);
        while let Some(at) = todo.pop() {
            reached += 1;
            let cell = &self.cells[at];
            match &cell.content {
                Content::Leaf(items) => {
                    assert!(at == ROOT || !items.is_empty(), "an empty leaf stayed");
                    assert!(items.len() <= SPLIT_ABOVE || cell.half <= SMALLEST, "a full leaf stayed");
                    for (index, item) in items.iter().enumerate() {
                        assert!(cell.contains(&item.unit));
                        found.push((Place { tree: 0, cell: at, at: index }, *item));
                    }
                }
                Content::Divided(children) => {
                    assert!(children.iter().any(|child| *child != NONE), "a divided cell without children");
                    for (octant, child) in children.iter().enumerate().filter(|(_, child)| **child != NONE) {
                        let (made, expected) = (&self.cells[*child], cell.child(at, octant));
                        assert_eq!(
                            (made.center, made.half, made.parent),
                            (expected.center, expected.half, at)
                        );
                        todo.push(*child);
                    }
                }
            }
        }
        assert_eq!(reached + self.free.len(), self.cells.len(), "a cell is neither used nor free");
        found
    }
}
