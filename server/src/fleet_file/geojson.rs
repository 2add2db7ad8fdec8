//! Fleet rows from a GeoJSON `FeatureCollection` of points (RFC 7946).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::row::{COLUMNS, Column, check, unknown};
use super::{Collector, Problem, shortened};

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
    let text = match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
            return collector.problem(Problem::Form { line, reason: "the file is not UTF-8 text".into() });
        }
    };
    let collection: Collection<'_> = match serde_json::from_str(text) {
        Ok(collection) => collection,
        Err(error) => return collector.problem(form(error.line() as u64, &error)),
    };
    if collection.kind != "FeatureCollection" {
        let reason =
            format!("a fleet is a GeoJSON FeatureCollection, this is a {:?}", shortened(&collection.kind));
        return collector.problem(Problem::Form { line: 1, reason });
    }
    let mut lines = Lines { text, at: 0, line: 1 };
    for raw in collection.features {
        let line = lines.of(raw.get());
        match serde_json::from_str(raw.get()) {
            Ok(feature) => read_feature(line, feature, collector),
            Err(error) => {
                let line = line.saturating_add((error.line() as u64).saturating_sub(1));
                collector.problem(form(line, &error));
            }
        }
    }
}

/// Counts lines up to pieces of a text that come in its order.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: u64,
}

impl Lines<'_> {
    fn of(&mut self, piece: &str) -> u64 {
        let offset = (piece.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let between = self.text.as_bytes().get(self.at..offset).unwrap_or_default();
        self.line += between.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.at = self.at.max(offset);
        self.line
    }
}

fn form(line: u64, error: &serde_json::Error) -> Problem {
    // The library ends with its own count of lines, which for a feature begins at the feature.
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or_default();
    Problem::Form { line: line.max(1), reason: format!("not a GeoJSON fleet: {reason}") }
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
    check(line, |column| texts.get(&column).map_or("", |text| text.trim()), collector);
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
