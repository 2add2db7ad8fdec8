//! The HTTP contract, end to end: the router over the real use cases and the embedded adapters.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

mod access;
mod bad_input;
mod description;
mod journey;
mod system;
mod wire;
mod world;
