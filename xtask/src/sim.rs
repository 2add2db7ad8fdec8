//! The simulator and the model checker, as the release binaries run them.

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

/// Searches every history of the small scope, and finds every planted defect in it.
///
/// # Errors
/// When the binary does not build, a history breaks a rule, or a planted defect escapes.
pub(crate) fn model(workspace: &Workspace) -> Result<()> {
    ["check", "defects"].iter().try_for_each(|what| release(workspace, "rideplane-model", &[what]))
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
    release(workspace, "rideplane-sim", args)
}

fn release(workspace: &Workspace, package: &str, args: &[&str]) -> Result<()> {
    let build = ["run", "--release", "--locked", "--package", package, "--"];
    sh::run(&mut workspace.cargo(build.iter().chain(args).copied()))
}
