//! The tasks that keep the data plane going. Each is a loop over one use case; what fails is logged and tried again.

use std::sync::Arc;
use std::time::Duration;

use rideplane_app::{App, AppError, NOTIFIER};
use rideplane_memory::{Agents, MemoryBus};
use rideplane_ports::{EventSource as _, VehicleInbox as _};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Host;

const WORKER_EVERY: Duration = Duration::from_millis(500);
const RELAY_EVERY: Duration = Duration::from_millis(100);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(60);
const AFTER_TROUBLE: Duration = Duration::from_secs(1);
const WORKER_BATCH: usize = 500;
const WORKER_PARALLEL: usize = 16;
const RELAY_BATCH: usize = 1_000;
/// Messages of vehicles that are taken in at a time: each may wait for the payment provider.
const VEHICLES_PARALLEL: usize = 64;

impl Host {
    /// Starts the tasks: worker, relay, notifier, vehicles. They end when the set is dropped.
    #[must_use]
    pub fn spawn(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(work(self.app.clone()));
        let news = Arc::new(Notify::new());
        #[cfg(feature = "postgres")]
        if let Some(store) = &self.store.postgres {
            tasks.spawn(super::postgres::listen(store.clone(), news.clone()));
            tasks.spawn(super::postgres::tend(store.clone(), self.app.clone()));
        }
        if let Some(cache) = &self.cache {
            tasks.spawn(cache.run());
        }
        tasks.spawn(relay(self.app.clone(), self.bus.clone(), news));
        tasks.spawn(notify(self.app.clone(), self.bus.clone()));
        tasks.spawn(hear(self.app.clone(), self.agents.clone()));
        tasks.spawn(beat(self.app.clone(), self.agents.clone()));
        tasks
    }
}

async fn work(app: App) {
    let mut ticks = interval(WORKER_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match app.run_due(WORKER_BATCH, WORKER_PARALLEL).await {
            Ok(worked) if worked.failed > 0 => {
                tracing::warn!(failed = worked.failed, "deadlines could not be carried out; they stay due");
            }
            Ok(_) => {}
            Err(error) => trouble("worker", &error).await,
        }
    }
}

async fn relay(app: App, bus: Arc<MemoryBus>, news: Arc<Notify>) {
    let mut ticks = interval(RELAY_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        match app.relay_once(bus.as_ref(), RELAY_BATCH).await {
            // A full batch means that there is more.
            Ok(relayed) if relayed.published == RELAY_BATCH => continue,
            Ok(relayed) => {
                if let Some(error) = relayed.error {
                    tracing::warn!(%error, "the bus did not take all events; they stay in the outbox");
                }
            }
            Err(error) => trouble("relay", &error).await,
        }
        tokio::select! {
            _ = ticks.tick() => {}
            () = news.notified() => {}
        }
    }
}

async fn notify(app: App, bus: Arc<MemoryBus>) {
    loop {
        let delivery = match bus.next(NOTIFIER).await {
            Ok(Some(delivery)) => delivery,
            Ok(None) => return,
            Err(error) => {
                trouble("notifier", &error.into()).await;
                continue;
            }
        };
        while let Err(error) = app.notify(&delivery.envelope).await {
            trouble("notifier", &error).await;
        }
        if let Err(error) = bus.acknowledge(NOTIFIER, &delivery).await {
            trouble("notifier", &error.into()).await;
        }
    }
}

async fn hear(app: App, agents: Arc<Agents>) {
    let mut hearing = JoinSet::new();
    loop {
        let message = match agents.next().await {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(error) => {
                trouble("vehicles", &error.into()).await;
                continue;
            }
        };
        if hearing.len() >= VEHICLES_PARALLEL {
            hearing.join_next().await;
        }
        while hearing.try_join_next().is_some() {}
        let app = app.clone();
        hearing.spawn(async move {
            loop {
                match app.vehicle_said(&message).await {
                    Ok(()) => return,
                    // The store will be back; the vehicle's word must not be lost.
                    Err(error @ AppError::Unavailable { .. }) => trouble("vehicles", &error).await,
                    Err(error) => {
                        log("vehicles", &error);
                        return;
                    }
                }
            }
        });
    }
}

async fn beat(app: App, agents: Arc<Agents>) {
    let mut ticks = interval(HEARTBEAT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        agents.heartbeat_all(app.now());
    }
}

async fn trouble(task: &str, error: &AppError) {
    log(task, error);
    sleep(AFTER_TROUBLE).await;
}

fn log(task: &str, error: &AppError) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(task, %error, cause, "trying again where that helps");
}
