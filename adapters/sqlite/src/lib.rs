//! The [`Store`](rideplane_ports::Store), [`Outbox`](rideplane_ports::Outbox), [`Inbox`](rideplane_ports::Inbox) and
//! [`AuditSource`](rideplane_ports::AuditSource) ports on one embedded SQLite file: nothing to install, nothing lost.
//!
//! ```no_run
//! # async fn run() -> Result<(), rideplane_ports::PortError> {
//! use rideplane_sqlite::{SqliteConfig, SqliteStore};
//! let store = SqliteStore::open(SqliteConfig::new("rideplane.db")).await?;
//! store.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! **One writer.** A lock file makes this process the only one that writes; a second one is refused, any number may
//! read ([`SqliteStore::open_read_only`]). Within the process one thread owns the writing connection. It takes whatever
//! operations are waiting and carries them out in one transaction (group commit). Each commit is judged by its own
//! expectations, after the effects of those before it, so that one that is refused leaves its neighbours alone. All are
//! acknowledged once the COMMIT has returned, which with [`Durability::PowerLoss`] means: synced to the disk.
//!
//! **Memory.** Since nobody else writes, rows that were used lately are kept as typed values and stay true. They change
//! between the COMMIT and the acknowledgement, so a read after an acknowledged commit sees it. What memory lacks is read
//! from the file. All deadlines are kept, and events from their COMMIT until they are
//! published, as long as there are not more of them than rows of one kind.
//!
//! **Failure.** When SQL fails before the COMMIT, nothing was done ([`Unavailable`](rideplane_ports::Kind)); when the
//! COMMIT itself fails in a way that leaves the end open, the answer is
//! [`OutcomeUnknown`](rideplane_ports::Kind), memory is emptied and the file asked again. A caller that stops waiting
//! leaves all or nothing. A row that is not what was written is [`Corrupt`](rideplane_ports::Kind) and named.

mod audit;
mod batch;
mod cache;
mod config;
mod inbox;
mod lookups;
mod open;
mod outbox;
mod readers;
mod rows;
mod statements;
mod store;
mod waiting;
mod writer;

pub use config::{Durability, SqliteConfig};
pub use store::SqliteStore;
