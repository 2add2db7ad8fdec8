//! The hunt for planted defects: seeds until an oracle objects.

use crate::defects::Defect;
use crate::episode::{Plan, run};
use crate::faults::Profile;
use crate::oracle::Rule;

/// What became of one planted defect.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// The defect.
    pub defect: Defect,
    /// The rule that objected; `None` when the defect escaped.
    pub found_by: Option<Rule>,
    /// The seed on which it did.
    pub seed: u64,
    /// Bookings until then.
    pub bookings: u64,
    /// What the oracle said.
    pub said: String,
}

/// Runs seeds from `seed` on, storms and swarms by turns, until the defect is found or `most` bookings are made.
#[must_use]
pub fn hunt(defect: Defect, seed: u64, most: u64) -> Hunt {
    let mut bookings = 0;
    let mut at = seed;
    while bookings < most {
        let profile = if at.is_multiple_of(2) { Profile::Swarm } else { Profile::Storm };
        let outcome = run(&Plan { defect: Some(defect), ..Plan::new(at, profile) });
        // A world that makes no booking at all counts too, so that the hunt ends.
        bookings += outcome.bookings.max(1);
        if let Some(violation) = outcome.violations.into_iter().next() {
            return Hunt {
                defect,
                found_by: Some(violation.rule),
                seed: at,
                bookings,
                said: violation.found,
            };
        }
        at += 1;
    }
    Hunt { defect, found_by: None, seed: at, bookings, said: String::new() }
}
