//! Fleet rows from a GBFS feed: `vehicle_status.json` (GBFS 3), `free_bike_status.json` (GBFS 2).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::json::{self, Lines, form, text_of};
use super::row::{Column, check};
use super::{Collector, HeldBack, Problem};

const WHAT: &str = "GBFS feed of vehicles";

/// Other members of the envelope say nothing of vehicles.
#[derive(Deserialize)]
struct Feed<'a> {
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    // Raw, because a raw value is a piece of the file: its place tells the line.
    #[serde(borrow, alias = "bikes")]
    vehicles: Vec<&'a RawValue>,
}

/// What a feed says of a vehicle and a fleet file has no column for (`rental_uris`, `last_reported` and the like) is left.
#[derive(Deserialize)]
struct Vehicle {
    #[serde(alias = "bike_id")]
    vehicle_id: Option<Value>,
    vehicle_type_id: Option<Value>,
    lat: Option<Value>,
    lon: Option<Value>,
    pricing_plan_id: Option<Value>,
    current_fuel_percent: Option<Value>,
    #[serde(default)]
    is_reserved: bool,
    #[serde(default)]
    is_disabled: bool,
}

/// Whether JSON looks like a feed rather than like GeoJSON.
pub(super) fn is_feed(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Members {
        data: Option<IgnoredAny>,
        features: Option<IgnoredAny>,
    }
    serde_json::from_slice(bytes).is_ok_and(|Members { data, features }| data.is_some() && features.is_none())
}

pub(super) fn read(bytes: &[u8], collector: &mut Collector) {
    let Some(text) = json::text(bytes, collector) else { return };
    let feed: Feed<'_> = match serde_json::from_str(text) {
        Ok(feed) => feed,
        Err(error) => return collector.problem(form(1, WHAT, &error)),
    };
    let mut lines = Lines::new(text);
    for raw in feed.data.vehicles {
        let line = lines.of(raw.get());
        match serde_json::from_str(raw.get()) {
            Ok(vehicle) => read_vehicle(line, vehicle, collector),
            Err(error) => collector.problem(form(line, WHAT, &error)),
        }
    }
}

fn read_vehicle(line: u64, vehicle: Vehicle, collector: &mut Collector) {
    if vehicle.lat.is_none() && vehicle.lon.is_none() {
        let reason = "the vehicle has no lat and lon: where its station is, another feed tells".into();
        return collector.problem(Problem::Form { line, reason });
    }
    let said = [
        (Column::VehicleId, vehicle.vehicle_id),
        (Column::VehicleType, vehicle.vehicle_type_id),
        (Column::Lat, vehicle.lat),
        (Column::Lon, vehicle.lon),
        (Column::PlanId, vehicle.pricing_plan_id),
        (Column::CurrentFuelPercent, vehicle.current_fuel_percent),
    ];
    let texts: BTreeMap<Column, String> =
        said.into_iter().filter_map(|(column, value)| Some((column, text_of(&value?)))).collect();
    let held_back = match (vehicle.is_disabled, vehicle.is_reserved) {
        (true, _) => Some(HeldBack::Disabled),
        (false, true) => Some(HeldBack::Reserved),
        (false, false) => None,
    };
    check(line, held_back, |column| texts.get(&column).map_or("", |text| text.trim()), collector);
}
