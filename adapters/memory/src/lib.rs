//! Every port in memory: store, bus, vehicle agents, test payment gateway, log notifier

pub mod gateway;
mod journal;
pub mod vehicles;

pub use gateway::TestGateway;
pub use vehicles::Agents;
