//! Seeds that are kept: each with the reason why it is worth a run in every check.

use serde::{Deserialize, Serialize};

use crate::episode::{Outcome, Plan, run};
use crate::faults::{Fault, Profile};
use crate::oracle::Rule;

/// A file of the corpus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corpus {
    /// The seeds.
    pub seed: Vec<Entry>,
}

/// A seed that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The seed.
    pub seed: u64,
    /// The mix of faults.
    pub faults: Profile,
    /// What is special about it.
    pub reason: String,
    /// The defect to plant, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defect: Option<crate::Defect>,
    /// What must happen in it, step by step ([`Trace::shows`](crate::Trace::shows)).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shows: Vec<String>,
    /// The rule that must object; none when the seed must pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaks: Option<Rule>,
    /// Faults that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Fault>,
    /// At most so many servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<usize>,
    /// At most so many vehicles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicles: Option<usize>,
    /// At most so many riders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub riders: Option<usize>,
    /// At most so many journeys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journeys: Option<u64>,
}

/// The seeds that are committed with this crate.
const KEPT: &str = include_str!("../corpus/seeds.toml");

impl Corpus {
    /// The committed corpus.
    ///
    /// # Errors
    /// When the file can't be read as one.
    pub fn kept() -> Result<Self, toml::de::Error> {
        toml::from_str(KEPT)
    }
}

impl Entry {
    /// The plan of this seed.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan {
            without: self.without.clone(),
            servers: self.servers,
            vehicles: self.vehicles,
            riders: self.riders,
            journeys: self.journeys,
            defect: self.defect,
            ..Plan::new(self.seed, self.faults)
        }
    }

    /// Runs it and says what is not as expected.
    ///
    /// # Errors
    /// The rule that broke and should not, or that should have and did not; or that it no longer shows why it was kept.
    pub fn replay(&self) -> Result<Outcome, String> {
        let outcome = run(&Plan { traced: !self.shows.is_empty(), ..self.plan() });
        let broke = outcome.violations.first().map(|violation| violation.rule);
        let command = crate::cli::replay_command(&self.plan());
        if broke != self.breaks {
            let (found, wanted) = (broke.map(Rule::as_str), self.breaks.map(Rule::as_str));
            return Err(format!(
                "seed {}: broke {found:?}, expected {wanted:?}; replay it with\n    {command}",
                self.seed
            ));
        }
        if outcome.trace.as_ref().is_some_and(|trace| !trace.shows(&self.shows)) {
            let steps = self.shows.join(", then ");
            return Err(format!(
                "seed {}: does not show {steps}; see for yourself\n    {command} --out FOLDER",
                self.seed
            ));
        }
        Ok(outcome)
    }

    /// The first seed that is what this one was kept for, of so many.
    #[must_use]
    pub fn hunt(&self, seeds: u64) -> Option<u64> {
        (1..=seeds).find(|seed| Self { seed: *seed, ..self.clone() }.replay().is_ok())
    }
}
