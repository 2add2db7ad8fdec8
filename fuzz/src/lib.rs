//! What is fuzzed: one function per target, from bytes to nothing, that panics only when a promise is broken.
//!
//! | Target | Bytes are | Promised |
//! |---|---|---|
//! | [`booking_commands`] | commands, gateway outcomes, acks and clock jumps on one vehicle | one holder, sums of money, repeats, the fold, an end to every journey |
//! | [`payment_facts`] | anything at all that a provider could say | sums of money, one key is one call, a total fold |
//! | [`unlock_decode`] | signed messages, also with a good signature over bad claims | what is read is written again byte for byte |
//! | [`pricing_plan`] | a usage and a GBFS plan | items sum to the total, the plan comes back from JSON |
//! | [`trip_rows`] | a trip log | rows keep their ranges, one row is one answer |
//! | [`fleet_file`] | a fleet file, or a GBFS feed to import | no id or key twice, what is read is read again |
//! | [`config`] | a configuration and an environment | what is printed is the same configuration |
//! | [`webhook`] | a header `Stripe-Signature` and a body | only what the secret signed is believed, and all of that |
//! | [`http_requests`] | a session of requests as text | the contract's statuses and problems, repeats alike, a clean audit |
//! | [`geo_index`] | upserts, removals and searches | both indexes answer as the plainest search does, to the bit |
//! | [`geofencing_zones`] | a GBFS feed of zones, also one whose verdicts are known | GBFS's precedence, points in rings exactly, errors that say where |
//!
//! `cargo xtask fuzz` explores; `cargo test -p rideplane-fuzz` replays the corpora and some thousand mutations. Inputs with a
//! name were written by hand or broke something once; those named by a hash reach code that no other of their target does.

mod booking;
mod geo;
mod http;
mod input;
mod payment;
mod pricing;
mod provider;
mod text;
mod unlock;
mod webhook;
mod zones;

pub use booking::booking_commands;
pub use geo::geo_index;
pub use http::http_requests;
pub use input::Input;
pub use payment::payment_facts;
pub use pricing::pricing_plan;
pub use text::{config, fleet_file, trip_rows};
pub use unlock::{signed_ack, signed_command, unlock_decode};
pub use webhook::webhook;
pub use zones::geofencing_zones;

/// A target: bytes in, a panic when a promise is broken.
pub type Target = fn(&[u8]);

/// Every target under its name, which is also that of its corpus.
pub const TARGETS: [(&str, Target); 11] = [
    ("booking_commands", booking_commands),
    ("payment_facts", payment_facts),
    ("unlock_decode", unlock_decode),
    ("pricing_plan", pricing_plan),
    ("trip_rows", trip_rows),
    ("fleet_file", fleet_file),
    ("config", config),
    ("geo_index", geo_index),
    ("geofencing_zones", geofencing_zones),
    ("webhook", webhook),
    ("http_requests", http_requests),
];

/// Replays the files named on the command line through a target.
///
/// # Errors
/// When one of them can't be read.
pub fn replay(target: Target) -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        target(&std::fs::read(&path)?);
        println!("{}: nothing broken", path.display());
    }
    Ok(())
}
