//! The vehicles of a fleet file, CSV, GeoJSON or a GBFS feed: bytes in, checked rows or every broken one out.
//!
//! | Column | | Rule |
//! |---|---|---|
//! | `vehicle_id` | required | an id, once in the file |
//! | `vehicle_type` | required | an id (GBFS `vehicle_type_id`) |
//! | `lat`, `lon` | required (GeoJSON: the Point) | degrees in range |
//! | `form_factor` | | GBFS 3.1 `form_factor` |
//! | `propulsion_type` | | GBFS 3.1 `propulsion_type` |
//! | `plan_id` | | an id (GBFS pricing plan) |
//! | `current_fuel_percent` | | 0 to 1 (GBFS) |
//! | `max_range_meters` | | whole metres (GBFS) |
//! | `public_key` | | the vehicle's Ed25519 key, 64 hex digits, once in the file |
//!
//! GeoJSON is a `FeatureCollection` of Point features (RFC 7946) with the columns as properties.
//!
//! A GBFS feed of vehicles (`vehicle_status.json` of version 3, `free_bike_status.json` of version 2) has GBFS's names:
//! `vehicle_type_id` and `pricing_plan_id`; what has no column above is left. A vehicle that its feed calls reserved or
//! disabled is read and held back: somebody may be on their way to it.
//!
//! Columns may come in any order; an empty cell and `null` mean "not said"; other columns are refused.

mod csv_rows;
mod gbfs;
mod geojson;
mod json;
mod row;
#[cfg(test)]
mod tests;
mod vocabulary;

use core::fmt;
use std::collections::BTreeMap;

use rideplane_core::charge::Charge;
use rideplane_core::ids::{PlanId, VehicleId, VehicleTypeId};

use crate::lat_lon::LatLon;

use rideplane_core::fleet::{FormFactor, PropulsionType};

/// How many broken rows are described; more are counted.
pub const MAX_PROBLEMS: usize = 20;

/// One vehicle of a fleet file.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetRow {
    /// The line it begins on, from 1.
    pub line: u64,
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// Its type (GBFS `vehicle_type_id`).
    pub vehicle_type: VehicleTypeId,
    /// Where it stands.
    pub position: LatLon,
    /// GBFS `form_factor`.
    pub form_factor: Option<FormFactor>,
    /// GBFS `propulsion_type`.
    pub propulsion_type: Option<PropulsionType>,
    /// The pricing plan it is rented under.
    pub plan_id: Option<PlanId>,
    /// How full battery or tank is.
    pub current_fuel_percent: Option<Charge>,
    /// How far it goes when full, metres (GBFS `max_range_meters`).
    pub max_range_meters: Option<u32>,
    /// The Ed25519 public key that the vehicle signs its acks with.
    pub public_key: Option<[u8; 32]>,
    /// Why it can't be rented now, as its feed says; files say nothing of it.
    pub held_back: Option<HeldBack>,
}

/// Why a vehicle of a feed is not for rent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// GBFS `is_reserved`.
    Reserved,
    /// GBFS `is_disabled`.
    Disabled,
}

/// The form of a fleet file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header line (RFC 4180).
    Csv,
    /// A GeoJSON `FeatureCollection` (RFC 7946).
    GeoJson,
    /// A GBFS feed of vehicles, version 2 or 3.
    Gbfs,
}

/// What is wrong with a row, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A value breaks its column's rule.
    #[error("line {line}, column {column}: {value:?} is not {rule}")]
    Value {
        /// From 1.
        line: u64,
        /// The column's name.
        column: &'static str,
        /// As given, shortened.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// A required value is not there.
    #[error("line {line}, column {column}: is required and empty")]
    Missing {
        /// From 1.
        line: u64,
        /// The column's name.
        column: &'static str,
    },
    /// The same vehicle or key is there twice.
    #[error("line {line}, column {column}: {value:?} is already on line {first}")]
    Duplicate {
        /// The second one's line.
        line: u64,
        /// The column's name.
        column: &'static str,
        /// The value that both have.
        value: String,
        /// The first one's line.
        first: u64,
    },
    /// A column (GeoJSON: property) that is not one of these.
    #[error("line {line}: {name:?} is not a column of a fleet file: {hint}")]
    UnknownColumn {
        /// From 1.
        line: u64,
        /// As given, shortened.
        name: String,
        /// The nearest known one.
        hint: String,
    },
    /// The header lacks a required column, or has one twice.
    #[error("line {line}: the header {fault} column {column}")]
    Header {
        /// From 1.
        line: u64,
        /// `has no` or `has twice the`.
        fault: &'static str,
        /// The column's name.
        column: &'static str,
    },
    /// The row or the file is not in its format at all.
    #[error("line {line}: {reason}")]
    Form {
        /// From 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
}

/// Everything that is wrong with a fleet file, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetFileError {
    /// The first [`MAX_PROBLEMS`] problems.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more: usize,
}

/// Reads a fleet file; without a format, a file that begins with `{` is a GBFS feed if it has `data`, else GeoJSON.
///
/// # Errors
/// Every broken row, by line, column and value; nothing is read from a file with one.
///
/// ```
/// let rows = rideplane::fleet_file::parse(b"vehicle_id,vehicle_type,lat,lon\nsc-1,scooter,50.1,8.7\n", None)?;
/// assert_eq!(rows[0].vehicle_id.as_str(), "sc-1");
/// let error = rideplane::fleet_file::parse(b"vehicle_id,vehicle_type,lat,lon\nsc-1,scooter,91,8.7\n", None);
/// assert_eq!(
///     error.unwrap_err().to_string(),
///     "line 2, column lat: \"91\" is not a latitude in degrees from -90 to 90"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn parse(bytes: &[u8], format: Option<Format>) -> Result<Vec<FleetRow>, FleetFileError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let looks = || match bytes.trim_ascii_start().starts_with(b"{") {
        true if gbfs::is_feed(bytes) => Format::Gbfs,
        true => Format::GeoJson,
        false => Format::Csv,
    };
    let mut collector = Collector::default();
    match format.unwrap_or_else(looks) {
        Format::Csv => csv_rows::read(bytes, &mut collector),
        Format::GeoJson => geojson::read(bytes, &mut collector),
        Format::Gbfs => gbfs::read(bytes, &mut collector),
    }
    collector.finish()
}

/// Takes rows and problems in, and finds duplicates among the rows.
#[derive(Default)]
struct Collector {
    rows: Vec<FleetRow>,
    vehicles: BTreeMap<VehicleId, u64>,
    keys: BTreeMap<[u8; 32], u64>,
    problems: Vec<Problem>,
    more: usize,
}

impl Collector {
    fn problem(&mut self, problem: Problem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    fn row(&mut self, row: FleetRow) {
        let line = row.line;
        if let Some(&first) = self.vehicles.get(&row.vehicle_id) {
            let value = row.vehicle_id.to_string();
            self.problem(Problem::Duplicate { line, column: "vehicle_id", value, first });
        } else {
            self.vehicles.insert(row.vehicle_id.clone(), line);
        }
        if let Some(key) = row.public_key {
            // Who holds a shared key could answer for the other vehicle.
            if let Some(&first) = self.keys.get(&key) {
                let value = key.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>() + "...";
                self.problem(Problem::Duplicate { line, column: "public_key", value, first });
            } else {
                self.keys.insert(key, line);
            }
        }
        self.rows.push(row);
    }

    fn finish(mut self) -> Result<Vec<FleetRow>, FleetFileError> {
        if self.problems.is_empty() && self.rows.is_empty() {
            self.problem(Problem::Form { line: 1, reason: "there is no vehicle in this file".into() });
        }
        if self.problems.is_empty() {
            return Ok(self.rows);
        }
        Err(FleetFileError { problems: self.problems, more: self.more })
    }
}

fn shortened(text: &str) -> String {
    let short: String = text.chars().take(64).collect();
    if short.len() < text.len() { format!("{short}...") } else { short }
}

impl fmt::Display for FleetFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            let start = if at == 0 { "" } else { "\n" };
            write!(f, "{start}{problem}")?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for FleetFileError {}
