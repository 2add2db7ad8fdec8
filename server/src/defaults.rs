//! What a fresh installation offers: vehicle types and pricing plans.

use rideplane_core::fleet::{FormFactor, PropulsionType};
use rideplane_core::money::Currency;
use rideplane_core::pricing::PlanCatalogue;
use rideplane_core::time::Span;
use serde_json::json;

/// What a fresh installation charges in.
pub const CURRENCY: Currency = Currency::EUR;

/// After so many failures in a row a port is left alone,
pub const BREAKER_FAILURES: u32 = 3;
/// for this long.
pub const BREAKER_OPEN: Span = Span::from_seconds(5);

/// A vehicle type that a made-up fleet has. Its plan has the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VehicleKind {
    /// Both `vehicle_type_id` and `plan_id`.
    pub name: &'static str,
    /// GBFS `form_factor`.
    pub form_factor: FormFactor,
    /// GBFS `propulsion_type`.
    pub propulsion_type: PropulsionType,
    /// GBFS `max_range_meters`.
    pub max_range_m: u32,
    /// Of a hundred vehicles, how many are of it.
    pub percent: u8,
}

/// The types of a made-up fleet; their percentages sum to 100.
pub const KINDS: [VehicleKind; 3] = [
    VehicleKind {
        name: "scooter",
        form_factor: FormFactor::ScooterStanding,
        propulsion_type: PropulsionType::Electric,
        max_range_m: 40_000,
        percent: 45,
    },
    VehicleKind {
        name: "ebike",
        form_factor: FormFactor::Bicycle,
        propulsion_type: PropulsionType::ElectricAssist,
        max_range_m: 80_000,
        percent: 30,
    },
    VehicleKind {
        name: "car",
        form_factor: FormFactor::Car,
        propulsion_type: PropulsionType::Electric,
        max_range_m: 300_000,
        percent: 25,
    },
];

/// The plans of a fresh installation, one for each of [`KINDS`], VAT of 19 % included.
///
/// # Errors
/// Never for a currency with two decimals; the plans are checked like any others.
///
/// ```
/// use rideplane::defaults::{KINDS, default_plans};
/// use rideplane_core::money::Currency;
/// let plans = default_plans(Currency::EUR)?;
/// assert!(KINDS.iter().all(|kind| plans.get(&kind.name.parse().unwrap()).is_some()));
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn default_plans(currency: Currency) -> Result<PlanCatalogue, serde_json::Error> {
    let text = |text: &str| json!([{ "text": text, "language": "en" }]);
    // What riders see is what they pay: the opposite of `is_taxable`.
    let vat = json!({ "rate": "0.19", "inclusive": true });
    let plans = json!([
        {
            "plan_id": "scooter", "name": text("Scooter"), "currency": currency.code(), "is_taxable": false,
            "price": "1.00", "per_min_pricing": [{ "start": 0, "rate": "0.23", "interval": 1 }],
            "fare_capping": { "duration": 1440, "price": "35.00" }, "surge_pricing": true, "vat": vat,
            "description": text("1.00 to unlock, 0.23 a minute, at most 35.00 a day"),
        },
        {
            "plan_id": "ebike", "name": text("E-bike"), "currency": currency.code(), "is_taxable": false,
            "price": "1.00", "per_min_pricing": [{ "start": 0, "rate": "0.17", "interval": 1 }],
            "fare_capping": { "duration": 1440, "price": "29.00" }, "surge_pricing": true, "vat": vat,
            "description": text("1.00 to unlock, 0.17 a minute, at most 29.00 a day"),
        },
        {
            "plan_id": "car", "name": text("Car"), "currency": currency.code(), "is_taxable": false,
            "price": "0", "minimum_fare": "3.00", "reservation_price_per_min": "0.05",
            "per_min_pricing": [{ "start": 0, "rate": "0.19", "interval": 1 }],
            "per_km_pricing": [{ "start": 0, "rate": "0.25", "interval": 1 }],
            "surge_pricing": true, "vat": vat,
            "description": text("0.19 a minute and 0.25 a kilometre, at least 3.00, 0.05 for each minute reserved"),
        },
    ]);
    serde_json::from_value(plans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_plan() {
        let plans = default_plans(Currency::USD).unwrap();
        assert_eq!(plans.len(), KINDS.len());
        for kind in KINDS {
            let plan = plans.get(&kind.name.parse().unwrap()).unwrap();
            assert_eq!(plan.currency(), Currency::USD);
            assert_eq!(plan.vat().map(|vat| vat.inclusive()), Some(!plan.is_taxable()));
        }
        assert_eq!(KINDS.iter().map(|kind| u32::from(kind.percent)).sum::<u32>(), 100);
    }
}
