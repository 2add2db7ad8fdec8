//! Search by PostGIS.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use rideplane_core::charge::Charge;
use rideplane_core::geo::{Point, distance_m};
use rideplane_core::ids::VehicleId;
use rideplane_core::time::{Span, Timestamp};
use rideplane_ports::{Availability, AvailabilityUpdate, Kind, Listing, Nearby, Nearest, PortError, Source};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::value::{Error as ValueError, StrDeserializer};
use sqlx::postgres::{PgArguments, PgRow};

use crate::config::PostgresConfig;
use crate::database::Database;
use crate::gather::{Desk, Tray, desk};
use crate::rows::{Result, Row, arguments};
use crate::store::at_most;
use crate::telemetry::basis_points;
use crate::{PostgresStore, sql};

const NEAREST: &str = "availability.nearest";
const APPLY: &str = "availability.apply";

/// The most calls whose changes share a statement.
const MAX_CALLS: usize = 512;

/// PostGIS and core count with radii that differ by 4 parts in a billion, and round each in its own way: what lies within
/// this of a border may be on either side of it.
const RELATIVE: f64 = 1e-7;
const ABSOLUTE_M: f64 = 0.001;

/// So many more are asked for than are wanted, so that the end of the answer is rarely in doubt.
const SPARE: usize = 8;

/// An answer of so many or more is likely to hold all there is.
const MANY: usize = 1_000;

/// How long a replica that failed is passed by: one that is silent costs a rider its time-out once, not at every search.
const PASSED_BY: Duration = Duration::from_secs(5);

/// Free vehicles in the table `listings`: found by an index of places in the order of their distance. Reads go to the
/// replicas in turn where there are any, to the primary otherwise and when a replica fails.
#[derive(Debug)]
pub struct PostgresAvailability {
    primary: Arc<Database>,
    replicas: Vec<Replica>,
    turn: AtomicUsize,
    changes: Desk<Vec<AvailabilityUpdate>, Result<()>>,
}

/// A standby that searches are asked of.
#[derive(Debug)]
struct Replica {
    database: Arc<Database>,
    passed_by_until: Mutex<Option<Instant>>,
}

impl Replica {
    fn is_passed_by(&self) -> bool {
        self.passed_by_until.lock().is_some_and(|until| Instant::now() < until)
    }

    fn failed(&self) {
        *self.passed_by_until.lock() = Instant::now().checked_add(PASSED_BY);
    }
}

impl PostgresAvailability {
    /// Search over the database of the store. Must be called within a tokio runtime, which then carries its writer.
    #[must_use]
    pub fn new(store: &PostgresStore, replicas: &[PostgresConfig]) -> Self {
        let (changes, tray) = desk();
        let primary = Arc::clone(&store.database);
        tokio::spawn(Listings { database: Arc::clone(&primary), tray }.run());
        let replica = |config| {
            Some(Replica { database: Database::replica(config)?, passed_by_until: Mutex::default() })
        };
        let replicas = replicas.iter().filter_map(replica).collect();
        Self { primary, replicas, turn: AtomicUsize::new(0), changes }
    }

    /// Asks each replica once, for a start-up that wants to know of a wrong URL at once. One that is down is no error: it
    /// is passed by until it is back.
    ///
    /// # Errors
    /// [`Rejected`](Kind::Rejected) when a replica refuses user, password or database, with what mends it.
    pub async fn check_replicas(&self) -> Result<()> {
        for replica in &self.replicas {
            match replica.database.greet().await {
                Err(error) if error.kind() == Kind::Rejected => return Err(error),
                Err(error) => tracing::warn!(%error, "a replica is passed by until it is there"),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// The next replica in turn that is not passed by.
    fn next_replica(&self) -> Option<&Replica> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(self.replicas.len())?;
        let (before, from) = self.replicas.split_at_checked(turn)?;
        from.iter().chain(before).find(|replica| !replica.is_passed_by())
    }

    async fn ask(&self, database: &Arc<Database>, query: &Nearest, now: Timestamp) -> Result<Nearby> {
        let lag = match self.replicas.is_empty() {
            true => Span::ZERO,
            false => lag(database).await?,
        };
        let as_of = now.minus(lag);
        let mut wanted = query.limit.saturating_add(SPARE);
        let mut sql = if wanted < MANY { sql::NEAREST } else { sql::WITHIN };
        loop {
            let mut found = ask_for(database, sql, query, wanted).await?;
            let complete = found.len() < wanted;
            if !complete && sql == sql::WITHIN {
                sql = sql::NEAREST;
                continue;
            }
            let end = found.get(query.limit.saturating_sub(1)).map(|(_, distance)| *distance);
            let beyond = found.last().map(|(_, distance)| *distance);
            found.retain(|(_, distance)| *distance <= query.radius_m);
            found.sort_by(|(a, far), (b, further)| {
                far.total_cmp(further).then_with(|| a.vehicle_id.cmp(&b.vehicle_id))
            });
            // Ties may go on behind what was asked for.
            let certain =
                end.zip(beyond).is_some_and(|(end, beyond)| beyond > end * (1.0 + RELATIVE) + ABSOLUTE_M);
            if complete || certain || query.limit == 0 {
                found.truncate(query.limit);
                return Ok(Nearby { vehicles: found, source: Source::Store, as_of });
            }
            wanted = wanted.saturating_mul(4);
        }
    }
}

#[async_trait]
impl Availability for PostgresAvailability {
    async fn nearest(&self, query: &Nearest, now: Timestamp) -> Result<Nearby> {
        if let Some(replica) = self.next_replica() {
            match self.ask(&replica.database, query, now).await {
                Ok(nearby) => return Ok(nearby),
                Err(error) => {
                    replica.failed();
                    tracing::warn!(%error, "a replica can't be asked and is passed by for a while");
                }
            }
        }
        self.ask(&self.primary, query, now).await
    }

    async fn apply(&self, updates: &[AvailabilityUpdate]) -> Result<()> {
        if updates.is_empty() {
            return Ok(());
        }
        self.changes.ask(APPLY, updates.to_vec()).await?
    }
}

async fn ask_for(
    database: &Arc<Database>,
    sql: &'static str,
    query: &Nearest,
    wanted: usize,
) -> Result<Vec<(Listing, f64)>> {
    let arguments = arguments!(
        NEAREST,
        query.center.lat(),
        query.center.lon(),
        query.radius_m * (1.0 + RELATIVE) + ABSOLUTE_M,
        query.vehicle_type.as_ref().map(|kind| kind.as_str()),
        query.min_charge.map(basis_points),
        query.min_range_m.map(i64::from),
        at_most(wanted),
    );
    let found = database.read(NEAREST, sql, arguments).await?;
    let read = |row: &PgRow| {
        let listing = listing(&Row::new(row, NEAREST, "listings"))?;
        let distance = distance_m(query.center, listing.position);
        Ok((listing, distance))
    };
    found.iter().map(read).collect()
}

async fn lag(database: &Arc<Database>) -> Result<Span> {
    let found = database.read(NEAREST, sql::LAG, PgArguments::default()).await?;
    let micros: i64 =
        found.first().map_or(Ok(0), |row| Row::new(row, NEAREST, "pg_last_xact_replay").get(0))?;
    Ok(Span::from_micros(micros.max(0)))
}

fn listing(row: &Row<'_>) -> Result<Listing> {
    let position = Point::new(row.get(5)?, row.get(6)?)
        .map_err(|_| row.corrupt(5, "and lon are not a place on the earth"))?;
    Ok(Listing {
        vehicle_id: row.parse(0)?,
        vehicle_type: row.parse(1)?,
        form_factor: word(row, 2)?,
        propulsion_type: word(row, 3)?,
        plan_id: row.parse(4)?,
        position,
        charge: row.optional::<u16>(7)?.map(Charge::from_basis_points),
        range_m: row.optional(8)?,
        last_reported: row.time(9)?,
    })
}

/// A word of GBFS, as its JSON spells it.
fn word<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    let word: &str = row.get(column)?;
    T::deserialize(StrDeserializer::<ValueError>::new(word))
        .map_err(|_| row.corrupt(column, "is not a word of GBFS"))
}

fn spelled<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

/// The task that writes what search must know.
struct Listings {
    database: Arc<Database>,
    tray: Tray<Vec<AvailabilityUpdate>, Result<()>>,
}

impl Listings {
    async fn run(self) {
        loop {
            let ops = self.tray.take(MAX_CALLS).await;
            if ops.is_empty() {
                return;
            }
            let mut last: HashMap<&VehicleId, &AvailabilityUpdate> = HashMap::new();
            for update in ops.iter().flat_map(|op| &op.work) {
                let id = update.vehicle_id();
                // Of the newest ones the last stands.
                if last.get(id).is_none_or(|known| known.stamp() <= update.stamp()) {
                    last.insert(id, update);
                }
            }
            let updates: Vec<_> = last.into_values().collect();
            let written = self.write(&updates).await;
            for op in ops {
                let answer = match &written {
                    Ok(()) => Ok(()),
                    Err(error) => Err(PortError::new(error.kind(), APPLY, error.to_string())),
                };
                drop(op.answer.send(answer));
            }
        }
    }

    async fn write(&self, updates: &[&AvailabilityUpdate]) -> Result<()> {
        let free: Vec<Option<&Listing>> = updates.iter().map(|update| update.listing()).collect();
        let stamps: Vec<_> = updates.iter().map(|update| update.stamp()).collect();
        let column =
            |of: fn(&Listing) -> Option<f64>| free.iter().map(|row| row.and_then(of)).collect::<Vec<_>>();
        let words =
            |of: fn(&Listing) -> Option<String>| free.iter().map(|row| row.and_then(of)).collect::<Vec<_>>();
        let arguments = arguments!(
            APPLY,
            updates.iter().map(|update| update.vehicle_id().as_str()).collect::<Vec<_>>(),
            stamps.iter().map(|stamp| i64::try_from(stamp.version.0).unwrap_or(i64::MAX)).collect::<Vec<_>>(),
            free.iter().map(Option::is_some).collect::<Vec<_>>(),
            words(|row| Some(row.vehicle_type.to_string())),
            words(|row| spelled(&row.form_factor)),
            words(|row| spelled(&row.propulsion_type)),
            words(|row| Some(row.plan_id.to_string())),
            column(|row| Some(row.position.lat())),
            column(|row| Some(row.position.lon())),
            free.iter().map(|row| row.and_then(|row| row.charge).map(basis_points)).collect::<Vec<_>>(),
            free.iter().map(|row| row.and_then(|row| row.range_m).map(i64::from)).collect::<Vec<_>>(),
            stamps.iter().map(|stamp| stamp.last_reported.map(Timestamp::as_micros)).collect::<Vec<_>>(),
        );
        self.database.read(APPLY, sql::APPLY_LISTINGS, arguments).await.map(drop)
    }
}
