//! One row: fields to a trip.

use csv::ByteRecord;
use rideplane_core::ids::VehicleTypeId;
use rideplane_core::time::{Span, Timestamp};

use super::error::shown;
use super::layout::{Column, Layout};
use super::{
    DETOUR, DistanceSource, FASTEST_KMH, Format, LONGEST, Point, Row, SkipReason, Skipped, Trip, TripError,
    distance_m,
};

/// Metres of an international mile.
const MILE_M: f64 = 1_609.344;

/// A distance that no trip has: two and a half times around the earth.
const FARTHEST_M: f64 = 100_000_000.0;

const SECONDS: &str =
    "a whole number of seconds from 0 to 2678400 (31 days), such as 420; leave it empty when it is not known";
const UNIX_TIME: &str = "a time in whole seconds since 1970 (milliseconds are refused), such as 1380593700; leave it empty when it is not known";
const RFC_3339: &str =
    "an RFC 3339 time with its offset, such as 2026-01-31T12:00:00Z; leave it empty when it is not known";
const MILES: &str = "a distance in miles, 0 or more, such as 2.7; leave it empty when it is not known";
const METRES: &str = "a distance in metres, 0 or more, such as 4300; leave it empty when it is not known";
const LATITUDE: &str = "a latitude in degrees from -90 to 90; leave it empty when it is not known";
const LONGITUDE: &str = "a longitude in degrees from -180 to 180; leave it empty when it is not known";
const TEXT: &str = "UTF-8 text: save the file as UTF-8";
const VEHICLE_TYPE: &str = "a vehicle type id such as scooter; leave it empty when any type will do";

/// The fields of one row, and what an error needs to know about it.
struct Fields<'a> {
    layout: &'a Layout,
    file: &'a str,
    line: u64,
    record: &'a ByteRecord,
}

/// Turns a record into a row. A wrong value is an error even in a row that would be skipped anyway.
pub(super) fn parse(
    layout: &Layout,
    file: &str,
    line: u64,
    row: u64,
    record: &ByteRecord,
) -> Result<Row, TripError> {
    if record.len() != layout.fields {
        let (found, expected) = (record.len(), layout.fields);
        return Err(TripError::FieldCount { file: file.to_owned(), line, found, expected });
    }
    let fields = Fields { layout, file, line, record };
    let trip_id = fields.text(Column::TripId)?.map(str::to_owned);
    let started_at = fields.started_at()?;
    let duration = fields.duration()?;
    let recorded_m = fields.distance_m()?;
    let pickup = fields.point(Column::PickupLat, Column::PickupLon)?;
    let dropoff = fields.point(Column::DropoffLat, Column::DropoffLon)?;
    let vehicle_type = fields.vehicle_type()?;

    let skipped = |reason| Ok(Row::Skipped(Skipped { row, line, reason }));
    let Some(started_at) = started_at else { return skipped(SkipReason::NoStartTime) };
    let Some(pickup) = pickup else { return skipped(SkipReason::NoPickupCoordinates) };
    let Some(dropoff) = dropoff else { return skipped(SkipReason::NoDropoffCoordinates) };
    let Some(duration) = duration else { return skipped(SkipReason::NoDuration) };
    let (distance_m, distance_source) = distance(recorded_m, duration, pickup, dropoff);
    Ok(Row::Trip(Trip {
        index: row,
        trip_id,
        started_at,
        duration,
        distance_m,
        distance_source,
        pickup,
        dropoff,
        vehicle_type,
    }))
}

fn distance(recorded_m: Option<f64>, duration: Span, from: Point, to: Point) -> (u64, DistanceSource) {
    let hours = duration.as_seconds() as f64 / 3_600.0;
    match recorded_m {
        Some(metres) if metres / 1_000.0 <= FASTEST_KMH * hours => {
            (metres.round() as u64, DistanceSource::Recorded)
        }
        Some(_) | None => ((DETOUR * distance_m(from, to)).round() as u64, DistanceSource::Estimated),
    }
}

impl Fields<'_> {
    /// The field without surrounding blanks; `None` when it is empty or the file lacks the column.
    fn text(&self, column: Column) -> Result<Option<&str>, TripError> {
        let Some(bytes) = self.layout.position(column).and_then(|at| self.record.get(at)) else {
            return Ok(None);
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
            Err(_) => Err(self.wrong(column, bytes, TEXT)),
        }
    }

    fn started_at(&self) -> Result<Option<Timestamp>, TripError> {
        let Some(text) = self.text(Column::StartedAt)? else { return Ok(None) };
        let (time, expected) = match self.layout.format {
            Format::ChicagoTaxi => {
                let seconds = whole(text).and_then(|seconds| i64::try_from(seconds).ok());
                (seconds.and_then(Timestamp::try_from_unix_seconds), UNIX_TIME)
            }
            Format::Rideplane => (text.parse().ok(), RFC_3339),
        };
        time.map(Some).ok_or_else(|| self.wrong(Column::StartedAt, text.as_bytes(), expected))
    }

    /// Zero is how logs write "not known".
    fn duration(&self) -> Result<Option<Span>, TripError> {
        let Some(text) = self.text(Column::Duration)? else { return Ok(None) };
        let seconds = whole(text).and_then(|seconds| i64::try_from(seconds).ok());
        match seconds.map(Span::from_seconds) {
            Some(duration) if duration <= LONGEST => Ok(Some(duration).filter(|span| *span > Span::ZERO)),
            Some(_) | None => Err(self.wrong(Column::Duration, text.as_bytes(), SECONDS)),
        }
    }

    /// Zero is how logs write "not known".
    fn distance_m(&self) -> Result<Option<f64>, TripError> {
        let Some(text) = self.text(Column::Distance)? else { return Ok(None) };
        let (unit_m, expected) = match self.layout.format {
            Format::ChicagoTaxi => (MILE_M, MILES),
            Format::Rideplane => (1.0, METRES),
        };
        match decimal(text).map(|number| number * unit_m) {
            Some(metres) if (0.0..=FARTHEST_M).contains(&metres) => {
                Ok(Some(metres).filter(|metres| *metres > 0.0))
            }
            Some(_) | None => Err(self.wrong(Column::Distance, text.as_bytes(), expected)),
        }
    }

    fn point(&self, lat: Column, lon: Column) -> Result<Option<Point>, TripError> {
        let (north, east) = (self.degrees(lat, 90.0, LATITUDE)?, self.degrees(lon, 180.0, LONGITUDE)?);
        Ok(north.zip(east).and_then(|(lat, lon)| Point::new(lat, lon).ok()))
    }

    fn degrees(&self, column: Column, most: f64, expected: &'static str) -> Result<Option<f64>, TripError> {
        let Some(text) = self.text(column)? else { return Ok(None) };
        let degrees = decimal(text).filter(|degrees| degrees.abs() <= most);
        degrees.map(Some).ok_or_else(|| self.wrong(column, text.as_bytes(), expected))
    }

    fn vehicle_type(&self) -> Result<Option<VehicleTypeId>, TripError> {
        let Some(text) = self.text(Column::VehicleType)? else { return Ok(None) };
        let id = VehicleTypeId::new(text);
        id.map(Some).map_err(|_| self.wrong(Column::VehicleType, text.as_bytes(), VEHICLE_TYPE))
    }

    fn wrong(&self, column: Column, value: &[u8], expected: &'static str) -> TripError {
        TripError::Value {
            file: self.file.to_owned(),
            line: self.line,
            column: self.layout.name(column),
            value: shown(value),
            expected,
        }
    }
}

/// A whole number; `420.0` counts, because tables with gaps are often written that way.
fn whole(text: &str) -> Option<u64> {
    let digits = text.strip_suffix(".0").unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// A plain decimal number: no `NaN`, no infinity.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    plain.then(|| text.parse().ok()).flatten().filter(|number: &f64| number.is_finite())
}
