//! Reads zones out of a JSON document, field by field, so that an error can say which one is wrong.

use geo::BoundingRect as _;
use serde_json::{Map, Value};
use smol_str::SmolStr;

use super::super::Point;
use super::{Area, Rule, Zone, ZoneError, Zones};
use crate::ids::VehicleTypeId;
use crate::time::Timestamp;

type Object = Map<String, Value>;

/// What is wrong and, built up on the way out, where.
struct Problem {
    field: String,
    text: String,
}

type Read<T> = Result<T, Problem>;

impl Problem {
    fn new(text: impl Into<String>) -> Self {
        Self { field: String::new(), text: text.into() }
    }

    fn expected(what: &str, found: &Value) -> Self {
        let found: String = found.to_string().chars().take(64).collect();
        Self::new(format!("must be {what}, but is {found}"))
    }

    fn under(mut self, outer: &str) -> Self {
        let joint = if self.field.is_empty() || self.field.starts_with('[') { "" } else { "." };
        self.field = format!("{outer}{joint}{}", self.field);
        self
    }
}

pub(super) fn document(document: &Value) -> Result<Zones, ZoneError> {
    let outside =
        |Problem { field, text }: Problem| ZoneError::Document { field: or_document(field), problem: text };
    let root = object(document).map_err(outside)?;
    let (collection, global_rules) = match root.get("data") {
        None => (root, Vec::new()),
        Some(data) => {
            let data = object(data).map_err(|p| outside(p.under("data")))?;
            let collection = required(data, "geofencing_zones", |zones| object(zones))
                .map_err(|p| outside(p.under("data")))?;
            let rules = optional(data, "global_rules", rules).map_err(|p| outside(p.under("data")))?;
            (collection, rules.unwrap_or_default())
        }
    };
    required(collection, "type", |kind| tag(kind, &["FeatureCollection"])).map_err(outside)?;
    let features = required(collection, "features", array).map_err(outside)?;
    let zones = features
        .iter()
        .enumerate()
        .map(|(index, value)| {
            feature(value).map_err(|Problem { field, text }| ZoneError::Feature {
                feature: index,
                field: or_document(field),
                problem: text,
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Zones { zones, global_rules })
}

/// The whole has no name of its own.
fn or_document(field: String) -> String {
    if field.is_empty() { "the whole".into() } else { field }
}

fn feature(value: &Value) -> Read<Zone> {
    let feature = object(value)?;
    required(feature, "type", |kind| tag(kind, &["Feature"]))?;
    let areas = required(feature, "geometry", geometry)?;
    required(feature, "properties", |value| {
        let properties = object(value)?;
        let start = optional(properties, "start", timestamp)?;
        let end = optional(properties, "end", timestamp)?;
        if let (Some(start), Some(end)) = (start, end)
            && end <= start
        {
            let text = format!("must come after start ({start}), but is {end}");
            return Err(Problem::new(text).under("end"));
        }
        Ok(Zone {
            name: optional(properties, "name", name)?.flatten(),
            start,
            end,
            areas,
            rules: optional(properties, "rules", rules)?.unwrap_or_default(),
        })
    })
}

/// GBFS 3: a list of texts with their languages. GBFS 2: the text.
fn name(value: &Value) -> Read<Option<SmolStr>> {
    if let Value::String(text) = value {
        return Ok(Some(SmolStr::new(text)));
    }
    let texts = each(value, |entry| required(object(entry)?, "text", text))?;
    Ok(texts.first().map(SmolStr::new))
}

fn rules(value: &Value) -> Read<Vec<Rule>> {
    each(value, |value| {
        let rule = object(value)?;
        Ok(Rule {
            vehicle_types: optional(rule, "vehicle_type_ids", |ids| each(ids, vehicle_type))?
                .unwrap_or_default(),
            ride_start_allowed: required(rule, "ride_start_allowed", boolean)?,
            ride_end_allowed: required(rule, "ride_end_allowed", boolean)?,
            ride_through_allowed: required(rule, "ride_through_allowed", boolean)?,
            maximum_speed_kph: optional(rule, "maximum_speed_kph", speed)?,
            station_parking: optional(rule, "station_parking", boolean)?.unwrap_or(false),
        })
    })
}

fn geometry(value: &Value) -> Read<Vec<Area>> {
    let geometry = object(value)?;
    let kind = required(geometry, "type", |kind| tag(kind, &["MultiPolygon", "Polygon"]))?;
    required(geometry, "coordinates", |coordinates| {
        if kind == "Polygon" { Ok(vec![area(coordinates)?]) } else { each(coordinates, area) }
    })
}

fn area(value: &Value) -> Read<Area> {
    let mut rings = each(value, ring)?.into_iter();
    let Some(exterior) = rings.next() else {
        return Err(Problem::new("must have an outer ring"));
    };
    let polygon = geo::Polygon::new(exterior, rings.collect());
    let bounds = polygon.bounding_rect().ok_or_else(|| Problem::new("must have an outer ring"))?;
    Ok(Area { bounds, polygon })
}

/// A linear ring (RFC 7946, section 3.1.6).
fn ring(value: &Value) -> Read<geo::LineString> {
    let positions = each(value, position)?;
    if positions.len() < 4 {
        return Err(Problem::new(format!("must have 4 positions or more, but has {}", positions.len())));
    }
    if positions.first() != positions.last() {
        return Err(Problem::new("must be closed: its last position must repeat the first"));
    }
    Ok(geo::LineString::new(positions))
}

/// A position is longitude, latitude and perhaps a height, which is of no interest here.
fn position(value: &Value) -> Read<geo::Coord> {
    let numbers = each(value, |number| number.as_f64().ok_or_else(|| Problem::expected("a number", number)))?;
    let [lon, lat, ..] = numbers.as_slice() else {
        return Err(Problem::expected("a longitude and a latitude", value));
    };
    let point = Point::new(*lat, *lon).map_err(|error| Problem::new(error.to_string()))?;
    Ok(geo::Coord { x: point.lon(), y: point.lat() })
}

fn required<'a, T>(object: &'a Object, field: &str, read: impl FnOnce(&'a Value) -> Read<T>) -> Read<T> {
    match object.get(field) {
        Some(value) => read(value).map_err(|problem| problem.under(field)),
        None => Err(Problem::new("is missing").under(field)),
    }
}

/// A field that is `null` counts as left out.
fn optional<'a, T>(
    object: &'a Object,
    field: &str,
    read: impl FnOnce(&'a Value) -> Read<T>,
) -> Read<Option<T>> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => read(value).map(Some).map_err(|problem| problem.under(field)),
    }
}

fn each<'a, T>(value: &'a Value, read: impl Fn(&'a Value) -> Read<T>) -> Read<Vec<T>> {
    let items = array(value)?.iter().enumerate();
    items.map(|(index, item)| read(item).map_err(|problem| problem.under(&format!("[{index}]")))).collect()
}

fn object(value: &Value) -> Read<&Object> {
    value.as_object().ok_or_else(|| Problem::expected("an object", value))
}

fn array(value: &Value) -> Read<&Vec<Value>> {
    value.as_array().ok_or_else(|| Problem::expected("a list", value))
}

fn text(value: &Value) -> Read<&str> {
    value.as_str().ok_or_else(|| Problem::expected("a text", value))
}

fn boolean(value: &Value) -> Read<bool> {
    value.as_bool().ok_or_else(|| Problem::expected("true or false", value))
}

fn speed(value: &Value) -> Read<u32> {
    let whole = value.as_u64().and_then(|kph| u32::try_from(kph).ok());
    whole.ok_or_else(|| Problem::expected("a whole number of km/h, 0 or more", value))
}

fn tag<'a>(value: &'a Value, allowed: &[&str]) -> Read<&'a str> {
    let tag = text(value)?;
    if allowed.contains(&tag) {
        return Ok(tag);
    }
    Err(Problem::expected(&allowed.join(" or "), value))
}

fn timestamp(value: &Value) -> Read<Timestamp> {
    text(value)?.parse().map_err(|error: crate::time::InvalidTimestamp| Problem::new(error.to_string()))
}

fn vehicle_type(value: &Value) -> Read<VehicleTypeId> {
    VehicleTypeId::new(text(value)?).map_err(|error| Problem::new(error.to_string()))
}
