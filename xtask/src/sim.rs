//! The simulator, as the release binary runs it.

use anyhow::Result;

use crate::sh;
use crate::workspace::Workspace;

/// The runs of a check: kept seeds, fresh ones under three mixes of faults, and every planted defect.
const CHECKS: [&[&str]; 5] = [
    &["corpus"],
    &["run", "--faults", "everyday", "--bookings", "5000"],
    &["run", "--faults", "storm", "--bookings", "5000"],
    &["run", "--faults", "swarm", "--bookings", "10000"],
    &["defects"],
];

/// Runs every check of the simulator.
///
/// # Errors
/// When the binary does not build, a seed breaks a rule, or a planted defect escapes.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    CHECKS.iter().try_for_each(|args| run(workspace, args))
}

/// Measures bookings a second under each mix of faults, on one core.
///
/// # Errors
/// As [`check`].
pub(crate) fn bench(workspace: &Workspace) -> Result<()> {
    ["none", "everyday", "storm", "swarm"]
        .iter()
        .try_for_each(|faults| run(workspace, &["run", "--faults", faults, "--bookings", "50000"]))
}

fn run(workspace: &Workspace, args: &[&str]) -> Result<()> {
    let build = ["run", "--release", "--locked", "--package", "rideplane-sim", "--"];
    sh::run(&mut workspace.cargo(build.iter().chain(args).copied()))
}
