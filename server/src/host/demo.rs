//! A fleet to try things out with.

use rideplane_app::{App, PutVehicle};
use rideplane_core::charge::Charge;
use rideplane_core::fleet::{FormFactor, PropulsionType};
use rideplane_core::ids::{PlanId, VehicleId, VehicleTypeId};

use crate::lat_lon::LatLon;

/// Metres from the middle within which the vehicles stand.
const RADIUS_M: f64 = 2_500.0;
/// Metres of a degree of latitude.
const DEGREE_M: f64 = 111_195.0;
/// The golden angle spreads any number of points evenly over a disc (Vogel 1979).
const GOLDEN_ANGLE: f64 = 2.399_963_229_728_653;

/// What a demo fleet is made of: every ten vehicles, five scooters, three e-bikes and two cars.
const KINDS: [(&str, &str, FormFactor, PropulsionType, u32); 10] =
    [SCOOTER, EBIKE, SCOOTER, CAR, SCOOTER, EBIKE, SCOOTER, EBIKE, SCOOTER, CAR];
const SCOOTER: (&str, &str, FormFactor, PropulsionType, u32) =
    ("scooter", "sc", FormFactor::ScooterStanding, PropulsionType::Electric, 40_000);
const EBIKE: (&str, &str, FormFactor, PropulsionType, u32) =
    ("ebike", "eb", FormFactor::Bicycle, PropulsionType::ElectricAssist, 80_000);
const CAR: (&str, &str, FormFactor, PropulsionType, u32) =
    ("car", "ca", FormFactor::Car, PropulsionType::Electric, 300_000);

/// The `n`-th vehicle of a demo fleet around a place, the same for the same arguments.
///
/// # Errors
/// When an id or a charge can't be, which the numbers here rule out.
pub fn vehicle(n: u32, count: u32, around: LatLon) -> anyhow::Result<(VehicleId, PutVehicle)> {
    let (kind, prefix, form_factor, propulsion_type, max_range_m) = KINDS[n as usize % KINDS.len()];
    let distance = RADIUS_M * ((f64::from(n) + 0.5) / f64::from(count)).sqrt();
    let angle = f64::from(n) * GOLDEN_ANGLE;
    let lat = (around.lat() + distance * angle.cos() / DEGREE_M).clamp(-90.0, 90.0);
    let shrink = around.lat().to_radians().cos().max(0.01);
    let lon = around.lon() + distance * angle.sin() / (DEGREE_M * shrink);
    let lon = (lon + 540.0).rem_euclid(360.0) - 180.0;
    let percent = 100 - n.wrapping_mul(37) % 70;
    let charge = Charge::from_fraction(f64::from(percent) / 100.0)?;
    let put = PutVehicle {
        vehicle_type: VehicleTypeId::new(kind)?,
        form_factor,
        propulsion_type,
        plan_id: PlanId::new(kind)?,
        public_key: None,
        max_range_meters: Some(max_range_m),
        lat: Some(lat),
        lon: Some(lon),
        current_fuel_percent: Some(charge),
        current_range_meters: Some(max_range_m / 100 * percent),
    };
    Ok((VehicleId::new(format!("{prefix}-{:04}", n + 1))?, put))
}

/// Makes a demo fleet.
///
/// # Errors
/// When the store can't take it.
pub async fn make(app: &App, count: u32, around: LatLon) -> anyhow::Result<()> {
    use futures_util::{StreamExt as _, TryStreamExt as _, stream};
    stream::iter(0..count)
        .map(|n| async move {
            let (id, put) = vehicle(n, count, around)?;
            app.put_vehicle(&id, &put).await?;
            anyhow::Ok(())
        })
        .buffer_unordered(64)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}
