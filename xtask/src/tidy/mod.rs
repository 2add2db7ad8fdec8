//! The rules of the source tree that no compiler checks. Each is a function from what it reads to
//! findings, with a test that it can fail.
//!
//! | Module | Rule |
//! |---|---|
//! | [`direction`] | crates depend one way: core <- ports <- app <- adapters, sim, bindings <- server |
//! | [`purity`] | nothing below core, ports and app brings a runtime, a clock, entropy, logging or IO |
//! | [`doors`] | their sources do not reach for those parts of the standard library either |
//! | [`lengths`] | files below 600 lines, functions of 70 lines at most |
//! | [`leftovers`] | no unfinished work, no ignored test, no path of somebody's machine, no `unsafe` |
//! | [`manifests`] | every crate has the workspace's lints and says what it is; the README names the commands |
//!
//! A line that must break a rule says so: `// tidy: allow-<rule> <reason>` on the line or right above it.

mod direction;
mod doors;
mod leftovers;
mod lengths;
mod manifests;
mod purity;
mod source;

use std::fmt;

use anyhow::{Result, bail};

use crate::sh;
use crate::workspace::Workspace;

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// The file, or the crate.
    place: String,
    /// The line, counted from 1; `None` where the whole place is meant.
    line: Option<usize>,
    /// What is wrong and what to do.
    message: String,
}

impl Finding {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), line: None, message: message.into() }
    }

    /// `index` counts from 0.
    fn at(place: impl Into<String>, index: usize, message: impl Into<String>) -> Self {
        Self { place: place.into(), line: Some(index + 1), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, "{}:{line}: {}", self.place, self.message),
            None => write!(out, "{}: {}", self.place, self.message),
        }
    }
}

/// Checks every rule and prints all findings.
///
/// # Errors
/// When there is a finding, or something cannot be read.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let files = source::read_tree(&workspace.root)?;
    let mut findings = direction::check(workspace);
    findings.extend(purity::check(workspace)?);
    findings.extend(manifests::check(workspace, &files));
    for file in &files {
        findings.extend(lengths::check(file));
        findings.extend(leftovers::check(file));
        findings.extend(doors::check(file));
    }
    findings.sort();
    findings.iter().for_each(|finding| sh::say(&finding.to_string()));
    let crates = workspace.packages.len();
    let exceptions: usize = files.iter().map(source::File::exceptions).sum();
    sh::say(&format!("tidy: {crates} crates, {} files, {exceptions} written exceptions", files.len()));
    if findings.is_empty() { Ok(()) } else { bail!("tidy has {} finding(s)", findings.len()) }
}
