//! Adaptive cells: six bucket quadtrees over the unit sphere.

use super::super::super::point::{Unit, chord_squared};
use super::super::nearest::Nearest;
use super::shape::{Shape, gap_squared};

/// A cell with more vehicles than this is divided.
const SPLIT_ABOVE: usize = 32;
/// Sibling cells with together no more than this become one; well below the above, so that a vehicle that goes
/// to and fro does not divide and join at every step.
const MERGE_UP_TO: usize = 16;
/// A cell is looked at for joining only when it has become this empty.
const MERGE_LOOK: usize = 4;
const HEMISPHERES: usize = 6;
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

/// Cells in cells. The first six are the hemispheres ([`Shape::hemispheres`]); each cell is either a leaf with
/// vehicles or divided into four, of which only those that hold a vehicle exist.
#[derive(Clone, Debug)]
pub(super) struct CellTree {
    /// What a search reads, apart from the rest so that more of it stays in the processor's cache.
    contents: Vec<Content>,
    /// By the same numbers: what only changes read.
    frames: Vec<Frame>,
    free: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Frame {
    shape: Shape,
    parent: usize,
}

#[allow(clippy::large_enum_variant, reason = "a search reads the divided cells most, and a box is a detour")]
#[derive(Clone, Debug)]
enum Content {
    Leaf(Vec<Item>),
    Divided(Quarters),
}

/// The children of a divided cell by quadrant, with their boxes side by side, so that a search need not visit
/// a child to leave it out. Where there is no child the box is infinitely far away.
#[derive(Clone, Debug)]
struct Quarters {
    cells: [usize; 4],
    lo: [[f32; 4]; 3],
    hi: [[f32; 4]; 3],
}

impl Default for CellTree {
    fn default() -> Self {
        let frames: Vec<_> = Shape::hemispheres().map(|shape| Frame { shape, parent: NONE }).collect();
        Self {
            contents: frames.iter().map(|_| Content::Leaf(Vec::new())).collect(),
            frames,
            free: Vec::new(),
        }
    }
}

impl Quarters {
    const EMPTY: Self = Self { cells: [NONE; 4], lo: [[f32::INFINITY; 4]; 3], hi: [[f32::INFINITY; 4]; 3] };

    fn child(&self, quadrant: usize) -> Option<usize> {
        self.cells.get(quadrant).copied().filter(|child| *child != NONE)
    }

    fn set(&mut self, quadrant: usize, cell: usize, lo: [f32; 3], hi: [f32; 3]) {
        if let Some(place) = self.cells.get_mut(quadrant) {
            *place = cell;
        }
        for (own, new) in self.lo.iter_mut().zip(lo).chain(self.hi.iter_mut().zip(hi)) {
            if let Some(place) = own.get_mut(quadrant) {
                *place = new;
            }
        }
    }

    fn clear(&mut self, child: usize) {
        if let Some(quadrant) = self.cells.iter().position(|cell| *cell == child) {
            self.set(quadrant, NONE, [f32::INFINITY; 3], [f32::INFINITY; 3]);
        }
    }

    /// The children with a lower bound of the squared chord to anything in them, the nearest first.
    ///
    /// The bound holds to the last bit, without a margin: it is added up in the order of [`chord_squared`], and
    /// every rounding on the way is monotone.
    fn nearest_first(&self, center: &Unit) -> [(f64, usize); 4] {
        let mut bounds = [0.0; 4];
        for ((at, lo), hi) in center.iter().zip(&self.lo).zip(&self.hi) {
            for ((bound, lo), hi) in bounds.iter_mut().zip(lo).zip(hi) {
                *bound += gap_squared(*at, f64::from(*lo), f64::from(*hi));
            }
        }
        let ([a, b, c, d], [p, q, r, s]) = (bounds, self.cells);
        let order = |x: (f64, usize), y: (f64, usize)| if y.0 < x.0 { (y, x) } else { (x, y) };
        let (a, b) = order((a, p), (b, q));
        let (c, d) = order((c, r), (d, s));
        let (first, c) = order(a, c);
        let (b, last) = order(b, d);
        let (second, third) = order(b, c);
        [first, second, third, last]
    }
}

impl CellTree {
    /// Puts a vehicle in and notes its place, and that of every vehicle that makes room for it.
    pub(super) fn insert(&mut self, item: Item, places: &mut [Place]) {
        let mut at = Shape::hemisphere_of(&item.unit);
        while let (Some(Content::Divided(quarters)), Some(frame)) =
            (self.contents.get(at), self.frames.get(at))
        {
            let quadrant = frame.shape.quadrant(&item.unit);
            at = quarters.child(quadrant).unwrap_or_else(|| self.grow(at, quadrant));
        }
        self.push(at, item, places);
        self.divide_if_full(at, places);
    }

    /// Moves a vehicle within its cell; `false` when the cell does not reach that far.
    pub(super) fn shift(&mut self, place: Place, unit: Unit) -> bool {
        if let (Some(Content::Leaf(items)), Some(frame)) =
            (self.contents.get_mut(place.cell), self.frames.get(place.cell))
            && let Some(item) = items.get_mut(place.at)
            && frame.shape.contains(&unit)
        {
            item.unit = unit;
            return true;
        }
        false
    }

    /// Takes a vehicle out and notes the place of every vehicle that moves up for it.
    pub(super) fn remove(&mut self, place: Place, places: &mut [Place]) {
        let Some(Content::Leaf(items)) = self.contents.get_mut(place.cell) else { return };
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
        let mut roots = [(0.0, 0); HEMISPHERES];
        for (number, (root, frame)) in roots.iter_mut().zip(&self.frames).enumerate() {
            *root = (frame.shape.bound(&center), number);
        }
        roots.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        for (bound, root) in roots {
            if bound <= nearest.bound() {
                self.search_cell(root, &center, nearest, admits);
            }
        }
    }

    fn search_cell(
        &self,
        cell: usize,
        center: &Unit,
        nearest: &mut Nearest<'_>,
        admits: &impl Fn(usize) -> bool,
    ) {
        match self.contents.get(cell) {
            Some(Content::Leaf(items)) => {
                for item in items {
                    let chord = chord_squared(center, &item.unit);
                    if chord <= nearest.bound() && admits(item.slot) {
                        nearest.offer(chord, item.slot);
                    }
                }
            }
            Some(Content::Divided(quarters)) => {
                for (bound, child) in quarters.nearest_first(center) {
                    // No child is at an infinite bound, which only an infinite radius admits.
                    if bound > nearest.bound() || child == NONE {
                        break;
                    }
                    self.search_cell(child, center, nearest, admits);
                }
            }
            None => {}
        }
    }

    fn push(&mut self, at: usize, item: Item, places: &mut [Place]) {
        if let Some(Content::Leaf(items)) = self.contents.get_mut(at) {
            note(places, item.slot, at, items.len());
            items.push(item);
        }
    }

    /// Makes the missing child of a divided cell.
    fn grow(&mut self, parent: usize, quadrant: usize) -> usize {
        let own = self.free.pop().unwrap_or(self.frames.len());
        let Some(Content::Divided(quarters)) = self.contents.get_mut(parent) else { return NONE };
        let Some(frame) = self.frames.get(parent) else { return NONE };
        let child = Frame { shape: frame.shape.quarter(quadrant), parent };
        let (lo, hi) = child.shape.outer();
        quarters.set(quadrant, own, lo, hi);
        if let (Some(content), Some(frame)) = (self.contents.get_mut(own), self.frames.get_mut(own)) {
            *content = Content::Leaf(Vec::new());
            *frame = child;
        } else {
            self.contents.push(Content::Leaf(Vec::new()));
            self.frames.push(child);
        }
        own
    }

    fn divide_if_full(&mut self, at: usize, places: &mut [Place]) {
        let Some(Content::Leaf(items)) = self.contents.get_mut(at) else { return };
        let Some(shape) = self.frames.get(at).map(|frame| frame.shape.clone()) else { return };
        if items.len() <= SPLIT_ABOVE || shape.is_smallest() {
            return;
        }
        let items = core::mem::take(items);
        if let Some(content) = self.contents.get_mut(at) {
            *content = Content::Divided(Quarters::EMPTY);
        }
        for item in items {
            let Some(Content::Divided(quarters)) = self.contents.get(at) else { return };
            let quadrant = shape.quadrant(&item.unit);
            let child = quarters.child(quadrant).unwrap_or_else(|| self.grow(at, quadrant));
            self.push(child, item, places);
        }
        for child in self.children(at) {
            self.divide_if_full(child, places);
        }
    }

    fn children(&self, at: usize) -> impl Iterator<Item = usize> + use<> {
        let cells = match self.contents.get(at) {
            Some(Content::Divided(quarters)) => quarters.cells,
            Some(Content::Leaf(_)) | None => [NONE; 4],
        };
        cells.into_iter().filter(|child| *child != NONE)
    }

    /// How many vehicles a leaf holds; `None` for a divided cell.
    fn held(&self, at: usize) -> Option<usize> {
        match self.contents.get(at)? {
            Content::Leaf(items) => Some(items.len()),
            Content::Divided(_) => None,
        }
    }

    /// Joins a leaf that has become nearly empty with its siblings, and the outcome with its own, as far as
    /// they are few. No leaf but a hemisphere stays empty.
    fn join_upwards(&mut self, leaf: usize, places: &mut [Place]) {
        let mut at = leaf;
        while let Some(parent) =
            self.frames.get(at).map(|frame| frame.parent).filter(|parent| *parent != NONE)
        {
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
            if let Some(Content::Leaf(items)) = self.contents.get_mut(child) {
                joined.append(&mut core::mem::take(items));
            }
            self.free.push(child);
        }
        for (at, item) in joined.iter().enumerate() {
            note(places, item.slot, parent, at);
        }
        if let Some(content) = self.contents.get_mut(parent) {
            *content = Content::Leaf(joined);
        }
    }

    fn prune(&mut self, parent: usize, child: usize) {
        if let Some(Content::Divided(quarters)) = self.contents.get_mut(parent) {
            quarters.clear(child);
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
        let (mut found, mut todo, mut reached) = (Vec::new(), vec![0, 1, 2, 3, 4, 5], 0);
        while let Some(at) = todo.pop() {
            reached += 1;
            let shape = &self.frames[at].shape;
            match &self.contents[at] {
                Content::Leaf(items) => {
                    assert!(at < HEMISPHERES || !items.is_empty(), "an empty leaf stayed");
                    assert!(items.len() <= SPLIT_ABOVE || shape.is_smallest(), "a full leaf stayed");
                    for (index, item) in items.iter().enumerate() {
                        assert!(shape.contains(&item.unit));
                        found.push((Place { tree: 0, cell: at, at: index }, *item));
                    }
                }
                Content::Divided(quarters) => {
                    assert!(self.children(at).next().is_some(), "a divided cell without children");
                    for quadrant in 0..4 {
                        let Some(child) = quarters.child(quadrant) else {
                            assert_eq!(quarters.lo[0][quadrant], f32::INFINITY);
                            continue;
                        };
                        let frame = &self.frames[child];
                        assert_eq!((frame.parent, &frame.shape), (at, &shape.quarter(quadrant)));
                        for axis in 0..3 {
                            let (lo, hi) = frame.shape.outer();
                            assert_eq!(
                                (quarters.lo[axis][quadrant], quarters.hi[axis][quadrant]),
                                (lo[axis], hi[axis])
                            );
                        }
                        todo.push(child);
                    }
                }
            }
        }
        assert_eq!(reached + self.free.len(), self.frames.len(), "a cell is neither used nor free");
        found
    }
}
