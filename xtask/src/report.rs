//! Whether the numbers of a replay's `report.json` add up, judged from outside the program.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::exact::Exact;

/// The part of `report.json` that is judged. Other fields may be there.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Report {
    parameters: Parameters,
    trips_read: u64,
    trips_skipped: BTreeMap<String, u64>,
    no_vehicle_nearby: u64,
    bookings_created: u64,
    bookings_completed: u64,
    bookings_cancelled: u64,
    bookings_expired: u64,
    faults_met: BTreeMap<String, u64>,
    money: Money,
    events_published: u64,
    outbox_pending: u64,
    audit_violations: u64,
    latency_us: BTreeMap<String, Percentiles>,
    pub(crate) wall_s: f64,
    pub(crate) bookings_per_s: f64,
}

/// What the program says it was asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Parameters {
    pub(crate) store: String,
    pub(crate) faults: String,
    pub(crate) seed: u64,
}

/// Exact sums by currency.
#[derive(Clone, Debug, Deserialize)]
struct Money {
    authorized: BTreeMap<String, String>,
    captured: BTreeMap<String, String>,
    released: BTreeMap<String, String>,
    refunded: BTreeMap<String, String>,
    open: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Percentiles {
    p50: u64,
    p95: u64,
    p99: u64,
}

/// The phases of a journey that are measured.
const PHASES: [&str; 5] = ["search", "reserve", "confirm", "unlock", "end"];
/// What two runs of one seed may differ in: real time.
const TIMES: [&str; 3] = ["latency_us", "wall_s", "bookings_per_s"];

/// Reads a report.
///
/// # Errors
/// When a field is missing or of another type, with its name.
pub(crate) fn read(json: &Value) -> Result<Report> {
    Report::deserialize(json).context("report.json has not the expected shape")
}

impl Report {
    /// Judges the report of a run that was asked for as `asked`.
    ///
    /// # Errors
    /// With every identity that does not hold, one a line.
    pub(crate) fn verify(&self, asked: &Parameters) -> Result<()> {
        let mut broken = Vec::new();
        if self.parameters != *asked {
            broken.push(format!("the run was asked for {asked:?}, the report is of {:?}", self.parameters));
        }
        self.counts(&mut broken);
        self.times(&mut broken);
        let mut captured = false;
        for currency in self.money.currencies() {
            match self.money.row(&currency) {
                Ok(row) => {
                    captured |= row.captured > Exact::default();
                    row.check(&currency, &mut broken);
                }
                Err(error) => broken.push(format!("{error:#}")),
            }
        }
        if !captured {
            broken.push("no money was captured: a run without a paid ride proves nothing".to_owned());
        }
        if broken.is_empty() {
            Ok(())
        } else {
            bail!("the report does not add up:\n  {}", broken.join("\n  "))
        }
    }

    fn counts(&self, broken: &mut Vec<String>) {
        let skipped: u64 = self.trips_skipped.values().sum();
        let accounted = skipped + self.no_vehicle_nearby + self.bookings_created;
        let ended = self.bookings_completed + self.bookings_cancelled + self.bookings_expired;
        for (name, value, of, expected) in [
            (
                "trips_read",
                self.trips_read,
                "trips_skipped + no_vehicle_nearby + bookings_created",
                accounted,
            ),
            ("bookings_created", self.bookings_created, "completed + cancelled + expired", ended),
            ("outbox_pending", self.outbox_pending, "what it must be", 0),
            ("audit_violations", self.audit_violations, "what it must be", 0),
        ] {
            if value != expected {
                broken.push(format!("{name} is {value}, but {of} is {expected}"));
            }
        }
        for (name, value) in [
            ("trips_read", self.trips_read),
            ("bookings_completed", self.bookings_completed),
            ("events_published", self.events_published),
        ] {
            if value == 0 {
                broken.push(format!("{name} is 0: an empty run proves nothing"));
            }
        }
        if self.parameters.faults == "storm" && self.faults_met.values().sum::<u64>() == 0 {
            broken.push("faults_met is empty: a storm without faults proves nothing".to_owned());
        }
    }

    fn times(&self, broken: &mut Vec<String>) {
        for phase in PHASES {
            match self.latency_us.get(phase) {
                None => broken.push(format!("latency_us has no {phase}")),
                Some(Percentiles { p50, p95, p99 }) if p50 <= p95 && p95 <= p99 => {}
                Some(out_of_order) => {
                    broken.push(format!("latency_us.{phase} is out of order: {out_of_order:?}"))
                }
            }
        }
        if !(self.wall_s > 0.0 && self.bookings_per_s > 0.0) {
            broken.push(format!(
                "wall_s {} and bookings_per_s {} must be positive",
                self.wall_s, self.bookings_per_s
            ));
        }
    }
}

/// One currency's sums.
struct Row {
    authorized: Exact,
    captured: Exact,
    released: Exact,
    refunded: Exact,
    open: Exact,
}

impl Money {
    fn currencies(&self) -> BTreeSet<String> {
        let all = [&self.authorized, &self.captured, &self.released, &self.refunded, &self.open];
        all.into_iter().flat_map(BTreeMap::keys).cloned().collect()
    }

    fn row(&self, currency: &str) -> Result<Row> {
        let of = |name: &str, sums: &BTreeMap<String, String>| match sums.get(currency) {
            None => Ok(Exact::default()),
            Some(text) => Exact::parse(text)
                .with_context(|| format!("money.{name}.{currency} is {text:?}, not a decimal amount")),
        };
        Ok(Row {
            authorized: of("authorized", &self.authorized)?,
            captured: of("captured", &self.captured)?,
            released: of("released", &self.released)?,
            refunded: of("refunded", &self.refunded)?,
            open: of("open", &self.open)?,
        })
    }
}

impl Row {
    fn check(&self, currency: &str, broken: &mut Vec<String>) {
        let Self { authorized, captured, released, refunded, open } = *self;
        let accounted: Exact = [captured, released, open].into_iter().sum();
        if authorized != accounted {
            broken.push(format!(
                "{currency}: authorized is {authorized}, but captured {captured} + released {released} + \
                 open {open} is {accounted} (off by {})",
                authorized - accounted
            ));
        }
        if open != Exact::default() {
            broken.push(format!("{currency}: {open} is still held when everything has ended"));
        }
        if refunded > captured {
            broken.push(format!("{currency}: refunded {refunded} is more than captured {captured}"));
        }
        if [authorized, captured, released, refunded, open].iter().any(|sum| *sum < Exact::default()) {
            broken.push(format!("{currency}: a sum is negative"));
        }
    }
}

/// Compares two runs of one seed, which may differ in real time and in the fields `but` of `parameters`.
///
/// # Errors
/// With the paths of the values that differ, ten at most.
pub(crate) fn same(one: &Value, other: &Value, but: &[&str]) -> Result<()> {
    let mut differing = Vec::new();
    differences("", &timeless(one, but), &timeless(other, but), &mut differing);
    if differing.is_empty() {
        return Ok(());
    }
    let shown = differing.iter().take(10).cloned().collect::<Vec<_>>().join("\n  ");
    bail!("two runs of one seed differ in {} value(s):\n  {shown}", differing.len())
}

fn timeless(report: &Value, but: &[&str]) -> Value {
    let mut report = report.clone();
    if let Some(fields) = report.as_object_mut() {
        fields.retain(|name, _| !TIMES.contains(&name.as_str()));
    }
    if let Some(parameters) = report.get_mut("parameters").and_then(Value::as_object_mut) {
        parameters.retain(|name, _| !but.contains(&name.as_str()));
    }
    report
}

fn differences(path: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    if let (Some(a), Some(b)) = (one.as_object(), other.as_object()) {
        for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            let at = |of: &serde_json::Map<String, Value>| of.get(name).cloned().unwrap_or(Value::Null);
            differences(&format!("{path}/{name}"), &at(a), &at(b), found);
        }
    } else if let (Some(a), Some(b)) = (one.as_array(), other.as_array())
        && a.len() == b.len()
    {
        for (index, (a, b)) in a.iter().zip(b).enumerate() {
            differences(&format!("{path}/{index}"), a, b, found);
        }
    } else if one != other {
        found.push(format!("{path}: {one} / {other}"));
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
