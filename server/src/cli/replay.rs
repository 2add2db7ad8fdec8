//! `rideplane replay`.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

use super::ReplayArgs;
use crate::replay::driver::{self, Options};
use crate::replay::report::Report;

/// Threads that journeys run on; SQLite has one of its own.
const THREADS: usize = 2;

/// Replays, prints the summary and writes the report. Exit code 1 when something does not hold.
pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let options = Options {
        trips: args.trips.clone(),
        format: args.format,
        store: args.store.clone(),
        data: args.data.clone(),
        fleet: args.fleet.map(u64::from),
        seed: args.seed,
        faults: args.faults,
        fold: args.fold,
        progress: true,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    let report = runtime.block_on(driver::run(&options))?;
    let folder = &args.report;
    let [json, html] = report
        .write(folder)
        .with_context(|| format!("the report can't be written to {}", folder.display()))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{report}\nreport: {} and {}", html.display(), json.display())
        .context("the summary can't be written to standard output")?;
    Ok(verdict(&report))
}

fn verdict(report: &Report) -> ExitCode {
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
