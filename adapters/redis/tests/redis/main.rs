//! The cache on a real Redis: its contract, its races, and what it does when Redis is not what it should be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test")]

mod cluster;
mod contract;
mod fill;
mod outage;
mod world;
