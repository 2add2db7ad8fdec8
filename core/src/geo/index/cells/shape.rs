//! The geometry of a cell: a square patch of the unit sphere.

use super::super::super::point::Unit;

/// One of the six faces of a cube around the earth: those that look along +x, -x, +y, -y, +z and -z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Face(usize);

/// A point as a face sees it: height over the centre of the earth, and the two directions across.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    height: f64,
    first: f64,
    second: f64,
}

impl Face {
    pub(super) const ALL: [Self; 6] = [Self(0), Self(1), Self(2), Self(3), Self(4), Self(5)];

    /// The face that a point lies on, by the greatest of its coordinates.
    pub(super) fn of([x, y, z]: &Unit) -> Self {
        let (pair, along) = if x.abs() >= y.abs() && x.abs() >= z.abs() {
            (0, x)
        } else if y.abs() >= z.abs() {
            (2, y)
        } else {
            (4, z)
        };
        Self(pair | usize::from(*along < 0.0))
    }

    /// Its place in [`Face::ALL`].
    pub(super) const fn number(self) -> usize {
        self.0
    }

    pub(super) const fn view(self, [x, y, z]: Unit) -> View {
        let (along, first, second) = match self.0 {
            0 | 1 => (x, y, z),
            2 | 3 => (y, x, z),
            _ => (z, x, y),
        };
        View { height: if self.0 & 1 == 1 { -along } else { along }, first, second }
    }
}

/// A plane through the centre of the earth, leaning over one of the two directions across a face: cosine and
/// sine of how far. Planes are what parts cells, so their edges are great circles.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Plane {
    cos: f64,
    sin: f64,
}

impl Plane {
    fn at(angle: f64) -> Self {
        Self { cos: libm::cos(angle), sin: libm::sin(angle) }
    }

    /// How far a point is beyond the plane: negative on the near side.
    const fn beyond(self, height: f64, across: f64) -> f64 {
        across * self.cos - height * self.sin
    }
}

/// Three planes that part a cell in halves: its near edge, its middle, its far edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Halves {
    near: Plane,
    middle: Plane,
    far: Plane,
}

impl Halves {
    fn is_upper(&self, height: f64, across: f64) -> bool {
        self.middle.beyond(height, across) >= 0.0
    }

    fn holds(&self, upper: bool, height: f64, across: f64) -> bool {
        let (near, far) = if upper { (self.middle, self.far) } else { (self.near, self.middle) };
        near.beyond(height, across) >= -EDGE && far.beyond(height, across) <= EDGE
    }

    /// The squared gaps from a point to the lower and to the upper half.
    const fn gaps_squared(&self, height: f64, across: f64) -> [f64; 2] {
        let near = self.near.beyond(height, across) + ROUNDING;
        let middle = self.middle.beyond(height, across);
        let far = self.far.beyond(height, across) - ROUNDING;
        // At most one of each pair is above 0, so the sum is the one or the other without a branch.
        let (below, above) = ((-near).max(0.0), (middle - ROUNDING).max(0.0));
        let (under, over) = ((-middle - ROUNDING).max(0.0), far.max(0.0));
        [below * below + above * above, under * under + over * over]
    }
}

/// How far beyond a plane a point still belongs to a cell: at the edge of the cube, where both are 45 degrees, sine
/// and cosine are an ulp apart. Well within [`ROUNDING`].
const EDGE: f64 = 1e-15;

/// Ten times what rounding, a few 2^-53, can change in the distance of a unit vector from a plane or in a chord:
/// 64 nanometres.
const ROUNDING: f64 = 1e-14;

/// How a cell is parted in four: by halves both ways.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quartering {
    first: Halves,
    second: Halves,
}

impl Quartering {
    /// In which quarter a point of the cell lies: bit 0 for the upper half one way, bit 1 for the other.
    pub(super) fn quadrant(&self, at: &View) -> usize {
        usize::from(self.first.is_upper(at.height, at.first))
            | usize::from(self.second.is_upper(at.height, at.second)) << 1
    }

    /// Whether a point lies in that quarter, its edges included.
    pub(super) fn holds(&self, quadrant: usize, at: &View) -> bool {
        self.first.holds(quadrant & 1 == 1, at.height, at.first)
            && self.second.holds(quadrant & 2 == 2, at.height, at.second)
    }

    /// The quadrants, the nearest first, each with a lower bound of the squared chord to anything in it.
    ///
    /// The chord to a point beyond a plane is no shorter than the way to the plane. Beyond two planes it is no
    /// shorter than the way to the edge where they meet, and that is at least the root of the sum of the squares
    /// over 1 + |cos| of the angle between them, which on a face of a cube is 60 degrees or more.
    pub(super) fn nearest_first(&self, at: &View) -> [(f64, usize); 4] {
        let [low, high] = self.first.gaps_squared(at.height, at.first);
        let [left, right] = self.second.gaps_squared(at.height, at.second);
        let bound = |a: f64, b: f64| a.max(b).max((a + b) * (1.0 / 1.500_001));
        let bounds = [bound(low, left), bound(high, left), bound(low, right), bound(high, right)];
        // The quadrant takes the place of the two lowest bits: that rounds down, and integers sort fast.
        let [a, b, c, d] = bounds.map(|bound| bound.to_bits() & !3);
        let order = |x: u64, y: u64| (x.min(y), x.max(y));
        let ((a, b), (c, d)) = (order(a, b | 1), order(c | 2, d | 3));
        let ((first, c), (b, last)) = (order(a, c), order(b, d));
        let (second, third) = order(b, c);
        [first, second, third, last].map(|key| (f64::from_bits(key & !3), (key & 3) as usize))
    }
}

/// A patch of a face between two planes each way.
///
/// The planes stand at equal angles rather than at equal distances on the cube, so cells of one depth are nearly
/// of one size (the "tangent" projection of S2).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    face: Face,
    depth: u8,
    first: Side,
    second: Side,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Side {
    /// Radians from the axis of the face.
    from: f64,
    to: f64,
}

impl Side {
    const WHOLE: Self = Self { from: -core::f64::consts::FRAC_PI_4, to: core::f64::consts::FRAC_PI_4 };

    const fn middle(self) -> f64 {
        f64::midpoint(self.from, self.to)
    }

    const fn half(self, upper: bool) -> Self {
        if upper {
            Self { from: self.middle(), to: self.to }
        } else {
            Self { from: self.from, to: self.middle() }
        }
    }

    fn halves(self) -> Halves {
        Halves { near: Plane::at(self.from), middle: Plane::at(self.middle()), far: Plane::at(self.to) }
    }
}

/// Cells are not divided any further when their edge is 2.4 m, a quarter circle halved so often. Vehicles piled up
/// on one spot share a cell of any number.
const DEEPEST: u8 = 22;

impl Shape {
    pub(super) const fn whole(face: Face) -> Self {
        Self { face, depth: 0, first: Side::WHOLE, second: Side::WHOLE }
    }

    pub(super) const fn face(&self) -> Face {
        self.face
    }

    pub(super) const fn is_smallest(&self) -> bool {
        self.depth >= DEEPEST
    }

    pub(super) fn quartering(&self) -> Quartering {
        Quartering { first: self.first.halves(), second: self.second.halves() }
    }

    pub(super) const fn quarter(&self, quadrant: usize) -> Self {
        Self {
            face: self.face,
            depth: self.depth.saturating_add(1),
            first: self.first.half(quadrant & 1 == 1),
            second: self.second.half(quadrant & 2 == 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::point::{Point, chord_squared};
    use super::*;
    use proptest::prelude::*;

    fn any_unit() -> impl Strategy<Value = Unit> {
        let lon =
            prop_oneof![3 => -180.0..=180.0_f64, 1 => prop::sample::select(vec![45.0, -45.0, 135.0, 180.0])];
        (-90.0..=90.0_f64, lon).prop_map(|(lat, lon)| Point::new(lat, lon).unwrap().unit())
    }

    #[test]
    fn cells_halve_down_to_the_smallest() {
        let mut shape = Shape::whole(Face::ALL[0]);
        let whole = Side::WHOLE.to - Side::WHOLE.from;
        for (depth, upper) in (1..=DEEPEST).zip([true, false, false, true].into_iter().cycle()) {
            assert!(!shape.is_smallest(), "at depth {}", depth - 1);
            let before = shape.first;
            shape = shape.quarter(usize::from(upper));
            let width = shape.first.to - shape.first.from;
            assert!((width * 2_f64.powi(i32::from(depth)) - whole).abs() < 1e-6, "{width} at depth {depth}");
            assert!(if upper { shape.first.to == before.to } else { shape.first.from == before.from });
            assert_eq!(shape.first.middle(), f64::midpoint(shape.first.from, shape.first.to));
        }
        assert!(shape.is_smallest());
    }

    /// A gap is the way to the plane, and no more than that after rounding.
    #[test]
    fn a_gap_is_the_sine_of_the_angle_to_the_plane() {
        let halves = Side::WHOLE.halves();
        let gaps = |degrees: f64| {
            let angle = degrees.to_radians();
            halves.gaps_squared(libm::cos(angle), libm::sin(angle)).map(f64::sqrt)
        };
        let near = |gap: f64, degrees: f64| {
            let short = libm::sin(degrees.to_radians()) - gap;
            assert!((5e-15..2e-14).contains(&short), "{gap} for {degrees} degrees, {short:e} too short");
        };
        let [lower, upper] = gaps(60.0);
        near(lower, 60.0);
        near(upper, 15.0);
        let [lower, upper] = gaps(-70.0);
        near(lower, 25.0);
        near(upper, 70.0);
        let [lower, upper] = gaps(30.0);
        near(lower, 30.0);
        assert_eq!(upper, 0.0);
        let [lower, upper] = gaps(-30.0);
        near(upper, 30.0);
        assert_eq!(lower, 0.0);
    }

    /// Beyond two planes the bound is more than the way to either.
    #[test]
    fn a_quarter_across_the_corner_is_farther_than_either_side() {
        let quartering = Shape::whole(Face::ALL[0]).quartering();
        let at = View { height: 0.8, first: 0.42, second: 0.43 };
        let order = quartering.nearest_first(&at);
        assert_eq!(order.map(|(_, quadrant)| quadrant), [3, 2, 1, 0]);
        let [(_, _), (_, _), (side, _), (corner, _)] = order;
        let sum = 0.42_f64.powi(2) + 0.43_f64.powi(2);
        assert!(corner > side * 1.2 && (corner - sum / 1.500_001).abs() < 1e-12, "{corner} and {side}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn no_vehicle_is_nearer_than_the_bound_of_its_cell(
            vehicle in any_unit(),
            far in any_unit(),
            near in (-1e-3..1e-3_f64, -1e-3..1e-3_f64, -1e-3..1e-3_f64),
            is_near in any::<bool>(),
        ) {
            let [x, y, z] = vehicle;
            let moved = [x + near.0, y + near.1, z + near.2];
            let length = moved.iter().map(|c| c * c).sum::<f64>().sqrt();
            let center = if is_near { moved.map(|c| c / length) } else { far };
            let face = Face::of(&vehicle);
            let (seen, asked) = (face.view(vehicle), face.view(center));
            let mut shape = Shape::whole(face);
            while !shape.is_smallest() {
                let quartering = shape.quartering();
                let quadrant = quartering.quadrant(&seen);
                prop_assert!(quartering.holds(quadrant, &seen));
                let order = quartering.nearest_first(&asked);
                prop_assert!(order.is_sorted_by(|a, b| a.0 <= b.0));
                let bound = order.iter().find(|(_, number)| *number == quadrant).unwrap().0;
                prop_assert!(bound <= chord_squared(&center, &vehicle), "{bound} at {shape:?}");
                shape = shape.quarter(quadrant);
            }
        }
    }
}
