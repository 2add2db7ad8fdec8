//! What a vehicle is, as the operator registers it.

use serde::{Deserialize, Serialize};

use super::VehicleKey;
use crate::ids::{PlanId, VehicleTypeId};

/// The description of a vehicle that the operator registers, and may later replace as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VehicleSpec {
    /// The operator's type (GBFS `vehicle_type_id`).
    pub vehicle_type: VehicleTypeId,
    /// GBFS `form_factor`.
    pub form_factor: FormFactor,
    /// GBFS `propulsion_type`.
    pub propulsion_type: PropulsionType,
    /// The pricing plan of its rides (GBFS `pricing_plan_id`).
    pub plan_id: PlanId,
    /// How far it goes on a full battery or tank, metres (GBFS `max_range_meters`). None where that says nothing,
    /// as for a vehicle that is pedalled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_range_m: Option<u32>,
    /// The key that its acks are signed with.
    pub key: VehicleKey,
}

/// The general shape of a vehicle: the values of GBFS 3.1 `vehicle_types[].form_factor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FormFactor {
    /// A bicycle.
    Bicycle,
    /// A bicycle for loads.
    CargoBicycle,
    /// A car.
    Car,
    /// A moped.
    Moped,
    /// A kick scooter, ridden standing.
    ScooterStanding,
    /// A kick scooter with a seat; not a moped.
    ScooterSeated,
    /// Any other.
    Other,
}

/// What moves a vehicle: the values of GBFS 3.1 `vehicle_types[].propulsion_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PropulsionType {
    /// Pedals or feet.
    Human,
    /// An electric motor that helps only while the rider pedals.
    ElectricAssist,
    /// A battery's electric motor with a throttle.
    Electric,
    /// A petrol engine.
    Combustion,
    /// A diesel engine.
    CombustionDiesel,
    /// An engine together with a battery's motor.
    Hybrid,
    /// The same, charged from a socket too.
    PlugInHybrid,
    /// An electric motor fed by a hydrogen fuel cell.
    HydrogenFuelCell,
}

impl FormFactor {
    /// Every value, in GBFS's order.
    pub const ALL: [Self; 7] = [
        Self::Bicycle,
        Self::CargoBicycle,
        Self::Car,
        Self::Moped,
        Self::ScooterStanding,
        Self::ScooterSeated,
        Self::Other,
    ];

    /// The value as GBFS spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bicycle => "bicycle",
            Self::CargoBicycle => "cargo_bicycle",
            Self::Car => "car",
            Self::Moped => "moped",
            Self::ScooterStanding => "scooter_standing",
            Self::ScooterSeated => "scooter_seated",
            Self::Other => "other",
        }
    }
}

impl PropulsionType {
    /// Every value, in GBFS's order.
    pub const ALL: [Self; 8] = [
        Self::Human,
        Self::ElectricAssist,
        Self::Electric,
        Self::Combustion,
        Self::CombustionDiesel,
        Self::Hybrid,
        Self::PlugInHybrid,
        Self::HydrogenFuelCell,
    ];

    /// The value as GBFS spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::ElectricAssist => "electric_assist",
            Self::Electric => "electric",
            Self::Combustion => "combustion",
            Self::CombustionDiesel => "combustion_diesel",
            Self::Hybrid => "hybrid",
            Self::PlugInHybrid => "plug_in_hybrid",
            Self::HydrogenFuelCell => "hydrogen_fuel_cell",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_spells_as_gbfs_does() {
        for value in FormFactor::ALL {
            assert_eq!(serde_json::to_string(&value).unwrap(), format!("\"{}\"", value.as_str()));
        }
        for value in PropulsionType::ALL {
            assert_eq!(serde_json::to_string(&value).unwrap(), format!("\"{}\"", value.as_str()));
        }
    }

    #[test]
    fn an_unknown_field_of_a_spec_is_refused() {
        let json = format!(
            r#"{{"vehicle_type":"car","form_factor":"car","propulsion_type":"plug_in_hybrid","plan_id":"p","key":"{}"}}"#,
            "00".repeat(32)
        );
        let spec: VehicleSpec = serde_json::from_str(&json).unwrap();
        assert_eq!(spec.max_range_m, None);
        assert_eq!(serde_json::to_string(&spec).unwrap(), json);
        let error =
            serde_json::from_str::<VehicleSpec>(&json.replacen('{', r#"{"colour":"red","#, 1)).unwrap_err();
        assert!(error.to_string().contains("colour"), "{error}");
    }
}
