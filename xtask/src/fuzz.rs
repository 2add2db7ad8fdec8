//! Longer fuzzing than the tests do: libFuzzer on each target, for as long as asked.
//!
//! New inputs go to the target folder, so that a committed corpus changes only when somebody wants it to (`--keep`). An input
//! that breaks a promise is written to `fuzz/artifacts/TARGET`, and libFuzzer says the command that runs it again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::sh;
use crate::workspace::Workspace;

/// The toolchain that has the flags which libFuzzer needs.
const TOOLCHAIN: &str = "nightly";

/// Fuzzes the targets named in `only`, or all, for `seconds` each, and prints what was run of each. With `keep` the committed
/// corpora become the fewest inputs that reach as much as all that is known.
///
/// # Errors
/// When a promise is broken, a target is not known, or cargo-fuzz can't be had.
pub(crate) fn run(workspace: &Workspace, only: &[String], seconds: u32, keep: bool) -> Result<()> {
    let targets = chosen(&workspace.root, only)?;
    install()?;
    let mut rows = Vec::new();
    for (index, target) in targets.iter().enumerate() {
        sh::say(&format!("\n==> [{}/{}] {target}, {seconds} s", index + 1, targets.len()));
        let started = Instant::now();
        fuzz(workspace, target, seconds)?;
        if keep {
            minimise(workspace, target)?;
        }
        rows.push(format!("{target:<18} nothing broken in {}", sh::duration(started.elapsed())));
    }
    sh::say("");
    rows.iter().for_each(|row| sh::say(row));
    Ok(())
}

fn fuzz(workspace: &Workspace, target: &str, seconds: u32) -> Result<()> {
    let found = folder(workspace, "fuzz-corpus", target)?;
    let most = format!("-max_total_time={seconds}");
    let mut command = libfuzzer(workspace, target);
    command.arg(found).arg(format!("fuzz/corpus/{target}"));
    sh::run(command.args(["--", &most, "-print_final_stats=1", "-verbosity=0"]).args(LIMITS))
}

const LIMITS: [&str; 2] = ["-max_len=4096", "-timeout=20"];

/// What libFuzzer named is replaced by the smallest set that reaches as many edges; what people named stays.
fn minimise(workspace: &Workspace, target: &str) -> Result<()> {
    let committed = workspace.root.join("fuzz/corpus").join(target);
    let chosen = folder(workspace, "fuzz-chosen", target)?;
    clear(&chosen)?;
    let mut command = libfuzzer(workspace, target);
    command.arg(&chosen).arg(folder(workspace, "fuzz-corpus", target)?).arg(&committed);
    sh::run(command.args(["--", "-set_cover_merge=1", "-use_counters=0", "-verbosity=0"]).args(LIMITS))?;
    clear(&committed)?;
    let by_hand: Vec<Vec<u8>> = files(&committed)?.iter().map(fs::read).collect::<Result<_, _>>()?;
    for file in files(&chosen)? {
        let bytes = fs::read(&file)?;
        if let Some(name) = file.file_name().filter(|_| !by_hand.contains(&bytes)) {
            fs::write(committed.join(name), bytes)?;
        }
    }
    Ok(())
}

fn folder(workspace: &Workspace, purpose: &str, target: &str) -> Result<PathBuf> {
    let folder = workspace.target.join(purpose).join(target);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// Removes what libFuzzer named: by the SHA-1 of its bytes.
fn clear(folder: &Path) -> Result<()> {
    let is_hash = |name: &str| name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    for file in files(folder)? {
        if file.file_name().and_then(|name| name.to_str()).is_some_and(is_hash) {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    Ok(())
}

fn libfuzzer(workspace: &Workspace, target: &str) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(&workspace.root);
    // A cargo that was started by another toolchain's cargo would go on with that one.
    command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    let toolchain = format!("+{TOOLCHAIN}");
    command.args([&toolchain, "fuzz", "run", "--sanitizer", "none", target]);
    command
}

/// The names of the programs under `fuzz/fuzz_targets`, in order.
fn chosen(root: &Path, only: &[String]) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let stem = |file: &PathBuf| file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let mut names: Vec<String> = files(&folder)?.iter().filter_map(stem).collect();
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
