//! A GBFS pricing plan and a usage to be charged under it.

use std::sync::Arc;

use rideplane_core::Context;
use rideplane_core::money::Decimal;
use rideplane_core::policy::Policy;
use rideplane_core::pricing::{Fare, PricingPlan, Quote, Surge, Usage, fare};
use rideplane_core::time::{Span, Timestamp};

/// The first line is `RIDE_MICROSECONDS METRES RESERVED_MICROSECONDS SURGE`, the rest a plan. A number that is none
/// counts as its default.
///
/// # Panics
/// When a fare does not add up, or plan or fare do not come back from JSON as they were.
pub fn pricing_plan(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (numbers, json) = text.split_once('\n').unwrap_or(("", &text));
    let Ok(plan) = serde_json::from_str::<PricingPlan>(json) else { return };
    let plan = Arc::new(plan);
    let written = serde_json::to_string(&plan).expect("a plan is written as JSON");
    let read: PricingPlan =
        serde_json::from_str(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!((&read, read.version()), (&*plan, plan.version()));
    let feed = serde_json::to_string(&plan.to_gbfs()).expect("a feed is JSON");
    assert!(serde_json::from_str::<serde_json::Value>(&feed).is_ok());

    let mut numbers = numbers.split(' ');
    let mut number = |default: i64| numbers.next().and_then(|word| word.parse().ok()).unwrap_or(default);
    let (ride, distance_m, reserved) = (number(720_000_000), number(3_400), number(60_000_000));
    let surge = numbers.next().and_then(|word| word.parse::<Decimal>().ok());
    let surge = surge.and_then(|factor| Surge::new(factor).ok()).unwrap_or(Surge::NONE);
    let usage = Usage {
        ride: Span::from_micros(ride),
        distance_m: distance_m.unsigned_abs(),
        reserved: Span::from_micros(reserved),
    };
    // Each window of a cap is charged by itself: years of it are right, and slow.
    if plan.fare_capping().is_some() && ride > 400 * 86_400_000_000 {
        return;
    }
    let charged = fare(&plan, &usage, surge);
    if let Ok(charged) = &charged {
        check(charged, &plan);
        assert_eq!(Ok(charged), fare(&plan, &usage, surge).as_ref());
    }
    let policy = Policy::default();
    let cx = Context::new(Timestamp::from_unix_seconds(1_760_000_000), 1, &policy);
    if let Ok(quote) = Quote::make(&plan, usage, surge, cx.now.plus(policy.quote_ttl), &cx) {
        assert!(quote.hold.to_minor() >= quote.estimate.to_minor());
        let settled = quote.settle(&usage).expect("what was estimated can be charged");
        assert_eq!(settled.total, quote.estimate);
        let json = serde_json::to_string(&quote).expect("a quote is stored as JSON");
        assert_eq!(serde_json::from_str::<Quote>(&json).expect("what was written"), quote);
    }
}

fn check(fare: &Fare, plan: &PricingPlan) {
    let sum: i128 = fare.line_items.iter().map(|item| i128::from(item.amount.to_minor())).sum();
    assert_eq!(sum, i128::from(fare.total.to_minor()), "{fare:?}");
    assert!(fare.total.to_minor() >= 0, "{fare:?}");
    assert!((0..=fare.total.to_minor()).contains(&fare.tax.to_minor()), "{fare:?}");
    assert!(fare.line_items.iter().all(|item| item.amount.currency() == plan.currency()));
    let json = serde_json::to_string(fare).expect("a fare is stored as JSON");
    assert_eq!(serde_json::from_str::<Fare>(&json).expect("what was written"), *fare);
}
