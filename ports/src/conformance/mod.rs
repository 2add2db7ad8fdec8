//! What every implementation of a port must pass.
//!
//! A suite is a set of plain async functions, one for each sentence of the contract, that panic with the sentence that is
//! broken. They know no runtime: a factory makes fresh instances, and runs what has to race on as many threads as it
//! likes. States are made by the real machines ([`fixtures`]), so an implementation sees what it will see in service.
//!
//! ```text
//! #[tokio::test(flavor = "multi_thread")]
//! async fn store() {
//!     rideplane_ports::conformance::store::run_all(&MyFactory::new()).await;
//! }
//! ```
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a suite says by a panic what is broken"
)]

pub mod availability;
pub mod events;
pub mod fixtures;
pub mod gateway;
pub mod inbox;
pub mod link;
pub mod outbox;
pub mod store;

use std::pin::Pin;

/// A future on its way to another thread.
pub type Racer = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// Names each check as it runs it, so that a failure says which sentence was being held against the implementation.
macro_rules! checks {
    ($suite:literal, $factory:expr, $($check:path),+ $(,)?) => {$(
        // tidy: allow-door a test suite names the check that it runs
        eprintln!("{}: {}", $suite, stringify!($check));
        $check($factory).await;
    )+};
}
use checks;
