//! The fleet at the beginning: as many vehicles as asked for, where riders will look for them.

use std::sync::Arc;

use rideplane_app::PutVehicle;
use rideplane_core::charge::Charge;
use rideplane_core::ids::VehicleId;
use rideplane_core::time::Timestamp;
use rideplane_ports::{FromVehicle, Telemetry};
use tokio::task::JoinSet;

use super::Env;
use super::scope::Scope;
use crate::defaults::{KINDS, VehicleKind};
use crate::replay::faults::Dice;
use crate::replay::trips::{Point, Trip};

/// One vehicle for this many trips, about three a day on the trips that come with Rideplane: few enough to be missed.
const TRIPS_PER_VEHICLE: u64 = 20;

/// Vehicles are registered this many at a time.
const BATCH: u64 = 64;

/// How far from a pick-up a vehicle stands at most, in degrees of latitude: about 220 m.
const SPREAD: f64 = 0.002;

/// How many vehicles suit so many trips.
pub(super) fn size(trips: usize) -> u64 {
    (trips as u64 / TRIPS_PER_VEHICLE).max(20)
}

/// Registers the vehicles.
pub(super) async fn place(
    env: &Arc<Env>,
    size: u64,
    trips: &[Trip],
    at: Timestamp,
) -> anyhow::Result<Vec<VehicleId>> {
    let mut ids = Vec::new();
    let mut all = JoinSet::new();
    for n in 0..size {
        let dice = Dice::new(env.seed, n).nth(0x0066_6c65_6574);
        let trip = trips.get((dice.bits("trip") % trips.len().max(1) as u64) as usize);
        let Some(trip) = trip else { break };
        let position = near(trip.pickup, dice)?;
        let kind = kind(trip, dice);
        let id = VehicleId::new(format!("{}-{n:05}", kind.name))?;
        ids.push(id.clone());
        let env = Arc::clone(env);
        let register = async move {
            let charge = Charge::from_basis_points(5_000 + (dice.bits("charge") % 5_001) as u16);
            env.world.place(&id, position, charge)?;
            let put = PutVehicle {
                vehicle_type: kind.name.parse()?,
                form_factor: kind.form_factor,
                propulsion_type: kind.propulsion_type,
                plan_id: kind.name.parse()?,
                public_key: None,
                max_range_meters: Some(kind.max_range_m),
                lat: Some(position.lat()),
                lon: Some(position.lon()),
                current_fuel_percent: Some(charge),
                current_range_meters: Some((f64::from(kind.max_range_m) * charge.as_fraction()) as u32),
            };
            env.world.app.put_vehicle(&id, &put).await?;
            // A vehicle is offered once it has been heard of.
            let first = Telemetry {
                vehicle_id: id,
                position: Some(position),
                charge: Some(charge),
                range_m: put.current_range_meters,
                last_reported: at,
            };
            env.world.app.vehicle_said(&FromVehicle::Telemetry(first)).await?;
            anyhow::Ok(())
        };
        all.spawn(Scope::new(at, dice).run(register));
        if n % BATCH == BATCH - 1 {
            finish(&mut all).await?;
        }
    }
    finish(&mut all).await?;
    Ok(ids)
}

async fn finish(all: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(done) = all.join_next().await {
        done??;
    }
    Ok(())
}

/// The type of a vehicle: what the trip asks for, else by the usual shares.
fn kind(trip: &Trip, dice: Dice) -> VehicleKind {
    let named =
        trip.vehicle_type.as_ref().and_then(|name| KINDS.iter().find(|kind| kind.name == name.as_str()));
    if let Some(kind) = named {
        return *kind;
    }
    let mut percent = (dice.bits("kind") % 100) as u8;
    for kind in KINDS {
        if percent < kind.percent {
            return kind;
        }
        percent -= kind.percent;
    }
    KINDS[0]
}

fn near(place: Point, dice: Dice) -> anyhow::Result<Point> {
    let shift = |purpose| (dice.roll(purpose) - 0.5) * 2.0 * SPREAD;
    let lat = (place.lat() + shift("lat")).clamp(-90.0, 90.0);
    let lon = (place.lon() + shift("lon")).clamp(-180.0, 180.0);
    Ok(Point::new(lat, lon)?)
}
