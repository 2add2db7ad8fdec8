//! What can be wrong with a trip log.

use std::io;

use super::Format;

/// Why a trip log, or one row of it, can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TripError {
    /// The file can't be opened.
    #[error("{file} can't be opened ({source}): name a CSV file of trips")]
    Open {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The file can't be read to its end.
    #[error("{file} can't be read any further: {source}")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// There is not even a header.
    #[error("{file} is empty: format {format} begins with a line of column names")]
    Empty {
        /// The file.
        file: String,
        /// The format that was asked for.
        format: Format,
    },
    /// The header misses a column.
    #[error(
        "{file} line 1 has no column {column}, which format {format} needs (columns are separated by commas); it has: {found}"
    )]
    MissingColumn {
        /// The file.
        file: String,
        /// The column that is missing.
        column: &'static str,
        /// The format that was asked for.
        format: Format,
        /// The columns that are there.
        found: String,
    },
    /// The header has a column that the format does not know.
    #[error("{file} line 1, column {column:?} is not known to format {format}{hint}")]
    UnknownColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The format that was asked for.
        format: Format,
        /// The nearest known one, or the list of them.
        hint: String,
    },
    /// The header has a column twice.
    #[error("{file} line 1 has column {column} twice: remove one of them")]
    DuplicateColumn {
        /// The file.
        file: String,
        /// The column.
        column: &'static str,
    },
    /// A row has more or fewer fields than the header.
    #[error(
        "{file} line {line} has {found} fields and the header has {expected}: look for a missing or an extra comma, or a quote that is never closed"
    )]
    FieldCount {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The fields of the row.
        found: usize,
        /// The columns of the header.
        expected: usize,
    },
    /// A field can't be understood.
    #[error("{file} line {line}, column {column}: {value:?} is not {expected}")]
    Value {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The column.
        column: &'static str,
        /// The value, cut at 64 characters.
        value: String,
        /// What it should be, with an example.
        expected: &'static str,
    },
}

/// Text of unknown origin, cut to what a message can carry.
pub(super) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..256).unwrap_or(bytes)).chars().take(64).collect()
}

/// Records are read as bytes and of any length, so that only the reader underneath can fail.
pub(super) fn unreadable(file: &str, error: csv::Error) -> TripError {
    TripError::Read { file: file.to_owned(), source: io::Error::from(error) }
}
