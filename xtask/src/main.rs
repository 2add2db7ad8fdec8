//! The one way to run everything of this repository: `cargo xtask test|services|wasm|bench|fuzz|tidy`.
//!
//! `test` runs every check there is, in order, and stops at the first failure with the one command
//! that repeats it. Continuous integration runs the same command and nothing else.

mod bench;
mod exact;
mod fuzz;
mod replay;
mod report;
mod sh;
mod sim;
mod steps;
mod tidy;
mod wasm;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use rideplane_services::shared;

use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The one way to run everything", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every check, in order, up to the first failure
    Test {
        /// Run only this step (may be given more than once)
        #[arg(long, value_name = "STEP")]
        only: Vec<String>,
        /// List the steps and their command lines, run nothing
        #[arg(long)]
        list: bool,
    },
    /// Real servers on loopback for tests and benches: Postgres, PgBouncer, Redis, Toxiproxy
    Services {
        /// What to do with them
        #[arg(value_enum)]
        what: Services,
    },
    /// Compile core, ports and app for wasm32-unknown-unknown, installing what that needs
    Wasm,
    /// Measure on this machine (no check depends on a time)
    Bench {
        /// What to measure
        #[arg(value_enum)]
        what: Bench,
    },
    /// Let libFuzzer look for inputs that break a promise, target by target; needs a nightly toolchain
    Fuzz {
        /// Fuzz only this target (may be given more than once)
        #[arg(long, value_name = "TARGET")]
        only: Vec<String>,
        /// How long each target is fuzzed
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u32,
        /// Afterwards keep the fewest inputs that reach as much, in `fuzz/corpus`
        #[arg(long)]
        keep: bool,
    },
    /// Check the rules of the source tree: dependency direction, purity, lengths, leftovers
    Tidy,
}

#[derive(Clone, Copy, ValueEnum)]
enum Services {
    /// Start what does not run, installing what is missing; they keep running
    Up,
    /// End what `up` started and remove its data
    Down,
    /// Where each is, and whether it runs
    Status,
    /// Print the variables that tell tests where they are: `eval "$(cargo xtask services env)"`
    Env,
}

#[derive(Clone, Copy, ValueEnum)]
enum Bench {
    /// The benches of the pure core: core/examples/bench_*.rs
    Core,
    /// Reservations per second on Postgres, beside pgbench; needs the server of `cargo xtask services up`
    Reserve,
    /// Searches through the Redis cache: hit and miss times at 1,000/s, hit rate on the real trips
    Search,
    /// Bookings per second of a whole replay on each store; start-up time and memory of `serve`
    Replay,
    /// Bookings per second of the simulator under each mix of faults
    Sim,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            sh::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let workspace = Workspace::find()?;
    match cli.task {
        Task::Test { list: true, only } => steps::list(&only),
        Task::Test { list: false, only } => steps::run(&workspace, &only),
        Task::Services { what } => services(what),
        Task::Wasm => wasm::build(&workspace),
        Task::Bench { what: Bench::Core } => bench::core(&workspace),
        Task::Bench { what: Bench::Reserve } => bench::reserve(&workspace),
        Task::Bench { what: Bench::Search } => bench::search(&workspace),
        Task::Bench { what: Bench::Replay } => bench::replay(&workspace),
        Task::Bench { what: Bench::Sim } => sim::bench(&workspace),
        Task::Fuzz { only, seconds, keep } => fuzz::run(&workspace, &only, seconds, keep),
        Task::Tidy => tidy::run(&workspace),
    }
}

fn services(what: Services) -> Result<()> {
    let lines = match what {
        Services::Up => return shared::up(),
        Services::Down => return shared::down(&[]),
        Services::Status => shared::status()?,
        Services::Env => shared::env()?,
    };
    lines.iter().for_each(|line| sh::say(line));
    Ok(())
}
