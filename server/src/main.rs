//! The `rideplane` command: see `rideplane --help`.

fn main() -> std::process::ExitCode {
    rideplane::cli::main()
}
