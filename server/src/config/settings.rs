//! The table of settings: each with its key, its rule, and its place in [`Config`].

use core::fmt;
use core::ops::RangeInclusive;
use std::path::PathBuf;

use rideplane_core::money::Decimal;
use rideplane_core::time::Span;

use super::{Config, DatabaseUrl};

/// A value as it was given: typed by the file, untyped by the environment and the command line.
pub(super) enum Raw {
    Integer(i64),
    Number(f64),
    Text(String),
    Untyped(String),
    Other(&'static str),
}

pub(super) struct Setting {
    pub(super) key: &'static str,
    kind: Kind,
}

type Place<T> = fn(&mut Config) -> &mut T;

enum Kind {
    /// Whole seconds.
    Seconds(RangeInclusive<i64>, Place<Span>),
    /// A whole number.
    Count(RangeInclusive<i64>, Place<u32>),
    /// A factor of up to four decimals, from 1 to 10.
    Factor(Place<Decimal>),
    /// A file that may be left out; an empty text leaves it out.
    File(Place<Option<PathBuf>>),
    /// A text with a rule of its own.
    Text { rule: &'static str, get: fn(&Config) -> String, set: fn(&mut Config, &str) -> Option<()> },
}

impl Setting {
    /// Puts the value in its place, or nothing when it breaks the rule.
    pub(super) fn set(&self, config: &mut Config, raw: &Raw) -> Option<()> {
        match &self.kind {
            Kind::Seconds(range, place) => {
                *place(config) = Span::from_seconds(raw.integer().filter(|n| range.contains(n))?);
            }
            Kind::Count(range, place) => {
                *place(config) = raw.integer().filter(|n| range.contains(n))?.try_into().ok()?;
            }
            Kind::Factor(place) => {
                let factor = raw.decimal().filter(|factor| factor.scale() <= 4)?;
                *place(config) = Some(factor).filter(|f| (Decimal::ONE..=Decimal::TEN).contains(f))?;
            }
            Kind::File(place) => {
                let text = raw.text().filter(|text| !text.contains('\0'))?;
                *place(config) = Some(PathBuf::from(text)).filter(|_| !text.is_empty());
            }
            Kind::Text { set, .. } => set(config, raw.text()?)?,
        }
        Some(())
    }

    /// The value as TOML; nothing when it is left out.
    pub(super) fn get(&self, config: &Config) -> Option<String> {
        // Places are only known as places to write: read them in a copy.
        let mut copy = config.clone();
        match &self.kind {
            Kind::Seconds(_, place) => Some(place(&mut copy).as_seconds().to_string()),
            Kind::Count(_, place) => Some(place(&mut copy).to_string()),
            Kind::Factor(place) => Some(place(&mut copy).normalize().to_string()),
            Kind::File(place) => place(&mut copy).as_ref().map(|path| quoted(&path.display().to_string())),
            Kind::Text { get, .. } => Some(quoted(&get(config))),
        }
    }

    /// What a value must be.
    pub(super) fn rule(&self) -> String {
        let span = |range: &RangeInclusive<i64>| format!("from {} to {}", range.start(), range.end());
        match &self.kind {
            Kind::Seconds(range, _) => format!("a whole number of seconds {}", span(range)),
            Kind::Count(range, _) => format!("a whole number {}", span(range)),
            Kind::Factor(_) => "a number from 1 to 10 with at most four decimals".into(),
            Kind::File(_) => "the path of a file, in quotes".into(),
            Kind::Text { rule, .. } => (*rule).into(),
        }
    }

    /// The value of a whole-number setting.
    pub(super) fn number(key: &str, config: &Config) -> Option<i64> {
        SETTINGS.iter().find(|setting| setting.key == key)?.get(config)?.parse().ok()
    }
}

/// Whether settings have this in front of their last dot.
pub(super) fn is_section(key: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.rsplit_once('.').is_some_and(|(head, _)| head == key))
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

const fn seconds(key: &'static str, range: RangeInclusive<i64>, place: Place<Span>) -> Setting {
    Setting { key, kind: Kind::Seconds(range, place) }
}

const fn count(key: &'static str, range: RangeInclusive<i64>, place: Place<u32>) -> Setting {
    Setting { key, kind: Kind::Count(range, place) }
}

const fn file(key: &'static str, place: Place<Option<PathBuf>>) -> Setting {
    Setting { key, kind: Kind::File(place) }
}

const fn text(
    key: &'static str,
    rule: &'static str,
    get: fn(&Config) -> String,
    set: fn(&mut Config, &str) -> Option<()>,
) -> Setting {
    Setting { key, kind: Kind::Text { rule, get, set } }
}

const DAY: i64 = 24 * 60 * 60;
const CLAIM_RULE: &str = "a text of 1 to 256 characters without spaces at its ends";

/// In the order in which they are printed: those without a section first, sections in one piece.
#[rustfmt::skip]
pub(super) const SETTINGS: &[Setting] = &[
    text("listen", "an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080",
        |c| c.listen.to_string(), |c, t| { c.listen = t.parse().ok()?; Some(()) }),
    text("data", "the path of a directory",
        |c| c.data.display().to_string(),
        |c, t| { c.data = Some(t).filter(|t| !t.is_empty() && !t.contains('\0'))?.into(); Some(()) }),
    text("store",
        "sqlite:FILE (FILE relative to the data directory), postgres://USER:PASSWORD@HOST/DATABASE or memory:",
        |c| c.store.to_string(), |c, t| { c.store = t.parse().ok()?; Some(()) }),
    text("store_replicas", "postgres:// URLs with spaces between them, or an empty text",
        |c| c.store_replicas.iter().map(DatabaseUrl::to_string).collect::<Vec<_>>().join(" "),
        |c, t| {
            let urls = t.split_whitespace().map(|url| DatabaseUrl::is_postgres(url).then(|| DatabaseUrl::new(url)));
            c.store_replicas = urls.collect::<Option<_>>()?;
            Some(())
        }),
    text("cache", "redis://[USER:PASSWORD@]HOST:PORT[/DATABASE], or an empty text",
        |c| c.cache.as_ref().map(DatabaseUrl::to_string).unwrap_or_default(),
        |c, t| {
            c.cache = match t {
                "" => None,
                url => Some(Some(url).filter(|url| DatabaseUrl::is_redis(url)).map(DatabaseUrl::new)?),
            };
            Some(())
        }),
    file("pricing_file", |c| &mut c.pricing_file),
    file("zones_file", |c| &mut c.zones_file),
    count("demo.count", 0..=1_000_000, |c| &mut c.demo.count),
    text("demo.around", "LAT,LON in degrees, such as 50.1109,8.6821",
        |c| c.demo.around.to_string(), |c, t| { c.demo.around = t.parse().ok()?; Some(()) }),
    text("auth.issuer", CLAIM_RULE,
        |c| c.auth.issuer.clone(), |c, t| { c.auth.issuer = claim(t)?; Some(()) }),
    text("auth.audience", CLAIM_RULE,
        |c| c.auth.audience.clone(), |c, t| { c.auth.audience = claim(t)?; Some(()) }),
    seconds("auth.leeway_s", 0..=300, |c| &mut c.auth.leeway),
    file("auth.public_key_file", |c| &mut c.auth.public_key_file),
    count("http.body_limit_bytes", 1_024..=16_777_216, |c| &mut c.http.body_limit_bytes),
    seconds("http.request_timeout_s", 1..=300, |c| &mut c.http.request_timeout),
    seconds("http.unlock_wait_s", 0..=60, |c| &mut c.http.unlock_wait),
    seconds("http.shutdown_grace_s", 0..=300, |c| &mut c.http.shutdown_grace),
    text("log.level", "off, error, warn, info, debug or trace, or a list such as info,rideplane_app=debug",
        |c| c.log.level.clone(), |c, t| { c.log.level = directives(t)?; Some(()) }),
    text("log.format", "auto, human or json",
        |c| c.log.format.to_string(), |c, t| { c.log.format = t.parse().ok()?; Some(()) }),
    seconds("policy.hold_s", 1..=DAY, |c| &mut c.policy.hold),
    seconds("policy.hold_max_s", 1..=DAY, |c| &mut c.policy.hold_max),
    seconds("policy.quote_ttl_s", 60..=DAY, |c| &mut c.policy.quote_ttl),
    seconds("policy.unlock_window_s", 1..=DAY, |c| &mut c.policy.unlock_window),
    seconds("policy.heartbeat_timeout_s", 1..=DAY, |c| &mut c.policy.heartbeat_timeout),
    seconds("policy.offline_expiry_s", 1..=DAY, |c| &mut c.policy.offline_expiry),
    seconds("policy.start_time_max_ahead_s", 0..=7 * DAY, |c| &mut c.policy.start_time_max_ahead),
    seconds("policy.command_ttl_s", 1..=300, |c| &mut c.policy.command_ttl),
    seconds("policy.command_margin_s", 0..=300, |c| &mut c.policy.command_margin),
    seconds("policy.clock_skew_s", 0..=300, |c| &mut c.policy.clock_skew),
    seconds("policy.default_duration_s", 60..=30 * DAY, |c| &mut c.policy.default_duration),
    seconds("policy.max_duration_s", 60..=30 * DAY, |c| &mut c.policy.max_duration),
    count("policy.estimate_speed_m_per_s", 0..=100, |c| &mut c.policy.estimate_speed_m_per_s),
    count("policy.estimate_car_speed_m_per_s", 0..=100, |c| &mut c.policy.estimate_car_speed_m_per_s),
    Setting { key: "policy.hold_headroom", kind: Kind::Factor(|c| &mut c.policy.hold_headroom) },
    seconds("policy.capture_margin_s", 0..=7 * DAY, |c| &mut c.policy.capture_margin),
    seconds("policy.capture_validity_s", 60..=31 * DAY, |c| &mut c.policy.capture_validity),
    seconds("policy.gateway_timeout_s", 1..=120, |c| &mut c.policy.gateway_timeout),
    seconds("policy.gateway_retry_s", 1..=3_600, |c| &mut c.policy.gateway_retry),
    seconds("policy.gateway_retry_max_s", 1..=DAY, |c| &mut c.policy.gateway_retry_max),
    count("policy.bookings_per_window", 1..=1_000_000, |c| &mut c.policy.bookings_per_window),
    seconds("policy.bookings_window_s", 1..=DAY, |c| &mut c.policy.bookings_window),
    count("policy.search_radius_m", 1..=100_000, |c| &mut c.policy.search_radius_m),
    count("policy.search_radius_max_m", 1..=100_000, |c| &mut c.policy.search_radius_max_m),
    count("policy.search_limit", 1..=1_000, |c| &mut c.policy.search_limit),
    count("policy.search_limit_max", 1..=1_000, |c| &mut c.policy.search_limit_max),
];

/// Settings of which the first must be at most the second, or (`true`) less.
pub(super) const ORDERED: [(&str, &str, bool); 8] = [
    ("policy.hold_s", "policy.hold_max_s", false),
    ("policy.default_duration_s", "policy.max_duration_s", false),
    ("policy.gateway_retry_s", "policy.gateway_retry_max_s", false),
    ("policy.search_radius_m", "policy.search_radius_max_m", false),
    ("policy.search_limit", "policy.search_limit_max", false),
    // Otherwise no command could ever be sent, every hold would be captured at once, and every slow
    // unlock would be cut off before its 202.
    ("policy.command_margin_s", "policy.unlock_window_s", true),
    ("policy.capture_margin_s", "policy.capture_validity_s", true),
    ("http.unlock_wait_s", "http.request_timeout_s", true),
];

fn claim(text: &str) -> Option<String> {
    let fits = (1..=256).contains(&text.chars().count()) && text.trim() == text;
    fits.then(|| text.to_string())
}

/// `LEVEL` or `TARGET=LEVEL`, separated by commas: the library would take a misspelt level for a target.
fn directives(text: &str) -> Option<String> {
    let level = |text: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&text);
    let target = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b))
    };
    let directive = |text: &str| match text.split_once('=') {
        Some((name, rest)) => target(name) && level(rest),
        None => level(text),
    };
    text.split(',').all(directive).then(|| text.to_string())
}

impl Raw {
    fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Untyped(text) => text.parse().ok(),
            Self::Number(_) | Self::Text(_) | Self::Other(_) => None,
        }
    }

    fn decimal(&self) -> Option<Decimal> {
        match self {
            Self::Integer(number) => Some(Decimal::from(*number)),
            // The shortest text of a float is what was written in the file.
            Self::Number(number) => number.to_string().parse().ok(),
            Self::Untyped(text) => text.parse().ok(),
            Self::Text(_) | Self::Other(_) => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Untyped(text) => Some(text),
            Self::Integer(_) | Self::Number(_) | Self::Other(_) => None,
        }
    }
}

impl From<toml::Value> for Raw {
    fn from(value: toml::Value) -> Self {
        match value {
            toml::Value::String(text) => Self::Text(text),
            toml::Value::Integer(number) => Self::Integer(number),
            toml::Value::Float(number) => Self::Number(number),
            toml::Value::Boolean(true) => Self::Other("true"),
            toml::Value::Boolean(false) => Self::Other("false"),
            toml::Value::Datetime(_) => Self::Other("a date"),
            toml::Value::Array(_) => Self::Other("a list"),
            toml::Value::Table(_) => Self::Other("a table"),
        }
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) | Self::Untyped(text) => f.write_str(text),
            Self::Other(what) => f.write_str(what),
        }
    }
}
