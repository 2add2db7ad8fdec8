//! The geometry of a cell: a patch of the unit sphere and the box around it.

use super::super::super::point::Unit;

/// The edge of the smallest cell: 2^-22, a metre and a half. Vehicles piled up on one spot share a cell of any
/// number.
const SMALLEST: f64 = 1.0 / 4_194_304.0;

/// How far the squared length of a computed unit vector may be off 1, generously: its roundings are a few 2^-53.
const OFF_SPHERE: f64 = 1e-14;

/// The part of a hemisphere that lies over a rectangle of its disc, seen along the axis it is named after.
///
/// The sides of the rectangle are multiples of a power of two, so they and their halves are exact. The box
/// around the patch reaches along the third axis as far as the sphere does over the rectangle.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    hemisphere: Hemisphere,
    first: Side,
    second: Side,
    lo: Unit,
    hi: Unit,
}

/// One of six: the halves around +x, -x, +y, -y, +z and -z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hemisphere {
    along: Axis,
    negative: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    X,
    Y,
    Z,
}

impl Axis {
    /// The two other coordinates.
    const fn across(self, [x, y, z]: Unit) -> (f64, f64) {
        match self {
            Self::X => (y, z),
            Self::Y => (x, z),
            Self::Z => (x, y),
        }
    }

    const fn join(self, first: f64, second: f64, along: f64) -> Unit {
        match self {
            Self::X => [along, first, second],
            Self::Y => [first, along, second],
            Self::Z => [first, second, along],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Side {
    lo: f64,
    hi: f64,
}

impl Side {
    const WHOLE: Self = Self { lo: -1.0, hi: 1.0 };

    const fn middle(self) -> f64 {
        self.lo + (self.hi - self.lo) / 2.0
    }

    const fn half(self, upper: bool) -> Self {
        if upper { Self { lo: self.middle(), hi: self.hi } } else { Self { lo: self.lo, hi: self.middle() } }
    }

    /// The least and the greatest square of a number within. No side but a hemisphere's straddles 0.
    fn squares(self) -> (f64, f64) {
        let (lo, hi) = (self.lo * self.lo, self.hi * self.hi);
        if self.lo < 0.0 && self.hi > 0.0 { (0.0, lo.max(hi)) } else { (lo.min(hi), lo.max(hi)) }
    }
}

impl Shape {
    fn new(hemisphere: Hemisphere, first: Side, second: Side) -> Self {
        let ((a_least, a_most), (b_least, b_most)) = (first.squares(), second.squares());
        let top = (1.0 - a_least - b_least + OFF_SPHERE).max(0.0).sqrt();
        let bottom = (1.0 - a_most - b_most - OFF_SPHERE).max(0.0).sqrt();
        let (low, high) = if hemisphere.negative { (-top, -bottom) } else { (bottom, top) };
        Self {
            hemisphere,
            first,
            second,
            lo: hemisphere.along.join(first.lo, second.lo, low),
            hi: hemisphere.along.join(first.hi, second.hi, high),
        }
    }

    /// The six hemispheres. They overlap: a point goes into the one of [`Shape::hemisphere_of`], whose axis it is
    /// closest to, so that no patch with vehicles is seen from a steep side.
    pub(super) fn hemispheres() -> impl Iterator<Item = Self> {
        let axes = [Axis::X, Axis::Y, Axis::Z].into_iter();
        let both = axes.flat_map(|along| [false, true].map(|negative| Hemisphere { along, negative }));
        both.map(|hemisphere| Self::new(hemisphere, Side::WHOLE, Side::WHOLE))
    }

    /// The place in [`Shape::hemispheres`] of the one a point belongs to.
    pub(super) fn hemisphere_of([x, y, z]: &Unit) -> usize {
        let (axis, along) = if x.abs() >= y.abs() && x.abs() >= z.abs() {
            (0, x)
        } else if y.abs() >= z.abs() {
            (2, y)
        } else {
            (4, z)
        };
        axis | usize::from(*along < 0.0)
    }

    /// The corners of a box around the patch, in half the memory and never smaller than the box itself.
    pub(super) fn outer(&self) -> ([f32; 3], [f32; 3]) {
        let lo = self.lo.map(|at| {
            let near = at as f32;
            if f64::from(near) > at { near.next_down() } else { near }
        });
        let hi = self.hi.map(|at| {
            let near = at as f32;
            if f64::from(near) < at { near.next_up() } else { near }
        });
        (lo, hi)
    }

    pub(super) fn is_smallest(&self) -> bool {
        self.first.hi - self.first.lo <= SMALLEST
    }

    /// Whether the box around the patch holds the point.
    pub(super) fn contains(&self, unit: &Unit) -> bool {
        unit.iter().zip(&self.lo).zip(&self.hi).all(|((at, lo), hi)| lo <= at && at <= hi)
    }

    /// In which quarter of the patch a point lies: bit 0 for the upper half of one side, bit 1 for the other's.
    pub(super) fn quadrant(&self, unit: &Unit) -> usize {
        let (first, second) = self.hemisphere.along.across(*unit);
        usize::from(first >= self.first.middle()) | usize::from(second >= self.second.middle()) << 1
    }

    /// The quarter of that number.
    pub(super) fn quarter(&self, quadrant: usize) -> Self {
        let (first, second) = (self.first.half(quadrant & 1 == 1), self.second.half(quadrant & 2 == 2));
        Self::new(self.hemisphere, first, second)
    }

    /// The squared gap from a point to the box around the patch.
    pub(super) fn bound(&self, center: &Unit) -> f64 {
        let sides = center.iter().zip(&self.lo).zip(&self.hi);
        sides.fold(0.0, |sum, ((at, lo), hi)| sum + gap_squared(*at, *lo, *hi))
    }
}

/// The square of the distance from `at` to the interval; 0 within it.
pub(super) fn gap_squared(at: f64, lo: f64, hi: f64) -> f64 {
    // Not `f64::max`: it looks out for NaN, of which there is none here, and takes three times as long.
    let (below, above) = (lo - at, at - hi);
    let gap = if below > above { below } else { above };
    let gap = if gap > 0.0 { gap } else { 0.0 };
    gap * gap
}
