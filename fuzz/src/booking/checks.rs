//! What holds after every step, and at the end.

use rideplane_core::Machine;
use rideplane_core::booking::{Booking, Command, Event, Party, Status, journey};
use rideplane_core::fleet::{self, Vehicle};
use rideplane_core::payment::PaymentStatus;

use super::world::World;

const MOST_ROUNDS: usize = 300;

impl World {
    pub(super) fn check(&self) {
        let mut live = 0;
        for at in 0..self.rides.len() {
            let booking = self.booking(at);
            if booking.reservation.is_live() {
                live += 1;
                assert!(
                    journey::holds(self.vehicle(), booking),
                    "{booking:?} does not hold {:?}",
                    self.vehicle()
                );
            }
            check_money(booking);
        }
        assert_eq!(live, usize::from(self.vehicle().holder().is_some()), "holders of {:?}", self.vehicle());
    }

    /// From here on everybody answers and nobody asks for more: all must end.
    pub(super) fn bring_to_rest(&mut self) {
        for _ in 0..MOST_ROUNDS {
            let now = self.now();
            self.provider.process(true, now);
            for at in 0..self.rides.len() {
                self.tick_ride(at);
                self.pay_calls(at);
                if self.booking(at).status() == Status::Active {
                    self.ask_one(at, &Command::EndTrip { by: Party::Operator, ride_end_allowed: false });
                    self.pay_calls(at);
                }
            }
            self.ask_vehicle(&fleet::Command::Tick);
            self.check();
            let Some(next) = self.next_deadline() else {
                self.check_rest();
                return;
            };
            let now = self.now();
            self.advance(next.max(now).since(now));
        }
        panic!("after {MOST_ROUNDS} deadlines there is another: {:?}", self.next_deadline());
    }

    fn ask_one(&mut self, at: usize, command: &Command) {
        let back = self.rides.len() - 1 - at;
        self.ask(u8::try_from(back).expect("few bookings"), command);
    }

    fn check_rest(&self) {
        assert_eq!(self.vehicle().holder(), None, "somebody holds the vehicle for ever");
        for at in 0..self.rides.len() {
            let booking = self.booking(at);
            let payment = &booking.payment;
            if payment.status() == PaymentStatus::Quarantined {
                continue;
            }
            assert!(booking.status().is_terminal(), "it rests as {:?}", booking.status());
            assert!(booking.effects(self.now()).is_empty());
            let (held, kept) = self.provider.standing(booking.id);
            let known = payment.captured().to_minor() - payment.refunded().to_minor();
            assert_eq!((held, kept), (0, known), "the provider knows better: {booking:?}");
            assert!(payment.open().is_zero(), "{} is held for ever", payment.open());
            let owed = booking.trip_end().map_or(0, |end| end.fare.total.to_minor());
            let short = payment.shortfall().map_or(0, |money| money.to_minor());
            assert_eq!(kept + short, if payment.limit().is_zero() { short } else { owed }, "{booking:?}");
        }
    }

    /// The events say it all, in memory and from a store.
    pub(super) fn check_history(&self) {
        let vehicle =
            self.vehicle_log.iter().map(again).fold(None, |state, event| Vehicle::evolve(state, &event));
        assert_eq!(vehicle, self.vehicle);
        for ride in &self.rides {
            let booking =
                ride.log.iter().map(again).fold(None, |state, event| Booking::evolve(state, &event));
            assert_eq!(booking, ride.booking);
            assert_eq!(ride.booking, again(&ride.booking));
            // Total: what does not belong changes nothing it should not, and never panics.
            ride.log.iter().rev().fold(ride.booking.clone(), Booking::evolve);
            self.vehicle_log.iter().rev().fold(self.vehicle.clone(), Vehicle::evolve);
            check_trip(&ride.log);
        }
    }
}

fn again<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    let json = serde_json::to_string(value).expect("it is stored as JSON");
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn check_money(booking: &Booking) {
    let payment = &booking.payment;
    let minor = [payment.authorized(), payment.captured(), payment.released(), payment.open()];
    let [authorized, captured, released, open] = minor.map(|money| money.to_minor());
    assert_eq!(authorized, captured + released + open, "{payment:?}");
    assert!([authorized, captured, released, open].iter().all(|minor| *minor >= 0), "{payment:?}");
    assert!(captured <= payment.limit().to_minor(), "{payment:?}");
    assert!(payment.refunded().to_minor() <= captured, "{payment:?}");
    if captured > 0 {
        let total = booking.trip_end().map(|end| end.fare.total.to_minor());
        assert!(total.is_some_and(|total| captured <= total), "charged {captured} for {total:?}");
    }
}

fn check_trip(log: &[Event]) {
    let count = |wanted: fn(&Event) -> bool| log.iter().filter(|event| wanted(event)).count();
    let started = count(|event| matches!(event, Event::TripStarted { .. }));
    let ended = count(|event| matches!(event, Event::TripEnded(_)));
    assert!(started <= 1 && started == ended, "{started} trips began, {ended} ended");
    assert_eq!(count(|event| matches!(event, Event::Created(_))), 1);
}
