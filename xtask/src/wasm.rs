//! Core, ports and app for `wasm32-unknown-unknown`: proof that no rule needs a host.
//!
//! The target's standard library comes from the first source that works: the active toolchain, `rustup
//! target add`, or Debian's rustc and its library source, built on the spot (`-Zbuild-std`). The target
//! is not named in a `rust-toolchain.toml`, where an unreachable download would stop every command.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::sh;
use crate::workspace::Workspace;

/// The target triple.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
/// The crates that must compile for it.
pub(crate) const CRATES: [&str; 3] = ["rideplane-core", "rideplane-ports", "rideplane-app"];

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LIBRARY: &str = "/usr/lib/rustlib/src/rust/library/Cargo.toml";
const DEBIAN_PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];
/// Long enough for a slow download, short enough for a network that swallows packets.
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);

/// Where the target's standard library comes from.
#[derive(Debug, PartialEq, Eq)]
enum Library {
    /// It is in the toolchain.
    Installed,
    /// Debian's rustc builds it from source; the linker is the toolchain's own.
    FromSource { linker: PathBuf },
}

/// Compiles the pure crates, installing what that needs.
///
/// # Errors
/// When the target's library can be had in no way, or a crate does not compile.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let library = library(workspace)?;
    sh::run(&mut command(workspace, &library))
}

fn command(workspace: &Workspace, library: &Library) -> Command {
    let mut command = workspace.cargo(["build", "--locked", "--target", TARGET]);
    // A folder of its own: another compiler must not evict what the other steps have built.
    command.arg("--target-dir").arg(workspace.target.join("wasm"));
    // Nothing of it is run, so the optimising of dependencies that the tests need is left out.
    command.args(["--config", "profile.dev.package.'*'.opt-level=0"]);
    for name in CRATES {
        command.args(["-p", name]);
    }
    if let Library::FromSource { linker } = library {
        command
            .arg("-Zbuild-std=std,panic_abort")
            .env("RUSTC", DEBIAN_RUSTC)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
            // `cargo run` points it at its own toolchain's libraries, which Debian's rustc must not load.
            .env_remove("LD_LIBRARY_PATH");
    }
    command
}

fn library(workspace: &Workspace) -> Result<Library> {
    let sysroot = PathBuf::from(sh::capture(Command::new("rustc").args(["--print", "sysroot"]))?.trim());
    if has_target(&sysroot) {
        return Ok(Library::Installed);
    }
    sh::say(&format!("{TARGET} is not in {}; asking rustup for it", sysroot.display()));
    let mut rustup = Command::new("rustup");
    if sh::succeeds_within(rustup.args(["target", "add", TARGET]), RUSTUP_LIMIT) && has_target(&sysroot) {
        return Ok(Library::Installed);
    }
    sh::say("rustup has none to give; building the library with Debian's rustc instead");
    if !Path::new(DEBIAN_RUSTC).exists() || !Path::new(DEBIAN_LIBRARY).exists() {
        apt_install(&DEBIAN_PACKAGES)?;
    }
    refuse_older(&sh::capture(Command::new(DEBIAN_RUSTC).arg("--version"))?, workspace)?;
    Ok(Library::FromSource { linker: rust_lld(&sysroot)? })
}

/// Whether the toolchain at `sysroot` holds the compiled standard library of the target.
fn has_target(sysroot: &Path) -> bool {
    let folder = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    std::fs::read_dir(folder).is_ok_and(|files| {
        files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
    })
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let root = sh::capture(Command::new("id").arg("-u"))?.trim() == "0";
    let apt = |args: &[&str]| {
        let mut command = Command::new(if root { "apt-get" } else { "sudo" });
        if !root {
            command.args(["-n", "apt-get"]);
        }
        sh::run(command.args(args).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    let advice = || {
        format!(
            "the target {TARGET} is missing: run `rustup target add {TARGET}` where the network allows it, \
             or as root `apt-get install {}`",
            packages.join(" ")
        )
    };
    apt(&["update", "-q"]).with_context(advice)?;
    let mut install = vec!["install", "-y", "-q", "--no-install-recommends"];
    install.extend(packages);
    apt(&install).with_context(advice)
}

/// Debian carries several; one older than the workspace's `rust-version` would fail with riddles.
fn refuse_older(version: &str, workspace: &Workspace) -> Result<()> {
    let needed = workspace.packages.iter().filter_map(|package| package.rust_version.as_deref()).next();
    let has = version.split_whitespace().nth(1).unwrap_or_default();
    if let Some(needed) = needed
        && numbers(has) < numbers(needed)
    {
        bail!("{DEBIAN_RUSTC} is {has}, but this workspace needs {needed}: upgrade the package rustc-web");
    }
    Ok(())
}

fn numbers(version: &str) -> Vec<u32> {
    version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

/// The linker that every rustup toolchain carries for its host.
fn rust_lld(sysroot: &Path) -> Result<PathBuf> {
    let hosts = std::fs::read_dir(sysroot.join("lib/rustlib"))
        .with_context(|| format!("cannot list {}", sysroot.display()))?;
    hosts
        .flatten()
        .map(|host| host.path().join("bin/rust-lld"))
        .find(|path| path.exists())
        .with_context(|| format!("there is no rust-lld below {}", sysroot.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(rust_version: &str) -> Workspace {
        serde_json::from_value(serde_json::json!({
            "workspace_root": "/r", "target_directory": "/t",
            "packages": [{ "name": "a", "rust_version": rust_version, "manifest_path": "/r/a/Cargo.toml",
                           "dependencies": [], "targets": [] }],
        }))
        .unwrap()
    }

    #[test]
    fn an_older_compiler_is_refused_by_number_not_by_letter() {
        let of = |version: &str| refuse_older(&format!("rustc {version} (abc)"), &workspace("1.95"));
        assert!(of("1.96.0").is_ok());
        assert!(of("1.95.0").is_ok());
        assert!(of("1.100.0").is_ok());
        assert!(of("1.85.0").unwrap_err().to_string().contains("upgrade"));
    }

    #[test]
    fn the_toolchains_own_library_needs_no_unstable_flag() {
        let line = sh::line(&command(&workspace("1.95"), &Library::Installed));
        assert_eq!(
            line,
            "cargo build --locked --target wasm32-unknown-unknown --target-dir /t/wasm \
             --config 'profile.dev.package.'\\''*'\\''.opt-level=0' -p rideplane-core -p rideplane-ports -p rideplane-app"
        );
    }

    #[test]
    fn a_folder_without_the_library_is_not_taken_for_the_target() {
        assert!(!has_target(Path::new("/no/such/folder")));
    }
}
