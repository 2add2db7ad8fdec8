//! Log lines on standard error: for reading on a terminal, one JSON object a line otherwise.
//!
//! Standard output belongs to a command's answer (a token, a report), so nothing is logged there.

use std::io::{self, IsTerminal as _};

use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt};

use crate::config::{Log, LogFormat};

/// Logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level is no list of directives.
    #[error("log.level {0:?} is not a level, nor a list such as info,rideplane_app=debug")]
    Level(String),
    /// Something in this process logs already.
    #[error("logging was started twice")]
    Twice,
}

/// Starts logging for this process.
///
/// # Errors
/// A level that can't be read, or logging that was started before.
pub fn init(log: &Log) -> Result<(), LoggingError> {
    subscriber(log, io::stderr().is_terminal(), io::stderr)?.try_init().map_err(|_| LoggingError::Twice)
}

/// What [`init`] starts, on any writer: `terminal` says whether that is one.
///
/// # Errors
/// A level that can't be read.
pub fn subscriber<W>(
    log: &Log,
    terminal: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LoggingError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter: Targets = log.level.parse().map_err(|_| LoggingError::Level(log.level.clone()))?;
    let human = match log.format {
        LogFormat::Auto => terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let layer = fmt::layer().with_writer(writer);
    let layer = if human {
        layer.with_ansi(terminal).boxed()
    } else {
        // The current span carries the request id; a list of all spans would repeat it.
        layer.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    };
    Ok(Box::new(Registry::default().with(layer.with_filter(filter))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, format: LogFormat, terminal: bool) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let log = Log { level: level.into(), format };
        let subscriber = subscriber(&log, terminal, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let _request = tracing::info_span!("request", request_id = "r-1").entered();
            tracing::info!(vehicle_id = "sc-1", "reserved");
            tracing::debug!("detail");
            tracing::trace!(target: "other", "noise");
        });
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn without_a_terminal_each_line_is_json_with_the_request_id() {
        let lines = logged("info", LogFormat::Auto, false);
        let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(line["message"], "reserved");
        assert_eq!(line["vehicle_id"], "sc-1");
        assert_eq!(line["span"]["request_id"], "r-1");
        assert_eq!(line["level"], "INFO");
        assert_eq!(logged("info", LogFormat::Json, true).lines().count(), 1);
    }

    #[test]
    fn a_terminal_has_lines_for_reading_and_a_file_has_no_colours() {
        let colours = logged("info", LogFormat::Auto, true);
        assert!(colours.contains("reserved") && colours.contains('\u{1b}'), "{colours}");
        let plain = logged("info", LogFormat::Human, false);
        assert!(plain.contains("request_id=\"r-1\"") && !plain.contains('\u{1b}'), "{plain}");
        assert!(serde_json::from_str::<serde_json::Value>(&plain).is_err());
    }

    #[test]
    fn the_level_chooses_by_target() {
        assert_eq!(logged("off", LogFormat::Json, false), "");
        assert_eq!(logged("debug", LogFormat::Json, false).lines().count(), 2);
        assert_eq!(logged("error,other=trace", LogFormat::Json, false).lines().count(), 1);
        let log = Log { level: "other=noise".into(), format: LogFormat::Auto };
        assert!(matches!(subscriber(&log, false, io::sink), Err(LoggingError::Level(_))));
    }
}
