//! Tests of the vehicle machine.

mod model;
mod table;
mod wire;

use super::*;
use crate::ids::{BookingId, Epoch, PlanId, UserId, VehicleId, VehicleTypeId};
use crate::policy::Policy;
use crate::time::{Span, Timestamp};
use crate::{Context, Machine};

/// The instant of every decision of the tables.
const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

fn seconds(after_now: i64) -> Timestamp {
    NOW.plus(Span::from_seconds(after_now))
}

fn booking(n: u128) -> BookingId {
    BookingId::from_uuid(uuid::Uuid::from_u128(n))
}

fn rider(n: u128) -> UserId {
    UserId::new(format!("rider-{n}")).unwrap()
}

fn vehicle_id() -> VehicleId {
    VehicleId::new("sc-001").unwrap()
}

fn spec(max_range_m: u32) -> VehicleSpec {
    VehicleSpec {
        vehicle_type: VehicleTypeId::new("scooter").unwrap(),
        form_factor: FormFactor::ScooterStanding,
        propulsion_type: PropulsionType::Electric,
        plan_id: PlanId::new("standard").unwrap(),
        max_range_m: Some(max_range_m),
        key: VehicleKey::from_bytes([7; 32]),
    }
}

fn decide_at(state: &Option<Vehicle>, command: &Command, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    let policy = Policy::default();
    Vehicle::decide(state, command, &Context::new(now, 1, &policy))
}

fn fold(state: Option<Vehicle>, events: &[Event]) -> Option<Vehicle> {
    events.iter().fold(state, Vehicle::evolve)
}

fn holder(n: u128) -> Holder {
    Holder { booking_id: booking(n), user_id: rider(n), since: seconds(-60) }
}

/// Every kind of state, named; booking 1 is the holder where there is one.
fn states() -> Vec<(String, Option<Vehicle>)> {
    let rentals = [
        ("available", Rental::Available),
        ("reserved by 1", Rental::Reserved(holder(1))),
        ("in use by 1", Rental::InUse(holder(1))),
        ("quarantined until +30s", Rental::Quarantined { until: seconds(30) }),
        ("quarantined until now", Rental::Quarantined { until: NOW }),
    ];
    let presences = [("online", Presence::Online), ("offline", Presence::Offline { since: seconds(-600) })];
    let services = [
        ("in service", Service::InService),
        ("maintenance", Service::Maintenance { reason: MaintenanceReason::Operator }),
        ("retired", Service::Retired),
    ];
    let mut states = vec![("not registered".to_owned(), None)];
    for (service_name, service) in &services {
        for (presence_name, presence) in &presences {
            for (rental_name, rental) in &rentals {
                states.push((
                    format!("{rental_name} / {presence_name} / {service_name}"),
                    Some(Vehicle {
                        id: vehicle_id(),
                        spec: spec(40_000),
                        rental: rental.clone(),
                        presence: presence.clone(),
                        service: service.clone(),
                        epoch: Epoch(4),
                    }),
                ));
            }
        }
    }
    states
}

/// Every kind of command, named.
fn commands() -> Vec<(&'static str, Command)> {
    let until = Some(seconds(45));
    vec![
        ("register", Command::Register { id: vehicle_id(), spec: spec(40_000) }),
        ("register other spec", Command::Register { id: vehicle_id(), spec: spec(10) }),
        ("register other id", Command::Register { id: VehicleId::new("sc-2").unwrap(), spec: spec(40_000) }),
        ("reserve 1", Command::Reserve { booking_id: booking(1), user_id: rider(1) }),
        ("reserve 1 as rider 2", Command::Reserve { booking_id: booking(1), user_id: rider(2) }),
        ("reserve 2", Command::Reserve { booking_id: booking(2), user_id: rider(2) }),
        ("start 1", Command::StartUse { booking_id: booking(1) }),
        ("start 2", Command::StartUse { booking_id: booking(2) }),
        ("release 1", Command::Release { booking_id: booking(1), quarantine_until: None }),
        ("release 1, +45s", Command::Release { booking_id: booking(1), quarantine_until: until }),
        ("release 1, +0s", Command::Release { booking_id: booking(1), quarantine_until: Some(NOW) }),
        ("release 2", Command::Release { booking_id: booking(2), quarantine_until: until }),
        ("end 1", end_use(1, None, false)),
        ("end 1, +45s", end_use(1, until, false)),
        ("end 1, +0s", end_use(1, Some(NOW), false)),
        ("end 1, inspect", end_use(1, None, true)),
        ("end 2, inspect", end_use(2, until, true)),
        ("went offline -300s", Command::WentOffline { last_reported: seconds(-300) }),
        ("went offline +9s", Command::WentOffline { last_reported: seconds(9) }),
        ("came online", Command::CameOnline),
        ("maintenance", Command::EnterMaintenance { reason: MaintenanceReason::Operator }),
        ("maintenance low", Command::EnterMaintenance { reason: MaintenanceReason::LowCharge }),
        ("into service", Command::EnterService),
        ("retire", Command::Retire),
        ("found unlocked", Command::FoundUnlocked),
        ("tick", Command::Tick),
    ]
}

fn end_use(n: u128, quarantine_until: Option<Timestamp>, needs_inspection: bool) -> Command {
    Command::EndUse { booking_id: booking(n), quarantine_until, needs_inspection }
}
