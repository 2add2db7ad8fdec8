//! The main job on real trips, run with the release binary as a user would, and judged by its report.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::report::{self, Parameters, Report};
use crate::sh;
use crate::workspace::Workspace;

/// The stores that need no server.
pub(crate) const STORES: [&str; 2] = ["memory", "sqlite"];
/// Faults and seed of each round; every round runs on every store.
const ROUNDS: [(&str, u64); 2] = [("everyday", 1), ("storm", 20_240_229)];

/// One finished replay.
pub(crate) struct Run {
    json: Value,
    pub(crate) report: Report,
}

/// Builds the binary and replays: every round on every store, and the first once more. Each report must
/// add up; runs of one seed must agree with each other, whatever the store.
///
/// # Errors
/// When the binary does not build or fails, when a report does not add up, when two runs disagree.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let binary = build(workspace)?;
    for (faults, seed) in ROUNDS {
        let mut first: Option<Run> = None;
        for store in STORES {
            let asked = Parameters { store: store.to_owned(), faults: faults.to_owned(), seed };
            let run = verified(workspace, &binary, &asked)?;
            match &first {
                Some(first) => report::same(&first.json, &run.json, &["store"])
                    .with_context(|| format!("{faults}, seed {seed}, {} and {store}", STORES[0]))?,
                None => first = Some(run),
            }
        }
    }
    let [(faults, seed), ..] = ROUNDS;
    let asked = Parameters { store: STORES[0].to_owned(), faults: faults.to_owned(), seed };
    let (one, again) = (verified(workspace, &binary, &asked)?, verified(workspace, &binary, &asked)?);
    report::same(&one.json, &again.json, &[]).with_context(|| format!("{asked:?}, run twice"))?;
    sh::say("every report adds up, and equal seeds gave equal reports");
    Ok(())
}

/// Builds the release binary and says where it is.
///
/// # Errors
/// When it does not build.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    sh::run(&mut workspace.cargo(["build", "--release", "--locked", "--package", "rideplane"]))?;
    Ok(workspace.target.join("release").join(format!("rideplane{}", std::env::consts::EXE_SUFFIX)))
}

fn verified(workspace: &Workspace, binary: &PathBuf, asked: &Parameters) -> Result<Run> {
    let run = run(workspace, binary, asked)?;
    run.report.verify(asked).with_context(|| format!("{asked:?}"))?;
    Ok(run)
}

/// One replay in a fresh folder below the build directory.
///
/// # Errors
/// When the binary fails, or leaves no readable report.
pub(crate) fn run(workspace: &Workspace, binary: &PathBuf, asked: &Parameters) -> Result<Run> {
    let Parameters { store, faults, seed } = asked;
    let out = workspace.scratch("replay").join(format!("{store}-{faults}-{seed}"));
    if out.exists() {
        std::fs::remove_dir_all(&out).with_context(|| format!("cannot empty {}", out.display()))?;
    }
    let mut command = Command::new(binary);
    command.current_dir(&workspace.root).args(["replay", "--store", store, "--faults", faults]);
    sh::run(command.args(["--seed", &seed.to_string(), "--report"]).arg(&out))?;
    let path = out.join("report.json");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("the replay succeeded but left no {}", path.display()))?;
    let json: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    let report = report::read(&json).with_context(|| path.display().to_string())?;
    Ok(Run { json, report })
}
