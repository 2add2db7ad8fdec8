//! The words of GBFS 3.1 `vehicle_types.json` that a fleet file may use.

use rideplane_core::fleet::{FormFactor, PropulsionType};

pub(super) const FORM_FACTOR_RULE: &str =
    "a GBFS form_factor: bicycle, cargo_bicycle, car, moped, scooter_standing, scooter_seated or other";
pub(super) const PROPULSION_TYPE_RULE: &str = "a GBFS propulsion_type: human, electric_assist, electric, combustion, combustion_diesel, hybrid, plug_in_hybrid or hydrogen_fuel_cell";

pub(super) fn form_factor(word: &str) -> Option<FormFactor> {
    FormFactor::ALL.iter().copied().find(|known| known.as_str() == word)
}

pub(super) fn propulsion_type(word: &str) -> Option<PropulsionType> {
    PropulsionType::ALL.iter().copied().find(|known| known.as_str() == word)
}
