//! The `rideplane` binary: see `rideplane --help`.

use std::process::ExitCode;

/// States are many small allocations that live shortly, on several threads: measured on the replay against the
/// system's allocator (see `cargo xtask bench replay`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rideplane::cli::main()
}
