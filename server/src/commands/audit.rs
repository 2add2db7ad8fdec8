//! `rideplane audit`.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use rideplane_app::audit::audit;
use rideplane_core::time::Span;
use rideplane_memory::SystemClock;
use rideplane_ports::Clock as _;

use crate::cli::{AuditArgs, data_flag, load_config};
use crate::config::StoreUrl;
use crate::host::AnyStore;

/// How long after its end a booking may still have money held: the provider may be slow to take a void.
const GRACE: Span = Span::from_minutes(15);

/// Reads the store and proves what must be true of it. A server may be running meanwhile.
///
/// # Errors
/// When the store can't be read.
pub async fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let flags: Vec<_> = data_flag(args.data.as_deref())?.into_iter().collect();
    let mut config = load_config(args.config.as_deref(), &flags)?.config;
    if let Some(store) = &args.store {
        config.store = store.clone();
        if let StoreUrl::Sqlite(file) = store {
            // A store named on the command line is relative to where one stands, not to the data directory.
            let here = std::env::current_dir().context("the working directory")?;
            config.store = StoreUrl::Sqlite(here.join(file));
        }
    }
    let source = AnyStore::open_read_only(&config).await?.audit;
    let report = audit(source.as_ref(), SystemClock.now(), GRACE).await?;
    writeln!(std::io::stdout(), "{report}")?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
