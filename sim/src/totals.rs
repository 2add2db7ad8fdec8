//! Sums over many seeds, as the command line prints them and a checkpoint keeps them.

use std::collections::BTreeMap;
use std::fmt;

use rideplane_core::booking::Status;
use rideplane_core::time::Span;
use serde::{Deserialize, Serialize};

use crate::coverage::Coverage;
use crate::episode::Outcome;
use crate::faults::{Fault, Profile};
use crate::oracle::Rule;

/// Recoveries that are remembered.
const SLOWEST: usize = 10;

/// Everything that was simulated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// The mix of faults.
    pub faults: Profile,
    /// The first seed.
    pub first_seed: u64,
    /// The seed to go on with.
    pub next_seed: u64,
    /// Bookings that were made.
    pub bookings: u64,
    /// Events that were committed.
    pub events: u64,
    /// Calls of ports.
    pub calls: u64,
    /// Virtual time, seconds.
    pub virtual_s: i64,
    /// Real time, seconds.
    pub wall_s: f64,
    /// How often each fault struck, by [`Fault`].
    pub struck: Vec<u64>,
    /// How often each rule was checked, by [`Rule`].
    pub checks: Vec<u64>,
    /// How bookings ended, by [`Status`].
    pub ends: Vec<u64>,
    /// Which faults met what.
    pub coverage: Coverage,
    /// The seeds that took longest to recover, with seconds.
    pub slowest: Vec<(u64, i64)>,
    /// What was broken: seed, rule, what was found.
    pub violations: Vec<(u64, Rule, String)>,
}

impl Totals {
    /// Nothing yet.
    #[must_use]
    pub fn new(first_seed: u64, faults: Profile) -> Self {
        Self {
            faults,
            first_seed,
            next_seed: first_seed,
            bookings: 0,
            events: 0,
            calls: 0,
            virtual_s: 0,
            wall_s: 0.0,
            struck: vec![0; Fault::ALL.len()],
            checks: vec![0; Rule::ALL.len()],
            ends: vec![0; Status::ALL.len()],
            coverage: Coverage::default(),
            slowest: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// Adds the outcome of [`next_seed`](Self::next_seed).
    pub fn add(&mut self, outcome: &Outcome) {
        let seed = self.next_seed;
        self.next_seed += 1;
        self.bookings += outcome.bookings;
        self.events += outcome.events;
        self.calls += outcome.calls;
        self.virtual_s += outcome.lasted.as_seconds();
        let sums = [(&mut self.struck, &outcome.faults), (&mut self.checks, &outcome.checks)];
        for (sum, more) in sums {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        self.ends.iter_mut().zip(outcome.ends).for_each(|(sum, more)| *sum += more);
        self.coverage.add(&outcome.coverage);
        self.recovered(seed, outcome.recovery);
        let broken = outcome.violations.iter().take(1);
        self.violations.extend(broken.map(|violation| (seed, violation.rule, violation.found.clone())));
    }

    fn recovered(&mut self, seed: u64, took: Span) {
        self.slowest.push((seed, took.as_seconds()));
        self.slowest.sort_by_key(|(seed, took)| (-took, *seed));
        self.slowest.truncate(SLOWEST);
    }

    /// Seeds that were run.
    #[must_use]
    pub const fn seeds(&self) -> u64 {
        self.next_seed - self.first_seed
    }

    /// Bookings in a second of real time.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.wall_s > 0.0 { self.bookings as f64 / self.wall_s } else { 0.0 }
    }
}

/// What was run and what came of it, as a file that is kept beside the code.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunResult {
    /// The version of this crate.
    pub version: &'static str,
    /// The mix of faults.
    pub faults: Profile,
    /// The first seed and the last.
    pub seeds: (u64, u64),
    /// Bookings that were made.
    pub bookings: u64,
    /// Events that were committed.
    pub events: u64,
    /// Calls of ports.
    pub port_calls: u64,
    /// Virtual time, hours.
    pub virtual_hours: i64,
    /// Real time, seconds, over all parts of a run with checkpoints.
    pub duration_seconds: u64,
    /// On how many threads the last part ran.
    pub threads: usize,
    /// Bookings a second of real time.
    pub bookings_per_second: u64,
    /// How often each fault struck.
    pub faults_struck: BTreeMap<&'static str, u64>,
    /// How often each rule was checked.
    pub checks: BTreeMap<&'static str, u64>,
    /// How bookings ended.
    pub ends: BTreeMap<&'static str, u64>,
    /// Cells of status x request x fault: reached, and all.
    pub coverage: (usize, usize),
    /// The longest time from the last fault to the end of everything, seconds.
    pub slowest_recovery_seconds: i64,
    /// What was broken: seed, rule, what was found.
    pub violations: Vec<(u64, Rule, String)>,
}

impl Totals {
    /// The result of a run on so many threads.
    #[must_use]
    pub fn result(&self, threads: usize) -> RunResult {
        let named = |names: &[&'static str], counts: &[u64]| -> BTreeMap<&'static str, u64> {
            names.iter().copied().zip(counts.iter().copied()).collect()
        };
        RunResult {
            version: env!("CARGO_PKG_VERSION"),
            faults: self.faults,
            seeds: (self.first_seed, self.next_seed.saturating_sub(1)),
            bookings: self.bookings,
            events: self.events,
            port_calls: self.calls,
            virtual_hours: self.virtual_s / 3_600,
            duration_seconds: self.wall_s as u64,
            threads,
            bookings_per_second: self.rate() as u64,
            faults_struck: named(&Fault::ALL.map(Fault::as_str), &self.struck),
            checks: named(&Rule::ALL.map(Rule::as_str), &self.checks),
            ends: named(&Status::ALL.map(Status::as_str), &self.ends),
            coverage: self.coverage.reached(),
            slowest_recovery_seconds: self.slowest.first().map_or(0, |(_, took)| *took),
            violations: self.violations.clone(),
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seeds {} to {}, faults {}: {} bookings, {} events, {} port calls in {:.0} virtual hours",
            self.first_seed,
            self.next_seed.saturating_sub(1),
            self.faults.as_str(),
            self.bookings,
            self.events,
            self.calls,
            self.virtual_s as f64 / 3_600.0
        )?;
        let named = |names: Vec<&'static str>, counts: &[u64]| {
            let parts = names.into_iter().zip(counts).filter(|(_, count)| **count > 0);
            parts.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        };
        let ends = named(Status::ALL.map(Status::as_str).to_vec(), &self.ends);
        writeln!(f, "ended    {ends}")?;
        writeln!(f, "faults   {}", named(Fault::ALL.map(Fault::as_str).to_vec(), &self.struck))?;
        writeln!(f, "checks   {}", named(Rule::ALL.map(Rule::as_str).to_vec(), &self.checks))?;
        let (reached, all) = self.coverage.reached();
        writeln!(f, "coverage {reached} of {all} cells of status x request x fault")?;
        let slowest = self.slowest.first().map_or(0, |(_, took)| *took);
        writeln!(f, "recovery at most {slowest} s after the last fault")?;
        write!(f, "{:.0} bookings/s, {} violations", self.rate(), self.violations.len())
    }
}
