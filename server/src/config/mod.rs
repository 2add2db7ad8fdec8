//! Configuration: defaults, `rideplane.toml` over them, `RIDEPLANE_*` over that, flags over all.
//!
//! | Layer | `auth.audience` is written as |
//! |---|---|
//! | file | `[auth]` and below it `audience = "..."` |
//! | environment | `RIDEPLANE_AUTH__AUDIENCE` (upper case, `__` for the dot) |
//! | command line | only some have a flag: `--listen`, `--data`, `--demo-fleet`, `--around` |
//!
//! Unknown keys are refused with the nearest known one, a value that breaks its rule with the key, the value
//! and the rule; all problems are reported at once. Every setting is a row of one table (`settings.rs`),
//! which the reader, the printer and the example file's test go through. None of them is a secret: keys are
//! files in the data directory ([`crate::keys`]), and a password inside a URL is never printed.
//! Relative paths are relative to the working directory; the SQLite file is relative to the data directory.

mod database_url;
mod error;
mod settings;
#[cfg(test)]
mod tests;

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use rideplane_core::policy::Policy;
use rideplane_core::time::Span;

use crate::lat_lon::LatLon;

pub use database_url::DatabaseUrl;
pub(crate) use error::nearest;
pub use error::{ConfigError, Problem, Source};
use error::{shown, shown_text};
use settings::{ORDERED, Raw, SETTINGS, Setting};

/// The file that is read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "rideplane.toml";
/// What environment variables of the configuration start with.
pub const ENV_PREFIX: &str = "RIDEPLANE_";
/// A larger file than this is not a configuration, bytes.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The effective configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the HTTP server listens.
    pub listen: SocketAddr,
    /// The data directory: keys and the embedded store.
    pub data: PathBuf,
    /// Which store.
    pub store: StoreUrl,
    /// Postgres URLs of standbys that search may read from.
    pub store_replicas: Vec<DatabaseUrl>,
    /// The Redis that caches search; none: every search asks the store or the index.
    pub cache: Option<DatabaseUrl>,
    /// The pricing plans (JSON); none: the built-in demo plans.
    pub pricing_file: Option<PathBuf>,
    /// The geofencing zones (GBFS `geofencing_zones.json`); none: rides start and end anywhere.
    pub zones_file: Option<PathBuf>,
    /// The fleet that is made when the store holds no vehicle.
    pub demo: Demo,
    /// Whose tokens are believed.
    pub auth: Auth,
    /// The HTTP server's limits.
    pub http: Http,
    /// What is logged and how.
    pub log: Log,
    /// The rules' numbers.
    pub policy: Policy,
}

/// The fleet that is made when the store holds no vehicle.
#[derive(Clone, Debug, PartialEq)]
pub struct Demo {
    /// How many vehicles; 0 makes none.
    pub count: u32,
    /// The middle of the fleet.
    pub around: LatLon,
}

/// Whose tokens are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The `iss` of every token.
    pub issuer: String,
    /// The `aud` that every token must name.
    pub audience: String,
    /// How far the clocks of issuer and server may differ.
    pub leeway: Span,
    /// An identity provider's public key (PEM). When set, tokens of the local key are not believed.
    pub public_key_file: Option<PathBuf>,
}

/// The HTTP server's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// The largest request body, bytes.
    pub body_limit_bytes: u32,
    /// The longest time a request may take.
    pub request_timeout: Span,
    /// How long an unlock waits for the vehicle's ack before it answers 202.
    pub unlock_wait: Span,
    /// How long requests under way may take to end after a stop signal.
    pub shutdown_grace: Span,
}

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Directives: `info`, or `info,rideplane_app=debug`.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For reading.
    Human,
    /// One JSON object a line.
    Json,
}

/// Which store, as a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:`, gone when the process ends.
    Memory,
    /// `sqlite:FILE`; a relative file is under the data directory.
    Sqlite(PathBuf),
    /// `postgres://USER:PASSWORD@HOST[,HOST]/DATABASE`
    Postgres(DatabaseUrl),
}

/// A text that is no store's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a store is sqlite:FILE (FILE relative to the data directory), postgres://USER:PASSWORD@HOST/DATABASE or memory:"
)]
pub struct InvalidStoreUrl;

/// A setting given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The setting, such as `listen`.
    pub key: &'static str,
    /// The flag as typed, such as `--listen`.
    pub flag: &'static str,
    /// Its value.
    pub value: String,
}

/// A configuration, and where each setting that is not the default came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The effective configuration.
    pub config: Config,
    /// Key to source; a key that is not here has its default.
    pub origins: BTreeMap<&'static str, Source>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            data: PathBuf::from("rideplane-data"),
            store: StoreUrl::Sqlite(PathBuf::from("rideplane.db")),
            store_replicas: Vec::new(),
            cache: None,
            pricing_file: None,
            zones_file: None,
            demo: Demo { count: 200, around: LatLon::FRANKFURT },
            auth: Auth {
                issuer: "rideplane".into(),
                audience: "rideplane".into(),
                leeway: Span::from_seconds(5),
                public_key_file: None,
            },
            http: Http {
                body_limit_bytes: 65_536,
                request_timeout: Span::from_seconds(10),
                unlock_wait: Span::from_seconds(5),
                shutdown_grace: Span::from_seconds(10),
            },
            log: Log { level: "info".into(), format: LogFormat::Auto },
            policy: Policy::default(),
        }
    }
}

impl Config {
    /// Reads `file`, if one is named, and lays `env` over it. Variables without the prefix are passed over.
    ///
    /// # Errors
    /// Every problem of the file and of the environment, in one error.
    pub fn load(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Loaded::read(file, env, &[]).map(|loaded| loaded.config)
    }

    /// The store's file, if the store is one.
    #[must_use]
    pub fn store_file(&self) -> Option<PathBuf> {
        match &self.store {
            StoreUrl::Memory | StoreUrl::Postgres(_) => None,
            StoreUrl::Sqlite(file) => Some(self.data.join(file)),
        }
    }

    /// Looks at the files that the configuration names.
    ///
    /// # Errors
    /// A named file that is not there or can't be read.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        let files = [
            ("pricing_file", &self.pricing_file),
            ("zones_file", &self.zones_file),
            ("auth.public_key_file", &self.auth.public_key_file),
        ];
        let problem = |(key, path): (&'static str, &PathBuf)| {
            let error = std::fs::File::open(path).and_then(|file| file.metadata()).err();
            error.map(|error| Problem::NamedFile { key, path: path.clone(), reason: error.to_string() })
        };
        let named = files.into_iter().filter_map(|(key, path)| path.as_ref().map(|path| (key, path)));
        ConfigError::unless_empty(named.filter_map(problem).collect())
    }
}

impl Loaded {
    /// Reads `file`, lays `env` over it and `flags` over both.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn read(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
        flags: &[Flag],
    ) -> Result<Self, ConfigError> {
        let text = match file {
            Some(path) => Some((path, read_file(path)?)),
            None => None,
        };
        Self::parse(text.as_ref().map(|(path, text)| (*path, text.as_str())), env, flags)
    }

    /// [`Loaded::read`] without the reading: equal arguments give equal answers.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(
        file: Option<(&Path, &str)>,
        env: impl IntoIterator<Item = (String, String)>,
        flags: &[Flag],
    ) -> Result<Self, ConfigError> {
        let mut layers = Layers { config: Config::default(), origins: BTreeMap::new(), problems: Vec::new() };
        if let Some((path, text)) = file {
            layers.apply_file(path, text);
        }
        let mut env: Vec<_> = env.into_iter().filter(|(name, _)| name.starts_with(ENV_PREFIX)).collect();
        env.sort();
        for (name, value) in env {
            layers.apply_variable(&name, value);
        }
        for flag in flags {
            layers.apply(flag.key, Source::Flag(flag.flag), &Raw::Untyped(flag.value.clone()));
        }
        // Relations are judged on a configuration whose single values are right.
        if layers.problems.is_empty() {
            layers.check_order();
        }
        ConfigError::unless_empty(layers.problems)?;
        Ok(Self { config: layers.config, origins: layers.origins })
    }
}

struct Layers {
    config: Config,
    origins: BTreeMap<&'static str, Source>,
    problems: Vec<Problem>,
}

impl Layers {
    fn apply_file(&mut self, path: &Path, text: &str) {
        match text.parse::<toml::Table>() {
            Ok(table) => self.apply_table(path, "", table),
            Err(error) => self.problems.push(Problem::syntax(path, text, &error)),
        }
    }

    fn apply_table(&mut self, path: &Path, prefix: &str, table: toml::Table) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            // A table is a section, or an unknown one whose keys are told of; an empty one is told of itself.
            let values =
                value.as_table().filter(|inner| settings::is_section(&key) || !inner.is_empty()).cloned();
            match values {
                Some(inner) => self.apply_table(path, &key, inner),
                None => self.apply(&key, Source::File(path.to_path_buf()), &Raw::from(value)),
            }
        }
    }

    fn apply_variable(&mut self, name: &str, value: String) {
        let key = name.trim_start_matches(ENV_PREFIX).to_ascii_lowercase().replace("__", ".");
        self.apply(&key, Source::Variable(name.to_string()), &Raw::Untyped(value));
    }

    fn apply(&mut self, key: &str, source: Source, raw: &Raw) {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
            self.problems.push(Problem::unknown(source, key));
            return;
        };
        if setting.set(&mut self.config, raw).is_some() {
            self.origins.insert(setting.key, source);
        } else {
            let (value, rule) = (shown(&raw.to_string()), setting.rule());
            self.problems.push(Problem::Invalid { given: source, key: setting.key, value, rule });
        }
    }

    fn check_order(&mut self) {
        for (small, large, strictly) in ORDERED {
            let number = |key: &str| Setting::number(key, &self.config).unwrap_or_default();
            let (low, high) = (number(small), number(large));
            if low > high || (strictly && low == high) {
                let rule = if strictly { "less than" } else { "at most" };
                self.problems.push(Problem::Order { small, low, rule, large, high });
            }
        }
    }
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    use std::io::Read as _;
    let failed = |reason: String| ConfigError(vec![Problem::Read { path: path.to_path_buf(), reason }]);
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    let read = file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text);
    match read.map_err(|error| failed(error.to_string()))? {
        bytes if bytes as u64 > MAX_FILE_BYTES => {
            Err(failed(format!("it is larger than {MAX_FILE_BYTES} bytes")))
        }
        _ => Ok(text),
    }
}

/// The variables of this process that are the configuration's.
///
/// # Errors
/// One of them is not UTF-8.
pub fn process_env() -> Result<Vec<(String, String)>, ConfigError> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else { continue };
        match value.into_string() {
            Ok(value) => variables.push((name.to_string(), value)),
            Err(_) => return Err(ConfigError(vec![Problem::NotUtf8 { name: shown_text(name) }])),
        }
    }
    Ok(variables)
}

/// The file that counts: the one named, or [`DEFAULT_FILE`] in the working directory if it is there.
#[must_use]
pub fn file_to_read(named: Option<&Path>) -> Option<PathBuf> {
    let default = || Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists());
    named.map(Path::to_path_buf).or_else(default)
}

impl fmt::Display for Loaded {
    /// The effective configuration as a file that gives it again, each setting with its source.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut section = "";
        for setting in SETTINGS {
            let (head, name) = setting.key.rsplit_once('.').unwrap_or(("", setting.key));
            if head != section {
                section = head;
                write!(f, "\n[{section}]\n")?;
            }
            match (setting.get(&self.config), self.origins.get(setting.key)) {
                (Some(value), Some(source)) => writeln!(f, "{name} = {value} # {source}")?,
                (Some(value), None) => writeln!(f, "{name} = {value}")?,
                (None, _) => writeln!(f, "# {name} is not set")?,
            }
        }
        Ok(())
    }
}

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(text: &str) -> Result<Self, InvalidStoreUrl> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        if DatabaseUrl::is_postgres(text) {
            return Ok(Self::Postgres(DatabaseUrl::new(text)));
        }
        // `sqlite::memory:` and `?mode=` are other programs'; what is taken here is a plain path.
        let file = text.strip_prefix("sqlite:").ok_or(InvalidStoreUrl)?;
        let file = file.strip_prefix("//").unwrap_or(file);
        let plain = !file.is_empty() && !file.starts_with(':') && !file.contains(['?', '\0']);
        if plain { Ok(Self::Sqlite(PathBuf::from(file))) } else { Err(InvalidStoreUrl) }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(file) => write!(f, "sqlite:{}", file.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Human => "human",
            Self::Json => "json",
        })
    }
}
