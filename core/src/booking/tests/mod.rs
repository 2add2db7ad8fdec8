//! The booking and its vehicle: every state against every command, the journeys by name, and random histories against
//! small models of the provider and of the lock.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test names the one case it is about")]

mod gateway;
mod journeys;
mod lock;
mod model;
mod table;
mod world;
