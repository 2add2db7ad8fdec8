//! Keeps the nearest candidates of a search.

use super::super::point::{Unit, chord_limit, near_distance_m, unit_distance_m};
use super::roster::Roster;
use super::{NearestQuery, Neighbour};

/// How far a squared chord may lie above another and still belong to an equal or lesser distance.
///
/// The order is that of distances, the search compares squared chords. Both are rounded, the distance by three
/// roundings of 2^-53 and an arcsine good to 1 ulp, so chords within a few 10^-16 of each other may give
/// distances that are equal or the other way round. Everything within 10^-14 is therefore kept to the end.
const SLACK: f64 = 1.0 + 1e-14;

pub(super) struct Nearest<'q> {
    query: &'q NearestQuery<'q>,
    center: Unit,
    /// Candidates beyond this squared chord cannot be in the answer.
    bound: f64,
    /// When to look for a tighter bound again.
    full_at: usize,
    /// Bits of the squared chord, and slot: as integers, numbers from 0 upwards sort alike and faster.
    found: Vec<(u64, usize)>,
}

impl<'q> Nearest<'q> {
    /// `None` when nothing can satisfy the query.
    pub(super) fn new(query: &'q NearestQuery<'q>) -> Option<Self> {
        let bound = chord_limit(query.radius_m)?;
        if query.limit == 0 {
            return None;
        }
        let found = Vec::with_capacity(query.limit.saturating_mul(2).min(256));
        Some(Self { query, center: query.center.unit(), bound, full_at: query.limit, found })
    }

    pub(super) fn center(&self) -> &Unit {
        &self.center
    }

    pub(super) fn bound(&self) -> f64 {
        self.bound
    }

    /// Takes a candidate that passes the query's filters.
    pub(super) fn offer(&mut self, chord_squared: f64, slot: usize) {
        if chord_squared <= self.bound {
            self.found.push((chord_squared.to_bits(), slot));
            if self.found.len() >= self.full_at {
                self.tighten();
            }
        }
    }

    fn tighten(&mut self) {
        let last = self.query.limit.saturating_sub(1);
        if last >= self.found.len() {
            return;
        }
        let (_, (chord, _), _) = self.found.select_nth_unstable_by_key(last, |(chord, _)| *chord);
        let bound = f64::from_bits(*chord) * SLACK;
        self.bound = self.bound.min(bound);
        self.found.retain(|(chord, _)| f64::from_bits(*chord) <= bound);
        // Many at one distance all stay; twice as many must come before it is worth looking again.
        let kept = self.found.len();
        self.full_at = kept.saturating_add(kept.max(8));
    }

    /// The answer.
    pub(super) fn finish(mut self, roster: &Roster) -> Vec<Neighbour> {
        self.tighten();
        // Chords are in nearly the order of distances, which leaves the second sort next to nothing to do.
        self.found.sort_unstable_by_key(|(chord, _)| *chord);
        let mut answer = Vec::with_capacity(self.found.len());
        for (chord, slot) in &self.found {
            let far = || Some(unit_distance_m(&self.center, &roster.entry(*slot)?.point.unit()));
            if let Some(distance_m) = near_distance_m(f64::from_bits(*chord)).or_else(far)
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
