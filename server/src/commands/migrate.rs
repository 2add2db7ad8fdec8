//! `rideplane migrate`.

use std::process::ExitCode;

use crate::cli::{MigrateArgs, load_config};
use crate::config::StoreUrl;
use crate::host::postgres;

/// Brings the schema of a Postgres store up to date.
///
/// # Errors
/// When the store is another one, can't be reached or has a newer schema.
pub async fn run(args: &MigrateArgs) -> anyhow::Result<ExitCode> {
    let mut config = load_config(args.config.as_deref(), &[])?.config;
    config.store = args.store.clone().unwrap_or(config.store);
    match &config.store {
        StoreUrl::Postgres(url) => postgres::migrate(url).await,
        StoreUrl::Memory | StoreUrl::Sqlite(_) => {
            anyhow::bail!("{} brings itself up to date: only a postgres:// store is migrated", config.store)
        }
    }
}
