//! What an operator does to vehicles and trips.

use rideplane_core::booking::{Command, Party, journey};
use rideplane_core::charge::Charge;
use rideplane_core::fleet::{self, FormFactor, MaintenanceReason, PropulsionType, Vehicle, VehicleSpec};
use rideplane_core::ids::{BookingId, PlanId, VehicleId, VehicleTypeId, Version};
use rideplane_core::unlock::VehicleKey;
use rideplane_ports::{CommitError, Stored, Telemetry};
use serde::Deserialize;

use crate::execute::{CONFLICT_RETRIES, Extras, Pair, contention};
use crate::search::point;
use crate::view::{BookingView, OperatorVehicleView};
use crate::{App, AppError};

/// A vehicle as the operator registers it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutVehicle {
    /// The operator's type.
    pub vehicle_type: VehicleTypeId,
    /// GBFS `form_factor`.
    pub form_factor: FormFactor,
    /// GBFS `propulsion_type`.
    pub propulsion_type: PropulsionType,
    /// Its pricing plan.
    pub plan_id: PlanId,
    /// The vehicle's public key, hex; may be absent where the host builds the vehicles itself.
    #[serde(default)]
    pub public_key: Option<VehicleKey>,
    /// GBFS `max_range_meters`.
    #[serde(default)]
    pub max_range_meters: Option<u32>,
    /// Degrees.
    #[serde(default)]
    pub lat: Option<f64>,
    /// Degrees.
    #[serde(default)]
    pub lon: Option<f64>,
    /// From 0 to 1.
    #[serde(default)]
    pub current_fuel_percent: Option<Charge>,
    /// Metres.
    #[serde(default)]
    pub current_range_meters: Option<u32>,
}

impl App {
    /// Registers a vehicle, or changes what is known of it.
    ///
    /// # Errors
    /// [`AppError::Invalid`] on an unknown plan, a position that is none, or a missing key.
    pub async fn put_vehicle(
        &self,
        id: &VehicleId,
        put: &PutVehicle,
    ) -> Result<OperatorVehicleView, AppError> {
        if self.settings.plans.get(&put.plan_id).is_none() {
            return Err(AppError::Invalid(format!("plan_id {} is not configured", put.plan_id)));
        }
        let position = match (put.lat, put.lon) {
            (Some(lat), Some(lon)) => Some(point("lat", lat, lon)?),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(AppError::Invalid(
                    "lat and lon belong together: give both or neither".to_owned(),
                ));
            }
        };
        let key = self.key(id, put).await?;
        let spec = VehicleSpec {
            vehicle_type: put.vehicle_type.clone(),
            form_factor: put.form_factor,
            propulsion_type: put.propulsion_type,
            plan_id: put.plan_id.clone(),
            max_range_m: put.max_range_meters,
            key,
        };
        let register = fleet::Command::Register { id: id.clone(), spec };
        let mut vehicle = self.command_vehicle(id, &register).await?;
        let seen = Telemetry {
            vehicle_id: id.clone(),
            position,
            charge: put.current_fuel_percent,
            range_m: put.current_range_meters,
            last_reported: self.now(),
        };
        self.ports.store.record_telemetry(&[seen]).await?;
        // The operator who says where a vehicle stands has seen it: it counts as heard until it falls silent.
        if position.is_some() {
            vehicle = self.command_vehicle(id, &fleet::Command::CameOnline).await?;
        }
        let telemetry = self.ports.store.telemetry(id).await?;
        self.show(&vehicle, telemetry.as_ref()).await;
        Ok(self.view(&vehicle, telemetry))
    }

    /// Takes a vehicle out of service. A booking that waits for it is cancelled; a ride goes on.
    ///
    /// # Errors
    /// As the contract of `POST /operator/vehicles/{id}/maintenance`.
    pub async fn enter_maintenance(&self, id: &VehicleId) -> Result<OperatorVehicleView, AppError> {
        let reason = MaintenanceReason::Operator;
        self.operate(id, &fleet::Command::EnterMaintenance { reason }).await
    }

    /// Puts a vehicle back into service.
    ///
    /// # Errors
    /// As the contract of `POST /operator/vehicles/{id}/in-service`.
    pub async fn enter_service(&self, id: &VehicleId) -> Result<OperatorVehicleView, AppError> {
        self.operate(id, &fleet::Command::EnterService).await
    }

    /// Takes a vehicle out of the fleet for good.
    ///
    /// # Errors
    /// [`AppError::WrongState`] while somebody has it.
    pub async fn retire(&self, id: &VehicleId) -> Result<OperatorVehicleView, AppError> {
        self.operate(id, &fleet::Command::Retire).await
    }

    /// Ends a trip without waiting for the vehicle, which is then taken out of service for a look at it.
    ///
    /// # Errors
    /// [`AppError::WrongState`] when there is no trip.
    pub async fn operator_end_trip(&self, id: BookingId) -> Result<BookingView, AppError> {
        let pair = self.load_pair(id).await?.ok_or(AppError::NotFound)?;
        let command = Command::EndTrip { by: Party::Operator, ride_end_allowed: true };
        let pair = self
            .execute(pair, |pair, cx| journey::decide(&pair.vehicle.state, &pair.booking.state, &command, cx))
            .await?;
        let pair = self.settle_payment(pair).await?;
        Ok(BookingView::new(&pair.booking))
    }

    async fn operate(
        &self,
        id: &VehicleId,
        command: &fleet::Command,
    ) -> Result<OperatorVehicleView, AppError> {
        if self.ports.store.vehicle(id).await?.is_none() {
            return Err(AppError::NotFound);
        }
        let vehicle = self.command_vehicle(id, command).await?;
        self.operator_vehicle(&vehicle).await
    }

    async fn key(&self, id: &VehicleId, put: &PutVehicle) -> Result<VehicleKey, AppError> {
        if let Some(key) = put.public_key {
            return Ok(key);
        }
        if let Some(vehicle) = self.ports.store.vehicle(id).await? {
            return Ok(vehicle.state.spec.key);
        }
        self.ports.link.provision(id).await?.ok_or_else(|| {
            let text = "public_key is missing: give the vehicle's Ed25519 public key, 64 hex digits";
            AppError::Invalid(text.to_owned())
        })
    }

    /// Judges a command on a vehicle, lets the booking that has it follow, and carries out what follows from that.
    pub(crate) async fn command_vehicle(
        &self,
        id: &VehicleId,
        command: &fleet::Command,
    ) -> Result<Stored<Vehicle>, AppError> {
        for _ in 0..CONFLICT_RETRIES {
            let stored = self.ports.store.vehicle(id).await?;
            let version = stored.as_ref().map_or(Version::NONE, |stored| stored.version);
            let before = stored.as_ref().map(|stored| (*stored.state).clone());
            let holder = match before.as_ref().and_then(Vehicle::holder) {
                Some(holder) => self.ports.store.booking(&holder.booking_id).await?,
                None => None,
            };
            let held = holder.as_ref().map(|holder| &*holder.state);
            let outcome = journey::decide_vehicle(&before, held, command, &self.context())?;
            if outcome.is_empty() {
                return stored.ok_or(AppError::NotFound);
            }
            let versions = (version, holder.as_ref().map_or(Version::NONE, |holder| holder.version));
            let paid = held.map(|holder| &holder.payment);
            let committed = self.commit(paid, versions, outcome, Extras::default()).await;
            match committed {
                Ok((vehicle, booking)) => {
                    let vehicle = vehicle.or(stored).ok_or(AppError::NotFound)?;
                    if let Some(booking) = booking {
                        self.settle_payment(Pair { vehicle: vehicle.clone(), booking }).await?;
                    }
                    return Ok(vehicle);
                }
                Err(CommitError::VersionConflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contention())
    }

    async fn operator_vehicle(&self, vehicle: &Stored<Vehicle>) -> Result<OperatorVehicleView, AppError> {
        let telemetry = self.ports.store.telemetry(&vehicle.state.id).await?;
        Ok(self.view(vehicle, telemetry))
    }

    fn view(&self, vehicle: &Stored<Vehicle>, telemetry: Option<Telemetry>) -> OperatorVehicleView {
        let position = telemetry.as_ref().and_then(|telemetry| telemetry.position);
        let spec = &vehicle.state.spec;
        OperatorVehicleView {
            vehicle_id: vehicle.state.id.clone(),
            vehicle_type: spec.vehicle_type.clone(),
            form_factor: spec.form_factor,
            propulsion_type: spec.propulsion_type,
            plan_id: spec.plan_id.clone(),
            status: vehicle.state.status(self.now()).as_str(),
            lat: position.map(|at| at.lat()),
            lon: position.map(|at| at.lon()),
            current_fuel_percent: telemetry.as_ref().and_then(|telemetry| telemetry.charge),
            current_range_meters: telemetry.as_ref().and_then(|telemetry| telemetry.range_m),
            last_reported: telemetry.map(|telemetry| telemetry.last_reported),
            version: vehicle.version,
        }
    }
}
