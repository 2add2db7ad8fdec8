//! What is refused, and how it is said.

use super::*;

fn refusal(fields: &str) -> String {
    let json = format!(r#"{{"plan_id":"p","is_taxable":false,{fields}}}"#);
    serde_json::from_str::<PricingPlan>(&json).expect_err(&json).to_string()
}

#[test]
fn texts_have_a_longest_and_a_most() {
    let read = |fields: String| {
        let json = format!(r#"{{"plan_id":"p","is_taxable":false,"currency":"EUR","price":1,{fields}}}"#);
        serde_json::from_str::<PricingPlan>(&json).map_err(|error| error.to_string())
    };
    let texts = |count: usize, length: usize| {
        let text = format!(r#"{{"text":"{}","language":"en"}}"#, "x".repeat(length));
        vec![text; count].join(",")
    };
    for field in ["name", "description"] {
        let of = |count, length| read(format!(r#""{field}":[{}]"#, texts(count, length)));
        assert!(of(64, 4_096).is_ok());
        assert!(of(65, 1).unwrap_err().contains("at most 64 are allowed"));
        assert!(of(1, 4_097).unwrap_err().contains("has at most 4096 bytes"));
    }
    let url = |length: usize| read(format!(r#""url":"{}""#, "x".repeat(length)));
    assert!(url(4_096).is_ok() && url(1).is_ok());
    assert!(url(4_097).unwrap_err().contains("at most 4096 bytes"));
}

#[test]
fn a_refusal_names_the_field_and_its_value() {
    let euro = r#""currency":"EUR","price":1"#;
    for (fields, expected) in [
        (r#""currency":"EUR","price":"-1""#, r#"plan p: price is "-1": a decimal from 0"#),
        (r#""currency":"EUR","price":"0.1234567""#, r#"price is "0.1234567""#),
        (r#""currency":"EUR","price":0.15000000596046448"#, r#"price is "0.15000000596046448""#),
        (r#""currency":"EUR","price":1e300"#, r#"price is "1000"#),
        (r#""currency":"EUR","price":"1000000001""#, r#"price is "1000000001""#),
        (r#""currency":"EUR","price":"1_0""#, r#"price is "1_0""#),
        (r#""currency":"EUR","price":"+1""#, r#"price is "+1""#),
        (r#""currency":"EUR","price":".5""#, r#"price is ".5""#),
        (r#""currency":"EUR","price":"1e2""#, r#"price is "1e2""#),
        (r#""currency":"EUR","price":"""#, r#"price is """#),
        (r#""currency":"EUR","price":true"#, "an amount as a string"),
        (r#""currency":"EURO","price":1"#, r#"currency is "EURO""#),
        (r#""currency":"EUR","price":1,"fare_caping":{}"#, "unknown field `fare_caping`"),
        (r#""currency":"EUR""#, "missing field `price`"),
        (r#""currency":"EUR","price":1,"rounding":"sideways""#, "sideways"),
        (
            r#""currency":"EUR","price":1,"reservation_price_per_min":1,"reservation_price_flat_rate":"2.5""#,
            r#"reservation_price_flat_rate is "2.5": it can't be combined with reservation_price_per_min"#,
        ),
        (r#""currency":"EUR","price":1,"minimum_fare":"-0.01""#, r#"minimum_fare is "-0.01""#),
        (r#""currency":"EUR","price":1,"vat":{"rate":"19","inclusive":true}"#, r#"vat.rate is "19""#),
        (r#""currency":"EUR","price":1,"vat":{"rate":"0.19","inclusive":false}"#, r#"is_taxable is "false""#),
        (
            r#""currency":"EUR","price":1,"fare_capping":{"duration":0,"price":1}"#,
            r#"fare_capping.duration is "0""#,
        ),
        (
            r#""currency":"EUR","price":1,"fare_capping":{"duration":1,"price":-1}"#,
            r#"fare_capping.price is "-1""#,
        ),
    ] {
        let said = refusal(fields);
        assert!(said.contains(expected), "{said}\nwithout\n{expected}");
    }
    for (segment, expected) in [
        (r#"{"start":-5,"rate":1,"interval":1}"#, r#"per_min_pricing[1].start is "-5""#),
        (r#"{"start":0,"rate":1,"interval":-1}"#, r#"per_min_pricing[1].interval is "-1""#),
        (r#"{"start":0,"rate":1,"interval":10000001}"#, r#"per_min_pricing[1].interval is "10000001""#),
        (
            r#"{"start":5,"rate":1,"interval":1,"end":5}"#,
            r#"per_min_pricing[1].end is "5": it must be more than start"#,
        ),
        (r#"{"start":5,"rate":1,"interval":1,"end":-5}"#, r#"per_min_pricing[1].end is "-5""#),
        (r#"{"start":5,"rate":"x","interval":1}"#, r#"per_min_pricing[1].rate is "x""#),
    ] {
        let said =
            refusal(&format!(r#"{euro},"per_min_pricing":[{{"start":0,"rate":1,"interval":1}},{segment}]"#));
        assert!(said.contains(expected), "{said}\nwithout\n{expected}");
    }
    let many = vec![r#"{"start":0,"rate":1,"interval":1}"#; 65].join(",");
    assert!(
        refusal(&format!(r#"{euro},"per_km_pricing":[{many}]"#))
            .contains(r#"per_km_pricing is "65 segments""#)
    );
    let field = PricingPlan::try_from(PlanSpec {
        price: "-1".into(),
        ..PlanSpec::new("p".parse().unwrap(), crate::money::Currency::EUR, Decimal::ONE)
    });
    assert_eq!(field.unwrap_err().field(), "price");
}

#[test]
fn usage_and_surge_are_bounded() {
    let plan = euro(r#""price":1,"fare_capping":{"duration":1,"price":1}"#);
    let negative = Usage { reserved: Span::from_seconds(-5), ..Usage::default() };
    let said = fare(&plan, &negative, Surge::NONE).unwrap_err().to_string();
    assert_eq!(said, "reserved is -5s: a trip can't last less than nothing");
    let long = Usage { ride: Span::from_minutes(100_000), ..Usage::default() };
    assert_eq!(fare(&plan, &long, Surge::NONE), Err(PricingError::TooManyWindows { windows: 100_001 }));
    for bad in ["-0.1", "10.0001", "1.00001"] {
        let factor: Decimal = bad.parse().unwrap();
        assert_eq!(Surge::new(factor), Err(PricingError::SurgeOutOfRange(factor)));
        assert!(serde_json::from_str::<Surge>(&format!("\"{bad}\"")).is_err());
    }
    assert!(Surge::new(Decimal::TEN).is_ok() && Surge::new(Decimal::ZERO).is_ok());
}

/// The largest plan over the largest trip: an answer or an error, at once.
#[test]
fn the_largest_values_neither_panic_nor_hang() {
    let segment = r#"{"start":0,"rate":1000000000,"interval":1}"#;
    let segments = vec![segment; 64].join(",");
    let most = euro(&format!(
        r#""price":1000000000,"surge_pricing":true,"per_min_pricing":[{segments}],"per_km_pricing":[{segments}],
           "vat":{{"rate":1,"inclusive":true}},"reservation_price_per_min":1000000000"#
    ));
    let forever = Usage {
        ride: Span::from_micros(i64::MAX),
        distance_m: u64::MAX,
        reserved: Span::from_micros(i64::MAX),
    };
    assert!(matches!(fare(&most, &forever, surge("10")), Err(PricingError::Overflow(_))));
    // What fits is exact: one cent per kilometre of 2^64 metres, and the kilometre begun.
    let cheap = euro(r#""price":0,"per_km_pricing":[{"start":0,"rate":"0.01","interval":1}]"#);
    let total = fare(&cheap, &Usage { distance_m: u64::MAX, ..Usage::default() }, Surge::NONE).unwrap().total;
    assert_eq!(total.to_minor(), i64::try_from(u64::MAX / 1_000 + 1).unwrap());
}

#[test]
fn numbers_mean_their_shortest_text_and_the_feed_writes_numbers() {
    let written = r#"{"plan_id":"p","currency":"EUR","price":1,"is_taxable":false,
        "per_min_pricing":[{"start":0,"rate":0.1,"interval":1}],"per_km_pricing":[{"start":0,"rate":"0.10","interval":2}]}"#;
    let plan = plan(written);
    assert_eq!(plan.per_minute(), "0.1".parse().unwrap());
    assert_eq!(plan.per_km(), "0.05".parse().unwrap());
    let exact = serde_json::to_value(&plan).unwrap();
    assert_eq!(exact["per_min_pricing"][0]["rate"], "0.1");
    let feed = serde_json::to_value(plan.to_gbfs()).unwrap();
    assert_eq!(feed["per_min_pricing"][0]["rate"], 0.1);
    assert_eq!(feed["price"], 1.0);
    assert!(feed["name"].is_array() && feed["description"].is_array(), "GBFS requires both");
    assert!(feed.get("fare_capping").is_none() && feed.get("vat").is_none());
}

#[test]
fn a_version_is_the_content() {
    let base = r#""price":"1.50","per_min_pricing":[{"start":0,"rate":"0.1","interval":1}]"#;
    let version = euro(base).version();
    assert_eq!(
        version.to_string(),
        "c3de983803810d5c",
        "stored quotes carry it: it must not change by accident"
    );
    assert_eq!(version, version.to_string().parse().unwrap());
    assert_eq!(euro(&base.replace("1.50", "1.5")).version(), version, "the same price, written otherwise");
    let mut seen = vec![version];
    for other in [
        base.replace("1.50", "1.51"),
        base.replace("0.1", "0.01"),
        base.replace(r#""start":0"#, r#""start":1"#),
        base.replace(r#""interval":1"#, r#""interval":1,"end":9"#),
        base.replace("per_min", "per_km"),
        format!(r#"{base},"surge_pricing":true"#),
        format!(r#"{base},"minimum_fare":1"#),
        format!(r#"{base},"rounding":"down""#),
        format!(r#"{base},"reservation_price_per_min":1"#),
        format!(r#"{base},"reservation_price_flat_rate":1"#),
        format!(r#"{base},"fare_capping":{{"duration":60,"price":1}}"#),
        format!(r#"{base},"vat":{{"rate":"0.19","inclusive":true}}"#),
        format!(r#"{base},"name":[{{"text":"City","language":"en"}}]"#),
        format!(r#"{base},"description":[{{"text":"City","language":"en"}}]"#),
    ] {
        let version = euro(&other).version();
        assert!(!seen.contains(&version), "{other}");
        seen.push(version);
    }
    for bad in ["", "00", "+123456789abcdef", "0123456789ABCDEF", "0123456789abcdefg"] {
        assert!(bad.parse::<PlanVersion>().is_err(), "{bad}");
    }
}

#[test]
fn a_catalogue_reads_a_document_or_a_list_and_no_id_twice() {
    let plan = |id: &str| format!(r#"{{"plan_id":"{id}","currency":"EUR","price":1,"is_taxable":false}}"#);
    let (a, b) = (plan("a"), plan("b"));
    let list = format!("[{b},{a}]");
    let document = format!(
        r#"{{"last_updated":"2026-01-31T12:00:00Z","ttl":60,"version":"3.1","data":{{"plans":{list}}}}}"#
    );
    let read = |text: &str| serde_json::from_str::<PlanCatalogue>(text);
    let mut catalogue = read(&document).unwrap();
    assert_eq!(catalogue, read(&list).unwrap());
    let ids: Vec<&str> = catalogue.iter().map(|plan| plan.plan_id().as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(read(&serde_json::to_string(&catalogue).unwrap()).unwrap(), catalogue);
    for (bad, expected) in [
        (format!("[{a},{a}]"), "plan_id a occurs twice"),
        (r#"{"data":{"plans":[]},"data":{"plans":[]}}"#.to_owned(), "duplicate field"),
        (r#"{"data":{"plans":[]},"dota":{}}"#.to_owned(), "unknown field `dota`"),
        (r#"{"ttl":0}"#.to_owned(), "missing field `data`"),
        (r#"{"data":{"plans":{}}}"#.to_owned(), "expected a GBFS"),
        ("7".to_owned(), "expected a GBFS"),
    ] {
        let said = read(&bad).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
    let old = catalogue.insert(super::plan(&a.replace(":1,", ":2,"))).unwrap();
    assert_eq!((old.unlock(), catalogue.len()), (Decimal::ONE, 2));
    assert_eq!(catalogue.get(&"a".parse().unwrap()).unwrap().unlock(), Decimal::TWO);
}
