//! Listening, and going away in good order.

use std::future::{Future, IntoFuture as _};
use std::io;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// Serves until `shutdown` resolves, then takes no new connection and finishes the requests under way, for at most
/// `grace`. What is not finished then is cut off; it is safe to repeat.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> io::Result<()> {
    let (began, begun) = oneshot::channel();
    let stop = async move {
        shutdown.await;
        // Nobody listens any more only when the server is gone already.
        let _ = began.send(());
    };
    let listener = listener.tap_io(|stream| {
        // Answers are small and written at once: waiting for more to send only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps Nagle's algorithm");
        }
    });
    let server = axum::serve(listener, router).with_graceful_shutdown(stop).into_future();
    let late = async move {
        // An error means that the server ended by itself: then the other branch answers.
        if begun.await.is_err() {
            std::future::pending::<()>().await;
        }
        sleep(grace).await;
    };
    tokio::select! {
        served = server => served,
        () = late => {
            tracing::warn!(grace_ms = grace.as_millis() as u64, "requests were still under way and are cut off");
            Ok(())
        }
    }
}
