//! Which column of a file means what.

use csv::ByteRecord;

use super::error::shown;
use super::{Format, TripError};

/// What a column means, whatever a format calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    StartedAt,
    Duration,
    Distance,
    PickupLat,
    PickupLon,
    DropoffLat,
    DropoffLon,
    TripId,
    VehicleType,
}

const COLUMNS: usize = 9;

/// A format's name of a column, and whether a file must have it.
type Names = &'static [(Column, &'static str, bool)];

const CHICAGO_TAXI: Names = &[
    (Column::StartedAt, "trip_start_timestamp", true),
    (Column::Duration, "trip_seconds", true),
    (Column::Distance, "trip_miles", true),
    (Column::PickupLat, "pickup_latitude", true),
    (Column::PickupLon, "pickup_longitude", true),
    (Column::DropoffLat, "dropoff_latitude", true),
    (Column::DropoffLon, "dropoff_longitude", true),
];

const RIDEPLANE: Names = &[
    (Column::StartedAt, "started_at", true),
    (Column::Duration, "duration_s", true),
    (Column::Distance, "distance_m", true),
    (Column::PickupLat, "pickup_lat", true),
    (Column::PickupLon, "pickup_lon", true),
    (Column::DropoffLat, "dropoff_lat", true),
    (Column::DropoffLon, "dropoff_lon", true),
    (Column::TripId, "trip_id", false),
    (Column::VehicleType, "vehicle_type", false),
];

/// The columns of one file.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) format: Format,
    pub(super) fields: usize,
    positions: [Option<usize>; COLUMNS],
}

impl Layout {
    /// Finds the columns in a header.
    pub(super) fn new(format: Format, file: &str, header: &ByteRecord) -> Result<Self, TripError> {
        let mut positions = [None; COLUMNS];
        for (at, field) in header.iter().enumerate() {
            let Some((column, name, _)) =
                names(format).iter().find(|(_, name, _)| name.as_bytes() == field.trim_ascii())
            else {
                if format == Format::Rideplane {
                    return Err(unknown(format, file, field));
                }
                continue;
            };
            if positions.get(*column as usize).copied().flatten().is_some() {
                return Err(TripError::DuplicateColumn { file: file.to_owned(), column: name });
            }
            if let Some(position) = positions.get_mut(*column as usize) {
                *position = Some(at);
            }
        }
        let layout = Self { format, fields: header.len(), positions };
        for (column, name, required) in names(format) {
            if *required && layout.position(*column).is_none() {
                let found: Vec<String> = header.iter().take(40).map(shown).collect();
                return Err(TripError::MissingColumn {
                    file: file.to_owned(),
                    column: name,
                    format,
                    found: found.join(", "),
                });
            }
        }
        Ok(layout)
    }

    /// Where the column is in a row, if the file has it.
    pub(super) fn position(&self, column: Column) -> Option<usize> {
        self.positions.get(column as usize).copied().flatten()
    }

    /// What the format calls the column.
    pub(super) fn name(&self, column: Column) -> &'static str {
        names(self.format).iter().find(|(known, ..)| *known == column).map_or("", |(_, name, _)| name)
    }
}

const fn names(format: Format) -> Names {
    match format {
        Format::ChicagoTaxi => CHICAGO_TAXI,
        Format::Rideplane => RIDEPLANE,
    }
}

/// An unknown column is refused, lest a misspelt optional one be ignored.
fn unknown(format: Format, file: &str, field: &[u8]) -> TripError {
    let column = shown(field.trim_ascii());
    let all = names(format).iter().map(|(_, name, _)| *name);
    let nearest = all.clone().max_by(|a, b| {
        strsim::jaro_winkler(a, &column).total_cmp(&strsim::jaro_winkler(b, &column)).then(b.cmp(a))
    });
    let hint = match nearest {
        Some(name) if strsim::jaro_winkler(name, &column) > 0.8 => format!("; did you mean {name}?"),
        Some(_) | None => format!("; it knows {}", all.collect::<Vec<_>>().join(", ")),
    };
    TripError::UnknownColumn { file: file.to_owned(), column, format, hint }
}
