//! Nothing below core, ports and app brings a runtime, a clock, entropy, logging or IO.
//!
//! Read from `cargo tree`, one crate at a time: `cargo metadata` joins the features of the whole workspace,
//! so that a server's features would be blamed on the core.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::Finding;
use crate::sh;
use crate::wasm::CRATES;
use crate::workspace::Workspace;

/// Crates that may not be there.
const BANNED: [&str; 48] = [
    // runtimes
    "async-executor",
    "async-global-executor",
    "async-io",
    "async-std",
    "futures-executor",
    "glommio",
    "mio",
    "monoio",
    "polling",
    "rayon",
    "smol",
    "socket2",
    "tokio",
    // clocks
    "chrono",
    "coarsetime",
    "futures-timer",
    "instant",
    "quanta",
    "time",
    "web-time",
    // entropy
    "fastrand",
    "getrandom",
    "rand",
    "rand_os",
    "oorandom",
    "wasm-bindgen",
    "js-sys",
    "web-sys",
    // logging
    "env_logger",
    "log",
    "slog",
    "tracing",
    "tracing-core",
    // files, networks, databases
    "axum",
    "curl",
    "hyper",
    "lettre",
    "memmap2",
    "native-tls",
    "openssl",
    "rdkafka",
    "redis",
    "reqwest",
    "rumqttc",
    "rusqlite",
    "rustls",
    "tempfile",
    "ureq",
];
/// The same by the beginning of the name.
const BANNED_FAMILIES: [&str; 7] = ["aws-", "hyper-", "postgres", "sqlx", "tokio-", "tonic", "libsqlite3"];

/// (crate, its only allowed parent, why).
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    (
        "log",
        "geo",
        "log statements of algorithms; without a logger, which is never set here, they do nothing",
    ),
    ("rand", "geo", "without the feature `sys_rng`, so a seeded generator of k-means and no entropy"),
];

/// Asks cargo about each pure crate and judges the answers.
///
/// # Errors
/// When cargo refuses, or its answer is not understood.
pub(super) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for krate in CRATES {
        let args =
            ["tree", "--locked", "--package", krate, "--edges", "normal,no-proc-macro", "--target", "all"];
        let mut command = workspace.cargo(args);
        let tree = sh::capture(command.args(["--prefix", "depth", "--format", " {p}"]))?;
        findings.extend(judge(krate, &edges(&tree)?));
    }
    Ok(findings)
}

/// The (parent, child) pairs of a tree printed with `--prefix depth`.
fn edges(tree: &str) -> Result<BTreeSet<(String, String)>> {
    let mut path: Vec<String> = Vec::new();
    let mut found = BTreeSet::new();
    for line in tree.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let depth: Option<usize> = words.next().and_then(|word| word.parse().ok());
        let (depth, name) =
            depth.zip(words.next()).with_context(|| format!("`cargo tree` printed {line:?}"))?;
        path.truncate(depth);
        if let Some(parent) = path.last() {
            found.insert((parent.clone(), name.to_owned()));
        }
        path.push(name.to_owned());
    }
    Ok(found)
}

fn judge(krate: &str, edges: &BTreeSet<(String, String)>) -> Vec<Finding> {
    let banned =
        |name: &str| BANNED.contains(&name) || BANNED_FAMILIES.iter().any(|family| name.starts_with(family));
    let excepted = |parent: &str, child: &str| {
        EXCEPTIONS.iter().any(|(name, only, _)| (*name, *only) == (child, parent))
    };
    edges
        .iter()
        .filter(|(parent, child)| banned(child) && !excepted(parent, child))
        .map(|(parent, child)| {
            let message = format!("brings `{child}` by way of `{parent}`; a pure crate may not");
            Finding::new(krate, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(tree: &str) -> Vec<String> {
        judge("rideplane-core", &edges(tree).unwrap())
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn a_runtime_deep_below_is_found_with_the_crate_that_brings_it() {
        let tree = "0 rideplane-core v0.1.0 (/r/core)\n1 serde v1.0.0\n1 helper v1.0.0\n2 tokio v1.0.0\n1 geo v0.33.0\n";
        let expected = "rideplane-core: brings `tokio` by way of `helper`; a pure crate may not";
        assert_eq!(judged(tree), [expected]);
    }

    #[test]
    fn an_exception_holds_for_its_parent_only() {
        assert_eq!(judged("0 a v1\n1 geo v0.33.0\n2 log v0.4.0\n2 rand v0.10.0\n"), [""; 0]);
        assert_eq!(judged("0 a v1\n1 log v0.4.0\n").len(), 1);
        assert_eq!(judged("0 a v1\n1 geo v0.33.0\n2 rand v0.10.0\n3 getrandom v0.4.0\n").len(), 1);
        assert_eq!(
            judged("0 a v1\n1 geo v0.33.0\n2 log v0.4.0\n1 other v1.0.0\n2 log v0.4.0 (*)\n").len(),
            1
        );
    }

    #[test]
    fn families_are_banned_by_their_name() {
        assert_eq!(judged("0 a v1\n1 sqlx-core v0.9.0\n1 tokio-util v0.7.0\n").len(), 2);
    }

    #[test]
    fn an_answer_that_is_no_tree_is_an_error() {
        assert!(edges("rideplane-core v0.1.0\n").is_err());
    }
}
