//! What can be wrong with a configuration, said so that it can be put right.

use core::fmt;
use std::path::{Path, PathBuf};

use super::ENV_PREFIX;
use super::settings::{SETTINGS, is_section};

/// Everything that is wrong with a configuration, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In this file.
    File(PathBuf),
    /// In this environment variable.
    Variable(String),
    /// With this flag.
    Flag(&'static str),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file can't be read.
    #[error("{}: can't be read: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{}: line {line}, column {column}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// No setting has this key.
    #[error("{given}: {key:?} is not a setting: {hint}")]
    Unknown {
        /// Where it was given.
        given: Source,
        /// The key as given.
        key: String,
        /// The nearest known one.
        hint: String,
    },
    /// The value breaks the setting's rule.
    #[error("{given}: {key} can't be {value:?}: it is {rule}")]
    Invalid {
        /// Where it was given.
        given: Source,
        /// The setting.
        key: &'static str,
        /// The value as given, shortened, without a password.
        value: String,
        /// What a value must be.
        rule: String,
    },
    /// Two settings contradict each other.
    #[error("{small} ({low}) must be {rule} {large} ({high})")]
    Order {
        /// The setting that is too large.
        small: &'static str,
        /// Its value.
        low: i64,
        /// `at most` or `less than`.
        rule: &'static str,
        /// The setting it is compared with.
        large: &'static str,
        /// Its value.
        high: i64,
    },
    /// An environment variable is not UTF-8.
    #[error("{name}: the value is not UTF-8 text")]
    NotUtf8 {
        /// The variable.
        name: String,
    },
    /// A setting names a file that can't be read.
    #[error("{key}: {} can't be read: {reason}", path.display())]
    NamedFile {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl ConfigError {
    pub(super) fn unless_empty(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }
}

impl Problem {
    pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let line = before.matches('\n').count() + 1;
        Self::Syntax { path: path.to_path_buf(), line, column, message: error.message().to_string() }
    }

    pub(super) fn unknown(source: Source, key: &str) -> Self {
        let spelt = |key: &str| match &source {
            Source::Variable(_) => format!("{ENV_PREFIX}{}", key.to_ascii_uppercase().replace('.', "__")),
            Source::File(_) | Source::Flag(_) => key.to_string(),
        };
        let hint = if is_section(key) {
            format!("it is a section, write [{key}] and its settings below")
        } else if let Some(near) = nearest(key, SETTINGS.iter().map(|setting| setting.key)) {
            format!("did you mean {}?", spelt(near))
        } else {
            "rideplane.example.toml lists them all".into()
        };
        Self::Unknown { given: source, key: shown_text(key), hint }
    }
}

/// The known key that was probably meant: the one that is fewest edits away, wholly or in its last part.
pub(crate) fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // The distance is quadratic in the length; no known key is nearly as long as this.
    if key.len() > 64 {
        return None;
    }
    let leaf = |key: &str| key.rfind('.').map_or(0, |dot| dot + 1);
    let edits = |candidate: &str| {
        let whole = strsim::osa_distance(key, candidate);
        whole.min(strsim::osa_distance(&key[leaf(key)..], &candidate[leaf(candidate)..]))
    };
    let (edits, near) = known.map(|candidate| (edits(candidate), candidate)).min()?;
    (edits <= (key.len() / 3).clamp(2, 4)).then_some(near)
}

/// A value as it may be printed: shortened, and without what a URL has before its `@`.
pub(super) fn shown(value: &str) -> String {
    let public =
        match value.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
            Some((scheme, (_, host))) => format!("{scheme}://***@{host}"),
            None => value.to_string(),
        };
    shown_text(&public)
}

pub(super) fn shown_text(text: &str) -> String {
    let short: String = text.chars().take(64).collect();
    if short.len() < text.len() { format!("{short}...") } else { short }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        if count > 1 {
            writeln!(f, "{count} problems with the configuration:")?;
        }
        for (at, problem) in self.0.iter().enumerate() {
            let end = if at + 1 == count { "" } else { "\n" };
            write!(f, "{problem}{end}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}
