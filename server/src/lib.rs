//! The host: configuration, keys, logging and the command line around the booking data plane.
//!
//! `main.rs` only calls [`cli::main`]. Everything that reads outside input ([`config`], [`fleet_file`]) is a
//! pure function from bytes to a value or an error, so that it is tested and fuzzed without a process.

pub mod cli;
pub mod commands;
pub mod config;
pub mod defaults;
pub mod fleet_file;
pub mod host;
pub mod keys;
pub mod lat_lon;
pub mod logging;
pub mod replay;
pub mod token;
