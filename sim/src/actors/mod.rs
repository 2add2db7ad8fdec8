//! Those who act: vehicles and riders.

pub(crate) mod fleet;
pub(crate) mod rider;
