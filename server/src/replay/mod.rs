//! The replay of real trips: everything around the journeys that needs no store, no clock and no network.
//!
//! ```text
//! trips file -> [trips] -> Trip | Skipped -> [fold] -> trips in order -> (the driver) -> [report::Recorder]
//!                                                                                           |
//!                                                      report.json, report.html <- [report::Report]
//! ```
//! The driver tells a [`report::Recorder`] what happened and when; nothing here reads the time itself.

pub mod fold;
pub mod html;
pub mod report;
pub mod trips;
