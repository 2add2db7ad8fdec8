//! Longer fuzzing than the tests do: libFuzzer on each target, for as long as asked.
//!
//! New inputs go to the target folder, so that a committed corpus changes only when somebody wants it to. An input that
//! breaks a promise is written to `fuzz/artifacts/TARGET`, and libFuzzer says the command that runs it again.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::sh;
use crate::workspace::Workspace;

/// The toolchain that has the flags which libFuzzer needs.
const TOOLCHAIN: &str = "nightly";

/// Fuzzes the targets named in `only`, or all, for `seconds` each, and prints what was run of each.
///
/// # Errors
/// When a promise is broken, a target is not known, or cargo-fuzz can't be had.
pub(crate) fn run(workspace: &Workspace, only: &[String], seconds: u32) -> Result<()> {
    let targets = chosen(&workspace.root, only)?;
    install()?;
    let mut rows = Vec::new();
    for (index, target) in targets.iter().enumerate() {
        sh::say(&format!("\n==> [{}/{}] {target}, {seconds} s", index + 1, targets.len()));
        let started = Instant::now();
        fuzz(workspace, target, seconds)?;
        rows.push(format!("{target:<18} nothing broken in {}", sh::duration(started.elapsed())));
    }
    sh::say("");
    rows.iter().for_each(|row| sh::say(row));
    Ok(())
}

fn fuzz(workspace: &Workspace, target: &str, seconds: u32) -> Result<()> {
    let found = workspace.target.join("fuzz-corpus").join(target);
    fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    let mut command = Command::new("cargo");
    command.current_dir(&workspace.root);
    // A cargo that was started by another toolchain's cargo would go on with that one.
    command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    let toolchain = format!("+{TOOLCHAIN}");
    command.args([&toolchain, "fuzz", "run", "--sanitizer", "none", target]).arg(&found);
    command.arg(format!("fuzz/corpus/{target}"));
    let most = format!("-max_total_time={seconds}");
    command.args(["--", &most, "-max_len=4096", "-timeout=20", "-print_final_stats=1", "-verbosity=0"]);
    sh::run(&mut command)
}

/// The names of the programs under `fuzz/fuzz_targets`, in order.
fn chosen(root: &Path, only: &[String]) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        if let Some(stem) = entry?.path().file_stem() {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    if let Some(unknown) = only.iter().find(|name| !names.contains(name)) {
        bail!("there is no target `{unknown}`; the targets are {}", names.join(", "));
    }
    names.retain(|name| only.is_empty() || only.contains(name));
    Ok(names)
}

fn install() -> Result<()> {
    let mut version = Command::new("cargo");
    version.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").args(["fuzz", "--version"]);
    if sh::capture(&mut version).is_ok() {
        return Ok(());
    }
    sh::run(Command::new(sh::cargo_path()).args(["install", "--locked", "cargo-fuzz"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_found_and_strangers_refused() {
        let workspace = Workspace::find().unwrap();
        let all = chosen(&workspace.root, &[]).unwrap();
        assert!(all.contains(&"unlock_decode".to_owned()), "{all:?}");
        assert_eq!(chosen(&workspace.root, &["webhook".to_owned()]).unwrap(), ["webhook"]);
        let error = chosen(&workspace.root, &["webhooks".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`webhooks`") && error.contains("unlock_decode"), "{error}");
    }
}
