//! Fleet rows from a GeoJSON `FeatureCollection` of points (RFC 7946).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::json::{self, Lines, form, text_of};
use super::row::{COLUMNS, Column, check, unknown};
use super::{Collector, Problem, shortened};

const WHAT: &str = "GeoJSON fleet";

/// Members that are not named here are foreign (RFC 7946, 6.1) and say nothing.
#[derive(Deserialize)]
struct Collection<'a> {
    #[serde(rename = "type")]
    kind: String,
    // Raw, because a raw value is a piece of the file: its place tells the line.
    #[serde(borrow)]
    features: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Feature {
    #[serde(rename = "type")]
    kind: String,
    geometry: Option<Geometry>,
    properties: Option<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
struct Geometry {
    #[serde(rename = "type")]
    kind: String,
    coordinates: Value,
}

pub(super) fn read(bytes: &[u8], collector: &mut Collector) {
    let Some(text) = json::text(bytes, collector) else { return };
    let collection: Collection<'_> = match serde_json::from_str(text) {
        Ok(collection) => collection,
        Err(error) => return collector.problem(form(1, WHAT, &error)),
    };
    if collection.kind != "FeatureCollection" {
        let reason =
            format!("a fleet is a GeoJSON FeatureCollection, this is a {:?}", shortened(&collection.kind));
        return collector.problem(Problem::Form { line: 1, reason });
    }
    let mut lines = Lines::new(text);
    for raw in collection.features {
        let line = lines.of(raw.get());
        match serde_json::from_str(raw.get()) {
            Ok(feature) => read_feature(line, feature, collector),
            Err(error) => collector.problem(form(line, WHAT, &error)),
        }
    }
}

fn read_feature(line: u64, feature: Feature, collector: &mut Collector) {
    let point = feature.geometry.as_ref().filter(|geometry| geometry.kind == "Point");
    let (Some(point), "Feature") = (point, feature.kind.as_str()) else {
        let reason = "a vehicle is a Feature with a Point geometry".into();
        return collector.problem(Problem::Form { line, reason });
    };
    // Longitude first (RFC 7946, 3.1.1); an altitude may follow.
    let pair = point.coordinates.as_array().and_then(|all| Some((all.first()?, all.get(1)?)));
    let Some((lon, lat)) = pair else {
        let reason = "the coordinates of a Point are [longitude, latitude]".into();
        return collector.problem(Problem::Form { line, reason });
    };
    let mut texts = BTreeMap::from([(Column::Lat, text_of(lat)), (Column::Lon, text_of(lon))]);
    let properties: Vec<_> =
        COLUMNS.into_iter().filter(|c| !matches!(c, Column::Lat | Column::Lon)).collect();
    for (name, value) in feature.properties.unwrap_or_default() {
        match Column::named(&name).filter(|column| properties.contains(column)) {
            Some(column) => {
                texts.insert(column, text_of(&value));
            }
            None => collector.problem(unknown(line, &name, &properties)),
        }
    }
    check(line, None, |column| texts.get(&column).map_or("", |text| text.trim()), collector);
}
