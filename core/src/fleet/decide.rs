//! The vehicle machine.

use super::{
    Command, DeadlineReason, Event, Holder, MaintenanceReason, Presence, Rejection, Rental, Service, Vehicle,
    VehicleSpec,
};
use crate::ids::{BookingId, Epoch, UserId, VehicleId};
use crate::machine::{Context, Machine};
use crate::time::Timestamp;

type Decision = Result<Vec<Event>, Rejection>;

const NOTHING: Decision = Ok(Vec::new());

impl Machine for Vehicle {
    /// `None` until the vehicle is registered.
    type State = Option<Self>;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;
    type DeadlineReason = DeadlineReason;

    fn decide(state: &Option<Self>, command: &Command, cx: &Context<'_>) -> Decision {
        match state {
            None => unregistered(command, cx),
            Some(vehicle) => vehicle.judge(command, cx),
        }
    }

    fn apply(state: &mut Option<Self>, event: &Event) {
        match state {
            None => *state = created(event),
            Some(vehicle) => vehicle.become_after(event),
        }
    }

    fn next_deadline(state: &Option<Self>) -> Option<(Timestamp, DeadlineReason)> {
        state.as_ref()?.deadline()
    }
}

fn unregistered(command: &Command, cx: &Context<'_>) -> Decision {
    match command {
        Command::Register { id, spec } => {
            Ok(vec![Event::VehicleRegistered { id: id.clone(), spec: spec.clone(), at: cx.now }])
        }
        Command::Reserve { .. }
        | Command::StartUse { .. }
        | Command::Release { .. }
        | Command::EndUse { .. }
        | Command::WentOffline { .. }
        | Command::CameOnline
        | Command::EnterMaintenance { .. }
        | Command::EnterService
        | Command::Retire
        | Command::FoundUnlocked
        | Command::Tick => Err(Rejection::NotRegistered),
    }
}

/// What becomes of the rental when its holder leaves.
fn vacated(quarantined_until: Option<Timestamp>) -> Rental {
    match quarantined_until {
        Some(until) => Rental::Quarantined { until },
        None => Rental::Available,
    }
}

impl Vehicle {
    /// [`next_deadline`](Machine::next_deadline) of a vehicle that is registered.
    #[must_use]
    pub const fn deadline(&self) -> Option<(Timestamp, DeadlineReason)> {
        match &self.rental {
            Rental::Quarantined { until } => Some((*until, DeadlineReason::QuarantineEnds)),
            Rental::Available | Rental::Reserved(_) | Rental::InUse(_) => None,
        }
    }

    /// The judgement of a vehicle that is registered.
    pub(crate) fn judge(&self, command: &Command, cx: &Context<'_>) -> Decision {
        match self.service {
            Service::InService | Service::Maintenance { .. } => self.commissioned(command, cx),
            Service::Retired => self.retired(command, cx),
        }
    }

    /// In service or in maintenance.
    fn commissioned(&self, command: &Command, cx: &Context<'_>) -> Decision {
        match command {
            Command::Register { id, spec } => self.register(id, spec),
            Command::Reserve { booking_id, user_id } => self.reserve(*booking_id, user_id, cx.now),
            Command::StartUse { booking_id } => self.start_use(*booking_id, cx.now),
            Command::Release { booking_id, quarantine_until } => {
                self.release(*booking_id, *quarantine_until, cx.now)
            }
            Command::EndUse { booking_id, quarantine_until, needs_inspection } => {
                self.end_use(*booking_id, *quarantine_until, *needs_inspection, cx.now)
            }
            Command::WentOffline { last_reported } => self.went_offline(*last_reported, cx.now),
            Command::CameOnline => self.came_online(cx.now),
            Command::EnterMaintenance { reason } => match self.service {
                Service::Maintenance { reason: standing } if standing == *reason => NOTHING,
                Service::InService | Service::Maintenance { .. } | Service::Retired => {
                    Ok(vec![Event::VehicleMaintenanceStarted { reason: *reason }])
                }
            },
            Command::EnterService => match self.service {
                Service::Maintenance { .. } => Ok(vec![Event::VehicleReturnedToService]),
                Service::InService | Service::Retired => NOTHING,
            },
            Command::Retire => match self.holder() {
                Some(holder) => {
                    Err(Rejection::Held { vehicle_id: self.id.clone(), booking_id: holder.booking_id })
                }
                None => Ok(vec![Event::VehicleRetired]),
            },
            Command::FoundUnlocked => match self.rental {
                Rental::InUse(_) => NOTHING,
                Rental::Available | Rental::Reserved(_) | Rental::Quarantined { .. } => {
                    Ok(self.withdrawn(MaintenanceReason::FoundUnlocked).into_iter().collect())
                }
            },
            Command::Tick => Ok(self.quarantine_ended(cx.now).into_iter().collect()),
        }
    }

    fn retired(&self, command: &Command, cx: &Context<'_>) -> Decision {
        match command {
            Command::Register { .. }
            | Command::Reserve { .. }
            | Command::StartUse { .. }
            | Command::EnterMaintenance { .. }
            | Command::EnterService
            | Command::FoundUnlocked => Err(Rejection::Retired { vehicle_id: self.id.clone() }),
            Command::Release { booking_id, quarantine_until } => {
                self.release(*booking_id, *quarantine_until, cx.now)
            }
            Command::EndUse { booking_id, quarantine_until, needs_inspection } => {
                self.end_use(*booking_id, *quarantine_until, *needs_inspection, cx.now)
            }
            Command::WentOffline { last_reported } => self.went_offline(*last_reported, cx.now),
            Command::CameOnline => self.came_online(cx.now),
            Command::Retire => NOTHING,
            Command::Tick => Ok(self.quarantine_ended(cx.now).into_iter().collect()),
        }
    }

    fn register(&self, id: &VehicleId, spec: &VehicleSpec) -> Decision {
        if *id != self.id {
            return Err(Rejection::OtherVehicle { vehicle_id: self.id.clone(), asked: id.clone() });
        }
        if *spec == self.spec { NOTHING } else { Ok(vec![Event::VehicleUpdated { spec: spec.clone() }]) }
    }

    fn reserve(&self, booking_id: BookingId, user_id: &UserId, now: Timestamp) -> Decision {
        if self.holder().is_some_and(|holder| holder.booking_id == booking_id && holder.user_id == *user_id) {
            return NOTHING;
        }
        if let Some(why) = self.unavailability(now) {
            return Err(Rejection::Unavailable { vehicle_id: self.id.clone(), why });
        }
        // A quarantine that no Tick has ended yet ends here, so that readers of the events see it end.
        let mut events: Vec<Event> = self.quarantine_ended(now).into_iter().collect();
        events.push(Event::VehicleReserved {
            booking_id,
            user_id: user_id.clone(),
            epoch: self.epoch.next(),
            at: now,
        });
        Ok(events)
    }

    fn start_use(&self, booking_id: BookingId, now: Timestamp) -> Decision {
        match &self.rental {
            Rental::Reserved(holder) if holder.booking_id == booking_id => {
                Ok(vec![Event::VehicleUnlocked { booking_id, at: now }])
            }
            Rental::InUse(holder) if holder.booking_id == booking_id => NOTHING,
            Rental::Available | Rental::Reserved(_) | Rental::InUse(_) | Rental::Quarantined { .. } => {
                Err(Rejection::NotHolder { vehicle_id: self.id.clone(), booking_id })
            }
        }
    }

    fn release(&self, booking_id: BookingId, until: Option<Timestamp>, now: Timestamp) -> Decision {
        match &self.rental {
            Rental::Reserved(holder) if holder.booking_id == booking_id => Ok(vec![Event::VehicleReleased {
                booking_id,
                epoch: self.epoch.next(),
                at: now,
                quarantined_until: until.filter(|until| *until > now),
            }]),
            Rental::InUse(holder) if holder.booking_id == booking_id => {
                Err(Rejection::InUse { vehicle_id: self.id.clone(), booking_id })
            }
            Rental::Available | Rental::Reserved(_) | Rental::InUse(_) | Rental::Quarantined { .. } => {
                NOTHING
            }
        }
    }

    fn end_use(
        &self,
        booking_id: BookingId,
        until: Option<Timestamp>,
        needs_inspection: bool,
        now: Timestamp,
    ) -> Decision {
        match &self.rental {
            Rental::InUse(holder) if holder.booking_id == booking_id => {
                let mut events = vec![Event::VehicleLocked {
                    booking_id,
                    epoch: self.epoch.next(),
                    at: now,
                    quarantined_until: until.filter(|until| *until > now),
                }];
                if needs_inspection {
                    events.extend(self.withdrawn(MaintenanceReason::Inspection));
                }
                Ok(events)
            }
            Rental::Reserved(holder) if holder.booking_id == booking_id => {
                Err(Rejection::NotInUse { vehicle_id: self.id.clone(), booking_id })
            }
            Rental::Available | Rental::Reserved(_) | Rental::InUse(_) | Rental::Quarantined { .. } => {
                NOTHING
            }
        }
    }

    fn went_offline(&self, last_reported: Timestamp, now: Timestamp) -> Decision {
        match self.presence {
            Presence::Online => Ok(vec![Event::VehicleWentOffline { since: last_reported.min(now) }]),
            Presence::Offline { .. } => NOTHING,
        }
    }

    fn came_online(&self, now: Timestamp) -> Decision {
        match self.presence {
            Presence::Offline { .. } => Ok(vec![Event::VehicleCameOnline { at: now }]),
            Presence::Online => NOTHING,
        }
    }

    /// Out of service for something found on the street; a reason that already stands is not overwritten by it.
    fn withdrawn(&self, reason: MaintenanceReason) -> Option<Event> {
        match self.service {
            Service::InService => Some(Event::VehicleMaintenanceStarted { reason }),
            Service::Maintenance { .. } | Service::Retired => None,
        }
    }

    fn quarantine_ended(&self, now: Timestamp) -> Option<Event> {
        match self.rental {
            Rental::Quarantined { until } => {
                (until <= now).then_some(Event::VehicleQuarantineEnded { at: now })
            }
            Rental::Available | Rental::Reserved(_) | Rental::InUse(_) => None,
        }
    }
}

fn created(event: &Event) -> Option<Vehicle> {
    match event {
        Event::VehicleRegistered { id, spec, at } => Some(Vehicle {
            id: id.clone(),
            spec: spec.clone(),
            rental: Rental::Available,
            presence: Presence::Offline { since: *at },
            service: Service::InService,
            epoch: Epoch::default(),
        }),
        Event::VehicleUpdated { .. }
        | Event::VehicleReserved { .. }
        | Event::VehicleUnlocked { .. }
        | Event::VehicleLocked { .. }
        | Event::VehicleReleased { .. }
        | Event::VehicleQuarantineEnded { .. }
        | Event::VehicleWentOffline { .. }
        | Event::VehicleCameOnline { .. }
        | Event::VehicleMaintenanceStarted { .. }
        | Event::VehicleReturnedToService
        | Event::VehicleRetired => None,
    }
}

impl Vehicle {
    /// Applies an event in place.
    pub(crate) fn become_after(&mut self, event: &Event) {
        match event {
            Event::VehicleRegistered { .. } => {}
            Event::VehicleUpdated { spec } => self.spec = spec.clone(),
            Event::VehicleReserved { booking_id, user_id, epoch, at } => match self.rental {
                Rental::Available => {
                    let holder = Holder { booking_id: *booking_id, user_id: user_id.clone(), since: *at };
                    self.rental = Rental::Reserved(holder);
                    self.epoch = *epoch;
                }
                Rental::Reserved(_) | Rental::InUse(_) | Rental::Quarantined { .. } => {}
            },
            Event::VehicleUnlocked { booking_id, at } => match &self.rental {
                Rental::Reserved(holder) if holder.booking_id == *booking_id => {
                    self.rental = Rental::InUse(Holder { since: *at, ..holder.clone() });
                }
                Rental::Available | Rental::Reserved(_) | Rental::InUse(_) | Rental::Quarantined { .. } => {}
            },
            Event::VehicleLocked { booking_id, epoch, quarantined_until, at: _ } => match &self.rental {
                Rental::InUse(holder) if holder.booking_id == *booking_id => {
                    self.rental = vacated(*quarantined_until);
                    self.epoch = *epoch;
                }
                Rental::Available | Rental::Reserved(_) | Rental::InUse(_) | Rental::Quarantined { .. } => {}
            },
            Event::VehicleReleased { booking_id, epoch, quarantined_until, at: _ } => match &self.rental {
                Rental::Reserved(holder) if holder.booking_id == *booking_id => {
                    self.rental = vacated(*quarantined_until);
                    self.epoch = *epoch;
                }
                Rental::Available | Rental::Reserved(_) | Rental::InUse(_) | Rental::Quarantined { .. } => {}
            },
            Event::VehicleQuarantineEnded { at: _ } => match self.rental {
                Rental::Quarantined { .. } => self.rental = Rental::Available,
                Rental::Available | Rental::Reserved(_) | Rental::InUse(_) => {}
            },
            Event::VehicleWentOffline { since } => match self.presence {
                Presence::Online => self.presence = Presence::Offline { since: *since },
                Presence::Offline { .. } => {}
            },
            Event::VehicleCameOnline { at: _ } => self.presence = Presence::Online,
            Event::VehicleMaintenanceStarted { reason } => {
                self.serviced(Service::Maintenance { reason: *reason });
            }
            Event::VehicleReturnedToService => self.serviced(Service::InService),
            Event::VehicleRetired => self.serviced(Service::Retired),
        }
    }

    /// With another service, unless it is retired: that is for good.
    fn serviced(&mut self, service: Service) {
        match self.service {
            Service::InService | Service::Maintenance { .. } => self.service = service,
            Service::Retired => {}
        }
    }
}
