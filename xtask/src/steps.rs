//! `cargo xtask test`: the list of checks and the loop that runs them.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rideplane_services::shared;

use crate::sh;
use crate::workspace::Workspace;
use crate::{replay, sim, tidy, wasm};

/// One check: a name to ask for it by, what it proves, and how it runs.
struct Step {
    name: &'static str,
    proves: &'static str,
    action: Action,
}

enum Action {
    /// A plain cargo command, with variables of its own.
    Cargo { env: &'static [(&'static str, &'static str)], args: &'static [&'static str] },
    /// A check written in this crate, and the command line of it.
    Own { command: &'static str, run: fn(&Workspace) -> Result<()> },
}

/// The step that starts the servers which the step `test` needs; chosen with it.
const SERVICES: &str = "services";
/// The binary with every adapter to a server.
const PRODUCTION: &str = "rideplane/production";

/// Cheap checks first: a misplaced comma should not cost a build.
const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        proves: "the code is formatted",
        action: Action::Cargo { env: &[], args: &["fmt", "--all", "--check"] },
    },
    Step {
        name: "tidy",
        proves: "dependencies point one way, the core is pure, nothing is left over",
        action: Action::Own { command: "cargo xtask tidy", run: tidy::run },
    },
    Step {
        name: "clippy",
        proves: "no lint fires, tests and examples included",
        action: Action::Cargo {
            env: &[],
            args: &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--features",
                PRODUCTION,
                "--locked",
                "--",
                "-D",
                "warnings",
            ],
        },
    },
    Step {
        name: "embedded",
        proves: "no lint fires in the binary without servers either",
        action: Action::Cargo {
            env: &[],
            args: &["clippy", "--package", "rideplane", "--all-targets", "--locked", "--", "-D", "warnings"],
        },
    },
    Step {
        name: "doc",
        proves: "the documentation builds and every link in it leads somewhere",
        action: Action::Cargo {
            env: &[("RUSTDOCFLAGS", "-D warnings")],
            args: &["doc", "--workspace", "--no-deps", "--locked"],
        },
    },
    Step {
        name: SERVICES,
        proves: "the real servers that the tests need can be installed and started",
        action: Action::Own { command: "cargo xtask services up", run: |_| shared::up() },
    },
    Step {
        name: "test",
        proves: "every unit, integration and documentation test passes",
        // Snapshots are compared here, never rewritten, whatever the developer's shell says.
        action: Action::Cargo {
            env: &[("INSTA_UPDATE", "no"), ("INSTA_FORCE_PASS", "0")],
            args: &["test", "--workspace", "--features", PRODUCTION, "--locked"],
        },
    },
    Step {
        name: "wasm",
        proves: "core, ports and app compile for wasm32",
        action: Action::Own { command: "cargo xtask wasm", run: wasm::build },
    },
    Step {
        name: "replay",
        proves: "real trips run through the release binary on both stores, and every number adds up",
        action: Action::Own { command: "cargo xtask test --only replay", run: replay::check },
    },
    Step {
        name: "sim",
        proves: "no simulated seed breaks a rule, and every planted defect is found",
        action: Action::Own { command: "cargo xtask test --only sim", run: sim::check },
    },
    Step {
        name: "model",
        proves: "no history within any scope breaks a rule, and every planted defect is found",
        action: Action::Own { command: "cargo xtask test --only model", run: sim::model },
    },
];

impl Step {
    fn command(&self, workspace: &Workspace) -> Option<Command> {
        match self.action {
            Action::Cargo { env, args } => {
                let mut command = workspace.cargo(args.iter().copied());
                command.envs(env.iter().copied());
                Some(command)
            }
            Action::Own { .. } => None,
        }
    }

    fn line(&self) -> String {
        match self.action {
            Action::Cargo { env, args } => {
                let mut command = Command::new(sh::cargo_path());
                command.envs(env.iter().copied()).args(args);
                sh::line(&command)
            }
            Action::Own { command, .. } => command.to_owned(),
        }
    }

    fn run(&self, workspace: &Workspace) -> Result<()> {
        match self.action {
            Action::Cargo { .. } => {
                self.command(workspace).map_or(Ok(()), |mut command| sh::run(&mut command))
            }
            Action::Own { run, .. } => run(workspace),
        }
    }
}

/// The steps asked for, in the order of [`STEPS`]; all of them when none is named.
fn chosen(only: &[String]) -> Result<Vec<&'static Step>> {
    if let Some(unknown) = only.iter().find(|name| STEPS.iter().all(|step| step.name != name.as_str())) {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        bail!("there is no step `{unknown}`; the steps are {}", names.join(", "));
    }
    let named =
        |step: &Step| only.iter().any(|name| name == step.name || (name == "test" && step.name == SERVICES));
    Ok(STEPS.iter().filter(|step| only.is_empty() || named(step)).collect())
}

/// Prints the steps and runs none.
///
/// # Errors
/// When a name in `only` is not a step.
pub(crate) fn list(only: &[String]) -> Result<()> {
    for step in chosen(only)? {
        sh::say(&format!("{:<9} {:<66} {}", step.name, step.line(), step.proves));
    }
    Ok(())
}

/// Runs the steps up to the first that fails, then prints the table.
///
/// # Errors
/// When a step fails, with the one command that repeats it; when a name in `only` is not a step.
pub(crate) fn run(workspace: &Workspace, only: &[String]) -> Result<()> {
    let steps = chosen(only)?;
    let up_before = shared::running()?;
    let start = Instant::now();
    let mut rows: Vec<(&str, Option<Duration>, &str)> = Vec::new();
    let mut failure = None;
    for (index, step) in steps.iter().enumerate() {
        if failure.is_some() {
            rows.push((step.name, None, "not run"));
            continue;
        }
        sh::say(&format!("\n==> [{}/{}] {}: {}", index + 1, steps.len(), step.name, step.line()));
        let started = Instant::now();
        let outcome = step.run(workspace);
        let took = started.elapsed();
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        sh::say(&format!("<== {}: {word} in {}", step.name, sh::duration(took)));
        rows.push((step.name, Some(took), word));
        failure = outcome.err().map(|error| (step.name, error));
    }
    // Asked for alone they are meant to stay.
    if steps.len() > 1 && steps.iter().any(|step| step.name == SERVICES) {
        shared::down(&up_before)?;
    }
    sh::say("\nstep      result     time");
    for (name, took, word) in rows {
        sh::say(&format!("{name:<9} {word:<10} {}", took.map_or_else(|| "-".to_owned(), sh::duration)));
    }
    sh::say(&format!("total                {}", sh::duration(start.elapsed())));
    match failure {
        None => Ok(()),
        Some((name, error)) => {
            Err(error.context(format!("step {name} failed; repeat it with `cargo xtask test --only {name}`")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_name_every_step_is_chosen() {
        assert_eq!(chosen(&[]).unwrap().len(), STEPS.len());
    }

    #[test]
    fn names_choose_in_the_order_of_the_list() {
        let names: Vec<&str> =
            chosen(&["test".to_owned(), "fmt".to_owned()]).unwrap().iter().map(|step| step.name).collect();
        assert_eq!(names, ["fmt", "services", "test"], "the tests need their servers");
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let error = chosen(&["tests".to_owned()]).err().unwrap().to_string();
        assert!(error.contains("`tests`") && error.contains("fmt, tidy, clippy"), "{error}");
    }

    #[test]
    fn no_two_steps_share_a_name() {
        for (index, step) in STEPS.iter().enumerate() {
            assert!(STEPS.iter().skip(index + 1).all(|other| other.name != step.name), "{}", step.name);
        }
    }

    #[test]
    fn the_announced_line_carries_the_variables() {
        let doc = STEPS.iter().find(|step| step.name == "doc").unwrap();
        assert_eq!(doc.line(), "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked");
    }
}
