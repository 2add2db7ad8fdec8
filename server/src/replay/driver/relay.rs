//! Relay and notifier, alongside the journeys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use rideplane_app::{AppError, NOTIFIER};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use super::Env;

/// Events per visit.
const BATCH: usize = 1_000;

/// Messages on their way at once.
const PARALLEL: usize = 64;

/// The running relay and notifier.
pub(super) struct Relay {
    control: Arc<Control>,
    task: JoinHandle<anyhow::Result<u64>>,
}

#[derive(Default)]
struct Control {
    wake: Notify,
    stop: AtomicBool,
}

/// Starts them.
pub(super) fn start(env: &Arc<Env>) -> Relay {
    let control = Arc::new(Control::default());
    let task = tokio::spawn(run(Arc::clone(env), Arc::clone(&control)));
    Relay { control, task }
}

impl Relay {
    /// There may be something to do.
    pub(super) fn wake(&self) {
        self.control.wake.notify_one();
    }

    /// Lets them do all that is left. How many events were published.
    pub(super) async fn finish(self) -> anyhow::Result<u64> {
        self.control.stop.store(true, Ordering::SeqCst);
        self.control.wake.notify_one();
        self.task.await?
    }
}

async fn run(env: Arc<Env>, control: Arc<Control>) -> anyhow::Result<u64> {
    let mut published = 0;
    loop {
        let stop = control.stop.load(Ordering::SeqCst);
        published += relay(&env).await?;
        notify(&env).await?;
        if stop {
            return Ok(published);
        }
        control.wake.notified().await;
    }
}

async fn relay(env: &Env) -> anyhow::Result<u64> {
    let mut published = 0;
    loop {
        let relayed = env.world.app.relay_once(&*env.world.publisher, BATCH).await?;
        if let Some(error) = relayed.error {
            return Err(error.into());
        }
        published += relayed.published as u64;
        if relayed.published < BATCH {
            return Ok(published);
        }
    }
}

async fn notify(env: &Env) -> anyhow::Result<()> {
    let source = &env.world.source;
    loop {
        let mut deliveries = Vec::new();
        // Everything that waits is there at once; whatever does not wait comes with the next visit.
        while deliveries.len() < BATCH {
            match source.next(NOTIFIER).now_or_never() {
                Some(Ok(Some(delivery))) => deliveries.push(delivery),
                Some(Ok(None)) | None => break,
                Some(Err(error)) => return Err(error.into()),
            }
        }
        let Some(last) = deliveries.last().cloned() else { return Ok(()) };
        let mut messages = JoinSet::new();
        for delivery in deliveries {
            if messages.len() == PARALLEL {
                sent(&mut messages).await?;
            }
            let app = env.world.app.clone();
            messages.spawn(async move { app.notify(&delivery.envelope).await });
        }
        while !messages.is_empty() {
            sent(&mut messages).await?;
        }
        source.acknowledge(NOTIFIER, &last).await?;
    }
}

async fn sent(messages: &mut JoinSet<Result<usize, AppError>>) -> anyhow::Result<()> {
    if let Some(done) = messages.join_next().await {
        done??;
    }
    Ok(())
}
