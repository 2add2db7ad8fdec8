//! Fares worked out by hand.

use super::*;

/// Example 1 of GBFS `system_pricing_plans.json` in its words: 2.00 to start with, 3.00 more at 30 minutes, and from
/// 60 minutes on 0.10 per minute. The step at 30 can be written in two ways that mean the same; as an open-ended
/// segment with an interval of 60 it could not, for that charges its 3.00 again at 90.
#[test]
fn the_golden_fares_of_gbfs_hold() {
    let once = r#"{"start":30,"rate":3,"interval":0}"#;
    let ended = r#"{"start":30,"rate":3,"interval":30,"end":60}"#;
    for step in [once, ended] {
        let plan = plan(&format!(
            r#"{{"plan_id":"plan1","currency":"USD","price":2,"is_taxable":false,
                "per_min_pricing":[{step},{{"start":60,"rate":0.1,"interval":1}}]}}"#
        ));
        for (ride, expected) in
            [(0, "2.00"), (29, "2.00"), (30, "5.00"), (60, "5.10"), (61, "5.20"), (90, "8.10")]
        {
            let fare = fare(&plan, &minutes(ride), Surge::NONE).unwrap();
            assert_eq!(fare.total.to_string(), format!("{expected} USD"), "{ride} min, {step}");
        }
        // An interval begins at an instant, not with a whole minute.
        let just_before = Usage { ride: Span::from_micros(30 * 60_000_000 - 1), ..Usage::default() };
        assert_eq!(fare(&plan, &just_before, Surge::NONE).unwrap().total.to_string(), "2.00 USD");
    }
    let again = euro(
        r#""price":2,"per_min_pricing":[{"start":30,"rate":3,"interval":60},{"start":60,"rate":0.1,"interval":1}]"#,
    );
    assert_eq!(fare(&again, &minutes(90), Surge::NONE).unwrap().total.to_string(), "11.10 EUR");
}

/// The specification's second kind of example: free for 10 km, 1.00 per km up to 25 km, then 0.50 per km and 3.00 more
/// every 5 km, both open-ended and so stacked.
#[test]
fn open_ended_segments_stack() {
    let plan = euro(
        r#""price":2,"per_km_pricing":[{"start":10,"rate":1,"interval":1,"end":25},
           {"start":25,"rate":0.5,"interval":1},{"start":25,"rate":3,"interval":5}]"#,
    );
    for (metres, expected) in [
        (0, "2.00"),
        (9_999, "2.00"),
        (10_000, "3.00"),
        (24_999, "17.00"),
        (25_000, "20.50"),
        (30_000, "26.00"),
    ] {
        let usage = Usage { distance_m: metres, ..Usage::default() };
        assert_eq!(
            fare(&plan, &usage, Surge::NONE).unwrap().total.amount().to_string(),
            expected,
            "{metres} m"
        );
    }
}

const CITY: &str = r#""price":"1.00","surge_pricing":true,"per_min_pricing":[{"start":0,"rate":"0.23","interval":1}],
    "per_km_pricing":[{"start":0,"rate":0,"interval":1,"end":2},{"start":2,"rate":"0.35","interval":1,"end":10},
    {"start":10,"rate":"0.20","interval":1}]"#;
const CAPPED: &str = r#""price":1,"per_min_pricing":[{"start":0,"rate":"0.1","interval":1}],"surge_pricing":true,
    "per_km_pricing":[{"start":0,"rate":"0.5","interval":1}],"fare_capping":{"duration":60,"price":5}"#;

#[test]
// tidy: allow-long-fn one row for each rule of a receipt
fn receipts_worked_out_by_hand() {
    let inclusive = r#","vat":{"rate":"0.19","inclusive":true}"#;
    let city = |more: &str| euro(&format!("{CITY}{more}"));
    let table = [
        // 9:30 min begin 10 minutes; 3.4 km pass 2 and 3.
        (
            city(""),
            trip(570, 3_400, 0),
            Surge::NONE,
            "4.00 EUR (tax 0.00): unlock 1 x 1 -> 1.00, per_min 10 x 0.23 -> 2.30, per_km 2 x 0.35 -> 0.70",
        ),
        (
            city(""),
            trip(570, 12_500, 0),
            surge("2.5"),
            "15.25 EUR (tax 0.00): unlock 1 x 1 -> 1.00, per_min 10 x 0.23 -> 2.30, per_km 8 x 0.35 -> 2.80, \
          per_km 3 x 0.2 -> 0.60, surge 1.5 x 5.7 -> 8.55",
        ),
        // A factor below one is a discount, and none at all is the unlock alone.
        (
            city(""),
            trip(570, 3_400, 0),
            surge("0.5"),
            "2.50 EUR (tax 0.00): unlock 1 x 1 -> 1.00, per_min 10 x 0.23 -> 2.30, per_km 2 x 0.35 -> 0.70, \
          surge -0.5 x 3 -> -1.50",
        ),
        // 4.00 x 0.19 / 1.19 = 0.6387
        (
            city(inclusive),
            trip(570, 3_400, 0),
            Surge::NONE,
            "4.00 EUR (tax 0.64): unlock 1 x 1 -> 1.00, per_min 10 x 0.23 -> 2.30, per_km 2 x 0.35 -> 0.70",
        ),
        // A plan without surge_pricing is never surged.
        (
            euro(r#""price":1,"per_min_pricing":[{"start":0,"rate":1,"interval":1}]"#),
            trip(0, 0, 0),
            surge("3"),
            "2.00 EUR (tax 0.00): unlock 1 x 1 -> 1.00, per_min 1 x 1 -> 1.00",
        ),
        // Half cents: each item up, their sum not.
        (
            euro(r#""price":"0.335","per_min_pricing":[{"start":0,"rate":"0.335","interval":0}]"#),
            trip(0, 0, 0),
            Surge::NONE,
            "0.67 EUR (tax 0.00): unlock 1 x 0.335 -> 0.34, per_min 1 x 0.335 -> 0.34, rounding 1 x -0.01 -> -0.01",
        ),
        // 4:01 min begin 5 minutes of reservation; 5 min sharp are 5.
        (
            euro(r#""price":1,"reservation_price_per_min":"0.05""#),
            trip(0, 0, 241),
            Surge::NONE,
            "1.25 EUR (tax 0.00): unlock 1 x 1 -> 1.00, reservation 5 x 0.05 -> 0.25",
        ),
        (
            euro(r#""price":1,"reservation_price_per_min":"0.05""#),
            trip(0, 0, 300),
            Surge::NONE,
            "1.25 EUR (tax 0.00): unlock 1 x 1 -> 1.00, reservation 5 x 0.05 -> 0.25",
        ),
        (
            euro(r#""price":1,"reservation_price_flat_rate":2"#),
            trip(0, 0, 1),
            Surge::NONE,
            "3.00 EUR (tax 0.00): unlock 1 x 1 -> 1.00, reservation 1 x 2 -> 2.00",
        ),
        (
            euro(r#""price":1,"reservation_price_flat_rate":2"#),
            trip(0, 0, 0),
            Surge::NONE,
            "1.00 EUR (tax 0.00): unlock 1 x 1 -> 1.00",
        ),
        (
            euro(r#""price":"0.5","minimum_fare":3"#),
            trip(0, 0, 0),
            Surge::NONE,
            "3.00 EUR (tax 0.00): unlock 1 x 0.5 -> 0.50, minimum_fare 1 x 2.5 -> 2.50",
        ),
        // A discount never pays out, but it does discount.
        (
            euro(r#""price":1,"per_min_pricing":[{"start":0,"rate":-5,"interval":0}]"#),
            trip(0, 0, 0),
            Surge::NONE,
            "0.00 EUR (tax 0.00): unlock 1 x 1 -> 1.00, per_min 1 x -5 -> -5.00, minimum_fare 1 x 4 -> 4.00",
        ),
        (
            euro(
                r#""price":5,"per_min_pricing":[{"start":0,"rate":"0.1","interval":1},{"start":60,"rate":-2,"interval":0}]"#,
            ),
            trip(3_600, 0, 0),
            Surge::NONE,
            "9.10 EUR (tax 0.00): unlock 1 x 5 -> 5.00, per_min 61 x 0.1 -> 6.10, per_min 1 x -2 -> -2.00",
        ),
        (euro(r#""price":0"#), trip(60, 60, 60), Surge::NONE, "0.00 EUR (tax 0.00): "),
        // The cap: one window; two windows; the reservation beside it; after surge.
        (
            euro(CAPPED),
            trip(1_800, 4_000, 0),
            Surge::NONE,
            "5.00 EUR (tax 0.00): unlock 1 x 1 -> 1.00, per_min 31 x 0.1 -> 3.10, per_km 5 x 0.5 -> 2.50, fare_cap 1 x -1.6 -> -1.60",
        ),
        (
            euro(CAPPED),
            trip(3_660, 4_000, 0),
            Surge::NONE,
            "7.70 EUR (tax 0.00): unlock 1 x 1 -> 1.00, per_min 62 x 0.1 -> 6.20, per_km 5 x 0.5 -> 2.50, fare_cap 1 x -2 -> -2.00",
        ),
        (
            euro(CAPPED),
            trip(3_660, 99_999, 0),
            Surge::NONE,
            "10.00 EUR (tax 0.00): unlock 1 x 1 -> 1.00, per_min 62 x 0.1 -> 6.20, per_km 100 x 0.5 -> 50.00, fare_cap 1 x -47.2 -> -47.20",
        ),
        (
            euro(&format!(r#"{CAPPED},"reservation_price_flat_rate":2"#)),
            trip(1_800, 0, 60),
            surge("2"),
            "7.00 EUR (tax 0.00): unlock 1 x 1 -> 1.00, per_min 31 x 0.1 -> 3.10, per_km 1 x 0.5 -> 0.50, surge 1 x 3.6 -> 3.60, \
          fare_cap 1 x -3.2 -> -3.20, reservation 1 x 2 -> 2.00",
        ),
    ];
    for (plan, usage, surge, expected) in table {
        let fare = fare(&plan, &usage, surge).unwrap();
        assert_eq!(receipt(&fare), expected);
        assert!(sums_to_total(&fare));
    }
}

#[test]
fn vat_is_added_and_rounded_once() {
    let taxed = |rounding: &str| {
        plan(&format!(
            r#"{{"plan_id":"p","currency":"EUR","is_taxable":true,{CITY},"vat":{{"rate":"0.19","inclusive":false}},
                "rounding":"{rounding}"}}"#
        ))
    };
    // (1.00 + 3.00 x 1.5) x 1.19 = 6.545
    for (rounding, expected) in
        [("half_up", "6.55 1.05"), ("half_even", "6.54 1.04"), ("down", "6.54 1.04"), ("up", "6.55 1.05")]
    {
        let fare = fare(&taxed(rounding), &trip(570, 3_400, 0), surge("1.5")).unwrap();
        assert_eq!(format!("{} {}", fare.total.amount(), fare.tax.amount()), expected, "{rounding}");
        assert!(sums_to_total(&fare));
        assert_eq!(fare.line_items.last().map(|item| item.rule), Some(Rule::Vat));
    }
    // VAT comes on top of the minimum.
    let least = plan(
        r#"{"plan_id":"p","currency":"EUR","price":1,"is_taxable":true,"minimum_fare":3,"vat":{"rate":0.1,"inclusive":false}}"#,
    );
    assert_eq!(
        receipt(&fare(&least, &minutes(1), Surge::NONE).unwrap()),
        "3.30 EUR (tax 0.30): unlock 1 x 1 -> 1.00, minimum_fare 1 x 2 -> 2.00, vat 0.1 x 3 -> 0.30"
    );
}

/// A Japanese tariff: 130 yen for the first 30 minutes, 100 per further 15, at most 1,800 per 12 hours of a trip.
#[test]
fn yen_have_no_minor_unit_and_a_cap_repeats() {
    let hello = plan(
        r#"{"plan_id":"hello","currency":"JPY","price":130,"is_taxable":false,
            "per_min_pricing":[{"start":30,"rate":100,"interval":15}],"fare_capping":{"duration":720,"price":1800}}"#,
    );
    for (seconds, expected) in [
        (1_799, "130 JPY"),
        (1_800, "230 JPY"),
        (2_700, "330 JPY"),
        (12 * 3_600 - 1, "1800 JPY"),
        (12 * 3_600, "1900 JPY"),
        (24 * 3_600 - 1, "3600 JPY"),
        (24 * 3_600, "3700 JPY"),
    ] {
        assert_eq!(fare(&hello, &trip(seconds, 0, 0), Surge::NONE).unwrap().total.to_string(), expected);
    }
    let fractions = plan(
        r#"{"plan_id":"p","currency":"JPY","price":"100","is_taxable":true,"vat":{"rate":"0.1","inclusive":false},
            "per_min_pricing":[{"start":0,"rate":"12.5","interval":1}]}"#,
    );
    // 112.5 x 1.1 = 123.75
    assert_eq!(
        receipt(&fare(&fractions, &minutes(0), Surge::NONE).unwrap()),
        "124 JPY (tax 11): unlock 1 x 100 -> 100, per_min 1 x 12.5 -> 13, vat 0.1 x 112.5 -> 11"
    );
}

/// A receipt says whether the tariff or only decency has raised a fare.
#[test]
fn what_raises_a_fare_is_named() {
    let raised = |fields: &str| {
        let fare = fare(&euro(fields), &minutes(0), Surge::NONE).unwrap();
        let item = fare.line_items.iter().find(|item| item.rule == Rule::MinimumFare);
        item.map(|item| item.description.to_string())
    };
    assert_eq!(raised(r#""price":1,"minimum_fare":3"#).as_deref(), Some("minimum fare"));
    assert_eq!(raised(r#""price":3,"minimum_fare":3"#), None);
    let negative = r#""price":1,"per_min_pricing":[{"start":0,"rate":-5,"interval":1}]"#;
    assert_eq!(raised(negative).as_deref(), Some("a fare is never less than nothing"));
}

#[test]
fn a_cap_is_charged_at_most_a_hundred_thousand_times() {
    let plan = euro(r#""price":1,"fare_capping":{"duration":1,"price":5}"#);
    let longest = Usage { ride: Span::from_micros(100_000 * 60_000_000 - 1), ..Usage::default() };
    assert!(fare(&plan, &longest, Surge::NONE).is_ok());
    let longer = fare(&plan, &minutes(100_000), Surge::NONE);
    assert_eq!(longer, Err(PricingError::TooManyWindows { windows: 100_001 }));
}

#[test]
fn a_plan_says_what_riders_read() {
    let said = euro(
        r#""price":1,"name":[{"text":"City","language":"en"}],"description":[{"text":"1 to unlock","language":"en"}],
           "url":"https://example.com/city""#,
    );
    let texts = |texts: &[LocalizedText]| texts.iter().map(|text| text.text.to_string()).collect::<Vec<_>>();
    assert_eq!(
        (texts(said.name()), texts(said.description())),
        (vec!["City".into()], vec!["1 to unlock".into()])
    );
    assert_eq!(said.url(), Some("https://example.com/city"));
    let written = PlanSpec::from(&said);
    assert_eq!(PricingPlan::try_from(written).unwrap(), said, "and what it says is written again");
    let version = said.version();
    assert!(format!("{version:?}").contains(&version.to_string()) && version.to_string().len() > 8);
    assert_eq!(serde_json::to_value(version).unwrap(), version.to_string());
    let silent = euro(r#""price":1"#);
    assert!(silent.name().is_empty() && silent.description().is_empty() && silent.url().is_none());
}

#[test]
fn a_plan_tells_its_terms() {
    let terms = r#""price":1,"per_min_pricing":[{"start":0,"rate":4,"interval":0},{"start":7,"rate":"0.9","interval":3,"end":28}]"#;
    let said = euro(terms);
    let steps = |segment: &Segment| (segment.start(), segment.interval(), segment.end());
    assert_eq!(
        said.per_min_pricing().iter().map(steps).collect::<Vec<_>>(),
        [(0, 0, None), (7, 3, Some(28))]
    );
    assert_eq!(said.per_minute().to_string(), "0.3", "what is charged once is no rate");
    assert!(!said.is_taxable());
    let taxed = r#"{"plan_id":"p","currency":"EUR","price":1,"is_taxable":true,"vat":{"rate":0.1,"inclusive":false}}"#;
    assert!(plan(taxed).is_taxable());
}

/// What GBFS does not know is left out of a public feed, so that readers who are strict can read it.
#[test]
fn a_feed_holds_what_gbfs_knows() {
    let own = euro(r#""price":1,"minimum_fare":3,"rounding":"up","vat":{"rate":0.1,"inclusive":true}"#);
    let feed = serde_json::to_value(PlanSpec::from(&own).into_feed()).unwrap();
    for field in ["minimum_fare", "rounding", "vat"] {
        assert!(feed.get(field).is_none(), "{field}: {feed}");
    }
}

#[test]
fn a_catalogue_is_read_and_counted() {
    let text = r#"{"version":"3.1","data":{"plans":[{"plan_id":"city","currency":"EUR","price":1.5,"is_taxable":false}]}}"#;
    let plans = PlanCatalogue::from_gbfs(&mut serde_json::Deserializer::from_str(text)).unwrap();
    assert_eq!((plans.len(), plans.is_empty()), (1, false));
    assert!(plans.get(&"city".parse().unwrap()).is_some());
    assert_eq!((PlanCatalogue::default().len(), PlanCatalogue::default().is_empty()), (0, true));
}

#[test]
fn dinars_have_three_decimals() {
    let plan = plan(
        r#"{"plan_id":"p","currency":"KWD","price":"0.150","is_taxable":false,
            "per_min_pricing":[{"start":0,"rate":"0.0255","interval":1}]}"#,
    );
    assert_eq!(
        receipt(&fare(&plan, &minutes(2), Surge::NONE).unwrap()),
        "0.227 KWD (tax 0.000): unlock 1 x 0.15 -> 0.150, per_min 3 x 0.0255 -> 0.077"
    );
}

#[test]
fn a_quote_holds_more_than_the_estimate_and_settles_by_its_own_plan() {
    use crate::{machine::Context, policy::Policy, time::Timestamp};
    let mut policy = Policy::default();
    let expires_at = Timestamp::from_unix_seconds(1_700_000_300);
    let make = |plan: PricingPlan, policy: &Policy| {
        let cx = Context::new(Timestamp::from_unix_seconds(1_700_000_000), 7, policy);
        Quote::make(&plan.into(), trip(570, 3_400, 60), surge("1.5"), expires_at, &cx).unwrap()
    };
    let quote = make(euro(CITY), &policy);
    assert_eq!(
        (quote.estimate.to_string().as_str(), quote.hold.to_string().as_str()),
        ("5.50 EUR", "8.25 EUR")
    );
    assert_eq!(quote.plan_version(), quote.plan.version());
    assert_eq!(quote.settle(&quote.usage).unwrap().total, quote.estimate);
    assert_eq!(quote.settle(&trip(0, 0, 0)).unwrap().total.to_string(), "1.35 EUR");
    let json = serde_json::to_string(&quote).unwrap();
    assert_eq!(serde_json::from_str::<Quote>(&json).unwrap(), quote);

    // 0.01 x 1.5 is a cent and a half: up.
    assert_eq!(make(euro(r#""price":"0.01""#), &policy).hold.to_minor(), 2);
    assert_eq!(make(euro(r#""price":0"#), &policy).hold.to_minor(), 0);
    assert_eq!(make(euro(r#""price":1"#), &policy).surge, Surge::NONE);
    policy.hold_headroom = Decimal::new(5, 1);
    assert_eq!(make(euro(r#""price":1"#), &policy).hold.to_minor(), 100);
}
