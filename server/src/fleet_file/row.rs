//! One row, whatever file it comes from: texts by column in, a checked vehicle out.

use ed25519_dalek::VerifyingKey;
use rideplane_core::charge::Charge;
use rideplane_core::ids::{PlanId, VehicleId, VehicleTypeId};

use super::vocabulary::{FORM_FACTOR_RULE, PROPULSION_TYPE_RULE, form_factor, propulsion_type};
use super::{Collector, FleetRow, HeldBack, Problem, shortened};
use crate::config::nearest;
use crate::keys::unhex;
use crate::lat_lon::{LAT_RULE, LON_RULE, LatLon, is_lat, is_lon};

/// A column of a fleet file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Column {
    VehicleId,
    VehicleType,
    Lat,
    Lon,
    FormFactor,
    PropulsionType,
    PlanId,
    CurrentFuelPercent,
    MaxRangeMeters,
    PublicKey,
}

/// Every column, in the order of [`Column`].
pub(super) const COLUMNS: [Column; 10] = [
    Column::VehicleId,
    Column::VehicleType,
    Column::Lat,
    Column::Lon,
    Column::FormFactor,
    Column::PropulsionType,
    Column::PlanId,
    Column::CurrentFuelPercent,
    Column::MaxRangeMeters,
    Column::PublicKey,
];

const ID_RULE: &str = "an id: 1 to 128 characters out of letters, digits and . _ : | @ + -";
const CHARGE_RULE: &str = "a fraction from 0 to 1 (GBFS current_fuel_percent): 0.83 for 83 %";
const RANGE_RULE: &str = "a whole number of metres from 0 to 10000000";
const KEY_RULE: &str = "an Ed25519 public key of 64 hex digits";

impl Column {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::VehicleId => "vehicle_id",
            Self::VehicleType => "vehicle_type",
            Self::Lat => "lat",
            Self::Lon => "lon",
            Self::FormFactor => "form_factor",
            Self::PropulsionType => "propulsion_type",
            Self::PlanId => "plan_id",
            Self::CurrentFuelPercent => "current_fuel_percent",
            Self::MaxRangeMeters => "max_range_meters",
            Self::PublicKey => "public_key",
        }
    }

    pub(super) const fn is_required(self) -> bool {
        match self {
            Self::VehicleId | Self::VehicleType | Self::Lat | Self::Lon => true,
            Self::FormFactor
            | Self::PropulsionType
            | Self::PlanId
            | Self::CurrentFuelPercent
            | Self::MaxRangeMeters
            | Self::PublicKey => false,
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        COLUMNS.into_iter().find(|column| column.name() == name)
    }
}

/// That `name` is none of `columns`, with the nearest one that is.
pub(super) fn unknown(line: u64, name: &str, columns: &[Column]) -> Problem {
    let hint = match nearest(name, columns.iter().map(|column| column.name())) {
        Some(near) => format!("did you mean {near}?"),
        None => {
            let names: Vec<_> = columns.iter().map(|column| column.name()).collect();
            format!("they are {}", names.join(", "))
        }
    };
    Problem::UnknownColumn { line, name: shortened(name), hint }
}

/// Checks a row and hands it, or everything that is wrong with it, to the collector. `text` gives the trimmed
/// value of a column; empty means "not said".
pub(super) fn check<'a>(
    line: u64,
    held_back: Option<HeldBack>,
    text: impl Fn(Column) -> &'a str,
    collector: &mut Collector,
) {
    let problems_before = collector.problems.len() + collector.more;
    let mut cell = Cell { line, collector };
    let vehicle_id = cell.read(Column::VehicleId, &text, ID_RULE, |t| VehicleId::new(t).ok());
    let vehicle_type = cell.read(Column::VehicleType, &text, ID_RULE, |t| VehicleTypeId::new(t).ok());
    let lat = cell.read(Column::Lat, &text, LAT_RULE, |t| t.parse().ok().filter(|lat| is_lat(*lat)));
    let lon = cell.read(Column::Lon, &text, LON_RULE, |t| t.parse().ok().filter(|lon| is_lon(*lon)));
    let form_factor = cell.read(Column::FormFactor, &text, FORM_FACTOR_RULE, form_factor);
    let propulsion_type = cell.read(Column::PropulsionType, &text, PROPULSION_TYPE_RULE, propulsion_type);
    let plan_id = cell.read(Column::PlanId, &text, ID_RULE, |t| PlanId::new(t).ok());
    let current_fuel_percent = cell.read(Column::CurrentFuelPercent, &text, CHARGE_RULE, charge);
    let max_range_meters = cell.read(Column::MaxRangeMeters, &text, RANGE_RULE, range);
    let public_key = cell.read(Column::PublicKey, &text, KEY_RULE, public_key);
    if collector.problems.len() + collector.more > problems_before {
        return;
    }
    let position = lat.zip(lon).and_then(|(lat, lon)| LatLon::new(lat, lon));
    if let (Some(vehicle_id), Some(vehicle_type), Some(position)) = (vehicle_id, vehicle_type, position) {
        collector.row(FleetRow {
            line,
            vehicle_id,
            vehicle_type,
            position,
            form_factor,
            propulsion_type,
            plan_id,
            current_fuel_percent,
            max_range_meters,
            public_key,
            held_back,
        });
    }
}

struct Cell<'c> {
    line: u64,
    collector: &'c mut Collector,
}

impl Cell<'_> {
    fn read<'a, T>(
        &mut self,
        column: Column,
        text: &impl Fn(Column) -> &'a str,
        rule: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let (line, column_name, text) = (self.line, column.name(), text(column));
        if text.is_empty() {
            if column.is_required() {
                self.collector.problem(Problem::Missing { line, column: column_name });
            }
            return None;
        }
        let value = read(text);
        if value.is_none() {
            self.collector.problem(Problem::Value {
                line,
                column: column_name,
                value: shortened(text),
                rule,
            });
        }
        value
    }
}

fn charge(text: &str) -> Option<Charge> {
    Charge::from_fraction(text.parse().ok()?).ok()
}

fn range(text: &str) -> Option<u32> {
    text.parse().ok().filter(|metres| *metres <= 10_000_000)
}

/// A key of small order would verify signatures that nobody made.
fn public_key(text: &str) -> Option<[u8; 32]> {
    let bytes = unhex(text.as_bytes())?;
    let key = VerifyingKey::from_bytes(&bytes).ok()?;
    (!key.is_weak()).then_some(bytes)
}
