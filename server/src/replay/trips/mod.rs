//! Trip logs: streaming readers that turn a CSV file into rides, row by row.
//!
//! Three things can come of a row, and none of them is silence:
//! - a [`Trip`], complete enough to be ridden;
//! - a [`Skipped`] row, well formed but not rideable, with the reason, to be counted;
//! - a [`TripError`] that names file, line, column and value, and says what would be right.
//!
//! # Formats
//! `chicago-taxi` is the City of Chicago's taxi export (other columns are ignored):
//! `trip_start_timestamp` (Unix seconds), `trip_seconds`, `trip_miles`, `pickup_latitude`, `pickup_longitude`,
//! `dropoff_latitude`, `dropoff_longitude`.
//!
//! `rideplane` is our own (other columns are refused): `started_at` (RFC 3339), `pickup_lat`, `pickup_lon`,
//! `dropoff_lat`, `dropoff_lon`, `duration_s`, `distance_m`, and optionally `trip_id` and `vehicle_type`
//! (a GBFS `vehicle_type_id`).
//!
//! # Distance
//! A recorded distance is taken as it is. Where there is none (empty or zero), and where it could only
//! have been driven faster than [`FASTEST_KMH`], it is [`DETOUR`] times the great-circle distance from
//! pick-up to drop-off; a round trip without a recorded distance has gone 0 m.

mod error;
mod layout;
mod row;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use csv::{ByteRecord, Terminator};
use rideplane_core::ids::VehicleTypeId;
use rideplane_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

pub use error::TripError;
use layout::Layout;
pub use rideplane_core::geo::{Point, distance_m};

/// How much longer a way by street is than the great circle, where a log does not say: 1.3, the usual
/// circuity of an urban street grid (measured values for US cities lie between 1.2 and 1.4).
pub const DETOUR: f64 = 1.3;

/// The mean speed in km/h above which a recorded distance is taken for a fault of the meter.
pub const FASTEST_KMH: f64 = 200.0;

/// The longest duration that a row may give: 31 days. More is a wrong unit.
pub const LONGEST: Span = Span::from_seconds(31 * 86_400);

/// The layout of a trip log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// The City of Chicago's taxi trips: Unix seconds, miles.
    #[default]
    ChicagoTaxi,
    /// Rideplane's own: RFC 3339, metres.
    Rideplane,
}

/// A row that can be ridden.
#[derive(Clone, Debug, PartialEq)]
pub struct Trip {
    /// The row, counted from 1 after the header: stable, and the tie-breaker of every order.
    pub index: u64,
    /// The operator's name of the trip, where the log has one.
    pub trip_id: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took; more than nothing, at most [`LONGEST`].
    pub duration: Span,
    /// How far it went, in metres.
    pub distance_m: u64,
    /// Where the distance comes from.
    pub distance_source: DistanceSource,
    /// Where the rider looked for a vehicle.
    pub pickup: Point,
    /// Where the vehicle was left.
    pub dropoff: Point,
    /// The vehicle type that was ridden, where the log says so.
    pub vehicle_type: Option<VehicleTypeId>,
}

/// Where a trip's distance comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DistanceSource {
    /// From the log.
    Recorded,
    /// [`DETOUR`] times the great circle: the log has none, or one that can't be.
    Estimated,
}

/// A well-formed row that can't be ridden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The row, counted from 1 after the header.
    pub row: u64,
    /// Its line in the file.
    pub line: u64,
    /// The first reason, in the order of [`SkipReason`].
    pub reason: SkipReason,
}

/// Why a row can't be ridden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// No start time.
    NoStartTime,
    /// Latitude or longitude of the pick-up is missing: nowhere to search.
    NoPickupCoordinates,
    /// Latitude or longitude of the drop-off is missing: nowhere to leave the vehicle.
    NoDropoffCoordinates,
    /// The duration is missing or zero: nothing to ride.
    NoDuration,
}

/// What a row holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// A ride.
    Trip(Trip),
    /// No ride, and why.
    Skipped(Skipped),
}

/// Reads a trip log row by row, in constant memory.
///
/// A row with a wrong value gives an error and reading goes on with the next row, so that a caller may
/// list several; a file that can't be read any further ends the iteration after its error.
#[derive(Debug)]
pub struct TripReader<R> {
    csv: csv::Reader<Terminated<R>>,
    file: String,
    layout: Layout,
    record: ByteRecord,
    row: u64,
    ended: bool,
}

/// A file with one more LF at its end, so that the last row is counted like any other.
#[derive(Debug)]
struct Terminated<R> {
    inner: R,
    terminated: bool,
    /// The end was read past, which no row makes necessary but one with an open quote.
    exhausted: bool,
}

impl<R: Read> Read for Terminated<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = if self.terminated { 0 } else { self.inner.read(into)? };
        if read > 0 {
            return Ok(read);
        }
        self.exhausted = self.terminated;
        self.terminated = true;
        match into.first_mut() {
            Some(byte) if !self.exhausted => {
                *byte = b'\n';
                Ok(1)
            }
            Some(_) | None => Ok(0),
        }
    }
}

impl Format {
    /// The name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChicagoTaxi => "chicago-taxi",
            Self::Rideplane => "rideplane",
        }
    }
}

impl SkipReason {
    /// All of them, in the order in which they are looked for.
    pub const ALL: [Self; 4] =
        [Self::NoStartTime, Self::NoPickupCoordinates, Self::NoDropoffCoordinates, Self::NoDuration];

    /// The name in `report.json`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoStartTime => "no_start_time",
            Self::NoPickupCoordinates => "no_pickup_coordinates",
            Self::NoDropoffCoordinates => "no_dropoff_coordinates",
            Self::NoDuration => "no_duration",
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Display for SkipReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TripReader<BufReader<File>> {
    /// Opens a trip log.
    ///
    /// # Errors
    /// When the file can't be opened, or as [`TripReader::new`].
    pub fn open(format: Format, path: &Path) -> Result<Self, TripError> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::new(format, &name, BufReader::new(file)),
            Err(source) => Err(TripError::Open { file: name, source }),
        }
    }
}

impl<R: Read> TripReader<R> {
    /// Reads from anything; `file` is the name that errors give it.
    ///
    /// # Errors
    /// When the header can't be read, misses a column of the format, has one twice, or (format
    /// `rideplane`) has one that is not known.
    pub fn new(format: Format, file: &str, reader: R) -> Result<Self, TripError> {
        // Rows end at LF alone: the csv crate's CRLF handling would leave the line count one behind.
        let mut csv = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(Terminated { inner: reader, terminated: false, exhausted: false });
        let mut header = ByteRecord::new();
        let read = csv.read_byte_record(&mut header);
        if !read.map_err(|error| error::unreadable(file, error))? {
            return Err(TripError::Empty { file: file.to_owned(), format });
        }
        let layout = Layout::new(format, file, &header)?;
        Ok(Self { csv, file: file.to_owned(), layout, record: ByteRecord::new(), row: 0, ended: false })
    }

    fn read(&mut self) -> Result<Option<Row>, TripError> {
        loop {
            if !self.csv.read_byte_record(&mut self.record).map_err(|e| error::unreadable(&self.file, e))? {
                return Ok(None);
            }
            if self.record.len() > 1 || !self.record.get(0).unwrap_or_default().trim_ascii().is_empty() {
                break;
            }
        }
        self.row += 1;
        // Where the row ends, less what it holds: blank lines before it don't move it. Only a quote that
        // is never closed lets a row end with the file instead of a line.
        let inner = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
        let ends = self.csv.position().line().saturating_sub(u64::from(!self.csv.get_ref().exhausted));
        let line = ends.saturating_sub(inner);
        row::parse(&self.layout, &self.file, line, self.row, &self.record).map(Some)
    }
}

impl<R: Read> Iterator for TripReader<R> {
    type Item = Result<Row, TripError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.read();
        self.ended = matches!(row, Ok(None) | Err(TripError::Read { .. }));
        row.transpose()
    }
}

/// Reads a whole log from memory up to its first error. Total: no bytes make it panic.
///
/// # Errors
/// As [`TripReader`].
///
/// ```
/// use rideplane::replay::trips::{Format, Row, read_bytes};
/// let log = "started_at,pickup_lat,pickup_lon,dropoff_lat,dropoff_lon,duration_s,distance_m\n\
///            2026-01-31T12:00:00Z,50.11,8.68,50.12,8.70,600,2100\n";
/// let rows = read_bytes(Format::Rideplane, "log.csv", log.as_bytes())?;
/// assert!(matches!(&rows[..], [Row::Trip(trip)] if trip.distance_m == 2_100));
///
/// let broken = log.replace("600", "ten minutes");
/// let error = read_bytes(Format::Rideplane, "log.csv", broken.as_bytes()).unwrap_err();
/// assert!(error.to_string().starts_with(
///     "log.csv line 2, column duration_s: \"ten minutes\" is not a whole number of seconds"
/// ));
/// # Ok::<(), rideplane::replay::trips::TripError>(())
/// ```
pub fn read_bytes(format: Format, file: &str, bytes: &[u8]) -> Result<Vec<Row>, TripError> {
    TripReader::new(format, file, bytes)?.collect()
}
