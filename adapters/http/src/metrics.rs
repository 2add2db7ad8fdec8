//! Counters for `/metrics`, in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper bounds of the latency histogram, microseconds.
const BUCKETS_US: [u64; 13] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000,
];

/// More to show at `/metrics`: a host's own numbers.
pub trait MetricSource: Send + Sync {
    /// Appends lines in Prometheus' text format, each ended by a line feed. Must not block.
    fn write(&self, out: &mut String);
}

/// Requests by method, route and status, with their latency.
#[derive(Debug, Default)]
pub struct Metrics {
    series: Mutex<BTreeMap<Key, Series>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Default)]
struct Series {
    buckets: [u64; BUCKETS_US.len()],
    count: u64,
    sum_us: u64,
}

impl Metrics {
    /// Counts a request that was answered. `route` is a pattern, never a path.
    pub(crate) fn count(&self, method: &'static str, route: &str, status: u16, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let mut all = self.lock();
        let series = all.entry(Key { route: route.to_owned(), method, status }).or_default();
        series.count += 1;
        series.sum_us = series.sum_us.saturating_add(us);
        for (bucket, most) in series.buckets.iter_mut().zip(BUCKETS_US) {
            *bucket += u64::from(us <= most);
        }
    }

    /// Appends everything counted so far.
    pub(crate) fn write(&self, out: &mut String) {
        let all = self.lock().clone();
        out.push_str("# HELP rideplane_http_requests_total Requests answered.\n");
        out.push_str("# TYPE rideplane_http_requests_total counter\n");
        for (key, series) in &all {
            line(out, format_args!("rideplane_http_requests_total{{{}}} {}", key.labels(), series.count));
        }
        out.push_str("# HELP rideplane_http_request_seconds Time from a request's head to its answer.\n");
        out.push_str("# TYPE rideplane_http_request_seconds histogram\n");
        for (key, series) in &all {
            let (labels, name) = (key.labels(), "rideplane_http_request_seconds");
            for (count, most) in series.buckets.iter().zip(BUCKETS_US) {
                line(out, format_args!("{name}_bucket{{{labels},le=\"{}\"}} {count}", seconds(most)));
            }
            line(out, format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {}", series.count));
            line(out, format_args!("{name}_sum{{{labels}}} {}", seconds(series.sum_us)));
            line(out, format_args!("{name}_count{{{labels}}} {}", series.count));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn labels(&self) -> String {
        format!("method=\"{}\",route=\"{}\",status=\"{}\"", self.method, self.route, self.status)
    }
}

/// Appends a gauge.
pub(crate) fn gauge(out: &mut String, name: &str, help: &str, labels: &str, value: u64) {
    line(out, format_args!("# HELP {name} {help}"));
    line(out, format_args!("# TYPE {name} gauge"));
    line(out, format_args!("{name}{labels} {value}"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _ = writeln!(out, "{text}");
}

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_in_every_bucket_that_holds_it() {
        let metrics = Metrics::default();
        metrics.count("GET", "/bookings/{id}", 200, Duration::from_millis(3));
        metrics.count("GET", "/bookings/{id}", 200, Duration::from_secs(60));
        metrics.count("GET", "/bookings/{id}", 404, Duration::ZERO);
        let mut out = String::new();
        metrics.write(&mut out);
        let labels = r#"method="GET",route="/bookings/{id}",status="200""#;
        for expected in [
            format!("rideplane_http_requests_total{{{labels}}} 2"),
            format!("rideplane_http_request_seconds_bucket{{{labels},le=\"0.0025\"}} 0"),
            format!("rideplane_http_request_seconds_bucket{{{labels},le=\"0.005\"}} 1"),
            format!("rideplane_http_request_seconds_bucket{{{labels},le=\"5\"}} 1"),
            format!("rideplane_http_request_seconds_bucket{{{labels},le=\"+Inf\"}} 2"),
            format!("rideplane_http_request_seconds_sum{{{labels}}} 60.003"),
            format!("rideplane_http_request_seconds_count{{{labels}}} 2"),
        ] {
            assert!(out.lines().any(|line| line == expected), "{expected} is not in\n{out}");
        }
    }
}
