//! Makes a failing seed smaller: fewer actors, fewer faults, a shorter run, as long as the same rule breaks.

use crate::episode::{Outcome, Plan, run};
use crate::faults::Fault;
use crate::oracle::Rule;

/// A smaller plan that breaks the same rule, and how many runs it took.
#[must_use]
pub fn shrink(plan: &Plan) -> (Plan, u32) {
    let mut best = Plan { traced: false, ..plan.clone() };
    let mut runs = 1;
    let Some(rule) = first(&run(&best)) else { return (best, runs) };
    loop {
        let before = best.clone();
        for smaller in candidates(&best) {
            runs += 1;
            if first(&run(&smaller)) == Some(rule) {
                best = smaller;
                break;
            }
        }
        if best == before {
            return (best, runs);
        }
    }
}

fn first(outcome: &Outcome) -> Option<Rule> {
    outcome.violations.first().map(|violation| violation.rule)
}

/// Plans that are one step smaller, the largest step first.
fn candidates(plan: &Plan) -> Vec<Plan> {
    let mut all = Vec::new();
    let size = plan.size();
    for journeys in [size.bookings / 4, size.bookings / 2, size.bookings * 3 / 4, size.bookings - 1] {
        if journeys > 0 && journeys < size.bookings {
            all.push(Plan { journeys: Some(journeys), ..plan.clone() });
        }
    }
    for (most, has) in [(1, size.servers), (size.servers - 1, size.servers)] {
        if most > 0 && most < has {
            all.push(Plan { servers: Some(most), ..plan.clone() });
        }
    }
    for (most, has) in [(1, size.vehicles), (size.vehicles - 1, size.vehicles)] {
        if most > 0 && most < has {
            all.push(Plan { vehicles: Some(most), ..plan.clone() });
        }
    }
    for (most, has) in [(1, size.riders), (2, size.riders), (size.riders - 1, size.riders)] {
        if most > 0 && most < has {
            all.push(Plan { riders: Some(most), ..plan.clone() });
        }
    }
    let active: Vec<Fault> = plan.rates().active().collect();
    all.extend(active.into_iter().map(|fault| {
        let mut smaller = plan.clone();
        smaller.without.push(fault);
        smaller
    }));
    all
}
