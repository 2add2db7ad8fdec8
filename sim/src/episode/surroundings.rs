//! What goes on around the riders: an operator, and trouble that nobody asked for.

use rideplane_core::booking::Status;
use rideplane_core::fleet::Service;
use rideplane_core::ids::BookingId;
use rideplane_core::time::{Span, Timestamp};
use rideplane_ports::{Store as _, VehicleRecord};

use super::{Episode, S, now_or_never};
use crate::coverage::Task;
use crate::faults::Fault;
use crate::net::{Happening, Owner, Part};
use crate::trace::{Line, name};

impl Episode {
    /// The operator ends rides that nobody ends, and brings inspected vehicles back.
    pub(super) fn operate(&mut self) {
        let calm = self.net().is_calm();
        let wait = if calm { 30 * S } else { self.rng.between(60 * S, 300 * S) };
        self.net().after(wait, Happening::Operate);
        let Some(server) = self.any_server() else { return };
        let now = self.net().now();
        let patience = Span::from_minutes(if calm { 5 } else { 12 });
        for (id, started) in self.long_rides() {
            if started.plus(patience) <= now {
                let app = self.shared.app(server);
                self.spawn(Owner::Server(server), Task::Operator, async move {
                    drop(app.operator_end_trip(id).await);
                });
            }
        }
        for record in self.vehicles() {
            let Some(n) = self.shared.fleet.number(&record.vehicle.state.id) else { continue };
            let held = record.vehicle.state.holder().is_some();
            let withdrawn = match record.vehicle.state.service {
                Service::Maintenance { .. } => true,
                Service::InService | Service::Retired => false,
            };
            let (app, id) = (self.shared.app(server), record.vehicle.state.id.clone());
            if withdrawn && !held {
                self.shared.fleet.lock_by_hand(n);
                self.spawn(Owner::Server(server), Task::Operator, async move {
                    drop(app.enter_service(&id).await);
                });
            } else if !calm && self.rng.chance(20) {
                self.spawn(Owner::Server(server), Task::Operator, async move {
                    drop(app.enter_maintenance(&id).await);
                });
            }
        }
    }

    pub(super) fn vehicles(&self) -> Vec<VehicleRecord> {
        now_or_never(self.shared.truth.vehicles(None, 100)).and_then(Result::ok).unwrap_or_default()
    }

    fn long_rides(&self) -> Vec<(BookingId, Timestamp)> {
        let riding = self.vehicles();
        riding
            .iter()
            .filter_map(|record| record.vehicle.state.holder())
            .filter_map(|holder| {
                let oracle = self.shared.oracle.lock();
                let active = oracle.status_of(holder.booking_id) == Some(Status::Active);
                active.then_some((holder.booking_id, holder.since))
            })
            .collect()
    }

    /// What goes wrong without being asked for: partitions, clocks, radios.
    pub(super) fn trouble(&mut self) {
        if self.net().is_calm() {
            return;
        }
        let wait = self.rng.between(10 * S, 60 * S);
        self.net().after(wait, Happening::Trouble);
        self.net().join_all();
        let server = self.rng.below(self.size.servers as u64) as usize;
        let vehicle = self.rng.below(self.size.vehicles as u64) as usize;
        if self.net().strikes(Fault::Partition) {
            let parts = [
                (Part::Server(server), Part::Store),
                (Part::Server(server), Part::Provider),
                (Part::Server(server), Part::Broker),
                (Part::Server(server), Part::Bus),
                (Part::Server(server), Part::Signer),
                (Part::Server(server), Part::Notifier),
                (Part::Server(server), Part::Search),
                (Part::Riders, Part::Server(server)),
                (Part::Broker, Part::Vehicle(vehicle)),
            ];
            let (one, other) = self.rng.pick(&parts);
            self.net().set_apart(one, other);
            self.net().note(|| Line::between(name(one), name(other), "partition"));
        }
        if self.net().strikes(Fault::Clock) {
            let offset = self.rng.between(-2 * S, 2 * S);
            self.net().set_clock(server, offset);
            self.shared.fleet.drift(vehicle);
        }
        if self.net().strikes(Fault::NoNetwork) {
            self.shared.fleet.set_online(vehicle, false);
            let wait = self.rng.between(20 * S, 1_200 * S);
            self.net().after(wait, Happening::NetworkBack(vehicle));
        }
    }
}
