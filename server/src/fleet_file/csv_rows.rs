//! Fleet rows from CSV (RFC 4180) with a header line.

use csv::{ByteRecord, ReaderBuilder};

use super::row::{COLUMNS, Column, check, unknown};
use super::{Collector, Problem, shortened};

/// Which cell of a record holds each column.
type Places = [Option<usize>; COLUMNS.len()];

pub(super) fn read(bytes: &[u8], collector: &mut Collector) {
    // Flexible: a row of another length is told of with its own words, and the rows after it are still read.
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut record = ByteRecord::new();
    let mut header: Option<(Places, usize)> = None;
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                let line = error.position().map_or(1, csv::Position::line);
                return collector.problem(Problem::Form { line, reason: shortened(&error.to_string()) });
            }
        }
        let line = line_of(bytes, &record);
        match &header {
            Some((places, cells)) => read_row(line, &record, places, *cells, collector),
            None => match read_header(line, &record, collector) {
                Some(places) => header = Some((places, record.len())),
                None => return,
            },
        }
    }
    if header.is_none() {
        let names: Vec<_> = COLUMNS.iter().filter(|c| c.is_required()).map(|c| c.name()).collect();
        let reason = format!("the file is empty: it begins with a header line such as {}", names.join(","));
        collector.problem(Problem::Form { line: 1, reason });
    }
}

fn read_header(line: u64, record: &ByteRecord, collector: &mut Collector) -> Option<Places> {
    let problems_before = collector.problems.len();
    let mut places: Places = [None; COLUMNS.len()];
    for (at, cell) in record.iter().enumerate() {
        let name = String::from_utf8_lossy(cell);
        let Some(column) = Column::named(name.trim()) else {
            collector.problem(unknown(line, name.trim(), &COLUMNS));
            continue;
        };
        if let Some(place) = places.get_mut(column as usize) {
            if place.is_some() {
                collector.problem(Problem::Header { line, fault: "has twice the", column: column.name() });
            }
            *place = Some(at);
        }
    }
    for (column, place) in COLUMNS.iter().zip(&places) {
        if column.is_required() && place.is_none() {
            collector.problem(Problem::Header { line, fault: "has no", column: column.name() });
        }
    }
    (collector.problems.len() == problems_before).then_some(places)
}

fn read_row(line: u64, record: &ByteRecord, places: &Places, cells: usize, collector: &mut Collector) {
    if record.len() != cells {
        let reason = format!("this row has {} cells, the header has {cells}", record.len());
        return collector.problem(Problem::Form { line, reason });
    }
    let Ok(texts) = record.iter().map(core::str::from_utf8).collect::<Result<Vec<_>, _>>() else {
        return collector.problem(Problem::Form { line, reason: "this row is not UTF-8 text".into() });
    };
    let text = |column: Column| {
        let place = places.get(column as usize).copied().flatten();
        place.and_then(|at| texts.get(at)).map_or("", |text| text.trim())
    };
    check(line, None, text, collector);
}

/// The reader counts a record from the end of the one before: empty lines in between are the record's own.
fn line_of(bytes: &[u8], record: &ByteRecord) -> u64 {
    let Some(position) = record.position() else { return 1 };
    let from = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let before = bytes.get(from..).unwrap_or_default().iter();
    let empty =
        before.take_while(|byte| matches!(byte, b'\n' | b'\r')).filter(|byte| **byte == b'\n').count();
    position.line().saturating_add(empty as u64)
}
