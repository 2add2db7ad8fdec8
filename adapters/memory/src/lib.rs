//! Every port in memory: store, bus, search index, vehicle agents, test payment gateway, notifiers, and what a host
//! supplies (clock, entropy, signer, surge).
//!
//! For tests, demonstrations and simulations, and the reference that other adapters are measured by: each passes the same
//! conformance suite.

mod availability;
mod bus;
pub mod gateway;
mod host;
mod journal;
mod notify;
mod store;
pub mod vehicles;

pub use availability::IndexAvailability;
pub use bus::MemoryBus;
pub use gateway::TestGateway;
pub use host::{FixedSurge, LocalSigner, ManualClock, NoSurge, RandomIds, SeededIds, SystemClock};
pub use notify::{LogNotifier, RecordingNotifier};
pub use store::MemoryStore;
pub use vehicles::Agents;
