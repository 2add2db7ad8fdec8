//! Properties, and a second evaluator to differ from: one that walks every minute and kilometre of the trip.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::exact::round_ratio;
use super::*;
use crate::machine::Context;
use crate::money::{Currency, Money, Rounding};
use crate::policy::Policy;
use crate::time::Timestamp;

const MINUTE: i64 = 60_000_000;

#[derive(Clone, Debug)]
struct Step {
    start: i64,
    interval: i64,
    end: Option<i64>,
    /// Thousandths of a major unit.
    rate: i64,
}

#[derive(Clone, Debug)]
struct Tariff {
    currency: &'static str,
    price: i64,
    minutes: Vec<Step>,
    kilometres: Vec<Step>,
    surges: bool,
    cap: Option<(i64, i64)>,
    per_minute_reserved: Option<i64>,
    flat: Option<i64>,
    least: i64,
    vat: Option<(i64, bool)>,
    rounding: Rounding,
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![Just(None), (1_i64..90).prop_map(Some)];
    (prop_oneof![0_i64..10, 0_i64..90], 0_i64..20, end, -400_i64..2_000).prop_map(
        |(start, interval, length, rate)| Step {
            start,
            interval,
            end: length.map(|length| start + length),
            rate,
        },
    )
}

fn tariff() -> impl Strategy<Value = Tariff> {
    let steps = || prop::collection::vec(step(), 0..4);
    let modes = [Rounding::HalfUp, Rounding::HalfEven, Rounding::Down, Rounding::Up];
    let base =
        (prop::sample::select(vec!["EUR", "JPY", "KWD"]), 0_i64..9_000, steps(), steps(), any::<bool>());
    let extras = (
        prop::option::of((1_i64..120, 0_i64..12_000)),
        prop_oneof![
            Just((None, None)),
            (0_i64..500).prop_map(|p| (Some(p), None)),
            (0_i64..500).prop_map(|p| (None, Some(p)))
        ],
        prop_oneof![Just(0_i64), 0_i64..20_000],
        prop::option::of((0_i64..1_000, any::<bool>())),
        prop::sample::select(modes.to_vec()),
    );
    (base, extras).prop_map(
        |((currency, price, minutes, kilometres, surges), (cap, reserved, least, vat, rounding))| {
            let (per_minute_reserved, flat) = reserved;
            Tariff {
                currency,
                price,
                minutes,
                kilometres,
                surges,
                cap,
                per_minute_reserved,
                flat,
                least,
                vat,
                rounding,
            }
        },
    )
}

/// Any trip of up to five hours; or a short one of whole minutes and kilometres, where the boundaries are.
fn usage() -> impl Strategy<Value = Usage> {
    let any = (0_i64..300 * MINUTE, 0_u64..120_000, 0_i64..20 * MINUTE);
    let sharp = (0_i64..40, 0_u64..40, 0_i64..4)
        .prop_map(|(ride, km, reserved)| (ride * MINUTE, km * 1_000, reserved * MINUTE));
    prop_oneof![any, sharp].prop_map(|(ride, distance_m, reserved)| Usage {
        ride: Span::from_micros(ride),
        distance_m,
        reserved: Span::from_micros(reserved),
    })
}

impl Tariff {
    fn plan(&self) -> PricingPlan {
        let milli = |amount: i64| Amount::from(Decimal::new(amount, 3));
        let segments = |steps: &[Step]| {
            let segment = |step: &Step| SegmentSpec {
                start: step.start,
                rate: milli(step.rate),
                interval: step.interval,
                end: step.end,
            };
            steps.iter().map(segment).collect()
        };
        let spec = PlanSpec {
            reservation_price_per_min: self.per_minute_reserved.map(milli),
            reservation_price_flat_rate: self.flat.map(milli),
            is_taxable: self.vat.is_some_and(|(_, inclusive)| !inclusive),
            per_min_pricing: segments(&self.minutes),
            per_km_pricing: segments(&self.kilometres),
            surge_pricing: self.surges,
            fare_capping: self.cap.map(|(duration, price)| FareCappingSpec { duration, price: milli(price) }),
            vat: self.vat.map(|(rate, inclusive)| VatSpec { rate: milli(rate), inclusive }),
            minimum_fare: Some(milli(self.least)),
            rounding: Some(self.rounding),
            ..PlanSpec::new("p".parse().unwrap(), self.currency.parse().unwrap(), Decimal::new(self.price, 3))
        };
        spec.try_into().unwrap()
    }

    /// The total and the tax, from the rules as the module's documentation states them.
    fn walk(&self, usage: &Usage, surge: i64) -> (Money, Money) {
        let surge = if self.surges { Decimal::new(surge, 2) } else { Decimal::ONE };
        let milli = |amount: i64| Decimal::new(amount, 3);
        let charged = |steps: &[Step], at: i64| -> Decimal {
            let due = |step: &&Step| {
                let further = at - step.start;
                further >= 0
                    && step.end.is_none_or(|end| at < end)
                    && if step.interval == 0 { further == 0 } else { further % step.interval == 0 }
            };
            steps.iter().filter(due).map(|step| milli(step.rate) * surge).sum()
        };
        let mut kilometres = Decimal::ZERO;
        for km in 0..=i64::try_from(usage.distance_m / 1_000).unwrap() {
            kilometres += charged(&self.kilometres, km);
        }
        let duration = self.cap.map_or(i64::MAX, |(duration, _)| duration);
        let last = usage.ride.as_micros() / MINUTE;
        let mut windows = vec![Decimal::ZERO; usize::try_from(last / duration).unwrap() + 1];
        windows[0] += milli(self.price);
        for minute in 0..=last {
            windows[usize::try_from(minute / duration).unwrap()] += charged(&self.minutes, minute);
        }
        let mut sum: Decimal = match self.cap {
            None => windows.iter().sum::<Decimal>() + kilometres,
            Some((_, most)) => {
                let kept: Decimal = windows.iter().map(|window| (*window).min(milli(most))).sum();
                (kept + kilometres).min(milli(most) * Decimal::from(windows.len()))
            }
        };
        if let Some(price) = self.per_minute_reserved {
            let mut left = usage.reserved.as_micros();
            while left > 0 {
                sum += milli(price);
                left -= MINUTE;
            }
        }
        if usage.reserved > Span::ZERO {
            sum += milli(self.flat.unwrap_or(0));
        }
        sum = sum.max(milli(self.least));
        let currency: Currency = self.currency.parse().unwrap();
        let round = |amount| Money::round(amount, currency, self.rounding).unwrap();
        match self.vat {
            None => (round(sum), Money::zero(currency)),
            Some((rate, false)) => (round(sum + sum * milli(rate)), round(sum * milli(rate))),
            Some((rate, true)) => {
                let total = round(sum);
                (total, round(total.amount() * milli(rate) / (Decimal::ONE + milli(rate))))
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_fare_is_what_walking_the_trip_gives(tariff in tariff(), usage in usage(), surge in 0_i64..=1_000) {
        let fare = fare(&tariff.plan(), &usage, Surge::new(Decimal::new(surge, 2)).unwrap()).unwrap();
        prop_assert_eq!((fare.total, fare.tax), tariff.walk(&usage, surge));
    }

    #[test]
    fn a_receipt_sums_to_the_total_and_explains_each_amount(tariff in tariff(), usage in usage(), surge in 0_i64..=1_000) {
        let plan = tariff.plan();
        let fare = fare(&plan, &usage, Surge::new(Decimal::new(surge, 2)).unwrap()).unwrap();
        prop_assert!(sums_to_total(&fare), "{}", receipt(&fare));
        prop_assert!(fare.total.to_minor() >= 0 && fare.tax.to_minor() >= 0 && fare.tax.to_minor() <= fare.total.to_minor());
        prop_assert!(fare.line_items.is_sorted_by_key(|item| item.rule));
        for item in &fare.line_items {
            let explained = Money::round(item.quantity * item.unit_amount, plan.currency(), plan.rounding()).unwrap();
            prop_assert_eq!(item.amount, explained, "{:?}", item);
        }
    }

    #[test]
    fn plans_quotes_and_fares_survive_the_wire(tariff in tariff(), usage in usage(), surge in 0_i64..=1_000) {
        let plan = Arc::new(tariff.plan());
        let json = serde_json::to_string(&plan).unwrap();
        let back: PricingPlan = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&back, plan.as_ref());
        prop_assert_eq!(back.version(), plan.version());
        // The public feed names the same prices.
        let feed: PricingPlan = serde_json::from_str(&serde_json::to_string(&plan.to_gbfs()).unwrap()).unwrap();
        prop_assert_eq!(feed.per_min_pricing(), plan.per_min_pricing());
        prop_assert_eq!((feed.unlock(), feed.reservation(), feed.fare_capping()), (plan.unlock(), plan.reservation(), plan.fare_capping()));

        let policy = Policy::default();
        let cx = Context::new(Timestamp::EPOCH, 1, &policy);
        let surge = Surge::new(Decimal::new(surge, 2)).unwrap();
        let quote = Quote::make(&plan, usage, surge, Timestamp::from_unix_seconds(1), &cx).unwrap();
        let back: Quote = serde_json::from_str(&serde_json::to_string(&quote).unwrap()).unwrap();
        prop_assert_eq!(back.plan_version(), plan.version());
        prop_assert_eq!(&back, &quote);
        prop_assert!(quote.hold.to_minor() >= quote.estimate.to_minor());
        prop_assert_eq!(quote.hold.is_zero(), quote.estimate.is_zero());
        let fare = quote.settle(&usage).unwrap();
        prop_assert_eq!(fare.total, quote.estimate);
        prop_assert_eq!(serde_json::from_str::<Fare>(&serde_json::to_string(&fare).unwrap()).unwrap(), fare);
    }

}

proptest! {
    #[test]
    fn nothing_that_can_be_written_panics(
        numbers in prop::collection::vec(prop_oneof![-3_i64..100, Just(i64::MIN), Just(i64::MAX), Just(10_000_000), any::<i64>()], 8),
        amounts in prop::collection::vec(prop_oneof!["-?[0-9]{1,12}(\\.[0-9]{1,7})?", ".{0,40}", Just("1000000000".to_owned())], 6),
        ride in any::<i64>(), distance_m in any::<u64>(), reserved in any::<i64>(), surge in 0_i64..=1_000,
    ) {
        let amount = |i: usize| Amount::from(amounts[i].as_str());
        let segment = |i: usize| SegmentSpec { start: numbers[i], interval: numbers[i + 1], end: Some(numbers[i + 2]), rate: amount(i / 3) };
        let spec = PlanSpec {
            price: amount(2),
            per_min_pricing: vec![segment(0)],
            per_km_pricing: vec![SegmentSpec { end: None, ..segment(3) }],
            fare_capping: Some(FareCappingSpec { duration: numbers[6].saturating_abs(), price: amount(3) }),
            minimum_fare: Some(amount(4)),
            surge_pricing: true,
            reservation_price_per_min: Some(amount(5)),
            ..PlanSpec::new("p".parse().unwrap(), Currency::EUR, Decimal::ONE)
        };
        let usage = Usage { ride: Span::from_micros(ride), distance_m, reserved: Span::from_micros(reserved) };
        if let Ok(plan) = PricingPlan::try_from(spec)
            && let Ok(fare) = fare(&plan, &usage, Surge::new(Decimal::new(surge, 2)).unwrap())
        {
            prop_assert!(sums_to_total(&fare));
        }
    }

    #[test]
    fn any_valid_plan_over_any_usage_answers(
        steps in prop::collection::vec((0_i64..=10_000_000, 0_i64..=10_000_000, -1_000_000_000_000_000_i64..=1_000_000_000_000_000), 1..64),
        ride in 0_i64..=i64::MAX, distance_m in any::<u64>(), reserved in 0_i64..=i64::MAX, surge in 0_i64..=100_000,
    ) {
        let segments: Vec<SegmentSpec> = steps.iter()
            .map(|&(start, interval, rate)| SegmentSpec { start, interval, end: None, rate: Decimal::new(rate, 6).into() })
            .collect();
        let plan = PricingPlan::try_from(PlanSpec {
            per_min_pricing: segments.clone(),
            per_km_pricing: segments,
            surge_pricing: true,
            is_taxable: true,
            vat: Some(VatSpec { rate: "0.190001".into(), inclusive: false }),
            ..PlanSpec::new("p".parse().unwrap(), "KWD".parse().unwrap(), Decimal::ONE)
        }).unwrap();
        let usage = Usage { ride: Span::from_micros(ride), distance_m, reserved: Span::from_micros(reserved) };
        match fare(&plan, &usage, Surge::new(Decimal::new(surge, 4)).unwrap()) {
            Ok(fare) => prop_assert!(sums_to_total(&fare)),
            Err(error) => prop_assert!(matches!(error, PricingError::Overflow(_)), "{error}"),
        }
    }

    #[test]
    fn rounding_is_that_of_money(value in any::<i64>(), places in 0_u32..8, mode in 0_usize..4) {
        let mode = [Rounding::HalfUp, Rounding::HalfEven, Rounding::Down, Rounding::Up][mode];
        let exact = Decimal::from_i128_with_scale(value.into(), places + 2);
        let money = Money::round(exact, Currency::EUR, mode).unwrap();
        prop_assert_eq!(round_ratio(value.into(), 10_i128.pow(places), mode), Some(money.to_minor()));
        let half = i128::from(value) * 2 + 1;
        let exact = Decimal::from_i128_with_scale(half * 5, 3);
        prop_assert_eq!(round_ratio(half, 2, mode), Money::round(exact, Currency::EUR, mode).ok().map(Money::to_minor));
    }
}
