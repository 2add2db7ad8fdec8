//! A fleet to try things out with.

use rideplane_app::{App, PutVehicle};
use rideplane_core::charge::Charge;
use rideplane_core::ids::{PlanId, VehicleId, VehicleTypeId};

use crate::defaults::{KINDS, VehicleKind};
use crate::lat_lon::LatLon;

/// Vehicles written at a time: the store commits what is waiting together.
pub(crate) const PARALLEL: usize = 256;
/// Metres from the middle within which the vehicles stand.
const RADIUS_M: f64 = 2_500.0;
/// Metres of a degree of latitude.
const DEGREE_M: f64 = 111_195.0;
/// The golden angle spreads any number of points evenly over a disc (Vogel 1979).
const GOLDEN_ANGLE: f64 = 2.399_963_229_728_653;

/// Of every ten vehicles, which of [`KINDS`] each is: five scooters, three e-bikes, two cars.
const MIX: [usize; 10] = [0, 1, 0, 2, 0, 1, 0, 1, 0, 2];

/// The `n`-th vehicle of a demo fleet around a place, the same for the same arguments.
///
/// # Errors
/// When an id or a charge can't be, which the numbers here rule out.
pub fn vehicle(n: u32, count: u32, around: LatLon) -> anyhow::Result<(VehicleId, PutVehicle)> {
    let VehicleKind { name, form_factor, propulsion_type, max_range_m, .. } =
        KINDS[MIX[n as usize % MIX.len()]];
    let distance = RADIUS_M * ((f64::from(n) + 0.5) / f64::from(count)).sqrt();
    let angle = f64::from(n) * GOLDEN_ANGLE;
    let lat = (around.lat() + distance * angle.cos() / DEGREE_M).clamp(-90.0, 90.0);
    let shrink = around.lat().to_radians().cos().max(0.01);
    let lon = around.lon() + distance * angle.sin() / (DEGREE_M * shrink);
    let lon = (lon + 540.0).rem_euclid(360.0) - 180.0;
    let percent = 100 - n.wrapping_mul(37) % 70;
    let charge = Charge::from_fraction(f64::from(percent) / 100.0)?;
    let put = PutVehicle {
        vehicle_type: VehicleTypeId::new(name)?,
        form_factor,
        propulsion_type,
        plan_id: PlanId::new(name)?,
        public_key: None,
        max_range_meters: Some(max_range_m),
        lat: Some(lat),
        lon: Some(lon),
        current_fuel_percent: Some(charge),
        current_range_meters: Some(max_range_m / 100 * percent),
    };
    Ok((VehicleId::new(format!("{}-{:04}", &name[..2], n + 1))?, put))
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
        .buffer_unordered(PARALLEL)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}
