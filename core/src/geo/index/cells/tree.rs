//! Adaptive cells: six bucket quadtrees on the faces of a cube around the unit sphere.

use super::super::super::point::Unit;
use super::super::nearest::{Item, Nearest};
use super::shape::{Face, Quartering, Shape, View};

/// A leaf with more vehicles than this is divided.
const SPLIT_ABOVE: usize = 32;
/// Leaves that together hold no more than this become one; well below the above, so that a vehicle that goes to
/// and fro does not divide and join at every step.
const MERGE_UP_TO: usize = 16;
/// A leaf is looked at for joining only when it has become this empty.
const MERGE_LOOK: usize = 4;
const NONE: usize = usize::MAX;

/// Where a vehicle is: which tree, which cell of it, which quarter of that, which vehicle there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) tree: usize,
    pub(super) leaf: Leaf,
    pub(super) at: usize,
}

/// A quarter of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Leaf {
    cell: usize,
    quadrant: usize,
}

/// Cells in cells. The first six are the faces of a cube around the earth; each cell has four quarters, and each
/// of those holds nothing, a few vehicles or a cell again.
#[derive(Clone, Debug)]
pub(super) struct CellTree {
    /// What a search reads, apart from the rest so that more of it stays in the processor's cache.
    cells: Vec<Cell>,
    /// By the same numbers: what only changes read.
    frames: Vec<Frame>,
    free: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Frame {
    shape: Shape,
    parent: Leaf,
}

#[derive(Clone, Debug)]
struct Cell {
    quartering: Quartering,
    quarters: [Quarter; 4],
}

#[derive(Clone, Debug, Default)]
enum Quarter {
    #[default]
    Nothing,
    Vehicles(Vec<Item>),
    Cell(usize),
}

impl Default for CellTree {
    fn default() -> Self {
        let parent = Leaf { cell: NONE, quadrant: NONE };
        let frames: Vec<_> =
            Face::ALL.into_iter().map(|face| Frame { shape: Shape::whole(face), parent }).collect();
        Self { cells: frames.iter().map(|frame| Cell::new(&frame.shape)).collect(), frames, free: Vec::new() }
    }
}

impl Cell {
    fn new(shape: &Shape) -> Self {
        Self { quartering: shape.quartering(), quarters: Default::default() }
    }

    fn vehicles_mut(&mut self, quadrant: usize) -> Option<&mut Vec<Item>> {
        match self.quarters.get_mut(quadrant)? {
            Quarter::Vehicles(items) => Some(items),
            Quarter::Nothing | Quarter::Cell(_) => None,
        }
    }

    fn set(&mut self, quadrant: usize, content: Quarter) {
        if let Some(quarter) = self.quarters.get_mut(quadrant) {
            *quarter = content;
        }
    }

    fn push(&mut self, leaf: Leaf, item: Item, places: &mut [Place]) {
        if let Some(items) = self.vehicles_mut(leaf.quadrant) {
            note(places, item.slot, leaf, items.len());
            items.push(item);
        } else {
            note(places, item.slot, leaf, 0);
            self.set(leaf.quadrant, Quarter::Vehicles(vec![item]));
        }
    }

    /// The number of vehicles, when none of the quarters is divided.
    fn held(&self) -> Option<usize> {
        self.quarters.iter().try_fold(0_usize, |sum, quarter| match quarter {
            Quarter::Nothing => Some(sum),
            Quarter::Vehicles(items) => Some(sum.saturating_add(items.len())),
            Quarter::Cell(_) => None,
        })
    }

    /// The one divided quarter of a cell that has nothing in the others.
    fn only_cell(&self) -> Option<usize> {
        self.quarters.iter().try_fold(None, |only, quarter| match (quarter, only) {
            (Quarter::Nothing, _) => Some(only),
            (Quarter::Cell(cell), None) => Some(Some(*cell)),
            (Quarter::Cell(_), Some(_)) | (Quarter::Vehicles(_), _) => None,
        })?
    }
}

impl CellTree {
    /// Puts a vehicle in and notes its place, and that of every vehicle that makes room for it.
    pub(super) fn insert(&mut self, item: Item, places: &mut [Place]) {
        let face = Face::of(&item.unit);
        let view = face.view(item.unit);
        let mut number = face.number();
        while let Some(cell) = self.cells.get_mut(number) {
            let leaf = Leaf { cell: number, quadrant: cell.quartering.quadrant(&view) };
            if let Some(Quarter::Cell(inner)) = cell.quarters.get(leaf.quadrant) {
                number = *inner;
            } else {
                cell.push(leaf, item, places);
                self.divide_if_full(leaf, places);
                return;
            }
        }
    }

    /// Moves a vehicle within its leaf; `false` when the leaf does not reach that far.
    pub(super) fn shift(&mut self, place: Place, unit: Unit) -> bool {
        let Leaf { cell, quadrant } = place.leaf;
        if let (Some(frame), Some(cell)) = (self.frames.get(cell), self.cells.get_mut(cell))
            && cell.quartering.holds(quadrant, &frame.shape.face().view(unit))
            && let Some(item) = cell.vehicles_mut(quadrant).and_then(|items| items.get_mut(place.at))
        {
            item.unit = unit;
            return true;
        }
        false
    }

    /// Takes a vehicle out and notes the place of every vehicle that moves up for it.
    pub(super) fn remove(&mut self, place: Place, places: &mut [Place]) {
        let Place { leaf, at, .. } = place;
        let Some(cell) = self.cells.get_mut(leaf.cell) else { return };
        let Some(items) = cell.vehicles_mut(leaf.quadrant) else { return };
        if at >= items.len() {
            return;
        }
        items.swap_remove(at);
        if let Some(moved) = items.get(at) {
            note(places, moved.slot, leaf, at);
        }
        if items.is_empty() {
            cell.set(leaf.quadrant, Quarter::Nothing);
        } else if items.len() > MERGE_LOOK {
            return;
        }
        self.join_upwards(leaf.cell, places);
    }

    /// Offers every vehicle that could be among the nearest.
    pub(super) fn search(&self, nearest: &mut Nearest<'_>, admits: &impl Fn(usize) -> bool) {
        let center = *nearest.center();
        // The face that the centre is on first: what lies there makes the others' bounds count.
        let home = Face::of(&center);
        let others = Face::ALL.into_iter().filter(|face| *face != home);
        for face in core::iter::once(home).chain(others) {
            self.search_cell(self.fork(face.number()), &face.view(center), nearest, admits);
        }
    }

    /// The first cell from here on that offers a choice: down to a city there is a long way without one.
    fn fork(&self, from: usize) -> usize {
        let mut at = from;
        while let Some(only) = self.cells.get(at).and_then(Cell::only_cell) {
            at = only;
        }
        at
    }

    fn search_cell(
        &self,
        cell: usize,
        view: &View,
        nearest: &mut Nearest<'_>,
        admits: &impl Fn(usize) -> bool,
    ) {
        let Some(cell) = self.cells.get(cell) else { return };
        for (bound, quadrant) in cell.quartering.nearest_first(view) {
            if bound > nearest.bound() {
                return;
            }
            match cell.quarters.get(quadrant) {
                Some(Quarter::Vehicles(items)) => nearest.offer_all(items, admits),
                Some(Quarter::Cell(inner)) => self.search_cell(*inner, view, nearest, admits),
                Some(Quarter::Nothing) | None => {}
            }
        }
    }

    fn divide_if_full(&mut self, leaf: Leaf, places: &mut [Place]) {
        let (Some(cell), Some(frame)) = (self.cells.get_mut(leaf.cell), self.frames.get(leaf.cell)) else {
            return;
        };
        let Some(items) = cell.vehicles_mut(leaf.quadrant).filter(|items| items.len() > SPLIT_ABOVE) else {
            return;
        };
        let shape = frame.shape.quarter(leaf.quadrant);
        if shape.is_smallest() {
            return;
        }
        let items = core::mem::take(items);
        let own = self.free.pop().unwrap_or(self.frames.len());
        cell.set(leaf.quadrant, Quarter::Cell(own));
        let mut cell = Cell::new(&shape);
        for item in items {
            let quadrant = cell.quartering.quadrant(&shape.face().view(item.unit));
            cell.push(Leaf { cell: own, quadrant }, item, places);
        }
        let frame = Frame { shape, parent: leaf };
        if let (Some(old_cell), Some(old_frame)) = (self.cells.get_mut(own), self.frames.get_mut(own)) {
            *old_cell = cell;
            *old_frame = frame;
        } else {
            self.cells.push(cell);
            self.frames.push(frame);
        }
        for quadrant in 0..4 {
            self.divide_if_full(Leaf { cell: own, quadrant }, places);
        }
    }

    /// Makes a cell that has become nearly empty a leaf of the cell around it, and so on outwards.
    fn join_upwards(&mut self, from: usize, places: &mut [Place]) {
        let mut at = from;
        while let (Some(cell), Some(frame)) = (self.cells.get_mut(at), self.frames.get(at)) {
            let (Some(held), Leaf { cell: outer, quadrant }) = (cell.held(), frame.parent) else { return };
            if held > MERGE_UP_TO || outer == NONE {
                return;
            }
            let mut joined = Vec::with_capacity(held);
            for quadrant in 0..4 {
                if let Some(items) = cell.vehicles_mut(quadrant) {
                    joined.append(items);
                }
            }
            for (index, item) in joined.iter().enumerate() {
                note(places, item.slot, frame.parent, index);
            }
            cell.quarters = Default::default();
            if let Some(outer) = self.cells.get_mut(outer) {
                let content = if joined.is_empty() { Quarter::Nothing } else { Quarter::Vehicles(joined) };
                outer.set(quadrant, content);
            }
            self.free.push(at);
            at = outer;
        }
    }
}

fn note(places: &mut [Place], slot: usize, leaf: Leaf, at: usize) {
    if let Some(place) = places.get_mut(slot) {
        place.leaf = leaf;
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
            let (cell, shape) = (&self.cells[at], &self.frames[at].shape);
            assert_eq!(cell.quartering, shape.quartering());
            assert!(at < 6 || cell.held().is_none_or(|held| held > 0), "an empty cell stayed");
            for quadrant in 0..4 {
                let leaf = Leaf { cell: at, quadrant };
                let inner = shape.quarter(quadrant);
                match &cell.quarters[quadrant] {
                    Quarter::Nothing => {}
                    Quarter::Vehicles(items) => {
                        assert!(!items.is_empty(), "an empty leaf stayed");
                        assert!(items.len() <= SPLIT_ABOVE || inner.is_smallest(), "a full leaf stayed");
                        for (index, item) in items.iter().enumerate() {
                            assert!(cell.quartering.holds(quadrant, &shape.face().view(item.unit)));
                            found.push((Place { tree: 0, leaf, at: index }, *item));
                        }
                    }
                    Quarter::Cell(cell) => {
                        assert_eq!((self.frames[*cell].parent, &self.frames[*cell].shape), (leaf, &inner));
                        todo.push(*cell);
                    }
                }
            }
        }
        assert_eq!(reached + self.free.len(), self.frames.len(), "a cell is neither used nor free");
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::point::Point;
    use super::*;

    /// A tree of vehicles, and where each is.
    struct Grown {
        tree: CellTree,
        places: Vec<Place>,
    }

    impl Grown {
        fn new(points: impl IntoIterator<Item = (f64, f64)>) -> Self {
            let points: Vec<_> = points.into_iter().collect();
            let mut grown = Self { tree: CellTree::default(), places: vec![Place::default(); points.len()] };
            for (slot, (lat, lon)) in points.into_iter().enumerate() {
                let unit = Point::new(lat, lon).unwrap().unit();
                grown.tree.insert(Item { unit, slot }, &mut grown.places);
            }
            grown
        }

        fn remove(&mut self, slot: usize) {
            self.tree.remove(self.places[slot], &mut self.places);
        }

        /// Cells in use beyond the six faces.
        fn divided(&self) -> usize {
            self.tree.check();
            self.tree.frames.len() - self.tree.free.len() - 6
        }
    }

    /// In each quarter of the upper quarter of the face that looks at 0, 0: near the middles of 11.25 degrees squared.
    fn four_corners(each: [u32; 4]) -> impl Iterator<Item = (f64, f64)> {
        let middles = [(11.0, 11.0), (11.0, 34.0), (34.0, 11.0), (30.0, 34.0)];
        middles.into_iter().zip(each).flat_map(|((lat, lon), number)| {
            (0..number).map(move |n| (lat + f64::from(n) * 1e-3, lon + f64::from(n) * 1e-3))
        })
    }

    #[test]
    fn a_leaf_is_divided_when_it_is_more_than_full() {
        let full = SPLIT_ABOVE as u32 / 4;
        assert_eq!(Grown::new(four_corners([full; 4])).divided(), 0);
        assert_eq!(Grown::new(four_corners([full, full, full, full + 1])).divided(), 1);
    }

    #[test]
    fn cells_that_are_nearly_empty_are_joined() {
        let mut grown = Grown::new(four_corners([21, 4, 4, 4]));
        assert_eq!(grown.divided(), 1);
        for slot in 0..16 {
            grown.remove(slot);
        }
        assert_eq!(grown.divided(), 1, "17 are left");
        grown.remove(16);
        assert_eq!(grown.divided(), 0, "16 are left, and the leaf that was touched has 4");

        let mut grown = Grown::new(four_corners([20, 5, 4, 4]));
        for slot in 0..16 {
            grown.remove(slot);
        }
        assert_eq!(grown.divided(), 1, "17 are left");
        grown.remove(25);
        assert_eq!(grown.divided(), 0, "16 are left, and the leaf that was touched has 3");
    }

    #[test]
    fn an_empty_tree_keeps_no_cell() {
        let mut grown = Grown::new((0..500).map(|n| (f64::from(n % 25), f64::from(n / 25))));
        assert!(grown.divided() > 10);
        (0..500).for_each(|slot| grown.remove(slot));
        assert_eq!(grown.divided(), 0);
    }

    #[test]
    fn a_vehicle_that_stays_in_its_leaf_is_moved_there() {
        let mut grown = Grown::new(four_corners([10; 4]));
        let moved = |lat, lon| Point::new(lat, lon).unwrap().unit();
        assert!(grown.tree.shift(grown.places[3], moved(10.0, 12.0)));
        assert!(!grown.tree.shift(grown.places[3], moved(34.0, 11.0)));
        assert!(grown.tree.check().iter().any(|(_, item)| item.unit == moved(10.0, 12.0)));
    }

    /// Every search from afar would else go down cell by cell to the one city there is.
    #[test]
    fn a_search_starts_where_there_is_a_choice() {
        let city =
            Grown::new((0..100).map(|n| (52.5 + f64::from(n % 10) * 1e-3, 13.4 + f64::from(n / 10) * 1e-3)));
        let face = Face::of(&Point::new(52.5, 13.4).unwrap().unit()).number();
        let fork = city.tree.fork(face);
        let depth = |mut at: usize| {
            let mut depth = 0;
            while at >= 6 {
                at = city.tree.frames[at].parent.cell;
                depth += 1;
            }
            depth
        };
        assert!(depth(fork) >= 8, "a choice at depth {}", depth(fork));
        assert_eq!(city.tree.fork((face + 2) % 6), (face + 2) % 6);
    }
}
