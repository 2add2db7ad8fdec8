//! `rideplane serve`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_trait::async_trait;
use rideplane_core::ids::PaymentIntentId;
use rideplane_core::time::Span;
use rideplane_http::auth::{Audience, Verifier};
use rideplane_http::{HttpSettings, HttpState, TestGatewayControl, WebhookSecret, router};
use rideplane_memory::TestGateway;
use rideplane_ports::PortError;
use tokio::net::TcpListener;

use crate::cli::{ServeArgs, load_config};
use crate::config::Config;
use crate::host::{Host, demo};
use crate::{keys, logging};

/// Runs the data plane until a stop signal comes.
///
/// # Errors
/// Whatever keeps it from starting, said for a person.
pub async fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let mut config = load_config(args.config.as_deref(), &args.flags()?)?.config;
    config.store = args.store.clone().unwrap_or(config.store);
    logging::init(&config.log)?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!("{} can't be listened on: is another server running there?", config.listen)
    })?;
    let host = Host::open(&config).await?;
    let state = state(&config, &host)?;
    let _tasks = host.spawn();
    if host.store.store.vehicles(None, 1).await?.is_empty() && config.demo.count > 0 {
        demo::make(&host.app, config.demo.count, config.demo.around).await?;
        host.rebuild().await?;
        tracing::info!(vehicles = config.demo.count, "made a demo fleet, because the store held no vehicle");
    }
    let address = listener.local_addr()?;
    tracing::info!(%address, store = %config.store, started_ms = started.elapsed().as_millis(), "serving");
    greet(&config, &address.to_string());
    let grace = duration(config.http.shutdown_grace);
    rideplane_http::serve(listener, router(state), stop_signal(), grace).await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

fn state(config: &Config, host: &Host) -> anyhow::Result<HttpState> {
    let audience = Audience { issuer: config.auth.issuer.clone(), audience: config.auth.audience.clone() };
    let verifier = Verifier::new(audience, config.auth.leeway, keys::trusted_keys(config)?);
    let settings = HttpSettings {
        body_limit: config.http.body_limit_bytes as usize,
        request_timeout: duration(config.http.request_timeout),
        unlock_wait: duration(config.http.unlock_wait),
        webhook_secret: Some(WebhookSecret::new(keys::embedded_secrets(&config.data)?.webhook)),
    };
    let control: Arc<dyn TestGatewayControl> = Arc::new(Control(host.gateway.clone()));
    let state = HttpState::new(host.app.clone(), Arc::new(verifier), settings)
        .with_test_gateway(control)
        .with_metrics(host.breakers.clone());
    Ok(match &host.cache {
        Some(cache) => state.with_metrics(cache.metrics()),
        None => state,
    })
}

/// The embedded gateway's side door: what a customer does on the provider's own page.
struct Control(Arc<TestGateway>);

#[async_trait]
impl TestGatewayControl for Control {
    async fn authenticate(&self, intent: &PaymentIntentId, success: bool) -> Result<(), PortError> {
        self.0.authenticate(intent, success).map(drop)
    }
}

fn duration(span: Span) -> Duration {
    Duration::from_micros(u64::try_from(span.as_micros()).unwrap_or(0))
}

/// For a person who just started it: what to try.
fn greet(config: &Config, address: &str) {
    use std::io::{IsTerminal as _, Write as _};
    let mut out = std::io::stdout();
    if !out.is_terminal() {
        return;
    }
    let at = config.demo.around;
    let _ = writeln!(
        out,
        "\nRideplane serves on http://{address}\n  \
         search   curl 'http://{address}/vehicles/search?lat={}&lon={}&type=scooter'\n  \
         token    rideplane token --user rider-1 --data {}\n  \
         docs     http://{address}/docs\n  Ctrl-C ends it; nothing is lost.\n",
        at.lat(),
        at.lon(),
        config.data.display()
    );
}

async fn stop_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending::<()>().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
    tracing::info!("stop signal: requests under way may end");
}
