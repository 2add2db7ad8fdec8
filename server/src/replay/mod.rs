//! The replay of real trips.
//!
//! ```text
//! trips file -> [trips] -> Trip | Skipped -> [fold] -> trips in order -> [driver] -> [report::Recorder]
//!                                                                                           |
//!                                                      report.json, report.html <- [report::Report]
//! ```
//! The driver tells a [`report::Recorder`] what happened and when; only the driver reads the time itself.

pub mod driver;
pub mod faults;
pub mod fold;
pub mod html;
pub mod report;
pub mod trips;
pub mod world;
