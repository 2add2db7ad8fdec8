//! Time as a value: instants in UTC microseconds and spans between them.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// An instant: microseconds since 1970-01-01T00:00:00Z, leap seconds ignored (POSIX time).
/// On the wire RFC 3339 in UTC, with as many fractional digits as are needed. There is none that can't be written: whatever
/// lies before [`Timestamp::MIN`] or after [`Timestamp::MAX`] is taken for these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A length of time in microseconds; negative when it points to the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(i64);

/// A text that is not an RFC 3339 instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an RFC 3339 time such as 2026-01-31T12:00:00Z")]
pub struct InvalidTimestamp {
    text: String,
}

impl Timestamp {
    /// The earliest instant that can be written: 0000-01-01T00:00:00Z, as years of RFC 3339 have four digits.
    pub const MIN: Self = Self(-62_167_219_200_000_000);
    /// The latest instant that can be written: 9999-12-30T22:00:00.999999Z, the end of RFC 3339 here.
    pub const MAX: Self = Self(253_402_207_200_999_999);
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// From microseconds since the Unix epoch, saturating.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }

    /// From microseconds since the Unix epoch; `None` outside [`MIN`](Self::MIN) to [`MAX`](Self::MAX).
    #[must_use]
    pub const fn try_from_micros(micros: i64) -> Option<Self> {
        let instant = Self::from_micros(micros);
        if instant.0 == micros { Some(instant) } else { None }
    }

    /// From whole seconds since the Unix epoch, saturating.
    #[must_use]
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self::from_micros(seconds.saturating_mul(1_000_000))
    }

    /// From whole seconds since the Unix epoch; `None` outside [`MIN`](Self::MIN) to [`MAX`](Self::MAX).
    #[must_use]
    pub const fn try_from_unix_seconds(seconds: i64) -> Option<Self> {
        match seconds.checked_mul(1_000_000) {
            Some(micros) => Self::try_from_micros(micros),
            None => None,
        }
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded towards the past.
    #[must_use]
    pub const fn as_unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The span from `earlier` to `self`, saturating.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// This instant moved by `span`, saturating at the ends of the range.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self::from_micros(self.0.saturating_add(span.0))
    }

    /// This instant moved back by `span`, saturating at the ends of the range.
    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self::from_micros(self.0.saturating_sub(span.0))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From microseconds.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds, saturating.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// From whole seconds, saturating.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// From whole minutes, saturating.
    #[must_use]
    pub const fn from_minutes(minutes: i64) -> Self {
        Self::from_seconds(minutes.saturating_mul(60))
    }

    /// Microseconds.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds, rounded towards the past.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The sum, saturating.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// `times` as long, saturating.
    #[must_use]
    pub const fn times(self, times: i64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not `from_microsecond`, which ends at the last whole second: the last instants could be read and not written.
        let nanos = i32::try_from(self.0.rem_euclid(1_000_000).saturating_mul(1_000)).unwrap_or(0);
        let instant = jiff::Timestamp::new(self.as_unix_seconds(), nanos).unwrap_or(jiff::Timestamp::MAX);
        fmt::Display::fmt(&instant, f)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>()
            .ok()
            .and_then(|instant| Self::try_from_micros(instant.as_microsecond()))
            .ok_or_else(|| InvalidTimestamp { text: text.chars().take(64).collect() })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.as_seconds())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time such as 2026-01-31T12:00:00Z")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_instants_read_and_write() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2016-02-29T23:59:59.5Z", 1_456_790_399_500_000),
            ("1969-12-31T23:59:59.999999Z", -1),
        ] {
            assert_eq!(text.parse::<Timestamp>(), Ok(Timestamp(micros)));
            assert_eq!(Timestamp(micros).to_string(), text);
        }
        assert_eq!(
            "2026-01-31T13:00:00+01:00".parse::<Timestamp>().unwrap().to_string(),
            "2026-01-31T12:00:00Z"
        );
        assert!("tomorrow".parse::<Timestamp>().is_err());
        assert!("2026-01-31T13:00:00".parse::<Timestamp>().is_err());
        let error = serde_json::from_str::<Timestamp>("7").unwrap_err().to_string();
        assert!(error.contains("an RFC 3339 time such as"), "{error}");
    }

    #[test]
    fn the_first_and_the_last_instant_survive_the_wire() {
        for (instant, text) in
            [(Timestamp::MIN, "0000-01-01T00:00:00Z"), (Timestamp::MAX, "9999-12-30T22:00:00.999999Z")]
        {
            assert_eq!(instant.to_string(), text);
            assert_eq!(text.parse(), Ok(instant));
        }
        for text in ["-000001-12-31T23:59:59Z", "9999-12-31T00:00:00Z", "+010000-01-01T00:00:00Z"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_leads_beyond_the_first_and_the_last_instant() {
        assert_eq!(Timestamp::try_from_unix_seconds(-1), Some(Timestamp(-1_000_000)));
        let span = Span::from_micros(1);
        assert_eq!((Timestamp::MAX.plus(span), Timestamp::MIN.minus(span)), (Timestamp::MAX, Timestamp::MIN));
        assert_eq!(Timestamp::MAX.minus(Span(i64::MIN)), Timestamp::MAX);
        for (far, end) in [(i64::MAX, Timestamp::MAX), (i64::MIN, Timestamp::MIN)] {
            assert_eq!((Timestamp::from_micros(far), Timestamp::from_unix_seconds(far)), (end, end));
            assert_eq!(Timestamp::try_from_micros(far), None);
            assert_eq!(Timestamp::try_from_micros(end.0), Some(end));
            assert_eq!(Timestamp::try_from_unix_seconds(far), None);
            assert_eq!(Timestamp::try_from_unix_seconds(far / 10_000_000), None);
        }
    }

    proptest! {
        #[test]
        fn every_instant_survives_the_wire(
            micros in prop_oneof![Timestamp::MIN.0..=Timestamp::MAX.0, any::<i64>()],
        ) {
            let instant = Timestamp::from_micros(micros);
            let json = serde_json::to_string(&instant).unwrap();
            prop_assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), instant);
        }
    }
}
