//! Keeps the nearest candidates of a search.

use super::super::point::{Unit, chord_limit, chord_squared, near_distance_m, unit_distance_m};
use super::roster::Roster;
use super::{NearestQuery, Neighbour};

/// How far a squared chord may lie above another and still belong to an equal or lesser distance.
///
/// The order is that of distances, the search compares squared chords. Both are rounded, a distance by a few times
/// 2^-53, so chords within a few 10^-16 of each other may give distances that are equal or the other way round.
/// Everything within 10^-14 is therefore kept to the end.
const SLACK: f64 = 1.0 + 1e-14;

pub(super) struct Nearest<'q> {
    query: &'q NearestQuery<'q>,
    center: Unit,
    /// Candidates beyond this squared chord cannot be in the answer.
    bound: f64,
    /// When to look for a tighter bound again.
    full_at: usize,
    found: Vec<Candidate>,
    /// Room for [`Nearest::offer_all`].
    scratch: [Candidate; SCRATCH],
}

const SCRATCH: usize = 32;

/// A vehicle of an index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) unit: Unit,
    pub(super) slot: usize,
}

#[derive(Clone, Copy, Default)]
struct Candidate {
    chord_squared: f64,
    slot: usize,
}

impl Candidate {
    /// Numbers from 0 upwards are in the order of their bits, which compare faster.
    const fn key(&self) -> u64 {
        self.chord_squared.to_bits()
    }
}

impl<'q> Nearest<'q> {
    /// `None` when nothing can satisfy the query.
    pub(super) fn new(query: &'q NearestQuery<'q>) -> Option<Self> {
        let bound = chord_limit(query.radius_m)?;
        if query.limit == 0 {
            return None;
        }
        let found = Vec::with_capacity(query.limit.saturating_mul(2).saturating_add(SCRATCH).min(256));
        let scratch = [Candidate::default(); SCRATCH];
        Some(Self { query, center: query.center.unit(), bound, full_at: query.limit, found, scratch })
    }

    pub(super) fn center(&self) -> &Unit {
        &self.center
    }

    pub(super) fn bound(&self) -> f64 {
        self.bound
    }

    /// Takes those of the vehicles that are within the bound and pass.
    pub(super) fn offer_all(&mut self, items: &[Item], admits: &impl Fn(usize) -> bool) {
        for items in items.chunks(SCRATCH) {
            // Every vehicle is written down, and the next one over it if it was too far: no processor can foresee
            // which ones are, and a wrong guess costs it more than the store does.
            let mut within = 0_usize;
            for Item { unit, slot } in items {
                let chord_squared = chord_squared(&self.center, unit);
                if let Some(place) = self.scratch.get_mut(within) {
                    *place = Candidate { chord_squared, slot: *slot };
                }
                within = within.wrapping_add(usize::from(chord_squared <= self.bound));
            }
            self.found.extend(self.scratch.iter().take(within).filter(|one| admits(one.slot)));
            if self.found.len() >= self.full_at {
                self.tighten();
            }
        }
    }

    /// Lowers the bound to where the wanted number are still within it.
    fn tighten(&mut self) {
        let last = self.query.limit.saturating_sub(1);
        if last >= self.found.len() {
            return;
        }
        let (_, enough, _) = self.found.select_nth_unstable_by_key(last, Candidate::key);
        let bound = enough.chord_squared * SLACK;
        self.bound = self.bound.min(bound);
        self.found.retain(|one| one.chord_squared <= bound);
        // Many at one distance all stay; twice as many must come before it is worth looking again.
        let kept = self.found.len();
        self.full_at = kept.saturating_add(kept.max(8));
    }

    /// The answer.
    pub(super) fn finish(mut self, roster: &Roster) -> Vec<Neighbour> {
        self.tighten();
        // Chords are in nearly the order of distances, which leaves the second sort next to nothing to do.
        self.found.sort_unstable_by_key(Candidate::key);
        let mut answer = Vec::with_capacity(self.found.len());
        for Candidate { chord_squared, slot } in &self.found {
            let far = || Some(unit_distance_m(&self.center, &roster.entry(*slot)?.point.unit()));
            if let Some(distance_m) = near_distance_m(*chord_squared).or_else(far)
                && distance_m <= self.query.radius_m
                && let Some(id) = roster.id(*slot)
            {
                answer.push(Neighbour { id: id.clone(), distance_m });
            }
        }
        answer.sort_by(|a, b| a.distance_m.total_cmp(&b.distance_m).then_with(|| a.id.cmp(&b.id)));
        answer.truncate(self.query.limit);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::point::Point;
    use super::*;

    /// Nobody sees a bound that is too large, but every cell within it is searched.
    #[test]
    fn the_bound_comes_down_to_the_last_that_is_wanted() {
        let center = Point::new(52.52, 13.405).unwrap();
        let query = NearestQuery {
            center,
            radius_m: 10_000.0,
            limit: 5,
            vehicle_type: None,
            min_charge: None,
            min_range_m: None,
        };
        let mut nearest = Nearest::new(&query).unwrap();
        let items: Vec<Item> = (1..=1_000)
            .map(|slot| Item { unit: Point::new(52.52 + slot as f64 * 1e-5, 13.405).unwrap().unit(), slot })
            .collect();
        nearest.offer_all(&items, &|_| true);
        let far = chord_squared(&center.unit(), &items[31].unit);
        assert!(nearest.bound() <= far, "still {} after a thousand", nearest.bound());
        nearest.tighten();
        let fifth = chord_squared(&center.unit(), &items[4].unit);
        assert!(fifth <= nearest.bound() && nearest.bound() < fifth * (1.0 + 1e-13), "{}", nearest.bound());
    }
}
