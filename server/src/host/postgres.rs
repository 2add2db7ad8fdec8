//! The store on Postgres, when this build has it.

#[cfg(feature = "postgres")]
pub(crate) use built::{listen, migrate, open, open_for_replay, tend};
#[cfg(not(feature = "postgres"))]
pub(crate) use missing::{migrate, open, open_for_replay};

#[cfg(feature = "postgres")]
mod built {
    use std::io::Write as _;
    use std::process::ExitCode;
    use std::sync::Arc;
    use std::time::Duration;

    use rideplane_app::App;
    use rideplane_core::time::Span;
    use rideplane_ports::Store as _;
    use rideplane_postgres::{PostgresAvailability, PostgresConfig, PostgresStore};
    use tokio::sync::Notify;
    use tokio::time::{MissedTickBehavior, interval, sleep};

    use crate::config::DatabaseUrl;
    use crate::host::AnyStore;

    /// How long it is remembered which events were published, for people who look for one.
    const KEEP_PUBLISHED: Span = Span::from_minutes(24 * 60);
    const PRUNE_EVERY: Duration = Duration::from_secs(60);
    const LISTEN_AGAIN: Duration = Duration::from_secs(5);

    fn parse(url: &DatabaseUrl) -> anyhow::Result<PostgresConfig> {
        Ok(url.expose().parse()?)
    }

    pub(crate) async fn open(url: &DatabaseUrl, replicas: &[DatabaseUrl]) -> anyhow::Result<AnyStore> {
        let store = Arc::new(PostgresStore::open(parse(url)?).await?);
        let replicas = replicas.iter().map(parse).collect::<anyhow::Result<Vec<_>>>()?;
        let search = Arc::new(PostgresAvailability::new(&store, &replicas));
        search.check_replicas().await?;
        Ok(AnyStore {
            store: store.clone(),
            outbox: store.clone(),
            inbox: store.clone(),
            audit: store.clone(),
            search: Some(search),
            postgres: Some(store),
        })
    }

    /// A database that holds no vehicle, with its schema made when it is missing.
    pub(crate) async fn open_for_replay(url: &DatabaseUrl) -> anyhow::Result<Arc<PostgresStore>> {
        let config = parse(url)?;
        PostgresStore::migrate(&config).await?;
        let store = PostgresStore::open(config).await?;
        let empty = store.vehicles(None, 1).await?.is_empty();
        anyhow::ensure!(
            empty,
            "{url} holds vehicles: a replay begins with an empty store, so name another database"
        );
        Ok(Arc::new(store))
    }

    pub(crate) async fn migrate(url: &DatabaseUrl) -> anyhow::Result<ExitCode> {
        let done = PostgresStore::migrate(&parse(url)?).await?;
        let mut out = std::io::stdout();
        if done.from == done.to {
            writeln!(out, "{url} is up to date: schema version {}", done.to)?;
        } else {
            writeln!(out, "{url} is brought from schema version {} to {}", done.from, done.to)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Wakes the relay when another process, or this one, says that there are events.
    pub(crate) async fn listen(store: Arc<PostgresStore>, news: Arc<Notify>) {
        loop {
            match store.listen().await {
                Ok(Some(mut wakeups)) => {
                    while wakeups.next().await.is_ok() {
                        news.notify_one();
                    }
                }
                Ok(None) => return,
                Err(error) => tracing::debug!(%error, "nobody wakes the relay; it looks by itself"),
            }
            sleep(LISTEN_AGAIN).await;
        }
    }

    /// Prunes the outbox of what was published long ago.
    pub(crate) async fn tend(store: Arc<PostgresStore>, app: App) {
        let mut ticks = interval(PRUNE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = store.prune_outbox(app.now().minus(KEEP_PUBLISHED)).await {
                tracing::warn!(%error, "the outbox is pruned later");
            }
        }
    }
}

#[cfg(not(feature = "postgres"))]
mod missing {
    use std::process::ExitCode;
    use std::sync::Arc;

    use rideplane_memory::MemoryStore;

    use crate::config::DatabaseUrl;
    use crate::host::AnyStore;

    const HOW: &str =
        "this build has no Postgres store: build it with `cargo build --release --features postgres`";

    pub(crate) async fn open(_: &DatabaseUrl, _: &[DatabaseUrl]) -> anyhow::Result<AnyStore> {
        anyhow::bail!(HOW)
    }

    pub(crate) async fn open_for_replay(_: &DatabaseUrl) -> anyhow::Result<Arc<MemoryStore>> {
        anyhow::bail!(HOW)
    }

    pub(crate) async fn migrate(_: &DatabaseUrl) -> anyhow::Result<ExitCode> {
        anyhow::bail!(HOW)
    }
}
