//! Every crate has the workspace's lints and says what it is; the README names the commands that matter.

use super::Finding;
use super::source::File;
use crate::workspace::{Package, Workspace};

/// What a reader of the README must meet.
const COMMANDS: [&str; 3] =
    ["cargo run --release -- replay", "cargo run --release -- serve", "cargo xtask test"];

/// The findings in the whole workspace.
pub(super) fn check(workspace: &Workspace, files: &[File]) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        workspace.packages.iter().flat_map(|package| judge(package, workspace, files)).collect();
    findings.extend(readme(find(files, "README.md")));
    findings
}

fn find<'a>(files: &'a [File], path: &str) -> Option<&'a File> {
    files.iter().find(|file| file.path == path)
}

fn judge(package: &Package, workspace: &Workspace, files: &[File]) -> Vec<Finding> {
    let folder = package.folder(&workspace.root);
    let manifest = format!("{folder}/Cargo.toml");
    let mut findings = Vec::new();
    if !find(files, &manifest).is_some_and(|file| has_lints(file, &folder)) {
        findings.push(Finding::new(&manifest, "no lints; write `[lints]` and `workspace = true`"));
    }
    let documented = ["lib", "bin", "cdylib", "rlib", "proc-macro"];
    for target in package
        .targets
        .iter()
        .filter(|target| target.kind.iter().any(|kind| documented.contains(&kind.as_str())))
    {
        let path = target.src_path.strip_prefix(&workspace.root).unwrap_or(&target.src_path);
        let path = path.to_string_lossy().replace('\\', "/");
        if !find(files, &path).is_some_and(says_what_it_is) {
            findings.push(Finding::new(&path, "does not begin with `//!` and what it is for"));
        }
    }
    findings
}

/// Bindings and fuzz targets expand macros that the workspace's lints forbid, so they have lints of their own.
fn has_lints(manifest: &File, folder: &str) -> bool {
    let own = folder.starts_with("bindings/") || folder == "fuzz";
    let lines: Vec<String> = manifest.lines.iter().map(|line| line.replace(' ', "")).collect();
    let inherits = lines.iter().position(|line| line == "[lints]").is_some_and(|at| {
        lines
            .iter()
            .skip(at + 1)
            .take_while(|line| !line.starts_with('['))
            .any(|line| line == "workspace=true")
    });
    inherits
        || lines.iter().any(|line| line == "lints.workspace=true" || (own && line.starts_with("[lints.")))
}

fn says_what_it_is(file: &File) -> bool {
    file.lines.first().and_then(|line| line.strip_prefix("//!")).is_some_and(|text| text.trim().len() > 10)
}

fn readme(file: Option<&File>) -> Vec<Finding> {
    let Some(file) = file else { return vec![Finding::new("README.md", "is not there")] };
    COMMANDS
        .iter()
        .filter(|command| !file.lines.iter().any(|line| line.contains(*command)))
        .map(|command| Finding::new("README.md", format!("does not name `{command}`")))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn lints_are_inherited_in_their_own_section() {
        let of = |text: &str, folder: &str| has_lints(&File::new("x/Cargo.toml", text), folder);
        assert!(of("[package]\n\n[lints]\nworkspace = true\n", "core"));
        assert!(of("lints.workspace = true\n", "core"));
        assert!(!of("[lints]\n\n[dependencies]\nworkspace = true\n", "core"));
        assert!(!of("[package]\n", "core"));
        assert!(!of("[lints.rust]\nunused = \"allow\"\n", "core"));
        assert!(of("[lints.rust]\nunused = \"allow\"\n", "bindings/python"));
    }

    #[test]
    fn a_crate_without_lints_and_docs_has_two_findings() {
        let workspace: Workspace = serde_json::from_value(serde_json::json!({
            "workspace_root": "/r", "target_directory": "/r/target",
            "packages": [{ "name": "a", "rust_version": null, "manifest_path": "/r/a/Cargo.toml", "dependencies": [],
                           "targets": [{ "kind": ["lib"], "src_path": "/r/a/src/lib.rs" }] }],
        }))
        .unwrap();
        assert_eq!(workspace.root, PathBuf::from("/r"));
        let file = |path: &str, text: &str| File::new(path, text);
        let readme = file("README.md", &COMMANDS.join("\n"));
        let bare = [file("a/Cargo.toml", "[package]"), file("a/src/lib.rs", "fn f() {}"), readme.clone()];
        assert_eq!(check(&workspace, &bare).len(), 2);
        let good = [
            file("a/Cargo.toml", "[lints]\nworkspace = true"),
            file("a/src/lib.rs", "//! What it is for, in a sentence."),
            readme,
        ];
        assert_eq!(check(&workspace, &good), []);
    }

    #[test]
    fn the_readme_names_every_command() {
        assert_eq!(readme(None).len(), 1);
        assert_eq!(readme(Some(&File::new("README.md", COMMANDS[0]))).len(), 2);
        assert_eq!(readme(Some(&File::new("README.md", &COMMANDS.join("\n")))), []);
    }
}
