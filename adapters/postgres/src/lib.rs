//! The [`Store`](rideplane_ports::Store), [`Outbox`](rideplane_ports::Outbox), [`Inbox`](rideplane_ports::Inbox),
//! [`AuditSource`](rideplane_ports::AuditSource) and [`Availability`](rideplane_ports::Availability) ports on Postgres 15
//! or later with PostGIS 3: any number of processes, one truth.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use rideplane_postgres::{PostgresConfig, PostgresStore};
//! let config: PostgresConfig = "postgres://rideplane:secret@db-1,db-2/rideplane".parse()?;
//! PostgresStore::migrate(&config).await?;
//! let store = PostgresStore::open(config).await?;
//! store.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! **One call, one round trip.** Commits that wait are sent together, as one call of the function `commit_batch` and so
//! as one transaction. It locks the rows of all of them, always in the same order, then judges each commit by its own
//! expectations and writes those that hold; each row is written by a conditional `UPDATE` that names the version it
//! replaces. Of commits that touch the same row one is in a batch; the others learn that they lost as soon as it has won.
//! A batch that meets a row that can't be there is taken apart, so that it fails for one and not for its neighbours.
//! Through a transaction pooler the call is sent with its values written out, because what the driver prepares, in a round
//! trip of its own, is of no use on the next connection. Other statements stand between `BEGIN` and `COMMIT` there.
//!
//! **Log and outbox.** `events` is the log of every aggregate and is kept: folding it gives the stored state. `outbox`
//! names those that wait for the bus, in rows that are small and are pruned some time after they were published.
//!
//! **Failure.** A statement that the server refuses did nothing ([`Unavailable`](rideplane_ports::Kind)). When the
//! connection is lost or no answer comes after it was sent, the end is open and the answer is
//! [`OutcomeUnknown`](rideplane_ports::Kind); the same request under the same idempotency key then finds the truth. Of
//! several hosts the one that takes writes is looked for again whenever a connection fails.

mod audit;
mod availability;
mod columns;
mod config;
mod database;
mod failure;
mod gather;
mod inbox;
mod literal;
mod outbox;
mod rows;
mod schema;
mod sql;
mod store;
mod telemetry;
mod writer;

pub use availability::PostgresAvailability;
pub use config::{InvalidPostgresUrl, PostgresConfig};
pub use outbox::Wakeups;
pub use schema::Migrated;
pub use store::PostgresStore;
