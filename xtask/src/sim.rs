//! The simulator and the model checker, as the release binaries run them.

use anyhow::Result;

use crate::sh;
use crate::workspace::Workspace;

/// The runs of a check: kept seeds, two million bookings under three mixes of faults, and every planted defect.
const CHECKS: [&[&str]; 5] = [
    &["corpus"],
    &["defects"],
    &["run", "--faults", "everyday", "--bookings", "500000"],
    &["run", "--faults", "storm", "--bookings", "500000"],
    &["run", "--faults", "swarm", "--bookings", "1000000"],
];

/// Runs every check of the simulator.
///
/// # Errors
/// When the binary does not build, a seed breaks a rule, or a planted defect escapes.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    CHECKS.iter().try_for_each(|args| run(workspace, args))
}

/// Searches every history of every scope, and finds every planted defect.
///
/// # Errors
/// When the binary does not build, a history breaks a rule, or a planted defect escapes.
pub(crate) fn model(workspace: &Workspace) -> Result<()> {
    [&["check", "--all"][..], &["defects"]]
        .iter()
        .try_for_each(|args| release(workspace, "rideplane-model", args))
}

/// Measures bookings a second on one core: of the app alone, and under each mix of faults with Ed25519, with a keyed hash,
/// and with what each seed draws.
///
/// # Errors
/// As [`check`].
pub(crate) fn bench(workspace: &Workspace) -> Result<()> {
    let of = |faults| ["run", "--threads", "1", "--bookings", "20000", "--faults", faults];
    println!("the app alone, keyed-hash");
    run(workspace, &["bare"])?;
    ["none", "everyday", "storm", "swarm"].iter().try_for_each(|faults| {
        for signatures in ["ed25519", "keyed-hash"] {
            println!("{faults}, {signatures}");
            run(workspace, &[&of(faults)[..], &["--signatures", signatures]].concat())?;
        }
        println!("{faults}, as each seed draws");
        run(workspace, &of(faults))
    })
}

fn run(workspace: &Workspace, args: &[&str]) -> Result<()> {
    release(workspace, "rideplane-sim", args)
}

fn release(workspace: &Workspace, package: &str, args: &[&str]) -> Result<()> {
    let build = ["run", "--release", "--locked", "--package", package, "--"];
    sh::run(&mut workspace.cargo(build.iter().chain(args).copied()))
}
