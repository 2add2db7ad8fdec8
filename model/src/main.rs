//! The model checker's command line; see the library for what is checked.

use std::process::ExitCode;

use clap::Parser as _;
use rideplane_model::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::parse().run()
}
