//! Each identity is broken once: a check that cannot fail is none.

use serde_json::json;

use super::*;

fn asked() -> Parameters {
    Parameters { store: "memory".into(), faults: "storm".into(), seed: 7 }
}

fn sound() -> Value {
    let percentiles = json!({ "p50": 10, "p95": 20, "p99": 30, "max": 40, "count": 9 });
    json!({
        "parameters": { "version": "0.1.0", "store": "memory", "faults": "storm", "seed": 7 },
        "trips_read": 100,
        "trips_skipped": { "too_short": 6, "no_position": 4 },
        "no_vehicle_nearby": 20,
        "bookings_created": 70,
        "conflicts": 3,
        "bookings_completed": 50,
        "bookings_cancelled": 15,
        "bookings_expired": 5,
        "faults_met": { "vehicle_offline": 2 },
        "money": {
            "authorized": { "USD": "100.10", "EUR": "5" },
            "captured": { "USD": "70.30", "EUR": "5.00" },
            "released": { "USD": "29.80" },
            "refunded": { "USD": "1.00" },
            "open": { "USD": "0.00" },
        },
        "events_published": 900,
        "outbox_pending": 0,
        "audit_violations": 0,
        "latency_us": { "search": percentiles, "reserve": percentiles, "confirm": percentiles,
                        "unlock": percentiles, "end": percentiles },
        "wall_s": 1.5,
        "bookings_per_s": 46.6,
    })
}

fn verdict(path: &str, value: Value) -> String {
    let mut report = sound();
    *report.pointer_mut(path).expect("the path exists") = value;
    match read(&report).and_then(|report| report.verify(&asked())) {
        Ok(()) => "sound".to_owned(),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn a_sound_report_passes() {
    read(&sound()).unwrap().verify(&asked()).unwrap();
}

#[test]
fn every_broken_number_is_found_and_named() {
    for (path, value, named) in [
        ("/parameters/seed", json!(8), "the report is of"),
        ("/parameters/store", json!("sqlite"), "the report is of"),
        ("/trips_read", json!(101), "trips_read is 101, but"),
        ("/trips_skipped/too_short", json!(5), "trips_skipped + no_vehicle_nearby + bookings_created is 99"),
        ("/no_vehicle_nearby", json!(0), "bookings_created is 80"),
        ("/bookings_created", json!(71), "bookings_created is 71, but"),
        ("/bookings_completed", json!(0), "an empty run"),
        ("/bookings_expired", json!(6), "completed + cancelled + expired is 71"),
        ("/outbox_pending", json!(1), "outbox_pending is 1"),
        ("/audit_violations", json!(2), "audit_violations is 2"),
        ("/events_published", json!(0), "events_published is 0"),
        ("/faults_met", json!({}), "a storm without faults"),
        ("/money/authorized/USD", json!("100.11"), "off by 0.01"),
        ("/money/released/USD", json!("29.79"), "off by 0.01"),
        ("/money/open/USD", json!("0.01"), "0.01 is still held"),
        ("/money/refunded/USD", json!("70.31"), "more than captured"),
        ("/money/refunded/USD", json!("-1"), "a sum is negative"),
        ("/money/captured/EUR", json!("five"), "not a decimal amount"),
        ("/money/captured", json!({}), "no money was captured"),
        ("/latency_us/unlock/p95", json!(9), "latency_us.unlock is out of order"),
        ("/latency_us", json!({}), "latency_us has no search"),
        ("/wall_s", json!(0.0), "must be positive"),
        ("/trips_read", json!("100"), "expected u64"),
        ("/trips_read", Value::Null, "expected u64"),
    ] {
        let verdict = verdict(path, value);
        assert!(verdict.contains(named), "{path}: {verdict}");
    }
}

#[test]
fn a_hold_still_open_is_found_even_when_the_sum_agrees() {
    let mut report = sound();
    report["money"]["open"]["USD"] = json!("9.80");
    report["money"]["released"]["USD"] = json!("20.00");
    let error = read(&report).unwrap().verify(&asked()).unwrap_err().to_string();
    assert!(error.contains("9.80 is still held") && !error.contains("off by"), "{error}");
}

#[test]
fn two_runs_may_differ_in_time_only() {
    let mut other = sound();
    other["wall_s"] = json!(99.0);
    other["bookings_per_s"] = json!(1.0);
    other["latency_us"]["end"]["p99"] = json!(31);
    same(&sound(), &other, &[]).unwrap();

    other["money"]["captured"]["USD"] = json!("70.29");
    other["conflicts"] = json!(4);
    let error = same(&sound(), &other, &[]).unwrap_err().to_string();
    assert!(error.contains("2 value(s)") && error.contains("/conflicts: 3 / 4"), "{error}");
    assert!(error.contains("/money/captured/USD"), "{error}");
}

#[test]
fn a_field_that_only_one_run_has_is_a_difference() {
    let mut other = sound();
    other["faults_met"]["lost_ack"] = json!(1);
    assert!(same(&sound(), &other, &[]).is_err());
    assert!(same(&other, &sound(), &[]).is_err());
}

#[test]
fn another_store_may_only_differ_in_its_name() {
    let mut other = sound();
    other["parameters"]["store"] = json!("sqlite");
    assert!(same(&sound(), &other, &[]).is_err());
    same(&sound(), &other, &["store"]).unwrap();
    other["parameters"]["seed"] = json!(8);
    assert!(same(&sound(), &other, &["store"]).is_err());
}
