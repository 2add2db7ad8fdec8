//! Real servers on loopback, for tests, benches and developers: Postgres with PostGIS, PgBouncer, Redis and Toxiproxy.
//!
//! Two ways to use it:
//!
//! - **Shared servers** on fixed ports, kept running across commands: `cargo xtask services up|down|status|env`, here
//!   [`shared`]. A test asks [`shared::url`] for the address; a server that does not answer is an
//!   error that names the command.
//! - **Private servers** of one test, on free ports, to be killed, promoted, starved or cut off: [`Postgres`],
//!   [`PgBouncer`], [`Redis`], [`Toxiproxy`]. A handle ends its server and removes its files when it is dropped; a test
//!   that is killed drops nothing, and then a [`Watchdog`] does both.
//!
//! ```no_run
//! use rideplane_services::{Redis, Toxiproxy};
//!
//! let mut redis = Redis::start(&["--maxmemory", "2mb", "--maxmemory-policy", "allkeys-lru"])?;
//! let toxiproxy = Toxiproxy::start()?;
//! let proxy = toxiproxy.proxy("redis", redis.address())?;
//! proxy.add("latency", &serde_json::json!({ "latency": 250 }))?;
//! println!("slow: redis://{}, fast: {}", proxy.address(), redis.url());
//! redis.kill9()?;
//! redis.restart()?;
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! What is missing is installed with apt-get, as root or with `sudo -n`; else one sentence says what to install. A
//! system's own servers are neither started nor touched: servers run here from private folders below the build
//! directory ([`folder`]), as the user `postgres` where they refuse to run as root.
//!
//! The passwords are no secrets: the servers listen on loopback and hold test data.

mod http;
mod install;
mod pgbouncer;
mod postgres;
mod process;
mod redis;
pub mod shared;
mod toxiproxy;
mod watchdog;

pub use pgbouncer::PgBouncer;
pub use postgres::{DATABASE, PASSWORD, Postgres, PostgresOptions, USER};
pub use process::{folder, free_port};
pub use redis::Redis;
pub use toxiproxy::{Proxy, Toxiproxy};
pub use watchdog::Watchdog;

/// Says what is going on, at once: an installation takes a minute, and silence looks like a hang.
fn say(line: &str) {
    use std::io::Write as _;
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
