//! How far the replay is, on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rideplane_core::time::Timestamp;

/// Without a terminal a line comes this often.
const EVERY: Duration = Duration::from_secs(3);

/// A bar on a terminal, a line now and then elsewhere, or nothing at all.
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    last_line: Option<Instant>,
    trips: u64,
}

impl Progress {
    pub(super) fn new(trips: u64, shown: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = if shown && terminal { ProgressBar::new(trips) } else { ProgressBar::hidden() };
        let template = "{bar:40.cyan/blue} {pos}/{len} trips  {msg}  {elapsed}, {eta} to go";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let now = Instant::now();
        Self { bar, started: now, last_line: (shown && !terminal).then_some(now), trips }
    }

    pub(super) fn show(&mut self, trips: u64, bookings: u64, at: Timestamp) {
        let rate = bookings as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        let at = at.to_string();
        let moment = at.get(..16).unwrap_or(&at).replace('T', " ");
        self.bar.set_position(trips);
        self.bar.set_message(format!("{moment}  {rate:.0} bookings/s"));
        if self.last_line.is_some_and(|last| last.elapsed() >= EVERY) {
            self.last_line = Some(Instant::now());
            // Nobody listens any more when this can't be written.
            let total = self.trips;
            let _ = writeln!(std::io::stderr(), "{trips}/{total} trips, {moment}, {rate:.0} bookings/s");
        }
    }

    pub(super) fn done(&self) {
        self.bar.finish_and_clear();
    }
}
