//! What riders were told, and whether it was so.

use std::collections::{BTreeMap, BTreeSet};

use rideplane_core::booking::Status;
use rideplane_core::ids::{BookingId, CommandId, UserId};
use rideplane_core::time::Timestamp;
use rideplane_memory::MemoryStore;
use rideplane_ports::Store as _;

use super::{Oracle, Phase, Rule};

/// Something definite that a rider was told. What is open ("try again") is no telling.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// `POST /bookings` answered 200.
    Booked { key: String, booking: BookingId },
    /// `POST /bookings` answered that nothing was booked.
    NotBooked { key: String },
    /// The booking is confirmed.
    Confirmed { booking: BookingId },
    /// The payment failed, and this method holds nothing.
    Declined { booking: BookingId },
    /// The booking is cancelled.
    Cancelled { booking: BookingId },
    /// The vehicle did not open, and no trip begins by this command.
    NotOpened { command: CommandId },
    /// The trip runs.
    Riding { booking: BookingId },
    /// The trip is over.
    Arrived { booking: BookingId },
}

#[derive(Default)]
pub(super) struct Tales {
    booked: BTreeMap<BookingId, UserId>,
    not_booked: BTreeSet<(UserId, String)>,
    confirmed: BTreeSet<BookingId>,
    not_opened: BTreeSet<CommandId>,
    cancelled: BTreeSet<BookingId>,
    trips: BTreeMap<CommandId, BookingId>,
}

impl Oracle {
    /// A rider hears something.
    pub(crate) fn tell(&mut self, user: &UserId, told: &Told, now: Timestamp) {
        let wrong = match told {
            Told::Booked { key, booking } => {
                self.told.booked.insert(*booking, user.clone());
                let made = self.keys.get(&(user.clone(), key.clone()));
                let mine = made.is_some_and(|made| made.contains(booking));
                (!mine).then(|| format!("told of booking {booking}, which key {key} did not make"))
            }
            Told::NotBooked { key } => {
                let id = (user.clone(), key.clone());
                let made = self.keys.get(&id).and_then(|made| made.first().copied());
                self.told.not_booked.insert(id);
                made.map(|booking| format!("told that nothing was booked; key {key} made {booking}"))
            }
            Told::Confirmed { booking } => {
                self.told.confirmed.insert(*booking);
                let booked = self.model.bookings.get(booking);
                let so = booked.is_some_and(|booked| booked.ever_confirmed);
                (!so).then(|| format!("told that {booking} is confirmed, which it never was"))
            }
            Told::Declined { booking } => {
                let phase = self.model.bookings.get(booking).map(|booked| booked.phase);
                let riding = matches!(phase, Some(Phase::Active | Phase::Ended));
                riding.then(|| format!("told that the payment of {booking} failed while it is {phase:?}"))
            }
            Told::Cancelled { booking } => {
                self.told.cancelled.insert(*booking);
                let over = self.model.bookings.get(booking).is_some_and(|booked| !booked.is_live());
                (!over).then(|| format!("told that {booking} is cancelled, which it is not"))
            }
            Told::NotOpened { command } => {
                self.told.not_opened.insert(*command);
                self.told.trips.get(command).map(|booking| {
                    format!(
                        "told that command {command} did not open the vehicle; it began the trip of {booking}"
                    )
                })
            }
            Told::Riding { booking } | Told::Arrived { booking } => {
                let so = self.model.bookings.get(booking).is_some_and(|booked| booked.had_trip);
                (!so).then(|| format!("told of a trip of {booking}, which never began"))
            }
        };
        self.check(Rule::RiderTruth);
        if let Some(found) = wrong {
            self.broken(Rule::RiderTruth, now, vec![user.to_string()], found);
        }
    }

    pub(super) fn trip_began_by(&mut self, command: CommandId, booking: BookingId, now: Timestamp) {
        self.told.trips.insert(command, booking);
        let denied = self.told.not_opened.contains(&command);
        self.require(
            Rule::RiderTruth,
            !denied,
            now,
            || vec![booking.to_string()],
            || format!("the rider was told that command {command} failed; it began the trip"),
        );
        let cancelled = self.told.cancelled.contains(&booking);
        self.require(
            Rule::RiderTruth,
            !cancelled,
            now,
            || vec![booking.to_string()],
            || "the rider was told that the booking is cancelled; its trip began".to_owned(),
        );
    }

    /// Somebody got at what is another's.
    pub(crate) fn trespass(&mut self, user: &UserId, what: &str, allowed: bool, now: Timestamp) {
        self.require(
            Rule::Ownership,
            !allowed,
            now,
            || vec![user.to_string()],
            || format!("{user} was let {what} of another rider"),
        );
    }

    /// At the end: every booking that a rider was told of is in the store, as its owner's, and nothing that was denied
    /// exists.
    pub(crate) async fn bookings_stay(&mut self, store: &MemoryStore, now: Timestamp) {
        let booked: Vec<(BookingId, UserId)> =
            self.told.booked.iter().map(|(id, user)| (*id, user.clone())).collect();
        for (id, user) in booked {
            let found = store.booking_of(&user, &id).await.ok().flatten();
            self.require(
                Rule::BookingsStay,
                found.is_some(),
                now,
                || vec![id.to_string()],
                || "a booking that its rider was told of is gone".to_owned(),
            );
        }
        for id in self.told.confirmed.clone() {
            let found = store.booking(&id).await.ok().flatten().map(|booking| booking.state.status());
            let stays = found.is_some_and(|status| status != Status::PendingPayment);
            self.require(
                Rule::BookingsStay,
                stays,
                now,
                || vec![id.to_string()],
                || format!("a confirmed booking became {found:?}"),
            );
        }
        let denied: Vec<String> = self
            .told
            .not_booked
            .iter()
            .filter(|id| self.keys.get(id).is_some_and(|made| !made.is_empty()))
            .map(|(user, key)| format!("{user}, key {key}"))
            .collect();
        for name in denied {
            let found = format!("told that nothing was booked, and a booking exists: {name}");
            self.broken(Rule::RiderTruth, now, Vec::new(), found);
        }
    }
}
