//! The vehicle machine: who holds a vehicle, whether it answers, and whether it may be hired.
//!
//! Three questions about a vehicle have independent answers, so the state keeps them apart:
//!
//! | Axis | Values | Changed by |
//! |---|---|---|
//! | [`Rental`] | available, reserved, in use, quarantined | bookings |
//! | [`Presence`] | online, offline | the vehicle's own reports, or their absence |
//! | [`Service`] | in service, maintenance, retired | the operator and what is found on the street |
//!
//! The single `status` that others see is derived from the three ([`wire`]), in our own words
//! ([`WireStatus`]), in those of MDS 2.0 ([`MdsState`], [`mds_events`]) and in those of GBFS 3.1 ([`GbfsFlags`]).
//!
//! [`Vehicle::epoch`] is the fence. It rises with every change of holder and travels in every command to the
//! vehicle, so a command that was made for an earlier holder is refused by the vehicle itself. Until a command of
//! the last epoch has surely expired a released vehicle is quarantined: nobody may hire it.
//!
//! A vehicle starts offline: it may be hired once it has reported for the first time ([`Command::CameOnline`]).
//!
//! ```
//! use rideplane_core::fleet::{Command, FormFactor, PropulsionType, Vehicle, VehicleKey, VehicleSpec, WireStatus};
//! use rideplane_core::ids::{BookingId, PlanId, UserId, VehicleId, VehicleTypeId};
//! use rideplane_core::{Context, Machine, policy::Policy, time::Timestamp};
//!
//! let policy = Policy::default();
//! let cx = Context::new(Timestamp::from_unix_seconds(1_700_000_000), 7, &policy);
//! let mut state: Option<Vehicle> = None;
//! let spec = VehicleSpec {
//!     vehicle_type: VehicleTypeId::new("scooter")?,
//!     form_factor: FormFactor::ScooterStanding,
//!     propulsion_type: PropulsionType::Electric,
//!     plan_id: PlanId::new("standard")?,
//!     max_range_m: Some(40_000),
//!     key: VehicleKey::from_bytes([7; 32]),
//! };
//! let booking_id = BookingId::from_uuid(cx.uuid(0));
//! for command in [
//!     Command::Register { id: VehicleId::new("sc-001")?, spec },
//!     Command::CameOnline,
//!     Command::Reserve { booking_id, user_id: UserId::new("ada")? },
//! ] {
//!     for event in Vehicle::decide(&state, &command, &cx)? {
//!         state = Vehicle::evolve(state, &event);
//!     }
//! }
//! assert_eq!(state.map(|vehicle| vehicle.status(cx.now)), Some(WireStatus::Reserved));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decide;
mod mds_gbfs;
mod message;
mod spec;
mod vehicle;

#[cfg(test)]
mod tests;

pub use crate::unlock::VehicleKey;
pub use mds_gbfs::{GbfsFlags, MdsEventType, MdsState, Wire, WireStatus, mds_events, wire};
pub use message::{Command, Event, Rejection, Unavailability};
pub use spec::{FormFactor, PropulsionType, VehicleSpec};
pub use vehicle::{DeadlineReason, Holder, MaintenanceReason, Presence, Rental, Service, Vehicle};
