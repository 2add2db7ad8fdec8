//! Every rule of the Rideplane booking data plane, as pure functions.
//!
//! A machine is plain data and three functions ([`Machine`]): `decide` judges a command and answers
//! with events, `evolve` applies an event, `next_deadline` says when time itself becomes a command.
//! Nothing here reads a clock, draws entropy, performs IO, logs or keeps a global: equal arguments
//! give equal answers on a server, in a browser and in a fuzzer.
//!
//! | Module | Holds |
//! |---|---|
//! | [`money`], [`time`], [`ids`], [`charge`] | the vocabulary: exact money, UTC microseconds, typed identifiers |
//! | [`policy`] | every number the rules use, in one place |
//! | [`geo`] | points, great-circle distance, the nearest-vehicle index, geofencing zones |
//! | [`fleet`] | the vehicle machine: rental x presence x service, fence epoch, quarantine |
//! | [`pricing`] | GBFS 3.1 pricing plans, fares, quotes |
//! | [`payment`] | the two-phase payment machine: hold, capture, void, refund |
//! | [`unlock`] | signed commands and acks, the server's attempt and the vehicle's agent |
//! | [`reservation`] | the hold on a vehicle and its deadlines |
//! | [`booking`] | the process manager that ties them together |
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod booking;
pub mod charge;
pub mod fleet;
pub mod geo;
pub mod ids;
pub mod machine;
pub mod money;
pub mod payment;
pub mod policy;
pub mod pricing;
pub mod reservation;
pub mod time;
pub mod unlock;

pub use machine::{Context, Machine};
