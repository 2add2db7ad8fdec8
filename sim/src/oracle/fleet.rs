//! Vehicles: who has them, which commands may still reach them, and what their bolts did.

use std::collections::BTreeSet;

use rideplane_core::booking::Event;
use rideplane_core::fleet;
use rideplane_core::ids::{BookingId, CommandId, VehicleId};
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{Action, AttemptEvent, CommandClaims};
use rideplane_ports::{Commit, VehicleChange};

use super::{Oracle, Phase, Rule, SERVERS_DIFFER, SKEW};

/// A vehicle as a register: one value, the holder.
#[derive(Clone, Debug, Default)]
pub(super) struct Register {
    version: u64,
    holder: Option<BookingId>,
    /// Who had it last, and may still open it until the quarantine is over.
    before: Option<BookingId>,
    /// Commands that no answer has been heard of.
    out: BTreeSet<CommandId>,
}

/// A command that was really given.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    claims: CommandClaims,
    executed: u32,
    /// The vehicle found its bolt as commanded after a power cut.
    stood: bool,
}

impl Oracle {
    pub(super) fn vehicle_changed(&mut self, change: &VehicleChange, at: Timestamp, now: Timestamp) {
        let id = change.state.id.clone();
        let register = self.fleet.entry(id.clone()).or_default();
        let known = register.version;
        register.version = change.version().0;
        let name = || vec![id.to_string()];
        self.require(Rule::OneHolder, known == change.expected.0, now, name, || {
            format!("a commit on version {} of a vehicle at {known}", change.expected)
        });
        for event in &change.events {
            match event {
                fleet::Event::VehicleReserved { booking_id, .. } => self.reserved(&id, *booking_id, at, now),
                fleet::Event::VehicleUnlocked { booking_id, .. } => {
                    self.holds(&id, *booking_id, "unlocked", now)
                }
                fleet::Event::VehicleLocked { booking_id, .. } => {
                    self.holds(&id, *booking_id, "locked", now);
                    self.vacate(&id, *booking_id);
                }
                fleet::Event::VehicleReleased { booking_id, .. } => {
                    self.holds(&id, *booking_id, "released", now);
                    self.vacate(&id, *booking_id);
                }
                fleet::Event::VehicleRegistered { .. }
                | fleet::Event::VehicleUpdated { .. }
                | fleet::Event::VehicleQuarantineEnded { .. }
                | fleet::Event::VehicleWentOffline { .. }
                | fleet::Event::VehicleCameOnline { .. }
                | fleet::Event::VehicleMaintenanceStarted { .. }
                | fleet::Event::VehicleReturnedToService
                | fleet::Event::VehicleRetired => {}
            }
        }
        let told = change.state.holder().map(|holder| holder.booking_id);
        let known = self.fleet.get(&id).and_then(|register| register.holder);
        self.require(
            Rule::OneHolder,
            told == known,
            now,
            || vec![id.to_string()],
            || format!("the vehicle names {told:?}, its history {known:?}"),
        );
    }

    fn reserved(&mut self, id: &VehicleId, booking: BookingId, at: Timestamp, now: Timestamp) {
        let Some(register) = self.fleet.get_mut(id) else { return };
        let holder = register.holder.replace(booking);
        let out = std::mem::take(&mut register.out);
        let name = || vec![id.to_string(), booking.to_string()];
        self.require(Rule::OneHolder, holder.is_none() || holder == Some(booking), now, name, || {
            format!("{booking} was given the vehicle that {holder:?} has")
        });
        for command in out {
            let expires =
                self.issued.get(&command).map_or(Timestamp::EPOCH, |issued| issued.claims.expires_at);
            let safe = expires.plus(SKEW) <= at.plus(SERVERS_DIFFER);
            self.require(Rule::Quarantine, safe, now, || vec![id.to_string(), booking.to_string()], || {
                format!("given to {booking} while command {command} can still open it until {expires} and the skew")
            });
        }
    }

    fn holds(&mut self, id: &VehicleId, booking: BookingId, what: &str, now: Timestamp) {
        let holder = self.fleet.get(id).and_then(|register| register.holder);
        let name = || vec![id.to_string(), booking.to_string()];
        self.require(Rule::OneHolder, holder == Some(booking), now, name, || {
            format!("{what} for {booking}, held by {holder:?}")
        });
    }

    fn vacate(&mut self, id: &VehicleId, booking: BookingId) {
        if let Some(register) = self.fleet.get_mut(id) {
            register.holder = None;
            register.before = Some(booking);
        }
    }

    /// A booking that lives has its vehicle, and one that is over has not.
    pub(super) fn pair_agrees(&mut self, commit: &Commit, now: Timestamp) {
        for change in &commit.bookings {
            let id = change.state.id;
            let Some(booked) = self.model.bookings.get(&id) else { continue };
            let holder = self.fleet.get(&booked.vehicle).and_then(|register| register.holder);
            let (live, phase) = (booked.is_live(), booked.phase);
            self.require(
                Rule::OneHolder,
                live == (holder == Some(id)),
                now,
                || vec![id.to_string()],
                || format!("the booking is {phase:?}, its vehicle is held by {holder:?}"),
            );
        }
        for change in &commit.vehicles {
            let Some(holder) = change.state.holder() else { continue };
            let live = self.model.bookings.get(&holder.booking_id).is_some_and(super::model::Booked::is_live);
            let name = || vec![change.state.id.to_string(), holder.booking_id.to_string()];
            self.require(Rule::OneHolder, live, now, name, || {
                format!("the vehicle is held by {}, which is not live", holder.booking_id)
            });
        }
    }

    pub(super) fn command_issued(&mut self, claims: &CommandClaims) {
        if let Some(register) = self.fleet.get_mut(&claims.vehicle_id) {
            register.out.insert(claims.command_id);
        }
        let issued = Issued { claims: claims.clone(), executed: 0, stood: false };
        self.issued.insert(claims.command_id, issued);
    }

    pub(super) fn command_over(&mut self, command: CommandId) {
        let vehicle = self.issued.get(&command).map(|issued| issued.claims.vehicle_id.clone());
        if let Some(register) = vehicle.and_then(|id| self.fleet.get_mut(&id)) {
            register.out.remove(&command);
        }
    }

    /// A bolt moved.
    pub(crate) fn bolt_moved(&mut self, vehicle: &VehicleId, claims: &CommandClaims, now: Timestamp) {
        let register = self.fleet.get(vehicle).cloned().unwrap_or_default();
        let mut wrong = Vec::new();
        match self.issued.get_mut(&claims.command_id) {
            Some(issued) => {
                issued.executed += 1;
                if issued.claims != *claims {
                    wrong.push("it obeyed a command that differs from the one that was given".to_owned());
                }
                if issued.executed > 1 {
                    wrong.push(format!(
                        "it carried command {} out {} times",
                        claims.command_id, issued.executed
                    ));
                }
            }
            None => wrong.push("it obeyed a command that nobody gave".to_owned()),
        }
        if claims.vehicle_id != *vehicle {
            wrong.push("it obeyed another vehicle's command".to_owned());
        }
        if now > claims.expires_at.plus(SKEW) {
            wrong.push(format!("it obeyed a command that expired at {}", claims.expires_at));
        }
        if claims.action == Action::Unlock {
            let holder = register.holder;
            let leaving = holder.is_none() && register.before == Some(claims.booking_id);
            if holder != Some(claims.booking_id) && !leaving {
                wrong.push(format!("it opened for {}, held by {holder:?}", claims.booking_id));
            }
        }
        self.check(Rule::Unlock);
        for found in wrong {
            self.broken(Rule::Unlock, now, vec![vehicle.to_string(), claims.booking_id.to_string()], found);
        }
    }

    /// The vehicle lost power in a command and finds its bolt as commanded, by an earlier command of the same rider.
    pub(crate) fn bolt_stood(&mut self, claims: &CommandClaims) {
        if let Some(issued) = self.issued.get_mut(&claims.command_id) {
            issued.stood = true;
        }
    }

    /// A trip begins: the commit must hold the ack of a command that the vehicle really carried out.
    pub(super) fn trip_started(&mut self, id: BookingId, events: &[Event], now: Timestamp) {
        let acked = events.iter().find_map(|event| match event {
            Event::Command(AttemptEvent::Acknowledged(done) | AttemptEvent::LateAcknowledged(done))
                if done.action == Action::Unlock =>
            {
                Some(done.command_id)
            }
            Event::Command(_)
            | Event::Created(_)
            | Event::Reservation(_)
            | Event::Reclaimed { .. }
            | Event::Payment(_)
            | Event::TripStarted { .. }
            | Event::TripEnded(_) => None,
        });
        let issued = acked.and_then(|command| self.issued.get(&command));
        let wrong = match issued {
            None => Some("a trip began without the vehicle's ack".to_owned()),
            Some(issued) if issued.claims.booking_id != id => Some("by another booking's command".to_owned()),
            Some(issued) if issued.executed == 0 && !issued.stood => {
                Some("a trip began, but the lock never opened".to_owned())
            }
            Some(_) => None,
        };
        let phase = self.model.bookings.get(&id).map(|booked| booked.phase);
        self.check(Rule::TripStart);
        let early = (phase != Some(Phase::Confirmed)).then(|| format!("a trip began while {phase:?}"));
        for found in wrong.into_iter().chain(early) {
            self.broken(Rule::TripStart, now, vec![id.to_string()], found);
        }
        if let Some(command) = acked {
            self.trip_began_by(command, id, now);
        }
    }

    /// Who holds a vehicle, as its history says.
    pub(crate) fn holder_of(&self, vehicle: &VehicleId) -> Option<BookingId> {
        self.fleet.get(vehicle).and_then(|register| register.holder)
    }
}
