//! Where things are: the repository, its build directory, its crates. All of it from `cargo metadata`,
//! so `CARGO_TARGET_DIR` and cargo's configuration hold here too.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The part of `cargo metadata` that the tasks need.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
    /// The member crates (`--no-deps` leaves all others out).
    pub(crate) packages: Vec<Package>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) rust_version: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// The folder of a dependency of this repository; `None` for one from a registry.
    pub(crate) path: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) kind: Vec<String>,
    pub(crate) src_path: PathBuf,
}

impl Package {
    /// The crate's folder relative to the repository, such as `adapters/memory`.
    pub(crate) fn folder(&self, root: &Path) -> String {
        let folder = self.manifest_path.parent().unwrap_or(&self.manifest_path);
        folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().replace('\\', "/")
    }
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Errors
    /// When cargo cannot be run or refuses the workspace, with cargo's own message.
    pub(crate) fn find() -> Result<Self> {
        // Set by `cargo run`; the compiled-in value serves a binary started by hand.
        let here = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let mut command = Command::new(crate::sh::cargo_path());
        command.args(["metadata", "--no-deps", "--format-version", "1", "--locked"]).current_dir(here);
        let text = crate::sh::capture(&mut command)?;
        serde_json::from_str(&text).context("the output of `cargo metadata` was not understood")
    }

    /// A cargo command in the repository's root.
    pub(crate) fn cargo<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(crate::sh::cargo_path());
        command.args(args).current_dir(&self.root);
        command
    }

    /// A folder for files of the tasks themselves, below the build directory.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.target.join("xtask").join(name)
    }
}
