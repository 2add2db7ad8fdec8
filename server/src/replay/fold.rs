//! Folding: years of trips laid into one week or day, so that they compete for vehicles.

use rideplane_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::trips::Trip;

/// How trips are laid onto the replay's time line.
///
/// Weekday and time of day are those of the UTC time in the log; nothing is shifted to a local zone. (The
/// Chicago export writes the local wall clock as if it were UTC, so that its evenings are evenings here.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fold {
    /// All trips in one week, each on its weekday at its time of day.
    #[default]
    Week,
    /// All trips in one day, each at its time of day.
    Day,
    /// Each trip when it happened.
    None,
}

/// Where folded weeks and days begin: Monday, 2024-01-01T00:00:00Z.
pub const REFERENCE: Timestamp = Timestamp::from_unix_seconds(1_704_067_200);

const DAY: Span = Span::from_seconds(86_400);
const WEEK: Span = Span::from_seconds(7 * 86_400);

impl Fold {
    /// The name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Week => "week",
            Self::Day => "day",
            Self::None => "none",
        }
    }

    /// The length of the folded time line, if it has one.
    #[must_use]
    pub const fn period(self) -> Option<Span> {
        match self {
            Self::Week => Some(WEEK),
            Self::Day => Some(DAY),
            Self::None => None,
        }
    }

    /// Where an instant comes to lie.
    ///
    /// ```
    /// use rideplane::replay::fold::Fold;
    /// // A Tuesday in 2013 becomes the Tuesday of the reference week.
    /// let tuesday = "2013-10-01T02:15:00Z".parse()?;
    /// assert_eq!(Fold::Week.place(tuesday).to_string(), "2024-01-02T02:15:00Z");
    /// assert_eq!(Fold::Day.place(tuesday).to_string(), "2024-01-01T02:15:00Z");
    /// assert_eq!(Fold::None.place(tuesday), tuesday);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn place(self, at: Timestamp) -> Timestamp {
        match self.period() {
            // The reference is a Monday midnight: the remainder keeps weekday and time of day.
            Some(period) => {
                let past = at.since(REFERENCE).as_micros().rem_euclid(period.as_micros());
                REFERENCE.plus(Span::from_micros(past))
            }
            None => at,
        }
    }

    /// Lays trips onto the time line, in order of time, trips of one instant in order of their rows.
    #[must_use]
    pub fn lay(self, mut trips: Vec<Trip>) -> Vec<Trip> {
        for trip in &mut trips {
            trip.started_at = self.place(trip.started_at);
        }
        trips.sort_by_key(|trip| (trip.started_at, trip.index));
        trips
    }
}

impl std::fmt::Display for Fold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::trips::{DistanceSource, Point};
    use super::*;

    fn trip(index: u64, micros: i64) -> Trip {
        let place = Point::new(41.9, -87.6).unwrap();
        Trip {
            index,
            trip_id: None,
            started_at: Timestamp::from_micros(micros),
            duration: Span::from_minutes(5),
            distance_m: 900,
            distance_source: DistanceSource::Recorded,
            pickup: place,
            dropoff: place,
            vehicle_type: None,
        }
    }

    /// Weekday and time of day from the calendar library, which knows nothing of our remainder.
    fn calendar(at: Timestamp) -> (jiff::civil::Weekday, jiff::civil::Time) {
        let civil = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap();
        let civil = jiff::tz::Offset::UTC.to_datetime(civil);
        (civil.weekday(), civil.time())
    }

    #[test]
    fn the_reference_is_the_monday_it_says() {
        assert_eq!(REFERENCE.to_string(), "2024-01-01T00:00:00Z");
        assert_eq!(calendar(REFERENCE).0, jiff::civil::Weekday::Monday);
    }

    proptest! {
        #[test]
        fn a_week_keeps_weekday_and_time_and_a_day_keeps_time(micros in -2_000_000_000_000_000_i64..4_000_000_000_000_000) {
            let at = Timestamp::from_micros(micros);
            let (week, day) = (Fold::Week.place(at), Fold::Day.place(at));
            prop_assert_eq!(calendar(week), calendar(at));
            prop_assert_eq!(calendar(day).1, calendar(at).1);
            prop_assert!((REFERENCE..REFERENCE.plus(WEEK)).contains(&week));
            prop_assert!((REFERENCE..REFERENCE.plus(DAY)).contains(&day));
            prop_assert_eq!(Fold::Week.place(week), week);
            prop_assert_eq!(Fold::Day.place(week), day);
        }

        #[test]
        fn laying_loses_no_trip_and_orders_by_time_then_row(starts in proptest::collection::vec(0_i64..40, 0..60)) {
            // Days apart by whole weeks, so that many instants coincide once folded.
            let trips: Vec<Trip> = starts
                .iter()
                .zip(1..)
                .map(|(start, index)| trip(index, start / 4 * WEEK.as_micros() + start % 4 * 1_000_000))
                .collect();
            for fold in [Fold::Week, Fold::Day, Fold::None] {
                // Whatever the order they come in.
                let laid = fold.lay(trips.iter().rev().cloned().collect());
                prop_assert!(laid.is_sorted_by(|a, b| (a.started_at, a.index) < (b.started_at, b.index)));
                let mut rows: Vec<u64> = laid.iter().map(|trip| trip.index).collect();
                rows.sort_unstable();
                prop_assert!(rows.into_iter().eq(1..=trips.len() as u64));
                for trip in &laid {
                    let before = &trips[trip.index as usize - 1];
                    prop_assert_eq!(trip.started_at, fold.place(before.started_at));
                    prop_assert_eq!(trip.duration, before.duration);
                }
            }
        }
    }
}
