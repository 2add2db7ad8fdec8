use super::*;
use crate::money::Decimal;
use crate::time::Span;

mod golden;
mod properties;
mod refusals;

fn plan(json: &str) -> PricingPlan {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// A plan of these fields over `"plan_id": "p", "is_taxable": false` in euro.
fn euro(fields: &str) -> PricingPlan {
    plan(&format!(r#"{{"plan_id":"p","currency":"EUR","is_taxable":false,{fields}}}"#))
}

fn minutes(minutes: i64) -> Usage {
    Usage { ride: Span::from_minutes(minutes), ..Usage::default() }
}

fn trip(seconds: i64, distance_m: u64, reserved_seconds: i64) -> Usage {
    Usage { ride: Span::from_seconds(seconds), distance_m, reserved: Span::from_seconds(reserved_seconds) }
}

fn surge(factor: &str) -> Surge {
    Surge::new(factor.parse().unwrap()).unwrap()
}

/// `total (tax) = rule quantity x unit -> amount, ...`
fn receipt(fare: &Fare) -> String {
    let items = fare.line_items.iter().map(|item| {
        let rule = serde_json::to_value(item.rule).unwrap();
        let (quantity, unit) = (item.quantity.normalize(), item.unit_amount.normalize());
        format!("{} {quantity} x {unit} -> {}", rule.as_str().unwrap(), item.amount.amount())
    });
    let items: Vec<String> = items.collect();
    format!("{} (tax {}): {}", fare.total, fare.tax.amount(), items.join(", "))
}

fn sums_to_total(fare: &Fare) -> bool {
    let sum: i64 = fare.line_items.iter().map(|item| item.amount.to_minor()).sum();
    sum == fare.total.to_minor()
        && fare.line_items.iter().all(|item| item.amount.currency() == fare.total.currency())
}
