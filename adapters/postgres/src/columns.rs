//! The commits of a batch as `commit_batch` of the schema takes them: one array a column.

use rideplane_core::time::Timestamp;
use rideplane_ports::{AggregateKey, CommitError, IdempotencyRecord, PreparedCommit};
use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;

use crate::literal::{Literals, Parameters};
use crate::sql;

/// How many arrays a call has.
const COLUMNS: usize = 49;
/// About how many bytes a row has beside its state.
const ROW: usize = 256;

#[derive(Default)]
struct Aggregates<'a> {
    commit: Vec<i32>,
    id: Vec<String>,
    expected: Vec<i64>,
    version: Vec<i64>,
    deadline: Vec<Option<i64>>,
    state: Vec<&'a str>,
}

/// The columns of an idempotency record. All are null where nothing is.
#[derive(Default)]
struct Records<'a> {
    hash: Vec<Option<&'a [u8]>>,
    booking: Vec<Option<String>>,
    locked: Vec<Option<i64>>,
    status: Vec<Option<i16>>,
    body: Vec<Option<&'a [u8]>>,
}

impl Aggregates<'_> {
    fn add(&mut self, commit: i32, id: String, versions: (u64, u64)) -> Result<(), BoxDynError> {
        self.commit.push(commit);
        self.id.push(id);
        self.expected.push(versions.0.try_into()?);
        self.version.push(versions.1.try_into()?);
        Ok(())
    }
}

impl<'a> Records<'a> {
    fn add(&mut self, record: Option<&'a IdempotencyRecord>) -> Result<(), BoxDynError> {
        self.hash.push(record.map(|record| &record.request_hash()[..]));
        let (booking, locked, status, body) = match record {
            Some(IdempotencyRecord::InFlight { booking_id, locked_until, .. }) => {
                (Some(booking_id.to_string()), Some(locked_until.as_micros()), None, None)
            }
            Some(IdempotencyRecord::Done { status, body, .. }) => {
                (None, None, Some(i16::try_from(*status)?), Some(body.as_slice()))
            }
            None => (None, None, None, None),
        };
        self.booking.push(booking);
        self.locked.push(locked);
        self.status.push(status);
        self.body.push(body);
        Ok(())
    }

    fn bind(self, row: &mut impl Parameters) -> Result<(), BoxDynError> {
        row.add(self.hash)?;
        row.add(self.booking)?;
        row.add(self.locked)?;
        row.add(self.status)?;
        row.add(self.body)
    }
}

/// The arguments of one call for these commits, each under its place in the slice.
pub(crate) fn arguments(commits: &[&PreparedCommit]) -> Result<PgArguments, BoxDynError> {
    let mut row = PgArguments::default();
    // Grown step by step, hundreds of kB would be moved several times.
    sqlx::Arguments::reserve(&mut row, COLUMNS, commits.iter().map(|commit| size(commit)).sum());
    add(commits, &mut row)?;
    Ok(row)
}

/// About how many bytes a commit takes.
fn size(commit: &PreparedCommit) -> usize {
    let states = commit.vehicles.iter().map(|change| change.json.len());
    let states = states.chain(commit.bookings.iter().map(|change| change.json.len()));
    let events = commit.events.iter().map(|event| event.data.len());
    ROW + states.chain(events).map(|text| text + ROW).sum::<usize>()
}

/// The same call with its arguments written out.
pub(crate) fn text(commits: &[&PreparedCommit]) -> Result<String, BoxDynError> {
    let mut row = Literals::default();
    add(commits, &mut row)?;
    Ok(format!("{}({})", sql::COMMIT_BATCH_CALL, row.as_str()))
}

fn add(commits: &[&PreparedCommit], row: &mut impl Parameters) -> Result<(), BoxDynError> {
    let mut numbered = Vec::with_capacity(commits.len());
    for (number, commit) in commits.iter().enumerate() {
        numbered.push((i32::try_from(number)?, *commit));
    }
    vehicles(&numbered, row)?;
    bookings(&numbered, row)?;
    events(&numbered, row)?;
    ledger(&numbered, row)?;
    idempotency(&numbered, row)?;
    quotas(&numbered, row)
}

type Numbered<'a> = [(i32, &'a PreparedCommit)];

fn vehicles(commits: &Numbered<'_>, row: &mut impl Parameters) -> Result<(), BoxDynError> {
    let mut rows = Aggregates::default();
    let mut epoch: Vec<i64> = Vec::new();
    let mut watched: Vec<Option<bool>> = Vec::new();
    for (number, commit) in commits {
        for change in &commit.vehicles {
            let vehicle = &change.stored.state;
            rows.add(*number, vehicle.id.to_string(), (change.expected.0, change.stored.version.0))?;
            rows.deadline.push(change.deadline.map(Timestamp::as_micros));
            rows.state.push(&change.json);
            epoch.push(vehicle.epoch.0.try_into()?);
            watched.push(commit.moves_watch.then(|| vehicle.is_watched()));
        }
    }
    row.add(rows.commit)?;
    row.add(rows.id)?;
    row.add(rows.expected)?;
    row.add(rows.version)?;
    row.add(epoch)?;
    row.add(watched)?;
    row.add(rows.deadline)?;
    row.add(rows.state)
}

fn bookings(commits: &Numbered<'_>, row: &mut impl Parameters) -> Result<(), BoxDynError> {
    let mut rows = Aggregates::default();
    let (mut user, mut created, mut status) = (Vec::new(), Vec::new(), Vec::new());
    for (number, commit) in commits {
        for change in &commit.bookings {
            let booking = &change.stored.state;
            rows.add(*number, booking.id.to_string(), (change.expected.0, change.stored.version.0))?;
            rows.deadline.push(change.deadline.map(Timestamp::as_micros));
            rows.state.push(&change.json);
            user.push(booking.user_id.as_str());
            created.push(booking.created_at.as_micros());
            status.push(booking.status().as_str());
        }
    }
    row.add(rows.commit)?;
    row.add(rows.id)?;
    row.add(rows.expected)?;
    row.add(rows.version)?;
    row.add(user)?;
    row.add(created)?;
    row.add(status)?;
    row.add(rows.deadline)?;
    row.add(rows.state)
}

fn events(commits: &Numbered<'_>, row: &mut impl Parameters) -> Result<(), BoxDynError> {
    let all =
        || commits.iter().flat_map(|(number, commit)| commit.events.iter().map(|event| (*number, event)));
    let versions = all().map(|(_, event)| i64::try_from(event.version.0)).collect::<Result<Vec<_>, _>>()?;
    row.add(all().map(|(number, _)| number).collect::<Vec<_>>())?;
    row.add(all().map(|(_, event)| event.aggregate.kind()).collect::<Vec<_>>())?;
    row.add(all().map(|(_, event)| event.aggregate.id()).collect::<Vec<_>>())?;
    row.add(versions)?;
    row.add(all().map(|(_, event)| event.topic.as_str()).collect::<Vec<_>>())?;
    row.add(all().map(|(_, event)| event.name.as_str()).collect::<Vec<_>>())?;
    row.add(all().map(|(_, event)| event.at.as_micros()).collect::<Vec<_>>())?;
    row.add(all().map(|(_, event)| event.data.as_str()).collect::<Vec<_>>())
}

fn ledger(commits: &Numbered<'_>, row: &mut impl Parameters) -> Result<(), BoxDynError> {
    let all =
        || commits.iter().flat_map(|(number, commit)| commit.ledger.iter().map(|entry| (*number, entry)));
    let versions = all().map(|(_, entry)| i64::try_from(entry.version.0)).collect::<Result<Vec<_>, _>>()?;
    row.add(all().map(|(number, _)| number).collect::<Vec<_>>())?;
    row.add(all().map(|(_, entry)| entry.booking_id.to_string()).collect::<Vec<_>>())?;
    row.add(versions)?;
    row.add(all().map(|(_, entry)| entry.account.as_str()).collect::<Vec<_>>())?;
    row.add(all().map(|(_, entry)| entry.amount.to_minor()).collect::<Vec<_>>())?;
    row.add(all().map(|(_, entry)| entry.amount.currency().code().to_owned()).collect::<Vec<_>>())?;
    row.add(all().map(|(_, entry)| entry.at.as_micros()).collect::<Vec<_>>())
}

fn idempotency(commits: &Numbered<'_>, row: &mut impl Parameters) -> Result<(), BoxDynError> {
    let (mut commit_no, mut user, mut key) = (Vec::new(), Vec::new(), Vec::new());
    let (mut old, mut new) = (Records::default(), Records::default());
    for (number, commit) in commits {
        let Some(write) = &commit.idempotency else { continue };
        commit_no.push(*number);
        user.push(write.id.user_id.as_str());
        key.push(write.id.key.as_str());
        old.add(write.expected.as_ref())?;
        new.add(Some(&write.record))?;
    }
    row.add(commit_no)?;
    row.add(user)?;
    row.add(key)?;
    old.bind(row)?;
    new.bind(row)
}

fn quotas(commits: &Numbered<'_>, row: &mut impl Parameters) -> Result<(), BoxDynError> {
    let all = || commits.iter().filter_map(|(number, commit)| Some((*number, commit.quota.as_ref()?)));
    row.add(all().map(|(number, _)| number).collect::<Vec<_>>())?;
    row.add(all().map(|(_, quota)| quota.user_id.as_str()).collect::<Vec<_>>())?;
    row.add(all().map(|(_, quota)| quota.since.as_micros()).collect::<Vec<_>>())?;
    row.add(all().map(|(_, quota)| i64::from(quota.max)).collect::<Vec<_>>())
}

/// A row of `commit_batch`'s answer as an error: `change` counts from 1 where it is an
/// aggregate's.
pub(crate) fn refusal(
    commit: &PreparedCommit,
    reason: &str,
    change: usize,
    current: i64,
) -> Option<CommitError> {
    let place = change.saturating_sub(1);
    match reason {
        "vehicle" => commit.vehicles.get(place).map(|change| CommitError::VersionConflict {
            key: AggregateKey::Vehicle(change.stored.state.id.clone()),
            expected: change.expected,
        }),
        "booking" => commit.bookings.get(place).map(|change| CommitError::VersionConflict {
            key: AggregateKey::Booking(change.stored.state.id),
            expected: change.expected,
        }),
        "idempotency" => Some(CommitError::IdempotencyConflict),
        "quota" => Some(CommitError::QuotaExceeded { oldest: Timestamp::from_micros(current) }),
        _ => None,
    }
}
